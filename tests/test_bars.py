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
