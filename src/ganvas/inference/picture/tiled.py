"""Make a low picture eight times as large in overlapping tiles, each tried in several variants of which the best stays.

    low picture -> guide over the whole of it -> both resized to the grid -> tiles -> network -> blended rows

The quality of an upres net varies with details of its input, so each tile is shown as it is, mirrored, and with other
contrast or saturation; the variants are undone, and the one that the run's discriminator, its contrast or its variance
of the Laplacian calls best is kept. All tiles of a band go through the network in batches; finished rows are handed
on, so that memory does not grow with the height of the output. Source: M. Tyka, seed 001.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, get_args

import torch
from torch import Tensor, nn

from ganvas import device as devices
from ganvas import settings
from ganvas.data import guides
from ganvas.data.guides import Guide, GuideSettings, Origin, stacked
from ganvas.errors import UserError, did_you_mean
from ganvas.inference.open import Opened, open_model
from ganvas.inference.picture.options import Choose, Layout, TileOptions
from ganvas.inference.rows.tiles import ramp
from ganvas.metrics.paired import luma
from ganvas.metrics.sharpness import laplacian_variance
from ganvas.protocol import Verdict
from ganvas.values import gray

CHOICES: tuple[str, ...] = get_args(Choose)
Choices: TypeAlias = dict[tuple[int, int], int]
"""Which variant was kept of the tile at (top, left) of the grid."""
LARGEST_ON_CPU = 2**24
"""Bytes of a network's largest tensor: beyond, a processor's cache and the system's memory make batches slower."""
BATCH_ON_GPU = 32
MID_GRAY = 0.0


class Variant(NamedTuple):
    """A way to show a tile to the network, undone on what it gives."""

    mirrored: bool = False
    contrast: float = 1.0
    """About mid-gray."""
    saturation: float = 1.0

    def shown(self, tile: Tensor) -> Tensor:
        """Return the tile as the network sees it: (B, 3 + C, h, w) in [-1, 1], the guide only mirrored."""
        colored = torch.cat([self._toned(tile[:, :3], self.contrast, self.saturation), tile[:, 3:]], dim=1)
        return colored.flip(-1) if self.mirrored else colored

    def undone(self, made: Tensor) -> Tensor:
        """Return what the network gave as if it had seen the tile itself."""
        made = made.flip(-1) if self.mirrored else made
        return self._toned(made, 1 / self.contrast, 1 / self.saturation, undo=True)

    def _toned(self, picture: Tensor, contrast: float, saturation: float, undo: bool = False) -> Tensor:
        steps: list[Callable[[Tensor], Tensor]] = []
        if contrast != 1:
            steps.append(lambda x: MID_GRAY + contrast * (x - MID_GRAY))
        if saturation != 1:
            # Gray values are those of the picture itself, which a change of saturation leaves alone.
            steps.append(lambda x: (g := gray(x)) + saturation * (x - g))
        for step in reversed(steps) if undo else steps:
            picture = step(picture)
        return picture


VARIANTS: Mapping[str, tuple[Variant, ...]] = {
    "flip": (Variant(mirrored=True),),
    "contrast": (Variant(contrast=0.9), Variant(contrast=1.1)),
    "saturation": (Variant(saturation=0.85), Variant(saturation=1.15)),
}
"""Variants by name, beside the tile as it is."""


def variants_of(names: Sequence[str]) -> tuple[Variant, ...]:
    """Return the tile as it is and the named variants.

    Raises:
        UserError: an unknown name.
    """
    names = [part for name in names for part in name.split(",") if part]
    for name in names:
        if name not in VARIANTS:
            raise UserError(f"There is no variant {name!r}", do=did_you_mean(name, VARIANTS))
    return (Variant(), *itertools.chain.from_iterable(VARIANTS[name] for name in dict.fromkeys(names)))


class Tile(NamedTuple):
    """The place of a tile on the grid, in low pixels."""

    top: int
    left: int


