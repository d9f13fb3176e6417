"""What a network may not do to a picture: tint what is gray, or ring around highlights and in alpha.

All look only at the pixels around a place of the input, so tiles stay what the whole picture would be.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.inference.rows import tiles
from ganvas.inference.rows.pixels import LogCurve, Range

Run = Callable[[Tensor], Tensor]

REACH_PX = tiles.FINISH_REACH_PX
"""Pixels on each side of an input pixel that count as around it."""
GRAY = 1 / 255
"""A deviation from gray up to this is what rounding and JPEG leave of a gray picture."""
STEEPNESS = 8.0
"""How fast the allowed deviation grows beyond that: colour of a sixteenth is free."""
OVERSHOOT = 0.02
"""How far a highlight may go beyond the values around it, as a share of their range."""
LEAST_SHARE = 0.5
"""What is left at least of the lowest light around; half of it or more, so light never falls below 0."""
ROUNDS = 4
"""Corrections of the energy that clamping takes or gives."""


def restrained(
    run: Run, curve: LogCurve | Range | None, *, tints: bool, alpha: bool
) -> tuple[Run, tiles.Finish | None]:
    """Return a network and what is to be done with its results, tile by tile, where these may not do all they like.

    Args:
        run: the network.
        curve: that its values lie on, so that highlights may not ring.
        tints: whether gray must stay gray.
        alpha: whether every second picture is alpha.
    """
    mends: list[tiles.Finish] = [without_tints] if tints else []
    if curve is not None:
        # What is done in light comes after what is done to values on the curve.
        own = run
        run = without_rings((lambda low: without_tints(low, own(low))) if tints else own, curve)
        mends = []
    if alpha:
        mends.append(calm_alpha)

    def finish(low: Tensor, high: Tensor) -> Tensor:
        for mend in mends:
            high = mend(low, high)
        return high

    return run, finish if mends else None


def without_tints(low: Tensor, high: Tensor) -> Tensor:
    """Return a network's result with gray left gray: where the input has no colour around, it has none.

    (B, 3, h, w), (B, 3, H, W) -> (B, 3, H, W)

    The deviation of a result's channels from their mean is limited by the largest one of the input around. Coloured
    places are not touched.
    """
    red, green, blue = low.split(1, dim=1)
    most, least = torch.maximum(torch.maximum(red, green), blue), torch.minimum(torch.minimum(red, green), blue)
    # Of exactly gray pixels it is exactly 0, which a deviation from a rounded mean would not be.
    around = _largest(most - least)
    if not bool((around < 1 / STEEPNESS).any()):
        return high
    scale = high.shape[-2] // low.shape[-2]
    limit = around + STEEPNESS * (around - GRAY).clamp(min=0)
    limit = limit[:, 0].repeat_interleave(scale, -1)
    share = limit[:, :, None].expand(-1, -1, scale, -1).reshape(-1, *high.shape[2:])
    # torch's own mean and largest of three planes take twice the time.
    red, green, blue = high.unbind(1)
    mean = (red + green).add_(blue).div_(3)[:, None]
    deviation = high - mean
    red, green, blue = deviation.abs().unbind(1)
    largest = torch.maximum(torch.maximum(red, green), blue)
    share = (share / largest.clamp_(min=1e-12)).clamp_(max=1)[:, None]
    return torch.addcmul(mean, deviation, share)


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
    # torch's own max_pool2d takes 20 times as long.
    wide = F.pad(planes, [REACH_PX] * 4, mode="replicate")
    for axis, length in ((2, planes.shape[2]), (3, planes.shape[3])):
        shifted = [wide.narrow(axis, start, length) for start in range(2 * REACH_PX + 1)]
        wide = functools.reduce(torch.maximum, shifted)
    return wide
