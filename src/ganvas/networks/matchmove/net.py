"""Reverse matchmove: from a camera to the picture that it sees, and the discriminator that serves as a learned loss.

A camera is thirteen numbers: the upper three rows of its camera-to-world matrix, row by row, and its focal length in
millimetres. Statistics of the training cameras are settings of the networks, so that a weight file cannot lose them.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.errors import UserError
from ganvas.networks.blocks import (
    Norm,
    SelfAttention,
    init_icnr,
    init_orthogonal,
    norm_layer,
)
from ganvas.networks.blocks import spectral as normalize_spectrally
from ganvas.networks.doubling import Upsampling, doubling_conv
from ganvas.networks.matchmove.ray_table import RayPlanes, RayTable
from ganvas.networks.matchmove.rays import SLOPE, Rays, lines_of_sight, num_known, with_octaves
from ganvas.protocol import Verdict

CAMERA = 13
RESIDUE = 0.2
"""Share of its resized input that each block adds to its output."""
STEM_PX = 8
BAND_PX = 256
"""Rows that the last convolution takes at a time when pictures are made: its padded input need not exist whole."""


class ChannelResize(nn.Module):
    """Resize features in height, width and channels: the channels, too, are an axis along which values are blended.

    (B, C, H, W) -> (B, channels_out, *size)

    Linear along each axis, the first and last places kept: torch's trilinear mode with aligned corners, as a small
    product over channels and a bilinear resize, which are quicker.
    """

    mixing: Tensor

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        last = channels_in - 1
        source = torch.arange(channels_out, dtype=torch.float64)[:, None] * (last / max(1, channels_out - 1))
        # Each channel's share falls linearly to nothing at its neighbours.
        mixing = (1 - (source - torch.arange(channels_in)).abs()).clamp_min(0).float()
        self.is_identity = channels_in == channels_out
        self.register_buffer("mixing", mixing, persistent=False)

    def forward(self, x: Tensor, size: Sequence[int]) -> Tensor:
        shrinks = x.shape[-1] > size[-1]
        # Where there are fewer pixels, mixing costs less.
        x = x if shrinks else self._mix(x)
        if x.shape[-2:] != tuple(size):
            x = F.interpolate(x, size=list(size), mode="bilinear", align_corners=True)
        return self._mix(x) if shrinks else x

    def _mix(self, x: Tensor) -> Tensor:
        return x if self.is_identity else F.conv2d(x, self.mixing[:, :, None, None].to(x.dtype))


class TransposeBlock(nn.Module):
    """A transposed convolution, activation and batch norm, with the resized input added.

    (B, C, H, W) -> (B, channels_out, 2H, 2W)
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        upsampling: Upsampling | None,
        norm: Norm,
        spectral: bool,
        drop: float,
    ) -> None:
        super().__init__()
        if upsampling is None:  # a vector to 4 x 4
            self.conv: nn.Module = nn.ConvTranspose2d(channels_in, channels_out, 4, bias=False)
        else:
            self.conv = doubling_conv(channels_in, channels_out, upsampling, bias=False)
        init_orthogonal(self.conv)
        self.norm, self.drop = norm_layer(norm, channels_out), nn.Dropout(drop)
        self.resize = ChannelResize(channels_in, channels_out)
        if spectral:
            normalize_spectrally(self.conv)

    def forward(self, x: Tensor) -> Tensor:
        out = self.drop(self.norm(_activate(self.conv(x))))
        return _add_residue(out, self.resize(x, out.shape[-2:]))


class ShuffleBlock(nn.Module):
    """A convolution, activation and batch norm whose channels become pixels, with the resized input added.

    (B, C, H, W) -> (B, channels_out, 2H, 2W)
    """

    def __init__(self, channels_in: int, channels_out: int, rays: int, norm: Norm, spectral: bool, drop: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in + rays, 4 * channels_out, 3, padding=1)
        _init_shuffled(self.conv)
        self.norm, self.drop = norm_layer(norm, 4 * channels_out), nn.Dropout(drop)
        self.resize = ChannelResize(channels_in, channels_out)
        if spectral:
            normalize_spectrally(self.conv)

    def forward(self, x: Tensor, rays: Tensor | None = None) -> Tensor:
        seen = x if rays is None else torch.cat([x, rays.to(x.dtype)], dim=1)
        out = F.pixel_shuffle(self.drop(self.norm(_activate(self.conv(seen)))), 2)
        return _add_residue(out, self.resize(x, out.shape[-2:]))


