"""Cameras of Maya ASCII scenes: transforms with their parents, lenses and keys; no Maya is needed.

Transforms are evaluated as Maya documents them (pivots, shear, rotate axis, joint orientation, offset parent matrix),
as are film fit, lens squeeze, pixel aspect, camera scale and shake. What is not evaluated is refused by name and line.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.io.cameras.cameras import INCH_MM, Camera, Given, Solve, number, plain_camera
from ganvas.io.cameras.geometry import angles_from_rotation, into_metres, out_of_metres, rotation_from_angles
from ganvas.io.cameras.maya_scene import BAKE, CAMERAS, TRANSFORMS, UNITS_M, Node, Scene
from ganvas.io.cameras.names import distinct_frames

ORDERS = ("XYZ", "YZX", "ZXY", "XZY", "YXZ", "ZYX")
MOST_FRAMES = 1_000_000
DEFAULT_APERTURE = (1.41732, 0.94488)
OWN = ("persp", "top", "front", "side", "back", "bottom", "left")
"""Cameras that every scene has."""
PLACED = ("t", "r", "s", "sh", "ro", "ra", "rp", "sp", "rpt", "spt", "jo", "it", "opm")
LENS = ("fl", "cap", "fio", "lsr", "cs", "se", "shk", "psc", "ptsc", "ct", "frv", "ff", "ffo", "o")
REFUSED = {
    "o": (0.0, "It is orthographic"), "frv": (0.0, "Film roll is not evaluated"),
    "ffo": (0.0, "A film fit offset is not evaluated"), "psc": (1.0, "Its film is scaled before projection"),
    "ptsc": (1.0, "Its film is scaled after projection"),
}  # fmt: skip
"""Attributes of a camera that must have one value, and why not another."""
RATES = {15.0: "game", 24.0: "film", 25.0: "pal", 30.0: "ntsc", 48.0: "show", 50.0: "palf", 60.0: "ntscf"}

Rig = tuple[Node, list[Node]]


def says(_path: Path) -> tuple[str, ...]:
    """Return which fields of `Given` these files say themselves."""
    return ("film_back_mm", "metres_per_unit", "rotation_order")


def read(path: Path, given: Given) -> Solve:
    """Read the cameras of a scene: one that moves at each of its frames, or several that stand, one a frame.

    Raises:
        UserError: the scene holds no camera, or several that move and none was named, or has what is not evaluated.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"{path} cannot be read", str(error)) from error
    scene = Scene(text, str(path))
    rigs = _rigs(scene, path, given)
    notes: list[str] = []
    spans = [_frames(scene, rig) for rig in rigs]
    moving = [rig for rig, span in zip(rigs, spans) if span]
    if len(moving) > 1:
        names = ", ".join(above[0].path for _, above in moving)
        raise UserError(f"{path} holds several cameras that move", names, "Name one: --camera-name NAME")
    if moving:
        if len(rigs) > 1:
            notes.append(f"Of {len(rigs)} cameras the one that moves is taken: {moving[0][1][0].name}")
        span = next(span for span in spans if span)
        cameras = [_camera(scene, moving[0], frame, frame, "", given) for frame in span]
    else:
        names = [above[0].name for _, above in rigs]
        if len(set(names)) < len(names):
            names = [above[0].path for _, above in rigs]
        cameras = [
            _camera(scene, rig, 0, frame, name if len(rigs) > 1 else "", given)
            for rig, frame, name in zip(rigs, distinct_frames(names), names)
        ]
    return Solve(tuple(cameras), tuple(notes), fps=scene.fps)


def _rigs(scene: Scene, path: Path, given: Given) -> list[Rig]:
    cameras = [node for nodes in scene.nodes.values() for node in nodes if node.kind in CAMERAS]
    found = [(node, node.ups()) for node in cameras]
    found = [(node, above) for node, above in found if above and not (above[0].name in OWN and len(above) == 1)]
    if given.camera:
        names = [above[0].path for _, above in found]
        asked = [
            (node, above) for node, above in found
            if given.camera in (node.name, above[0].name) or above[0].path.endswith("|" + given.camera.lstrip("|"))
        ]  # fmt: skip
        if len(asked) != 1:
            what = f"{path} has {'several cameras' if asked else 'no camera'} {given.camera!r}"
            raise UserError(what, do=f"It has {', '.join(names) or 'none'}")
        return asked
    if not found:
        why = "Only those that every scene has, if any"
        if scene.references:
            why = f"It refers to {', '.join(scene.references)}, which is not opened"
        raise UserError(f"{path} holds no cameras", why, "Import the reference in Maya" if scene.references else "")
    return found


