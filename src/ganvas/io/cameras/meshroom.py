"""Meshroom's and AliceVision's .sfm (JSON): views, intrinsics and poses (rotation to the world, column by column)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganvas.errors import UserError
from ganvas.io.cameras.cameras import Given, Solve
from ganvas.io.cameras.kinds import load_json
from ganvas.io.cameras.lens import Lens
from ganvas.io.cameras.scanned import Sensor, Shot, cameras_of, number_of, placed, refused_model

MODELS = ("pinhole", "radial1", "radial3", "brown", "fisheye4")


def read(path: Path, given: Given) -> Solve:
    """Read the views that have a pose.

    Raises:
        UserError: the file is damaged or a lens model is not supported.
    """
    told = load_json(path)
    shots, lost = [], 0
    try:
        sensors = {one["intrinsicId"]: one for one in told.get("intrinsics", [])}
        poses = {one["poseId"]: one["pose"]["transform"] for one in told.get("poses", [])}
        for view in told["views"]:
            pose, sensor = poses.get(view.get("poseId", view["viewId"])), sensors.get(view.get("intrinsicId"))
            if pose is None or sensor is None:
                lost += 1
                continue
            turn = [float(one) for one in pose["rotation"]]
            centre = [float(one) for one in pose["center"]]
            shots.append(Shot(view["path"], placed(turn, centre), _sensor(sensor, path)))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is no scene of Meshroom's", f"{type(error).__name__}: {error}") from error
    notes = (f"{lost} views have no pose and are left out",) if lost else ()
    return Solve(cameras_of(shots, given), notes, as_stored=True)


def _sensor(told: Mapping[str, Any], path: Path) -> Sensor:
    where = f"An intrinsic of {path}"
    width, height = int(told["width"]), int(told["height"])
    model = str(told.get("type", "pinhole"))
    kind = str(told.get("distortionType", "")) if model == "pinhole" else model
    kind = {"": "pinhole", "none": "pinhole", "radialk1": "radial1", "radialk3": "radial3"}.get(kind, kind)
    if kind not in MODELS or abs(number_of(told, "pixelRatio", where, 1.0) - 1) > 1e-6:
        raise refused_model(path, f"{kind} with pixels of another shape than square", MODELS)
    if "pxFocalLength" in told:
        focal = told["pxFocalLength"]
        focal = float(focal[0]) if isinstance(focal, list) else float(focal)
    else:
        focal = number_of(told, "focalLength", where) / number_of(told, "sensorWidth", where) * width
    x, y = (float(one) for one in told.get("principalPoint", (0, 0)))
    # Older files count from the corner, newer ones from the middle of the picture.
    centre = (x, y) if max(abs(x) / width, abs(y) / height) > 0.25 else (width / 2 + x, height / 2 + y)
    k = [float(one) for one in told.get("distortionParams", [])]
    if kind == "brown":
        lens = Lens(radial=tuple(k[:3]), tangential=(k[3], k[4]) if len(k) > 4 else (0.0, 0.0))
    else:
        lens = Lens("fisheye" if kind == "fisheye4" else "brown", tuple(k))
    return Sensor((width, height), (focal, focal), centre, lens)
