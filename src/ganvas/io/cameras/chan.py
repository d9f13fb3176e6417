"""Nuke's .chan: a line a frame, `frame tx ty tz rx ry rz [vertical field of view]`, angles in degrees.

The file says neither in which order its angles are applied nor how large the film back is: both must be given.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.io.cameras.cameras import (
    Camera,
    Given,
    Solve,
    angles_from_rotation,
    film_and_size,
    into_metres,
    lost_shift,
    number,
    out_of_metres,
    plain_camera,
    rotation_from_angles,
)


def read(path: Path, given: Given) -> Solve:
    """Read a camera path.

    Raises:
        UserError: rotation order or film back were not given, a line is wrong, or no focal length can be had.
    """
    if not given.rotation_order:
        why = "A .chan file does not say in which order its three angles are applied"
        raise UserError(f"{path} needs a rotation order", why, "Give it: --rotation-order ZXY is Nuke's default")
    if given.film_back_mm is None:
        why = "A .chan file holds a field of view and no film back"
        raise UserError(f"{path} needs a film back", why, "Give it in millimetres: --film-back 36x24")
    film, size = film_and_size(given, [])
    cameras = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read", str(error)) from error
    for place, line in enumerate(lines, 1):
        parts = line.split("#")[0].split()
        if parts:
            cameras.append(_camera(_values(parts, path, place), path, given, film, size))
    return Solve(tuple(cameras))


def _values(parts: list[str], path: Path, place: int) -> list[float]:
    try:
        values = [float(part) for part in parts]
    except ValueError as error:
        raise UserError(f"Line {place} of {path} is no camera", str(error)) from error
    if len(values) not in (7, 8):
        why = f"It has {len(values)} values; a frame, three of position, three angles and a field of view are expected"
        raise UserError(f"Line {place} of {path} is no camera", why)
    return values


def _camera(values: list[float], path: Path, given: Given, film: tuple[float, float], size: tuple[int, int]) -> Camera:
    if len(values) == 8:
        if not 0 < values[7] < 180:
            raise UserError(f"Frame {values[0]:g} of {path} has a field of view of {values[7]:g} degrees")
        # Nuke measures it over the whole film back that it was told, of which the picture may show less.
        height = (given.film_back_mm or film)[1]
        focal = height / (2 * np.tan(np.radians(values[7]) / 2))
    elif given.focal_mm:
        focal = given.focal_mm
    else:
        raise UserError(f"{path} holds no field of view", do="Give the focal length in millimetres: --focal 35")
    matrix = np.eye(4)
    matrix[:3, :3] = rotation_from_angles(values[4:7], given.rotation_order)
    matrix[:3, 3] = values[1:4]
    matrix = into_metres(matrix, given.metres_per_unit or 1.0, given.up)
    return plain_camera(matrix, float(focal), film, size, round(values[0]))


def write(path: Path, cameras: Sequence[Camera], given: Given) -> list[str]:
    """Write a camera path in an order of rotation, ZXY unless given, and return what is lost."""
    order = (given.rotation_order or "ZXY").upper()
    matrices = [out_of_metres(camera.matrix, given.metres_per_unit or 1.0, given.up) for camera in cameras]
    angles = np.array([angles_from_rotation(matrix[:3, :3], order) for matrix in matrices])
    # Whole turns say nothing, and a curve editor shows them as jumps.
    angles = np.unwrap(angles, axis=0, period=360.0)
    lines = []
    for camera, matrix, turned in zip(cameras, matrices, angles):
        view = np.degrees(2 * np.arctan(camera.film_back_mm[1] / (2 * camera.focal_mm)))
        lines.append(" ".join([str(camera.frame), *map(number, (*matrix[:3, 3], *turned, view))]))
    runs.write_atomically(path, ("\n".join(lines) + "\n").encode())
    width, height = cameras[0].film_back_mm
    told = f"The .chan file was written with the rotation order {order} and a film back of {width:g} x {height:g} mm"
    return [*lost_shift(cameras, "A .chan file"), told]
