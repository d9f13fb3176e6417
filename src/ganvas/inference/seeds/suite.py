"""Runs generators of pictures from noise: a picture for each seed and class, a sheet, or a walk between them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from torch import Tensor

from ganvas.errors import UserError
from ganvas.inference.open import Opened
from ganvas.inference.options import CommonOptions, Precision
from ganvas.inference.result import Cancelled, Progress, Result
from ganvas.inference.seeds.latents import Kind, parse_numbers
from ganvas.inference.seeds.sampler import BATCH, SeedSampler, Truncation, walk
from ganvas.io.pictures import images
from ganvas.io.pictures.captioned import captioned
from ganvas.io.pictures.sheets import contact_sheet
from ganvas.io.pictures.tensors import from_tensor
from ganvas.io.video.codecs import VIDEO_SUFFIXES
from ganvas.io.video.headers import new_header
from ganvas.io.video.writer import VideoWriter

LEAST_SHOWN_PX, LARGE_SHEET_PX = 64, 2048
"""Side that small pictures have on a sheet, unless it is as wide as this."""
MOST_SHOWN_CLASSES = 8
"""Classes that a walk between classes leads through where none are named."""


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Which pictures a generator makes, and into what."""

    out: Path
    """A folder; for one seed and class, or with --grid or --walk, one picture; with --walk also a video (.mp4), or a
    folder of numbered frames."""
    seeds: str = "0-15"
    """Numbers and ranges of noise: 0-63,100. A seed gives the same picture whatever is generated beside it."""
    classes: str = ""
    """Numbers and names: 207,dog,0-9, or all. Every seed is drawn for each; by default classes take turns."""
    truncation: float | None = None
    """Threshold on the noise; a small one trades variety for quality. Default none."""
    truncation_kind: Kind = "value"
    """What the threshold is of. The paper's is value; see the documentation of the others."""
    grid: bool = False
    """One sheet, a row for each class."""
    walk: Literal["", "latents", "classes"] = ""
    """A sheet or video from seed to seed (latents) or from class to class (classes)."""
    steps: int = 8
    """Pictures of a walk from one place to the next."""
    fps: Fraction = Fraction(24)
    """Frames a second of a video."""
    standing: int | None = None
    """Batches over which the statistics of batch norms are measured anew; default what the card says."""
    bank: str = ""
    """Truncations at which to measure statistics and keep them with the run: 0.2,0.4,0.6,0.8,1."""
    precision: Precision = "float32"
    """Arithmetic of the network; auto takes the machine's fastest."""


def run(opened: Opened, options: Options, progress: Progress) -> list[Result]:
    """Generate pictures, one sheet, or a walk.

    Raises:
        UserError: there are no such seeds or classes, or a file is in the way; nothing was written then.
    """
    seeds = parse_numbers(options.seeds)
    sampler, truncation = prepare(opened, options, progress)
    chosen = sampler.classes(options.classes) if options.classes else []
    try:
        if options.walk:
            return [_walk(sampler, seeds, chosen, truncation, options, progress)]
        pairs = list(itertools.product(chosen, seeds)) or [(sampler.class_of(seed), seed) for seed in seeds]
        if options.grid:
            columns = len(seeds) if len(chosen) > 1 else 0
            began = time.perf_counter()
            labels = [label for label, _ in pairs]
            pictures = sampler.sample([seed for _, seed in pairs], labels, truncation, progress.of("pictures"))
            rows = [sampler.class_names[label] for label in chosen] if columns else []
            return [_sheet(pictures, columns, options, progress, began, rows)]
        if _is_picture(options.out) and len(pairs) > 1:
            what = f"{options.out} is one picture"
            why = f"{len(seeds)} seeds and {max(1, len(chosen))} classes make {len(pairs)}"
            raise UserError(what, why, "Name a folder, one seed and one class, or add --grid or --walk")
        return _pictures(sampler, pairs, truncation, options, progress)
    except Cancelled:
        return []


def prepare(opened: Opened, options: Options, progress: Progress) -> tuple[SeedSampler, Truncation]:
    """Check the options and return the generator, with the bank of statistics that is asked for.

    Raises:
        UserError: the truncation is not positive, or what is to be written does not suit the options.
    """
    if options.truncation is not None and not options.truncation > 0:
        what = f"The truncation is {options.truncation:g}"
        raise UserError(what, "It is a threshold on noise", "Use one above 0, such as 0.5")
    _check_out(options)
    sampler = SeedSampler(opened, options.device, options.precision, options.standing)
    if options.bank:
        progress.say(f"{sampler.attach_bank(_thresholds(options.bank))}")
    return sampler, Truncation(options.truncation, options.truncation_kind)


def _is_picture(out: Path) -> bool:
    return out.suffix.lower() in images.WRITABLE and not out.is_dir()


def _check_out(options: Options) -> None:
    out, seeds = options.out, parse_numbers(options.seeds)
    if not (options.grid or options.walk):
        if out.suffix.lower() in (".svg", *VIDEO_SUFFIXES) or (_is_picture(out) and len(seeds) > 1):
            raise UserError(f"{out} is one file", "Pictures go into a folder", "Name a folder, or add --grid or --walk")
        return
    if not out.suffix:
        if options.walk:
            if out.exists() and any(out.iterdir()) and not options.overwrite:
                raise UserError(f"{out} is not empty", do="Choose another folder")
            return
        raise UserError(f"{out} has no extension", do="Name a picture, such as sheet.png")
    if out.exists() and not options.overwrite:
        raise UserError(f"{out} exists already", do="Choose another name, or add --overwrite")


