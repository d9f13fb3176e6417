"""What the recipes of upres share: how low pictures are computed, and how good an enlargement is."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.data.degrade import bicubic as reduced
from ganvas.data.degrade import resize_bicubic
from ganvas.losses.reconstruction import low_l1
from ganvas.metrics.paired import luma, psnr
from ganvas.metrics.sharpness import MINIMUM_PX, compare_sharpness, octave_energies

FINITE_DB = 99.0
CALIBRATED_EVERY = 20
"""Steps between two looks at the gain of detail, where training finds it."""


def score(enlarged: Tensor, low: Tensor, high: Tensor) -> dict[str, float]:
    """Return how good an enlargement is; all pictures in [0, 1].

    `psnr_y` in dB and `gain_over_bicubic`; `low_l1_255ths`: L1 after averaging both to the low size, in gray levels;
    `laplacian_ratio` and `finest_octave`: variance of the Laplacian and energy in the finest octave as shares of the
    truth's, 1 where it is as sharp; `correlation_gain`: by how much its high-pass correlates better with the truth's
    than that of bicubic with an unsharp mask or with noise. Sharp is 0.5 to 1.5 of the first two, and a gain above 0.

    Args:
        enlarged: (1, 3, H, W).
        low: (1, 3, h, w).
        high: the truth, (1, 3, H, W).
    """
    scale, enlarged = high.shape[-1] // low.shape[-1], enlarged.detach().clamp(0, 1)
    truth, ours = luma(high), luma(enlarged)
    bicubic = luma(resize_bicubic(low, size=(high.shape[-2], high.shape[-1])).clamp(0, 1))
    decibels = [min(FINITE_DB, float(psnr(picture, truth, crop_px=scale))) for picture in (ours, bicubic)]
    # The cut border is the scale's, but small pictures must leave something to measure.
    border = min(scale, (min(high.shape[-2:]) - MINIMUM_PX) // 2)
    inner = (slice(border, -border or None),) * 2
    planes = [plane[0, 0][inner] for plane in (ours, truth, bicubic)]
    report = compare_sharpness(planes[0], planes[1], planes[2])
    return {
        "psnr_y": decibels[0],
        "gain_over_bicubic": decibels[0] - decibels[1],
        "low_l1_255ths": 255 * float(low_l1(enlarged, high, (low.shape[-2], low.shape[-1]))),
        "laplacian_ratio": report.result.laplacian_ratio,
        "finest_octave": report.result.octave_ratios[0],
        "correlation_gain": report.result.correlation - max(report.unsharp.correlation, report.noise.correlation),
    }


@torch.no_grad()
def calibrate(net: nn.Module, low: Tensor, high: Tensor) -> None:
    """Let a network learn from a batch in [-1, 1] at which gain of detail its finest octave has the truth's energy."""
    gain: Any = net.gain
    energies = []
    net.eval()
    for trial in gain.TRIALS:
        gain.value.fill_(trial)
        energies.append(_finest(net(low)))
    net.train()
    gain.learn(energies, _finest(high))


def _finest(pictures: Tensor) -> Tensor:
    return octave_energies(luma(pictures.float() * 0.5 + 0.5)[:, 0])[..., 0].mean()


def mean(scores: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each score."""
    return {name: sum(found[name] for found in scores) / len(scores) for name in scores[0]}


def lowered(high: Tensor, scale: int) -> Tensor:
    """Return pictures in [0, 1] shrunk, to 8 bits as files are: (B, 3, scale h, scale w) -> (B, 3, h, w)."""
    return reduced(high, scale) if scale > 1 else high


def with_condition(low: Tensor, condition: Tensor) -> Tensor:
    """Put the conditions behind the low pictures, at their size: (B, 3, h, w), (B, C, H, W) -> (B, 3 + C, h, w)."""
    if not condition.shape[1]:
        return low
    small = F.interpolate(condition, size=(low.shape[-2], low.shape[-1]), mode="nearest-exact")
    return torch.cat([low, small.to(low)], dim=1)


def middle(picture: Tensor, side_px: int, unit_px: int = 1) -> Tensor:
    """Cut the middle out of pictures, by multiples of a unit, so that low and high stay aligned."""
    top, left = (max(0, length - side_px) // (2 * unit_px) * unit_px for length in picture.shape[-2:])
    height, width = (min(side_px, length) // unit_px * unit_px for length in picture.shape[-2:])
    return picture[..., top : top + height, left : left + width]
