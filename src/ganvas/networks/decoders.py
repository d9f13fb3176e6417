"""Generators from a vector to a picture."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ganvas.errors import UserError
from ganvas.networks.blocks import Activation, SelfAttention, init_normal, norm_layer
from ganvas.networks.blocks import spectral as normalize_spectrally
from ganvas.networks.doubling import Upsampling, doubling_conv

WIDEST = 8
"""Layers are at most this many times as wide as the last one."""


class DCGANGenerator(nn.Module):
    """DCGAN's generator: a vector to 4 x 4 px, then doublings by transposed convolution, in [-1, 1].

    (B, 128) -> (B, 3, 64, 64)

    The vector is drawn from N(0, 1). `attention_px` puts self-attention where the sides have that many pixels.
    `upsampling` doubles by transposed convolutions (the paper's), or by `resize`, which leaves no grid in pictures.
    The paper's last doubling makes the picture; `head` `full_size` doubles features once more and then convolves, since
    after interpolation a single convolution draws no line of one pixel.
    `activation` `tanh` takes the place of every ReLU (a stability test of Jolicoeur-Martineau 2018, section 4).
    Source: Radford et al., "Unsupervised Representation Learning with DCGANs", section 3.

    Raises:
        UserError: a size other than 32, 64, 128 or 256 px, an unknown norm or head, or a resolution of attention that
            does not occur.
    """

    def __init__(
        self,
        latent: int = 128,
        size_px: int = 64,
        width: int = 64,
        norm: Literal["batch", "none"] = "batch",
        spectral: bool = False,
        attention_px: int = 0,
        channels_out: int = 3,
        upsampling: Upsampling = "transposed",
        activation: Activation = "relu",
        head: Literal["doubling", "full_size"] = "doubling",
    ) -> None:
        super().__init__()
        if size_px not in (32, 64, 128, 256):
            raise UserError(f"DCGANGenerator cannot make {size_px} px", do="Use 32, 64, 128 or 256")
        if norm not in ("batch", "none"):
            raise UserError(f"There is no generator norm {norm!r}", do="Use batch or none")
        if head not in ("doubling", "full_size"):
            raise UserError(f"DCGANGenerator has no head {head!r}", do="Use doubling or full_size")
        sides = [4 * 2**stage for stage in range(size_px.bit_length() - 3 + (head == "full_size"))]
        if attention_px and attention_px not in sides:
            known = ", ".join(map(str, sides))
            raise UserError(f"No layer has {attention_px} px for attention", do=f"Use 0 or one of {known}")
        self.latent, self.size_px = latent, size_px
        layers: list[nn.Module] = []
        channels = latent
        for side in sides:
            out = width * max(1, min(WIDEST, size_px // (2 * side)))
            bias = norm == "none"
            if side == 4:  # from a vector, which has no neighbours to repeat
                conv: nn.Module = nn.ConvTranspose2d(channels, out, 4, bias=bias)
            else:
                conv = doubling_conv(channels, out, upsampling, bias=bias)
            layers += [conv, norm_layer(norm, out), nn.ReLU() if activation == "relu" else nn.Tanh()]
            if side == attention_px:
                layers.append(SelfAttention(out))
            channels = out
        if head == "full_size":
            layers.append(nn.Conv2d(channels, channels_out, 3, padding=1))
        else:
            layers.append(doubling_conv(channels, channels_out, upsampling))
        layers.append(nn.Tanh())
        self.body = nn.Sequential(*layers)
        init_normal(self)
        if spectral:
            for module in list(self.modules()):
                if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                    normalize_spectrally(module)

    def forward(self, latents: Tensor) -> Tensor:
        return self.body(torch.unflatten(latents, 1, (self.latent, 1, 1)))
