"""RealityCapture's internal and external camera parameters: #name,x,y,alt,heading,pitch,roll,f,px,py,k1 ... t2.

Its world has Z up and metres; the focal length is that of a 36 mm film whose longer side the picture fills, the
principal point a share of that side.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np

from ganvas.errors import UserError
from ganvas.io.cameras.cameras import Given, Solve
from ganvas.io.cameras.geometry import FLIP, rotation_from_angles
from ganvas.io.cameras.lens import Lens
from ganvas.io.cameras.scanned import Sensor, Shot, cameras_of, number_of, placed

NEEDED = ("x", "y", "alt", "heading", "pitch", "roll", "f")
FILM_MM = 36.0


def read(path: Path, given: Given) -> Solve:
    """Read a table.

    Raises:
        UserError: a column is missing, a value is no number, or the size of the pictures is not known.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [line.lstrip("#") for line in file if not line.lower().startswith("#cameras")]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read", str(error)) from error
    rows = [{(key or "").strip().lower(): value for key, value in row.items()} for row in csv.DictReader(lines)]
    missing = [name for name in NEEDED if not rows or name not in rows[0]]
    if missing:
        do = "Export the registration as Internal/External camera parameters"
        raise UserError(f"{path} is no table of RealityCapture's cameras", f"It lacks {', '.join(missing)}", do)
    if given.size_px is None:
        raise UserError(f"{path} does not say how large its pictures are", do="Give it: --size 6000x4000")
    shots = []
    for row in rows:
        where = f"{row.get('name') or 'A row'} of {path}"
        value = {key: number_of(row, key, where, 0.0) for key in (*NEEDED, "px", "py")}
        value |= {key: number_of(row, key, where, 0.0) for key in ("k1", "k2", "k3", "k4", "t1", "t2") if row.get(key)}
        turn = rotation_from_angles((value["pitch"], value["roll"], -value["heading"]), "YXZ")
        width, height = given.size_px
        scale = max(width, height) / FILM_MM
        lens = Lens(
            radial=tuple(value.get(f"k{place}", 0.0) for place in range(1, 5)),
            tangential=(value.get("t1", 0.0), value.get("t2", 0.0)),
        )
        centre = (width / 2 + value["px"] * max(width, height), height / 2 + value["py"] * max(width, height))
        sensor = Sensor((width, height), (value["f"] * scale, value["f"] * scale), centre, lens)
        matrix = placed(turn, (value["x"], value["y"], value["alt"])) @ FLIP
        if not np.isfinite(matrix).all() or not math.isfinite(value["f"]):
            raise UserError(f"{where} has values that are no numbers")
        shots.append(Shot(row.get("name") or "", matrix, sensor))
    return Solve(cameras_of(shots, given, up="z"))
