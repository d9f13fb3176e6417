"""What a run will cost, and which settings fit, found by playing a few real steps that write nothing."""

from __future__ import annotations

import gc
import statistics
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from ganvas import device as machine
from ganvas.training import step
from ganvas.training.loop import OutOfMemory
from ganvas.training.scores import Scores
from ganvas.training.trainer import Plan, Trainer


@dataclass(frozen=True)
class Rehearsal:
    """What a stage costs: peak memory of the process or GPU, and seconds a step."""

    stage: str
    steps: int
    peak_bytes: int
    seconds_a_step: float


def rehearse(plan: Plan, steps: int = 4) -> list[Rehearsal]:
    """Play a few real steps of every stage without writing anything, and measure what they cost.

    Raises:
        OutOfMemory: a step does not fit.
    """
    trainer = Trainer(plan)
    results: list[Rehearsal] = []
    try:
        with machine.deterministic(trainer.device):
            for index, stage in enumerate(trainer.stages):
                if stage.steps:
                    trainer.skip_to(index)
                    seconds = _time_steps(trainer, min(steps, stage.steps))
                    results.append(Rehearsal(stage.name, stage.steps, machine.peak_memory(trainer.device), seconds))
    except Exception as error:
        if machine.is_out_of_memory(error):
            traceback.clear_frames(error.__traceback__)
            raise OutOfMemory(trainer.batch_size, trainer.step, str(error)) from error
        raise
    finally:
        trainer.feed.close()
    return results


MOST_SCORED = 64
"""Samples of a validation set that is scored before training: a larger one would take long."""


def rehearse_score(plan: Plan) -> None:
    """Score the untrained networks where that is quick: what raises here would raise at every score."""
    if plan.val is not None and len(plan.val) <= MOST_SCORED:
        trainer = Trainer(plan)
        try:
            Scores(trainer).take()
        finally:
            trainer.feed.close()


def _time_steps(trainer: Trainer, number: int) -> float:
    times: list[float] = []
    for _ in range(number):
        start = time.perf_counter()
        step.advance(trainer)
        times.append(time.perf_counter() - start)
    # The first step allocates and warms up.
    return statistics.median(times[1:] or times)


def find_fitting(batch_size: int, plan_for: Callable[[int], Plan]) -> int:
    """Return the largest half, quarter ... of a batch size of which a step fits into memory; 0 when none does."""
    while batch_size > 1:
        batch_size //= 2
        # What the attempt before held may hang in cycles.
        gc.collect()
        try:
            rehearse(plan_for(batch_size), steps=1)
        except OutOfMemory as error:
            traceback.clear_frames(error.__traceback__)
            continue
        return batch_size
    return 0
