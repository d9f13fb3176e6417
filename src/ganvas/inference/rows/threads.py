"""Reading ahead and writing behind: decoding, converting and encoding overlap with the network.

The network stays in the thread that asked for the work, whose threads, precision and cancelling it has. One further
thread reads, one finishes what the network made, one writes, and each is allowed so many bytes that wait.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

WAITING_BYTES = 128 << 20
"""Rows that may wait for the network."""
WRITING_BYTES = 32 << 20
"""Rows that may wait to be written or kept: a strip or two is enough to overlap, more is memory for nothing."""


class Sized(Protocol):
    """An array or tensor."""

    @property
    def nbytes(self) -> int:
        """Return the bytes of its values."""
        ...


Item = TypeVar("Item", bound=Sized)
Other = TypeVar("Other", bound=Sized)


class _Waiting(Generic[Item]):
    """A queue with a bound in bytes, which either side can close. One item always fits."""

    def __init__(self, most_bytes: int) -> None:
        self._items: deque[Item] = deque()
        self._bytes, self._most_bytes = 0, most_bytes
        self._changed = threading.Condition()
        self.ended = self.abandoned = False
        self.error: BaseException | None = None

    def put(self, item: Item) -> bool:
        """Append an item as soon as there is room; return False if nobody will take it."""
        with self._changed:
            self._changed.wait_for(
                lambda: self.abandoned or not self._items or self._bytes + item.nbytes <= self._most_bytes
            )
            if self.abandoned:
                return False
            self._items.append(item)
            self._bytes += item.nbytes
            self._changed.notify_all()
            return True

    def take(self) -> Item | None:
        """Return the next item, or None when the last one was taken or the queue was abandoned."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self.ended or self.abandoned)
            if self.abandoned or not self._items:
                return None
            item = self._items.popleft()
            self._bytes -= item.nbytes
            self._changed.notify_all()
            return item

    def __iter__(self) -> Iterator[Item]:
        """Yield items until the last one was taken."""
        while (item := self.take()) is not None:
            yield item

    def has_some(self) -> bool:
        """Tell whether an item can be taken without waiting."""
        with self._changed:
            return bool(self._items)

    def end(self, error: BaseException | None = None) -> None:
        """Say that nothing more will be put, and why if that is an error."""
        with self._changed:
            self.ended, self.error = True, error
            self._changed.notify_all()

    def abandon(self, error: BaseException | None = None) -> None:
        """Say that nothing more will be taken, and why if that is an error."""
        with self._changed:
            self.abandoned = True
            self.error = self.error or error
            self._items.clear()
            self._changed.notify_all()


def read_ahead(items: Iterator[Item], most_bytes: int = WAITING_BYTES) -> Iterator[Item]:
    """Yield what an iterator gives, which is asked in a thread of its own; its errors are raised here, in their place.

    When the consumer stops early, the thread ends after the item at hand.
    """
    waiting: _Waiting[Item] = _Waiting(most_bytes)

    def read() -> None:
        try:
            for item in items:
                if not waiting.put(item):
                    return
        except BaseException as error:
            waiting.end(error)
        else:
            waiting.end()

    thread = threading.Thread(target=read, name="ganvas-read", daemon=True)
    thread.start()
    try:
        while (item := waiting.take()) is not None:
            yield item
        if waiting.error is not None:
            raise waiting.error
    finally:
        waiting.abandon()
        thread.join()


def beside(
    items: Iterator[Item], finish: Callable[[Iterator[Item]], Iterator[Other]], most_bytes: int = 1
) -> Iterator[Other]:
    """Yield what `finish` makes of items, in a thread of its own, while this thread makes the next items.

    One item may wait, or several up to `most_bytes`. An error of either is raised here, that of the items after all
    that was made of those before it. When the consumer stops early, the thread ends after the item at hand.
    """
    given: _Waiting[Item] = _Waiting(most_bytes)
    ready: _Waiting[Other] = _Waiting(sys.maxsize)

    def work() -> None:
        try:
            for item in finish(iter(given)):
                if not ready.put(item):
                    return
        except BaseException as error:
            given.abandon()
            ready.end(error)
        else:
            ready.end()

    stopped: BaseException | None = None
    thread = threading.Thread(target=work, name="ganvas-finish", daemon=True)
    thread.start()
    try:
        while True:
            try:
                item = next(items, None)
            except BaseException as caught:
                stopped = caught
                break
            if item is None or not given.put(item):
                break
            del item  # not held while the next one is made
            while ready.has_some() and (done := ready.take()) is not None:
                yield done
        given.end()
        yield from ready
        if (error := stopped or ready.error) is not None:
            raise error
    finally:
        given.abandon()
        ready.abandon()
        thread.join()


class WriteBehind(Generic[Item]):
    """Calls a function with one item after another in a thread of its own: `with WriteBehind(write) as put: put(rows)`.

    An error of the function is raised by the next `put`, or at the end of the block, which waits for the last item. An
    error in the block drops what waits, unless it `always_finishes`.
    """

    def __init__(
        self, write: Callable[[Item], None], most_bytes: int = WRITING_BYTES, always_finishes: bool = False
    ) -> None:
        self._write, self._always_finishes = write, always_finishes
        self._waiting: _Waiting[Item] = _Waiting(most_bytes)
        self._thread = threading.Thread(target=self._work, name="ganvas-write", daemon=True)

    def _work(self) -> None:
        try:
            while (item := self._waiting.take()) is not None:
                self._write(item)
                del item  # not held while the next one is waited for
        except BaseException as error:
            self._waiting.abandon(error)

    def __call__(self, item: Item) -> None:
        """Hand over an item, waiting while too much waits already.

        Raises:
            BaseException: what the function raised on an earlier item.
        """
        if not self._waiting.put(item):
            self._raise()

    def _raise(self) -> None:
        if self._waiting.error is not None:
            raise self._waiting.error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or self._always_finishes:
            self._waiting.end()
        else:
            self._waiting.abandon()
        self._thread.join()
        if kind is None:
            self._raise()
