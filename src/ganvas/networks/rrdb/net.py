"""Super-resolution of pictures: ESRGAN's generator, its compact sibling, and the SRResNet that both improve on."""

from __future__ import annotations

import functools
import math
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.errors import UserError, did_you_mean
from ganvas.networks.blocks import (
    PixelShuffleUpsample,
    SyncedBatchNorm2d,
    in_planes,
    init_kaiming,
    pad_to_multiple,
    pixel_shuffle,
)

RESIDUAL_SCALE = 0.2
SLOPE = 0.2


class DenseBlock(nn.Module):
    """Five convolutions, each of which sees all before it (ESRGAN, figure 4)."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, growth, 3, padding=1)
        self.conv2 = nn.Conv2d(width + growth, growth, 3, padding=1)
        self.conv3 = nn.Conv2d(width + 2 * growth, growth, 3, padding=1)
        self.conv4 = nn.Conv2d(width + 3 * growth, growth, 3, padding=1)
        self.conv5 = nn.Conv2d(width + 4 * growth, width, 3, padding=1)
        init_kaiming(self, 0.1)

    def forward(self, x: Tensor) -> Tensor:
        seen = [x]
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            seen.append(F.leaky_relu(conv(torch.cat(seen, dim=1)), SLOPE, inplace=True))
        return self.conv5(torch.cat(seen, dim=1)) * RESIDUAL_SCALE + x


class ResidualDenseBlock(nn.Module):
    """Three dense blocks within one residual (ESRGAN, figure 4)."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = DenseBlock(width, growth)
        self.rdb2 = DenseBlock(width, growth)
        self.rdb3 = DenseBlock(width, growth)

    def forward(self, x: Tensor) -> Tensor:
        return self.rdb3(self.rdb2(self.rdb1(x))) * RESIDUAL_SCALE + x


class RRDBNet(nn.Module):
    """ESRGAN's generator: residual-in-residual dense blocks at low resolution, then doublings of the sides.

    (B, 3, H, W) -> (B, 3, 4H, 4W)

    Values are RGB in [0, 1] in and, unclamped, out; any H and W from 1. `scale` is the whole factor of the net.
    `unshuffle` folds that many pixels a side into channels before the first convolution (Real-ESRGAN's x2 has 2, its
    x1 has 4); sides that it does not divide are extended and the result is cropped. There are
    log2(scale * unshuffle) doublings. Tiled equals untiled with `receptive_halo_px` of context on each side where tiles
    start at multiples of `unshuffle`.
    Source: Wang et al., "ESRGAN", section 3.1; parameter names as in BasicSR.

    Raises:
        UserError: a scale or unshuffle factor that is no power of two, or a size below 1.
    """

    def __init__(
        self,
        channels_in: int = 3,
        channels_out: int = 3,
        width: int = 64,
        blocks: int = 23,
        growth: int = 32,
        scale: int = 4,
        unshuffle: int = 1,
    ) -> None:
        super().__init__()
        _check_positive(channels_in=channels_in, channels_out=channels_out, width=width, blocks=blocks, growth=growth)
        if unshuffle not in (1, 2, 4):
            raise UserError(f"RRDBNet cannot unshuffle by {unshuffle}", do="Use 1, 2 or 4")
        self.scale, self.unshuffle = scale, unshuffle
        self.num_doublings = _doublings(scale * unshuffle, f"RRDBNet cannot scale by {scale}")
        self.conv_first = nn.Conv2d(channels_in * unshuffle**2, width, 3, padding=1)
        self.body = nn.Sequential(*(ResidualDenseBlock(width, growth) for _ in range(blocks)))
        self.conv_body = nn.Conv2d(width, width, 3, padding=1)
        for number in range(1, self.num_doublings + 1):
            self.add_module(f"conv_up{number}", nn.Conv2d(width, width, 3, padding=1))
        self.conv_hr = nn.Conv2d(width, width, 3, padding=1)
        self.conv_last = nn.Conv2d(width, channels_out, 3, padding=1)

    @property
    def receptive_halo_px(self) -> int:
        """Context in input pixels per side with which tiled equals untiled."""
        convs_low = 1 + 15 * len(self.body) + 1
        return self.unshuffle * (convs_low + _halo_of_doublings(2, self.num_doublings))

    @property
    def unit_px(self) -> int:
        """Sides that are no multiple of this are extended by `forward`, not by `enlarge`."""
        return self.unshuffle

    def forward(self, low: Tensor) -> Tensor:
        if self.unshuffle == 1:
            return self.enlarge(low)
        height, width = low.shape[-2:]
        return self.enlarge(pad_to_multiple(low, self.unshuffle))[..., : height * self.scale, : width * self.scale]

    def enlarge(self, low: Tensor) -> Tensor:
        """Enlarge pictures whose sides are multiples of `unit_px`: (B, 3, H, W) -> (B, 3, 4H, 4W)."""
        first = self.conv_first(F.pixel_unshuffle(low, self.unshuffle) if self.unshuffle > 1 else low)
        x = first + self.conv_body(self.body(first))
        for number in range(1, self.num_doublings + 1):
            conv = self.get_submodule(f"conv_up{number}")
            x = F.leaky_relu(conv(F.interpolate(x, scale_factor=2, mode="nearest")), SLOPE, inplace=True)
        return self.conv_last(F.leaky_relu(self.conv_hr(x), SLOPE, inplace=True))


