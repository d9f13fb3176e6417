"""NeRF's transforms.json: camera-to-world matrices in OpenGL axes, a lens for all frames or one for each.

The format says neither unit nor up axis nor film back; files that Ganvas writes do, under the key `ganvas`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
    out_of_metres,
)

DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")


def says(path: Path) -> tuple[str, ...]:
    """Return which fields of `Given` a file says itself: those that Ganvas wrote into it."""
    own = runs.read_json(path).get("ganvas")
    return tuple(own) if isinstance(own, dict) else ()


def read(path: Path, given: Given) -> Solve:
    """Read transforms.json.

    Raises:
        UserError: it has no frames, a frame has no matrix of 4 x 4 numbers, or no lens can be had.
    """
    told = runs.read_json(path)
    frames = told.get("frames")
    if not isinstance(frames, list) or not all(isinstance(frame, dict) for frame in frames):
        raise UserError(f"{path} is no transforms.json", "It has no list of frames")
    ours = told.get("ganvas", {})
    notes: list[str] = []
    unit = given.metres_per_unit or float(ours.get("metres_per_unit", 1.0))
    up = given.up or ours.get("up", "y")
    names = [str(frame.get("file_path", "")) for frame in frames]
    cameras = []
    for entry, name, number in zip(frames, names, distinct_frames(names)):
        # A frame's own lens goes before the lens of all.
        lens = {**told, **entry}
        if any(abs(float(lens.get(key, 0.0))) > 1e-6 for key in DISTORTION):
            notes.append("Lens distortion is left out: undistort the pictures before they are used")
        frame = int(entry.get("frame", number))
        cameras.append(_camera(lens, into_metres(_matrix(entry, path), unit, up), path, given, frame, name, ours))
    if given.film_back_mm is None and "film_back_mm" not in ours:
        notes.append(f"The film back is assumed to be {DEFAULT_FILM_MM:g} mm wide")
    return Solve(tuple(cameras), tuple(notes))


def _matrix(entry: Mapping[str, Any], path: Path) -> np.ndarray:
    try:
        matrix = np.asarray(entry["transform_matrix"], float)
        if matrix.shape in ((4, 4), (3, 4)):
            return np.vstack([matrix[:3], [0, 0, 0, 1]])
        why = f"It has the shape {matrix.shape}"
    except (KeyError, TypeError, ValueError) as error:
        why = str(error)
    raise UserError(f"A frame of {path} has no transform_matrix of 4 x 4 numbers", why)


def _camera(
    lens: Mapping[str, Any],
    matrix: np.ndarray,
    path: Path,
    given: Given,
    frame: int,
    name: str,
    ours: Mapping[str, Any],
) -> Camera:
    try:
        width = int(lens["w"]) if "w" in lens else given.size_px[0] if given.size_px else 0
        height = int(lens["h"]) if "h" in lens else given.size_px[1] if given.size_px else 0
        if not width or not height:
            why = "It holds no w and h"
            raise UserError(f"{path} does not say how large its pictures are", why, "Give it: --size 1920x1080")
        if "fl_x" in lens:
            focal = float(lens["fl_x"])
        else:
            focal = width / (2 * math.tan(float(lens["camera_angle_x"]) / 2))
        if "fl_y" in lens:
            across = float(lens["fl_y"])
        elif "camera_angle_y" in lens and "fl_x" not in lens:
            across = height / (2 * math.tan(float(lens["camera_angle_y"]) / 2))
        else:
            across = focal
        centre = (float(lens.get("cx", width / 2)), float(lens.get("cy", height / 2)))
    except KeyError as error:
        raise UserError(f"{path} holds no focal length", "It needs fl_x or camera_angle_x") from error
    except (TypeError, ValueError) as error:
        raise UserError(f"{path} has a value that is no number", str(error)) from error
    own = ours.get("film_back_mm")
    film = given.film_back_mm or (
        tuple(map(float, own)) if own else (DEFAULT_FILM_MM, DEFAULT_FILM_MM * height / width)
    )
    # Pixels that are not square make the film back's shape another one than the picture's.
    film = (film[0], film[0] / width * height * focal / across)
    return Camera(
        matrix=matrix, focal_px=(focal, across), centre_px=centre, size_px=(width, height), film_back_mm=film,
        frame=frame, name=name,
    )  # fmt: skip


def write(path: Path, cameras: Sequence[Camera], given: Given) -> list[str]:
    """Write transforms.json; nothing is lost."""
    unit, up = given.metres_per_unit or 1.0, given.up or "y"
    frames = [
        {
            "file_path": camera.name or f"{camera.frame:06d}.png",
            "frame": camera.frame,
            "transform_matrix": out_of_metres(camera.matrix, unit, up).tolist(),
            "fl_x": camera.focal_px[0], "fl_y": camera.focal_px[1],
            "cx": camera.centre_px[0], "cy": camera.centre_px[1],
            "w": camera.size_px[0], "h": camera.size_px[1],
        }
        for camera in cameras
    ]  # fmt: skip
    film = list(cameras[0].film_back_mm)
    width = cameras[0].size_px[0]
    told = {
        "camera_model": "OPENCV",
        "camera_angle_x": 2 * math.atan(width / (2 * cameras[0].focal_px[0])),
        "w": width, "h": cameras[0].size_px[1],
        "ganvas": {"metres_per_unit": unit, "up": up, "film_back_mm": film},
        "frames": frames,
    }  # fmt: skip
    runs.write_json(path, told)
    if any(camera.film_back_mm != cameras[0].film_back_mm for camera in cameras):
        return ["The film back of the first frame stands for all"]
    return []
