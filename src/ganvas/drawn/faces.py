"""An embedded set of face-like pictures, drawn by a program, with the exact place of every facial landmark.

It is no set of faces and nothing learnt on it says anything about faces: it is there so that the whole way, from noise
by a low picture to a high one under a semantic guide, can be tried and tested in minutes without any photograph.
What it shares with portraits is what upres nets need: one centred subject in varied poses, parts with textures of their
own (hair, freckles, irises, lips), and edges and lines finer than the low picture can show. Unlike a portrait's, its
fine detail is crisp strokes on smooth ground, without grain: what half of the size shows mostly tells the rest.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ganvas.data.landmarks import SIDECAR
from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.io.pictures import images

LICENCE = "CC0-1.0"
SMALLEST_PX = 32
STROKE_PX = 7.0
"""Strokes side by side are so far apart, or further; where they run together, to two thirds of it, they fade."""

SKIN = np.array([[0.96, 0.80, 0.69], [0.88, 0.67, 0.53], [0.71, 0.50, 0.37], [0.47, 0.31, 0.22], [0.30, 0.20, 0.15]])
HAIR = np.array([[0.10, 0.08, 0.07], [0.28, 0.17, 0.10], [0.55, 0.36, 0.18], [0.83, 0.66, 0.36], [0.62, 0.60, 0.58]])
IRIS = np.array([[0.28, 0.17, 0.09], [0.25, 0.42, 0.60], [0.30, 0.45, 0.25], [0.42, 0.36, 0.22]])


class Face(NamedTuple):
    """A drawn picture, (S, S, 3) float32 in [0, 1], and its 68 landmarks (x, y) in pixels."""

    picture: np.ndarray
    points: np.ndarray


@dataclass(frozen=True)
class _Look:
    """What one face looks like; lengths in units of the picture's side, angles in radians."""

    center: tuple[float, float]
    tilt: float
    turn: float
    """-1 to 1: how far the features lie to one side, as in a head that is turned."""
    half_width: float
    half_height: float
    jaw: float
    """How pointed the chin is."""
    eye_gap: float
    eye_size: float
    eye_open: float
    brow_lift: float
    nose_length: float
    nose_width: float
    mouth_width: float
    lips: float
    smile: float
    skin: np.ndarray
    hair: np.ndarray
    iris: np.ndarray
    backdrop: np.ndarray
    light: float
    """Direction that light comes from."""
    freckles: float


def _look(random: np.random.Generator) -> _Look:
    def between(low: float, high: float) -> float:
        return float(random.uniform(low, high))

    def mixed(palette: np.ndarray) -> np.ndarray:
        first, second = random.choice(len(palette) - 1) + np.array([0, 1])
        share = between(0, 1)
        return palette[first] * (1 - share) + palette[second] * share

    return _Look(
        center=(between(0.47, 0.53), between(0.50, 0.56)), tilt=between(-0.15, 0.15), turn=between(-0.6, 0.6),
        half_width=between(0.215, 0.265), half_height=between(0.30, 0.345), jaw=between(0.1, 0.5),
        eye_gap=between(0.095, 0.115), eye_size=between(0.042, 0.054), eye_open=between(0.35, 0.55),
        brow_lift=between(0.050, 0.070), nose_length=between(0.105, 0.135), nose_width=between(0.034, 0.048),
        mouth_width=between(0.070, 0.100), lips=between(0.016, 0.028), smile=between(-0.01, 0.025),
        skin=mixed(SKIN), hair=mixed(HAIR), iris=mixed(IRIS), backdrop=random.uniform(0.1, 0.9, (2, 3)),
        light=between(-0.9, 0.9), freckles=between(0, 1) ** 2,
    )  # fmt: skip


def face(seed: int, size_px: int) -> Face:
    """Return the face of a number: the same features at every size, with finer texture the larger it is.

    Raises:
        UserError: fewer than 32 px.
    """
    if size_px < SMALLEST_PX:
        raise UserError(f"Faces of {size_px} px cannot be drawn", do=f"Use {SMALLEST_PX} px or more")
    look = _look(np.random.default_rng((seed, 0)))
    points = _points(look)
    canvas = _Canvas(look, size_px, np.random.default_rng((seed, 1)))
    canvas.paint(points)
    turned = _turned(points, look)
    return Face(canvas.picture.clip(0, 1).astype(np.float32), turned * size_px - 0.5)


