"""Plots as SVG text: small, sharp at any size, and drawn without a plotting package."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

COLOURS = ("#1f6fb4", "#d95f02", "#2a9d54", "#c2257a", "#6a51a3", "#8c6d31", "#00838f", "#b71c1c", "#555555", "#9e9d24")

Curve = tuple[Sequence[float], Sequence[float]]


MOST_POINTS = 500
"""A curve of more points is drawn through the means of equal stretches of it."""
LEFT, RIGHT, TOP, BOTTOM = 70, 210, 40, 50
"""Margins in pixels; the legend stands in the right one."""


def curves(
    series: Mapping[str, Curve], title: str, x_label: str, y_label: str = "", width: int = 900, height: int = 480
) -> str:
    """Return an SVG of curves, name -> (x values, y values), without the points that are no numbers.

    The y axis is logarithmic when the values span over three decades.
    """
    drawn = {name: points for name, (xs, ys) in series.items() if (points := thin(_finite(xs, ys)))}
    xs = [x for points in drawn.values() for x, _ in points] or [0.0, 1.0]
    ys = [y for points in drawn.values() for _, y in points] or [0.0, 1.0]
    logarithmic = min(ys) > 0 and max(ys) / min(ys) > 1000
    if logarithmic:
        drawn = {name: [(x, math.log10(y)) for x, y in points] for name, points in drawn.items()}
        ys = [math.log10(y) for y in ys]
    x_ticks, y_ticks = ticks(min(xs), max(xs)), ticks(min(ys), max(ys))

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0])
        up = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return LEFT + across * (width - LEFT - RIGHT), height - BOTTOM - up * (height - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="15">{escape(title)}</text>',
    ]
    for tick in x_ticks:
        x, y = place(tick, y_ticks[0])
        parts.append(f'<path d="M{x:.1f} {y:.1f}V{TOP}" stroke="#eee"/>')
        parts.append(f'<text x="{x:.1f}" y="{y + 16:.1f}" text-anchor="middle">{tick:g}</text>')
    for tick in y_ticks:
        x, y = place(x_ticks[0], tick)
        label = f"{10**tick:.3g}" if logarithmic else f"{tick:g}"
        parts.append(f'<path d="M{x:.1f} {y:.1f}H{width - RIGHT}" stroke="#eee"/>')
        parts.append(f'<text x="{x - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for index, (name, points) in enumerate(drawn.items()):
        colour, y = COLOURS[index % len(COLOURS)], TOP + 16 * index + 8
        parts.append(_line([place(*point) for point in points], colour))
        parts.append(f'<path d="M{width - RIGHT + 14} {y - 4}h18" stroke="{colour}" stroke-width="3"/>')
        parts.append(f'<text x="{width - RIGHT + 38}" y="{y}">{escape(name)}</text>')
    middle = (LEFT + width - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{height - 10}" text-anchor="middle">{escape(x_label)}</text>')
    if y_label:
        turned = f"translate(16 {height / 2}) rotate(-90)"
        parts.append(f'<text transform="{turned}" text-anchor="middle">{escape(y_label)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _finite(xs: Sequence[float], ys: Sequence[float]) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in zip(xs, ys) if math.isfinite(x) and math.isfinite(y)]


def _line(places: Sequence[tuple[float, float]], colour: str) -> str:
    if len(places) == 1:
        return f'<circle cx="{places[0][0]:.1f}" cy="{places[0][1]:.1f}" r="3" fill="{colour}"/>'
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def thin(points: Sequence[tuple[float, float]], most: int = MOST_POINTS) -> list[tuple[float, float]]:
    """Return a curve of at most so many points: the means of equal stretches of a longer one."""
    size = -(-len(points) // most)
    if size <= 1:
        return list(points)
    stretches = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in stretches]


def ticks(low: float, high: float, count: int = 6) -> list[float]:
    """Return round numbers that span a range, at most about `count` of them, at least two."""
    if high - low < 1e-12 * max(1.0, abs(low), abs(high)):
        low, high = low - 0.5 * max(1.0, abs(low)), high + 0.5 * max(1.0, abs(high))
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]
