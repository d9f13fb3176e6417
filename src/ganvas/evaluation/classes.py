"""Which classes a generator finds easy, and which it mixes up: scores class by class.

A classifier that was trained on real pictures only names the class of each: a linear one over a published network's
features, or a small one of our own. A fifth of each class is held out: what the classifier says of those stands beside
every score, and diversity and distance are measured against them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ganvas.data.classes import ClassPictures
from ganvas.errors import UserError, did_you_mean
from ganvas.evaluation.results import Confusion, Results, Score
from ganvas.inference.result import Progress
from ganvas.io.pictures import images
from ganvas.io.score_cache import ScoreCache
from ganvas.metrics import distribution
from ganvas.metrics.distribution import squared_mmd
from ganvas.metrics.features import Extractor
from ganvas.metrics.labels import confusion
from ganvas.metrics.linear_probe import LinearProbe, train_linear
from ganvas.metrics.probe import Probe, train_classifier

NAMES = {
    "class_accuracy": "higher",
    "class_accuracy_real": "",
    "class_diversity": "nearer 1",
    "class_distance": "lower",
}
STEPS = 6000
"""Of the small classifier's training, eight pictures each."""
MOST_LEARNED = 400
"""Pictures of a class that the linear classifier learns from."""
MOST_PX = 128
"""Larger pictures are shrunk before they are classified."""
HELD_OUT = 0.2
LEAST_REAL = 10
"""Real pictures that a class needs, so that two can be held out."""
TRUSTED = 0.9
"""Accuracy on held-out pictures below which a note warns of the classifier."""
MOST_OF_A_CLASS = 1000
"""Pictures of a class between which distances are measured."""
SHOWN = 6
SHOWN_CLASSES = 12


class Squares(Sequence[Tensor]):
    """The squares of a source as floats (3, S, S) in [0, 1], made when they are asked for."""

    def __init__(self, source: ClassPictures) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.source.square(index).float() / 255

    def of(self, numbers: Sequence[int]) -> Iterator[Tensor]:
        """Yield some of them in batches, (N, 3, S, S)."""
        for start in range(0, len(numbers), 64):
            yield torch.stack([self[number] for number in numbers[start : start + 64]])


@dataclass(frozen=True)
class _Seen:
    """What the classifier sees in some pictures."""

    labels: Tensor
    features: Tensor
    probabilities: Tensor

    @property
    def right(self) -> Tensor:
        return self.probabilities.argmax(1) == self.labels

    def matrix(self, names: Sequence[str]) -> Confusion:
        counts = confusion(self.probabilities.argmax(1), self.labels, len(names))
        return Confusion(tuple(names), tuple(tuple(row) for row in counts.tolist()))