def _points(look: _Look) -> np.ndarray:
    """Return the 68 landmarks of the upright face about its centre, in the order of the 68-point convention."""
    shift = 0.03 * look.turn
    angle = np.linspace(np.pi, 0, 17)
    narrow = 1 - look.jaw * 0.35 * np.sin(angle) ** 4
    jaw = np.stack([look.half_width * np.cos(angle) * narrow, look.half_height * np.sin(angle)], -1)
    eye_y = -0.055
    brows, eyes = [], []
    for side in (-1, 1):
        across = np.linspace(-1, 1, 5)
        arch = eye_y - look.brow_lift - 0.012 * (1 - across**2)
        brows.append(np.stack([side * look.eye_gap + 1.35 * look.eye_size * across + shift, arch], -1))
        turn = np.deg2rad([180, 125, 55, 0, -55, -125])
        ring = np.stack([np.cos(turn), -look.eye_open * np.sin(turn)], -1) * look.eye_size
        eyes.append(ring + np.array([side * look.eye_gap + shift, eye_y]))
    tip = eye_y + look.nose_length
    bridge = np.stack([np.full(4, 1.2 * shift), np.linspace(eye_y + 0.01, tip, 4)], -1)
    drop = np.array([0.008, 0.016, 0.02, 0.016, 0.008])
    base = np.stack([look.nose_width * np.linspace(-1, 1, 5) + 1.2 * shift, tip + drop], -1)
    return np.concatenate([jaw, *brows, bridge, base, *eyes, _mouth(look, tip + 0.085, shift)])


def _mouth(look: _Look, y: float, shift: float) -> np.ndarray:
    def curve(across: np.ndarray, height: float) -> np.ndarray:
        bend = look.smile * (1 - across**2) - look.smile
        return np.stack([look.mouth_width * across + shift, y + bend + height * (1 - across**2)], -1)

    outer = np.linspace(-1, 1, 7)
    inner = np.linspace(-0.8, 0.8, 5)
    upper, lower = curve(outer, -look.lips), curve(outer[-2:0:-1], 1.2 * look.lips)
    return np.concatenate([upper, lower, curve(inner, -0.15 * look.lips), curve(inner[-2:0:-1], 0.15 * look.lips)])


def _turned(points: np.ndarray, look: _Look) -> np.ndarray:
    cos, sin = np.cos(look.tilt), np.sin(look.tilt)
    return points @ np.array([[cos, sin], [-sin, cos]]) + look.center


