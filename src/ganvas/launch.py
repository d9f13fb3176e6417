"""From a recipe's name and a folder of data to a run: presets, changes, validation split, weights to start from."""

from __future__ import annotations

import contextlib
import gc
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ganvas import device as machine
from ganvas.data import doctor
from ganvas.data.pictures import split
from ganvas.errors import UsageError, UserError
from ganvas.evaluation.extractors import open_extractor
from ganvas.inference.open import resolve
from ganvas.io import fingerprints, recipe_files, runs
from ganvas.io.noted import Noted
from ganvas.io.weights import files as weights
from ganvas.protocol import Recipe
from ganvas.recipes import base
from ganvas.settings import check as check_settings
from ganvas.settings import from_json, renamed, replace
from ganvas.training import contract, loop, rehearsal, trainer


@dataclass(frozen=True)
class Order:
    """What is to be trained: the recipe, its whole settings, and where the run starts from."""

    recipe: str
    settings: Any
    preset: base.Preset | None = None
    init: tuple[str, ...] = ()
    """Weight files or names of models to start from; `network=FILE` names the network, a plain FILE the generator."""
    freeze: tuple[str, ...] = ()
    allow_changes: bool = False


def order(recipe: str, preset: str = "", changes: Mapping[str, Any] | None = None) -> Order:
    """Return the order for a new run of a recipe: a preset (empty: the smallest), changed.

    Raises:
        UserError: the recipe, the preset or a setting is unknown.
    """
    recipe = _named(recipe)
    chosen = base.preset(base.find(recipe), preset)
    return Order(recipe, replace(chosen.settings, changes or {}), chosen)


def _named(recipe: str) -> str:
    """Return a recipe that the user has named; a file of his own is remembered, and known by its full path."""
    if recipe in base.RECIPES or not recipe.endswith(".py") or not Path(recipe).is_file():
        return recipe
    recipe_files.confirm(recipe)
    return str(Path(recipe).resolve())


def reorder(run: str | Path, changes: Mapping[str, Any] | None = None, recipe: str = "") -> Order:
    """Return the order under which a run was started, with some settings changed.

    `recipe` is named by the user and spares the run's own note of it: a file that only the run names is not executed
    unless the user has trained with it before.

    Raises:
        UserError: the folder is no run, or names a file that the user has not.
    """
    run = Path(run)
    if not runs.is_run(run):
        raise UserError(
            f"{run} is no run", f"It holds no {runs.SETTINGS}", "Give the folder that `ganvas train --out` made"
        )
    return order_again(runs.read_noted(run), recipe, str(run), changes=changes)


def order_again(
    said: Noted, recipe: str, where: str, option: str = "--resume", changes: Mapping[str, Any] | None = None
) -> Order:
    """Return the order that a run's notes tell, from the run or file `where`, which `option` has named.

    Raises:
        UserError: its settings cannot be used, or it names a file that the user has not.
    """
    recipe = _recipe_of(f"{option} {where}", said.recipe, said.recipe_sha256, _named(recipe))
    found = base.find(recipe)
    kind = found.Settings
    try:
        settings = _found_again(from_json(kind, renamed(kind, said.settings)), said.folder)
        check_settings(settings, found.PRESETS.values())
    except UserError as error:
        raise UserError(f"The settings of {where} cannot be used", error.what, error.do or error.why) from error
    return Order(
        recipe,
        replace(settings, changes or {}),
        None,
        said.init,
        said.freeze,
    )


def _found_again(settings: Any, folder: str) -> Any:
    """Return settings whose relative paths are those below the folder that a run was started in, where they exist."""
    if not folder or not Path(folder).is_absolute():
        return settings
    texts = {f.name: getattr(settings, f.name) for f in fields(settings)}
    found = {
        name: str(Path(folder, text))
        for name, text in texts.items()
        if isinstance(text, str) and text and _exists(Path(folder, text)) and not Path(text).is_absolute()
    }
    return replace(settings, found)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _recipe_of(source: str, told: str, told_sha256: str, named: str) -> str:
    """Return the recipe of a run's notes, which never runs a file because only they name it.

    `source` is where the notes stand, as the command line says it: `--resume RUN`.
    """
    where = source.partition(" ")[2]
    if named:
        if (named in base.RECIPES or told in base.RECIPES) and named != told:
            raise UserError(f"{where} was not trained by {named}", f"Its recipe is {told}", "Leave the recipe out")
        return named
    if told in base.RECIPES:
        return told
    do = f"Read the file and, where you trust it, name it yourself: ganvas train {told} {source}"
    if not recipe_files.digest(told):
        do = f"Name your recipe's file: ganvas train RECIPE.py {source}"
        raise UserError(f"The recipe of {where} is not at hand", f"It names {told!r}, which is no file", do)
    if recipe_files.digest(told) != told_sha256:
        raise UserError(f"{told} was not run", f"It is not the file that {where} was trained with", do)
    if not recipe_files.is_confirmed(told):
        raise UserError(f"{told} was not run", f"Only {where} names it, and a run is data: you have not", do)
    return told


