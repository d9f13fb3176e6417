"""Scores of a set of pictures against a set of real ones: which there are, and how folders become numbers.

A name is a score and its feature extractor: `frechet[efficientnet-lite2]`, `precision_random`, `fid_clean`; without one
the default extractor is meant. Only Inception's bear the published names. The features of the real set are kept on disk
by content and preprocessing.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ganvas.data.decoding import decode
from ganvas.errors import UserError, did_you_mean
from ganvas.evaluation.extractors import EXTRACTORS, LITE, default_extractor, open_extractor
from ganvas.evaluation.results import Results, Score
from ganvas.inference.result import Progress
from ganvas.io.pictures import images
from ganvas.io.pictures.tensors import to_tensor
from ganvas.io.score_cache import ScoreCache
from ganvas.io.weights.tensors import sha256
from ganvas.metrics import distribution, manifold
from ganvas.metrics.distribution import Reference, Statistics
from ganvas.metrics.features import Extractor
from ganvas.metrics.grids import grid_energy
from ganvas.metrics.sliced import SMALLEST_PX, pyramid_distances

PUBLISHED = {"fid": "frechet", "fid_infinity": "frechet_infinity", "kid": "kernel", "inception_score": "answers"}
"""Names that only scores by Inception bear, and what they are called here otherwise."""
BETTER = {
    "frechet": "lower", "frechet_infinity": "lower", "kernel": "lower", "answers": "higher", "precision": "higher",
    "recall": "higher", "density": "higher", "coverage": "higher", "swd": "lower", "grid": "lower",
}  # fmt: skip
LEAST = {"frechet": 2, "frechet_infinity": 40, "kernel": 4, "answers": 10, "precision": 4, "recall": 4, "density": 6,
         "coverage": 6, "swd": 2, "grid": 1}  # fmt: skip
"""Pictures of each side that a score needs."""
WITHOUT_EXTRACTOR = ("swd", "grid")
RANGES = {
    "frechet": (0.0, math.inf), "precision": (0.0, 1.0), "recall": (0.0, 1.0), "coverage": (0.0, 1.0),
    "density": (0.0, math.inf),
}  # fmt: skip
"""What a score can be: no interval goes beyond."""
INSTEAD = {"frechet_infinity": "kernel", "answers": "kernel", "density": "precision", "coverage": "recall"}
DEFAULT = ("frechet", "frechet_infinity", "kernel", "precision", "recall", "density", "coverage", "swd")
WITH_INCEPTION = ("fid_clean", "fid_infinity_clean", "kid_clean", "inception_score_clean")
BATCH_SIZE = 16


@dataclass(frozen=True)
class Wanted:
    """A score that was asked for: under which name, what it is, and by which extractor."""

    name: str
    what: str
    extractor: str


def names() -> list[str]:
    """Return every name that a score of sets may be asked by."""
    published = [f"{name}_{extractor}" for extractor in ("clean", "legacy") for name in _names_of(extractor)]
    own = [named(name, extractor) for extractor in (LITE, "small", "random") for name in _names_of(extractor)]
    return [*own, *published, *WITHOUT_EXTRACTOR]


def named(score: str, extractor: str) -> str:
    """Return the name of a score by an extractor."""
    return f"{score}[{extractor}]" if extractor == LITE else f"{score}_{extractor}"


def _names_of(extractor: str) -> list[str]:
    if extractor in ("clean", "legacy"):
        return [*PUBLISHED, "precision", "recall", "density", "coverage"]
    return [name for name in BETTER if name not in ("answers", *WITHOUT_EXTRACTOR)]


def parse(asked: Iterable[str]) -> list[Wanted]:
    """Return what names mean; one without an extractor is the default's, or Inception's where that is published.

    Raises:
        UserError: a name is unknown, or would give another network's distance a published name.
    """
    found = []
    for name in dict.fromkeys(asked):
        is_extracted = name in BETTER and name not in WITHOUT_EXTRACTOR
        whole = f"{name}_clean" if name in PUBLISHED else named(name, default_extractor()[0]) if is_extracted else name
        if whole not in names():
            base, _, extractor = name.rpartition("_")
            if base in PUBLISHED and extractor in EXTRACTORS:
                why = f"Only Inception's features give {base}; those of the extractor {extractor!r} give something else"
                raise UserError(f"There is no score {name!r}", why, f"Ask for {PUBLISHED[base]}_{extractor}")
            raise UserError(f"There is no score {name!r} of sets", do=did_you_mean(name, names()))
        base, _, extractor = whole.removesuffix("]").rpartition("[" if whole.endswith("]") else "_")
        found.append(Wanted(whole, PUBLISHED.get(base, base), extractor) if base else Wanted(whole, whole, ""))
    return found


def check(real: Path, asked: Iterable[str], num_fake: int, inception: Path | None = None) -> None:
    """Refuse what can be known to fail before the fakes are made: names, numbers of pictures, missing weights.

    Raises:
        UserError: as `score_sets`.
    """
    wanted, _ = _possible(parse(asked), {"real": len(_find(real)), "fake": num_fake})
    for extractor in dict.fromkeys(score.extractor for score in wanted if score.extractor):
        open_extractor(extractor, inception)


def score_sets(
    real: Path,
    fake: Path,
    asked: Sequence[str] = DEFAULT,
    *,
    seed: int = 0,
    resamples: int = distribution.RESAMPLES,
    inception: Path | None = None,
    cache: ScoreCache | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> Results:
    """Score a folder of pictures against a folder of real ones, as sets.

    Args:
        real: folder of real pictures.
        fake: folder of generated ones.
        asked: names of scores; `names()` lists them.
        seed: of subsets and bootstrap; equal seeds give equal numbers.
        resamples: bootstrap samples for the intervals; 0 leaves them out.
        inception: weight file of Inception for the published scores.
        cache: where the real set's features are kept; None keeps none.
        device: where the extractors run.
        progress: told how far the work is.

    Raises:
        UserError: unknown names, too few pictures for a score, missing weights, folders without pictures.
    """
    sides = {"real": _find(real), "fake": _find(fake)}
    wanted, notes = _possible(parse(asked), {side: len(paths) for side, paths in sides.items()})
    if any(name in BETTER and name not in WITHOUT_EXTRACTOR for name in asked) and (told := default_extractor()[1]):
        notes.append(told)
    extractors = {
        extractor: open_extractor(extractor, inception, device)
        for extractor in dict.fromkeys(w.extractor for w in wanted if w.extractor)
    }
    problems: dict[str, str] = {}
    scores: list[Score] = []
    used = {side: len(paths) for side, paths in sides.items()}
    for name, extractor in extractors.items():
        seen = {
            side: _features(extractor, paths, side, cache if side == "real" else None, problems, progress)
            for side, paths in sides.items()
        }
        used = {side: len(features) for side, features in seen.items()}
        mine = [score for score in wanted if score.extractor == name]
        mine, left_out = _possible(mine, used)
        notes += [*_notes(extractor, mine, min(used.values()), seen["real"].shape[1]), *left_out]
        scores += _of_features(extractor, seen["real"], seen["fake"], mine, seed, resamples, progress)
    if any(score.what == "swd" for score in wanted):
        scores += _sliced(sides, seed, problems)
    if any(score.what == "grid" for score in wanted):
        scores += _grids(sides, problems)
    conditions: dict[str, str | int | float] = {
        "real": str(real), "fake": str(fake), "real_pictures": used["real"], "fake_pictures": used["fake"],
        "seed": seed, "bootstrap_samples": resamples,
    }  # fmt: skip
    order = {score.name: place for place, score in enumerate(wanted)}
    scores.sort(key=lambda score: order.get(score.name, len(order)))
    shown = [(side, _spread(paths, 8)) for side, paths in sides.items()]
    return Results(
        kind="sets", scores=tuple(scores), conditions=conditions, notes=notes, problems=problems, shown=shown
    )


def _notes(extractor: Extractor, wanted: Sequence[Wanted], fewest: int, dimensions: int) -> list[str]:
    notes = [f"{extractor.name}: {extractor.trust} (preprocessing {extractor.preprocessing.hash})"]
    if fewest < 10 * dimensions and any(score.what == "frechet" for score in wanted):
        notes.append(
            f"{fewest} pictures for {dimensions} dimensions: few pictures make Frechet distances too large, and "
            "their values at infinity too small; compare equal numbers only, or by the kernel distance"
        )
    return notes


def _find(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder", "Sets are compared by folders of pictures")
    paths, _ = images.find_pictures([folder])
    if not paths:
        raise UserError(f"{folder} holds no pictures")
    return paths


def _possible(wanted: Sequence[Wanted], num: Mapping[str, int]) -> tuple[list[Wanted], list[str]]:
    """Return the scores for which there are pictures enough, and a note on each of the others.

    Raises:
        UserError: there are too few for any of them.
    """
    possible, notes, refusals = [], [], []
    for score in wanted:
        try:
            _require(score, num)
        except UserError as error:
            refusals.append(error)
            notes.append(f"{score.name} was left out: it {error.what.removeprefix(score.name).strip()}. {error.why}")
        else:
            possible.append(score)
    if not possible:
        raise refusals[0]
    return possible, notes


def _require(score: Wanted, num: Mapping[str, int]) -> None:
    side = min(num, key=lambda key: num[key])
    least = LEAST[score.what]
    if num[side] >= least:
        return
    other = INSTEAD.get(score.what, "")
    shown = {"kernel": "kid"}.get(other, other) if score.extractor in ("clean", "legacy") else other
    do = f"Give more pictures, or ask for {named(shown, score.extractor)}" if shown else "Give more pictures"
    raise UserError(f"{score.name} needs {least} pictures of each side", f"The {side} folder has {num[side]}", do)


def _spread(paths: Sequence[Path], num: int) -> list[Path]:
    """Return some of the pictures, evenly spread."""
    num = min(num, len(paths))
    return [paths[place * len(paths) // num] for place in range(num)]


# Features


def read_picture(path: Path) -> Tensor:
    """Return a picture as (1, 3, H, W) in [0, 1]; gray repeated, alpha laid over mid-gray.

    Raises:
        UserError: it cannot be read.
    """
    return to_tensor(decode(path))[None]


def _features(
    extractor: Extractor,
    paths: Sequence[Path],
    side: str,
    cache: ScoreCache | None,
    problems: dict[str, str],
    progress: Progress | None,
) -> Tensor:
    kept = cache.get(_key(paths, extractor)) if cache else None
    if kept is not None:
        return kept["features"]
    before = len(problems)
    parts = []
    for done, batch in enumerate(_batches(paths, problems)):
        parts.append(extractor.features(batch.to(next(extractor.network.parameters()).device)))
        if progress:
            progress.of(f"{side}, seen by {extractor.name}")(min(len(paths), (done + 1) * BATCH_SIZE), len(paths))
    if not parts:
        raise UserError(f"None of the {side} pictures can be used", next(iter(problems.values()), ""))
    features = torch.cat(parts)
    if cache and len(problems) == before:
        cache.put(_key(paths, extractor), {"features": features})
    return features


def _key(paths: Sequence[Path], extractor: Extractor) -> str:
    content = hashlib.sha256()
    for digest in sorted(sha256(path) for path in paths):
        content.update(digest.encode())
    return f"{extractor.name}-{extractor.preprocessing.hash}-{content.hexdigest()[:16]}"


def _batches(paths: Sequence[Path], problems: dict[str, str]) -> Iterator[Tensor]:
    """Yield pictures in batches of equal size, in order; one that cannot be used is named and left out."""
    batch: list[Tensor] = []
    for path in paths:
        try:
            picture = read_picture(path)
        except UserError as error:
            problems[str(path)] = str(error)
            continue
        if batch and (picture.shape != batch[0].shape or len(batch) == BATCH_SIZE):
            yield torch.cat(batch)
            batch = []
        batch.append(picture)
    if batch:
        yield torch.cat(batch)


# Scores


def _of_features(
    extractor: Extractor,
    real: Tensor,
    fake: Tensor,
    wanted: Sequence[Wanted],
    seed: int,
    resamples: int,
    progress: Progress | None,
) -> list[Score]:
    asked = {score.what for score in wanted}
    # A distance of 2048 dimensions takes seconds, and one for each resample minutes.
    few = min(resamples, 20) if real.shape[1] > 512 else resamples
    found: dict[str, distribution.Estimate] = {}
    reference = Reference(Statistics.of(real)) if asked & {"frechet", "frechet_infinity"} else None
    for done, what in enumerate(sorted(asked)):
        if what == "frechet" and reference:
            found[what] = distribution.frechet_estimate(reference, fake, few, seed)
        elif what == "frechet_infinity" and reference:
            found[what] = distribution.frechet_at_infinity(reference, fake, min(few, 20), seed)
        elif what == "kernel":
            found[what] = distribution.kid_estimate(real, fake, resamples, seed)
        elif what == "answers":
            answers = extractor.probabilities(fake)
            found[what] = distribution.estimate(
                lambda rows, answers=answers: distribution.inception_score(answers[rows], seed=seed)[0],
                len(fake),
                few,
                seed,
            )
        if progress:
            progress.of(f"scores by {extractor.name}")(done + 1, len(asked))
    if asked & {"precision", "recall"}:
        pair = manifold.precision_recall(real, fake)
        found |= {n: distribution.mean_estimate(v, resamples) for n, v in zip(("precision", "recall"), pair)}
    if asked & {"density", "coverage"}:
        pair = manifold.density_coverage(real, fake)
        found |= {n: distribution.mean_estimate(v, resamples) for n, v in zip(("density", "coverage"), pair)}
    return [_score(score, found[score.what], extractor) for score in wanted]


def _score(wanted: Wanted, found: distribution.Estimate, extractor: Extractor) -> Score:
    least, most = RANGES.get(wanted.what, (-math.inf, math.inf))
    low, high = max(found.low, least), min(found.high, most)
    if math.isnan(found.low):
        low = high = math.nan
    # The last digits of linear algebra depend on where a matrix lies in memory; what is left is the same every time.
    value, low, high = (float(f"{number:.9g}") for number in (found.value, low, high))
    return Score(
        name=wanted.name,
        value=value,
        low=low,
        high=high,
        better=BETTER[wanted.what],
        preprocessing=extractor.preprocessing.hash,
    )


def _sliced(sides: Mapping[str, Sequence[Path]], seed: int, problems: dict[str, str]) -> list[Score]:
    """Return the sliced Wasserstein distances of as many pictures of each side, by the side of the pyramid's level."""
    num = min(512, *(len(paths) for paths in sides.values()))
    real, fake = (_squares(_spread(paths, num), problems) for paths in sides.values())
    if real.shape != fake.shape:
        why = f"The real ones measure {real.shape[-1]} px and the fakes {fake.shape[-1]} px, or some cannot be used"
        raise UserError("Sliced distances need pictures of one size", why, "Leave out swd, or resize one side")
    digits = hashlib.sha256(f"centre squares, {real.shape[-1]} px, {num} pictures".encode()).hexdigest()[:8]
    return [
        Score(name=f"swd_{side_px}px", value=value, better=BETTER["swd"], preprocessing=digits)
        for side_px, value in pyramid_distances(real, fake, seed).items()
    ]


