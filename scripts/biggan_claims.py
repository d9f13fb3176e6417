"""What scaling does for a class-conditional GAN, at small scale: the claims of the BigGAN paper row by row.

    python scripts/biggan_claims.py --out claims                 # prints what would be run
    python scripts/biggan_claims.py --out claims --run           # runs it; an interrupted one goes on
    python scripts/biggan_claims.py --costs                      # parameters and CPU seconds only, in half a minute

The first row is a SAGAN as the paper's baseline: no shared class embedding, no noise to the blocks, no penalty on the
weights. Every other row changes it in one way, or adds to the row before as its name says. All rows see equally many
drawn pictures of 32 px under the same seeds, by the comparison that `ganvas compare` makes. Scores are of held-out
pictures: minus the sliced Wasserstein distance, which decides; the share of samples whose class a probe names right and
the variety within classes (held-out = 1); the share again with noise truncated at 0.5; and CPU seconds of a step for a
thousand pictures, which other work on the machine changes less than wall seconds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganvas.data.shapes import CLASSES, Shapes
from ganvas.inference.seeds import SeedSampler, Truncation
from ganvas.inference.truncation import spread_within
from ganvas.io import images
from ganvas.metrics import compare
from ganvas.metrics.probe import Probe, train_classifier
from ganvas.metrics.sliced import pyramid_distances
from ganvas.recipes.biggan import PREVIEW, BigGAN
from ganvas.training import step
from ganvas.training.trainer import Plan, Trainer

SIZE_PX = 32
PER_CLASS, HELD_OUT, JUDGED = 300, 50, 40
"""Drawn pictures of each class: trained on, held out, and samples that are judged."""
PROBE_STEPS = 1500
TIMED = 3
"""Steps that are timed, after one that is not."""
TRUNCATED = 0.5
BASE: dict[str, Any] = {
    "batch_size": 32, "class_features": 0, "skip_z": False, "orthogonal_weight": 0.0, "schedule": "constant",
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


def rows(width: int, pictures: int) -> dict[str, dict[str, Any]]:
    """Return the settings of each row, all of which see equally many pictures."""
    found: dict[str, dict[str, Any]] = {}
    for name, changes in ROWS.items():
        row = {**BASE, **changes, "width": round(width * changes.get("width", 1))}
        found[name] = {**row, "steps": pictures // row["batch_size"]}
    return found


def write_shapes(folder: Path) -> None:
    """Draw the pictures, unless that has been done."""
    for part, number, first in (("train", PER_CLASS, 0), ("held", HELD_OUT, PER_CLASS)):
        drawn = Shapes(SIZE_PX, number, first=first)
        if (folder / part / f"{drawn.groups()[-1]}.png").is_file():
            continue
        for index, name in enumerate(drawn.groups()):
            path = folder / part / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture = drawn.sample(index, None)["picture"]  # pyright: ignore[reportArgumentType]
            images.write(path, picture.permute(1, 2, 0).numpy(), overwrite=True)


def scorer() -> Callable[[Path, Plan], dict[str, float]]:
    """Return what scores a finished run; the probe is trained once."""
    kept, kept_labels = whole(Shapes(SIZE_PX, HELD_OUT, first=PER_CLASS))
    known, known_labels = whole(Shapes(SIZE_PX, PER_CLASS))
    held_out = range(len(known), len(known) + len(kept))
    both, labels = torch.cat([known, kept]), torch.cat([known_labels, kept_labels])
    probe = train_classifier(both, labels, len(CLASSES), steps=PROBE_STEPS, held_out=list(held_out))
    print(probe.trust, flush=True)
    spread = spread_within(probe.features(kept), kept_labels)

    def score(run: Path, plan: Plan) -> dict[str, float]:
        sampler = SeedSampler(run)
        wanted = [sampler.classes(name)[0] for name in CLASSES for _ in range(JUDGED)]
        labels = torch.arange(len(CLASSES)).repeat_interleave(JUDGED)
        made = sampler.sample(range(len(wanted)), wanted)
        distances = pyramid_distances(kept[: len(made)], made)
        plain = judged(probe, made, labels, spread)
        short = judged(probe, sampler.sample(range(len(wanted)), wanted, Truncation(TRUNCATED)), labels, spread)
        return {
            "minus_swd": -sum(distances.values()) / len(distances),
            "named right": plain[0], "variety": plain[1],
            f"named right at {TRUNCATED}": short[0], "CPU s a 1000": cost(plan), f"variety at {TRUNCATED}": short[1],
        }  # fmt: skip

    return score


def judged(probe: Probe, made: Tensor, labels: Tensor, spread: float) -> tuple[float, float]:
    """Return the share named right and the variety within classes."""
    right = float((probe.predict(made) == labels).double().mean())
    return right, spread_within(probe.features(made), labels) / spread


def cost(plan: Plan) -> float:
    """Return CPU seconds of training steps for a thousand pictures."""
    trainer = Trainer(plan)
    step.advance(trainer)
    start = time.process_time()
    for _ in range(TIMED):
        step.advance(trainer)
    return (time.process_time() - start) / (TIMED * plan.recipe.settings.batch_size) * 1000


def whole(source: Shapes) -> tuple[Tensor, Tensor]:
    """Return all pictures, (N, 3, S, S) in [0, 1], and their classes."""
    samples = [source.sample(index, None) for index in range(len(source))]  # pyright: ignore[reportArgumentType]
    return torch.stack([s["picture"] for s in samples]).float() / 255, torch.stack([s["label"] for s in samples])


def print_costs(planned: dict[str, dict[str, Any]]) -> None:
    """Print parameters of both networks, and CPU seconds of training for a thousand pictures, as the rows begin."""
    for name, changes in planned.items():
        chosen = replace(PREVIEW, **changes, num_classes=len(CLASSES), threads=1, workers=0, sentinel="off")
        plan = Plan("biggan", BigGAN(chosen), Shapes(SIZE_PX, 30), None)
        nets = plan.recipe.networks()
        sizes = [sum(value.numel() for value in nets[side].parameters()) for side in ("generator", "discriminator")]
        print(f"| {name} | {sizes[0]:,} | {sizes[1]:,} | {cost(plan):.1f} |", flush=True)


def main() -> None:
    """Print the rows, and run them where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("claims"))
    parser.add_argument("--run", action="store_true")
    parser.add_argument("--costs", action="store_true")
    parser.add_argument("--pictures", type=int, default=8192, help="shown in each run")
    parser.add_argument("--width", type=int, default=4, help="of the first row")
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    planned = rows(options.width, options.pictures)
    torch.set_num_threads(1)
    if options.costs:
        print_costs(planned)
        return
    for name, changes in planned.items():
        print(f"{name}: " + " ".join(f"{key}={value}" for key, value in changes.items()), flush=True)
    if not options.run:
        return
    write_shapes(options.out / "data")
    # The last step's checkpoint is what is scored; nothing is looked at before.
    never = dict.fromkeys(("checkpoint_every", "preview_every", "score_every"), 1000000)
    common = {"threads": 1, "val": str(options.out / "data/held"), "sentinel": "warn", **never}
    compared = compare.compare(
        "biggan", options.out / "data/train", rows=planned, seeds=options.seeds, preset="preview", budget=common,
        out=options.out / "comparison", score=scorer(),
    )  # fmt: skip
    print(compared.markdown())


if __name__ == "__main__":
    main()
