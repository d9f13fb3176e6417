"""What the values of pixels mean: the ranges that networks take, and luma."""

from __future__ import annotations

import torch
from torch import Tensor

SIGNED = (-1.0, 1.0)
"""The range of most generators."""
LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G and B (BT.601)."""


def to_range(picture: Tensor, span: tuple[float, float] = SIGNED) -> Tensor:
    """Bring a picture in [0, 1], or of bytes, to the range that a network takes."""
    low, high = span
    if picture.dtype == torch.uint8:
        return picture.float() * ((high - low) / 255) + low
    return picture * (high - low) + low


def to_unit(values: Tensor, span: tuple[float, float] = SIGNED) -> Tensor:
    """Bring a network's values to [0, 1], where what lies outside its range is not clamped."""
    low, high = span
    return (values - low) / (high - low)


def gray(picture: Tensor) -> Tensor:
    """Return the luma of pictures, from 0 for black to 1 for white: (B, 3, H, W) -> (B, 1, H, W)."""
    return (picture * picture.new_tensor(LUMA)[:, None, None]).sum(-3, keepdim=True)
