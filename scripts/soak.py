"""Kill training at random moments, over and over, and check that it ends bit-equal to a run that was left alone.

    python scripts/soak.py [RECIPE ...] [--kills 50] [--ranks 1] [--seed 0] [--minutes 0] [--folder DIR]

Every recipe is trained on data that Ganvas draws, with tiny networks. Each life is forked, lives for a random time and
is ended by SIGKILL; the next one goes on from what lies on the disk. Every fourth life is killed while it starts, the
others within two steps after their first checkpoint, however slow the machine is. With --ranks 2 each life is two
processes, one or both of which are killed. Prints a row of the table in docs/measured/reliability.md for each
recipe, and exits with 1 if a bit differs. With --minutes, a recipe's kills end after so long, and its row
says how many there were.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# Imported before the first fork, so that no life pays for it.
import torch
import torch._dynamo

from ganvas import cli, launch
from ganvas.io import runs
from ganvas.training import loop, parallel

COMMON = {
    "checkpoint_every": 1, "keep_last": 2, "preview_every": 7, "log_every": 1, "score_every": 9, "precision": "float32",
    "threads": 1, "workers": 1,
}  # fmt: skip
RECIPES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "esrgan": ("photos", "laptop", {
        "width": 8, "blocks": 1, "discriminator_width": 4, "batch_size": 2, "crop_px": 32, "pixel_crop_px": 32,
        "pixel_steps": 40, "gan_steps": 60, "perceptual": "none", "val": "0.2",
    }),
    "relativistic": ("shapes", "preview", {"width": 4, "latent": 6, "batch_size": 4, "steps": 100, "size_px": 32}),
    "biggan": ("shapes", "preview", {
        "width": 2, "latent": 8, "class_features": 5, "batch_size": 4, "steps": 100, "standing_batches": 1,
    }),
    "pix2pixhd": ("street", "preview", {
        "width_px": 64, "height_px": 32, "global_width": 8, "downs": 2, "blocks": 1, "encoder_width": 4,
        "discriminator_width": 4, "discriminator_layers": 1, "global_steps": 30, "enhancer_steps": 30,
        "joint_steps": 40, "instance_features": 2, "perceptual": "none", "batch_size": 2,
    }),
    "superres_unet": ("photos", "preview", {
        "width": 4, "downs": 2, "discriminator_width": 4, "low_px": 16, "batch_size": 2, "steps": 80,
        "content_steps": 20, "perceptual": "none",
    }),
    "tiled_upres": ("photos", "preview", {
        "width": 4, "encoder_width_div": 2, "discriminator_width": 4, "high_px": 128, "low_px": 80, "scale": 2,
        "guide": "edges",
        "batch_size": 2, "pixel_steps": 40, "steps": 60,
    }),
    "vid2vid": ("street", "preview", {
        "width": 4, "downs": 1, "blocks": 2, "discriminator_width": 2, "discriminator_scales": 1, "perceptual": "none",
        "shrink": 2,
        "perceptual_weight": 0.0, "batch_size": 1, "rounds": [33], "lengths": 2, "first_length": 3, "longest": 7,
        "frames_a_step": 3, "clip_frames": 2, "clip_strides": [1, 3], "picture_rounds": 0,
    }),
    "reverse_matchmove": ("street", "preview", {
        "size_px": 16, "width": 2, "discriminator_width": 2, "batch_size": 2, "perceptual": "none", "pixel_steps": 40,
        "steps": 60, "rays_px": 8,
    }),
}  # fmt: skip
"""Recipe -> data, preset and what makes it tiny."""


def draw(folder: Path) -> None:
    """Draw the data that the recipes are trained on."""
    if (folder / "photos").exists():
        return
    with contextlib.redirect_stdout(sys.stderr):
        cli.main(["world", "--out", str(folder / "street"), "--frames", "12", "--size", "256x128"])
        cli.main(["shapes", "--out", str(folder / "shapes"), "--size", "32", "--per-class", "6"])
    (folder / "photos").symlink_to(folder / "street" / "frames")


def order_of(recipe: str, data: Path, steps: int = 0, ranks: int = 1) -> launch.Order:
    """Return the order of a recipe's tiny run."""
    where, preset, changes = RECIPES[recipe]
    fewer = {"steps": steps} if steps else {}
    # Each rank needs a sample.
    shared = {"batch_size": max(ranks, changes["batch_size"]), "data": str(data / where)}
    return launch.order(recipe, preset, {**COMMON, **changes, **fewer, **shared})


def live(order: launch.Order, run: Path) -> None:
    """Train a run, or resume it."""
    # Flushing guards against power failures; here it would only take time.
    os.fsync = lambda _: None
    torch.set_num_threads(1)
    with parallel.joined("cpu"):
        if runs.is_run(run):
            loop.resume(launch.plan(order, fresh=False), run, quiet=True)
        else:
            loop.train(launch.plan(order), run, quiet=True)


def fork(order: launch.Order, run: Path, rank: int, ranks: int, port: int) -> int:
    """Begin a life in a process of its own and return its number."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        if ranks > 1:
            told = {
                "RANK": rank,
                "LOCAL_RANK": rank,
                "WORLD_SIZE": ranks,
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port,
            }
            os.environ.update({name: str(value) for name, value in told.items()})
        with contextlib.redirect_stderr(open(os.devnull, "w")) if ranks > 1 else contextlib.nullcontext():  # noqa: PTH123
            live(order, run)
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException as error:
        if ranks == 1:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


def begin(order: launch.Order, run: Path, ranks: int) -> list[int]:
    """Begin the processes of one life."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [fork(order, run, rank, ranks, port) for rank in range(ranks)]


