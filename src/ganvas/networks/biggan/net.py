"""BigGAN: a picture of a class from noise, 32 to 512 px, and the discriminator that is told the class.

Source: Brock, Donahue and Simonyan 2019, "Large Scale GAN Training for High Fidelity Natural Image Synthesis", appendix
B. The discriminator of 512 px, which the public code lacks, follows the paper's table 6. BigGAN-deep is in
`deep.py`; it shares the norms and the ends of the networks.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.errors import UserError
from ganvas.networks.blocks import SelfAttention, SyncedBatchNorm2d, init_orthogonal, remove_spectral, spectral
from ganvas.networks.doubling import Interpolation, double
from ganvas.protocol import Verdict

BASE_PX = 4
"""Side of the first feature map."""

GENERATOR_CHANNELS = {
    32: (4, 4, 4, 4),
    64: (16, 16, 8, 4, 2),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
    512: (16, 16, 8, 8, 4, 2, 1, 1),
}
"""Channels by the side of the picture, in multiples of the width: of the 4 px map, then of each doubling."""

DISCRIMINATOR_CHANNELS = {
    32: (4, 4, 4, 4),
    64: (1, 2, 4, 8, 16),
    128: (1, 2, 4, 8, 16, 16),
    256: (1, 2, 4, 8, 8, 16, 16),
    512: (1, 1, 2, 4, 8, 8, 16, 16),
}
"""Channels that each block gives, in multiples of the width."""


def channel_plan(kind: str, size_px: int, multipliers: Sequence[int], known: dict[int, tuple[int, ...]]) -> list[int]:
    """Return the multiples of the width: those given, or the published ones of a size.

    Raises:
        UserError: there is no plan for this size, or the given one has another number of doublings.
    """
    if size_px not in known:
        raise UserError(f"{kind} has no {size_px} px", do=f"Use {', '.join(map(str, known))}")
    if not multipliers:
        return list(known[size_px])
    needed = (size_px // BASE_PX).bit_length()
    if len(multipliers) != needed or min(multipliers) < 1:
        what = f"{kind} cannot have the channels {tuple(multipliers)}"
        raise UserError(what, f"{size_px} px need {needed} numbers, each at least 1")
    return list(multipliers)


def check_attention(attention_px: int, sides: Sequence[int]) -> None:
    """Refuse a resolution of attention that does not occur; 0 is none.

    Raises:
        UserError: no layer gives this resolution.
    """
    if attention_px and attention_px not in sides:
        known = ", ".join(map(str, sorted(set(sides))))
        raise UserError(f"No layer has {attention_px} px for attention", do=f"Use 0 or one of {known}")


class StatisticsBank(nn.Module):
    """Batch norm by stored statistics, one set for each of evenly spaced truncations from 0 to 1, interpolated.

    (B, C, H, W) -> (B, C, H, W)

    The published code swaps the two weights between the stored truncations; at the stored ones both agree.
    """

    running_means: Tensor
    running_vars: Tensor

    def __init__(self, channels: int, number: int, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.register_buffer("running_means", torch.zeros(number, channels))
        self.register_buffer("running_vars", torch.ones(number, channels))

    def forward(self, x: Tensor, truncation: float = 1.0) -> Tensor:
        place = truncation * (len(self.running_means) - 1)
        # A truncation of 0.14 is 6.9999999 steps of 0.02 in floating point.
        below = int(min(max(place + 1e-6, 0), len(self.running_means) - 1))
        above = min(below + 1, len(self.running_means) - 1)
        share = min(max(place - below, 0.0), 1.0)
        mean = torch.lerp(self.running_means[below], self.running_means[above], share)
        variance = torch.lerp(self.running_vars[below], self.running_vars[above], share)
        return F.batch_norm(x, mean, variance, eps=self.epsilon)


class ConditionalBatchNorm(nn.Module):
    """Batch norm whose gain 1 + f(y) and offset g(y) are linear in what is known of the sample, y.

    (B, C, H, W), (B, Y) -> (B, C, H, W)

    Without `features` f and g have a row for each class, start at 0 (a plain batch norm), and are given class numbers
    or weights of classes; with them they are spectrally normalised and given vectors. The 1 is what matters: without
    it the signal is multiplied by nearly nothing in every layer, and the generator does not learn.
    Source: de Vries et al. 2017; Brock et al. 2019, appendix B.1.
    """

    def __init__(self, channels: int, features: int, num_classes: int, epsilon: float, statistics: int = 0) -> None:
        super().__init__()
        self.statistics = statistics
        self.norm: nn.Module = (
            StatisticsBank(channels, statistics, epsilon)
            if statistics
            else SyncedBatchNorm2d(channels, epsilon, affine=False)
        )
        if features:
            self.gain: nn.Module = spectral(nn.Linear(features, channels, bias=False))
            self.offset: nn.Module = spectral(nn.Linear(features, channels, bias=False))
        else:
            self.gain, self.offset = nn.Embedding(num_classes, channels), nn.Embedding(num_classes, channels)
            nn.init.zeros_(self.gain.weight)
            nn.init.zeros_(self.offset.weight)

    def forward(self, x: Tensor, condition: Tensor, truncation: float = 1.0) -> Tensor:
        normal = self.norm(x, truncation) if self.statistics else self.norm(x)
        gain, offset = embed(self.gain, condition), embed(self.offset, condition)
        return torch.addcmul(offset[..., None, None], normal, 1 + gain[..., None, None])


def embed(table: nn.Module, condition: Tensor) -> Tensor:
    """Return rows of an embedding by class number, their mixture by weights of classes, or a linear map of vectors."""
    if isinstance(table, nn.Embedding) and condition.is_floating_point():
        return condition @ table.weight
    return table(condition)


class GeneratorBlock(nn.Module):
    """Norm, ReLU, up where it doubles the sides, convolution, norm, ReLU, convolution, beside a shortcut of up and 1x1.

    A block that changes neither sides nor channels has nothing in its shortcut.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        features: int,
        classes: int,
        epsilon: float,
        sets: int,
        doubles: bool = True,
        upsampling: Interpolation = "resize",
    ) -> None:
        super().__init__()
        self.doubles = doubles
        self.upsampling: Interpolation = upsampling
        self.norm1 = ConditionalBatchNorm(channels_in, features, classes, epsilon, sets)
        self.norm2 = ConditionalBatchNorm(channels_out, features, classes, epsilon, sets)
        self.conv1 = spectral(nn.Conv2d(channels_in, channels_out, 3, padding=1))
        self.conv2 = spectral(nn.Conv2d(channels_out, channels_out, 3, padding=1))
        needed = doubles or channels_in != channels_out
        self.shortcut = spectral(nn.Conv2d(channels_in, channels_out, 1)) if needed else None

    def forward(self, x: Tensor, condition: Tensor, truncation: float) -> Tensor:
        hidden = F.relu(self.norm1(x, condition, truncation))
        hidden = self.conv1(double(hidden, self.upsampling) if self.doubles else hidden)
        hidden = self.conv2(F.relu(self.norm2(hidden, condition, truncation)))
        # A 1x1 convolution and an interpolation can change places: here it costs a quarter.
        kept = x if self.shortcut is None else self.shortcut(x)
        return hidden + (double(kept, self.upsampling) if self.doubles else kept)


