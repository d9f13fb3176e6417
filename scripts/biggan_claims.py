"""What scaling does for a class-conditional GAN, at small scale: the claims of the BigGAN paper row by row.

    python scripts/biggan_claims.py --out claims                 # prints what would be run
    python scripts/biggan_claims.py --out claims --run           # runs it; an interrupted one goes on
    python scripts/biggan_claims.py --costs                      # parameters and CPU seconds only, in half a minute

The first row is a SAGAN as the paper's baseline: no shared class embedding, no noise to the blocks, no penalty on the
weights. Every other row changes it in one way, or adds to the row before as its name says. All rows see equally many
handwritten digits of 32 px under the same seeds, by the comparison that `ganvas compare` makes: of what is at hand they
are learned soonest, and a row that has learned nothing tells nothing. Scores are by a probe trained on real pictures
only, against held-out ones: minus the distance, the squared MMD between features averaged over classes, which decides;
the share of samples whose class it names right; the variety within classes (held-out = 1); and the first two again with
noise truncated at 0.5.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from biggan_quality import train_probe, whole, write_set

from ganvas.drawn.shapes import CLASSES, Shapes
from ganvas.evaluation.truncation import spread_within
from ganvas.experiments import compare
from ganvas.inference.seeds.sampler import SeedSampler, Truncation
from ganvas.metrics.distribution import squared_mmd
from ganvas.recipes.biggan import PREVIEW, BigGAN
from ganvas.training import networks, step
from ganvas.training.trainer import Plan, Trainer

SIZE_PX = 32
SCORED = 40
"""Samples of each class that are scored."""
TIMED = 3
"""Steps that are timed, after one that is not."""
TRUNCATED = 0.5
BASE: dict[str, Any] = {
    "batch_size": 32, "class_features": 0, "skip_z": False, "orthogonal_weight": 0.0, "schedule": "constant",
    "attention_px": 8, "mirror": False,
}  # fmt: skip
SHARED = {"class_features": 32}
ROWS: dict[str, dict[str, Any]] = {
    "SAGAN": {},
    "batch x 8": {"batch_size": 256},
    "width + 50 %": {"width": 1.5},
    "width x 2": {"width": 2},
    "depth x 2": {"depth": 2},
    "depth x 2 of BigGAN-deep blocks, shared": {"deep": True, "depth": 2, **SHARED},
    "shared embedding": SHARED,
    "shared, skip-z": {**SHARED, "skip_z": True},
    "shared, skip-z, orthogonal": {**SHARED, "skip_z": True, "orthogonal_weight": 1e-4},
    "R1 of 10": {"r1_weight": 10.0},
    "dropout 0.5": {"dropout": 0.5},
}
"""Changes of the first row; a width is in multiples of it."""


def rows(width: int, pictures: int, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the settings of some rows, all of which see equally many pictures."""
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        changes = ROWS[name]
        row = {**BASE, **changes, "width": round(width * changes.get("width", 1))}
        found[name] = {**row, "steps": pictures // row["batch_size"]}
    return found


def scorer(data: Path) -> Callable[[Path, Plan], dict[str, float]]:
    """Return what scores a finished run; the probe is trained once."""
    names = sorted(folder.name for folder in (data / "train").iterdir())
    (real, real_labels), (kept, kept_labels) = (whole(data / part, SIZE_PX, names) for part in ("train", "held"))
    probe = train_probe(real, real_labels, kept, kept_labels, len(names), mirror=False)
    print(probe.trust, flush=True)
    theirs = probe.features(kept)
    spread = spread_within(theirs, kept_labels)
    labels = torch.arange(len(names)).repeat_interleave(SCORED)

    def scored(sampler: SeedSampler, truncation: Truncation) -> tuple[float, float, float]:
        wanted = [sampler.classes(names[label])[0] for label in labels.tolist()]
        made = sampler.sample(range(len(wanted)), wanted, truncation)
        features = probe.features(made)
        distances = [squared_mmd(theirs[kept_labels == n], features[labels == n]) for n in range(len(names))]
        right = float((probe.predict(made) == labels).double().mean())
        return -sum(distances) / len(distances), right, spread_within(features, labels) / spread

    def score(run: Path, plan: Plan) -> dict[str, float]:  # noqa: ARG001 - a comparison gives both
        sampler = SeedSampler(run)
        whole_noise, short = scored(sampler, Truncation()), scored(sampler, Truncation(TRUNCATED))
        return {
            "minus distance": whole_noise[0], "classified correctly": whole_noise[1], "variety": whole_noise[2],
            f"minus distance at {TRUNCATED}": short[0], f"classified correctly at {TRUNCATED}": short[1],
        }  # fmt: skip

    return score


def cost(plan: Plan) -> float:
    """Return CPU seconds of training steps for a thousand pictures."""
    trainer = Trainer(plan)
    step.advance(trainer)
    start = time.process_time()
    for _ in range(TIMED):
        step.advance(trainer)
    return (time.process_time() - start) / (TIMED * plan.recipe.settings.batch_size) * 1000


def print_costs(planned: dict[str, dict[str, Any]]) -> None:
    """Print parameters of both networks, and CPU seconds of training for a thousand pictures, as the rows begin."""
    for name, changes in planned.items():
        # Attention at half of the side, as SAGAN has it; the runs have it at a quarter, which is cheaper.
        whole_row = {**changes, "attention_px": 16, "num_classes": len(CLASSES)}
        chosen = replace(PREVIEW, **whole_row, threads=1, workers=0, sentinel="off")
        plan = Plan("biggan", BigGAN(chosen), Shapes(SIZE_PX, 30), None)
        nets = networks.fresh(plan.recipe)
        sizes = [sum(value.numel() for value in nets[side].parameters()) for side in ("generator", "discriminator")]
        print(f"| {name} | {sizes[0]:,} | {sizes[1]:,} | {cost(plan):.1f} |", flush=True)


def main() -> None:
    """Print the rows, and run them where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("claims"))
    parser.add_argument("--run", action="store_true")
    parser.add_argument("--costs", action="store_true")
    parser.add_argument("--pictures", type=int, default=6144, help="shown in each run")
    parser.add_argument("--width", type=int, default=8, help="of the first row")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="ROW", help="by name")
    options = parser.parse_args()
    planned = rows(options.width, options.pictures, options.rows)
    torch.set_num_threads(1)
    if options.costs:
        print_costs(planned)
        return
    for name, changes in planned.items():
        print(f"{name}: " + " ".join(f"{key}={value}" for key, value in changes.items()), flush=True)
    if not options.run:
        return
    data = options.out / "data"
    write_set("digits", data)
    # The last step's checkpoint is what is scored; nothing is looked at before.
    never = dict.fromkeys(("checkpoint_every", "preview_every", "score_every"), 1000000)
    common = {"threads": 1, "val": str(data / "held"), "sentinel": "warn", **never}
    compared = compare.compare(
        "biggan", data / "train", rows=planned, seeds=options.seeds, preset="preview", budget=common,
        out=options.out / "comparison", score=scorer(data),
    )  # fmt: skip
    print(compared.markdown())


if __name__ == "__main__":
    main()
