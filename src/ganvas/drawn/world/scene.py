"""What stands in the street of the sample world: houses, trees, lamps, cars and people, made from a seed cell by cell.

The street runs along z, without end. Each cell of it is made from (seed, cell) alone, so that any stretch can be had
without the rest. Everything is put together from convex solids and ellipsoids; movers keep a constant speed along z.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np

from ganvas.io.labels.legends import Label

SKY, ROAD, MARKING, PAVEMENT, GRASS, HOUSE, TREE, LAMP, CAR, PERSON = range(10)
LEGEND = (
    Label(SKY, "sky", (70, 130, 180)),
    Label(ROAD, "road", (128, 64, 128)),
    Label(MARKING, "marking", (220, 220, 220)),
    Label(PAVEMENT, "pavement", (244, 35, 232)),
    Label(GRASS, "grass", (152, 251, 152)),
    Label(HOUSE, "house", (70, 70, 70), thing=True),
    Label(TREE, "tree", (107, 142, 35), thing=True),
    Label(LAMP, "lamp", (250, 170, 30), thing=True),
    Label(CAR, "car", (0, 0, 142), thing=True),
    Label(PERSON, "person", (220, 20, 60), thing=True),
)
ROOFING, WINDOW, DOOR, AWNING, GLASS, TYRE = range(10, 16)
DETAILED = (
    *LEGEND,
    Label(ROOFING, "roof", (150, 60, 40), thing=True),
    Label(WINDOW, "window", (120, 170, 200), thing=True),
    Label(DOOR, "door", (150, 110, 60), thing=True),
    Label(AWNING, "awning", (200, 90, 150), thing=True),
    Label(GLASS, "car window", (100, 150, 255), thing=True),
    Label(TYRE, "wheel", (30, 30, 30), thing=True),
)
"""The same with the parts of houses and cars that have labels of their own; a part's number is its house's or car's."""

FACADE, ROOF, BARK, LEAVES, PAINT, CABIN, WHEEL, METAL, BULB, CLOTH, SKIN = range(11)
"""Materials; `world_surfaces` says how each looks."""

CELL_M = 14.0
TRAFFIC_CELL_M = 36.0
VIEW_M = 190.0
"""How far along the street things are drawn; haze covers what lies beyond."""

ROAD_HALF_M, PAVEMENT_HALF_M = 5.2, 8.6
LANE_SPEED = {1.7: -8.0, -1.7: 9.0}
"""Middle of a lane in x -> speed along z in metres per second. All cars of a lane are equally fast and never meet."""
WALK_SPEED = 1.3

_PLASTER = ((0.72, 0.62, 0.47), (0.66, 0.45, 0.36), (0.60, 0.60, 0.57), (0.70, 0.66, 0.55), (0.45, 0.52, 0.56))
_BRICK = ((0.42, 0.16, 0.10), (0.48, 0.25, 0.15), (0.33, 0.19, 0.15))
_PAINTS = (
    (0.55, 0.03, 0.03), (0.04, 0.10, 0.35), (0.60, 0.60, 0.62), (0.04, 0.04, 0.05), (0.72, 0.70, 0.66),
    (0.05, 0.24, 0.16), (0.62, 0.36, 0.04), (0.18, 0.30, 0.42),
)  # fmt: skip
_CLOTHES = ((0.50, 0.08, 0.08), (0.08, 0.14, 0.40), (0.45, 0.38, 0.10), (0.12, 0.30, 0.14), (0.30, 0.10, 0.30))
Color = tuple[float, float, float]
_HOUSE_RNG, _TREE_RNG, _KERB_RNG, _TRAFFIC_RNG, _WALK_RNG = range(5)


