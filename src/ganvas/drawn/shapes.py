"""A set of pictures with classes that is drawn, not downloaded: six shapes and six textures in random colours.

Shapes are told apart by their outline, textures by what fills the picture: the two kinds that generators find hard and
easy. Place, size, turn, colours and light are random; each picture depends on its class and number alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from ganvas.errors import UserError, did_you_mean
from ganvas.protocol import Source

Field: TypeAlias = np.ndarray
"""A value at each pixel: (S, S)."""

FINER = 2
"""Pictures are drawn this many times larger and averaged down, so that edges are smooth."""


def _disc(x: Field, y: Field) -> Field:
    return 1 - np.hypot(x, y)


def _ring(x: Field, y: Field) -> Field:
    return 0.28 - np.abs(np.hypot(x, y) - 0.72)


def _square(x: Field, y: Field) -> Field:
    return 0.8 - np.maximum(np.abs(x), np.abs(y))


def _triangle(x: Field, y: Field) -> Field:
    sides = [x * np.sin(a) + y * np.cos(a) for a in (0, 2 * np.pi / 3, 4 * np.pi / 3)]
    return 0.5 - np.maximum.reduce(sides)


def _star(x: Field, y: Field) -> Field:
    # The distance to the edge between a tip and a notch, folded into one of ten equal sectors.
    angle = np.abs((np.arctan2(y, x) + np.pi / 5) % (2 * np.pi / 5) - np.pi / 5)
    radius = np.hypot(x, y)
    tip, notch = np.array([1.0, 0.0]), 0.45 * np.array([np.cos(np.pi / 5), np.sin(np.pi / 5)])
    along = notch - tip
    px, py = radius * np.cos(angle) - tip[0], radius * np.sin(angle) - tip[1]
    return -(along[1] * px - along[0] * py) / np.hypot(*along)


def _cross(x: Field, y: Field) -> Field:
    x, y = np.abs(x), np.abs(y)
    return np.maximum(np.minimum(0.28 - x, 0.95 - y), np.minimum(0.28 - y, 0.95 - x))


def _stripes(x: Field, y: Field) -> Field:  # noqa: ARG001 - all fields are called alike
    return np.sin(2 * np.pi * x)


def _checks(x: Field, y: Field) -> Field:
    return np.sin(np.pi * x) * np.sin(np.pi * y)


def _dots(x: Field, y: Field) -> Field:
    return 0.3 - np.hypot(x % 1 - 0.5, y % 1 - 0.5)


def _waves(x: Field, y: Field) -> Field:
    return np.sin(2 * np.pi * (x + 0.35 * np.sin(1.6 * np.pi * y)))


def _bricks(x: Field, y: Field) -> Field:
    shifted = x / 2 + 0.5 * (np.floor(y) % 2)
    return np.minimum(0.44 - np.abs(shifted % 1 - 0.5), (0.42 - np.abs(y % 1 - 0.5)) / 2)


def _circles(x: Field, y: Field) -> Field:
    return np.sin(2 * np.pi * np.hypot(x, y))


SHAPES: dict[str, Callable[[Field, Field], Field]] = {
    "disc": _disc, "ring": _ring, "square": _square, "triangle": _triangle, "star": _star, "cross": _cross,
}  # fmt: skip
"""Positive inside the shape, which has a radius of about 1."""
TEXTURES: dict[str, Callable[[Field, Field], Field]] = {
    "stripes": _stripes, "checks": _checks, "dots": _dots, "waves": _waves, "bricks": _bricks, "circles": _circles,
}  # fmt: skip
"""Positive where the one of two colours is, with a period of about 1."""
CLASSES = (*SHAPES, *TEXTURES)


def draw(name: str, size_px: int, number: int) -> np.ndarray:
    """Return a picture of a class: (S, S, 3) uint8, the same one for the same number.

    Raises:
        UserError: there is no such class.
    """
    if name not in CLASSES:
        raise UserError(f"There is no class {name!r} to draw", do=did_you_mean(name, CLASSES))
    random = np.random.default_rng([CLASSES.index(name), number])
    side = size_px * FINER
    axis = (np.arange(side) + 0.5) / side * 2 - 1
    x, y = np.meshgrid(axis, axis)
    turn = random.uniform(0, 2 * np.pi) if name in TEXTURES else random.uniform(-0.4, 0.4)
    if name in SHAPES:
        scale = random.uniform(0.45, 0.75)
        reach = 0.95 - scale
        x, y = x - random.uniform(-reach, reach), y - random.uniform(-reach, reach)
    else:
        scale = random.uniform(0.4, 0.65)
        x, y = x + random.uniform(-1, 1), y + random.uniform(-1, 1)
    across = (x * np.cos(turn) + y * np.sin(turn)) / scale
    along = (y * np.cos(turn) - x * np.sin(turn)) / scale
    inside = (SHAPES.get(name) or TEXTURES[name])(across, along) > 0
    first, second = _colours(random)
    light = 1 + random.uniform(-0.25, 0.25) * x + random.uniform(-0.25, 0.25) * y
    picture = np.where(inside[..., None], first, second) * light[..., None]
    picture = picture.reshape(size_px, FINER, size_px, FINER, 3).mean((1, 3))
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def _colours(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return two colours of which one is clearly lighter."""
    dark = random.uniform(0.05, 0.45, 3)
    bright = np.clip(dark + random.uniform(0.25, 0.5), 0, 1) * random.uniform(0.85, 1.15, 3)
    pair = (np.clip(bright, 0, 1), dark)
    return pair if random.random() < 0.5 else (pair[1], pair[0])


class Shapes(Source):
    """Drawn pictures of all classes by turns: {"picture": (3, S, S) uint8, "label": () int64}.

    Args:
        size_px: side of the pictures.
        per_class: how many of each class.
        rare: class -> share of `per_class` that is drawn of it, below 1.
        first: number of the first picture of each class; sets with other numbers share no picture.

    Raises:
        UserError: `rare` names no class, or a share is not above 0 and up to 1.
    """

    def __init__(self, size_px: int, per_class: int, rare: Mapping[str, float] | None = None, first: int = 0) -> None:
        self.size_px, self.class_names = size_px, list(CLASSES)
        counts = dict.fromkeys(CLASSES, per_class)
        for name, share in (rare or {}).items():
            if name not in counts:
                raise UserError(f"There is no class {name!r} to make rare", do=did_you_mean(name, CLASSES))
            if not 0 < share <= 1:
                raise UserError(f"The share of {name!r} is {share:g}", do="Give one above 0 and up to 1")
            counts[name] = max(1, round(share * per_class))
        numbers = range(max(counts.values(), default=0))
        self._items = [(label, first + n) for n in numbers for label, name in enumerate(CLASSES) if n < counts[name]]

    def __len__(self) -> int:
        return len(self._items)

    def groups(self) -> list[str]:
        """Return the name of each picture: `star/000012`."""
        return [f"{CLASSES[label]}/{number:06d}" for label, number in self._items]

    def subset(self, indices: Sequence[int]) -> Shapes:
        """Return the source of only these pictures."""
        chosen = Shapes(self.size_px, 0)
        chosen._items = [self._items[index] for index in indices]
        return chosen

    def sample(self, index: int, random: np.random.Generator) -> dict[str, Tensor]:  # noqa: ARG002
        """Return one picture and its class."""
        label, number = self._items[index]
        drawn = torch.from_numpy(draw(CLASSES[label], self.size_px, number)).permute(2, 0, 1)
        return {"picture": drawn, "label": torch.tensor(label)}
