"""Are the fakes like real pictures, and do they cover them? Precision and recall, density and coverage, by features.

Each sample stands for a ball that reaches to its k-th nearest neighbour on its own side. Values are kept for every
sample, so that intervals by bootstrap are those of means. Sources: Kynkaanniemi et al. 2019 (improved precision and
recall, k = 3); Naeem et al. 2020 (density and coverage, k = 5).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ganvas.errors import UserError

CHUNK = 1024


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> tuple[Tensor, Tensor]:
    """Return for each fake whether it lies among the reals, and for each real whether it lies among the fakes.

    (M, D), (N, D) -> (N,), (M,)

    Raises:
        UserError: a side has no more than k samples, or the dimensions differ.
    """
    radii_real, radii_fake = _radii(real, fake, k)
    precision = [(far <= radii_real).any(1) for far in _distances(fake, real)]
    recall = [(far <= radii_fake).any(1) for far in _distances(real, fake)]
    return torch.cat(precision).double(), torch.cat(recall).double()


def density_coverage(real: Tensor, fake: Tensor, k: int = 5) -> tuple[Tensor, Tensor]:
    """Return for each fake how many real balls hold it, over k, and for each real whether its ball holds a fake.

    (M, D), (N, D) -> (N,), (M,)

    Raises:
        UserError: as `precision_recall`.
    """
    radii, _ = _radii(real, fake, k)
    density = [(far < radii).sum(1) / k for far in _distances(fake, real)]
    nearest = torch.cat([far.amin(1) for far in _distances(real, fake)])
    return torch.cat(density).double(), (nearest < radii).double()


def _radii(real: Tensor, fake: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the distance of each sample to its k-th neighbour on its own side."""
    if real.shape[1] != fake.shape[1]:
        why = f"They have {real.shape[1]} and {fake.shape[1]} dimensions"
        raise UserError("These features are not of one network", why)
    if min(len(real), len(fake)) <= k:
        why = f"{k + 1} of each side are needed"
        raise UserError(f"{min(len(real), len(fake))} pictures have no {k}-th neighbour", why, "Give more pictures")
    # The nearest of all is the sample itself.
    radii = [torch.cat([far.kthvalue(k + 1).values for far in _distances(side, side)]) for side in (real, fake)]
    return radii[0], radii[1]


def _distances(rows: Tensor, columns: Tensor) -> Iterator[Tensor]:
    columns = columns.double()
    # By differences, not by products: near neighbours of large features would drown in rounding.
    mode = "donot_use_mm_for_euclid_dist"
    return (torch.cdist(chunk.double(), columns, compute_mode=mode) for chunk in rows.split(CHUNK))