def check(order: Order) -> None:
    """Refuse settings that mean nothing, before anything is read or written.

    Raises:
        UserError: a number is out of its bounds; it is named.
    """
    kind = base.find(order.recipe)
    check_settings(order.settings, kind.PRESETS.values())


def plan(order: Order, fresh: bool = True) -> trainer.Plan:
    """Open the data and the weights of an order, checking all that can be checked before training.

    Raises:
        UserError: the data or the weights cannot be used.
    """
    try:
        found = _plan(order, fresh)
    except (ArithmeticError, LookupError, MemoryError, TypeError, ValueError) as error:
        if fresh:
            raise
        # What a run folder says may be anything; what a new run is told comes from the user, and a defect is a defect.
        why = f"{type(error).__name__}: {error}"
        raise UserError("The settings that the run notes cannot be used", why) from error
    if fresh and order.recipe.endswith(".py"):
        # A mistake in a user's own recipe is told before a folder is made; what does not fit into memory, by training.
        with contextlib.suppress(loop.OutOfMemory):
            rehearsal.rehearse(found, steps=1)
            rehearsal.rehearse_score(found)
    return found


def _plan(order: Order, fresh: bool) -> trainer.Plan:
    settings = order.settings
    check(order)
    if not settings.data:
        raise UsageError("There is nothing to train on", do="Give a folder by --data")
    for name, path in (("--data", settings.data), ("--val", settings.val)):
        _require_path(name, path)
    recipe = base.find(order.recipe)(settings)
    _require_scores(order, recipe)
    extractor = open_extractor(settings.frechet, device=machine.pick(settings.device)) if settings.frechet else None
    train, val = contract.source(recipe, recipe.source(settings.data)), None
    if settings.val:
        fraction = _fraction(settings.val)
        if not fraction:
            _require_apart(settings.data, settings.val, train)
        train, val = (
            split(train, fraction, settings.seed) if fraction else (train, recipe.held_out(settings.val, train))
        )
    if extractor is not None and val is not None and len(val) < 2:
        why = f"{len(val)} is held out, and a distance of sets needs two of each"
        raise UserError("--frechet has too few pictures to compare", why, "Hold more out by --val")
    init: dict[str, Mapping[str, Any]] = {}
    for item in order.init if fresh else ():
        network, _, file = item.rpartition("=")
        init[network or "generator"] = _starting_weights(resolve(file), network or "generator")
    examination = doctor.examine(train)
    examination.require_healthy(settings.data)
    known = {"data": fingerprints.of(settings.data), "val": fingerprints.of(settings.val)}
    if known["val"] and known["val"].get("contents") == known["data"].get("contents"):
        why = f"Its files are those of {settings.data}"
        raise UserError(f"--val {settings.val} is the training data", why, "Hold some out: --val 0.1")
    if order.recipe.endswith(".py"):
        known["recipe"] = {"sha256": recipe_files.digest(order.recipe)}
    findings = (*examination.findings, *doctor.few(train, val is not None))
    return trainer.Plan(order.recipe, recipe, train, val, init, order.init, order.freeze, findings, known, extractor)


def _require_scores(order: Order, recipe: Recipe) -> None:
    """Refuse to hold pictures out, or to compare them, for a recipe that has no use for them."""
    s, kind = order.settings, type(recipe)
    if s.val and kind.score is Recipe.score:
        why = "It has no `score`, so that pictures held out would serve nobody"
        raise UserError(f"The recipe {order.recipe} cannot be scored", why, "Write one, or leave --val out")
    if s.frechet and kind.compared is Recipe.compared:
        why = "It has no `compared`, which gives real and generated pictures"
        raise UserError(
            f"The recipe {order.recipe} knows no Frechet distance", why, "Write one, or leave --frechet out"
        )
    if s.frechet and not s.val:
        why = "The distance is to pictures that are held out"
        raise UserError("--frechet has nothing to compare with", why, "Hold some out: --val 0.1")


