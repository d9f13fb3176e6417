"""How well a picture was enlarged: the scores that the recipes of upres share."""

from __future__ import annotations

from torch import Tensor

from ganvas.data.degrade import resize_bicubic
from ganvas.losses.reconstruction import low_l1
from ganvas.metrics.paired import luma, psnr
from ganvas.metrics.sharpness import laplacian_variance

FINITE_DB = 99.0


def score(made: Tensor, low: Tensor, high: Tensor) -> dict[str, float]:
    """Return what an enlargement is worth; all pictures in [0, 1].

    `psnr_y` in dB and `gain_over_bicubic`; `low_l1_255ths`: L1 after averaging both to the low size, in gray levels;
    `laplacian_ratio`: variance of the Laplacian as a share of the truth's, which is 1 where it is as sharp.

    Args:
        made: (1, 3, H, W).
        low: (1, 3, h, w).
        high: the truth, (1, 3, H, W).
    """
    scale = high.shape[-1] // low.shape[-1]
    truth, ours = luma(high), luma(made.clamp(0, 1))
    bicubic = luma(resize_bicubic(low, size=(high.shape[-2], high.shape[-1])).clamp(0, 1))
    decibels = [min(FINITE_DB, float(psnr(picture, truth, crop_px=scale))) for picture in (ours, bicubic)]
    return {
        "psnr_y": decibels[0],
        "gain_over_bicubic": decibels[0] - decibels[1],
        "low_l1_255ths": 255 * float(low_l1(made.clamp(0, 1), high, (low.shape[-2], low.shape[-1]))),
        "laplacian_ratio": float(laplacian_variance(ours) / laplacian_variance(truth).clamp_min(1e-9)),
    }


def mean(scores: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each score."""
    return {name: sum(found[name] for found in scores) / len(scores) for name in scores[0]}
