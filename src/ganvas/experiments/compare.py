"""Ablation tables: a recipe trained with equal budgets under different settings and seeds, and what came of it.

Every combination and seed is a run folder of its own. Each result is written as it comes, so that an interrupted
comparison goes on where it stood: finished runs are read, an unfinished one is resumed exactly. What could not be run
says so with its reason, a run that diverged is counted as that, and a difference that a paired t-test over the
seeds does not tell from chance, with Holm's correction over all rows, is called 'no difference seen'.

    OUT/comparison.json     what is compared
    OUT/runs/ROW/seed-0/    the runs
    OUT/results/ROW-0.json  one result each
    OUT/table.md, curves.svg, previews.png
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ganvas import launch
from ganvas.errors import UserError
from ganvas.experiments.comparison import NOT_RUN, Comparison, Result, Row, mean_curve
from ganvas.inference.result import Progress, Reports
from ganvas.io import plots, runs
from ganvas.io.pictures import images
from ganvas.metrics.comparison import number
from ganvas.recipes import base
from ganvas.settings import parse, to_json
from ganvas.training import loop, trainer

PLAN = "comparison.json"
DEFAULTS = {"keep_last": 1, "val": "0.1"}
"""Settings that a comparison has unless it is told others: a score needs pictures that were not trained on."""

Score = Callable[[Path, trainer.Plan], Mapping[str, float]]
"""Scores a finished run from its folder and plan; higher is better, the first decides."""


def parse_vary(texts: Sequence[str]) -> dict[str, list[Any]]:
    """Read `field=a,b,c` (or `field=[...]` as JSON) of the command line.

    Raises:
        UserError: a text has another form.
    """
    found: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals or not name or not values:
            raise UserError(f"--vary {text!r} says nothing", do="Write --vary FIELD=A,B,C")
        given = parse(values) if values.startswith("[") else None
        found[name] = given if isinstance(given, list) else [parse(value) for value in values.split(",")]
    return found


def rows_of(vary: Mapping[str, Sequence[Any]]) -> list[Row]:
    """Return a row for every combination of the varied settings, the first value of each first.

    Raises:
        UserError: a setting has no values.
    """
    for name, values in vary.items():
        if not values:
            raise UserError(f"{name} is to be varied but has no values", do=f"Write {name}=A,B,C")
    last = [name.rpartition(".")[2] for name in vary]
    shown = [short if last.count(short) == 1 else name for name, short in zip(vary, last)]
    return [
        Row(", ".join(f"{name}={_value(value)}" for name, value in zip(shown, values)), dict(zip(vary, values)))
        for values in itertools.product(*vary.values())
    ]


def compare(
    recipe: str,
    data: str | Path = "",
    vary: Mapping[str, Sequence[Any]] | None = None,
    *,
    rows: Mapping[str, Mapping[str, Any]] | None = None,
    seeds: int = 3,
    preset: str = "",
    budget: Mapping[str, Any] | None = None,
    out: str | Path,
    score: Score | None = None,
    reach: float | None = None,
    say: Callable[[str], None] = print,
    progress: Reports | None = None,
) -> Comparison:
    """Train every combination of settings under every seed with an equal budget; return and write the comparison.

    Args:
        recipe: a recipe's name, or the path of a user's own file.
        data: training data; a tenth is held out for the scores unless the budget sets `val`.
        vary: values by dotted name of a setting; every combination is a row.
        rows: settings by name of a row, in place of `vary` or, where both are given, combined with it.
        seeds: runs of each row, with the seeds 0, 1, ...
        preset: what the rows have in common.
        budget: settings that all rows have in common beside the preset: steps, batch size, size.
        out: folder of the comparison; an unfinished one in it is resumed.
        score: scores a finished run; without it the recipe's own last validation scores count.
        reach: value of the first score of which the table tells when it was reached.
        say: told a line for each run.
        progress: told how many of the runs are done.

    Raises:
        UserError: nothing can be run, or `out` holds another comparison.
        Stopped: a signal ended a run after its state was saved; called again, the comparison goes on.
    """
    lines = _rows(vary or {}, rows or {})
    common = {**DEFAULTS, **(budget or {}), **({"data": str(data)} if data else {})}
    _require_apart(lines, common, seeds)
    plans = {
        (row.name, seed): _prepare(recipe, preset, {**common, **row.changes, "seed": seed})
        for seed in range(seeds)
        for row in lines
    }
    refusals = [plan for plan in plans.values() if isinstance(plan, UserError)]
    if len(refusals) == len(plans):
        raise refusals[0]
    folder = _open(Path(out), recipe, preset, common)
    results: list[Result] = []
    report = Progress() if progress is None else progress
    report(0, len(plans))
    for (name, seed), order in plans.items():
        row = next(row for row in lines if row.name == name)
        results.append(_result(folder, row, seed, order, score))
        say(_told(results[-1]))
        write(folder, Comparison(lines, results, reach))
        report(len(results), len(plans))
    return Comparison(lines, results, reach)


def write(folder: Path, comparison: Comparison) -> None:
    """Write table, curves and a sheet of the last previews, one line of pictures for each row of the table."""
    runs.write_atomically(folder / "table.md", comparison.markdown().encode())
    curves = {row.name: mean_curve(comparison.of(row.name)) for row in comparison.rows}
    curves = {name: curve for name, curve in curves.items() if curve[0]}
    if curves:
        name = comparison.score_names[0]
        drawn = plots.curves(curves, f"{name}, mean over seeds", "step")
        runs.write_atomically(folder / "curves.svg", drawn.encode())
    sheet = _sheet([[_preview(folder, row, result.seed) for result in comparison.of(row.name)]
                    for row in comparison.rows])  # fmt: skip
    if sheet is not None:
        images.write(folder / "previews.png", sheet, overwrite=True)


# Running


def _rows(vary: Mapping[str, Sequence[Any]], rows: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    if not vary and not rows:
        raise UserError("There is nothing to compare", do="Vary a setting: --vary adversarial.pairing=plain,average")
    named = [Row(name, dict(changes)) for name, changes in rows.items()] or [Row("", {})]
    varied = rows_of(vary) if vary else [Row("", {})]
    return [
        Row(", ".join(filter(None, (left.name, right.name))), {**left.changes, **right.changes})
        for left in named
        for right in varied
    ]


def _require_apart(rows: Sequence[Row], common: Mapping[str, Any], seeds: int) -> None:
    if seeds < 1:
        raise UserError(f"Nothing can be compared with {seeds} seeds", do="Use 3, or 2 at least to see a spread")
    slugs = [row.slug.lower() for row in rows]
    for row in rows:
        if slugs.count(row.slug.lower()) > 1:
            raise UserError(f"Two rows would be called {row.slug!r}", do="Give each value once")
        both = sorted(set(row.changes) & (set(common) - set(DEFAULTS) | {"seed"}))
        if both:
            raise UserError(f"{both[0]} is varied and fixed at once", "Budgets are equal for all rows", "Drop one")


def _prepare(recipe: str, preset: str, changes: Mapping[str, Any]) -> launch.Order | UserError:
    """Return the order of a run, or why it cannot be one."""
    try:
        order = launch.order(recipe, preset, changes)
        base.find(recipe)(order.settings)
    except UserError as error:
        return error
    return order


def _open(folder: Path, recipe: str, preset: str, common: Mapping[str, Any]) -> Path:
    plan = json.loads(json.dumps({"recipe": recipe, "preset": preset, "budget": to_json(common)}))
    if (folder / PLAN).is_file():
        before = runs.read_json(folder / PLAN)
        other = [f"{key} was {before.get(key)}, is {plan[key]}" for key in plan if before.get(key) != plan[key]]
        if other:
            raise UserError(f"{folder} holds another comparison", "; ".join(other), "Choose another --out")
        return folder
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is not empty and holds no comparison", do="Choose another --out")
    try:
        (folder / "results").mkdir(parents=True)
    except OSError as error:
        raise UserError(f"Cannot write to {folder}", error.strerror or str(error), "Choose another --out") from error
    runs.write_json(folder / PLAN, plan)
    return folder


def _result(folder: Path, row: Row, seed: int, order: launch.Order | UserError, score: Score | None) -> Result:
    path = folder / "results" / f"{row.slug}-{seed}.json"
    if isinstance(order, UserError):
        return Result(row.name, seed, NOT_RUN, str(order))
    settings = json.loads(json.dumps(to_json(order.settings)))
    if path.is_file() and (kept := runs.read_json(path))["settings"] == settings:
        return Result(**kept["result"])
    result = _run(_run_folder(folder, row, seed), row.name, seed, order, score)
    # What did not run is tried again the next time: its reason may have gone by then.
    if result.status != NOT_RUN:
        runs.write_json(path, {"result": vars(result), "changes": dict(row.changes), "settings": settings})
    return result


def _run(run: Path, row: str, seed: int, order: launch.Order, score: Score | None) -> Result:
    try:
        plan = launch.plan(order)
    except UserError as error:
        return Result(row, seed, NOT_RUN, str(error))
    try:
        if runs.is_run(run):
            loop.resume(plan, run, quiet=True)
        else:
            run.parent.mkdir(parents=True, exist_ok=True)
            loop.train(plan, run, quiet=True)
        return _finished(run, row, seed, score(run, plan) if score else None)
    except UserError as error:
        trips = list(_trips(run))
        if trips:
            return Result(row, seed, "diverged", str(error), trips=len(trips), **_spent(run))
        return Result(row, seed, NOT_RUN, str(error))
    except loop.Stopped:
        raise
    except Exception as error:
        # A defect in one row must not cost the hours of all others; it is named in the table and tried again.
        return Result(row, seed, NOT_RUN, f"unexpected {type(error).__name__}: {error}")


def _finished(run: Path, row: str, seed: int, scores: Mapping[str, float] | None) -> Result:
    logged = [(entry["step"], entry["scores"]) for entry in runs.read_log(run) if "scores" in entry]
    if scores is None:
        scores = logged[-1][1] if logged else {}
    if not scores:
        why = "The recipe scores nothing" if not logged else "Its scores are empty"
        return Result(row, seed, NOT_RUN, f"{why}: there is nothing to compare by")
    first = next(iter(scores))
    trips = len(list(_trips(run)))
    if not math.isfinite(scores[first]):
        return Result(row, seed, "diverged", f"{first} is {scores[first]}", trips=trips, **_spent(run))
    # Lists, as JSON gives them back: a result that was read equals the one that was written.
    curve = [[step, float(values[first])] for step, values in logged if first in values]
    return Result(row, seed, "done", "", dict(scores), curve, trips, **_spent(run))


def _trips(run: Path) -> Iterator[dict[str, Any]]:
    return (entry["sentinel"] for entry in runs.read_log(run) if "sentinel" in entry)


def _spent(run: Path) -> dict[str, Any]:
    """Return the steps of a run and the seconds that its steps took, interruptions left out."""
    last, seconds = 0, 0.0
    for entry in runs.read_log(run):
        if "seconds_a_step" in entry:
            seconds += entry["seconds_a_step"] * (entry["step"] - last)
            last = entry["step"]
    return {"steps": last, "seconds": round(seconds, 2)}


# Telling


def _told(result: Result) -> str:
    scores = ", ".join(f"{name} {number(value)}" for name, value in result.scores.items())
    return f"{result.row}, seed {result.seed}: {scores or f'{result.status} ({result.reason})'}"


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _run_folder(folder: Path, row: Row, seed: int) -> Path:
    return folder / "runs" / row.slug / f"seed-{seed}"


def _preview(folder: Path, row: Row, seed: int) -> np.ndarray | None:
    path = _run_folder(folder, row, seed) / "latest.png"
    return images.read(path)[0] if path.is_file() else None


def _sheet(lines: Sequence[Sequence[np.ndarray | None]], gap: int = 8) -> np.ndarray | None:
    """Return pictures as one, a line for each row; what is missing stays gray."""
    present = [picture for line in lines for picture in line if picture is not None]
    if not present:
        return None
    height, width = (max(picture.shape[axis] for picture in present) for axis in (0, 1))
    columns = max(len(line) for line in lines)
    size = (len(lines) * (height + gap) - gap, columns * (width + gap) - gap, 3)
    sheet = np.full(size, 200, np.uint8)
    for y, line in enumerate(lines):
        for x, picture in enumerate(line):
            if picture is not None:
                top, left = y * (height + gap), x * (width + gap)
                sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return sheet
