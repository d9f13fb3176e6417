"""Chains of models: what one generates or enlarges is enlarged by the next, each in a folder of its own.

A model of a chain is anything that takes a picture: an upres net (`inference/picture/tiled.py`) or an upscaler.
Pictures keep their names from folder to folder, and one that fails does not stop the others.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import torch

from ganvas.data import flow
from ganvas.data.guides import Origin
from ganvas.errors import UserError
from ganvas.inference import open as loading
from ganvas.inference.picture import files
from ganvas.inference.picture.conditioned import Conditioned, Given, as_tensor, is_conditioned
from ganvas.inference.picture.files import Output, Result
from ganvas.inference.picture.steady import Blend, Flicker, steady, with_between
from ganvas.inference.picture.tiled import Choices, Options, Upres, is_upres
from ganvas.inference.picture.upscale import Upscaler
from ganvas.io.pictures import images
from ganvas.io.video.headers import new_header
from ganvas.io.video.writer import VideoWriter
from ganvas.io.weights import files as weights
from ganvas.protocol import Card

ToldResult = Callable[[Result], None]


def check(models: Sequence[str]) -> list[Card]:
    """Return the cards of the models of a chain, before anything is computed.

    Raises:
        UserError: one of them is missing or takes no picture.
    """
    cards = []
    for model in models:
        card = weights.read_card(loading.resolve(model))
        if card.input != "picture":
            why = f"It takes {card.input}, and a chain hands on pictures"
            raise UserError(f"{model} cannot stand in a chain", why, "Name it first, without --then")
        cards.append(card)
    return cards


def folder_name(number: int, model: str) -> str:
    """Return the name of the folder of a chain's step, counted from 1: `2-tiled_upres`."""
    return f"{number}-{Path(model).stem or 'model'}"


def has_guide(model: str) -> bool:
    """Tell whether a step's model is told more of each picture than its pixels: landmarks, labels, edges."""
    return is_upres(weights.read_card(loading.resolve(model)))


def enlarge(
    models: Sequence[str],
    pictures: Sequence[str | Path],
    out: Path,
    *,
    first: int = 1,
    options: Options = Options(),  # noqa: B008 - immutable
    fixed_choices: bool = False,
    overwrite: bool = False,
    on_result: ToldResult | None = None,
    given: Given = Given(),  # noqa: B008 - immutable
) -> list[Result]:
    """Run models one after the other over pictures, into OUT/1-NAME, OUT/2-NAME ...; return what became of each.

    Args:
        first: number of the first folder.
        options: of the upres nets among the models.
        fixed_choices: keep for every picture the variants that were best for the first one, as for frames of a clip.
        given: labels or class, for those of the models that were trained with them.

    Raises:
        UserError: a model cannot be used; nothing was written then.
    """
    check(models)
    results: list[Result] = []
    inputs: list[str | Path] = list(pictures)
    for number, model in enumerate(models, first):
        folder = out / folder_name(number, model)
        step = step_with(model, options, fixed_choices, overwrite, given)
        made = step(inputs, folder, on_result)
        results += made
        inputs = [result.output for result in made if not result.error]
        if not inputs:
            break
    return results


Step = Callable[[Sequence[str | Path], Path, ToldResult | None], list[Result]]


def step_with(
    model: str,
    options: Options,
    fixed_choices: bool,
    overwrite: bool,
    given: Given = Given(),  # noqa: B008 - immutable
) -> Step:
    """Return one step of a chain, with its model loaded."""
    card = weights.read_card(loading.resolve(model))
    if is_upres(card):
        upres = Upres(model, options)
        return lambda inputs, folder, tell: upres_files(upres, inputs, folder, fixed_choices, overwrite, tell)
    if is_conditioned(card):
        conditioned = Conditioned(model, given, options.device)
        return lambda inputs, folder, tell: each_file(
            lambda path, target: conditioned.enlarge_file(path, target, overwrite), inputs, folder, tell
        )
    up = Upscaler(model, precision=options.precision, device=options.device)
    output = Output(overwrite=overwrite)
    return lambda inputs, folder, tell: files.upscale_files(up, inputs, folder, output, on_result=tell)


def upres_files(
    upres: Upres,
    inputs: Sequence[str | Path],
    out: Path,
    fixed_choices: bool = False,
    overwrite: bool = False,
    on_result: ToldResult | None = None,
) -> list[Result]:
    """Enlarge pictures, folders and globs by an upres net, each streamed to a file of its name below `out`."""
    choices: Choices = {}

    def make(path: Path, target: Path) -> Result:
        return _upres_file(upres, path, target, choices if fixed_choices else {}, overwrite)

    return each_file(make, inputs, out, on_result)


