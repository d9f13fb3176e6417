"""Upscale pictures of any size, depth and channels with a network: arrays in memory, or files as a stream of rows."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ganvas import device as devices
from ganvas.errors import UserError, did_you_mean
from ganvas.inference import fastest, int8
from ganvas.inference.backends import Backend
from ganvas.inference.open import Opened, open_model
from ganvas.inference.options import Border
from ganvas.inference.picture.sizes import target_size
from ganvas.inference.result import Reports
from ganvas.inference.rows.pixels import Pixels, rounded, survey
from ganvas.inference.rows.resample import first_row_for, margin_for, resized
from ganvas.inference.rows.restraint import restrained
from ganvas.inference.rows.strips import Margins, cropped, padded
from ganvas.inference.rows.threads import beside, read_ahead
from ganvas.inference.rows.tiles import Computed, Entry, Run, SeamError, Tiler, dihedral_mean, seam_error
from ganvas.inference.rows.tiling import LEAST_ADVANCE_PX, Tiling, cut_into_bands, fit_tiling, round_up
from ganvas.protocol import Card

DTYPES = ("uint8", "uint16", "float16", "float32", "float64")

RESIZE_SLACK = 1.1
"""How far a resize may enlarge what the network made before the network is run once more."""

WHOLE_PX = 1 << 24
"""Side of the one tile of a network that must see the whole picture."""
FEATHER_PX = 8
"""Default overlap where the halo is smaller than what the network sees."""


class Done(NamedTuple):
    """What an interrupted call has given of a picture."""

    rows: int = 0
    tiles: tuple[tuple[int, int, int], ...] = ()
    """Height, width and number at once of the tiles of each pass: the rest must be cut as the beginning was."""


class Upscaler:
    """A model made ready for whole pictures: `up(picture)` returns the picture upscaled, of the same type and channels.

    Args:
        model: name of a model, weight file, run, what `open_model` gave, or a network that takes and returns
            (B, 3, H, W) in [0, 1].
        precision: `auto`, `float32`, `bfloat16` or `float16`. `auto` takes the machine's fastest one for 8-bit pictures
            and float32 for deeper ones, which would lose what makes them deeper; of a file that holds its network in 8
            bits it takes these for 8-bit pictures.
        tile: side of a tile in pixels, context included; `auto` takes what memory allows.
        overlap_px: width of the cross-fade between tiles; default 8, or 0 where the halo makes tiles exact.
        halo_px: context around each tile; default what the model's card says.
        border: what the network sees beyond the picture: `net` (its own padding), `reflect` or `wrap`.
        seamless: the picture is a texture whose opposite sides meet; the same as border `wrap`.
        ensemble: mean over the eight flips and turns of the picture; eight times as slow.
        faithful: 0 to 1, how far the result is corrected so that, shrunk again, it is the input.
        backend: `torch`, `openvino` or `onnx`; `auto` takes the fastest that is installed.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.

    Raises:
        UserError: an unknown model, precision, backend or device, or a tile with no room for its halo.
    """

    def __init__(
        self,
        model: str | Path | nn.Module | Opened = "default",
        *,
        precision: str = "auto",
        tile: int | Literal["auto"] = "auto",
        overlap_px: int | None = None,
        halo_px: int | None = None,
        border: Border = "net",
        seamless: bool = False,
        ensemble: bool = False,
        faithful: float = 0.0,
        backend: str = "torch",
        device: str = "auto",
    ) -> None:
        if border not in ("net", "reflect", "wrap"):
            raise UserError(f"There is no border {border!r}", do=did_you_mean(border, ("net", "reflect", "wrap")))
        if not 0 <= faithful <= 1:
            raise UserError(f"faithful is {faithful:g}", do="Use a number from 0 (off) to 1")
        opened = open_model(model)
        self.graph = int8.graph_of(opened.attachments)
        self.net, self.name = opened.network(), opened.name
        self.card = _card_of(self.net)
        self.scale = self.card.scale
        self.border: Border = "wrap" if seamless else border
        self.ensemble, self.faithful = ensemble, faithful
        self.precision, self.backend, self.device = precision, backend, device
        self.tile = tile
        self.multiple_of = max(1, self.card.multiple_of)
        self.halo_px = self.card.halo_px if halo_px is None else halo_px
        exact = 0 < self.card.exact_halo_px <= self.halo_px
        self.overlap_px = (0 if exact else FEATHER_PX) if overlap_px is None else overlap_px
        self._base_tiling = self._tiling_of(tile)
        self._engines: dict[str, Backend] = {}
        self.tilers: list[Tiler] = []
        """Of the newest picture, one for each pass: they know the tiles' size and whether memory ran out."""
        self.engine_for(np.dtype(np.uint8))  # an impossible choice must fail here, not at the first picture

    @property
    def translates(self) -> bool:
        """Tell whether the network paints a picture of its own of a sketch, edges or depth, which are gray mostly."""
        return self.card.network.startswith("pix2pixhd")

    def _tiling_of(self, tile: int | Literal["auto"]) -> Tiling:
        shared = {"halo_px": self.halo_px, "overlap_px": self.overlap_px, "multiple_of": self.multiple_of}
        if tile != "auto":
            return Tiling(height_px=tile, width_px=tile, **shared)
        room = 2 * self.halo_px + 4 * self.overlap_px + 8 * self.multiple_of + LEAST_ADVANCE_PX
        return Tiling(height_px=max(512, room), width_px=max(512, room), **shared)

    def engine_for(self, dtype: np.dtype) -> Backend:
        """Return the engine that runs pictures of a type; `str()` of it says the precision and why."""
        precision = self.precision
        if precision == "auto" and dtype != np.uint8:
            precision = "float32"
        if precision not in self._engines:
            self._engines[precision] = (
                int8.engine(self.net, self.graph, self.card.range, self.multiple_of)
                if self.graph is not None and precision == "auto" and devices.pick(self.device).type == "cpu"
                else fastest.pick(self.net, precision, self.device, self.backend, self.card.range, self.multiple_of)
            )
            if precision != self.precision:
                self._engines[precision].why = "pictures of more than 8 bits keep their depth"
        return self._engines[precision]

    def __call__(
        self,
        picture: np.ndarray,
        *,
        factor: float | None = None,
        size: tuple[int, int] | None = None,
        long_side: int | None = None,
        scene_linear: bool | None = None,
        progress: Reports | None = None,
    ) -> np.ndarray:
        """Upscale a picture in memory: (H, W), (H, W, 1), (H, W, 2), (H, W, 3) or (H, W, 4); straight alpha comes last.

        Integers span their whole type; floats are in [0, 1], or scene-linear light, for which values outside [0, 1] are
        taken unless `scene_linear` says. The sides are `scale` times the input's unless asked for otherwise.

        Raises:
            UserError: an array that is no such picture, or an impossible size.
        """
        channels = _check_picture(picture)
        rows = picture.reshape(*picture.shape[:2], channels)
        height, width = rows.shape[:2]
        target = target_size(height, width, self.scale, factor, size, long_side)
        pixels = survey(Pixels(channels=channels, dtype=picture.dtype), [rows], scene_linear)
        result = np.empty((*target, channels), picture.dtype)
        done = 0
        for strip in self.stream(lambda start, stop: rows[start:stop], height, width, pixels, target, progress):
            result[done : done + len(strip)] = strip
            done += len(strip)
        return result if picture.ndim == 3 else result[..., 0]

    def stream(
        self,
        read: Callable[[int, int], np.ndarray],
        height: int,
        width: int,
        pixels: Pixels,
        target: tuple[int, int],
        progress: Reports | None = None,
        around: Margins = Margins(),  # noqa: B008 - immutable
        done: Done = Done(),  # noqa: B008 - immutable
    ) -> Iterator[np.ndarray]:
        """Yield the rows of an upscaled picture from top to bottom, in the memory of one band of tiles.

        Args:
            read: rows `start` to `stop` of the picture, (h, w, C).
            height: of the picture, in pixels, without what is `around` it.
            width: likewise.
            pixels: what the picture's pixels are.
            target: (height, width) of the output.
            progress: called as tiles are done.
            around: pixels that `read` brings beyond the sides, which the network sees but the output does not show.
            done: what an interrupted call has given; the rows below it are yielded, equal to the bit.
        """
        if done.rows >= target[0]:
            return
        engine = self.engine_for(pixels.dtype)
        if engine.device.type == "cpu":
            devices.keep_freed_memory()
        run, finish = restrained(self._run(engine), pixels.curve, tints=not self.translates, alpha=pixels.pictures == 2)
        passes = self.passes(height, width, target)
        grown = self.scale**passes
        made = (height * grown, width * grown)
        rounds = made == target and pixels.are_plain and not self.overlap_px
        seen_high, seen_wide = height + around.top + around.bottom, width + around.left + around.right
        added = self._added(height, width, target, around)
        margins = Margins(*(inner + outer for inner, outer in zip(around, added)))

        def on_tile(fraction: float) -> None:
            if progress:
                progress(min(target[0], round(fraction * target[0])), target[0])

        now_high, now_wide = height + margins.top + margins.bottom, width + margins.left + margins.right
        self.tilers = []
        for number, tiling in enumerate(self._tilings(engine, now_wide, passes, rounds, pixels.pictures)):
            is_last = number == passes - 1
            if done.tiles:
                high, wide, batch = done.tiles[number]
                tiling = replace(tiling, height_px=high, width_px=wide, batch=batch)
            # What is neither resized nor cross-faded is rounded tile by tile: a band takes a quarter of the memory.
            mend = (lambda low, high: rounded(finish(low, high) if finish else high)) if is_last and rounds else finish
            self.tilers.append(Tiler(run, self.scale, tiling, on_tile if is_last else None, mend))
        # Each stage begins with the rows that the one after it needs for the first row that is wanted.
        edges = margins.times(grown)
        row = done.rows + edges.top if made == target else first_row_for(done.rows, made[0], target[0], edges)
        entries: list[Entry] = []
        for number, tiler in reversed(list(enumerate(self.tilers))):
            entries.insert(0, tiler.entry(now_high * self.scale**number, row))
            row = entries[0].reads_from
        strips = read_ahead(
            padded(
                lambda start, stop: pixels.to_net(read(start, stop)), seen_high, seen_wide, added, self.border,
                first=row,
            )
        )  # fmt: skip
        for tiler, entry in zip(self.tilers[:-1], entries):
            strips = tiler.strips(strips, now_high, now_wide, entry.band, row)
            now_high, now_wide, row = now_high * self.scale, now_wide * self.scale, entry.gives_from

        def finished(computed: Iterator[Computed]) -> Iterator[np.ndarray]:
            last, begins_at = self.tilers[-1], entries[-1].gives_from
            rows = last.blended(computed, now_high, now_wide, lend=made == target)
            if made == target:
                rows = cropped(rows, now_high * self.scale, now_wide * self.scale, edges, begins_at, done.rows)
            else:
                rows = resized(rows, made, target, edges, begins_at=begins_at, first=done.rows)
            return map(pixels.from_net, rows)

        yield from beside(self.tilers[-1].computed(strips, now_high, now_wide, entries[-1].band, row), finished)
        if progress:
            progress(target[0], target[0])

    def bands(self, height: int, width: int, pixels: Pixels, target: tuple[int, int]) -> tuple[Done, list[int]]:
        """Return the tiles that `stream` takes of a whole picture, and the rows of the output where its bands begin.

        A picture that is resized or enlarged more than once has no such rows: any row of it may begin a part.
        """
        passes, margins = self.passes(height, width, target), self._added(height, width, target, Margins())
        made = (height * self.scale**passes, width * self.scale**passes)
        rounds = made == target and pixels.are_plain and not self.overlap_px
        wide = width + margins.left + margins.right
        tilings = self._tilings(self.engine_for(pixels.dtype), wide, passes, rounds, pixels.pictures)
        done = Done(0, tuple((tiling.height_px, tiling.width_px, tiling.batch) for tiling in tilings))
        if passes > 1 or made != target:
            return done, list(range(0, target[0], self.scale * tilings[-1].height_px))
        spans = cut_into_bands(height + margins.top + margins.bottom, tilings[0].height_px, tilings[0])
        begins = ((span.keep_start + span.fade_in - margins.top) * self.scale for span in spans)
        return done, sorted({min(max(0, row), target[0] - 1) for row in begins})

    def _added(self, height: int, width: int, target: tuple[int, int], around: Margins) -> Margins:
        """Return what is laid around a picture, beside what its reader brings, for the network to see."""
        seen_high, seen_wide = height + around.top + around.bottom, width + around.left + around.right
        context = 0 if self.border == "net" or any(around) else self.context_px(height, width, target)
        return Margins(
            context,
            self._filled(seen_high + 2 * context) - seen_high - context,
            context,
            self._filled(seen_wide + 2 * context) - seen_wide - context,
        )

    def _tilings(self, engine: Backend, width: int, passes: int, rounds: bool, pictures: int) -> list[Tiling]:
        """Return the tiles of each pass; where the last one `rounds`, a band of it takes little memory."""
        held = [8 * pictures] * (passes - 1) + [1 if rounds else 8 * pictures]
        return [self._tiling(engine, width * self.scale**number, held[number]) for number in range(passes)]

    def passes(self, height: int, width: int, target: tuple[int, int]) -> int:
        """Return how often the network is run, each time on its own result, to come near the `target` size."""
        if self.scale == 1:
            return 1
        factor = max(target[0] / height, target[1] / width)
        return max(1, math.ceil(math.log(factor / RESIZE_SLACK, self.scale) - 1e-9))

    def context_px(self, height: int, width: int, target: tuple[int, int]) -> int:
        """Return on how many input pixels around it a place of the output depends, as far as the halo reaches."""
        passes = self.passes(height, width, target)
        # What later passes and the resize see is seen through the earlier passes.
        context = sum(-(-self.halo_px // self.scale**number) for number in range(passes))
        grown = self.scale**passes
        smallest = min(target[0] / (height * grown), target[1] / (width * grown))
        if smallest != 1 or target[0] * width != target[1] * height:
            context += -(-margin_for(smallest) // grown)
        return round_up(context, self.multiple_of)

    def _filled(self, side: int) -> int:
        return round_up(max(side, self.card.minimum_px), self.multiple_of)

    def _tiling(self, engine: Backend, width: int, bytes_per_value: int = 8) -> Tiling:
        if self.card.tiling == "internal":
            # Its norms look at the whole picture, so tiles would each get colours of their own.
            return replace(self._base_tiling, height_px=WHOLE_PX, width_px=WHOLE_PX)
        if self.tile != "auto":
            return self._base_tiling
        return fit_tiling(
            self._base_tiling,
            width=width,
            scale=self.scale,
            bytes_per_px=engine.bytes_per_px,
            free_bytes=devices.free_memory(engine.device),
            device=engine.device,
            bytes_per_value=bytes_per_value,
        )

    def _run(self, engine: Backend) -> Run:
        run: Run = _whole(engine) if self.card.tiling == "internal" else engine
        if self.ensemble:
            run = dihedral_mean(run)
        return corrected(run, self.faithful) if self.faithful else run

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Return all that decides the pictures, so that interrupted work is resumed only where it is the same."""
        digest = hashlib.sha256()
        for key, value in self.net.state_dict().items():
            digest.update(key.encode())
            digest.update(value.contiguous().flatten().view(-1).cpu().numpy().tobytes())
        if self.graph is not None:
            digest.update(self.graph.structure + self.graph.constants)
        # What `auto` takes may differ from one run to the next.
        engine = self.engine_for(np.dtype(np.uint8))
        names = ("precision", "backend", "tile", "halo_px", "overlap_px", "border", "ensemble", "faithful")
        told = {name: getattr(self, name) for name in names}
        return {"weights": digest.hexdigest(), "engine": f"{engine.name} {engine.precision}", **told}

    def seam_error(self, picture: np.ndarray, crops: int = 4) -> SeamError:
        """Return how far tiles are from the untiled network on random crops of a picture: (H, W, C), as for a call."""
        channels = _check_picture(picture)
        pixels = replace(Pixels(channels=channels, dtype=picture.dtype), opaque=True)
        seen = pixels.to_net(picture.reshape(*picture.shape[:2], channels))
        engine = self.engine_for(picture.dtype)
        tiling = self._tiling(engine, seen.shape[3])
        return seam_error(self._run(engine), seen, self.scale, tiling, crops=crops)


def corrected(run: Run, strength: float, rounds: int = 2) -> Run:
    """Return a network whose result, shrunk again, is nearer to its input: what is missing is added back."""

    def project(low: Tensor) -> Tensor:
        high = run(low)
        small, large = _size(low), _size(high)
        if small == large:
            return high
        for _ in range(rounds):
            missing = low - _resize(high, large, small)
            high = high + strength * _resize(missing, small, large)
        return high

    return project


def _size(picture: Tensor) -> tuple[int, int]:
    return picture.shape[2], picture.shape[3]


def _resize(picture: Tensor, size: tuple[int, int], target: tuple[int, int]) -> Tensor:
    return torch.cat(list(resized(iter([picture]), size, target)), dim=2)


def _check_picture(picture: np.ndarray) -> int:
    """Return the channels of a picture in memory."""
    shape = picture.shape
    if picture.ndim not in (2, 3) or 0 in shape or (picture.ndim == 3 and not 1 <= shape[2] <= 4):
        raise UserError(
            f"An array of shape {shape} is no picture", do="Give (H, W) or (H, W, C) with 1 to 4 channels and pixels"
        )
    if picture.dtype.name not in DTYPES:
        raise UserError(f"Pictures of {picture.dtype} are not known", do=f"Use {', '.join(DTYPES)}")
    return 1 if picture.ndim == 2 else shape[2]


def _whole(engine: Backend) -> Run:
    """Return an engine that says so when a picture does not fit, instead of being given halves of it."""

    def run(picture: torch.Tensor) -> torch.Tensor:
        try:
            return engine(picture)
        except (RuntimeError, MemoryError) as error:
            if not devices.is_out_of_memory(error):
                raise
            what = f"A picture of {picture.shape[3]}x{picture.shape[2]} does not fit into memory"
            why = "This network looks at the whole picture, so it cannot be cut into tiles"
            raise UserError(what, why, "Use a smaller picture") from error

    return run


def _card_of(net: nn.Module) -> Card:
    """Return a network's card; for a plain module one with what can be found out by looking at it.

    Raises:
        UserError: it does not turn (B, 3, H, W) into (B, 3, scale H, scale W).
    """
    card = getattr(net, "card", None)
    halo = int(getattr(net, "receptive_halo_px", 0))
    unit = max(int(getattr(net, "unshuffle", 1)), card.multiple_of if card else 1)
    if isinstance(card, Card):
        if card.input != "picture" or (card.channels_in, card.channels_out) != (3, 3):
            why = f"{card.network} takes {card.input} of {card.channels_in} channels and gives {card.channels_out}"
            raise UserError("This network is no upscaler", why, "Use one that takes and gives RGB pictures")
        return replace(card, multiple_of=unit)
    side = round_up(16, unit)
    with torch.inference_mode():
        shape = net(torch.zeros(1, 3, side, side, device=next((p.device for p in net.parameters()), None))).shape
    if len(shape) != 4 or shape[1] != 3 or shape[2] != shape[3] or shape[2] % side:
        raise UserError("This network is no upscaler", f"It turns (1, 3, {side}, {side}) into {tuple(shape)}")
    standard = Card(network="", scale=shape[2] // side)
    return replace(standard, multiple_of=unit, halo_px=min(halo or standard.halo_px, 32), exact_halo_px=halo)
