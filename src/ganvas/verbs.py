"""The verbs of the command line: typed functions whose parameters are the options and whose docstrings are the help.

torch is imported inside the functions that need it, so that help and lists answer at once.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import tyro
from tyro.conf import Positional

from ganvas.cli import DONE, STOPPED
from ganvas.errors import UserError


def run(verb: str, arguments: Sequence[str]) -> int:
    """Run a verb by name with its command line arguments and return the exit code."""
    if verb == "train":
        return train(arguments)
    return tyro.cli(FUNCTIONS[verb], prog=f"ganvas {verb}", args=list(arguments))


# Training


def train(arguments: Sequence[str]) -> int:
    """Train a recipe; the options beside these are the fields of the recipe's settings."""
    options, rest = _train_parser().parse_known_args(arguments)
    if options.resume and options.recipe and not options.recipe.startswith("-"):
        raise UserError(f"{options.recipe!r} stands beside --resume", "A run knows its recipe", "Leave the recipe out")
    if not options.resume and not options.recipe:
        if options.help:
            _train_parser().print_help()
            return DONE
        raise UserError("Which recipe?", do="`ganvas recipes` lists them: ganvas train esrgan --data DIR")
    return _train(options, rest, arguments)


def _train_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "ganvas train", add_help=False, allow_abbrev=False, usage="ganvas train RECIPE --data DIR [options]"
    )
    parser.add_argument(
        "recipe", nargs="?", default="", help="a name that `ganvas recipes` lists, or the path of your own recipe.py"
    )
    parser.add_argument("--out", default="", help="folder of the run (default: the next free one below runs/)")
    parser.add_argument("--preset", default="", help="laptop, preview, paper ... (default: chosen for this machine)")
    parser.add_argument("--resume", default="", metavar="RUN", help="go on with a run, exactly where it stood")
    parser.add_argument(
        "--allow-changes", action="store_true", help="resume although settings that alter the weights differ"
    )
    parser.add_argument(
        "--init",
        action="append",
        default=[],
        metavar="FILE",
        help="start from these weights, ours or theirs; NETWORK=FILE",
    )
    parser.add_argument(
        "--freeze", action="append", default=[], metavar="PATTERN", help="do not train matching network.parameter names"
    )
    parser.add_argument(
        "--gpus", type=int, default=1, metavar="N", help="processes on this machine, one a GPU (on a CPU: gloo)"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print the settings, and measure memory and time of a few steps"
    )
    parser.add_argument("--json", action="store_true", help="print JSON lines")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing")
    parser.add_argument("-h", "--help", action="store_true", help="show this and every setting of the recipe")
    return parser


def _train(options: argparse.Namespace, rest: Sequence[str], arguments: Sequence[str]) -> int:
    import os

    from ganvas import device as machine
    from ganvas import launch
    from ganvas.training import loop, parallel

    order = launch.reorder(options.resume) if options.resume else launch.order(options.recipe, options.preset)
    if options.help:
        _train_parser().print_help()
        origin = f"the preset {order.preset.name}" if order.preset else "the run"
        print(f"\nSettings of {order.recipe} (defaults of {origin}):\n")
    settings = tyro.cli(
        type(order.settings), prog=f"ganvas train {order.recipe}", default=order.settings,
        args=["--help"] if options.help else list(rest), description="",
    )  # fmt: skip
    order = replace(order, settings=settings)
    if not options.resume:
        order = replace(order, init=tuple(options.init), freeze=tuple(options.freeze))
    if options.gpus > 1 and "WORLD_SIZE" not in os.environ:
        parallel.require_even(settings.batch_size, options.gpus)
        return parallel.launch(options.gpus, ["train", *_without_gpus(arguments)])
    main = int(os.environ.get("RANK", "0")) == 0
    say = _speaker(options.json, options.quiet or not main)
    if order.preset:
        say(f"Preset {order.preset.name!r} ({order.preset.reason}).")
    device = machine.pick(settings.device)
    say(f"On {device.type} in {str(machine.pick_precision(settings.precision, device)).removeprefix('torch.')}.")
    if options.dry_run:
        return _dry_run(order, options.json)
    parallel.join(device.type)
    try:
        plan = launch.plan(order, fresh=not options.resume)
        say(_describe(plan))
        out = Path(options.resume or options.out or launch.next_run(order.recipe))
        if options.resume:
            loop.resume(plan, out, as_json=options.json, quiet=options.quiet, allow_changes=options.allow_changes)
        else:
            say(f"Run: {out}  Preview: {out / 'latest.png'}")
            loop.train(plan, out, as_json=options.json, quiet=options.quiet)
    except loop.Stopped:
        return STOPPED
    except loop.OutOfMemory as error:
        raise launch.advise(order, error) from error
    finally:
        parallel.leave()
    say(f"Done: {out}")
    return DONE


