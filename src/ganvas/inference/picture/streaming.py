"""One picture through a network as a stream of rows, from its file to another; and what is done with its alpha."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from ganvas import device as devices
from ganvas.errors import UserError
from ganvas.inference.options import Region
from ganvas.inference.picture import translation
from ganvas.inference.picture.kept import kept_rows
from ganvas.inference.picture.options import Alpha, Sizing, Writing
from ganvas.inference.picture.sizes import target_size
from ganvas.inference.picture.upscale import Done, Upscaler
from ganvas.inference.result import Reports, Result
from ganvas.inference.rows.pixels import Pixels, survey
from ganvas.inference.rows.strips import Margins
from ganvas.inference.rows.threads import WriteBehind
from ganvas.io.pictures.images import WRITTEN_WHOLE, Header, Reader, Writer, decoded_bytes

STRIP_PX = 64

LEAST_SHARE = {"jpeg": 0.02, "webp": 0.01, "jpegxl": 0.01, "png": 0.1, "tiff": 0.1, "exr": 0.1, "targa": 0.1}
LEAST_SHARE |= {"avif": 0.005, "heif": 0.005, "dds": 0.1, "gif": 0.01}
"""The least part of the raw size that a picture of a format takes on disk; others are stored raw."""


@dataclass(frozen=True, kw_only=True)
class Output(Sizing, Writing):
    """What the output shall be."""

    crop: Region | None = None
    """Only this part of the input, computed as in the whole: x, y, width, height in pixels."""
    tile_px: int = 0
    """A multiple of 16 writes TIFF and EXR in tiles."""


class Rows(Protocol):
    """Rows of a picture, from a file or made of those of a file."""

    @property
    def header(self) -> Header:
        """What the rows are."""
        ...

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Return rows start to stop as (stop - start, width, channels)."""
        ...


class _Channels:
    """Some of the channels of a picture."""

    def __init__(self, reader: Rows, header: Header, channels: slice) -> None:
        self._reader, self.header, self._channels = reader, header, channels

    def rows(self, start: int, stop: int) -> np.ndarray:
        return self._reader.rows(start, stop)[..., self._channels]


def without_alpha(reader: Rows) -> Rows:
    """Return a picture's colours as they are stored, alone."""
    header = reader.header
    if not header.has_alpha:
        return reader
    opaque = replace(header, channels=header.channels - 1, associated_alpha=False)
    return _Channels(reader, opaque, slice(0, header.channels - 1))


def alpha_alone(reader: Rows) -> Rows:
    """Return a picture's alpha as a gray picture, without what describes its colours."""
    header = reader.header
    kept = tuple(item for item in header.metadata if item[0] not in ("ICCProfile", "CICP"))
    gray = replace(header, channels=1, associated_alpha=False, metadata=kept, note="")
    return _Channels(reader, gray, slice(header.channels - 1, header.channels))


def upscale_file(
    up: Upscaler,
    source: str | Path,
    target: str | Path,
    output: Output = Output(),
    progress: Reports | None = None,
) -> Result:
    """Upscale one file as a stream: depth, channels, profile and metadata stay; memory is that of one band of tiles.

    All that can be checked is checked before the first row; nothing half-written is left behind. Of a file of more
    than one picture the first is taken (see `pages`).

    Raises:
        UserError: an input that is no picture, an output that cannot be written, too little memory or disk.
    """
    with Reader(source) as reader:
        if output.alpha == "separate" and reader.header.has_alpha:
            return _upscale_separately(up, reader, source, Path(target), output, progress)
        return _upscale_rows(up, seen(reader, output.alpha), source, Path(target), output, progress)


def seen(reader: Rows, alpha: Alpha) -> Rows:
    """Return the picture that a network is to see."""
    return without_alpha(reader) if alpha in ("ignore", "separate") else reader


def _upscale_separately(
    up: Upscaler, reader: Reader, source: str | Path, target: Path, output: Output, progress: Reports | None
) -> Result:
    beside = target.with_name(f"{target.stem}_alpha{target.suffix}")
    if beside.exists() and not output.overwrite:
        raise UserError(f"{beside} exists already", do="Choose another name, or give --overwrite")
    colours = _upscale_rows(up, without_alpha(reader), source, target, output, progress)
    gray = beside if target.suffix.lower() not in (".webp", ".avif") else beside.with_suffix(".png")
    alpha = _upscale_rows(up, alpha_alone(reader), source, gray, output, progress)
    note = "; ".join(text for text in (f"alpha is {gray.name}", colours.note) if text)
    return replace(colours, seconds=colours.seconds + alpha.seconds, note=note)


