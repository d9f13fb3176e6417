"""The comparison: its words and tables on made-up results, and a whole one on the tiny recipe, killed on the way."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from ganvas.errors import UserError
from ganvas.experiments import compare as engine
from ganvas.experiments.compare import compare, parse_vary, rows_of
from ganvas.experiments.comparison import NOT_RUN, Comparison, Result, Row
from ganvas.io import runs
from ganvas.io.pictures import images
from ganvas.metrics.comparison import NO_DIFFERENCE, differences, verdict

RECIPE = Path(__file__).parents[1] / "tiny_recipe.py"
BUDGET = {"first_steps": 1, "second_steps": 1, "samples": 6, "checkpoint_every": 1, "val": "0.34", "workers": 1}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# Words and tables


@pytest.mark.parametrize(
    ("values", "baseline", "expected"),
    [
        ([1.375, 1.125], [1.5, 1.25], "worse by 0.125 +- 0"),  # the same difference under both seeds, to the last bit
        ([2.0, 2.2], [1.1, 1.5], NO_DIFFERENCE),  # two seeds tell little
        ([2.0, 2.1, 2.2, 2.3], [1.1, 1.3, 1.2, 1.4], "better by 0.9 +- 0.13"),
        ([1.1, 1.3, 1.2, 1.4], [2.0, 2.1, 2.2, 2.3], "worse by 0.9 +- 0.13"),
        ([1.0, 1.1, 1.0], [2.0, 4.0, 1.0], NO_DIFFERENCE),
        ([1.0, 1.0], [1.0, 1.0], NO_DIFFERENCE),
        ([1.0], [2.0, 2.1], "cannot tell from one run"),
        ([], [1.0, 2.0], ""),
    ],
)
def test_a_difference_counts_only_beyond_chance(values, baseline, expected):
    assert verdict(values, baseline) == expected


def told_apart(seeds, tables, rows=12, shift=0.0):
    """Return the shares of tables, all but the second row equal, in which the second and in which any row is told."""
    random = np.random.default_rng([seeds, rows])
    second = anyone = 0
    for _ in range(tables):
        scores = random.standard_normal((rows, seeds))
        scores[1] += shift
        said = differences((scores[1:] - scores[0]).tolist())
        second += said[0] != NO_DIFFERENCE
        anyone += any(text != NO_DIFFERENCE for text in said)
    return second / tables, anyone / tables


@pytest.mark.parametrize("rows", [2, 12])
def test_equal_rows_are_told_apart_in_at_most_five_percent_of_tables(rows):
    tables = 150
    shares = [told_apart(seeds, tables, rows)[1] for seeds in range(2, 21)]
    # Above 5 % by four standard errors of one number of seeds, and by three of all of them together.
    assert max(shares) <= 0.05 + 4 * (0.05 * 0.95 / tables) ** 0.5
    assert sum(shares) / len(shares) <= 0.05 + 3 * (0.05 * 0.95 / (tables * len(shares))) ** 0.5


def test_a_true_difference_is_found_the_more_often_the_more_seeds_there_are():
    found = [told_apart(seeds, 300, rows=2, shift=2.0)[0] for seeds in (2, 3, 5, 10, 20)]
    assert found == sorted(found) and found[0] < 0.3 and found[-2] > 0.93 and found[-1] > 0.99


def test_seeds_are_paired_by_number_and_rows_corrected_together():
    rows = [Row(name, {}) for name in "abc"]
    values = {"a": {0: 1.0, 1: 5.0, 2: 9.0}, "b": {0: 2.0, 1: 6.0, 2: 10.01}, "c": {1: 5.5, 2: 9.3, 7: 0.0}}
    results = [result(row, seed, score) for row, scores in values.items() for seed, score in scores.items()]
    said = Comparison(rows, results).verdicts("score")
    assert said[0] == "" and said[1].startswith("better by 1.003 +- ") and said[2] == NO_DIFFERENCE
    text = Comparison(rows, results).text()
    assert "paired t-test over the seeds, with Holm's correction over the 2 rows" in text


def result(row, seed, score=None, **details):
    status = details.pop("status", "done")
    scores = {} if score is None else {"score": score, "other": 10 * score}
    return Result(row, seed, status, scores=scores, **details)


def test_the_table_tells_means_worst_spread_divergence_and_what_did_not_run():
    rows = [Row(name, {}) for name in ("plain", "average", "broken", "unstable")]
    results = [
        result("plain", 0, 1.0, curve=[(10, 0.5), (20, 1.0)], seconds=4.0),
        result("plain", 1, 2.0, curve=[(10, 0.9), (20, 2.0)], seconds=6.0),
        result("average", 0, 5.0, curve=[(10, 3.0)], seconds=1.0, trips=2),
        result("average", 1, 6.0, curve=[(10, 4.0)], seconds=1.0),
        result("broken", 0, status=NOT_RUN, reason="The pairing is\nunknown."),
        result("broken", 1, status=NOT_RUN, reason="The pairing is unknown."),
        result("unstable", 0, status="diverged", reason="NaN", trips=9, seconds=2.0),
        result("unstable", 1, 1.5, curve=[(10, 1.5)], seconds=2.0),
    ]
    heads, cells = Comparison(rows, results, reach=0.95).table()
    table = {line[0]: dict(zip(heads, line)) for line in cells}
    first = "score: mean"
    assert (table["plain"][first], table["plain"]["worst"], table["plain"]["spread"]) == ("1.5", "1", "1")
    assert table["plain"]["other"] == "15" and table["plain"]["seconds a run"] == "5"
    assert table["average"]["against the first row"] == "better by 4 +- 0"
    assert table["average"]["other"] == "55" and table["unstable"]["other"] == "15"
    assert table["average"]["runs"] == "2 done, 2 rollbacks"
    assert table["broken"][first] == NOT_RUN and table["broken"]["runs"] == "2 not run"
    assert table["unstable"]["runs"] == "1 done, 1 diverged"
    assert table["unstable"]["against the first row"] == "cannot tell from one run"
    steps = "steps to 0.95"
    assert (table["plain"][steps], table["unstable"][steps], table["broken"][steps]) == ("20", "10 (1 of 2)", "")
    markdown = Comparison(rows, results).markdown()
    assert markdown.count("broken: not run: The pairing is unknown.") == 1 and "unstable: diverged: NaN" in markdown
    # Every line of the table has as many cells.
    assert len({line.count("|") for line in markdown.splitlines() if line.startswith("|")}) == 1
    assert NOT_RUN in Comparison(rows, results).text()


def test_every_combination_is_a_row_named_by_what_differs():
    rows = rows_of({"adversarial.base": ["standard", "hinge"], "penalty_weight": [0.1, 10], "mirror": [True]})
    assert [row.name for row in rows][:2] == [
        "base=standard, penalty_weight=0.1, mirror=true",
        "base=standard, penalty_weight=10, mirror=true",
    ]
    assert len(rows) == 4 and rows[3].changes == {"adversarial.base": "hinge", "penalty_weight": 10, "mirror": True}
    assert len({row.slug for row in rows}) == 4 and "/" not in rows[0].slug


def test_vary_is_read_as_numbers_words_and_lists():
    assert parse_vary(["a.b=plain,average", "rate=1e-4,2"]) == {"a.b": ["plain", "average"], "rate": [1e-4, 2]}
    assert parse_vary(["betas=[[0.5, 0.9], [0, 0.99]]"]) == {"betas": [[0.5, 0.9], [0, 0.99]]}
    with pytest.raises(UserError, match="FIELD=A,B,C"):
        parse_vary(["rate"])


# A whole comparison


class Crash(BaseException):
    """Stands for a kill."""


def test_a_comparison_killed_on_the_way_goes_on_where_it_stood(tmp_path, monkeypatch):
    out, told, vary = tmp_path / "out", [], {"rate": [1e-2, 1e-3]}

    def run(seeds=2):
        return compare(str(RECIPE), "none", vary, seeds=seeds, budget=BUDGET, out=out, say=told.append)

    played, play = [], engine._run
    monkeypatch.setattr(engine, "_run", lambda folder, *rest: played.append(folder) or play(folder, *rest))
    with monkeypatch.context() as patch:
        _crash_in_run(patch, played, number=3, step=1)
        with pytest.raises(Crash):
            run()
    assert len(told) == 2 and len(played) == 3
    kept = {path.name: path.read_bytes() for path in (out / "results").iterdir()}
    assert len(kept) == 2 and "| rate=0.01 |" in (out / "table.md").read_text()

    played.clear()
    comparison = run()
    # Two were read, one was resumed from its checkpoint, one was begun.
    assert len(played) == 2
    assert {name: (out / "results" / name).read_bytes() for name in kept} == kept
    steps = [entry["step"] for entry in runs.read_log(played[0]) if "losses" in entry]
    assert steps == [1, 2]
    assert [result.status for result in comparison.results] == ["done"] * 4
    assert comparison.score_names == ["minus_l1"]
    assert all(result.curve and result.steps == 2 and result.seconds > 0 for result in comparison.results)
    # Budgets are equal, seeds and rows are not.
    scores = [result.scores["minus_l1"] for result in comparison.results]
    assert len(set(scores)) == 4
    sheet = images.read(out / "previews.png")[0]
    one = images.read(played[0] / "latest.png")[0]
    assert sheet.shape[0] == 2 * one.shape[0] + 8 and sheet.shape[1] == 2 * one.shape[1] + 8
    assert (out / "curves.svg").read_text().startswith("<svg")

    played.clear()
    assert run().results == comparison.results and not played
    assert len(run(seeds=1).results) == 2 and not played
    with pytest.raises(UserError, match="another comparison"):
        compare(str(RECIPE), "none", vary, seeds=1, budget={**BUDGET, "samples": 8}, out=out, say=told.append)


def _crash_in_run(patch, played, number, step):
    """Kill the process, as it were, in a step of the comparison's run of that number; rehearsals play only step 0."""
    recipe = engine.base.find(str(RECIPE))
    original = recipe.generator_losses

    def losses(self, nets, batch, outputs, carry, context):
        if len(played) == number and context.step == step:
            raise Crash
        return original(self, nets, batch, outputs, carry, context)

    # A user's file is imported anew each time it is named.
    patch.setattr(recipe, "generator_losses", losses)
    patch.setattr(engine.base, "find", lambda name: recipe)


