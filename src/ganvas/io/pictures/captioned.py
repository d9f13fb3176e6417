"""Sheets of pictures that say what they show: names above their columns and beside their rows, small ones enlarged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ganvas.io.pictures.captions import caption

LINE_PX = 18
NAMES_PX = 96
"""Width of the names of rows."""
LEAST_PX = 384
"""Width below which a sheet is enlarged, pixel by pixel."""
MOST_TIMES = 4


def captioned(sheet: np.ndarray, columns: Sequence[str] = (), rows: Sequence[str] = (), repeats: int = 1) -> np.ndarray:
    """Return a sheet (H, W, 3) of uint8, enlarged where it is small, with names above and beside it.

    Args:
        sheet: pictures in a regular grid.
        columns: names of the columns, of equal width, which the sheet has `repeats` times.
        rows: names of the rows, of equal height.
        repeats: how many times the columns lie beside each other.
    """
    times = max(1, min(MOST_TIMES, -(-LEAST_PX // sheet.shape[1])))
    large = sheet.repeat(times, axis=0).repeat(times, axis=1)
    parts = [large]
    if columns:
        edges = np.linspace(0, large.shape[1], len(columns) * repeats + 1).round().astype(int)
        widths = np.diff(edges)
        parts.insert(0, _levels(np.concatenate([
            caption(name, int(width), LINE_PX) for name, width in zip(list(columns) * repeats, widths)
        ], axis=1)))  # fmt: skip
    whole = np.concatenate(parts)
    if rows:
        edges = np.linspace(0, large.shape[0], len(rows) + 1).round().astype(int)
        names = np.zeros((large.shape[0], NAMES_PX, 3), np.uint8)
        for name, top, height in zip(rows, edges, np.diff(edges)):
            line = _levels(caption(name, NAMES_PX, min(LINE_PX, int(height))))
            start = top + (int(height) - line.shape[0]) // 2
            names[start : start + line.shape[0]] = line
        corner = np.zeros((whole.shape[0] - large.shape[0], NAMES_PX, 3), np.uint8)
        whole = np.concatenate([np.concatenate([corner, names]), whole], axis=1)
    return whole


def _levels(picture: np.ndarray) -> np.ndarray:
    return (picture * 255).round().astype(np.uint8)
