"""The one worker for live calls: networks are asked one at a time, and of waiting requests of a kind the newest wins.

Two threads on one sampler would mix their settings; a slider that moves sends more requests than a network answers.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
KEPT = 4
"""Models that stay ready at once; the one that was not used for longest goes."""


class Superseded(Exception):
    """A newer request of the same kind came before this one was begun."""


class Desk:
    """Runs functions in one thread, and keeps the models that they use."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[Hashable, tuple[Callable[[], Any], Future[Any]]] = OrderedDict()
        self._changed = threading.Condition()
        self._is_open = True
        self._models: OrderedDict[Hashable, Any] = OrderedDict()
        self._thread = threading.Thread(target=self._work, name="desk", daemon=True)
        self._thread.start()

    def ask(self, kind: Hashable, function: Callable[[], T]) -> Future[T]:
        """Queue a function and return its future; one of the same kind that still waits ends as `Superseded`.

        Requests that must not be lost, such as edits, have a kind of their own each.
        """
        future: Future[T] = Future()
        with self._changed:
            if not self._is_open:
                raise RuntimeError("the desk is closed")
            old = self._waiting.pop(kind, None)
            self._waiting[kind] = function, future
            self._changed.notify()
        if old is not None:
            old[1].set_exception(Superseded())
        return future

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
            dropped = [future for _, future in self._waiting.values()]
            self._waiting.clear()
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
                _, (function, future) = self._waiting.popitem(last=False)
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function())
            except BaseException as error:  # handed to whoever asked
                future.set_exception(error)
