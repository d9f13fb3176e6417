"""The verb `generate` for generators of pictures from noise, with classes or without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from ganvas.cli import DONE
from ganvas.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from ganvas.inference.seeds.sampler import SeedSampler, Truncation

VIDEO = (".mp4", ".mov", ".mkv", ".webm")


def generate(
    model: Positional[str],
    out: Path,
    seeds: str = "0-15",
    classes: str = "",
    truncation: float | None = None,
    truncation_kind: Literal["value", "norm", "scaled", "clamp", "variance"] = "value",
    grid: bool = False,
    walk: Literal["", "latents", "classes"] = "",
    steps: int = 8,
    fps: int = 24,
    standing: int | None = None,
    bank: str = "",
    curve: Path | None = None,
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "float32",
    device: str = "auto",
    overwrite: bool = False,
) -> int:
    """Make pictures of seeds: one for each seed and class, a sheet of them, a walk between them, or a curve.

    Args:
        model: run, weight file or name.
        out: a folder; with --grid or --walk one picture; with --walk also a video (.mp4); with --curve a plot (.svg).
        seeds: numbers and ranges of noise: 0-63,100. A seed makes the same picture whatever is made beside it.
        classes: numbers and names: 207,dog,0-9, or all. Every seed is made of each; by default classes take turns.
        truncation: threshold on the noise; a small one trades variety for quality. Default none.
        truncation_kind: what the threshold is of. The paper's is value; see the documentation of the others.
        grid: one sheet, a row for each class.
        walk: a sheet or video from seed to seed (latents) or from class to class (classes).
        steps: pictures of a walk from one place to the next.
        fps: frames a second of a video.
        standing: batches over which the statistics of batch norms are measured anew; default what the card says.
        bank: truncations at which to measure statistics and keep them with the run: 0.2,0.4,0.6,0.8,1.
        curve: data to compare with: plot variety against likeness at truncations from 0.1 to none.
        precision: auto takes the machine's fastest.
        device: auto, cpu, cuda or cuda:1.
        overwrite: replace existing files.
    """
    from ganvas.inference.seeds.latents import parse_numbers
    from ganvas.inference.seeds.sampler import SeedSampler, Truncation

    chosen_seeds = parse_numbers(seeds)
    if truncation is not None and not truncation > 0:
        raise UserError(
            f"The truncation is {truncation:g}", "It is a threshold on noise", "Use one above 0, such as 0.5"
        )
    _check_out(out, bool(grid or walk), curve is not None, overwrite)
    sampler = SeedSampler(model, device, precision, standing)
    asked = Truncation(truncation, truncation_kind)
    if bank:
        print(sampler.attach_bank(_numbers(bank)))
    chosen = sampler.classes(classes) if classes else []
    if curve is not None:
        return _curve(sampler, curve, chosen, out)
    if walk:
        return _walk(sampler, walk, chosen_seeds, chosen, steps, asked, out, fps, overwrite)
    pairs = [(seed, number) for number in chosen for seed in chosen_seeds] or [
        (seed, sampler.class_of(seed)) for seed in chosen_seeds
    ]
    if grid:
        return _grid(sampler, pairs, len(chosen_seeds) if len(chosen) > 1 else 0, asked, out, overwrite)
    return _pictures(sampler, pairs, asked, out, overwrite)


def _check_out(out: Path, is_file: bool, is_plot: bool, overwrite: bool) -> None:
    if is_plot and out.suffix.lower() != ".svg":
        raise UserError(f"A curve cannot be written to {out}", do="Name a file that ends in .svg")
    if not (is_file or is_plot):
        if out.suffix.lower() in (".png", ".jpg", ".jpeg", *VIDEO):
            raise UserError(f"{out} is one file", "Pictures go into a folder", "Name a folder, or add --grid or --walk")
        return
    if not out.suffix:
        raise UserError(f"{out} has no extension", do="Name a picture, such as sheet.png")
    if out.exists() and not overwrite:
        raise UserError(f"{out} exists already", do="Choose another name, or add --overwrite")


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise UserError(f"The bank {text!r} cannot be understood", do="Write truncations: 0.2,0.5,1") from error


def _pictures(
    sampler: SeedSampler, pairs: list[tuple[int, int]], truncation: Truncation, out: Path, overwrite: bool
) -> int:
    from ganvas.inference.seeds.sampler import BATCH
    from ganvas.io.pictures import images

    names = [out / _name(sampler, seed, number) for seed, number in pairs]
    taken = [path for path in names if path.exists()]
    if taken and not overwrite:
        raise UserError(f"{taken[0]} exists already", f"{len(taken)} of {len(names)} do", "Add --overwrite")
    out.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(pairs), BATCH):
        part = pairs[start : start + BATCH]
        made = sampler.sample([seed for seed, _ in part], [number for _, number in part], truncation)
        for path, picture in zip(names[start:], made):
            array = images.from_float(picture.permute(1, 2, 0).numpy(), "uint8")
            images.write(path, array, overwrite=overwrite)
    print(f"{len(pairs)} pictures: {out}")
    return DONE


def _name(sampler: SeedSampler, seed: int, number: int) -> str:
    if not sampler.num_classes:
        return f"{seed:06d}.png"
    plain = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in sampler.class_names[number])
    # Two names may become one; the number keeps them apart.
    return f"{number:03d}-{plain}_{seed:06d}.png" if plain != str(number) else f"{number:03d}_{seed:06d}.png"


def _grid(
    sampler: SeedSampler,
    pairs: list[tuple[int, int]],
    columns: int,
    truncation: Truncation,
    out: Path,
    overwrite: bool,
) -> int:
    from ganvas.inference.seeds.sampler import sheet
    from ganvas.io.pictures import images

    made = sampler.sample([seed for seed, _ in pairs], [number for _, number in pairs], truncation)
    out.parent.mkdir(parents=True, exist_ok=True)
    print(images.write(out, sheet(made, columns), overwrite=overwrite))
    return DONE


def _walk(
    sampler: SeedSampler,
    along: str,
    seeds: list[int],
    classes: list[int],
    steps: int,
    truncation: Truncation,
    out: Path,
    fps: int,
    overwrite: bool,
) -> int:
    from ganvas.inference.seeds.sampler import sheet, walk
    from ganvas.io.pictures import images

    if along == "classes":
        if not sampler.num_classes:
            raise UserError("There are no classes to walk between", "This generator knows none", "--walk latents")
        classes = classes or list(range(min(sampler.num_classes, 8)))
        places = [(seeds[0], number) for number in classes]
    else:
        places = [(seed, classes[0] if classes else sampler.class_of(seeds[0])) for seed in seeds]
    frames = walk(sampler, [seed for seed, _ in places], [number for _, number in places], steps, truncation)
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix.lower() in VIDEO:
        return _video(frames, out, fps, overwrite)
    pictures = list(frames)
    print(images.write(out, sheet(pictures, steps + 1 if len(places) == 2 else steps), overwrite=overwrite))
    return DONE


def _video(frames: Iterator[Tensor], out: Path, fps: int, overwrite: bool) -> int:
    import itertools

    from ganvas.io.pictures import images
    from ganvas.io.video.headers import new_header
    from ganvas.io.video.writer import VideoWriter

    first = next(frames)
    header = new_header(first.shape[-1], first.shape[-2], fps)
    with VideoWriter(out, header, overwrite=overwrite) as writer:
        for index, frame in enumerate(itertools.chain([first], frames)):
            picture = images.from_float(frame.permute(1, 2, 0).numpy(), "uint8")
            writer.write(picture, index * header.frame_step, header.frame_step)
    print(f"{writer.frames} frames: {out}")
    return DONE


def _curve(sampler: SeedSampler, data: Path, classes: list[int], out: Path) -> int:
    from ganvas.evaluation.truncation import curve, plot
    from ganvas.io import runs

    points = curve(sampler, data, classes or None)
    for point in points:
        name = "none" if point.threshold is None else f"{point.threshold:g}"
        print(f"truncation {name.rjust(4)}  likeness {point.likeness:.3f}  variety {point.variety:.3f}")
    out.parent.mkdir(parents=True, exist_ok=True)
    runs.write_atomically(out, plot(points).encode())
    print(out)
    return DONE
