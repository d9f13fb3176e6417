"""The worked examples of CONTRIBUTING.md train, and what they train is of use."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import ganvas
from ganvas import cli
from ganvas.io import runs
from ganvas.io.pictures import images

ROOT = Path(__file__).parents[1]
EXAMPLES = {path.stem: path.read_text() for path in (ROOT / "examples").glob("*.py")}


def drawn(folder: Path, number: int, size: int = 64) -> list[Path]:
    folder.mkdir()
    chance = np.random.default_rng(0)
    return [
        images.write(folder / f"{name}.png", chance.integers(0, 256, (size, size, 3), dtype=np.uint8))
        for name in range(number)
    ]


def test_a_recipe_of_ones_own_trains_both_networks_and_serves(tmp_path):
    photos = drawn(tmp_path / "photos", 3)
    run = tmp_path / "run"
    options = ["--data", str(tmp_path / "photos"), "--val", "0.34", "--out", str(run), "--steps", "2"]
    small = ["--crop-px", "64", "--batch-size", "2", "--log-every", "1"]
    assert cli.main(["train", str(ROOT / "examples/deblur.py"), *options, *small]) == cli.DONE
    log = list(runs.read_log(run))
    assert {"D.gan", "G.gan", "G.pixel", "margin"} <= set(log[0]["losses"])
    assert "psnr" in runs.best_scores(run)
    begin, end = (
        runs.read_checkpoint(run / "checkpoints" / name).groups["networks"] for name in ("00000000", "00000002")
    )
    moved = {key.split("/")[0] for key in begin if not torch.equal(begin[key], end[key])}
    assert moved == {"generator", "discriminator"}
    assert cli.main(["upscale", str(photos[0]), "--model", str(run), "--out", str(tmp_path / "sharp.png")]) == cli.DONE
    assert images.read(tmp_path / "sharp.png")[0].shape == (64, 64, 3)
    assert ganvas.load(run, network="discriminator").card.network == "patch_discriminator"


def test_a_kind_of_input_of_ones_own_trains_and_loads(tmp_path):
    data, run = tmp_path / "skies", tmp_path / "run"
    drawn(data, 4, size=32)
    numbers = np.array([[0.0, 10.0], [1.0, 30.0], [2.0, 20.0], [9.0, 70.0]])
    rows = [f"{place}.png,{a},{b}" for place, (a, b) in enumerate(numbers)]
    (data / "table.csv").write_text("\n".join(["picture,hour,humidity", *rows]))
    options = ["--data", str(data), "--columns", "2", "--size-px", "32", "--steps", "2", "--batch-size", "2"]
    train = ["train", str(ROOT / "examples/table.py"), *options, "--val", "0.25", "--out", str(run)]
    assert cli.main(train) == cli.DONE
    net = ganvas.load(run)
    assert net(torch.zeros(1, 2)).shape == (1, 3, 32, 32)
    # The mean is the training split's: one of the four rows is held out.
    means = [numbers[[row for row in range(4) if row != left]].mean(0).tolist() for left in range(4)]
    assert any(net.card.extra["mean"] == pytest.approx(mean) for mean in means)
    (data / "table.csv").write_text("\n".join(["picture,hour,humidity", *rows[:3]]))
    assert cli.main([*train[:-1], str(tmp_path / "other")]) == cli.USER_ERROR


def test_the_pieces_of_contributing_stand_in_the_examples():
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    assert len(blocks) == 5
    for block in blocks:
        for line in filter(str.strip, block.splitlines()):
            assert any(line.strip() in map(str.strip, text.splitlines()) for text in EXAMPLES.values()), line


def test_contributing_tells_of_every_part_of_a_recipe():
    from ganvas.protocol import Recipe

    told = (ROOT / "CONTRIBUTING.md").read_text()
    parts = [name for name, part in vars(Recipe).items() if callable(part) and not name.startswith("_")]
    assert "score" in parts and "fixed" in parts
    assert not [part for part in parts if f"`{part}(" not in told and f" `{part}(" not in told]
