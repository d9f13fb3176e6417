"""A learned table of directions: what lies where about a camera, each place with entries of its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS = 4
COARSEST = 16
GAIN = 30.0
"""Entries are stored this much smaller than they are read, so that they learn as much faster than weights do."""


class RayTable(nn.Module):
    """Append to lines of sight what a learned table holds of their directions, at several resolutions.

    (B, C, H, W) -> (B, C + 4 levels, H, W)

    The first three channels are the directions, of length 1. The table lies over the half sphere before the mean of the
    cameras, seen from afar, with `cells` across, half as many, and so on down to 16; behind them its entries are met
    again, which the other channels tell apart. Weights are shared by all places; an entry belongs to one, and so learns
    it many times sooner. It knows nothing of where a camera stands: that is left to what comes after it.
    Source: the multiresolution grids of Müller et al., "Instant Neural Graphics Primitives", 2022, without hashing.
    """

    facing: Tensor

    def __init__(self, mean: Sequence[float], cells: int) -> None:
        super().__init__()
        sides = [cells // 2**level for level in range(32) if cells // 2**level >= min(cells, COARSEST)]
        self.levels = nn.ParameterList(
            nn.Parameter(torch.empty(1, CHANNELS, side, side).uniform_(-0.3 / GAIN, 0.3 / GAIN)) for side in sides
        )
        self.channels = CHANNELS * len(sides)
        left, _, right = torch.linalg.svd(torch.tensor(mean[:12], dtype=torch.float64).view(3, 4)[:, :3])
        self.register_buffer("facing", (left @ right).float(), persistent=False)

    def forward(self, lines: Tensor) -> Tensor:
        # Half precision would blend the wrong entries.
        with torch.autocast(lines.device.type, enabled=False):
            seen = torch.einsum("ij,bihw->bhwj", self.facing, lines[:, :3].float())[..., :2]
            places = seen.flatten(0, 1)[None]
            found = torch.cat([F.grid_sample(level, places, align_corners=False) for level in self.levels], dim=1)
            batch, _, height, width = lines.shape
            features = GAIN * found.view(self.channels, batch, height, width).transpose(0, 1)
        return torch.cat([lines, features.to(lines.dtype)], dim=1)