@dataclass(frozen=True, eq=False)
class Part:
    """One solid: convex where it has planes, else an ellipsoid with the half extents as its radii."""

    label: int
    number: int
    """Which one of its class it belongs to."""
    material: int
    centre: tuple[float, float, float]
    half: tuple[float, float, float]
    color: Color
    seed: int
    speed: float = 0.0
    """Along z, in metres per second."""
    planes: np.ndarray | None = field(default=None, repr=False)
    """(n, 4): normal and offset of each about the centre; inside is where normal . p <= offset."""


def _box(half: tuple[float, float, float]) -> np.ndarray:
    eye = np.eye(3)
    return np.concatenate([np.c_[eye, half], np.c_[-eye, half]])


def _tapered(half: tuple[float, float, float], front: float, back: float, side: float) -> np.ndarray:
    """A box whose upper side is shorter: by `front` at -z, by `back` at +z, by `side` at each x, in metres."""
    x, y, z = half
    # Each slanted plane passes through the lower edge and leans inwards by the given length over the height.
    slanted = [
        (1, side / (2 * y), 0, x),
        (-1, side / (2 * y), 0, x),
        (0, back / (2 * y), 1, z),
        (0, front / (2 * y), -1, z),
    ]
    planes = np.array([(0, 1, 0, y), (0, -1, 0, y), *((*n[:3], n[3] - n[1] * y) for n in slanted)], float)
    return planes / np.linalg.norm(planes[:, :3], axis=1, keepdims=True)


def _gable(half: tuple[float, float, float]) -> np.ndarray:
    """A roof with its ridge along z."""
    x, y, z = half
    planes = np.array([(0, -1, 0, y), (0, 0, 1, z), (0, 0, -1, z), (2 * y, x, 0, x * y), (-2 * y, x, 0, x * y)], float)
    return planes / np.linalg.norm(planes[:, :3], axis=1, keepdims=True)


def parts_near(seed: int, z: float, time: float) -> list[Part]:
    """Return everything within the view distance of `z` at a time in seconds, positions as they are at time 0."""
    parts: list[Part] = []
    for cell in _cells(z, CELL_M):
        parts += _standing(seed, cell)
    for lane, speed in LANE_SPEED.items():
        for cell in _cells(z - speed * time, TRAFFIC_CELL_M):
            parts += _traffic(seed, cell, lane)
    for side, speed in ((-1, WALK_SPEED), (1, -WALK_SPEED)):
        for cell in _cells(z - speed * time, CELL_M):
            parts += _walker(seed, cell, side, speed)
    return parts


