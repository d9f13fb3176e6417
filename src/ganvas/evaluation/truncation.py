"""What the truncation trick trades: variety within a class against likeness to real pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganvas.data.classes import ClassPictures
from ganvas.errors import UserError
from ganvas.evaluation.extractors import open_extractor
from ganvas.inference.seeds.sampler import SeedSampler, Truncation
from ganvas.io import plots
from ganvas.metrics.features import Extractor
from ganvas.metrics.manifold import precision_recall

THRESHOLDS = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, None)
NUMBER = 200
"""Pictures of each kind."""


@dataclass(frozen=True)
class Point:
    """What one threshold gives."""

    threshold: float | None
    """None truncates nothing."""
    likeness: float
    """Share of samples that lie among the real pictures: precision, k = 3, by the small extractor's features."""
    variety: float
    """Mean distance of samples of one class in these features, divided by that of real pictures of it."""


def curve(
    sampler: SeedSampler,
    data: str | Path,
    classes: Sequence[int] | None = None,
    thresholds: Sequence[float | None] = THRESHOLDS,
    number: int = NUMBER,
) -> list[Point]:
    """Return likeness and variety at each threshold, from the same seeds and equally many real pictures.

    Args:
        sampler: the generator.
        data: folder of real pictures with the generator's classes.
        classes: those looked at; None for all.
        thresholds: of the noise, by value.
        number: pictures of each kind.

    Raises:
        UserError: the generator knows no classes, or the data has too few pictures of them.
    """
    if not sampler.num_classes:
        raise UserError("The curve needs a generator of classes", "Variety is measured within each of them")
    wanted = list(range(sampler.num_classes)) if classes is None else sorted(set(classes))
    extractor = open_extractor("small", device=sampler.device)
    real, labels = real_features(data, sampler, wanted, number, extractor)
    spread = spread_within(real, labels)
    # As many of each class as the real pictures have.
    seeds = list(range(len(labels)))
    points = []
    for threshold in thresholds:
        made = sampler.sample(seeds, labels.tolist(), Truncation(threshold))
        seen = torch.cat([extractor.features(part) for part in made.split(32)])
        inside, _ = precision_recall(real, seen)
        points.append(Point(threshold, float(inside.mean()), spread_within(seen, labels) / spread))
    return points


def real_features(
    data: str | Path, sampler: SeedSampler, classes: Sequence[int], number: int, extractor: Extractor
) -> tuple[Tensor, Tensor]:
    """Return features (N, D) and classes (N,) of real pictures, drawn at random from some classes.

    Raises:
        UserError: there are fewer than eight.
    """
    size_px = int(sampler.card.settings["size_px"])
    source = ClassPictures(data, size_px, mirror=False, class_names=sampler.class_names)
    places = [index for index, label in enumerate(source.labels.tolist()) if label in set(classes)]
    places = np.random.default_rng(0).permutation(places)[:number].tolist()
    if len(places) < 8:
        raise UserError(f"{data} has {len(places)} pictures of these classes", "Eight are needed at least")
    squares = torch.stack([source.square(index) for index in places]).float() / 255
    features = torch.cat([extractor.features(part) for part in squares.split(32)])
    return features, source.labels[places]


def spread_within(features: Tensor, labels: Tensor) -> float:
    """Return the mean distance between samples of one class, averaged over the classes that have two or more."""
    means = []
    for label in labels.unique():
        mine = features[labels == label].double()
        if len(mine) > 1:
            means.append(torch.pdist(mine).mean())
    return float(torch.stack(means).mean()) if means else float("nan")


def plot(points: Sequence[Point]) -> str:
    """Return the curve as SVG: variety over likeness, and both over the threshold."""
    drawn = [point for point in points if point.threshold is not None]
    ends = [point for point in points if point.threshold is None]
    series = {"by threshold": ([p.likeness for p in drawn], [p.variety for p in drawn])}
    for point in drawn:
        series[f"truncation {point.threshold:g}"] = ([point.likeness], [point.variety])
    for point in ends:
        series["no truncation"] = ([point.likeness], [point.variety])
    return plots.curves(series, "Truncation: variety against likeness", "share of samples among real pictures",
                        "variety, real = 1")  # fmt: skip
