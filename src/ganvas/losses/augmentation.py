"""DiffAugment: the same random changes for real and generated pictures before the discriminator sees them.

With few data a discriminator learns them by heart. Shown only changed pictures, real and generated alike, it cannot;
and since the changes are differentiable, the generator is trained through them. They do not leak into what it makes as
long as changed distributions tell the originals apart: every change here keeps that (translation by an eighth, cutout
of half a side, shifts of brightness, saturation and contrast).
Source: Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training", arXiv 2006.10738.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.errors import UserError, did_you_mean

POLICIES = ("color", "translation", "cutout")
LARGEST_SHIFT = 0.125
"""Of translation, as a share of a side."""
CUTOUT = 0.5
"""Side of the gray square as a share of the picture's."""


def parse(policy: str) -> tuple[str, ...]:
    """Return the changes that a setting such as `color,translation` names; empty for none.

    Raises:
        UserError: one of them is unknown.
    """
    names = tuple(name.strip() for name in policy.split(",") if name.strip())
    for name in names:
        if name not in POLICIES:
            raise UserError(f"There is no augmentation {name!r}", do=did_you_mean(name, POLICIES))
    return names


def diff_augment(pictures: Tensor, policy: tuple[str, ...], random: torch.Generator) -> Tensor:
    """Return pictures in [-1, 1] changed at random, each in its own way; the gradient passes.

    (B, 3, H, W) -> (B, 3, H, W)

    Args:
        pictures: real or generated ones.
        policy: some of `color`, `translation` and `cutout`, applied in that order.
        random: on the CPU; the same state makes the same changes.
    """
    if "color" in policy:
        pictures = _coloured(pictures, random)
    if "translation" in policy:
        pictures = _translated(pictures, random)
    if "cutout" in policy:
        pictures = _cut(pictures, random)
    return pictures


def _coloured(x: Tensor, random: torch.Generator) -> Tensor:
    brightness, saturation, contrast = torch.rand(3, len(x), 1, 1, 1, generator=random).to(x)
    x = x + (brightness - 0.5)
    mean = x.mean(dim=1, keepdim=True)
    x = (x - mean) * (saturation * 2) + mean
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return (x - mean) * (contrast + 0.5) + mean


def _translated(x: Tensor, random: torch.Generator) -> Tensor:
    """Shift each picture by up to an eighth of a side; what comes in is 0, mid-gray."""
    moved = []
    for side in x.shape[-2:]:
        most = int(side * LARGEST_SHIFT + 0.5)
        moved.append(torch.randint(-most, most + 1, (len(x),), generator=random))
    height, width = x.shape[-2:]
    reach = int(max(height, width) * LARGEST_SHIFT + 0.5)
    padded = F.pad(x, [reach] * 4)
    rows, columns = (shift.tolist() for shift in moved)
    return torch.stack([
        picture[:, reach - row : reach - row + height, reach - column : reach - column + width]
        for picture, row, column in zip(padded, rows, columns)
    ])  # fmt: skip


def _cut(x: Tensor, random: torch.Generator) -> Tensor:
    """Lay a mid-gray square of half a side over each picture; it may stand out over the border."""
    masks = []
    for side in x.shape[-2:]:
        length = int(side * CUTOUT + 0.5)
        first = torch.randint(0, side + (1 - length % 2), (len(x), 1), generator=random) - length // 2
        places = torch.arange(side)
        masks.append(((places >= first) & (places < first + length)).to(x.device))
    hidden = masks[0][:, None, :, None] & masks[1][:, None, None, :]
    return x * ~hidden
