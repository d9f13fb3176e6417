"""Flow and mask of frames that are larger than a generator was trained at, found at its own size and enlarged."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.networks.vid2vid.net import Past, Vid2Vid


def factor_of(trained: tuple[int, int] | None, size: tuple[int, int]) -> int:
    """Return how many times a frame (height, width) is as large as those of training; 1 where it is no multiple."""
    if trained is None or any(side % own for side, own in zip(size, trained)):
        return 1
    factors = {side // own for side, own in zip(size, trained)}
    return factors.pop() if len(factors) == 1 else 1


def coarse_moves(
    net: Vid2Vid, labels: Tensor, past: Past, factor: int, boundary_plane: int | None
) -> tuple[Tensor, Tensor]:
    """Return the flow (B, 2, H, W) in pixels and the mask (B, 1, H, W) of a frame, seen so many times smaller.

    Args:
        net: the generator.
        labels: the frame's condition (B, N, H, W).
        past: what came before.
        factor: by what the sides are divided; both are multiples of it.
        boundary_plane: the plane of boundaries, which are thin: a small pixel is one where any of its pixels is.
    """
    stacked = torch.cat([past.labels, labels], dim=1)
    small = stacked[..., ::factor, ::factor].clone()
    if boundary_plane is not None:
        small[:, boundary_plane :: net.channels_label] = F.max_pool2d(
            stacked[:, boundary_plane :: net.channels_label], factor
        )
    frame = net(small, F.avg_pool2d(past.pictures, factor), past.has_previous)
    flow, mask = (
        F.interpolate(part.float(), scale_factor=factor, mode="bilinear") for part in (frame.flow, frame.mask)
    )
    return flow * factor, mask