def _without_gpus(arguments: Sequence[str]) -> list[str]:
    kept: list[str] = []
    skip = False
    for argument in arguments:
        if not (skip or argument == "--gpus" or argument.startswith("--gpus=")):
            kept.append(argument)
        skip = argument == "--gpus"
    return kept


def _speaker(as_json: bool, quiet: bool) -> Callable[[str], None]:
    return lambda text: None if quiet else print(text, file=sys.stderr if as_json else sys.stdout, flush=True)


def _describe(plan: Any) -> str:
    held = f", {len(plan.val)} held out for validation" if plan.val is not None else ""
    report = getattr(plan.train, "report", None)
    return f"{len(plan.train)} samples{held}." + (f"\n{report.text}" if report else "")


def _dry_run(order: Any, as_json: bool) -> int:
    from ganvas import launch
    from ganvas.settings import to_json
    from ganvas.training import loop, rehearsal
    from ganvas.training.logbook import duration

    plan = launch.plan(order)
    try:
        stages = rehearsal.rehearse(plan)
    except loop.OutOfMemory as error:
        raise launch.advise(order, error) from error
    if as_json:
        print(
            json.dumps(
                {
                    "recipe": order.recipe,
                    "settings": to_json(order.settings),
                    "stages": [vars(stage) for stage in stages],
                }
            )
        )
        return DONE
    print(json.dumps(to_json(order.settings), indent=2))
    print(_describe(plan))
    for stage in stages:
        total = duration(stage.seconds_a_step * stage.steps)
        cost = f"{stage.seconds_a_step:.3g} s a step ({total}), peak {stage.peak_bytes / 2**20:.0f} MB"
        print(f"Stage {stage.stage}: {stage.steps} steps, {cost}")
    print("Nothing was written.")
    return DONE


def recipes(json: bool = False) -> int:
    """List the methods that can be trained.

    Args:
        json: print JSON.
    """
    from ganvas.recipes.base import RECIPES, SUMMARIES

    if json:
        return _print_json([{"name": name, "summary": SUMMARIES[name]} for name in RECIPES])
    for name in RECIPES:
        print(f"{name.ljust(20)} {SUMMARIES[name]}")
    print("\n`ganvas train NAME --help` shows every setting; `ganvas train ./my_recipe.py` trains your own.")
    return DONE


def models(json: bool = False) -> int:
    """List the trained models at hand, with their licences.

    Args:
        json: print JSON.
    """
    from ganvas.inference.load import DEFAULT, known_models
    from ganvas.io import weights

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
        })  # fmt: skip
    if json:
        return _print_json(rows)
    for row in rows:
        note = "" if row["at_hand"] else "   (not installed: pip install 'ganvas[models]')"
        mark = " (default)" if row["name"] == DEFAULT else ""
        print(f"{(row['name'] + mark).ljust(26)} {row['about']}. {row['licence']}{note}")
    return DONE


# Weight files


def inspect(path: Positional[Path], json: bool = False) -> int:
    """Say what a weight file, a run or a folder of pictures is.

    Args:
        path: weight file of ours or another project, run folder, or folder of pictures.
        json: print JSON.
    """
    from ganvas.io import runs, weights

    if path.is_dir() and not runs.is_run(path):
        found = _inspect_pictures(path)
    else:
        found = weights.describe(path)
    if json:
        return _print_json(found)
    width = max(map(len, found))
    for key, value in found.items():
        if value not in ("", {}, []):
            print(f"{key.ljust(width)}  {_shown(value)}")
    return DONE