def _upscale_rows(
    up: Upscaler, reader: Rows, source: str | Path, target: Path, output: Output, progress: Reports | None
) -> Result:
    began = time.perf_counter()
    header = reader.header
    region = check_crop(output.crop, header)
    wanted = target_size(region[3], region[2], up.scale, output.factor, output.size, output.long_side)
    writer = writer_for(target, translation.header_for(up, header), (wanted[1], wanted[0]), output)
    asked = {"alpha": output.alpha, "scene_linear": output.scene_linear, "channels": header.channels}
    with kept_rows(up, source, writer, region, asked) as kept, writer:
        done = kept.restore(writer.write_rows) if kept else Done()
        rows, hidden = upscaled(up, reader, output, wanted, progress, region, done)
        keeping = kept.behind() if kept else contextlib.nullcontext(lambda _: None)
        with keeping as keep, WriteBehind(writer.write_rows) as put:
            for strip in rows:
                keep(strip)
                put(strip)
    note = "; ".join(text for text in (writer.target.note, kept.note if kept else "") if text)
    if hidden and output.alpha == "auto" and not header.associated_alpha:
        note = "; ".join(text for text in (note, HIDDEN) if text)
    return result_of(up, source, target, (wanted[1], wanted[0]), began, header, note)


HIDDEN = "colours where alpha is 0 are not kept; --alpha keep-rgb keeps them"


def writer_for(target: Path, header: Header, size: tuple[int, int], output: Output) -> Writer:
    """Return the writer of a picture of `size` (width, height), memory and disk checked.

    Raises:
        UserError: the picture cannot be written there, or is too large.
    """
    writer = Writer(
        target, header, *size, overwrite=output.overwrite, quality=output.quality, allow_loss=output.allow_loss,
        tile_px=output.tile_px,
    )  # fmt: skip
    _check_memory(header, writer.target)
    _check_disk(target, writer.target)
    return writer


def result_of(
    up: Upscaler, source: str | Path, target: Path, size: tuple[int, int], began: float, header: Header, note: str
) -> Result:
    """Return the result of a picture of `size` (width, height) that was written."""
    return Result(
        input=str(source), output=str(target), width=size[0], height=size[1],
        seconds=round(time.perf_counter() - began, 3), precision=up.engine_for(np.dtype(header.dtype)).precision,
        tile=describe_tiles(up), note=note,
    )  # fmt: skip


def upscaled(
    up: Upscaler,
    reader: Rows,
    output: Output,
    wanted: tuple[int, int],
    progress: Reports | None,
    region: Region | None = None,
    done: Done = Done(),  # noqa: B008 - immutable
) -> tuple[Iterator[np.ndarray], bool]:
    """Return the rows of a picture, or of a part, at the `wanted` (height, width), and whether it hides colours.

    Colours are hidden where alpha is 0 and they are not. Rows that are `done` are left out.
    """
    header = reader.header
    pixels, hidden = pixels_for(up, reader, output)
    region = region or (0, 0, header.width, header.height)
    return _streamed(up, reader, region, wanted, pixels, progress, done), hidden


def pixels_for(up: Upscaler, reader: Rows, output: Output) -> tuple[Pixels, bool]:
    """Return what a picture's pixels are to a model, and whether it has colours where its alpha is 0."""
    header = reader.header
    scene_linear = header.scene_linear if output.scene_linear is None else output.scene_linear
    translated = translation.pixels_for(up, header)
    pixels, hidden = (translated, False) if translated else pixels_of(reader, scene_linear)
    if output.alpha == "keep-rgb":
        # Colours are given to the network as they are stored, as those of a file are that were multiplied before.
        pixels = replace(pixels, associated_alpha=True)
    return pixels, hidden


