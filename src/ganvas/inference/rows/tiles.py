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

import contextlib
import ctypes
import gc
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from ganvas import device as devices
from ganvas.errors import UserError
from ganvas.inference.rows.strips import RowBuffer

Run: TypeAlias = Callable[[Tensor], Tensor]
"""A network behind one call: (B, 3, h, w) -> (B, 3, scale * h, scale * w)."""

LEAST_ADVANCE_PX = 8
"""A tile must bring at least this many pixels that its neighbour does not have."""

STRIP_PX = 64
"""Rows of the strips that are handed on."""

GREATEST_SIDES_PX = {"cpu": (384, 384), "cuda": (512, 1024)}
"""Height and width beyond which tiles are no faster. On a CPU larger ones leave the last-level cache: a compact net in
bfloat16 took 0.40 s a megapixel at 384 px squared and 0.59 s at 512 x 1024 (32 MB of cache), which the smaller share of
context does not make up for."""

LARGEST_BAND_BYTES = 512 << 20


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


class Entry(NamedTuple):
    """Where to begin for a picture from some row on."""

    band: int
    """The first band that is computed."""
    reads_from: int
    """The first row of the input that it sees."""
    gives_from: int
    """The first row of the output that is right without the band above."""


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
        finish_pairs: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        self.run = run
        self.finish_pairs = finish_pairs
        """Mends the results of pictures that come in pairs, given what was seen: of colours and their alpha."""
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
        if height % self.tiling.multiple_of or width % self.tiling.multiple_of:
            raise ValueError(f"{width}x{height} is not a multiple of {self.tiling.multiple_of}; pad it first")
        rows = cut_into_bands(height, self.tiling.height_px, self.tiling)
        columns = cut_evenly(width, self.tiling.width_px, self.tiling)
        return self._stitch(RowBuffer(strips, begins_at), rows, columns, self.on_tile, band)

    def whole(self, picture: Tensor) -> Tensor:
        """Return the network's result for a picture in memory: (B, 3, h, w) -> (B, 3, scale * h, scale * w)."""
        return torch.cat(list(self.strips(iter([picture]), *picture.shape[2:])), dim=2)

    def _stitch(
        self,
        buffer: RowBuffer,
        rows: Sequence[Span],
        columns: Sequence[Span],
        on_tile: Callable[[float], None] | None = None,
        first: int = 0,
    ) -> Iterator[Tensor]:
        heap = _Heap()
        carried: Tensor | None = None  # the faded end of the band above, waiting for its other half
        canvas = torch.empty(0)  # on which every band is laid: fresh memory for each would be faulted in anew
        for i, row in enumerate(rows[first:], first):

            def tell(column: int, band: int = i) -> None:
                if band > first:
                    heap.keep_down()
                else:
                    heap.learn()
                if on_tile:
                    on_tile((band * len(columns) + column) / (len(rows) * len(columns)))

            band = self._band(buffer.take(row.start, row.stop), row, columns, canvas, tell)
            canvas = band if len(columns) > 1 else canvas
            fade_in, fade_out = row.fade_in * self.scale, row.fade_out * self.scale
            if carried is not None:
                yield band[:, :, :fade_in] * ramp(fade_in).to(band)[:, None] + carried
            done = band.shape[2] - fade_out
            carried = band[:, :, done:] * ramp(fade_out).flip(0).to(band)[:, None] if fade_out else None
            for start in range(fade_in, done, STRIP_PX):
                # Copies, because a view in the consumer's hands would keep the whole band while the next is computed.
                yield band[:, :, start : min(done, start + STRIP_PX)].clone()
            del band
            heap.give_back()

    def _band(
        self, seen: Tensor, row: Span, columns: Sequence[Span], canvas: Tensor, tell: Callable[[int], None]
    ) -> Tensor:
        """Return the kept rows of one row of tiles, stitched across: (B, C, h, W) -> (B, C, H, scale * W).

        They are laid on `canvas` where that has their size.
        """
        top, bottom = (row.keep_start - row.start) * self.scale, (row.keep_stop - row.start) * self.scale
        band = canvas
        at_once = max(1, self.batch // seen.shape[0])
        for first in range(0, len(columns), at_once):
            chosen = columns[first : first + at_once]
            windows = torch.cat([seen[..., span.start : span.stop] for span in chosen])
            made = self._forward(windows)
            if self.finish_pairs and seen.shape[0] == 2:
                made = self.finish_pairs(windows, made)
            results = made[:, :, top:bottom].chunk(len(chosen))
            tell(first + len(chosen))
            if len(columns) == 1:
                return results[0]
            if not first:
                shape = (*results[0].shape[:3], columns[-1].stop * self.scale)
                if band.shape != shape or band.dtype != results[0].dtype or band.device != results[0].device:
                    band = results[0].new_empty(shape)
            for span, result in zip(chosen, results):
                _lay(result, span, band, self.scale)
        return band

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
        return torch.cat(list(self._stitch(RowBuffer(iter([windows])), rows, columns)), dim=2)

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


class _Heap:
    """Keeps the process from growing while the same work is repeated.

    glibc keeps freed blocks, ever more scattered: over the thousand tiles of a picture memory would seem to leak.
    Giving all back after each tile costs 5 % of a compact network's time, so it is done between bands, and within a
    band only when more is in use than in the first one.
    """

    def __init__(self) -> None:
        self._mark = 0

    def learn(self) -> None:
        """Take note of what is in use while the first band is made."""
        self._mark = max(self._mark, _resident_pages())

    def keep_down(self) -> None:
        """Hand free blocks back to the system if more is in use than ever in the first band."""
        if _resident_pages() > self._mark:
            self.give_back()

    def give_back(self) -> None:
        """Hand free blocks back to the system."""
        with contextlib.suppress(OSError, AttributeError, TypeError):
            ctypes.CDLL(None).malloc_trim(0)


def _resident_pages() -> int:
    with contextlib.suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1])
    return 0


def _lay(result: Tensor, span: Span, band: Tensor, scale: int) -> None:
    """Lay the kept columns of a tile on the band, whose tile to the left lies there already."""
    kept = result[..., (span.keep_start - span.start) * scale : (span.keep_stop - span.start) * scale]
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


def fit_tiling(
    tiling: Tiling,
    *,
    width: int,
    scale: int,
    bytes_per_px: float,
    free_bytes: int,
    device: torch.device,
    pictures: int = 1,
) -> Tiling:
    """Return the largest tiling that memory allows for a picture of `width`, up to where larger is no faster.

    `bytes_per_px` is what the network holds at its peak per input pixel; it may use a third of the free memory.
    """
    smallest, unit = tiling.smallest_px, tiling.multiple_of
    greatest = GREATEST_SIDES_PX.get(device.type, GREATEST_SIDES_PX["cuda"])
    # A tile must be mostly picture, not context.
    greatest = tuple(max(side, 3 * tiling.shared_px) for side in greatest)
    area = free_bytes / 3 / bytes_per_px
    # A band of results is held in float32, once stitched and once more while it is blended and written.
    row_bytes = max(1, width) * scale * scale * 3 * 4 * 2 * pictures
    tallest = min(LARGEST_BAND_BYTES, free_bytes // 4) // row_bytes
    height = int(min(greatest[0], area**0.5, tallest))
    height = max(smallest, height // unit * unit)
    wide = int(min(greatest[1], area / height)) // unit * unit
    batch = 1
    if device.type == "cuda":
        batch = int(max(1, min(8, area // (height * max(smallest, wide)))))
    return replace(tiling, height_px=height, width_px=max(smallest, wide), batch=batch)
