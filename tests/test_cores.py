"""Threads sleep while they wait where other programs want the cores, unless the user has said how they wait."""

import os

import pytest

from ganvas.cli.cores import share_cores


@pytest.mark.parametrize(
    "load, before, after",
    [
        (0.2, {}, {}),
        (3.0, {}, {"OMP_WAIT_POLICY": "passive"}),
        (3.0, {"OMP_WAIT_POLICY": "active"}, {"OMP_WAIT_POLICY": "active"}),
        (3.0, {"OMP_NUM_THREADS": "1"}, {"OMP_NUM_THREADS": "1"}),
    ],
)
def test_threads_sleep_while_they_wait_where_the_cores_are_shared(monkeypatch, load, before, after):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    environment = dict(before)
    share_cores(environment)
    assert environment == after
