"""Values that no class has: mixtures at the edges of smoothed or resized maps, and what a lossy file made of ids.

They are told from classes by where they are. A class has pixels inside of its regions; a mixture lies between two of
them, and there are many different ones, each rare.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

RARE, AT_EDGES, BETWEEN = 0.05, 0.95, 0.3
"""A mixture has at most this share of all pixels; of its own at least so many lie at an edge, and have a value between
those of two neighbours."""
FEWEST = 8
"""So few rare values may be thin things of their own, such as poles."""


@dataclass
class Census:
    """How many pixels each value has, and how many of them lie beside another value."""

    pixels: Counter[int] = field(default_factory=Counter)
    edges: Counter[int] = field(default_factory=Counter)
    between: Counter[int] = field(default_factory=Counter)
    """Pixels whose value lies between those of their neighbours."""

    def add(self, values: np.ndarray, colored: bool = False) -> None:
        """Count the values of a map, (H, W) integers; codes of colours, where it is `colored`."""
        known, places = np.unique(values, return_inverse=True)
        places = places.reshape(values.shape)
        at_edge = np.zeros(values.shape, bool)
        down, across = values[1:] != values[:-1], values[:, 1:] != values[:, :-1]
        for part, changed in ((np.s_[1:], down), (np.s_[:-1], down), (np.s_[:, 1:], across), (np.s_[:, :-1], across)):
            at_edge[part] |= changed
        # Of a mixture of colours any weighted sum of the channels lies between, too.
        ordered = colors_of(values) @ np.array([1.0, 1.7, 0.3]) if colored else values
        for counter, mask in (
            (self.pixels, np.s_[...]), (self.edges, at_edge), (self.between, _lies_between(ordered)),
        ):  # fmt: skip
            counts = np.bincount(places[mask].ravel(), minlength=len(known))
            counter.update({int(value): int(count) for value, count in zip(known, counts) if count})

    def mixtures(self) -> list[int]:
        """Return the values that are no classes, if there are so many of them that the maps must have been smoothed."""
        total = max(1, sum(self.pixels.values()))
        found = [
            value for value, count in self.pixels.items()
            if count <= RARE * total
            and self.edges[value] >= AT_EDGES * count and self.between[value] >= BETWEEN * count
        ]  # fmt: skip
        return sorted(found) if len(found) > max(FEWEST, 2 * (len(self.pixels) - len(found))) else []


def _lies_between(values: np.ndarray) -> np.ndarray:
    """Tell for each pixel whether its value lies between those of two opposite neighbours, as a mixture's does."""
    found = np.zeros(values.shape, bool)
    for low, middle, high in (
        (values[:-2], np.s_[1:-1], values[2:]), (values[:, :-2], np.s_[:, 1:-1], values[:, 2:]),
    ):  # fmt: skip
        here = values[middle]
        found[middle] |= ((low < here) & (here < high)) | ((low > here) & (here > high))
    return found


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
