"""Which frame a file is: the number in its name that changes from file to file, and what gaps between them mean."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from ganvas.errors import UserError


def numbered(paths: Sequence[Path]) -> dict[int, Path]:
    """Return the files of one sequence by the number of their frame.

    Of several numbers in the names (city_000012_000019_leftImg8bit) it is the last one that changes. Where all are the
    same, as in a single name, it is the last one that is no part of a word (leftImg8bit, v2, 1080p).

    Raises:
        UserError: a name holds no number, or two files have the same.
    """
    numbers = {path: [int(digits) for digits in re.findall(r"\d+", path.stem)] for path in paths}
    for path, found in numbers.items():
        if not found:
            raise UserError(
                f"{path} has no number", "The frames of a sequence are numbered", "Name them 000000.png ..."
            )
    if len({len(found) for found in numbers.values()}) == 1:
        columns = list(zip(*numbers.values()))
        changing = [place for place, column in enumerate(columns) if len(set(column)) > 1]
        if changing:
            return _unique({path: found[changing[-1]] for path, found in numbers.items()})
    return _unique({path: _alone(path) for path in paths})


def _alone(path: Path) -> int:
    by_itself = re.findall(r"(?<![A-Za-z0-9])\d+(?![A-Za-z0-9])", path.stem.replace("_", " "))
    # Of f0004_v2 the longest.
    return int(by_itself[-1] if by_itself else max(reversed(re.findall(r"\d+", path.stem)), key=len))


def _unique(numbers: dict[Path, int]) -> dict[int, Path]:
    found: dict[int, Path] = {}
    for path, number in numbers.items():
        if number in found:
            what = f"{found[number].name} and {path.name} in {path.parent} are both frame {number}"
            why = "Files of one sequence have a number each, the same in all folders of its roles"
            raise UserError(what, why, "Number them 000000, 000001 ..., or give each sequence a folder of its own")
        found[number] = path
    return found


def step_of(numbers: Sequence[int]) -> int:
    """Return by how much the numbers of a sequence mostly grow, 1 where there is one only."""
    steps = Counter(later - earlier for earlier, later in pairwise(numbers))
    return min(steps, key=lambda step: (-steps[step], step)) if steps else 1


def runs_of(numbers: Sequence[int]) -> list[list[int]]:
    """Return the parts of ascending numbers between which some are missing."""
    step, parts = step_of(numbers), [list(numbers[:1])]
    for earlier, later in pairwise(numbers):
        if later - earlier != step:
            parts.append([])
        parts[-1].append(later)
    return parts


def listed(numbers: Sequence[int], most: int = 8) -> str:
    """Return the first of some numbers as text."""
    return ", ".join(map(str, numbers[:most])) + (" ..." if len(numbers) > most else "")
