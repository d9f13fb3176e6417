"""`--minutes`: an end to a training by the clock, which the loop honours as it does Ctrl-C, between two steps."""

from __future__ import annotations

import math
import threading

from ganvas.errors import UsageError
from ganvas.training.interruption import time_is_up


class Clock:
    """While entered, ends trainings once the minutes are over; None lets them run."""

    def __init__(self, minutes: float | None) -> None:
        if minutes is not None and not (math.isfinite(minutes) and minutes > 0):
            raise UsageError(f"--minutes is {minutes:g}", "It must be above 0")
        self.has_rung = False
        self._timer = None if minutes is None else threading.Timer(min(minutes, 1e7) * 60, self._ring)

    def _ring(self) -> None:
        self.has_rung = True
        time_is_up.set()

    def __enter__(self) -> Clock:
        if self._timer:
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(self, *details: object) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer.join()
            time_is_up.clear()