def _frames(scene: Scene, rig: Rig) -> list[int]:
    node, transforms = rig
    curves = [*scene.curves(node, LENS), *(one for above in transforms for one in scene.curves(above, PLACED))]
    times = [value for curve in curves for place, value in curve.values.get("ktv", {}).items() if place % 2 == 0]
    if times and scene.warped:
        what = f"The time of {scene.where} is warped (line {scene.warped})"
        raise UserError(what, "Keys are not where their times say", BAKE)
    if not np.isfinite(times).all() or (times and max(times) - min(times) > MOST_FRAMES):
        raise UserError(f"{scene.where} has keys at times that are none, or too far apart", do=BAKE)
    return list(range(round(min(times)), round(max(times)) + 1)) if times else []


def _camera(scene: Scene, rig: Rig, time: float, frame: int, name: str, given: Given) -> Camera:
    node, transforms = rig

    def one(key: str, default: float) -> float:
        return scene.value(node, key, (default,), time)[0]

    _check(scene, node, time)
    aperture = [INCH_MM * side for side in scene.value(node, "cap", DEFAULT_APERTURE, time)]
    if given.film_back_mm:
        aperture = list(given.film_back_mm)
    aperture[0] *= one("lsr", 1.0)
    screen = scene.node("defaultResolution")
    size = given.size_px or tuple(round(scene.value(screen, key, (0,), time)[0]) if screen else 0 for key in ("w", "h"))
    if min(size) <= 0:
        size = (1920, round(1920 * aperture[1] / aperture[0]))
    pixel = scene.value(screen, "pa", (0.0,), time)[0] if screen else 0.0
    pixel = pixel or (scene.value(screen, "dar", (0.0,), time)[0] if screen else 0.0) * size[1] / size[0] or 1.0
    if given.size_px and not (screen and "pa" in screen.values):
        pixel = 1.0
    film = _gate((aperture[0], aperture[1]), (size[0] * pixel, size[1]), round(one("ff", 0)))
    shift = [INCH_MM * offset for offset in scene.value(node, "fio", (0, 0), time)]
    if one("se", 0.0):
        shake = scene.value(node, "shk", (0, 0), time)
        shift = [offset + INCH_MM * extra for offset, extra in zip(shift, shake)]
    matrix = into_metres(_matrix(scene, transforms, time), given.metres_per_unit or scene.unit_m, given.up)
    focal = (given.focal_mm or one("fl", 35.0)) / one("cs", 1.0)
    return plain_camera(matrix, focal, film, (size[0], size[1]), frame, name, (shift[0], shift[1]))


def _check(scene: Scene, node: Node, time: float) -> None:
    for key, (right, why) in REFUSED.items():
        if abs(scene.value(node, key, (right,), time)[0] - right) > 1e-9:
            raise _refused(scene, node, key, why)
    if any(abs(value) > 1e-9 for value in scene.value(node, "ct", (0, 0), time)):
        raise _refused(scene, node, "ct", "A translated film is not evaluated")
    # Its short name, rpz, is that of a transform's third pivot, too.
    if scene.value(node, "rp", (0, 0, 0), time)[2] and scene.value(node, "pze", (0,), time)[0]:
        raise _refused(scene, node, "pze", "It renders with 2D pan and zoom")


def _refused(scene: Scene, node: Node, key: str, why: str) -> UserError:
    line = node.lines.get(key, node.line)
    return UserError(f"The camera {node.name} cannot be used ({scene.where}, line {line}, attribute {key})", why, BAKE)


def _matrix(scene: Scene, transforms: Sequence[Node], time: float) -> np.ndarray:
    """Return the product of transforms, the nearest to the camera first, in the scene's unit."""
    whole = np.eye(4)
    for node in transforms:
        whole = _local(scene, node, time) @ whole
        if not scene.value(node, "it", (1,), time)[0]:
            break
    return whole


