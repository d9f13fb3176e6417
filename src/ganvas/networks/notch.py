"""A notch filter for grids: what a pixel shuffle does alike in every one of its cells."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

FAINT = 0.03
"""How strong a grid is expected to be, of values from 0 to 1: where places differ by much more there is real detail."""


def notch(detail: Tensor, scale: int, window: int) -> Tensor:
    """Take out of an enlargement's detail what repeats with the period of the cells.

    (B, C scale scale, H, W) -> (B, C scale scale, H, W)

    As it lies before a pixel shuffle, each channel holds one place within the cells. Over a neighbourhood of many cells
    all places have the same mean, unless there is a grid. So the mean of each place is taken over a triangular window
    of 2 `window` - 1 pixels, and its difference to the mean of all places is taken off. Cells in which places differ by
    more than a grid does count less: an edge would leave fringes around it. A slope makes the means differ, too: give
    detail, the difference to a smooth enlargement, rather than the picture itself.

    Adversarial training with a pixel shuffle ends in such grids, because a discriminator that sees patches does not
    mind a pattern that is weak in each; a filter leaves it nothing to mind (ours; the cause is that of Odena et al.,
    "Deconvolution and Checkerboard Artifacts", 2016).
    """
    batch, channels, height, width = detail.shape
    places = detail.reshape(batch, channels // scale**2, scale**2, height, width)
    # Reshaped before the difference: after it, a single picture would lose its layout, and means take long.
    uneven = detail - places.mean(dim=2, keepdim=True).expand_as(places).reshape(detail.shape)
    weight = 1 / (1 + uneven.square().mean(dim=1, keepdim=True) / FAINT**2)
    return detail - _around(uneven * weight, window) / _around(weight, window)


def _around(values: Tensor, window: int) -> Tensor:
    """Return means over a triangle: two boxes, of rows and of columns."""
    reach = window // 2
    for _ in range(2):
        values = F.avg_pool2d(values, (window, 1), 1, (reach, 0), count_include_pad=False)
        values = F.avg_pool2d(values, (1, window), 1, (0, reach), count_include_pad=False)
    return values