def _streamed(
    up: Upscaler,
    reader: Rows,
    region: Region,
    wanted: tuple[int, int],
    pixels: Pixels,
    progress: Reports | None,
    done: Done,
) -> Iterator[np.ndarray]:
    header = reader.header
    x, y, width, height = region
    if (width, height) == (header.width, header.height):
        return up.stream(reader.rows, height, width, pixels, wanted, progress, done=done)
    # Beyond the part that is shown the network must see what it would see in the whole picture.
    unit, context = up.multiple_of, up.context_px(height, width, wanted)
    left, top = max(0, x - context) // unit * unit, max(0, y - context) // unit * unit
    right, bottom = min(header.width, x + width + context), min(header.height, y + height + context)

    def read(start: int, stop: int) -> np.ndarray:
        return reader.rows(top + start, top + stop)[:, left:right]

    around = Margins(y - top, bottom - y - height, x - left, right - x - width)
    return up.stream(read, height, width, pixels, wanted, progress, around, done)


def pixels_of(reader: Rows, scene_linear: bool) -> tuple[Pixels, bool]:
    """Return what a picture's pixels are, and whether it has colours where its alpha is 0."""
    header = reader.header
    pixels = Pixels(channels=header.channels, dtype=np.dtype(header.dtype), associated_alpha=header.associated_alpha)
    if not (pixels.has_alpha or scene_linear):
        return pixels, False
    hidden = False

    def looked_through() -> Iterator[np.ndarray]:
        nonlocal hidden
        for y in range(0, header.height, STRIP_PX):
            rows = reader.rows(y, min(header.height, y + STRIP_PX))
            hidden |= pixels.has_alpha and bool(((rows[..., -1] == 0) & (rows[..., :-1] != 0).any(axis=-1)).any())
            yield rows

    # Reading twice costs far less than running a network on an alpha that is 1 everywhere.
    return survey(pixels, looked_through(), scene_linear), hidden


def check_crop(crop: Region | None, header: Header) -> Region:
    """Return the part of a picture that is asked for, or all of it.

    Raises:
        UserError: it does not lie in the picture.
    """
    if crop is None:
        return 0, 0, header.width, header.height
    x, y, width, height = crop
    if min(x, y) < 0 or min(width, height) < 1 or x + width > header.width or y + height > header.height:
        raise UserError(
            f"The crop {x},{y},{width},{height} does not lie in {header.path}",
            f"The picture is {header.width} x {header.height} pixels",
            "Give --crop as X,Y,WIDTH,HEIGHT in pixels of the input",
        )
    return crop


def _raw_bytes(header: Header) -> int:
    return header.width * header.height * header.channels * np.dtype(header.dtype).itemsize


def _check_memory(source: Header, target: Header) -> None:
    free = devices.free_memory(devices.pick("cpu"))
    if source.interlaced and decoded_bytes(source) > 0.8 * free:
        raise _too_large(
            f"Cannot read {source.path}",
            f"This {source.format} file can only be decoded whole",
            decoded_bytes(source),
            free,
        )
    if target.format in WRITTEN_WHOLE and 2 * _raw_bytes(target) > 0.8 * free:
        raise _too_large("The output is too large", f"{target.format} is encoded whole", 2 * _raw_bytes(target), free)


def _too_large(what: str, why: str, needed: int, free: int) -> UserError:
    return UserError(
        what,
        f"{why}, which takes {needed / 2**30:.1f} GB, and {free / 2**30:.1f} GB are free",
        "Use PNG, TIFF or EXR, which are streamed",
    )


def _check_disk(path: Path, target: Header) -> None:
    least = int(_raw_bytes(target) * LEAST_SHARE.get(target.format, 1.0))
    free = shutil.disk_usage(path.parent).free
    if least > free:
        raise UserError(
            f"Cannot write {path}",
            f"It takes at least {least / 2**20:.0f} MB, and {free / 2**20:.0f} MB are free on the disk",
            "Free some space or choose another folder",
        )


def describe_tiles(up: Upscaler) -> str:
    """Return the size of the tiles of the newest picture, and whether memory ran out."""
    tiling = up.tilers[-1].tiling
    halvings = sum(tiler.halvings for tiler in up.tilers)
    size = f"{tiling.width_px}x{tiling.height_px}"
    return f"{size}, cut to {up.tilers[-1].limit_px} when memory ran out" if halvings else size
