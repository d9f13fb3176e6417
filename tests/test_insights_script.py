"""scripts/insights.py: every claim can be trained, its line tells both rows and the verdict."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganvas import launch
from ganvas.experiments.comparison import Comparison, Result, Row
from ganvas.recipes import base

SCRIPT = Path(__file__).parents[1] / "scripts" / "insights.py"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    spec = importlib.util.spec_from_file_location("insights_script", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name.
    monkeypatch.setitem(sys.modules, "insights_script", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "PLACE", tmp_path / "insights")
    return module


def test_the_rows_of_a_claim_differ_and_all_can_be_ordered(script: Any) -> None:
    for name, claim in script.CLAIMS.items():
        assert len(claim.rows) >= 2, name
        # A comparison refuses what is varied and fixed at once.
        assert not {key for row in claim.rows.values() for key in row} & {*script.TINY, *claim.budget}, name
        orders = [
            launch.order(claim.recipe, claim.preset, {**script.TINY, **claim.budget, **row})
            for row in claim.rows.values()
        ]
        assert all(one.settings != orders[0].settings for one in orders[1:]), name
        steps = [sum(stage.steps for stage in base.find(claim.recipe)(one.settings).stages()) for one in orders]
        assert len(set(steps)) == 1, (name, steps)


def test_a_claim_is_trained_gone_on_with_and_told_in_one_line(script: Any) -> None:
    fewer = {"steps": 2, "batch_size": 2, "width": 4}
    comparison = script.measure("relativistic", 2, fewer)
    assert [result.status for result in comparison.results] == ["done"] * 4
    text = script.line("relativistic", comparison)
    assert text.startswith("| `relativistic` |") and "RaLSGAN" in text and "least squares" in text
    trained = sorted((script.PLACE / "relativistic").rglob("log.jsonl"))
    before = [path.stat().st_mtime_ns for path in trained]
    assert script.line("relativistic", script.measure("relativistic", 2, fewer)) == text
    assert [path.stat().st_mtime_ns for path in trained] == before and len(before) == 4


def test_lost_runs_are_counted_and_a_clear_difference_is_told(script: Any) -> None:
    rows = [Row(name, {}) for name in script.CLAIMS["stability-rate"].rows]
    results = [
        Result(row=row.name, seed=seed, status="done", scores={"quality": at + 0.01 * seed})
        for row, at in zip(rows, (0.2, 0.8))
        for seed in range(3)
    ]
    found = script.line("stability-rate", Comparison(rows, results, None))
    assert "least squares 0.21; RaLSGAN 0.81" in found and "better by 0.6" in found
    lost = Result(row=rows[0].name, seed=3, status="diverged", scores={})
    assert "(1 of 4 lost)" in script.line("stability-rate", Comparison(rows, [*results, lost], None))


def test_a_figure_shows_the_corner_of_each_preview_in_its_place(script: Any) -> None:
    previews = np.random.default_rng(0).integers(0, 255, (2, 3, 20, 30, 3), np.uint8)
    sheet = np.full((2 * 28 - 8, 3 * 38 - 8, 3), 200, np.uint8)
    for row in range(2):
        for seed in range(3):
            sheet[28 * row : 28 * row + 20, 38 * seed : 38 * seed + 30] = previews[row, seed]
    cut = script.figure(sheet, 2, 3, (10, 5))
    assert cut.shape == (2 * 13 - 8, 3 * 18 - 8, 3)
    assert np.array_equal(cut[13:18, 36:46], previews[1, 2, :5, :10])
    assert (cut[5:13] == 255).all()
    # A preview that is smaller than what may be shown is shown whole.
    assert np.array_equal(script.figure(sheet, 2, 3, (99, 99))[:20, :30], previews[0, 0])