def test_what_cannot_run_says_why_and_what_diverges_is_counted(tmp_path):
    rows = {"sound": {}, "bad rate": {"rate": "fast"}, "collapses": {"nan_at": 1}}
    out, told = tmp_path / "out", []
    budget = {**BUDGET, "sentinel": "stop"}
    moves: list[tuple[int, int]] = []

    def move(done, total):
        moves.append((done, total))

    found = compare(str(RECIPE), "none", rows=rows, seeds=1, budget=budget, out=out, say=told.append, progress=move)
    assert moves == [(0, 3), (1, 3), (2, 3), (3, 3)]
    by_row = {result.row: result for result in found.results}
    assert by_row["sound"].status == "done"
    assert by_row["bad rate"].status == NOT_RUN and "rate" in by_row["bad rate"].reason
    assert by_row["collapses"].status == "diverged" and by_row["collapses"].trips >= 1
    assert any(NOT_RUN in line for line in told)
    # A refusal is no result: the next time it is tried again.
    names = sorted(path.name for path in (out / "results").iterdir())
    assert names == ["collapses-0.json", "sound-0.json"]
    again = compare(str(RECIPE), "none", rows=rows, seeds=1, budget=budget, out=out, say=told.append)
    assert again.results == found.results


def test_a_stop_by_signal_stops_the_comparison_and_a_defect_does_not(tmp_path, monkeypatch):
    def run(error):
        def train(*given, **named):
            raise error

        monkeypatch.setattr(engine.loop, "train", train)
        return compare(str(RECIPE), "none", {"rate": [0.1]}, seeds=1, budget=BUDGET, out=tmp_path / "out", say=print)

    with pytest.raises(engine.loop.Stopped):
        run(engine.loop.Stopped("run"))
    assert "KeyError" in run(KeyError("oops")).results[0].reason
    assert not list((tmp_path / "out" / "results").iterdir())


