"""The verb `demo`: its commands name verbs and models that exist, and nothing that was made before is lost."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest

from ganvas import cli
from ganvas.cli import demo
from ganvas.inference.open import known_models
from ganvas.io.pictures import images
from ganvas.io.pictures.captioned import LINE_PX
from ganvas.recipes.base import RECIPES


def models_of(command: list[str]) -> list[str]:
    """Return what a command names as models."""
    named = [command[place + 1] for place, word in enumerate(command) if word == "--then"]
    return named + ([command[1]] if command[0] == "generate" and "/" not in command[1] else [])


def test_every_method_has_a_demo() -> None:
    assert set(demo.METHODS) == set(RECIPES) - {"esrgan"}


@pytest.mark.parametrize("method", demo.METHODS)
def test_commands_name_verbs_and_bundled_models(method: str, tmp_path: Path) -> None:
    bundled = {model.name: model.path for model in known_models() if model.path}
    commands = demo.METHODS[method].commands(tmp_path)
    for command in commands:
        assert command[0] in cli.VERBS
        for name in models_of(command):
            assert name in bundled, shlex.join(command)
    assert any(models_of(command) for command in commands)


def test_bundled_models_are_small_and_say_what_they_are_made_of() -> None:
    from ganvas.io.weights import files as weights

    paths = {
        name
        for method in demo.METHODS.values()
        for command in method.commands(Path("x"))
        for name in models_of(command)
    }
    total = 0
    for model in known_models():
        if model.name in paths and model.path:
            card, size = weights.read_card(model.path), model.path.stat().st_size
            assert size <= 8_000_000
            assert "unknown" not in (card.licence, card.data, card.data_licence)
            assert card.purpose and card.origin
            total += size
    assert total <= 40_000_000


def test_a_demo_takes_a_new_folder(tmp_path: Path) -> None:
    folders = [demo._new_folder(tmp_path / "biggan") for _ in range(3)]
    assert [folder.name for folder in folders] == ["biggan", "biggan-2", "biggan-3"]


def test_columns_are_enlarged_to_the_last_and_rows_spread(tmp_path: Path) -> None:
    for name, side in (("small", 4), ("large", 8)):
        (tmp_path / name).mkdir()
        for number in range(8):
            images.write(tmp_path / name / f"{number}.png", np.full((side, side, 3), 10 * number, np.uint8))
    demo._lay_out([tmp_path / "small", tmp_path / "large"], tmp_path / "sheet.png")
    sheet, _ = images.read(tmp_path / "sheet.png")
    times = 4  # a sheet so small is enlarged, and its columns are named above
    assert sheet.shape == (times * demo.ROWS * (8 + demo.GAP_PX) + LINE_PX, times * 2 * (8 + demo.GAP_PX), 3)
    sheet = sheet[LINE_PX::times, ::times]
    assert [int(sheet[row * (8 + demo.GAP_PX), 0, 0]) for row in range(demo.ROWS)] == [0, 20, 40, 60]
    assert np.array_equal(sheet[:8, :8], sheet[:8, 8 + demo.GAP_PX : -demo.GAP_PX])


def test_an_unknown_method_is_told_the_nearest(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["demo", "reverse_match", "--out", str(tmp_path / "d")]) == cli.USAGE
    assert "reverse_matchmove" in capsys.readouterr().err
    assert not (tmp_path / "d").exists()


def test_the_gallery_wants_an_empty_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert cli.main(["gallery", "--out", str(tmp_path)]) == cli.USER_ERROR
    assert "not empty" in capsys.readouterr().err


@pytest.mark.parametrize("method", demo.METHODS)
def test_the_next_command_is_the_methods_own(method: str) -> None:
    words = shlex.split(demo.METHODS[method].next)
    bundled = {model.name for model in known_models() if model.path}
    assert words[0] == "generate" and "--out" in words and {*models_of(words)} - {"YOUR_PICTURES"} <= bundled
    shown = {name for command in demo.METHODS[method].commands(Path("x")) for name in models_of(command)}
    assert {*models_of(words)} & shown


def test_frames_of_one_folder_are_named_by_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "flight").mkdir()
    for number in range(1, 9):
        images.write(tmp_path / "flight" / f"{number:06}.png", np.full((96, 96, 3), 20 * number, np.uint8))
    images.write(tmp_path / "flight" / "shot.trust.png", np.zeros((8, 256, 3), np.uint8))
    demo._lay_out([tmp_path / "flight"], tmp_path / "sheet.png")
    sheet = images.read(tmp_path / "sheet.png")[0]
    named = sheet[LINE_PX:, :96]
    assert sheet.shape[1] > sheet.shape[0] / 4 and all(part.max() > 100 for part in np.array_split(named, 4))
