"""Nuke scripts: Camera, Camera2 and Camera3 nodes, with curves baked at each frame.

Nuke's scene has no unit: metres, unless given. Curves that are not baked, expressions and cameras that read a file are
refused by name and line. Nuke's sensor offset and `win_translate`, `win_scale` and `winroll` are those of its manual.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.io.cameras.cameras import Camera, Given, Solve, film_that_shows, number, plain_camera
from ganvas.io.cameras.geometry import angles_from_rotation, into_metres, out_of_metres, rotation_from_angles

KINDS = ("Camera", "Camera2", "Camera3", "Camera4")
MOST_FRAMES = 1_000_000
APERTURE = (24.576, 18.672)
KNOBS = ("translate", "rotate", "scaling", "uniform_scale", "skew", "pivot", "focal", "haperture", "vaperture",
         "win_translate", "win_scale", "winroll")  # fmt: skip
ORDERS = {"XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX"}
DO = "Bake the camera in Nuke (knob menu: Edit > Generate), or write it as .chan"


@dataclass
class _Node:
    kind: str
    line: int
    knobs: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.knobs.get("name", self.kind)


def says(_path: Path) -> tuple[str, ...]:
    """Return which fields of `Given` these files say themselves."""
    return ("film_back_mm", "rotation_order")


def read(path: Path, given: Given) -> Solve:
    """Read the camera of a script at each frame of its curves.

    Raises:
        UserError: it holds no camera, several and none was named, or one that is not evaluated.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"{path} cannot be read", str(error)) from error
    nodes = list(_nodes(text))
    found = [node for node in nodes if node.kind in KINDS and given.camera in ("", node.name)]
    if len(found) != 1:
        names = ", ".join(node.name for node in nodes if node.kind in KINDS)
        what = f"{path} holds {'several cameras' if found else 'no camera'} {given.camera}".rstrip()
        raise UserError(what, names, "Name one: --camera-name NAME" if names else "")
    root = next((node for node in nodes if node.kind == "Root"), _Node("Root", 0))
    node, where = found[0], f"{found[0].name} of {path} (line {found[0].line})"
    _check(node, where)
    curves = {knob: _curves(node.knobs[knob], f"{knob} of {where}") for knob in KNOBS if knob in node.knobs}
    frames = sorted({frame for parts in curves.values() for part in parts for frame in part if frame is not None})
    if frames and frames[-1] - frames[0] > MOST_FRAMES:
        raise UserError(f"{where} has keys from frame {frames[0]} to {frames[-1]}", "These are too many frames")
    if frames and frames != list(range(frames[0], frames[-1] + 1)):
        frames = list(range(frames[0], frames[-1] + 1))
    size = given.size_px or _format(root.knobs.get("format", ""))
    cameras = [_camera(curves, frame, node, given, size, where) for frame in frames or [int(_first(root))]]
    fps = root.knobs.get("fps", "")
    return Solve(tuple(cameras), fps=float(fps) if re.fullmatch(r"[\d.]+", fps) else None)


def _nodes(text: str) -> Iterator[_Node]:
    node: _Node | None = None
    lines = iter(enumerate(text.splitlines(), 1))
    for place, line in lines:
        opened = re.fullmatch(r"(\w+) \{", line.strip())
        if node is None:
            node = _Node(opened[1], place) if opened else None
            continue
        if line.strip() == "}":
            yield node
            node = None
            continue
        knob, _, value = line.strip().partition(" ")
        # A value in braces may go on over lines.
        while value.count("{") > value.count("}"):
            more = next(lines, None)
            if more is None:
                break
            value += " " + more[1].strip()
        node.knobs[knob] = value


def _first(root: _Node) -> float:
    told = root.knobs.get("first_frame", "1")
    return float(told) if re.fullmatch(r"-?[\d.]+", told) else 1


def _format(told: str) -> tuple[int, int] | None:
    numbers = re.findall(r"[\d.]+", told)
    return (int(float(numbers[0])), int(float(numbers[1]))) if len(numbers) >= 2 else None


def _check(node: _Node, where: str) -> None:
    knobs = node.knobs
    if knobs.get("read_from_file", "false") in ("true", "1") and ("file" in knobs or node.kind == "Camera3"):
        raise UserError(f"{where} reads a file", knobs.get("file", ""), "Give that file, or switch off read from file")
    if knobs.get("useMatrix", "false") == "true" or knobs.get("useMatrix") == "1":
        raise UserError(f"{where} is placed by a matrix", "It is not evaluated", DO)
    if knobs.get("projection_mode", "perspective") not in ("perspective", "0"):
        raise UserError(f"{where} projects as {knobs['projection_mode']}", do="Use a perspective camera")
    if knobs.get("xform_order", "SRT") != "SRT":
        raise UserError(f"{where} has the transform order {knobs['xform_order']}", "SRT is evaluated", DO)


def _curves(value: str, where: str) -> list[dict[int | None, float]]:
    """Return each component's values by frame; None stands for all frames."""
    inner = value.strip()
    if not inner.startswith("{"):
        return [{None: _number(inner, where)}]
    inner = inner[1:-1].strip()
    parts: list[dict[int | None, float]] = []
    for part in re.findall(r"\{[^{}]*\}|[^\s{}]+(?:\s+[^\s{}]+)*", inner):
        if part.startswith("{"):
            parts.append(_curve(part[1:-1], where))
        elif part.startswith("curve"):
            parts.append(_curve(part, where))
        else:
            parts.extend({None: _number(one, where)} for one in part.split())
    return parts


