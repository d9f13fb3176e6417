"""The verbs `train` and `recipes`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import UseAppendAction, arg

from ganvas.cli import DONE, STOPPED, words
from ganvas.cli.arguments import asks_for_help, options_of
from ganvas.cli.clock import Clock
from ganvas.cli.console import print_json
from ganvas.cli.wording import in_words_of
from ganvas.errors import UsageError, UserError

if TYPE_CHECKING:
    from ganvas.cli.options import Option


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


@dataclass(frozen=True, kw_only=True)
class Starting:
    """What a training starts from, and what it shows; all else are settings of the recipe."""

    out: str = ""
    """Folder of the run; default the next free one below runs/."""
    preset: str = ""
    """Values of all settings; default laptop."""
    list: Path | None = None
    """Train only on the pictures of --data that this file names, a path in each line: keep.txt of `ganvas curate`."""
    config: Path | None = None
    """Settings from a JSON or TOML file, or from a run's settings.json; what the command says stands above it."""
    minutes: float | None = None
    """Stop after this time, as Ctrl-C does: the run is saved and can be resumed."""
    resume: str = ""
    """Continue this run exactly where it stood."""
    allow_changes: bool = False
    """Resume although settings that alter the weights differ."""
    init: Annotated[tuple[str, ...], UseAppendAction] = ()
    """Start from these weights: a file, a run or a model's name; NETWORK=FILE for another than the generator."""
    freeze: Annotated[tuple[str, ...], UseAppendAction] = ()
    """Do not train parameters whose network.name matches this pattern."""
    gpus: int = 1
    """Processes on this machine, one a GPU (on a CPU: gloo)."""
    dry_run: bool = False
    """Print the settings, and measure memory and time of a few steps."""
    json: bool = False
    """Print JSON lines."""
    quiet: Annotated[bool, arg(aliases=("-q",))] = False
    """Print nothing but errors."""


def train(arguments: Sequence[str]) -> int:
    """Train a recipe; the options beside those of `Starting` are the fields of the recipe's settings."""
    if asks_for_help(arguments):
        return _help(arguments)
    recipe, starting = _start(arguments)
    starting = _started_again(starting)
    order = _order(recipe, starting)
    scope, prog = f"train {order.recipe}", f"ganvas train {order.recipe}"
    options = [*options_of(Starting, scope), *options_of(type(order.settings), scope, order.settings)]
    said = words.read_words(arguments, options, scope)
    words.refuse_unknown(said, options, prog)
    if extra := said.positional[1 if recipe else 0 :]:
        raise UsageError(f"`{prog}` does not know what to do with {' '.join(extra)}", do="Options begin with --")
    words.tell(said)
    with in_words_of(options):
        return _train_with(said, order, starting, prog, arguments)


def _train_with(said: words.Words, order: Any, starting: Starting, prog: str, arguments: Sequence[str]) -> int:
    """Train with the settings that a command says on top of those of its preset, file or run."""
    own = {option.field for option in options_of(Starting, f"train {order.recipe}")}
    settings_said = replace(said, named=[one for one in said.named if one[0].field not in own])
    settings = tyro.cli(
        type(order.settings), prog=prog, default=order.settings, args=words.spelled(settings_said), description=""
    )
    if starting.list is not None:
        settings = replace(settings, data=_picked(settings.data, starting))
    return _train(replace(order, settings=settings), starting, arguments)


def _may_exist(data: str) -> bool:
    """Tell whether data may be there: patterns and lists of folders are for the reader of the data to look up."""
    try:
        return Path(data).exists() or any(mark in data for mark in "*?[,:")
    except OSError:
        # What cannot even be looked up is told when the data are opened.
        return True


def _started_again(starting: Starting) -> Starting:
    """Return what to start from where torchrun repeats the command after a loss: the run, once it has begun.

    Raises:
        UsageError: the run has no name, so that it could not be found again.
    """
    import os

    from ganvas.io import runs

    if os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0") == "0" or starting.resume or starting.dry_run:
        return starting
    if not starting.out:
        why = "torchrun repeats the command after a loss, which must continue the same run"
        raise UsageError("--max-restarts needs a named run", why, "Name it by --out")
    # No rank creates the run before all have joined, so all find the same here.
    return replace(starting, resume=starting.out) if runs.is_run(starting.out) else starting


def _picked(data: str, starting: Starting) -> str:
    from ganvas.data.picked import pick

    assert starting.list is not None
    if starting.resume:
        raise UsageError("--list means nothing beside --resume", "The run has its own pictures", "Leave it out")
    if not data:
        raise UsageError("--list names pictures of which folder?", do="Give it by --data")
    return str(pick(data, starting.list))


def _start(arguments: Sequence[str]) -> tuple[str, Starting]:
    """Return the recipe that is named, anywhere among the options, and what the training starts from.

    Raises:
        UsageError: no recipe is named, and none is needed.
    """
    known = options_of(Starting, "train")
    recipe = _recipe_among(arguments, known)
    scope = f"train {recipe}"
    said = words.read_words(arguments, [*known, *_settings_options(recipe)], scope)
    own = {option.field for option in known}
    said.named = [one for one in said.named if one[0].field in own]
    starting = tyro.cli(Starting, args=words.spelled(said))
    if not (recipe or starting.resume or starting.config):
        raise UsageError("Which recipe?", do="`ganvas recipes` lists them: ganvas train esrgan --data DIR")
    return recipe, starting


