"""Jobs: command lines that run one after the other as children of the server, and outlive its restarts.

A job is a folder `NNNN-verb/` with `job.json`, `output.log` and `out/`. Its state is written before anything happens,
so that a killed server finds on its next start what was queued, and marks what was interrupted.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ganvas.errors import UserError
from ganvas.io import runs

State = Literal["queued", "running", "done", "failed", "stopped", "interrupted"]
WAITING = 100
"""Jobs that may wait at once."""
STOP_SECONDS = 60.0
"""Time for a child to end after it was asked to, in which a training saves its checkpoint."""
POLL_SECONDS = 0.5
"""Between two looks at how far a job is."""
SHOWN = 20_000
"""Bytes of a job's output that pages are shown, from its end."""


@dataclass(frozen=True)
class Job:
    """A command line and what became of it."""

    id: str
    """`NNNN-verb`, the name of its folder."""
    arguments: tuple[str, ...]
    """The words after `ganvas`."""
    state: State = "queued"
    created: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    code: int | None = None
    pid: int = 0
    birth: str = ""
    """When the process began, as the system counts: a number that another process took over does not count."""
    error: str = ""
    done: int = 0
    total: int = 0
    """Of the work, as the verb counts; 0 where it does not say."""
    results: tuple[str, ...] = ()
    """Names below `out/`."""
    title: str = ""
    order: dict[str, Any] = field(default_factory=dict)
    """What the page ordered."""
    revision: int = 0
    """Counts its changes: of two that a page is told, it knows the newer."""

    @property
    def command(self) -> str:
        """Return the command line as a user would type it."""
        return shlex.join(["ganvas", *self.arguments])

    @property
    def left_s(self) -> float | None:
        """Return the seconds that the rest will take if it goes on as fast; None where that is not known."""
        if self.state != "running" or not 0 < self.done < self.total:
            return None
        return round((time.time() - self.started) / self.done * (self.total - self.done), 1)

    def row(self) -> dict[str, Any]:
        """Return what a page is told."""
        return {**asdict(self), "command": self.command, "left_s": self.left_s}


