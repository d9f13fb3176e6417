"""What messages about cameras advise exists in every verb that reads cameras, and means the same there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from ganvas import cli
from ganvas.cli import words
from ganvas.cli.arguments import options_of
from ganvas.cli.inspect import inspect
from ganvas.inference.cameras.options import Options
from ganvas.io.pictures import images
from ganvas.recipes.base import find

ROOMS = Path(cli.__file__).parents[1]
GENERATES_ONLY = {"--overwrite"}
OF_PICTURES = {"--stmap", "--lens-profile"}
"""Where there are no plates, nothing is asked of them."""


def settings():
    return find("reverse_matchmove").PRESETS["preview"]


@pytest.mark.parametrize(
    "said",
    [
        ["--film-back", "36x24"], ["--film-back", "36", "24"], ["--film-back=36,24"], ["--film-back-mm", "36", "24"],
        ["--film-back-mm", "36.0X24.0"],
    ],
)  # fmt: skip
def test_a_film_back_is_told_alike_to_training_and_to_generating(said):
    options = options_of(type(settings()), "train reverse_matchmove", settings())
    told = words.read_words([*said, "--seed", "3"], options, "train reverse_matchmove")
    assert [float(part) for part in words.spelled(told)[1:3]] == [36, 24] and not told.positional and not told.unknown


def test_a_film_back_reaches_the_reader_of_a_training(tmp_path, capsys):
    (tmp_path / "a.chan").write_text("1 0 0 0 0 0 0 40\n")
    images.write(tmp_path / "other.0002.png", np.zeros((24, 36, 3), np.uint8))
    command = [
        "train",
        "reverse_matchmove",
        "--data",
        str(tmp_path),
        "--preset",
        "preview",
        "--out",
        str(tmp_path / "r"),
    ]
    for more, wanted in ([], "--rotation-order"), (["--rotation-order", "ZXY"], "--film-back 36x24"):
        assert cli.main([*command, *more]) != cli.DONE and wanted in capsys.readouterr().err
    assert cli.main([*command, "--rotation-order", "ZXY", "--film-back", "36x24"]) != cli.DONE
    assert "has a picture" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("scope", "verb", "of_pictures"),
    [("generate camera", Options, False), ("inspect", inspect, False), ("train reverse_matchmove", None, True)],
)
def test_what_readers_of_cameras_advise_exists_in_every_verb(scope, verb, of_pictures):
    options = options_of(verb, scope) if verb else options_of(type(settings()), scope, settings())
    known = {name for option in options for name in option.names}
    for file in (ROOMS / "io" / "cameras").glob("*.py"):
        advised = set(re.findall(r"--[a-z][a-z-]+", file.read_text())) - GENERATES_ONLY
        assert advised <= known | (set() if of_pictures else OF_PICTURES), (file.name, advised - known)
