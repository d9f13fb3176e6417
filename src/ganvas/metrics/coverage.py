"""Mode coverage: how many modes of a distribution a generator makes, and how evenly, where the modes are known.

Points belong to the nearest centre of a mixture; stacked digits to one of 1000 numbers that a small classifier reads
off. Sources: Srivastava et al. 2017 (VEEGAN), section 4; Lin et al. 2018 (PacGAN), section 4.1, for the definitions;
Metz et al. 2017 (Unrolled GAN), section 3.3.1, for stacked digits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.errors import UserError


class Coverage(NamedTuple):
    """What a set of samples covers."""

    modes: int
    """Modes with at least one sample of high quality."""
    divergence: float
    """KL(distribution of the samples over modes || uniform) in nats: 0 when even, log(modes there are) at worst."""
    quality: float
    """Share of the samples of high quality; 1 where quality is not measured."""


def divergence_from_uniform(counts: Tensor) -> float:
    """Return KL(p || uniform) in nats of the distribution that counts, (M,), stand for.

    Raises:
        UserError: nothing was counted.
    """
    total = float(counts.sum())
    if not total:
        raise UserError("No samples were counted", "Their distribution over modes is undefined")
    p = counts.double() / total
    return float(torch.special.xlogy(p, p * len(p)).sum())


def coverage_of_points(samples: Tensor, centres: Tensor, sigma: float, within: float = 3.0) -> Coverage:
    """Return the coverage of a mixture of equally likely round normal distributions.

    Every sample counts for its nearest centre in the divergence; it is of high quality when it lies within `within`
    sigma of it.

    Args:
        samples: (N, D); values that are not finite lie nowhere.
        centres: (M, D).
        sigma: standard deviation of each part along each axis.
        within: radius of high quality in sigma.

    Raises:
        UserError: there is no finite sample.
    """
    finite = samples[samples.isfinite().all(1)].double()
    if not len(finite):
        raise UserError("None of the samples is finite", "The generator has diverged")
    distance, nearest = torch.cdist(finite, centres.double()).min(1)
    good = distance <= within * sigma
    counts = torch.bincount(nearest, minlength=len(centres))
    modes = int((torch.bincount(nearest[good], minlength=len(centres)) > 0).sum())
    return Coverage(modes, divergence_from_uniform(counts), float(good.sum()) / len(samples))


def coverage_of_classes(labels: Tensor, num_classes: int) -> Coverage:
    """Return the coverage of classes from the label of each sample, (N,)."""
    counts = torch.bincount(labels, minlength=num_classes)
    return Coverage(int((counts > 0).sum()), divergence_from_uniform(counts), 1.0)


def expected_modes(num_modes: int, num_samples: int) -> float:
    """Return how many modes a perfect generator shows on average in so many samples."""
    return num_modes * -math.expm1(num_samples * math.log1p(-1 / num_modes))


@dataclass(frozen=True)
class Reader:
    """A classifier of small gray pictures, and how well it read those that it was not trained on."""

    network: nn.Module
    held_out_accuracy: float

    @torch.no_grad()
    def read(self, pictures: Tensor) -> Tensor:
        """Return the class of each picture: (B, H, W) in [0, 1] -> (B,)."""
        return self.network(pictures.float()).argmax(1)

    def read_stacked(self, pictures: Tensor) -> Tensor:
        """Return the number 0 to 999 that three digits stacked as channels stand for: (B, 3, H, W) -> (B,)."""
        digits = self.read(pictures.flatten(0, 1)).unflatten(0, (len(pictures), 3))
        return digits @ digits.new_tensor([100, 10, 1])


def train_reader(
    pictures: Tensor, labels: Tensor, held_out: Tensor, held_out_labels: Tensor, seed: int = 0, steps: int = 600
) -> Reader:
    """Train a small convolutional classifier in a few seconds, the same one for the same seed.

    Args:
        pictures: (N, H, W) in [0, 1], each side a multiple of 2.
        labels: (N,) integers from 0.
        held_out: pictures that are only used to measure the accuracy.
        held_out_labels: their labels.
        seed: of weights and batches.
        steps: batches of 128 pictures.
    """
    random = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        side = pictures.shape[-1] // 2
        network = nn.Sequential(
            nn.Unflatten(1, (1, pictures.shape[-2])), nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Flatten(),
            nn.Linear(32 * (pictures.shape[-2] // 2) * side, 64), nn.ReLU(), nn.Linear(64, int(labels.max()) + 1),
        )  # fmt: skip
    adam = torch.optim.Adam(network.parameters(), lr=2e-3)
    with torch.enable_grad():
        for _ in range(steps):
            rows = torch.randint(len(pictures), (128,), generator=random)
            noisy = pictures[rows] + 0.1 * torch.randn(pictures[rows].shape, generator=random)
            adam.zero_grad()
            F.cross_entropy(network(noisy), labels[rows]).backward()
            adam.step()
    network.eval().requires_grad_(False)
    reader = Reader(network, 0.0)
    return Reader(network, float((reader.read(held_out) == held_out_labels).float().mean()))
