"""Reads the training pictures that samples are compared with, beside the live calls, and keeps what was read last."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from torch import Tensor

from ganvas.evaluation.neighbours import Bank
from ganvas.inference.result import Event, Moved, Progress
from ganvas.studio.desk import Asked, Desk

Read = tuple[Bank, dict[str, Tensor]]
"""The pictures, and what is usual among them."""
KEPT = 2
"""Banks that are kept; at their largest each takes 140 MB."""
PATIENCE_S = 3.0
"""A reading that nobody asked about for so long makes way for another one."""


@dataclass
class Reading:
    """A bank that is read, or was."""

    asked: Asked = field(init=False)
    done: int = 0
    total: int = 0
    last_s: float = 0.0
    """When somebody asked about it, by the monotonic clock."""


class Banks:
    """Reads banks one after the other in a thread of its own; pages ask again and again how far theirs is."""

    def __init__(self) -> None:
        self._desk = Desk()
        self._readings: OrderedDict[Hashable, Reading] = OrderedDict()
        self._lock = threading.Lock()

    def ask(self, key: Hashable, read: Callable[[Progress], Read]) -> Reading:
        """Return how far a bank is; the first who asks has it read.

        Raises:
            UserError: it cannot be read; whoever asks next has it tried again.
        """
        with self._lock:
            reading = self._readings.pop(key, None) or self._begin(read)
            if reading.asked.future.done():
                reading.asked.future.result()
            self._readings[key] = reading
            reading.last_s = time.monotonic()
            for other in list(self._readings):
                self._let_go(other, reading.last_s)
        return reading

    def close(self) -> None:
        """End with the chunk that is being read."""
        self._desk.close()

    def _begin(self, read: Callable[[Progress], Read]) -> Reading:
        def work(progress: Progress) -> Read:
            def note(event: Event) -> None:
                if isinstance(event, Moved):
                    reading.done, reading.total = event.done, event.total or 0

            return read(Progress(note, token=progress.token))

        reading = Reading()
        reading.asked = self._desk.ask(object(), work)
        return reading

    def _let_go(self, key: Hashable, now_s: float) -> None:
        """Stop a reading that nobody waits for while another waits; forget the bank that was asked for longest ago."""
        reading = self._readings[key]
        if reading.asked.future.done():
            if len(self._readings) > KEPT and key == next(iter(self._readings)):
                del self._readings[key]
        elif now_s - reading.last_s > PATIENCE_S:
            reading.asked.token.cancel()
            del self._readings[key]
