"""Pieces of vid2vid's generators (Wang et al. 2018, appendix A); layers are numbered as published files number them."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from ganvas.networks.blocks import norm_layer
from ganvas.networks.doubling import Upsampling, doubling_conv
from ganvas.networks.norms import InstanceNorm

Norm = Literal["batch", "instance", "tracked_instance"]


class ResidualBlock(nn.Module):
    """Two convolutions with norms, added to their input.

    (B, C, H, W) -> (B, C, H, W)
    """

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), _norm(norm, channels), _relu(norm),
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), _norm(norm, channels),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


def _norm(kind: Norm, channels: int) -> nn.Module:
    if kind == "instance":
        return InstanceNorm()
    if kind == "tracked_instance":
        return nn.InstanceNorm2d(channels, affine=False, track_running_stats=True)
    return norm_layer(kind, channels)


def _relu(norm: Norm) -> nn.Module:
    # The instance norm needs its own result to go back.
    return nn.ReLU(inplace=norm != "instance")


def _entrance(channels_in: int, width: int, norm: Norm) -> list[nn.Module]:
    return [nn.ReflectionPad2d(3), nn.Conv2d(channels_in, width, 7), _norm(norm, width), _relu(norm)]


def _halving(channels: int, norm: Norm) -> list[nn.Module]:
    return [nn.Conv2d(channels, 2 * channels, 3, 2, 1), _norm(norm, 2 * channels), _relu(norm)]


def doubling(channels: int, norm: Norm, upsampling: Upsampling = "transposed") -> list[nn.Module]:
    """Return the layers that double the sides and halve the channels."""
    conv = doubling_conv(channels, channels // 2, upsampling, kernel=3)
    return [conv, _norm(norm, channels // 2), _relu(norm)]


def encoder(channels_in: int, width: int, downs: int, blocks: int, norm: Norm) -> nn.Sequential:
    """Return an entrance at full size, halvings, and residual blocks."""
    layers = _entrance(channels_in, width, norm)
    for level in range(downs):
        layers += _halving(width * 2**level, norm)
    return nn.Sequential(*layers, *residual_blocks(width * 2**downs, blocks, norm))


def residual_blocks(channels: int, number: int, norm: Norm) -> list[nn.Module]:
    """Return so many residual blocks."""
    return [ResidualBlock(channels, norm) for _ in range(number)]


def decoder(width: int, downs: int, norm: Norm, upsampling: Upsampling = "transposed") -> list[nn.Module]:
    """Return the layers that double the sides as often as an encoder halved them."""
    return [layer for level in reversed(range(downs)) for layer in doubling(2 * width * 2**level, norm, upsampling)]


def head(width: int, channels_out: int, *last: nn.Module) -> nn.Sequential:
    """Return the last convolution at full size, and what comes after it."""
    return nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(width, channels_out, 7), *last)
