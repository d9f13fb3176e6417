"""The only training loop: it steps a trainer through a recipe's stages, and can be stopped at any step and gone on with exactly."""

from __future__ import annotations

import math
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch

from ganvas import device as machine
from ganvas import ranks
from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.settings import differences, from_json, is_runtime, to_json
from ganvas.training import parallel
from ganvas.training.feed import collate
from ganvas.training.logbook import Logbook
from ganvas.training.trainer import Plan, Trainer


class Stopped(Exception):
    """Training was interrupted by a signal, after its state was saved."""


class OutOfMemory(UserError):
    """A step did not fit into memory."""

    def __init__(self, batch_size: int, step: int, why: str) -> None:
        super().__init__(
            f"Out of memory at step {step} with a batch of {batch_size}",
            why.splitlines()[0],
            "Use a smaller --batch-size",
        )




def train(
    plan: Plan, folder: str | Path, *, as_json: bool = False, quiet: bool = False, overwrite: bool = False
) -> Path:
    """Train a new run into a folder and return the folder.

    Raises:
        UserError: the folder holds something already, or the settings do not fit.
        Stopped: a signal ended the run after its state was saved.
    """
    trainer = Trainer(plan)
    run = Path(folder)
    if ranks.rank() == 0:
        run = runs.create(folder, overwrite)
        runs.write_json(
            run / runs.SETTINGS,
            {
                "recipe": plan.name,
                "settings": to_json(plan.recipe.settings),
                "init": plan.init_from,
                "freeze": list(plan.freeze),
                "card": to_json(plan.recipe.card()),
            },
        )
    parallel.barrier()
    return _play(trainer, run, as_json, quiet)


def resume(
    plan: Plan, folder: str | Path, *, as_json: bool = False, quiet: bool = False, allow_changes: bool = False
) -> Path:
    """Go on with a run from its newest healthy checkpoint, exactly where it stood.

    Raises:
        UserError: settings that alter the weights were changed and that was not allowed, or there is nothing to go on from.
        Stopped: a signal ended the run after its state was saved.
    """
    run = Path(folder)
    if ranks.rank() == 0:
        runs.clear_leftovers(run)
    parallel.barrier()
    saved, problems = runs.newest_checkpoint(run)
    trainer = Trainer(plan)
    if saved is not None:
        notes = compare_state(trainer, saved, allow_changes)
        trainer.load(saved)
        problems += notes
    if ranks.rank() == 0:
        runs.rewind_log(run, trainer.step)
    return _play(
        trainer, run, as_json, quiet, [*problems, f"Going on from step {trainer.step} of {trainer.total_steps}."]
    )


def compare_state(trainer: Trainer, saved: runs.Checkpoint, allow_changes: bool) -> list[str]:
    """Compare a checkpoint's settings and machine with the present ones; return what is worth telling.

    Raises:
        UserError: settings that alter the weights differ.
    """
    settings = trainer.settings
    before = from_json(type(settings), saved.state["settings"])
    changed = differences(before, settings)
    result = {name: pair for name, pair in changed.items() if not is_runtime(type(settings), name)}
    listed = "; ".join(f"{name} was {old!r}, is {new!r}" for name, (old, new) in result.items())
    if result and not allow_changes:
        raise UserError(
            "The settings are not those of the run",
            listed,
            "Leave them out to go on exactly, or add --allow-changes to go on all the same",
        )
    notes = [f"Going on with changed settings: {listed}."] if result else []
    now = machine.facts(trainer.device, trainer.precision, ranks.world_size())
    other = [f"{key} was {old}, is {now.get(key)}" for key, old in saved.state["facts"].items() if now.get(key) != old]
    if other:
        notes.append(f"Not bit-equal to an uninterrupted run: {'; '.join(other)}.")
    return notes


