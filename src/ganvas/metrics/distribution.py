"""Distances between sets of pictures by their features: Frechet distance, kernel distance, Inception score.

Functions of features (N, D), whatever made them: `features.py` says when the first may be called FID. Everything is
computed in float64. Few samples make the Frechet distance too large, by about a constant over their number: compare
equal numbers only, take the value extrapolated to infinitely many, or the kernel distance, which has no such bias.
Sources: Heusel et al. 2017 (FID); Chong and Forsyth 2020 (infinite samples); Binkowski et al. 2018 (KID); Salimans et
al. 2016 (Inception score).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor

from ganvas.errors import UserError
from ganvas.metrics import students

CHUNK = 1024
"""Rows that are brought to float64 at once."""
RESAMPLES = 100


class Estimate(NamedTuple):
    """A score and its interval of 95 %."""

    value: float
    low: float
    high: float


class Statistics:
    """Number, mean and covariance of features that come in parts, in one pass and D x D of memory.

    Parts are merged by the formulas of Chan, Golub and LeVeque 1979, which lose no digits where the mean is large.
    """

    def __init__(self, dimensions: int) -> None:
        self.num = 0
        self.mean = torch.zeros(dimensions, dtype=torch.float64)
        self.scatter = torch.zeros(dimensions, dimensions, dtype=torch.float64)
        """Sum of outer products of deviations from the mean."""

    @classmethod
    def of(cls, parts: Tensor | Iterable[Tensor]) -> Self:
        """Return the statistics of features, (N, D) or parts of them.

        Raises:
            UserError: there are no features.
        """
        found: Self | None = None
        for part in [parts] if isinstance(parts, Tensor) else parts:
            found = cls(part.shape[1]) if found is None else found
            found.add(part)
        if found is None or not found.num:
            raise UserError("There are no features to take statistics of")
        return found

    def add(self, features: Tensor) -> None:
        """Take in more features, (N, D).

        Raises:
            UserError: some are not finite.
        """
        for chunk in features.detach().cpu().split(CHUNK):
            rows = chunk.double()
            if not rows.isfinite().all():
                raise UserError("Some features are not finite", "The picture or the feature network is broken")
            part = Statistics(rows.shape[1])
            part.num, part.mean = len(rows), rows.mean(0)
            rows = rows - part.mean
            part.scatter = rows.T @ rows
            self.merge(part)

    def merge(self, other: Statistics) -> None:
        """Take in what another has seen."""
        total = self.num + other.num
        if not total:
            return
        step = other.mean - self.mean
        weight = self.num * other.num / total
        self.scatter.add_(other.scatter).addr_(step, step, alpha=weight)
        self.mean = self.mean + step * (other.num / total)
        self.num = total

    @property
    def covariance(self) -> Tensor:
        """The unbiased covariance, (D, D).

        Raises:
            UserError: fewer than two features were seen.
        """
        if self.num < 2:
            raise UserError(f"{self.num} pictures have no covariance", do="Give two at least, better thousands")
        return self.scatter / (self.num - 1)


def frechet_distance(first: Statistics, second: Statistics) -> float:
    """Return |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^1/2), the squared Wasserstein-2 distance of two Gaussians.

    Covariances may be singular, as they are with fewer samples than dimensions.

    Raises:
        UserError: the dimensions differ, or a side has fewer than two samples.
    """
    return Reference(first).distance(second)


class Reference:
    """The real side of many Frechet distances: its covariance is factored once."""

    def __init__(self, real: Statistics) -> None:
        self.real = real
        covariance = real.covariance
        self.trace = float(covariance.trace())
        self.factor = _factor(covariance)

    def distance(self, fake: Statistics) -> float:
        """Return the Frechet distance of the real statistics to others.

        Raises:
            UserError: the dimensions differ, or fewer than two samples were seen.
        """
        if self.real.mean.shape != fake.mean.shape:
            why = f"They have {len(self.real.mean)} and {len(fake.mean)} dimensions"
            raise UserError("These statistics are of different features", why)
        covariance = fake.covariance
        between = (self.real.mean - fake.mean).square().sum()
        spread = self.trace + covariance.trace() - 2 * _root_trace(self.factor, covariance)
        # Rounding may leave a hair less than nothing between equal sets.
        return max(0.0, float(between + spread))


def _factor(covariance: Tensor) -> Tensor:
    """Return F with F F^T = covariance: any will do, and Cholesky's is the quickest where it exists."""
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if not int(failed):
        return factor
    values, vectors = torch.linalg.eigh(covariance)
    return vectors * values.clamp_min(0).sqrt()


def _root_trace(factor: Tensor, covariance: Tensor) -> Tensor:
    """Return tr (F F^T S)^1/2: F^T S F is symmetric and has the eigenvalues of F F^T S, all at least zero."""
    middle = factor.T @ covariance @ factor
    return torch.linalg.eigvalsh((middle + middle.T) / 2).clamp_min(0).sqrt().sum()


