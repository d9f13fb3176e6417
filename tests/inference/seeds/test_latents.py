"""Noise by seed: distributions of every kind of truncation against SciPy's, arcs, and lists of numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from ganvas.errors import UserError
from ganvas.inference.seeds.latents import between, latents, parse_numbers

SEEDS = range(3000)


def test_a_seed_makes_its_noise_whatever_is_beside_it():
    alone, beside = latents([7], 16), latents([3, 7, 1], 16)
    assert torch.equal(alone[0], beside[1]) and not torch.equal(beside[0], beside[1])


def test_without_truncation_noise_is_normal():
    values = latents(SEEDS, 4, dtype=torch.float64).numpy().ravel()
    assert stats.kstest(values, "norm").pvalue > 0.01


@pytest.mark.parametrize("threshold", [0.1, 0.5, 1.5])
def test_value_is_the_truncated_normal_distribution(threshold):
    values = latents(SEEDS, 4, threshold, dtype=torch.float64).numpy().ravel()
    assert np.abs(values).max() <= threshold
    assert stats.kstest(values, stats.truncnorm(-threshold, threshold).cdf).pvalue > 0.01


def test_scaled_is_the_demonstrations_definition():
    values = latents(SEEDS, 4, 0.4, "scaled", torch.float64).numpy().ravel()
    assert stats.kstest(values / 0.4, stats.truncnorm(-2, 2).cdf).pvalue > 0.01


@pytest.mark.parametrize(("length", "threshold"), [(1, 0.7), (8, 2.0), (8, 4.0), (120, 10.0)])
def test_norm_draws_lengths_from_the_truncated_chi_distribution(length, threshold):
    drawn = latents(SEEDS, length, threshold, "norm", torch.float64)
    radii = drawn.norm(dim=1).numpy()
    assert radii.max() <= threshold * (1 + 1e-9)
    chi = stats.chi(length)
    assert stats.kstest(radii, lambda r: chi.cdf(r) / chi.cdf(threshold)).pvalue > 0.01
    # The direction stays that of the seed.
    plain = latents(SEEDS, length, dtype=torch.float64)
    torch.testing.assert_close(drawn / drawn.norm(dim=1, keepdim=True), plain / plain.norm(dim=1, keepdim=True))


def test_norm_of_a_threshold_that_rejection_would_never_reach():
    radii = latents(range(500), 512, 1.0, "norm", torch.float64).norm(dim=1).numpy()
    # The volume of a ball of 512 dimensions lies at its surface: lengths are distributed as r^512.
    assert stats.kstest(radii, lambda r: r**512).pvalue > 0.01


def test_clamp_and_variance():
    plain = latents([5], 64, dtype=torch.float64)
    assert torch.equal(latents([5], 64, 0.3, "clamp", torch.float64), plain.clamp(-0.3, 0.3))
    torch.testing.assert_close(latents([5], 64, 0.25, "variance", torch.float64), plain / 2)


@pytest.mark.parametrize("kind", ["value", "norm"])
def test_a_wide_threshold_gives_the_untruncated_noise(kind):
    torch.testing.assert_close(latents([1, 2], 16, 30.0, kind), latents([1, 2], 16), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("truncation", "seed"), [(0.0, 1), (-1.0, 1), (float("nan"), 1), (0.5, -1)])
def test_impossible_truncations_and_seeds_are_refused(truncation, seed):
    with pytest.raises(UserError):
        latents([seed], 4, truncation)


def test_arcs_begin_and_end_where_they_should_and_keep_their_length():
    a, b = latents([1, 2, 3], 32), latents([4, 5, 6], 32)
    assert torch.equal(between(a, b, 0.0), a) and torch.equal(between(a, b, 1.0), b)
    middle = between(a, b, 0.5)
    torch.testing.assert_close(middle.norm(dim=1), (a.norm(dim=1) + b.norm(dim=1)) / 2)
    angles = [torch.nn.functional.cosine_similarity(middle, side) for side in (a, b)]
    torch.testing.assert_close(angles[0], angles[1])
    torch.testing.assert_close(between(a, a, 0.3), a)


def test_lists_of_numbers():
    assert parse_numbers("0-3, 7") == [0, 1, 2, 3, 7]
    for wrong in ("", "3-1", "a", "1-", "-1"):
        with pytest.raises(UserError):
            parse_numbers(wrong)
