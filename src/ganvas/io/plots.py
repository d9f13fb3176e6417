"""Plots as SVG text: small, sharp at any size, and drawn without a plotting package."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

COLOURS = ("#1f6fb4", "#d95f02", "#2a9d54", "#c2257a", "#6a51a3", "#8c6d31", "#00838f", "#b71c1c", "#555555", "#9e9d24")

Curve = tuple[Sequence[float], Sequence[float]]


WIDTH, HEIGHT = 900, 480
LEFT, RIGHT, TOP, BOTTOM = 70, 210, 40, 50
"""Margins around the plot in pixels; the right one holds the legend."""


def curves(series: Mapping[str, Curve], title: str, x_label: str, y_label: str = "") -> str:
    """Return an SVG of curves, name -> (x values, y values), without the points that are not finite.

    The y axis is logarithmic when positive values span over three decades.
    """
    finite = {name: _finite_points(*curve) for name, curve in series.items()}
    finite = {name: points for name, points in finite.items() if points}
    xs = [x for points in finite.values() for x, _ in points] or [0.0, 1.0]
    ys = [y for points in finite.values() for _, y in points] or [0.0, 1.0]
    logarithmic = min(ys) > 0 and max(ys) / min(ys) > 1000
    shaped = math.log10 if logarithmic else float
    x_ticks, y_ticks = ticks(min(xs), max(xs)), ticks(shaped(min(ys)), shaped(max(ys)))

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0])
        up = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = [_text(LEFT, 22, title, size=15)]
    for tick in x_ticks:
        x, y = place(tick, y_ticks[0])
        parts += [_line(f"M{x:.1f} {y:.1f}V{TOP}", "#eee"), _text(x, y + 16, f"{tick:g}", "middle")]
    for tick in y_ticks:
        x, y = place(x_ticks[0], tick)
        label = f"{10**tick:.3g}" if logarithmic else f"{tick:g}"
        parts += [_line(f"M{x:.1f} {y:.1f}H{WIDTH - RIGHT}", "#eee"), _text(x - 6, y + 4, label, "end")]
    for number, (name, points) in enumerate(finite.items()):
        colour = COLOURS[number % len(COLOURS)]
        parts.append(_curve([place(x, shaped(y)) for x, y in points], colour))
        row = TOP + 16 * number + 8
        parts += [_line(f"M{WIDTH - RIGHT + 14} {row - 4}h18", colour, 3), _text(WIDTH - RIGHT + 38, row, name)]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, x_label, "middle"))
    if y_label:
        turned = f"translate(16 {HEIGHT / 2}) rotate(-90)"
        parts.append(f'<text transform="{turned}" text-anchor="middle">{escape(y_label)}</text>')
    box = f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {box} font-size="12">'
    ground = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
    return "\n".join([head, ground, *parts, "</svg>"]) + "\n"


def _finite_points(xs: Sequence[float], ys: Sequence[float]) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in zip(xs, ys) if math.isfinite(x) and math.isfinite(y)]


def _text(x: float, y: float, text: str, anchor: str = "start", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>'


def _line(path: str, colour: str, width: float = 1) -> str:
    return f'<path d="{path}" stroke="{colour}" stroke-width="{width:g}"/>'


def _curve(places: Sequence[tuple[float, float]], colour: str) -> str:
    if len(places) == 1:
        (x, y) = places[0]
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def ticks(low: float, high: float, count: int = 6) -> list[float]:
    """Return round numbers that span a range, at most about `count` of them, at least two."""
    if high - low < 1e-12 * max(1.0, abs(low), abs(high)):
        low, high = low - 0.5 * max(1.0, abs(low)), high + 0.5 * max(1.0, abs(high))
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]
