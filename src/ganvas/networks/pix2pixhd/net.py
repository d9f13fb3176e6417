"""pix2pixHD's generators and its encoder: label maps to pictures, coarse to fine, with a style for each instance.

Wang et al., "High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs" (2018), section 3. Layers
stand in `nn.Sequential`s whose numbers are the original's, so that its checkpoints load as they are.

A generator takes a *condition* (B, N, H, W): the label map one-hot, the boundaries of the instances (0 or 1) and, where
it was trained with an encoder, the features of each instance. Sides that are no multiple of `multiple_of` are padded
within and cropped back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.errors import UserError
from ganvas.networks.blocks import as_weights_lie, init_normal, pad_to_multiple
from ganvas.networks.doubling import Upsampling, doubling_conv
from ganvas.networks.norms import InstanceNorm


class ResidualBlock(nn.Module):
    """Two convolutions with instance norm, added to their input.

    (B, C, H, W) -> (B, C, H, W)
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), InstanceNorm(), nn.ReLU(),
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), InstanceNorm(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


def _entrance(channels_in: int, width: int) -> list[nn.Module]:
    return [nn.ReflectionPad2d(3), nn.Conv2d(channels_in, width, 7), InstanceNorm(), nn.ReLU()]


def _halving(channels: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, 2 * channels, 3, 2, 1), InstanceNorm(), nn.ReLU()]