class CompactNet(nn.Module):
    """A plain chain of convolutions at low resolution that corrects an upsampled input: small and fast.

    (B, 3, H, W) -> (B, 3, 4H, 4W)

    Values are RGB in [0, 1] in and, unclamped, out; any H and W from 1. `convs` counts the convolutions between the
    first and the last. `base` is the upsampling that the net corrects: `nearest` is the published one, `bicubic`
    leaves less to learn. Tiled equals untiled with `receptive_halo_px` of context.
    Source: Real-ESRGAN's compact model (SRVGGNetCompact); parameter names as in BasicSR.

    Raises:
        UserError: an unknown activation or base, or channels that the base cannot be added to.
    """

    def __init__(
        self,
        channels_in: int = 3,
        channels_out: int = 3,
        width: int = 64,
        convs: int = 16,
        scale: int = 4,
        activation: Literal["prelu", "relu", "leaky_relu"] = "prelu",
        base: Literal["nearest", "bilinear", "bicubic"] = "nearest",
    ) -> None:
        super().__init__()
        _check_positive(channels_out=channels_out, width=width, scale=scale)
        if convs < 0:
            raise UserError(f"CompactNet cannot have {convs} convolutions", do="Use 0 or more")
        if channels_in not in (1, channels_out):
            raise UserError(
                f"CompactNet cannot turn {channels_in} channels into {channels_out}",
                "The upsampled input is added to the output",
                f"Use channels_in 1 or {channels_out}",
            )
        if base not in ("nearest", "bilinear", "bicubic"):
            raise UserError(f"There is no base {base!r}", do=did_you_mean(base, ("nearest", "bilinear", "bicubic")))
        self.scale, self.base, self.convs, self.channels_out = scale, base, convs, channels_out
        # No buffer: it would be rounded with the weights, and the base is worth float32 whatever their type.
        self.base_kernel = base_kernel(scale, base)
        layers: list[nn.Module] = [nn.Conv2d(channels_in, width, 3, padding=1), _activation(activation, width)]
        for _ in range(convs):
            layers += [nn.Conv2d(width, width, 3, padding=1), _activation(activation, width)]
        last = nn.Conv2d(width, channels_out * scale**2, 3, padding=1)
        self.body = nn.Sequential(*layers, last)
        # torch's own start more than halves the signal at each layer of so plain a chain, and training then stands
        # still for thousands of steps; the last layer is small so that the net begins near its base.
        init_kaiming(self)
        with torch.no_grad():
            last.weight.mul_(0.1)

    passes_input_on: ClassVar = True
    """The input is added to the output, so it is worth giving in float32 whatever the weights' type."""

    @property
    def receptive_halo_px(self) -> int:
        """Context in input pixels per side with which tiled equals untiled."""
        # The bicubic base reaches two pixels, never farther than the first and last convolution.
        return self.convs + 2

    def forward(self, low: Tensor) -> Tensor:
        # The base may come in a finer type than the body computes in: what is merely passed on keeps its precision.
        detail = self.body(low.to(next(self.body.parameters()).dtype))
        if self.scale == 1:
            return detail + low
        base = enlarged(low, self.scale, self.base_kernel)
        if low.shape[1] < self.channels_out:
            base = base.tile(1, self.channels_out, 1, 1)
        return pixel_shuffle(base.add_(in_planes(detail)), self.scale)


def enlarged(low: Tensor, scale: int, kernel: Tensor | None) -> Tensor:
    """Return an enlarged picture as it lies before a pixel shuffle: (B, C, H, W) -> (B, C scale scale, H, W).

    Without a kernel each pixel is repeated. Every place between two pixels mixes the same neighbours in the same way,
    so enlarging is one small convolution; torch's own bicubic takes a third of the whole network's time.
    """
    if kernel is None:
        return low.repeat_interleave(scale * scale, dim=1)
    batch, channels, height, width = low.shape
    weights = kernel.to(low)
    reach = weights.shape[-1] // 2
    planes = F.pad(low.reshape(batch * channels, 1, height, width), [reach] * 4, mode="replicate")
    return F.conv2d(planes, weights).reshape(batch, channels * scale * scale, height, width)


