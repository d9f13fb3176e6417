"""Scores of pictures that were made from label maps: repeated patterns, and how far their textures are from real ones.

What a segmenter reads off them stands in `labelled.py` and `probe.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ganvas.metrics.distribution import squared_mmd
from ganvas.metrics.features import open_judge
from ganvas.metrics.paired import luma
from ganvas.metrics.sharpness import high_pass

TILE_PX = 64
"""Side of the parts whose textures are compared: a picture of a street has all its textures in its whole."""
NEAREST_PX = 2
"""Closer to itself than this a picture resembles itself without any pattern."""


def repetition(picture: Tensor) -> float:
    """Return the highest peak of the high-pass's autocorrelation beyond 2 px: near 0 without a repeated pattern.

    (3, H, W) in [0, 1] -> 0 to 1
    """
    y = high_pass(luma(picture[None])[0, 0])
    correlation = torch.fft.ifft2(torch.fft.fft2(y - y.mean()).abs().square()).real
    if not correlation[0, 0] > 0:
        return 0.0
    rows, columns = (torch.fft.fftfreq(side, 1 / side).abs() for side in y.shape)
    is_far = torch.maximum(rows[:, None], columns[None]) > NEAREST_PX
    return float(correlation[is_far].max() / correlation[0, 0])


def tile_features(pictures: Sequence[Tensor]) -> Tensor:
    """Return what a network of random weights sees in every whole tile of 64 px of pictures (3, H, W): (N, D)."""
    judge, seen = open_judge("random"), []
    for picture in pictures:
        side = min(TILE_PX, *picture.shape[-2:])
        tiles = picture.unfold(1, side, side).unfold(2, side, side)
        seen.append(judge.features(tiles.permute(1, 2, 0, 3, 4).reshape(-1, 3, side, side)))
    return torch.cat(seen)


def distance(fakes: Sequence[Tensor], reals: Sequence[Tensor]) -> float:
    """Return the kernel distance of both sets' tiles; 0 for equal distributions, and for few tiles perhaps below."""
    return squared_mmd(tile_features(reals), tile_features(fakes))
