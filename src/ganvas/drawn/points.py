"""Distributions whose modes are known: rings and grids of points in the plane, and stacked digits.

One sample is a cloud of many draws, because a draw is too small to be worth a thread: 128 points or 64 pictures. Every
draw is new; the length of the set only says when an epoch ends.
Sources: Srivastava et al. 2017 (VEEGAN) and Lin et al. 2018 (PacGAN), section 4.1, for ring and grid with their
deviations; Metz et al. 2017 for stacked digits, here with the 8 x 8 digits that scikit-learn brings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ganvas.errors import UserError, did_you_mean, need
from ganvas.protocol import Source
from ganvas.values import to_range

POINTS, PICTURES = 128, 64
"""Draws in one sample."""
CLOUDS = 1024
"""Samples in an epoch."""


@dataclass(frozen=True)
class Mixture:
    """Equally likely round normal distributions."""

    centres: Tensor
    """(M, 2)."""
    sigma: float


def ring(parts: int = 8, radius: float = 1.0, sigma: float = 0.01) -> Mixture:
    """Return normal distributions around a circle."""
    angles = torch.arange(parts, dtype=torch.float64) * (2 * math.pi / parts)
    return Mixture((radius * torch.stack([angles.cos(), angles.sin()], 1)).float(), sigma)


def grid(side: int = 5, spacing: float = 2.0, sigma: float = 0.05) -> Mixture:
    """Return normal distributions on a square grid around the origin."""
    steps = spacing * (torch.arange(side) - (side - 1) / 2)
    return Mixture(torch.cartesian_prod(steps, steps), sigma)


MIXTURES = {"ring": ring, "grid": grid}
NAMES = (*MIXTURES, "stacked_digits")


class Clouds(Source):
    """Clouds of points drawn from a mixture: {"real": (POINTS, 2)}."""

    def __init__(self, mixture: Mixture, indices: Sequence[int] = range(CLOUDS)) -> None:
        self.mixture, self._indices = mixture, list(indices)

    def __len__(self) -> int:
        return len(self._indices)

    def groups(self) -> list[str]:
        """Return a group for each cloud: no draw occurs twice."""
        return [str(index) for index in self._indices]

    def subset(self, indices: Sequence[int]) -> Clouds:
        """Return the source of only these clouds."""
        return Clouds(self.mixture, [self._indices[index] for index in indices])

    def sample(self, index: int, random: np.random.Generator) -> dict[str, Tensor]:  # noqa: ARG002
        """Return one cloud."""
        centres = self.mixture.centres.numpy()
        chosen = centres[random.integers(len(centres), size=POINTS)]
        return {"real": torch.from_numpy((chosen + random.normal(0, self.mixture.sigma, chosen.shape)).astype("f4"))}


@dataclass(frozen=True)
class Digits:
    """Gray digits of 8 x 8 px in [0, 1] with their labels, divided so that a classifier can be tested."""

    pictures: Tensor
    """(N, 8, 8) to train on."""
    labels: Tensor
    held_out: Tensor
    held_out_labels: Tensor


def digits(held_out: float = 0.2, seed: int = 0) -> Digits:
    """Return scikit-learn's 1797 digits.

    Raises:
        UserError: scikit-learn is not installed.
    """
    loaded = need("sklearn.datasets", "dev").load_digits()
    pictures = torch.from_numpy(loaded.images).float() / 16
    labels = torch.from_numpy(loaded.target).long()
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(labels)))
    cut = round(held_out * len(labels))
    return Digits(pictures[order[cut:]], labels[order[cut:]], pictures[order[:cut]], labels[order[:cut]])


class StackedDigits(Source):
    """Clouds of pictures whose three channels are three digits, each of the 1000 numbers equally likely.

    {"real": (PICTURES, 3, 8, 8)} in [-1, 1].
    """

    def __init__(self, digits: Digits, indices: Sequence[int] = range(CLOUDS)) -> None:
        self.digits, self._indices = digits, list(indices)
        self._order = torch.argsort(digits.labels, stable=True).numpy()
        self._counts = torch.bincount(digits.labels, minlength=10).numpy()

    def __len__(self) -> int:
        return len(self._indices)

    def groups(self) -> list[str]:
        """Return a group for each cloud."""
        return [str(index) for index in self._indices]

    def subset(self, indices: Sequence[int]) -> StackedDigits:
        """Return the source of only these clouds."""
        return StackedDigits(self.digits, [self._indices[index] for index in indices])

    def sample(self, index: int, random: np.random.Generator) -> dict[str, Tensor]:  # noqa: ARG002
        """Return one cloud."""
        labels = random.integers(10, size=3 * PICTURES)
        # First of its label, and how far into it.
        place = (np.cumsum(self._counts) - self._counts)[labels] + random.integers(self._counts[labels])
        chosen = self.digits.pictures[torch.from_numpy(self._order[place])]
        return {"real": to_range(chosen.unflatten(0, (PICTURES, 3)))}


def source(name: str) -> Clouds | StackedDigits:
    """Return a distribution by name: `ring`, `grid` or `stacked_digits`.

    Raises:
        UserError: there is no such distribution.
    """
    if name in MIXTURES:
        return Clouds(MIXTURES[name]())
    if name == "stacked_digits":
        return StackedDigits(digits())
    raise UserError(f"There is no distribution {name!r} with known modes", do=did_you_mean(name, NAMES))
