"""Backward warping: pictures fetched from where a flow says that they were."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Sampling = Literal["bilinear", "bicubic"]


def warp(picture: Tensor, flow: Tensor, sampling: Sampling = "bilinear") -> Tensor:
    """Return at each pixel what the picture holds at that place plus the flow, the border going on outside.

    (B, C, H, W), (B, 2, H, W) -> (B, C, H, W)

    The flow is in pixels, x (to the right) before y (down): with the flow from frame b to frame a, `warp(a, flow)`
    looks like b. The corners of the sampling grid are pixel centres (`align_corners=True`), so that a flow of one whole
    pixel fetches the neighbour exactly, at every size.
    """
    height, width = flow.shape[-2:]
    # Half precision cannot count the pixels of a wide picture.
    wide = torch.promote_types(flow.dtype, torch.float32)
    x = torch.arange(width, device=flow.device, dtype=wide)
    y = torch.arange(height, device=flow.device, dtype=wide)[:, None]
    at_x, at_y = x + flow[:, 0].to(wide), y + flow[:, 1].to(wide)
    grid = torch.stack([2 * at_x / max(1, width - 1) - 1, 2 * at_y / max(1, height - 1) - 1], dim=-1)
    fetched = F.grid_sample(picture.to(wide), grid, mode=sampling, padding_mode="border", align_corners=True)
    return fetched.to(picture.dtype)


def is_inside(flow: Tensor) -> Tensor:
    """Return 1 where a flow points into the picture and 0 where it leaves it: (B, 2, H, W) -> (B, 1, H, W)."""
    height, width = flow.shape[-2:]
    at_x = torch.arange(width, device=flow.device) + flow[:, 0]
    at_y = torch.arange(height, device=flow.device)[:, None] + flow[:, 1]
    inside = (at_x >= 0) & (at_x <= width - 1) & (at_y >= 0) & (at_y <= height - 1)
    return inside[:, None].to(flow.dtype)
