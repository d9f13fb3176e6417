"""Work shared over devices and machines by Ray: one actor a device holds the model, a piece of work is a file or so.

    pieces -> actors that are free -> results; the piece of an actor that is lost goes to another one

Nothing is lost, since a piece is done when its result has come. Nothing is written twice by halves, since every file
gets its name when it is whole: a piece that is done again passes over what the lost actor had finished, or replaces it
by the same picture. All machines must see inputs, outputs and weights under the same paths.
"""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ganvas.errors import UsageError, UserError, need
from ganvas.inference.open import BUNDLED, Opened, open_model
from ganvas.inference.picture.strip_tasks import StripTask
from ganvas.inference.result import Cancelled, Progress, Result

ATTEMPTS = 3
"""How often a piece is tried that takes its worker down with it, and how often a worker may fail to start."""

STORE_BYTES = 128 << 20
"""Memory for what is sent: names and results, never pictures."""

_POLL_S = 0.2


class Piece(NamedTuple):
    """What one actor does at once."""

    name: str
    """The input, for messages."""
    output: str
    options: Any
    """Of the model's suite, for this piece alone."""
    again: Any
    """The same, where an actor was lost over it and may have finished some of it."""
    is_part: bool = False
    """Its result is only a part of what the user waits for."""


class Place(NamedTuple):
    """Where the actors are."""

    address: str | None
    """None: a cluster of this machine's own, for as long as the work lasts."""
    workers: int
    """Actors; 0: one for each device."""


def read_place(text: str) -> Place:
    """Return the place that is written as local, local:2, auto or ray://host:port.

    Raises:
        UsageError: it is written otherwise.
    """
    if found := re.fullmatch(r"local(?::([1-9][0-9]{0,3}))?", text):
        return Place(None, int(found[1] or 0))
    if text == "auto" or re.fullmatch(r"ray://[^\s/:]+:[0-9]{1,5}", text):
        return Place(text, 0)
    raise UsageError(f"{text!r} is no cluster", do="Give --cluster local, local:2, auto or ray://host:port")


def run_shared(opened: Opened, pieces: Sequence[Piece], cluster: str, progress: Progress) -> list[Result]:
    """Do all pieces on a cluster and return their results in order; a cancelled run returns those that it has.

    Raises:
        UserError: Ray is not installed or not there, or no worker can start.
    """
    place, model = read_place(cluster), _reference(opened)
    ray = need("ray", "cluster")
    with _connected(ray, place) as workers:
        return _Share(ray, pieces, lambda: _start(ray, model, workers), workers.num, progress).run()


def _reference(opened: Opened) -> str:
    if opened.path is None:
        why = "Other processes read it from a file"
        raise UserError("A model in memory cannot be shared", why, "Write it first: ganvas blend A B --out FILE")
    # Bundled models lie elsewhere on other machines.
    return opened.name if opened.path.parent == BUNDLED else str(opened.path.absolute())


class _Workers(NamedTuple):
    num: int
    cpus: float
    gpus: float


@contextmanager
def _connected(ray: Any, place: Place) -> Iterator[_Workers]:
    """Join a cluster, or start one, and leave it afterwards.

    Raises:
        UserError: there is none.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    common = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if place.address is None:
            cpus = max(place.workers, os.cpu_count() or 1)
            with _package_on_path():
                # Ray starts workers at niceness 15, which leaves them next to nothing on a machine that is in use.
                system = {"worker_niceness": 0}
                ray.init(
                    num_cpus=cpus,
                    include_dashboard=False,
                    object_store_memory=STORE_BYTES,
                    _system_config=system,
                    **common,
                )
        else:
            ray.init(address=place.address, **common)
    except (ConnectionError, RuntimeError, ValueError) as error:
        why = " ".join(str(error).split())[:160]
        do = "Start one with `ray start --head`, or use --cluster local"
        raise UserError(f"There is no Ray cluster at {place.address or 'this machine'}", why, do) from error
    try:
        resources = ray.cluster_resources()
        gpus, cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 1))
        machines = sum(bool(node["Alive"]) for node in ray.nodes())
        count = place.workers or gpus or machines
        yield _Workers(count, 1 if gpus else max(1, cpus // count), min(1.0, gpus / count))
    finally:
        ray.shutdown()


@contextmanager
def _package_on_path() -> Iterator[None]:
    """Let processes that are started find this very package, however it is installed."""
    before = os.environ.get("PYTHONPATH")
    # A runtime environment of Ray would do the same, by processes that take many times as long to start.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), before]))
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _start(ray: Any, model: str, workers: _Workers) -> Any:
    remote = ray.remote(num_cpus=workers.cpus, num_gpus=workers.gpus, max_restarts=0)(Worker)
    return remote.remote(model, int(workers.cpus))


class Worker:
    """One device's share: it holds the model and does one piece after another."""

    def __init__(self, model: str, threads: int) -> None:
        import torch

        from ganvas.inference.picture import suite

        torch.set_num_threads(threads)
        self._opened = open_model(model)
        if self._opened.takes == "picture":
            suite.keep_ready(self._opened)

    def ready(self) -> int:
        """Return the process's number, as soon as the model is there."""
        return os.getpid()

    def work(self, options: Any) -> list[Result]:
        """Do one piece; what is wrong with it is in its results."""
        told: list[Result] = []
        if isinstance(options, StripTask):
            return [options.run(self._opened)]
        try:
            self._opened.suite.run(
                self._opened, options, Progress(lambda event: told.append(event) if isinstance(event, Result) else None)
            )
        except UserError as error:
            told.append(Result(input="", error=str(error)))
        return told


