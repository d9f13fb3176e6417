"""Polycam's raw data: one JSON a keyframe in `corrected_cameras` or `cameras`; Y up, metres, axes as ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ganvas.errors import UserError
from ganvas.io.cameras.cameras import Given, Solve
from ganvas.io.cameras.geometry import FLIP
from ganvas.io.cameras.kinds import load_json
from ganvas.io.cameras.scanned import Sensor, Shot, cameras_of, number_of

FOLDERS = (("corrected_cameras", "corrected_images"), ("cameras", "images"))


def read(path: Path, given: Given) -> Solve:
    """Read the keyframes of a folder, or one.

    Raises:
        UserError: a file is damaged or there are none.
    """
    roots: list[Path] = [path.parent]
    files = [path]
    if path.is_dir():
        roots, files = [path], sorted(path.glob("*.json"))
        for cameras, pictures in FOLDERS:
            if (path / cameras).is_dir():
                roots, files = [path / pictures], sorted((path / cameras).glob("*.json"))
                break
    elif path.parent.name in dict(FOLDERS):
        roots = [path.parent.parent / dict(FOLDERS)[path.parent.name]]
    shots = []
    for file in files:
        told, where = load_json(file), str(file)
        if not isinstance(told, dict) or "t_00" not in told:
            raise UserError(f"{file} is no keyframe of Polycam's", "It has no t_00")
        matrix = np.eye(4)
        matrix[:3] = [[number_of(told, f"t_{row}{column}", where) for column in range(4)] for row in range(3)]
        fx, fy, cx, cy = (number_of(told, key, where) for key in ("fx", "fy", "cx", "cy"))
        size = (int(number_of(told, "width", where)), int(number_of(told, "height", where)))
        shots.append(Shot(file.stem, matrix @ FLIP, Sensor(size, (fx, fy), (cx, cy))))
    if not shots:
        raise UserError(f"{path} holds no keyframes")
    return Solve(cameras_of(shots, given), roots=tuple(roots), as_stored=True)
