"""What a camera's pixels look along: lines through space, with waves of them, as channels of a feature map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.networks.blocks import spectral as normalize_spectrally
from ganvas.networks.matchmove.ray_table import RayPlanes, RayTable

RAY = 6
SLOPE = 0.01
"""Of the leaky ReLUs, as in the post."""


def with_octaves(values: Tensor, octaves: int) -> Tensor:
    """Append sine and cosine of values along axis 1, at `octaves` frequencies that double from 1."""
    waves = [function(2.0**octave * values) for octave in range(octaves) for function in (torch.sin, torch.cos)]
    return torch.cat([values, *waves], dim=1)


class Rays(nn.Module):
    """The line of sight of each pixel of a camera: its direction and its moment about the middle of the cameras.

    (B, 13, 1, 1) -> (B, 6 * (1 + 2 octaves), size_px, size_px)

    Plücker coordinates do not tell where on its line of sight a camera stands, and pixels that see along the same line
    have the same ones, whatever camera they belong to. Moments are in units of the cameras' spread.
    """

    mean: Tensor
    scale: Tensor
    grid: Tensor

    def __init__(
        self,
        mean: Sequence[float],
        deviation: Sequence[float],
        film_back_mm: Sequence[float],
        size_px: int,
        octaves: int,
    ) -> None:
        super().__init__()
        self.octaves = octaves
        place = (torch.arange(size_px, dtype=torch.float32) + 0.5) / size_px - 0.5
        right, down = place * film_back_mm[0], place * film_back_mm[1]
        grid = torch.stack([right.expand(size_px, -1), -down[:, None].expand(-1, size_px)])
        self.register_buffer("grid", grid, persistent=False)
        self.middle, self.spread = (mean[3], mean[7], mean[11]), max(deviation[3], deviation[7], deviation[11])
        self.register_buffer("mean", torch.tensor(self.middle), persistent=False)
        self.register_buffer("scale", torch.tensor(self.spread), persistent=False)

    def measured(self, place: Sequence[float]) -> list[float]:
        """Return a place of the world as moments measure it: from the cameras' middle, in units of their spread."""
        # Numbers, on the processor: a network is also built where tensors have shapes only.
        here = [torch.tensor(values, device="cpu") for values in (place, self.middle, self.spread)]
        return ((here[0] - here[1]) / here[2]).tolist()

    def forward(self, cameras: Tensor) -> Tensor:
        # Half precision would move what a pixel sees by several pixels.
        with torch.autocast(cameras.device.type, enabled=False):
            return self._lines(cameras)

    def _lines(self, cameras: Tensor) -> Tensor:
        rows = cameras.float()[:, :12, 0, 0].unflatten(1, (3, 4))
        focal = cameras.float()[:, 12:]
        plane = torch.cat(
            [
                self.grid.expand(cameras.shape[0], -1, -1, -1) / focal,
                -torch.ones_like(self.grid[None, :1]).expand(cameras.shape[0], -1, -1, -1),
            ],
            1,
        )
        direction = F.normalize(torch.einsum("bij,bjhw->bihw", rows[:, :, :3], plane), dim=1)
        origin = ((rows[:, :, 3] - self.mean) / self.scale)[:, :, None, None].expand_as(direction)
        # Directions span a small part of the sphere: pi makes the first octave fit what a lens sees.
        lines = torch.cat([direction, torch.linalg.cross(origin, direction, dim=1)], dim=1)
        waves = with_octaves(torch.pi * lines, self.octaves)[:, RAY:]
        return torch.cat([lines, waves], dim=1)


def lines_of_sight(
    rays: Rays, tables: Sequence[RayTable | RayPlanes], channels: int, layers: int, spectral: bool
) -> nn.Module:
    """Return rays, what tables hold of them, and an MLP of each pixel's ray, as far as there are such.

    Rays that enter a convolution of 3 x 3 cost nine times as much as here, and are blended before a single bend.
    """
    parts: list[nn.Module] = [rays, *tables]
    known = num_known(rays.octaves, tables)
    for _ in range(layers):
        conv = nn.Conv2d(known, channels, 1)
        nn.init.kaiming_normal_(conv.weight, SLOPE)
        parts += [normalize_spectrally(conv) if spectral else conv, nn.LeakyReLU(SLOPE)]
        known = channels
    return nn.Sequential(*parts) if len(parts) > 1 else rays


def num_known(octaves: int, tables: Sequence[RayTable | RayPlanes]) -> int:
    """Return how many channels rays and their tables have."""
    return RAY * (1 + 2 * octaves) + sum(table.channels for table in tables)