def _activate(x: Tensor) -> Tensor:
    # In place where no gradient will ask for what was there: at 2048 px each copy is two gigabytes.
    return F.leaky_relu(x, SLOPE, inplace=not torch.is_grad_enabled())


def _add_residue(out: Tensor, resized: Tensor) -> Tensor:
    if torch.is_grad_enabled():
        return out + RESIDUE * resized
    return out.add_(resized.to(out.dtype), alpha=RESIDUE)


@torch.no_grad()
def _init_shuffled(conv: nn.Conv2d) -> None:
    init_icnr(conv, 2)  # for the zero bias and the pattern; the kernels themselves are orthogonal
    kernels = nn.init.orthogonal_(torch.empty_like(conv.weight[::4]))
    conv.weight.copy_(kernels.repeat_interleave(4, dim=0))


class Standardizer(nn.Module):
    """Cameras as the networks see them: minus the mean of the training cameras, over their deviation, with octaves.

    (B, 13, 1, 1) -> (B, 13 * (1 + 2 octaves), 1, 1)

    Without statistics the cameras are taken as standardised already, which is what the original's networks want.
    Each octave adds sine and cosine of the standardised values, doubled in frequency (Fourier features).

    Raises:
        UserError: there are not 13 statistics, or a deviation is not positive.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: Sequence[float] | None, deviation: Sequence[float] | None, octaves: int = 0) -> None:
        super().__init__()
        self.is_raw = mean is not None and deviation is not None
        mean, deviation = (mean, deviation) if mean and deviation else ([0.0] * CAMERA, [1.0] * CAMERA)
        if len(mean) != CAMERA or len(deviation) != CAMERA or min(deviation) <= 0:
            raise UserError("The statistics of the cameras are wrong", "13 means and 13 deviations above 0 are needed")
        self.octaves, self.channels = octaves, CAMERA * (1 + 2 * octaves)
        for name, values in (("mean", mean), ("deviation", deviation)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32)[:, None, None], persistent=False)

    def forward(self, cameras: Tensor) -> Tensor:
        return with_octaves((cameras.float() - self.mean) / self.deviation, self.octaves)


class CameraGenerator(nn.Module):
    """The camera-to-picture generator: a matrix and a focal length to what the camera sees, in [-1, 1].

    (B, 13, 1, 1) -> (B, 3, 512, 512)

    Two transposed convolutions to 8 px, then pixel-shuffle doublings, each with a resized residual; the last doubling
    has `width` channels, those before it up to four times as many. The defaults are the original's network.
    Beyond it: `fourier` octaves of the camera and of its rays (`rays_fourier`: others for these); per-pixel rays that
    enter each doubling from `rays_px` on, bare or behind an MLP of `rays_layers` of `rays_width`, with what learned
    tables hold of their directions (`rays_table` cells across) and of where they cross `rays_planes` planes across each
    axis near `centre`, which the cameras look at (half as many); another norm; self-attention at `attention_px`;
    spectral norm; a second, coarse output of `coarse_px`.
    Source: NeuralVFX, "Reverse Matchmove GAN" and "... at high resolution", blog posts.

    Raises:
        UserError: a size that is no power of two from 16 px, a resolution that does not occur, rays without statistics.
    """

    def __init__(
        self,
        size_px: int = 512,
        width: int = 128,
        mean: Sequence[float] | None = None,
        deviation: Sequence[float] | None = None,
        film_back_mm: Sequence[float] = (24.0, 24.0),
        fourier: int = 0,
        rays_px: int = 0,
        rays_fourier: int | None = None,
        rays_layers: int = 0,
        rays_width: int = 64,
        rays_table: int = 0,
        rays_planes: int = 0,
        centre: Sequence[float] | None = None,
        norm: Norm = "batch",
        attention_px: int = 0,
        coarse_px: int = 0,
        spectral: bool = False,
        drop: float = 0.0,
        upsampling: Upsampling = "transposed",
    ) -> None:
        super().__init__()
        if size_px < 16 or size_px & (size_px - 1):
            raise UserError(f"CameraGenerator cannot make {size_px} px", do="Use 128, 256, 512, 1024 or 2048")
        if width < 2:
            raise UserError(f"A width of {width} is too narrow", do="Use 2 or more")
        self.size_px = size_px
        sides = [STEM_PX * 2**number for number in range((size_px // STEM_PX).bit_length() - 1)]
        for name, side in (("rays_px", rays_px), ("attention_px", attention_px), ("coarse_px", coarse_px)):
            if side and side not in sides:
                raise UserError(f"{name} is {side}", do=f"Use 0 or one of {', '.join(map(str, sides))}")
        self.standardize = Standardizer(mean, deviation, fourier)
        self.rays = nn.ModuleDict()
        octaves = fourier if rays_fourier is None else rays_fourier
        seen: dict[int, int] = {}
        if rays_px:
            if not mean or not deviation:
                raise UserError("Rays need the statistics of the training cameras", do="Give mean and deviation")
            for side in sides[sides.index(rays_px) :]:
                rays = Rays(mean, deviation, film_back_mm, side, octaves)
                # The finest doubling has the whole tables; those before it as much less as they have fewer pixels.
                cells = max(2, rays_table * side // sides[-1])
                tables: list[RayTable | RayPlanes] = [RayTable(mean, cells)] if rays_table else []
                if rays_table and rays_planes and centre:
                    tables.append(RayPlanes(rays.measured(centre), cells // 2, rays_planes))
                self.rays[str(side)] = lines_of_sight(rays, tables, rays_width, rays_layers, spectral)
                seen[side] = rays_width if rays_layers else num_known(octaves, tables)
        widths = [width * min(4, size_px // (2 * side)) for side in sides]
        self.blocks = nn.ModuleList([
            TransposeBlock(self.standardize.channels, 8 * width, None, norm, spectral, drop),
            TransposeBlock(8 * width, 4 * width, upsampling, norm, spectral, drop),
        ])  # fmt: skip
        channels = 4 * width
        self.stages: dict[int, int] = {}
        for side, out in zip(sides, widths):
            self.stages[side] = len(self.blocks)
            self.blocks.append(ShuffleBlock(channels, out, seen.get(side, 0), norm, spectral, drop))
            channels = out
        # By place, not by the features' size: a tracer's sizes are tensors.
        self.rays_at = {self.stages[int(side)]: side for side in self.rays}
        self.attention_at, self.attention = self.stages.get(attention_px), nn.Identity()
        if attention_px:
            self.attention = SelfAttention(self._channels_at(attention_px, widths, sides, width), spectral)
        self.coarse_at, self.coarse = self.stages.get(coarse_px), nn.Identity()
        if coarse_px:
            self.coarse = _to_colours(self._channels_at(coarse_px, widths, sides, width), spectral)
        self.last = _to_colours(channels, spectral)

    @staticmethod
    def _channels_at(side: int, widths: list[int], sides: list[int], width: int) -> int:
        place = sides.index(side)
        return widths[place - 1] if place else 4 * width

    def forward(self, cameras: Tensor, coarse: bool = False) -> Tensor:
        x = self.standardize(cameras)
        for place, block in enumerate(self.blocks):
            if place == self.attention_at:
                x = self.attention(x)
            if coarse and place == self.coarse_at:
                return _painted(self.coarse, x)
            side = self.rays_at.get(place)
            x = block(x, self.rays[side](cameras)) if side else block(x)
        return _painted(self.last, x)


def _painted(conv: nn.Module, x: Tensor) -> Tensor:
    """Return colours of features by a reflection-padded convolution of 7 x 7, in bands where no gradient is wanted."""
    height = x.shape[-2]
    if torch.is_grad_enabled() or height <= BAND_PX:
        return torch.tanh(conv(F.pad(x, (3, 3, 3, 3), mode="reflect")))
    bands = []
    for top in range(0, height, BAND_PX):
        rows = torch.arange(top - 3, min(top + BAND_PX, height) + 3, device=x.device).abs()
        rows = (height - 1) - (height - 1 - rows).abs()
        bands.append(conv(F.pad(x[:, :, rows], (3, 3, 0, 0), mode="reflect")))
    return torch.tanh(torch.cat(bands, dim=-2))


def _to_colours(channels: int, spectral: bool) -> nn.Module:
    conv = nn.Conv2d(channels, 3, 7)
    init_orthogonal(conv)
    return normalize_spectrally(conv) if spectral else conv


class _DownBlock(nn.Module):
    """A strided convolution and activation, with the resized input added; gives its activation, too."""

    def __init__(self, channels_in: int, channels_out: int, norm: str) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, 2, 1)
        init_orthogonal(self.conv)
        self.norm = norm_layer("batch", channels_out) if norm == "batch" else nn.Identity()
        self.resize = ChannelResize(channels_in, channels_out)
        if norm == "spectral":
            normalize_spectrally(self.conv)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        active = F.leaky_relu(self.norm(self.conv(x)), SLOPE)
        return active + RESIDUE * self.resize(x, active.shape[-2:]), active


class CameraDiscriminator(nn.Module):
    """The residual discriminator whose features are the learned perceptual loss: one score for each patch of pictures.

    (B, 3, H, W) -> (B, 1, (H+7)//8-1, (W+7)//8-1)

    Pictures are in [-1, 1]. The defaults are the original's: spectral norm in every layer and no other norm, blind to
    the camera. With `conditional` the cameras, (B, 13, 1, 1), come as a second argument and the score gains the product
    of an embedding of them with the features of each patch (projection, Miyato and Koyama 2018).
    Source: NeuralVFX, "Reverse Matchmove GAN at high resolution", blog post; Miyato et al. 2018 for the norm.

    Raises:
        UserError: pictures below 16 px, or no cameras where they are needed.
    """

    def __init__(
        self,
        width: int = 128,
        norm: Literal["spectral", "batch", "none"] = "spectral",
        conditional: bool = False,
        mean: Sequence[float] | None = None,
        deviation: Sequence[float] | None = None,
        last_bias: bool = True,
    ) -> None:
        super().__init__()
        if norm not in ("spectral", "batch", "none"):
            raise UserError(f"There is no norm {norm!r}", do="Use spectral, batch or none")
        widths = [width, 2 * width, 4 * width, 4 * width]
        self.first = nn.Conv2d(3, width, 7)
        init_orthogonal(self.first)
        self.blocks = nn.ModuleList([_DownBlock(narrow, wide, norm) for narrow, wide in itertools.pairwise(widths)])
        self.last = nn.Conv2d(widths[-1], 1, 4, 1, 1, bias=last_bias)
        init_orthogonal(self.last)
        if norm == "spectral":
            normalize_spectrally(self.first)
            normalize_spectrally(self.last)
        self.standardize, self.embed = nn.Identity(), nn.Identity()
        self.conditional = conditional
        if conditional:
            self.standardize = Standardizer(mean, deviation)
            embed = nn.Conv2d(CAMERA, widths[-1], 1)
            init_orthogonal(embed)
            self.embed = normalize_spectrally(embed) if norm == "spectral" else embed

    def forward(self, picture: Tensor, cameras: Tensor | None = None) -> Verdict:
        if min(picture.shape[-2:]) < 16:
            raise UserError("CameraDiscriminator got a picture below 16 px", do="Use larger pictures")
        x = self.first(F.pad(picture, (3, 3, 3, 3), mode="reflect"))
        features = [x]
        for block in self.blocks:
            x, active = block(x)
            features.append(active)
        score = self.last(x)
        if self.conditional:
            if cameras is None:
                raise UserError("This discriminator compares a picture with its camera", do="Give the cameras, too")
            product = (x * self.embed(self.standardize(cameras))).mean(dim=1, keepdim=True)
            score = score + F.avg_pool2d(product, 4, 1, 1, count_include_pad=False)
        return Verdict(score, (*features, score))
