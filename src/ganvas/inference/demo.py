"""The demonstration: a photograph nobody trained on, made small and brought back, beside bicubic and the truth."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ganvas.data.degrade import bicubic, resize_bicubic
from ganvas.inference.open import DEFAULT
from ganvas.inference.picture.upscale import Upscaler
from ganvas.inference.result import Reports
from ganvas.io.pictures import images
from ganvas.io.pictures.captioned import captioned
from ganvas.io.pictures.tensors import from_tensor, to_tensor
from ganvas.metrics.paired import luma, psnr

PHOTOGRAPH = Path(__file__).parents[1] / "assets" / "astronaut.png"
"""Eileen Collins, NASA (public domain); no model of ours has seen it."""
GAP_PX = 8


@dataclass(frozen=True)
class Shown:
    """What the demonstration made."""

    result: Path
    comparison: Path
    bicubic_db: float
    ours_db: float
    seconds: float


def show(folder: Path, model: str = "default", progress: Reports | None = None) -> Shown:
    """Upscale the bundled photograph from its low version and write both and a wide comparison.

    Args:
        folder: made where it is missing.
        model: name or file.
        progress: told how far the upscaling is.

    Raises:
        UserError: the folder cannot be written, or the model is unknown.
    """
    upscaler = Upscaler(model)
    truth, _ = images.read(PHOTOGRAPH)
    low = from_tensor(bicubic(to_tensor(truth)[None], upscaler.scale)[0])
    start = time.perf_counter()
    ours = upscaler(low, progress=progress)
    seconds = time.perf_counter() - start
    plain = from_tensor(resize_bicubic(to_tensor(low)[None], size=(truth.shape[0], truth.shape[1]))[0])
    folder.mkdir(parents=True, exist_ok=True)
    small = low.repeat(upscaler.scale, axis=0).repeat(upscaler.scale, axis=1)  # its pixels as they are
    gap = np.full((truth.shape[0], GAP_PX, 3), 255, np.uint8)
    wide = np.concatenate([small, gap, plain, gap, ours, gap, truth], axis=1)
    wide = captioned(wide, ["low", "bicubic", DEFAULT if model == "default" else upscaler.name, "truth"])
    images.write(folder / "low.png", low, overwrite=True)
    return Shown(
        result=images.write(folder / f"astronaut-{upscaler.name}.png", ours, overwrite=True),
        comparison=images.write(folder / "comparison.png", wide, overwrite=True),
        bicubic_db=_decibels(plain, truth, upscaler.scale),
        ours_db=_decibels(ours, truth, upscaler.scale),
        seconds=seconds,
    )


def _decibels(picture: np.ndarray, truth: np.ndarray, crop_px: int) -> float:
    return float(psnr(luma(to_tensor(picture)[None]), luma(to_tensor(truth)[None]), crop_px))
