"""The results of a comparison and the tables that are made of them: words where numbers would say too much."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ganvas.metrics.comparison import differences, number
from ganvas.metrics.students import LEVEL

NOT_RUN = "not run"


@dataclass(frozen=True)
class Row:
    """One line of the table: settings that differ from the preset and the budget."""

    name: str
    changes: Mapping[str, Any]

    @property
    def slug(self) -> str:
        """The name as a file name."""
        return re.sub(r"[^\w.=+-]+", "_", self.name).strip("_") or "row"


@dataclass(frozen=True)
class Result:
    """What came of one row under one seed."""

    row: str
    seed: int
    status: Literal["done", "diverged", "not run"]
    reason: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    curve: Sequence[Sequence[float]] = field(default_factory=list)
    """Step and first score of every validation."""
    trips: int = 0
    """Times that the sentinel went off."""
    steps: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Comparison:
    """The results of a comparison, and the tables made of them."""

    rows: Sequence[Row]
    results: Sequence[Result]
    reach: float | None = None
    """A value of the first score; the table tells after how many steps it was first reached."""

    def of(self, row: str) -> list[Result]:
        """Return the results of a row by seed."""
        return sorted((result for result in self.results if result.row == row), key=lambda result: result.seed)

    def scores(self, row: str, name: str) -> list[float]:
        """Return a score of each finished run of a row."""
        return [
            float(result.scores[name]) for result in self.of(row) if result.status == "done" and name in result.scores
        ]

    @property
    def score_names(self) -> list[str]:
        """Names of the scores; the first decides."""
        return list(next((result.scores for result in self.results if result.scores), {}))

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return heads and cells. Spread is the largest minus the smallest over seeds."""
        names = self.score_names
        first, others = names[0] if names else "score", names[1:5]
        heads = ["row", f"{first}: mean", "worst", "spread", "against the first row", *others]
        if self.reach is not None:
            heads.append(f"steps to {self.reach:g}")
        heads += ["seconds a run", "runs"]
        against = self.verdicts(first)
        return heads, [self._cells(row, first, others, said) for row, said in zip(self.rows, against)]

    def verdicts(self, name: str) -> list[str]:
        """Return for each row how its score differs from the first row's, all of them tested together."""
        base = self.by_seed(self.rows[0].name, name) if self.rows else {}
        found = [self.by_seed(row.name, name) for row in self.rows[1:]]
        pairs = [[mine[seed] - base[seed] for seed in sorted(mine.keys() & base.keys())] for mine in found]
        said = differences(pairs)
        return ["", *(text if mine and base else "" for text, mine in zip(said, found))]

    def by_seed(self, row: str, name: str) -> dict[int, float]:
        """Return a score of each finished run of a row by its seed."""
        return {
            result.seed: float(result.scores[name])
            for result in self.of(row)
            if result.status == "done" and name in result.scores
        }

    def _cells(self, row: Row, first: str, others: Sequence[str], against: str) -> list[str]:
        values = self.scores(row.name, first)
        mine = self.of(row.name)
        cells = [row.name]
        if values:
            cells += [number(statistics.fmean(values)), number(min(values)), _spread_text(values), against]
            cells += [self._other(row, name) for name in others]
        else:
            cells += [_nothing(mine)] + [""] * (3 + len(others))
        if self.reach is not None:
            cells.append(_reached(mine, self.reach))
        ran = [result.seconds for result in mine if result.status != "not run"]
        cells += [number(statistics.fmean(ran)) if ran else "", _tally(mine)]
        return cells

    def _other(self, row: Row, name: str) -> str:
        """Return the mean of a score that does not decide; it is not tested, so that it costs the first no power."""
        values = self.scores(row.name, name)
        return number(statistics.fmean(values)) if values else ""

    def rule(self) -> str:
        """Return the sentence that says how rows are told apart."""
        tests = len(self.rows) - 1
        many = f", with Holm's correction over the {tests} rows" if tests > 1 else ""
        return (
            f"Rows are told from the first by a paired t-test over the seeds{many}: equal rows are told apart in at "
            f"most {LEVEL:.0%} of tables. +- is the 95 % interval of one difference by itself."
        )

    def markdown(self) -> str:
        """Return the table as Markdown, with the reasons of what did not run below it."""
        heads, cells = self.table()
        lines = ["| " + " | ".join(line) + " |" for line in [heads, ["---"] * len(heads), *cells]]
        return "\n".join([*lines, "", self.rule(), *_below(self.results)]) + "\n"

    def text(self) -> str:
        """Return the table for a terminal."""
        heads, cells = self.table()
        widths = [max(len(line[place]) for line in [heads, *cells]) for place in range(len(heads))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in [heads, *cells]]
        return "\n".join(
            [lines[0], "  ".join("-" * width for width in widths), *lines[1:], "", self.rule(), *_below(self.results)]
        )


def _spread_text(values: Sequence[float]) -> str:
    return number(max(values) - min(values)) if len(values) > 1 else ""


def _nothing(results: Sequence[Result]) -> str:
    return "diverged" if any(result.status == "diverged" for result in results) else NOT_RUN


def _tally(results: Sequence[Result]) -> str:
    counts = {status: sum(result.status == status for result in results) for status in ("done", "diverged", NOT_RUN)}
    parts = [f"{count} {status}" for status, count in counts.items() if count]
    trips = sum(result.trips for result in results if result.status == "done")
    return ", ".join([*parts, *([f"{trips} rollbacks"] if trips else [])])


def _reached(results: Sequence[Result], value: float) -> str:
    firsts = [next((step for step, score in result.curve if score >= value), None) for result in results]
    found = [step for step in firsts if step is not None]
    if not found:
        return "never" if any(result.status != NOT_RUN for result in results) else ""
    return f"{statistics.median(found):g}" + (f" ({len(found)} of {len(results)})" if len(found) < len(results) else "")


def _below(results: Sequence[Result]) -> list[str]:
    """Return why rows did not run or diverged, each reason once."""
    reasons = {
        f"{result.row}: {result.status}: {' '.join(result.reason.split())}"
        for result in results
        if result.status != "done"
    }
    return ["", *sorted(reasons)] if reasons else []


def mean_curve(results: Sequence[Result]) -> tuple[list[float], list[float]]:
    by_step: dict[float, list[float]] = {}
    for result in results:
        for step, value in result.curve:
            by_step.setdefault(step, []).append(value)
    return sorted(by_step), [statistics.fmean(by_step[step]) for step in sorted(by_step)]
