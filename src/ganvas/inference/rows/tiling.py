"""How a picture is cut into tiles: their sides, what they share, and what of each is kept."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from ganvas.errors import UserError

LEAST_ADVANCE_PX = 8
"""A tile must bring at least this many pixels that its neighbour does not have."""

GREATEST_SIDES_PX = {"cpu": (768, 768), "cuda": (512, 1024)}
"""Height and width beyond which tiles are hardly faster. On a CPU a pixel costs the same in a tile of any size; with
the widest halo of the bundled networks, 21 px, a large picture of such tiles computes 12 % twice."""

LARGEST_TILE_BYTES = 1 << 30
LARGEST_BAND_BYTES = 256 << 20
"""Of a row of tiles, all across a picture: what they see and what is made of it."""


def round_up(value: int, unit: int) -> int:
    """Return the smallest multiple of `unit` that is not below `value`."""
    return -(-value // unit) * unit


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """How a picture is cut; all lengths in input pixels.

    Raises:
        UserError: the tile has no room for its halo and overlap.
    """

    height_px: int = 512
    """Height of a tile, context included: also the height of a band, hence what bounds memory."""
    width_px: int = 512
    """Greatest width of a tile, context included; all tiles of a picture are equally wide."""
    halo_px: int = 16
    """Context on each side that touches another tile."""
    overlap_px: int = 8
    """Width of the cross-fade between neighbours."""
    batch: int = 1
    """Tiles in one call of the network."""
    multiple_of: int = 1
    """Tiles start and end at multiples of this, as networks with a pixel-unshuffle need."""

    def __post_init__(self) -> None:
        if self.halo_px < 0 or self.overlap_px < 0 or self.batch < 1 or self.multiple_of < 1:
            raise UserError("The tiling is impossible", f"{self} has a negative length", "Use lengths of 0 or more")
        if min(self.height_px, self.width_px) < self.smallest_px:
            raise UserError(
                f"Tiles of {min(self.height_px, self.width_px)} px are too small",
                f"A halo of {self.halo_px} px and an overlap of {self.overlap_px} px need {self.smallest_px} px",
                "Use larger tiles or a smaller halo",
            )

    @property
    def shared_px(self) -> int:
        """Pixels that two neighbouring tiles have in common, at least."""
        return round_up(2 * self.halo_px + self.overlap_px, self.multiple_of)

    @property
    def smallest_px(self) -> int:
        """Least side of a tile, so that a cross-fade never meets the next one."""
        return round_up(
            self.shared_px + 2 * self.overlap_px + max(LEAST_ADVANCE_PX, 6 * self.multiple_of), self.multiple_of
        )


class Span(NamedTuple):
    """A tile along one axis: what the network sees, what is kept, and how much of that is cross-faded at each end."""

    start: int
    stop: int
    keep_start: int
    keep_stop: int
    fade_in: int
    fade_out: int


def cut_evenly(length: int, tile_px: int, tiling: Tiling) -> list[Span]:
    """Return the fewest equally long tiles, none above `tile_px`, that cover an axis: a row of tiles."""
    unit, shared = tiling.multiple_of, tiling.shared_px
    largest = max(tile_px // unit * unit, tiling.smallest_px)
    if length <= largest:
        return [Span(0, length, 0, length, 0, 0)]
    count = -(-(length - shared) // (largest - shared))
    side = round_up(-(-(length + (count - 1) * shared) // count), unit)
    starts = [i * (length - side) // unit // (count - 1) * unit for i in range(count)]
    return _with_seams([(start, start + side) for start in starts], tiling)


def cut_into_bands(length: int, tile_px: int, tiling: Tiling) -> list[Span]:
    """Return tiles of exactly `tile_px` and one for the rest: a column of tiles.

    It costs the same arithmetic as even tiles, and the height of a band, hence peak memory, does not depend on the
    height of the picture.
    """
    unit, shared = tiling.multiple_of, tiling.shared_px
    side = max(tile_px // unit * unit, tiling.smallest_px)
    starts = range(0, max(1, length - shared), side - shared)
    return _with_seams([(start, min(length, start + side)) for start in starts], tiling)


def _with_seams(windows: Sequence[tuple[int, int]], tiling: Tiling) -> list[Span]:
    # The cross-fade lies in the middle of what two tiles share, so each has at least the halo beyond it.
    fades = [start + (stop - start - tiling.overlap_px) // 2 for (_, stop), (start, _) in itertools.pairwise(windows)]
    last = len(windows) - 1
    return [
        Span(
            start,
            stop,
            fades[i - 1] if i else start,
            fades[i] + tiling.overlap_px if i < last else stop,
            tiling.overlap_px if i else 0,
            tiling.overlap_px if i < last else 0,
        )
        for i, (start, stop) in enumerate(windows)
    ]


def fit_tiling(
    tiling: Tiling,
    *,
    width: int,
    scale: int,
    bytes_per_px: float,
    free_bytes: int,
    device: torch.device,
    bytes_per_value: int = 8,
) -> Tiling:
    """Return the largest tiling that memory allows for a picture of `width`, up to where larger is no faster.

    `bytes_per_px` is what the network holds at its peak per input pixel; it may use a third of the free memory.
    `bytes_per_value` is what a band of results holds: by default float32, and once more while it is written.
    """
    smallest, unit = tiling.smallest_px, tiling.multiple_of
    greatest = GREATEST_SIDES_PX.get(device.type, GREATEST_SIDES_PX["cuda"])
    # A tile must be mostly picture, not context.
    greatest = tuple(max(side, 3 * tiling.shared_px) for side in greatest)
    area = free_bytes / 3 / bytes_per_px
    if device.type == "cpu":
        area = min(area, LARGEST_TILE_BYTES / bytes_per_px)
    # What is seen is held in float32, twice while the next rows are joined to it.
    row_bytes = max(1, width) * 3 * (2 * 4 + scale * scale * bytes_per_value)
    tallest = min(LARGEST_BAND_BYTES, free_bytes // 4) // row_bytes
    height = int(min(greatest[0], area**0.5, tallest))
    height = max(smallest, height // unit * unit)
    wide = int(min(greatest[1], area / height)) // unit * unit
    batch = 1
    if device.type == "cuda":
        batch = int(max(1, min(8, area // (height * max(smallest, wide)))))
    return replace(tiling, height_px=height, width_px=max(smallest, wide), batch=batch)
