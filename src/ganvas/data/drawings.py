"""Conditions drawn from key points: people as OpenPose writes them, and plain lists of points; and from edges.

A *figure* is what is drawn in one frame: joints with the lines between them. Coordinates are in pixels with pixel
centres at whole numbers; a file may say of which picture (`canvas_width`, `canvas_height`), and is drawn at any other
size then.
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ganvas.data.edges import edge_map
from ganvas.data.stills import Still
from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.io.pictures import images

LEAST_CONFIDENCE = 0.05
"""Joints that are less sure than this are left out; OpenPose writes 0 for those that it did not find."""
THICKNESS = 1 / 64
"""Width of a line as a share of the picture's height; thin ones are a pixel."""

Lines = Sequence[tuple[int, int]]


def _chain(*numbers: int) -> list[tuple[int, int]]:
    return list(pairwise(numbers))


_BODY_18 = _chain(1, 2, 3, 4) + _chain(1, 5, 6, 7) + _chain(1, 8, 9, 10) + _chain(1, 11, 12, 13) \
    + _chain(1, 0, 14, 16) + _chain(0, 15, 17)  # fmt: skip
_BODY_25 = _chain(1, 2, 3, 4) + _chain(1, 5, 6, 7) + _chain(1, 8, 9, 10, 11) + _chain(8, 12, 13, 14) \
    + _chain(1, 0, 15, 17) + _chain(0, 16, 18) + _chain(14, 19, 20) + _chain(14, 21) + _chain(11, 22, 23) \
    + _chain(11, 24)  # fmt: skip
_HAND = [pair for finger in range(5) for pair in _chain(0, *range(4 * finger + 1, 4 * finger + 5))]
_FACE = [pair for first, last in ((0, 16), (17, 21), (22, 26), (27, 30), (31, 35)) for pair in
         _chain(*range(first, last + 1))] \
    + [pair for first, last in ((36, 41), (42, 47), (48, 59), (60, 67)) for pair in
       _chain(*range(first, last + 1), first)]  # fmt: skip
LINES: Mapping[str, Mapping[int, Lines]] = {
    "pose_keypoints_2d": {18: _BODY_18, 25: _BODY_25},
    "face_keypoints_2d": {68: _FACE, 70: _FACE},
    "hand_left_keypoints_2d": {21: _HAND},
    "hand_right_keypoints_2d": {21: _HAND},
}
"""What is joined, by OpenPose's names and the number of points."""


class Figure(NamedTuple):
    """Joints and lines of one kind."""

    joints: np.ndarray
    """(N, 2) x and y; not a number where one is unknown."""
    lines: Lines
    """Pairs of joints; none draws the joints as dots."""


@dataclass(frozen=True)
class Sketch:
    """All figures of one frame."""

    path: Path
    figures: tuple[Figure, ...]
    canvas_px: tuple[int, int] | None = None
    """(height, width) of the picture that the coordinates are of."""

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name


# Reading


def read_pose(path: Path) -> Sketch:
    """Read one frame's people, as OpenPose writes them: {"people": [{"pose_keypoints_2d": [x, y, confidence, ...]}]}.

    Raises:
        UserError: it cannot be read, or holds another number of points than 18 or 25 a body, 70 a face, 21 a hand.
    """
    told = runs.read_json(path)
    people = told.get("people")
    if not isinstance(people, list):
        why = 'It should hold {"people": [{"pose_keypoints_2d": [x, y, confidence, ...]}, ...]}'
        raise UserError(f"{path} holds no people", why)
    figures = [
        _figure(path, kind, person[kind]) for person in people for kind in LINES if isinstance(person, dict) and
        person.get(kind)
    ]  # fmt: skip
    return Sketch(path, tuple(figures), _canvas(told))


def _figure(path: Path, kind: str, numbers: Any) -> Figure:
    try:
        rows = np.asarray(numbers, np.float64).reshape(-1, 3)
    except (TypeError, ValueError) as error:
        raise UserError(f"{path} holds no key points", f"{kind} is no list of x, y, confidence: {error}") from error
    if len(rows) not in LINES[kind]:
        known = " or ".join(map(str, LINES[kind]))
        raise UserError(f"{path} cannot be drawn", f"{kind} holds {len(rows)} points, and {known} are known")
    joints = np.where(rows[:, 2:] < LEAST_CONFIDENCE, np.nan, rows[:, :2])
    return Figure(joints, LINES[kind][len(rows)])


