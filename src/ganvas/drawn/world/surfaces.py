"""How things in the sample world look: colours and textures tied to the surfaces, daylight, haze and clouds.

Textures are functions of a point's place on its solid, never of the camera, so that what moves on the screen moves with
the optical flow. Detail finer than a pixel fades into its mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ganvas.drawn.world import scene
from ganvas.drawn.world.render import GROUND, NOTHING, Snapshot

SUN_COLOR = np.array((1.35, 1.18, 0.93))
SKY_LIGHT = np.array((0.36, 0.43, 0.56))
BOUNCE_LIGHT = np.array((0.17, 0.15, 0.12))
HAZE = np.array((0.66, 0.74, 0.82))
ZENITH = np.array((0.14, 0.32, 0.66))
HAZE_LENGTH_M = 240.0


@dataclass(frozen=True, eq=False)
class Spots:
    """Points to be coloured: where in the world and on their solid, their normals, and how wide a pixel is there."""

    world: np.ndarray
    local: np.ndarray
    normal: np.ndarray
    half: np.ndarray
    color: np.ndarray
    seed: np.ndarray
    pixel_m: np.ndarray

    def only(self, chosen: np.ndarray) -> Spots:
        """Return the points that a mask chooses."""
        return Spots(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


def details(
    snapshot: Snapshot, part: np.ndarray, world: np.ndarray, normal: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """Return the labels (P,) with roofs, windows, doors, awnings, car windows and wheels told apart."""
    index, found = np.maximum(part, 0), labels.copy()
    material = np.where(part >= 0, snapshot.material[index], -1)
    for kind, label in ((scene.ROOF, scene.ROOFING), (scene.WHEEL, scene.TYRE)):
        found[material == kind] = label
    for kind in (scene.FACADE, scene.CABIN):
        chosen = np.flatnonzero(material == kind)
        if not len(chosen):
            continue
        at = index[chosen]
        spots = Spots(
            world[chosen], world[chosen] - snapshot.centre[at], normal[chosen], snapshot.half[at], snapshot.color[at],
            snapshot.seed[at], np.zeros(len(at)),
        )  # fmt: skip
        if kind == scene.CABIN:
            found[chosen[~_pillars(spots)]] = scene.GLASS
            continue
        u, v = _unfolded(spots)
        above, below = _upper_windows(spots, u, v), _ground_floor(spots, u, v)
        flat, street = spots.normal[:, 1] > 0.7, v < 3.6
        found[chosen[flat]] = scene.ROOFING
        found[chosen[~flat & (above.pane | above.frame | (street & below.window))]] = scene.WINDOW
        found[chosen[~flat & street & below.door]] = scene.DOOR
        found[chosen[~flat & street & below.awning]] = scene.AWNING
    return found


def colours(
    snapshot: Snapshot,
    part: np.ndarray,
    world: np.ndarray,
    normal: np.ndarray,
    pixel_m: np.ndarray,
    sun: np.ndarray,
    shadow: np.ndarray,
) -> np.ndarray:
    """Return the light (P, 3), linear, that leaves points on the ground or on parts towards the camera."""
    index = np.maximum(part, 0)
    spots = Spots(
        world, world - snapshot.centre[index], normal, snapshot.half[index], snapshot.color[index],
        snapshot.seed[index], pixel_m,
    )  # fmt: skip
    albedo, glow = np.zeros_like(world), np.zeros(len(world))
    material = np.where(part == GROUND, -1, snapshot.material[index])
    for kind in np.unique(material):
        chosen = material == kind
        albedo[chosen] = _TEXTURES[int(kind)](spots.only(chosen))
        glow[chosen] = _GLOW.get(int(kind), 0.0)
    facing = np.clip(normal @ sun, 0, None) * ~shadow
    up = normal[:, 1:2] * 0.5 + 0.5
    light = SUN_COLOR * facing[:, None] + (SKY_LIGHT * up + BOUNCE_LIGHT * (1 - up)) * _closeness(world)[:, None]
    return albedo * np.maximum(light, glow[:, None])


def sky(directions: np.ndarray, sun: np.ndarray, seed: int) -> np.ndarray:
    """Return the light (P, 3), linear, that comes from directions in which there is nothing."""
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    lift = np.clip(unit[:, 1], 0.0, 1)
    color = HAZE + (ZENITH - HAZE) * (1 - np.exp(-3.2 * lift))[:, None]
    glare = np.clip(unit @ sun, 0, 1)
    color = color + 0.25 * (glare**24)[:, None] * SUN_COLOR
    plane = unit[:, ::2] / (lift + 0.12)[:, None] * 1.7
    billows = fractal(plane[:, 0] + 0.3, plane[:, 1], np.full(len(plane), seed), 4)
    cover = _smooth(0.50, 0.72, billows) * _smooth(0.02, 0.2, lift)
    bright = 0.98 - 0.22 * _smooth(0.6, 0.85, billows)
    return color + (bright[:, None] * np.array((1.0, 0.985, 0.97)) - color) * (0.9 * cover)[:, None]


def hazy(light: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Return light after so many metres of air."""
    clear = np.exp(-((distance / HAZE_LENGTH_M) ** 2.2))[:, None]
    return light * clear + HAZE * (1 - clear)


