"""How a PNG stores its samples, which decoders hide: the palette, and gray of fewer than eight bits."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PALETTE_TYPE = 3


@dataclass(frozen=True)
class Storage:
    """Bits of a stored sample, and the colours (N, 3) uint8 that its values stand for where there is a palette."""

    bits: int
    palette: np.ndarray | None = None


def read_storage(path: str | Path) -> Storage | None:
    """Return how a PNG stores its samples, or None for a file that is no PNG or is cut short."""
    with Path(path).open("rb") as file:
        if file.read(8) != _SIGNATURE:
            return None
        bits, kind = 8, 0
        while len(start := file.read(8)) == 8:
            length, name = struct.unpack(">I4s", start)
            if name == b"IHDR":
                _, _, bits, kind = struct.unpack(">IIBB", file.read(length)[:10])
                if kind != _PALETTE_TYPE:
                    return Storage(bits)
            elif name == b"PLTE":
                colors = np.frombuffer(file.read(length), np.uint8)
                return Storage(bits, colors[: len(colors) // 3 * 3].reshape(-1, 3).copy())
            elif name == b"IDAT":
                break
            else:
                file.seek(length, 1)
            file.seek(4, 1)
    return None
