"""What holds neighbouring frames together: losses of flows, of warped pictures and of soft masks.

Source: Wang et al., "Video-to-Video Synthesis" (2018), section 3.3 and appendix A. Pictures are in [-1, 1], flows in
pixels. Weighted means divide by all pixels, not by the trusted ones: where little is known, little is asked.
"""

from __future__ import annotations

import torch
from torch import Tensor

TRUSTED = 0.02
"""Largest squared difference, summed over the channels in [-1, 1], of a pixel whose flow is trusted."""


def masked_l1(fake: Tensor, real: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean of weight * |difference| over all pixels.

    (B, C, H, W), (B, C, H, W), (B, 1, H, W) -> ()
    """
    distance = (fake.float() - real.float()).abs()
    return distance.mean() if weight is None else (distance * weight.float()).mean()


def confidence(picture: Tensor, fetched: Tensor) -> Tensor:
    """Return 1 where a picture and one fetched along a flow look alike, so that the flow can be trusted, else 0.

    (B, 3, H, W), (B, 3, H, W) -> (B, 1, H, W)
    """
    return ((picture - fetched).square().sum(1, keepdim=True) < TRUSTED).to(picture.dtype)


def flow_loss(flow: Tensor, target: Tensor, trust: Tensor) -> Tensor:
    """Return how far a flow is from its teacher's, in pixels, where that is trusted.

    (B, 2, H, W), (B, 2, H, W), (B, 1, H, W) -> ()
    """
    return masked_l1(flow, target, trust)


def warp_loss(picture: Tensor, fetched: Tensor, trust: Tensor | None = None) -> Tensor:
    """Return how far pictures are from those fetched from the frame before, where the flow is trusted.

    (B, 3, H, W), (B, 3, H, W), (B, 1, H, W) -> ()
    """
    return masked_l1(picture, fetched, trust)


def mask_loss(mask: Tensor, trust: Tensor) -> Tensor:
    """Return how much is hallucinated where the frame before could be fetched.

    (B, 1, H, W), (B, 1, H, W) -> ()
    """
    return masked_l1(mask, torch.zeros_like(mask), trust)


def end_point_error(flow: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """Return the mean distance of two flows in pixels, over the valid pixels alone where those are given.

    (B, 2, H, W), (B, 2, H, W), (B, 1, H, W) -> ()
    """
    distance = (flow.float() - target.float()).square().sum(1, keepdim=True).sqrt()
    if valid is None:
        return distance.mean()
    return (distance * valid).sum() / valid.sum().clamp(min=1)
