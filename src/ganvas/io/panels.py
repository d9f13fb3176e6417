"""Small plots beside each other as one SVG: each curve on an axis of its own, so that small values can be read, too."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

from ganvas.io.plots import COLOURS, Curve, thin, ticks

WIDTH, HEIGHT, COLUMNS = 300, 190, 3
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 30, 26
"""Margins of a panel in pixels."""


def panels(series: Mapping[str, Curve], title: str, x_label: str) -> str:
    """Return an SVG with a panel for each curve, name -> (x values, y values), without the points that are no numbers.

    A y axis is logarithmic where its values span over three decades. All panels share the x axis.
    """
    drawn = {name: points for name, curve in series.items() if (points := _points(curve))}
    xs = [x for points in drawn.values() for x, _ in points] or [0.0, 1.0]
    x_ticks = ticks(min(xs), max(xs), 4)
    rows = max(1, -(-len(drawn) // COLUMNS))
    width, height = COLUMNS * WIDTH, rows * HEIGHT + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="15">{escape(title)}, by {escape(x_label)}</text>',
    ]
    for index, (name, points) in enumerate(drawn.items()):
        row, column = divmod(index, COLUMNS)
        colour = COLOURS[index % len(COLOURS)]
        panel = _panel(name, points, x_ticks, colour)
        parts.append(f'<g transform="translate({column * WIDTH} {40 + row * HEIGHT})">{panel}</g>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _points(curve: Curve) -> list[tuple[float, float]]:
    return thin([(float(x), float(y)) for x, y in zip(*curve) if math.isfinite(x) and math.isfinite(y)])


def _panel(name: str, points: list[tuple[float, float]], x_ticks: list[float], colour: str) -> str:
    last, ys = points[-1][1], [y for _, y in points]
    logarithmic = min(ys) > 0 and max(ys) / min(ys) > 1000
    if logarithmic:
        points = [(x, math.log10(y)) for x, y in points]
        ys = [y for _, y in points]
    y_ticks = ticks(min(ys), max(ys), 4)

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0])
        up = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = [f'<text x="{LEFT}" y="20" font-weight="bold" fill="{colour}">{escape(name)}  {last:.4g}</text>']
    for tick in y_ticks:
        x, y = place(x_ticks[0], tick)
        label = f"{10**tick:.3g}" if logarithmic else f"{tick:g}"
        parts.append(f'<path d="M{x:.1f} {y:.1f}H{WIDTH - RIGHT}" stroke="#eee"/>')
        parts.append(f'<text x="{x - 4:.1f}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for tick in (x_ticks[0], x_ticks[-1]):
        x, y = place(tick, y_ticks[0])
        parts.append(f'<text x="{x:.1f}" y="{y + 15:.1f}" text-anchor="middle">{tick:g}</text>')
    spots = [place(*point) for point in points]
    if len(spots) == 1:
        parts.append(f'<circle cx="{spots[0][0]:.1f}" cy="{spots[0][1]:.1f}" r="3" fill="{colour}"/>')
    else:
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    return "".join(parts)
