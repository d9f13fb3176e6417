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
from ganvas.io.cameras.cameras import DEFAULT_FILM_MM, Camera, Given, Solve
from ganvas.io.cameras.geometry import into_metres, out_of_metres
from ganvas.io.cameras.kinds import load_json
from ganvas.io.cameras.lens import Lens
from ganvas.io.cameras.names import distinct_frames

PINHOLES = ("", "PINHOLE", "SIMPLE_PINHOLE", "PERSPECTIVE", "PERSP")
BROWN = ("OPENCV", "SIMPLE_RADIAL", "RADIAL", "FULL_OPENCV")
FISHEYE = ("OPENCV_FISHEYE", "FISHEYE", "FISHEYE624")
FOCALS = ("fl_x", "camera_angle_x", "fl_y", "camera_angle_y")
NO_PINHOLES = ("latlong", "is_latlong", "equirectangular", "is_equirectangular", "orthographic", "is_orthographic")
"""Keys by which instant-ngp and its kin say that pictures are no pinhole's, without a model."""


def says(path: Path) -> tuple[str, ...]:
    """Return which fields of `Given` a file says itself: those that Ganvas wrote into it."""
    told = load_json(path)
    own = told.get("ganvas") if isinstance(told, dict) else None
    return tuple(own) if isinstance(own, dict) else ()


def read(path: Path, given: Given) -> Solve:
    """Read transforms.json.

    Raises:
        UserError: it has no frames, a frame has no matrix of 4 x 4 numbers, no lens can be had, or it is no pinhole's.
    """
    told = load_json(path)
    told = told if isinstance(told, dict) else {}
    frames = told.get("frames")
    if not isinstance(frames, list) or not all(isinstance(frame, dict) for frame in frames):
        raise UserError(f"{path} is no transforms.json", "It has no list of frames")
    ours = told.get("ganvas") or {}
    unit = given.metres_per_unit or float(ours.get("metres_per_unit") or 1.0)
    up = given.up or ours.get("up") or "y"
    names = [str(frame.get("file_path") or "") for frame in frames]
    cameras = []
    for entry, name, number in zip(frames, names, distinct_frames(names)):
        where = f"{name or f'Frame {number}'} of {path}"
        try:
            frame = number if entry.get("frame") is None else int(entry["frame"])
        except (TypeError, ValueError) as error:
            raise UserError(f"{where} has no frame number", str(error)) from error
        matrix = into_metres(_matrix(entry, path), unit, up)
        cameras.append(_camera(_merged(told, entry), matrix, where, given, frame, name, ours))
    notes = []
    if given.film_back_mm is None and "film_back_mm" not in ours:
        notes.append(f"The film back is assumed to be {DEFAULT_FILM_MM:g} mm wide")
    if any(np.any(np.asarray(one.get("rolling_shutter") or 0.0, float)) for one in (told, *frames)):
        notes.append("The rolling shutter that it tells of is ignored")
    fps = ours.get("fps")
    return Solve(tuple(cameras), tuple(notes), fps=float(fps) if fps else None)


