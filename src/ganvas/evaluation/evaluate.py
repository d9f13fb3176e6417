"""Scores over folders of pictures: one table, and the same as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ganvas.errors import UserError
from ganvas.evaluation import pairs as paired_scores
from ganvas.evaluation.results import Results, Score
from ganvas.inference.result import Progress
from ganvas.io.pictures import images
from ganvas.metrics.distribution import Estimate, mean_estimate


@dataclass(frozen=True)
class Table:
    """Scores by picture, their means, and what could not be scored."""

    rows: dict[str, dict[str, float]]
    means: dict[str, float]
    conditions: dict[str, str | int]
    """What the numbers depend on: border crop, colour space, number of pictures."""
    problems: dict[str, str] = field(default_factory=dict)


def evaluate(
    results: str | Path,
    truth: str | Path,
    *,
    crop_px: int = 4,
    scores: Sequence[str] = paired_scores.DEFAULT,
    scale: int = 0,
    parts: paired_scores.Parts | None = None,
    progress: Progress | None = None,
) -> Table:
    """Score pictures against their truth: PSNR and SSIM on Y and RGB, mean brightness error, and what else is named.

    Two files, or two folders whose pictures are matched by name (without the ending). Y is BT.601's, as in MATLAB's
    rgb2ycbcr; transparent pictures are scored by their colours. A pair that cannot be scored is named and left out.

    Args:
        results: a picture or a folder of pictures.
        truth: what they should be, likewise.
        crop_px: pixels left out at each border; the custom is the scale factor.
        scores: names of scores; `paired_scores.NAMES` lists them.
        scale: how many times the results were enlarged, for `consistency`.
        parts: weights of the scores that need some.
        progress: called with the pairs done and all pairs.

    Raises:
        UserError: the two do not pair, a score is unknown or lacks its weights, or none of the pairs can be scored.
    """
    score = paired_scores.scorer(scores, crop_px, scale, parts or paired_scores.Parts())
    pairs, problems = match(Path(results), Path(truth))
    rows: dict[str, dict[str, float]] = {}
    for done, (name, (first, second)) in enumerate(pairs.items()):
        try:
            rows[name] = score(_colours(first), _colours(second))
        except UserError as error:
            problems[name] = str(error)
        if progress:
            progress(done + 1, len(pairs))
    if not rows:
        raise UserError(
            "None of the pairs could be scored", "; ".join(f"{k}: {v}" for k, v in list(problems.items())[:3])
        )
    means = {key: sum(row[key] for row in rows.values()) / len(rows) for key in next(iter(rows.values()))}
    conditions: dict[str, str | int] = {"pictures": len(rows), "crop_px": crop_px, "luma": "BT.601 studio swing"}
    return Table(rows, means, conditions | ({"scale": scale} if scale else {}), problems)


def results_of(
    table: Table,
    results: Path,
    truth: Path,
    *,
    resamples: int = 100,
    seed: int = 0,
    parts: paired_scores.Parts | None = None,
) -> Results:
    """Return a table as results with intervals by bootstrap over its pictures and a hash of what each depends on.

    Args:
        table: what `evaluate` returned.
        results: the folders or files that were scored.
        truth: likewise.
        resamples: bootstrap samples.
        seed: of them.
        parts: as `evaluate` was given.
    """
    found = []
    for name, mean in table.means.items():
        values = torch.tensor([row[name] for row in table.rows.values()], dtype=torch.float64)
        several = len(values) > 1 and bool(values.isfinite().all())
        interval = mean_estimate(values, resamples) if several else Estimate(mean, math.nan, math.nan)
        crop_px, scale = (int(table.conditions.get(key, 0)) for key in ("crop_px", "scale"))
        digits = paired_scores.digest(name, crop_px, parts or paired_scores.Parts(), scale)
        found.append(Score(name=name, better=paired_scores.NAMES[name], preprocessing=digits, **interval._asdict()))
    pairs, _ = match(results, truth)
    used = [pairs[name] for name in table.rows if name in pairs]
    shown = [(side, [pair[place] for pair in used[:8]]) for place, side in enumerate(("results", "truth"))]
    return Results(
        kind="pairs",
        scores=tuple(found),
        conditions={**table.conditions, "results": str(results), "truth": str(truth), "seed": seed},
        rows=table.rows,
        notes=[paired_scores.ORDERING] if "lpips[vgg16]" in table.means else [],
        problems=table.problems,
        shown=shown,
    )


def match(results: Path, truth: Path) -> tuple[dict[str, tuple[Path, Path]], dict[str, str]]:
    """Pair the pictures of two folders by name, or two files; return pairs, and names without a partner.

    Raises:
        UserError: one is missing or empty, or no names are equal.
    """
    for path in (results, truth):
        if not path.exists():
            raise UserError(f"{path} does not exist")
    if results.is_file() and truth.is_file():
        return {results.name: (results, truth)}, {}
    if results.is_file() or truth.is_file():
        raise UserError(f"{results} and {truth} do not pair", "One is a file and the other a folder")
    first, second = _named(results), _named(truth)
    common = sorted(first.keys() & second.keys())
    if not common:
        raise UserError(
            f"No picture of {results} has the name of one of {truth}",
            f"For instance {next(iter(first), 'no picture')} and {next(iter(second), 'no picture')}",
            "Name the results as their truths are named",
        )
    alone = dict.fromkeys(first.keys() - second.keys(), f"only in {results}")
    alone |= dict.fromkeys(second.keys() - first.keys(), f"only in {truth}")
    return {name: (first[name], second[name]) for name in common}, alone


def _named(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in images.find_pictures([folder])[0]}


def _colours(path: Path) -> torch.Tensor:
    picture, header = images.read(path)
    colours = picture[..., : header.channels - (header.channels in (2, 4))]
    return torch.from_numpy(images.to_float(colours).copy()).permute(2, 0, 1)[None]
