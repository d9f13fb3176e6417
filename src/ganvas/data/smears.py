"""Values that no class has: mixtures at the edges of smoothed or resized maps, and what a lossy file made of ids.

They are told from classes by where they are. A class has pixels inside of its regions; a mixture lies between two of
them, and there are many different ones, each rare.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

RARE, AT_EDGES = 0.05, 0.95
"""A mixture has at most this share of all pixels, and at least this share of its own lie at an edge."""
OUTSTANDING, OFF_LINE = 3.0, 12.0
"""A thin thing's value is so many times as frequent as mixtures are, and so far from the line between two others."""
FEWEST = 8
"""So few rare values may be thin things of their own, such as poles."""


@dataclass
class Census:
    """How many pixels each value has, and how many of them lie beside another value."""

    pixels: Counter[int] = field(default_factory=Counter)
    edges: Counter[int] = field(default_factory=Counter)

    def add(self, values: np.ndarray) -> None:
        """Count the values of a map, (H, W) integers."""
        known, places = np.unique(values, return_inverse=True)
        places = places.reshape(values.shape)
        at_edge = np.zeros(values.shape, bool)
        down, across = values[1:] != values[:-1], values[:, 1:] != values[:, :-1]
        for part, changed in ((np.s_[1:], down), (np.s_[:-1], down), (np.s_[:, 1:], across), (np.s_[:, :-1], across)):
            at_edge[part] |= changed
        for counter, mask in ((self.pixels, np.s_[...]), (self.edges, at_edge)):
            counts = np.bincount(places[mask].ravel(), minlength=len(known))
            counter.update({int(value): int(count) for value, count in zip(known, counts) if count})

    def mixtures(self, colored: bool = False) -> list[int]:
        """Return the values that are no classes, if there are so many of them that the maps must have been smoothed.

        Args:
            colored: the values are codes of colours, of which a mixture lies between two.
        """
        total = max(1, sum(self.pixels.values()))
        rare = {
            value: count for value, count in self.pixels.most_common()
            if count <= RARE * total and self.edges[value] >= AT_EDGES * count
        }  # fmt: skip
        main = [value for value in self.pixels if value not in rare]
        often = OUTSTANDING * float(np.median(list(rare.values()))) if rare else 0.0
        large = list(main)
        for value, count in list(rare.items()):
            # A thin thing has a value of its own, which is none between those of others. Three colours that meet make
            # such, too, but seldom.
            if (count > often or not colored) and not _is_between(value, main if colored else large, colored):
                main.append(value)
                del rare[value]
        return sorted(rare) if len(rare) > max(FEWEST, 2 * len(main)) else []


def _is_between(value: int, others: list[int], colored: bool) -> bool:
    """Tell whether a value lies between two others: on the line that joins two colours, or among numbers."""
    points = _points(np.array(others, np.int64), colored)
    point = _points(np.array([value], np.int64), colored)[0]
    for number, start in enumerate(points):
        along = points[number + 1 :] - start
        length = np.square(along).sum(-1).clip(min=1e-9)
        share = ((point - start) @ along.T / length).clip(0, 1)
        if (np.abs(start + share[:, None] * along - point).max(-1) < OFF_LINE).any():
            return True
    return False


def _points(values: np.ndarray, colored: bool) -> np.ndarray:
    return colors_of(values).astype(np.float64) if colored else values[:, None].astype(np.float64)


def color_codes(pixels: np.ndarray) -> np.ndarray:
    """Return one integer for each colour: (H, W, 3) uint8 -> (H, W) int64."""
    return pixels[..., :3].astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])


def colors_of(codes: np.ndarray) -> np.ndarray:
    """Return the colours of codes: (...) -> (..., 3) uint8."""
    return np.stack([codes >> 16 & 255, codes >> 8 & 255, codes & 255], -1).astype(np.uint8)


def fill(ids: np.ndarray, is_known: np.ndarray) -> np.ndarray:
    """Return ids whose unknown pixels have that of the nearest known one, in steps to the four neighbours.

    (H, W), (H, W) bool -> (H, W)
    """
    ids, known = ids.copy(), is_known.copy()
    while not known.all() and known.any():
        before = known.copy()
        for here, there in (
            (np.s_[1:], np.s_[:-1]), (np.s_[:-1], np.s_[1:]), (np.s_[:, 1:], np.s_[:, :-1]),
            (np.s_[:, :-1], np.s_[:, 1:]),
        ):  # fmt: skip
            reached = ~known[here] & before[there]
            ids[here][reached] = ids[there][reached]
            known[here] |= reached
    return ids
