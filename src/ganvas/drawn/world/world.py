"""The embedded sample world: a street under a moving camera, rendered at any size together with the truth about it.

Every frame comes with label map, instance map, depth, the exact optical flow to the next frame, the pixels that the
next frame no longer shows, and the camera. It is sample data of our own making, so that labels, video and cameras can
be shown, tested and scored anywhere; it is no substitute for photographs.

World coordinates are right-handed with y up, in metres; a camera looks down its -z axis. Everything is computed in
float64 and depends on the seed alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ganvas.drawn.world import scene, surfaces
from ganvas.drawn.world.render import GROUND, NOTHING, Hits, Snapshot, View, cast, shadows
from ganvas.io.cameras import cameras

LEGEND = scene.LEGEND
NUM_LABELS = len(LEGEND)
FRAMES_PER_SECOND = 12.0
Film = tuple[float, float]
FILM: Film = (36.0, 18.0)
"""Width and height of the film in millimetres, for pictures twice as wide as high."""
RAYS_AT_ONCE = 1 << 19
"""Rays of one band of a picture: what bounds the memory that a frame takes."""
FAR_M = 10_000.0
"""The depth that the sky is given."""


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera."""

    matrix: np.ndarray
    """(4, 4) float64, camera to world, acting on columns; its first three columns are right, up and back."""
    focal_mm: float = 24.0
    film_back_mm: Film = FILM
    """Width and height of the film."""
    shift: tuple[float, float] = (0.0, 0.0)
    """Where the optical axis meets the film, off its middle, as shares of its width (right) and height (up)."""

    def solved(self, width: int, height: int) -> cameras.Camera:
        """Return the camera of a picture of this size in the form that camera files are written from."""
        view = self.view(width, height)
        (focal_x, focal_y), (centre_x, centre_y) = view.focal_px.tolist(), view.centre_px.tolist()
        return cameras.Camera(
            matrix=self.matrix, focal_px=(focal_x, focal_y), centre_px=(centre_x, centre_y), size_px=(width, height),
            film_back_mm=self.film_back_mm,
        )  # fmt: skip

    def view(self, width: int, height: int) -> View:
        """Return the camera in pixels of a picture."""
        size, film = np.array((width, height), float), np.array(self.film_back_mm)
        centre = size * (0.5 + np.array(self.shift) * (1, -1))
        return View(self.matrix[:3, 3], self.matrix[:3, :3], size * self.focal_mm / film, centre, width, height)


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture of the world and the truth about each of its pixels, taken at the pixel's centre."""

    picture: np.ndarray
    """(3, H, W) float32, display values in [0, 1]; four samples a pixel."""
    label_map: np.ndarray
    """(H, W) uint8, ids of the world's legend."""
    instance_map: np.ndarray
    """(H, W) uint16: the label id, or for things label * 1000 + k with k counted within the class."""
    depth: np.ndarray
    """(H, W) float64, metres along the optical axis; `FAR_M` in the sky."""
    flow: np.ndarray
    """(2, H, W) float64, pixels to the right and down to where the same point is in the next frame."""
    occlusion: np.ndarray
    """(H, W) bool, where that point is hidden in the next frame or outside it."""
    camera: Camera

    @property
    def planes(self) -> dict[str, np.ndarray]:
        """All but the camera, by name."""
        names = ("picture", "label_map", "instance_map", "depth", "flow", "occlusion")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, eq=False)
class Shot:
    """One camera at one moment, in seconds."""

    camera: Camera
    time: float = 0.0


