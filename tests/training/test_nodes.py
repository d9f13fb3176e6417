"""Two machines are one run: each has its own torchrun, and a lost one comes back to where the newest checkpoint stands.

Both are on this machine here, which the rendezvous does not know.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_runs import FOLDERS, RECIPE, assert_same_bits
from torch.distributed.run import parse_args

from ganvas import launch
from ganvas.cli.train import train
from ganvas.errors import UsageError
from ganvas.io import runs

EXAMPLES = Path(__file__).parents[2] / "examples"
OPTIONS = ["--data", "drawn", "--checkpoint-every", "2", "--no-batch-norm"]


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start_node(run, port, log, *options, hosts=False):
    conf = f"is_host={str(hosts).lower()},keep_alive_interval=2,keep_alive_max_attempt=5,join_timeout=240"
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", "--max-restarts=3",
        "--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{port}", "--rdzv-id=test", f"--rdzv-conf={conf}",
        "--local-addr=127.0.0.1", "--monitor-interval=0.1", "-m", "ganvas", "train", RECIPE, *OPTIONS, *options,
        "--out", str(run),
    ]  # fmt: skip
    # torch 2.13 keeps where ranks meet from the first start on, and never tells a machine that joins later.
    sharing = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    environment = {**os.environ, **sharing, "PYTHONPATH": FOLDERS, "OMP_NUM_THREADS": "1"}
    with log.open("wb") as file:
        return subprocess.Popen(list(map(str, command)), env=environment, stdout=file, stderr=subprocess.STDOUT)


def wait_for_checkpoint(run, step, nodes):
    while not (run.is_dir() and any(int(path.name) >= step for path in runs.checkpoints(run))):
        ended = [log.read_text() for node, log in nodes.items() if node.poll() is not None]
        assert not ended, ended[0]
        time.sleep(0.05)


def test_a_lost_node_comes_back_and_the_run_ends_as_without_the_loss(tmp_path, forks):
    run, port = tmp_path / "run", free_port()
    slow = ["--slow-s", "1"]
    first = start_node(run, port, tmp_path / "first.log", *slow, hosts=True)
    second = start_node(run, port, tmp_path / "second.log", *slow)
    try:
        wait_for_checkpoint(run, 2, {first: tmp_path / "first.log", second: tmp_path / "second.log"})
        # The agent alone: as when a machine is lost, its process must end with it.
        second.send_signal(signal.SIGKILL)
        second.wait()
        reached = int(runs.checkpoints(run)[-1].name)
        second = start_node(run, port, tmp_path / "again.log", *slow)
        codes = first.wait(240), second.wait(240)
    finally:
        for node in (first, second):
            node.kill()
            node.wait()
    told = "\n".join((tmp_path / f"{name}.log").read_text() for name in ("first", "second", "again"))
    assert codes == (0, 0), told
    assert 2 <= reached < 8
    assert "Resuming at step" in told
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    whole = tmp_path / "whole"
    both = [
        forks.start(tmp_path / f"rank-{n}", "ganvas", "train", RECIPE, *OPTIONS, "--out", whole, RANK=str(n), **common)
        for n in range(2)
    ]
    assert [rank.wait() for rank in both] == [0, 0], "\n".join(rank.complained for rank in both)
    assert_same_bits(whole, run)


def test_a_run_that_may_be_started_again_needs_a_name(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
    with pytest.raises(UsageError, match="--out"):
        train([str(RECIPE), *OPTIONS])


def test_without_restarts_a_run_that_is_there_is_not_gone_on_with_by_itself(tmp_path, monkeypatch, forks):
    run = tmp_path / "run"
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "0")
    runs.create(run, {"recipe": str(RECIPE), "settings": {}})
    done = forks.start(tmp_path / "log", "ganvas", "train", RECIPE, *OPTIONS, "--out", run)
    assert done.wait() == 1
    assert "holds a run already" in done.complained


def words_of(name):
    """Return what an example gives to torchrun, as the shell would hand it over on the first of two machines."""
    text = (EXAMPLES / name).read_text()
    command = text[text.index("torchrun --nnodes") :].split("--batch-size 64")[0] + "--batch-size 64"
    script = f"torchrun() {{ printf '%s\\n' \"$@\"; }}; {command}"
    given = {"SLURM_NNODES": "2", "HEAD": "a", "PORT": "1", "SLURM_JOB_ID": "7", "SLURM_NODEID": "0", "DATA": "/d"}
    given |= {"RUN": "/r", "JOB_COMPLETION_INDEX": "0", "PATH": os.environ["PATH"]}
    return subprocess.run(["bash", "-c", script], env=given, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize("name", ["slurm.sh", "kubernetes.yaml"])
def test_the_examples_say_what_torchrun_and_ganvas_understand(name):
    asked = parse_args(words_of(name))
    assert asked.module and asked.training_script == "ganvas" and asked.training_script_args[0] == "train"
    assert (asked.nnodes, asked.rdzv_backend, asked.max_restarts) == ("2", "c10d", 10)
    assert "is_host=true" in asked.rdzv_conf
    recipe, *options = asked.training_script_args[1:]
    named = dict(zip(options[::2], options[1::2]))
    assert {"--data", "--out"} <= named.keys()
    preset = launch.order(recipe, named["--preset"], {"batch_size": int(named["--batch-size"])})
    assert preset.settings.batch_size == 64
    assert "TORCH_DISABLE_SHARE_RDZV_TCP_STORE" in (EXAMPLES / name).read_text()


def test_the_kubernetes_example_is_yaml():
    yaml = pytest.importorskip("yaml")
    service, job = yaml.safe_load_all((EXAMPLES / "kubernetes.yaml").read_text())
    assert (service["kind"], job["kind"], job["spec"]["completionMode"]) == ("Service", "Job", "Indexed")
