"""The two networks of the tiled upres: a J-shaped generator, and a discriminator that sees the low tile, too."""

from __future__ import annotations

import itertools
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.errors import UserError
from ganvas.networks.blocks import (
    SyncedBatchNorm2d,
    init_normal,
    norm_layer,
    pad_to_multiple,
)
from ganvas.networks.doubling import Upsampling, doubling_conv
from ganvas.networks.unet import Base, DetailGain, based, detail_of
from ganvas.protocol import Verdict

JNorm = Literal["none", "instance", "batch", "batch_statistics"]
SLOPE = 0.2
HALVINGS = 5
"""From 32 px to one."""
ENCODER = (1, 2, 4, 4, 4)
DECODER = (4, 4, 2, 1, 1)
"""Widths at 16, 8, 4, 2, 1 px and at 2, 4, 8, 16, 32 px, in units of the first; beyond 32 px one each."""
WIDEST = 8


class JNet(nn.Module):
    """A slim encoder from 32 px to one, and a rich decoder that goes on to eight times the size of its input.

    (B, 6, H, W) -> (B, 3, 8H, 8W)

    Each doubling is a transposed convolution (or, by `upsampling="resize"`, one that leaves no grid) and two
    convolutions; what the encoder has at the same size joins in between, the input itself at its own size. The
    encoder's widths are divided by `encoder_width_div`. `norm` is that of all layers but those at one pixel: `batch`
    with running statistics, `batch_statistics` with those of the batch even at inference. `base` adds the enlarged
    picture to the result instead of a tanh; `faithful` also corrects the sum so that, shrunk again, it is the input;
    `detail` is the gain of the finest detail at inference, 0 the one that training finds. Made for tiles of 32 px;
    other sizes are padded to a multiple of 32 and cut again. Values in [-1, 1]; channels after the third are the
    guide.
    Source: M. Tyka's tiled upres, seed 001 and its figure method2; kernel sizes (4, 3) are ours.

    Raises:
        UserError: a scale that is no power of two, or an encoder without channels.
    """

    def __init__(
        self,
        channels_in: int = 6,
        width: int = 64,
        encoder_width_div: int = 4,
        scale: int = 8,
        norm: JNorm = "none",
        base: Base = "none",
        detail: float = 1.0,
        upsampling: Upsampling = "transposed",
    ) -> None:
        super().__init__()
        if scale not in (2, 4, 8, 16):
            raise UserError(f"A J-net cannot enlarge by {scale}", "Each level doubles the sides", "Use 2, 4, 8 or 16")
        if encoder_width_div < 1 or width < encoder_width_div:
            why = f"An encoder of width {width} / {encoder_width_div} has no channels"
            raise UserError(f"encoder_width_div is {encoder_width_div}", why, f"Use 1 to {width}")
        self.scale = scale
        self.base: Base = base
        self.gain = DetailGain(detail)
        slim = [width * part // encoder_width_div for part in ENCODER]
        rich = [width * part for part in DECODER] + [width] * (scale.bit_length() - 1)
        self.down = nn.ModuleList(
            _normed(nn.Conv2d(wide, out, 4, 2, 1), "none" if place == HALVINGS - 1 else norm)
            for place, (wide, out) in enumerate(zip([channels_in, *slim], slim))
        )
        skips = [*slim[-2::-1], channels_in, *[0] * (len(rich) - HALVINGS)]
        self.up = nn.ModuleList(
            _Doubling(wide, out, skip, norm, upsampling) for wide, out, skip in zip([slim[-1], *rich], rich, skips)
        )
        self.last = nn.Conv2d(rich[-1], 3, 3, padding=1)
        init_normal(self)
        if norm == "none":
            # Without a norm N(0, 0.02) would fade the signal by half a level; He's keeps it alive through 24 layers.
            for layer in self.modules():
                if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)) and layer is not self.last:
                    _init_alive(layer)

    def forward(self, picture: Tensor) -> Tensor:
        height, width = picture.shape[-2:]
        x = pad_to_multiple(picture, 2**HALVINGS)
        levels = [x]
        for layer in self.down:
            levels.append(F.relu(layer(levels[-1]), inplace=True))
        x = levels.pop()
        for layer in self.up:
            x = layer(x, levels.pop() if levels else None)
        high = (self.last(x) if self.training else by_fours(self.last, x))[
            ..., : self.scale * height, : self.scale * width
        ]
        return based(high, picture, self.scale, self.base, 1.0 if self.training else self.gain())


