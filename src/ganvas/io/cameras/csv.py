"""The original's table: m0 ... m15, focal_length, filename; a row a camera, as its Maya export wrote them.

The sixteen numbers are Maya's worldMatrix: row vectors, so that the position stands in m12 to m14; centimetres unless
told otherwise. The table holds no film back.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.io.cameras.cameras import (
    Camera,
    Given,
    Solve,
    film_and_size,
    lost_shift,
    number,
    plain_camera,
)
from ganvas.io.cameras.geometry import into_metres, out_of_metres
from ganvas.io.cameras.names import distinct_frames

COLUMNS = tuple(f"m{place}" for place in range(16))
UNIT_M = 0.01


def read(path: Path, given: Given) -> Solve:
    """Read a table of cameras.

    Raises:
        UserError: a column is missing, or a value is no number.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read", str(error)) from error
    notes: list[str] = []
    film, size = film_and_size(given, notes)
    missing = [name for name in (*COLUMNS, "focal_length") if not rows or name not in rows[0]]
    if missing:
        why = "It has no rows" if not rows else f"It lacks {', '.join(missing[:4])}{' ...' if len(missing) > 4 else ''}"
        raise UserError(f"{path} is no table of cameras", why, "Its columns are m0 to m15, focal_length and filename")
    names = [row.get("filename") or "" for row in rows]
    cameras = []
    for row, name, frame in zip(rows, names, distinct_frames(names)):
        values = [_value(row[column], column, path, frame) for column in (*COLUMNS, "focal_length")]
        matrix = into_metres(np.reshape(values[:16], (4, 4)).T, given.metres_per_unit or UNIT_M, given.up)
        cameras.append(plain_camera(matrix, values[16], film, size, frame, name))
    return Solve(tuple(cameras), tuple(notes))


def _value(text: str | None, column: str, path: Path, frame: int) -> float:
    try:
        return float(text or "")
    except ValueError as error:
        raise UserError(f"{path} has {text!r} for {column}", f"Frame {frame} needs a number there") from error


def write(path: Path, cameras: Sequence[Camera], given: Given) -> list[str]:
    """Write a table of cameras and return what is lost."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*COLUMNS, "focal_length", "filename"])
    for camera in cameras:
        matrix = out_of_metres(camera.matrix, given.metres_per_unit or UNIT_M, given.up).T
        name = camera.name or f"{camera.frame:06d}.png"
        table.writerow([*map(number, matrix.ravel()), number(camera.focal_mm), name])
    runs.write_atomically(path, text.getvalue().encode())
    return [*lost_shift(cameras, "The table"), "The table does not say the film back"]
