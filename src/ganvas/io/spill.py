"""Memory on disk for what does not fit: nameless files, written and read by offset, which end with the process.

Plain reads and writes, not mmap: pages of a mapped file count as the process's own memory and are only given up when
the system runs short, so that a bound on memory could not be kept.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from ganvas.errors import UserError

_ADVICE = "Name a folder with room for them, or allow more memory"


def require_room(num_bytes: int, folder: str | Path | None = None) -> None:
    """Make sure that a folder's disk has room for so many bytes.

    Raises:
        UserError: it has not, or there is no such folder.
    """
    where = str(folder or tempfile.gettempdir())
    try:
        free = shutil.disk_usage(where).free
    except OSError as error:
        raise _failed(where, error) from error
    if free < num_bytes:
        why = f"They need {num_bytes / 2**30:.1f} GiB beyond the memory budget, and {free / 2**30:.1f} GiB are free"
        raise UserError(f"Intermediate maps cannot be kept in {where}", why, _ADVICE)


def _failed(where: str, error: OSError) -> UserError:
    return UserError(f"Intermediate maps cannot be kept in {where}", error.strerror or str(error), _ADVICE)


class SpillFile:
    """A temporary file without a name, gone when it is closed, collected or its process is killed.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self._where = str(folder or tempfile.gettempdir())
        try:
            # Unbuffered: strips are megabytes, and a copy of them would be memory again.
            self._file = tempfile.TemporaryFile(buffering=0, dir=self._where, prefix="ganvas-spill-")  # noqa: SIM115 - closed by close
        except OSError as error:
            raise _failed(self._where, error) from error

    def write(self, offset: int, data: memoryview) -> None:
        """Write bytes at an offset.

        Raises:
            UserError: the disk is full or broken.
        """
        rest = data.cast("B")
        try:
            self._file.seek(offset)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise _failed(self._where, error) from error

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill a buffer with the bytes at an offset.

        Raises:
            UserError: the disk is broken.
            ValueError: the file ends before the buffer is full.
        """
        rest = buffer.cast("B")
        try:
            self._file.seek(offset)
            while rest:
                size = self._file.readinto(rest)
                if not size:
                    raise ValueError(f"{len(rest)} bytes at {offset} were never written")
                rest = rest[size:]
        except OSError as error:
            raise _failed(self._where, error) from error

    def close(self) -> None:
        """Give the disk's room back."""
        self._file.close()