def _curve(text: str, where: str) -> dict[int | None, float]:
    words = text.split()
    if not words:
        return {None: 0.0}
    if words[0] != "curve":
        if len(words) == 1:
            return {None: _number(words[0], where)}
        raise UserError(f"{where} is an expression", text[:80], DO)
    found: dict[int | None, float] = {}
    frame = 0
    marks: set[str] = set()
    for word in words[1:]:
        if re.fullmatch(r"x-?[\d.]+", word):
            frame = round(float(word[1:]))
        elif re.match(r"[A-Za-z]", word):
            marks.add(word)
        else:
            found[frame] = _number(word, where)
            frame += 1
    known = [one for one in found if one is not None]
    # Nuke's own way between keys is a smooth one; L marks keys with straight lines.
    if len(known) > 1 and marks - {"i"} != {"L"} and known != list(range(known[0], known[-1] + 1)):
        raise UserError(
            f"{where} has a curve with keys that are not baked", "What lies between them is not evaluated", DO
        )
    return found or {None: 0.0}


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UserError(f"{where} is not a number or a curve", text[:80], DO) from error


def _at(parts: Sequence[dict[int | None, float]], frame: int, default: Sequence[float]) -> list[float]:
    values = list(default)
    for place, part in enumerate(parts[: len(values)]):
        if None in part:
            values[place] = part[None]
            continue
        frames = sorted(one for one in part if one is not None)
        values[place] = float(np.interp(frame, frames, [part[one] for one in frames]))
    if len(parts) == 1 and len(values) > 1:
        values = [values[0]] * len(values)
    return values


def _camera(
    curves: dict[str, list[dict[int | None, float]]],
    frame: int,
    node: _Node,
    given: Given,
    size: tuple[int, int] | None,
    where: str,
) -> Camera:
    def value(knob: str, *default: float) -> list[float]:
        return _at(curves.get(knob, []), frame, default)

    if any(abs(one) > 1e-9 for one in (*value("skew", 0, 0, 0), *value("winroll", 0))):
        raise UserError(f"{where} has a skew or a rolled window", "They are not evaluated", DO)
    order = node.knobs.get("rot_order", "ZXY").upper()
    if order not in ORDERS:
        raise UserError(f"{where} has the rotation order {order}")
    pivot = np.array(value("pivot", 0, 0, 0))
    matrix = np.eye(4)
    matrix[:3, :3] = rotation_from_angles(value("rotate", 0, 0, 0), order)
    matrix[:3, 3] = np.array(value("translate", 0, 0, 0)) + pivot - matrix[:3, :3] @ pivot
    across, down = value("haperture", APERTURE[0])[0], value("vaperture", APERTURE[1])[0]
    film = given.film_back_mm or (across, down)
    size = size or (1920, round(1920 * film[1] / film[0]))
    scale, moved = value("win_scale", 1, 1), value("win_translate", 0, 0)
    seen = film_that_shows((film[0] * scale[0], film[1] * scale[1]), size)
    # The window is told in halves of the film's width.
    shift = (moved[0] * film[0] / 2, moved[1] * film[0] / 2)
    matrix = into_metres(matrix, given.metres_per_unit or 1.0, given.up)
    return plain_camera(matrix, given.focal_mm or value("focal", 50)[0], seen, size, frame, "", shift)


def write(path: Path, cameras: Sequence[Camera], given: Given) -> list[str]:
    """Write a script with one Camera2 node, a key for each frame, and return what is lost."""
    matrices = [out_of_metres(camera.matrix, given.metres_per_unit or 1.0, given.up) for camera in cameras]
    angles = np.array([angles_from_rotation(matrix[:3, :3], "ZXY") for matrix in matrices])
    angles = np.unwrap(angles, axis=0, period=360.0)
    first = cameras[0]
    width, height = first.size_px

    def curve(values: Sequence[float]) -> str:
        keys = " ".join(f"x{camera.frame} {number(value)}" for camera, value in zip(cameras, values))
        return f"{{curve {keys}}}"

    places = " ".join(curve([matrix[axis, 3] for matrix in matrices]) for axis in range(3))
    turns = " ".join(curve(angles[:, axis].tolist()) for axis in range(3))
    lines = [
        "Root {", f" first_frame {first.frame}", f" last_frame {cameras[-1].frame}", f" fps {(given.fps or 24.0):g}",
        f' format "{width} {height} 0 0 {width} {height} 1 "', "}", "Camera2 {", " inputs 0", " rot_order ZXY",
        f" translate {{{places}}}", f" rotate {{{turns}}}", f" focal {{{curve([one.focal_mm for one in cameras])}}}",
        f" haperture {{{curve([one.film_back_mm[0] for one in cameras])}}}",
        f" vaperture {{{curve([one.film_back_mm[1] for one in cameras])}}}",
        " win_translate {{" + curve([2 * one.shift_mm[0] / one.film_back_mm[0] for one in cameras])[1:-1] + "} {"
        + curve([2 * one.shift_mm[1] / one.film_back_mm[0] for one in cameras])[1:-1] + "}}",
        " name shotCam", "}",
    ]  # fmt: skip
    runs.write_atomically(path, ("\n".join(lines) + "\n").encode())
    whole = first.whole_film_mm
    if whole and not np.allclose(whole, first.film_back_mm):
        return [f"The pictures show the middle of a film back of {whole[0]:g} x {whole[1]:g} mm"]
    return []