class GeneratorEnds(nn.Module):
    """What BigGAN and BigGAN-deep share: class embedding, first map, last norm, convolution to RGB.

    Raises:
        UserError: fewer than one class, or a condition that cannot be built.
    """

    def __init__(
        self,
        channels_first: int,
        channels_last: int,
        first_features: int,
        num_classes: int,
        class_features: int,
        epsilon: float,
        statistics: int,
        rgb_outputs: int,
    ) -> None:
        super().__init__()
        if num_classes < 1 or rgb_outputs < 3:
            raise UserError(f"A generator of {num_classes} classes and {rgb_outputs} channels makes no picture")
        self.num_classes, self.statistics, self.channels_first = num_classes, statistics, channels_first
        self.embedding = nn.Embedding(num_classes, class_features) if class_features else None
        self.first = spectral(nn.Linear(first_features, channels_first * BASE_PX**2))
        self.last_norm = (
            StatisticsBank(channels_last, statistics, epsilon)
            if statistics
            else SyncedBatchNorm2d(channels_last, epsilon)
        )
        if statistics:
            # The bank itself has no gain: those of the last norm do not depend on the class.
            self.last_gain = nn.Parameter(torch.ones(channels_last))
            self.last_offset = nn.Parameter(torch.zeros(channels_last))
        self.to_rgb = spectral(nn.Conv2d(channels_last, rgb_outputs, 3, padding=1))

    def initialise(self) -> None:
        """Make all weights orthogonal (Brock et al. 2019, appendix B) but those that start at 0."""
        init_orthogonal(self)
        if self.embedding is not None:
            nn.init.orthogonal_(self.embedding.weight)

    def class_vector(self, classes: Tensor) -> Tensor:
        """Return the shared embedding of classes by number or by weights; themselves where each norm has its own."""
        return classes if self.embedding is None else embed(self.embedding, classes)

    def open_map(self, features: Tensor) -> Tensor:
        """Return the first feature map: (B, F) -> (B, C, 4, 4)."""
        return self.first(features).unflatten(1, (self.channels_first, BASE_PX, BASE_PX))

    def paint(self, x: Tensor, truncation: float) -> Tensor:
        """Return the picture of the last feature map: (B, C, H, W) -> (B, 3, H, W) in [-1, 1]."""
        if self.statistics:
            x = self.last_norm(x, truncation) * self.last_gain[:, None, None] + self.last_offset[:, None, None]
        else:
            x = self.last_norm(x)
        return torch.tanh(self.to_rgb(F.relu(x))[:, :3])


