"""Precision, recall, density and coverage against a plain writing, and where their values are known."""

import numpy as np
import pytest
import torch
from sklearn.metrics import pairwise_distances

from ganvas.errors import UserError
from ganvas.metrics.manifold import density_coverage, precision_recall


def clouds(num=60, others=45, shift=0.7):
    random = torch.Generator().manual_seed(0)
    return torch.randn(num, 5, generator=random), torch.randn(others, 5, generator=random) + shift


def plain_scores(real, fake, k):
    """Written from the papers' formulas with loops."""
    real, fake = real.double().numpy(), fake.double().numpy()
    between = pairwise_distances(real, fake)
    radii = [np.sort(pairwise_distances(side), axis=1)[:, k] for side in (real, fake)]
    precision = np.mean([any(between[i, j] <= radii[0][i] for i in range(len(real))) for j in range(len(fake))])
    recall = np.mean([any(between[i, j] <= radii[1][j] for j in range(len(fake))) for i in range(len(real))])
    density = np.mean([sum(between[i, j] < radii[0][i] for i in range(len(real))) / k for j in range(len(fake))])
    coverage = np.mean([between[i].min() < radii[0][i] for i in range(len(real))])
    return precision, recall, density, coverage


def all_four(real, fake):
    return (*precision_recall(real, fake), *density_coverage(real, fake))


def test_scores_equal_a_plain_writing():
    real, fake = clouds()
    found = all_four(real, fake)
    precision, recall, _, _ = plain_scores(real, fake, 3)
    _, _, density, coverage = plain_scores(real, fake, 5)
    assert [float(part.mean()) for part in found] == pytest.approx([precision, recall, density, coverage])
    assert [len(part) for part in found] == [45, 60, 45, 60]  # of fakes, reals, fakes, reals


def test_sides_change_places():
    real, fake = clouds()
    precision, recall = precision_recall(real, fake)
    assert [x.tolist() for x in precision_recall(fake, real)] == [recall.tolist(), precision.tolist()]


def test_known_situations():
    real, _ = clouds()
    precision, recall, _, coverage = all_four(real, real)
    assert float(precision.mean()) == float(recall.mean()) == float(coverage.mean()) == 1
    far = all_four(real, real + 100)
    assert all(float(part.sum()) == 0 for part in far)
    # One real sample over and over: all fakes are like a real one, and next to nothing is covered.
    copies = real[:1].repeat(20, 1)
    precision, recall = precision_recall(real, copies)
    assert float(precision.mean()) == 1 and float(recall.sum()) == 1
    assert float(density_coverage(real, copies)[1].mean()) < 0.3


def test_near_neighbours_of_large_features_are_told_apart():
    real, fake = clouds()
    near = all_four(real.double(), fake.double())
    shifted = all_four(real.double() + 1e6, fake.double() + 1e6)
    assert all(torch.equal(a, b) for a, b in zip(near, shifted))


def test_too_few_are_named():
    with pytest.raises(UserError, match="6 of each side"):
        density_coverage(torch.rand(5, 2), torch.rand(9, 2))
