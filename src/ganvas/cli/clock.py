"""`--minutes`: an end to a training by the clock, which the loop honours as it does Ctrl-C, between two steps."""

from __future__ import annotations

import math
import os
import signal
import threading

from ganvas.errors import UsageError


class Clock:
    """While entered, asks this process to stop once the minutes are over; None lets it run."""

    def __init__(self, minutes: float | None) -> None:
        if minutes is not None and not (math.isfinite(minutes) and minutes > 0):
            raise UsageError(f"--minutes is {minutes:g}", "It must be above 0")
        self.has_rung = False
        self._timer = None if minutes is None else threading.Timer(min(minutes, 1e7) * 60, self._ring)

    def _ring(self) -> None:
        self.has_rung = True
        # A shell starts what it puts into the background with SIGINT ignored.
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        os.kill(os.getpid(), signal.SIGTERM if ignored else signal.SIGINT)

    def __enter__(self) -> Clock:
        if self._timer:
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(self, *details: object) -> None:
        if self._timer:
            self._timer.cancel()