def _play(trainer: Trainer, run: Path, as_json: bool, quiet: bool, notes: Sequence[str] = ()) -> Path:
    main = ranks.rank() == 0
    settings = trainer.settings
    log = Logbook(run, trainer.total_steps, as_json, settings.tensorboard and main, quiet or not main)
    with _Interruption() as interruption, machine.deterministic(trainer.device), log:
        for note in [*trainer.init_report, *notes]:
            log.say(note)
        fixed = _fixed_batch(trainer)
        best = runs.best_scores(run)
        ring_told = False
        while not trainer.finished:
            try:
                values = trainer.advance()
            except Exception as error:
                if machine.is_out_of_memory(error):
                    trainer.feed.close()
                    raise OutOfMemory(trainer.batch_size, trainer.step, str(error)) from error
                raise
            log.count(values)
            _watch(trainer, run, log)
            step = trainer.step
            if main and (step % settings.log_every == 0 or trainer.finished):
                log.write(step, trainer.stage.name, trainer.images_seen, trainer.batch_size, trainer.rates)
            if main and fixed is not None and (step % settings.preview_every == 0 or trainer.finished):
                _preview(trainer, fixed, log)
            scored = None
            if main and trainer.plan.val is not None and (step % settings.score_every == 0 or trainer.finished):
                scored = _score(trainer, log)
            stopping = parallel.any_rank(interruption.asked)
            if step % settings.checkpoint_every == 0 or trainer.finished or stopping or scored:
                saved = save(trainer, run)
                if main:
                    if scored and (not best or next(iter(scored.values())) > best.get(next(iter(scored)), -math.inf)):
                        best = scored
                        runs.mark_best(run, saved, scored)
                    runs.prune(run, settings.keep_last)
                    log.plot()
                    if not ring_told:
                        ring_told = True
                        size = runs.size_on_disk(saved) / 2**20
                        log.say(
                            f"A checkpoint takes {size:.0f} MB; up to {settings.keep_last + 1} are kept ({size * (settings.keep_last + 1):.0f} MB)."
                        )
            if stopping and not trainer.finished:
                trainer.feed.close()
                log.say(f"Saved at step {step}. Go on with: ganvas train --resume {run}")
                raise Stopped(str(run))
        trainer.feed.close()
    return run


def save(trainer: Trainer, run: Path) -> Path:
    """Write a checkpoint of the present step; all ranks take part."""
    for name, tensors in trainer.groups().items():
        if ranks.rank() == 0 or name.startswith("carry-"):
            runs.write_group(run, trainer.step, name, tensors)
    parallel.barrier()
    final = run / "checkpoints" / runs.checkpoint_name(trainer.step)
    if ranks.rank() == 0:
        final = runs.finish_checkpoint(run, trainer.step, trainer.state())
    parallel.barrier()
    return final


def _watch(trainer: Trainer, run: Path, log: Logbook) -> None:
    trip = trainer.sentinel.observe(trainer.observation, trainer.nets)
    if trip is None:
        return
    if ranks.rank() == 0:
        log.say(f"Step {trainer.step}: {trip}")
        log.record(trainer.step, "sentinel", {"trip": trip, "rollbacks": trainer.sentinel.rollbacks})
    if trainer.settings.sentinel == "warn":
        return
    if trainer.settings.sentinel == "stop":
        raise UserError(
            f"Stopped at step {trainer.step} by the sentinel", trip, "Its newest healthy checkpoint is kept in the run"
        )
    saved, _ = runs.newest_checkpoint(run)
    if saved is None:
        raise UserError(
            f"Training collapsed at step {trainer.step}",
            f"{trip}; there is no healthy checkpoint yet to go back to",
            "Lower the learning rates, or set --checkpoint-every lower",
        )
    trainer.sentinel.count_rollback(trip)
    trainer.load_weights(saved)
    if trainer.settings.sentinel_action == "halve_rates":
        trainer.rate_factor *= 0.5
    if ranks.rank() == 0:
        log.say(
            f"Went back to the weights of step {saved.step}; step, data and chance go on. Rates are now x {trainer.rate_factor:g}."
        )


def _fixed_batch(trainer: Trainer) -> Any:
    # The same inputs at every preview, of the validation set where there is one, in the order they lie there.
    source = trainer.plan.val or trainer.plan.train
    number = min(4, len(source))
    raw = collate(
        [source.sample(index, np.random.default_rng([trainer.settings.seed, 3, index])) for index in range(number)]
    )
    return trainer.recipe.batch(trainer.to_device(raw), replace(trainer.context(salt="preview"), step=0))


def _preview(trainer: Trainer, fixed: Any, log: Logbook) -> None:
    with torch.no_grad(), machine.autocast(trainer.device, trainer.precision):
        log.preview(trainer.step, trainer.recipe.sample(trainer.averaged(), fixed, trainer.context(salt="preview")))


def _score(trainer: Trainer, log: Logbook) -> dict[str, float]:
    assert trainer.plan.val is not None
    with torch.no_grad():
        scores = trainer.recipe.score(trainer.averaged(), trainer.plan.val, trainer.context(salt="score"))
    if scores:
        log.record(trainer.step, "scores", scores)
        log.say(f"Step {trainer.step}, validation: " + ", ".join(f"{key} {value:.4g}" for key, value in scores.items()))
    return scores


class _Interruption:
    """Turns Ctrl-C and SIGTERM into a request that the loop honours between two steps; a second one ends at once."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Interruption:
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._before[number] = signal.signal(number, self._ask)
            except ValueError:  # not the main thread: the caller's program owns the signals
                break
        return self

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __exit__(self, *details: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
