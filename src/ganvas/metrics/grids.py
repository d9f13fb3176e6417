"""Grids that decoders leave in pictures, read off the mean spectrum."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ganvas.errors import UserError
from ganvas.metrics.paired import luma

PERIODS_PX = (2, 4, 8)
"""A decoder's last three doublings leave patterns of these periods."""
TILE_PX = 64
REACH = 3
"""The neighbourhood of a frequency: up to so many steps of 1/64 away, itself and what its window reaches left out."""


def grid_energy(pictures: Sequence[Tensor] | Tensor) -> dict[int, float]:
    """Return how high the mean spectrum peaks at multiples of 1/2, 1/4 and 1/8 of the sampling frequency.

    N times (3, H, W) in [0, 1] -> {2: dB, 4: dB, 8: dB}

    The spectrum is the power of luma in tiles of 64 px under a Hann window, half overlapping, averaged over tiles and
    pictures. A peak is the power at a frequency (i/n, j/n) over the median of its neighbourhood, which for horizontal
    and vertical waves lies on their axis alone; the highest counts. It is a maximum of estimates, so that pictures
    without a grid have some decibels, too, fewer the more pictures there are: read it beside real ones.

    Raises:
        UserError: there is no picture, or one is smaller than 64 px.
    """
    if not len(pictures):
        raise UserError("There are no pictures whose grids could be measured")
    window = torch.hann_window(TILE_PX, periodic=True)
    total, number = torch.zeros(TILE_PX, TILE_PX, dtype=torch.float64), 0
    for picture in pictures:
        height, width = picture.shape[-2:]
        if min(height, width) < TILE_PX:
            raise UserError(f"A picture has {width} x {height} px", f"Grids are measured from {TILE_PX} px a side")
        y = luma(picture[None].float().cpu())[0, 0]
        tiles = y.unfold(0, TILE_PX, TILE_PX // 2).unfold(1, TILE_PX, TILE_PX // 2).flatten(0, 1)
        tiles = (tiles - tiles.mean((1, 2), keepdim=True)) * window * window[:, None]
        total += torch.fft.fft2(tiles).abs().square().double().sum(0)
        number += len(tiles)
    spectrum = total / number
    return {period: max(_rise(spectrum, *place) for place in _places(period)) for period in PERIODS_PX}


def _places(period: int) -> Iterator[tuple[int, int]]:
    step = TILE_PX // period
    multiples = range(0, TILE_PX, step)
    return (place for place in itertools.product(multiples, multiples) if place != (0, 0))


def _rise(spectrum: Tensor, row: int, column: int) -> float:
    """Return the power at a frequency over the median of those around it, in dB."""
    steps = range(-REACH, REACH + 1)
    rows, columns = (steps if side else [0] for side in (row, column))
    # A Hann window spreads a wave over the next step on both sides: those are neither peak nor neighbourhood.
    around = [(i, j) for i, j in itertools.product(rows, columns) if max(abs(i), abs(j)) > 1]
    floor = torch.stack([spectrum[(row + i) % TILE_PX, (column + j) % TILE_PX] for i, j in around]).median()
    return float(10 * torch.log10(spectrum[row, column].clamp_min(1e-12) / floor.clamp_min(1e-12)))
