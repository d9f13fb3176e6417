"""One process a run: the second is told who holds it, and the lock of a dead process is taken over."""

from __future__ import annotations

import json
import os
import signal
import socket

import pytest

from ganvas.errors import UserError
from ganvas.io import run_lock


def holder(run):
    """Fork a process that holds the lock until it is killed; return its number once it does."""
    ready, told = os.pipe()
    child = os.fork()
    if not child:
        with run_lock.held(run):
            os.write(told, b"x")
            signal.pause()
    os.read(ready, 1)
    return child


def test_the_second_process_is_told_who_the_first_is_and_a_dead_ones_lock_is_taken_over(tmp_path):
    run = tmp_path / "run"
    first = holder(run)
    said = json.loads((run / ".lock").read_text())
    assert (said["host"], said["pid"]) == (socket.gethostname(), first) and said["since"] and said["started"]
    with pytest.raises(UserError, match=rf"being trained already.*process {first} on .*, since 20"), run_lock.held(run):
        pass
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    with run_lock.held(run) as note:
        assert f"process {first}" in note and "ended without a word" in note
        assert json.loads((run / ".lock").read_text())["pid"] == os.getpid()
    assert not run.exists()


def test_a_lock_that_was_given_back_leaves_no_trace(tmp_path):
    (tmp_path / "settings.json").write_text("{}")
    for _ in range(2):
        with run_lock.held(tmp_path) as note:
            assert note == ""
    assert [path.name for path in tmp_path.iterdir()] == ["settings.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b'{"pid": "../../x", "host": null}', b"9" * 5000])
def test_a_lock_file_with_anything_in_it_is_no_obstacle(tmp_path, content):
    (tmp_path / ".lock").write_bytes(content)
    with run_lock.held(tmp_path):
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()


def test_a_lock_that_is_a_link_is_refused_and_what_it_leads_to_stays(tmp_path):
    (tmp_path / "victim").write_text("x")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "victim")
    with pytest.raises(UserError, match="Cannot write"), run_lock.held(tmp_path / "run"):
        pass
    assert (tmp_path / "victim").read_text() == "x"


@pytest.mark.parametrize(
    ("host", "alive", "refused"),
    [("here", True, True), ("here", False, False), ("another", True, True), ("another", False, True)],
)
def test_on_a_disk_without_locks_the_word_of_the_holder_decides(tmp_path, monkeypatch, host, alive, refused):
    import fcntl

    def unsupported(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    started = run_lock._started(os.getppid()) if alive else "1"
    name = socket.gethostname() if host == "here" else "elsewhere"
    (tmp_path / ".lock").write_text(json.dumps({"host": name, "pid": os.getppid(), "started": started}))
    if refused:
        with pytest.raises(UserError, match=r"delete .*\.lock"), run_lock.held(tmp_path):
            pass
    else:
        with run_lock.held(tmp_path):
            pass
