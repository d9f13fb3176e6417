"""How strongly a JPEG file was compressed, read off its quantisation tables; nothing is decoded."""

from __future__ import annotations

import struct
from pathlib import Path

STANDARD_SUM = 3688
"""Sum of the standard's luminance table (ITU-T T.81, table K.1), which is quality 50."""
MAX_HEADER = 1 << 20
"""Bytes in which the tables must stand; profiles and previews go before them."""


def jpeg_quality(path: Path) -> float | None:
    """Return the quality, 1 to 100, at which the usual encoder would have made a JPEG's luminance table; else None.

    Tables of other encoders get the quality of the standard table that divides as strongly in all.
    Source: the scaling of libjpeg (`jpeg_set_quality`), inverted.
    """
    with path.open("rb") as file:
        if file.read(2) != b"\xff\xd8":
            return None
        header = file.read(MAX_HEADER)
    place = 0
    while place + 4 <= len(header) and header[place] == 0xFF:
        marker, length = header[place + 1], struct.unpack(">H", header[place + 2 : place + 4])[0]
        if marker == 0xFF:  # a fill byte
            place += 1
            continue
        segment = header[place + 4 : place + 2 + length]
        if marker == 0xDB and (total := _luminance_sum(segment)):
            return _quality(total)
        if marker == 0xDA or length < 2:  # the picture itself, or damage
            return None
        place += 2 + length
    return None


def _luminance_sum(segment: bytes) -> int:
    """Return the sum of table 0 in a segment of tables, or 0 where it holds another."""
    place = 0
    while place < len(segment):
        wide, number = divmod(segment[place], 16)
        size = 128 if wide else 64
        table = segment[place + 1 : place + 1 + size]
        if number == 0 and len(table) == size:
            return sum(struct.unpack(">64H", table) if wide else table)
        place += 1 + size
    return 0


def _quality(total: int) -> float:
    percent = 100 * total / STANDARD_SUM
    quality = (200 - percent) / 2 if percent <= 100 else 5000 / percent
    return min(100.0, max(1.0, quality))
