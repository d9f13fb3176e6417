"""What a run will cost, and which settings fit, found by playing a few real steps that write nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from ganvas import device as machine
from ganvas.training import step
from ganvas.training.loop import OutOfMemory
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
                trainer.skip_to(index)
                times: list[float] = []
                for _ in range(min(steps, stage.steps)):
                    start = time.perf_counter()
                    step.advance(trainer)
                    times.append(time.perf_counter() - start)
                # The first step allocates and warms up.
                settled = sorted(times[1:] or times)
                results.append(
                    Rehearsal(stage.name, stage.steps, machine.peak_memory(trainer.device), settled[len(settled) // 2])
                )
    except Exception as error:
        if machine.is_out_of_memory(error):
            raise OutOfMemory(trainer.batch_size, trainer.step, str(error)) from error
        raise
    finally:
        trainer.feed.close()
    return results


def find_fitting(batch_size: int, plan_for: Callable[[int], Plan]) -> int:
    """Return the largest half, quarter ... of a batch size of which a step fits into memory; 0 when none does."""
    while batch_size > 1:
        batch_size //= 2
        try:
            rehearse(plan_for(batch_size), steps=1)
        except OutOfMemory:
            continue
        return batch_size
    return 0
