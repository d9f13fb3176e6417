"""Distances between sets against closed forms, SciPy and torchmetrics, also with fewer samples than dimensions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.linalg import sqrtm

from ganvas.errors import UserError
from ganvas.metrics import distribution
from ganvas.metrics.distribution import Reference, Statistics, frechet_distance


def features(num, dimensions, seed=0, shift=0.0):
    random = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dimensions, dimensions, generator=random)
    return torch.randn(num, dimensions, generator=random) @ mixing / dimensions**0.5 + shift


def statistics(mean, covariance):
    """Statistics with given moments, as if of many samples."""
    made = Statistics(len(mean))
    made.num, made.mean, made.scatter = 1001, mean.double(), covariance.double() * 1000
    return made


def by_scipy(a, b):
    a, b = a.double().numpy(), b.double().numpy()
    product = np.cov(a.T) @ np.cov(b.T)
    root = np.real(np.trace(sqrtm(product)))
    return np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(np.cov(a.T)) + np.trace(np.cov(b.T)) - 2 * root


def by_singular_values(a, b):
    """tr (S1 S2)^1/2 is the nuclear norm of A B^T for centred A and B: exact for few samples, no covariance needed."""
    a, b = a.double(), b.double()
    centred = [(x - x.mean(0)) / (len(x) - 1) ** 0.5 for x in (a, b)]
    root = torch.linalg.svdvals(centred[0] @ centred[1].T).sum()
    return float((a.mean(0) - b.mean(0)).square().sum() + sum(c.square().sum() for c in centred) - 2 * root)


def test_streamed_statistics_equal_numpy():
    x = features(2500, 7, shift=1000.0).double()
    streamed = Statistics.of(x.split([1, 1100, 3, 1396]))
    np.testing.assert_allclose(streamed.mean, x.numpy().mean(0), rtol=1e-13)
    np.testing.assert_allclose(streamed.covariance, np.cov(x.numpy().T), rtol=1e-9, atol=1e-10)
    other = Statistics.of(x[:900])
    other.merge(Statistics.of(x[900:]))
    torch.testing.assert_close(other.covariance, streamed.covariance, rtol=1e-9, atol=1e-10)


def test_distance_of_gaussians_with_a_closed_form():
    mean, spread = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([1.0, 4.0, 0.25])
    first = statistics(torch.zeros(3), torch.eye(3))
    second = statistics(mean, torch.diag(spread))
    expected = float(mean.square().sum() + (spread.sqrt() - 1).square().sum())
    assert frechet_distance(first, second) == pytest.approx(expected, abs=1e-12)
    assert frechet_distance(first, statistics(torch.zeros(3), torch.zeros(3, 3))) == pytest.approx(3)


@pytest.mark.parametrize(("num", "others"), [(400, 300), (40, 30), (300, 20), (20, 300), (2, 2)])
def test_distance_equals_scipy_and_singular_values(num, others):
    """With fewer samples than the 64 dimensions the covariances are singular."""
    a, b = features(num, 64), features(others, 64, seed=1, shift=0.1)
    ours = frechet_distance(Statistics.of(a), Statistics.of(b))
    assert ours == pytest.approx(by_singular_values(a, b), rel=1e-5)
    if min(num, others) > 64:
        assert ours == pytest.approx(by_scipy(a, b), rel=1e-6)


def test_distance_equals_torchmetrics_on_given_features():
    from torchmetrics.image.fid import _compute_fid

    a, b = features(500, 32), features(400, 32, seed=3)
    first, second = Statistics.of(a), Statistics.of(b)
    theirs = _compute_fid(first.mean, first.covariance, second.mean, second.covariance)
    assert frechet_distance(first, second) == pytest.approx(float(theirs), rel=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), num=st.integers(2, 40), dimensions=st.integers(1, 12))
def test_distance_is_a_distance_and_knows_no_directions(seed, num, dimensions):
    a, b = features(num, dimensions, seed).double(), features(num + 3, dimensions, seed + 1).double()
    first, second = Statistics.of(a), Statistics.of(b)
    between = frechet_distance(first, second)
    scale = 1 + between
    assert frechet_distance(first, first) <= 1e-6 * scale
    assert frechet_distance(second, first) == pytest.approx(between, abs=1e-6 * scale)
    rotation, _ = torch.linalg.qr(torch.randn(dimensions, dimensions, dtype=torch.float64))
    rotated = frechet_distance(Statistics.of(3 * a @ rotation + 5), Statistics.of(3 * b @ rotation + 5))
    assert rotated == pytest.approx(9 * between, abs=1e-5 * scale)


def test_extrapolation_takes_the_bias_off():
    """Equal distributions are at distance 0; two hundred samples say otherwise, their extrapolation hardly."""
    real = Statistics.of(torch.randn(20_000, 24, generator=torch.Generator().manual_seed(1)))
    fake = torch.randn(400, 24, generator=torch.Generator().manual_seed(2))
    reference = Reference(real)
    measured = reference.distance(Statistics.of(fake))
    beyond = distribution.frechet_at_infinity(reference, fake)
    assert measured > 0.3
    assert abs(beyond.value) < measured / 3
    assert beyond.low < 0.05 and beyond.high > -0.05
    assert distribution.frechet_at_infinity(reference, fake) == pytest.approx(beyond, abs=1e-9)
    with pytest.raises(UserError, match="kid"):
        distribution.frechet_at_infinity(reference, fake[:39])


def test_an_interval_holds_the_mean_in_95_percent_of_cases_whatever_the_number_of_pictures():
    random = torch.Generator().manual_seed(5)
    for num in (2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 100, 200):
        found = [distribution.mean_estimate(torch.randn(num, generator=random) * 2 + 30) for _ in range(1500)]
        held = sum(one.low <= 30 <= one.high for one in found) / len(found)
        assert 0.935 < held < 0.965, num
    assert math.isnan(distribution.mean_estimate(torch.ones(1)).low)
    assert math.isnan(distribution.mean_estimate(torch.ones(9), resamples=0).low)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_an_interval_of_a_share_holds_it_and_is_never_without_width(share):
    random = torch.Generator().manual_seed(6)
    held = []
    for num in (5, 10, 20, 40, 80, 160):
        for _ in range(300):
            found = distribution.mean_estimate((torch.rand(num, generator=random) < share).float())
            assert 0 <= found.low <= found.value <= found.high <= 1 and found.high > found.low
            held.append(found.low <= share <= found.high)
    # Wilson's covers 95 % in the mean over numbers, not at each of them.
    assert 0.93 < sum(held) / len(held) < 0.98


def test_bootstrap_finds_the_standard_error_for_few_samples_too():
    for num in (5, 50, 400):
        values = torch.randn(num, generator=torch.Generator().manual_seed(num)).double() * 3 + 1
        found = distribution.estimate(lambda rows, values=values: float(values[rows].mean()), num, resamples=3000)
        wanted = stats.t.ppf(0.975, num - 1) * float(values.std()) / math.sqrt(num)
        assert found.high - found.value == pytest.approx(wanted, rel=0.05)


def test_bootstrapped_distances_cover_what_new_samples_give():
    reference = Reference(Statistics.of(features(4000, 8)))
    random = torch.Generator().manual_seed(8)
    everything = features(4000, 8)
    draws = [everything[torch.randint(4000, (150,), generator=random)] + 0.3 for _ in range(20)]
    distances = torch.tensor([reference.distance(Statistics.of(draw)) for draw in draws])
    found = distribution.frechet_estimate(reference, draws[0])
    assert found.value == pytest.approx(float(distances[0]))
    reach = float(found.high - found.value)
    assert reach == pytest.approx(1.96 * float(distances.std()), rel=0.5)


def test_kernel_distance_equals_torchmetrics_and_a_loop():
    from torchmetrics.image.kid import poly_mmd

    a, b = features(20, 6).double(), features(20, 6, seed=1).double()
    kernels = [[[(float(x @ y) / 6 + 1) ** 3 for y in q] for x in p] for p, q in ((a, a), (b, b), (a, b))]
    inner = [sum(k[i][j] for i in range(20) for j in range(20) if i != j) / 380 for k in kernels[:2]]
    expected = sum(inner) - 2 * float(np.mean(kernels[2]))
    assert distribution.squared_mmd(a, b) == pytest.approx(expected, rel=1e-9)
    assert distribution.squared_mmd(a, b) == pytest.approx(float(poly_mmd(a, b)), rel=1e-9)
    assert distribution.kid_estimate(a, b).value == pytest.approx(expected, rel=1e-9)


def test_kernel_distance_is_unbiased():
    draws = [distribution.squared_mmd(torch.randn(20, 4), torch.randn(30, 4)) for _ in range(200)]
    assert abs(np.mean(draws)) < 3 * np.std(draws) / 200**0.5
    a, b = torch.randn(300, 4), torch.randn(300, 4) + 0.5
    mean, deviation = distribution.kid(a, b, subsets=50, size=100)
    assert mean == pytest.approx(distribution.squared_mmd(a, b), rel=0.3)
    assert 0 < deviation < mean
    found = distribution.kid_estimate(a, b)
    assert found.low < found.value < found.high
    assert found.low > 0
    same = distribution.kid_estimate(a, torch.randn(300, 4))
    assert same.low < 0.05


def test_inception_score_of_known_answers():
    certain = torch.eye(5).repeat(20, 1)
    assert distribution.inception_score(certain, splits=1) == (pytest.approx(5), 0)
    assert distribution.inception_score(torch.full((40, 5), 0.2)) == (pytest.approx(1), pytest.approx(0, abs=1e-12))
    assert distribution.inception_score(certain[:1].repeat(20, 1))[0] == pytest.approx(1)
    answers = torch.randn(60, 5, generator=torch.Generator().manual_seed(0)).softmax(1).double()
    marginal = answers.mean(0)
    expected = math.exp(float((answers * (answers / marginal).log()).sum(1).mean()))
    assert distribution.inception_score(answers, splits=1)[0] == pytest.approx(expected)


def test_what_cannot_be_compared_is_named():
    with pytest.raises(UserError, match="no features"):
        Statistics.of([])
    with pytest.raises(UserError, match="1 pictures have no covariance"):
        frechet_distance(Statistics.of(torch.rand(1, 3)), Statistics.of(torch.rand(5, 3)))
    with pytest.raises(UserError, match="4 and 3 dimensions"):
        frechet_distance(Statistics.of(torch.rand(9, 4)), Statistics.of(torch.rand(5, 3)))
    with pytest.raises(UserError, match="not finite"):
        Statistics.of(torch.full((3, 3), math.nan))
    with pytest.raises(UserError, match="4 of each side"):
        distribution.kid(torch.rand(3, 2), torch.rand(9, 2))
    with pytest.raises(UserError, match="too few for 10 splits"):
        distribution.inception_score(torch.full((9, 2), 0.5))
