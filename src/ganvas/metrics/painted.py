"""Scores of pictures made from label maps: repeated patterns, distance of textures, borders between things of a class.

What a segmenter reads off them stands in `labelled.py` and `probe.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ganvas.metrics.distribution import squared_mmd
from ganvas.metrics.features import random_extractor
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
    extractor, seen = random_extractor(), []
    for picture in pictures:
        side = min(TILE_PX, *picture.shape[-2:])
        tiles = picture.unfold(1, side, side).unfold(2, side, side)
        seen.append(extractor.features(tiles.permute(1, 2, 0, 3, 4).reshape(-1, 3, side, side)))
    return torch.cat(seen)


def distance(fakes: Sequence[Tensor], reals: Sequence[Tensor]) -> float:
    """Return the kernel distance of both sets' tiles; 0 for equal distributions, and for few tiles perhaps below."""
    return squared_mmd(tile_features(reals), tile_features(fakes))


def instance_contrast(
    pictures: Sequence[Tensor], label_maps: Sequence[Tensor], instance_maps: Sequence[Tensor]
) -> float:
    """Return the mean step of brightness from one thing to the next of its class, where two of them touch.

    N times (3, H, W) in [0, 1], (1, H, W) and (1, H, W) integers -> 0 to 1; nan where no two of a class touch

    Label maps say nothing of these borders: without a map of them, adjacent cars run into each other.
    """
    steps: list[Tensor] = []
    for picture, label_map, instance_map in zip(pictures, label_maps, instance_maps, strict=True):
        y = luma(picture[None])[0]
        for axis in (1, 2):
            length = y.shape[axis] - 1
            parts = [
                (plane.narrow(axis, 0, length), plane.narrow(axis, 1, length)) for plane in (label_map, instance_map, y)
            ]
            (label, next_label), (instance, next_instance), (here, there) = parts
            is_border = (label == next_label) & (label >= 0) & (instance != next_instance)
            steps.append((there - here).abs()[is_border])
    return float(torch.cat(steps).mean())
