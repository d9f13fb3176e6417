"""Distributions with known modes: their moments, and that every draw is new yet repeatable."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ganvas.drawn import points
from ganvas.errors import UserError


def draws(source, number):
    return torch.cat([source.sample(0, np.random.default_rng(seed))["real"] for seed in range(number)])


@pytest.mark.parametrize(("name", "parts", "sigma"), [("ring", 8, 0.01), ("grid", 25, 0.05)])
def test_points_lie_evenly_around_their_centres(name, parts, sigma):
    source = points.source(name)
    centres = source.mixture.centres
    assert centres.shape == (parts, 2) and torch.allclose(centres.mean(0), torch.zeros(2), atol=1e-6)
    real = draws(source, 100)
    distance, nearest = torch.cdist(real, centres).min(1)
    # Nearest centres are dozens of sigma apart, so distances follow a Rayleigh distribution: mean sigma sqrt(pi/2).
    assert abs(float(distance.mean()) / (sigma * math.sqrt(math.pi / 2)) - 1) < 0.02
    counts = torch.bincount(nearest, minlength=parts).double()
    expected = len(real) / parts
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert chi_square < parts + 5 * math.sqrt(2 * parts)


def test_a_sample_depends_on_its_generator_alone():
    source = points.source("ring")
    one, other = (source.sample(0, np.random.default_rng(7))["real"] for _ in range(2))
    assert torch.equal(one, other)
    assert not torch.equal(one, source.sample(0, np.random.default_rng(8))["real"])
    assert len(source.subset([1, 2, 3])) == 3 and len(set(source.groups())) == len(source)


def test_stacked_digits_are_digits_of_every_label_in_every_channel():
    known = points.digits()
    assert len(known.labels) + len(known.held_out_labels) == 1797
    source = points.StackedDigits(known)
    real = draws(source, 8)
    assert real.shape == (8 * points.PICTURES, 3, 8, 8) and float(real.min()) >= -1 and float(real.max()) <= 1
    # Each channel is one of the training digits, pixel by pixel; labels come out evenly.
    flat = real.flatten(0, 1).flatten(1)
    distance, place = torch.cdist(flat, known.pictures.flatten(1) * 2 - 1).min(1)
    assert float(distance.max()) < 1e-3
    shares = torch.bincount(known.labels[place], minlength=10).double() / len(flat)
    assert float((shares - 0.1).abs().max()) < 0.04


def test_an_unknown_distribution_is_named_with_its_neighbours():
    with pytest.raises(UserError, match="grid"):
        points.source("grids")
