"""One training step of every recipe against the same step in eager float32 and torch's default layout, in turns.

    python benchmarks/train_step.py [RECIPE ...] [--preset preview] [--rounds 2] [--compile] [--json FILE]

Both are steps of the last stage, where all networks train, on drawn data and from the same weights. What counts is the
ratio of processor seconds: the contestants take turns, each in a process of its own, so that a busy machine slows both.
A turn lasts for several steps where these are short: alone, each would find its caches emptied by the others, as none
does in training.
The three costliest operations of our step stand beside it. `--preset paper` takes the paper's networks and sizes, with
`--batch-size 1` on small machines. The base line is our own step without its choices, and with memory as torch keeps
it; `pix2pixhd_step.py`, `biggan_step.py` and `matchmove_step.py` compare with steps that were written apart from it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import multiprocessing
import statistics
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from ganvas import cli, launch
from ganvas import device as machine
from ganvas.errors import UserError
from ganvas.recipes.base import RECIPES
from ganvas.training import step
from ganvas.training.trainer import Trainer

DRAWN = {
    "faces": ("faces", "--number", "12", "--size", "768"),
    "shapes": ("shapes", "--size", "128", "--per-class", "4"),
    "street": ("world", "--frames", "4", "--size", "512x256"),
    "clips": ("world", "--clips", "2", "--frames", "8", "--size", "256x128"),
    "flights": ("world", "--frames", "12", "--size", "512x512", "--path", "survey"),
}
"""Sets by name: the verb that draws each, and its options."""
SETS = {
    "esrgan": "faces", "superres_unet": "faces", "tiled_upres": "faces", "relativistic": "shapes", "biggan": "shapes",
    "pix2pixhd": "street", "vid2vid": "clips", "reverse_matchmove": "flights",
}  # fmt: skip
PLAIN = {"precision": "float32", "channels_last": False}
QUIET = {"sentinel": "off", "workers": 1, "perceptual": "none"}
"""Without pretrained features, which may not be at hand, and without what is done only now and then."""
COSTS = 3
TURN_S = 0.4
"""Seconds that a contestant's turn lasts, if one step is shorter."""


def draw(name: str, folder: Path) -> Path:
    """Draw a set of data once."""
    path = folder / name
    if not path.exists():
        verb, *options = DRAWN[name]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            for words in ([verb, str(path)], [verb, "--out", str(path)]):
                if cli.main([*words, *options]) == cli.DONE:
                    break
    return path


def trainer_of(recipe: str, preset: str, data: Path, changes: dict[str, Any]) -> Trainer:
    """Return a trainer that stands at the beginning of the recipe's last stage."""
    known = vars(launch.order(recipe, preset).settings)
    wanted = {"data": str(data), **{key: value for key, value in {**QUIET, **changes}.items() if key in known}}
    trainer = Trainer(launch.plan(launch.order(recipe, preset, wanted)))
    trainer.skip_to(len(trainer.stages) - 1)
    return trainer


def seconds_of(trainer: Trainer, steps: int = 1) -> float:
    """Return the processor seconds of a step, on a GPU the seconds by the clock, as the mean of some in a row."""
    clock = time.perf_counter if trainer.device.type == "cuda" else time.process_time
    began = clock()
    for _ in range(steps):
        step.advance(trainer)
    if trainer.device.type == "cuda":
        torch.cuda.synchronize(trainer.device)
    return (clock() - began) / steps


def costs(trainer: Trainer) -> list[tuple[str, float]]:
    """Return the costliest operations of a step, with their shares."""
    with torch.profiler.profile() as profile:
        step.advance(trainer)
    rows = {row.key: row.self_cpu_time_total for row in profile.key_averages()}
    total = sum(rows.values())
    return [
        (name.removeprefix("aten::"), rows[name] / total) for name in sorted(rows, key=lambda name: -rows[name])[:COSTS]
    ]


