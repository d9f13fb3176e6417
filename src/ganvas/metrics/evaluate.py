"""Scores over folders of pictures: one table, and the same as JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ganvas.errors import UserError
from ganvas.io import images
from ganvas.metrics.paired import score_pair

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Table:
    """Scores by picture, their means, and what could not be scored."""

    rows: dict[str, dict[str, float]]
    means: dict[str, float]
    conditions: dict[str, str | int]
    """What the numbers depend on: border crop, colour space, number of pictures."""
    problems: dict[str, str] = field(default_factory=dict)


def evaluate(results: str | Path, truth: str | Path, *, crop_px: int = 4, progress: Progress | None = None) -> Table:
    """Score pictures against their truth: PSNR and SSIM on Y and RGB, mean brightness error.

    Two files, or two folders whose pictures are matched by name (without the ending). Y is BT.601's, as in MATLAB's
    rgb2ycbcr; transparent pictures are scored by their colours. A pair that cannot be scored is named and left out.

    Args:
        results: a picture or a folder of pictures.
        truth: what they should be, likewise.
        crop_px: pixels left out at each border; the custom is the scale factor.
        progress: called with the pairs done and all pairs.

    Raises:
        UserError: the two do not pair, or none of the pairs can be scored.
    """
    pairs, problems = match(Path(results), Path(truth))
    rows: dict[str, dict[str, float]] = {}
    for done, (name, (first, second)) in enumerate(pairs.items()):
        try:
            rows[name] = score_pair(_colours(first), _colours(second), crop_px)
        except UserError as error:
            problems[name] = str(error)
        if progress:
            progress(done + 1, len(pairs))
    if not rows:
        raise UserError(
            "None of the pairs could be scored", "; ".join(f"{k}: {v}" for k, v in list(problems.items())[:3])
        )
    means = {key: sum(row[key] for row in rows.values()) / len(rows) for key in next(iter(rows.values()))}
    return Table(rows, means, {"pictures": len(rows), "crop_px": crop_px, "luma": "BT.601 studio swing"}, problems)


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
