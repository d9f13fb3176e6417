"""Nuke's .chan: a line a frame, `frame tx ty tz rx ry rz [vertical field of view]`, angles in degrees.

The file says neither in which order its angles are applied nor how large the film back is: both must be given. Other
programs write a focal length into the eighth column, or leave the frame out: what cannot be one is refused.
"""

from __future__ import annotations

import itertools
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
from ganvas.io.cameras.geometry import angles_from_rotation, into_metres, out_of_metres, rotation_from_angles
from ganvas.io.cameras.names import LARGEST

DO = "Give the focal length in millimetres: --focal 35"
USUAL_MM = (12, 14, 16, 18, 20, 21, 24, 25, 27, 28, 32, 35, 40, 50, 65, 75, 85, 100, 105, 135)
"""Focal lengths of common lenses."""
LONGEST_MM = 800.0


def read(path: Path, given: Given) -> Solve:
    """Read a camera path.

    Raises:
        UserError: rotation order or film back were not given, a line is wrong, or no focal length can be had.
    """
    _require_told(path, given)
    film, size = film_and_size(given, [])
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read", str(error)) from error
    rows = []
    for place, line in enumerate(lines, 1):
        parts = line.split("#")[0].replace(",", " ").split()
        if parts:
            rows.append((f"Line {place} of {path}", _values(parts, f"Line {place} of {path}")))
    _check_frames(rows, path)
    _check_views(rows, given, path)
    cameras = [_camera(values, path, given, film, size) for _, values in rows]
    return Solve(tuple(cameras), tuple(_told(rows, cameras, given)))


def _require_told(path: Path, given: Given) -> None:
    """Ask for all that the file does not say, at once."""
    wants, whys, options = [], [], []
    if not given.rotation_order:
        wants.append("a rotation order")
        whys.append("in which order its three angles are applied")
        options.append("--rotation-order ZXY (Nuke's default)")
    if given.film_back_mm is None:
        wants.append("a film back")
        whys.append("how large the film of its field of view is")
        options.append("--film-back 36x24 (millimetres)")
    if wants:
        why = f"A .chan file does not say {' nor '.join(whys)}"
        raise UserError(f"{path} needs {' and '.join(wants)}", why, f"Give {' and '.join(options)}")


_Row = tuple[str, list[float]]


def _values(parts: list[str], where: str) -> list[float]:
    try:
        values = [float(part) for part in parts]
    except ValueError as error:
        raise UserError(f"{where} is no camera", str(error)) from error
    if not np.isfinite(values).all():
        raise UserError(f"{where} is no camera", "It holds a value that is no number")
    if len(values) not in (7, 8):
        why = f"It has {len(values)} values; a frame, three of position, three angles and a field of view are expected"
        raise UserError(f"{where} is no camera", why)
    return values


def _check_frames(rows: Sequence[_Row], path: Path) -> None:
    """Refuse lines that do not begin with a frame number: some exporters leave it out."""
    for where, values in rows:
        if values[0] != round(values[0]) or abs(values[0]) > LARGEST:
            why = f"{values[0]:g} is no frame number; Maya and Houdini can leave it out"
            raise UserError(f"{where} begins with no frame", why, "Export it as Nuke's .chan, with frame numbers")
    for (_, before), (where, after) in itertools.pairwise(rows):
        if after[0] <= before[0]:
            why = f"It begins with {after[0]:g} after {before[0]:g}: the lines of {path} may hold no frame numbers"
            raise UserError(f"{where} has no later frame", why, "Export it with a frame number first in each line")


def _check_views(rows: Sequence[_Row], given: Given, path: Path) -> None:
    if len({len(values) for _, values in rows}) > 1:
        raise UserError(f"{path} has a field of view in some lines only", do="Export it again, or give --focal")
    for where, values in rows:
        if len(values) == 8 and not given.focal_mm and not 0 < values[7] < 180:
            why = "Some programs write a focal length in millimetres there"
            raise UserError(f"{where} has a field of view of {values[7]:g} degrees", why, DO)


def _told(rows: Sequence[_Row], cameras: Sequence[Camera], given: Given) -> list[str]:
    """Return how the eighth column was taken: Nuke writes a field of view there, others a focal length."""
    if not rows or len(rows[0][1]) == 7:
        return []
    column = [values[7] for _, values in rows]
    if given.focal_mm:
        return [f"The focal length given, {given.focal_mm:g} mm, goes before column 8, which says {column[0]:g}"]
    focal = [camera.focal_mm for camera in cameras]
    note = f"Column 8 ({column[0]:g}) is taken for the vertical field of view in degrees: {focal[0]:.1f} mm"
    if max(focal) > LONGEST_MM and max(column) < np.pi:
        note += ": so long a lens is rare, and it may be in radians"
    if max(column) == min(column) and column[0] in USUAL_MM:
        note += f" (if some program wrote a focal length in mm there: --focal {column[0]:g})"
    return [note]


def _camera(values: list[float], path: Path, given: Given, film: tuple[float, float], size: tuple[int, int]) -> Camera:
    if given.focal_mm:
        focal = given.focal_mm
    elif len(values) == 8:
        # Nuke measures it over the whole film back that it was told, of which the picture may show less.
        height = (given.film_back_mm or film)[1]
        focal = height / (2 * np.tan(np.radians(values[7]) / 2))
    else:
        raise UserError(f"{path} holds no field of view", do=DO)
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
    whole = cameras[0].whole_film_mm
    if whole and not np.allclose(whole, (width, height)):
        told += f", which is the middle of {whole[0]:g} x {whole[1]:g} mm"
    return [*lost_shift(cameras, "A .chan file"), told]