def _cells(z: float, length: float) -> range:
    return range(int((z - VIEW_M) // length), int((z + VIEW_M) // length) + 1)


def _random(seed: int, cell: int, side: int, purpose: int) -> np.random.Generator:
    # A generator's seed has no sign.
    return np.random.default_rng([seed, cell + (1 << 30), side + 1, purpose])


def _tinted(color: Color, factor: float | np.ndarray) -> Color:
    red, green, blue = (np.array(color) * factor).tolist()
    return red, green, blue


def _number(cell: int, side: int, per_cell: int = 1, which: int = 0) -> int:
    """Number the things of a class; 1000 fit into an instance map, then they start again far down the street."""
    return ((2 * cell + (side > 0)) * per_cell + which) % 1000


@functools.lru_cache(maxsize=512)
def _standing(seed: int, cell: int) -> list[Part]:
    parts: list[Part] = []
    for side in (-1, 1):
        parts += _house(seed, cell, side) + _trees(seed, cell, side) + _kerb(seed, cell, side)
    return parts


def _house(seed: int, cell: int, side: int) -> list[Part]:
    random = _random(seed, cell, side, _HOUSE_RNG)
    if random.random() < 0.24:
        return []
    wide, deep = CELL_M - random.choice([0.0, 0.0, 2.5]), random.uniform(9, 13)
    floors = int(random.integers(2, 7))
    high, z = 3.1 * floors + 1.0, (cell + 0.5) * CELL_M
    brick = random.random() < 0.45
    color = tuple(
        (
            np.array((_BRICK if brick else _PLASTER)[random.integers(3 if brick else 5)]) * random.uniform(0.85, 1.1)
        ).tolist()
    )
    x = side * (PAVEMENT_HALF_M + deep / 2 + random.choice([0.0, 0.0, 1.2]))
    number, own = _number(cell, side), int(random.integers(1 << 30)) * 2 + brick
    half = (deep / 2, high / 2, wide / 2)
    parts = [Part(HOUSE, number, FACADE, (x, high / 2, z), half, color, own, planes=_box(half))]
    if floors < 5 and random.random() < 0.7:
        tall = random.uniform(1.2, 2.0)
        half = (deep / 2 + 0.3, tall, wide / 2)
        tiles = (0.36, 0.13, 0.08) if random.random() < 0.6 else (0.17, 0.17, 0.19)
        parts.append(Part(HOUSE, number, ROOF, (x, high + tall, z), half, tiles, own, planes=_gable(half)))
    return parts


def _trees(seed: int, cell: int, side: int) -> list[Part]:
    random = _random(seed, cell, side, _TREE_RNG)
    parts: list[Part] = []
    for which, (chance, x, near) in enumerate(((0.75, PAVEMENT_HALF_M - 2.5, True), (0.5, PAVEMENT_HALF_M + 5, False))):
        if random.random() > chance or (not near and _house(seed, cell, side)):
            continue
        number = _number(cell, side, 2, which)
        z = (cell + random.uniform(0.2, 0.8)) * CELL_M
        x, own = side * (x + random.uniform(0, 0.5)), int(random.integers(1 << 30))
        trunk = random.uniform(2.4, 3.2)
        green = _tinted((0.13, 0.25, 0.045), random.uniform(0.8, 1.35, 3))
        half = (0.16, trunk / 2 + 0.5, 0.16)
        parts.append(
            Part(TREE, number, BARK, (x, trunk / 2 + 0.4, z), half, (0.16, 0.10, 0.06), own, planes=_box(half))
        )
        size = random.uniform(1.3, 1.8)
        parts += _crown(random, number, (x, trunk, z), size, green, own)
    return parts


def _crown(
    random: np.random.Generator, number: int, foot: tuple[float, float, float], size: float, green: Color, own: int
) -> list[Part]:
    """A ring of leafy balls around a trunk's upper end, and two on top of it."""
    x, y, z = foot
    parts = []
    start = random.uniform(0, 2 * np.pi)
    for turn in range(7):
        angle, ring = start + turn * 2 * np.pi / 5, turn < 5
        spread = size * (random.uniform(0.45, 0.65) if ring else 0.2)
        lift = size * (random.uniform(0.55, 0.95) if ring else random.uniform(1.25, 1.5))
        centre = (x + spread * np.cos(angle), y + lift, z + spread * np.sin(angle))
        wide, high = size * random.uniform(0.5, 0.72), size * random.uniform(0.42, 0.6)
        parts.append(Part(TREE, number, LEAVES, centre, (wide, high, wide), green, own + turn))
    return parts


def _kerb(seed: int, cell: int, side: int) -> list[Part]:
    """A lamp every other cell and perhaps a parked car."""
    random = _random(seed, cell, side, _KERB_RNG)
    parts: list[Part] = []
    if (cell + (side > 0)) % 2 == 0:
        x, z, number = side * (ROAD_HALF_M + 0.5), (cell + 0.02) * CELL_M, _number(cell, side)
        for material, centre, half in (
            (METAL, (x, 3.0, z), (0.07, 3.0, 0.07)),
            (METAL, (x - side * 0.6, 5.95, z), (0.65, 0.05, 0.05)),
            (BULB, (x - side * 1.2, 5.85, z), (0.35, 0.08, 0.14)),
        ):
            color = (0.95, 0.9, 0.75) if material == BULB else (0.10, 0.12, 0.12)
            parts.append(Part(LAMP, number, material, centre, half, color, cell, planes=_box(half)))
    for which in range(2):
        if random.random() < 0.5 and not _crossing(cell, which):
            z = (cell + 0.3 + 0.46 * which + random.uniform(-0.04, 0.04)) * CELL_M
            parts += _car(random, _number(cell, side, 2, which) % 500, side * 4.15, z, -side, 0.0)
    return parts


def _crossing(cell: int, which: int) -> bool:
    return cell % 5 == 0 and which == 0


@functools.lru_cache(maxsize=512)
def _traffic(seed: int, cell: int, lane: float) -> list[Part]:
    random = _random(seed, cell, int(np.sign(lane)), _TRAFFIC_RNG)
    if random.random() < 0.3:
        return []
    z = (cell + random.uniform(0.35, 0.65)) * TRAFFIC_CELL_M
    number = 500 + _number(cell, int(np.sign(lane))) % 500
    return _car(random, number, lane, z, int(np.sign(LANE_SPEED[lane])), LANE_SPEED[lane])


def _car(random: np.random.Generator, number: int, x: float, z: float, heading: int, speed: float) -> list[Part]:
    """Return the parts of a car that looks towards +z or -z (`heading`)."""
    color = _tinted(_PAINTS[random.integers(len(_PAINTS))], random.uniform(0.9, 1.1))
    long, wide, own = (
        random.uniform(2.0, 2.25),
        random.uniform(0.84, 0.9),
        int(random.integers(1 << 29)) * 2 + (heading > 0),
    )
    van = random.random() < 0.2
    body, cabin = (wide, 0.34, long), (wide - 0.06, 0.48 if van else 0.31, long * (0.88 if van else 0.58))
    front, back = (0.75, 0.35) if heading < 0 else (0.35, 0.75)
    shift = heading * (0.12 if van else 0.25)
    parts = [
        Part(CAR, number, PAINT, (x, 0.60, z), body, color, own, speed, _tapered(body, 0.12, 0.12, 0.08)),
        Part(
            CAR,
            number,
            CABIN,
            (x, 0.94 + cabin[1], z - shift),
            cabin,
            color,
            own,
            speed,
            _tapered(cabin, front, back, 0.18),
        ),
    ]
    for right in (-1, 1):
        for end in (-0.62, 0.62):
            centre = (x + right * (wide - 0.10), 0.34, z + end * long)
            parts.append(Part(CAR, number, WHEEL, centre, (0.15, 0.34, 0.34), (0.03, 0.03, 0.03), own, speed))
    return parts


@functools.lru_cache(maxsize=512)
def _walker(seed: int, cell: int, side: int, speed: float) -> list[Part]:
    random = _random(seed, cell, side, _WALK_RNG)
    if random.random() < 0.25:
        return []
    x, z = side * random.uniform(ROAD_HALF_M + 1.6, PAVEMENT_HALF_M - 0.5), (cell + random.uniform(0.1, 0.9)) * CELL_M
    coat, legs = (_CLOTHES[random.integers(len(_CLOTHES))] for _ in range(2))
    number, own = _number(cell, side), int(random.integers(1 << 30))
    dark = (legs[0] * 0.4, legs[1] * 0.4, legs[2] * 0.5)
    return [
        Part(PERSON, number, CLOTH, (x - 0.1, 0.46, z - 0.08), (0.10, 0.48, 0.11), dark, own, speed),
        Part(PERSON, number, CLOTH, (x + 0.1, 0.46, z + 0.08), (0.10, 0.48, 0.11), dark, own, speed),
        Part(PERSON, number, CLOTH, (x, 1.13, z), (0.25, 0.38, 0.17), coat, own, speed),
        Part(PERSON, number, SKIN, (x, 1.62, z), (0.11, 0.14, 0.12), (0.55, 0.36, 0.26), own, speed),
    ]