@functools.cache
def base_kernel(scale: int, base: str) -> Tensor | None:
    """Return for each place between pixels the weights of the pixels around: (scale scale, 1, reach, reach).

    There is none for `nearest`, which repeats pixels.
    """
    if base == "nearest":
        return None
    # Enlarging an impulse shows them, by torch's own definition of the interpolation.
    # On the processor whatever device networks are being built for: what is cached serves them all.
    impulses = torch.eye(5, dtype=torch.float64, device="cpu").view(5, 1, 5, 1).expand(5, 1, 5, 5)
    rows = F.interpolate(impulses, scale_factor=(scale, 1), mode=base, align_corners=False)
    along = rows[:, 0, 2 * scale : 3 * scale, 2].T  # (scale, 5): place, pixel
    return torch.einsum("ay,bx->abyx", along, along).reshape(scale * scale, 1, 5, 5)


class ResidualBlock(nn.Module):
    """Two convolutions around a PReLU within one residual (SRGAN, figure 4)."""

    def __init__(self, width: int, batch_norm: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=not batch_norm)
        self.norm1 = SyncedBatchNorm2d(width) if batch_norm else nn.Identity()
        self.act = nn.PReLU(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=not batch_norm)
        self.norm2 = SyncedBatchNorm2d(width) if batch_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm2(self.conv2(self.act(self.norm1(self.conv1(x)))))


class SRResNet(nn.Module):
    """SRGAN's generator: residual blocks at low resolution, then pixel-shuffle upsampling.

    (B, 3, H, W) -> (B, 3, 4H, 4W)

    Values are RGB in [0, 1] in and, unclamped, out; any H and W from 1. In eval mode tiled equals untiled with
    `receptive_halo_px` of context. Without `batch_norm` it is ESRGAN's first improvement alone.
    Source: Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a GAN", figure 4.

    Raises:
        UserError: a scale other than 3 or a power of two, or a size below 1.
    """

    def __init__(
        self,
        channels_in: int = 3,
        channels_out: int = 3,
        width: int = 64,
        blocks: int = 16,
        scale: int = 4,
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        _check_positive(channels_in=channels_in, channels_out=channels_out, width=width, blocks=blocks)
        factors = [3] if scale == 3 else [2] * _doublings(scale, f"SRResNet cannot scale by {scale}", "3, ")
        self.scale = scale
        self.factors = tuple(factors)
        self.conv_first = nn.Conv2d(channels_in, width, 9, padding=4)
        self.act_first = nn.PReLU(width)
        self.body = nn.Sequential(*(ResidualBlock(width, batch_norm) for _ in range(blocks)))
        self.conv_body = nn.Conv2d(width, width, 3, padding=1, bias=not batch_norm)
        self.norm_body = SyncedBatchNorm2d(width) if batch_norm else nn.Identity()
        self.upsample = nn.Sequential(
            *(nn.Sequential(PixelShuffleUpsample(width, width, factor), nn.PReLU(width)) for factor in factors)
        )
        self.conv_last = nn.Conv2d(width, channels_out, 9, padding=4)

    @property
    def receptive_halo_px(self) -> int:
        """Context in input pixels per side with which tiled equals untiled."""
        halo = 4
        for factor in reversed(self.factors):
            # Here the convolution stands before the upsampling.
            halo = math.ceil(halo / factor) + 1
        return 4 + 2 * len(self.body) + 1 + halo

    def forward(self, low: Tensor) -> Tensor:
        first = self.act_first(self.conv_first(low))
        x = first + self.norm_body(self.conv_body(self.body(first)))
        return self.conv_last(self.upsample(x))


def _halo_of_doublings(halo: int, doublings: int) -> int:
    # Each doubling is nearest upsampling, then a 3 x 3 convolution at the finer grid.
    for _ in range(doublings):
        halo = math.ceil((halo + 1) / 2)
    return halo


def _doublings(factor: int, what: str, also: str = "") -> int:
    if factor < 1 or factor & (factor - 1) or factor > 64:
        raise UserError(what, "It doubles the picture's sides", f"Use {also}1, 2, 4, 8 or 16")
    return factor.bit_length() - 1


def _activation(name: str, width: int) -> nn.Module:
    if name == "prelu":
        return nn.PReLU(width)
    if name == "relu":
        return nn.ReLU(inplace=True)
    if name == "leaky_relu":
        return nn.LeakyReLU(0.1, inplace=True)
    raise UserError(f"There is no activation {name!r}", do=did_you_mean(name, ("prelu", "relu", "leaky_relu")))


def _check_positive(**sizes: int) -> None:
    for name, value in sizes.items():
        if value < 1:
            raise UserError(f"{name} is {value}", do="Use 1 or more")