class BigGANGenerator(GeneratorEnds):
    """BigGAN's generator: noise and class to a picture in [-1, 1].

    (B, 120), (B,) -> (B, 3, 128, 128)

    Noise is drawn from N(0, 1); with `skip_z` it is cut into equal chunks, one for the first map and one for each
    block. Classes are numbers (B,), or weights (B, num_classes) for what lies between classes. With
    `class_features` all norms share one embedding of the class; 0 gives each norm its own, as in SAGAN, and then there
    is no skip_z. `multipliers` replaces the published channels, `statistics` the batch statistics by a bank over
    truncations; of `rgb_outputs` channels the first three are the picture (the published deep weights have 128).
    There are `depth` blocks at each resolution, the last of which doubles the sides; the published networks have one,
    and repeat pixels; `upsampling` `smooth` interpolates between them.
    Source: Brock et al. 2019, tables 4 to 6.

    Raises:
        UserError: a size without plan, a latent that does not divide into chunks, attention at no layer's resolution.
    """

    def __init__(
        self,
        size_px: int = 128,
        width: int = 96,
        num_classes: int = 1000,
        latent: int = 120,
        class_features: int = 128,
        skip_z: bool = True,
        attention_px: int = 64,
        multipliers: Sequence[int] = (),
        epsilon: float = 1e-5,
        statistics: int = 0,
        rgb_outputs: int = 3,
        depth: int = 1,
        upsampling: Interpolation = "resize",
    ) -> None:
        channels = [width * m for m in channel_plan("BigGAN", size_px, multipliers, GENERATOR_CHANNELS)]
        sides = [BASE_PX * 2 ** (stage + 1) for stage in range(len(channels) - 1)]
        check_attention(attention_px, sides)
        if skip_z and not class_features:
            why = "Its chunks reach the blocks beside the shared class embedding, which class_features 0 leaves out"
            raise UserError("skip_z needs a shared class embedding", why, "Set class_features to 128, or skip_z off")
        chunk = chunk_size(latent, depth * len(sides) + 1) if skip_z else latent
        super().__init__(
            channels[0], channels[-1], chunk, num_classes, class_features, epsilon, statistics, rgb_outputs
        )
        self.size_px, self.latent, self.skip_z = size_px, latent, skip_z
        features = class_features + chunk * skip_z
        self.blocks = nn.ModuleList(
            GeneratorBlock(before, out, features, num_classes, epsilon, statistics, doubles, upsampling)
            for before, after in itertools.pairwise(channels)
            for out, doubles in [(before, False)] * (depth - 1) + [(after, True)]
        )
        stage = sides.index(attention_px) + 1 if attention_px else 0
        self.attended = depth * stage - 1
        self.attention = SelfAttention(channels[stage], spectral_norm=True) if attention_px else None
        self.initialise()

    def forward(self, latents: Tensor, classes: Tensor, truncation: float = 1.0) -> Tensor:
        vector = self.class_vector(classes)
        parts = latents.tensor_split(len(self.blocks) + 1, dim=1) if self.skip_z else [latents]
        x = self.open_map(parts[0])
        for index, block in enumerate(self.blocks):
            condition = torch.cat([vector, parts[index + 1]], dim=1) if self.skip_z else vector
            x = block(x, condition, truncation)
            if self.attention is not None and index == self.attended:
                x = self.attention(x)
        return self.paint(x, truncation)


