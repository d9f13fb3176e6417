"""A run that is killed again and again, at the worst moments, ends bit-equal to one that was left alone."""

from __future__ import annotations

import json

import nursery
from tiny_runs import assert_same_bits, train

from ganvas.io import runs


def test_eight_kills_change_no_bit(tmp_path, forks):
    run = tmp_path / "killed"
    kills = forks.start(tmp_path / "printed", "nursery", run)
    assert kills.wait() == 0, kills.complained
    lives = [json.loads(line) for line in kills.printed.splitlines()]
    assert [life["killed"] for life in lives] == [True] * 8 + [False], kills.complained
    assert lives[-1]["status"] == 0, kills.complained
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
