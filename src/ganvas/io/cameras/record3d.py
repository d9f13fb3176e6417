"""Record3D's metadata of a recording: poses as quaternions and places, Y up, metres, axes as ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ganvas.errors import UserError
from ganvas.io.cameras.cameras import Given, Solve
from ganvas.io.cameras.geometry import FLIP, rotation_of
from ganvas.io.cameras.kinds import load_json
from ganvas.io.cameras.scanned import Sensor, Shot, cameras_of, placed


def read(path: Path, given: Given) -> Solve:
    """Read the cameras of a recording.

    Raises:
        UserError: the file is damaged.
    """
    told = load_json(path)
    try:
        size = (int(told["w"]), int(told["h"]))
        lenses = told.get("perFrameIntrinsicCoeffs")
        if not lenses:
            k = np.reshape([float(one) for one in told["K"]], (3, 3)).T  # column by column
            lenses = [[k[0, 0], k[1, 1], k[0, 2], k[1, 2]]] * len(told["poses"])
        shots = []
        for place, (pose, lens) in enumerate(zip(told["poses"], lenses)):
            x, y, z, w, *centre = (float(one) for one in pose)
            turn = rotation_of(np.array([w, x, y, z]) / np.linalg.norm([w, x, y, z]))
            lens = [lens[index] for index in (0, 4, 6, 7)] if len(lens) == 9 else lens
            fx, fy, cx, cy = (float(one) for one in lens[:4])
            shots.append(Shot(f"{place}.jpg", placed(turn, centre) @ FLIP, Sensor(size, (fx, fy), (cx, cy))))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is no metadata of Record3D's", f"{type(error).__name__}: {error}") from error
    fps = told.get("fps")
    roots = (path.parent / "rgb", path.parent / "rgbd", path.parent)
    return Solve(cameras_of(shots, given), roots=roots, as_stored=True, fps=float(fps) if fps else None)
