"""Feature maps read by rows: given, stored or computed on demand, so that a layer never needs its input whole.

Every class here is a map (1, channels, height, width) of which any rows can be read. Reading rows of a computed map
reads the rows of its source that its kernel covers; what lies beyond the map is padded as the network pads it.
Tensors are in the channels-last layout throughout: a stored map is (height, width, channels), so that a strip of rows
is one piece of memory or file and a convolution takes it as it is.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.errors import UserError
from ganvas.io.spill import SpillFile
from ganvas.networks.doubling import Interpolation, double
from ganvas.networks.pix2pixhd.net import InstanceNorm

_PIECE = 8192
"""Pixels over which single precision may sum: few enough for seven digits, and for the processor's cache."""


class Size(NamedTuple):
    """Channels, rows and columns of a map."""

    channels: int
    height: int
    width: int

    @property
    def row(self) -> int:
        """Return the numbers in one row."""
        return self.channels * self.width


@dataclass(frozen=True)
class Kind:
    """What the numbers of all maps of a run are, and where."""

    dtype: torch.dtype
    device: torch.device


class Rows(ABC):
    """A feature map of which rows can be read.

    Attributes:
        size: of the map.
        cost: multiplications that reading all of it once takes.
        workspace: numbers held at once for each row that is read, those of the sources included.
        sources: the maps that it is computed from.
    """

    size: Size
    cost: int
    workspace: int
    sources: tuple[Rows, ...] = ()

    @abstractmethod
    def read(self, top: int, bottom: int) -> Tensor:
        """Return rows `top` to `bottom` as (1, channels, bottom - top, width), not to be written into."""

    @property
    def store(self) -> Stored | None:
        """Return the stored map of which these rows are a function pixel by pixel, if there is one."""
        return None

    def release(self, keep: Stored | None = None) -> None:
        """Close every stored map that these rows are computed from, but for one: they have been read for good."""
        for source in self.sources:
            source.release(keep)


class GivenRows(Rows):
    """Rows that a function of (top, bottom) makes: the condition, never whole."""

    def __init__(self, provide: Callable[[int, int], Tensor], size: Size, kind: Kind) -> None:
        self._provide, self._kind = provide, kind
        self.size, self.cost, self.workspace = size, 0, 2 * size.row

    def read(self, top: int, bottom: int) -> Tensor:
        rows = self._provide(top, bottom)
        wanted = (1, self.size.channels, bottom - top, self.size.width)
        if tuple(rows.shape) != wanted:
            why = f"Rows {top} to {bottom} came as {list(rows.shape)}; the network needs {list(wanted)}"
            raise UserError("The condition does not have the network's shape", why)
        return rows.to(self._kind.device, self._kind.dtype, memory_format=torch.channels_last)


class Extended(Rows):
    """A map continued at its right and bottom as `pad_to_multiple` does it: mirrored, then the last row repeated."""

    def __init__(self, source: Rows, height: int, width: int) -> None:
        self._source, self.sources = source, (source,)
        self._rows = _mirrored(source.size.height, height)
        self._columns = _mirrored(source.size.width, width)
        self.size = Size(source.size.channels, height, width)
        self.cost, self.workspace = source.cost, source.workspace + self.size.row

    def read(self, top: int, bottom: int) -> Tensor:
        rows = self._rows[top:bottom]
        first = int(rows.min())
        read = self._source.read(first, int(rows.max()) + 1)
        read = read if _is_range(rows) else read.index_select(2, (rows - first).to(read.device))
        return read if self.size.width == read.shape[3] else read.index_select(3, self._columns.to(read.device))


def _mirrored(length: int, extended: int) -> Tensor:
    places = torch.arange(extended)
    return torch.where(places < length, places, (2 * (length - 1) - places).clamp_min(0))


def _is_range(places: Tensor) -> bool:
    return bool((places.diff() == 1).all())


