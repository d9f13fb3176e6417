"""How far the pictures of a generator are from real ones as a set, with no trained network: nothing to download.

Both sets are taken apart into Laplacian pyramids; from each level small patches are drawn, brought to the real ones'
mean and deviation of each channel, and compared by the sliced Wasserstein distance. Small values mean that colours,
textures and edges of that size occur as often as in the real set; what a picture shows does not count. Values are
comparable only at equal sizes, numbers of pictures and seeds. This is not FID, and is never called so.
Source: Karras et al. 2018 (Progressive growing of GANs), section 5; Rabin et al. 2012 for the distance itself.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.errors import UserError

PATCH_PX = 7
PATCHES = 64
"""Patches of each picture and level."""
DIRECTIONS = 256
SMALLEST_PX = 16
"""Side of the pyramid's coarsest level."""


@torch.no_grad()
def sliced_wasserstein(real: Tensor, fake: Tensor, random: torch.Generator, directions: int = DIRECTIONS) -> Tensor:
    """Return the mean over random directions of the Wasserstein-1 distance between two equally large sets of points.

    (N, D), (N, D) -> ()

    Args:
        real: points.
        fake: points.
        random: source of the directions, on the CPU.
        directions: how many.

    Raises:
        UserError: the sets differ in shape.
    """
    if real.shape != fake.shape:
        why = f"They have the shapes {tuple(real.shape)} and {tuple(fake.shape)}"
        raise UserError("Sliced distances need two equally large sets of points", why)
    axes = torch.randn(real.shape[1], directions, generator=random, dtype=torch.float32).to(real.device)
    axes = axes / torch.linalg.vector_norm(axes, dim=0)
    ranked = [(points.float() @ axes).sort(dim=0).values for points in (real, fake)]
    return (ranked[0] - ranked[1]).abs().mean()


@torch.no_grad()
def pyramid_distances(real: Tensor, fake: Tensor, seed: int = 0) -> dict[int, float]:
    """Return the sliced Wasserstein distance of patches by the side in pixels of their pyramid level, finest first.

    Zero for equal sets; around 0.3 to 0.6 for sets that have nothing in common.

    Args:
        real: (N, C, S, S) in [0, 1], S at least 16.
        fake: likewise, as many.
        seed: chooses patches and directions.

    Raises:
        UserError: the sets differ in shape, or pictures are too small.
    """
    if real.shape != fake.shape or real.shape[-1] < SMALLEST_PX:
        why = f"The shapes are {tuple(real.shape)} and {tuple(fake.shape)}"
        raise UserError(
            "These pictures cannot be compared as sets", why, f"Give as many of each, from {SMALLEST_PX} px"
        )
    random = torch.Generator().manual_seed(seed)
    found: dict[int, float] = {}
    for ours, theirs in zip(_pyramid(real.float()), _pyramid(fake.float())):
        places = _places(ours, random)
        patches = [_patches(pictures, places) for pictures in (ours, theirs)]
        mean, deviation = patches[0].mean((0, 2), keepdim=True), patches[0].std((0, 2), keepdim=True).clamp_min(1e-4)
        scaled = [((patch - mean) / deviation).flatten(1) for patch in patches]
        found[ours.shape[-1]] = float(sliced_wasserstein(scaled[0], scaled[1], random))
    return found


def _pyramid(pictures: Tensor) -> list[Tensor]:
    """Return the differences between neighbouring scales, finest first, and the coarsest scale itself."""
    levels: list[Tensor] = []
    while pictures.shape[-1] >= 2 * SMALLEST_PX:
        smaller = F.avg_pool2d(pictures, 2)
        levels.append(pictures - F.interpolate(smaller, size=pictures.shape[-2:], mode="bilinear"))
        pictures = smaller
    return [*levels, pictures]


def _places(pictures: Tensor, random: torch.Generator) -> Tensor:
    """Return where the pixels of random patches of every picture lie: (N, C, S, S) -> (N, PATCHES * PATCH_PX^2)."""
    number, _, height, width = pictures.shape
    tops = torch.randint(height - PATCH_PX + 1, (number, PATCHES, 1, 1), generator=random)
    lefts = torch.randint(width - PATCH_PX + 1, (number, PATCHES, 1, 1), generator=random)
    steps = torch.arange(PATCH_PX)
    return ((tops + steps[:, None]) * width + lefts + steps).flatten(1).to(pictures.device)


def _patches(pictures: Tensor, places: Tensor) -> Tensor:
    """Return patches of every picture: (N, C, S, S) -> (N * PATCHES, C, PATCH_PX^2)."""
    index = places[:, None].expand(-1, pictures.shape[1], -1)
    values = pictures.flatten(2).gather(2, index).unflatten(2, (PATCHES, PATCH_PX**2))
    return values.transpose(1, 2).flatten(0, 1)
