"""The only training loop: a trainer's steps, and what happens between two of them."""

from __future__ import annotations

import contextlib
import shlex
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ganvas import device as machine
from ganvas import ranks
from ganvas.errors import UserError
from ganvas.io import fingerprints, leftovers, noted, recipe_files, run_lock, runs
from ganvas.settings import differences, from_json, is_runtime, renamed, to_json
from ganvas.training import checkpoint, networks, parallel, ring, step
from ganvas.training.feed import collate
from ganvas.training.interruption import Interruption
from ganvas.training.logbook import Logbook
from ganvas.training.scores import Scores
from ganvas.training.sentinel import Observation
from ganvas.training.trainer import Plan, Trainer

T = TypeVar("T")

STEPS_BETWEEN_WARNINGS = 100
MOST_NAMED = 10
"""Broken pictures that are named at once."""


class Stopped(Exception):
    """Training was interrupted by a signal, after its state was saved."""


class OutOfMemory(UserError):
    """A step did not fit into memory."""

    def __init__(self, batch_size: int, step: int, why: str) -> None:
        super().__init__(
            f"Out of memory at step {step} with a batch of {batch_size}",
            why.splitlines()[0] if why else "",
            "Use a smaller --batch-size",
        )


def train(
    plan: Plan,
    folder: str | Path,
    *,
    as_json: bool = False,
    quiet: bool = False,
    pace: Mapping[str, float] | None = None,
) -> Path:
    """Train a new run into a folder and return the folder.

    `pace` tells the seconds that a step of each stage takes, as a rehearsal has found, for the time that is left.

    Raises:
        UserError: the folder holds something already, or the settings do not fit.
        Stopped: a signal ended the run after its state was saved.
    """
    run = Path(parallel.from_first(str(folder)))
    _require_one_run(plan)
    with _held(run):
        trainer = Trainer(plan)
        parallel.on_first(lambda: runs.create(run, _noted(plan)))
        return _play(trainer, run, as_json, quiet, trainer.notices(), pace)


def resume(
    plan: Plan, folder: str | Path, *, as_json: bool = False, quiet: bool = False, allow_changes: bool = False
) -> Path:
    """Resume a run from its newest whole checkpoint, exactly where it stood.

    Raises:
        UserError: settings that alter the weights differ and that was not allowed, or there is nothing to go on from.
        Stopped: a signal ended the run after its state was saved.
    """
    run = Path(parallel.from_first(str(folder)))
    _require_one_run(plan)
    leftovers.require_own(run)
    with _held(run) as left:
        return _resume(plan, run, [left] if left else [], as_json, quiet, allow_changes)


def _resume(plan: Plan, run: Path, notes: list[str], as_json: bool, quiet: bool, allow_changes: bool) -> Path:
    if ranks.rank() == 0:
        leftovers.clear(run)
    parallel.barrier()
    saved, problems = runs.newest_checkpoint(run)
    notes += problems
    changed: dict[str, tuple[Any, Any]] = {}
    if saved is None:
        _require_restart(plan, run, problems)
        trainer = Trainer(plan)
    else:
        changed = _changes(plan, saved)
        require_unchanged(changed, allow_changes)
        trainer = _rebuilt(plan, saved)
        notes += told_changes(trainer, saved, changed)
    parallel.barrier()
    if ranks.rank() == 0:
        if changed or _has_moved(plan, saved):
            # What generates from the run builds its networks by these settings, and so does the next to resume it.
            notes.append(f"The settings until now are kept as {runs.renote(run, _noted(plan), trainer.step).name}.")
        moved = runs.set_aside(run, trainer.step)
        notes += [f"Set aside as {path.name}." for path in moved]
        if saved is not None:
            ring.settle(trainer, run, saved.state.get("scores"))
        runs.rewind_log(run, trainer.step)
    notes.append(f"Resuming at step {trainer.step} of {trainer.total_steps}.")
    return _play(trainer, run, as_json, quiet, notes)


def _require_one_run(plan: Plan) -> None:
    """Check that all ranks were given the same settings and the same data; where the data lie may differ."""
    leaves = {
        name: value for name, value in _leaves(to_json(plan.recipe.settings)) if name not in ("data", "val", "device")
    }
    prints = {f"the {name}'s {key}": value for name, facts in plan.fingerprints.items() for key, value in facts.items()}
    parallel.require_same({**leaves, **prints, "samples in the data": len(plan.train)})