def each_file(
    make: Callable[[Path, Path], Result], inputs: Sequence[str | Path], out: Path, on_result: ToldResult | None = None
) -> list[Result]:
    """Make a PNG of its name below `out`, or the file `out` of a single one, of each picture; return what became of it.

    What fails is told in its result, and the others are still made.
    """
    results: list[Result] = []
    taken: dict[Path, Path] = {}

    def note(result: Result) -> None:
        results.append(result)
        if on_result:
            on_result(result)

    found, problems = images.find_pictures(list(inputs))
    for name, problem in problems:
        note(Result(input=name, error=str(UserError(f"Cannot use {name}", problem))))
    is_file = len(found) == 1 and out.suffix and not out.is_dir()
    for path in found:
        target = out if is_file else out / f"{path.stem}.png"
        try:
            if taken.setdefault(target, path) != path:
                raise UserError(f"Cannot write {target}", f"{taken[target]} has the same name", "Rename one of them")
            target.parent.mkdir(parents=True, exist_ok=True)
            note(make(path, target))
        except UserError as error:
            note(Result(input=str(path), output=str(target), error=str(error)))
        except OSError as error:
            note(Result(input=str(path), output=str(target), error=f"Cannot write {target}. {error}"))
    return results


def _upres_file(upres: Upres, path: Path, target: Path, choices: Choices, overwrite: bool) -> Result:
    began = time.perf_counter()
    rows, header = images.read(path)
    low = as_tensor(rows)
    height, width = upres.size_for(low.shape[-2], low.shape[-1])
    plain = images.Header(width, height, 3, "uint8", "png")
    seen = len(upres.report.without_guide)
    strips = upres.strips(low, Origin(path, 0, 0, header.width, header.height), choices)
    if target.exists() and not overwrite:
        raise UserError(f"{target} exists already", do="Choose another folder, or allow overwriting")
    first = next(strips)  # what the guide objects to is told before a file is begun
    with images.Writer(target, plain, width, height, overwrite) as writer:
        for strip in itertools.chain([first], strips):
            writer.write_rows(images.from_float(strip.permute(1, 2, 0).numpy(), "uint8"))
    unguided = "no guide was found for it" if len(upres.report.without_guide) > seen else ""
    return Result(
        input=str(path), output=str(target), width=width, height=height,
        megapixels=round(width * height / 1e6, 3), seconds=round(time.perf_counter() - began, 3),
        precision=str(upres.dtype).removeprefix("torch."), tile=f"{upres.tile_px}x{upres.tile_px}", note=unguided,
    )  # fmt: skip


def write_walk(model: str, seeds: Sequence[int], steps: int, out: Path, device: str = "auto") -> Path:
    """Write what a generator makes on the way from seed to seed as numbered frames, and return their folder.

    Raises:
        UserError: the folder holds something, or there is no way to walk.
    """
    from ganvas.inference.seeds.sampler import SeedSampler, Truncation, walk

    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out} is not empty", do="Choose another folder")
    sampler = SeedSampler(model, device)
    out.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(walk(sampler, seeds, [0] * len(seeds), steps, Truncation())):
        _write_frame(out, number, frame)
    return out


def steady_frames(
    folder: Path, out: Path, *, blend: Blend, times: int = 1, teacher: str = "dis", overwrite: bool = False
) -> Flicker:
    """Write the frames of a folder made steady, and `times` as many of them; return how much less they flicker.

    Raises:
        UserError: the folder holds no frames, OpenCV is missing, or a file is there already.
    """
    paths, _ = images.find_pictures([folder])
    if len(paths) < 2:
        raise UserError(f"{folder} holds {len(paths)} frames", "Two or more can be made steady")
    finder = flow.teacher(teacher)
    if finder is None:
        raise UserError(f"The flow {teacher!r} cannot be found from pictures", do="Use dis")
    out.mkdir(parents=True, exist_ok=True)
    flicker = Flicker()
    frames = steady((as_tensor(images.read(path)[0]) for path in paths), finder, blend, flicker)
    for number, frame in enumerate(with_between(frames, finder, times)):
        _write_frame(out, number, frame, overwrite)
    return flicker


def write_video(folder: Path, out: Path, fps: Fraction, overwrite: bool = False) -> int:
    """Write the pictures of a folder, by name, as a video of exactly so many frames a second; return their number.

    Raises:
        UserError: the folder holds no pictures, or the file cannot be written (extra `video`).
    """
    paths, _ = images.find_pictures([folder])
    if not paths:
        raise UserError(f"{folder} holds no pictures", "There is nothing to put into a video")
    header = images.read_header(paths[0])
    like = new_header(header.width, header.height, fps)
    with VideoWriter(out, like, overwrite=overwrite) as writer:
        for number, path in enumerate(paths):
            rows = images.from_float(as_tensor(images.read(path)[0]).permute(1, 2, 0).numpy(), "uint8")
            writer.write(rows, number * like.frame_step, like.frame_step)
    return len(paths)


def _write_frame(out: Path, number: int, frame: torch.Tensor, overwrite: bool = False) -> None:
    rows = images.from_float(frame.permute(1, 2, 0).cpu().numpy(), "uint8")
    images.write(out / f"{number:06d}.png", rows, overwrite=overwrite)