def frechet_estimate(reference: Reference, fake: Tensor, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """Return the Frechet distance of features (N, D) to a reference, with an interval by bootstrap over the fakes.

    Raises:
        UserError: as `frechet_distance`.
    """
    return estimate(lambda rows: reference.distance(Statistics.of(fake[rows])), len(fake), resamples, seed)


def frechet_at_infinity(
    reference: Reference, fake: Tensor, resamples: int = 20, seed: int = 0, sizes: int = 6, repeats: int = 3
) -> Estimate:
    """Return the Frechet distance that infinitely many fakes would have, with an interval by bootstrap over the fakes.

    The distance is measured with subsets of `sizes` numbers, spread evenly over 1/n from a quarter of all to all, each
    `repeats` times, and the straight line over 1/n is read off at 0. The bias of the real side remains.
    Source: Chong and Forsyth 2020, "Effectively unbiased FID and Inception score", section 4.

    Raises:
        UserError: fewer than 40 fakes, or as `frechet_distance`.
    """
    if len(fake) < 40:
        raise UserError(f"{len(fake)} pictures are too few to extrapolate from", "40 at least are needed", "Use kid")
    random = torch.Generator().manual_seed(seed)
    inverse = torch.linspace(1 / len(fake), 4 / len(fake), sizes, dtype=torch.float64)
    counts = (1 / inverse).round().long().clamp(max=len(fake)).tolist()

    def intercept(rows: Tensor) -> float:
        points = [
            (1 / count, reference.distance(Statistics.of(fake[rows[order[:count]]])))
            for count in counts
            for order in [
                torch.randperm(len(rows), generator=random) for _ in range(repeats if count < len(rows) else 1)
            ]
        ]
        return _intercept(torch.tensor(points, dtype=torch.float64))

    return estimate(intercept, len(fake), resamples, seed)


def _intercept(points: Tensor) -> float:
    design = torch.stack([torch.ones_like(points[:, 0]), points[:, 0]], dim=1)
    return float(torch.linalg.lstsq(design, points[:, 1:]).solution[0])


def estimate(score: Callable[[Tensor], float], num: int, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """Return the score of all samples with its interval: standard errors by bootstrap, as many as Student's t says.

    The resampled scores' own mean is not used: duplicates bias most scores of sets, but hardly their spread.

    Args:
        score: maps the numbers of samples, (N,) with repetitions, to a score.
        num: how many samples there are.
        resamples: how often they are drawn anew; below 2 there is no interval (NaN).
        seed: of the draws.
    """
    value = score(torch.arange(num))
    if resamples < 2:
        return Estimate(value, math.nan, math.nan)
    random = torch.Generator().manual_seed(seed)
    drawn = [score(torch.randint(num, (num,), generator=random)) for _ in range(resamples)]
    return _around(value, drawn, num)


def _around(value: float, drawn: Sequence[float], num: int) -> Estimate:
    """Return the interval that scores of resampled sets of so many samples make around the score of the set itself."""
    if num < 2:
        return Estimate(value, math.nan, math.nan)
    # Drawing from n samples instead of from where they come from makes the spread too small by n / (n - 1).
    error = float(torch.tensor(drawn, dtype=torch.float64).std()) * math.sqrt(num / (num - 1))
    reach = students.reach(num - 1) * error
    return Estimate(value, value - reach, value + reach)


def mean_estimate(values: Tensor, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """Return the mean of values (N,) with its interval: Student's t, of shares (values of 0 and 1) Wilson's.

    Args:
        values: one of each picture.
        resamples: below 2 there is no interval (NaN), as for scores by bootstrap.
        seed: without effect, as nothing is drawn; every estimate is called alike.
    """
    del seed
    values = values.double().cpu()
    mean, num = float(values.mean()), len(values)
    if resamples < 2 or num < 2:
        return Estimate(mean, math.nan, math.nan)
    if bool(((values == 0) | (values == 1)).all()):
        return Estimate(mean, *_wilson(mean, num))
    reach = students.reach(num - 1) * float(values.std()) / math.sqrt(num)
    return Estimate(mean, mean - reach, mean + reach)


def _wilson(share: float, num: int) -> tuple[float, float]:
    """Return the interval of a share of so many. Source: Wilson 1927."""
    z = statistics.NormalDist().inv_cdf(1 - students.LEVEL / 2)
    centre = (share + z * z / (2 * num)) / (1 + z * z / num)
    reach = z / (1 + z * z / num) * math.sqrt(share * (1 - share) / num + (z / (2 * num)) ** 2)
    return min(centre - reach, share), max(centre + reach, share)


# Kernel distance


def squared_mmd(real: Tensor, fake: Tensor) -> float:
    """Return the unbiased squared maximum mean discrepancy under the kernel (x.y / D + 1)^3; it may be below zero.

    (M, D), (N, D) -> a number

    Raises:
        UserError: the dimensions differ, or a side has fewer than two samples.
    """
    _check_features(real, fake)
    real, fake = real.double(), fake.double()
    return float(_off_diagonal_mean(_kernel(real, real)) + _off_diagonal_mean(_kernel(fake, fake))
                 - 2 * _kernel(real, fake).mean())  # fmt: skip


def kid(real: Tensor, fake: Tensor, subsets: int = 100, size: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Return the kernel distance as published: mean and standard deviation over random subsets of each side.

    Multiplied by nothing; papers often print it times 1000. Where a side has fewer than `size` samples, subsets are
    half of it: the mean stays unbiased.

    Raises:
        UserError: the dimensions differ, or a side has fewer than four samples.
    """
    _check_features(real, fake, at_least=4)
    fewest = min(len(real), len(fake))
    size = size if fewest >= size else fewest // 2
    random = torch.Generator().manual_seed(seed)
    draws = [
        squared_mmd(*(side[torch.randperm(len(side), generator=random)[:size]] for side in (real, fake)))
        for _ in range(subsets)
    ]
    values = torch.tensor(draws, dtype=torch.float64)
    return float(values.mean()), float(values.std(correction=0))


def kid_estimate(real: Tensor, fake: Tensor, resamples: int = RESAMPLES, seed: int = 0, most: int = 2000) -> Estimate:
    """Return the kernel distance with an interval by bootstrap over both sides, of at most `most` samples of each.

    Between sets that hardly differ the interval is too wide: it then holds the truth in nearly all cases.

    Raises:
        UserError: as `squared_mmd`.
    """
    _check_features(real, fake)
    random = torch.Generator().manual_seed(seed)
    real, fake = (side[torch.randperm(len(side), generator=random)[:most]].double() for side in (real, fake))
    kernels = _kernel(real, real), _kernel(fake, fake), _kernel(real, fake)

    def weighed(of_real: Tensor, of_fake: Tensor) -> float:
        # A sample is never paired with its own copy, so that copies add no bias.
        inner = [_weighed_mean(kernel, weights) for kernel, weights in zip(kernels, (of_real, of_fake))]
        return float(inner[0] + inner[1] - 2 * of_real @ kernels[2] @ of_fake / (of_real.sum() * of_fake.sum()))

    value = weighed(*(torch.ones(len(side), dtype=torch.float64) for side in (real, fake)))
    drawn = [weighed(*(_counts(len(side), random) for side in (real, fake))) for _ in range(resamples)]
    if resamples < 2:
        return Estimate(value, math.nan, math.nan)
    return _around(value, drawn, min(len(real), len(fake)))


def _counts(num: int, random: torch.Generator) -> Tensor:
    return torch.bincount(torch.randint(num, (num,), generator=random), minlength=num).double()


def _weighed_mean(kernel: Tensor, weights: Tensor) -> Tensor:
    total = weights @ kernel @ weights - (weights.square() * kernel.diagonal()).sum()
    return total / (weights.sum().square() - weights.square().sum())


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T / a.shape[1] + 1) ** 3


def _off_diagonal_mean(kernel: Tensor) -> Tensor:
    num = len(kernel)
    return (kernel.sum() - kernel.trace()) / (num * (num - 1))


def _check_features(real: Tensor, fake: Tensor, at_least: int = 2) -> None:
    if real.shape[1] != fake.shape[1]:
        raise UserError(
            "These features are not of one network", f"They have {real.shape[1]} and {fake.shape[1]} dimensions"
        )
    if min(len(real), len(fake)) < at_least:
        raise UserError(f"{min(len(real), len(fake))} pictures are too few", f"{at_least} of each side are needed")


# Inception score


def inception_score(probabilities: Tensor, splits: int = 10, seed: int = 0) -> tuple[float, float]:
    """Return exp of the mean divergence of each answer from the mean answer: mean and deviation over random splits.

    (N, classes) -> (from 1 to classes, deviation)

    Only that of Inception's classes is the published score.

    Raises:
        UserError: fewer samples than splits.
    """
    if len(probabilities) < splits:
        raise UserError(f"{len(probabilities)} pictures are too few for {splits} splits", do="Give more pictures")
    order = torch.randperm(len(probabilities), generator=torch.Generator().manual_seed(seed))
    scores = torch.stack([_exp_divergence(part) for part in probabilities.double()[order].tensor_split(splits)])
    return float(scores.mean()), float(scores.std(correction=0))


def _exp_divergence(probabilities: Tensor) -> Tensor:
    marginal = probabilities.mean(0, keepdim=True)
    divergence = torch.special.xlogy(probabilities, probabilities) - torch.special.xlogy(probabilities, marginal)
    return divergence.sum(1).mean().exp()
