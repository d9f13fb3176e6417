"""A confusion matrix as a picture: rows are what was asked for, columns what it was taken for."""

from __future__ import annotations

import html

from ganvas.evaluation.results import Confusion

CELL_PX = 26
MOST_NUMBERS = 24
"""Classes up to which names and numbers are written; beyond it cells are small and speak by their shade."""
SMALL_PX = 4
LABEL_PX = 96
RIGHT, WRONG = (31, 119, 80), (196, 60, 40)
"""Shades of the diagonal and of leakage at a share of 1."""


def svg(matrix: Confusion, title: str) -> str:
    """Return the matrix as SVG, each row in shares of its sum."""
    written = len(matrix.classes) <= MOST_NUMBERS
    cell, margin = (CELL_PX, LABEL_PX) if written else (SMALL_PX, 4)
    side = margin + cell * len(matrix.classes) + 4
    parts = [f"<title>{html.escape(title)}</title>"]
    for row, shares in enumerate(matrix.shares()):
        for column, share in enumerate(shares):
            x, y = margin + column * cell, margin + row * cell
            shade = _shade(share, RIGHT if row == column else WRONG)
            names = f"{matrix.classes[row]} taken for {matrix.classes[column]}: {share:.0%}"
            parts.append(
                f'<rect x="{x}" y="{y}" width="{cell}" height="{cell}" fill="{shade}" stroke="#fff">'
                f"<title>{html.escape(names)}</title></rect>"
            )
            if written and share >= 0.005:
                ink = "#fff" if share > 0.5 else "#222"
                place = f'x="{x + cell / 2}" y="{y + cell / 2 + 4}"'
                parts.append(f'<text {place} text-anchor="middle" fill="{ink}">{100 * share:.0f}</text>')
    if written:
        parts += [_label(name, place, margin, cell) for place, name in enumerate(matrix.classes)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}" width="{side}" height="{side}" '
        f'font-family="sans-serif" font-size="11">{"".join(parts)}</svg>'
    )


def _label(name: str, place: int, margin: int, cell: int) -> str:
    middle = margin + place * cell + cell / 2 + 4
    shown = html.escape(name if len(name) < 15 else f"{name[:13]}…")
    return (
        f'<text x="{margin - 6}" y="{middle}" text-anchor="end">{shown}</text>'
        f'<text transform="translate({middle} {margin - 6}) rotate(-90)">{shown}</text>'
    )


def _shade(share: float, colour: tuple[int, int, int]) -> str:
    # The root lifts small shares: a leak of 4 % is to be seen.
    strength = share**0.5
    mixed = (round(245 + (channel - 245) * strength) for channel in colour)
    return "#" + "".join(f"{channel:02x}" for channel in mixed)
