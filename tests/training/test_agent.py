"""`--gpus N`: ranks end with whoever started them, one line says which rank died, a stop says nothing."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import torch.distributed.run as torchrun
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from ganvas.errors import UserError
from ganvas.training import agent, parallel
from ganvas.training.interruption import STOPPED, end_with_parent


def test_a_process_ends_with_the_one_that_started_it():
    ready, told = os.pipe()
    parent = os.fork()
    if not parent:
        if not os.fork():
            end_with_parent(signal.SIGKILL)
            os.write(told, str(os.getpid()).encode())
        signal.pause()
    child = int(os.read(ready, 20))
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    for _ in range(500):
        if not is_running(child):
            return
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    pytest.fail("it outlived its parent")


def is_running(number):
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def failed(code):
    return ChildFailedError("ranks", {1: ProcessFailure(1, 4321, code, "no such file")})


@pytest.mark.parametrize(
    ("outcome", "code", "said"),
    [
        (None, 0, ""),
        (SignalException("stopped", signal.SIGTERM), STOPPED, ""),
        (failed(1), 1, ""),
        (failed(130), 130, ""),
        (failed(-9), 1, "ganvas: rank 1 (process 4321) was ended by SIGKILL (out of memory, if nobody killed it).\n"),
        (failed(-11), 1, "ganvas: rank 1 (process 4321) was ended by SIGSEGV.\n"),
    ],
)
def test_what_torchrun_ends_with_is_told_in_a_line_at_most(outcome, code, said, monkeypatch, capsys):
    def run(arguments):
        assert arguments.nproc_per_node == "2" and arguments.training_script == "ganvas"
        if outcome is not None:
            raise outcome

    monkeypatch.setattr(torchrun, "run", run)
    monkeypatch.setattr(agent, "end_with_parent", lambda number: None)
    monkeypatch.setattr(agent.logging, "disable", lambda level: None)
    assert agent.main(["--standalone", "--nproc-per-node=2", "-m", "ganvas", "train"]) == code
    assert capsys.readouterr() == ("", said)


def test_ranks_that_differ_are_told_apart_by_the_first_and_all_end(monkeypatch):
    everybody = [{"seed": 0, "data": "a"}, {"seed": 0, "data": "a"}, {"seed": 3, "data": "b"}]
    monkeypatch.setattr(parallel, "gather", lambda value: everybody)
    with pytest.raises(UserError, match=r"Ranks 0 and 2 are not of one run\. seed is 0 and 3; data is 'a' and 'b'"):
        parallel.require_same(everybody[0])
    # What the first rank has not found another may have.
    everybody[1:] = [{"seed": 0, "data": "a", "val": "c"}]
    with pytest.raises(UserError, match=r"Ranks 0 and 1 are not of one run\. val is None and 'c'"):
        parallel.require_same(everybody[0])
    monkeypatch.setattr(parallel.ranks, "rank", lambda: 1)
    monkeypatch.setattr(parallel, "from_first", lambda value: True)
    with pytest.raises(SystemExit):
        parallel.require_same(everybody[1])


def test_a_lost_rank_is_an_error_that_says_so(monkeypatch):
    monkeypatch.setattr(parallel.ranks, "world_size", lambda: 2)
    lost = RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:1")
    with pytest.raises(UserError, match="another rank has ended"), parallel.joined("cpu"):
        raise lost
    with pytest.raises(RuntimeError, match="shape"), parallel.joined("cpu"):
        raise RuntimeError("shape mismatch")