def _merged(told: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is said of a frame: its own lens goes before that of all, however each is told; null says nothing."""
    own = {key: value for key, value in entry.items() if value is not None}
    common = {key: value for key, value in told.items() if value is not None}
    if any(key in own and key in common and float(own[key]) != float(common[key]) for key in ("w", "h")):
        # Of another size: what is told of all in pixels is told of theirs.
        for key in ("cx", "cy", "fl_x", "fl_y"):
            common.pop(key, None)
    for axis in ("x", "y"):
        if f"fl_{axis}" in own or f"camera_angle_{axis}" in own:
            common.pop(f"fl_{axis}", None)
            common.pop(f"camera_angle_{axis}", None)
    if "fl_x" in own or "camera_angle_x" in own:  # the height's focal length of all belongs to that of all
        for key in ("fl_y", "camera_angle_y"):
            common.pop(key, None)
    return {**common, **own}


def _matrix(entry: Mapping[str, Any], path: Path) -> np.ndarray:
    try:
        matrix = np.asarray(entry["transform_matrix"], float)
        if matrix.shape == (4, 4) and np.abs(matrix[3] - [0, 0, 0, 1]).max() > 1e-3:
            why = f"Its last row is {matrix[3].tolist()}; one that is read column by column has its place there"
            raise UserError(f"A frame of {path} has a transform_matrix that is none of a camera", why, "Transpose it")
        if matrix.shape in ((4, 4), (3, 4)):
            return np.vstack([matrix[:3], [0, 0, 0, 1]])
        why = f"It has the shape {matrix.shape}"
    except (KeyError, TypeError, ValueError) as error:
        why = str(error)
    raise UserError(f"A frame of {path} has no transform_matrix of 4 x 4 numbers", why)


def _camera(
    lens: Mapping[str, Any],
    matrix: np.ndarray,
    where: str,
    given: Given,
    frame: int,
    name: str,
    ours: Mapping[str, Any],
) -> Camera:
    try:
        width = int(lens["w"]) if "w" in lens else given.size_px[0] if given.size_px else 0
        height = int(lens["h"]) if "h" in lens else given.size_px[1] if given.size_px else 0
        if width <= 0 or height <= 0:
            why = "It holds no w and h"
            raise UserError(f"{where} does not say how large its picture is", why, "Give it: --size 1920x1080")
        focal = _focal(lens, "x", width, where)
        across = _focal(lens, "y", height, where) or focal
        focal = focal or across
        if focal is None or across is None:
            raise UserError(f"{where} holds no focal length", "It needs fl_x or camera_angle_x")
        centre = (float(lens.get("cx", width / 2)), float(lens.get("cy", height / 2)))
        distortion = _lens(lens, where)
        own = ours.get("film_back_mm")
        film = given.film_back_mm or (
            (float(own[0]), float(own[1])) if own else (DEFAULT_FILM_MM, DEFAULT_FILM_MM * height / width)
        )
    except (TypeError, ValueError) as error:
        raise UserError(f"{where} has a value that is no number", str(error)) from error
    # Pixels that are not square make the film back's shape another one than the picture's.
    film = (film[0], film[0] / width * height * focal / across)
    return Camera(
        matrix=matrix, focal_px=(focal, across), centre_px=centre, size_px=(width, height), film_back_mm=film,
        frame=frame, name=name, lens=distortion,
    )  # fmt: skip


def _focal(lens: Mapping[str, Any], axis: str, side: int, where: str) -> float | None:
    if f"fl_{axis}" in lens:
        return float(lens[f"fl_{axis}"])
    if f"camera_angle_{axis}" not in lens:
        return None
    angle = float(lens[f"camera_angle_{axis}"])
    if not 0 < angle < math.pi:
        do = f"Divide it by 57.2958: camera_angle_{axis} is in radians"
        why = "It looks like degrees" if math.pi <= angle < 180 else "It must lie between 0 and pi"
        raise UserError(f"{where} has camera_angle_{axis} {angle:g}", why, do)
    return side / (2 * math.tan(angle / 2))


def _lens(lens: Mapping[str, Any], where: str) -> Lens | None:
    """Return the distortion.

    Raises:
        UserError: the model is none that can be made a pinhole's.
    """
    model = str(lens.get("camera_model") or lens.get("camera_type") or "").upper()
    fisheye = model in FISHEYE or bool(lens.get("is_fisheye"))
    other = next((key for key in NO_PINHOLES if lens.get(key)), "")
    model = other.removeprefix("is_").upper() or model
    if any(key.startswith("ftheta") for key in lens) or not (fisheye or model in (*PINHOLES, *BROWN)):
        name = model or "f-theta"
        why = f"Known are {', '.join((*PINHOLES[1:], *BROWN, *FISHEYE[:1]))}"
        raise UserError(f"{where} has the camera model {name}", why, "Render or resample its pictures as a pinhole's")
    if "distortion_params" in lens and lens.get("distortion_params"):
        lens = {**dict(zip(("k1", "k2", "k3", "k4", "p1", "p2"), lens["distortion_params"])), **lens}
    k = [float(lens.get(f"k{place}", 0.0)) for place in range(1, 7)]
    p = (float(lens.get("p1", 0.0)), float(lens.get("p2", 0.0)))
    if fisheye:
        return Lens("fisheye", tuple(k[:4]))
    full = model == "FULL_OPENCV"
    if model != "FULL_OPENCV" and any(k[3:]):
        if any(k[4:]):
            full = True
        else:
            # nerfstudio's k4 continues the polynomial.
            found = Lens(radial=tuple(k[:4]), tangential=p)
            return None if found.is_plain else found
    found = Lens(radial=tuple(k[:3]), divisor=tuple(k[3:]) if full else (), tangential=p)
    return None if found.is_plain else found


def write(path: Path, cameras: Sequence[Camera], given: Given) -> list[str]:
    """Write transforms.json with the unit, the up axis, the film back and the frame rate."""
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
    first = cameras[0]
    own = {"metres_per_unit": unit, "up": up, "film_back_mm": list(first.film_back_mm)}
    if given.fps:
        own["fps"] = given.fps
    if first.whole_film_mm:
        own["whole_film_back_mm"] = list(first.whole_film_mm)
    told = {
        "camera_model": "PINHOLE",
        "camera_angle_x": 2 * math.atan(first.size_px[0] / (2 * first.focal_px[0])),
        "w": first.size_px[0], "h": first.size_px[1],
        "ganvas": own,
        "frames": frames,
    }  # fmt: skip
    runs.write_json(path, told)
    if any(camera.film_back_mm != first.film_back_mm for camera in cameras):
        return ["The film back of the first frame stands for all"]
    return []
