"""pix2pixHD's generators run exactly in little memory: layer by layer, each layer strip by strip.

Instance norm makes tiling wrong, because the mean and variance of every layer belong to the whole picture. So each
layer is run over the whole picture before the next begins. What a layer made is kept once, raw, while its statistics
are gathered; normalisation and ReLU are applied as the next layer reads its rows. The widest maps, at the two ends of
each part, are not kept at all: a first pass takes their statistics, and a second computes them anew as they are read.
Residual blocks are written in place. Maps beyond a budget of memory go to disk.

The result is that of the untiled network, apart from the rounding of sums taken in another order.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn

from ganvas.device import free_memory
from ganvas.errors import UserError
from ganvas.inference.result import Reports
from ganvas.inference.rows.layers import (
    Added,
    Budget,
    Convolved,
    Doubled,
    Extended,
    GivenRows,
    Halved,
    Kind,
    Moments,
    Normalised,
    Rows,
    Size,
    Statistics,
    Stored,
    Transposed,
)
from ganvas.io.spill import require_room
from ganvas.networks.doubling import ResizeConv2d
from ganvas.networks.pix2pixhd.net import GlobalGenerator, InstanceNorm, LocalEnhancer, ResidualBlock

Condition: TypeAlias = Callable[[int, int], Tensor]
"""Rows `top` to `bottom` of a generator's condition, as (1, N, bottom - top, width)."""

WORKSPACE = 96 << 20
"""Bytes of a strip with all that is computed on the way to it."""

_SHARE_OF_FREE = 0.7

_LEAST_ROWS = 4
"""Rows of a strip at least: more than any kernel reaches beyond it where a map is written in its own place."""


@dataclass(frozen=True)
class Plan:
    """What a run will take.

    Attributes:
        kept: bytes of maps that are kept at once, in memory or on disk; weights and strips come on top.
        work: multiplications, repeated ones included.
    """

    kept: int
    work: int


class ExactRun:
    """One picture made by a generator in little memory, exactly.

    `strips` makes it. After its last strip, `statistics` are those of every instance norm in the order of its layers;
    given to another run, they take the place of that run's own (see `ganvas.inference.labels.editing`).

    Args:
        network: a `GlobalGenerator` or `LocalEnhancer`; the run takes place on its device and in its precision.
        condition: gives rows of the condition; it is asked for each row several times.
        memory_budget: bytes of maps in memory beyond which they go to disk; None: seven tenths of what is free now.
        spill_folder: where they go; None is the system's folder for temporary files (which may lie in memory itself).
        workspace: bytes of a strip with all that is computed on the way to it.

    Raises:
        UserError: the network is of another kind, or the size is none.
    """

    def __init__(
        self,
        network: nn.Module,
        condition: Condition,
        height: int,
        width: int,
        *,
        memory_budget: int | None = None,
        statistics: Sequence[Statistics] | None = None,
        progress: Reports | None = None,
        spill_folder: str | Path | None = None,
        workspace: int = WORKSPACE,
    ) -> None:
        self._network, self._condition = _known(network), condition
        _check(network, height, width, statistics)
        weight = next(network.parameters())
        self._kind = Kind(weight.dtype, weight.device)
        self._height, self._width = height, width
        self._given = None if statistics is None else tuple(statistics)
        self._progress, self._workspace = progress, workspace
        limit = int(_SHARE_OF_FREE * free_memory(self._kind.device)) if memory_budget is None else memory_budget
        self.budget = Budget(limit, spill_folder)
        self.statistics: tuple[Statistics, ...] = self._given or ()

    def plan(self) -> Plan:
        """Return what the run will take, computing nothing."""
        budget = Budget(0)
        passes = _Passes(self._kind, budget, self._given, self._workspace, dry=True)
        passes.through(self._picture(passes))
        return Plan(budget.peak, passes.done)

    @torch.no_grad()
    def strips(self) -> Generator[Tensor]:
        """Yield the picture from top to bottom as (1, C, rows, width) in the network's range.

        Raises:
            UserError: the condition has another shape than the network needs, or the disk has no room.
        """
        passes = _Passes(self._kind, self.budget, self._given, self._workspace)
        plan = self.plan()
        if plan.kept > self.budget.limit:
            require_room(plan.kept - self.budget.limit, self.budget.folder)
        if self._progress:
            passes.report(self._progress, plan.work)
        picture = self._picture(passes)
        for top, rows in passes.strips(picture):
            if top < self._height:
                yield rows[:, :, : self._height - top, : self._width].tanh().contiguous()
        self.statistics = tuple(passes.statistics)

    def _picture(self, passes: _Passes) -> Rows:
        channels = next(layer for layer in self._network.modules() if isinstance(layer, nn.Conv2d)).in_channels
        given = GivenRows(self._condition, Size(channels, self._height, self._width), self._kind)
        network = self._network
        height, width = padded_size(network, self._height, self._width)
        is_whole = (height, width) == (self._height, self._width)
        return _Walk(passes).generator(network, given if is_whole else Extended(given, height, width))


