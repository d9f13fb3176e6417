"""BigGAN-deep: more and narrower layers than BigGAN, and the whole noise vector beside the class in every norm.

Source: Brock, Donahue and Simonyan 2019, "Large Scale GAN Training for High Fidelity Natural Image Synthesis", appendix
B.2 and tables 7 to 9.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.errors import UserError
from ganvas.networks.biggan.net import (
    BASE_PX,
    DISCRIMINATOR_CHANNELS,
    GENERATOR_CHANNELS,
    ConditionalBatchNorm,
    DiscriminatorHead,
    GeneratorEnds,
    channel_plan,
    check_attention,
)
from ganvas.networks.blocks import SelfAttention, init_orthogonal, remove_spectral, spectral
from ganvas.networks.doubling import Interpolation, double
from ganvas.protocol import Verdict

SQUEEZE = 4
"""The inner convolutions have a quarter of a block's channels."""


class DeepGeneratorBlock(nn.Module):
    """Four convolutions, 1x1 to a quarter of the channels, two of 3x3, 1x1 back; the shortcut drops channels."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        doubles: bool,
        features: int,
        classes: int,
        epsilon: float,
        sets: int,
        upsampling: Interpolation = "resize",
    ) -> None:
        super().__init__()
        self.doubles, self.channels_out = doubles, channels_out
        self.upsampling: Interpolation = upsampling
        inner = channels_in // SQUEEZE
        widths = (channels_in, inner, inner, inner)
        self.norms = nn.ModuleList(
            ConditionalBatchNorm(width, features, classes, epsilon, sets) for width in widths
        )  # fmt: skip
        self.convs = nn.ModuleList([
            spectral(nn.Conv2d(channels_in, inner, 1)),
            spectral(nn.Conv2d(inner, inner, 3, padding=1)),
            spectral(nn.Conv2d(inner, inner, 3, padding=1)),
            spectral(nn.Conv2d(inner, channels_out, 1)),
        ])  # fmt: skip

    def forward(self, x: Tensor, condition: Tensor, truncation: float) -> Tensor:
        hidden = x
        for index, (norm, conv) in enumerate(zip(self.norms, self.convs)):
            hidden = F.relu(norm(hidden, condition, truncation))
            if index == 1 and self.doubles:
                hidden = double(hidden, self.upsampling)
            hidden = conv(hidden)
        kept = x[:, : self.channels_out]
        return hidden + (double(kept, self.upsampling) if self.doubles else kept)


class BigGANDeepGenerator(GeneratorEnds):
    """BigGAN-deep's generator: noise and class to a picture in [-1, 1].

    (B, 128), (B,) -> (B, 3, 128, 128)

    Each doubling of the sides has `depth` blocks. Classes, `multipliers`, `statistics` and `rgb_outputs` are as in
    BigGAN's generator; `truncation` chooses from the bank of statistics where there is one.
    Source: Brock et al. 2019, tables 7 to 9.

    Raises:
        UserError: a size without plan, no shared embedding, or attention at no layer's resolution.
    """

    def __init__(
        self,
        size_px: int = 128,
        width: int = 128,
        num_classes: int = 1000,
        latent: int = 128,
        class_features: int = 128,
        depth: int = 2,
        attention_px: int = 64,
        multipliers: Sequence[int] = (),
        epsilon: float = 1e-5,
        statistics: int = 0,
        rgb_outputs: int = 3,
        upsampling: Interpolation = "resize",
    ) -> None:
        plan = channel_plan("BigGAN-deep", size_px, multipliers, GENERATOR_CHANNELS)
        channels = [width * multiple for multiple in plan]
        sides = [BASE_PX * 2 ** (stage + 1) for stage in range(len(channels) - 1)]
        check_attention(attention_px, sides)
        check_depth(depth, channels)
        if not class_features:
            raise UserError("BigGAN-deep needs a shared class embedding", "class_features is 0", "Set it to 128")
        features = class_features + latent
        super().__init__(
            channels[0], channels[-1], features, num_classes, class_features, epsilon, statistics, rgb_outputs
        )
        self.size_px, self.latent = size_px, latent
        blocks: list[nn.Module] = []
        for before, after in itertools.pairwise(channels):
            for place in range(depth):
                is_last = place == depth - 1
                out = after if is_last else before
                blocks.append(
                    DeepGeneratorBlock(before, out, is_last, features, num_classes, epsilon, statistics, upsampling)
                )
        self.blocks = nn.ModuleList(blocks)
        self.attended = depth * (sides.index(attention_px) + 1) - 1 if attention_px else -1
        self.attention = (
            SelfAttention(channels[sides.index(attention_px) + 1], spectral_norm=True) if attention_px else None
        )
        self.initialise()

    def forward(self, latents: Tensor, classes: Tensor, truncation: float = 1.0) -> Tensor:
        condition = torch.cat([self.class_vector(classes), latents], dim=1)
        x = self.open_map(condition)
        for index, block in enumerate(self.blocks):
            x = block(x, condition, truncation)
            if self.attention is not None and index == self.attended:
                x = self.attention(x)
        return self.paint(x, truncation)


def check_depth(depth: int, channels: Sequence[int]) -> None:
    """Refuse a depth below 1, channels that cannot be squeezed, and shortcuts that would have to invent channels.

    Raises:
        UserError: one of them.
    """
    if depth < 1 or min(channels) < SQUEEZE:
        why = f"Its narrowest layer has {min(channels)} channels, of which a quarter is used"
        raise UserError(f"BigGAN-deep cannot have depth {depth}", why, "Use depth 1 or more, and a width from 4")
    if any(before < after for before, after in itertools.pairwise(channels)):
        raise UserError("BigGAN-deep cannot widen towards the picture", "Its shortcuts only drop channels")


class DeepDiscriminatorBlock(nn.Module):
    """Four convolutions as in the generator; the shortcut adds channels by a 1x1 convolution."""

    def __init__(self, channels_in: int, channels_out: int, halves: bool, activates: bool) -> None:
        super().__init__()
        self.halves, self.activates = halves, activates
        inner = channels_out // SQUEEZE
        self.convs = nn.ModuleList([
            spectral(nn.Conv2d(channels_in, inner, 1)),
            spectral(nn.Conv2d(inner, inner, 3, padding=1)),
            spectral(nn.Conv2d(inner, inner, 3, padding=1)),
            spectral(nn.Conv2d(inner, channels_out, 1)),
        ])  # fmt: skip
        added = channels_out - channels_in
        self.shortcut = spectral(nn.Conv2d(channels_in, added, 1)) if added else None

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(x) if self.activates else x
        for conv in self.convs[:3]:
            hidden = F.relu(conv(hidden))
        if self.halves:
            hidden, x = F.avg_pool2d(hidden, 2), F.avg_pool2d(x, 2)
        x = x if self.shortcut is None else torch.cat([x, self.shortcut(x)], dim=1)
        return self.convs[3](hidden) + x


class BigGANDeepDiscriminator(nn.Module):
    """BigGAN-deep's projection discriminator: pictures in [-1, 1] and their classes to one score each.

    (B, 3, 128, 128), (B,) -> (B, 1)

    `activate_stem` puts a ReLU behind the first convolution, as BigGAN-PyTorch does; it throws away half of what that
    convolution saw and is off here. `norm` `none` leaves out spectral norm, where gradient penalties bound the slope.
    Source: Brock et al. 2019, tables 7 to 9; Miyato and Koyama 2018.

    Raises:
        UserError: a size without plan, or attention at no layer's resolution.
    """

    def __init__(
        self,
        size_px: int = 128,
        width: int = 128,
        num_classes: int = 1000,
        depth: int = 2,
        attention_px: int = 64,
        multipliers: Sequence[int] = (),
        dropout: float = 0.0,
        last_bias: bool = True,
        activate_stem: bool = False,
        norm: Literal["spectral", "none"] = "spectral",
    ) -> None:
        super().__init__()
        plan = channel_plan("BigGAN-deep", size_px, multipliers, DISCRIMINATOR_CHANNELS)
        channels = [width * multiple for multiple in plan]
        check_depth(depth, channels[::-1])
        halvings = 2 if size_px == 32 and not multipliers else len(channels) - 1
        sides = [size_px // 2 ** min(stage + 1, halvings) for stage in range(len(channels) - 1)]
        check_attention(attention_px, sides)
        self.stem = spectral(nn.Conv2d(3, channels[0], 3, padding=1))
        self.blocks = nn.ModuleList(
            DeepDiscriminatorBlock(
                before if place == 0 else after,
                after,
                halves=place == 0 and stage < halvings,
                activates=activate_stem or stage > 0 or place > 0,
            )
            for stage, (before, after) in enumerate(itertools.pairwise(channels))
            for place in range(depth)
        )
        self.attended = depth * (sides.index(attention_px) + 1) - 1 if attention_px else -1
        self.attention = (
            SelfAttention(channels[sides.index(attention_px) + 1], spectral_norm=True) if attention_px else None
        )
        self.head = DiscriminatorHead(channels[-1], num_classes, dropout, last_bias)
        init_orthogonal(self)
        if norm == "none":
            remove_spectral(self)

    def forward(self, pictures: Tensor, classes: Tensor) -> Verdict:
        x, features = self.stem(pictures), []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if self.attention is not None and index == self.attended:
                x = self.attention(x)
            features.append(x)
        score, pooled = self.head(x, classes)
        return Verdict(score, (*features, pooled, score))
