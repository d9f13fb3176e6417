"""How far a job is and why it failed: what its output says, as the studio reads it; and live calls that are stopped."""

from __future__ import annotations

import json
import sys
import threading
import time

import pytest
from studio_server import wait

from ganvas.inference.result import Progress
from ganvas.studio.desk import Desk, Superseded
from ganvas.studio.jobs import Job, Jobs, _error_in

TELLS = (
    sys.executable,
    "-c",
    """
import json, pathlib, sys, time
go = pathlib.Path(sys.argv[1])
print(json.dumps({"event": "progress", "name": "a", "done": 3, "total": 12}), file=sys.stderr, flush=True)
while not go.exists(): time.sleep(0.02)
print(json.dumps({"event": "progress", "name": "a", "done": 12, "total": 12}), file=sys.stderr, flush=True)
print(json.dumps({"input": "a", "error": "a cannot be read. It is broken."}), flush=True)
sys.exit(1)
""",
)


def test_a_job_tells_how_far_it_is_and_why_it_failed(tmp_path):
    told = []
    jobs = Jobs(tmp_path / "jobs", lambda job: told.append(job.row()), TELLS)
    job = jobs.add("upscale", lambda _: [str(tmp_path / "go")])
    wait(lambda: jobs.get(job.id).done == 3)
    assert jobs.get(job.id).total == 12 and jobs.get(job.id).left_s > 0
    (tmp_path / "go").touch()
    wait(lambda: jobs.get(job.id).state == "failed")
    assert (jobs.get(job.id).done, jobs.get(job.id).left_s) == (12, None)
    assert jobs.get(job.id).error == "a cannot be read. It is broken."
    assert any(row["done"] == 3 and row["state"] == "running" for row in told)
    json.dumps(told, allow_nan=False)
    jobs.close()


@pytest.mark.parametrize(
    ("output", "error"),
    [
        ("", ""),
        ("at work\nganvas: it went wrong.\n", "ganvas: it went wrong."),
        ('{"error": "broken"}\n{"event": "batch", "done": 1, "total": 1}\n', "broken"),
        ('ganvas: wrong.\n{"event": "progress", "done": 1, "total": 2}\n', "ganvas: wrong."),
        ('{"half a line\n', ""),
    ],
)
def test_why_a_job_failed(output, error):
    assert _error_in(output) == error


# Live calls


@pytest.fixture
def desk():
    desk = Desk()
    yield desk
    desk.close()


def checks(begun: threading.Event):
    """Return work that goes on until it is stopped."""

    def work(progress: Progress) -> None:
        begun.set()
        while True:
            progress.check()
            time.sleep(0.005)

    return work


def test_a_newer_call_stops_the_one_at_work(desk):
    begun = threading.Event()
    first = desk.ask("grid", checks(begun))
    assert begun.wait(60)
    second = desk.ask("grid", lambda _: "new")
    assert second.future.result(60) == "new"
    with pytest.raises(Superseded):
        first.future.result(60)


def test_a_call_of_another_kind_waits_its_turn(desk):
    begun, go = threading.Event(), threading.Event()

    def work(progress: Progress) -> str:
        begun.set()
        assert go.wait(60)
        progress.check()
        return "whole"

    first = desk.ask(("edit", 1), work)
    assert begun.wait(60)
    second = desk.ask(("edit", 2), lambda _: "next")
    go.set()
    assert (first.future.result(60), second.future.result(60)) == ("whole", "next")


def test_a_call_that_nobody_waits_for_is_not_begun(desk):
    begun = threading.Event()
    at_work, waiting = desk.ask("a", checks(begun)), desk.ask("b", lambda _: pytest.fail("nobody waits for it"))
    assert begun.wait(60)
    waiting.token.cancel()
    at_work.token.cancel()
    for asked in (at_work, waiting):
        with pytest.raises(Superseded):
            asked.future.result(60)


def test_closing_stops_what_is_at_work():
    desk, begun = Desk(), threading.Event()
    asked = desk.ask("a", checks(begun))
    assert begun.wait(60)
    desk.close()
    with pytest.raises(Superseded):
        asked.future.result(60)


def test_what_is_ordered_twice_is_queued_once_and_each_change_has_a_number(tmp_path):
    told: list[Job] = []
    jobs = Jobs(tmp_path / "jobs", told.append, ("sh", "-c", 'until [ -e "$0" ]; do sleep 0.05; done'))
    try:
        order = {"verb": "upscale", "picture": "1"}
        blocks = jobs.add("upscale", lambda _: [str(tmp_path / "go")], {"verb": "other"})
        first = jobs.add("upscale", lambda _: [str(tmp_path / "go")], order, once=True)
        assert jobs.add("upscale", lambda _: ["never"], dict(order), once=True).id == first.id
        other = jobs.add("upscale", lambda _: [str(tmp_path / "go")], {**order, "picture": "2"}, once=True)
        assert len({blocks.id, first.id, other.id}) == 3
        (tmp_path / "go").touch()
        wait(lambda: all(job.state == "done" for job in jobs.list()))
        assert jobs.add("upscale", lambda _: [str(tmp_path / "go")], order, once=True).id not in (first.id, other.id)
        wait(lambda: all(job.state == "done" for job in jobs.list()))
    finally:
        jobs.close()
    for job in (blocks, first, other):
        revisions = [each.revision for each in told if each.id == job.id]
        assert revisions == list(range(len(revisions))) and len(revisions) >= 3
    again = Jobs(tmp_path / "jobs")
    assert again.get(first.id).revision == jobs.get(first.id).revision
    again.close()
