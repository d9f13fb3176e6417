"""Runs models that take a picture: larger pictures and videos. The card says which of three ways a model is run.

plain      a network over tiles, for any picture and video      files.py, video.py
guided     an upres net with its guide, tile by tile            tiled.py
planes     a net with label or class planes, whole pictures     conditioned.py
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from ganvas.data.guides import Origin
from ganvas.errors import UserError
from ganvas.inference.open import Opened
from ganvas.inference.options import part, refuse
from ganvas.inference.picture import jobs
from ganvas.inference.picture.conditioned import Conditioned
from ganvas.inference.picture.files import Output, make_folder, run_jobs
from ganvas.inference.picture.options import (
    FilmOptions,
    GuidedOptions,
    Losing,
    Naming,
    Options,
    PictureOptions,
    PlainOptions,
    PlanesOptions,
    Running,
    Sizing,
)
from ganvas.inference.picture.sizes import target_size
from ganvas.inference.picture.tiled import Choices, Upres
from ganvas.inference.picture.upscale import Upscaler
from ganvas.inference.picture.video import VideoOptions, source_header, upscale_video
from ganvas.inference.result import Job, Progress, Result, Taken, report_problems, run_batch
from ganvas.io.pictures import images
from ganvas.io.pictures.tensors import from_tensor, to_tensor
from ganvas.io.video.headers import Cut
from ganvas.protocol import Card

__all__ = ["Options", "run", "takes_guide", "way_of"]


class Way(NamedTuple):
    """One way to run a model that takes a picture."""

    Options: type
    """What it honours."""
    why: str
    """Why it honours nothing else."""
    run: Callable[[Opened, Any, Progress], list[Result]]


def run(opened: Opened, options: Options, progress: Progress) -> list[Result]:
    """Enlarge pictures, folders, globs and videos; what fails is told in its result, and the others are still done.

    Raises:
        UserError: the model cannot be run so, or has no use for an option; nothing was written then.
    """
    way = way_of(opened.card)
    check(opened, options)
    return way.run(opened, part(options, way.Options), progress)


def check(opened: Opened, options: Options) -> None:
    """Refuse what the model, or a video among the inputs, cannot honour.

    Raises:
        UserError: an option means nothing here.
    """
    way = way_of(opened.card)
    refuse(options, [way.Options], str(opened), way.why)


def way_of(card: Card) -> Way:
    """Return how a model is run."""
    return GUIDED if takes_guide(card) else PLANES if "conditions" in card.extra else PLAIN


def takes_guide(card: Card) -> bool:
    """Tell whether a model is told more of each picture than its pixels: landmarks, labels, edges."""
    return "upres" in card.extra


# A plain network


def _run_plain(opened: Opened, options: PlainOptions, progress: Progress) -> list[Result]:
    up = upscaler(opened, options)
    sizing, naming = part(options, Sizing), part(options, Naming)
    plan = jobs.plan(options.inputs, options.out, naming, sizing, up.name, up.scale)
    if not plan.videos:
        why = "It is for videos and numbered frames, and there are none among the inputs"
        refuse(options, [PictureOptions], "a picture", why)
    if not plan.pictures:
        why = "A video is written by a codec, frame by frame, with its own depth and colours"
        refuse(options, [FilmOptions], str(plan.videos[0].source) if plan.videos else "a video", why)
    progress.say(f"{up.name}: {up.engine_for(np.dtype(np.uint8))}")
    if options.report_seams and plan.pictures:
        _report_seams(up, Path(plan.pictures[0].source), progress)
    skips = plan.many or options.skip_existing
    results = report_problems(plan.problems, progress)
    results += _upscale_videos(up, plan.videos, options, skips and not options.overwrite, progress)
    if plan.pictures and not progress.token.is_cancelled:
        results += run_jobs(up, plan.pictures, part(options, Output), skips, progress)
    return results


_KEPT: WeakKeyDictionary[Opened, dict[Running, Upscaler]] = WeakKeyDictionary()


def keep_ready(opened: Opened) -> None:
    """Make a model ready once for all calls of `run` to come, which must not overlap."""
    _KEPT[opened] = {}


def upscaler(opened: Opened, options: Running) -> Upscaler:
    """Return a plain network made ready for pictures.

    Raises:
        UserError: as `Upscaler`.
    """
    running, kept = part(options, Running), _KEPT.get(opened, {})
    if running not in kept:
        kept.clear()
        kept[running] = Upscaler(opened, **{name: getattr(running, name) for name in _OF_UPSCALER})
    return kept[running]


_OF_UPSCALER = (
    "precision", "tile", "overlap_px", "halo_px", "border", "seamless", "ensemble", "faithful", "backend", "device",
)  # fmt: skip


def _report_seams(up: Upscaler, picture: Path, progress: Progress) -> None:
    error = up.seam_error(images.read(picture)[0])
    progress.say(
        f"Seams on {picture}, {error.crops} crops: at most {255 * error.maximum:.3f} and in the mean square "
        f"{255 * error.rms:.4f} gray levels of 255 from the untiled network"
    )


def _upscale_videos(
    up: Upscaler, videos: Sequence[Job], options: PlainOptions, skips: bool, progress: Progress
) -> list[Result]:
    written = video_options(options)
    taken = Taken("Name outputs apart, as --pattern '{name}-{ext}' does")

    def work(job: Job, progress: Progress) -> Result:
        taken.claim(job)
        if skips and job.target.exists():
            return Result(input=str(job.source), output=str(job.target), skipped=True)
        size = _video_size(up, str(job.source), options)
        make_folder(job.target.parent)
        scale = up.scale if options.factor is None else options.factor

        def grow(frame: np.ndarray) -> np.ndarray:
            return up(frame, size=size) if size else up(frame, factor=scale)

        result = upscale_video(
            job.source, job.target, grow, scale=scale, size=size, settings=up.identity, options=written,
            progress=progress,
        )  # fmt: skip
        return replace(result, precision=up.precision, tile=str(up.tile))

    return run_batch(videos, work, progress)


def video_options(options: PlainOptions) -> VideoOptions:
    """Return what was asked for of videos.

    Raises:
        UserError: a time is written otherwise than it must be, or the end is not after the beginning.
    """
    begin, end = read_time(options.begin or "0"), read_time(options.end) if options.end else None
    if end is not None and end <= begin:
        raise UserError(f"--to {options.end} is not after --from {options.begin or 0}")
    usual = options.quality == Losing.quality
    return VideoOptions(
        codec=options.codec, quality=options.crf, percent=None if usual else options.quality, fps=options.fps,
        overwrite=options.overwrite, strict=options.strict, cut=Cut(begin, end), deinterlace=options.deinterlace,
    )  # fmt: skip


def read_time(text: str) -> Fraction:
    """Return seconds, written as 83.5 or 1:23.5 or 0:01:23.5.

    Raises:
        UserError: the time is written otherwise.
    """
    seconds = Fraction(0)
    for word in text.strip().split(":"):
        if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", word):
            raise UserError(f"{text!r} is no time", do="Write seconds, or hours:minutes:seconds as 1:02:03.5")
        seconds = 60 * seconds + Fraction(word)
    return seconds


def _video_size(up: Upscaler, name: str, options: PlainOptions) -> tuple[int, int] | None:
    if options.long_side is None and options.size is None:
        return None
    header = source_header(name)
    sides = target_size(header.height, header.width, up.scale, size=options.size, long_side=options.long_side)
    if options.size is None or 0 in options.size:
        # What was not asked for to the pixel is made even, as most codecs keep one colour for two by two.
        sides = (sides[0] + sides[0] % 2, sides[1] + sides[1] % 2)
    return sides[1], sides[0]


# An upres net with its guide


def _run_guided(opened: Opened, options: GuidedOptions, progress: Progress) -> list[Result]:
    upres = Upres(opened, options)
    choices: Choices = {}

    def work(job: Job, progress: Progress) -> Result:
        return _upres_file(upres, job, choices if options.fixed_choices else {}, options.overwrite, progress)

    return _each_file(work, options, progress)


def _upres_file(upres: Upres, job: Job, choices: Choices, overwrite: bool, progress: Progress) -> Result:
    began = time.perf_counter()
    path, target = Path(job.source), job.target
    rows, header = images.read(path)
    low = to_tensor(rows)
    height, width = upres.size_for(low.shape[-2], low.shape[-1])
    plain = images.Header(width, height, 3, "uint8", "png")
    seen = len(upres.report.without_guide)
    strips = upres.strips(low, Origin(path, 0, 0, header.width, header.height), choices)
    if target.exists() and not overwrite:
        raise UserError(f"{target} exists already", do="Choose another folder, or give --overwrite")
    first, done = next(strips), 0  # what the guide objects to is told before a file is begun
    with images.Writer(target, plain, width, height, overwrite) as writer:
        for strip in itertools.chain([first], strips):
            writer.write_rows(from_tensor(strip))
            done += strip.shape[1]
            progress(done, height)
    unguided = "no guide was found for it" if len(upres.report.without_guide) > seen else ""
    return Result(
        input=str(path), output=str(target), width=width, height=height, seconds=round(time.perf_counter() - began, 3),
        precision=str(upres.dtype).removeprefix("torch."), tile=f"{upres.tile_px}x{upres.tile_px}", note=unguided,
    )  # fmt: skip


# A net with label or class planes


def _run_planes(opened: Opened, options: PlanesOptions, progress: Progress) -> list[Result]:
    if options.precision not in ("auto", "float32"):
        why = "Its planes were trained beside the picture in float32"
        raise UserError(f"{opened} does not compute in {options.precision}", why, "Use float32")
    net = Conditioned(opened, options.labels, options.class_name, options.device)
    return _each_file(
        lambda job, _: net.enlarge_file(Path(job.source), job.target, options.overwrite), options, progress
    )


def _each_file(
    work: Callable[[Job, Progress], Result], options: GuidedOptions | PlanesOptions, progress: Progress
) -> list[Result]:
    """Make a PNG of its name below `out`, or the file `out` of a single one, of each picture."""
    found, problems = images.find_pictures(list(options.inputs))
    if options.out is None:
        raise UserError("It is not said where the pictures go", do="Name a folder: --out DIR")
    out = options.out
    is_file = len(found) == 1 and out.suffix and not out.is_dir()
    taken = Taken("Rename one of them")

    def claimed(job: Job, progress: Progress) -> Result:
        taken.claim(job)
        job.target.parent.mkdir(parents=True, exist_ok=True)
        return work(job, progress)

    work_list = [Job(path, out if is_file else out / f"{path.stem}.png") for path in found]
    return [*report_problems(problems, progress), *run_batch(work_list, claimed, progress)]


PLAIN = Way(PlainOptions, "It is run by its pixels alone", _run_plain)
GUIDED = Way(GuidedOptions, "It is run tile by tile with its guide, to 8-bit PNG of its own proportion", _run_guided)
PLANES = Way(PlanesOptions, "It sees whole pictures with their labels or class, to 8-bit PNG of its scale", _run_planes)
