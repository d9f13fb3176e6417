"""Mode coverage and sliced distances against closed forms and hand counts."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import entropy, wasserstein_distance

from ganvas.errors import UserError
from ganvas.metrics.coverage import (
    coverage_of_classes,
    coverage_of_points,
    divergence_from_uniform,
    expected_modes,
    train_reader,
)
from ganvas.metrics.sliced import pyramid_distances, sliced_wasserstein

CENTRES = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])


def test_divergence_is_scipys_and_its_extremes_are_known():
    counts = torch.tensor([5, 0, 3, 2])
    assert divergence_from_uniform(counts) == pytest.approx(entropy([5, 0, 3, 2], [1, 1, 1, 1]), abs=1e-12)
    assert divergence_from_uniform(torch.tensor([4, 4, 4])) == pytest.approx(0.0, abs=1e-12)
    assert divergence_from_uniform(torch.tensor([0, 9, 0])) == pytest.approx(math.log(3))
    with pytest.raises(UserError):
        divergence_from_uniform(torch.zeros(3))


def test_points_are_counted_as_by_hand():
    samples = torch.tensor([
        [0.0, 0.0], [0.0, 0.29], [0.25, 0.25],  # centre 0: two within 0.3, one at 0.354
        [10.0, 0.1],                            # centre 1, good
        [1.0, 9.0], [0.0, 10.5],                # centre 2, none good
        [float("nan"), 0.0], [float("inf"), 1.0],
    ])  # fmt: skip
    found = coverage_of_points(samples, CENTRES, sigma=0.1, within=3.0)
    assert found.modes == 2
    assert found.quality == pytest.approx(3 / 8)
    assert found.divergence == pytest.approx(entropy([3, 1, 2, 0], [1] * 4))
    with pytest.raises(UserError, match="diverged"):
        coverage_of_points(torch.full((4, 2), float("nan")), CENTRES, sigma=0.1)


def test_true_samples_score_as_they_must():
    random = torch.Generator().manual_seed(0)
    place = torch.randint(4, (20_000,), generator=random)
    samples = CENTRES[place] + 0.1 * torch.randn(20_000, 2, generator=random)
    found = coverage_of_points(samples, CENTRES, sigma=0.1)
    # The share within 3 sigma of a round normal distribution in the plane is 1 - exp(-9/2).
    assert found.modes == 4 and abs(found.quality - (1 - math.exp(-4.5))) < 2e-3
    # Even draws have an expected divergence of (modes - 1) / (2 draws).
    assert found.divergence < 10 * 3 / 40_000


def test_classes_and_the_modes_that_chance_shows():
    labels = torch.tensor([0, 0, 3, 9])
    found = coverage_of_classes(labels, 10)
    assert found.modes == 3 and found.divergence == pytest.approx(entropy([2, 1, 1], [1, 1, 1]) + math.log(10 / 3))
    assert expected_modes(10, 1) == pytest.approx(1.0)
    assert expected_modes(2, 2) == pytest.approx(1.5)
    assert expected_modes(1000, 26_000) == pytest.approx(1000, abs=1e-6)


def test_the_reader_reads_what_it_was_not_trained_on():
    random = torch.Generator().manual_seed(1)
    labels = torch.randint(3, (300,), generator=random)
    # A bright row tells the class.
    pictures = 0.3 * torch.rand(300, 8, 8, generator=random)
    pictures[torch.arange(300), labels * 2] += 0.7
    fixed = torch.random.get_rng_state()
    reader = train_reader(pictures[:200], labels[:200], pictures[200:], labels[200:], steps=60)
    assert torch.equal(fixed, torch.random.get_rng_state())
    assert reader.held_out_accuracy > 0.95
    stacked = pictures[200:203][None]
    assert reader.read_stacked(stacked).tolist() == [int(labels[200]) * 100 + int(labels[201]) * 10 + int(labels[202])]


def test_in_one_dimension_it_is_scipys_wasserstein_distance():
    random = torch.Generator().manual_seed(0)
    one, other = torch.randn(50, 1, generator=random), 2 * torch.randn(50, 1, generator=random) + 1
    expected = wasserstein_distance(one[:, 0].numpy(), other[:, 0].numpy())
    assert float(sliced_wasserstein(one, other, random)) == pytest.approx(expected, rel=1e-5)


def test_a_shift_in_the_plane_has_a_closed_form():
    # Every projection is shifted by |cos| of the shift's length; its mean over directions is 2 / pi.
    random = torch.Generator().manual_seed(0)
    points = torch.randn(100, 2, generator=random)
    distance = float(sliced_wasserstein(points, points + torch.tensor([3.0, 0.0]), random, directions=5000))
    assert distance == pytest.approx(3 * 2 / math.pi, rel=0.03)
    with pytest.raises(UserError, match="equally large"):
        sliced_wasserstein(points, points[:50], random)


def test_pyramid_distances_are_zero_for_equal_sets_and_tell_the_scale_of_a_difference():
    random = torch.Generator().manual_seed(0)
    real = torch.nn.functional.interpolate(torch.rand(8, 3, 8, 8, generator=random), 64, mode="bilinear")
    assert set(pyramid_distances(real, real.clone())) == {64, 32, 16}
    assert max(pyramid_distances(real, real.clone()).values()) == 0.0
    noisy = real + 0.02 * torch.randn(real.shape, generator=random)
    fine, flat = pyramid_distances(real, noisy), pyramid_distances(real, real + 0.3)
    assert fine[64] > 5 * fine[16]
    assert flat[16] > 5 * flat[64]
    with pytest.raises(UserError, match="16 px"):
        pyramid_distances(real[..., :8, :8], real[..., :8, :8])
