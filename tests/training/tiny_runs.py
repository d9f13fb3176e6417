"""What the tests of training share: runs of the tiny recipe, and the comparison of two runs bit for bit."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganvas.io import runs
from ganvas.training import loop
from ganvas.training.trainer import Plan
from tiny_recipe import Settings, Tiny

FOLDERS = os.pathsep.join(
    [str(Path(__file__).parent), str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
)
"""What a process must have in PYTHONPATH to import these modules, and the package that is tested."""
RECIPE = str(Path(__file__).parents[1] / "tiny_recipe.py")
STEPS = 8


def settings(**changes: object) -> Settings:
    """Return the tiny recipe's settings with some changed."""
    return replace(Tiny.PRESETS["preview"], **changes)


def plan(val: bool = False, **changes: object) -> Plan:
    """Return the plan of a tiny run."""
    recipe = Tiny(settings(**changes))
    source = recipe.source("")
    return Plan(RECIPE, recipe, source, source.subset([0, 1]) if val else None)


def train(folder: Path, **changes: object) -> Path:
    """Train a tiny run from start to end."""
    return loop.train(plan(**changes), folder, quiet=True)


def resume(folder: Path, allow_changes: bool = False, **changes: object) -> Path:
    """Go on with a tiny run in a process whose random numbers stand elsewhere."""
    torch.manual_seed(987)
    np.random.seed(987)
    return loop.resume(plan(**changes), folder, quiet=True, allow_changes=allow_changes)


def last(run: Path) -> runs.Checkpoint:
    """Return a run's newest checkpoint."""
    saved, problems = runs.newest_checkpoint(run)
    assert saved is not None and not problems, problems
    return saved


def assert_same_bits(one: Path, other: Path) -> None:
    """Check that two runs ended in the same state: every tensor bit for bit, and all plain state."""
    mine, theirs = last(one), last(other)
    assert mine.step == theirs.step
    assert mine.groups.keys() == theirs.groups.keys()
    for group, tensors in mine.groups.items():
        assert_same_tensors(tensors, theirs.groups[group])
    for key in ("images_seen", "position", "stage_index", "carry", "sentinel", "scaler"):
        assert mine.state[key] == theirs.state[key], key


def assert_same_tensors(mine: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    """Check that two groups of tensors are equal bit for bit."""
    assert mine.keys() == theirs.keys()
    different = [key for key, value in mine.items() if not _same(value, theirs[key])]
    assert not different, f"differ: {different}"


def _same(mine: Tensor, theirs: Tensor) -> bool:
    # As bytes: NaN equals NaN, and -0 is not 0.
    return mine.dtype == theirs.dtype and mine.shape == theirs.shape and as_bytes(mine) == as_bytes(theirs)


def as_bytes(tensor: Tensor) -> bytes:
    """Return a tensor's bytes."""
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
