"""Which way a model that takes a picture is run, and that an option is honoured or refused, never dropped."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch.nn.functional as F
from torch import nn

from ganvas.errors import UserError
from ganvas.inference.open import open_model
from ganvas.inference.picture import suite
from ganvas.inference.picture.options import Options
from ganvas.inference.result import Progress
from ganvas.protocol import Card

EXTRA = {
    "plain": {},
    "guided": {"upres": {"guide": {"kind": "none"}, "tile_px": 32, "low_px": 128, "grid_px": 96}},
    "planes": {"conditions": {"num_labels": 2, "class_names": []}},
}


class Nearest(nn.Module):
    def __init__(self, way: str) -> None:
        super().__init__()
        self.card = Card(network="", scale=2, extra=EXTRA[way])

    def forward(self, low):
        return F.interpolate(low, scale_factor=2)


REFUSED = {
    "plain": {"choose": "contrast", "labels": "maps", "guide": "edges", "fixed_choices": True},
    "guided": {
        "pattern": "{name}-x",
        "quality": 50,
        "allow_loss": True,
        "scene_linear": True,
        "ensemble": True,
        "factor": 2.0,
        "size": (64, 64),
        "tile": 64,
        "backend": "onnx",
        "labels": "maps",
    },
    "planes": {
        "long_side": 640,
        "quality": 50,
        "scene_linear": False,
        "pattern": "x",
        "faithful": 0.5,
        "choose": "first",
    },
}


@pytest.mark.parametrize(("way", "name", "value"), [(way, *item) for way in REFUSED for item in REFUSED[way].items()])
def test_what_a_way_does_not_declare_is_refused_by_name(way, name, value, tmp_path):
    opened = open_model(Nearest(way))
    options = Options(inputs=("a.png",), out=tmp_path / "out", **{name: value})
    with pytest.raises(UserError, match=f"--{name.replace('_', '-')} means nothing for Nearest"):
        suite.run(opened, options, Progress())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("source", "name", "value"),
    [
        ("film.mp4", "scene_linear", True),
        ("film.mp4", "allow_loss", True),
        ("film.mp4", "alpha", "separate"),
        ("film.mp4", "report_seams", True),
        ("a.png", "codec", "ffv1"),
        ("a.png", "crf", 20),
        ("a.png", "deinterlace", True),
    ],
)
def test_videos_and_pictures_refuse_what_only_the_other_honours(source, name, value, tmp_path):
    (tmp_path / source).write_bytes(b"looked at later")
    options = Options(inputs=(str(tmp_path / source),), out=tmp_path / "out", precision="float32", **{name: value})
    with pytest.raises(UserError, match=f"--{name.replace('_', '-')} means nothing for"):
        suite.run(open_model(Nearest("plain")), options, Progress())
    assert not (tmp_path / "out").exists()


def test_planes_are_computed_in_float32_only(tmp_path: Path):
    options = Options(inputs=("a.png",), out=tmp_path, labels=str(tmp_path), precision="bfloat16")
    with pytest.raises(UserError, match="does not compute in bfloat16"):
        suite.run(open_model(Nearest("planes")), options, Progress())


def test_the_card_says_which_way():
    ways = {way: suite.way_of(Nearest(way).card) for way in EXTRA}
    assert ways == {"plain": suite.PLAIN, "guided": suite.GUIDED, "planes": suite.PLANES}
