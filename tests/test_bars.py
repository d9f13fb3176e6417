"""Whoever waits sees how far the work is: verbs report what is done and how much there is."""

from __future__ import annotations

import numpy as np
import pytest

from ganvas import cli
from ganvas.cli import console
from ganvas.io.pictures import images


@pytest.fixture
def moves(monkeypatch):
    """Every move of a bar, as if somebody watched."""
    seen: list[tuple[str, int, int | None]] = []
    monkeypatch.setattr(console.Bar, "move", lambda self, name, done, total: seen.append((name, done, total)))
    return seen


def shares(moves, name):
    return [(done, total) for moved, done, total in moves if moved == name]


def test_reading_label_maps_is_reported(tmp_path, moves):
    street = ["world", "--out", str(tmp_path / "street"), "--frames", "3", "--size", "64x32"]
    assert cli.main(street) == cli.DONE
    assert shares(moves, "frames")[-1] == (3, 3)
    assert cli.main(["inspect", str(tmp_path / "street")]) == cli.DONE
    assert shares(moves, "label maps") == [(0, 3), (1, 3), (2, 3)]


def test_a_sheet_and_its_neighbours_are_reported(tmp_path, moves):
    sheet = ["generate", "fashion", "--seeds", "0-19", "--grid", "--out", str(tmp_path / "sheet.png"), "--quiet"]
    assert cli.main(sheet) == cli.DONE
    assert shares(moves, "pictures") == [(0, 20), (16, 20)]
    moves.clear()
    for number in range(20):
        values = np.full((32, 32, 3), number, np.uint8)
        (tmp_path / "data" / "boot").mkdir(parents=True, exist_ok=True)
        images.write(tmp_path / "data" / "boot" / f"{number}.png", values)
    asked = ["--data", str(tmp_path / "data"), "--num", "16", "--out", str(tmp_path / "near.png"), "--quiet"]
    assert cli.main(["neighbours", "fashion", *asked]) == cli.DONE
    assert shares(moves, "pictures")[-1] == (20, 20) and shares(moves, "samples")


def test_reading_pictures_is_reported(tmp_path, moves):
    (tmp_path / "photographs").mkdir()
    for number in range(3):
        images.write(tmp_path / "photographs" / f"{number}.png", np.full((8, 8, 3), number, np.uint8))
    assert cli.main(["inspect", str(tmp_path / "photographs")]) == cli.DONE
    assert shares(moves, "pictures") == [(1, 3), (2, 3), (3, 3)]


def test_a_demo_and_an_export_are_reported(tmp_path, moves):
    assert cli.main(["demo", "--out", str(tmp_path / "demo")]) == cli.DONE
    done, total = shares(moves, "photograph")[-1]
    assert total and done == total
    asked = ["export", "compact-x2", "--out", str(tmp_path / "net"), "--format", "torchscript"]
    assert cli.main(asked) == cli.DONE
    assert shares(moves, "export") == [(step, 4) for step in range(5)]


def test_drawing_says_what_it_does_where_nobody_sees_a_bar(tmp_path, capsys):
    assert cli.main(["world", "--out", str(tmp_path / "street"), "--frames", "2", "--size", "64x32"]) == cli.DONE
    assert "Drawing 2 frames of 64 x 32 px" in capsys.readouterr().err
    asked = ["world", "--out", str(tmp_path / "quiet"), "--frames", "2", "--size", "64x32", "--quiet"]
    assert cli.main(asked) == cli.DONE
    assert not capsys.readouterr().err
