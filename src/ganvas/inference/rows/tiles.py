"""Run a network over a picture of any size, tile by tile, in the memory of one band of tiles.

A *tile* is the window that the network sees. Neighbouring tiles share pixels, of two kinds that must not be confused:

    tile i      |-------------------- kept ---------------|##overlap##|... halo ...|
    tile i+1                                 |... halo ...|##overlap##|------------------ kept ----

- `halo_px` is *context*: the network computes it and it is thrown away, because there the tile's edge is felt.
  With a halo as large as the receptive field, tiled equals untiled up to rounding.
- `overlap_px` is *feather*: both tiles are kept there and cross-faded, which hides what a smaller halo leaves.
  The weights of a pixel add up to one and none is ever zero, so no pixel can come out dark.

At the picture's border a tile simply ends, and the network's own padding acts as it would untiled.
"""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from ganvas import device as devices
from ganvas.errors import UserError
from ganvas.inference.rows.heap import Heap
from ganvas.inference.rows.strips import RowBuffer
from ganvas.inference.rows.tiling import Span, Tiling, cut_evenly, cut_into_bands

Run: TypeAlias = Callable[[Tensor], Tensor]
"""A network behind one call: (B, 3, h, w) -> (B, 3, scale * h, scale * w)."""

Finish: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Mends what a network made of a window, which it is given, too: it looks at `FINISH_REACH_PX` around each place. It
may give another type."""

FINISH_REACH_PX = 2

ROWS_AT_ONCE = 16
"""Rows of a tile that are finished at once: what that takes stays in the cache, and in memory that is there already."""

STRIP_PX = 64
"""Rows of the strips that are handed on."""


class Entry(NamedTuple):
    """Where to begin for a picture from some row on."""

    band: int
    """The first band that is computed."""
    reads_from: int
    """The first row of the input that it sees."""
    gives_from: int
    """The first row of the output that is right without the band above."""


@dataclass(frozen=True)
class Computed:
    """What a network made of one or several neighbouring tiles."""

    band: int
    """Number of their row of tiles."""
    first: int
    """Number of the first one's column of tiles."""
    pictures: int
    """Pictures of each tile."""
    windows: Tensor
    """What the network saw, one tile after another."""
    made: Tensor

    @property
    def nbytes(self) -> int:
        """Return the bytes of its values."""
        return self.windows.nbytes + self.made.nbytes


def ramp(length: int) -> Tensor:
    """Return rising cross-fade weights that reach neither 0 nor 1; with the falling ones they add up to 1."""
    return (torch.arange(length) + 0.5) / length


