"""Maya ASCII as a graph: nodes with attributes, connections, and animation curves; no Maya is needed.

Curves are evaluated as Maya does where that is documented: stepped, linear, flat and fixed tangents, and the kinds of
infinity. What drives an attribute otherwise (layers, constraints, expressions, driven keys) is refused if it matters.
"""

from __future__ import annotations

import bisect
import itertools
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ganvas.errors import UserError

_LONG = {
    "translate": "t", "rotate": "r", "scale": "s", "shear": "sh", "rotateOrder": "ro", "rotateAxis": "ra",
    "rotatePivot": "rp", "scalePivot": "sp", "rotatePivotTranslate": "rpt", "scalePivotTranslate": "spt",
    "offsetParentMatrix": "opm", "inheritsTransform": "it", "jointOrient": "jo", "segmentScaleCompensate": "ssc",
    "focalLength": "fl", "cameraAperture": "cap", "horizontalFilmAperture": "hfa", "verticalFilmAperture": "vfa",
    "horizontalFilmOffset": "hfo", "verticalFilmOffset": "vfo", "filmOffset": "fio", "filmFit": "ff",
    "filmFitOffset": "ffo", "lensSqueezeRatio": "lsr", "cameraScale": "cs", "shakeEnabled": "se",
    "horizontalShake": "hs", "verticalShake": "vs", "shake": "shk", "preScale": "psc", "postScale": "ptsc",
    "filmTranslate": "ct", "filmTranslateH": "cth", "filmTranslateV": "ctv", "filmRollValue": "frv",
    "orthographic": "o", "renderPanZoom": "rpz", "panZoomEnabled": "pze", "zoom": "zom", "horizontalPan": "hpn",
    "verticalPan": "vpn", "width": "w", "height": "h", "pixelAspect": "pa", "deviceAspectRatio": "dar",
    "keyTimeValue": "ktv", "keyTanInType": "kit", "keyTanOutType": "kot", "keyTanInX": "kix", "keyTanInY": "kiy",
    "keyTanOutX": "kox", "keyTanOutY": "koy", "tangentType": "tan", "preInfinity": "pre", "postInfinity": "pst",
    "weightedTangents": "wgt", "conversionFactor": "cf", "rotationInterpolation": "roti",
}  # fmt: skip
_PARTS = {"hfa": ("cap", 0), "vfa": ("cap", 1), "hfo": ("fio", 0), "vfo": ("fio", 1), "hs": ("shk", 0),
          "vs": ("shk", 1), "cth": ("ct", 0), "ctv": ("ct", 1), "hpn": ("pn", 0), "vpn": ("pn", 1),
          "shxy": ("sh", 0), "shxz": ("sh", 1), "shyz": ("sh", 2), "rpz": ("rp", 2)}  # fmt: skip