SURVIVE = 20.0
"""Seconds after which torchrun, too, would have ended a rank that waits for one that has died."""


def wait(children: list[int], patience: float = float("inf")) -> list[int]:
    """Wait for processes and return their exit codes, negative for a signal; end those that outlive the patience."""
    until = time.monotonic() + patience
    while (alive := [child for child in children if not has_ended(child)]) and time.monotonic() < until:
        time.sleep(0.01)
    for child in alive:
        os.kill(child, signal.SIGKILL)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def has_ended(child: int) -> bool:
    """Tell whether a process has ended, without taking its exit code."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def newest(run: Path) -> int:
    """Return the step that the next life goes on from."""
    saved = runs.newest_checkpoint(run)[0] if runs.is_run(run) else None
    return saved.step if saved else 0


def latest(run: Path) -> str:
    """Return the name of a run's newest checkpoint without reading it."""
    return max((path.name for path in (run / "checkpoints").glob("[0-9]*")), default="")


def live_on(run: Path, children: list[int], patience: float) -> float:
    """Wait until a life has written a checkpoint, or has ended, and return the seconds that took."""
    before, began = latest(run), time.monotonic()
    while latest(run) <= before and time.monotonic() - began < patience:
        if any(map(has_ended, children)):
            break
        time.sleep(0.005)
    return time.monotonic() - began


def soak(recipe: str, folder: Path, options: argparse.Namespace) -> str:
    """Train a run through a number of kills and return its row of the table.

    Raises:
        AssertionError: it does not end as the undisturbed one does.
    """
    kills, ranks, seed = options.kills, options.ranks, options.seed
    order = order_of(recipe, folder, options.steps, ranks)
    whole, run = folder / f"{recipe}-{ranks}-whole", folder / f"{recipe}-{ranks}-killed"
    children, began = begin(order, whole, ranks), time.monotonic()
    start_up = live_on(whole, children, patience=600)
    codes = wait(children)
    if any(codes):
        raise AssertionError(f"{recipe} ended with {codes}")
    total, chance = newest(whole), random.Random(f"{seed} {recipe}")
    seconds_a_step = (time.monotonic() - began - start_up) / total
    until = time.monotonic() + 60 * options.minutes if options.minutes else float("inf")
    struck = lives_with_progress = debris = 0
    while struck < kills and time.monotonic() < until:
        start = newest(run)
        children = begin(order, run, ranks)
        if chance.random() < 0.25:
            time.sleep(chance.uniform(0, start_up))
        else:
            start_up = live_on(run, children, patience=60)
            time.sleep(chance.uniform(0, 2 * seconds_a_step))
        doomed = children if chance.random() < 0.5 else [chance.choice(children)]
        for child in doomed:
            os.kill(child, signal.SIGKILL)
        # The others notice, unless they have not met yet: without torchrun, they would wait for each other.
        codes = wait(children, SURVIVE)
        if -signal.SIGKILL not in codes:
            break
        struck += 1
        lives_with_progress += newest(run) > start
        debris += any((run / "checkpoints").glob(".*")) if run.exists() else 0
    codes = wait(begin(order, run, ranks))
    if any(codes):
        raise AssertionError(f"{recipe} ended with {codes} after {struck} kills")
    compare(whole, run)
    return f"| {recipe} | {ranks} | {total} | {struck} | {lives_with_progress} | {debris} | equal |"


def compare(whole: Path, run: Path) -> None:
    """Check that two runs ended in the same state: every tensor bit for bit, and all plain state.

    Raises:
        AssertionError: they did not; what differs is named.
    """
    mine, theirs = (runs.newest_checkpoint(each)[0] for each in (whole, run))
    assert mine is not None and theirs is not None and mine.step == theirs.step, "another step"
    assert mine.groups.keys() == theirs.groups.keys(), "other groups"
    for group, tensors in mine.groups.items():
        other = theirs.groups[group]
        assert tensors.keys() == other.keys(), f"other tensors in {group}"
        for key, value in tensors.items():
            same = value.shape == other[key].shape and value.dtype == other[key].dtype
            bits = [each.contiguous().reshape(-1).view(torch.uint8) for each in (value, other[key])] if same else []
            assert same and torch.equal(*bits), f"{group}/{key} differs"
    for key in ("images_seen", "position", "stage_index", "carry", "sentinel", "scaler"):
        assert mine.state[key] == theirs.state[key], f"{key} differs"


def main() -> int:
    """Read the command line, soak, and say how it went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=[], help="default: all eight")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--steps", type=int, default=0, help="of the last stage (default: as written here)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=0.0, help="of each recipe's kills (default: no limit)")
    parser.add_argument("--folder", type=Path, default=None, help="keep the runs here (default: a temporary folder)")
    options = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        draw(folder)
        print("| recipe | ranks | steps | kills | lives that got further | kills that left half a file | bits |")
        print("|---|---|---|---|---|---|---|", flush=True)
        for recipe in options.recipes or RECIPES:
            try:
                print(soak(recipe, folder, options), flush=True)
            except AssertionError as error:
                failed += 1
                print(f"| {recipe} | {options.ranks} | | | | | NOT equal: {error} |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
