"""scripts/gallery.py from data to weight file, for each name, with tiny networks on tiny data of the same kind."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganvas import cli
from ganvas.inference.open import open_model
from ganvas.io.pictures import images
from ganvas.io.weights import files as weights

SCRIPT = Path(__file__).parents[1] / "scripts" / "gallery.py"
ONCE: dict[str, Any] = {
    "precision": "float32", "preview_every": 1000, "score_every": 1000, "checkpoint_every": 1000, "workers": 1,
}  # fmt: skip
TINY: dict[str, dict[str, Any]] = {
    "street-painter": {
        "width_px": 64, "height_px": 32, "global_width": 8, "downs": 2, "blocks": 1, "encoder_width": 4,
        "discriminator_width": 4, "discriminator_layers": 1, "global_steps": 1, "joint_steps": 1, "perceptual": "none",
    },
    "street-clip": {
        "width": 4, "downs": 1, "blocks": 2, "discriminator_width": 2, "discriminator_scales": 1, "perceptual": "none",
        "perceptual_weight": 0.0, "batch_size": 1, "rounds": [1], "lengths": 1, "first_length": 3, "longest": 3,
        "frames_a_step": 3, "clip_frames": 2, "clip_strides": [1], "picture_rounds": 0,
    },
    "fashion": {"width": 2, "latent": 8, "class_features": 5, "batch_size": 4, "steps": 2, "num_classes": 0},
    "materials": {
        "width": 2, "latent": 8, "class_features": 5, "batch_size": 4, "steps": 2, "num_classes": 0, "size_px": 32,
        "multipliers": [],
    },
    "faces-relativistic": {"width": 4, "latent": 6, "batch_size": 4, "steps": 2, "size_px": 32},
    "place": {
        "size_px": 16, "width": 2, "discriminator_width": 2, "batch_size": 2, "perceptual": "none", "pixel_steps": 1,
        "steps": 1, "rays_px": 8, "rays_table": 40, "rays_planes": 1, "run": 1,
    },
    "panorama": {
        "size_px": 16, "width": 2, "discriminator_width": 2, "batch_size": 2, "perceptual": "none", "pixel_steps": 1,
        "steps": 1, "rays_px": 8, "rays_table": 40, "photograph_views": 12,
    },
    "faces-768": {
        "width": 4, "encoder_width_div": 2, "discriminator_width": 4, "high_px": 128, "low_px": 80, "scale": 2,
        "batch_size": 2, "pixel_steps": 1, "steps": 1,
    },
    "unet": {"width": 4, "downs": 2, "low_px": 8, "batch_size": 2, "content_steps": 2},
}  # fmt: skip
"""By name: what makes the preset `show` tiny."""


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("gallery_script", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name.
    monkeypatch.setitem(__import__("sys").modules, "gallery_script", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "PLACE", tmp_path / "gallery")
    monkeypatch.setattr(module, "WEIGHTS", tmp_path / "weights")
    monkeypatch.setattr(module, "DETAILED", "world --clips 2 --frames 2 --size 64x32 --details --quiet")
    monkeypatch.setattr(module, "PLAIN", "--clips 2 --frames 2 --size 64x32 --seed 1 --quiet")
    return module


def shapes(folder: Path) -> str:
    """Pictures by class, in the place of Fashion-MNIST."""
    target = folder / "data"
    if not target.exists():
        assert cli.main(["shapes", str(target), "--size", "32", "--per-class", "4", "--quiet"]) == 0
    return str(target)


def photograph(folder: Path) -> str:
    """A picture with something to see everywhere, in the place of the cupola."""
    folder.mkdir(parents=True)
    y, x = np.mgrid[:64, :96] / 96
    picture = np.stack([x, y, 0.5 + 0.4 * np.sin(40 * x * y)], -1)
    return str(images.write(folder / "cupola.png", (255 * picture).astype(np.uint8)))


@pytest.mark.parametrize("name", sorted(TINY))
def test_a_name_becomes_a_weight_file_that_opens(script: Any, name: str) -> None:
    faces = "faces --num 4 --size {} --quiet"
    data = {
        "street-painter": script.detailed_street, "fashion": shapes, "materials": shapes, "panorama": photograph,
        "street-clip": script.drawn("world --frames 6 --size 64x32 --quiet"),
        "place": script.drawn("world --path survey --frames 8 --size 16x16 --quiet"),
        "faces-relativistic": script.drawn(faces.format(32)), "unet": script.drawn(faces.format(64)),
        "faces-768": script.drawn(faces.format(160)),
    }  # fmt: skip
    entry = script.GALLERY[name]
    later = {"global_steps": 0} if name == "street-painter" else {}
    legs = [{**leg, **ONCE, **TINY[name], **(later if number else {})} for number, leg in enumerate(entry.legs)]
    entry = replace(entry, data=data[name], legs=legs)
    run = script.train(name, entry)
    path = script.pack(name, entry, run)
    card = weights.read_card(path)
    assert card.purpose == entry.purpose and card.data == entry.source and card.licence == entry.licence
    assert f"gallery.py {name}" in card.origin
    assert open_model(str(path)).network() is not None
    # A second call finds the run finished and packs the same weights.
    before = path.read_bytes()
    assert script.pack(name, entry, script.train(name, entry)).read_bytes() == before


def test_every_name_of_the_script_is_tested(script: Any) -> None:
    assert set(TINY) == set(script.GALLERY)


def test_a_painter_learns_detailed_and_plain_streets_under_one_legend(script: Any, tmp_path: Path) -> None:
    target = Path(script.detailed_street(tmp_path))
    legends = {path.read_bytes() for path in target.glob("*/legend.json")}
    assert len(list(target.iterdir())) == 4 and len(legends) == 1
    assert images.read(sorted(target.glob("plain_*/labels/*.png"))[0])[0].max() < 10
    assert images.read(sorted(target.glob("clip_*/labels/*.png"))[0])[0].max() >= 10


def test_a_file_beyond_the_gallerys_size_is_refused(script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "LARGEST_MB", 0.0)
    entry = replace(script.GALLERY["fashion"], data=shapes, legs=[{**ONCE, **TINY["fashion"]}])
    run = script.train("fashion", entry)
    with pytest.raises(script.UserError, match="at most 0"):
        script.pack("fashion", entry, run)