def run_exact(
    network: nn.Module,
    condition: Condition,
    height: int,
    width: int,
    *,
    memory_budget: int | None = None,
    progress: Reports | None = None,
    spill_folder: str | Path | None = None,
) -> Tensor:
    """Return the picture that a generator makes of a condition, made layer by layer in little memory: see `ExactRun`.

    Raises:
        UserError: as `ExactRun` and its `strips`.
    """
    run = ExactRun(
        network, condition, height, width,
        memory_budget=memory_budget, progress=progress, spill_folder=spill_folder,
    )  # fmt: skip
    return torch.cat(list(run.strips()), dim=2)


def cell_px(network: nn.Module, height: int, width: int) -> int:
    """Return the number of pixels of which a generator extends the sides of a condition to a multiple.

    Raises:
        UserError: the network is of another kind.
    """
    multiple = _known(network).multiple_of
    return 2 * multiple if min(height, width) <= multiple else multiple


def padded_size(network: nn.Module, height: int, width: int) -> tuple[int, int]:
    """Return the size to which a generator extends a condition before its first layer.

    Raises:
        UserError: the network is of another kind.
    """
    cell = cell_px(network, height, width)
    return height + -height % cell, width + -width % cell


def _known(network: nn.Module) -> GlobalGenerator | LocalEnhancer:
    if not isinstance(network, GlobalGenerator | LocalEnhancer):
        why = f"Its layers are known for pix2pixHD's generators, and this is a {type(network).__name__}"
        raise UserError("This network cannot be run layer by layer", why)
    return network


def _check(network: nn.Module, height: int, width: int, statistics: Sequence[Statistics] | None) -> None:
    if height < 1 or width < 1:
        raise UserError(f"A picture of {width} x {height} pixels cannot be made", do="Give sides of 1 or more")
    norms = sum(isinstance(layer, InstanceNorm) for layer in network.modules())
    if statistics is not None and len(statistics) != norms:
        raise UserError("These statistics are of another network", f"It has {len(statistics)} norms, this one {norms}")


