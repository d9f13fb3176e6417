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

from ganvas.data import world_scene as scene
from ganvas.data import world_surfaces as surfaces
from ganvas.data.world_render import GROUND, NOTHING, Hits, Snapshot, View, cast, shadows
from ganvas.io import cameras

LEGEND = scene.LEGEND
NUM_LABELS = len(LEGEND)
FRAMES_PER_SECOND = 12.0
Film = tuple[float, float]
FILM: Film = (36.0, 18.0)
"""Width and height of the film in millimetres, for pictures twice as wide as high."""
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
    """(H, W) uint8, ids of `LEGEND`."""
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
    """A street made from a seed."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
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
        view, snapshot = camera.view(width, height), self._snapshot(camera, time)
        pixels, rays = _rays(view, 1)
        hits = cast(snapshot, view, rays, pixels, grid=True)
        points = _points(view, rays, hits)
        label_map, instance_map = _maps(snapshot, hits.part, points)
        later = next_camera or camera
        step = (1 / FRAMES_PER_SECOND) if next_time is None else next_time - time
        flow, occlusion = self._flow(snapshot, hits, points, rays, pixels, later, time, step, (width, height))
        shape = (height, width)
        return Frame(
            picture=self._picture(view, snapshot),
            label_map=label_map.reshape(shape),
            instance_map=instance_map.reshape(shape),
            depth=np.where(hits.part == NOTHING, FAR_M, hits.distance).reshape(shape),
            flow=flow.T.reshape(2, *shape),
            occlusion=occlusion.reshape(shape),
            camera=camera,
        )

    def _snapshot(self, camera: Camera, time: float) -> Snapshot:
        return Snapshot(scene.parts_near(self.seed, float(camera.matrix[2, 3]), time), time)

    def _picture(self, view: View, snapshot: Snapshot) -> np.ndarray:
        pixels, rays = _rays(view, 2)
        hits = cast(snapshot, view, rays, pixels, grid=True)
        points, solid = _points(view, rays, hits), hits.part != NOTHING
        light = np.empty_like(rays)
        light[~solid] = surfaces.sky(rays[~solid], self.sun, self.seed)
        spots, normals = points[solid], hits.normal[solid]
        lit = normals @ self.sun > 0
        dark = np.ones(len(spots), bool)
        # Off the surface by a hair, so that it does not shade itself.
        dark[lit] = shadows(snapshot, spots[lit] + 1e-3 * normals[lit], self.sun)
        steepness = np.maximum(np.abs((rays[solid] * normals).sum(-1)) / np.linalg.norm(rays[solid], axis=1), 0.15)
        pixel_m = hits.distance[solid] / view.focal_px.mean() / np.sqrt(steepness)
        seen = surfaces.colours(snapshot, hits.part[solid], spots, normals, pixel_m, self.sun, dark)
        light[solid] = surfaces.hazy(seen, np.linalg.norm(spots - view.origin, axis=1))
        shown = surfaces.displayed(light).reshape(view.height, 2, view.width, 2, 3).mean((1, 3))
        return np.ascontiguousarray(shown.transpose(2, 0, 1), dtype=np.float32)

    def _flow(
        self,
        snapshot: Snapshot,
        hits: Hits,
        points: np.ndarray,
        rays: np.ndarray,
        pixels: np.ndarray,
        later: Camera,
        time: float,
        step: float,
        size: tuple[int, int],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return where each pixel's point goes in pixels (P, 2), and whether it is hidden there (P,)."""
        view, sky = later.view(*size), hits.part == NOTHING
        speed = np.where(hits.part >= 0, snapshot.speed[np.maximum(hits.part, 0)], 0.0)
        moved = points + speed[:, None] * (0.0, 0.0, step)
        # The sky is infinitely far: only the camera's turning moves it.
        toward = np.where(sky[:, None], rays, moved - view.origin)
        places, depth = view.project(toward)
        inside = (depth > 0) & (places >= 0).all(1) & (places <= size).all(1)
        flow = np.where((depth > 0)[:, None], places - pixels, 0.0)
        occlusion = np.ones(len(pixels), bool)
        if inside.any():
            met = cast(self._snapshot(later, time + step), view, toward[inside], places[inside], grid=False)
            # At 1 the ray has reached the point itself.
            reached = np.where(sky[inside], met.part == NOTHING, met.distance > 1 - 1e-5)
            occlusion[inside] = ~reached
        return flow, occlusion


def _rays(view: View, fineness: int) -> tuple[np.ndarray, np.ndarray]:
    """Return points of the picture (P, 2) in pixels, `fineness` squared in each pixel, and rays (P, 3) through them."""
    x = (np.arange(view.width * fineness) + 0.5) / fineness
    y = (np.arange(view.height * fineness) + 0.5) / fineness
    grid_x, grid_y = (axis.ravel() for axis in np.meshgrid(x, y))
    return np.stack([grid_x, grid_y], -1), view.rays(grid_x, grid_y)


def _points(view: View, rays: np.ndarray, hits: Hits) -> np.ndarray:
    return view.origin + rays * np.where(hits.part == NOTHING, FAR_M, hits.distance)[:, None]


def _maps(snapshot: Snapshot, part: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, z = points[:, 0], points[:, 2]
    ground = np.select(
        [
            (np.abs(x) < scene.ROAD_HALF_M) & surfaces.marking(x, z),
            np.abs(x) < scene.ROAD_HALF_M,
            np.abs(x) < scene.PAVEMENT_HALF_M,
        ],
        [scene.MARKING, scene.ROAD, scene.PAVEMENT],
        scene.GRASS,
    )
    index = np.maximum(part, 0)
    labels = np.where(part == GROUND, ground, np.where(part == NOTHING, scene.SKY, snapshot.label[index]))
    instances = np.where(part >= 0, labels * 1000 + snapshot.number[index], labels)
    return labels.astype(np.uint8), instances.astype(np.uint16)


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
