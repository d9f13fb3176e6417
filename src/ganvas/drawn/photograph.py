"""A virtual camera over one large photograph: views of known cameras, each an exact homography of it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganvas.data.shots import View, homography, read_picture, resample
from ganvas.errors import UserError
from ganvas.io.cameras import cameras
from ganvas.io.cameras.cameras import Camera, plain_camera
from ganvas.io.pictures import images
from ganvas.io.pictures.tensors import from_tensor

FIELD_DEGREES = 60.0
"""Horizontal field of view that the photograph is taken to have."""
SENSOR_MM = 24.0


def photograph_camera(width: int, height: int) -> Camera:
    """Return the camera of the photograph itself, at the origin and looking down -Z."""
    film = (36.0, 36.0 * height / width)
    focal = film[0] / 2 / math.tan(math.radians(FIELD_DEGREES) / 2)
    return plain_camera(np.eye(4), focal, film, (width, height), 0)


def virtual_path(photograph: Camera, number: int, size_px: int, seed: int = 0) -> list[Camera]:
    """Return a smooth wandering of a square camera within a photograph, by panning, tilting, rolling and zooming.

    It rolls by up to 12 degrees. Every view lies within the photograph. The same seed gives the same path.

    Raises:
        UserError: the photograph is so narrow that no view fits.
    """
    random = np.random.default_rng([seed, 7])
    time = np.arange(number)[:, None]
    # Sums of waves: smooth, bounded, never quite the same place twice; quick, so that neighbours differ by many pixels.
    periods = np.array([[32.7, 11.7], [22.3, 7.7], [17.7, 9.1], [28.3, 10.3]])
    phases = random.uniform(0, 2 * np.pi, (4, 2))
    waves = np.stack([(np.sin(2 * np.pi * time / periods[k] + phases[k]) * (0.65, 0.35)).sum(-1) for k in range(4)], -1)
    narrow = min(np.tan(np.radians(FIELD_DEGREES) / 2), photograph.size_px[1] / 2 / photograph.focal_px[1])
    path = []
    for pan, tilt, roll, zoom in waves:
        half = narrow * 0.38 * 1.2**zoom  # tangent of half the view
        turn = math.radians(12 * roll)
        across = photograph.size_px[0] / 2 / photograph.focal_px[0]
        up = photograph.size_px[1] / 2 / photograph.focal_px[1]
        path.append(_within(photograph, (pan * across, tilt * up), math.degrees(turn), half, size_px, len(path)))
    return path


def _within(photograph: Camera, aim: tuple[float, float], roll: float, half: float, size_px: int, frame: int) -> Camera:
    """Return a camera that looks towards a point, or as far towards it as the photograph reaches."""
    low, high = 0.0, 1.0
    if not _fits(photograph, _towards(0, 0, roll, half, size_px, frame)):
        raise UserError("The photograph is too narrow for a virtual camera", do="Use one nearer to 3:2")
    # Halving finds the limit to a thousandth of a view, and is continuous where a choice of steps would jerk.
    for _ in range(12):
        middle = (low + high) / 2
        fits = _fits(photograph, _towards(aim[0] * middle, aim[1] * middle, roll, half, size_px, frame))
        low, high = (middle, high) if fits else (low, middle)
    return _towards(aim[0] * low, aim[1] * low, roll, half, size_px, frame)


def _fits(photograph: Camera, camera: Camera) -> bool:
    width, height = camera.size_px
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], float)
    places = corners @ homography(photograph, camera).T
    if places[:, 2].min() <= 0:
        return False
    places = places[:, :2] / places[:, 2:]
    return bool(places.min() >= 0 and (places <= photograph.size_px).all())


def _towards(x: float, y: float, roll: float, half: float, size_px: int, frame: int) -> Camera:
    back = -np.array([x, y, -1.0]) / math.sqrt(x * x + y * y + 1)
    right = np.cross([0.0, 1.0, 0.0], back)
    right /= np.linalg.norm(right)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([right, np.cross(back, right), back], -1)
    focal = SENSOR_MM / 2 / half
    name = f"frames/{frame:06d}.png"
    camera = plain_camera(matrix, focal, (SENSOR_MM, SENSOR_MM), (size_px, size_px), frame, name)
    return camera.rolled(roll)


def render(photograph: Tensor, own: Camera, camera: Camera) -> Tensor:
    """Return what a virtual camera sees of a photograph (3, H, W): samples finer than a pixel, averaged."""
    density = own.focal_px[0] / camera.focal_px[0]
    fine = max(1, math.ceil(density))
    width, height = camera.size_px
    seen, _ = resample(photograph, own, camera.resized(width * fine, height * fine))
    return torch.nn.functional.avg_pool2d(seen[None], fine)[0].clamp(0, 1)


def photograph_views(path: str | Path, number: int, size_px: int, seed: int = 0) -> list[View]:
    """Return views of a photograph, kept in memory.

    Raises:
        UserError: the photograph cannot be read or is smaller than a view.
    """
    photograph = read_picture(Path(path))
    height, width = photograph.shape[-2:]
    if min(width, height) < size_px:
        raise UserError(f"{path} is {width} x {height} px", f"Views of {size_px} px need a larger photograph")
    own = photograph_camera(width, height)
    return [
        View(camera, render(photograph, own, camera)) for camera in virtual_path(own, number, size_px, seed)
    ]  # fmt: skip


def write_views(views: list[View], folder: str | Path) -> Path:
    """Write views as a folder of footage: frames/, cameras.csv and transforms.json; return the folder.

    Raises:
        UserError: the folder cannot be written, or holds such files already.
    """
    folder = Path(folder)
    (folder / "frames").mkdir(parents=True, exist_ok=True)
    for view in views:
        if isinstance(view.picture, Tensor):
            images.write(folder / view.camera.name, from_tensor(view.picture))
    shots = [view.camera for view in views]
    cameras.write(folder / "cameras.csv", shots)
    cameras.write(folder / "transforms.json", shots)
    return folder
