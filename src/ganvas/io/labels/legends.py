"""Legends: which id is which class, its colour and whether it is a thing; read from files, and those of known sets.

Read are our own legend.json, and the lists that come with CamVid and its like: label_colors.txt (`R G B name` a line)
and class_dict.csv (`name,r,g,b`), whose classes are numbered in their order.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganvas.errors import UserError, did_you_mean
from ganvas.io.pictures.shards import from_shards
from ganvas.io.runs import read_json, write_json

FILES = ("legend.json", "label_colors.txt", "class_dict.csv")
"""What a legend beside label maps may be called."""
READY = {path.stem: path for path in sorted((Path(__file__).parent / "ready").glob("*.json"))}
"""Legends of known data sets by name."""

MOST_LABELS = 1 << 16
"""Classes of a legend: more are the entries of something else."""


@dataclass(frozen=True)
class Label:
    """One class: its id, its name, its colour in pictures of label maps, and whether it comes as countable things."""

    id: int
    name: str
    color: tuple[int, int, int]
    thing: bool = False


@from_shards
def read_legend(path: Path) -> tuple[Label, ...]:
    """Read a legend: {"labels": [{"id": 0, "name": "sky", "color": [r, g, b], "thing": false}, ...]}, or a list of it.

    Raises:
        UserError: it cannot be read, names a class twice, or an entry lacks an id, a name or a colour.
    """
    listed = {".txt": _lines, ".csv": _table}.get(path.suffix.lower())
    try:
        entries = read_json(path).get("labels") if listed is None else listed(_text(path))
        labels = tuple(label_of(entry) for entry in entries or ())
    except (KeyError, TypeError, ValueError) as error:
        why = f"An entry is no label: {error}"
        do = 'Entries look like {"id": 0, "name": "sky", "color": [70, 130, 180], "thing": false}'
        raise UserError(f"{path} is no legend", why, do) from error
    if len(labels) > MOST_LABELS:
        raise UserError(
            f"{path} is no legend", f"It has {len(labels)} entries, and each would be a plane", "Give classes"
        )
    ids = [label.id for label in labels]
    twice = next((number for number, times in Counter(ids).items() if times > 1), None)
    if twice is not None or min(ids, default=0) < 0:
        why = f"The id {min(ids)} is negative" if twice is None else f"The id {twice} stands in it twice"
        raise UserError(f"{path} is no legend", why, "Give each class an id of its own, from 0")
    return labels


def ready(name: str) -> tuple[Label, ...]:
    """Return the legend of a known data set, such as `cityscapes`.

    Raises:
        UserError: there is none of this name.
    """
    if name not in READY:
        raise UserError(f"There is no ready legend {name!r}", do=did_you_mean(name, READY))
    return read_legend(READY[name])


def find_legend(places: Sequence[Path]) -> Path | None:
    """Return the first legend that lies in one of these folders."""
    return next((place / name for place in places for name in FILES if (place / name).is_file()), None)


def write_legend(path: str | Path, labels: Sequence[Label]) -> None:
    """Write a legend.

    Raises:
        UserError: it cannot be written.
    """
    entries = [{"id": each.id, "name": each.name, "color": list(each.color), "thing": each.thing} for each in labels]
    write_json(Path(path), {"labels": entries})


def label_of(entry: Mapping[str, Any]) -> Label:
    """Return the class that an entry of a legend tells."""
    red, green, blue = (int(part) for part in entry["color"])
    if not 0 <= min(red, green, blue) <= max(red, green, blue) <= 255:
        raise ValueError(f"{entry['color']} is no colour of 8 bits")
    return Label(int(entry["id"]), str(entry["name"]), (red, green, blue), bool(entry.get("thing", False)))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"{path} cannot be read", error.strerror or str(error)) from error


def _lines(text: str) -> list[dict[str, Any]]:
    rows = [re.fullmatch(r"\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S.*?)\s*", line) for line in text.splitlines() if line.strip()]
    if None in rows:
        raise ValueError("a line is not `R G B name`")
    return [{"id": number, "name": row[4], "color": row.group(1, 2, 3)} for number, row in enumerate(rows) if row]


def _table(text: str) -> list[dict[str, Any]]:
    rows = csv.DictReader(text.splitlines(), skipinitialspace=True)
    return [
        {"id": number, "name": row["name"], "color": [row[letter] for letter in "rgb"]}
        for number, row in enumerate(rows)
    ]
