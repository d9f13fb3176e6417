"""The commands and Python lines of the README and of docs/from-nothing.md, run as printed, in an empty folder."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

import ganvas
from ganvas import cli
from ganvas.io.pictures import images

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
MODELS = (ROOT / "docs/models.md").read_text()
FROM_NOTHING = (ROOT / "docs/from-nothing.md").read_text()
FEWER = ["--pixel-steps", "3", "--gan-steps", "2", "--batch-size", "2", "--pixel-crop-px", "32", "--crop-px", "32"]
"""Added to training commands, which would take minutes."""


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


@pytest.fixture
def empty(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_block_of_the_readme_runs_in_an_empty_folder(empty, monkeypatch):
    lines = [line for block in blocks(README, "sh") for line in block.splitlines() if line.strip()]
    assert len(lines) >= 12
    for line in lines:
        words = shlex.split(re.sub(r"--frames \d+", "--frames 3", line))
        assert words[0] == "ganvas", line
        fewer = FEWER if words[1] == "train" and "--resume" not in words else []
        assert cli.main([*words[1:], *fewer]) == cli.DONE, line
    assert images.read_header("big.png").width == 512
    for made in ("demo/comparison.png", "flight.mp4", "clothes.png", "mine.png", "mine.safetensors", "mine.onnx"):
        assert (empty / made).is_file(), made
    assert len(list((empty / "painted").glob("*.png"))) == 3

    (block,) = blocks(README, "python")
    train = ganvas.train
    changes = {"pixel_steps": 2, "gan_steps": 1, "batch_size": 2, "pixel_crop_px": 32, "crop_px": 32}
    monkeypatch.setattr(
        ganvas, "train", lambda *args, **named: train(*args, settings=changes, quiet=True, **named), False
    )
    names: dict[str, Any] = {}
    exec(block, names)
    assert names["big"].shape == (256, 384, 3) and names["big"].dtype == "uint8"
    assert (empty / "runs/python/settings.json").is_file()


FEWER_OF = {
    "pix2pixhd": "--global-steps 2 --enhancer-steps 1 --joint-steps 1",
    "vid2vid": "--picture-rounds 1 --rounds 1 --lengths 1 --longest 6 --frames-a-step 6",
    "reverse_matchmove": "--pixel-steps 2 --steps 1",
    "biggan": "--steps 2 --batch-size 4",
    "tiled_upres": "--pixel-steps 1 --steps 1",
    "superres_unet": "--content-steps 1 --steps 1 --low-px 16",
}
"""Added to the training commands of the methods' block."""
FEWER_PICTURES = {"--frames 60": "--frames 3", "--frames 20": "--frames 8", "--frames 80": "--frames 12",
                  "--per-class 500": "--per-class 4", "--clips 4": "--clips 2"}  # fmt: skip


def test_every_method_runs_from_what_ganvas_draws(empty):
    (block,) = blocks(FROM_NOTHING, "sh methods")
    for many, few in FEWER_PICTURES.items():
        assert many in block
        block = block.replace(many, few)
    lines = [line for line in block.splitlines() if line.strip()]
    assert {shlex.split(line)[2] for line in lines if " train " in line} == set(FEWER_OF)
    for line in lines:
        words = shlex.split(line)
        fewer = shlex.split(FEWER_OF[words[2]]) if words[1] == "train" else []
        assert cli.main([*words[1:], *fewer]) == cli.DONE, line
    assert len(list((empty / "painted").glob("*.png"))) == 3
    for made in ("clip.mp4", "shot.mp4", "film.mp4", "sheet.png", "neighbours.png", "report/index.html"):
        assert (empty / made).is_file(), made
    (block,) = blocks(FROM_NOTHING, "python methods")
    names: dict[str, Any] = {"ganvas": ganvas}
    exec(block, names)
    assert names["painted"].shape == (64, 128, 3) and names["stars"].shape == (3, 3, 32, 32)
    assert [view.shape for view in names["views"]] == [(64, 64, 3)] * 3


def test_the_numbers_of_the_readme_are_those_of_the_cards():
    from ganvas.inference.open import BUNDLED
    from ganvas.io.weights import files as weights

    rows = re.search(r"<!-- models:begin -->\n(.*?)<!-- models:end -->", MODELS, re.DOTALL)
    assert rows is not None
    for path in [*BUNDLED.glob("compact-*.safetensors"), *BUNDLED.glob("photo-x?.safetensors")]:
        (row,) = [line for line in rows[1].splitlines() if f"`{path.stem}`" in line]
        card = weights.read_card(path)
        assert f"{card.scores['psnr_y']:.2f} dB" in row
        assert f"{card.scores['gain_over_bicubic']:+.2f} dB" in row
        assert card.licence in row