class _Canvas:
    """Paints in the upright coordinates of the face, one pixel's softness at every edge."""

    def __init__(self, look: _Look, size_px: int, random: np.random.Generator) -> None:
        self.look, self.random, self.size_px = look, random, size_px
        grid = (np.arange(size_px) + 0.5) / size_px
        x, y = np.meshgrid(grid - look.center[0], grid - look.center[1])
        cos, sin = np.cos(look.tilt), np.sin(look.tilt)
        self.x, self.y = x * cos + y * sin, y * cos - x * sin
        ramp = grid[:, None, None]
        self.picture = look.backdrop[0] * (1 - ramp) + look.backdrop[1] * ramp + np.zeros((size_px, size_px, 1))
        self.picture += 0.06 * self._noise(min(24, size_px / 8))[..., None]

    def paint(self, points: np.ndarray) -> None:
        """Draw everything from back to front."""
        look = self.look
        self._neck()
        self._hair(behind=True)
        head = self._polygon(_smooth(np.concatenate([points[:17], self._crown()])))
        self._lay(head, self._skin())
        self._freckles()
        self._lay(0.5 * self._line(points[1:16], 0.002), 0.6 * look.skin)
        self._hair(behind=False)
        for brow, eye in ((points[17:22], points[36:42]), (points[22:27], points[42:48])):
            self._eye(eye)
            self._brow(brow)
        self._nose(points[27:36])
        self._lips(points[48:60], points[60:68])
        shade = 1 + 0.18 * np.clip(self.x / look.half_width * np.sign(look.light), -1.5, 1.5) * -abs(look.light)
        self.picture *= shade[..., None]

    def _lay(self, mask: np.ndarray, color: np.ndarray) -> None:
        self.picture += mask[..., None] * (color - self.picture)

    def _soft(self, distance: np.ndarray) -> np.ndarray:
        """Return 1 where a signed distance is negative, in units of the side, with an edge of about one pixel."""
        return np.clip(0.5 - distance * self.size_px, 0, 1)

    def _ellipse(self, x: float, y: float, wide: float, high: float) -> np.ndarray:
        radius = np.hypot((self.x - x) / wide, (self.y - y) / high)
        return self._soft((radius - 1) * min(wide, high))

    def _polygon(self, outline: np.ndarray) -> np.ndarray:
        part = self._around(outline, 2 / self.size_px)
        x, y = self.x[part], self.y[part]
        odd, nearest = np.zeros(x.shape, bool), np.full(x.shape, np.inf)
        for (x0, y0), (x1, y1) in zip(outline, np.roll(outline, -1, axis=0)):
            nearest = np.minimum(nearest, _distance(x, y, (x0, y0), (x1, y1)))
            if y0 != y1:
                odd ^= ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
        mask = np.zeros_like(self.x)
        mask[part] = self._soft(np.where(odd, -nearest, nearest))
        return mask

    def _around(self, outline: np.ndarray, margin: float) -> tuple[slice, slice]:
        """Return the rows and columns of the picture that an outline can reach."""
        low, high = outline.min(0) - margin, outline.max(0) + margin
        within = (self.x >= low[0]) & (self.x <= high[0]) & (self.y >= low[1]) & (self.y <= high[1])
        spans = [np.nonzero(within.any(axis))[0] for axis in (1, 0)]
        rows, columns = (slice(int(span[0]), int(span[-1]) + 1) if len(span) else slice(0) for span in spans)
        return rows, columns

    def _noise(self, waves: float) -> np.ndarray:
        """Return smooth noise with about so many bumps across the picture, mean 0 and deviation 1."""
        cells = max(2, int(waves))
        coarse = self.random.standard_normal((cells + 2, cells + 2))
        at = np.linspace(0, cells, self.size_px)
        low = at.astype(int)
        share = (1 - np.cos((at - low) * np.pi)) / 2
        rows = coarse[low] * (1 - share)[:, None] + coarse[low + 1] * share[:, None]
        return rows[:, low] * (1 - share) + rows[:, low + 1] * share

    def _stripes(self, phase: np.ndarray, share: float = 0.5) -> np.ndarray:
        """Return stripes with edges of one pixel, one for each turn of a phase and a share of it wide: 0 to 1.

        They fade to even gray where they come too close to be told apart.
        """
        wave = np.exp(1j * phase)
        rows, columns = np.gradient(wave)
        # Central differences of a wave give the sine of its phase's step, also across the cut of an angle.
        step = np.arcsin(np.minimum(1, np.sqrt(np.abs(rows) ** 2 + np.abs(columns) ** 2)))
        inside = np.arcsin(np.sin(phase)) - (0.5 - share) * np.pi
        apart = 2 * np.pi / np.maximum(step, 1e-6) / STROKE_PX
        return share + np.clip(3 * apart - 2, 0, 1) * (np.clip(0.5 + inside / np.maximum(step, 1e-6), 0, 1) - share)

    def _strokes(self, most: float, across: float = 1.0) -> float:
        """Return how many stripes lie across a share of the picture: at most so many, no closer than strokes are."""
        return min(most, self.size_px * across / STROKE_PX)

    def _line(self, points: np.ndarray, half_width: float) -> np.ndarray:
        """Return the mask of a line through points, at least a pixel wide."""
        part = self._around(points, half_width + 2 / self.size_px)
        edges = itertools.pairwise(map(tuple, points))
        distance = np.min([_distance(self.x[part], self.y[part], *edge) for edge in edges], axis=0)
        mask = np.zeros_like(self.x)
        mask[part] = self._soft(distance - max(half_width, 0.5 / self.size_px))
        return mask

    def _crown(self) -> np.ndarray:
        angle = np.linspace(0, np.pi, 12)[1:-1]
        look = self.look
        return np.stack([look.half_width * np.cos(angle), -0.85 * look.half_height * np.sin(angle)], -1)

    def _skin(self) -> np.ndarray:
        look = self.look
        blush = np.exp(-(((np.abs(self.x) - 0.12) / 0.06) ** 2) - ((self.y - 0.06) / 0.06) ** 2)
        pores = 0.015 * self._noise(min(60, self.size_px / 8)) + 0.015 * self._noise(min(24, self.size_px / 8))
        return look.skin * (1 + pores[..., None]) + blush[..., None] * np.array([0.06, -0.02, -0.02])

    def _freckles(self) -> None:
        look = self.look
        for _ in range(round(70 * look.freckles)):
            x, y = self.random.uniform(-0.75, 0.75) * look.half_width, self.random.normal(0.02, 0.05)
            radius = self.random.uniform(0.002, 0.005)
            spot = self._around(np.array([[x, y]]), radius + 2 / self.size_px)
            mask = self._soft(np.hypot(self.x[spot] - x, self.y[spot] - y) - radius)
            self.picture[spot] *= 1 - 0.35 * mask[..., None] * np.array([0.5, 0.8, 0.9])

    def _hair(self, behind: bool) -> None:
        look = self.look
        wide, high = look.half_width * 1.22, look.half_height * 1.12
        mask = self._ellipse(0, -0.04, wide, high)
        if not behind:
            part = 0.05 * np.sign(look.light)
            fringe = -0.62 * look.half_height + 0.35 * (self.x - part) ** 2 / look.half_width + 0.01 * self._noise(14)
            mask = mask * self._soft(self.y - fringe)
        around = np.arctan2(self.y - 0.1, self.x)
        strands = np.zeros_like(self.x)
        for share, weight in ((0.35, 0.55), (1.0, 0.45)):
            # Strands follow the head: lines that bend a little, and a whole number of them all around it.
            phase = around * round(share * self._strokes(150, 1.7)) + 0.8 * self._noise(9)
            strands += weight * (2 * self._stripes(phase + self.random.uniform(0, 6)) - 1)
        gloss = 0.35 * np.exp(-(((self.y + 0.75 * look.half_height) / 0.07) ** 2))
        self._lay(mask, look.hair * (1 + 0.40 * strands + gloss)[..., None])

    def _neck(self) -> None:
        look = self.look
        mask = self._soft(np.abs(self.x) - 0.55 * look.half_width) * self._soft(0.1 - self.y)
        self._lay(mask, 0.82 * look.skin)
        shoulders = self._ellipse(0, 0.62, 0.44, 0.24)
        turns = 2 * np.pi * self._strokes(40)
        checks = 0.12 * (self._stripes(turns * self.x, 0.3) + self._stripes(turns * self.y, 0.3))
        self._lay(shoulders, look.backdrop[::-1].mean(0)[::-1] * (1 - checks[..., None]))

    def _eye(self, ring: np.ndarray) -> None:
        look = self.look
        x, y = ring.mean(0)
        opening = self._polygon(_smooth(ring))
        self._lay(self._lashes(ring), 0.35 * look.skin)
        self._lay(0.6 * self._line(ring[:4] - np.array([0, 0.014]), 0.0015), 0.6 * look.skin)
        self._lay(opening, np.array([0.95, 0.94, 0.92]))
        x = x + 0.008 * look.turn
        radius = 0.44 * look.eye_size
        number = max(5, round(self._strokes(24, 2 * np.pi * 0.75 * radius)))
        spokes = 0.5 * self._stripes(np.arctan2(self.y - y, self.x - x) * number) - 0.25
        self._lay(opening * self._ellipse(x, y, radius, radius), 0.5 * look.iris)
        self._lay(opening * self._ellipse(x, y, 0.9 * radius, 0.9 * radius), look.iris * (1 + spokes[..., None]))
        self._lay(opening * self._ellipse(x, y, 0.45 * radius, 0.45 * radius), np.array([0.03, 0.03, 0.04]))
        self._lay(opening * self._ellipse(x - 0.3 * radius, y - 0.3 * radius, 0.2 * radius, 0.2 * radius), np.ones(3))

    def _lashes(self, ring: np.ndarray) -> np.ndarray:
        """Return the mask of the upper edge of an eye and of its hairs."""
        mask, middle = self._line(ring[:4], 0.005), ring.mean(0)
        along = np.linspace(0.3, 2.7, max(4, round(self._strokes(11, 2 * self.look.eye_size))))
        for place in along:
            root = ring[int(place)] + (place - int(place)) * (ring[int(place) + 1] - ring[int(place)])
            tip = root + (root - middle) * 0.35 + np.array([0, -0.008])
            mask = np.maximum(mask, self._line(np.stack([root, tip]), 0.0016))
        return mask

    def _brow(self, line: np.ndarray) -> None:
        lower = line[::-1] + np.array([0, 0.016])
        hairs = 0.5 * self._stripes((self.x - 0.6 * self.y) * 2 * np.pi * self._strokes(100, 0.85)) - 0.25
        self._lay(0.85 * self._polygon(np.concatenate([line, lower])), 0.8 * self.look.hair * (1 + hairs[..., None]))

    def _nose(self, points: np.ndarray) -> None:
        look = self.look
        x, tip = points[0, 0], points[3, 1]
        side = np.exp(-(((self.x - x - 0.018 * np.sign(look.light)) / 0.014) ** 2))
        long = 1 / (1 + np.exp(-(self.y - points[0, 1]) * 120)) / (1 + np.exp((self.y - tip) * 120))
        self.picture *= (1 - 0.16 * side * long)[..., None]
        for way in (-1, 1):
            nostril = self._ellipse(x + way * 0.5 * look.nose_width, tip + 0.014, 0.010, 0.006)
            self._lay(0.7 * nostril, 0.35 * look.skin)
            wing = np.array([[0.85, -0.016], [1.05, -0.002], [1.0, 0.012], [0.8, 0.018]])
            outline = np.array([x, tip]) + wing * np.array([way * look.nose_width, 1])
            self._lay(0.6 * self._line(outline, 0.0015), 0.55 * look.skin)

    def _lips(self, outer: np.ndarray, inner: np.ndarray) -> None:
        color = self.look.skin * 0.5 + np.array([0.42, 0.10, 0.12])
        lines = -0.15 * self._stripes(self.x * 2 * np.pi * self._strokes(70, 0.7), 0.25)
        self._lay(self._polygon(_smooth(outer)), color * (1 + lines[..., None]))
        self._lay(self._polygon(inner), 0.3 * color)


