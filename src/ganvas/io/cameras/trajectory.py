"""Trajectories of odometry: TUM's (time, place, quaternion) and KITTI's (3 x 4 numbers), in axes of computer vision.

They hold no lens: KITTI's calib.txt beside one is read, else the focal length must be given.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ganvas.errors import UserError
from ganvas.io.cameras.cameras import Given, Solve, film_and_size
from ganvas.io.cameras.geometry import rotation_of
from ganvas.io.cameras.scanned import Sensor, Shot, cameras_of, placed


def read(path: Path, given: Given) -> Solve:
    """Read a trajectory.

    Raises:
        UserError: a line is wrong, or no focal length can be had.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read", str(error)) from error
    notes: list[str] = []
    sensor = _sensor(path, given, notes)
    shots = []
    is_kitti = False
    for place, line in enumerate(lines, 1):
        parts = line.split("#")[0].replace(",", " ").split()
        if not parts:
            continue
        try:
            values = [float(part) for part in parts]
        except ValueError as error:
            raise UserError(f"Line {place} of {path} is no pose", str(error)) from error
        if len(values) == 12:
            is_kitti = True
            whole = np.vstack([np.reshape(values, (3, 4)), [0, 0, 0, 1]])
            shots.append(Shot(f"{len(shots):06d}", whole, sensor))
        elif len(values) == 8 and np.linalg.norm(values[4:]) > 1e-9:
            x, y, z, w = np.array(values[4:]) / np.linalg.norm(values[4:])
            shots.append(Shot(parts[0], placed(rotation_of((w, x, y, z)), values[1:4]), sensor))
        else:
            why = f"It has {len(values)} values; TUM's have 8 with a quaternion, KITTI's 12"
            raise UserError(f"Line {place} of {path} is no pose", why)
    # KITTI's world is that of its first camera, Y down.
    if not is_kitti and not given.up:
        notes.append("A trajectory does not say its up axis, so Y is taken (--up)")
    return Solve(
        cameras_of(shots, given, up="-y" if is_kitti else "y"), tuple(notes), timed=not is_kitti, as_stored=True
    )


def _sensor(path: Path, given: Given, notes: list[str]) -> Sensor:
    film, size = film_and_size(given, notes)
    if given.focal_mm:
        focal = given.focal_mm * size[0] / film[0]
        return Sensor(size, (focal, focal), (size[0] / 2, size[1] / 2))
    calibration = path.parent / "calib.txt"
    if not calibration.is_file():
        do = "Give it with the film back: --focal 35 --film-back 36x24"
        raise UserError(f"{path} holds no lens", "Trajectories tell only where cameras were", do)
    for line in calibration.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, rest = line.partition(":")
        if name.strip() in ("P0", "P_rect_00"):
            p = np.reshape([float(part) for part in rest.split()], (3, 4))
            notes.append(f"The lens is P0 of {calibration.name}")
            return Sensor(size, (p[0, 0], p[1, 1]), (p[0, 2], p[1, 2]))
    raise UserError(f"{calibration} has no line P0", do="Give the focal length: --focal 35")
