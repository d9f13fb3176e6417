"""Measure what presets cost on one core: python scripts/preset_costs.py [--presets laptop,show] [--recipes esrgan,...].

Plays four steps of every stage on drawn data. Seconds are of the processor, so that other work on the machine hardly
matters; each preset runs in a process of its own, whose peak memory is told.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

STREET = ["world", "--frames", "6", "--size"]
DATA = {
    "esrgan": ["faces", "--num", "24", "--size", "256"],
    "relativistic": ["faces", "--num", "64", "--size", "128"],
    "biggan": ["shapes", "--size", "64", "--per-class", "12"],
    "pix2pixhd": [*STREET, "512x256", "--details"],
    "superres_unet": ["faces", "--num", "24", "--size", "256"],
    "tiled_upres": ["faces", "--num", "6", "--size", "768"],
    "vid2vid": ["world", "--clips", "4", "--frames", "20", "--size", "256x128"],
    "reverse_matchmove": ["world", "--path", "orbit", "--frames", "8", "--size", "512x512"],
}
"""What each recipe is measured on: `ganvas WORDS`."""
WORDS = {"tiled_upres": {"guide": "points"}}


def child(recipe: str, preset: str, data: str, steps: int) -> None:
    """Measure one preset and print JSON."""
    import resource
    import time
    import types

    from ganvas import launch
    from ganvas.cli.train_page import size_of
    from ganvas.training import rehearsal

    rehearsal.time = types.SimpleNamespace(perf_counter=time.process_time)  # pyright: ignore[reportAttributeAccessIssue]
    changes = {"data": data, "device": "cpu", "threads": 1, "workers": 1, **WORDS.get(recipe, {})}
    order = launch.order(recipe, preset, changes)
    stages = rehearsal.rehearse(launch.plan(order), steps=steps)
    settings = order.settings
    print(json.dumps({
        "size": size_of(settings), "batch": settings.batch_size * settings.micro_batches,
        "steps": sum(stage.steps for stage in stages),
        "s_a_step": {stage.stage: round(stage.seconds_a_step, 4) for stage in stages},
        "hours": sum(stage.steps * stage.seconds_a_step for stage in stages) / 3600,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }))  # fmt: skip


def main() -> None:
    """Measure presets, each in a process of its own, and print a table as each is done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--presets", default="laptop,show")
    parser.add_argument("--recipes", default=",".join(DATA))
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--timeout", type=float, default=900)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(*asked.child, steps=asked.steps)
        return
    from ganvas.recipes import base

    print("| recipe | preset | pictures | steps x batch | s a step | memory, GB | one core |")
    print("|---|---|---|---|---|---|---|")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        for recipe in asked.recipes.split(","):
            data = str(Path(folder) / recipe)
            drawn = [sys.executable, "-m", "ganvas", *DATA[recipe], "--out", data, "--quiet"]
            subprocess.run(drawn, check=True, env=environment)
            for preset in asked.presets.split(","):
                if preset not in base.find(recipe).PRESETS:
                    continue
                words = [sys.executable, __file__, "--steps", str(asked.steps), "--child", recipe, preset, data]
                try:
                    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=asked.timeout)
                except subprocess.TimeoutExpired:
                    print(f"| `{recipe}` | `{preset}` | not measured within {asked.timeout:g} s |", flush=True)
                    continue
                if done.returncode:
                    print(f"| `{recipe}` | `{preset}` | {done.stderr.strip().splitlines()[-1][:160]} |", flush=True)
                    continue
                found = json.loads(done.stdout.splitlines()[-1])
                seconds = ", ".join(f"{name} {value:.2g}" for name, value in found["s_a_step"].items())
                print(
                    f"| `{recipe}` | `{preset}` | {found['size']} | {found['steps']:,} x {found['batch']} | "
                    f"{seconds} | "
                    f"{found['peak_gb']:.1f} | {found['hours']:.2g} h |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