def _thresholds(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise UserError(f"The bank {text!r} cannot be understood", do="Write truncations: 0.2,0.5,1") from error


def _pictures(
    sampler: SeedSampler,
    pairs: Sequence[tuple[int, int]],
    truncation: Truncation,
    options: Options,
    progress: Progress,
) -> list[Result]:
    is_one = _is_picture(options.out)
    names = [options.out] if is_one else [options.out / _name(sampler, seed, label) for label, seed in pairs]
    taken = [path for path in names if path.exists()]
    if taken and not options.overwrite:
        raise UserError(f"{taken[0]} exists already", f"{len(taken)} of {len(names)} do", "Add --overwrite")
    (options.out.parent if is_one else options.out).mkdir(parents=True, exist_ok=True)
    results: list[Result] = []
    report = progress.of("pictures")
    for start in range(0, len(pairs), BATCH):
        if progress.token.is_cancelled:
            break
        report(start, len(pairs))
        part, began = pairs[start : start + BATCH], time.perf_counter()
        pictures = sampler.sample([seed for _, seed in part], [label for label, _ in part], truncation)
        for (_, seed), path, picture in zip(part, names[start:], pictures):
            images.write(path, from_tensor(picture), overwrite=options.overwrite)
            seconds = round((time.perf_counter() - began) / len(part), 3)
            height, width = picture.shape[-2:]
            results.append(Result(input=str(seed), output=str(path), width=width, height=height, seconds=seconds))
            progress.finish(results[-1])
    return results


def _name(sampler: SeedSampler, seed: int, label: int) -> str:
    if not sampler.num_classes:
        return f"{seed:06d}.png"
    plain = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in sampler.class_names[label])
    # Two names may become one; the number keeps them apart.
    return f"{label:03d}-{plain}_{seed:06d}.png" if plain != str(label) else f"{label:03d}_{seed:06d}.png"


def _sheet(
    pictures: Sequence[Tensor] | Tensor,
    columns: int,
    options: Options,
    progress: Progress,
    began: float,
    rows: Sequence[str] = (),
) -> Result:
    laid = contact_sheet(pictures, columns)
    times = max(1, LEAST_SHOWN_PX // pictures[0].shape[-1]) if laid.shape[1] < LARGE_SHEET_PX else 1
    sheet = captioned(laid.repeat(times, axis=0).repeat(times, axis=1), rows=rows)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    images.write(options.out, sheet, overwrite=options.overwrite)
    return _finished(options, (sheet.shape[1], sheet.shape[0]), 1, progress, began)


def _finished(options: Options, size: tuple[int, int], frames: int, progress: Progress, began: float) -> Result:
    result = Result(
        input=options.seeds, output=str(options.out), width=size[0], height=size[1], frames=frames,
        seconds=round(time.perf_counter() - began, 3),
    )  # fmt: skip
    progress.finish(result)
    return result


def _walk(
    sampler: SeedSampler,
    seeds: list[int],
    classes: list[int],
    truncation: Truncation,
    options: Options,
    progress: Progress,
) -> Result:
    if options.walk == "classes":
        if not sampler.num_classes:
            raise UserError("There are no classes to walk between", "This generator knows none", "--walk latents")
        classes = classes or list(range(min(sampler.num_classes, MOST_SHOWN_CLASSES)))
        places = [(seeds[0], label) for label in classes]
    else:
        places = [(seed, classes[0] if classes else sampler.class_of(seeds[0])) for seed in seeds]
    count = (len(places) - 1) * options.steps + 1
    began = time.perf_counter()
    frames = _reported(
        walk(sampler, [seed for seed, _ in places], [label for _, label in places], options.steps, truncation),
        count, progress.of(str(options.out)),
    )  # fmt: skip
    options.out.parent.mkdir(parents=True, exist_ok=True)
    if options.out.suffix.lower() in VIDEO_SUFFIXES:
        return _video(frames, options, progress, began)
    if not options.out.suffix:
        return _frames(frames, options, progress, began)
    columns = options.steps + 1 if len(places) == 2 else options.steps
    return _sheet(list(frames), columns, options, progress, began)


def _reported(frames: Iterator[Tensor], count: int, progress: Progress) -> Iterator[Tensor]:
    for number, frame in enumerate(frames):
        progress(number, count)
        yield frame
    progress(count, count)


def _video(frames: Iterator[Tensor], options: Options, progress: Progress, began: float) -> Result:
    first = next(frames)
    header = new_header(first.shape[-1], first.shape[-2], options.fps)
    with VideoWriter(options.out, header, overwrite=options.overwrite) as writer:
        for index, frame in enumerate(itertools.chain([first], frames)):
            writer.write(from_tensor(frame), index * header.frame_step, header.frame_step)
    return _finished(options, (first.shape[-1], first.shape[-2]), writer.frames, progress, began)


def _frames(frames: Iterator[Tensor], options: Options, progress: Progress, began: float) -> Result:
    options.out.mkdir(parents=True, exist_ok=True)
    number, width, height = 0, 0, 0
    for number, frame in enumerate(frames, 1):
        height, width = frame.shape[-2:]
        images.write(options.out / f"{number - 1:06d}.png", from_tensor(frame), overwrite=options.overwrite)
    return _finished(options, (width, height), number, progress, began)
