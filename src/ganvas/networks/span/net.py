"""SPAN: a fast super-resolution network whose attention has no parameters of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.errors import UserError, did_you_mean
from ganvas.networks.blocks import init_kaiming, pad_to_multiple, pixel_shuffle
from ganvas.networks.notch import notch
from ganvas.networks.rrdb.net import base_kernel, enlarged

BASES = ("none", "nearest", "bilinear", "bicubic")
EXPANSION = 2
"""How many times wider the inner convolution of the training form is (the paper's gain)."""


def _exactly(tensor: Tensor) -> contextlib.AbstractContextManager[Any]:
    """Compute in the tensors' own type, autocast or not; the device `meta` knows no autocast."""
    kind = tensor.device.type
    return contextlib.nullcontext() if kind == "meta" else torch.autocast(kind, enabled=False)


class Convolution(nn.Conv2d):
    """A 3x3 convolution that trains as a sum of linear branches and runs as one kernel.

    (B, C, H, W) -> (B, C, H, W)

    Beside the plain kernel there are, with `branches`, a chain 1x1, 3x3, 1x1 and a 1x1 skip. All are linear, so their
    sum is one 3x3 kernel; it is composed before each use, which costs less than running the branches and makes the
    fused network the same function, borders included. The last link of the chain and the skip begin at zero: a network
    that starts from fused weights begins as exactly that network.
    Source: Wan et al., "Swift Parameter-free Attention Network", section 3.3 (re-parameterisation).
    """

    def __init__(self, channels_in: int, channels_out: int, branches: bool) -> None:
        super().__init__(channels_in, channels_out, 3, padding=1)
        self.branches = branches
        if branches:
            inner_in, inner_out = EXPANSION * channels_in, EXPANSION * channels_out
            self.expand = nn.Parameter(torch.empty(inner_in, channels_in))
            self.middle = nn.Parameter(torch.empty(inner_out, inner_in, 3, 3))
            self.reduce = nn.Parameter(torch.zeros(channels_out, inner_out))
            self.skip = nn.Parameter(torch.zeros(channels_out, channels_in))
            nn.init.kaiming_uniform_(self.expand, a=5**0.5)
            nn.init.kaiming_uniform_(self.middle, a=5**0.5)

    def kernel(self) -> Tensor:
        """Return the one kernel that the branches add up to: (out, in, 3, 3)."""
        if not self.branches:
            return self.weight
        # Sums of products of weights need float32.
        with _exactly(self.weight):
            chain = torch.einsum("op,pqyx,qi->oiyx", self.reduce, self.middle, self.expand)
            return self.weight + chain + F.pad(self.skip[:, :, None, None], [1, 1, 1, 1])

    def forward(self, input: Tensor) -> Tensor:
        return F.conv2d(input, self.kernel(), self.bias, padding=1)


class AttentionBlock(nn.Module):
    """Three convolutions; what they make is added to the input, and weighed by how far it is from zero.

    (B, C, H, W) -> (B, C, H, W)

    The weight is sigmoid(x) - 1/2, odd around zero: strong features of either sign pass, weak ones are damped. No
    parameter decides that (equations 3 to 5 of the paper). Written as tanh(x/2)/2 it keeps its digits in bfloat16.
    `first`, the activated first convolution, is kept for the network's last concatenation.
    """

    def __init__(self, width: int, branches: bool) -> None:
        super().__init__()
        self.conv1 = Convolution(width, width, branches)
        self.conv2 = Convolution(width, width, branches)
        self.conv3 = Convolution(width, width, branches)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = F.silu(self.conv1(x))
        features = self.conv3(F.silu(self.conv2(first)))
        return (features + x) * (0.5 * torch.tanh(0.5 * features)), first


class LastConvolution(nn.Conv2d):
    """A 3x3 convolution that computes and keeps its parameters in float32, whatever the rest of the network is cast to.

    (B, C, H, W) -> (B, C, H, W)

    In bfloat16 finished pixels would be rounded to 8 bits, and smooth skies to steps. Parameters so rounded are wrong
    in another way for each place of a pixel shuffle's cells, which is a grid.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, 3, padding=1)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        def unrounded(tensor: Tensor) -> Tensor:
            cast = fn(tensor)
            return tensor.to(cast.device) if cast.dtype in (torch.bfloat16, torch.float16) else cast

        return super()._apply(unrounded, recurse)

    def forward(self, input: Tensor) -> Tensor:
        with _exactly(input):
            return super().forward(input.to(self.weight.dtype))


class SPAN(nn.Module):
    """Super-resolution by a few blocks of parameter-free attention at low resolution: small, fast and accurate.

    (B, 3, H, W) -> (B, 3, 4H, 4W)

    Values are RGB in [0, 1] in and, unclamped, out; any H and W from 1. Tiled equals untiled with `receptive_halo_px`
    of context. `mean` is taken off the input first; the authors' further factor of 255 is folded into the first
    convolution. `base` is an upsampling to which the network adds its output: the published one is `none`; `bicubic`
    leaves less to learn. `unshuffle` folds that many pixels a side into channels before the first convolution, which
    saves time where little is to be enlarged (as in Real-ESRGAN's x2 and x1); sides that it does not divide are
    extended and the result is cropped, and tiles start at multiples of it. `notch` is the window, in input pixels, of a
    filter that takes grids out of what is added to a bicubic enlargement; 0 is none. With `branches` it is the training
    form; a run hands it out fused to the plain one (`span.layouts`).
    Source: Wan et al., "Swift Parameter-free Attention Network for Efficient Super-Resolution", arXiv 2311.12770.

    Raises:
        UserError: an unknown base or factor, a size below 1, an even window, or a mean for other channels.
    """

    passes_input_on: ClassVar = True
    """The last layer runs in float32, and so does what is added to it, whatever the weights' type."""
    MEAN: ClassVar = (0.4488, 0.4371, 0.4040)

    def __init__(
        self,
        channels_in: int = 3,
        channels_out: int = 3,
        width: int = 48,
        blocks: int = 6,
        scale: int = 4,
        mean: Sequence[float] = MEAN,
        base: Literal["none", "nearest", "bilinear", "bicubic"] = "none",
        branches: bool = False,
        notch: int = 0,
        unshuffle: int = 1,
    ) -> None:
        super().__init__()
        for name, value in {"width": width, "blocks": blocks, "scale": scale, "channels_out": channels_out}.items():
            if value < 1:
                raise UserError(f"{name} is {value}", do="Use 1 or more")
        if base not in BASES:
            raise UserError(f"There is no base {base!r}", do=did_you_mean(base, BASES))
        if base != "none" and channels_in != channels_out:
            why = "The upsampled input is added to the output"
            raise UserError(f"SPAN cannot turn {channels_in} channels into {channels_out}", why, "Use base none")
        if notch < 0 or (notch and (not notch % 2 or channels_in != channels_out)):
            why = "It has a middle, and filters what is added to the enlarged input"
            raise UserError(f"The notch is {notch}", why, "Use an odd number such as 9, or 0")
        if len(mean) != channels_in:
            raise UserError(f"The mean has {len(mean)} values", f"The input has {channels_in} channels")
        if unshuffle not in (1, 2, 4):
            raise UserError(f"SPAN cannot unshuffle by {unshuffle}", do="Use 1, 2 or 4")
        if notch and unshuffle > 1:
            raise UserError("SPAN cannot unshuffle and notch", "The grid has the period of the folded pixels")
        self.scale, self.base, self.notch, self.unshuffle = scale, base, notch, unshuffle
        self.base_kernel = None if base == "none" else base_kernel(scale, base)
        self.conv_first = Convolution(channels_in * unshuffle**2, width, branches)
        self.blocks = nn.ModuleList(AttentionBlock(width, branches) for _ in range(blocks))
        self.conv_body = Convolution(width, width, branches)
        self.conv_merge = nn.Conv2d(4 * width, width, 1)
        self.conv_last = LastConvolution(width, channels_out * (scale * unshuffle) ** 2)
        self.register_buffer("mean", torch.tensor(tuple(mean))[:, None, None], persistent=False)
        self.mean: Tensor
        init_kaiming(self)
        with torch.no_grad():
            # The network begins near its base, or near gray.
            self.conv_last.weight.mul_(0.1)

    @property
    def receptive_halo_px(self) -> int:
        """Context in input pixels per side with which tiled equals untiled."""
        # Three for each block, and the first, the last and the one between; a bicubic base reaches no farther.
        return self.unshuffle * (3 * len(self.blocks) + 3) + 2 * (self.notch // 2)

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
        folded = low - self.mean.to(low)
        if self.unshuffle > 1:
            folded = F.pixel_unshuffle(folded, self.unshuffle)
        first = self.conv_first(folded.to(self.conv_first.weight.dtype))
        x, early, late = first, first, first
        for number, block in enumerate(self.blocks):
            x, late = block(x)
            if number == 0:
                early = x
        merged = self.conv_merge(torch.cat([first, self.conv_body(x), early, late], dim=1))
        high = self.conv_last(merged)
        if self.unshuffle > 1:  # from cells of folded pixels to those of the input's
            high = F.pixel_unshuffle(pixel_shuffle(high, self.scale * self.unshuffle), self.scale)
        if self.base != "none":
            high = high + enlarged(low, self.scale, self.base_kernel).to(high)
        if self.notch:
            smooth = enlarged(low, self.scale, base_kernel(self.scale, "bicubic")).to(high)
            high = smooth + notch(high - smooth, self.scale, self.notch)
        return pixel_shuffle(high, self.scale)