class Jobs:
    """The queue: one job at a time.

    Args:
        folder: where the jobs' folders lie.
        tell: called with each job whose state changed.
        program: what runs the words of a job; tests give another.
    """

    def __init__(self, folder: Path, tell: Callable[[Job], None] = lambda _: None, program: Sequence[str] = ()) -> None:
        self.folder, self.tell = folder, tell
        self.program = tuple(program) or (sys.executable, "-m", "ganvas")
        self._changed = threading.Condition()
        self._jobs: dict[str, Job] = {}
        self._is_open = True
        self._find()
        self._thread = threading.Thread(target=self._work, name="jobs", daemon=True)
        self._thread.start()

    # What pages ask

    def add(
        self,
        verb: str,
        arguments: Callable[[Path], list[str]],
        order: dict[str, Any] | None = None,
        title: str = "",
        once: bool = False,
    ) -> Job:
        """Queue a job; `arguments` returns its words, given the folder for its results.

        `once` returns in its place the job of the same order that waits or runs already.

        Raises:
            UserError: too many wait already, or the words cannot be made.
        """
        with self._changed:
            for job in self._jobs.values() if once else ():
                if job.order == order and job.state in ("queued", "running") and job.error != "stopping":
                    return job
            if sum(job.state == "queued" for job in self._jobs.values()) >= WAITING:
                raise UserError(f"{WAITING} jobs wait already", do="Wait for some, or remove them")
            number = max((int(name.split("-")[0]) for name in self._jobs), default=0) + 1
            name = f"{number:04d}-{verb}"
            place = self.folder / name
            words = arguments(place / "out")
            (place / "out").mkdir(parents=True)
            self._set(Job(name, tuple(words), created=time.time(), order=order or {}, title=title))
            self._changed.notify_all()
        return self.get(name)

    def list(self) -> list[Job]:
        """Return all jobs, newest first."""
        return sorted(self._jobs.values(), key=lambda job: job.id, reverse=True)

    def get(self, id: str) -> Job:
        """Return a job.

        Raises:
            UserError: there is none of this name.
        """
        if id not in self._jobs:
            raise UserError(f"There is no job {id}", do="Reload the page")
        return self._jobs[id]

    def output(self, id: str) -> str:
        """Return the end of what a job printed."""
        path = self.folder / self.get(id).id / "output.log"
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - SHOWN))
            return file.read().decode("utf-8", "replace")

    def result(self, id: str, number: int) -> Path:
        """Return a file that a job made.

        Raises:
            UserError: there is none of this number.
        """
        job = self.get(id)
        if not 0 <= number < len(job.results):
            raise UserError(f"The job {id} has no result {number}", f"It has {len(job.results)}")
        return self.folder / job.id / "out" / job.results[number]

    def stop(self, id: str) -> Job:
        """Stop a job: one that waits is not begun, one at work is asked to end, which lets a training save."""
        with self._changed:
            job = self.get(id)
            if job.state == "queued":
                self._set(replace(job, state="stopped", ended=time.time()))
            elif job.state == "running":
                self._set(replace(job, error="stopping"))
                self._signal(job, signal.SIGINT)
        return self.get(id)

    def resume(self, id: str) -> Job:
        """Queue a job again that failed, was stopped or interrupted; its results so far are kept.

        Raises:
            UserError: it waits, runs or is done.
        """
        with self._changed:
            job = self.get(id)
            if job.state in ("queued", "running", "done"):
                raise UserError(f"The job {id} cannot be resumed", f"It is {job.state}")
            self._set(replace(job, state="queued", error="", code=None, started=0.0, ended=0.0, pid=0))
            self._changed.notify_all()
        return self.get(id)

    def close(self) -> None:
        """Begin no further job; a training at work goes on without the server, others are stopped."""
        with self._changed:
            self._is_open = False
            self._changed.notify_all()
        for job in self.list():
            if job.state == "running" and not _is_training(job):
                self._signal(job, signal.SIGINT)
        if not any(job.state == "running" and _is_training(job) for job in self.list()):
            self._thread.join(timeout=STOP_SECONDS)

    # The work

    def _find(self) -> None:
        """Read the jobs of earlier servers; what they left running is found again or marked as interrupted."""
        for path in sorted(self.folder.glob("*/job.json")):
            try:
                job = _read(path)
            except (UserError, TypeError, ValueError, KeyError):
                continue  # no job of ours
            self._jobs[job.id] = job
            if job.state == "running" and _birth_of(job.pid) != job.birth:
                self._keep(replace(job, state="interrupted", ended=time.time(), error="The server ended meanwhile"))

    def _work(self) -> None:
        while True:
            with self._changed:
                job = self._next()
                while job is None and self._is_open:
                    self._changed.wait(timeout=1.0)
                    job = self._next()
                if not self._is_open or job is None:
                    return
            self._run(job)

    def _next(self) -> Job | None:
        """Return the job to run now: first one that an earlier server left running."""
        jobs = sorted(self._jobs.values(), key=lambda job: job.id)
        for state in ("running", "queued"):
            for job in jobs:
                if job.state == state:
                    return job
        return None

    def _run(self, job: Job) -> None:
        place = self.folder / job.id
        if job.state == "running":
            while _birth_of(job.pid) == job.birth:
                if not self._is_open:
                    return
                time.sleep(0.2)
            code = None
        else:
            # Under the lock: a job that is stopped now has not begun, or has a process that can be told.
            with self._changed, (place / "output.log").open("ab") as log:
                if self.get(job.id).state != "queued":
                    return
                try:
                    child = subprocess.Popen(
                        [*self.program, *job.arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                        start_new_session=True, preexec_fn=_be_nice if os.name == "posix" else None,
                    )  # fmt: skip
                except OSError as error:
                    self._set(replace(job, state="failed", ended=time.time(), error=str(error)))
                    return
                job = replace(job, state="running", started=time.time(), pid=child.pid, birth=_birth_of(child.pid))
                self._set(job)
            while (code := _wait(child)) is None:
                self._note_progress(job.id)
        self._end(self.get(job.id), code)

    def _end(self, job: Job, code: int | None) -> None:
        was_stopped = job.error == "stopping"
        state: State = "stopped" if was_stopped or code in (130, -signal.SIGINT) else "done" if code == 0 else "failed"
        if code is None and not was_stopped:  # found again after a restart: how it ended stands in its last line
            state = (
                "done" if _is_training(job) and _last_line(self.output(job.id)).startswith("Done: ") else "interrupted"
            )
        self._note_progress(job.id)
        job = self.get(job.id)
        error = (_error_in(self.output(job.id)) or f"It ended with code {code}") if state == "failed" else ""
        folder = self.folder / job.id / "out"
        made = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        made = [name for name in made if not Path(name).name.startswith(".")]
        self._set(replace(job, state=state, ended=time.time(), code=code, error=error, results=tuple(made)))

    def _note_progress(self, id: str) -> None:
        """Tell how far a job is, where its output says something new."""
        for line in reversed(self.output(id).splitlines()):
            told = _json_of(line)
            if told.get("event") in ("progress", "batch") and told.get("total"):
                with self._changed:
                    job = self.get(id)
                    if (told["done"], told["total"]) != (job.done, job.total):
                        self._set(replace(job, done=int(told["done"]), total=int(told["total"])))
                return

    def _signal(self, job: Job, number: int) -> None:
        if job.pid and _birth_of(job.pid) == job.birth:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(job.pid, number)

    def _set(self, job: Job) -> None:
        self.tell(self._keep(job))

    def _keep(self, job: Job) -> Job:
        # Both threads write notes; two at once would take each other's unfinished file away.
        with self._changed:
            known = self._jobs.get(job.id)
            job = replace(job, revision=known.revision + 1 if known else 0)
            self._jobs[job.id] = job
            runs.write_json(self.folder / job.id / "job.json", asdict(job))
        return job


def _wait(child: subprocess.Popen[bytes]) -> int | None:
    try:
        return child.wait(timeout=POLL_SECONDS)
    except subprocess.TimeoutExpired:
        return None


def _json_of(line: str) -> dict[str, Any]:
    """Return what a line of JSON says; nothing for any other line."""
    try:
        found = json.loads(line) if line.startswith("{") else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _error_in(output: str) -> str:
    """Return why a job failed: what a result says, or the last line that is no JSON."""
    lines = [line for line in output.splitlines() if line.strip()]
    for line in reversed(lines):
        if error := _json_of(line).get("error") or ("" if line.startswith("{") else line):
            return str(error)
    return ""


def _last_line(output: str) -> str:
    return next((line for line in reversed(output.splitlines()) if line.strip()), "")


def _read(path: Path) -> Job:
    values = json.loads(path.read_text())
    job = Job(**{**values, "arguments": tuple(map(str, values["arguments"])), "results": tuple(values["results"])})
    if job.id != path.parent.name:
        raise ValueError(f"{path} is another job's")
    return job


def _is_training(job: Job) -> bool:
    return job.arguments[:1] == ("train",)


def _be_nice() -> None:
    os.nice(5)  # pages stay quick beside a job
    # A shell starts a server that it puts into the background with SIGINT ignored; jobs are stopped by it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _birth_of(pid: int) -> str:
    """Return when a process began, as the system counts; empty where there is no such process, or it is over."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return _birth_by_ps(pid) if pid and not Path("/proc/self/stat").exists() else ""
    return "" if words[0] == "Z" else words[19]


def _birth_by_ps(pid: int) -> str:
    found = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.strip()
