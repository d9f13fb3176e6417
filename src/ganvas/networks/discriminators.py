"""Discriminators: each tells real from fake with raw scores and hands out the activations of its layers."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.errors import UserError
from ganvas.networks.blocks import (
    Activation,
    MinibatchDiscrimination,
    MinibatchStandardDeviation,
    SyncedBatchNorm2d,
    as_weights_lie,
    init_normal,
    norm_layer,
    spectral,
)
from ganvas.protocol import Verdict

PatchNorm = Literal["instance", "batch", "spectral", "none"]
SLOPE = 0.2
WIDEST = 8
"""Layers grow to this many times the first width and no further."""


class VGGDiscriminator(nn.Module):
    """ESRGAN's and SRGAN's discriminator: pairs of convolutions, each pair halving the sides, then two linear layers.

    (B, 3, 128, 128) -> (B, 1)

    Made for one patch size, a multiple of 32 px, which it halves down to 4 to 7 px. A relativistic loss gives the last
    bias no gradient: build it with `last_bias=False` there.
    Source: Ledig et al., SRGAN, figure 4, in the form of BasicSR, whose parameter names it keeps at 128 and 256 px.

    Raises:
        UserError: the patch size is no multiple of 32, or a picture has another size.
    """

    def __init__(self, size_px: int = 128, width: int = 64, last_bias: bool = True, channels_in: int = 3) -> None:
        super().__init__()
        if size_px < 32 or size_px % 32:
            near = max(32, round(size_px / 32) * 32)
            raise UserError(f"VGGDiscriminator cannot take patches of {size_px} px", do=f"Use a multiple of 32: {near}")
        self.size_px = size_px
        self.num_stages = (size_px // 4).bit_length() - 1
        wide, extent = channels_in, size_px
        for stage in range(self.num_stages):
            out = width * min(2**stage, WIDEST)
            # The first convolution alone has a bias, since no norm follows it.
            self.add_module(f"conv{stage}_0", nn.Conv2d(wide, out, 3, padding=1, bias=stage == 0))
            if stage:
                self.add_module(f"bn{stage}_0", SyncedBatchNorm2d(out))
            self.add_module(f"conv{stage}_1", nn.Conv2d(out, out, 4, stride=2, padding=1, bias=False))
            self.add_module(f"bn{stage}_1", SyncedBatchNorm2d(out))
            wide, extent = out, extent // 2
        self.linear1 = nn.Linear(wide * extent**2, 100)
        self.linear2 = nn.Linear(100, 1, bias=last_bias)

    def forward(self, picture: Tensor) -> Verdict:
        if picture.shape[-2:] != (self.size_px, self.size_px):
            raise UserError(
                f"VGGDiscriminator got a picture of {picture.shape[-1]} x {picture.shape[-2]} px",
                f"It was built for {self.size_px} x {self.size_px}",
                "Set its size_px to the size of the crops",
            )
        features, x = [], picture
        for stage in range(self.num_stages):
            for half in range(2):
                x = self.get_submodule(f"conv{stage}_{half}")(x)
                if stage or half:
                    x = self.get_submodule(f"bn{stage}_{half}")(x)
                x = F.leaky_relu(x, SLOPE)
                features.append(x)
        x = F.leaky_relu(self.linear1(x.flatten(1)), SLOPE)
        score = self.linear2(x)
        return Verdict(score, (*features, x, score))


class UNetDiscriminator(nn.Module):
    """Real-ESRGAN's discriminator: a U-Net with spectral norm that scores every pixel.

    (B, 3, H, W) -> (B, 1, H, W)

    Any size from 8 x 8 px.
    Source: Wang et al., "Real-ESRGAN", section 3.3; layer names as in BasicSR.

    Raises:
        UserError: a picture below 8 px.
    """

    def __init__(self, channels_in: int = 3, width: int = 64, skip: bool = True, last_bias: bool = True) -> None:
        super().__init__()
        self.skip = skip
        self.conv0 = nn.Conv2d(channels_in, width, 3, padding=1)
        self.conv1 = spectral(nn.Conv2d(width, width * 2, 4, 2, 1, bias=False))
        self.conv2 = spectral(nn.Conv2d(width * 2, width * 4, 4, 2, 1, bias=False))
        self.conv3 = spectral(nn.Conv2d(width * 4, width * 8, 4, 2, 1, bias=False))
        self.conv4 = spectral(nn.Conv2d(width * 8, width * 4, 3, padding=1, bias=False))
        self.conv5 = spectral(nn.Conv2d(width * 4, width * 2, 3, padding=1, bias=False))
        self.conv6 = spectral(nn.Conv2d(width * 2, width, 3, padding=1, bias=False))
        self.conv7 = spectral(nn.Conv2d(width, width, 3, padding=1, bias=False))
        self.conv8 = spectral(nn.Conv2d(width, width, 3, padding=1, bias=False))
        self.conv9 = nn.Conv2d(width, 1, 3, padding=1, bias=last_bias)

    def forward(self, picture: Tensor) -> Verdict:
        if min(picture.shape[-2:]) < 8:
            raise UserError("UNetDiscriminator got a picture below 8 px", do="Use larger crops")
        down = [F.leaky_relu(self.conv0(picture), SLOPE)]
        for conv in (self.conv1, self.conv2, self.conv3):
            down.append(F.leaky_relu(conv(down[-1]), SLOPE))
        features, x = list(down), down[-1]
        for conv, finer in ((self.conv4, down[2]), (self.conv5, down[1]), (self.conv6, down[0])):
            # To the size of the finer map, which is the double of this one for multiples of 8 px.
            x = F.interpolate(x, size=finer.shape[-2:], mode="bilinear", align_corners=False)
            x = F.leaky_relu(conv(x), SLOPE)
            x = x + finer if self.skip else x
            features.append(x)
        for conv in (self.conv7, self.conv8):
            x = F.leaky_relu(conv(x), SLOPE)
            features.append(x)
        score = self.conv9(x)
        return Verdict(score, (*features, score))


class _Conv(NamedTuple):
    kernel: int
    stride: int
    padding: int

    def extent(self, side: int) -> int:
        return (side + 2 * self.padding - self.kernel) // self.stride + 1


_HALVING = _Conv(4, 2, 1)


def _receptive_field_px(plan: Sequence[_Conv]) -> int:
    field = 1
    for conv in reversed(plan):
        field = (field - 1) * conv.stride + conv.kernel
    return field


def _layered_plan(layers: int, padding: int) -> list[_Conv]:
    # pix2pix: halvings, then two convolutions of stride 1; its 1-px variant is a per-pixel network.
    if layers == 0:
        return [_Conv(1, 1, 0)] * 3
    return [_Conv(4, 2, padding)] * layers + [_Conv(4, 1, padding)] * 2


def _grid_plans(size_px: int) -> dict[int, list[_Conv]]:
    """Return every grid of outputs that pictures of a size can give, with the convolutions that give it."""
    plans: dict[int, list[_Conv]] = {}
    halvings, extent = [_HALVING], size_px // 2
    while extent >= 1:
        for kernel in (4, 3, 2):
            if extent >= kernel:
                plans.setdefault(extent - kernel + 1, [*halvings, _Conv(kernel, 1, 0)])
        plans.setdefault(extent, [*halvings, _Conv(3, 1, 1)])
        halvings, extent = [*halvings, _HALVING], extent // 2
    return plans


def _layers(
    plan: Sequence[_Conv],
    channels_in: int,
    width: int,
    norm: PatchNorm,
    last_bias: bool,
    bias_before_norm: bool,
    activation: Activation = "relu",
) -> list[nn.Sequential]:
    """Return the layers of a plan: convolution, norm (none in the first and last) and activation (none in the last)."""
    if norm not in ("instance", "batch", "spectral", "none"):
        raise UserError(f"There is no discriminator norm {norm!r}", do="Use instance, batch, spectral or none")
    layers, wide = [], channels_in
    for place, (kernel, stride, padding) in enumerate(plan):
        last = place == len(plan) - 1
        normed = 0 < place < len(plan) - 1 and norm in ("instance", "batch")
        out = 1 if last else width * min(2**place, WIDEST)
        bias = last_bias if last else bias_before_norm or not normed
        conv: nn.Module = nn.Conv2d(wide, out, kernel, stride, padding, bias=bias)
        init_normal(conv)
        parts = [spectral(conv) if norm == "spectral" else conv]
        if normed:
            parts.append(norm_layer("batch" if norm == "batch" else "instance", out))
            init_normal(parts[-1])
        if not last:
            parts.append(nn.LeakyReLU(SLOPE) if activation == "relu" else nn.Tanh())
        layers.append(nn.Sequential(*parts))
        wide = out
    return layers


def _smallest_px(plan: Sequence[_Conv], norm: PatchNorm) -> int:
    """Return the smallest side from which every layer gets something to work on."""
    needs = 2 if norm == "instance" else 1

    def fits(side: int) -> bool:
        for place, conv in enumerate(plan):
            side = conv.extent(side)
            if side < (needs if 0 < place < len(plan) - 1 else 1):
                return False
        return True

    return 1 + bisect.bisect_left(range(1, 1 << 20), True, key=fits)


def _verdict(layers: Sequence[nn.Module], picture: Tensor) -> Verdict:
    features, x = [], picture
    for layer in layers:
        x = layer(x)
        features.append(x)
    return Verdict(x, tuple(features))


class PatchDiscriminator(nn.Module):
    """A discriminator of patches: one score for each cell of a grid that the user picks.

    (B, 3, H, W) -> (B, 1, H//8-2, W//8-2)

    `grid` is `None` (`layers` halvings as in pix2pix), a receptive field such as `"70px"` (1, 16, 34, 70, 142 or
    286 px), or the number of scores a side, `4` or `"4x4"`, for pictures of `size_px`. `receptive_field_px` tells how
    much of the picture one score sees; printing the network shows it.
    Source: Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", section 3.2.2 and 6.1.2.

    Raises:
        UserError: the resolution cannot give that grid (with the grids that it can give), or a picture is too small.
    """

    def __init__(
        self,
        channels_in: int = 3,
        width: int = 64,
        grid: int | str | None = None,
        layers: int = 3,
        norm: PatchNorm = "instance",
        size_px: int | None = None,
        last_bias: bool = True,
    ) -> None:
        super().__init__()
        self._plan = _plan_for(grid, layers, size_px)
        self.receptive_field_px = _receptive_field_px(self._plan)
        self.minimum_px = _smallest_px(self._plan, norm)
        if size_px is not None and size_px < self.minimum_px:
            raise UserError(
                f"Pictures of {size_px} px are too small for patches of {self.receptive_field_px} px",
                f"This discriminator needs {self.minimum_px} px",
                f"Use {_fitting_fields(size_px, norm)}, or a grid of {_ranges(_grid_plans(size_px))}",
            )
        self.num_layers = len(self._plan)
        for place, layer in enumerate(_layers(self._plan, channels_in, width, norm, last_bias, False)):
            self.add_module(f"layer{place}", layer)

    def grid_at(self, height_px: int, width_px: int) -> tuple[int, int]:
        """Return the grid of scores, rows and columns, that a picture of this size gets."""
        for conv in self._plan:
            height_px, width_px = conv.extent(height_px), conv.extent(width_px)
        return height_px, width_px

    def extra_repr(self) -> str:
        return f"receptive_field_px={self.receptive_field_px}"

    def forward(self, picture: Tensor) -> Verdict:
        _refuse_small(picture, self.minimum_px, "PatchDiscriminator")
        return _verdict([self.get_submodule(f"layer{place}") for place in range(self.num_layers)], picture)


def _plan_for(grid: int | str | None, layers: int, size_px: int | None) -> list[_Conv]:
    fields = {_receptive_field_px(_layered_plan(count, 1)): count for count in range(6)}
    if isinstance(grid, str) and grid.endswith("px"):
        if not grid[:-2].isdigit() or int(grid[:-2]) not in fields:
            raise UserError(f"No patch discriminator sees {grid}", do=f"Use {_names(fields)}")
        return _layered_plan(fields[int(grid[:-2])], 1)
    if grid is None:
        if not 0 <= layers <= 8:
            raise UserError(f"A patch discriminator cannot have {layers} layers", do="Use 0 to 8")
        return _layered_plan(layers, 1)
    rows, _, columns = str(grid).partition("x")
    if not rows.isdigit() or (columns or rows) != rows or int(rows) < 1:
        raise UserError(f"A patch grid cannot be {grid!r}", do=f"Use a number such as 4, 4x4, or {_names(fields)}")
    if size_px is None:
        raise UserError(f"A grid of {rows} x {rows} needs the size of the pictures", do="Set size_px")
    plans = _grid_plans(size_px)
    if int(rows) not in plans:
        raise UserError(
            f"Pictures of {size_px} px cannot give a grid of {rows} x {rows}",
            "Each layer halves the picture's side and the last one takes up to 3 off it",
            f"At this size these can be had: {_ranges(plans)}",
        )
    return plans[int(rows)]


def _names(fields: Sequence[int] | dict[int, int]) -> str:
    return ", ".join(f"{field}px" for field in fields)


def _fitting_fields(size_px: int, norm: PatchNorm) -> str:
    plans = [_layered_plan(count, 1) for count in range(6)]
    return _names([_receptive_field_px(plan) for plan in plans if _smallest_px(plan, norm) <= size_px])


def _ranges(numbers: Sequence[int] | dict[int, list[_Conv]]) -> str:
    """Return numbers as text, runs joined: 1-8, 13-16."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


def _refuse_small(picture: Tensor, minimum_px: int, what: str) -> None:
    height, width = picture.shape[-2:]
    if min(height, width) < minimum_px:
        raise UserError(
            f"{what} got a picture of {width} x {height} px", f"It needs {minimum_px} px a side", "Use larger pictures"
        )


class MultiScaleDiscriminator(nn.Module):
    """pix2pixHD's discriminator: the same patch network at several sizes of the picture, finest verdict first.

    (B, 3, H, W) -> (B, 1, (H-2)//8+4, (W-2)//8+4)

    The shape is the finest scale's; each further scale sees the picture averaged down by two.
    Source: Wang et al., "High-Resolution Image Synthesis with Conditional GANs", section 3.2. Parameter names as in
    the original, which counts backwards: `scale{n-1}` sees the finest picture. So with `scales` in `forward` only the
    coarsest ones run: a picture of half the size is seen by the networks that see it within the pyramid later.

    Raises:
        UserError: a picture is too small for the coarsest scale, or there are not so many scales.
    """

    def __init__(
        self,
        channels_in: int = 3,
        width: int = 64,
        scales: int = 2,
        layers: int = 3,
        norm: PatchNorm = "instance",
        last_bias: bool = True,
    ) -> None:
        super().__init__()
        if scales < 1 or layers < 1:
            raise UserError(f"There is no discriminator of {scales} scales and {layers} layers", do="Use 1 or more")
        plan = _layered_plan(layers, 2)
        self.num_scales, self.num_layers = scales, len(plan)
        self.receptive_field_px = _receptive_field_px(plan)
        self._smallest_px = _smallest_px(plan, norm)
        self.minimum_px = self.minimum_px_of(scales)
        for scale in range(scales):
            for place, layer in enumerate(_layers(plan, channels_in, width, norm, last_bias, True)):
                self.add_module(f"scale{scale}_layer{place}", layer)

    def extra_repr(self) -> str:
        return f"receptive_field_px={self.receptive_field_px}"

    def minimum_px_of(self, scales: int) -> int:
        """Return the smallest side of a picture that so many scales can take."""
        return (self._smallest_px - 1) * 2 ** (scales - 1) + 1

    def forward(self, picture: Tensor, scales: int = 0) -> list[Verdict]:
        scales = scales or self.num_scales
        if not 1 <= scales <= self.num_scales:
            raise UserError(f"A discriminator of {self.num_scales} scales cannot run at {scales}")
        _refuse_small(picture, self.minimum_px_of(scales), "MultiScaleDiscriminator")
        verdicts, picture = [], as_weights_lie(picture, self)
        for scale in reversed(range(scales)):
            names = [f"scale{scale}_layer{place}" for place in range(self.num_layers)]
            verdicts.append(_verdict([self.get_submodule(name) for name in names], picture))
            if scale:
                picture = F.avg_pool2d(picture, 3, stride=2, padding=1, count_include_pad=False)
        return verdicts


class DCGANDiscriminator(nn.Module):
    """DCGAN's discriminator: halvings down to 4 x 4 px, then one score, with the batch in view if wanted.

    (B, 3, 64, 64) -> (B, 1)

    Takes square pictures in [-1, 1]. `minibatch` lets it see how alike the samples of a batch are: `discrimination`
    (Salimans et al.) or `stddev` (Karras et al.); both need batches of two or more. `activation` `tanh` takes the
    place of every leaky ReLU (a stability test of Jolicoeur-Martineau 2018, section 4).
    Source: Radford et al., "Unsupervised Representation Learning with DCGANs", section 3.

    Raises:
        UserError: a size other than 32, 64, 128 or 256 px, or an unknown norm or minibatch layer.
    """

    def __init__(
        self,
        size_px: int = 64,
        width: int = 64,
        norm: PatchNorm = "batch",
        minibatch: Literal["none", "discrimination", "stddev"] = "none",
        last_bias: bool = True,
        channels_in: int = 3,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        if size_px not in (32, 64, 128, 256):
            raise UserError(f"DCGANDiscriminator cannot take {size_px} px", do="Use 32, 64, 128 or 256")
        if minibatch not in ("none", "discrimination", "stddev"):
            raise UserError(f"There is no minibatch layer {minibatch!r}", do="Use none, discrimination or stddev")
        self.size_px = size_px
        plan = [_HALVING] * (size_px.bit_length() - 3)
        # The plan's own last layer would be the score; this head replaces it.
        layers = _layers([*plan, _Conv(4, 1, 0)], channels_in, width, norm, last_bias, False, activation)[:-1]
        self.body = nn.Sequential(*layers)
        channels = width * min(2 ** (len(plan) - 1), WIDEST) + (minibatch == "stddev")
        self.stddev = MinibatchStandardDeviation() if minibatch == "stddev" else nn.Identity()
        self.discrimination = MinibatchDiscrimination(channels * 16) if minibatch == "discrimination" else None
        extra = 0 if self.discrimination is None else self.discrimination.offset.numel()
        linear: nn.Module = nn.Linear(channels * 16 + extra, 1, bias=last_bias)
        init_normal(linear)
        self.linear = spectral(linear) if norm == "spectral" else linear

    def forward(self, picture: Tensor) -> Verdict:
        if picture.shape[-2:] != (self.size_px, self.size_px):
            size = f"{picture.shape[-1]} x {picture.shape[-2]} px"
            raise UserError(f"DCGANDiscriminator got {size}", f"It was built for {self.size_px} px", "Set its size_px")
        features, x = [], picture
        for layer in self.body:
            x = layer(x)
            features.append(x)
        x = torch.flatten(self.stddev(x), 1)
        if self.discrimination is not None:
            x = self.discrimination(x)
        score = self.linear(x)
        return Verdict(score, (*features, score))
