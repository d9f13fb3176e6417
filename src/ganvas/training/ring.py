"""The ring of checkpoints: when one is trusted, which are kept, and which one a rollback goes back to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganvas import ranks
from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.training import parallel, sentinel
from ganvas.training.sentinel import Sentinel
from ganvas.training.trainer import Trainer


def save(trainer: Trainer, run: Path, *, regular: bool, scores: Mapping[str, float] | None = None) -> Path:
    """Write a checkpoint of the present step and delete those that the ring has no room for; all ranks take part.

    A checkpoint is `regular` when an uninterrupted run has it, too. Only those are gone back to: an interruption must
    not decide where a later rollback leads.
    """
    for name, tensors in trainer.groups().items():
        if ranks.rank() == 0 or name.startswith("carry-"):
            runs.write_group(run, trainer.step, name, tensors)
    state = {**trainer.state(), "regular": regular, "scores": dict(scores or {})}
    parallel.barrier()
    final = run / "checkpoints" / runs.checkpoint_name(trainer.step)
    if ranks.rank() == 0:
        runs.finish_checkpoint(run, trainer.step, state)
        settle(trainer, run, scores)
    parallel.barrier()
    return final


def settle(trainer: Trainer, run: Path, scores: Mapping[str, float] | None) -> None:
    """Do what follows a checkpoint at the present step: mark it if it is the best, delete old ones."""
    if scores and is_better(scores, runs.best_scores(run)):
        runs.mark_best(run, runs.checkpoint_name(trainer.step), scores)
    folders = runs.checkpoints(run)
    regular = [folder for folder in folders if _state(folder).get("regular")]
    keep = {folder.name for folder in [*folders[-1:], *regular[-max(1, trainer.settings.keep_last) :]]}
    if trusted := _trusted(run, trainer.sentinel, trainer.step):
        keep.add(trusted[0].name)
    runs.prune(run, keep)


def is_better(scores: Mapping[str, float], best: Mapping[str, float]) -> bool:
    """Tell whether scores are better than the best so far: the first one counts, and a number beats none."""
    first = next(iter(scores))
    return first not in best or scores[first] > best[first] or math.isnan(best[first])


def healthy(run: Path, watch: Sentinel, step: int) -> runs.Checkpoint | None:
    """Return the checkpoint that a trip at a step goes back to; None when there is none."""
    for folder in _trusted(run, watch, step):
        try:
            return runs.read_checkpoint(folder)
        except UserError:
            continue
    return None


def _trusted(run: Path, watch: Sentinel, step: int) -> list[Path]:
    """Return trusted checkpoints in the order in which a trip at a step would try them."""
    found = [folder for folder in runs.checkpoints(run) if _is_trusted(folder, watch)]
    early = [folder for folder in found if int(folder.name) <= step - sentinel.LAG]
    late = [folder for folder in found if int(folder.name) > step - sentinel.LAG]
    # The newest of those that collapse cannot have touched yet; failing that, the one that it touched least.
    return [*reversed(early), *late]


def _is_trusted(folder: Path, watch: Sentinel) -> bool:
    state = _state(folder)
    return bool(state.get("regular")) and watch.trusts(int(folder.name), bool(state.get("healthy")))


def _state(folder: Path) -> dict[str, Any]:
    try:
        return runs.read_state(folder)
    except UserError:
        return {}


def describe(trainer: Trainer, run: Path) -> str:
    """Say what the ring will take on disk."""
    groups = {**trainer.groups(), "optimizers": {}}
    plain = sum(value.nbytes for tensors in groups.values() for value in tensors.values())
    # Before the first step the optimisers have no moments yet.
    megabytes = (plain + trainer.optimizers.most_bytes()) / 2**20
    # Beside the newest ones: the best one, and the newest that a rollback would trust.
    most = max(1, trainer.settings.keep_last) + 2
    return f"A checkpoint takes {megabytes:.3g} MB; at most {most} are kept in {run} ({most * megabytes:.3g} MB)."
