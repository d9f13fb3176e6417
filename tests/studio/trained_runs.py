"""Runs of several kinds for the studio's tests, each trained for two steps at the smallest sizes."""

from __future__ import annotations

from pathlib import Path

import ganvas
from ganvas.cli import main


def train_runs(root: Path) -> Path:
    """Return a folder with the runs of a painter, a generator of classes and a learned place."""
    street, place, shapes = root / "street", root / "place", root / "shapes"
    for words in (
        ["world", street, "--frames", "4", "--size", "64x32"],
        ["world", place, "--frames", "8", "--size", "32x32", "--path", "survey"],
        ["shapes", shapes, "--size", "32", "--per-class", "4"],
    ):
        assert main(list(map(str, words))) == 0
    once = {"precision": "float32", "preview_every": 2, "score_every": 100, "checkpoint_every": 2}
    ganvas.train(
        "pix2pixhd", street, root / "runs/street", preset="preview", quiet=True,
        settings={**once, "width_px": 64, "height_px": 32, "global_width": 8, "discriminator_width": 8, "blocks": 1,
                  "enhancers": 0, "downs": 2, "global_steps": 2, "joint_steps": 0,
                  "enhancer_steps": 0, "instance_features": 2, "perceptual": "none"},
    )  # fmt: skip
    assert main(["styles", str(root / "runs/street")]) == 0
    ganvas.train(
        "biggan", shapes, root / "runs/shapes", preset="preview", quiet=True,
        settings={**once, "steps": 2, "batch_size": 8, "width": 8},
    )  # fmt: skip
    ganvas.train(
        "reverse_matchmove", place, root / "runs/place", preset="preview", quiet=True,
        settings={**once, "size_px": 32, "pixel_steps": 0, "coarse_steps": 0, "warmup_steps": 0, "steps": 2,
                  "batch_size": 2, "width": 8,
                  "discriminator_width": 8, "perceptual": "none", "coarse_px": 0, "halvings": 1},
    )  # fmt: skip
    return root / "runs"
