"""Antialiased bicubic resize of a picture that comes as strips, with the same numbers as resizing it whole."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ganvas.inference.rows.strips import Margins, RowBuffer

CUBIC_REACH = 2.0
"""The cubic kernel is zero from this distance on, in pixels of the coarser of the two grids."""


def margin_for(factor: float) -> int:
    """Return how many input pixels beyond the picture a resize by `factor` (output / input) looks at."""
    return int(np.ceil(CUBIC_REACH / min(1.0, factor))) + 1


def resized(
    strips: Iterator[Tensor],
    size: tuple[int, int],
    target: tuple[int, int],
    margins: Margins = Margins(),  # noqa: B008 - immutable
    strip_px: int = 64,
    begins_at: int = 0,
    first: int = 0,
) -> Iterator[Tensor]:
    """Yield a picture of `size` (height, width) at `target` size: cubic kernel with a = -0.5, widened when shrinking.

    (B, C, h, w) -> (B, C, H, W)

    The picture's edge is mirrored, edge pixels included, as MATLAB's `imresize` does. Pixels that the strips bring
    beyond it (`margins`, not part of `size`) are used in its place and do not appear in the result.

    Args:
        strips: the picture from row `begins_at` on.
        size: of the picture without margins.
        target: of the result.
        margins: pixels beyond the picture.
        strip_px: rows of the strips of the result.
        begins_at: a row, margin counted, not below `first_row_for(first)`.
        first: row of the result to begin with.
    """
    rows, row_weights = _taps(size[0], target[0], margins.top, margins.bottom)
    columns, column_weights = _taps(size[1], target[1], margins.left, margins.right)
    buffer = RowBuffer(_across(strips, columns, column_weights), begins_at)
    first_needed = _first_needed(rows)
    for start in range(first, target[0], strip_px):
        stop = min(target[0], start + strip_px)
        top, last = int(first_needed[start]), int(rows[start:stop].max())
        seen = buffer.take(top, last + 1)
        yield _weighted(seen, rows[start:stop] - top, row_weights[start:stop], axis=2)


def first_row_for(row: int, height: int, target: int, margins: Margins) -> int:
    """Return the first input row, margin counted, that `resized` needs for a row of the result and all below it."""
    return int(_first_needed(_taps(height, target, margins.top, margins.bottom)[0])[row])


def _first_needed(rows: np.ndarray) -> np.ndarray:
    # The mirrored bottom edge looks upwards again, so a row may only go when no later one needs it.
    return np.minimum.accumulate(rows.min(axis=1)[::-1])[::-1]


def _across(strips: Iterator[Tensor], columns: np.ndarray, weights: np.ndarray) -> Iterator[Tensor]:
    for strip in strips:
        yield _weighted(strip, columns, weights, axis=3)


def _weighted(picture: Tensor, indices: np.ndarray, weights: np.ndarray, axis: int) -> Tensor:
    shape = (-1, 1) if axis == 2 else (-1,)
    total: Tensor | None = None
    for tap in range(indices.shape[1]):
        chosen = picture.index_select(axis, torch.from_numpy(indices[:, tap].copy()).to(picture.device))
        term = chosen * torch.from_numpy(weights[:, tap].copy()).to(picture).view(shape)
        total = term if total is None else total.add_(term)
    assert total is not None
    return total


def _cubic(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= CUBIC_REACH, far, 0.0))


def _taps(length: int, target: int, before: int, after: int) -> tuple[np.ndarray, np.ndarray]:
    """Return for each output pixel the input pixels it is made of and their weights: (target, taps) twice."""
    scale = target / length
    stretch = max(1.0, 1 / scale)
    centres = (np.arange(target) + 0.5) / scale - 0.5
    reach = CUBIC_REACH * stretch
    first = np.floor(centres - reach).astype(np.int64)
    taps = first[:, None] + np.arange(int(np.ceil(2 * reach)) + 2)
    weights = _cubic((centres[:, None] - taps) / stretch)
    weights /= weights.sum(axis=1, keepdims=True)
    used = np.any(weights != 0, axis=0)
    whole = before + length + after
    folded = (taps[:, used] + before) % (2 * whole)
    return np.minimum(folded, 2 * whole - 1 - folded), weights[:, used]
