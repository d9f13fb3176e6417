"""The worked example of CONTRIBUTING.md trains, and its run upscales."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ganvas import cli
from ganvas.io.pictures import images

ROOT = Path(__file__).parents[1]


def test_a_recipe_of_ones_own_trains_and_serves(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    photo = images.write(photos / "a.png", np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    run = tmp_path / "run"
    recipe = str(ROOT / "examples/deblur.py")
    options = ["--data", str(photos), "--out", str(run), "--steps", "2", "--crop-px", "32", "--batch-size", "2"]
    assert cli.main(["train", recipe, *options]) == cli.DONE
    assert cli.main(["upscale", str(photo), "--model", str(run), "--out", str(tmp_path / "sharp.png")]) == cli.DONE
    assert images.read(tmp_path / "sharp.png")[0].shape == (64, 64, 3)


def test_the_pieces_of_contributing_stand_in_the_example():
    example = (ROOT / "examples/deblur.py").read_text()
    for line in ("class Settings(Training):", "sigma_px: float = 1.5", "class Deblur(Recipe):", 'PRESETS = {"preview"'):
        assert line in (ROOT / "CONTRIBUTING.md").read_text()
        assert line in example
