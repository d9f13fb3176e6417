"""Collapse provoked, and what R1 and dropout do about it beside stopping early, at small scale.

    python scripts/biggan_collapse.py --out collapse             # an interrupted call goes on

Five pictures of each drawn class, high rates that stay, and momentum: the discriminator learns
the pictures by heart, and the generator follows it into nonsense. Each row goes on to its last step, and the sentinel
only warns. Printed for each: the step at which the sentinel would have stopped it and why; minus the sliced Wasserstein
distance to pictures held out, of the weights that stopping there would have kept, the best of all and the last; the
variety of a batch of fakes against one of reals, the smallest of all and the last.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ganvas import launch
from ganvas.drawn.shapes import Shapes
from ganvas.io import runs
from ganvas.io.pictures import images
from ganvas.training.sentinel import LAG

SIZE_PX, PER_CLASS, HELD_OUT = 32, 5, 40
EVERY = 50
"""Steps between scores."""
BASE: dict[str, Any] = {
    "batch_size": 16, "generator_rate": 2e-3, "discriminator_rate": 2e-3, "betas": (0.5, 0.999),
    "schedule": "constant", "orthogonal_weight": 0.0, "mirror": False, "average_half_life": 0.0,
    "sentinel": "warn", "log_every": 1, "score_every": EVERY, "checkpoint_every": EVERY, "preview_every": 200,
    "threads": 1, "workers": 1, "attention_px": 0,
}  # fmt: skip
ROWS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "R1 of 1": {"r1_weight": 1.0},
    "R1 of 10": {"r1_weight": 10.0},
    "dropout 0.5": {"dropout": 0.5},
}


def write_shapes(folder: Path) -> None:
    """Draw the pictures, unless that has been done."""
    for part, number, first in (("train", PER_CLASS, 0), ("held", HELD_OUT, PER_CLASS)):
        drawn = Shapes(SIZE_PX, number, first=first)
        for index, name in enumerate(drawn.groups()):
            path = folder / part / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture = drawn.sample(index, None)["picture"]  # pyright: ignore[reportArgumentType]
            images.write(path, picture.permute(1, 2, 0).numpy(), overwrite=True)


def row(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what a run's log tells of its collapse."""
    scores = {entry["step"]: entry["scores"]["minus_swd"] for entry in entries if "scores" in entry}
    trips = [(entry["step"], entry["sentinel"]["why"]) for entry in entries if "sentinel" in entry]
    losses = [entry["losses"] for entry in entries if "losses" in entry]
    variety = [seen["fake_spread"] / seen["real_spread"] for seen in losses]
    stop, why = trips[0] if trips else (None, "")
    # What the sentinel would go back to: collapse begins before it shows.
    kept = max((step for step in scores if stop is None or step <= stop - LAG), default=None)
    return {
        "stopped at": stop, "why": why,
        "kept": kept, "score kept": scores.get(kept), "best score": max(scores.values()),
        "last score": scores[max(scores)], "least variety": min(variety[LAG:]), "last variety": variety[-1],
        "margin": losses[-1]["margin"],
    }  # fmt: skip


def main() -> None:
    """Train and print each row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("collapse"))
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    options = parser.parse_args()
    if not (options.out / "data").is_dir():
        write_shapes(options.out / "data")
    common = {
        "steps": options.steps, "width": options.width, "data": str(options.out / "data/train"),
        "val": str(options.out / "data/held"),
    }  # fmt: skip
    for name in options.rows:
        run = options.out / name.replace(" ", "_")
        if runs.is_run(run):
            launch.train(resume=run, quiet=True)
        else:
            launch.train("biggan", out=run, preset="preview", settings={**BASE, **ROWS[name], **common}, quiet=True)
        log = (run / "log.jsonl").read_text().splitlines()
        print(json.dumps({"row": name, **row([json.loads(line) for line in log])}), flush=True)


if __name__ == "__main__":
    main()
