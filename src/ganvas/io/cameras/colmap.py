"""COLMAP's text model: images.txt (world to camera, axes of computer vision) and cameras.txt (lenses), in one folder.

A reconstruction has no unit, and its up axis is whatever came out: give metres per unit and `up` where they are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.io.cameras.cameras import (
    DEFAULT_FILM_MM,
    Camera,
    Given,
    Solve,
    distinct_frames,
    into_metres,
    number,
    out_of_metres,
)

MODELS = {
    "SIMPLE_PINHOLE": (0, 0, 1, 2, 3),
    "PINHOLE": (0, 1, 2, 3, 4),
    "SIMPLE_RADIAL": (0, 0, 1, 2, 3),
    "RADIAL": (0, 0, 1, 2, 3),
    "OPENCV": (0, 1, 2, 3, 4),
}
"""Model -> places of fx, fy, cx, cy, and of the first coefficient of distortion, among its parameters."""
FLIP = np.diag([1.0, -1.0, -1.0, 1.0])
"""From the axes of computer vision (Y down, Z ahead) to ours (Y up, -Z ahead)."""

Lens = tuple[tuple[int, int], tuple[float, ...], bool]


def read(path: Path, given: Given) -> Solve:
    """Read a folder with images.txt and cameras.txt, or the former of the two.

    Raises:
        UserError: one of them is missing or damaged, or a lens model is not supported.
    """
    folder = path if path.is_dir() else path.parent
    images, lenses = (path if path.is_file() else folder / "images.txt"), folder / "cameras.txt"
    for needed in (images, lenses):
        if not needed.is_file():
            raise UserError(f"{needed} does not exist", "COLMAP's text model is images.txt and cameras.txt together")
    by_id = _lenses(lenses)
    notes = []
    if any(distorted for _, _, distorted in by_id.values()):
        notes.append("Lens distortion is left out: undistort the pictures before they are used")
    rows = _images(images)
    names = [row[9] for row in rows]
    cameras = []
    for row, name, frame in zip(rows, names, distinct_frames(names)):
        if row[8] not in by_id:
            raise UserError(f"{name} in {images} has the camera {row[8]}", f"{lenses} does not hold it")
        matrix = into_metres(_matrix(row, images), given.metres_per_unit or 1.0, given.up)
        cameras.append(_camera(matrix, by_id[row[8]], given, frame, name))
    order = sorted(range(len(cameras)), key=lambda place: cameras[place].frame)
    return Solve(tuple(cameras[place] for place in order), tuple(notes))


def _text(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read", str(error)) from error


def _lenses(path: Path) -> dict[str, Lens]:
    found: dict[str, Lens] = {}
    for line in _text(path):
        parts = line.split()
        if not parts or line.startswith("#"):
            continue
        if len(parts) < 5 or parts[1] not in MODELS:
            model = parts[1] if len(parts) > 1 else line
            why = f"Known are {', '.join(MODELS)}"
            raise UserError(
                f"{path} has a lens of the model {model}", why, "Undistort with COLMAP, which writes PINHOLE"
            )
        try:
            values = [float(part) for part in parts[4:]]
            *places, distortion = MODELS[parts[1]]
            chosen = tuple(values[place] for place in places)
            size = int(parts[2]), int(parts[3])
        except (ValueError, IndexError) as error:
            raise UserError(f"A lens in {path} cannot be read", line) from error
        found[parts[0]] = (size, chosen, any(abs(value) > 1e-6 for value in values[distortion:]))
    return found


def _images(path: Path) -> list[list[str]]:
    lines = iter(_text(path))
    rows = []
    for line in lines:
        if line.startswith("#") or not line.strip():
            continue
        row = line.split(maxsplit=9)
        if len(row) != 10:
            raise UserError(f"{path} is no images.txt", f"A line has {len(row)} values instead of 10: {line[:60]}")
        rows.append(row)
        next(lines, None)  # the points seen in this picture, perhaps an empty line
    return rows


def _matrix(row: list[str], path: Path) -> np.ndarray:
    try:
        w, x, y, z, *position = map(float, row[1:8])
    except ValueError as error:
        raise UserError(f"{row[9]} in {path} has a value that is no number", str(error)) from error
    length = np.sqrt(w * w + x * x + y * y + z * z)
    if not length > 1e-9:
        raise UserError(f"{row[9]} in {path} has a rotation of no length")
    w, x, y, z = w / length, x / length, y / length, z / length
    view = np.eye(4)
    view[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    view[:3, 3] = position
    return np.linalg.inv(view) @ FLIP


def _camera(matrix: np.ndarray, lens: Lens, given: Given, frame: int, name: str) -> Camera:
    size, (fx, fy, cx, cy), _ = lens
    width = (given.film_back_mm or (DEFAULT_FILM_MM,))[0]
    film = (width, width / size[0] * size[1] * fx / fy)
    return Camera(
        matrix=matrix, focal_px=(fx, fy), centre_px=(cx, cy), size_px=size, film_back_mm=film, frame=frame, name=name
    )


def write(path: Path, cameras: Sequence[Camera], given: Given) -> list[str]:
    """Write images.txt and cameras.txt, one PINHOLE a distinct lens, and return what is lost."""
    folder = path.parent if path.name == "images.txt" else path
    folder.mkdir(parents=True, exist_ok=True)
    lenses: dict[tuple[float, ...], int] = {}
    images = ["# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, then a line of points"]
    for place, camera in enumerate(cameras, 1):
        lens = (*camera.size_px, *camera.focal_px, *camera.centre_px)
        matrix = out_of_metres(camera.matrix, given.metres_per_unit or 1.0, given.up)
        view = np.linalg.inv(matrix @ FLIP)
        values = [*quaternion(view[:3, :3]), *view[:3, 3]]
        name = camera.name or f"{camera.frame:06d}.png"
        images += [
            " ".join([str(place), *map(number, values), str(lenses.setdefault(lens, len(lenses) + 1)), name]),
            "",
        ]
    lines = ["# CAMERA_ID MODEL WIDTH HEIGHT FX FY CX CY"]
    for (width, height, *rest), place in lenses.items():
        lines.append(" ".join([str(place), "PINHOLE", str(int(width)), str(int(height)), *map(number, rest)]))
    # Readers of the model ask for the points, too, of which there are none.
    points = "# POINT3D_ID X Y Z R G B ERROR TRACK\n"
    runs.write_atomically(folder / "points3D.txt", points.encode())
    runs.write_atomically(folder / "cameras.txt", ("\n".join(lines) + "\n").encode())
    runs.write_atomically(folder / "images.txt", ("\n".join(images) + "\n").encode())
    return ["COLMAP's files do not say the film back"]


def quaternion(rotation: np.ndarray) -> np.ndarray:
    """Return the unit quaternion (w, x, y, z) of a rotation (3, 3), with w not negative."""
    r = rotation
    # The eigenvector of the largest eigenvalue: no case of small divisors.
    form = np.array([
        [r[0, 0] + r[1, 1] + r[2, 2], 0, 0, 0],
        [r[2, 1] - r[1, 2], r[0, 0] - r[1, 1] - r[2, 2], 0, 0],
        [r[0, 2] - r[2, 0], r[1, 0] + r[0, 1], r[1, 1] - r[0, 0] - r[2, 2], 0],
        [r[1, 0] - r[0, 1], r[2, 0] + r[0, 2], r[2, 1] + r[1, 2], r[2, 2] - r[0, 0] - r[1, 1]],
    ])  # fmt: skip
    _, vectors = np.linalg.eigh(form)
    found = vectors[:, -1]
    return found if found[0] >= 0 else -found
