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
        self._over = threading.Event()
        self._seconds = None if minutes is None else min(minutes, 1e7) * 60

    def _ring(self) -> None:
        if self._over.wait(self._seconds):
            return
        self.has_rung = True
        # A shell starts what it puts into the background with SIGINT ignored.
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        number = signal.SIGTERM if ignored else signal.SIGINT
        # Before the loop listens, either would end the process at once.
        while signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            if self._over.wait(0.05):
                return
        os.kill(os.getpid(), number)

    def __enter__(self) -> Clock:
        if self._seconds is not None:
            threading.Thread(target=self._ring, daemon=True).start()
        return self

    def __exit__(self, *details: object) -> None:
        self._over.set()
