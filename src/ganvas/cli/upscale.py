"""The verbs `upscale`, `models` and `demo`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from ganvas.cli import DONE
from ganvas.cli.arguments import Printing
from ganvas.cli.console import Console, print_json
from ganvas.errors import UsageError
from ganvas.inference.options import Region, Sharing, part, refuse
from ganvas.inference.picture.options import Inputs, Options, Running

if TYPE_CHECKING:
    from ganvas.inference.open import Opened


@dataclass(frozen=True, kw_only=True)
class Comparison(Inputs, Running):
    """Which models are looked at, and what a comparison of them honours."""

    inputs: Positional[tuple[str, ...]]
    """Pictures, folders, globs or videos."""
    out: Annotated[Path | None, arg(aliases=("-o",))] = None
    """File for a single input, or a folder, in which names and sub-folders are kept; default beside the input."""
    model: Annotated[tuple[str, ...], arg(aliases=("-m",))] = ("default",)
    """Name (`ganvas models`), weight file, or run; several are compared with --crop. Unless one is named, pictures that
    are noisy or strongly compressed are restored."""
    blend: tuple[str, str] | None = None
    """Two models of one network instead of --model, interpolated at --mix."""
    mix: float = 0.5
    """0 is the first of --blend, 1 the second."""
    mix_mask: Path | None = None
    """Gray picture laid over the input: where it is black the first of --blend counts, where it is white their mix."""
    crop: Region | None = None
    """X,Y,W,H in pixels of the input: write this part by bicubic and every model side by side."""
    factor: Annotated[float | None, arg(aliases=("-s",))] = None
    """Sides of the output over sides of the input; default the model's scale."""


@dataclass(frozen=True, kw_only=True)
class Upscaling(Comparison, Options):
    """What becomes of pictures and videos, and by which model."""


def upscale(options: Upscaling, printing: Printing, sharing: Sharing = Sharing()) -> int:  # noqa: B008 - immutable
    """Upscale pictures, folders and video: same bit depth, channels, profile and metadata out."""
    if not options.inputs:
        raise UsageError("There is nothing to upscale", do="ganvas upscale photo.jpg")
    if len(options.model) > 1 and not options.crop:
        what = f"{len(options.model)} models are named"
        raise UsageError(what, "One makes the output", "Name one, or compare them with --crop")
    from ganvas.inference.open import open_blend, open_model
    from ganvas.inference.picture import suite

    if options.blend and options.model != ("default",):
        raise UsageError("--model means nothing beside --blend", "The two models are named there", "Leave it out")
    if options.mix != Upscaling.mix and not options.blend:
        raise UsageError("--mix means nothing without --blend", do="Name two models: --blend A B --mix 0.3")
    if options.mix_mask:
        return _masked(options, options.mix_mask, printing)
    told = ""
    if options.blend:
        opened = [open_blend(*options.blend, options.mix)]
    else:
        chosen, told = (options.model, "") if options.crop else _chosen(options)
        opened = [open_model(name) for name in chosen]
    if options.crop and sharing.cluster:
        raise UsageError("--cluster means nothing for a comparison", "It is one picture", "Leave it out")
    with Console(printing) as console:
        if told:
            console.say(told)
        if options.crop:
            return _compare(opened, options, options.crop, console)
        if sharing.cluster:
            from ganvas.inference.shares import share

            share(opened[0], part(options, Options), sharing.cluster, console.progress)
        else:
            suite.run(opened[0], part(options, Options), console.progress)
        if not options.blend and (hint := _stronger(opened[0])):
            console.say(hint)
    return console.code


def _masked(options: Upscaling, mask: Path, printing: Printing) -> int:
    """Upscale one picture by two models, the second only where a mask says so."""
    from ganvas.inference.open import open_blend, open_model
    from ganvas.inference.picture import suite
    from ganvas.inference.picture.masked import upscale_masked
    from ganvas.inference.picture.streaming import Output
    from ganvas.inference.result import Job, run_batch

    if options.blend is None:
        raise UsageError("--mix-mask means nothing without --blend", do="Name two models: --blend A B --mix 1")
    if len(options.inputs) != 1 or not Path(options.inputs[0]).is_file() or options.out is None:
        raise UsageError("A mask belongs to one picture", do="Name one picture, and a file for the result by --out")
    names = {field.name for field in fields(options)}
    output = Output(**{each.name: getattr(options, each.name) for each in fields(Output) if each.name in names})
    ups = [
        suite.upscaler(opened, options)
        for opened in (open_model(options.blend[0]), open_blend(*options.blend, options.mix))
    ]
    with Console(printing) as console:
        run_batch(
            [Job(options.inputs[0], options.out)],
            lambda job, progress: upscale_masked(ups[0], ups[1], mask, job.source, job.target, output, progress),
            console.progress,
        )
    return console.code


