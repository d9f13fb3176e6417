"""How decoders double the sides of their maps: transposed convolutions, or interpolation and then a convolution."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.errors import UserError

Interpolation = Literal["resize", "smooth"]
Upsampling = Literal["transposed", "resize", "smooth"]
MODES: dict[Interpolation, str] = {"resize": "nearest", "smooth": "bilinear"}


def double(x: Tensor, upsampling: Interpolation = "resize") -> Tensor:
    """Repeat each pixel in a square of 2 x 2, or interpolate: (B, C, H, W) -> (B, C, 2H, 2W).

    Repeated pixels come in pairs, and tell a network which of its pixels are even: a GAN can weave a pattern of that
    period. Between interpolated ones there is next to no such difference.
    Source of `smooth`: Karras et al. 2019 (StyleGAN, arXiv 1812.04948), section 2.
    """
    return F.interpolate(x, scale_factor=2, mode=MODES[upsampling])


class ResizeConv2d(nn.Conv2d):
    """Repeat each pixel twice along both axes, then convolve: no output pixel has other taps than its neighbours.

    (B, C, H, W) -> (B, channels_out, 2H, 2W)

    Its weight and bias have the names of a plain convolution's.
    Source: Odena, Dumoulin and Olah, "Deconvolution and Checkerboard Artifacts" (2016).
    """

    UPSAMPLING: ClassVar[Interpolation] = "resize"

    def __init__(self, channels_in: int, channels_out: int, bias: bool = True) -> None:
        super().__init__(channels_in, channels_out, 3, padding=1, bias=bias)

    def forward(self, input: Tensor) -> Tensor:  # torch's name for the argument
        return super().forward(double(input, self.UPSAMPLING))


class SmoothConv2d(ResizeConv2d):
    """Interpolate between pixels, then convolve.

    (B, C, H, W) -> (B, channels_out, 2H, 2W)
    """

    UPSAMPLING = "smooth"


def doubling_conv(
    channels_in: int, channels_out: int, upsampling: Upsampling, kernel: Literal[3, 4] = 4, bias: bool = True
) -> nn.Module:
    """Return the layer that doubles a decoder's sides; `kernel` is that of the transposed convolution.

    (B, C, H, W) -> (B, channels_out, 2H, 2W)

    Raises:
        UserError: there is no such upsampling.
    """
    if upsampling == "resize":
        return ResizeConv2d(channels_in, channels_out, bias)
    if upsampling == "smooth":
        return SmoothConv2d(channels_in, channels_out, bias)
    if upsampling == "transposed":
        # An odd kernel leaves one more row and column to be filled.
        return nn.ConvTranspose2d(channels_in, channels_out, kernel, 2, 1, output_padding=kernel % 2, bias=bias)
    raise UserError(f"There is no upsampling {upsampling!r}", do="Use transposed, resize or smooth")
