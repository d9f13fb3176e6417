"""Cameras of Maya ASCII scenes: transforms with their parents, lenses, baked keys; no Maya is needed.

What counts is the text: nodes, their attributes, and curves connected to them. Between keys values are interpolated
linearly, so curves should be baked. Pivots, constraints and expressions are not evaluated.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.io.cameras.cameras import (
    INCH_MM,
    Camera,
    Given,
    Solve,
    angles_from_rotation,
    film_that_shows,
    frame_of,
    into_metres,
    number,
    out_of_metres,
    plain_camera,
    rotation_from_angles,
)

ORDERS = ("XYZ", "YZX", "ZXY", "XZY", "YXZ", "ZYX")
UNITS_M = {"mm": 1e-3, "millimeter": 1e-3, "cm": 1e-2, "centimeter": 1e-2, "m": 1.0, "meter": 1.0, "km": 1e3,
           "kilometer": 1e3, "in": 0.0254, "inch": 0.0254, "ft": 0.3048, "foot": 0.3048, "yd": 0.9144,
           "yard": 0.9144}  # fmt: skip
DEFAULT_APERTURE = (1.41732, 0.94488)
OWN = ("persp", "top", "front", "side", "back", "bottom", "left")
"""Cameras that every scene has."""

_LONG = {"translate": "t", "rotate": "r", "scale": "s", "rotateOrder": "ro", "focalLength": "fl",
         "cameraAperture": "cap", "horizontalFilmAperture": "cap.hfa", "verticalFilmAperture": "cap.vfa",
         "horizontalFilmOffset": "fio.hfo", "verticalFilmOffset": "fio.vfo", "filmOffset": "fio", "filmFit": "ff",
         "rotatePivot": "rp", "scalePivot": "sp", "keyTimeValue": "ktv", "width": "w", "height": "h"}  # fmt: skip
_SHORT = {"hfa": ("cap", 0), "vfa": ("cap", 1), "hfo": ("fio", 0), "vfo": ("fio", 1)}
_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|[^\s"]+')


@dataclass
class _Node:
    kind: str
    name: str
    parent: str = ""
    values: dict[str, list[float]] = field(default_factory=dict)
    keys: list[tuple[float, float]] = field(default_factory=list)
    curves: dict[tuple[str, int], str] = field(default_factory=dict)
    """(attribute, component) -> name of the curve that drives it."""


class _Scene:
    def __init__(self, text: str) -> None:
        self.nodes: dict[str, _Node] = {}
        self.unit_m = 0.01
        self.radians = False
        self._current: _Node | None = None
        self._connections: list[tuple[str, str]] = []
        for statement in _statements(text):
            self._take(statement)
        for source, target in self._connections:
            self._connect(source, target)

    def _take(self, tokens: list[str]) -> None:
        verb, rest = tokens[0], tokens[1:]
        if verb == "createNode" and rest:
            node = _Node(rest[0], _flag(rest, "-n", "-name"), _flag(rest, "-p", "-parent"))
            self._current = node
            # A name that several parents share is told apart by its path.
            self.nodes[f"{node.parent}|{node.name}" if node.name in self.nodes else node.name] = node
        elif verb == "select" and rest:
            self._current = self.nodes.setdefault(rest[-1].lstrip(":"), _Node("selected", rest[-1].lstrip(":")))
        elif verb == "setAttr" and rest:
            self._set(rest)
        elif verb == "connectAttr" and len(rest) >= 2:
            self._connections.append((rest[0], rest[1]))
        elif verb == "currentUnit":
            self.unit_m = UNITS_M.get(_flag(rest, "-l", "-linear") or "cm", 0.01)
            self.radians = _flag(rest, "-a", "-angle") in ("rad", "radian")

    def _set(self, tokens: list[str]) -> None:
        place = next((i for i, token in enumerate(tokens) if re.match(r"[\w:|]*\.[A-Za-z]", token)), None)
        if place is None:
            return
        owner, _, attribute = tokens[place].partition(".")
        node = self.nodes.get(owner) if owner else self._current
        if node is None:
            return
        name = attribute.split("[")[0]
        numbers = [float(token) for token in tokens[place + 1 :] if _is_number(token)]
        if name in ("ktv", "keyTimeValue"):
            node.keys += list(zip(numbers[::2], numbers[1::2]))
        elif numbers:
            key, component = _attribute(name)
            if component is None:
                node.values[key] = numbers
            else:
                node.values.setdefault(key, [np.nan] * 3)[component] = numbers[0]

    def _connect(self, source: str, target: str) -> None:
        curve, _, _ = source.partition(".")
        owner, _, attribute = target.partition(".")
        node = self.nodes.get(owner) or self.nodes.get(owner.rpartition("|")[2])
        if node is not None and curve in self.nodes and self.nodes[curve].kind.startswith("animCurve"):
            key, component = _attribute(attribute)
            node.curves[key, component or 0] = curve

    def value(self, node: _Node, key: str, default: Sequence[float], frame: float) -> list[float]:
        stored = node.values.get(key, [])
        values = [
            stored[i] if i < len(stored) and not np.isnan(stored[i]) else default[i] for i in range(len(default))
        ]  # fmt: skip
        for place in range(len(values)):
            if (key, place) in node.curves and (keys := self.nodes[node.curves[key, place]].keys):
                times, heights = zip(*sorted(keys))
                values[place] = float(np.interp(frame, times, heights))
        return values

    def parents(self, node: _Node) -> Iterator[_Node]:
        """Yield the transforms above a node, the nearest first."""
        seen = {id(node)}
        while node.parent:
            above = self.nodes.get(node.parent) or self.nodes.get(node.parent.rpartition("|")[2])
            if above is None or id(above) in seen:
                return
            seen.add(id(above))
            yield above
            node = above

    def matrix(self, transforms: Sequence[_Node], frame: float) -> np.ndarray:
        """Return the product of transforms, the nearest to the camera first, in the scene's unit."""
        whole = np.eye(4)
        for node in transforms:
            angles = self.value(node, "r", (0, 0, 0), frame)
            angles = np.degrees(angles).tolist() if self.radians else angles
            order = ORDERS[int(self.value(node, "ro", (0,), frame)[0])]
            local = np.eye(4)
            local[:3, :3] = rotation_from_angles(angles, order)
            local[:3, :3] *= np.array(self.value(node, "s", (1, 1, 1), frame))
            local[:3, 3] = self.value(node, "t", (0, 0, 0), frame)
            whole = local @ whole
        return whole


