"""Ctrl-C, SIGTERM and a closed terminal as a request that the loop honours between two steps."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from types import FrameType
from typing import Any

STOPPED = 130
"""Exit code of a process that was asked to stop."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ECHO_SECONDS = 1.0
"""Within this time a second signal is the first one's echo: torchrun passes on what the terminal has sent already."""

time_is_up = threading.Event()
"""Set by the program itself to end its trainings as a signal does; who sets it clears it."""


class Interruption:
    """While entered, notes that a signal asked to stop; asking a second time ends the process's work at once."""

    def __init__(self) -> None:
        self._signalled = False
        self._first = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        for number in SIGNALS:
            if signal.getsignal(number) is signal.SIG_IGN:  # as nohup leaves SIGHUP
                continue
            try:
                self._before[number] = signal.signal(number, self._ask)
            except ValueError:  # not the main thread: the caller's program owns the signals
                break
        return self

    @property
    def asked(self) -> bool:
        """Tell whether a signal came, or the time is up."""
        return self._signalled or time_is_up.is_set()

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._signalled and now - self._first > ECHO_SECONDS:
            raise KeyboardInterrupt
        if not self._signalled:
            self._signalled, self._first = True, now

    def __exit__(self, *details: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def end_with_parent(number: int) -> None:
    """Have the system send this process a signal when the one that started it ends, however it ends (Linux only)."""
    with contextlib.suppress(OSError, AttributeError):
        import ctypes

        parent = os.getppid()
        set_death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None, use_errno=True).prctl(set_death_signal, int(number), 0, 0, 0)
        if os.getppid() != parent:  # it ended before the request
            os.kill(os.getpid(), number)
