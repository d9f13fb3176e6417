"""The verbs `train` and `recipes`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import tyro

from ganvas.cli import DONE, STOPPED
from ganvas.cli.console import print_json
from ganvas.errors import UserError


def recipes(json: bool = False) -> int:
    """List the methods that can be trained.

    Args:
        json: print JSON.
    """
    from ganvas.recipes.base import RECIPES, SUMMARIES

    if json:
        print_json([{"name": name, "summary": SUMMARIES[name]} for name in RECIPES])
        return DONE
    for name in RECIPES:
        print(f"{name.ljust(20)} {SUMMARIES[name]}")
    print("\n`ganvas train NAME --help` shows every setting; `ganvas train ./my_recipe.py` trains your own.")
    return DONE


def train(arguments: Sequence[str]) -> int:
    """Train a recipe; the options beside these are the fields of the recipe's settings."""
    # The recipe comes first or not at all: elsewhere the value of one of its settings would be taken for it.
    named = [*arguments[:1]] if arguments and not arguments[0].startswith("-") else []
    options, rest = _train_parser().parse_known_args(arguments[len(named) :])
    options.recipe = named[0] if named else ""
    if not options.resume and not options.recipe:
        if options.help:
            _train_parser().print_help()
            return DONE
        raise UserError("Which recipe?", do="`ganvas recipes` lists them: ganvas train esrgan --data DIR")
    return _train(options, rest, arguments)


def _train_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "ganvas train",
        add_help=False,
        allow_abbrev=False,
        usage="ganvas train RECIPE --data DIR [options]",
        description="RECIPE is a name that `ganvas recipes` lists, or the path of your own recipe.py.",
    )
    parser.add_argument("--out", default="", help="folder of the run (default: the next free one below runs/)")
    parser.add_argument("--preset", default="", help="laptop, preview, paper ... (default: the first of them)")
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

    order = (
        launch.reorder(options.resume, recipe=options.recipe)
        if options.resume
        else launch.order(options.recipe, options.preset)
    )
    if options.help:
        _train_parser().print_help()
        origin = f"the preset {order.preset.name}" if order.preset else "the run"
        print(f"\nSettings of {order.recipe} (defaults of {origin}):\n")
    settings = tyro.cli(
        type(order.settings), prog=f"ganvas train {order.recipe}", default=order.settings,
        args=["--help"] if options.help else list(rest), description="",
    )  # fmt: skip
    order = replace(order, settings=settings)
    launch.check(order)
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
    try:
        with parallel.joined(device.type):
            plan = launch.plan(order, fresh=not options.resume)
            say(_describe(plan))
            out = Path(options.resume or options.out or (launch.next_run(order.recipe) if main else "."))
            if options.resume:
                loop.resume(plan, out, as_json=options.json, quiet=options.quiet, allow_changes=options.allow_changes)
            else:
                pace = _rehearsed(plan, order, say, options.quiet)
                say(f"Run: {out}  Preview: {out / 'latest.png'}")
                loop.train(plan, out, as_json=options.json, quiet=options.quiet, pace=pace)
    except loop.Stopped:
        return STOPPED
    except loop.OutOfMemory as error:
        raise launch.advise(order, error) from error
    say(f"Done: {out}")
    return DONE


def _rehearsed(plan: Any, order: Any, say: Callable[[str], None], quiet: bool) -> dict[str, float]:
    """Return the seconds that a step of each stage takes; of the paper's values, say first what they will cost."""
    from ganvas.training import rehearsal

    is_paper = order.preset is not None and order.preset.name == "paper"
    if quiet or not (is_paper or sum(bool(stage.steps) for stage in plan.recipe.stages()) > 1):
        return {}
    stages = rehearsal.rehearse(plan, steps=2)
    if is_paper:
        hours = sum(stage.seconds_a_step * stage.steps for stage in stages) / 3600
        peak = max(stage.peak_bytes for stage in stages)
        steps = sum(stage.steps for stage in stages)
        say(f"The paper's values need {peak / 2**30:.1f} GB of memory and {hours:.3g} hours here, for {steps} steps.")
    return {stage.stage: stage.seconds_a_step for stage in stages}


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
    told = [report.text] if report else []
    return "\n".join([f"{len(plan.train)} samples{held}.", *told, *(finding.text for finding in plan.findings)])


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
