"""The score of grids against grids of known energy, and against pictures that have none."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ganvas.errors import UserError
from ganvas.metrics.grids import TILE_PX, grid_energy


def noise(number: int = 24, height: int = 128, width: int = 192, deviation: float = 0.1) -> Tensor:
    return 0.5 + deviation * torch.randn(number, 1, height, width, generator=torch.Generator().manual_seed(0)).expand(
        -1, 3, -1, -1
    )


def wave(height: int, width: int, period: int, along: str) -> Tensor:
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    place = {"rows": rows, "columns": columns, "both": rows + columns}[along]
    return torch.cos(2 * math.pi * place / period)


def test_white_noise_has_next_to_none() -> None:
    assert all(abs(energy) < 2 for energy in grid_energy(noise()).values())


@pytest.mark.parametrize("along", ["rows", "columns", "both"])
@pytest.mark.parametrize("period", [2, 4, 8])
def test_a_wave_has_the_energy_of_the_closed_form(period: int, along: str) -> None:
    amplitude, deviation = 0.05, 0.1
    pictures = noise() + amplitude * wave(128, 192, period, along)
    # Under a window w, a wave of amplitude A has the power (A/2)^2 (sum w)^2, at half the sampling frequency A^2 times
    # (sum w)^2. White noise has its variance times sum w^2; (sum w)^2 / sum w^2 of a Hann window is 2/3 L.
    power = amplitude**2 / (1 if period == 2 else 4)
    expected = 10 * math.log10(1 + power * (TILE_PX * 2 / 3) ** 2 / deviation**2)
    found = grid_energy(pictures)
    assert found[period] == pytest.approx(expected, abs=1)
    assert all(abs(found[finer]) < 2 for finer in (2, 4) if finer < period)
    # A pattern of a finer grid is one of the coarser ones, too.
    assert all(found[coarser] >= found[period] for coarser in (4, 8) if coarser > period)


def test_patterns_of_other_periods_are_no_grid() -> None:
    pictures = noise() + 0.05 * wave(128, 192, 16, "columns")
    assert all(abs(energy) < 2 for energy in grid_energy(pictures).values())


def test_brightness_and_contrast_change_nothing() -> None:
    pictures = noise() + 0.03 * wave(128, 192, 4, "rows")
    assert grid_energy(pictures * 0.4 + 0.2)[4] == pytest.approx(grid_energy(pictures)[4], abs=1e-3)


def test_a_flat_picture_has_none() -> None:
    assert grid_energy(torch.full((2, 3, 64, 64), 0.25)) == {2: 0, 4: 0, 8: 0}


def test_small_pictures_and_none_are_refused() -> None:
    with pytest.raises(UserError, match="64"):
        grid_energy(torch.zeros(1, 3, 64, 63))
    with pytest.raises(UserError, match="no pictures"):
        grid_energy([])
