"""MATLAB's antialiased bicubic `imresize` as a function of tensors: the resize of every super-resolution table."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ganvas.errors import UserError


def resize_bicubic(picture: Tensor, scale: float | None = None, *, size: tuple[int, int] | None = None) -> Tensor:
    """Resize by the cubic kernel (a = -0.5) as MATLAB's `imresize(im2double(picture), scale)` does, differentiably.

    (B, C, H, W) -> (B, C, ceil(H * scale), ceil(W * scale))

    The kernel is widened when shrinking (antialiasing) and the border is mirrored, edge pixels included. The result is
    not clamped. MATLAB given uint8 rounds after each axis; this is its answer for doubles.

    Args:
        scale: output side divided by input side.
        size: (height, width) of the output in pixels; overrules `scale`.

    Raises:
        UserError: neither a scale nor a size is given, or the result would have no pixels.
    """
    height, width = picture.shape[-2:]
    if size is not None:
        plans = [_Axis(side, target, target / side) for side, target in zip((height, width), size)]
    elif scale is not None:
        plans = [_Axis(side, _scaled(side, scale), float(scale)) for side in (height, width)]
    else:
        raise UserError("resize_bicubic takes a scale or a size", "It was given neither")
    if min(plan.target for plan in plans) < 1 or min(height, width) < 1:
        raise UserError(f"A picture of {width} x {height} px cannot be resized to that", "A side would have no pixels")
    rows, columns = (_resize_matrix(plan, picture.dtype, picture.device) for plan in plans)
    # Under autocast a matrix product would silently be done in bfloat16.
    with torch.autocast(picture.device.type, enabled=False):
        if plans[0].scale <= plans[1].scale:
            return (rows @ picture) @ columns.T
        return rows @ (picture @ columns.T)


@dataclass(frozen=True)
class _Axis:
    """How one axis is resized, in pixels; `scale` is not always target / source, because `target` is rounded up."""

    source: int
    target: int
    scale: float


def _scaled(side_px: int, scale: float) -> int:
    # Without the margin, 30 px at a scale of 0.1 (which is a little above a tenth in binary) would become 4 px.
    return math.ceil(side_px * scale - 1e-9 * side_px)


def _cubic(x: np.ndarray) -> np.ndarray:
    # Keys' kernel with a = -0.5 ("Cubic convolution interpolation for digital image processing", 1981).
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


@lru_cache(maxsize=16)
def _resize_matrix(axis: _Axis, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the (target, source) matrix that resizes one axis."""
    shrink = min(axis.scale, 1.0)
    reach = 2.0 / shrink
    centre = (np.arange(axis.target) + 0.5) / axis.scale - 0.5
    num_taps = math.ceil(2 * reach) + 2
    taps = np.floor(centre - reach).astype(np.int64)[:, None] + np.arange(num_taps)
    weights = _cubic((centre[:, None] - taps) * shrink)
    weights /= weights.sum(axis=1, keepdims=True)
    mirrored = taps % (2 * axis.source)
    mirrored = np.where(mirrored < axis.source, mirrored, 2 * axis.source - 1 - mirrored)
    matrix = np.zeros((axis.target, axis.source))
    np.add.at(matrix, (np.arange(axis.target)[:, None], mirrored), weights)
    # A cached tensor born in inference mode could never take part in a gradient later.
    with torch.inference_mode(False):
        return torch.from_numpy(matrix).to(device=device, dtype=dtype)
