"""Upscale picture files: streamed from reader to writer, many at once, none of them able to stop the others."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ganvas import device as devices
from ganvas.errors import UserError
from ganvas.inference.options import Region
from ganvas.inference.picture.options import Sizing, Writing
from ganvas.inference.picture.upscale import Upscaler, target_size
from ganvas.inference.result import Job, Progress, Reports, Result, Taken, report_problems, run_batch
from ganvas.inference.rows.pixels import Pixels, survey
from ganvas.inference.rows.resample import resized
from ganvas.inference.rows.strips import Margins
from ganvas.io.pictures.images import (
    WRITABLE,
    WRITTEN_WHOLE,
    Header,
    Reader,
    Writer,
    decoded_bytes,
    find_pictures,
)

STRIP_PX = 64

LEAST_SHARE = {"jpeg": 0.02, "webp": 0.01, "jpegxl": 0.01, "png": 0.1, "tiff": 0.1, "exr": 0.1, "targa": 0.1}
"""The least part of the raw size that a picture of a format takes on disk; others are stored raw."""

PREVIEW_GAP_PX = 8


@dataclass(frozen=True, kw_only=True)
class Output(Sizing, Writing):
    """What the output shall be."""

    crop: Region | None = None
    """Only this part of the input, computed as in the whole: x, y, width, height in pixels."""
    tile_px: int = 0
    """A multiple of 16 writes TIFF and EXR in tiles."""


def upscale_file(
    up: Upscaler,
    source: str | Path,
    target: str | Path,
    output: Output = Output(),
    progress: Reports | None = None,
) -> Result:
    """Upscale one file as a stream: depth, channels, profile and metadata stay; memory is that of one band of tiles.

    All that can be checked is checked before the first row; nothing half-written is left behind.

    Raises:
        UserError: an input that is no picture, an output that cannot be written, too little memory or disk.
    """
    began = time.perf_counter()
    with Reader(source) as reader:
        header = reader.header
        region = _check_crop(output.crop, header)
        wanted = target_size(region[3], region[2], up.scale, output.factor, output.size, output.long_side)
        writer = Writer(
            target,
            header,
            wanted[1],
            wanted[0],
            overwrite=output.overwrite,
            quality=output.quality,
            allow_loss=output.allow_loss,
            tile_px=output.tile_px,
        )
        _check_memory(header, writer.target)
        _check_disk(Path(target), writer.target)
        with writer:
            for rows in _upscaled(up, reader, region, wanted, output.scene_linear, progress):
                writer.write_rows(rows)
    return Result(
        input=str(source),
        output=str(target),
        width=wanted[1],
        height=wanted[0],
        seconds=round(time.perf_counter() - began, 3),
        precision=up.engine_for(np.dtype(header.dtype)).precision,
        tile=_describe_tiles(up),
        note=writer.target.note,
    )


def _upscaled(
    up: Upscaler,
    reader: Reader,
    region: Region,
    wanted: tuple[int, int],
    scene_linear: bool | None,
    progress: Reports | None,
) -> Iterator[np.ndarray]:
    header = reader.header
    x, y, width, height = region
    pixels = _pixels(reader, header.scene_linear if scene_linear is None else scene_linear)
    if (width, height) == (header.width, header.height):
        return up.stream(reader.rows, height, width, pixels, wanted, progress)
    # Beyond the part that is shown the network must see what it would see in the whole picture.
    unit, context = up.multiple_of, up.context_px(height, width, wanted)
    left, top = max(0, x - context) // unit * unit, max(0, y - context) // unit * unit
    right, bottom = min(header.width, x + width + context), min(header.height, y + height + context)

    def read(start: int, stop: int) -> np.ndarray:
        return reader.rows(top + start, top + stop)[:, left:right]

    around = Margins(y - top, bottom - y - height, x - left, right - x - width)
    return up.stream(read, height, width, pixels, wanted, progress, around)


def _pixels(reader: Reader, scene_linear: bool) -> Pixels:
    header = reader.header
    pixels = Pixels(channels=header.channels, dtype=np.dtype(header.dtype), associated_alpha=header.associated_alpha)
    if not (pixels.has_alpha or scene_linear):
        return pixels
    # Reading twice costs far less than running a network on an alpha that is 1 everywhere.
    strips = (reader.rows(y, min(header.height, y + STRIP_PX)) for y in range(0, header.height, STRIP_PX))
    return survey(pixels, strips, scene_linear)


def _check_crop(crop: Region | None, header: Header) -> Region:
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


def _describe_tiles(up: Upscaler) -> str:
    tiling = up.tilers[-1].tiling
    halvings = sum(tiler.halvings for tiler in up.tilers)
    size = f"{tiling.width_px}x{tiling.height_px}"
    return f"{size}, cut to {up.tilers[-1].limit_px} when memory ran out" if halvings else size


def upscale_files(
    up: Upscaler,
    inputs: Sequence[str | Path],
    out: str | Path,
    output: Output = Output(),
    *,
    pattern: str = "{name}",
    progress: Progress | None = None,
) -> list[Result]:
    """Upscale files, folders and globs; what fails is told in its result, and the others are still done.

    Args:
        out: a folder, made if need be, in which names and sub-folders are kept; or a file, for a single input.
        pattern: name of each output without its extension; `{name}`, `{model}` and `{scale}` are filled in.
        progress: told the rows of each input, and its result.

    Raises:
        UserError: a pattern with unknown fields, or a folder that cannot be made.
    """
    found, problems = _found(inputs, Path(out))
    jobs = [Job(*pair) for pair in _jobs(up, found, Path(out), pattern)]
    taken = Taken("Give --pattern or --out")

    def work(job: Job, progress: Progress) -> Result:
        taken.claim(job)
        _make_folder(job.target.parent)
        return upscale_file(up, job.source, job.target, output, progress)

    return [*report_problems(problems, progress), *run_batch(jobs, work, progress)]


def _found(inputs: Sequence[str | Path], out: Path) -> tuple[dict[Path, Path], list[tuple[str, str]]]:
    """Return the pictures of all inputs, each with the path that it has below its input, and what is wrong."""
    found: dict[Path, Path] = {}
    problems: list[tuple[str, str]] = []
    for given in inputs:
        pictures, wrong = find_pictures([given])
        problems += wrong
        root = Path(given)
        for path in pictures:
            # What an earlier call put into a folder inside the input must not be upscaled again.
            if not (root.is_dir() and root.resolve() != out.resolve() and path.resolve().is_relative_to(out.resolve())):
                found.setdefault(path, path.relative_to(root) if root.is_dir() else Path(path.name))
    return found, problems


def _jobs(up: Upscaler, found: Mapping[Path, Path], out: Path, pattern: str) -> list[tuple[Path, Path]]:
    if len(found) == 1 and out.suffix and not out.is_dir():
        return [(source, out) for source in found]
    jobs = []
    for source, below in found.items():
        try:
            name = pattern.format(name=below.stem, model=up.name, scale=up.scale)
        except (KeyError, IndexError, ValueError) as error:
            raise UserError(
                f"The pattern {pattern!r} cannot be filled in", str(error), "Use {name}, {model} and {scale}"
            ) from error
        suffix = source.suffix if source.suffix.lower() in WRITABLE else ".png"
        jobs.append((source, out / below.parent / f"{name}{suffix}"))
    return jobs


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"Cannot make the folder {folder}", error.strerror or str(error), "Choose another --out"
        ) from error


def preview(
    source: str | Path, ups: Sequence[Upscaler], crop: Region, factor: float | None = None
) -> tuple[np.ndarray, list[str]]:
    """Return a part of a picture by bicubic and by every model side by side, left to right, and their names.

    Args:
        ups: the models; each is run on what it would see in the whole picture.
        crop: the part, in pixels of the input.
        factor: enlargement of all of them; default the largest scale among the models.

    Raises:
        UserError: an input that is no picture, or a part that does not lie in it.
    """
    with Reader(source) as reader:
        header = reader.header
        region = _check_crop(crop, header)
        scale = max((up.scale for up in ups), default=4)
        wanted = target_size(region[3], region[2], scale, factor)
        columns = [_bicubic(reader, region, wanted)]
        columns += [np.concatenate(list(_upscaled(up, reader, region, wanted, None, None))) for up in ups]
    gap = np.ones((wanted[0], PREVIEW_GAP_PX, header.channels), columns[0].dtype)
    gap *= 1 if header.dtype.startswith("float") else np.iinfo(header.dtype).max
    parts = [part for column in columns for part in (gap, column)][1:]
    return np.concatenate(parts, axis=1), ["bicubic", *(up.name for up in ups)]


def _bicubic(reader: Reader, region: Region, wanted: tuple[int, int]) -> np.ndarray:
    x, y, width, height = region
    pixels = _pixels(reader, reader.header.scene_linear)
    rows = reader.rows(y, y + height)[:, x : x + width]
    strips = resized(iter([pixels.to_net(rows)]), (height, width), wanted)
    return np.concatenate([pixels.from_net(strip) for strip in strips])
