"""Trainings through the server: stopped and resumed, and while the server is killed, they end bit-equal."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from gated_training import GATE, HELD_STEP
from studio_server import client_of, wait
from tiny_runs import assert_same_bits

import ganvas
from ganvas.cli import main
from ganvas.io import runs
from ganvas.recipes.biggan import BigGAN

STEPS = 7
PROGRAM = (sys.executable, str(Path(__file__).with_name("gated_training.py")))
SERVER = """
import sys, uvicorn
from pathlib import Path
from ganvas.studio.app import create_app
from ganvas.studio.guard import Guard
from ganvas.studio.workspace import Workspace
work, runs, port, *program = sys.argv[1:]
app = create_app(Workspace(Path(work), [], Path(runs)), Guard(), tuple(program))
uvicorn.run(app, port=int(port), log_level="error")
"""


class Crash(Exception):
    """Stands for a power cut: nothing is saved after it."""


def begin(out: Path, data: Path, **changes: object) -> Path:
    settings = {"steps": STEPS, "batch_size": 8, "width": 8, "precision": "float32", "workers": 0, "log_every": 1}
    settings |= {"checkpoint_every": 2, "preview_every": 100, "score_every": 100, **changes}
    return ganvas.train("biggan", data, out, preset="preview", quiet=True, settings=settings)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run that nothing disturbed; `shapes` beside it is what it was trained on."""
    root = tmp_path_factory.mktemp("whole")
    assert main(["shapes", str(root / "shapes"), "--size", "32", "--per-class", "2"]) == 0
    return begin(root / "run", root / "shapes")


@pytest.fixture
def begun(whole, tmp_path, monkeypatch) -> Path:
    """The same run, cut off in its third step; its gate is shut."""
    original = BigGAN.generator_losses

    def losses(self, nets, batch, outputs, carry, context):
        if context.step == 2:
            raise Crash
        return original(self, nets, batch, outputs, carry, context)

    with monkeypatch.context() as patch:
        patch.setattr(BigGAN, "generator_losses", losses)
        with pytest.raises(Crash):
            begin(tmp_path / "runs/cut", whole.with_name("shapes"))
    (tmp_path / "gate").touch()
    monkeypatch.setenv(GATE, str(tmp_path / "gate"))
    return tmp_path / "runs/cut"


def test_a_training_that_was_stopped_and_resumed_ends_bit_equal(whole, begun, tmp_path):
    with client_of(tmp_path / "work", str(begun), program=PROGRAM) as client:
        (run,) = client.get("/api/runs").json()
        job = client.post("/api/jobs", json={"verb": "resume", "run": run["id"]}).json()["id"]
        ask = lambda: client.get("/api/jobs").json()[0]  # noqa: E731
        wait((tmp_path / "reached").exists)
        assert client.delete(f"/api/jobs/{job}").json()["error"] == "stopping"
        (tmp_path / "gate").unlink()
        wait(lambda: ask()["state"] == "stopped")
        assert client.get("/api/runs").json()[0]["step"] == HELD_STEP + 1  # the step was finished and saved
        assert client.post(f"/api/jobs/{job}/resume").json()["state"] in ("queued", "running")
        wait(lambda: ask()["state"] == "done")
        log = client.get(f"/api/runs/{run['id']}/log").json()["lines"]
        assert [line["step"] for line in log if "losses" in line] == list(range(1, STEPS + 1))
    assert_same_bits(whole, begun)


class Served:
    """A server in a process of its own, which can be killed and started again."""

    def __init__(self, work: Path, runs_folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.words = [str(work), str(runs_folder), str(port), *PROGRAM]
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", SERVER, *self.words])
        wait(self._answers)

    def _answers(self) -> bool:
        assert self.process.poll() is None
        try:
            return self.client.get("/health").status_code == 200
        except httpx.TransportError:
            time.sleep(0.05)
            return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def job(self) -> dict:
        return self.client.get("/api/jobs").json()[0]


@pytest.fixture
def killed(begun, tmp_path):
    """A server that was killed while its training waits at the gate; `start` starts it again."""
    served = Served(tmp_path / "work", begun.parent)
    (run,) = served.client.get("/api/runs").json()
    served.client.post("/api/jobs", json={"verb": "resume", "run": run["id"]}).raise_for_status()
    wait((tmp_path / "reached").exists)
    served.pid = served.job()["pid"]
    assert served.pid > 1
    served.kill()
    yield served
    (tmp_path / "gate").unlink(missing_ok=True)
    served.process.terminate()
    served.process.wait(60)
    served.client.close()


def test_a_training_outlives_a_killed_server_and_ends_bit_equal(whole, begun, killed, tmp_path):
    killed.start()
    assert killed.job()["state"] == "running" and Path(f"/proc/{killed.pid}").exists()
    (tmp_path / "gate").unlink()
    wait(lambda: killed.job()["state"] == "done")
    assert_same_bits(whole, begun)


@pytest.mark.parametrize("is_up", [False, True])
def test_a_training_that_is_killed_after_its_server_was_is_interrupted_and_resumed(
    whole, begun, killed, tmp_path, is_up
):
    if is_up:
        killed.start()
        assert killed.job()["state"] == "running"
    os.killpg(killed.pid, signal.SIGKILL)
    if not is_up:
        killed.start()
    wait(lambda: killed.job()["state"] == "interrupted")
    (tmp_path / "gate").unlink()
    killed.client.post(f"/api/jobs/{killed.job()['id']}/resume").raise_for_status()
    wait(lambda: killed.job()["state"] == "done")
    assert_same_bits(whole, begun)
    assert runs.checkpoints(begun)[-1].name == runs.checkpoint_name(STEPS)
