"""Lives of a training run that end by SIGKILL, each forked from one process that has paid for importing torch.

As a script, `python -m nursery RUN` with the tests' folders in PYTHONPATH, it kills a run eight times, goes on with it
each time, and prints what happened.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import torch

# Imported before the first fork, so that no life pays for it: Adam asks for it.
import torch._dynamo
from tiny_runs import plan

from ganvas.io import runs
from ganvas.training import loop
from tiny_recipe import Tiny

CHANGES = {
    "first_steps": 12,
    "second_steps": 28,
    "checkpoint_every": 2,
    "keep_last": 2,
    "preview_every": 100,
    "val": True,
    "score_every": 7,
    "workers": 2,
}
"""What the runs that are killed change of the tiny recipe's settings."""

POINTS = (
    "half a tensor file",
    "before the rename",
    "between rename and latest",
    "during pruning",
    "during the log's append",
)


def kill_at_point(point: str, occurrence: int, witness: Path) -> None:
    """Arrange that this process kills itself when it reaches a point for the n-th time."""
    seen = 0

    def reached(here: str, path: Path) -> None:
        nonlocal seen
        seen += here == point
        if here != point or seen < occurrence:
            return
        if point == "half a tensor file":
            os.truncate(path, path.stat().st_size // 2)
        if point == "during the log's append":
            with path.open("ab") as file:
                file.write(b'{"step": 12, "stage": "pi')
        die(witness, point)

    runs.reached = reached


def kill_in_step(number: int, witness: Path) -> None:
    """Arrange that this process kills itself in the middle of its n-th step."""
    original, steps = Tiny.generator_losses, []

    def losses(*arguments: object) -> object:
        steps.append(None)
        if len(steps) == number:
            die(witness, "in a step")
        return original(*arguments)

    Tiny.generator_losses = losses


def die(witness: Path, where: str) -> None:
    """Leave a word about where this process was, and end it as `kill -9` does."""
    with witness.open("a") as file:
        file.write(where + "\n")
    os.kill(os.getpid(), signal.SIGKILL)


def live(run: Path) -> None:
    """Train a run, or go on with it."""
    torch.set_num_threads(1)
    if runs.is_run(run):
        loop.resume(plan(**CHANGES), run, quiet=True)
    else:
        loop.train(plan(**CHANGES), run, quiet=True)


def fork(life: Callable[[], None]) -> int:
    """Begin a life in a process of its own and return its number."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        life()
        status = 0
    finally:
        os._exit(status)


def whole_steps(run: Path) -> int:
    """Return the step of the newest whole checkpoint, which the next life goes on from."""
    if not runs.is_run(run):
        return 0
    saved, _ = runs.newest_checkpoint(run)
    return saved.step if saved else 0


def main(run: Path) -> None:
    """Kill a run eight times and let the ninth life end it; print a line of JSON about each life."""
    witness = run.with_name("witness")
    fates = [lambda: kill_in_step(4, witness)]
    for number, point in enumerate(POINTS):
        fates.append(lambda point=point, number=number: kill_at_point(point, 2 + number % 2, witness))
    fates += [lambda: kill_in_step(5, witness), lambda: kill_in_step(3, witness), lambda: None]
    for fate in fates:
        begins_at = whole_steps(run)
        _, status = os.waitpid(fork(lambda: (fate(), live(run))), 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        print(json.dumps({"from": begins_at, "killed": killed, "status": status}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
