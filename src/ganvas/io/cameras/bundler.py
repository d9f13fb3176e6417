"""Bundler's bundle.out, with the list of its pictures beside it; its cameras look down -Z with Y up, as ours do."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ganvas.errors import UserError
from ganvas.io.cameras.cameras import Given, Solve
from ganvas.io.cameras.geometry import FLIP
from ganvas.io.cameras.lens import Lens
from ganvas.io.cameras.scanned import Sensor, Shot, cameras_of, viewed

LISTS = ("list.txt", "bundle.list.txt", "images.txt", "pictures.txt")


def read(path: Path, given: Given) -> Solve:
    """Read the registered cameras.

    Raises:
        UserError: the file is damaged, its list of pictures is missing, or their size is not known.
    """
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
        count = int(lines[0].split()[0])
        rows = [[float(part) for part in line.split()] for line in lines[1 : 1 + 5 * count]]
    except (OSError, UnicodeDecodeError, ValueError, IndexError) as error:
        raise UserError(f"{path} is no file of Bundler's", str(error)) from error
    if len(rows) < 5 * count or any(len(row) != 3 for row in rows):
        raise UserError(f"{path} is no file of Bundler's", f"{count} cameras of five lines of three numbers are told")
    names = _names(path, count)
    if given.size_px is None:
        raise UserError(f"{path} does not say how large its pictures are", do="Give it: --size 1920x1080")
    width, height = given.size_px
    shots, lost = [], 0
    for place in range(count):
        (focal, k1, k2), *rotation, translation = rows[5 * place : 5 * place + 5]
        if focal <= 0:
            lost += 1
            continue
        sensor = Sensor((width, height), (focal, focal), (width / 2, height / 2), Lens(radial=(k1, k2)))
        shots.append(Shot(names[place], viewed(np.array(rotation), translation) @ FLIP, sensor))
    notes = (f"{lost} pictures are not registered and are left out",) if lost else ()
    return Solve(cameras_of(shots, given), notes, roots=(path.parent, path.parent.parent), as_stored=True)


def _names(path: Path, count: int) -> list[str]:
    for folder in (path.parent, path.parent.parent):
        for name in LISTS:
            file = folder / name
            if file.is_file():
                found = [line.split()[0] for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
                if len(found) != count:
                    raise UserError(f"{file} names {len(found)} pictures", f"{path} has {count} cameras")
                return found
    raise UserError(f"{path} needs the list of its pictures", do="Put Bundler's list.txt beside it")