class World:
    """A street made from a seed; with `details` roofs, windows, doors, awnings and wheels have labels of their own."""

    def __init__(self, seed: int = 0, details: bool = False) -> None:
        self.seed, self.details = seed, details
        self.legend = scene.DETAILED if details else scene.LEGEND
        random = np.random.default_rng([seed, 1])
        azimuth, lift = random.uniform(0.35, 0.85) * random.choice([-1, 1]), random.uniform(0.65, 0.95)
        self.sun = np.array((np.cos(lift) * np.sin(azimuth * 2), np.sin(lift), np.cos(lift) * np.cos(azimuth * 2)))

    def render(
        self,
        camera: Camera,
        time: float,
        width: int,
        height: int,
        next_camera: Camera | None = None,
        next_time: float | None = None,
    ) -> Frame:
        """Render one frame at a time in seconds.

        Args:
            next_camera: the next frame's camera, to which the flow leads; default this one, held still.
            next_time: the next frame's time; default a twelfth of a second later.
        """
        later = next_camera or camera
        step = 1 / FRAMES_PER_SECOND if next_time is None else next_time - time
        views = camera.view(width, height), later.view(width, height)
        snapshots = self._snapshot(camera, time), self._snapshot(later, time + step)
        # In bands, so that memory does not grow with the picture's height.
        band_px = max(1, RAYS_AT_ONCE // (4 * width))
        bands = [
            self._band(views, snapshots, step, range(top, min(top + band_px, height)))
            for top in range(0, height, band_px)
        ]
        return Frame(**{name: np.concatenate([band[name] for band in bands], -2) for name in bands[0]}, camera=camera)

    def _snapshot(self, camera: Camera, time: float) -> Snapshot:
        return Snapshot(scene.parts_near(self.seed, float(camera.matrix[2, 3]), time), time)

    def _band(
        self, views: tuple[View, View], snapshots: tuple[Snapshot, Snapshot], step: float, rows: range
    ) -> dict[str, np.ndarray]:
        """Return the planes of some rows of a frame, given what is there now and in the next frame."""
        shape = (len(rows), views[0].width)
        seen = _look(views[0], snapshots[0], rows, 1)
        label_map, instance_map = _maps(seen, self.details)
        flow, occlusion = _flow(seen, views[1], snapshots[1], step)
        light = self._light(_look(views[0], snapshots[0], rows, 2))
        fine = surfaces.displayed(light).reshape(shape[0], 2, shape[1], 2, 3)
        return {
            "picture": np.ascontiguousarray(fine.mean((1, 3)).transpose(2, 0, 1), dtype=np.float32),
            "label_map": label_map.reshape(shape),
            "instance_map": instance_map.reshape(shape),
            "depth": np.where(seen.is_sky, FAR_M, seen.hits.distance).reshape(shape),
            "flow": flow.T.reshape(2, *shape),
            "occlusion": occlusion.reshape(shape),
        }

    def _light(self, seen: _Seen) -> np.ndarray:
        """Return the linear light (P, 3) that comes along rays."""
        light, solid = np.empty_like(seen.rays), ~seen.is_sky
        light[~solid] = surfaces.sky(seen.rays[~solid], self.sun, self.seed)
        rays, spots, normals = seen.rays[solid], seen.points[solid], seen.hits.normal[solid]
        lit = normals @ self.sun > 0
        dark = np.ones(len(spots), bool)
        # Off the surface by a hair, so that it does not shade itself.
        dark[lit] = shadows(seen.snapshot, spots[lit] + 1e-3 * normals[lit], self.sun)
        steepness = np.maximum(np.abs((rays * normals).sum(-1)) / np.linalg.norm(rays, axis=1), 0.15)
        pixel_m = seen.hits.distance[solid] / seen.view.focal_px.mean() / np.sqrt(steepness)
        own = surfaces.colours(seen.snapshot, seen.hits.part[solid], spots, normals, pixel_m, self.sun, dark)
        light[solid] = surfaces.hazy(own, np.linalg.norm(spots - seen.view.origin, axis=1))
        return light


@dataclass(frozen=True, eq=False)
class _Seen:
    """Rays (P, 3) through points of a picture (P, 2), and where in the world (P, 3) they end."""

    view: View
    snapshot: Snapshot
    pixels: np.ndarray
    rays: np.ndarray
    hits: Hits
    points: np.ndarray

    @property
    def is_sky(self) -> np.ndarray:
        return self.hits.part == NOTHING


def _look(view: View, snapshot: Snapshot, rows: range, fineness: int) -> _Seen:
    """Look through `fineness` squared points of each pixel of some rows."""
    x = (np.arange(view.width * fineness) + 0.5) / fineness
    y = (np.arange(rows.start * fineness, rows.stop * fineness) + 0.5) / fineness
    grid_x, grid_y = (axis.ravel() for axis in np.meshgrid(x, y))
    pixels, rays = np.stack([grid_x, grid_y], -1), view.rays(grid_x, grid_y)
    hits = cast(snapshot, view, rays, pixels, grid=True)
    points = view.origin + rays * np.where(hits.part == NOTHING, FAR_M, hits.distance)[:, None]
    return _Seen(view, snapshot, pixels, rays, hits, points)


def _maps(seen: _Seen, details: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return label ids and instance ids (P,)."""
    part, side, z = seen.hits.part, np.abs(seen.points[:, 0]), seen.points[:, 2]
    on_road = side < scene.ROAD_HALF_M
    ground = np.select(
        [on_road & surfaces.marking(seen.points[:, 0], z), on_road, side < scene.PAVEMENT_HALF_M],
        [scene.MARKING, scene.ROAD, scene.PAVEMENT],
        scene.GRASS,
    )
    index = np.maximum(part, 0)
    labels = np.where(part == GROUND, ground, np.where(seen.is_sky, scene.SKY, seen.snapshot.label[index]))
    if details:
        labels = surfaces.details(seen.snapshot, part, seen.points, seen.hits.normal, labels)
    instances = np.where(part >= 0, labels * 1000 + seen.snapshot.number[index], labels)
    return labels.astype(np.uint8), instances.astype(np.uint16)


def _flow(seen: _Seen, view: View, snapshot: Snapshot, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Return where each point goes in the next frame, in pixels (P, 2), and whether it is hidden there (P,)."""
    part, sky = seen.hits.part, seen.is_sky
    speed = np.where(part >= 0, seen.snapshot.speed[np.maximum(part, 0)], 0.0)
    moved = seen.points + speed[:, None] * (0.0, 0.0, step)
    # The sky is infinitely far: only the camera's turning moves it.
    toward = np.where(sky[:, None], seen.rays, moved - view.origin)
    places, depth = view.project(toward)
    inside = (depth > 0) & (places >= 0).all(1) & (places <= (view.width, view.height)).all(1)
    flow = np.where((depth > 0)[:, None], places - seen.pixels, 0.0)
    occlusion = np.ones(len(part), bool)
    if inside.any():
        met = cast(snapshot, view, toward[inside], places[inside], grid=False)
        # At 1 the ray has reached the point itself.
        occlusion[inside] = ~np.where(sky[inside], met.part == NOTHING, met.distance > 1 - 1e-5)
    return flow, occlusion


def look(origin: Sequence[float] | np.ndarray, target: Sequence[float] | np.ndarray, roll: float = 0.0) -> np.ndarray:
    """Return the (4, 4) camera-to-world matrix of a camera that looks at a point, turned by `roll` about its axis."""
    back = np.subtract(origin, target).astype(float)
    back /= np.linalg.norm(back)
    right = np.cross((0.0, 1.0, 0.0), back)
    right /= np.linalg.norm(right)
    up = np.cross(back, right)
    matrix = np.eye(4)
    matrix[:3, 0] = right * np.cos(roll) + up * np.sin(roll)
    matrix[:3, 1] = up * np.cos(roll) - right * np.sin(roll)
    matrix[:3, 2], matrix[:3, 3] = back, origin
    return matrix


PathKind = Literal["drive", "orbit", "survey"]


def shots(path: PathKind, num_frames: int, seed: int = 0, clip: int = 0, film_back_mm: Film = FILM) -> list[Shot]:
    """Return the cameras and times of a clip, one more than its frames: the last is what the last flow leads to.

    Args:
        path: `drive` moves through traffic; in `orbit` and `survey` time stands still.
        seed: of the world; it decides where the first clip begins.
        clip: drives of different clips cover different stretches of the street.
    """
    if path == "drive":
        driven = drive(num_frames + 1, seed, clip, film_back_mm)
        return [Shot(camera, number / FRAMES_PER_SECOND) for number, camera in enumerate(driven)]
    if path == "orbit":
        circle = orbit(num_frames, seed, clip, film_back_mm)
        return [Shot(camera) for camera in [*circle, circle[0]]]
    return [Shot(camera) for camera in survey(num_frames + 1, seed, clip, film_back_mm)]


def drive(num_frames: int, seed: int = 0, clip: int = 0, film_back_mm: Film = FILM) -> list[Camera]:
    """Return the cameras of a drive down the street in the right lane, one each twelfth of a second from time 0."""
    random = np.random.default_rng([seed, clip, 2])
    lane = max(scene.LANE_SPEED)
    speed = scene.LANE_SPEED[lane]
    # Between two places where traffic may be, and beyond what the clip before has driven.
    cells = 3 + int(num_frames / FRAMES_PER_SECOND * abs(speed) // scene.TRAFFIC_CELL_M)
    start = -clip * cells * scene.TRAFFIC_CELL_M
    phases, focal = random.uniform(0, 2 * np.pi, 5), random.uniform(20, 26)
    x0, high = lane + random.uniform(-0.3, 0.3), random.uniform(1.5, 2.4)
    path = []
    for time in np.arange(num_frames) / FRAMES_PER_SECOND:
        sway = np.sin(np.array((0.5, 0.37, 1.9, 0.43, 0.61)) * time + phases)
        origin = np.array((x0 + 0.35 * sway[0], high + 0.03 * sway[2], start + speed * time + 1.5 * sway[1]))
        ahead = origin + np.array((20 * np.sin(0.09 * sway[3]) - 0.6, 0.35 + 0.3 * sway[4], -20))
        path.append(Camera(look(origin, ahead, roll=0.006 * sway[2]), focal, film_back_mm))
    return path


def orbit(num_frames: int, seed: int = 0, clip: int = 0, film_back_mm: Film = FILM) -> list[Camera]:
    """Return the cameras of a flight around a piece of the street, high above it, closing after the last frame."""
    phase = np.random.default_rng([seed, clip, 3]).uniform(0, 2 * np.pi)
    turns = np.arange(num_frames) / max(num_frames, 1) * 2 * np.pi
    return [
        _above(turn + phase, 38 + 3 * np.sin(2 * turn), 42 + 4 * np.sin(3 * turn), 0.0, film_back_mm) for turn in turns
    ]


def survey(num_frames: int, seed: int = 0, clip: int = 0, film_back_mm: Film = FILM) -> list[Camera]:
    """Return cameras at random places around the piece of street that `orbit` circles; another clip, other places."""
    random = np.random.default_rng([seed, clip, 4])
    low, high = (0, 34, 37, -0.1), (2 * np.pi, 42, 47, 0.1)
    places = random.uniform(low, high, (num_frames, 4)).tolist()
    return [_above(azimuth, radius, lift, roll, film_back_mm) for azimuth, radius, lift, roll in places]


def _above(azimuth: float, radius: float, high: float, roll: float, film_back_mm: Film) -> Camera:
    origin = (radius * np.sin(azimuth), high, radius * np.cos(azimuth))
    return Camera(look(origin, (0.0, 2.0, 0.0), roll), 26.0, film_back_mm)
