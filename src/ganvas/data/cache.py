"""What was decoded or computed from files, kept in memory within a bound of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Generic, TypeVar

V = TypeVar("V")

CACHE_BYTES = 1 << 30


class ByteCache(Generic[V]):
    """Arrays, or groups of them, by key, up to a number of bytes; for use by many threads at once."""

    def __init__(self, limit_bytes: int = CACHE_BYTES, evicts: bool = True) -> None:
        """Start empty.

        Args:
            limit_bytes: what all values together may take.
            evicts: what was used longest ago makes room; otherwise what came first stays, which finds more where each
                sample comes once an epoch.
        """
        self.limit_bytes, self.evicts, self.held_bytes = limit_bytes, evicts, 0
        self._held: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        """Return what is kept under a key, or make it, and keep it where there is room."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key][0]
        # Two threads may make the same value at once: rare, and cheaper than making everyone wait.
        value = make()
        size = num_bytes(value)
        with self._lock:
            room = self.limit_bytes - (0 if self.evicts else self.held_bytes)
            if key not in self._held and size <= room:
                self._held[key] = (value, size)
                self.held_bytes += size
                while self.held_bytes > self.limit_bytes:
                    self.held_bytes -= self._held.popitem(last=False)[1][1]
        return value


def num_bytes(value: Any) -> int:
    """Return what an array takes, or all arrays of a mapping or sequence; anything else counts as nothing."""
    if isinstance(value, Mapping):
        return sum(map(num_bytes, value.values()))
    if isinstance(value, (tuple, list)):
        return sum(map(num_bytes, value))
    return int(getattr(value, "nbytes", 0))