def _recipe_among(arguments: Sequence[str], known: Sequence[Option]) -> str:
    """Return the word that names a recipe; the value of a setting may be a recipe's name, too."""
    from ganvas.recipes.base import RECIPES

    for word in arguments:
        if word in RECIPES or (word.endswith(".py") and Path(word).is_file()):
            said = words.read_words(arguments, [*known, *_settings_options(word)], f"train {word}")
            if said.positional[:1] == [word]:
                return word
    # A name that is none: what stands first, or behind options that every training has.
    said = words.read_words(arguments, [*known, *_settings_options("")], "train")
    return said.positional[0] if said.positional else ""


def _settings_options(recipe: str) -> list[Option]:
    from ganvas.recipes import base
    from ganvas.settings import Training

    kind = base.find(recipe).Settings if recipe in base.RECIPES else Training
    return options_of(kind, f"train {recipe}", kind())


def _order(recipe: str, starting: Starting) -> Any:
    from ganvas import launch

    if starting.resume and starting.config:
        raise UsageError("--config means nothing beside --resume", "The run has its own settings", "Leave one out")
    if starting.resume:
        return launch.reorder(starting.resume, recipe=recipe)
    if starting.config:
        from ganvas.cli.config import order_of

        order = order_of(starting.config, recipe, starting.preset)
    else:
        order = launch.order(recipe, starting.preset)
    return replace(order, init=starting.init or order.init, freeze=starting.freeze or order.freeze)


def _help(arguments: Sequence[str]) -> int:
    """Print how to train, or a recipe's own page."""
    from ganvas.cli.help import entry
    from ganvas.cli.train_page import page
    from ganvas.recipes.base import RECIPES, SUMMARIES

    everything = "--help-all" in arguments
    asked = [word for word in arguments if word not in ("-h", "--help", "--help-all")]
    known = options_of(Starting, "train")
    said = words.read_words(asked, known, "train")
    if not (said.positional or said.has("resume") or said.has("config")):
        print("usage: ganvas train RECIPE --data DIR [--preset NAME] [options]\n")
        for name in RECIPES:
            print(f"  {name.ljust(20)}{SUMMARIES[name]}")
        print("  ./my_recipe.py      Your own, as CONTRIBUTING.md tells\n\noptions of every training:")
        print("\n".join(line for option in known for line in entry(option)))
        print("\n`ganvas train RECIPE --help` tells of its presets and settings.")
        return DONE
    recipe, starting = _start(asked)
    order = _order(recipe, starting)
    settings = options_of(type(order.settings), f"train {order.recipe}", order.settings)
    print(page(order, known, settings, everything))
    return DONE


def _train(order: Any, starting: Starting, arguments: Sequence[str]) -> int:
    import os

    from ganvas import device as machine
    from ganvas import launch
    from ganvas.training import loop, parallel

    settings, clock = order.settings, Clock(starting.minutes)
    launch.check(order)
    if starting.gpus < 1:
        raise UsageError(f"--gpus is {starting.gpus}", "It counts processes, and must be 1 or more")
    # What a recipe of your own reads may be anything, a name or an address.
    is_own = order.recipe.endswith(".py")
    if settings.data and not (starting.resume or is_own or _may_exist(settings.data)):
        do = "Name your own folder by --data; `ganvas world --out street` draws one to try with"
        raise UserError(f"There is no folder {settings.data}", do=do)
    if starting.gpus > 1 and "WORLD_SIZE" not in os.environ:
        parallel.require_even(settings.batch_size, starting.gpus)
        return parallel.launch(starting.gpus, ["train", *_without_gpus(arguments)])
    main = int(os.environ.get("RANK", "0")) == 0
    say = _speaker(starting.json, starting.quiet or not main)
    if order.preset:
        say(f"Preset {order.preset.name!r} ({order.preset.reason}).")
    device = machine.pick(settings.device)
    say(f"On {device.type} in {str(machine.pick_precision(settings.precision, device)).removeprefix('torch.')}.")
    if starting.dry_run:
        return _dry_run(order, starting.json)
    try:
        with parallel.joined(device.type):
            plan = launch.plan(order, fresh=not starting.resume)
            say(_describe(plan))
            out = Path(starting.resume or starting.out or (launch.next_run(order.recipe) if main else "."))
            if starting.resume:
                with clock:
                    loop.resume(
                        plan, out, as_json=starting.json, quiet=starting.quiet, allow_changes=starting.allow_changes
                    )
            else:
                pace = _rehearsed(plan, order, say, starting.quiet)
                say(f"Run: {out}  Preview: {out / 'latest.png'}")
                with clock:
                    loop.train(plan, out, as_json=starting.json, quiet=starting.quiet, pace=pace)
    except loop.Stopped:
        return DONE if clock.has_rung else STOPPED
    except loop.OutOfMemory as error:
        raise launch.advise(order, error) from error
    say(f"Done: {out}")
    return DONE


def _rehearsed(plan: Any, order: Any, say: Callable[[str], None], quiet: bool) -> dict[str, float]:
    """Return the seconds that a step of each stage takes; of the paper's values, say first what they will cost."""
    from ganvas.training import contract, rehearsal

    is_paper = order.preset is not None and order.preset.name == "paper"
    if quiet or not (is_paper or sum(bool(stage.steps) for stage in contract.stages(plan.recipe)) > 1):
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
