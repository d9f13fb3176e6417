"""Conditions drawn from key points: people as OpenPose writes them, and plain lists of points; and from edges.

A *figure* is what is drawn in one frame: joints with the lines between them. Coordinates are in pixels with pixel
centres at whole numbers, or shares of the picture, 0 to 1 or -1 to 1 (OpenPose's `--keypoint_scale 3` and `4`); a file
may say of which picture (`canvas_width`, `canvas_height`), and is drawn at any other size then.
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
_BODY_15 = _chain(0, 1, 2, 3, 4) + _chain(1, 5, 6, 7) + _chain(1, 14, 8, 9, 10) + _chain(14, 11, 12, 13)
LINES: Mapping[str, Mapping[int, Lines]] = {
    "pose_keypoints": {15: _BODY_15, 18: _BODY_18, 25: _BODY_25},
    "face_keypoints": {68: _FACE, 70: _FACE},
    "hand_left_keypoints": {21: _HAND},
    "hand_right_keypoints": {21: _HAND},
}
"""What is joined, by OpenPose's names (today with `_2d` behind them) and the number of points."""
_COCO_17 = (0, -1, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
"""For each of 18 points its place among COCO's 17, which lack the neck: it lies between the shoulders."""
LEAST_SHARE, SHARES_TO = -0.05, 1.5
"""Coordinates that never go beyond the second are shares of a picture, from -1 where some lie below the first."""


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
    keys: tuple[str, ...] = ()
    """What its people have been told by, for the case that nothing of it is known."""

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name


# Reading


def read_pose(path: Path) -> Sketch:
    """Read one frame's people, as OpenPose writes them: {"people": [{"pose_keypoints_2d": [x, y, confidence, ...]}]}.

    The names of OpenPose before 1.2, without `_2d`, points without a confidence, and COCO's 17 points are read, too.

    Raises:
        UserError: it cannot be read, or holds another number of points than 15, 17, 18 or 25 a body, 68 or 70 a face,
            21 a hand.
    """
    told = runs.read_json(path)
    people = told.get("people")
    if not isinstance(people, list):
        why = 'It should hold {"people": [{"pose_keypoints_2d": [x, y, confidence, ...]}, ...]}'
        raise UserError(f"{path} holds no people", why)
    people = [person for person in people if isinstance(person, dict)]
    figures = [
        _figure(path, kind, numbers)
        for person in people
        for kind in LINES
        if (numbers := person.get(f"{kind}_2d") or person.get(kind))
    ]
    keys = {str(key) for person in people for key in person}
    return Sketch(path, tuple(figures), _canvas(told), tuple(sorted(keys)))


def _figure(path: Path, kind: str, numbers: Any) -> Figure:
    try:
        flat = np.asarray(numbers, np.float64)
        flat = flat.reshape(-1, flat.shape[-1]) if flat.ndim > 1 else flat
    except (TypeError, ValueError) as error:
        raise UserError(f"{path} holds no key points", f"{kind} is no list of x, y, confidence: {error}") from error
    known = {*LINES[kind], *([17] if kind == "pose_keypoints" else [])}
    widths = [flat.shape[1]] if flat.ndim > 1 else [3, 2]
    width = next((width for width in widths if width in (2, 3) and flat.size % width == 0
                  and flat.size // width in known), 0)  # fmt: skip
    if not width:
        why = f"{kind} holds {flat.size} numbers; known are {', '.join(map(str, sorted(known)))} points of 2 or 3"
        raise UserError(f"{path} cannot be drawn", why)
    rows = flat.reshape(-1, width)
    # Without a confidence, OpenPose's (0, 0) is what tells that a joint was not found.
    is_unknown = rows[:, 2:] < LEAST_CONFIDENCE if width == 3 else (rows == 0).all(1, keepdims=True)
    joints = np.where(is_unknown, np.nan, rows[:, :2])
    if len(joints) == 17:
        joints = np.where(np.array(_COCO_17)[:, None] < 0, joints[[5, 6]].mean(0), joints[list(_COCO_17)])
    return Figure(joints, LINES[kind][len(joints)])


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


def examined(sketches: Sequence[Sketch], size_px: tuple[int, int]) -> tuple[list[Sketch], list[str]]:
    """Return the sketches of a sequence with their coordinates understood, and what is to be told of them.

    Args:
        sketches: one a frame.
        size_px: (height, width) of the pictures.

    Raises:
        UserError: nothing of them would be seen.
    """
    known = [np.isfinite(figure.joints).all(1) for sketch in sketches for figure in sketch.figures]
    if not any(map(np.any, known)):
        keys = sorted({key for sketch in sketches for key in sketch.keys})
        why = f"Its people have {', '.join(keys)}" if keys else "There are no people in it"
        why = "No point in it is sure enough" if known else why
        do = f"Known are {', '.join(f'{kind}_2d' for kind in LINES)}"
        raise UserError(f"No key points in any of {len(sketches)} frames of {sketches[0].path.parent}", why, do)
    points = _points(sketches)
    notes = []
    if points.max() <= SHARES_TO:
        is_signed = bool(points.min() < LEAST_SHARE)
        sketches = [_of_shares(sketch, is_signed) for sketch in sketches]
        notes.append(f"coordinates of {'-1' if is_signed else '0'} to 1 are taken as shares of the picture")
    # A frame by itself may not tell what the others do.
    sketches = [replace(sketch, canvas_px=sketch.canvas_px or size_px) for sketch in sketches]
    points = np.concatenate([_placed(sketch, _points([sketch]), size_px) for sketch in sketches])
    spans = np.ptp(points, axis=0)
    wide, high = size_px[1], size_px[0]
    where = f"The key points of {sketches[0].path.parent}"
    do = 'Give pixels of the frames, or say of how large a picture they are: "canvas_width" and "canvas_height"'
    if spans.max() < 2 and len(points) > 2 * len(sketches):
        raise UserError(f"{where} cannot be seen", f"All lie within {spans.max() + 1:.0f} px of {wide}x{high}", do)
    is_inside = ((points > -1) & (points < (wide, high))).all(1)
    if not is_inside.any():
        x, y = points.max(0)
        why = f"All lie beyond the pictures of {wide}x{high}: they go to {x:.0f}, {y:.0f}"
        raise UserError(f"{where} cannot be seen", why, do)
    if is_inside.mean() < 0.5:
        notes.append(f"{1 - is_inside.mean():.0%} of the key points lie beyond the pictures of {wide}x{high}")
    nobody = sum(not np.isfinite(_points([sketch])).any() for sketch in sketches)
    if nobody:
        notes.append(f"{nobody} of {len(sketches)} frames show nobody")
    return list(sketches), notes


def _points(sketches: Sequence[Sketch]) -> np.ndarray:
    """Return all joints that are known, (N, 2)."""
    joints = [figure.joints for sketch in sketches for figure in sketch.figures]
    found = np.concatenate([np.zeros((0, 2)), *joints])
    return found[np.isfinite(found).all(1)]


def _of_shares(sketch: Sketch, is_signed: bool) -> Sketch:
    def understood(joints: np.ndarray) -> np.ndarray:
        # Half a pixel of a picture of one: its centre lies at 0, and its edges at -0.5 and 0.5.
        return ((joints + 1) / 2 if is_signed else joints) - 0.5

    figures = tuple(figure._replace(joints=understood(figure.joints)) for figure in sketch.figures)
    return replace(sketch, figures=figures, canvas_px=(1, 1))


def _placed(sketch: Sketch, joints: np.ndarray, size_px: tuple[int, int]) -> np.ndarray:
    """Return joints in pixels of a picture; edges, not pixel centres, keep their places when one is resized."""
    canvas = sketch.canvas_px or size_px
    return (joints + 0.5) * (size_px[1] / canvas[1], size_px[0] / canvas[0]) - 0.5


def _canvas(told: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = told.get("canvas_width"), told.get("canvas_height")
    return (int(height), int(width)) if width and height else None


# Drawing


def draw(sketch: Sketch, size_px: tuple[int, int]) -> np.ndarray:
    """Return the figures over black, each line in its own colour, with soft edges: (H, W, 3) uint8."""
    height, width = size_px
    if sketch.canvas_px is None and len(points := _points([sketch])) and points.max() <= SHARES_TO:
        sketch = _of_shares(sketch, bool(points.min() < LEAST_SHARE))
    picture = np.zeros((height, width, 3), np.float32)
    radius_px = max(0.5, THICKNESS * height / 2)
    for figure in sketch.figures:
        joints = _placed(sketch, figure.joints, size_px)
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
