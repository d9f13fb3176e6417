"""Memory that the C library keeps: enough that it need not be faulted in anew, and no more."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
from pathlib import Path

SLACK_PAGES = (64 << 20) // mmap.PAGESIZE


class Heap:
    """Keeps the process from growing while the same work is repeated.

    glibc keeps freed blocks, ever more scattered: over the thousand tiles of a picture memory would seem to leak.
    Giving all back after each tile costs a tenth of a network's time, in which its memory is faulted in anew, so it
    is done only when clearly more is in use than in the first band.
    """

    def __init__(self) -> None:
        self._mark = 0

    def learn(self) -> None:
        """Take note of what is in use while the first band is made."""
        self._mark = max(self._mark, _resident_pages())

    def keep_down(self) -> None:
        """Hand free blocks back to the system if clearly more is in use than ever in the first band."""
        if _resident_pages() > self._mark + SLACK_PAGES:
            self.give_back()

    @staticmethod
    def give_back() -> None:
        """Hand free blocks back to the system."""
        with contextlib.suppress(OSError, AttributeError, TypeError):
            ctypes.CDLL(None).malloc_trim(0)


def _resident_pages() -> int:
    with contextlib.suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1])
    return 0
