"""Learned tables of lines of sight: of their directions, and of where they cross planes.

Weights are shared by all places; an entry belongs to one, and so learns it many times sooner. Source: the
multiresolution grids of Müller et al., "Instant Neural Graphics Primitives", 2022, without hashing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS = 4
COARSEST = 16
GAIN = 30.0
"""Entries are stored this much smaller than they are read, so that they learn as much faster than weights do."""
REACH = 0.4
"""Planes of an axis are at first spread evenly over this share of the cameras' distance to either side."""
STEEP = 1e-3
"""Least slope of a line towards a plane that it is taken to cross."""


class _Grids(nn.Module):
    """Grids of entries with `cells` across, half as many, and so on down to 16, read between their cells.

    (tables, N, 2) in [-1, 1] -> (tables * channels, N)
    """

    def __init__(self, cells: int, tables: int) -> None:
        super().__init__()
        sides = [cells // 2**level for level in range(32) if cells // 2**level >= min(cells, COARSEST)]
        self.levels = nn.ParameterList(
            nn.Parameter(torch.empty(tables, CHANNELS, side, side).uniform_(-0.3 / GAIN, 0.3 / GAIN)) for side in sides
        )
        self.channels = CHANNELS * len(sides)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        # Gradients of tables come in torch's default layout: in another, each step would copy them all.
        super()._apply(fn, recurse)
        for level in self.levels:
            level.data = level.data.contiguous()
        return self

    def forward(self, places: Tensor) -> Tensor:
        found = [F.grid_sample(level, places[:, None], align_corners=False) for level in self.levels]
        return GAIN * torch.cat(found, dim=1).flatten(0, 1).flatten(1)


def _appended(lines: Tensor, features: Tensor) -> Tensor:
    """Return lines (B, C, H, W) with features (F, B * H * W) as further channels."""
    batch, _, height, width = lines.shape
    return torch.cat([lines, features.view(-1, batch, height, width).transpose(0, 1).to(lines.dtype)], dim=1)


class RayTable(nn.Module):
    """Append to lines of sight what a learned table holds of their directions, at several resolutions.

    (B, C, H, W) -> (B, C + channels, H, W)

    The first three channels are the directions, of length 1. The table lies over the half sphere before the mean of the
    cameras, seen from afar; behind them its entries are met again, which the other channels tell apart. Where a camera
    stands it does not know.
    """

    facing: Tensor

    def __init__(self, mean: Sequence[float], cells: int) -> None:
        super().__init__()
        self.grids = _Grids(cells, 1)
        self.channels = self.grids.channels
        left, _, right = torch.linalg.svd(torch.tensor(mean[:12], dtype=torch.float64).view(3, 4)[:, :3])
        self.register_buffer("facing", (left @ right).float(), persistent=False)

    def forward(self, lines: Tensor) -> Tensor:
        # Half precision would blend the wrong entries.
        with torch.autocast(lines.device.type, enabled=False):
            seen = torch.einsum("ij,bihw->bhwj", self.facing, lines[:, :3].float())[..., :2]
            return _appended(lines, self.grids(seen.reshape(1, -1, 2)))


class RayPlanes(nn.Module):
    """Append to lines of sight what learned tables hold of the places where they cross some planes.

    (B, C, H, W) -> (B, C + channels, H, W)

    The first six channels are direction and moment. `planes` planes lie across each axis of the world, near the point
    that the cameras look at; where exactly is learned. What lies in such a plane, a ground or a front of houses, has
    the same entries from wherever it is seen. Places far from the centre are drawn together, so that all have entries.

    Args:
        centre: the point that the cameras look at, in the units of the moments.
        cells: across the finest grid of a plane.
        planes: across each axis.
    """

    centre: Tensor

    def __init__(self, centre: Sequence[float], cells: int, planes: int) -> None:
        super().__init__()
        self.planes = planes
        self.grids = _Grids(cells, 3 * planes)
        self.channels = self.grids.channels * 3 * planes
        self.offsets = nn.Parameter(torch.linspace(-REACH, REACH, planes + 2)[1:-1].repeat(3))
        self.register_buffer("centre", torch.tensor(centre, dtype=torch.float32), persistent=False)

    def forward(self, lines: Tensor) -> Tensor:
        with torch.autocast(lines.device.type, enabled=False):
            return _appended(lines, self.grids(self._crossings(lines[:, :6].float())))

    def _crossings(self, lines: Tensor) -> Tensor:
        """Return where lines, (B, 6, H, W), cross each plane, both ways along it: (planes, B * H * W, 2) in (-1, 1)."""
        direction, moment = lines.movedim(1, -1).reshape(-1, 6).split(3, dim=1)
        near = (torch.linalg.cross(direction, moment) - self.centre) / self.centre.norm()
        places = []
        for number, offset in enumerate(self.offsets):
            axis = number // self.planes
            slope = direction[:, axis]
            slope = torch.where(slope < 0, slope.clamp(max=-STEEP), slope.clamp(min=STEEP))
            crossing = near + ((offset - near[:, axis]) / slope)[:, None] * direction
            others = [one for one in range(3) if one != axis]
            places.append(crossing[:, others] / (1 + crossing[:, others].abs()))
        return torch.stack(places)
