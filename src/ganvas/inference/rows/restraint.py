"""What a network may not do to a picture: tint what is gray, or ring around highlights and in alpha.

All look only at the pixels around a place of the input, so tiles stay what the whole picture would be.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.inference.rows.pixels import LogCurve, Range

Run = Callable[[Tensor], Tensor]

REACH_PX = 2
"""Pixels on each side of an input pixel that count as around it."""
GRAY = 1 / 255
"""A deviation from gray up to this is what rounding and JPEG leave of a gray picture."""
STEEPNESS = 8.0
"""How fast the allowed deviation grows beyond that: colour of a sixteenth is free."""
OVERSHOOT = 0.02
"""How far a highlight may go beyond the values around it, as a share of their range."""
ROWS_AT_ONCE = 8
"""Input rows of which a result is restrained at once."""
LEAST_SHARE = 0.5
"""What is left at least of the lowest light around; half of it or more, so light never falls below 0."""
ROUNDS = 4
"""Corrections of the energy that clamping takes or gives."""


def without_tints(run: Run) -> Run:
    """Return a network that leaves gray gray: where the input has no colour around, its result has none.

    The deviation of a result's channels from their mean is limited by the largest one of the input around. Coloured
    places are not touched.
    """

    def restrained(low: Tensor) -> Tensor:
        # Of exactly gray pixels it is exactly 0, which a deviation from a rounded mean would not be.
        around = _largest(low.amax(dim=1, keepdim=True) - low.amin(dim=1, keepdim=True))
        if not bool((around < 1 / STEEPNESS).any()):
            return run(low)
        high = run(low)
        limit = around + STEEPNESS * (around - GRAY).clamp(min=0)
        scale = high.shape[-2] // low.shape[-2]
        result = torch.empty_like(high)
        # By few rows: each step's memory stays in the cache, where fresh memory for whole tiles took longer than a
        # compact network.
        for top in range(0, low.shape[-2], ROWS_AT_ONCE):
            rows = slice(top * scale, (top + ROWS_AT_ONCE) * scale)
            share = limit[:, :, top : top + ROWS_AT_ONCE]
            share = share.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
            mean = high[:, :, rows].mean(dim=1, keepdim=True)
            deviation = high[:, :, rows] - mean
            largest = deviation.abs().amax(dim=1, keepdim=True)
            share = share.div_(largest.clamp_(min=1e-12)).clamp_(max=1)
            torch.add(mean, deviation.mul_(share), out=result[:, :, rows])
        return result

    return restrained


def without_rings(run: Run, curve: LogCurve | Range) -> Run:
    """Return a network on curved light that keeps within the light around each place and keeps its energy.

    A network's overshoot of a few per cent on the curve is many times the light of a highlight, and its undershoot a
    dark or negative ring. Its result is clamped to the light around, and what this and the network changed of the mean
    of each input pixel is given back, smoothly as far as that goes.
    """

    def restrained(low: Tensor) -> Tensor:
        given = curve.undo(low)
        # No network has seen values beyond its range, and some answer them with noise far around.
        seen = low.clamp(0, 1)
        high = curve.undo(run(seen))
        excess = given - curve.undo(seen)
        if bool((excess != 0).any()):
            high = high + F.interpolate(excess, size=high.shape[-2:], mode="nearest")
        size = (high.shape[-2], high.shape[-1])
        lowest, highest = -_largest(-given), _largest(given)
        spread = OVERSHOOT * (highest - lowest)
        floor = lowest - torch.minimum(spread, LEAST_SHARE * lowest.abs())
        ceiling = highest + spread
        wide_floor, wide_ceiling = (F.interpolate(bound, size=size, mode="nearest") for bound in (floor, ceiling))
        scale = size[0] // low.shape[-2]
        for _ in range(ROUNDS):
            high = torch.minimum(torch.maximum(high, wide_floor), wide_ceiling)
            missing = given - F.avg_pool2d(high, scale)
            high = high + F.interpolate(missing, size=size, mode="bilinear", align_corners=False)
        # What is still missing is given to each input pixel's own block, whose detail is lowered to the room there is.
        detail = high - F.interpolate(F.avg_pool2d(high, scale), size=size, mode="nearest")
        above, below = F.max_pool2d(detail, scale), F.max_pool2d(-detail, scale)
        room = torch.minimum((ceiling - given) / above.clamp(min=1e-12), (given - floor) / below.clamp(min=1e-12))
        share = F.interpolate(torch.stack([given, room.clamp(0, 1)]).flatten(0, 1), size=size, mode="nearest")
        base, lowered = share.chunk(2)
        high = base + lowered * detail
        return curve.apply(high)

    return restrained


def calm_alpha(low: Tensor, high: Tensor) -> Tensor:
    """Return results whose alpha, every second picture, stays within the alpha around each place of the input.

    (2B, 3, h, w), (2B, 3, H, W) -> (2B, 3, H, W)

    Networks are trained on photographs; at a soft edge they ring, which shows as a rim around what is cut out.
    """
    given, size = low[1::2], (high.shape[-2], high.shape[-1])
    floor, ceiling = (F.interpolate(bound, size=size, mode="nearest") for bound in (-_largest(-given), _largest(given)))
    calmed = high.clone()
    calmed[1::2] = torch.minimum(torch.maximum(high[1::2], floor.to(high)), ceiling.to(high))
    return calmed


def _largest(planes: Tensor) -> Tensor:
    """Return the largest value around each pixel: (B, C, H, W) -> (B, C, H, W)."""
    side = 2 * REACH_PX + 1
    return F.max_pool2d(F.pad(planes, [REACH_PX] * 4, mode="replicate"), side, stride=1)