def serve(pipe: Connection, recipe: str, preset: str, data: Path, changes: dict[str, Any]) -> None:
    """Do steps of one contestant as they are asked for, in a process of its own, as memory is kept for all of one."""
    if not changes.items() >= PLAIN.items():
        machine.keep_freed_memory()  # as training does
    try:
        trainer = trainer_of(recipe, preset, data, changes)
    except UserError as error:
        pipe.send(str(error))
        return
    pipe.send({"precision": str(trainer.precision).removeprefix("torch."), "batch": trainer.batch_size})
    try:
        with machine.deterministic(trainer.device):
            while asked := pipe.recv():
                began = time.perf_counter()
                found = costs(trainer) if asked == "costs" else seconds_of(trainer, asked)
                pipe.send((found, time.perf_counter() - began))
    finally:
        trainer.feed.close()


def measure(recipe: str, preset: str, data: Path, rounds: int, changes: dict[str, Any], compiles: bool) -> dict:
    """Return the seconds a step of each contestant, their ratio, and our costliest operations.

    Raises:
        UserError: the recipe cannot be trained so here.
    """
    contestants = {"ours": changes, "plain": {**changes, **PLAIN}}
    if compiles:
        contestants["compiled"] = {**changes, "compile": True}
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    processes = []
    for name, wanted in contestants.items():
        pipes[name], theirs = context.Pipe()
        processes.append(context.Process(target=serve, args=(theirs, recipe, preset, data, wanted), daemon=True))
        processes[-1].start()
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in pipes}
    facts = {name: pipe.recv() for name, pipe in pipes.items()}
    if refused := [fact for fact in facts.values() if isinstance(fact, str)]:
        raise UserError(refused[0])
    steps = 1
    for turn in range(2 + rounds):
        for name, pipe in pipes.items():
            pipe.send(steps)
            taken[name].append(pipe.recv())
        if turn == 1:  # the first step builds what all others use
            steps = max(1, math.ceil(TURN_S / taken["ours"][1][0]))
    pipes["ours"].send("costs")
    told, _ = pipes["ours"].recv()
    for pipe, process in zip(pipes.values(), processes):
        pipe.send(None)
        process.join()
    cpu = {name: statistics.median(seconds for seconds, _ in of[2:]) for name, of in taken.items()}
    pairs = zip(taken["ours"][2:], taken["plain"][2:])
    row = {"recipe": recipe, "preset": preset, **facts["ours"], "ours_s": cpu["ours"], "plain_s": cpu["plain"]}
    row |= {"times": statistics.median(plain / ours for (ours, _), (plain, _) in pairs), "costs": told}
    if compiles:
        # The compiler's processes show by the clock alone.
        first, spared = taken["compiled"][0][1], cpu["ours"] - cpu["compiled"]
        row |= {
            "compiled_s": cpu["compiled"],
            "compile_s": first,
            "pays_after_steps": first / spared if spared > 0 else None,
        }
    return row


def main() -> None:
    """Measure each recipe and print a row for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=list(RECIPES))
    parser.add_argument("--preset", default="preview")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=0)
    parser.add_argument("--precision", default="", help="of our step, in place of the preset's")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument(
        "--compile", action="store_true", help="also with torch.compile, and after how many steps it pays"
    )
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    changes: dict[str, Any] = {"threads": options.threads} if options.threads else {}
    changes |= {"batch_size": options.batch_size} if options.batch_size else {}
    changes |= {"precision": options.precision} if options.precision else {}
    rows = []
    print("| recipe | batch | precision | ours, s | plain, s | times | three largest costs |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for recipe in options.recipes:
            data = draw(SETS[recipe], Path(folder))
            try:
                row = measure(recipe, options.preset, data, options.rounds, changes, options.compile)
            except UserError as error:
                print(f"| {recipe} | refused: {error} |", flush=True)
                continue
            rows.append(row)
            told = ", ".join(f"{name} {share:.0%}" for name, share in row["costs"])
            print(
                f"| {recipe} | {row['batch']} | {row['precision']} | {row['ours_s']:.2f} | {row['plain_s']:.2f} | "
                f"{row['times']:.2f} | {told} |", flush=True,
            )  # fmt: skip
            if options.compile:
                pays = row["pays_after_steps"]
                print(
                    f"  compiled {row['compiled_s']:.2f} s after {row['compile_s']:.0f} s; pays after {pays or 'never'}"
                )
            if options.json:
                options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
