"""vid2vid's sequential generator: the next frame from label maps and from the frames made before it.

Wang et al., "Video-to-Video Synthesis" (2018), section 3 and appendix A. One encoder reads the label maps of the last n
frames, another the n - 1 pictures before this one; their sum feeds a branch that hallucinates a picture and a branch
that tells the flow from this frame to the one before and a soft mask w. The result is

    w * hallucinated + (1 - w) * previous frame, fetched along the flow

A foreground branch draws the pixels of chosen labels from label maps alone. Finer scales (`LocalGenerator`) take the
coarser scale's features and add detail. Written from the paper; layers stand in `nn.Sequential`s, numbered so that
published files load as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.errors import UserError
from ganvas.flow import Sampling, warp
from ganvas.networks.blocks import as_weights_lie, init_normal, pad_to_multiple
from ganvas.networks.doubling import Upsampling
from ganvas.networks.vid2vid.blocks import Norm, decoder, doubling, encoder, head, residual_blocks

FLOW_PX = 20.0
"""Pixels that a flow head's output of 1 stands for at the coarsest scale; each finer scale doubles it."""


class Frame(NamedTuple):
    """What the generator makes of one moment."""

    picture: Tensor
    """(B, 3, H, W) in [-1, 1]: the blend."""
    flow: Tensor
    """(B, 2, H, W) in pixels of this size, from this frame to the one before."""
    mask: Tensor
    """(B, 1, H, W) in [0, 1]: the share of the hallucinated picture."""
    raw: Tensor
    """(B, 3, H, W) in [-1, 1]: the hallucinated picture."""


class Features(NamedTuple):
    """The maps before the heads of one scale, all of that scale's size."""

    picture: Tensor
    flow: Tensor | None
    foreground: Tensor | None


class Blending(NamedTuple):
    """How the fetched and the hallucinated picture become one; the defaults are the paper's."""

    sampling: Sampling = "bilinear"
    slope: float = 1.0
    """Steepness of the mask's sigmoid."""
    classes: int = 0
    """Planes at the beginning of a condition whose change repaints a pixel."""


PAPER = Blending()


