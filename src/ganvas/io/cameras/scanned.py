"""What readers of solved pictures share: cameras of computer vision (Y down, Z ahead) in pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ganvas.errors import UserError
from ganvas.io.cameras.cameras import DEFAULT_FILM_MM, Camera, Given
from ganvas.io.cameras.geometry import FLIP, into_metres
from ganvas.io.cameras.lens import Lens
from ganvas.io.cameras.names import distinct_frames


@dataclass(frozen=True)
class Sensor:
    """The lens of one or several pictures, in pixels."""

    size_px: tuple[int, int]
    focal_px: tuple[float, float]
    centre_px: tuple[float, float]
    lens: Lens | None = None


@dataclass(frozen=True, eq=False)
class Shot:
    """One solved picture: camera to world in the axes of computer vision."""

    name: str
    matrix: np.ndarray
    sensor: Sensor


def cameras_of(shots: Sequence[Shot], given: Given, up: str = "y", unit_m: float = 1.0) -> tuple[Camera, ...]:
    """Return shots as cameras, sorted by frame; `up` and the unit are the format's own."""
    frames = distinct_frames([shot.name for shot in shots])
    made = []
    for shot, frame in zip(shots, frames):
        sensor, width = shot.sensor, (given.film_back_mm or (DEFAULT_FILM_MM,))[0]
        (across, down), (fx, fy) = sensor.size_px, sensor.focal_px
        lens = None if sensor.lens is None or sensor.lens.is_plain else sensor.lens
        made.append(
            Camera(
                matrix=into_metres(shot.matrix @ FLIP, given.metres_per_unit or unit_m, given.up or up),
                focal_px=(fx, fy), centre_px=sensor.centre_px, size_px=sensor.size_px,
                film_back_mm=(width, width / across * down * fx / fy), frame=frame, name=shot.name, lens=lens,
            )
        )  # fmt: skip
    return tuple(sorted(made, key=lambda camera: camera.frame))


def placed(rotation: Any, centre: Any) -> np.ndarray:
    """Return the matrix of a camera by its rotation to the world, (3, 3), and its place."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(np.asarray(rotation, float), (3, 3))
    matrix[:3, 3] = np.asarray(centre, float)
    return matrix


def viewed(rotation: Any, translation: Any) -> np.ndarray:
    """Return the matrix of a camera by its rotation from the world, (3, 3), and what is added after it."""
    turn = np.reshape(np.asarray(rotation, float), (3, 3)).T
    return placed(turn, -turn @ np.asarray(translation, float))


def refused_model(path: Path, model: str, known: Sequence[str]) -> UserError:
    """Return the error for a lens model that is no pinhole with distortion."""
    why = f"Known are {', '.join(known)}"
    return UserError(f"{path} has a lens of the model {model}", why, "Export undistorted pictures with pinhole cameras")


def number_of(told: Mapping[str, Any], key: str, where: str, default: float | None = None) -> float:
    """Return a number of a mapping.

    Raises:
        UserError: it is missing and has no default, or is no number.
    """
    value = told.get(key, default)
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise UserError(f"{where} has {value!r} for {key}", "A number is needed there") from error
