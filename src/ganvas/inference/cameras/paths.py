"""Camera paths: from files to the numbers that a network takes, smooth flights through training cameras, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ganvas.data.shots import vector, view_of
from ganvas.errors import UserError
from ganvas.io.cameras.cameras import Camera, plain_camera
from ganvas.io.cameras.geometry import quaternion
from ganvas.io.cameras.lens import Lens

CENTRED = 0.01
"""Share of the picture by which a lens shift may differ from the training's before it is told of."""


@dataclass(frozen=True)
class Geometry:
    """What the training cameras have in common, as a card tells it."""

    film_back_mm: tuple[float, float]
    """Of the square that the network makes."""
    output_px: tuple[int, int]
    size_px: int
    crop: str = "square"
    centre: tuple[float, float] = (0.5, 0.5)
    """Principal point as shares of width and height."""
    whole_film_mm: tuple[float, float] | None = None
    """Film back of the training cameras, of which the square is a part."""
    plate: Mapping[str, Any] | None = None
    """Size, centre and lens model of the training plates, where they had them in common."""

    @staticmethod
    def of(extra: Mapping[str, Any], size_px: int) -> Geometry:
        """Return the geometry that a card tells; of one that tells none, a square with a centred lens."""
        film, size = extra.get("film_back_mm", (24.0, 24.0)), extra.get("output_px", (size_px, size_px))
        centre, whole = extra.get("centre", (0.5, 0.5)), extra.get("whole_film_back_mm")
        return Geometry(
            (float(film[0]), float(film[1])), (int(size[0]), int(size[1])), size_px, str(extra.get("crop", "square")),
            (float(centre[0]), float(centre[1])), (float(whole[0]), float(whole[1])) if whole else None,
            extra.get("plate"),
        )  # fmt: skip


def told(cameras: Sequence[Camera], geometry: Geometry, zoom: float = 1.0) -> tuple[np.ndarray, list[str]]:
    """Return what a network is told of cameras, (F, 13), and notes on what it cannot be told.

    A camera whose picture has another shape than the training's is asked for the middle of its picture.
    """
    vectors, notes = [], []
    for camera in cameras:
        view = _view(camera, geometry).zoomed(zoom)
        vectors.append(vector(view, geometry.film_back_mm[0]))
        off = np.array(view.centre_px) / geometry.size_px - geometry.centre
        if np.abs(off).max() > CENTRED:
            notes.append("The path's lens shift differs from the training's and is left out")
    return np.array(vectors), list(dict.fromkeys(notes))


def _view(camera: Camera, geometry: Geometry) -> Camera:
    if geometry.crop == "square":
        return view_of(camera, geometry.size_px, "square")
    wanted = geometry.film_back_mm[0] / geometry.film_back_mm[1]
    width, height = camera.size_px
    film = camera.film_back_mm
    # The largest middle part of the film with the training's shape.
    across = min(width, round(width * wanted * film[1] / film[0]))
    down = min(height, round(height * film[0] / film[1] / wanted))
    part = camera.cropped((width - across) / 2, (height - down) / 2, across, down)
    return part.resized(geometry.size_px, geometry.size_px)


def cameras_of(
    vectors: np.ndarray, geometry: Geometry, frames: Sequence[int], names: Sequence[str] = ()
) -> list[Camera]:
    """Return the cameras of the pictures that a network makes of vectors, (F, 13), at their written size."""
    made = []
    for place, (values, frame) in enumerate(zip(vectors, frames)):
        matrix = np.eye(4)
        matrix[:3] = values[:12].reshape(3, 4)
        matrix[:3, :3] = _orthogonal(matrix[:3, :3])
        film = geometry.film_back_mm
        shift = ((0.5 - geometry.centre[0]) * film[0], (geometry.centre[1] - 0.5) * film[1])
        name = names[place] if names else ""
        camera = plain_camera(matrix, float(values[12]), film, geometry.output_px, int(frame), name, shift)
        made.append(replace(camera, whole_film_mm=geometry.whole_film_mm))
    return made