def _inspect_pictures(folder: Path) -> dict[str, Any]:
    from collections import Counter

    from ganvas.io import images

    files, problems = images.find_pictures([folder])
    kinds: Counter[str] = Counter()
    sides: list[int] = []
    broken = dict(problems)
    for file in files:
        try:
            header = images.read_header(file)
        except UserError as error:
            broken[str(file)] = str(error)
            continue
        kinds[f"{header.format} {header.channels} x {header.dtype}"] += 1
        sides.append(min(header.width, header.height))
    return {
        "folder": str(folder),
        "pictures": sum(kinds.values()),
        "kinds": dict(kinds.most_common()),
        "shorter_side_px": [min(sides), sorted(sides)[len(sides) // 2], max(sides)] if sides else [],
        "problems": broken,
    }


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_shown, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def convert(
    source: Positional[Path],
    target: Positional[Path],
    layout: Literal["ganvas", "basicsr", "xinntao", "old"] = "ganvas",
    overwrite: bool = False,
) -> int:
    """Turn another project's checkpoint into ours, or ours into theirs.

    Args:
        source: a weight file that `ganvas inspect` recognises, or a run.
        target: the file to write: .safetensors for ours, .pth for theirs.
        layout: ours, or that of BasicSR and Real-ESRGAN, of ESRGAN, or of ESRGAN before June 2019.
        overwrite: replace an existing file.
    """
    from ganvas.io import weights

    print(weights.convert(source, target, layout, overwrite))
    return DONE


def pack(run: Positional[Path], target: Positional[Path], best: bool = False, overwrite: bool = False) -> int:
    """Make one weight file, with its card, of a run.

    Args:
        run: the run's folder.
        target: the .safetensors file to write.
        best: take the checkpoint that scored best instead of the newest.
        overwrite: replace an existing file.
    """
    from ganvas.io import runs, weights

    if not runs.is_run(run):
        raise UserError(f"{run} is no run", do="Give the folder that `ganvas train --out` made")
    packed = weights.read_run(run, best=best)
    print(weights.save(target, packed.tensors, packed.card, packed.attachments, overwrite))
    return DONE


def blend(first: Positional[str], second: Positional[str], alpha: float, out: Path, overwrite: bool = False) -> int:
    """Interpolate between two models of one network: (1 - alpha) first + alpha second.

    Args:
        first: name or file of the model at alpha 0, usually the one trained on pixels.
        second: name or file of the model at alpha 1, usually the GAN that was trained from it.
        alpha: 0 to 1.
        out: the .safetensors file to write.
        overwrite: replace an existing file.
    """
    from ganvas.inference.load import resolve
    from ganvas.io import weights

    mixed = weights.blend(weights.read(resolve(first)), weights.read(resolve(second)), alpha)
    print(weights.save(out, mixed.tensors, mixed.card, mixed.attachments, overwrite))
    return DONE


# Scores


def evaluate(pairs: tuple[Path, Path], crop_px: int = 4, json: bool = False) -> int:
    """Score pictures against the truth: PSNR and SSIM on Y and RGB, mean brightness error.

    Args:
        pairs: results and truth: two pictures, or two folders whose pictures have the same names.
        crop_px: pixels left out at each border; the custom is the scale factor.
        json: print JSON.
    """
    from ganvas.metrics.evaluate import evaluate as score

    table = score(*pairs, crop_px=crop_px)
    for name, why in table.problems.items():
        print(f"{name}: {why}", file=sys.stderr)
    if json:
        return _print_json(vars(table))
    columns = list(table.means)
    width = max(len(name) for name in [*table.rows, "mean of all"])
    print("  ".join(["picture".ljust(width), *(column.rjust(16) for column in columns)]))
    for name, row in [*table.rows.items(), (f"mean of {len(table.rows)}", table.means)]:
        print("  ".join([name.ljust(width), *(f"{row[column]:16.4f}" for column in columns)]))
    print(f"{crop_px} px left out at each border; Y as in MATLAB's rgb2ycbcr.")
    return DONE


def demo(out: Path = Path("demo"), model: str = "default") -> int:
    """Upscale a bundled photograph and show it beside bicubic and truth.

    Args:
        out: folder for the pictures; those of an earlier demo are replaced.
        model: name or file of the model.
    """
    from ganvas.inference.demo import show

    shown = show(out, model)
    print(f"Result      {shown.result}")
    print(f"Comparison  {shown.comparison}   (low | bicubic | ours | truth)")
    print(f"PSNR-Y      bicubic {shown.bicubic_db:.2f} dB, ours {shown.ours_db:.2f} dB")
    print(f"Seconds     {shown.seconds:.2f}")
    return DONE


def _print_json(value: Any) -> int:
    print(json.dumps(value, indent=2, default=str))
    return DONE


FUNCTIONS: dict[str, Callable[..., int]] = {
    function.__name__: function for function in (recipes, models, inspect, convert, pack, blend, evaluate, demo)
}
