"""The one worker for live calls: networks are asked one at a time, and of waiting requests of a kind the newest wins.

Two threads on one sampler would mix their settings; a slider that moves sends more requests than a network answers.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ganvas.inference.result import Cancelled, CancelToken, Progress

T = TypeVar("T")
KEPT = 4
"""Models that stay ready at once; the one that was not used for longest goes."""


class Superseded(Exception):
    """A newer request of the same kind came before this one was begun."""


@dataclass(frozen=True)
class Asked:
    """A function that waits or runs, what becomes of it, and how it is stopped."""

    function: Callable[[Progress], Any]
    future: Future[Any] = field(default_factory=Future)
    token: CancelToken = field(default_factory=CancelToken)


class Desk:
    """Runs functions in one thread, and keeps the models that they use."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[Hashable, Asked] = OrderedDict()
        self._running: tuple[Hashable, Asked] | None = None
        self._changed = threading.Condition()
        self._is_open = True
        self._models: OrderedDict[Hashable, Any] = OrderedDict()
        self._thread = threading.Thread(target=self._work, name="desk", daemon=True)
        self._thread.start()

    def ask(self, kind: Hashable, function: Callable[[Progress], Any]) -> Asked:
        """Queue a function; one of the same kind ends as `Superseded`, at once where it waits, else at its next check.

        Requests that must not be lost, such as edits, have a kind of their own each.
        """
        asked = Asked(function)
        with self._changed:
            if not self._is_open:
                raise RuntimeError("the desk is closed")
            old = self._waiting.pop(kind, None)
            if self._running is not None and self._running[0] == kind:
                self._running[1].token.cancel()
            self._waiting[kind] = asked
            self._changed.notify()
        if old is not None:
            old.future.set_exception(Superseded())
        return asked

    def keep(self, name: Hashable, make: Callable[[], T]) -> T:
        """Return a model that is ready, made at its first use. Only for functions that the desk itself runs."""
        if name not in self._models:
            made = make()
            while len(self._models) >= KEPT:
                self._models.popitem(last=False)
            self._models[name] = made
        self._models.move_to_end(name)
        return self._models[name]

    def forget(self, name: Hashable) -> None:
        """Let go of a model, as when its file changed."""
        self._models.pop(name, None)

    def close(self) -> None:
        """End after the function at work; what waits is dropped."""
        with self._changed:
            self._is_open = False
            dropped = [asked.future for asked in self._waiting.values()]
            self._waiting.clear()
            if self._running is not None:
                self._running[1].token.cancel()
            self._changed.notify()
        for future in dropped:
            future.set_exception(Superseded())
        self._thread.join(timeout=5)

    def _work(self) -> None:
        while True:
            with self._changed:
                while self._is_open and not self._waiting:
                    self._changed.wait()
                if not self._is_open:
                    return
                kind, asked = self._waiting.popitem(last=False)
                self._running = kind, asked
            if not asked.future.set_running_or_notify_cancel():
                continue
            progress = Progress(token=asked.token)
            try:
                progress.check()  # whoever asked may have gone meanwhile
                asked.future.set_result(asked.function(progress))
            except Cancelled:
                asked.future.set_exception(Superseded())
            except BaseException as error:  # handed to whoever asked
                asked.future.set_exception(error)