def _stronger(opened: Opened) -> str:
    """Return a sentence on what is stronger than a bundled model, the first time that one is used."""
    from ganvas.inference.brought_models import suggestion
    from ganvas.inference.open import BUNDLED
    from ganvas.io.told import first_time

    if opened.path is None or opened.path.parent != BUNDLED:
        return ""
    text = suggestion(opened.card.scale, opened.card.purpose)
    return text if text and first_time("stronger-models") else ""


def _chosen(options: Upscaling) -> tuple[tuple[str, ...], str]:
    """Return the models to be used, and why another than the default was taken where none was named."""
    if options.model != ("default",):
        return options.model, ""
    from ganvas.inference.picture.condition import model_for

    name, told = model_for(options.inputs, options)
    return (name,), told


def _compare(opened: Sequence[Opened], options: Upscaling, crop: Region, console: Console) -> int:
    import numpy as np

    from ganvas.inference.picture import files, suite
    from ganvas.inference.result import Result
    from ganvas.io.pictures import images

    refuse(options, [Comparison], "a comparison", "It shows one part of one picture by all models, side by side")
    if options.out is None:
        raise UsageError("It is not said where the comparison goes", do="Name a file: --out parts.png")
    if len(options.inputs) != 1:
        raise UsageError(f"{len(options.inputs)} inputs are named beside --crop", do="Preview one picture at a time")
    ups = [suite.upscaler(one, options) for one in opened]
    for up in ups:
        console.say(f"{up.name}: {up.engine_for(np.dtype(np.uint8))}")
    began = time.perf_counter()
    picture, names = files.preview(options.inputs[0], ups, crop, options.factor)
    path = images.write(options.out, picture, overwrite=options.overwrite)
    console.progress.finish(
        Result(
            input=options.inputs[0], output=str(path), width=picture.shape[1], height=picture.shape[0],
            seconds=round(time.perf_counter() - began, 3), note=" | ".join(names),
        )
    )  # fmt: skip
    return DONE


def models(json: bool = False) -> int:
    """List the trained models at hand, with their licences.

    Args:
        json: print JSON.
    """
    from ganvas.inference.brought_models import weight_bytes
    from ganvas.inference.open import DEFAULT, known_models
    from ganvas.io.weights import files as weights

    rows = []
    for model in known_models():
        card = weights.read_card(model.path) if model.path and not model.licence else None
        rows.append({
            "name": model.name,
            "about": model.about,
            "licence": card.licence if card else model.licence,
            "data": card.data if card else model.data,
            "scores": dict(card.scores) if card else {},
            "at_hand": model.path is not None,
            "bytes": weight_bytes(model.path) if model.path else 0,
            "package": model.package,
            "install": model.install,
        })  # fmt: skip
    if json:
        print_json(rows)
        return DONE
    for row in filter(lambda row: row["at_hand"], rows):
        size = f"{row['bytes'] / 1e6:.1f} MB"
        note = f"{size}, from {row['package']}" if row["package"] else size
        mark = " (default)" if row["name"] == DEFAULT else ""
        _print_model(f"{row['name']}{mark}", row, f" ({note})")
    for install in dict.fromkeys(row["install"] for row in rows if not row["at_hand"]):
        print(f"\nNot installed ({install}):")
        for row in rows:
            if row["install"] == install and not row["at_hand"]:
                _print_model(row["name"], row)
    return DONE


def _print_model(name: str, row: Mapping[str, Any], note: str = "") -> None:
    from ganvas.cli.help import two_columns

    print("\n".join(two_columns(f"  {name}", f"{row['about']}. {row['licence']}{note}")))
