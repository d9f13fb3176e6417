"""ARKit's frames as the 3D Scanner App writes them: a JSON beside each picture; Y up, metres, axes as ours.

ARKit counts its principal point from the middle of the first pixel, as the projection matrix in these files shows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ganvas.errors import UserError
from ganvas.io.cameras.cameras import Given, Solve
from ganvas.io.cameras.geometry import FLIP
from ganvas.io.cameras.kinds import load_json
from ganvas.io.cameras.scanned import Sensor, Shot, cameras_of

POSE = "cameraPoseARFrame"
HALF = 0.5
"""From the middle of a pixel to its edge."""


def read(path: Path, given: Given) -> Solve:
    """Read the frames of a folder, or of the folder of one of them.

    Raises:
        UserError: a file is damaged, or the size of the pictures is not known.
    """
    folder = path if path.is_dir() else path.parent
    if given.size_px is None:
        raise UserError(f"{path} does not say how large its pictures are", do="Give it: --size 1920x1440")
    shots = []
    for file in sorted(folder.glob("*.json")):
        told = load_json(file)
        if not isinstance(told, dict) or POSE not in told:
            continue
        try:
            matrix = np.reshape([float(one) for one in told[POSE]], (4, 4))
            k = np.reshape([float(one) for one in told["intrinsics"]], (3, 3))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{file} is no frame of ARKit's", f"{type(error).__name__}: {error}") from error
        sensor = Sensor(given.size_px, (k[0, 0], k[1, 1]), (k[0, 2] + HALF, k[1, 2] + HALF))
        shots.append(Shot(file.stem, matrix @ FLIP, sensor))
    return Solve(cameras_of(shots, given), roots=(folder,), as_stored=True)
