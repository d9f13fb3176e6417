"""Edge maps: thin lines where a picture changes, as conditions to make pictures from.

Source: Canny, "A Computational Approach to Edge Detection" (1986). The thresholds are fixed, so that the edges of a
clip do not come and go with what else is in a frame.
"""

from __future__ import annotations

import numpy as np

from ganvas.values import LUMA

SIGMA_PX = 1.4
"""Width of the blur that noise is taken off with."""
LEAST_SLOPE, SURE_SLOPE = 0.02, 0.06
"""Change of gray (0 to 1) a pixel, blurred, of what may be an edge and of what surely is one."""
_AROUND = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]
_ACROSS = ((0, 1), (1, 1), (1, 0), (1, -1))
"""Neighbour in the direction of the slope, by eighths of a turn: right, right and down, down, left and down."""


def edge_map(picture: np.ndarray) -> np.ndarray:
    """Return 255 at edges and 0 elsewhere, uint8: (H, W, 1 or 3) in [0, 1] -> (H, W, 3).

    Edges are one or two pixels thin; weak ones count where they go on from a sure one.
    """
    gray = picture @ np.array(LUMA, np.float32) if picture.shape[-1] == 3 else picture[..., 0]
    gray = _blurred(gray.astype(np.float32))
    right = _cross(gray, np.array([1, 2, 1]) / 4, np.array([-1, 0, 1]) / 2)
    down = _cross(gray, np.array([-1, 0, 1]) / 2, np.array([1, 2, 1]) / 4)
    thin = _thinned(np.hypot(right, down), right, down)
    kept = _connected(thin >= SURE_SLOPE, thin >= LEAST_SLOPE)
    return np.repeat(kept[..., None].astype(np.uint8) * 255, 3, axis=-1)


def _blurred(gray: np.ndarray) -> np.ndarray:
    reach = int(3 * SIGMA_PX + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / SIGMA_PX) ** 2)
    return _cross(gray, weights / weights.sum(), weights / weights.sum())


def _cross(gray: np.ndarray, along_y: np.ndarray, along_x: np.ndarray) -> np.ndarray:
    """Correlate with a product of two lines of weights, the border going on outside."""
    for axis, weights in enumerate((along_y, along_x)):
        reach = len(weights) // 2
        wide = np.pad(gray, [(reach, reach) if axis == side else (0, 0) for side in (0, 1)], mode="edge")
        length = gray.shape[axis]
        parts = [weight * wide.take(range(at, at + length), axis) for at, weight in enumerate(weights) if weight]
        gray = np.asarray(np.sum(parts, axis=0), np.float32)
    return gray


def _thinned(strength: np.ndarray, right: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Keep what is strongest across its own edge."""
    direction = np.rint(np.arctan2(down, right) / (np.pi / 4)).astype(int) % 4
    wide = np.pad(strength, 1)
    height, width = strength.shape
    thin = np.zeros_like(strength)
    for which, (dy, dx) in enumerate(_ACROSS):
        ahead, behind = (wide[1 + s * dy : 1 + s * dy + height, 1 + s * dx : 1 + s * dx + width] for s in (1, -1))
        kept = (direction == which) & (strength >= ahead) & (strength > behind)
        thin[kept] = strength[kept]
    return thin


def _connected(sure: np.ndarray, possible: np.ndarray) -> np.ndarray:
    """Return the sure pixels and the possible ones that hang together with them."""
    kept = np.pad(sure, 1)
    open_px = np.pad(possible & ~sure, 1)
    front = np.argwhere(kept)
    while len(front):
        around = np.concatenate([front + step for step in _AROUND])
        around = around[open_px[around[:, 0], around[:, 1]]]
        front = np.unique(around, axis=0)
        kept[front[:, 0], front[:, 1]] = True
        open_px[front[:, 0], front[:, 1]] = False
    return kept[1:-1, 1:-1]