class _Choice(nn.Module):
    """The sigmoid that makes a mask."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope, self.shift = slope, 0.0

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.slope * x + self.shift)


class _Heads(nn.Module):
    """What the scales share: the heads that turn features into a frame, and the blend."""

    def __init__(
        self, channels_label: int, width: int, flow_px: float, with_flow: bool, foreground: Sequence[int],
        blending: Blending,
    ) -> None:  # fmt: skip
        super().__init__()
        self.channels_label, self.flow_px, self.foreground = channels_label, flow_px, tuple(foreground)
        self.blending = blending
        self.model_final_img = head(width, 3, nn.Tanh())
        self.with_flow = with_flow
        if with_flow:
            self.model_final_flow = head(width, 2)
            self.model_final_w = head(width, 1, _Choice(blending.slope))
        if self.foreground:
            self.indv_final = head(width // 2, 3, nn.Tanh())

    def frame(self, features: Features, labels: Tensor, previous: Tensor, known: Known | None = None) -> Frame:
        """Return the frame of this scale; the newest of the previous pictures (B, 3 n, H, W) is fetched."""
        raw = self.model_final_img(features.picture)
        flow, mask = torch.zeros_like(raw[:, :2]), torch.ones_like(raw[:, :1])
        if features.flow is not None:
            flow, mask = self.model_final_flow(features.flow) * self.flow_px, self.model_final_w(features.flow)
        if known is not None:
            flow = flow if known.flow is None else known.flow.to(flow.dtype)
            mask = mask if known.mask is None else known.mask.to(mask.dtype)
            raw = raw if known.picture is None else known.picture.to(raw.dtype)
        picture = raw
        if features.flow is not None or known is not None:
            fetched = warp(previous[:, -3:].to(raw.dtype), flow, self.blending.sampling)
            if self.blending.sampling == "bicubic":
                fetched = fetched.clamp(-1, 1)
            if self.blending.classes:
                mask = torch.maximum(mask, self._relabelled(labels, flow.detach()).to(mask.dtype))
            picture = raw * mask + fetched * (1 - mask)
        if features.foreground is not None:
            is_painted = known is not None and known.picture is not None
            drawn = raw if is_painted else self.indv_final(features.foreground)
            share = self._newest(labels)[:, list(self.foreground)].sum(1, keepdim=True).clamp(0, 1).to(raw.dtype)
            picture = drawn * share + picture * (1 - share)
            raw = drawn * share + raw * (1 - share)
        return Frame(picture, flow, mask, raw)

    def _newest(self, labels: Tensor) -> Tensor:
        return labels[:, -self.channels_label :]

    def _relabelled(self, labels: Tensor, flow: Tensor) -> Tensor:
        """Return how far the last frame's classes, fetched along the flow, are not this one's: (B, 1, H, W)."""
        now = self._newest(labels)[:, : self.blending.classes]
        before = self._newest(labels[:, : -self.channels_label])[:, : self.blending.classes]
        return (warp(before, flow) - now).abs().sum(1, keepdim=True).div(2).clamp(0, 1)


class Known(NamedTuple):
    """What comes from elsewhere and takes the place of the learned, each where it is given."""

    flow: Tensor | None
    """(B, 2, H, W) in pixels."""
    mask: Tensor | None
    """(B, 1, H, W), 1 where the picture is painted anew."""
    picture: Tensor | None = None
    """(B, 3, H, W) in [-1, 1]: the hallucinated picture, of foreground labels, too."""


class CompositeGenerator(_Heads):
    """The coarsest scale: two encoders, their sum, and the branches for picture, flow and foreground.

    Source: Wang et al. 2018 (vid2vid), section 3.1 and appendix A.
    """

    def __init__(
        self,
        channels_label: int,
        frames: int,
        width: int,
        downs: int,
        blocks: int,
        norm: Norm,
        with_flow: bool,
        foreground: Sequence[int],
        blending: Blending = PAPER,
        upsampling: Upsampling = "transposed",
    ) -> None:
        super().__init__(channels_label, width, FLOW_PX, with_flow, foreground, blending)
        channels_labels, channels_previous = frames * channels_label, 3 * (frames - 1)
        deep, later = width * 2**downs, blocks // 2
        early = blocks - later
        self.model_down_seg = encoder(channels_labels, width, downs, early, norm)
        self.model_down_img = encoder(channels_previous, width, downs, early, norm)
        self.model_res_img = nn.Sequential(*residual_blocks(deep, later, norm))
        self.model_up_img = nn.Sequential(*decoder(width, downs, norm, upsampling))
        if with_flow:
            self.model_res_flow = nn.Sequential(*residual_blocks(deep, later, norm))
            self.model_up_flow = nn.Sequential(*decoder(width, downs, norm, upsampling))
        if self.foreground:
            half = width // 2
            self.indv_down = encoder(channels_labels, half, downs, early, norm)
            self.indv_res = nn.Sequential(*residual_blocks(half * 2**downs, later, norm))
            self.indv_up = nn.Sequential(*decoder(half, downs, norm, upsampling))

    def features(self, labels: Tensor, previous: Tensor) -> Features:
        """Return the maps before the heads."""
        seen = self.model_down_seg(labels) + self.model_down_img(previous)
        return Features(
            self.model_up_img(self.model_res_img(seen)),
            self.model_up_flow(self.model_res_flow(seen)) if self.with_flow else None,
            self.indv_up(self.indv_res(self.indv_down(labels))) if self.foreground else None,
        )


class LocalGenerator(_Heads):
    """A finer scale: one halving, the coarser scale's features added, and one doubling back.

    (B, 108, H, W) -> (B, 3, H, W)

    `forward` is that of `Vid2Vid` with the coarser scale's features as a third argument, of half the size; without them
    nothing is added. Source: Wang et al. 2018 (vid2vid), section 3.4 and appendix A.
    """

    def __init__(
        self,
        channels_label: int = 36,
        frames: int = 3,
        width: int = 64,
        blocks: int = 3,
        scale: int = 1,
        norm: Norm = "batch",
        with_flow: bool = True,
        foreground: Sequence[int] = (),
        blending: Blending = PAPER,
        upsampling: Upsampling = "transposed",
    ) -> None:
        super().__init__(channels_label, width, FLOW_PX * 2**scale, with_flow, foreground, blending)
        self.frames = frames
        stacked, pictures = frames * channels_label, 3 * (frames - 1)
        self.model_down_seg = encoder(stacked, width, 1, 0, norm)
        self.model_down_img = encoder(pictures, width, 1, 0, norm)
        self.model_up_img = nn.Sequential(
            *residual_blocks(2 * width, blocks, norm), *doubling(2 * width, norm, upsampling)
        )
        if with_flow:
            self.model_up_flow = nn.Sequential(
                *residual_blocks(2 * width, blocks, norm), *doubling(2 * width, norm, upsampling)
            )
        if self.foreground:
            self.indv_down = encoder(stacked, width // 2, 1, 0, norm)
            self.indv_up = nn.Sequential(*residual_blocks(width, blocks, norm), *doubling(width, norm, upsampling))
        init_normal(self)

    def features(self, labels: Tensor, previous: Tensor, coarse: Features | None) -> Features:
        """Return the maps before the heads, given those of the coarser scale at half the size."""
        picture, flow, foreground = coarse or (None, None, None)
        seen = self.model_down_seg(labels) + self.model_down_img(previous)
        return Features(
            self.model_up_img(_joined(seen, picture)),
            self.model_up_flow(_joined(seen, flow)) if self.with_flow else None,
            self.indv_up(_joined(self.indv_down(labels), foreground)) if self.foreground else None,
        )

    def forward(self, labels: Tensor, previous: Tensor | None = None, coarse: Features | None = None) -> Frame:
        if previous is None:
            previous = labels.new_zeros(len(labels), 3 * (self.frames - 1), *labels.shape[-2:])
        return self.frame(self.features(labels, previous, coarse), labels, previous)


def _joined(mine: Tensor, theirs: Tensor | None) -> Tensor:
    return mine if theirs is None else mine + theirs


class Vid2Vid(nn.Module):
    """vid2vid's generator of one frame at one, two or three spatial scales, coarse to fine.

    (B, 108, H, W) -> (B, 3, H, W)

    `forward` takes the conditions of the last n frames stacked, oldest first, and the n - 1 pictures before this one
    (B, 3 (n - 1), H, W) in [-1, 1], oldest first; it gives a `Frame`, whose first part is the picture. Without pictures
    there is nothing to fetch, and the hallucinated picture is the result. Sides may be any: they are padded within.

    Args:
        channels_label: planes of one frame's condition: classes, and one of boundaries where there are instances.
        frames: n, this frame and those before it that it depends on.
        width: channels of the coarsest scale's first map; each finer scale has half as many.
        downs: halvings of the coarsest scale.
        blocks: its residual blocks.
        scales: spatial scales; each doubles the sides.
        local_blocks: residual blocks of each finer scale.
        norm: `batch` (the paper's), `instance`, or `tracked_instance` (published files with running statistics).
        with_flow: False leaves the flow branch out: every frame is hallucinated.
        foreground: labels that are drawn by the foreground branch; none leaves it out.
        sampling: how the frame before is fetched: `bilinear` (the paper's), or `bicubic`, which blurs less (ours).
        mask_slope: steepness of the mask's sigmoid: above 1 (the paper's) it tends to all or nothing (ours).
        repainted_classes: planes at the beginning of a condition that say the class; where that of the last frame,
            fetched along the flow, is another, a pixel is hallucinated whatever the mask says (ours); 0 for none.
        upsampling: `transposed` (the paper's), `resize` or `smooth`, which leave no grid in pictures (ours).

    Raises:
        UserError: a number is too small for a network, or a foreground label does not exist.
    """

    def __init__(
        self,
        channels_label: int = 36,
        frames: int = 3,
        width: int = 128,
        downs: int = 3,
        blocks: int = 9,
        scales: int = 1,
        local_blocks: int = 3,
        norm: Norm = "batch",
        with_flow: bool = True,
        foreground: Sequence[int] = (),
        sampling: Sampling = "bilinear",
        mask_slope: float = 1.0,
        repainted_classes: int = 0,
        upsampling: Upsampling = "transposed",
    ) -> None:
        super().__init__()
        numbers = {"channels_label": channels_label, "width": width, "downs": downs, "scales": scales}
        for name, number in {**numbers, "frames": frames - 1}.items():
            if number < 1:
                raise UserError(f"A vid2vid generator cannot have {name} {number}", do="Use more")
        if width % 2**scales:
            raise UserError(f"A width of {width} cannot be halved {scales} times", do=f"Use a multiple of {2**scales}")
        if any(not 0 <= label < channels_label for label in foreground):
            raise UserError(f"The foreground labels are {list(foreground)}", f"A frame has {channels_label} planes")
        self.channels_label, self.frames, self.scales = channels_label, frames, scales
        self.foreground = tuple(foreground)
        self.multiple_of = 2 ** (downs + scales - 1)
        blending = Blending(sampling, mask_slope, repainted_classes)
        self.scale0 = CompositeGenerator(
            channels_label, frames, width, downs, blocks, norm, with_flow, foreground, blending, upsampling
        )  # fmt: skip
        for scale in range(1, scales):
            narrow = width // 2**scale
            finer = LocalGenerator(
                channels_label, frames, narrow, local_blocks, scale, norm, with_flow, foreground, blending, upsampling
            )
            self.add_module(f"scale{scale}", finer)
        init_normal(self)

    def forward(
        self,
        labels: Tensor,
        previous: Tensor | None = None,
        has_previous: Tensor | None = None,
        known: Known | None = None,
        scales: int = 0,
    ) -> Frame:
        """Make one frame.

        Args:
            labels: conditions (B, n N, H, W).
            previous: pictures (B, 3 (n - 1), H, W).
            has_previous: (B,) False where a sample has no frame before it; such a frame is hallucinated.
            known: flow, mask and picture to use in place of the learned ones.
            scales: how many of the scales to run, on inputs of that scale's size; 0 for all.
        """
        scales = scales or self.scales
        if not 1 <= scales <= self.scales:
            raise UserError(f"This generator has no scale number {scales}", f"It has {self.scales}")
        height, width = labels.shape[-2:]
        if previous is None:
            previous = labels.new_zeros(len(labels), 3 * (self.frames - 1), height, width)
            has_previous = torch.zeros(len(labels), dtype=torch.bool, device=labels.device)
        unit = self.multiple_of >> (self.scales - scales)
        # Below two cells a side, the coarsest maps would have one pixel, which cannot be reflected.
        unit = 2 * unit if min(height, width) <= unit else unit
        padded = [as_weights_lie(pad_to_multiple(planes, unit), self) for planes in (labels, previous)]
        if known is not None:
            known = Known(*(part if part is None else pad_to_multiple(part, unit) for part in known))
        frame = self._run(padded[0], padded[1], known, scales)
        picture, flow, mask, raw = (part[..., :height, :width] for part in frame)
        if has_previous is not None:
            picture = torch.where(has_previous.to(picture.device)[:, None, None, None], picture, raw)
        return Frame(picture, flow, mask, raw)

    def repaint(self, more: float) -> None:
        """Add to the mask's logits from now on: above 0 more is hallucinated, below 0 more is fetched."""
        for module in self.modules():
            if isinstance(module, _Choice):
                module.shift = more

    def _run(self, labels: Tensor, previous: Tensor, known: Known | None, scales: int) -> Frame:
        pyramid = [(labels, previous)]
        for _ in range(1, scales):
            pyramid.append(tuple(_halved(planes) for planes in pyramid[-1]))  # pyright: ignore[reportArgumentType]
        features = self.scale0.features(*pyramid[-1])
        last: _Heads = self.scale0
        for scale in range(1, scales):
            last = self.get_submodule(f"scale{scale}")  # pyright: ignore[reportAssignmentType]
            assert isinstance(last, LocalGenerator)
            features = last.features(*pyramid[scales - 1 - scale], features)
        return last.frame(features, labels, previous, known)


def _halved(planes: Tensor) -> Tensor:
    return F.avg_pool2d(planes, 3, stride=2, padding=1, count_include_pad=False)


# The recurrence


class Past(NamedTuple):
    """What the generator remembers between two frames, oldest first."""

    labels: Tensor
    """(B, (n - 1) N, H, W)"""
    pictures: Tensor
    """(B, (n - 1) 3, H, W) in [-1, 1]; zeros where there was no picture."""
    has_previous: Tensor
    """(B,) whether there is a picture at all."""


def no_past(net: Vid2Vid, labels: Tensor) -> Past:
    """Return the past of sequences that begin with nothing, given the conditions (B, N, H, W) of their first frame."""
    before = net.frames - 1
    zeros = labels.new_zeros(len(labels), 3 * before, *labels.shape[-2:])
    return Past(labels.repeat(1, before, 1, 1), zeros, torch.zeros(len(labels), dtype=torch.bool, device=labels.device))


def past_of(net: Vid2Vid, labels: Tensor, pictures: Tensor) -> Past:
    """Return the past of sequences whose first frame is given, as if it had been shown for n - 1 frames.

    (B, N, H, W), (B, 3, H, W)
    """
    before = net.frames - 1
    has = torch.ones(len(labels), dtype=torch.bool, device=labels.device)
    return Past(labels.repeat(1, before, 1, 1), pictures.repeat(1, before, 1, 1), has)


def next_frame(
    net: Vid2Vid, labels: Tensor, past: Past, known: Known | None = None, scales: int = 0
) -> tuple[Frame, Past]:
    """Make the next frame of each sequence and move its past on by it.

    Args:
        net: the generator.
        labels: conditions of this frame (B, N, H, W).
        past: what came before.
        known: as in `Vid2Vid.forward`.
        scales: as there.
    """
    stacked = torch.cat([past.labels, labels], dim=1)
    frame: Frame = net(stacked, past.pictures, past.has_previous, known, scales)
    channels = labels.shape[1]
    pictures = torch.cat([past.pictures[:, 3:], frame.picture.to(past.pictures.dtype)], dim=1)
    return frame, Past(stacked[:, channels:], pictures, torch.ones_like(past.has_previous))