def displayed(light: np.ndarray) -> np.ndarray:
    """Return display values in [0, 1] of linear light: highlights rolled off, a gamma of 2.2, a little contrast."""
    value = np.clip(1 - np.exp(-1.6 * np.clip(light, 0, None)), 0, 1) ** (1 / 2.2)
    return value + 0.45 * (_smooth(0, 1, value) - value)


def noise(x: np.ndarray, y: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """Return smooth noise in [0, 1] with one random value at each whole x, y."""
    column, row = np.floor(x), np.floor(y)
    u, v = x - column, y - row
    u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
    # Through int64 so that negative places wrap around as unsigned ones.
    i, j = column.astype(np.int64).astype(np.uint32), row.astype(np.int64).astype(np.uint32)
    one = np.uint32(1)
    top = chance(i, j, seed) * (1 - u) + chance(i + one, j, seed) * u
    bottom = chance(i, j + one, seed) * (1 - u) + chance(i + one, j + one, seed) * u
    return top * (1 - v) + bottom * v


def fractal(x: np.ndarray, y: np.ndarray, seed: np.ndarray, octaves: int) -> np.ndarray:
    """Return a sum of noises, each twice as fine and half as strong as the one before, in [0, 1]."""
    total, weight = np.zeros(len(x)), 0.0
    for octave in range(octaves):
        scale, strength = 2.0**octave, 0.5**octave
        total += strength * noise(x * scale, y * scale, seed + octave)
        weight += strength
    return total / weight


def chance(i: np.ndarray, j: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """Return for whole numbers a value in [0, 1) that looks random."""
    word = i.astype(np.uint32) * np.uint32(0x9E3779B1) + j.astype(np.uint32) * np.uint32(0x85EBCA77)
    word = word + np.asarray(seed).astype(np.uint32) * np.uint32(0xC2B2AE3D)
    for shift, factor in ((15, 0x2C1B3C6D), (12, 0x297A2D39)):
        word = (word ^ (word >> np.uint32(shift))) * np.uint32(factor)
    return (word ^ (word >> np.uint32(15))) / 2.0**32


def _smooth(low: float, high: float, value: np.ndarray) -> np.ndarray:
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _detail(size_m: float, pixel_m: np.ndarray) -> np.ndarray:
    """Return how much of a detail of this size a pixel still shows: 1 all, 0 only its mean."""
    return np.clip(1.5 - 1.5 * pixel_m / size_m, 0, 1)


def _line(distance: np.ndarray, half_width: float, pixel_m: np.ndarray) -> np.ndarray:
    """Return the share of a pixel that a line covers whose middle is so far away."""
    soft = np.maximum(pixel_m, 1e-3)
    return np.clip((half_width - np.abs(distance)) / soft + 0.5, 0, 1) * np.minimum(1, 2 * half_width / soft)


def _closeness(world: np.ndarray) -> np.ndarray:
    """Return how much of the sky's light reaches a point: less at the foot of walls and low down in the street."""
    wall = np.abs(np.abs(world[:, 0]) - scene.PAVEMENT_HALF_M)
    low = np.clip(1 - world[:, 1] / 2.5, 0, 1)
    return 1 - 0.35 * low * np.exp(-wall / 0.7) - 0.12 * low


def marking(x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return whether paint lies on the road at x, z: edge lines, a dashed middle line, zebra crossings."""
    edge = np.abs(np.abs(x) - 3.1) < 0.07
    middle = (np.abs(x) < 0.09) & (z % 6.0 < 3.0)
    along = z % (5 * scene.CELL_M)
    crossing = (along > 2.6) & (along < 6.2)
    stripes = crossing & (np.abs(x) < 4.6) & ((x + 50) % 1.0 < 0.5)
    return np.where(crossing, stripes, edge | middle)


def _ground(spots: Spots) -> np.ndarray:
    x, z = spots.world[:, 0], spots.world[:, 2]
    side, pixel = np.abs(x), spots.pixel_m
    seed = np.zeros(len(x), np.int64)
    grain = (noise(x * 9, z * 9, seed) - 0.5) * _detail(0.11, pixel)
    stains = fractal(x * 0.35, z * 0.22, seed + 7, 3) - 0.5
    road = (0.105 + 0.03 * grain + 0.06 * stains)[:, None] * np.array((1.0, 1.0, 1.05))
    worn = 0.62 + 0.3 * (fractal(x * 2, z * 2, seed + 3, 2) - 0.5) * _detail(0.5, pixel)
    road = np.where(marking(x, z)[:, None], worn[:, None], road)
    joints = np.maximum(_line((x + 0.5) % 1.0 - 0.5, 0.015, pixel), _line(z % 1.0 - 0.5, 0.015, pixel))
    slab = chance(np.floor(x + 0.5).astype(np.int64), np.floor(z + 0.5).astype(np.int64), seed + 5) - 0.5
    paved = 0.34 + 0.05 * slab * _detail(1.0, pixel) + 0.04 * grain + 0.10 * stains - 0.13 * joints
    paved = np.where(side < scene.ROAD_HALF_M + 0.22, 0.47 + 0.06 * stains, paved)
    pavement = paved[:, None] * np.array((1.04, 1.0, 0.93))
    blades = (noise(x * 5, z * 5, seed + 11) - 0.5) * _detail(0.2, pixel)
    lawn = (0.8 + 0.5 * blades + 0.9 * stains)[:, None] * np.array((0.13, 0.25, 0.055))
    inner = np.where((side < scene.ROAD_HALF_M)[:, None], road, pavement)
    return np.where((side < scene.PAVEMENT_HALF_M)[:, None], inner, lawn)


def _unfolded(spots: Spots) -> tuple[np.ndarray, np.ndarray]:
    """Return horizontal and vertical coordinates in metres on the walls of a solid."""
    along_z = np.abs(spots.normal[:, 0]) > np.abs(spots.normal[:, 2])
    return np.where(along_z, spots.local[:, 2], spots.local[:, 0]), spots.world[:, 1]


WINDOW_HALF_M = 0.82
"""Half the height of a window above the ground floor."""


class _Windows(NamedTuple):
    """Windows above the ground floor: which one a point is nearest to, where from its middle, and what it is there."""

    column: np.ndarray
    row: np.ndarray
    x: np.ndarray
    y: np.ndarray
    pane: np.ndarray
    frame: np.ndarray


def _upper_windows(spots: Spots, u: np.ndarray, v: np.ndarray) -> _Windows:
    top = 2 * spots.half[:, 1]
    pitch = 2.0 + 0.25 * (spots.seed // 2 % 5)
    column, row = np.floor(u / pitch), np.floor((v - 3.6) / 3.1)
    x, y = u - (column + 0.5) * pitch, (v - 3.6) - row * 3.1 - 1.45
    width = 0.27 * pitch
    fits = (
        (np.abs((column + 0.5) * pitch) + width < np.maximum(spots.half[:, 0], spots.half[:, 2]) - 0.25)
        & (row >= 0)
        & (v < top - 0.9)
    )
    above = v >= 3.6
    inside = fits & (np.abs(x) < width) & (np.abs(y) < WINDOW_HALF_M)
    frame = fits & (np.abs(x) < width + 0.13) & (np.abs(y) < WINDOW_HALF_M + 0.13) & ~inside
    return _Windows(column, row, x, y, inside & above, frame & above)


def _facade(spots: Spots) -> np.ndarray:
    u, v = _unfolded(spots)
    pixel, seed, top = spots.pixel_m, spots.seed, 2 * spots.half[:, 1]
    brick = (seed % 2 == 1)[:, None]
    wall = np.where(brick, _bricks(spots, u, v), _plaster(spots, u, v))
    found = _upper_windows(spots, u, v)
    x, y, inside = found.x, found.y, found.pane
    bars = np.maximum(_line(x, 0.035, pixel), _line(y - 0.25, 0.03, pixel))
    pane = _panes(chance(found.column.astype(np.int64), found.row.astype(np.int64), seed), y / WINDOW_HALF_M)
    pane = pane + (0.62 - pane) * (bars * 0.9)[:, None]
    painted = np.array((0.66, 0.64, 0.60)) * np.where(seed % 3 == 0, 0.55, 1.0)[:, None]
    color = np.where(found.frame[:, None], painted, wall)
    color = np.where(inside[:, None], pane, color)
    color = np.where((v < 3.6)[:, None], _shop(spots, u, v, wall), color)
    cornice = (v > top - 0.5) | (np.abs(v - 3.75) < 0.15)
    color = np.where(cornice[:, None], wall * 0.45 + 0.33, color)
    return np.where((spots.normal[:, 1] > 0.7)[:, None], _flat_roof(spots), color)


def _flat_roof(spots: Spots) -> np.ndarray:
    """Gravel within a bright rim, with a few skylights."""
    x, z = spots.local[:, 0], spots.local[:, 2]
    stains = fractal(x * 0.4, z * 0.4, spots.seed, 3) - 0.5
    gravel = (0.19 + 0.14 * stains)[:, None] * np.array((1.06, 1.0, 0.92))
    column, row = np.floor(x / 3.5).astype(np.int64), np.floor(z / 3.5).astype(np.int64)
    window = (np.abs(x % 3.5 - 1.75) < 0.6) & (np.abs(z % 3.5 - 1.75) < 0.8) & (chance(column, row, spots.seed) < 0.3)
    rim = np.minimum(spots.half[:, 0] - np.abs(x), spots.half[:, 2] - np.abs(z)) < 0.35
    color = np.where(window[:, None], np.array((0.25, 0.36, 0.46)), gravel)
    return np.where(rim[:, None], np.array((0.42, 0.40, 0.37)), color)


def _panes(luck: np.ndarray, lift: np.ndarray) -> np.ndarray:
    """Window glass: a dark room that mirrors the sky more towards its top, some with curtains."""
    glass = np.array((0.05, 0.075, 0.10)) + (0.10 + 0.10 * lift)[:, None] * np.array((0.55, 0.75, 1.0))
    curtain = np.array((0.58, 0.52, 0.44)) * (0.75 + 0.25 * lift)[:, None]
    return np.where((luck < 0.25)[:, None], curtain, glass)


def _bricks(spots: Spots, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    row = np.floor(v / 0.16)
    shifted = u / 0.44 + 0.5 * (row % 2)
    luck = chance(np.floor(shifted).astype(np.int64), row.astype(np.int64), spots.seed) - 0.5
    joints = np.maximum(
        _line(v % 0.16 - 0.08, 0.012, spots.pixel_m), _line((shifted % 1.0 - 0.5) * 0.44, 0.012, spots.pixel_m)
    )
    large = fractal(u * 0.5, v * 0.5, spots.seed, 2) - 0.5
    tone = 1 + (0.5 * luck * _detail(0.4, spots.pixel_m) + 0.35 * large)
    return spots.color * tone[:, None] * (1 - joints)[:, None] + 0.38 * joints[:, None]


def _plaster(spots: Spots, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    large = fractal(u * 0.4, v * 0.25, spots.seed, 3) - 0.5
    fine = (noise(u * 8, v * 8, spots.seed) - 0.5) * _detail(0.12, spots.pixel_m)
    return spots.color * (1 + 0.28 * large + 0.08 * fine)[:, None]


class _Shops(NamedTuple):
    """The ground floor's openings: how far a point is from the middle of one, and what it is there."""

    x: np.ndarray
    door: np.ndarray
    window: np.ndarray
    awning: np.ndarray


def _ground_floor(spots: Spots, u: np.ndarray, v: np.ndarray) -> _Shops:
    pitch = 3.2
    column = np.floor(u / pitch)
    x = u - (column + 0.5) * pitch
    luck = chance(column.astype(np.int64), np.zeros(len(u), np.int64), spots.seed + 17)
    inside_wall = np.abs((column + 0.5) * pitch) + 1.3 < np.maximum(spots.half[:, 0], spots.half[:, 2])
    door = (luck < 0.3) & (np.abs(x) < 0.65) & (v < 2.4) & inside_wall
    window = (luck >= 0.3) & (np.abs(x) < 1.3) & (v > 0.7) & (v < 2.6) & inside_wall
    awning = (luck >= 0.3) & (np.abs(x) < 1.45) & (v > 2.65) & (v < 3.25) & inside_wall
    return _Shops(x, door, window, awning)


def _shop(spots: Spots, u: np.ndarray, v: np.ndarray, wall: np.ndarray) -> np.ndarray:
    """The ground floor: plinth, large windows, a door, an awning in the house's own colour."""
    seed, found = spots.seed, _ground_floor(spots, u, v)
    x, door, window, awning = found.x, found.door, found.window, found.awning
    own = np.stack([chance(np.full(len(u), k), np.zeros(len(u), np.int64), seed // 2) for k in range(3)], -1)
    stripes = (x % 0.58 < 0.29)[:, None]
    cloth = np.where(stripes, 0.72, 0.12 + 0.55 * own**2)
    goods = fractal(u * 2.2, v * 2.2, seed + 23, 2)[:, None] * (0.12 + 0.3 * own)
    glass = (
        np.array((0.08, 0.09, 0.10))
        + goods * _smooth(2.4, 0.9, v)[:, None]
        + (0.05 * v)[:, None] * np.array((0.5, 0.7, 1.0))
    )
    color = np.where((v < 0.55)[:, None], wall * 0.55, wall * 0.88)
    color = np.where(window[:, None], glass, color)
    color = np.where(door[:, None], 0.06 + 0.22 * own[:, ::-1], color)
    return np.where(awning[:, None], cloth, color)


def _roof(spots: Spots) -> np.ndarray:
    u, v = spots.local[:, 2], spots.local[:, 0]
    rows = _line(v % 0.4 - 0.2, 0.05, spots.pixel_m)
    luck = chance(np.floor(u / 0.3).astype(np.int64), np.floor(v / 0.4).astype(np.int64), spots.seed) - 0.5
    tone = 1 + 0.35 * luck * _detail(0.35, spots.pixel_m) - 0.35 * rows + 0.3 * (fractal(u, v, spots.seed, 2) - 0.5)
    gable = (np.abs(spots.normal[:, 2]) > 0.7)[:, None]
    return np.where(gable, np.array((0.52, 0.47, 0.40)), spots.color * tone[:, None])


def _bark(spots: Spots) -> np.ndarray:
    u = spots.local[:, 0] + spots.local[:, 2]
    return (
        spots.color
        * (0.7 + 0.6 * noise(u * 25, spots.world[:, 1] * 5, spots.seed) * _detail(0.06, spots.pixel_m))[:, None]
    )


def _leaves(spots: Spots) -> np.ndarray:
    x, y, z = spots.local.T
    clumps = 0.5 * (noise(x * 3 + y, z * 3 - y, spots.seed) + noise(y * 4 + x, z * 2 + 9, spots.seed + 1)) - 0.5
    fine = 0.5 * (noise(x * 11 + y * 5, z * 11, spots.seed) + noise(y * 12, x * 9 + z * 6, spots.seed)) - 0.5
    tone = 1 + 1.5 * clumps * _detail(0.33, spots.pixel_m) + 1.5 * fine * _detail(0.1, spots.pixel_m)
    # The inside of a crown is dark; light leaves sit on top.
    lift = 0.85 + 0.35 * spots.normal[:, 1]
    return spots.color * (np.clip(tone, 0.15, None) * lift)[:, None]


def _paint(spots: Spots) -> np.ndarray:
    x, y, z = spots.local[:, 0], spots.world[:, 1], spots.local[:, 2]
    heading = np.where(spots.seed % 2 == 1, 1.0, -1.0)
    end = np.abs(spots.normal[:, 2]) > 0.7
    front = end & (spots.normal[:, 2] * heading > 0)
    shine = 0.8 + 0.35 * np.clip(spots.normal[:, 1], 0, 1) + 0.10 * np.clip((y - 0.5) / 0.5, 0, 1)
    color = spots.color * shine[:, None] + 0.05
    lamp = end & (np.abs(x) > 0.5) & (np.abs(y - 0.72) < 0.09)
    color = np.where((lamp & front)[:, None], np.array((0.9, 0.9, 0.82)), color)
    color = np.where((lamp & ~front)[:, None], np.array((0.55, 0.02, 0.02)), color)
    plate = end & (np.abs(x) < 0.27) & (np.abs(y - 0.5) < 0.07)
    color = np.where(plate[:, None], 0.75, color)
    grille = front & (np.abs(x) < 0.45) & (np.abs(y - 0.72) < 0.07)
    doors = np.maximum(_line(z - 0.05 * heading, 0.015, spots.pixel_m), _line(np.abs(z) - 1.05, 0.015, spots.pixel_m))
    color = np.where(end[:, None], color, color * (1 - 0.7 * doors)[:, None])
    return np.where((grille | (y < 0.36))[:, None], 0.03, color)


def _pillars(spots: Spots) -> np.ndarray:
    """Tell where a cabin is no glass."""
    y = spots.local[:, 1] / spots.half[:, 1]
    end = np.abs(spots.normal[:, 2]) > np.abs(spots.normal[:, 0])
    across = np.where(end, spots.local[:, 0] / spots.half[:, 0], spots.local[:, 2] / spots.half[:, 2])
    pillars = (np.abs(across) > np.where(end, 0.88, 0.80) - 0.08 * y) | (~end & (np.abs(across) < 0.04))
    return pillars | (spots.normal[:, 1] > 0.95) | (y > 0.8) | (y < -0.9)


def _cabin(spots: Spots) -> np.ndarray:
    y = spots.local[:, 1] / spots.half[:, 1]
    glass = np.array((0.035, 0.05, 0.06)) + (0.10 + 0.08 * y)[:, None] * np.array((0.55, 0.75, 1.0))
    paint = spots.color * (0.8 + 0.35 * np.clip(spots.normal[:, 1:2], 0, 1)) + 0.05
    return np.where(_pillars(spots)[:, None], paint, glass)


def _wheel(spots: Spots) -> np.ndarray:
    radius = np.hypot(spots.local[:, 1], spots.local[:, 2])
    return np.where((radius < 0.2)[:, None], np.array((0.38, 0.38, 0.40)), spots.color)


def _plain(spots: Spots) -> np.ndarray:
    return spots.color


_TEXTURES = {
    -1: _ground, scene.FACADE: _facade, scene.ROOF: _roof, scene.BARK: _bark, scene.LEAVES: _leaves,
    scene.PAINT: _paint, scene.CABIN: _cabin, scene.WHEEL: _wheel, scene.METAL: _plain, scene.BULB: _plain,
    scene.CLOTH: _plain, scene.SKIN: _plain,
}  # fmt: skip
_GLOW = {scene.BULB: 0.9}
"""Light that a material gives off by itself."""

__all__ = ["NOTHING", "colours", "displayed", "hazy", "marking", "sky"]
