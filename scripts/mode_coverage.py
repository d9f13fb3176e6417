"""Mode coverage of eight named losses: an 8-ring, a 25-grid and 1000 stacked digits, three seeds each.

    python scripts/mode_coverage.py                        # everything; an interrupted run goes on where it stood
    python scripts/mode_coverage.py --losses hinge --suites ring --seeds 1

Writes the tables between the markers of docs/measured/losses.md when nothing was left out.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ganvas.experiments.compare import compare
from ganvas.experiments.comparison import Comparison, Result

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "scripts" / "points_recipe.py"
PAGE = ROOT / "docs" / "measured" / "losses.md"
BEGIN, END = "<!-- mode coverage: begin -->", "<!-- mode coverage: end -->"
MODES = {"ring": 8, "grid": 25, "stacked_digits": 1000}
TITLES = {
    "ring": "Ring of 8 (radius 1, sigma 0.01)",
    "grid": "Grid of 25 (spacing 2, sigma 0.05)",
    "stacked_digits": "Stacked digits (1000 modes)",
}


def _loss(base: str, pairing: str = "plain", **more: Any) -> dict[str, Any]:
    return {"adversarial.base": base, "adversarial.pairing": pairing, **more}


LOSSES: dict[str, dict[str, Any]] = {
    "standard": _loss("standard"),
    "least squares": _loss("least_squares"),
    "hinge": _loss("hinge"),
    "Wasserstein, gradient penalty": _loss("wasserstein", penalty="gradient_penalty", penalty_weight=1.0),
    "standard, average (RaSGAN)": _loss("standard", "average"),
    "least squares, average (RaLSGAN)": _loss("least_squares", "average"),
    "hinge, average (RaHinge)": _loss("hinge", "average"),
    "standard, paired, R1 + R2 (as R3GAN)": _loss("standard", "paired", penalty="r1_r2", penalty_weight=0.1),
}
"""All with one step of D for one of G; the penalties' weights are for coordinates of about 1, not for pictures."""


def measure(suite: str, losses: Mapping[str, Mapping[str, Any]], seeds: int, out: Path) -> Comparison:
    """Train every loss on one distribution and return the comparison."""
    # As the user would name it, so that a comparison can be resumed from another copy of the repository.
    recipe = str(RECIPE.relative_to(Path.cwd())) if RECIPE.is_relative_to(Path.cwd()) else str(RECIPE)
    return compare(recipe, rows=losses, seeds=seeds, preset=suite, budget={"val": suite}, out=out / suite)


def table(suite: str, comparison: Comparison) -> str:
    """Return a suite's table: modes, divergence, quality and seconds, mean over seeds with the worst in brackets."""
    has_quality = "quality" in comparison.score_names
    heads = ["loss", f"modes of {MODES[suite]} (worst)", "KL in nats (worst)"]
    heads += ["good samples"] if has_quality else []
    heads += ["seconds a seed", "runs"]
    lines = [heads, ["---"] * len(heads)]
    for row in comparison.rows:
        results = comparison.of(row.name)
        done = [result for result in results if result.status == "done"]
        lines.append([row.name, *_cells(done, has_quality), _runs(results)])
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    accuracy = [result.scores["reader_accuracy"] for result in comparison.results if "reader_accuracy" in result.scores]
    note = ""
    if accuracy:
        floor = (MODES[suite] - 1) / (2 * 26_000)
        note = (
            f"\n\nThe classifier reads {min(accuracy):.1%} of held-out digits rightly. "
            f"Chance alone gives 26,000 even draws a KL of {floor:.3f}."
        )
    return f"### {TITLES[suite]}\n\n{text}{note}\n"


def _cells(done: Sequence[Result], has_quality: bool) -> list[str]:
    if not done:
        return ["not run", "", *([""] if has_quality else []), ""]
    modes = [result.scores["modes"] for result in done]
    divergences = [-result.scores["minus_kl"] for result in done]
    cells = [
        f"{statistics.fmean(modes):.1f} ({min(modes):.0f})",
        f"{statistics.fmean(divergences):.3f} ({max(divergences):.3f})",
    ]
    if has_quality:
        cells.append(f"{statistics.fmean(result.scores['quality'] for result in done):.0%}")
    return [*cells, f"{statistics.fmean(result.seconds for result in done):.0f}"]


def _runs(results: Sequence[Result]) -> str:
    counts = {status: sum(result.status == status for result in results) for status in ("done", "diverged", "not run")}
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count)


def write_page(page: Path, text: str) -> None:
    """Put the tables between the page's markers."""
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{page} lacks the markers {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")


def main() -> None:
    """Measure what was asked for, print the tables, and write them into the docs when nothing was left out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--losses", nargs="+", default=list(LOSSES), choices=list(LOSSES), metavar="NAME")
    parser.add_argument("--suites", nargs="+", default=list(MODES), choices=list(MODES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/mode-coverage"))
    options = parser.parse_args()
    losses = {name: LOSSES[name] for name in options.losses}
    tables = [table(suite, measure(suite, losses, options.seeds, options.out)) for suite in options.suites]
    print("\n" + "\n".join(tables))
    whole = list(losses) == list(LOSSES) and options.suites == list(MODES) and options.seeds >= 3
    if whole:
        write_page(PAGE, "\n".join(tables))
        print(f"Written into {PAGE.relative_to(ROOT)}.")


if __name__ == "__main__":
    main()