_AXES = ("t", "r", "s", "ra", "rp", "sp", "rpt", "spt", "jo")
_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|[^\s"]+')
TRANSFORMS = ("transform", "joint", "lookAt", "dagContainer", "stereoRigTransform")
"""Kinds of nodes that place what is below them by Maya's formula for transforms."""
CAMERAS = ("camera", "stereoRigCamera")
_READ = (*TRANSFORMS, *CAMERAS, "animCurve", "unitConversion", "selected")
"""Kinds of nodes whose values matter; those of meshes are passed over."""
_WORDS = {"yes": 1.0, "on": 1.0, "true": 1.0, "no": 0.0, "off": 0.0, "false": 0.0}
UNITS_M = {"mm": 1e-3, "millimeter": 1e-3, "cm": 1e-2, "centimeter": 1e-2, "m": 1.0, "meter": 1.0, "km": 1e3,
           "kilometer": 1e3, "in": 0.0254, "inch": 0.0254, "ft": 0.3048, "foot": 0.3048, "yd": 0.9144, "yard": 0.9144,
           "mi": 1609.344, "mile": 1609.344}  # fmt: skip
RATES = {"game": 15.0, "film": 24.0, "pal": 25.0, "ntsc": 30.0, "show": 48.0, "palf": 50.0, "ntscf": 60.0,
         "hour": 1 / 3600, "min": 1 / 60, "sec": 1.0, "millisec": 1000.0}  # fmt: skip
FIXED, LINEAR, FLAT, STEP, SPLINE, STEP_NEXT = 1, 2, 3, 5, 9, 17
TANGENTS = {0: "global", 1: "fixed", 2: "linear", 3: "flat", 4: "smooth", 5: "stepped", 6: "slow", 7: "fast",
            9: "spline", 10: "clamped", 16: "plateau", 17: "stepped next", 18: "auto"}  # fmt: skip
EULER, SYNCHRONISED = 1, 2
"""Kinds of interpolating rotations by their angles."""
CONSTANT, SLOPE, CYCLE, CYCLE_OFFSET, OSCILLATE = 0, 1, 3, 4, 5
BAKE = "Bake the camera in Maya (Edit > Keys > Bake Simulation) and export it again"


@dataclass(eq=False)
class Node:
    """A node: its attributes by short name, and the place in the file where each was set."""

    kind: str
    name: str
    line: int
    above: Node | None = None
    values: dict[str, dict[int, float]] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    sources: dict[tuple[str, int | None], tuple[str, str, int]] = field(default_factory=dict)
    """(attribute, component; None for all) -> node and attribute that drive it, and the line that says so."""

    @property
    def path(self) -> str:
        """Return its names from the top: |rig|camera."""
        return (self.above.path if self.above else "") + f"|{self.name}"

    def ups(self) -> list[Node]:
        """Return the transforms above it, the nearest first."""
        return [] if self.above is None else [self.above, *self.above.ups()]


class Scene:
    """The graph of a Maya ASCII file.

    Raises:
        UserError: (on evaluation) an attribute is driven by what is not evaluated.
    """

    def __init__(self, text: str, where: str) -> None:
        self.where = where
        self.nodes: dict[str, list[Node]] = defaultdict(list)
        self.unit_m = 0.01
        self.is_radians = False
        self.fps: float | None = None
        self.references: list[str] = []
        self.warped = 0
        """Line at which the scene's time is warped."""
        self._current: Node | None = None
        self._connections: list[tuple[str, str, int]] = []
        for line, statement in _statements(text):
            self._take(statement, line)
        for source, target, line in self._connections:
            self._connect(source, target, line)

    def _take(self, tokens: list[str], line: int) -> None:
        verb, rest = tokens[0], tokens[1:]
        if verb == "createNode" and rest:
            above = _flag(rest, "-p", "-parent")
            self._current = Node(rest[0], _flag(rest, "-n", "-name"), line, self.node(above) if above else None)
            self.nodes[self._current.name].append(self._current)
        elif verb == "select" and rest:
            self._current = self.node(rest[-1]) or Node("selected", rest[-1].lstrip(":"), line)
            if not self.nodes[self._current.name]:
                self.nodes[self._current.name].append(self._current)
        elif verb == "setAttr" and rest:
            self._set(rest, line)
        elif verb == "connectAttr" and len(rest) >= 2:
            paths = [token for token in rest if "." in token and not token.startswith("-")]
            if len(paths) >= 2:
                self._connections.append((paths[0], paths[1], line))
        elif verb == "parent" and ("-add" in rest or "-addObject" in rest):
            self._add_instance([token for token in rest if not token.startswith("-")], line)
        elif verb == "file" and "-r" in rest:
            self.references.append(rest[-1])
        elif verb == "currentUnit":
            self.unit_m = UNITS_M.get(_flag(rest, "-l", "-linear") or "cm", 0.01)
            self.is_radians = _flag(rest, "-a", "-angle") in ("rad", "radian")
            self.fps = _rate(_flag(rest, "-t", "-time"))

    def _add_instance(self, paths: Sequence[str], line: int) -> None:
        """Put a node below a further one, as instances are: it shares all that it has."""
        node, above = (self.node(paths[0]), self.node(paths[-1])) if len(paths) == 2 else (None, None)
        if node is not None and above is not None:
            copy = Node(node.kind, node.name, line, above, node.values, node.lines, node.sources)
            self.nodes[node.name].append(copy)

    def node(self, name: str) -> Node | None:
        """Return the node of a name or of as much of its path as is told."""
        parts = name.removeprefix(":").split("|")
        found = self.nodes.get(parts[-1].removeprefix(":"), [])
        ending = "|".join(parts)
        fitting = [node for node in found if node.path == ending or node.path.endswith("|" + ending.lstrip("|"))]
        return fitting[-1] if fitting else None

    def _set(self, tokens: list[str], line: int) -> None:
        place = next((i for i, token in enumerate(tokens) if re.match(r"[\w:|; ]*\.[A-Za-z]", token)), None)
        if place is None:
            return
        owner, _, attribute = tokens[place].partition(".")
        node = self.node(owner) if owner else self._current
        if node is None or not node.kind.startswith(_READ):
            return
        given = [token for token in tokens[place + 1 :] if not token.startswith("-") or _is_number(token)]
        numbers = [_WORDS[token] if token in _WORDS else float(token) for token in given if _is_value(token)]
        if not numbers:
            return
        key, component = key_of(attribute)
        span = re.search(r"\[(\d+)(?::\d+)?\]", attribute)
        first = component if component is not None else int(span[1]) * (2 if key == "ktv" else 1) if span else 0
        node.lines[key] = line
        stored = node.values.setdefault(key, {})
        stored.update({first + index: value for index, value in enumerate(numbers)})

    def _connect(self, source: str, target: str, line: int) -> None:
        owner, _, attribute = target.partition(".")
        if owner.removeprefix(":") == "time1" and attribute.startswith(("tw", "timewarp")):
            self.warped = line
        node = self.node(owner)
        if node is not None:
            name, _, output = source.partition(".")
            node.sources[key_of(attribute)] = (name, output, line)

    # Evaluation

    def value(self, node: Node, key: str, default: Sequence[float], frame: float) -> list[float]:
        """Return an attribute's values at a frame.

        Raises:
            UserError: something that is not evaluated drives it.
        """
        stored = node.values.get(key, {})
        values = [stored.get(place, default[place]) for place in range(len(default))]
        if (key, None) in node.sources and len(default) == 1:
            return [self._driven(node, key, None, frame)]
        if (key, None) in node.sources:
            raise self._refused(node, key, None)
        for place in range(len(values)):
            if (key, place) in node.sources:
                values[place] = self._driven(node, key, place, frame)
        return values

    def curves(self, node: Node, keys: Sequence[str]) -> Iterator[Node]:
        """Yield the curves in time that drive attributes of a node."""
        for key, component in node.sources:
            if key in keys:
                curve, _ = self._curve(node, key, component)
                yield curve

    def _curve(self, node: Node, key: str, component: int | None) -> tuple[Node, float]:
        """Return the curve behind an attribute, and the factor of a conversion of units between."""
        factor = 1.0
        source = self.node(node.sources[key, component][0])
        while source is not None and source.kind == "unitConversion" and ("input", None) in source.sources:
            factor *= source.values.get("cf", {}).get(0, 1.0)
            source = self.node(source.sources["input", None][0])
        if source is None or not source.kind.startswith("animCurveT") or source.sources:
            raise self._refused(node, key, component)
        return source, factor

    def _refused(self, node: Node, key: str, component: int | None) -> UserError:
        name, _, line = node.sources[key, component]
        source = self.node(name)
        kind = f", a node of the kind {source.kind}" if source else ""
        driven = source is not None and source.kind.startswith("animCurve")
        why = "Keys driven by another attribute are not evaluated" if driven else "It is not evaluated here"
        letter = "" if component is None else "xyz"[component] if component < 3 else str(component)
        what = f"{node.name}.{key}{letter} is driven by {name}{kind} ({self.where}, line {line})"
        return UserError(what, why, BAKE)

    def _driven(self, node: Node, key: str, component: int | None, frame: float) -> float:
        curve, factor = self._curve(node, key, component)
        return factor * Curve(curve, self.where).at(frame)


class Curve:
    """An animation curve in time, of keys (time, value) with tangents."""

    def __init__(self, node: Node, where: str) -> None:
        self.node, self.where = node, where
        flat = node.values.get("ktv", {})
        pairs = [(flat[place], flat.get(place + 1, 0.0)) for place in sorted(flat) if place % 2 == 0]
        self.times, self.heights = [pair[0] for pair in pairs], [pair[1] for pair in pairs]

    def _kind(self, which: str, key: int) -> int:
        told = int(self.node.values.get(which, {}).get(key, 0))
        return told or int(self.node.values.get("tan", {}).get(0, SPLINE))

    def at(self, time: float) -> float:
        """Return the value at a time.

        Raises:
            UserError: a tangent is of a kind that is not evaluated, and the time lies between keys.
        """
        times, heights = self.times, self.heights
        if not times:
            return 0.0
        if time < times[0] or time > times[-1]:
            return self._beyond(time)
        place = bisect.bisect_right(times, time) - 1
        if times[place] == time or place == len(times) - 1:
            return heights[place]
        return self._between(place, time)

    def _between(self, place: int, time: float) -> float:
        (first, second), (low, high) = self.times[place : place + 2], self.heights[place : place + 2]
        leaves, arrives = self._kind("kot", place), self._kind("kit", place + 1)
        if leaves == STEP:
            return low
        if leaves == STEP_NEXT:
            return high
        if len(set(self.heights)) == 1:
            return low
        if int(self.node.values.get("roti", {}).get(0, EULER)) > SYNCHRONISED:
            what = f"The curve {self.node.name} interpolates rotations as quaternions between its keys"
            line = self.node.lines.get("roti", self.node.line)
            raise UserError(f"{what} ({self.where}, line {line})", "They are not evaluated here", BAKE)
        span, share = second - first, (time - first) / (second - first)
        straight = (high - low) / span
        slopes = [self._slope(leaves, "o", place, straight), self._slope(arrives, "i", place + 1, straight)]
        if None in slopes or (self._is_weighted() and {leaves, arrives} != {LINEAR}):
            unknown = TANGENTS.get(leaves if slopes[0] is None else arrives, "unknown")
            kind = unknown if None in slopes else "weighted"
            line = self.node.lines.get("ktv", self.node.line)
            what = f"The curve {self.node.name} has {kind} tangents between its keys at {first:g} and {second:g}"
            raise UserError(f"{what} ({self.where}, line {line})", "They are not evaluated here", BAKE)
        a, b = (float(slope or 0.0) for slope in slopes)
        t = share
        return (
            (2 * t**3 - 3 * t**2 + 1) * low + (t**3 - 2 * t**2 + t) * span * a
            + (3 * t**2 - 2 * t**3) * high + (t**3 - t**2) * span * b
        )  # fmt: skip

    def _is_weighted(self) -> bool:
        return bool(self.node.values.get("wgt", {}).get(0, 0))

    def _slope(self, kind: int, side: str, place: int, straight: float) -> float | None:
        """Return a tangent's slope, None for a kind that is not evaluated."""
        if kind in (LINEAR, STEP, STEP_NEXT) or (kind == SPLINE and len(self.times) == 2):
            return straight
        if kind == FLAT:
            return 0.0
        if kind != FIXED:
            return None
        x = self.node.values.get(f"k{side}x", {}).get(place)
        y = self.node.values.get(f"k{side}y", {}).get(place)
        return y / x if x and y is not None else None

    def _beyond(self, time: float) -> float:
        times, heights = self.times, self.heights
        is_before = time < times[0]
        kind = int(self.node.values.get("pre" if is_before else "pst", {}).get(0, CONSTANT))
        end, span = (0 if is_before else -1), times[-1] - times[0]
        if kind == CONSTANT or span == 0:
            return heights[end]
        if kind == SLOPE:
            near = 1 if is_before else -2
            straight = (heights[near] - heights[end]) / (times[near] - times[end])
            which, place = ("i", 0) if is_before else ("o", len(times) - 1)
            slope = self._slope(self._kind(f"k{which}t", place), which, place, straight)
            if slope is not None:
                return heights[end] + slope * (time - times[end])
            what = f"The curve {self.node.name} goes on beyond its keys along tangents that are not evaluated here"
            raise UserError(f"{what} ({self.where}, line {self.node.line})", do=BAKE)
        turns, rest = divmod(time - times[0], span)
        if kind == OSCILLATE:
            return self.at(times[0] + rest if turns % 2 == 0 else times[-1] - rest)
        lifted = turns * (heights[-1] - heights[0]) if kind == CYCLE_OFFSET else 0.0
        return self.at(times[0] + rest) + lifted


def key_of(attribute: str) -> tuple[str, int | None]:
    """Return the short name of an attribute and which component is meant: translateX -> t, 0."""
    last = re.sub(r"\[[^\]]*\]", "", attribute).rpartition(".")[2]
    short = _LONG.get(last, last)
    if short in _PARTS:
        return _PARTS[short]
    match = re.fullmatch(r"(\w+?)([XYZxyz])", last)
    if match and (base := _LONG.get(match[1], match[1])) in _AXES and last not in _LONG:
        return base, "xyz".index(match[2].lower())
    if short == "in" or short == "i":
        return "input", None
    return short, None


def _statements(text: str) -> Iterator[tuple[int, list[str]]]:
    text = re.sub(r"^[ \t]*//.*$", "", text, flags=re.MULTILINE)
    tokens: list[str] = []
    line, seen, began = 1, 0, 1
    for match in _TOKEN.finditer(text):
        line += text.count("\n", seen, match.start())
        seen = match.start()
        began = began if tokens else line
        token = match[0]
        if token.startswith('"'):
            tokens.append(token[1:-1])
            continue
        *ended, last = token.split(";")
        for part in ended:
            if part:
                tokens.append(part)
            if tokens:
                yield began, tokens
            tokens, began = [], line
        if last:
            tokens.append(last)


def _flag(tokens: Sequence[str], *names: str) -> str:
    return next((value for name, value in itertools.pairwise(tokens) if name in names), "")


def _rate(unit: str) -> float | None:
    match = re.fullmatch(r"([\d.]+)fps", unit)
    return float(match[1]) if match else RATES.get(unit)


def _is_number(token: str) -> bool:
    return re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|nan|[-+]?inf", token) is not None


def _is_value(token: str) -> bool:
    return token in _WORDS or _is_number(token)