def _statements(text: str) -> Iterator[list[str]]:
    text = re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)
    tokens: list[str] = []
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token.startswith('"'):
            tokens.append(token[1:-1])
            continue
        *ended, last = token.split(";")
        for part in ended:
            if part:
                tokens.append(part)
            if tokens:
                yield tokens
            tokens = []
        if last:
            tokens.append(last)


def _flag(tokens: Sequence[str], *names: str) -> str:
    return next((value for name, value in itertools.pairwise(tokens) if name in names), "")


def _is_number(token: str) -> bool:
    return re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|nan|[-+]?inf", token) is not None


def _attribute(name: str) -> tuple[str, int | None]:
    """Return the short name of an attribute and which component is meant: translateX -> t, 0."""
    last = name.rpartition(".")[2]
    if last in _SHORT:
        return _SHORT[last]
    whole = _LONG.get(last, last)
    if "." in whole:
        return _SHORT[whole.rpartition(".")[2]]
    if match := re.fullmatch(r"(translate|rotate|scale|[trs])([XYZxyz])", last):
        return _LONG.get(match[1], match[1]), "xyz".index(match[2].lower())
    return whole, None


def says(_path: Path) -> tuple[str, ...]:
    """Return which fields of `Given` these files say themselves."""
    return ("film_back_mm", "metres_per_unit", "rotation_order")


