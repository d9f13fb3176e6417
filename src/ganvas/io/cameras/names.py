"""Frame numbers and times in the names of pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

LARGEST = 99_999_999
"""Larger numbers in names are times or identifiers, not frames."""
_TIME = re.compile(r"\d{6,}\.\d+|\d{12,}|\d+\.\d+")


def frame_of(name: str, otherwise: int) -> int:
    """Return the last number in a file's name, or another where it has none."""
    numbers = re.findall(r"\d+", _stem(name))
    return int(numbers[-1]) if numbers else otherwise


def time_of(name: str) -> float | None:
    """Return the time that a name is, in seconds or in the unit of its clock; None where it is none."""
    stem = _stem(name)
    return float(stem) if re.fullmatch(r"\d+(\.\d+)?", stem) else None


def distinct_frames(names: Sequence[str]) -> list[int]:
    """Return a frame number for each name: the number in it, if each has one of its own; else its place by name.

    Names that are times (1305031102.175304, 1403636579763555584) are numbered in the order of time.
    """
    stems = [_stem(name) for name in names]
    if stems and all(_TIME.fullmatch(stem) for stem in stems) and len({*map(float, stems)}) == len(stems):
        ranks = {stem: rank for rank, stem in enumerate(sorted(stems, key=_exact))}
        return [ranks[stem] for stem in stems]
    frames = [frame_of(name, -1) for name in names]
    if len(set(frames)) == len(frames) and min(frames, default=0) >= 0 and max(frames, default=0) <= LARGEST:
        return frames
    order = sorted(range(len(names)), key=lambda place: natural(names[place]))
    places = [0] * len(names)
    for rank, place in enumerate(order):
        places[place] = rank
    return places


def natural(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts frame2 before frame10."""
    parts = re.split(r"(\d+)", name.casefold())
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part]


def _exact(stem: str) -> tuple[int, str]:
    whole, _, rest = stem.partition(".")
    return int(whole), rest.ljust(20, "0")


def _stem(name: str) -> str:
    """Return a name without folders and suffix; the digits after a time's point are no suffix."""
    whole = PurePosixPath(name.replace("\\", "/"))
    return whole.name if re.fullmatch(r"\d+\.\d+", whole.name) else whole.stem