class _Share:
    """Hands pieces to actors until every piece has its results."""

    def __init__(
        self, ray: Any, pieces: Sequence[Piece], start: Callable[[], Any], count: int, progress: Progress
    ) -> None:
        self._ray, self._pieces, self._start, self._progress = ray, pieces, start, progress
        self._count = min(count, len(pieces))
        self._waiting = deque(range(len(pieces)))
        self._attempts = [0] * len(pieces)
        self._results: dict[int, list[Result]] = {}
        self._running: dict[Any, tuple[Any, int | None]] = {}
        """What each actor is asked: its piece, or None where it is still starting."""
        self._failed_starts = 0
        self._begun = time.monotonic()

    def run(self) -> list[Result]:
        """Do all pieces and return their results in order."""
        for _ in range(self._count):
            self._add_actor()
        try:
            while len(self._results) < len(self._pieces):
                self._progress.check()
                done, _ = self._ray.wait(list(self._running), num_returns=1, timeout=_POLL_S)
                for reference in done:
                    self._take(reference)
        except Cancelled:
            pass
        return [result for number in sorted(self._results) for result in self._results[number]]

    def _add_actor(self) -> None:
        actor = self._start()
        self._running[actor.ready.remote()] = (actor, None)

    def _take(self, reference: Any) -> None:
        actor, number = self._running.pop(reference)
        try:
            found = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self._lost(number, error)
            return
        if number is not None:
            self._note(number, found)
        if self._waiting:
            following = self._waiting.popleft()
            piece = self._pieces[following]
            options = piece.again if self._attempts[following] else piece.options
            self._attempts[following] += 1
            self._running[actor.work.remote(options)] = (actor, following)

    def _lost(self, number: int | None, error: Exception) -> None:
        """Put the piece of a lost actor back, and start another actor."""
        why = " ".join(str(error).split())[-300:]
        if number is None:
            self._failed_starts += 1
            if self._failed_starts >= ATTEMPTS and not self._running:
                raise UserError("No worker could be started", why, "Is the model, and this Ganvas, on all machines?")
        else:
            piece = self._pieces[number]
            self._progress.warn(f"A worker was lost over {piece.name}")
            if self._attempts[number] < ATTEMPTS:
                self._waiting.appendleft(number)
            else:
                what = f"{ATTEMPTS} workers were lost over {piece.name}"
                self._note(number, [Result(input=piece.name, output=piece.output, error=f"{what}: {why}")])
        if self._failed_starts < ATTEMPTS and len(self._running) < len(self._pieces) - len(self._results):
            self._add_actor()

    def _note(self, number: int, found: Sequence[Result]) -> None:
        piece = self._pieces[number]
        # What concerned a piece as a whole has no input of its own.
        named = [result if result.input else replace(result, input=piece.name, output=piece.output) for result in found]
        self._results[number] = named
        for result in () if piece.is_part else named:
            self._progress.finish(result)
        done, total = len(self._results), len(self._pieces)
        self._progress.of("all workers")(done, total)
        if done < total:
            self._progress.count(done, total, (time.monotonic() - self._begun) / done * (total - done))
