"""What all routes share: the workspace, the desk, the jobs, the events."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from fastapi import Request

from ganvas.inference.result import Progress
from ganvas.studio.banks import Banks
from ganvas.studio.desk import Desk
from ganvas.studio.jobs import Job, Jobs
from ganvas.studio.workspace import Workspace, id_of

T = TypeVar("T")
PATIENCE_S = 0.1
"""Between two looks whether somebody still waits for an answer."""
SHOWN = (".png", ".jpg", ".webp", ".tif", ".exr")
"""Endings of results that pages show."""
REMEMBERED = 500
"""Events that a page which lost its connection can still ask for."""


@dataclass
class Events:
    """What happened, in order, for all pages that listen."""

    _past: deque[tuple[int, str, Any]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def tell(self, kind: str, data: Any) -> None:
        """Note an event; from any thread."""
        with self._lock:
            self._past.append((next(self._numbers), kind, data))

    def after(self, number: int) -> list[tuple[int, str, Any]]:
        """Return the events after a number."""
        with self._lock:
            return [event for event in self._past if event[0] > number]

    @property
    def last(self) -> int:
        """Return the number of the newest event, 0 before the first."""
        with self._lock:
            return self._past[-1][0] if self._past else 0


class Studio:
    """A running studio."""

    def __init__(self, workspace: Workspace, program: tuple[str, ...] = ()) -> None:
        self.workspace, self.desk, self.banks, self.events = workspace, Desk(), Banks(), Events()
        self.jobs = Jobs(workspace.jobs, self._on_job, program)
        self.scenes: dict[str, Any] = {}
        for job in self.jobs.list():
            self._show_results(job)

    async def live(self, kind: Hashable, function: Callable[[Progress], T], request: Request | None = None) -> T:
        """Run a function at the desk and return what it returns.

        Args:
            kind: the newest of a kind counts.
            function: checks by the progress that it is handed whether anybody still waits for it.
            request: stops it where whoever sent that has gone; None for what must be done in any case.
        """
        asked = self.desk.ask(kind, function)
        waiting = asyncio.wrap_future(asked.future)
        while not (await asyncio.wait({waiting}, timeout=PATIENCE_S))[0]:
            if request is not None and await request.is_disconnected():
                asked.token.cancel()
        return waiting.result()

    def close(self) -> None:
        """Stop what can be stopped."""
        self.desk.close()
        self.banks.close()
        self.jobs.close()

    def _on_job(self, job: Job) -> None:
        self._show_results(job)
        self.events.tell("job", self.row_of(job))

    def _show_results(self, job: Job) -> None:
        if job.state == "done":
            for name in job.results:
                path = self.workspace.jobs / job.id / "out" / name
                if path.suffix.lower() in SHOWN and path.is_file():
                    self.workspace.add(path.resolve())

    def row_of(self, job: Job) -> dict[str, Any]:
        """Return what a page is told of a job; `pictures` are the ids of those among its results."""
        out = (self.workspace.jobs / job.id / "out").resolve()
        ids = [id_of(out / name) if Path(name).suffix.lower() in SHOWN else "" for name in job.results]
        return {**job.row(), "pictures": ids}


def studio_of(request: Request) -> Studio:
    """Return the studio that a request is for."""
    return request.app.state.studio
