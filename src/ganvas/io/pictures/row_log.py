"""Finished rows of a picture in a file that survives a kill: strip after strip, each with its length and checksum."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

_HEAD = struct.Struct("<II")


class RowLog:
    """Rows (n, width, channels) of one type, appended as they are finished; read back up to the last whole strip.

    A strip that a kill cut short, or that a failing disk has changed, ends what is read: it and all after it are
    dropped, and computed again.

    Args:
        path: of the log; made where there is none, and never followed where it is a link.
        row: (width, channels) of a row.
        dtype: of the samples.
    """

    def __init__(self, path: Path, row: tuple[int, int], dtype: np.dtype) -> None:
        self._row, self._dtype = row, np.dtype(dtype)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        # Unbuffered: what was appended is the system's at once, and outlives this process.
        self._file: IO[bytes] = os.fdopen(os.open(path, flags, 0o666), "r+b", buffering=0)

    def read(self, most_rows: int) -> Iterator[np.ndarray]:
        """Yield the strips that are whole, `most_rows` rows in all at most; the log then goes on behind them."""
        row_bytes = self._row[0] * self._row[1] * self._dtype.itemsize
        whole = rows = 0
        self._file.seek(0)
        while len(head := self._file.read(_HEAD.size)) == _HEAD.size:
            count, checksum = _HEAD.unpack(head)
            if not 0 < count <= most_rows - rows:
                break
            strip = np.empty((count, *self._row), self._dtype)
            data = strip.view(np.uint8).reshape(-1).data
            if not self._fill(data) or zlib.crc32(data) != checksum:
                break
            rows, whole = rows + count, whole + _HEAD.size + count * row_bytes
            yield strip
        self._file.seek(whole)
        self._file.truncate()

    def _fill(self, data: memoryview) -> bool:
        rest = data
        while rest:
            size = self._file.readinto(rest)  # pyright: ignore[reportAttributeAccessIssue] - a raw file has it
            if not size:
                return False
            rest = rest[size:]
        return True

    def append(self, rows: np.ndarray) -> None:
        """Append a strip.

        Raises:
            OSError: the disk is full or broken; what was appended before stays.
        """
        data = np.ascontiguousarray(rows).view(np.uint8).reshape(-1).data
        self._write(_HEAD.pack(len(rows), zlib.crc32(data)))
        self._write(data)

    def _write(self, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]

    def close(self) -> None:
        """Close the file, which stays."""
        self._file.close()
