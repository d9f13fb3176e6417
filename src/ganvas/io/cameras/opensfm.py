"""OpenSfM's reconstruction.json (also OpenDroneMap's): shots by axis and angle from a world with Z up, in metres."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ganvas.errors import UserError
from ganvas.io.cameras.cameras import Given, Solve
from ganvas.io.cameras.kinds import load_json
from ganvas.io.cameras.lens import Lens
from ganvas.io.cameras.scanned import Sensor, Shot, cameras_of, number_of, refused_model, viewed

MODELS = ("perspective", "simple_radial", "radial", "brown", "fisheye", "fisheye_opencv")


def read(path: Path, given: Given) -> Solve:
    """Read the largest reconstruction.

    Raises:
        UserError: the file is damaged or a lens model is not supported.
    """
    told = load_json(path)
    parts = [part for part in told if isinstance(part, dict) and part.get("shots")] if isinstance(told, list) else []
    if not parts:
        raise UserError(f"{path} holds no reconstruction")
    best = max(parts, key=lambda part: len(part["shots"]))
    notes = [f"Of {len(parts)} reconstructions the largest is taken"] if len(parts) > 1 else []
    shots = []
    try:
        sensors = {name: _sensor(one, f"The camera {name} of {path}", path) for name, one in best["cameras"].items()}
        for name, shot in best["shots"].items():
            turn = rotation_about(np.array(shot["rotation"], float))
            shots.append(Shot(name, viewed(turn, shot["translation"]), sensors[shot["camera"]]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is no reconstruction of OpenSfM's", f"{type(error).__name__}: {error}") from error
    return Solve(
        cameras_of(shots, given, up="z"), tuple(notes), roots=(path.parent / "images", path.parent), as_stored=True
    )


def rotation_about(vector: np.ndarray) -> np.ndarray:
    """Return the rotation (3, 3) about an axis by the axis' length in radians (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def _sensor(told: Mapping[str, Any], where: str, path: Path) -> Sensor:
    model = told.get("projection_type", "perspective")
    if model not in MODELS:
        raise refused_model(path, str(model), MODELS)

    def value(key: str, default: float = 0.0) -> float:
        return number_of(told, key, where, default)

    width, height = int(told["width"]), int(told["height"])
    side = max(width, height)
    # The ratio of the older form is that of the pixels' height to their width.
    across = value("focal_x", value("focal", 0.0))
    focal = (across * side, value("focal_y", across) * side)
    # Pixels are counted from the middle of the first one here, to within half of one.
    centre = (width / 2 + value("c_x") * side, height / 2 + value("c_y") * side)
    radial = tuple(value(f"k{place}") for place in range(1, 5))
    if model in ("fisheye", "fisheye_opencv"):
        return Sensor((width, height), focal, centre, Lens("fisheye", radial))
    return Sensor((width, height), focal, centre, Lens(radial=radial[:3], tangential=(value("p1"), value("p2"))))