def _local(scene: Scene, node: Node, time: float) -> np.ndarray:
    """Return a transform's own matrix, by the formula of Maya's documentation, for columns."""

    if node.kind not in TRANSFORMS:
        what = f"The camera lies below {node.name}, a node of the kind {node.kind} ({scene.where}, line {node.line})"
        raise UserError(what, "How it places what is below it is not known here", BAKE)

    def three(key: str, default: float = 0.0) -> np.ndarray:
        return np.array(scene.value(node, key, (default,) * 3, time))

    def turned(key: str, order: str) -> np.ndarray:
        angles = np.degrees(three(key)) if scene.is_radians else three(key)
        matrix = np.eye(4)
        matrix[:3, :3] = rotation_from_angles(angles.tolist(), order)
        return matrix

    order = ORDERS[int(scene.value(node, "ro", (0,), time)[0])]
    scale, shear = np.diag([*three("s", 1.0), 1.0]), np.eye(4)
    shear[0, 1], shear[0, 2], shear[1, 2] = three("sh")
    turn = turned("r", order) @ turned("ra", "XYZ")
    if node.kind == "joint":
        turn = turned("jo", "XYZ") @ turn
        above = node.above
        is_scaled = above is not None and any(value != 1 for value in scene.value(above, "s", (1, 1, 1), time))
        if is_scaled and scene.value(node, "ssc", (1,), time)[0]:
            raise _refused(scene, node, "ssc", "Segment scale compensation is not evaluated")
    pivot, about = three("rp"), three("sp")
    local = _moved(three("t") + three("rpt") + pivot) @ turn @ _moved(three("spt") - pivot + about)
    local = local @ shear @ scale @ _moved(-about)
    flat = scene.value(node, "opm", np.eye(4).ravel().tolist(), time)
    return np.reshape(flat, (4, 4)).T @ local


def _moved(by: np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = by
    return matrix


def _gate(aperture: tuple[float, float], shape: tuple[float, float], fit: int) -> tuple[float, float]:
    """Return the film that a picture covers under Maya's film fit: 0 fill, 1 horizontal, 2 vertical, 3 overscan."""
    is_wider = shape[0] * aperture[1] > shape[1] * aperture[0]
    by_width = {1: True, 2: False, 3: not is_wider}.get(fit, is_wider)
    if by_width:
        return aperture[0], aperture[0] * shape[1] / shape[0]
    return aperture[1] * shape[0] / shape[1], aperture[1]


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
    lines = [
        "//Maya ASCII 2020 scene",
        'requires maya "2020";',
        f"currentUnit -l centimeter -a degree -t {_rate(given.fps)};",
    ]
    lines += ['createNode transform -n "shotCam";', 'createNode camera -n "shotCamShape" -p "shotCam";']
    first = cameras[0]
    whole, fit = _whole_film(first)
    film, shift = [[number(side / INCH_MM) for side in pair] for pair in (whole, first.shift_mm)]
    lines += ['\tsetAttr ".rnd" no;', f'\tsetAttr ".cap" -type "double2" {film[0]} {film[1]} ;']
    lines += [f'\tsetAttr ".fio" -type "double2" {shift[0]} {shift[1]} ;', f'\tsetAttr ".ff" {fit};']
    for name, (kind, _, heights) in curves.items():
        keys = " ".join(f"{frame} {number(height)}" for frame, height in zip(frames, heights))
        lines += [f'createNode {kind} -n "{name}";', f'\tsetAttr -s {len(frames)} ".ktv[0:{len(frames) - 1}]"  {keys};']
    lines += ["select -ne :defaultResolution;"]
    lines += [f'\tsetAttr ".w" {first.size_px[0]};', f'\tsetAttr ".h" {first.size_px[1]};']
    lines += [f'connectAttr "{name}.o" "{target}";' for name, (_, target, _) in curves.items()]
    runs.write_atomically(path, ("\n".join(lines) + "\n").encode())
    same = all(np.allclose([*c.film_back_mm, *c.shift_mm], [*first.film_back_mm, *first.shift_mm]) for c in cameras)
    notes = [] if same else ["Film back and lens shift of the first frame stand for all"]
    if given.up and given.up != "y":
        notes.append(f"A .ma file does not say its up axis, which is {given.up}")
    return notes


def _whole_film(camera: Camera) -> tuple[tuple[float, float], int]:
    """Return the film back to write, whole where the picture is its middle, and the film fit by which it is that."""
    whole, film = camera.whole_film_mm, camera.film_back_mm
    if whole and whole[0] > film[0] and np.isclose(whole[1], film[1]):
        return whole, 2
    if whole and whole[1] > film[1] and np.isclose(whole[0], film[0]):
        return whole, 1
    return film, 1


def _rate(fps: float | None) -> str:
    rate = fps or 24.0
    return RATES.get(rate, f"{rate:.6g}fps")