def layout(height: int, width: int, tile_px: int, kind: Layout = "sparse") -> list[Tile]:
    """Return overlapping tiles that cover a grid, from top to bottom: for 96 x 96 and 32 the 21 tiles of seed 001.

    Side by side lie the fewest tiles that cover it. Between them, each half a tile off: one over every crossing of
    their seams, and one over the middle of every seam between two tiles of the first and last row and column. `dense`
    has that for all seams (25 tiles): in the middle of an inner seam the sparse layout has nothing but tiles' edges,
    so that for a few pixels the blend is abrupt.

    Raises:
        UserError: the tiles are larger than the picture, or there is no such layout.
    """
    if kind not in get_args(Layout):
        raise UserError(f"There is no layout {kind!r}", do=did_you_mean(kind, get_args(Layout)))
    if min(height, width) < tile_px:
        what = f"Tiles of {tile_px} px are larger than the picture"
        raise UserError(what, f"Its grid is {width} x {height} px", "Ask for a larger output")
    tops, lefts = _starts(height, tile_px), _starts(width, tile_px)
    between_rows, between_columns = ([(a + b) // 2 for a, b in itertools.pairwise(at)] for at in (tops, lefts))
    rows, columns = (tops, lefts) if kind == "dense" else ((tops[0], tops[-1]), (lefts[0], lefts[-1]))
    places = [(tops, lefts), (between_rows, between_columns), (between_rows, columns), (rows, between_columns)]
    return sorted({Tile(top, left) for at, across in places for top in at for left in across})


def _starts(length: int, tile_px: int) -> list[int]:
    count = -(-length // tile_px)
    return [0] if count == 1 else [place * (length - tile_px) // (count - 1) for place in range(count)]


@dataclass
class Report:
    """What was seen on the way: for the user to read."""

    pictures: int = 0
    tiles: int = 0
    passes: int = 0
    without_guide: list[str] = field(default_factory=list)
    chosen: dict[str, int] = field(default_factory=dict)
    """How often each variant was kept."""


class Upres:
    """An upres net made ready for whole low pictures, with the guide of its card and the discriminator of its run.

    Raises:
        UserError: the model is no upres net, or what its guide or the choice needs is missing.
    """

    def __init__(
        self,
        model: str | Path | nn.Module | Opened,
        options: TileOptions = TileOptions(),  # noqa: B008 - immutable
        scorer: nn.Module | None = None,
    ) -> None:
        opened = open_model(model)
        self.options = options
        if options.choose not in CHOICES:
            raise UserError(f"Nothing chooses by {options.choose!r}", do=did_you_mean(options.choose, CHOICES))
        layout(1, 1, 1, options.layout)  # an unknown one must fail here, not at the first picture
        self.device = devices.pick(options.device)
        self.dtype = devices.pick_precision(options.precision, self.device)
        self.memory_format = torch.channels_last
        net = opened.network(device=self.device).eval()
        self.net = net.to(memory_format=self.memory_format)  # pyright: ignore[reportCallIssue]
        self.card = opened.card
        facts = self.card.extra.get("upres")
        if not isinstance(facts, Mapping):
            why = "Its card names no guide, grid and tile"
            raise UserError("This model is no upres net", why, "Train one: ganvas train tiled_upres")
        self.scale, self.tile_px = self.card.scale, int(facts["tile_px"])
        self.shrink = float(facts["grid_px"]) / float(facts["low_px"])
        self.guide: Guide = guides.make(self._guide_settings(facts["guide"]), strict=False)
        if 3 + self.guide.channels != self.card.channels_in:
            why = f"It gives {self.guide.channels} channels and the network takes {self.card.channels_in - 3}"
            raise UserError("This guide is not that of the model", why, "Use the kind that it was trained with")
        self.variants = variants_of(options.variants) if options.choose != "first" else (Variant(),)
        self.scorer = scorer if scorer is not None or len(self.variants) == 1 else self._scorer_of(opened)
        self.batch = options.tile_batch or (self._batch_on_cpu() if self.device.type == "cpu" else BATCH_ON_GPU)
        if self.device.type == "cpu":
            devices.keep_freed_memory()
        self.report = Report()

    def _batch_on_cpu(self) -> int:
        tile_bytes = 4 * int(self.card.settings.get("width", 64)) * (self.tile_px * self.scale) ** 2
        return max(1, LARGEST_ON_CPU // tile_bytes)

    def _guide_settings(self, noted: Mapping[str, Any]) -> GuideSettings:
        trained = settings.from_json(GuideSettings, noted)
        if self.options.guide:
            # Files belong to a kind: those of the training would mean nothing to another.
            return replace(trained, kind=self.options.guide, file=self.options.guide_file)
        return replace(trained, file=self.options.guide_file or trained.file)

    def _scorer_of(self, opened: Opened) -> nn.Module | None:
        if self.options.choose != "discriminator":
            return None
        if opened.run is None:
            why = "Only a run holds the discriminator that tells which variant is best"
            raise UserError("There is no discriminator to choose by", why, "Name the run, or choose by laplacian")
        return opened.network("discriminator", self.device)

    def grid_for(self, height: int, width: int) -> tuple[int, int]:
        """Return rows and columns of the grid that a low picture of a size is resized to."""
        wanted = self.options.long_side
        zoom = self.shrink if not wanted else wanted / self.scale / max(height, width)
        rows, columns = (max(self.tile_px, round(side * zoom)) for side in (height, width))
        return rows, columns

    def size_for(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of the output of a low picture of a size."""
        rows, columns = self.grid_for(height, width)
        return rows * self.scale, columns * self.scale

    def __call__(self, low: Tensor, origin: Origin | None = None, choices: Choices | None = None) -> Tensor:
        """Return a whole picture enlarged: (3, h, w) in [0, 1] -> (3, H, W) in [0, 1]."""
        return torch.cat(list(self.strips(low, origin, choices)), dim=1)

    @torch.inference_mode()
    def strips(self, low: Tensor, origin: Origin | None = None, choices: Choices | None = None) -> Iterator[Tensor]:
        """Yield the rows of an enlarged picture from top to bottom: (3, h, w) -> (3, rows, W) ..., in [0, 1].

        `choices` is filled with the variant that was kept of each tile; those in it already are kept again, so that
        the frames of a clip do not flicker by choosing anew.
        """
        before = len(self.guide.missing)
        whole = stacked(low, self.guide(low, origin), self.grid_for(low.shape[-2], low.shape[-1])).to(self.device)
        self.report.without_guide += self.guide.missing[before:]
        self.report.pictures += 1
        choices = {} if choices is None else choices
        tiles = layout(whole.shape[-2], whole.shape[-1], self.tile_px, self.options.layout)
        canvas = _Canvas(whole.shape[-2], whole.shape[-1], self.tile_px, self.scale)
        for top, row in itertools.groupby(tiles, key=lambda tile: tile.top):
            if (finished := canvas.finish(top)) is not None:
                yield finished
            places = list(row)
            for tile, made in zip(places, self._best(whole, places, choices)):
                canvas.lay(tile, made)
        last = canvas.finish(whole.shape[-2])
        assert last is not None
        yield last

    def _best(self, whole: Tensor, tiles: Sequence[Tile], choices: Choices) -> Iterator[Tensor]:
        """Yield the best variant of each tile: (3, scale tile, scale tile) in [-1, 1], on the CPU."""
        side = self.tile_px
        lows = torch.stack([whole[:, t.top : t.top + side, t.left : t.left + side] for t in tiles])
        if all(tile in choices for tile in tiles):
            tasks = [(number, choices[tile]) for number, tile in enumerate(tiles)]
        else:
            tasks = list(itertools.product(range(len(tiles)), range(len(self.variants))))
        self.report.tiles += len(tiles)
        self.report.passes += len(tasks)
        best: dict[int, tuple[float, int, Tensor]] = {}
        for number, variant, made, score in self._made(lows, tasks):
            if number not in best or score > best[number][0]:
                best[number] = (score, variant, made)
        for number, tile in enumerate(tiles):
            _, variant, made = best[number]
            choices[tile] = variant
            name = str(self.variants[variant])
            self.report.chosen[name] = self.report.chosen.get(name, 0) + 1
            yield made

    def _made(self, lows: Tensor, tasks: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, Tensor, float]]:
        for start in range(0, len(tasks), self.batch):
            part = tasks[start : start + self.batch]
            shown = torch.cat([self.variants[variant].shown(lows[number : number + 1]) for number, variant in part])
            with devices.autocast(self.device, self.dtype):
                made = self.net(shown.to(memory_format=self.memory_format))
            made = made.float().clamp(-1, 1)
            undone = torch.cat([self.variants[v].undone(made[i : i + 1]) for i, (_, v) in enumerate(part)]).clamp(-1, 1)
            scores = self._scores(undone, lows[[number for number, _ in part]]).tolist()
            for (number, variant), picture, score in zip(part, undone.cpu(), scores):
                yield number, variant, picture, score

    def _scores(self, made: Tensor, lows: Tensor) -> Tensor:
        """Return how good made tiles are: (B, 3, H, W), (B, 3 + C, h, w) -> (B,)."""
        if len(self.variants) == 1:
            return made.new_zeros(len(made))
        gray = luma(made * 0.5 + 0.5)[:, 0]
        match self.options.choose:
            case "contrast":
                return gray.flatten(1).std(1)
            case "laplacian":
                return laplacian_variance(gray)
        scorer: Any = self.scorer
        verdict: Verdict = scorer(made, lows)
        return verdict.score.float().flatten(1).mean(1)


class _Canvas:
    """Adds feathered tiles and hands on the rows that no later tile can reach."""

    def __init__(self, rows: int, columns: int, tile_px: int, scale: int) -> None:
        self.scale, self.side = scale, tile_px * scale
        self.height, self.done = rows * scale, 0
        rise = ramp(self.side // 2)
        edge = torch.cat([rise, rise.flip(0)])
        self.feather = edge[:, None] * edge
        # One tile high: rows above a tile are handed on before it is laid.
        self.sums = torch.zeros(3, self.side, columns * scale)
        self.weights = torch.zeros(1, self.side, columns * scale)

    def lay(self, tile: Tile, made: Tensor) -> None:
        """Add a tile with weights that fall to its edges and are nowhere zero."""
        top, left = tile.top * self.scale - self.done, tile.left * self.scale
        rows, columns = slice(top, top + self.side), slice(left, left + self.side)
        self.sums[:, rows, columns] += made * self.feather
        self.weights[:, rows, columns] += self.feather

    def finish(self, top: int) -> Tensor | None:
        """Return the rows above a row of the grid, in [0, 1], if there are any that were not returned before."""
        end = min(top * self.scale, self.height)
        count = end - self.done
        if not count:
            return None
        finished = self.sums[:, :count] / self.weights[:, :count]
        for plane in (self.sums, self.weights):
            kept = plane[:, count:].clone()
            plane.zero_()
            plane[:, : kept.shape[1]] = kept
        self.done = end
        return (finished * 0.5 + 0.5).clamp(0, 1)
