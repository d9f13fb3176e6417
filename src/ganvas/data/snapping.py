"""Ids from pictures that a codec has changed: a pixel takes the class whose colour it is near, or the one beside it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ganvas.data.smears import color_codes, colors_of, fill
from ganvas.errors import UserError

NEAR = 28.0
"""Values, over the three channels, by which codecs of usual quality change a plain colour."""
MOST_FAR = 0.5
"""Share of pixels that are near no class, above which the colours are not those of the legend."""
LEAST_GAP = 8
"""Gray values that ids must be apart to be told apart."""
AT_ONCE = 1 << 16
"""Colours that are compared with the classes together."""

Colors = Sequence[tuple[int, tuple[int, int, int]]]
"""A legend's (id, colour)."""


def snap(pixels: np.ndarray, colors: Colors, where: str) -> tuple[np.ndarray, float]:
    """Return the ids of a picture, (H, W) int64, and the share of its pixels that were near no class or a mixture.

    A mixture of two classes may have the colour of a third: a pixel between two others that lies between them in
    colour, too, is taken for one.

    Args:
        pixels: (H, W, 3) of 8 or 16 bits, changed by a codec.
        colors: the classes; gray pictures are taken for ids themselves, unless the colours are gray.
        where: what the picture is called in errors.

    Raises:
        UserError: most of it is near no class, or its gray ids are too close together.
    """
    values = pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)
    ids, table = np.array([number for number, _ in colors]), np.array([color for _, color in colors], np.float32)
    if _is_gray(values, table):
        if np.diff(np.unique(ids)).min(initial=LEAST_GAP) < LEAST_GAP:
            why = "Its codec changes gray values, and the ids of the legend lie too close together to be told apart"
            do = "Write the maps as PNG or FFV1, or in the colours of the legend"
            raise UserError(f"{where} holds no ids", why, do)
        table = np.repeat(ids[:, None], 3, 1).astype(np.float32)
    codes, places = np.unique(color_codes(values), return_inverse=True)
    nearest, distance = np.empty(len(codes), np.int64), np.empty(len(codes), np.float32)
    for start in range(0, len(codes), AT_ONCE):
        part = np.s_[start : start + AT_ONCE]
        apart = np.square(colors_of(codes[part]).astype(np.float32)[:, None] - table[None]).sum(-1)
        nearest[part], distance[part] = apart.argmin(1), np.sqrt(apart.min(1))
    places = places.reshape(values.shape[:2])
    index, is_far = nearest[places], distance[places] > NEAR
    if is_far.mean() > MOST_FAR:
        y, x = (int(place[0]) for place in np.nonzero(is_far))
        why = f"{is_far.mean():.0%} of its pixels are near no colour of the legend, such as {_text(values[y, x])}"
        raise UserError(f"{where} holds other colours than the legend", why, "Name the legend that it was drawn with")
    unsure = is_far | _is_mixture(index, table)
    known = ~unsure if not unsure.all() else ~is_far
    return ids[fill(index, known)].astype(np.int64), float((~known).mean())


def _text(color: np.ndarray) -> str:
    return f"({', '.join(str(int(value)) for value in color)})"


def _is_gray(values: np.ndarray, table: np.ndarray) -> bool:
    """Tell whether a picture is gray, as ids are, where the classes have colours."""
    spread = values.max(-1).astype(int) - values.min(-1)
    return bool((table.max(1) - table.min(1)).max() > NEAR and (spread > NEAR / 2).mean() < 0.001)


def _is_mixture(index: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Tell which pixels stand between two other classes, in the picture and in colour: (H, W) -> (H, W) bool."""
    found = np.zeros(index.shape, bool)
    for reach in (1, 2):
        for before, here, after in (
            (np.s_[: -2 * reach], np.s_[reach:-reach], np.s_[2 * reach :]),
            (np.s_[:, : -2 * reach], np.s_[:, reach:-reach], np.s_[:, 2 * reach :]),
        ):
            one, middle, other = index[before], index[here], index[after]
            apart = (one != other) & (one != middle) & (other != middle)
            if not apart.any():
                continue
            start, stop, between = (table[part[apart]] for part in (one, other, middle))
            way = stop - start
            share = ((between - start) * way).sum(-1) / np.square(way).sum(-1).clip(min=1)
            off = np.sqrt(np.square(between - start - share[:, None] * way).sum(-1))
            found[here][apart] |= (share > 0) & (share < 1) & (off <= NEAR)
    return found
