"""Student's t: what a few measurements say about a mean. Source: Student 1908; the beta function by Lentz 1976."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Sequence

LEVEL = 0.05
"""Share of the cases without any difference in which one is seen all the same."""


def p_value(t: float, freedom: int) -> float:
    """Return the probability that |t| is at least this large by chance, with so many degrees of freedom."""
    if math.isnan(t):
        return 1.0
    if math.isinf(t):
        return 0.0
    return _beta(freedom / (freedom + t * t), freedom / 2, 0.5)


@functools.lru_cache(maxsize=1024)
def reach(freedom: int, level: float = LEVEL) -> float:
    """Return how many standard errors to each side of a mean hold all but this share."""
    low, high = 0.0, 2.0
    while p_value(high, freedom) > level:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if p_value(middle, freedom) > level else (low, middle)
    return high


def paired(differences: Sequence[float]) -> float:
    """Return the p-value of the mean of differences, one a pair: 1 where there are fewer than two."""
    if len(differences) < 2:
        return 1.0
    mean, error = statistics.fmean(differences), standard_error(differences)
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return p_value(mean / error, len(differences) - 1)


def standard_error(values: Sequence[float]) -> float:
    """Return the standard error of the mean of two or more values."""
    return statistics.stdev(values) / math.sqrt(len(values))


def holm(p_values: Sequence[float], level: float = LEVEL) -> list[bool]:
    """Tell which of several tests hold, so that all together err in at most this share of cases.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    held = [False] * len(p_values)
    for rank, place in enumerate(order):
        if p_values[place] > level / (len(p_values) - rank):
            break
        held[place] = True
    return held


def _beta(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function of x in [0, 1]."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x > (a + 1) / (a + b + 2):
        return 1 - front / b * _fraction(1 - x, b, a)
    return front / a * _fraction(x, a, b)


def _fraction(x: float, a: float, b: float) -> float:
    tiny = 1e-300
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1) or tiny)
    value = d
    for m in range(1, 500):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / (1 + numerator * d or tiny)
            c = 1 + numerator / c or tiny
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value
