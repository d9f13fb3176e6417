"""Chains of models: what one generates or enlarges is enlarged by the next, each in a folder of its own.

A model of a chain takes a picture, in whichever way its card says. Pictures keep their names from folder to folder, and
one that fails does not stop the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import torch

from ganvas.errors import UserError
from ganvas.inference.open import Opened, open_model
from ganvas.inference.options import part, refuse
from ganvas.inference.picture.options import Options
from ganvas.inference.picture.steady import Blend, Flicker, steady, with_between
from ganvas.inference.picture.suite import takes_guide, way_of
from ganvas.inference.result import Progress, Result
from ganvas.io.flow_teachers import teacher as flow_teacher
from ganvas.io.pictures import images
from ganvas.io.pictures.tensors import from_tensor, to_tensor
from ganvas.io.video.headers import new_header
from ganvas.io.video.writer import VideoWriter


def open_chain(models: Sequence[str], options: Options | None = None) -> list[Opened]:
    """Return the models of a chain, before anything is computed.

    Raises:
        UserError: one of them is missing or takes no picture, or none of them honours an option.
    """
    opened = []
    for model in models:
        one = open_model(model)
        if one.takes != "picture":
            why = f"It takes {one.takes}, and a chain hands on pictures"
            raise UserError(f"{model} cannot stand in a chain", why, "Name it first, without --then")
        opened.append(one)
    if options is not None:
        ways = [way_of(one.card) for one in opened]
        refuse(options, [way.Options for way in ways], " and ".join(models), ways[0].why)
    return opened


def folder_name(number: int, model: str) -> str:
    """Return the name of the folder of a chain's step, counted from 1: `2-tiled_upres`."""
    return f"{number}-{Path(model).stem or 'model'}"


def enlarge(
    models: Sequence[str], options: Options, progress: Progress | None = None, first: int = 1
) -> list[Result]:  # fmt: skip
    """Run models one after the other over pictures, into OUT/1-NAME, OUT/2-NAME ...; return what became of each.

    Args:
        models: by name, file or run.
        options: the pictures, the folder of the steps, and what is asked of the models; each takes what it honours.
        progress: told how far the work is.
        first: number of the first folder.

    Raises:
        UserError: a model cannot be used, or none honours an option; nothing was written then.
    """
    progress = progress or Progress()
    results: list[Result] = []
    guided: list[Result] = []
    inputs, out = options.inputs, options.out
    if out is None:
        raise UserError("A chain writes a folder for each of its models", do="Name the folder for them by --out")
    for number, (model, opened) in enumerate(zip(models, open_chain(models, options)), first):
        step = replace(options, inputs=inputs, out=out / folder_name(number, model))
        way = way_of(opened.card)
        made = way.run(opened, part(step, way.Options), progress)
        results += made
        guided += made if takes_guide(opened.card) else []
        inputs = tuple(result.output for result in made if not result.error)
        if not inputs or progress.token.is_cancelled:
            break
    unguided = sum("no guide" in result.note for result in guided)
    if unguided:
        progress.say(f"For {unguided} of {len(guided)} pictures no guide was found; theirs was empty.")
    return results


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
    finder = flow_teacher(teacher)
    if finder is None:
        raise UserError(f"The flow {teacher!r} cannot be found from pictures", do="Use dis")
    out.mkdir(parents=True, exist_ok=True)
    flicker = Flicker()
    frames = steady((_read(path) for path in paths), finder, blend, flicker)
    for number, frame in enumerate(with_between(frames, finder, times)):
        images.write(out / f"{number:06d}.png", from_tensor(frame), overwrite=overwrite)
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
            writer.write(from_tensor(_read(path)), number * like.frame_step, like.frame_step)
    return len(paths)


def _read(path: Path) -> torch.Tensor:
    return to_tensor(images.read(path)[0])
