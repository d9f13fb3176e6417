"""Chains of models: what one generates or enlarges is enlarged by the next, each in a folder of its own.

A model of a chain is anything that takes a picture: an upres net (`inference/upres.py`) or an upscaler. Pictures keep
their names from folder to folder, and one that fails does not stop the others.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from ganvas.data import flow
from ganvas.data.guides import Origin
from ganvas.errors import UserError
from ganvas.inference import files
from ganvas.inference import load as loading
from ganvas.inference.files import Output, Result
from ganvas.inference.steady import Blend, Flicker, steady, with_between
from ganvas.inference.upres import Choices, Options, Upres, is_upres
from ganvas.inference.upscale import Upscaler
from ganvas.io import images, weights
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
) -> list[Result]:
    """Run models one after the other over pictures, into OUT/1-NAME, OUT/2-NAME ...; return what became of each.

    Args:
        first: number of the first folder.
        options: of the upres nets among the models.
        fixed_choices: keep for every picture the variants that were best for the first one, as for frames of a clip.

    Raises:
        UserError: a model cannot be used; nothing was written then.
    """
    check(models)
    results: list[Result] = []
    inputs: list[str | Path] = list(pictures)
    for number, model in enumerate(models, first):
        folder = out / folder_name(number, model)
        step = step_with(model, options, fixed_choices, overwrite)
        made = step(inputs, folder, on_result)
        results += made
        inputs = [result.output for result in made if not result.error]
        if not inputs:
            break
    return results


Step = Callable[[Sequence[str | Path], Path, ToldResult | None], list[Result]]


def step_with(model: str, options: Options, fixed_choices: bool, overwrite: bool) -> Step:
    """Return one step of a chain, with its model loaded."""
    if is_upres(weights.read_card(loading.resolve(model))):
        upres = Upres(model, options)
        return lambda inputs, folder, tell: upres_files(upres, inputs, folder, fixed_choices, overwrite, tell)
    up = Upscaler(model, device=options.device)
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
    found, problems = images.find_pictures(list(inputs))
    choices: Choices = {}
    taken: dict[Path, Path] = {}
    results: list[Result] = []

    def note(result: Result) -> None:
        results.append(result)
        if on_result:
            on_result(result)

    for name, problem in problems:
        note(Result(input=name, error=str(UserError(f"Cannot use {name}", problem))))
    for path in found:
        target = out / f"{path.stem}.png"
        try:
            if taken.setdefault(target, path) != path:
                raise UserError(f"Cannot write {target}", f"{taken[target]} has the same name", "Rename one of them")
            out.mkdir(parents=True, exist_ok=True)
            note(_upres_file(upres, path, target, choices if fixed_choices else {}, overwrite))
        except UserError as error:
            note(Result(input=str(path), output=str(target), error=str(error)))
        except OSError as error:
            note(Result(input=str(path), output=str(target), error=f"Cannot write {target}. {error}"))
    return results


def _upres_file(upres: Upres, path: Path, target: Path, choices: Choices, overwrite: bool) -> Result:
    began = time.perf_counter()
    rows, header = images.read(path)
    low = _as_tensor(rows)
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
        precision="float32", tile=f"{upres.tile_px}x{upres.tile_px}", note=unguided,
    )  # fmt: skip


def _as_tensor(rows: np.ndarray) -> torch.Tensor:
    """(H, W, 1 to 4) of any dtype -> (3, H, W) in [0, 1], without alpha."""
    picture = images.to_float(rows)
    picture = picture[..., :1] if picture.shape[-1] <= 2 else picture[..., :3]
    colour = np.broadcast_to(picture, (*picture.shape[:2], 3))
    return torch.from_numpy(np.ascontiguousarray(colour.transpose(2, 0, 1)))


def write_walk(model: str, seeds: Sequence[int], steps: int, out: Path, device: str = "auto") -> Path:
    """Write what a generator makes on the way from seed to seed as numbered frames, and return their folder.

    Raises:
        UserError: the folder holds something, or there is no way to walk.
    """
    from ganvas.inference.seeds import SeedSampler, Truncation, walk

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
    frames = steady((_as_tensor(images.read(path)[0]) for path in paths), finder, blend, flicker)
    for number, frame in enumerate(with_between(frames, finder, times)):
        _write_frame(out, number, frame, overwrite)
    return flicker


def _write_frame(out: Path, number: int, frame: torch.Tensor, overwrite: bool = False) -> None:
    rows = images.from_float(frame.permute(1, 2, 0).cpu().numpy(), "uint8")
    images.write(out / f"{number:06d}.png", rows, overwrite=overwrite)