def chunk_size(latent: int, chunks: int) -> int:
    """Return the length of each chunk of the latent.

    Raises:
        UserError: it does not divide; other code then shortens it without a word.
    """
    if latent < chunks or latent % chunks:
        near = max(1, latent // chunks) * chunks
        why = "skip_z gives one chunk to the first map and one to each block"
        raise UserError(
            f"A latent of {latent} does not divide into {chunks} chunks", why, f"Use {near} or {near + chunks}"
        )
    return latent // chunks


class DiscriminatorBlock(nn.Module):
    """Two convolutions beside a shortcut, then halve the sides where asked."""

    def __init__(self, channels_in: int, channels_out: int, is_first: bool, halves: bool) -> None:
        super().__init__()
        self.is_first, self.halves = is_first, halves
        self.conv1 = spectral(nn.Conv2d(channels_in, channels_out, 3, padding=1))
        self.conv2 = spectral(nn.Conv2d(channels_out, channels_out, 3, padding=1))
        needed = halves or channels_in != channels_out
        self.shortcut = spectral(nn.Conv2d(channels_in, channels_out, 1)) if needed else None

    def forward(self, x: Tensor) -> Tensor:
        # Not in place: the shortcut takes x as it was.
        hidden = self.conv2(F.relu(self.conv1(x if self.is_first else F.relu(x))))
        if self.halves:
            # Means and 1x1 convolutions can change places; afterwards there is a quarter of the pixels.
            hidden, x = F.avg_pool2d(hidden, 2), F.avg_pool2d(x, 2)
        return hidden + (x if self.shortcut is None else self.shortcut(x))


class DiscriminatorHead(nn.Module):
    """Score features by how real they are, and by how well they fit a class (projection).

    (B, C, H, W), (B,) -> Verdict

    Source: Miyato and Koyama 2018, "cGANs with Projection Discriminator", equation 4.
    """

    def __init__(self, channels: int, num_classes: int, dropout: float, last_bias: bool) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise UserError(f"dropout is {dropout:g}", "It is the share of features left out", "Use 0 to below 1")
        self.dropout = dropout
        self.linear = spectral(nn.Linear(channels, 1, bias=last_bias))
        table = nn.Embedding(num_classes, channels)
        # Before it is normalised, so that the singular vectors are those of these weights.
        nn.init.orthogonal_(table.weight)
        self.embedding = spectral(table)

    def forward(self, x: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        features = F.relu(x).sum(dim=(2, 3))
        shown = F.dropout(features, self.dropout, self.training)
        score = self.linear(shown) + (self.embedding(classes) * shown).sum(dim=1, keepdim=True)
        return score, features


class BigGANDiscriminator(nn.Module):
    """BigGAN's projection discriminator: pictures in [-1, 1] and their classes to one score each.

    (B, 3, 128, 128), (B,) -> (B, 1)

    At 64 px and below the published networks have no layer of 64 px and no attention. `dropout` leaves out features
    before the score. A relativistic loss gives the last bias no gradient: leave it out by `last_bias`. There are
    `depth` blocks at each resolution; the published networks have one. `norm` `none` leaves out spectral norm, where
    gradient penalties bound the slope.
    Source: Brock et al. 2019, tables 4 to 6; Miyato and Koyama 2018.

    Raises:
        UserError: a size without plan, or attention at no layer's resolution.
    """

    def __init__(
        self,
        size_px: int = 128,
        width: int = 96,
        num_classes: int = 1000,
        attention_px: int = 64,
        multipliers: Sequence[int] = (),
        dropout: float = 0.0,
        last_bias: bool = True,
        depth: int = 1,
        norm: Literal["spectral", "none"] = "spectral",
    ) -> None:
        super().__init__()
        plan = channel_plan("BigGAN", size_px, multipliers, DISCRIMINATOR_CHANNELS)
        channels = [3, *(width * multiple for multiple in plan)]
        # The published 32 px network stays at 8 px.
        halvings = 2 if size_px == 32 and not multipliers else len(plan) - 1
        sides = [size_px // 2 ** min(stage + 1, halvings) for stage in range(len(plan))]
        check_attention(attention_px, sides)
        self.blocks = nn.ModuleList(
            DiscriminatorBlock(
                before if place == 0 else after,
                after,
                is_first=stage == place == 0,
                halves=place == 0 and stage < halvings,
            )
            for stage, (before, after) in enumerate(itertools.pairwise(channels))
            for place in range(depth)
        )
        attended = sides.index(attention_px) + 1 if attention_px else 0
        self.attended = depth * attended - 1
        self.attention = SelfAttention(channels[attended], spectral_norm=True) if attention_px else None
        self.head = DiscriminatorHead(channels[-1], num_classes, dropout, last_bias)
        init_orthogonal(self)
        if norm == "none":
            remove_spectral(self)

    def forward(self, pictures: Tensor, classes: Tensor) -> Verdict:
        x, features = pictures, []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if self.attention is not None and index == self.attended:
                x = self.attention(x)
            features.append(x)
        score, pooled = self.head(x, classes)
        return Verdict(score, (*features, pooled, score))