def score_classes(
    real: Path,
    fake: Path,
    asked: Sequence[str] = tuple(NAMES),
    *,
    shares: Mapping[str, float] | None = None,
    class_names: Sequence[str] = (),
    extractor: Extractor | None = None,
    steps: int = STEPS,
    seed: int = 0,
    resamples: int = distribution.RESAMPLES,
    cache: ScoreCache | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> Results:
    """Score generated pictures class by class against real ones: both lie in folders by class, or have labels.json.

    Args:
        real: real pictures.
        fake: generated ones of the same classes.
        asked: names of scores over all classes; `NAMES` lists them.
        shares: part of the training data that each class had; default the real pictures'.
        class_names: the classes in their order, where a generator tells them; default the real pictures'.
        extractor: under a linear classifier; without one a small classifier is trained.
        steps: on which the small classifier is trained.
        seed: of the classifier, of what is held out, and of the bootstrap; equal seeds give equal numbers.
        resamples: bootstrap samples for the intervals.
        cache: where the trained classifier is kept; None keeps none.
        device: where the classifier runs.
        progress: told how far the work is.

    Raises:
        UserError: unknown names, classes that differ, a class with too few real pictures, or no folders.
    """
    for name in asked:
        if name not in NAMES:
            raise UserError(f"There is no score {name!r} of classes", do=did_you_mean(name, NAMES))
    side_px = min(_first_side(real), _first_side(fake), MOST_PX)
    true = ClassPictures(real, side_px, mirror=False, class_names=class_names)
    names = true.class_names
    made = ClassPictures(fake, side_px, mirror=False, class_names=names)
    held_out = _held_out(true, seed)
    if progress:
        progress.of("classifier")(0, 1)
    probe: Probe | LinearProbe
    if extractor:
        learned = _learned(true, held_out)
        probe = train_linear(extractor, Squares(true).of(learned), true.labels[learned], len(names))
    else:
        probe = train_classifier(
            Squares(true), true.labels, len(names), held_out=held_out, steps=steps, seed=seed, cache=cache,
            device=device,
        )  # fmt: skip
    theirs = _see(probe, true, held_out, None)
    trust = _trust(probe, theirs)
    ours = _see(probe, made, list(range(len(made))), progress)
    parts = {names[n]: count / len(true) for n, count in enumerate(true.labels.bincount(minlength=len(names)).tolist())}
    rows = _rows(names, theirs, ours, shares or parts)
    matrices = {"generated": ours.matrix(names), "held-out real": theirs.matrix(names)}
    found = (_score(name, ours, theirs, rows, resamples, probe) for name in asked)
    return Results(
        kind="classes",
        scores=tuple(found),
        conditions={
            "real": str(real), "fake": str(fake), "real_pictures": len(true), "fake_pictures": len(made),
            "held_out": len(held_out), "side_px": side_px, "seed": seed, "bootstrap_samples": resamples,
            **({"classifier": f"linear, {extractor.name}"} if extractor else {"classifier_steps": steps}),
        },
        rows=rows,
        notes=[trust, *_doubts(theirs), *_notes(matrices)],
        problems=_problems(true, made, ours),
        shown=_shown(fake, made, ours, list(rows)),
        confusions=matrices,
    )  # fmt: skip


def _first_side(folder: Path) -> int:
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder", "Classes are compared by folders of pictures, one for each class")
    for path in images.find_pictures([folder])[0]:
        try:
            header = images.read_header(path)
        except UserError:
            continue
        return min(header.width, header.height)
    raise UserError(f"{folder} holds no pictures")


def _held_out(source: ClassPictures, seed: int) -> list[int]:
    """Return the numbers of a fifth of each class.

    Raises:
        UserError: a class has too few pictures.
    """
    random = torch.Generator().manual_seed(seed)
    kept: list[int] = []
    for label, name in enumerate(source.class_names):
        places = (source.labels == label).nonzero()[:, 0]
        if len(places) < LEAST_REAL:
            why = f"There are {len(places)} of the class {name!r}"
            raise UserError(f"Scores by class need {LEAST_REAL} real pictures of each class", why, "Give more of it")
        order = places[torch.randperm(len(places), generator=random)]
        kept += order[: round(HELD_OUT * len(places))].tolist()
    return sorted(kept)


def _learned(source: ClassPictures, held_out: Sequence[int]) -> list[int]:
    """Return the numbers of the first pictures of each class that were not held out."""
    kept = set(held_out)
    found: list[int] = []
    for label in range(len(source.class_names)):
        places = (source.labels == label).nonzero()[:, 0].tolist()
        found += [place for place in places if place not in kept][:MOST_LEARNED]
    return found


def _trust(probe: Probe | LinearProbe, held_out: _Seen) -> str:
    """Return the sentence on what the classifier's word is worth."""
    if isinstance(probe, Probe):
        return probe.trust
    number = len(held_out.labels)
    return probe.trust(float(held_out.right.double().mean()), number, float(held_out.labels.bincount().max()) / number)


def _files(source: ClassPictures, folder: Path) -> list[Path]:
    return [folder / name for name in source.groups()]


def _see(probe: Probe | LinearProbe, source: ClassPictures, numbers: Sequence[int], progress: Progress | None) -> _Seen:
    features, probabilities, done = [], [], 0
    for batch in Squares(source).of(numbers):
        features.append(probe.features(batch))
        probabilities.append(probe.answers(features[-1]))
        done += len(batch)
        if progress:
            progress.of("pictures seen by the classifier")(done, len(numbers))
    return _Seen(source.labels[list(numbers)], torch.cat(features).double(), torch.cat(probabilities))


# Numbers


def _rows(names: Sequence[str], real: _Seen, fake: _Seen, shares: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Return a row for each class that was generated, from the easiest to the hardest."""
    rows = {}
    for label, name in enumerate(names):
        mine, true = fake.labels == label, real.labels == label
        if not mine.any():
            continue
        ours, theirs = fake.features[mine][:MOST_OF_A_CLASS], real.features[true][:MOST_OF_A_CLASS]
        rows[name] = {
            "accuracy": float(fake.right[mine].double().mean()),
            "accuracy_real": float(real.right[true].double().mean()),
            "diversity": _spread(ours) / _spread(theirs),
            "distance": squared_mmd(theirs, ours) if len(ours) > 1 else math.nan,
            "share": shares.get(name, 0.0),
            "pictures": float(mine.sum()),
        }
    return dict(sorted(rows.items(), key=lambda item: (-item[1]["accuracy"], item[1]["distance"])))


def _spread(features: Tensor) -> float:
    """Return the mean distance between pairs; NaN where there is none."""
    return float(torch.pdist(features).mean()) if len(features) > 1 else math.nan


def _score(
    name: str,
    ours: _Seen,
    theirs: _Seen,
    rows: Mapping[str, Mapping[str, float]],
    resamples: int,
    probe: Probe | LinearProbe,
) -> Score:
    shown, digest = (f"{name}[{probe.name}]" if isinstance(probe, LinearProbe) else name), probe.digest[:8]
    if name.startswith("class_accuracy"):
        right = (theirs if name.endswith("_real") else ours).right
        found = distribution.mean_estimate(right, resamples if len(right) > 1 else 0)
        low, high = max(0.0, found.low), min(1.0, found.high)
        if math.isnan(found.low):
            low = high = math.nan
        return Score(name=shown, value=found.value, low=low, high=high, better=NAMES[name], preprocessing=digest)
    values = [value for row in rows.values() if not math.isnan(value := row[name.removeprefix("class_")])]
    mean = sum(values) / len(values) if values else math.nan
    return Score(name=shown, value=mean, better=NAMES[name], preprocessing=digest)


# Telling


def _doubts(real: _Seen) -> list[str]:
    accuracy = float(real.right.double().mean())
    if accuracy >= TRUSTED:
        return []
    return [
        f"It names only {accuracy:.0%} of held-out real pictures rightly, so its word on single classes counts little; "
        "give more real pictures, or more --probe-steps"
    ]


def _notes(matrices: Mapping[str, Confusion]) -> list[str]:
    notes = []
    for what, matrix in matrices.items():
        leaks = [f"{share:.0%} of {row} is taken for {column}" for row, column, share in matrix.leaks()]
        if leaks:
            notes.append(f"Leakage, {what}: {', '.join(leaks)}")
    return notes


def _problems(real: ClassPictures, fake: ClassPictures, seen: _Seen) -> dict[str, str]:
    absent = set(range(len(real.class_names))) - set(seen.labels.tolist())
    problems = {real.class_names[label]: "no generated picture of this class" for label in sorted(absent)}
    return problems | dict(real.report.skipped) | dict(fake.report.skipped)


def _shown(folder: Path, source: ClassPictures, seen: _Seen, ranked: Sequence[str]) -> list[tuple[str, list[Path]]]:
    """Return the best and the worst pictures of each class, of the easiest and the hardest where there are many."""
    files = _files(source, folder)
    half = SHOWN_CLASSES // 2
    some = list(ranked) if len(ranked) <= SHOWN_CLASSES else [*ranked[:half], *ranked[-half:]]
    shown = []
    for name in some:
        label = source.class_names.index(name)
        places = (seen.labels == label).nonzero()[:, 0]
        order = places[seen.probabilities[places, label].argsort(descending=True, stable=True)].tolist()
        shown.append((f"{name}: the most like it", [files[place] for place in order[:SHOWN]]))
        shown.append((f"{name}: the least like it", [files[place] for place in order[::-1][:SHOWN]]))
    return shown