def _distance(x: np.ndarray, y: np.ndarray, start: tuple[float, float], end: tuple[float, float]) -> np.ndarray:
    """Return the distance of points to a line from `start` to `end`."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    px, py = x - start[0], y - start[1]
    along = np.clip((px * dx + py * dy) / max(dx * dx + dy * dy, 1e-12), 0, 1)
    return np.hypot(px - along * dx, py - along * dy)


def _smooth(outline: np.ndarray) -> np.ndarray:
    """Return a closed outline through the same points with three more between each two (Catmull and Rom's curve)."""
    before, after, beyond = np.roll(outline, 1, 0), np.roll(outline, -1, 0), np.roll(outline, -2, 0)
    parts = []
    for t in (0.0, 0.25, 0.5, 0.75):
        blend: Callable[[float, float, float, float], np.ndarray] = lambda a, b, c, d: (  # noqa: E731
            a * before + b * outline + c * after + d * beyond
        )
        parts.append(blend(
            0.5 * (-t + 2 * t**2 - t**3), 0.5 * (2 - 5 * t**2 + 3 * t**3),
            0.5 * (t + 4 * t**2 - 3 * t**3), 0.5 * (-(t**2) + t**3),
        ))  # fmt: skip
    return np.stack(parts, axis=1).reshape(-1, 2)


def write(
    out: str | Path, number: int, size_px: int, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> Path:
    """Write faces as OUT/000000.png ... and the landmarks of all of them beside them; return the folder.

    Raises:
        UserError: the folder holds something already, or cannot be written.
    """
    out = Path(out)
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out} is not empty", do="Choose another folder")
    if number < 1:
        raise UserError(f"{number} faces cannot be written", do="Use 1 or more")
    out.mkdir(parents=True, exist_ok=True)
    points = {}
    for place in range(number):
        made = face(seed * 1_000_003 + place, size_px)
        name = f"{place:06d}.png"
        images.write(out / name, images.from_float(made.picture, "uint8"))
        points[name] = made.points.round(2).tolist()
        if progress:
            progress(place + 1, number)
    runs.write_json(out / SIDECAR, {"size_px": size_px, "seed": seed, "licence": LICENCE, "points": points})
    return out
