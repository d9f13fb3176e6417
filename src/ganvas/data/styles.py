"""Styles: what an encoder says of many instances, gathered to a few choices for each class.

An instance's style is the mean of an encoder's features over its pixels. Over a data set the styles of one class are
clustered (k-means), and the centres are what a user chooses from. Source: Wang et al. 2018 (pix2pixHD), section 3.4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ganvas.errors import UserError, did_you_mean

CENTERS = 10
"""Styles of a class at most; the paper's number."""
SHARE = 1 / 64
"""Instances of at least this share of their picture count; a class that has none of those takes what it has."""
ROUNDS = 100


@dataclass(frozen=True)
class Styles:
    """The styles of every class, ordered by class and, within it, commonest first."""

    labels: Tensor
    """(N,) class of each style."""
    centers: Tensor
    """(N, F)."""
    counts: Tensor
    """(N,) instances that each style stands for."""

    def of(self, label: int) -> Tensor:
        """Return the styles of a class, (k, F); none for a class that no instance belonged to."""
        return self.centers[self.labels == label]

    def tensors(self) -> dict[str, Tensor]:
        """Return what is stored in a run."""
        return {"labels": self.labels, "centers": self.centers, "counts": self.counts}

    @classmethod
    def from_attachments(cls, attachments: Mapping[str, Tensor], name: str = "styles") -> Styles | None:
        """Return the styles that stand among a weight file's attachments, None where there are none."""
        try:
            return cls(*(attachments[f"{name}.{key}"] for key in ("labels", "centers", "counts")))
        except KeyError:
            return None


@dataclass(frozen=True)
class Observed:
    """Instances that were encoded: class, share of their picture, and features, row by row."""

    labels: Tensor
    """(N,) integers."""
    shares: Tensor
    """(N,) in [0, 1]."""
    features: Tensor
    """(N, F)."""


def cluster(observed: Observed, centers: int = CENTERS, share: float = SHARE, seed: int = 0) -> Styles:
    """Return the styles of every class that occurs: k-means of its instances' features.

    Raises:
        UserError: nothing was observed, or no centres are wanted.
    """
    if centers < 1:
        raise UserError(f"A class cannot have {centers} styles", do="Use 1 or more; the paper's number is 10")
    if not len(observed.labels):
        raise UserError("There are no styles to gather", "No instance was encoded")
    found: list[tuple[int, Tensor, Tensor]] = []
    for label in observed.labels.unique().tolist():
        mine = observed.labels == label
        large = mine & (observed.shares >= share)
        points = observed.features[large if bool(large.any()) else mine]
        # Seeded by the class, so that a new class leaves the styles of the others as they were.
        middles, counts = k_means(points, centers, np.random.default_rng([seed, label & 0xFFFFFFFF]))
        found.append((label, middles, counts))
    labels = torch.cat([torch.full((len(counts),), label) for label, _, counts in found])
    return Styles(labels, torch.cat([middles for _, middles, _ in found]), torch.cat([counts for *_, counts in found]))


def k_means(points: Tensor, centers: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return at most so many cluster centres of points, those of the largest clusters first, and their sizes.

    (N, F) -> (k, F), (k,)

    Begun by k-means++ (Arthur and Vassilvitskii 2007) and repeated until no point changes its cluster. There are fewer
    centres than asked for where there are fewer different points.
    """
    values = points.double().numpy()
    middles = _spread(values, centers, random)
    owners = np.full(len(values), -1)
    for _ in range(ROUNDS):
        nearest = _distances(values, middles).argmin(1)
        if (nearest == owners).all():
            break
        owners = nearest
        kept = np.unique(owners)
        middles = np.stack([values[owners == cluster].mean(0) for cluster in kept])
        owners = np.searchsorted(kept, owners)
    counts = np.bincount(owners, minlength=len(middles))
    order = np.argsort(-counts, kind="stable")
    return torch.from_numpy(middles[order]).float(), torch.from_numpy(counts[order])


def _spread(values: np.ndarray, centers: int, random: np.random.Generator) -> np.ndarray:
    chosen = [values[random.integers(len(values))]]
    while len(chosen) < centers:
        distances = _distances(values, np.stack(chosen)).min(1)
        if distances.max() <= 1e-12:
            break
        chosen.append(values[random.choice(len(values), p=distances / distances.sum())])
    return np.stack(chosen)


def _distances(values: np.ndarray, middles: np.ndarray) -> np.ndarray:
    return np.square(values[:, None] - middles[None]).sum(-1)


def class_of(name: str, legend: Sequence[Mapping[str, object]], num_labels: int) -> int:
    """Return the id of a class by its name in the legend, or by its number.

    Raises:
        UserError: there is no such class.
    """
    for entry in legend:
        if str(entry["name"]) == name:
            return int(str(entry["id"]))
    if name.lstrip("-").isdigit() and 0 <= int(name) < num_labels:
        return int(name)
    names = [str(entry["name"]) for entry in legend]
    do = did_you_mean(name, names) if names else f"Use a number from 0 to {num_labels - 1}"
    raise UserError(f"There is no class {name!r}", do=do)