def plates_of(shot: Sequence[Camera], geometry: Geometry, size_px: tuple[int, int] | None = None) -> list[Camera]:
    """Return the cameras of the training plates, with their lens, that stand as those of generated pictures do.

    Args:
        shot: cameras of the generated pictures.
        geometry: what the training cameras have in common.
        size_px: width and height of undistorted plates, for a model that does not tell its own.

    Raises:
        UserError: the model does not tell its plates, and no size is given or one of another shape than their film.
    """
    film = geometry.whole_film_mm
    plate = geometry.plate or (_plain_plate(geometry, size_px) if size_px else None)
    if plate is None or film is None:
        why = "It tells neither their size nor their lens, or they had several"
        do = "Give the size of undistorted plates, --size 1920x1080, or leave --on-plate out"
        raise UserError("The model does not know its plates", why, do if film else "Leave --on-plate out")
    lens, (width, height) = Lens.of(plate["lens"]), plate["size_px"]
    made = []
    for camera in shot:
        across = camera.focal_mm * width / film[0]
        centre = (float(plate["centre_px"][0]), float(plate["centre_px"][1]))
        made.append(
            replace(
                camera, focal_px=(across, across * plate["stretch"]), centre_px=centre, size_px=(width, height),
                film_back_mm=film, lens=lens,
            )
        )  # fmt: skip
    return made


def _plain_plate(geometry: Geometry, size_px: tuple[int, int]) -> Mapping[str, Any] | None:
    """Return what undistorted plates of a size are, of which the generated picture is the middle or the whole."""
    film, (width, height) = geometry.whole_film_mm, size_px
    if film is None:
        return None
    if abs(width * film[1] / (height * film[0]) - 1) > CENTRED:
        why = f"Their film back is {film[0]:g} x {film[1]:g} mm"
        raise UserError(f"The plates were not of {width} x {height} px", why, "Give a --size of that shape")
    across, down = (min(size_px),) * 2 if geometry.crop == "square" else size_px
    centre = [(width - across) / 2 + geometry.centre[0] * across, (height - down) / 2 + geometry.centre[1] * down]
    return {"size_px": size_px, "centre_px": centre, "stretch": 1.0, "lens": asdict(Lens())}


def _orthogonal(rotation: np.ndarray) -> np.ndarray:
    left, _, right = np.linalg.svd(rotation)
    return left @ right


def through(vectors: np.ndarray, places: Sequence[int], frames: int) -> np.ndarray:
    """Return a smooth path through cameras, (N, 13), at given places in a list of them: (frames, 13).

    It passes each exactly, evenly in time, with a steady speed through it (Catmull-Rom on positions, quaternions and
    the logarithm of the focal length).

    Raises:
        UserError: fewer than two cameras are named, one does not exist, or there are fewer frames than cameras.
    """
    if len(places) < 2:
        raise UserError("A flight leads through two cameras or more", do="--through FRAME,FRAME,FRAME --frames 240")
    for place in places:
        if not 0 <= place < len(vectors):
            raise UserError(f"There is no training camera {place}", f"They are numbered from 0 to {len(vectors) - 1}")
    if frames < len(places):
        raise UserError(f"{frames} frames do not reach through {len(places)} cameras", do="Ask for more --frames")
    keys = vectors[list(places)]
    rotations = keys[:, :12].reshape(-1, 3, 4)[:, :, :3]
    turns = np.array([quaternion(_orthogonal(rotation)) for rotation in rotations])
    for place in range(1, len(turns)):
        # A quaternion and its negative are one rotation; the nearer of the two is the shorter way.
        if turns[place] @ turns[place - 1] < 0:
            turns[place] *= -1
    positions, focals = keys[:, [3, 7, 11]], np.log(keys[:, 12:])
    smooth = _spline(np.concatenate([positions, turns, focals], axis=1), frames)
    path = np.empty((frames, 13))
    for place, values in enumerate(smooth):
        rows = np.column_stack([_rotation(values[3:7] / np.linalg.norm(values[3:7])), values[:3]])
        path[place] = [*rows.ravel(), np.exp(values[7])]
    return path


def _spline(keys: np.ndarray, frames: int) -> np.ndarray:
    last = len(keys) - 1
    # Beyond its ends the path goes straight on.
    padded = np.concatenate([2 * keys[:1] - keys[1:2], keys, 2 * keys[-1:] - keys[-2:-1]])
    out = np.empty((frames, keys.shape[1]))
    for number, time in enumerate(np.linspace(0, last, frames)):
        start = min(int(time), last - 1)
        t = time - start
        before, first, second, after = padded[start : start + 4]
        leave, arrive = (second - before) / 2, (after - first) / 2
        out[number] = (
            (2 * t**3 - 3 * t**2 + 1) * first + (t**3 - 2 * t**2 + t) * leave
            + (3 * t**2 - 2 * t**3) * second + (t**3 - t**2) * arrive
        )  # fmt: skip
    return out


def _rotation(q: np.ndarray) -> np.ndarray:
    w, v = q[0], q[1:]
    cross = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.eye(3) + 2 * w * cross + 2 * cross @ cross
