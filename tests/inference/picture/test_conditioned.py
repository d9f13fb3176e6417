"""Nets with class and label channels: the right planes reach them, and what is missing is asked for by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ganvas
from ganvas import cli

SETTINGS = {
    "scale": 2, "low_px": 16, "width": 4, "downs": 2, "content_steps": 2, "steps": 0, "style": "none", "batch_size": 2,
    "threads": 1, "precision": "float32", "generator_std": 0.2,
}  # fmt: skip


def draw(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that knows two classes and three labels by turns: `by_class` and `by_label` below it."""
    root, random = tmp_path_factory.mktemp("conditioned"), np.random.default_rng(0)
    for name in ("ants", "bees"):
        draw(root / "classes" / name / "0.png", random.integers(256, size=(40, 40, 3)))
    draw(root / "plain" / "0.png", random.integers(256, size=(40, 40, 3)))
    draw(root / "labels" / "0.png", random.integers(3, size=(40, 40)))
    by_class = {**SETTINGS, "num_classes": 2}
    ganvas.train("superres_unet", root / "classes", root / "by_class", preset="laptop", settings=by_class, quiet=True)
    by_label = {**SETTINGS, "labels": str(root / "labels"), "num_labels": 3}
    ganvas.train("superres_unet", root / "plain", root / "by_label", preset="laptop", settings=by_label, quiet=True)
    return root


def enlarged(run: Path, low: np.ndarray, planes: np.ndarray) -> np.ndarray:
    net = ganvas.load(run)
    seen = np.concatenate([low.transpose(2, 0, 1) / 127.5 - 1, planes])
    with torch.inference_mode():
        made = net(torch.from_numpy(seen).float()[None])[0].permute(1, 2, 0).numpy()
    return np.rint((made * 0.5 + 0.5).clip(0, 1) * 255)


def test_a_class_by_name_is_a_plane_of_ones(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    low = np.random.default_rng(1).integers(256, size=(20, 24, 3))
    draw(tmp_path / "lows" / "a.png", low)
    arguments = ["generate", str(tmp_path / "lows"), "--then", str(run / "by_class"), "--device", "cpu"]
    assert cli.main([*arguments, "--class", "bees", "--out", str(tmp_path / "out")]) == 0
    made = np.asarray(Image.open(tmp_path / "out" / "1-by_class" / "a.png")).astype(float)
    planes = np.stack([np.zeros((20, 24)), np.ones((20, 24))])
    assert np.abs(made - enlarged(run / "by_class", low, planes)).max() <= 1
    assert np.abs(made - enlarged(run / "by_class", low, planes[::-1])).max() > 1
    assert cli.main([*arguments, "--out", str(tmp_path / "none")]) == 1
    assert "--class ants" in " ".join(capsys.readouterr().err.split())
    assert cli.main([*arguments, "--class", "beees", "--out", str(tmp_path / "none")]) == 1
    assert "bees" in capsys.readouterr().err
    assert cli.main(["upscale", str(tmp_path / "lows"), "--model", str(run / "by_class"), "--out", str(tmp_path)]) == 1


def test_label_maps_of_the_same_names_are_one_plane_a_label(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    random = np.random.default_rng(2)
    low, labels = random.integers(256, size=(16, 16, 3)), random.integers(3, size=(16, 16))
    draw(tmp_path / "lows" / "a.png", low)
    draw(tmp_path / "maps" / "a.png", labels)
    arguments = ["generate", str(tmp_path / "lows"), "--then", str(run / "by_label"), "--device", "cpu"]
    assert cli.main([*arguments, "--labels", str(tmp_path / "maps"), "--out", str(tmp_path / "out")]) == 0
    made = np.asarray(Image.open(tmp_path / "out" / "1-by_label" / "a.png")).astype(float)
    planes = np.stack([labels == number for number in range(3)]).astype(float)
    assert np.abs(made - enlarged(run / "by_label", low, planes)).max() <= 1
    draw(tmp_path / "lows" / "b.png", low)
    assert cli.main([*arguments, "--labels", str(tmp_path / "maps"), "--out", str(tmp_path / "both")]) == 1
    assert "b.png has no label map" in " ".join(capsys.readouterr().err.split())
    assert (tmp_path / "both" / "1-by_label" / "a.png").exists()