def _grids(sides: Mapping[str, Sequence[Path]], problems: dict[str, str]) -> list[Score]:
    """Return the energy of grids of both sides, in dB, of up to 512 pictures each: read the fakes' beside the real."""
    scores: list[Score] = []
    for side, paths in reversed(list(sides.items())):
        pictures: list[Tensor] = []
        for path in _spread(paths, 512):
            try:
                pictures.append(read_picture(path)[0])
            except UserError as error:
                problems[str(path)] = str(error)
        scores += [
            Score(name=f"grid_{period}px_{side}", value=value, better=BETTER["grid"] if side == "fake" else "")
            for period, value in grid_energy(pictures).items()
        ]
    return scores


def _squares(paths: Sequence[Path], problems: dict[str, str]) -> Tensor:
    """Return the centre of every picture, all of the largest power of two that fits the first."""
    squares: list[Tensor] = []
    side = 0
    for path in paths:
        try:
            picture = read_picture(path)
        except UserError as error:
            problems[str(path)] = str(error)
            continue
        height, width = picture.shape[-2:]
        side = side or 1 << (min(height, width, 256).bit_length() - 1)
        if min(height, width) < side or side < SMALLEST_PX:
            why = f"{path} measures {width} x {height} px and {max(side, SMALLEST_PX)} are needed"
            raise UserError("Sliced distances need pictures of one size", why, "Leave out swd, or resize the pictures")
        top, left = (height - side) // 2, (width - side) // 2
        squares.append(picture[..., top : top + side, left : left + side])
    return torch.cat(squares)
