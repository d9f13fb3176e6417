"""Cameras of FBX files, ASCII and binary, with their animation evaluated by the library ufbx (extra `fbx`)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ganvas.errors import UserError, need
from ganvas.io.cameras.cameras import INCH_MM, Camera, Given, Solve, plain_camera
from ganvas.io.cameras.geometry import into_metres

SECONDS = 600
VERTICAL, HORIZONTAL, FILL, OVERSCAN = 1, 2, 3, 4


def says(_path: Path) -> tuple[str, ...]:
    """Return which fields of `Given` these files say themselves."""
    return ("film_back_mm", "metres_per_unit", "rotation_order", "up")


def read(path: Path, given: Given) -> Solve:
    """Read the camera of a scene at each frame of its animation.

    Raises:
        UserError: the extra is missing, the file cannot be opened, or holds no or several cameras and none was named.
    """
    need("ufbx", "fbx")
    if not path.is_file():
        raise UserError(f"{path} does not exist")
    told = _evaluated(path, given.camera)
    if told["chosen"] != 1:
        what = f"{path} holds {'several cameras' if told['chosen'] else 'no camera'} {given.camera}".rstrip()
        raise UserError(what, ", ".join(told["names"]), "Name one: --camera-name NAME" if told["names"] else "")
    if not told["frames"]:
        raise UserError(f"{path} has animation from frame {told['span'][0]} to {told['span'][1]}", "Too many frames")
    cameras = [_camera(one, given, path) for one in told["frames"]]
    if all(np.array_equal(cameras[0].matrix, one.matrix) and cameras[0].focal_px == one.focal_px for one in cameras):
        cameras = cameras[:1]
    return Solve(tuple(cameras), fps=told["fps"])


def _evaluated(path: Path, camera: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "ganvas.io.cameras.fbx_scene", str(path.resolve()), camera]
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
        told = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise UserError(f"{path} cannot be read", "The library that reads FBX ended early on it") from error
    if "error" in told:
        raise UserError(f"{path} cannot be opened", told["error"].splitlines()[-1])
    return told


def _camera(told: Mapping[str, Any], given: Given, path: Path) -> Camera:
    if told["orthographic"]:
        raise UserError(f"The camera of {path} is orthographic", do="Use a perspective camera")
    matrix = np.vstack([np.array(told["matrix"]), [0, 0, 0, 1]])
    width, height = (INCH_MM * side for side in told["film_inch"])
    aperture = given.film_back_mm or (width * told["squeeze"], height)
    size = given.size_px or tuple(map(round, told["size_px"] or (0, 0)))
    if min(size) <= 0:
        size = (1920, max(1, round(1920 * aperture[1] / aperture[0])))
    film = _gate(aperture, (size[0], size[1]), told["fit"])
    shift = (INCH_MM * told["offset_inch"][0], INCH_MM * told["offset_inch"][1])
    matrix = into_metres(matrix, given.metres_per_unit or 1.0, given.up)
    return plain_camera(
        matrix, given.focal_mm or told["focal_mm"], film, (size[0], size[1]), told["frame"], "", shift
    )  # fmt: skip


def _gate(aperture: tuple[float, float], size: tuple[int, int], fit: int) -> tuple[float, float]:
    """Return the film that a picture covers under FBX's gate fit, of which none fills the width."""
    is_wider = size[0] * aperture[1] > size[1] * aperture[0]
    by_width = {FILL: is_wider, VERTICAL: False, OVERSCAN: not is_wider}.get(fit, True)
    if by_width:
        return aperture[0], aperture[0] * size[1] / size[0]
    return aperture[1] * size[0] / size[1], aperture[1]
