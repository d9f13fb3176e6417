"""Plots as SVG text: small, sharp at any size, and drawn without a plotting package."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

COLOURS = ("#1f6fb4", "#d95f02", "#2a9d54", "#c2257a", "#6a51a3", "#8c6d31", "#00838f", "#b71c1c", "#555555", "#9e9d24")

Curve = tuple[Sequence[float], Sequence[float]]


def curves(
    series: Mapping[str, Curve], title: str, x_label: str, y_label: str = "", width: int = 900, height: int = 480
) -> str:
    """Return an SVG of curves, name -> (x values, y values); the y axis is logarithmic when values span over three decades."""
    finite = {
        name: [(float(x), float(y)) for x, y in zip(xs, ys) if math.isfinite(x) and math.isfinite(y)]
        for name, (xs, ys) in series.items()
    }
    finite = {name: points for name, points in finite.items() if points}
    xs = [x for points in finite.values() for x, _ in points] or [0.0, 1.0]
    ys = [y for points in finite.values() for _, y in points] or [0.0, 1.0]
    logarithmic = min(ys) > 0 and max(ys) / min(ys) > 1000
    shape = (lambda y: math.log10(y)) if logarithmic else (lambda y: y)
    x_ticks, y_ticks = ticks(min(xs), max(xs)), ticks(shape(min(ys)), shape(max(ys)))
    left, right, top, bottom = 70, 210, 40, 50

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0])
        up = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return left + across * (width - left - right), height - bottom - up * (height - top - bottom)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{left}" y="22" font-size="15">{escape(title)}</text>',
    ]
    for tick in x_ticks:
        x, y = place(tick, y_ticks[0])
        parts.append(
            f'<path d="M{x:.1f} {y:.1f}V{top}" stroke="#eee"/><text x="{x:.1f}" y="{y + 16:.1f}" text-anchor="middle">{tick:g}</text>'
        )
    for tick in y_ticks:
        x, y = place(x_ticks[0], tick)
        label = f"{10**tick:.3g}" if logarithmic else f"{tick:g}"
        parts.append(
            f'<path d="M{x:.1f} {y:.1f}H{width - right}" stroke="#eee"/><text x="{x - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
        )
    for index, (name, points) in enumerate(finite.items()):
        colour = COLOURS[index % len(COLOURS)]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in (place(x, shape(y)) for x, y in points))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        if len(points) == 1:
            px, py = place(points[0][0], shape(points[0][1]))
            parts.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" fill="{colour}"/>')
        y = top + 16 * index + 8
        parts.append(
            f'<path d="M{width - right + 14} {y - 4}h18" stroke="{colour}" stroke-width="3"/>'
            f'<text x="{width - right + 38}" y="{y}">{escape(name)}</text>'
        )
    parts.append(
        f'<text x="{(left + width - right) / 2}" y="{height - 10}" text-anchor="middle">{escape(x_label)}</text>'
    )
    if y_label:
        parts.append(
            f'<text transform="translate(16 {height / 2}) rotate(-90)" text-anchor="middle">{escape(y_label)}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def ticks(low: float, high: float, count: int = 6) -> list[float]:
    """Return round numbers that span a range, at most about `count` of them, at least two."""
    if high - low < 1e-12 * max(1.0, abs(low), abs(high)):
        low, high = low - 0.5 * max(1.0, abs(low)), high + 0.5 * max(1.0, abs(high))
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]
