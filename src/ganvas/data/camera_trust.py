"""How far a camera lies from those that a network was trained on: where it knows, and where it guesses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

HELD = "held_views"
"""Name of the tensors beside a run's weights that tell its held-out views: cameras, psnr and runs."""
WIDTH = 2.0
"""Standard deviations within which views are alike."""
CAUTION = 0.5
"""Share of its error by which a promise is lowered: flights are somewhat worse than held-out views like them."""
FALL_DB = 1.0
"""By which a promise falls with each standard deviation that a camera is farther than held-out views are on average."""
PULL = 0.1
"""Weight of the mean of all views."""
ROLLS, ZOOMS = 5, 3
"""Places of the training's rolls and zooms at which each training camera is looked at."""


def turned(vectors: np.ndarray, roll_degrees: float, zoom: float) -> np.ndarray:
    """Return cameras as thirteen numbers, (N, 13), rolled about their axes and zoomed by a factor."""
    rows = vectors[:, :12].reshape(-1, 3, 4).copy()
    cosine, sine = np.cos(np.radians(roll_degrees)), np.sin(np.radians(roll_degrees))
    right, up = rows[:, :, 0].copy(), rows[:, :, 1].copy()
    rows[:, :, 0], rows[:, :, 1] = cosine * right + sine * up, cosine * up - sine * right
    return np.concatenate([rows.reshape(-1, 12), vectors[:, 12:] * zoom], axis=1)


def distances(
    asked: np.ndarray,
    training: np.ndarray,
    mean: Sequence[float],
    deviation: Sequence[float],
    roll_degrees: float = 0.0,
    zoom: float = 1.0,
) -> np.ndarray:
    """Return how far each camera, (N, 13), is from the nearest that was trained on, in standard deviations: (N,).

    Training showed every camera at rolls of up to `roll_degrees` either way and at zooms of up to a factor, so the
    nearest is looked for among these, too.
    """
    rolls = np.linspace(-roll_degrees, roll_degrees, ROLLS) if roll_degrees else [0.0]
    zooms = np.linspace(1.0, zoom, ZOOMS) if zoom > 1 else [1.0]
    standard = (np.asarray(asked) - mean) / deviation
    nearest = np.full(len(standard), np.inf)
    for roll in rolls:
        for factor in zooms:
            known = (turned(np.asarray(training), float(roll), float(factor)) - mean) / deviation
            for place, one in enumerate(standard):
                nearest[place] = min(nearest[place], np.linalg.norm(known - one, axis=1).min())
    return nearest


def calibrate(found: np.ndarray, quality: np.ndarray, parts: int = 3) -> dict[str, float]:
    """Return mean distance and mean quality of held-out views in equal parts of them, from the nearest to the farthest.

    As plain scores, `distance_1`, `psnr_1` and so on, so that they go wherever a run's scores go.
    """
    order = np.argsort(found)
    told: dict[str, float] = {}
    for place, part in enumerate(np.array_split(order, min(parts, len(order))), 1):
        told[f"distance_{place}"] = float(found[part].mean())
        told[f"psnr_{place}"] = float(quality[part].mean())
    return told


def expected(found: np.ndarray, told: dict[str, float]) -> np.ndarray | None:
    """Return the PSNR in dB to be expected at distances, by what held-out views had; None without such scores.

    Between the parts it is interpolated, and never rises with distance; beyond the farthest it is the farthest's, which
    is then a bound from above.
    """
    places = sorted(int(name.removeprefix("distance_")) for name in told if name.startswith("distance_"))
    if not places:
        return None
    known = [told[f"distance_{place}"] for place in places]
    quality = np.minimum.accumulate([told[f"psnr_{place}"] for place in places])
    return np.interp(found, known, quality)


def lowered(quality: np.ndarray, found: np.ndarray, told: Mapping[str, float]) -> np.ndarray:
    """Return promises in dB that fall with the distance to the cameras that were trained on: (N,), (N,) -> (N,).

    Held-out views like a camera say how hard its place is; they lie among the training cameras, flights often do not.
    """
    known = [value for name, value in told.items() if name.startswith("distance_")]
    return quality - FALL_DB * (np.asarray(found) - np.mean(known)) if known else quality


@dataclass(frozen=True, eq=False)
class Promise:
    """What PSNR to expect of a camera: that of held-out views like it, less half the error of foretelling
    them so.

    Views are weighed by a Gaussian of their distance in standard deviations.
    """

    views: np.ndarray
    """Held-out cameras in standard deviations, (N, 13)."""
    quality: np.ndarray
    """Their PSNR in dB, (N,)."""
    error_db: float
    """Root mean square of the error with which runs of held-out views are foretold from the others."""

    @staticmethod
    def fit(views: np.ndarray, quality: np.ndarray, runs: Sequence[object]) -> Promise:
        """Return what held-out views say, of which those of one run are left out in foretelling each of it."""
        own = np.array([[one == other for other in runs] for one in runs])
        foretold = _mean(_likeness(views, views) * ~own, quality)
        return Promise(views, quality, float(np.sqrt(np.mean((quality - foretold) ** 2))))

    @staticmethod
    def of(tensors: Mapping[str, Tensor], mean: np.ndarray, deviation: np.ndarray) -> Promise | None:
        """Return the promise of what lies beside a run's weights; None where that tells of fewer than two runs."""
        names = [f"{HELD}.{name}" for name in ("cameras", "psnr", "runs")]
        if not all(name in tensors for name in names):
            return None
        cameras, quality, runs = (tensors[name].numpy() for name in names)
        return (
            Promise.fit((cameras - mean) / deviation, quality, runs.tolist()) if len(set(runs.tolist())) > 1 else None
        )

    def at(self, views: np.ndarray) -> np.ndarray:
        """Return the PSNR in dB to be expected of cameras in standard deviations, (M, 13) -> (M,)."""
        return _mean(_likeness(views, self.views), self.quality) - CAUTION * self.error_db


def _likeness(views: np.ndarray, others: np.ndarray) -> np.ndarray:
    square = (np.asarray(views)[:, None] - np.asarray(others)[None]) ** 2
    return np.exp(-square.sum(-1) / WIDTH**2)


def _mean(likeness: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return means weighed by likeness, drawn to the mean of all where nothing is alike."""
    return (likeness @ values + PULL * values.mean()) / (likeness.sum(-1) + PULL)
