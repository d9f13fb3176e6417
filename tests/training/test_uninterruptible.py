"""A run that is killed again and again, at the worst moments, ends bit-equal to one that was left alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import nursery
from tiny_runs import FOLDERS, assert_same_bits, train

from ganvas.io import runs


def test_eight_kills_change_no_bit(tmp_path):
    run = tmp_path / "killed"
    command = [sys.executable, "-m", "nursery", run]
    environment = {**os.environ, "PYTHONPATH": FOLDERS, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    lives = [json.loads(line) for line in done.stdout.splitlines()]
    assert [life["killed"] for life in lives] == [True] * 8 + [False], done.stderr
    assert lives[-1]["status"] == 0, done.stderr
    witnessed = (tmp_path / "witness").read_text().splitlines()
    assert witnessed == ["in a step", *nursery.POINTS, "in a step", "in a step"]
    restarts = lives[1:]
    assert sum(life["from"] > 0 for life in restarts) >= len(restarts) / 2
    assert_same_bits(train(tmp_path / "whole", **nursery.CHANGES), run)
    assert_same_logs(tmp_path / "whole", run)
    names = [path.name for path in runs.checkpoints(run)]
    assert names == [path.name for path in runs.checkpoints(tmp_path / "whole")]
    assert runs.best_scores(run) == runs.best_scores(tmp_path / "whole")
    assert not list((run / "checkpoints").glob(".*"))


def assert_same_logs(one, other):
    def told(run):
        timing = {"seconds_a_step", "images_a_second", "memory_mb"}
        return [{key: value for key, value in entry.items() if key not in timing} for entry in runs.read_log(run)]

    assert told(one) == told(other)