def _doubling(channels: int, upsampling: Upsampling) -> list[nn.Module]:
    return [doubling_conv(channels, channels // 2, upsampling, kernel=3), InstanceNorm(), nn.ReLU()]


def _head(width: int, channels_out: int) -> list[nn.Module]:
    return [nn.ReflectionPad2d(3), nn.Conv2d(width, channels_out, 7), nn.Tanh()]


def _trunk(
    channels_in: int, width: int, downs: int, blocks: int, upsampling: Upsampling = "transposed"
) -> list[nn.Module]:
    """Return the global generator without its head: from the condition to `width` channels of the same size."""
    layers = _entrance(channels_in, width)
    for level in range(downs):
        layers += _halving(width * 2**level)
    layers += [ResidualBlock(width * 2**downs) for _ in range(blocks)]
    for level in reversed(range(1, downs + 1)):
        layers += _doubling(width * 2**level, upsampling)
    return layers


def _within(multiple: int, condition: Tensor, run: Callable[[Tensor], Tensor]) -> Tensor:
    """Run a function of pictures of whole multiples on one of any size; its result has that size again."""
    height, width = condition.shape[-2:]
    # Below two cells a side, the coarsest maps would have one pixel, which cannot be reflected or normalised.
    smallest = 2 * multiple if min(height, width) <= multiple else multiple
    return run(pad_to_multiple(condition, smallest))[..., :height, :width]


def _require(what: str, at_least: int, **numbers: int) -> None:
    for name, number in numbers.items():
        if number < at_least:
            raise UserError(f"{what} cannot have {number} {name}", do=f"Use {at_least} or more")


class GlobalGenerator(nn.Module):
    """pix2pixHD's G1: halvings, residual blocks and doublings between two wide convolutions.

    (B, 36, H, W) -> (B, 3, H, W)

    The picture lies in [-1, 1]. Source: section 3.2 and appendix A; parameter names as in the original.

    Args:
        width: channels of the first and the last map; they double with each halving.
        downs: halvings; 3 makes a network a quarter as large, for small data.
        upsampling: `transposed` (the original's), `resize` or `smooth`, which leave no grid in pictures (ours).

    Raises:
        UserError: a number is too small for a network.
    """

    def __init__(
        self,
        channels_in: int = 36,
        channels_out: int = 3,
        width: int = 64,
        downs: int = 4,
        blocks: int = 9,
        upsampling: Upsampling = "transposed",
    ) -> None:
        super().__init__()
        _require("A global generator", 1, channels_in=channels_in, channels_out=channels_out, width=width, downs=downs)
        _require("A global generator", 0, blocks=blocks)
        self.enhancers = 0
        self.multiple_of = 2**downs
        trunk = _trunk(channels_in, width, downs, blocks, upsampling)
        self.model = nn.Sequential(*trunk, *_head(width, channels_out))
        init_normal(self)

    def forward(self, condition: Tensor) -> Tensor:
        return _within(self.multiple_of, as_weights_lie(condition, self), self.model)


class LocalEnhancer(nn.Module):
    """pix2pixHD's G1 with one or more enhancers around it, each of which doubles the sides at which details are made.

    (B, 36, H, W) -> (B, 3, H, W)

    Enhancer n is `model{n}_1`, which halves the condition at its own size and is added to what the coarser part made,
    and `model{n}_2`, which doubles the sum. The coarser part sees the condition averaged down by two. `features` gives
    the maps before a head, which training of the coarser parts alone goes through (`CoarseHeads`).
    Source: section 3.2; parameter names as in the original.

    Args:
        width: channels of the finest maps; the global generator within has `width * 2**enhancers`.
        downs: halvings of the global generator.
        blocks: its residual blocks.
        enhancers: how many; the original's `n_local_enhancers`.
        local_blocks: residual blocks of each enhancer.
        upsampling: `transposed` (the original's), `resize` or `smooth`, which leave no grid in pictures (ours).

    Raises:
        UserError: a number is too small for a network.
    """

    def __init__(
        self,
        channels_in: int = 36,
        channels_out: int = 3,
        width: int = 32,
        downs: int = 4,
        blocks: int = 9,
        enhancers: int = 1,
        local_blocks: int = 3,
        upsampling: Upsampling = "transposed",
    ) -> None:
        super().__init__()
        _require("A local enhancer", 1, channels_in=channels_in, channels_out=channels_out, width=width, downs=downs)
        _require("A local enhancer", 1, enhancers=enhancers)
        _require("A local enhancer", 0, blocks=blocks, local_blocks=local_blocks)
        self.enhancers = enhancers
        self.multiple_of = 2 ** (downs + enhancers)
        self.model = nn.Sequential(*_trunk(channels_in, width * 2**enhancers, downs, blocks, upsampling))
        for number in range(1, enhancers + 1):
            fine = width * 2 ** (enhancers - number)
            back: list[nn.Module] = [ResidualBlock(2 * fine) for _ in range(local_blocks)]
            back += _doubling(2 * fine, upsampling)
            if number == enhancers:
                back += _head(fine, channels_out)
            self.add_module(f"model{number}_1", nn.Sequential(*_entrance(channels_in, fine), *_halving(fine)))
            self.add_module(f"model{number}_2", nn.Sequential(*back))
        init_normal(self)

    def forward(self, condition: Tensor) -> Tensor:
        return _within(self.multiple_of, condition, lambda padded: self._run(padded, self.enhancers))

    def features(self, condition: Tensor, enhancers: int = 0) -> Tensor:
        """Return the maps that the first `enhancers` enhancers make of a condition of their size, before any head.

        (B, 36, H, W) -> (B, width * 2**(self.enhancers - enhancers), H, W)

        Raises:
            UserError: there are not so many enhancers without a head.
        """
        if not 0 <= enhancers < self.enhancers:
            why = f"It has {self.enhancers}, the last of which ends in the picture"
            raise UserError(f"This generator has no features of {enhancers} enhancers", why)
        multiple = self.multiple_of >> (self.enhancers - enhancers)
        return _within(multiple, condition, lambda padded: self._run(padded, enhancers))

    def _run(self, condition: Tensor, enhancers: int) -> Tensor:
        condition = as_weights_lie(condition, self)
        pyramid = [condition]
        for _ in range(enhancers):
            pyramid.append(F.avg_pool2d(pyramid[-1], 3, stride=2, padding=1, count_include_pad=False))
        out = self.model(pyramid[-1])
        for number in range(1, enhancers + 1):
            finer = pyramid[enhancers - number]
            out = self.get_submodule(f"model{number}_2")(self.get_submodule(f"model{number}_1")(finer) + out)
        return out


class CoarseHeads(nn.Module):
    """Heads of the coarser parts of a `LocalEnhancer`, needed only while those are trained alone.

    (B, 64, H, W) -> (B, 3, H, W)

    Head n is that of the part with n enhancers.

    Args:
        width: channels of the finest maps of the generator, as given to `LocalEnhancer`.
        enhancers: enhancers of the generator, which has as many coarser parts.
    """

    def __init__(self, channels_out: int = 3, width: int = 32, enhancers: int = 1) -> None:
        super().__init__()
        _require("Coarse heads", 1, channels_out=channels_out, width=width, enhancers=enhancers)
        self.heads = nn.ModuleList(
            nn.Sequential(*_head(width * 2 ** (enhancers - number), channels_out)) for number in range(enhancers)
        )
        init_normal(self)

    def forward(self, features: Tensor, enhancers: int = 0) -> Tensor:
        return self.heads[enhancers](features)


class InstanceFeatureEncoder(nn.Module):
    """pix2pixHD's E: features of a picture in [-1, 1], averaged over each instance where an instance map is given.

    (B, 3, H, W) -> (B, 3, H, W)

    The instance map (B, 1, h, w) of integers may be finer than the picture: then the features are enlarged (nearest)
    before they are averaged, and the result has its size. Source: section 3.4; parameter names as in the original.

    Raises:
        UserError: a number is too small for a network.
    """

    def __init__(self, channels_in: int = 3, features: int = 3, width: int = 16, downs: int = 4) -> None:
        super().__init__()
        _require("An encoder", 1, channels_in=channels_in, features=features, width=width, downs=downs)
        self.multiple_of = 2**downs
        self.model = nn.Sequential(*_trunk(channels_in, width, downs, 0), *_head(width, features))
        init_normal(self)

    def forward(self, picture: Tensor, instance_map: Tensor | None = None) -> Tensor:
        features = _within(self.multiple_of, picture, self.model)
        return features if instance_map is None else average_over_instances(features, instance_map)

    def table(self, picture: Tensor, instance_map: Tensor) -> InstanceTable:
        """Return the features of a picture as a table with a row for each instance."""
        return tabulate(self(picture), instance_map)[0]


class InstanceTable(NamedTuple):
    """One row for each instance of each sample of a batch, ordered by sample and id."""

    sample: Tensor
    """(N,) place in the batch."""
    instance: Tensor
    """(N,) id in the instance map."""
    area: Tensor
    """(N,) pixels."""
    features: Tensor
    """(N, F) mean over the instance's pixels."""


def tabulate(features: Tensor, instance_map: Tensor) -> tuple[InstanceTable, Tensor]:
    """Return the mean features of every instance, and for each pixel the row that it belongs to.

    (B, F, h, w), (B, 1, H, W) -> table of N rows, (B * H * W,)

    One id in two samples is two instances. Features that are coarser than the map are enlarged (nearest) first.
    """
    if features.shape[-2:] != instance_map.shape[-2:]:
        features = F.interpolate(features, size=instance_map.shape[-2:], mode="nearest")
    batch, channels = features.shape[:2]
    ids = instance_map.reshape(batch, -1).long()
    lowest = ids.amin()
    span = ids.amax() - lowest + 1
    samples = torch.arange(batch, device=ids.device)[:, None]
    keys, rows, area = (samples * span + (ids - lowest)).unique(return_inverse=True, return_counts=True)
    rows = rows.reshape(-1)
    # Half precision cannot hold sums over many pixels.
    wide = torch.promote_types(features.dtype, torch.float32)
    pixels = features.permute(0, 2, 3, 1).reshape(-1, channels).to(wide)
    sums = torch.zeros(len(keys), channels, dtype=wide, device=features.device).index_add(0, rows, pixels)
    table = InstanceTable(keys // span, keys % span + lowest, area, sums / area[:, None].to(wide))
    return table, rows


def average_over_instances(features: Tensor, instance_map: Tensor) -> Tensor:
    """Replace each pixel's features by the mean over its instance, for all instances at once.

    (B, F, h, w), (B, 1, H, W) -> (B, F, H, W)
    """
    table, rows = tabulate(features, instance_map)
    size = len(features), instance_map.shape[-2], instance_map.shape[-1]
    return paint(table.features, rows, size).to(features.dtype)


def styles_of_clip(encoder: nn.Module, shown: Tensor, regions: Tensor) -> Tensor:
    """Return the style of each region at its pixels: an encoder's features, averaged over all frames that show it.

    (B, T, 3, H, W), (B, T, 1, H, W) -> (B, T, F, H, W)
    """
    batch, frames, _, height, _ = shown.shape
    features = encoder(shown.flatten(0, 1)).unflatten(0, (batch, frames))
    # One tall picture of all frames, so that a region is the same in each of them.
    tall, ids = (planes.transpose(1, 2).flatten(2, 3) for planes in (features, regions))
    return average_over_instances(tall, ids).unflatten(2, (frames, height)).transpose(1, 2)


def paint(features: Tensor, rows: Tensor, size: tuple[int, int, int]) -> Tensor:
    """Return feature maps in which each pixel has the features of its row of a table.

    (N, F), (B * H * W,), (B, H, W) -> (B, F, H, W)
    """
    # index_select, unlike indexing, has a backward pass that is deterministic and fast.
    return features.index_select(0, rows).reshape(*size, -1).permute(0, 3, 1, 2)
