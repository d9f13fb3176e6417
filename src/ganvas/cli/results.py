"""What `evaluate` prints and writes: tables, JSON, the report page, progress."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganvas.cli import DONE
from ganvas.cli.console import print_columns, print_json
from ganvas.errors import UserError

if TYPE_CHECKING:
    from ganvas.evaluation.results import Confusion, Results

MOST_CLASSES = 16
"""Classes up to which a confusion matrix is printed; the report page and JSON have it whole."""


def print_names() -> int:
    """Print every name of every kind of scores."""
    from ganvas.evaluation.scoring import KINDS

    for name, kind in KINDS.items():
        print(f"{name.ljust(7)}", ", ".join(kind.names()))
    return DONE


def print_results(results: Results, earlier: Mapping[str, Mapping[str, Any]], as_json: bool) -> None:
    """Print results, and on the error stream what could not be scored or compared."""
    from ganvas.evaluation.results import warn_of_differences

    for name, why in results.problems.items():
        print(f"{name}: {why}", file=sys.stderr)
    for warning in warn_of_differences(results.scores, earlier):
        print(f"Warning: {warning}", file=sys.stderr)
    if as_json:
        means = {"means": _means(results)} if results.kind == "pairs" else {}
        print_json({**results.plain(), **means})
        return
    _print_rows(results)
    _print_scores(results, earlier)
    for name, matrix in results.confusions.items():
        _print_confusion(name, matrix)
    for note in results.notes:
        print(f"{note}.")
    if results.kind == "pairs":
        print(f"{results.conditions['crop_px']} px left out at each border; Y as in MATLAB's rgb2ycbcr.")


def _means(results: Results) -> dict[str, float]:
    rows = list(results.rows.values())
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


def _print_rows(results: Results) -> None:
    if not results.rows:
        return
    from ganvas.evaluation.report import counting

    columns = list(next(iter(results.rows.values())))
    width = max(len(name) for name in results.rows)
    widths = [max(12, len(column)) for column in columns]
    print("  ".join(["name".ljust(width), *(column.rjust(size) for column, size in zip(columns, widths))]))
    counts = counting(results.rows)
    for name, row in results.rows.items():
        values = (f"{row[column]:{size}.{0 if column in counts else 4}f}" for column, size in zip(columns, widths))
        print("  ".join([name.ljust(width), *values]))
    print()


def _print_confusion(name: str, matrix: Confusion) -> None:
    if len(matrix.classes) > MOST_CLASSES:
        return
    width = max(map(len, matrix.classes))
    print(f"\n{name}, percent of each row that is taken for each column")
    print(" " * width, *(column[:5].rjust(5) for column in matrix.classes))
    for row, shares in zip(matrix.classes, matrix.shares()):
        print(row.ljust(width), *(f"{100 * share:5.0f}" if share else "    ." for share in shares))
    print()


def _print_scores(results: Results, earlier: Mapping[str, Mapping[str, Any]]) -> None:
    from ganvas.evaluation.report import INTERVALS, interval, number

    lines = [("score", "value", "95 % interval", "better", "hash", *(("earlier",) if earlier else ()))]
    for score in results.scores:
        before = earlier.get(score.name, {})
        comparable = before.get("preprocessing") == score.preprocessing
        then = (number(float(before["value"])) if comparable else "-",) if earlier else ()
        lines.append((score.name, number(score.value), interval(score), score.better, score.preprocessing, *then))
    print_columns(lines)
    print(INTERVALS)


def page_of(results: Results) -> str:
    """Return the report page of results, with the command that repeats them."""
    from ganvas.evaluation.report import page

    return page(results, shlex.join(["ganvas", "evaluate", *_shown_arguments()]))


def write_report(path: Path, text: str, quiet: bool) -> None:
    """Write the report page and say where.

    Raises:
        UserError: its folder does not exist.
    """
    from ganvas.io import runs

    if not path.parent.is_dir():
        raise UserError(f"The folder {path.parent} does not exist", do="Make it, or choose another --report")
    runs.write_atomically(path, text.encode())
    print(f"Report: {path}", file=sys.stderr if quiet else sys.stdout)


def _shown_arguments() -> list[str]:
    """Return the arguments that this program was started with, if it was started as the verb."""
    arguments = sys.argv[1:]
    return arguments[1:] if arguments[:1] == ["evaluate"] else []