def test_a_score_of_ones_own_decides(tmp_path):
    def count(run, plan):
        return {"lines": float(len(list(runs.read_log(run)))), "samples": float(len(plan.train))}

    found = compare(str(RECIPE), "none", {"rate": [1e-2]}, seeds=1, budget=BUDGET, out=tmp_path / "out", score=count,
                    say=lambda text: None)  # fmt: skip
    assert found.score_names == ["lines", "samples"] and found.results[0].scores["samples"] == 4
    noted = json.loads((tmp_path / "out" / "results" / "rate=0.01-0.json").read_text())
    assert noted["changes"] == {"rate": 1e-2} and noted["settings"]["first_steps"] == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"vary": {}}, "nothing to compare"),
        ({"vary": {"rat": [1]}}, "rate"),
        ({"vary": {"rate": [0.1, 0.1]}}, "Two rows"),
        ({"vary": {"first_steps": [1, 2]}}, "varied and fixed"),
        ({"vary": {"rate": []}}, "no values"),
        ({"vary": {"rate": [0.1]}, "seeds": 0}, "0 seeds"),
        ({"recipe": "esrgn", "vary": {"rate": [0.1]}}, "esrgan"),
    ],
)
def test_what_cannot_be_compared_is_refused_and_nothing_is_written(tmp_path, arguments, text):
    given = {"recipe": str(RECIPE), "budget": BUDGET, "out": tmp_path / "out", "say": print, **arguments}
    with pytest.raises(UserError, match=text):
        compare(given.pop("recipe"), "none", **given)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        compare(str(RECIPE), "none", {"rate": [0.1]}, seeds=1, budget=BUDGET, out=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt"]
