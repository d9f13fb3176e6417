"""Upscale picture files, many at once, none of them able to stop the others; and previews of a part."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ganvas.errors import UserError
from ganvas.inference.options import Region
from ganvas.inference.picture import jobs
from ganvas.inference.picture.options import Naming
from ganvas.inference.picture.pages import upscale_any
from ganvas.inference.picture.sizes import target_size
from ganvas.inference.picture.streaming import Output, check_crop, pixels_of, upscale_file, upscaled
from ganvas.inference.picture.upscale import Upscaler
from ganvas.inference.result import Job, Progress, Result, Taken, report_problems, run_batch
from ganvas.inference.rows.resample import resized
from ganvas.io.pictures.captioned import LINE_PX
from ganvas.io.pictures.captions import caption
from ganvas.io.pictures.images import Reader

__all__ = ["Output", "preview", "run_jobs", "upscale_file", "upscale_files"]

PREVIEW_GAP_PX = 8


def upscale_files(
    up: Upscaler,
    inputs: Sequence[str | Path],
    out: str | Path | None = None,
    output: Output | None = None,
    *,
    pattern: str = "",
    format: str = "",
    skip_existing: bool = False,
    progress: Progress | None = None,
) -> list[Result]:
    """Upscale files, folders and globs; what fails is told in its result, and the others are still done.

    Args:
        out: a folder, made if need be, in which names and sub-folders are kept; or a file, for a single input; None
            writes beside each input.
        pattern: name of each output without its extension; see `jobs`.
        format: extension of all outputs.
        skip_existing: pass over a single output that is there; of many they are always passed over.
        progress: told the rows of each input, and its result.

    Raises:
        UserError: a pattern with unknown fields, or a folder that cannot be made.
    """
    output = output or Output()
    naming = Naming(pattern=pattern, format=format, skip_existing=skip_existing)
    plan = jobs.plan(inputs, None if out is None else Path(out), naming, output, up.name, up.scale)
    return [
        *report_problems(plan.problems, progress),
        *run_jobs(up, plan.pictures, output, plan.many or skip_existing, progress),
    ]


def run_jobs(
    up: Upscaler, pictures: Sequence[Job], output: Output, skips: bool, progress: Progress | None = None
) -> list[Result]:
    """Upscale pictures one after the other; with `skips`, outputs that exist are passed over."""
    taken = Taken("Name outputs apart, as --pattern '{name}-{ext}' does")

    def work(job: Job, progress: Progress) -> Result:
        taken.claim(job)
        if skips and not output.overwrite and job.target.exists():
            return Result(input=str(job.source), output=str(job.target), skipped=True)
        make_folder(job.target.parent)
        return upscale_any(up, Path(job.source), job.target, output, progress)

    return run_batch(pictures, work, progress)


def make_folder(folder: Path) -> None:
    """Make a folder for outputs.

    Raises:
        UserError: it cannot be made.
    """
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

    Their names stand above the parts.

    Args:
        ups: the models; each is run on what it would see in the whole picture.
        crop: the part, in pixels of the input.
        factor: enlargement of all of them; default the largest scale among the models.

    Raises:
        UserError: an input that is no picture, or a part that does not lie in it.
    """
    with Reader(source) as reader:
        header = reader.header
        region = check_crop(crop, header)
        scale = max((up.scale for up in ups), default=4)
        wanted = target_size(region[3], region[2], scale, factor)
        columns = [_bicubic(reader, region, wanted)]
        for up in ups:
            columns.append(np.concatenate(list(upscaled(up, reader, Output(), wanted, None, region)[0])))
    # Of a gray sketch a network may paint colours.
    channels = max(column.shape[-1] for column in columns)
    columns = [np.broadcast_to(column, (*column.shape[:2], channels)) for column in columns]
    gap = np.ones((wanted[0], PREVIEW_GAP_PX, channels), columns[0].dtype)
    gap *= 1 if header.dtype.startswith("float") else np.iinfo(header.dtype).max
    parts = [part for column in columns for part in (gap, column)][1:]
    names = ["bicubic", *(up.name for up in ups)]
    return np.concatenate([_named(names, columns[0], gap), np.concatenate(parts, axis=1)]), names


def _named(names: Sequence[str], column: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """Return a line with names above columns of one width, with gaps between them, in the columns' values."""
    captions = [caption(name, column.shape[1], LINE_PX).mean(-1, keepdims=True) for name in names]
    white = gap[:1, :, :1].repeat(LINE_PX, 0)
    scaled = [white[:1, :1] * one for one in captions]
    parts = [part for one in scaled for part in (white, one)][1:]
    line = np.concatenate(parts, axis=1).astype(column.dtype)
    line = np.broadcast_to(line, (*line.shape[:2], column.shape[-1])).copy()
    if column.shape[-1] in (2, 4):
        line[..., -1] = gap.flat[0]  # opaque
    return line


def _bicubic(reader: Reader, region: Region, wanted: tuple[int, int]) -> np.ndarray:
    x, y, width, height = region
    pixels, _ = pixels_of(reader, reader.header.scene_linear)
    rows = reader.rows(y, y + height)[:, x : x + width]
    strips = resized(iter([pixels.to_net(rows)]), (height, width), wanted)
    return np.concatenate([pixels.from_net(strip) for strip in strips])