class _Passes:
    """Carries rows through, strip by strip: into a store, for their statistics, or out.

    A dry run takes the same way without reading a row, and so counts what a real one will take.
    """

    def __init__(
        self, kind: Kind, budget: Budget, given: Sequence[Statistics] | None, workspace: int, dry: bool = False
    ) -> None:
        self.kind, self.budget, self.done = kind, budget, 0
        self.statistics: list[Statistics] = []
        self._given = None if given is None else iter(given)
        self._workspace, self._dry = workspace, dry
        self._progress: Reports | None = None
        self._total = 0

    def report(self, progress: Reports, total: int) -> None:
        """Tell of every strip from now on."""
        self._progress, self._total = progress, total

    def strips(self, rows: Rows) -> Iterator[tuple[int, Tensor]]:
        """Yield a map from top to bottom, each strip with its first row."""
        before = self.done
        step = 0 if self._dry else self._strip_rows(rows)
        for top in range(0, rows.size.height, step) if step else ():
            bottom = min(top + step, rows.size.height)
            yield top, rows.read(top, bottom)
            self.done = before + rows.cost * bottom // rows.size.height
            if self._progress:
                self._progress(self.done, self._total)
        self.done = before + rows.cost

    def _strip_rows(self, rows: Rows) -> int:
        # Even, so that no doubling computes a row of which it needs the half.
        return max(_LEAST_ROWS, self._workspace // (rows.workspace * self.kind.dtype.itemsize) // 2 * 2)

    def through(self, rows: Rows) -> None:
        """Compute a map and keep nothing."""
        for _ in self.strips(rows):
            pass

    def measured(self, rows: Rows) -> Statistics:
        """Return the statistics of a map that is not kept; where they are given, it is not computed."""
        if self._given is not None:
            return self._next()
        moments = Moments()
        for _, strip in self.strips(rows):
            moments.add(strip)
        return self._note(moments)

    def written(self, rows: Rows, store: Stored) -> Statistics:
        """Write a map that norms will read into a store, possibly that of its own source; return its statistics."""
        moments = Moments()
        for strip in self._write(rows, store):
            if self._given is None:
                moments.add(strip)
        return self._note(moments) if self._given is None else self._next()

    def settled(self, rows: Rows, store: Stored) -> None:
        """Write a map into a store, possibly that of its own source."""
        for _ in self._write(rows, store):
            pass

    def _write(self, rows: Rows, store: Stored) -> Iterator[Tensor]:
        # One strip behind: where source and store are one, the next strip still needs the rows above it as they were.
        waiting: tuple[int, Tensor] | None = None
        for top, strip in self.strips(rows):
            if waiting:
                store.write(*waiting)
            waiting = top, strip
            yield strip
        if waiting:
            store.write(*waiting)

    def _note(self, moments: Moments) -> Statistics:
        statistics = Statistics(torch.zeros(1), torch.ones(1)) if self._dry else moments.statistics()
        self.statistics.append(statistics)
        return statistics

    def _next(self) -> Statistics:
        assert self._given is not None
        statistics = next(self._given)
        self.statistics.append(statistics)
        return statistics


class _Walk:
    """The order in which the layers of a generator are run, and which of their maps are kept."""

    def __init__(self, passes: _Passes) -> None:
        self._passes = passes

    def generator(self, network: GlobalGenerator | LocalEnhancer, condition: Rows) -> Rows:
        """Return the picture before its tanh, all layers but the last few having been run."""
        pyramid = [condition]
        for _ in range(network.enhancers):
            pyramid.append(Halved(pyramid[-1]))
        rows = self._layers(network.model, pyramid[-1])
        for number in range(1, network.enhancers + 1):
            finer = self._layers(_part(network, f"model{number}_1"), pyramid[network.enhancers - number])
            rows = self._layers(_part(network, f"model{number}_2"), Added(finer, rows))
        return rows

    def _layers(self, layers: Iterable[nn.Module], rows: Rows) -> Rows:
        """Return what a sequence of layers makes of rows."""
        reflect_px, keep = 0, False
        ahead = list(layers)
        while ahead:
            layer = ahead.pop(0)
            if isinstance(layer, nn.ReflectionPad2d):
                reflect_px = int(layer.padding[0])
            elif isinstance(layer, ResizeConv2d):
                rows = Convolved(Doubled(rows, layer.UPSAMPLING), layer)
                keep = any(isinstance(later, ResizeConv2d) for later in ahead)
            elif isinstance(layer, nn.Conv2d):
                rows, keep = Convolved(rows, layer, reflect_px), reflect_px == 0
                reflect_px = 0
            elif isinstance(layer, nn.ConvTranspose2d):
                rows, keep = Transposed(rows, layer), any(isinstance(later, nn.ConvTranspose2d) for later in ahead)
            elif isinstance(layer, InstanceNorm):
                # In these networks a ReLU follows every norm outside of blocks.
                rows = self._normalised(rows, keep)
            elif isinstance(layer, ResidualBlock):
                rows = self._block(layer, rows)
            elif not isinstance(layer, nn.ReLU | nn.Tanh):
                raise UserError(f"A layer {type(layer).__name__} cannot be run strip by strip")
        return rows

    def _normalised(self, rows: Rows, keep: bool) -> Rows:
        """Return rows after norm and ReLU: kept raw, or computed now for their statistics and again when read."""
        if not keep:
            return Normalised(rows, self._passes.measured(rows), relu=True)
        store = self._stored(rows.size)
        statistics = self._passes.written(rows, store)
        rows.release(keep=store)
        return Normalised(store, statistics, relu=True)

    def _block(self, block: ResidualBlock, rows: Rows) -> Rows:
        """Return a block's sum, written in the place of its input; both of its convolutions share one further map."""
        into = rows.store or self._stored(rows.size)
        if rows is not into:
            self._passes.settled(rows, into)
            rows.release(keep=into)
        pads = [layer for layer in block.conv_block if isinstance(layer, nn.ReflectionPad2d)]
        convs = [layer for layer in block.conv_block if isinstance(layer, nn.Conv2d)]
        store = self._stored(into.size)
        inner = Convolved(into, convs[0], int(pads[0].padding[0]))
        inner = Normalised(store, self._passes.written(inner, store), relu=True)
        outer = Convolved(inner, convs[1], int(pads[1].padding[0]))
        outer = Normalised(store, self._passes.written(outer, store), relu=False)
        self._passes.settled(Added(into, outer), into)
        store.close()
        return into

    def _stored(self, size: Size) -> Stored:
        return Stored(size, self._passes.kind, self._passes.budget)


def _part(network: nn.Module, name: str) -> nn.Sequential:
    part = network.get_submodule(name)
    assert isinstance(part, nn.Sequential)
    return part