def _require_apart(data: str, val: str, source: Any) -> None:
    """Refuse a validation set that is trained on."""
    paths = [Path(text) for text in (data, val)]
    if not all(map(_exists, paths)):
        return
    first, second = (path.resolve() for path in paths)
    if first == second:
        raise UserError(f"--val {val} is the training data", "Scores on it say nothing", "Hold some out: --val 0.1")
    if not getattr(source, "takes_all_below", False):
        return
    if second.is_relative_to(first):
        why = f"It lies in {data}, all of which is trained on"
        raise UserError(f"--val {val} is part of the training data", why, "Move it out, or hold some out: --val 0.1")
    if first.is_relative_to(second):
        why = f"{data} lies in it, all of which would be scored"
        raise UserError(f"--val {val} holds the training data", why, "Name another folder, or hold some out: --val 0.1")


def _require_path(option: str, text: str) -> None:
    """Refuse what the system cannot even look up: a name without end, or one in a folder that is closed."""
    try:
        Path(text).exists()
    except OSError as error:
        shown = text if len(text) <= 80 else f"{text[:80]} ..."
        raise UserError(f"{option} {shown} cannot be looked up", error.strerror or str(error)) from error


def _starting_weights(path: Path, network: str) -> Mapping[str, Any]:
    """Return what a network starts from: a run has each of its own, a weight file is of one."""
    return (weights.read_run(path, network) if runs.is_run(path) else weights.read(path)).tensors


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    if not 0 < value < 1:
        raise UserError(f"--val {text} is no share of the data", do="Give a fraction such as 0.1, or a folder")
    return value


def next_run(recipe: str, parent: str | Path = "runs") -> Path:
    """Make and return the next free run folder: runs/00001-esrgan, runs/00002-esrgan ...

    Raises:
        UserError: the folder cannot be made.
    """
    parent = Path(parent)
    while True:
        names = [path.name.split("-")[0] for path in parent.glob("*-*")] if parent.is_dir() else []
        number = max((int(name) for name in names if name.isascii() and name.isdigit()), default=0) + 1
        folder = parent / f"{number:05d}-{Path(recipe).stem}"
        try:
            # Made at once: two runs that begin together must not find the same one free.
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise UserError(f"Cannot write {folder}", error.strerror or str(error), "Choose another --out") from error
        return folder


def advise(order: Order, error: loop.OutOfMemory) -> UserError:
    """Return the error of a run that did not fit, naming settings of which a step was seen to fit."""
    from dataclasses import replace as with_fields

    settings = order.settings
    # The failed run's frames hold its networks, without which more would fit.
    for each in (error, error.__cause__, error.__context__):
        traceback.clear_frames(each.__traceback__ if each else None)
    gc.collect()

    def smaller(batch_size: int) -> trainer.Plan:
        micro_batches = settings.micro_batches * max(1, settings.batch_size // batch_size)
        return plan(
            with_fields(order, settings=replace(settings, {"batch_size": batch_size, "micro_batches": micro_batches}))
        )

    fitting = rehearsal.find_fitting(settings.batch_size, smaller)
    if not fitting:
        return UserError(error.what, f"{error.why}. Not even a batch of 1 fits", "Choose a smaller network or crop")
    parts = settings.micro_batches * max(1, settings.batch_size // fitting)
    return UserError(error.what, error.why, f"This was tried and fits: --batch-size {fitting} --micro-batches {parts}")


def train(
    recipe: str = "",
    data: str | Path = "",
    out: str | Path = "",
    *,
    preset: str = "",
    settings: Mapping[str, Any] | None = None,
    val: str | float = "",
    init: Sequence[str] = (),
    freeze: Sequence[str] = (),
    resume: str | Path = "",
    quiet: bool = False,
) -> Path:
    """Train a recipe, or resume a run, and return the run's folder.

    Args:
        recipe: a name that `ganvas recipes` lists, or the path of your own file.
        data: folder of training data.
        out: the run's folder; the next free one below `runs/` when empty.
        preset: `laptop`, `preview`, `paper`; the first that there is when empty.
        settings: changes by dotted name: `{"batch_size": 8, "adversarial.base": "hinge"}`.
        val: validation folder, or the fraction to hold out.
        init: weight files to start from.
        freeze: patterns of `network.parameter` that are not trained.
        resume: a run to resume; its preset is then its own, and its recipe unless it is a file to be named anew.
        quiet: print nothing.

    Raises:
        UserError: something cannot be used; nothing was written then.
    """
    from dataclasses import replace as with_fields

    if resume:
        again = reorder(resume, settings, recipe)
        return loop.resume(plan(again, fresh=False), resume, quiet=quiet)
    changes = {**(settings or {}), **({"data": str(data)} if data else {}), **({"val": str(val)} if val else {})}
    new = with_fields(order(recipe, preset, changes), init=tuple(init), freeze=tuple(freeze))
    return loop.train(plan(new), out or next_run(recipe), quiet=quiet)
