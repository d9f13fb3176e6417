"""Rays through the sample world: which solid each one meets first, where, and whether the sun reaches that point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ganvas.drawn.world.scene import Part

NOTHING, GROUND = -1, -2
"""What a ray meets besides the parts, which are numbered from 0."""

_NEAR_M = 0.05
_EPSILON_M = 1e-3


@dataclass(frozen=True, eq=False)
class View:
    """A camera as numbers: position, rotation (columns: right, up, back), focal lengths and principal point, pixels."""

    origin: np.ndarray
    rotation: np.ndarray
    focal_px: np.ndarray
    centre_px: np.ndarray
    width: int
    height: int

    def rays(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return directions (..., 3) through points of the picture in pixels, of length 1 along the optical axis."""
        right = (x - self.centre_px[0]) / self.focal_px[0]
        up = -(y - self.centre_px[1]) / self.focal_px[1]
        return np.stack([right, up, np.full_like(right, -1.0)], -1) @ self.rotation.T

    def project(self, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the pixels (..., 2) and the depths along the optical axis of vectors from the camera's position."""
        local = directions @ self.rotation
        depth = -local[..., 2]
        safe = np.where(depth > 0, depth, 1.0)[..., None]
        pixels = local[..., :2] / safe * self.focal_px * (1, -1) + self.centre_px
        return pixels, depth


class Snapshot:
    """The parts near a camera at one moment, as arrays."""

    def __init__(self, parts: Sequence[Part], time: float) -> None:
        self.parts = parts
        self.speed = np.array([part.speed for part in parts])
        self.centre = np.array([part.centre for part in parts], float)
        self.centre[:, 2] += self.speed * time
        self.half = np.array([part.half for part in parts], float)
        self.label = np.array([part.label for part in parts])
        self.number = np.array([part.number for part in parts])
        self.material = np.array([part.material for part in parts])
        self.color = np.array([part.color for part in parts], float)
        self.seed = np.array([part.seed for part in parts])

    def extents(self, view: View) -> tuple[np.ndarray, np.ndarray]:
        """Return for each part the rectangle (left, top, right, bottom) in pixels that it can cover, NaN if none, and
        the depth before which it cannot be met."""
        signs = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
        corners = self.centre[:, None] + self.half[:, None] * signs - view.origin
        pixels, depth = view.project(corners)
        bounds = np.concatenate([pixels.min(1), pixels.max(1)], 1)
        behind = depth <= _NEAR_M
        # A part that reaches behind the camera may appear anywhere.
        bounds[behind.any(1)] = (-np.inf, -np.inf, np.inf, np.inf)
        bounds[behind.all(1)] = np.nan
        return bounds, depth.min(1)


@dataclass(frozen=True, eq=False)
class Hits:
    """What each ray met: a part, `GROUND` or `NOTHING`; at which multiple of its direction; with which normal there."""

    part: np.ndarray
    distance: np.ndarray
    normal: np.ndarray


def cast(snapshot: Snapshot, view: View, directions: np.ndarray, pixels: np.ndarray, grid: bool) -> Hits:
    """Return the first hits of rays (P, 3) from the camera, which pass through the points (P, 2) of the picture.

    Args:
        grid: the points are a regular grid in reading order, which makes finding those near a part much faster.
    """
    down = directions[:, 1]
    ground = np.divide(-view.origin[1], down, out=np.full(len(down), np.inf), where=down < 0)
    hits = Hits(np.where(np.isfinite(ground), GROUND, NOTHING), ground, np.tile((0.0, 1.0, 0.0), (len(down), 1)))
    choose = _Grid(pixels) if grid else _Scatter(pixels)
    bounds, depth = snapshot.extents(view)
    shown = np.flatnonzero(_on_screen(bounds, pixels))
    # From front to back, as most of what lies behind is then known to be hidden. `distance` is a depth if the rays have
    # length 1 along the axis, else the share of the way to a point; its depth is the length along the axis.
    along = -(directions @ view.rotation[:, 2])
    for number in shown[np.argsort(depth[shown], kind="stable")].tolist():
        near = choose(bounds[number])
        near = near[hits.distance[near] * along[near] > depth[number]]
        if len(near):
            _meet(snapshot, number, view.origin, directions, near, hits)
    return hits


def _on_screen(bounds: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    low, high = pixels.min(0), pixels.max(0)
    # Comparisons with NaN are false.
    return (bounds[:, :2] <= high).all(1) & (bounds[:, 2:] >= low).all(1)


class _Grid:
    """Finds the points of a regular grid in a rectangle by arithmetic."""

    def __init__(self, pixels: np.ndarray) -> None:
        columns = int(np.argmax(pixels[:, 1] > pixels[0, 1])) or len(pixels)
        self._x, self._y = pixels[:columns, 0], pixels[::columns, 1]

    def __call__(self, bounds: np.ndarray) -> np.ndarray:
        left, right = np.searchsorted(self._x, bounds[0]), np.searchsorted(self._x, bounds[2], "right")
        top, bottom = np.searchsorted(self._y, bounds[1]), np.searchsorted(self._y, bounds[3], "right")
        return (np.arange(top, bottom)[:, None] * len(self._x) + np.arange(left, right)).ravel()


class _Scatter:
    """Finds those of any points that lie in a rectangle, looking only at the columns it spans."""

    def __init__(self, pixels: np.ndarray) -> None:
        self._order = np.argsort(pixels[:, 0], kind="stable")
        self._x, self._y = pixels[self._order].T

    def __call__(self, bounds: np.ndarray) -> np.ndarray:
        left, right = np.searchsorted(self._x, bounds[0]), np.searchsorted(self._x, bounds[2], "right")
        rows = self._y[left:right]
        return self._order[left:right][(rows >= bounds[1]) & (rows <= bounds[3])]


def _meet(snapshot: Snapshot, number: int, origin: np.ndarray, rays: np.ndarray, near: np.ndarray, hits: Hits) -> None:
    """Enter into `hits` the rays among `near` that meet a part before anything else."""
    planes, start, directions = snapshot.parts[number].planes, origin - snapshot.centre[number], rays[near]
    if planes is None:
        distance = _ellipsoid(start, directions, snapshot.half[number])
        face = None
    else:
        distance, face = _convex(start, directions, planes)
    closer = distance < hits.distance[near]
    if not closer.any():
        return
    found, distance = near[closer], distance[closer]
    hits.part[found], hits.distance[found] = number, distance
    if planes is None or face is None:
        gradient = (start + directions[closer] * distance[:, None]) / snapshot.half[number] ** 2
        hits.normal[found] = gradient / np.linalg.norm(gradient, axis=1, keepdims=True)
    else:
        hits.normal[found] = planes[face[closer], :3]


def _convex(start: np.ndarray, directions: np.ndarray, planes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where rays enter a convex solid (infinite: never), and through which plane; `start`: (3,) or (P, 3)."""
    # Planes first: reductions over a short last axis are several times as slow.
    toward = planes[:, :3] @ directions.T
    room = planes[:, 3:] - planes[:, :3] @ np.atleast_2d(start).T
    with np.errstate(divide="ignore", invalid="ignore"):
        at = room / toward
    # A ray along a plane neither enters nor leaves through it, but misses if it runs outside.
    enters = np.where(toward < 0, at, -np.inf)
    leaves = np.where(toward > 0, at, np.where((toward == 0) & (room < 0), -np.inf, np.inf))
    first = enters.max(0)
    hit = (first <= leaves.min(0)) & (first > _EPSILON_M)
    return np.where(hit, first, np.inf), enters.argmax(0)


def _ellipsoid(start: np.ndarray, directions: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Return where rays enter an ellipsoid around 0; infinite where they miss it."""
    o, d = np.broadcast_arrays(np.atleast_2d(start / radii), np.atleast_2d(directions / radii))
    a, b, c = (np.einsum("pi,pi->p", *pair) for pair in ((d, d), (o, d), (o, o)))
    c = c - 1
    root = b * b - a * c
    first = (-b - np.sqrt(np.maximum(root, 0))) / a
    return np.where((root > 0) & (first > _EPSILON_M), first, np.inf)


def shadows(snapshot: Snapshot, points: np.ndarray, sun: np.ndarray) -> np.ndarray:
    """Return for points (P, 3) in the world whether a part stands between them and the sun, seen along `sun`."""
    dark = np.zeros(len(points), bool)
    order = np.argsort(points[:, 2], kind="stable")
    ordered = points[order]
    z = ordered[:, 2]
    low, high = snapshot.centre - snapshot.half, snapshot.centre + snapshot.half
    # The shadow of a part falls, down to the ground, on what lies within its box swept away from the sun.
    reach = -sun * (high[:, 1] / sun[1])[:, None]
    first, last = np.minimum(low, low + reach), np.maximum(high, high + reach)
    starts, ends = np.searchsorted(z, first[:, 2]), np.searchsorted(z, last[:, 2], "right")
    for number in np.flatnonzero(starts < ends).tolist():
        span = slice(starts[number], ends[number])
        x, y = ordered[span, 0], ordered[span, 1]
        near = np.flatnonzero((x >= first[number, 0]) & (x <= last[number, 0]) & (y < high[number, 1]))
        if len(near):
            local = ordered[span][near] - snapshot.centre[number]
            planes = snapshot.parts[number].planes
            met = (
                _ellipsoid(local, sun, snapshot.half[number])
                if planes is None
                else _convex(local, sun[None], planes)[0]
            )
            dark[order[span][near[np.isfinite(met)]]] = True
    return dark
