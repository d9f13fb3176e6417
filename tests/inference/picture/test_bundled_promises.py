"""What every bundled upscaler keeps: gray stays gray, and soft edges of alpha ring no more than Lanczos does."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage import data

from ganvas.inference.open import known_models
from ganvas.inference.picture.upscale import Upscaler
from ganvas.io.weights import files as weights

UPSCALERS = [
    model.name
    for model in known_models()
    if model.path
    and model.path.suffix == ".safetensors"
    and (card := weights.read_card(model.path)).input == "picture"
    and card.recipe in ("esrgan", "superres_unet", "")
]


def test_the_list_is_not_empty() -> None:
    assert {"photo-x4", "photo-x2", "restore-x4", "compact-x4-gan"} <= set(UPSCALERS)


@pytest.mark.parametrize("name", UPSCALERS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_gray_stays_gray(name: str, dtype: type) -> None:
    gray = data.chelsea()[60:84, 100:132].mean(2)
    # Noise is where a network that never saw gray tints most.
    gray = (gray + np.random.default_rng(0).normal(0, 12, gray.shape)).clip(0, 255)
    picture = np.repeat(gray[..., None], 3, 2)
    picture = picture.astype(np.uint8) if dtype is np.uint8 else (picture / 255).astype(np.float32)
    made = Upscaler(name)(picture)
    assert made.std() > 0
    assert np.ptp(made.astype(float), axis=2).max() <= (0 if dtype is np.uint8 else 1e-6)


@pytest.mark.parametrize("name", UPSCALERS)
@pytest.mark.parametrize("sigma_px", [0.8, 1.5])
def test_soft_alpha_rings_no_more_than_lanczos(name: str, sigma_px: float) -> None:
    """A disc of opaque on half transparent under a blur: what lies beyond both levels is ringing."""
    y, x = np.mgrid[:32, :32] - 15.5
    low, high = 60.0, 190.0
    alpha = low + (high - low) / (1 + np.exp((np.hypot(x, y) - 9) * 1.7 / sigma_px))
    picture = np.dstack([np.full((32, 32, 3), 128.0), alpha]).round().astype(np.uint8)
    up = Upscaler(name)
    side = 32 * up.scale
    made = up(picture)[..., 3].astype(float)
    lanczos = np.asarray(Image.fromarray(picture[..., 3]).resize((side, side), Image.Resampling.LANCZOS), float)

    def ringing(plane: np.ndarray) -> float:
        return max(low - plane.min(), plane.max() - high, 0.0)

    # A level is what rounding adds.
    assert ringing(made) <= ringing(lanczos) + 1
