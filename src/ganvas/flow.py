"""Optical flow in pixels: pictures fetched along it, and how it is turned round and chained.

A flow from frame a to frame b, (B, 2, H, W), says for each pixel of a how far to the right (x) and down (y) it is found
in b: `warp(b, flow)` looks like a.
"""

from __future__ import annotations

from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

Sampling = Literal["bilinear", "bicubic"]

AGREEMENT_PX = 0.5
"""An inverted flow counts where going there and back ends this near."""

ROUNDS = 4
"""Fixed-point rounds of an inversion."""


class FlowTeacher(Protocol):
    """Tells the flow from pictures a to pictures b, (B, 3, H, W) in [0, 1] each."""

    def __call__(self, a: Tensor, b: Tensor) -> Tensor: ...


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


# Turned round and chained


def invert(flow: Tensor, is_visible: Tensor) -> tuple[Tensor, Tensor]:
    """Return the flow from b to a, given that from a to b, and where it is known.

    (B, 2, H, W), (B, 1, H, W) -> (B, 2, H, W), (B, 1, H, W)

    Renderers give the motion to the next frame; the generator fetches from the frame before. Pixels of b that a does
    not show have no flow: they are 0 in the second result. Each visible pixel of a is put where it goes, and the
    result is refined until it agrees with the flow at the place that it points to.

    Args:
        flow: from a to b.
        is_visible: 1 where a pixel of a can be seen in b.
    """
    start, landed = _splat(flow, is_visible)
    known, back = landed, start
    for _ in range(ROUNDS):
        back = torch.where(landed > 0, -warp(flow, back), back)
    # Near an edge the flow there is a mixture of two surfaces: the first guess is then the better one.
    wrong = (back + warp(flow, back)).square().sum(1, keepdim=True) > AGREEMENT_PX**2
    strayed = (back - start).square().sum(1, keepdim=True) > 2.0
    back = torch.where(wrong | strayed, start, back)
    return back, known * is_inside(back)


def _splat(flow: Tensor, is_visible: Tensor) -> tuple[Tensor, Tensor]:
    """Return the negative of each visible pixel's flow at the pixel that it comes to lie on, and where one did."""
    batch, _, height, width = flow.shape
    x = torch.arange(width, device=flow.device)
    y = torch.arange(height, device=flow.device)[:, None]
    to_x, to_y = (x + flow[:, 0]).round().long(), (y + flow[:, 1]).round().long()
    lands = (to_x >= 0) & (to_x < width) & (to_y >= 0) & (to_y < height) & (is_visible[:, 0] > 0.5)
    place = (to_y.clamp(0, height - 1) * width + to_x.clamp(0, width - 1)).flatten(1)
    sums = torch.zeros(batch, 3, height * width, dtype=flow.dtype, device=flow.device)
    weights = lands.flatten(1).to(flow.dtype)
    for channel, values in enumerate((-flow[:, 0].flatten(1), -flow[:, 1].flatten(1), torch.ones_like(weights))):
        sums[:, channel].scatter_add_(1, place, values * weights)
    count = sums[:, 2:]
    sums, landed = _filled(sums.reshape(batch, 3, height, width), count.reshape(batch, 1, height, width))
    return sums, landed


def _filled(sums: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Take means, and give holes that rounding left in a surface that grows the mean of their neighbours."""
    mean = sums[:, :2] / count.clamp(min=1)
    landed = (count > 0).to(sums.dtype)
    around = 9 * F.avg_pool2d(landed, 3, 1, 1)
    near = 9 * F.avg_pool2d(mean * landed, 3, 1, 1) / around.clamp(min=1)
    far = 1e6 * (1 - landed)
    spread = F.max_pool2d(mean - far, 3, 1, 1) + F.max_pool2d(-mean - far, 3, 1, 1)
    edged = F.pad(landed, (1, 1, 1, 1))
    across = edged[..., 1:-1, 2:] * edged[..., 1:-1, :-2] + edged[..., 2:, 1:-1] * edged[..., :-2, 1:-1]
    # Between neighbours that move apart there is no hole in a surface but what lies behind two of them.
    is_hole = (landed == 0) & (across > 0) & (spread.amax(1, keepdim=True) < 1)
    return torch.where(is_hole, near, mean), torch.where(is_hole, torch.ones_like(landed), landed)


def chain(first: Tensor, second: Tensor) -> Tensor:
    """Return the flow from a to c, given those from a to b and from b to c: (B, 2, H, W), (B, 2, H, W) -> same."""
    return first + warp(second, first)
