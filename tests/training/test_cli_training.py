"""Training by the command line in processes of their own: stopped, resumed, rehearsed, and short of memory."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import time

import pytest
from tiny_runs import RECIPE, assert_same_bits, train

from ganvas.io import runs


def wait_for_log(run, program, lines):
    for _ in range(3000):
        if len(list(runs.read_log(run))) >= lines:
            return
        time.sleep(0.02)
    pytest.fail(f"training did not begin: {program.complained}")


def test_ctrl_c_saves_and_prints_the_command_that_goes_on(tmp_path, forks):
    run = tmp_path / "a run"
    options = ["--data", "drawn", "--out", run, "--slow-s", "0.4", "--checkpoint-every", "100"]
    slow = forks.start(tmp_path / "slow", "ganvas", "train", RECIPE, *options)
    wait_for_log(run, slow, 2)
    os.kill(slow.number, signal.SIGINT)
    assert slow.wait() == 130, slow.complained
    told = re.search(r"Saved at step (\d+)\. Resume with: ganvas (train --resume .*)", slow.printed)
    assert told, slow.printed
    assert runs.checkpoints(run)[-1].name == runs.checkpoint_name(int(told[1])) != runs.checkpoint_name(8)
    options = ["--slow-s", "0", "--checkpoint-every", "2"]
    again = forks.start(tmp_path / "again", "ganvas", *shlex.split(told[2]), *options)
    assert again.wait() == 0, again.complained
    assert f"Resuming at step {told[1]} of 8." in again.printed and "Not bit-equal" not in again.printed
    assert_same_bits(train(tmp_path / "whole", data="drawn"), run)


def test_memory_is_foretold(tmp_path, forks):
    options = ["--data", "drawn", "--ballast-mb", "3", "--samples", "64", "--first-steps", "1", "--second-steps", "2"]
    common = ["train", RECIPE, *options, "--batch-size", "32"]
    real = forks.start(tmp_path / "real", "ganvas", *common, "--out", tmp_path / "run")
    assert real.wait() == 0, real.complained
    rehearsal = forks.start(tmp_path / "rehearsal", "ganvas", *common, "--dry-run", "--json")
    assert rehearsal.wait() == 0, rehearsal.complained
    foretold = json.loads(rehearsal.printed)["stages"]
    assert [stage["stage"] for stage in foretold] == ["pixel", "gan"]
    peak = max(entry["memory_mb"] for entry in runs.read_log(tmp_path / "run") if "losses" in entry)
    assert foretold[-1]["peak_bytes"] / 2**20 == pytest.approx(peak, rel=0.2)
    # More than a process that has only imported everything.
    assert peak > 1.3 * large_base(tmp_path, forks)


def large_base(tmp_path, forks):
    """Return the peak memory in MB of a rehearsal that takes next to none."""
    options = ["--data", "drawn", "--samples", "4", "--first-steps", "1", "--second-steps", "0", "--dry-run", "--json"]
    small = forks.start(tmp_path / "small", "ganvas", "train", RECIPE, *options)
    assert small.wait() == 0, small.complained
    return json.loads(small.printed)["stages"][-1]["peak_bytes"] / 2**20


def test_a_batch_that_the_kernel_refuses_memory_is_answered_by_one_that_it_grants(tmp_path, forks):
    # Several tensors of 4 MB a sample within 300 MB: too large a batch fails at one of these, with tens of MB to
    # spare, so that no library fails at a small one.
    options = ["--data", "drawn", "--ballast-mb", "4", "--samples", "64", "--first-steps", "1", "--second-steps", "2"]
    common = ["train", RECIPE, *options, "--limit-mb", "300"]
    large = forks.start(tmp_path / "too large", "ganvas", *common, "--out", tmp_path / "large", "--batch-size", "64")
    assert large.wait() == 1
    assert "Out of memory at step 0 with a batch of 64" in large.complained, large.complained
    said = re.search(r"This was tried and fits: (--batch-size (\d+) --micro-batches (\d+))", large.complained)
    assert said and int(said[2]) >= 4 and int(said[2]) * int(said[3]) == 64, large.complained
    real = forks.start(tmp_path / "real", "ganvas", *common, "--out", tmp_path / "fits", *said[1].split())
    assert real.wait() == 0, real.complained


def test_two_processes_never_train_one_run(tmp_path, forks):
    run = tmp_path / "run"
    options = ["--slow-s", "3", "--checkpoint-every", "2"]
    first = forks.start(tmp_path / "1", "ganvas", "train", RECIPE, "--data", "drawn", "--out", run, *options)
    wait_for_log(run, first, 1)
    for number, arguments in enumerate((["--resume", run], [RECIPE, "--data", "drawn", "--out", run])):
        second = forks.start(tmp_path / f"second {number}", "ganvas", "train", *arguments)
        assert second.wait() == 1
        assert f"process {first.number} on" in second.complained, second.complained
    os.kill(first.number, signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    third = forks.start(tmp_path / "3", "ganvas", "train", "--resume", run, "--slow-s", "0")
    assert third.wait() == 0 and f"process {first.number} on" in third.printed, third.complained
    assert_same_bits(train(tmp_path / "whole", data="drawn"), run)
    assert not (run / ".lock").exists()
