"""A picture as strips: (B, C, rows, width) tensors from top to bottom, so that no stage ever holds it whole.

Every stage of inference (padding, network, resize, crop) takes an iterator of strips, of any heights, and gives one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from ganvas.inference.options import Border

Read: TypeAlias = Callable[[int, int], Tensor]
"""Rows `start` to `stop` of a picture as (B, C, stop - start, width)."""


class Margins(NamedTuple):
    """Pixels added to (or cut from) the four sides."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def times(self, factor: int) -> Margins:
        """Return the same margins after enlargement."""
        return Margins(*(side * factor for side in self))


class RowBuffer:
    """Random access to a sliding window of rows of an iterator of strips; rows above the window are forgotten."""

    def __init__(self, strips: Iterator[Tensor], begins_at: int = 0) -> None:
        """Take strips of which the first begins at a row of the picture."""
        self._strips = strips
        self._rows: Tensor | None = None
        self._start = begins_at

    def take(self, start: int, stop: int) -> Tensor:
        """Return rows `start` to `stop` and forget those above `start`, which must never decrease.

        Raises:
            ValueError: the strips end before `stop`, or rows already forgotten are asked for.
        """
        if start < self._start:
            raise ValueError(f"row {start} was asked for after the buffer had moved on to {self._start}")
        held = self._forget(start)
        parts = [held] if held is not None else []
        stands_at = self._start + (held.shape[2] if held is not None else 0)
        while stands_at < stop:
            strip = next(self._strips, None)
            if strip is None:
                raise ValueError(f"the picture ended at row {stands_at}, before row {stop}")
            skipped = max(0, min(start - stands_at, strip.shape[2]))
            stands_at += strip.shape[2]
            if skipped < strip.shape[2]:
                parts.append(strip[:, :, skipped:])
        self._rows = parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
        self._start = stands_at - self._rows.shape[2]
        return self._rows[:, :, start - self._start : stop - self._start]

    def _forget(self, start: int) -> Tensor | None:
        if self._rows is None:
            return None
        drop = min(start - self._start, self._rows.shape[2])
        self._start += drop
        # A view would keep the forgotten rows in memory.
        self._rows = self._rows[:, :, drop:].clone() if drop else self._rows
        return self._rows if self._rows.shape[2] else None


def beyond(positions: Tensor, length: int, border: Border) -> Tensor:
    """Return the index inside a picture of `length` that stands for each position, which may lie outside it."""
    if border == "wrap":
        return positions % length
    if length == 1:
        return torch.zeros_like(positions)
    folded = positions.abs() % (2 * (length - 1))
    return torch.minimum(folded, 2 * (length - 1) - folded)


def padded(
    read: Read, height: int, width: int, margins: Margins, border: Border, strip_px: int = 64, first: int = 0
) -> Iterator[Tensor]:
    """Yield a picture with margins taken from itself: mirrored without repeating the edge, or from the opposite side.

    Rows are read once and forward, apart from those that the top and bottom margins need. `first` is the first row that
    is wanted, the margin counted.
    """
    columns = beyond(torch.arange(-margins.left, width + margins.right), width, border)

    def widen(rows: Tensor) -> Tensor:
        return rows if margins.left == margins.right == 0 else rows[..., columns]

    def outside(start: int, stop: int) -> Tensor:
        rows = beyond(torch.arange(start, stop), height, border)
        first = int(rows.min())
        return widen(read(first, int(rows.max()) + 1)[:, :, rows - first])

    if first < margins.top:
        yield outside(first - margins.top, 0)
    for start in range(max(0, first - margins.top), height, strip_px):
        yield widen(read(start, min(height, start + strip_px)))
    if margins.bottom:
        yield outside(max(height, first - margins.top), height + margins.bottom)


def cropped(
    strips: Iterator[Tensor], height: int, width: int, margins: Margins, begins_at: int = 0, first: int = 0
) -> Iterator[Tensor]:
    """Yield a padded picture of `height` x `width` (margins included) without its margins, from row `first` on.

    `begins_at` is the row of the padded picture with which the strips begin.
    """
    stands_at = begins_at
    for strip in strips:
        start = max(0, margins.top + first - stands_at)
        stop = min(strip.shape[2], height - margins.bottom - stands_at)
        stands_at += strip.shape[2]
        if start < stop:
            yield strip[:, :, start:stop, margins.left : width - margins.right]