def read_point_frames(path: Path) -> list[Sketch]:
    """Read the points of all frames of a sequence: {"frames": [[[x, y], ...], ...], "lines": [[0, 1], ...]}.

    An unknown point is `null`. Without lines, 68 points are drawn as a face and others as dots, each in its own colour.

    Raises:
        UserError: it cannot be read, holds something else, or a line joins points that are not there.
    """
    told = runs.read_json(path)
    try:
        frames = [_joints(points) for points in told["frames"]]
        lines = [(int(first), int(last)) for first, last in told.get("lines", ())]
    except (KeyError, TypeError, ValueError) as error:
        why = 'It should hold {"frames": [[[x, y], ...], ...]}, a list of points for each frame'
        raise UserError(f"{path} holds no points", why) from error
    joined = max((max(line) for line in lines), default=0)
    for number, joints in enumerate(frames):
        if lines and (joined >= len(joints) or min(map(min, lines)) < 0):
            raise UserError(
                f"{path} cannot be drawn", f"A line goes to point {joined}, frame {number} has {len(joints)}"
            )
    return [
        Sketch(path, (Figure(joints, lines or (_FACE if len(joints) == 68 else ())),), _canvas(told))
        for joints in frames
    ]


def _joints(points: Sequence[Any]) -> np.ndarray:
    return np.array([(np.nan, np.nan) if point is None else (point[0], point[1]) for point in points], np.float64)\
        .reshape(-1, 2)  # fmt: skip


def _canvas(told: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = told.get("canvas_width"), told.get("canvas_height")
    return (int(height), int(width)) if width and height else None


# Drawing


def draw(sketch: Sketch, size_px: tuple[int, int]) -> np.ndarray:
    """Return the figures over black, each line in its own colour, with soft edges: (H, W, 3) uint8."""
    height, width = size_px
    canvas = sketch.canvas_px or size_px
    zoom = np.array([width / canvas[1], height / canvas[0]])
    picture = np.zeros((height, width, 3), np.float32)
    radius_px = max(0.5, THICKNESS * height / 2)
    for figure in sketch.figures:
        # Pixel centres lie at whole numbers, so edges, not centres, keep their places when a picture is resized.
        joints = (figure.joints + 0.5) * zoom - 0.5
        lines = figure.lines or [(number, number) for number in range(len(joints))]
        for number, (first, last) in enumerate(lines):
            color = colorsys.hsv_to_rgb(number / len(lines), 1, 1)
            _add_line(picture, joints[first], joints[last], radius_px * (1 if figure.lines else 2), color)
    return images.from_float(picture, "uint8")


def _add_line(
    picture: np.ndarray, start: np.ndarray, end: np.ndarray, radius_px: float, color: tuple[float, float, float]
) -> None:
    """Lay a line with round ends over a picture; a pixel's share is told by its distance."""
    if not np.isfinite([start, end]).all():
        return
    limit = np.array([picture.shape[1], picture.shape[0]])
    low = np.clip(np.floor(np.minimum(start, end) - radius_px - 1), 0, limit).astype(int)
    high = np.clip(np.ceil(np.maximum(start, end) + radius_px + 2), 0, limit).astype(int)
    if (low >= high).any():
        return
    y, x = np.mgrid[low[1] : high[1], low[0] : high[0]]
    along = end - start
    length = max(float(along @ along), 1e-12)
    share = np.clip(((x - start[0]) * along[0] + (y - start[1]) * along[1]) / length, 0, 1)
    distance = np.hypot(x - start[0] - share * along[0], y - start[1] - share * along[1])
    cover = np.clip(radius_px + 0.5 - distance, 0, 1)[..., None].astype(np.float32)
    part = picture[low[1] : high[1], low[0] : high[0]]
    part += cover * (np.array(color, np.float32) - part)


# As conditions of a sequence


@dataclass(frozen=True)
class Drawing:
    """A sketch as a picture."""

    sketch: Sketch
    size_px: tuple[int, int]

    def __str__(self) -> str:
        return str(self.path)

    @property
    def path(self) -> Path:
        """The file of points."""
        return self.sketch.path

    @property
    def name(self) -> str:
        """The file's name."""
        return self.sketch.name

    def read(self) -> np.ndarray:
        """Return the drawing."""
        return draw(self.sketch, self.size_px)


@dataclass(frozen=True)
class Edges:
    """The edges of a picture."""

    still: Still

    def __str__(self) -> str:
        return str(self.still)

    @property
    def path(self) -> Path:
        """The picture's file."""
        return self.still.path

    @property
    def name(self) -> str:
        """The picture's name."""
        return self.still.name

    @property
    def size_px(self) -> tuple[int, int]:
        """(height, width) of the picture."""
        return self.still.size_px

    def read(self) -> np.ndarray:
        """Return the edge map."""
        return edge_map(images.to_float(self.still.read()))


def size_of_drawings(
    sketches: Sequence[Sketch], frames: Sequence[Still] | None, size_px: tuple[int, int] | None
) -> tuple[int, int]:
    """Return (height, width) to draw at: the frames', the one asked for, or the one that the points are of.

    Raises:
        UserError: nothing tells it.
    """
    known = frames[0].size_px if frames else size_px or sketches[0].canvas_px
    if known is None:
        why = "There are no frames beside the points, and the file does not say of how large a picture they are"
        raise UserError(f"{sketches[0].path} cannot be drawn", why, 'Add "canvas_width" and "canvas_height" to it')
    return known