def read(path: Path, given: Given) -> Solve:
    """Read the cameras of a scene: one that moves at each of its frames, or several that stand, one a frame.

    Raises:
        UserError: the scene holds no camera, or several that move and none was named.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"{path} cannot be read", str(error)) from error
    scene = _Scene(text)
    rigs = [
        (node, transforms)
        for node in scene.nodes.values()
        if node.kind == "camera" and (transforms := list(scene.parents(node))) and transforms[0].name not in OWN
    ]
    if given.camera:
        names = [transforms[0].name for _, transforms in rigs]
        rigs = [(node, above) for node, above in rigs if given.camera in (node.name, above[0].name)]
        if not rigs:
            raise UserError(f"{path} has no camera {given.camera!r}", do=f"It has {', '.join(names) or 'none'}")
    if not rigs:
        raise UserError(f"{path} holds no cameras", "Only those that every scene has, if any")
    notes: list[str] = []
    spans = [_frames(scene, [node, *above]) for node, above in rigs]
    moving = [rig for rig, span in zip(rigs, spans) if span]
    if len(moving) > 1:
        names = ", ".join(above[0].name for _, above in moving)
        raise UserError(f"{path} holds several cameras that move", names, "Name one: --camera-name NAME")
    if moving:
        if len(rigs) > 1:
            notes.append(f"Of {len(rigs)} cameras the one that moves is taken: {moving[0][1][0].name}")
        rig, span = moving[0], next(span for span in spans if span)
        cameras = [_camera(scene, rig, frame, frame, "", given, notes) for frame in span]
    else:
        names = [above[0].name for _, above in rigs]
        numbers = [frame_of(name, place) for place, name in enumerate(names)]
        numbers = numbers if len(set(numbers)) == len(numbers) else list(range(len(names)))
        cameras = [
            _camera(scene, rig, 0, number, name if len(rigs) > 1 else "", given, notes)
            for rig, number, name in zip(rigs, numbers, names)
        ]
    return Solve(tuple(cameras), tuple(notes))


def _frames(scene: _Scene, nodes: Sequence[_Node]) -> list[int]:
    times = [time for node in nodes for curve in node.curves.values() for time, _ in scene.nodes[curve].keys]
    return list(range(round(min(times)), round(max(times)) + 1)) if times else []


def _camera(
    scene: _Scene, rig: tuple[_Node, list[_Node]], time: float, frame: int, name: str, given: Given, notes: list[str]
) -> Camera:
    node, transforms = rig
    if any(
        np.abs(scene.value(above, pivot, (0, 0, 0), time)).max() > 1e-9
        for above in transforms
        for pivot in ("rp", "sp")
    ):
        notes.append("Pivots are not evaluated: bake the camera in world space")
    aperture = [INCH_MM * side for side in scene.value(node, "cap", DEFAULT_APERTURE, time)]
    if given.film_back_mm:
        aperture = list(given.film_back_mm)
    screen = scene.nodes.get("defaultResolution", _Node("", ""))
    size = given.size_px or tuple(round(scene.value(screen, key, (0,), time)[0]) for key in ("w", "h"))
    if min(size) <= 0:
        size = (1920, round(1920 * aperture[1] / aperture[0]))
    film = _gate((aperture[0], aperture[1]), (size[0], size[1]), round(scene.value(node, "ff", (0,), time)[0]))
    shift = [INCH_MM * offset for offset in scene.value(node, "fio", (0, 0), time)]
    matrix = into_metres(scene.matrix(transforms, time), given.metres_per_unit or scene.unit_m, given.up)
    focal = given.focal_mm or scene.value(node, "fl", (35,), time)[0]
    return plain_camera(matrix, focal, film, (size[0], size[1]), frame, name, (shift[0], shift[1]))


def _gate(aperture: tuple[float, float], size: tuple[int, int], fit: int) -> tuple[float, float]:
    """Return the film that the picture covers under Maya's film fit: 0 fill, 1 horizontal, 2 vertical, 3 overscan."""
    is_wider = size[0] * aperture[1] > size[1] * aperture[0]
    by_width = {1: True, 2: False, 3: not is_wider}.get(fit, is_wider)
    if by_width:
        return film_that_shows(aperture, size)
    return aperture[1] * size[0] / size[1], aperture[1]


def write(path: Path, cameras: Sequence[Camera], given: Given) -> list[str]:
    """Write a scene with one camera, a key for each frame, and return what is lost."""
    matrices = [out_of_metres(camera.matrix, UNITS_M["cm"], given.up) for camera in cameras]
    angles = np.array([angles_from_rotation(matrix[:3, :3], "XYZ") for matrix in matrices])
    angles = np.unwrap(angles, axis=0, period=360.0)
    frames = [camera.frame for camera in cameras]
    curves = {
        f"shotCam_translate{axis}": ("animCurveTL", f"shotCam.t{axis.lower()}", [m[place, 3] for m in matrices])
        for place, axis in enumerate("XYZ")
    }
    for place, axis in enumerate("XYZ"):
        curves[f"shotCam_rotate{axis}"] = ("animCurveTA", f"shotCam.r{axis.lower()}", angles[:, place].tolist())
    curves["shotCamShape_focalLength"] = ("animCurveTU", "shotCamShape.fl", [camera.focal_mm for camera in cameras])
    lines = ["//Maya ASCII 2020 scene", 'requires maya "2020";', "currentUnit -l centimeter -a degree -t film;"]
    lines += ['createNode transform -n "shotCam";', 'createNode camera -n "shotCamShape" -p "shotCam";']
    first = cameras[0]
    film, shift = [[number(side / INCH_MM) for side in pair] for pair in (first.film_back_mm, first.shift_mm)]
    lines += ['\tsetAttr ".rnd" no;', f'\tsetAttr ".cap" -type "double2" {film[0]} {film[1]} ;']
    lines += [f'\tsetAttr ".fio" -type "double2" {shift[0]} {shift[1]} ;', '\tsetAttr ".ff" 1;']
    for name, (kind, _, heights) in curves.items():
        keys = " ".join(f"{frame} {number(height)}" for frame, height in zip(frames, heights))
        lines += [f'createNode {kind} -n "{name}";', f'\tsetAttr -s {len(frames)} ".ktv[0:{len(frames) - 1}]"  {keys};']
    lines += ["select -ne :defaultResolution;"]
    lines += [f'\tsetAttr ".w" {first.size_px[0]};', f'\tsetAttr ".h" {first.size_px[1]};']
    lines += [f'connectAttr "{name}.o" "{target}";' for name, (_, target, _) in curves.items()]
    runs.write_atomically(path, ("\n".join(lines) + "\n").encode())
    same = all(np.allclose([*c.film_back_mm, *c.shift_mm], [*first.film_back_mm, *first.shift_mm]) for c in cameras)
    return [] if same else ["Film back and lens shift of the first frame stand for all"]