def _leaves(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield above + name, value


@contextlib.contextmanager
def _held(run: Path) -> Iterator[str]:
    """Hold the run's lock on the first rank for all of them; give a note about a holder that has died."""
    with contextlib.ExitStack() as stack:
        yield parallel.on_first(lambda: stack.enter_context(run_lock.held(run))) or ""


def _has_moved(plan: Plan, saved: runs.Checkpoint | None) -> bool:
    """Tell whether the same files now lie elsewhere."""
    if saved is None:
        return False
    settings, folder = saved.state["settings"], saved.state.get("folder", "")
    pairs = [(settings.get(name, ""), getattr(plan.recipe.settings, name)) for name in ("data", "val")]
    return not all(_is_same_place(folder, old, new) for old, new in pairs)


def _is_same_place(folder: str, old: Any, new: Any) -> bool:
    """Tell whether a path as it was typed in a folder is another one under its full name."""
    return old == new or (isinstance(old, str) and old != "" and str(Path(folder, old)) == str(new))


def _require_restart(plan: Plan, run: Path, problems: Sequence[str]) -> None:
    if problems:
        raise UserError(f"{run} has no whole checkpoint", "; ".join(problems), "Start again with another --out")
    if plan.init_from and not plan.init:
        raise UserError(
            f"{run} was interrupted before its first checkpoint",
            "The weights that it started from are not in it",
            f"Start again with --init {' '.join(plan.init_from)} and another --out",
        )


def _rebuilt(plan: Plan, saved: runs.Checkpoint) -> Trainer:
    """Return the trainer of a checkpoint; what does not fit it is refused before memory is taken."""
    noted.require_resumable(saved.state, saved.folder / runs.STATE)
    try:
        checkpoint.require_fit(lambda: networks.fresh(plan.recipe), saved.groups.get("networks", {}), str(saved.folder))
        trainer = Trainer(plan)
        trainer.load(saved)
    except _DAMAGE as error:
        if machine.is_out_of_memory(error):
            raise
        why = f"{type(error).__name__}: {error}"
        raise UserError(f"{saved.folder} is not a checkpoint of these settings", why) from error
    return trainer


_DAMAGE = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What comes of plain values that are not those that a trainer has written."""


def require_unchanged(changed: Mapping[str, tuple[Any, Any]], allow_changes: bool) -> None:
    """Refuse what alters the weights and differs from the checkpoint, unless that is allowed.

    Raises:
        UserError: something differs; it is listed.
    """
    if changed and not allow_changes:
        only_settings = not changed.keys() & {*_FILES.values()}
        raise UserError(
            f"The {'settings' if only_settings else 'settings or files'} are not those of the run",
            _listed(changed),
            "Leave them out to resume exactly, or add --allow-changes to resume all the same",
        )


def _listed(changed: Mapping[str, tuple[Any, Any]]) -> str:
    return "; ".join(
        f"{name}: {new}" if name in _FILES.values() else f"{name} was {old!r}, is {new!r}"
        for name, (old, new) in changed.items()
    )


def told_changes(trainer: Trainer, saved: runs.Checkpoint, changed: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """Return what is worth telling of settings and machine that differ from a checkpoint's."""
    notes = [f"Resuming with changed settings: {_listed(changed)}."] if changed else []
    now = machine.facts(trainer.device, trainer.precision, ranks.world_size())
    other = [f"{key} was {old}, is {now.get(key)}" for key, old in saved.state["facts"].items() if now.get(key) != old]
    if other:
        notes.append(f"Not bit-equal to an uninterrupted run: {'; '.join(other)}.")
    return notes


def _changes(plan: Plan, saved: runs.Checkpoint) -> dict[str, tuple[Any, Any]]:
    """Return what alters the weights and differs from a checkpoint's, each as it was and is."""
    kind = type(plan.recipe.settings)
    noted.require_resumable(saved.state, saved.folder / runs.STATE)
    changed = differences(from_json(kind, renamed(kind, saved.state["settings"])), plan.recipe.settings)
    changed = {name: pair for name, pair in changed.items() if not is_runtime(kind, name)}
    folder, before = saved.state.get("folder", ""), saved.state.get("fingerprints", {})
    for name, (old, new) in list(changed.items()):
        # The same place under its full name, or the same files in another place.
        same_files = name in ("data", "val") and before.get(name) and before[name] == plan.fingerprints.get(name)
        if same_files or _is_same_place(folder, old, new):
            del changed[name]
    if saved.state["samples"] != len(plan.train):
        changed["samples in the data"] = (saved.state["samples"], len(plan.train))
    for name, now in plan.fingerprints.items():
        if name not in changed and (other := fingerprints.difference(before.get(name, {}), now)):
            changed[_FILES[name]] = ("", other)
    return changed


_FILES = {"data": "the data", "val": "the validation set", "recipe": "the recipe's file"}


def _noted(plan: Plan) -> dict[str, Any]:
    """Return what a run folder says of itself."""
    return {
        "recipe": plan.name,
        "recipe_sha256": recipe_files.digest(plan.name) if plan.name.endswith(".py") else "",
        "settings": to_json(plan.recipe.settings),
        "folder": str(Path.cwd()),
        "init": list(plan.init_from),
        "freeze": list(plan.freeze),
        "card": to_json(plan.recipe.card()),
        "cards": to_json(plan.recipe.cards()),
    }


def _play(
    trainer: Trainer,
    run: Path,
    as_json: bool,
    quiet: bool,
    notes: Sequence[str],
    pace: Mapping[str, float] | None = None,
) -> Path:
    is_main = ranks.rank() == 0
    log = Logbook(run, trainer, as_json=as_json, quiet=quiet or not is_main, writes=is_main)
    log.pace = dict(pace or {})
    if trainer.device.type == "cpu":
        machine.keep_freed_memory()
    try:
        with Interruption() as interruption, machine.deterministic(trainer.device), log:
            for note in notes:
                log.say(note)
            _Session(trainer, run, log, interruption).play()
    finally:
        trainer.feed.close()
    return run


class _Session:
    """What happens between two steps: the watch, the log, previews, scores, checkpoints."""

    def __init__(self, trainer: Trainer, run: Path, log: Logbook, interruption: Interruption) -> None:
        self.trainer, self.run, self.log, self.interruption = trainer, run, log, interruption
        self.settings, self.scores = trainer.settings, Scores(trainer)
        self.warned_at = -STEPS_BETWEEN_WARNINGS
        self.warned: set[str] = set()
        """What has gone wrong beside training and was told: a preview that fails will fail again."""
        self.num_skipped = len(_skipped(trainer.plan.train))

    def play(self) -> None:
        trainer, log = self.trainer, self.log
        if not runs.checkpoints(self.run):
            # Before the first step: the weights that a run starts from are then in it, and a rollback has where to go.
            ring.save(trainer, self.run, regular=True)
        log.say(ring.describe(trainer, self.run))
        while not trainer.finished:
            seen = self._advance()
            log.count(seen)
            self._watch(seen)
            if self._is_due(self.settings.log_every):
                log.write()
                self._tell_skipped()
            is_scored = trainer.plan.val is not None and self._is_due(self.settings.score_every)
            # Training needs no scores, and may have gone on for days before the first.
            scores = (self._try("score", self._score) or {}) if is_scored else None
            is_regular = is_scored or self._is_due(self.settings.checkpoint_every)
            stopping = parallel.any_rank(self.interruption.asked)
            if is_regular or stopping:
                ring.save(trainer, self.run, regular=is_regular, scores=scores)
                self._try("plot", log.plot)
            # After the checkpoint: nothing that goes wrong with a picture may cost the step.
            is_first = stopping and not (self.run / "latest.png").is_file()  # something to look at, however early
            if self.settings.preview_every and (is_first or self._is_due(self.settings.preview_every)):
                self._try("preview", self._preview)
            if stopping and not trainer.finished:
                log.say(f"Saved at step {trainer.step}. Resume with: {_resume_command(self.run)}")
                raise Stopped(str(self.run))

    def _try(self, what: str, action: Callable[[], T]) -> T | None:
        """Do something that training can go on without; what goes wrong is a warning, told once."""
        try:
            return action()
        except Exception as error:
            if parallel.is_rank_lost(error):
                raise
            told = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}{_place(error)}"
            why = " ".join(told.split())
            if why not in self.warned:
                self.warned.add(why)
                self.log.say(f"Warning: no {what} at step {self.trainer.step}: {why}")
                # The disk may be what is full.
                with contextlib.suppress(UserError):
                    self.log.record("warning", {"lacking": what, "why": why})
            return None

    def _tell_skipped(self) -> None:
        """Name pictures that turned out to be broken since the last time: other ones stand in for them."""
        found = _skipped(self.trainer.plan.train)
        new = dict(list(found.items())[self.num_skipped :])
        self.num_skipped = len(found)
        if new:
            named = "; ".join(f"{name} ({why})" for name, why in list(new.items())[:MOST_NAMED])
            more = f"; and {len(new) - MOST_NAMED} more" if len(new) > MOST_NAMED else ""
            self.log.say(f"{len(new)} more skipped, {len(found)} in all: {named}{more}")
            self.log.record("skipped", new)

    def _is_due(self, every: int) -> bool:
        return self.trainer.finished or (every > 0 and self.trainer.step % every == 0)

    def _advance(self) -> Observation:
        try:
            return step.advance(self.trainer)
        except Exception as error:
            if machine.is_out_of_memory(error):
                # The failed step's frames hold its batch and graph, which a search for what fits must not stumble over.
                traceback.clear_frames(error.__traceback__)
                raise OutOfMemory(self.trainer.batch_size, self.trainer.step, str(error)) from error
            raise

    def _watch(self, seen: Observation) -> None:
        trainer, watch = self.trainer, self.trainer.sentinel
        why = watch.observe(seen, trainer.nets)
        if why is None:
            return
        if watch.mode == "stop":
            self._tell_trip(seen, why)
            raise UserError(
                f"Stopped at step {seen.step} by the sentinel", why, "The run keeps its newest healthy weights"
            )
        if watch.mode == "warn" or not watch.may_mend(why):
            if seen.step - self.warned_at >= STEPS_BETWEEN_WARNINGS:
                self.warned_at = seen.step
                self._tell_trip(seen, why)
            return
        self._tell_trip(seen, why)
        # The first rank may still be deleting what the others would read.
        parallel.barrier()
        saved = ring.healthy(self.run, watch, seen.step - watch.lasted(why))
        if saved is None:
            raise UserError(
                f"Training collapsed at step {seen.step}",
                f"{why}; there is no healthy checkpoint to go back to",
                "Lower the learning rates, or set --checkpoint-every lower",
            )
        watch.roll_back(seen.step, why, saved.step, saved.state["sentinel"])
        trainer.roll_back(saved)
        parallel.barrier()
        factors = f"rates are now x {watch.response.rate_factor:g}, R1 x {watch.response.r1_factor:g}"
        self.log.say(
            f"Went back to the weights of step {saved.step}; step, data and random numbers continue; {factors}."
        )
        self.log.record("rollback", {"to": saved.step, "count": watch.response.rollbacks})

    def _tell_trip(self, seen: Observation, why: str) -> None:
        self.log.say(f"Step {seen.step}: {why}.")
        self.log.record("sentinel", {"why": why})

    def _preview(self) -> None:
        trainer = self.trainer
        if ranks.rank() != 0:
            return
        context = trainer.resting_context("preview")
        # The same inputs at every preview, of the validation set where there is one, in the order they lie there.
        source = trainer.recipe.previews(trainer.plan.val or trainer.plan.train, trainer.stage)
        generators = [np.random.default_rng([self.settings.seed, 3, index]) for index in range(min(4, len(source)))]
        raw = collate([source.sample(index, generator) for index, generator in enumerate(generators)])
        with trainer.resting() as nets, machine.autocast(trainer.device, trainer.precision):
            batch = trainer.recipe.batch(trainer.to_device(raw), context)
            self.log.preview(trainer.recipe.sample(nets, batch, context))

    def _score(self) -> dict[str, float]:
        trainer = self.trainer
        if ranks.rank() != 0:
            return {}
        scores = self.scores.take()
        if scores:
            self.log.record("scores", scores)
            for name, tensors in trainer.recipe.attachments().items():
                runs.write_attachment(self.run, name, tensors)
            listed = ", ".join(f"{key} {value:.4g}" for key, value in scores.items())
            self.log.say(f"Step {trainer.step}, validation: {listed}")
        return scores


def _place(error: BaseException) -> str:
    """Return the file and line that raised an error."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""


def _skipped(source: Any) -> dict[str, str]:
    return dict(getattr(getattr(source, "report", None), "skipped", {}))


def _resume_command(run: Path) -> str:
    processes = f" --gpus {ranks.world_size()}" if ranks.world_size() > 1 else ""
    return f"ganvas train --resume {shlex.quote(str(run))}{processes}"
