"""Training by the command line in processes of their own: stopped, gone on with, rehearsed, and short of memory."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest
from tiny_runs import RECIPE, assert_same_bits, train

from ganvas.io import runs

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def start(arguments, **options):
    command = [sys.executable, "-m", "ganvas", "train", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=ENVIRONMENT, **pipes, **options)


def wait_for_log(run, process, lines):
    for _ in range(6000):
        if len(list(runs.read_log(run))) >= lines:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    pytest.fail("training did not begin")


def test_ctrl_c_saves_and_prints_the_command_that_goes_on(tmp_path):
    run = tmp_path / "a run"
    slow = start([RECIPE, "--data", "drawn", "--out", run, "--slow-s", "0.2", "--checkpoint-every", "100"])
    wait_for_log(run, slow, 2)
    slow.send_signal(signal.SIGINT)
    said, complaints = slow.communicate()
    assert slow.returncode == 130, complaints
    told = re.search(r"Saved at step (\d+)\. Go on with: ganvas (train --resume .*)", said)
    assert told, said
    assert runs.checkpoints(run)[-1].name == runs.checkpoint_name(int(told[1])) != runs.checkpoint_name(8)
    again = start([*shlex.split(told[2])[1:], "--slow-s", "0", "--checkpoint-every", "2"])
    said, complaints = again.communicate()
    assert again.returncode == 0, complaints
    assert f"Going on from step {told[1]} of 8." in said and "Not bit-equal" not in said
    assert_same_bits(train(tmp_path / "whole", data="drawn"), run)


def test_memory_is_foretold_and_a_batch_that_does_not_fit_is_answered_by_one_that_does(tmp_path):
    common = [RECIPE, "--data", "drawn", "--ballast-mb", "6", "--samples", "64", "--preset", "preview"]
    large = start([*common, "--out", tmp_path / "large", "--batch-size", "64", "--limit-mb", "600"])
    _, complaints = large.communicate()
    assert large.returncode == 1
    advice = re.search(r"This was tried and fits: (--batch-size (\d+) --micro-batches (\d+))", complaints)
    assert advice and "Out of memory at step 0 with a batch of 64" in complaints, complaints
    assert int(advice[2]) * int(advice[3]) == 64

    fitting = [*common, *advice[1].split()]
    rehearsal, real = (
        start([*fitting, "--dry-run", "--json"]),
        start([*fitting, "--out", tmp_path / "fits", "--limit-mb", "600"]),
    )
    foretold = json.loads(rehearsal.communicate()[0])["stages"]
    _, complaints = real.communicate()
    assert real.returncode == 0, complaints
    assert [stage["stage"] for stage in foretold] == ["pixel", "gan"]
    peak = max(entry["memory_mb"] for entry in runs.read_log(tmp_path / "fits") if "losses" in entry)
    assert foretold[-1]["peak_bytes"] / 2**20 == pytest.approx(peak, rel=0.2)
    assert not (tmp_path / "runs").exists()