class Halved(Rows):
    """A map averaged down by two over 3 x 3 pixels, counting only those inside it; its sides must be even."""

    def __init__(self, source: Rows) -> None:
        self._source, self.sources = source, (source,)
        self.size = Size(source.size.channels, source.size.height // 2, source.size.width // 2)
        self.cost, self.workspace = source.cost, 2 * source.workspace + self.size.row

    def read(self, top: int, bottom: int) -> Tensor:
        rows = self._source.read(max(0, 2 * top - 1), 2 * bottom)
        padding = (1 if top == 0 else 0, 1)
        return F.avg_pool2d(rows, 3, stride=2, padding=padding, count_include_pad=False)


class Convolved(Rows):
    """A convolution of a map, whose border is mirrored by `reflect_px` pixels or else padded as the layer says."""

    def __init__(self, source: Rows, conv: nn.Conv2d, reflect_px: int = 0) -> None:
        self._source, self.sources = source, (source,)
        self._conv, self._reflect_px = conv, reflect_px
        (self._kernel, kernel_across), (self._stride, _), padding = conv.kernel_size, conv.stride, conv.padding
        self._padding = reflect_px or int(padding[0])
        height, width = (
            (side + 2 * self._padding - kernel) // self._stride + 1
            for side, kernel in zip(source.size[1:], (self._kernel, kernel_across))
        )
        self.size = Size(conv.out_channels, height, width)
        self.cost = source.cost + height * width * conv.weight.numel()
        self.workspace = self._stride * (source.workspace + source.size.row) + self.size.row

    def read(self, top: int, bottom: int) -> Tensor:
        first = top * self._stride - self._padding
        last = (bottom - 1) * self._stride - self._padding + self._kernel
        rows = self._padded(first, last)
        across = 0 if self._reflect_px else self._padding
        return F.conv2d(rows, self._conv.weight, self._conv.bias, self._stride, (0, across))

    def _padded(self, first: int, last: int) -> Tensor:
        height = self._source.size.height
        above, below = max(0, -first), max(0, last - height)
        rows = self._source.read(max(0, first), min(height, last))
        if self._reflect_px:
            rows = F.pad(rows, (self._padding, self._padding, 0, 0), mode="reflect")
            # Mirrored by hand: a strip at one edge of the picture is not to be mirrored at its other side.
            parts = [rows[:, :, 1 : 1 + above].flip(2), rows, rows[:, :, -1 - below : -1].flip(2)]
            return torch.cat(parts, dim=2) if above or below else rows
        return F.pad(rows, (0, 0, above, below)) if above or below else rows


class Doubled(Rows):
    """A map with twice its sides, its pixels repeated or interpolated as `doubling.double` does it."""

    def __init__(self, source: Rows, upsampling: Interpolation) -> None:
        self._source, self.sources = source, (source,)
        self._upsampling: Interpolation = upsampling
        # An interpolated row lies between two of the source; beyond its edges the outermost stands for the missing one.
        self._reach = int(upsampling == "smooth")
        channels, height, width = source.size
        self.size = Size(channels, 2 * height, 2 * width)
        self.cost = source.cost
        self.workspace = (source.workspace + source.size.row) // 2 + self.size.row

    def read(self, top: int, bottom: int) -> Tensor:
        first = max(0, (top - self._reach) // 2)
        last = min(self._source.size.height, (bottom + 1 + self._reach) // 2)
        rows = double(self._source.read(first, last), self._upsampling)
        return rows[:, :, top - 2 * first : bottom - 2 * first]


class Transposed(Rows):
    """A transposed convolution of a map: one that doubles its sides."""

    def __init__(self, source: Rows, conv: nn.ConvTranspose2d) -> None:
        self._source, self.sources, self._conv = source, (source,), conv
        self._kernel, self._stride, self._padding = (
            int(number[0]) for number in (conv.kernel_size, conv.stride, conv.padding)
        )
        extra = int(conv.output_padding[0])
        height, width = (
            (side - 1) * self._stride - 2 * self._padding + self._kernel + extra for side in source.size[1:]
        )
        self.size = Size(conv.out_channels, height, width)
        self.cost = source.cost + source.size.height * source.size.width * conv.weight.numel()
        # The layer computes on all of its kernel's products before it adds them up.
        self.workspace = 2 * self.size.row + (source.workspace + source.size.row) // self._stride

    def read(self, top: int, bottom: int) -> Tensor:
        first = max(0, math.ceil((top + self._padding - self._kernel + 1) / self._stride))
        last = min(self._source.size.height, (bottom - 1 + self._padding) // self._stride + 1)
        extra = (0, int(self._conv.output_padding[1]))
        padding = (0, int(self._conv.padding[1]))
        rows = F.conv_transpose2d(
            self._source.read(first, last), self._conv.weight, self._conv.bias, self._conv.stride, padding, extra
        )
        start = top + self._padding - first * self._stride
        return rows[:, :, start : start + bottom - top]


def _at_least_single(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


@dataclass(frozen=True)
class Statistics:
    """Mean and variance of each channel of a map over the whole picture, in double precision: (C,) each."""

    mean: Tensor
    variance: Tensor


class Normalised(Rows):
    """A map whose every channel has its mean taken off and is divided by its deviation, with or without ReLU."""

    def __init__(self, source: Rows, statistics: Statistics, relu: bool) -> None:
        self._source, self.sources = source, (source,)
        self._relu = relu
        self._mean, self._variance = statistics.mean, statistics.variance
        self.size, self.cost, self.workspace = source.size, source.cost, source.workspace + source.size.row

    @property
    def store(self) -> Stored | None:
        return self._source.store

    def read(self, top: int, bottom: int) -> Tensor:
        rows = self._source.read(top, bottom)
        wide = _at_least_single(rows.dtype)
        mean, variance = (values.to(rows.device, wide) for values in (self._mean, self._variance))
        out = F.batch_norm(rows, mean, variance, eps=InstanceNorm.eps)
        return out.relu_() if self._relu else out


class Added(Rows):
    """The sum of two maps; it may be written in the place of the first."""

    def __init__(self, first: Rows, second: Rows) -> None:
        self._first, self._second = self.sources = first, second
        self.size, self.cost = first.size, first.cost + second.cost
        self.workspace = first.workspace + second.workspace + first.size.row

    @property
    def store(self) -> Stored | None:
        return self._first.store

    def read(self, top: int, bottom: int) -> Tensor:
        return self._first.read(top, bottom) + self._second.read(top, bottom)


class Budget:
    """How many bytes of stored maps may lie in memory; what is stored beyond them goes to disk.

    Attributes:
        used: bytes of maps in memory now.
        peak: the most bytes of maps, in memory or not, that there were at once.
        spilled: bytes of maps that went to disk.
    """

    def __init__(self, limit: int, folder: str | Path | None = None) -> None:
        self.limit, self.folder = limit, folder
        self.used = self.held = self.peak = self.spilled = 0


class Stored(Rows):
    """A map that is kept, in memory as far as the budget goes and else on disk.

    Nothing is taken from memory or disk before the first row is written.
    """

    def __init__(self, size: Size, kind: Kind, budget: Budget) -> None:
        self._kind, self._budget = kind, budget
        self._memory: Tensor | None = None
        self._file: SpillFile | None = None
        self.size, self.cost, self.workspace = size, 0, size.row
        self._row_bytes = size.row * kind.dtype.itemsize
        self._bytes = size.height * self._row_bytes
        budget.held += self._bytes
        budget.peak = max(budget.peak, budget.held)

    @property
    def store(self) -> Stored | None:
        return self

    def read(self, top: int, bottom: int) -> Tensor:
        if self._memory is not None:
            rows = self._memory[top:bottom]
        elif self._file is not None:
            rows = torch.empty(bottom - top, self.size.width, self.size.channels, dtype=self._kind.dtype)
            self._file.read_into(top * self._row_bytes, _bytes_of(rows))
            rows = rows.to(self._kind.device)
        else:
            raise ValueError("rows of a map were read before any was written")
        return rows.permute(2, 0, 1)[None]

    def write(self, top: int, rows: Tensor) -> None:
        """Write rows (1, channels, n, width) from row `top` on."""
        if self._memory is None and self._file is None:
            self._take_room()
        plain = rows[0].permute(1, 2, 0)
        if self._memory is not None:
            self._memory[top : top + plain.shape[0]] = plain
        elif self._file is not None:
            self._file.write(top * self._row_bytes, _bytes_of(plain.cpu().contiguous()))

    def _take_room(self) -> None:
        budget = self._budget
        if budget.used + self._bytes <= budget.limit:
            budget.used += self._bytes
            shape = (self.size.height, self.size.width, self.size.channels)
            self._memory = torch.empty(shape, dtype=self._kind.dtype, device=self._kind.device)
        else:
            budget.spilled += self._bytes
            self._file = SpillFile(budget.folder)

    def release(self, keep: Stored | None = None) -> None:
        if self is not keep:
            self.close()

    def close(self) -> None:
        """Give memory and disk back; the map is gone."""
        if self._bytes:
            self._budget.held -= self._bytes
            self._budget.used -= self._bytes if self._memory is not None else 0
        if self._file is not None:
            self._file.close()
        self._bytes, self._memory, self._file = 0, None, None

    def __del__(self) -> None:
        self.close()


def _bytes_of(rows: Tensor) -> memoryview:
    return rows.view(-1).view(torch.uint8).numpy().data


class Moments:
    """Mean and variance of each channel, gathered strip by strip in double precision.

    Source: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances" (1979).
    """

    def __init__(self) -> None:
        self._count = 0
        self._mean: Tensor | None = None
        self._squares: Tensor | None = None

    def add(self, rows: Tensor) -> None:
        """Take in a strip (1, C, h, W) of at least two pixels."""
        pixels = rows.permute(0, 2, 3, 1).reshape(-1, rows.shape[1])
        wide = _at_least_single(rows.dtype)
        for piece in (piece.to(wide) for piece in pixels.tensor_split(math.ceil(len(pixels) / _PIECE))):
            # Single precision loses the digits of a small deviation on a large mean: sums are taken about a pivot.
            pivot = piece[:64].mean(dim=0) if self._mean is None else self._mean.to(piece.dtype)
            # batch_norm's training pass is the fastest way to means and variances by channel, and goes over them twice.
            mean, variance = torch.zeros_like(pivot), torch.ones_like(pivot)
            F.batch_norm(piece - pivot, mean, variance, training=True, momentum=1.0)
            self._merge(len(piece), pivot.double() + mean.double(), variance.double() * (len(piece) - 1))

    def _merge(self, count: int, mean: Tensor, squares: Tensor) -> None:
        if self._mean is None or self._squares is None:
            self._count, self._mean, self._squares = count, mean, squares
            return
        total = self._count + count
        apart = mean - self._mean
        self._mean = self._mean + apart * (count / total)
        self._squares = self._squares + squares + apart.square() * (self._count * count / total)
        self._count = total

    def statistics(self) -> Statistics:
        """Return what was gathered."""
        if self._mean is None or self._squares is None:
            raise ValueError("there are no statistics of nothing")
        return Statistics(self._mean, self._squares / self._count)