class Tiler:
    """Runs a network tile by tile. When memory runs out it continues with smaller batches, then with tiles cut in half.

    A tile that does not fit is itself treated as a picture and tiled, so nothing already computed is lost or disturbed.
    """

    def __init__(
        self,
        run: Run,
        scale: int,
        tiling: Tiling,
        on_tile: Callable[[float], None] | None = None,
        finish: Finish | None = None,
    ) -> None:
        self.run = run
        self.finish = finish
        self.scale = scale
        self.tiling = tiling
        self.on_tile = on_tile
        self.batch = tiling.batch
        self.limit_px = max(tiling.height_px, tiling.width_px)
        """Longest side that is known to fit so far; `halvings` tells how often it was reduced."""
        self.halvings = 0

    def entry(self, height: int, row: int) -> Entry:
        """Return where to begin for a picture of `height` of whose output only `row` and what is below it is wanted."""
        rows = cut_into_bands(height, self.tiling.height_px, self.tiling)
        band = next((i for i, span in enumerate(rows) if span.keep_stop * self.scale > row), len(rows) - 1)
        span = rows[band]
        return Entry(band, span.start, (span.keep_start + span.fade_in) * self.scale)

    def strips(
        self, strips: Iterator[Tensor], height: int, width: int, band: int = 0, begins_at: int = 0
    ) -> Iterator[Tensor]:
        """Yield the network's result for a picture that comes as strips, as strips: O(one band) of memory.

        (B, 3, h, w) -> (B, 3, scale * h, scale * w)

        Args:
            strips: the picture from row `begins_at` on.
            height: of the whole picture.
            width: likewise.
            band: the first band of tiles that is computed; see `entry`.
            begins_at: the row with which the strips begin.

        Raises:
            UserError: memory ran out even with the smallest tiles.
            ValueError: the sides are not multiples of `tiling.multiple_of`.
        """
        return self.blended(self.computed(strips, height, width, band, begins_at), height, width)

    def computed(
        self, strips: Iterator[Tensor], height: int, width: int, band: int = 0, begins_at: int = 0
    ) -> Iterator[Computed]:
        """Yield what the network makes of one tile after another: the first half of `strips`, with its arguments."""
        if height % self.tiling.multiple_of or width % self.tiling.multiple_of:
            raise ValueError(f"{width}x{height} is not a multiple of {self.tiling.multiple_of}; pad it first")
        rows = cut_into_bands(height, self.tiling.height_px, self.tiling)
        columns = cut_evenly(width, self.tiling.width_px, self.tiling)
        return self._computed(RowBuffer(strips, begins_at), rows, columns, self.on_tile, band)

    def blended(self, tiles: Iterator[Computed], height: int, width: int, lend: bool = False) -> Iterator[Tensor]:
        """Yield the strips of a picture of `height` x `width` from its computed tiles: the second half of `strips`.

        It may run in another thread than the first. A strip that is lent is overwritten once the next is asked for.
        """
        rows = cut_into_bands(height, self.tiling.height_px, self.tiling)
        columns = cut_evenly(width, self.tiling.width_px, self.tiling)
        return self._blended(tiles, rows, columns, self.finish, lend)

    def whole(self, picture: Tensor) -> Tensor:
        """Return the network's result for a picture in memory: (B, 3, h, w) -> (B, 3, scale * h, scale * w)."""
        return torch.cat(list(self.strips(iter([picture]), *picture.shape[2:])), dim=2)

    def _computed(
        self,
        buffer: RowBuffer,
        rows: Sequence[Span],
        columns: Sequence[Span],
        on_tile: Callable[[float], None] | None = None,
        first_band: int = 0,
    ) -> Iterator[Computed]:
        heap = Heap()
        for band in range(first_band, len(rows)):
            seen = buffer.take(rows[band].start, rows[band].stop)
            at_once = max(1, self.batch // seen.shape[0])
            for first in range(0, len(columns), at_once):
                chosen = columns[first : first + at_once]
                parts = [seen[..., span.start : span.stop] for span in chosen]
                windows = torch.cat(parts) if len(parts) > 1 else parts[0]
                made = self._forward(windows)
                heap.keep_down() if band > first_band else heap.learn()
                if on_tile:
                    on_tile((band * len(columns) + first + len(chosen)) / (len(rows) * len(columns)))
                yield Computed(band, first, seen.shape[0], windows, made)
                del windows, made  # not held while the next are computed

    def _blended(
        self,
        tiles: Iterator[Computed],
        rows: Sequence[Span],
        columns: Sequence[Span],
        finish: Finish | None = None,
        lend: bool = False,
    ) -> Iterator[Tensor]:
        scale = self.scale
        carried: Tensor | None = None  # the faded end of the band above, waiting for its other half
        canvas = torch.empty(0)  # on which every band is laid: fresh memory for each would be faulted in anew
        for tile in tiles:
            row = rows[tile.band]
            height = (row.keep_stop - row.keep_start) * scale
            results = zip(tile.windows.split(tile.pictures), tile.made.split(tile.pictures))
            for column, result in enumerate(results, tile.first):
                for top in range(row.keep_start, row.keep_stop, ROWS_AT_ONCE):
                    part = row._replace(keep_start=top, keep_stop=min(top + ROWS_AT_ONCE, row.keep_stop))
                    kept = _finished(*result, part, columns[column], scale, finish)
                    if canvas.dim() != 4 or canvas.shape[2] < height:
                        canvas = kept.new_empty(*kept.shape[:2], height, columns[-1].stop * scale)
                    begins = (top - row.keep_start) * scale
                    _lay(kept, columns[column], canvas[:, :, begins : begins + kept.shape[2]], scale)
                result = None  # not held while the next tile is computed
            is_last = tile.first + len(tile.made) // tile.pictures == len(columns)
            del tile, results
            if not is_last:
                continue
            band = canvas[:, :, :height]
            fade_in, fade_out = row.fade_in * scale, row.fade_out * scale
            if carried is not None:
                yield band[:, :, :fade_in] * ramp(fade_in).to(band)[:, None] + carried
            done = height - fade_out
            carried = band[:, :, done:] * ramp(fade_out).flip(0).to(band)[:, None] if fade_out else None
            for start in range(fade_in, done, STRIP_PX):
                strip = band[:, :, start : min(done, start + STRIP_PX)]
                yield strip if lend else strip.clone()
        Heap.give_back()

    def _forward(self, windows: Tensor) -> Tensor:
        if len(windows) > self.batch:
            return torch.cat([self._forward(part) for part in windows.split(self.batch)])
        if max(windows.shape[2:]) > self.limit_px:
            return self._in_parts(windows)
        try:
            return self.run(windows)
        except (RuntimeError, MemoryError) as error:
            if not devices.is_out_of_memory(error):
                raise
        # Outside the handler, whose traceback would hold on to the tensors of the failed call.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self._shrink(windows)
        return self._forward(windows)

    def _in_parts(self, windows: Tensor) -> Tensor:
        rows, columns = (cut_evenly(side, self.limit_px, self.tiling) for side in windows.shape[2:])
        parts = self._computed(RowBuffer(iter([windows])), rows, columns)
        return torch.cat(list(self._blended(parts, rows, columns)), dim=2)

    def _shrink(self, windows: Tensor) -> None:
        if len(windows) > 1:
            self.batch = len(windows) // 2
            return
        side = max(windows.shape[2:])
        if side <= self.tiling.smallest_px:
            raise UserError(
                "Memory ran out",
                f"Even a tile of {side} px does not fit",
                "Close other programs, use a smaller model or halo, or --device cpu",
            )
        self.limit_px = max(self.tiling.smallest_px, side // 2)
        self.halvings += 1


def _finished(low: Tensor, high: Tensor, row: Span, column: Span, scale: int, finish: Finish | None) -> Tensor:
    """Return what is kept of a tile: finished, with no more around it than that needs."""
    kept = [(span.keep_start - span.start, span.keep_stop - span.start) for span in (row, column)]
    if finish is None:
        (top, bottom), (left, right) = kept
        return high[..., top * scale : bottom * scale, left * scale : right * scale]
    seen = [
        (max(0, start - FINISH_REACH_PX), min(side, stop + FINISH_REACH_PX))
        for (start, stop), side in zip(kept, low.shape[2:])
    ]
    (top, bottom), (left, right) = seen
    given = high[..., top * scale : bottom * scale, left * scale : right * scale]
    finished = finish(low[..., top:bottom, left:right], given)
    rows, columns = (
        slice((start - first) * scale, (stop - first) * scale) for (start, stop), (first, _) in zip(kept, seen)
    )
    return finished[..., rows, columns]


def _lay(kept: Tensor, span: Span, band: Tensor, scale: int) -> None:
    """Lay the kept columns of a tile on the band, whose tile to the left lies there already."""
    target = band[..., span.keep_start * scale : span.keep_stop * scale]
    fade_in, fade_out = span.fade_in * scale, span.fade_out * scale
    middle = slice(fade_in, kept.shape[-1] - fade_out)
    target[..., middle] = kept[..., middle]
    if fade_in:
        target[..., :fade_in] += kept[..., :fade_in] * ramp(fade_in).to(kept)
    if fade_out:
        target[..., -fade_out:] = kept[..., -fade_out:] * ramp(fade_out).flip(0).to(kept)


def dihedral_mean(run: Run) -> Run:
    """Return the mean of a network over the eight flips and turns of its input, each undone on the output."""

    def mean(picture: Tensor) -> Tensor:
        total: Tensor | None = None
        for across, down, turned in itertools.product((False, True), repeat=3):
            axes = [axis for axis, flipped in ((3, across), (2, down)) if flipped]
            seen = picture.flip(axes)
            result = run(seen.transpose(2, 3)).transpose(2, 3) if turned else run(seen)
            result = result.flip(axes)
            total = result if total is None else total + result
        assert total is not None
        return total / 8

    return mean


class SeamError(NamedTuple):
    """How far tiles are from the untiled network, on values in [0, 1]."""

    maximum: float
    rms: float
    crops: int


@torch.inference_mode()
def seam_error(run: Run, picture: Tensor, scale: int, tiling: Tiling, *, crops: int = 4, seed: int = 0) -> SeamError:
    """Return how far tiled is from untiled on random crops of (1, 3, h, w), each of two by two tiles.

    The untiled crop must fit into memory, and context beyond it is not seen.
    """
    unit = tiling.multiple_of
    tile = (tiling.height_px, tiling.width_px)
    sides = [min(length, 2 * px - tiling.shared_px) // unit * unit for length, px in zip(picture.shape[2:], tile)]
    random = torch.Generator().manual_seed(seed)
    largest, squares, count = 0.0, 0.0, 0
    for _ in range(crops):
        top, left = (
            int(torch.randint(0, length - side + 1, (), generator=random)) // unit * unit
            for length, side in zip(picture.shape[2:], sides)
        )
        crop = picture[:, :, top : top + sides[0], left : left + sides[1]]
        difference = (Tiler(run, scale, tiling).whole(crop) - run(crop)).double()
        largest = max(largest, float(difference.abs().max()))
        squares += float(difference.square().sum())
        count += difference.numel()
    return SeamError(largest, (squares / count) ** 0.5, crops)
