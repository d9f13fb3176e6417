"""Scores of views made for cameras that were held out: against the true picture, and over the nearest training frame.

A network that has only learned its training frames by heart does no better than showing the nearest of them: the gain
over that frame is what it has learned of the place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ganvas.errors import UserError, did_you_mean
from ganvas.evaluation.results import Results, Score
from ganvas.metrics import distribution, paired, sharpness
from ganvas.resize import resize_bicubic

NAMES = {
    "psnr_rgb": "higher", "psnr_y": "higher", "ssim_rgb": "higher", "ssim_y": "higher", "detail": "nearer 1",
    "in_place": "higher", "in_place_bar": "", "gain": "higher", "psnr_nearest": "", "ssim_nearest": "",
    "distance": "",
}  # fmt: skip
"""Every score of views, and which way is better."""
WITH_NEAREST = ("gain", "psnr_nearest", "ssim_nearest")
"""Those that need the frames that were trained on."""
SOFT = 4
"""The baselines that sharpness is held against start from the truth shrunk to a quarter and enlarged again."""


@dataclass(frozen=True)
class HeldView:
    """One view: pictures (3, H, W) in [0, 1]."""

    name: str
    made: Tensor
    truth: Tensor
    nearest: Tensor | None = None
    """The true picture of the nearest camera that was trained on."""
    distance: float = float("nan")
    """To that camera, in standard deviations of the training cameras."""


def names_for(asked: Sequence[str], has_nearest: bool) -> tuple[str, ...]:
    """Return the scores that are to be taken: those asked for, or all that can be.

    Raises:
        UserError: a name is unknown, or needs training frames that are not known.
    """
    for name in asked:
        if name not in NAMES:
            raise UserError(f"There is no score {name!r} of views", do=did_you_mean(name, NAMES))
        if name in WITH_NEAREST and not has_nearest:
            why = "The frames that were trained on are not known"
            raise UserError(f"{name} cannot be taken", why, "Name their folder: --footage DIR")
    return tuple(asked) or tuple(name for name in NAMES if has_nearest or name not in WITH_NEAREST)


def score_view(view: HeldView) -> dict[str, float]:
    """Return all scores of one view; what needs the nearest training frame is left out where that is not known.

    `detail` is the variance of the Laplacian in that of the truth; `in_place` the correlation of the finest detail with
    the truth's, and `in_place_bar` what a blurred truth with an unsharp mask or noise reaches.
    """
    made, truth = view.made[None], view.truth[None]
    row = {name: value for name, value in paired.score_pair(made, truth, 0).items() if name in NAMES}
    size = (truth.shape[-2], truth.shape[-1])
    soft = resize_bicubic(resize_bicubic(truth, 1 / SOFT), size=size).clamp(0, 1)
    ours, wanted, plain = (paired.luma(picture)[0, 0] for picture in (made, truth, soft))
    report = sharpness.compare_sharpness(ours, wanted, plain)
    row |= {
        "detail": report.result.laplacian_ratio, "in_place": report.result.correlation,
        "in_place_bar": max(report.unsharp.correlation, report.noise.correlation), "distance": view.distance,
    }  # fmt: skip
    if view.nearest is not None:
        nearest = view.nearest[None]
        row["psnr_nearest"] = float(paired.psnr(nearest, truth))
        row["ssim_nearest"] = float(paired.ssim(nearest, truth))
        row["gain"] = row["psnr_rgb"] - row["psnr_nearest"]
    return row


def results_of(
    rows: Mapping[str, Mapping[str, float]],
    names: Iterable[str],
    conditions: Mapping[str, str | int | float],
    *,
    how: str,
    resamples: int = distribution.RESAMPLES,
    notes: Sequence[str] = (),
) -> Results:
    """Return the rows of views, by name, as results with intervals by bootstrap over views.

    Args:
        rows: scores by view.
        names: of the scores.
        conditions: what the numbers depend on.
        how: how the pictures reached the scores; part of their hash.
        resamples: bootstrap samples.
        notes: sentences that belong beside the numbers.
    """
    digest = hashlib.sha256(f"{how}, cheats from 1/{SOFT}".encode()).hexdigest()[:8]
    kept = {view: {name: row[name] for name in names} for view, row in rows.items()}
    scores = []
    for name in names:
        values = torch.tensor([row[name] for row in kept.values()], dtype=torch.float64)
        found = distribution.mean_estimate(values, resamples if len(values) > 1 else 0)
        scores.append(Score(name=name, better=NAMES[name], preprocessing=digest, **found._asdict()))
    return Results(kind="cameras", scores=tuple(scores), conditions=dict(conditions), rows=kept, notes=list(notes))
