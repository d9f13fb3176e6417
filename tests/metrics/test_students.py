"""Student's t against scipy; Holm's rule against its definition."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from ganvas.metrics import students


@pytest.mark.parametrize("freedom", [1, 2, 3, 7, 19, 100, 5000])
def test_probabilities_and_reach_are_those_of_scipy(freedom):
    for t in (0.0, 1e-6, 0.3, 1.0, 2.5, 7.0, 60.0, 1e4):
        assert students.p_value(t, freedom) == pytest.approx(2 * stats.t.sf(t, freedom), rel=1e-6, abs=1e-300)
        assert students.p_value(-t, freedom) == students.p_value(t, freedom)
    for level in (0.2, 0.05, 0.001):
        assert students.reach(freedom, level) == pytest.approx(stats.t.ppf(1 - level / 2, freedom), rel=1e-9)


def test_a_paired_test_is_scipys():
    random = np.random.default_rng(0)
    for num in (2, 3, 10):
        differences = random.normal(0.5, 1, num).tolist()
        assert students.paired(differences) == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, rel=1e-9)
    assert students.paired([1.0]) == students.paired([]) == students.paired([0.0, 0.0]) == 1
    assert students.paired([2.0, 2.0]) == 0


def test_holm_goes_down_the_ranks_and_stops_at_the_first_that_fails():
    assert students.holm([0.01, 0.04, 0.03]) == [True, False, False]
    assert students.holm([0.01, 0.02, 0.03]) == [True, True, True]
    assert students.holm([]) == []
    for order in itertools.permutations([0.001, 0.02, 0.03, 0.9]):
        held = dict(zip(order, students.holm(list(order))))
        assert held == {0.001: True, 0.02: False, 0.03: False, 0.9: False}