class _Doubling(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, skip: int, norm: JNorm, upsampling: Upsampling) -> None:
        super().__init__()
        self.grow = _normed(doubling_conv(channels_in, channels_out, upsampling), norm)
        self.join = _normed(nn.Conv2d(channels_out + skip, channels_out, 3, padding=1), norm)
        self.refine = _normed(nn.Conv2d(channels_out, channels_out, 3, padding=1), norm)

    def forward(self, x: Tensor, partner: Tensor | None) -> Tensor:
        # In place: at the finest level a tensor is larger than a processor's cache, and new memory costs as much again.
        x = F.relu(self.grow(x), inplace=True)
        x = x if partner is None else torch.cat([x, partner], dim=1)
        return F.relu(self.refine(F.relu(self.join(x), inplace=True)), inplace=True)


def by_fours(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """Return what a 3 x 3 convolution gives, by one that makes 2 x 2 pixels at a time: (B, C, H, W) -> (B, K, H, W).

    Few output channels leave most of a vector register empty; four times as many do not. For even sides.
    """
    outputs, inputs = conv.weight.shape[:2]
    weight = conv.weight.new_zeros(outputs, 2, 2, inputs, 4, 4)
    for row, column in itertools.product(range(2), range(2)):
        weight[:, row, column, :, row : row + 3, column : column + 3] = conv.weight
    bias = None if conv.bias is None else conv.bias.repeat_interleave(4)
    return F.pixel_shuffle(F.conv2d(x, weight.flatten(0, 2), bias, stride=2, padding=1), 2)


def _normed(conv: nn.Module, norm: JNorm) -> nn.Module:
    channels = int(conv.out_channels)  # pyright: ignore[reportArgumentType]
    if norm == "none":
        return conv
    if norm == "batch_statistics":
        return nn.Sequential(conv, nn.BatchNorm2d(channels, track_running_stats=False))
    return nn.Sequential(conv, norm_layer(norm, channels))


def _init_alive(layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
    height, width = layer.kernel_size
    inputs = layer.in_channels * height * width
    if isinstance(layer, nn.ConvTranspose2d):
        inputs //= layer.stride[0] * layer.stride[1]  # each output pixel is reached by so few of the kernel's taps
    nn.init.normal_(layer.weight, 0.0, (2.0 / inputs) ** 0.5)


class LowConditionedDiscriminator(nn.Module):
    """pix2pix's discriminator of patches, which is given the low picture where its own extent has shrunk to the low's.

    (B, 3, 8H, 8W), (B, 6, H, W) -> (B, 1, H-2, W-2)

    As many halvings as the scale has doublings, then two convolutions of stride 1; the low picture joins in between.
    `judged` is the picture, or `detail` alone: what the enlarged low one lacks of it. Values in [-1, 1].
    Source: seed 001. Its text says "after 4 down samplings"; 256 px are 32 px after three, and the size decides here.

    Raises:
        UserError: a scale that is no power of two, or pictures whose sizes do not stand in that scale.
    """

    def __init__(
        self,
        channels_low: int = 6,
        width: int = 64,
        scale: int = 8,
        norm: Literal["batch", "instance", "none"] = "batch",
        last_bias: bool = True,
        judged: Literal["picture", "detail"] = "picture",
    ) -> None:
        super().__init__()
        if scale not in (2, 4, 8, 16):
            raise UserError(f"There is no low extent at a scale of {scale}", do="Use 2, 4, 8 or 16")
        self.scale, self.judged = scale, judged
        halvings = scale.bit_length() - 1
        wide = [3, *(width * min(2**level, WIDEST) for level in range(halvings + 1))]
        self.down = nn.ModuleList(
            _judging(wide[level], wide[level + 1], 2, norm if level else "none") for level in range(halvings)
        )
        self.joined = _judging(wide[halvings] + channels_low, wide[halvings + 1], 1, norm)
        self.last = nn.Conv2d(wide[halvings + 1], 1, 4, 1, 1, bias=last_bias)
        init_normal(self)

    def forward(self, high: Tensor, low: Tensor) -> Verdict:
        wanted = tuple(self.scale * side for side in low.shape[-2:])
        if tuple(high.shape[-2:]) != wanted:
            why = f"The high one is {tuple(high.shape[-2:])} and the low one {tuple(low.shape[-2:])}"
            raise UserError(f"The pictures do not stand in a scale of {self.scale}", why)
        features, x = [], high if self.judged == "picture" else detail_of(high, low, self.scale)
        for layer in self.down:
            x = layer(x)
            features.append(x)
        x = self.joined(torch.cat([x, low], dim=1))
        score = self.last(x)
        return Verdict(score, (*features, x, score))


def _judging(channels_in: int, channels_out: int, stride: int, norm: str) -> nn.Sequential:
    conv = nn.Conv2d(channels_in, channels_out, 4, stride, 1, bias=norm == "none")
    if norm == "batch":
        return nn.Sequential(conv, SyncedBatchNorm2d(channels_out), nn.LeakyReLU(SLOPE))
    layers = [conv] if norm == "none" else [conv, norm_layer("instance", channels_out)]
    return nn.Sequential(*layers, nn.LeakyReLU(SLOPE))
