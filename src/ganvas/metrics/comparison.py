"""Which scores differ by more than chance: paired tests over seeds, in words."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from ganvas.metrics import students

NO_DIFFERENCE, ONE_RUN = "no difference seen", "cannot tell from one run"


def verdict(values: Sequence[float], baseline: Sequence[float]) -> str:
    """Return how one row's scores differ from another's in words; both are in the order of the same seeds.

    For one pair by itself: several rows are tested together by `differences`, as each test by itself may err.
    """
    return differences([[mine - theirs for mine, theirs in zip(values, baseline)]])[0] if values and baseline else ""


def differences(pairs: Sequence[Sequence[float]]) -> list[str]:
    """Say of several rows, each by its differences from one other over the seeds, which are more than chance."""
    held = students.holm([students.paired(row) for row in pairs])
    return [_difference(row, is_held) for row, is_held in zip(pairs, held)]


def _difference(row: Sequence[float], is_held: bool) -> str:
    if len(row) < 2:
        return ONE_RUN
    if not is_held:
        return NO_DIFFERENCE
    mean = statistics.fmean(row)
    reach = students.reach(len(row) - 1) * students.standard_error(row)
    return f"{'better' if mean > 0 else 'worse'} by {number(abs(mean))} +- {reach:.2g}"


def number(value: float) -> str:
    """Return a score as tables print it."""
    return f"{value:.4g}"
