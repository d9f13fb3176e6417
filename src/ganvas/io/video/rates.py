"""How many frames a second numbered frames have: said by the pictures themselves, or by a file beside them."""

from __future__ import annotations

import contextlib
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

from ganvas.errors import UserError
from ganvas.io.runs import write_json
from ganvas.io.video.reader import read_header

FILE = "clip.json"
"""Name of the file that says the rate of the frames in its folder, or in those below it: {"fps": "12"}."""


def write_rate(folder: Path, fps: Fraction | int) -> None:
    """Note the rate of a folder's frames."""
    write_json(folder / FILE, {"fps": str(Fraction(fps))})


def rate_beside(folder: Path) -> Fraction | None:
    """Return the rate that is noted in a folder or in the one above it."""
    for place in (folder, folder.absolute().parent):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
            noted = json.loads((place / FILE).read_text())["fps"]
            rate = Fraction(str(noted))
            return rate if rate > 0 else None
    return None


def rate_of(place: Path, name: str = "") -> Fraction | None:
    """Return the rate of a source of frames: that of a video, or what is noted beside a folder or its part `name`."""
    if place.is_file():
        try:
            return read_header(place, count=False).fps
        except UserError:
            return None
    return rate_beside(place / name if name and (place / name).is_dir() else place)


def rate_within(metadata: tuple[tuple[str, str, Any], ...]) -> Fraction | None:
    """Return the rate that a picture's own metadata tells, as OpenEXR's and DPX's do."""
    for name, _, value in metadata:
        if name not in ("FramesPerSecond", "dpx:FrameRate", "dpx:TemporalFrameRate", "framesPerSecond"):
            continue
        with contextlib.suppress(ValueError, TypeError, ZeroDivisionError, OverflowError):
            rate = Fraction(*map(int, value)) if isinstance(value, (tuple, list)) else Fraction(value)
            if 0 < rate < 1000:
                return rate.limit_denominator(1001)
    return None
