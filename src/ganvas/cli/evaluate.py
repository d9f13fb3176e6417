"""The verb `evaluate`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from ganvas.cli import DONE
from ganvas.cli.arguments import Printing
from ganvas.cli.console import Console
from ganvas.errors import UsageError
from ganvas.evaluation.options import Options
from ganvas.inference.options import part

if TYPE_CHECKING:
    from ganvas.evaluation.results import Results


@dataclass(frozen=True, kw_only=True)
class Asked(Options):
    """What is scored, and what becomes of the numbers."""

    model: Positional[Path | None] = None
    """The same as --fake: `ganvas evaluate RUN --per-class`."""
    json: bool = False
    """Print JSON."""
    quiet: bool = False
    """Print only errors; with --report the page has the numbers."""
    report: Path | None = None
    """Write a page with numbers and pictures to this .html file."""
    against: Path | None = None
    """An earlier result, as --json prints it: differences are printed, and what is not comparable is said."""


def evaluate(asked: Asked) -> int:
    """Score pictures against truth, sets, classes, clips, results of label maps, or views of cameras.

    A run or weight file in the place of results generates them itself. Each number is printed with its interval of 95 %
    where there is one, and with a hash of how the pictures reached it: numbers of different hashes are
    not comparable. Only the features of FID's Inception give FID; without its weights a distance is called by the
    network that it was measured with.
    """
    from ganvas.cli.results import page_of, print_names, print_results, write_report
    from ganvas.evaluation.scoring import score

    if asked.scores == "list":
        return print_names()
    if asked.model and asked.fake:
        what = f"{asked.model} and --fake {asked.fake} are given at once"
        raise UsageError(what, "Both name what is scored", "Give one of them")
    report = asked.report
    if report and report.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--report {report} is no page", do="Name a file that ends in .html")
    earlier = _earlier(asked.against)
    options = replace(part(asked, Options), fake=asked.model or asked.fake)
    pages: list[str] = []

    def write_page(results: Results) -> None:
        pages.append(page_of(results) if report else "")

    with Console(Printing(quiet=asked.json or asked.quiet)) as console:
        results = score(options, console.progress, write_page)
    if not asked.quiet:
        print_results(results, earlier, asked.json)
    if report:
        write_report(report, pages[0], asked.json or asked.quiet)
    return DONE


def _earlier(path: Path | None) -> dict[str, dict[str, Any]]:
    from ganvas.io import runs

    return dict(runs.read_json(path).get("scores", {})) if path else {}
