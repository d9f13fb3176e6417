"""The verb `evaluate`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ganvas.cli import DONE
from ganvas.errors import UserError
from ganvas.verbs.printing import print_json

if TYPE_CHECKING:
    from ganvas.metrics.results import Results


def evaluate(
    pairs: tuple[Path, Path] | None = None,
    real: Path | None = None,
    fake: Path | None = None,
    clips: tuple[Path, Path] | None = None,
    scores: str = "",
    crop_px: int = 4,
    scale: int = 0,
    flow: str = "given",
    seed: int = 0,
    resamples: int = 100,
    inception: Path | None = None,
    lpips_backbone: Literal["alex", "vgg"] = "alex",
    lpips_heads: Path | None = None,
    dists_weights: Path | None = None,
    backbone: Path | None = None,
    niqe_model: Path | None = None,
    cache: bool = True,
    json: bool = False,
    report: Path | None = None,
    against: Path | None = None,
    device: str = "cpu",
) -> int:
    """Score pictures against their truth (--pairs), a set against a real one (--real, --fake), or clips (--clips).

    Each number is printed with its interval of 95 % by bootstrap, where there is one, and with a hash of how the
    pictures reached it: numbers of different hashes are not comparable. Only the features of FID's Inception give FID;
    without its weights a distance is called by the network that it was measured with.

    Args:
        pairs: results and truth: two pictures, or two folders whose pictures have the same names.
        real: folder of real pictures.
        fake: folder of generated pictures, to be compared with the real ones as a set.
        clips: results and truth: video files, folders of frames, or folders of these.
        scores: names, separated by commas; `list` prints all that there are.
        crop_px: pairs: pixels left out at each border; the custom is the scale factor.
        scale: pairs: how many times the results were enlarged, for the score `consistency`.
        flow: clips: where motion comes from: `given` (files beside the real frames), `dis`, or a flow network's file.
        seed: of subsets and bootstrap; the same seed gives the same numbers.
        resamples: bootstrap samples for the intervals; 0 leaves them out.
        inception: weight file of FID's Inception; without it the published one is fetched when fid is asked for.
        lpips_backbone: the classifier under LPIPS.
        lpips_heads: the published alex.pth or vgg.pth of LPIPS 0.1.
        dists_weights: the published weights.pt of DISTS.
        backbone: torchvision's file of AlexNet or VGG16, for LPIPS and DISTS; fetched where it is not given.
        niqe_model: NIQE's published model as .npz; without it ours is used, whose numbers are not those of papers.
        cache: keep the features of the real set for the next time, in $GANVAS_HOME or ~/.cache/ganvas.
        json: print JSON.
        report: write a page with numbers and pictures to this .html file.
        against: an earlier result, as --json prints it: differences are printed, and what is not comparable is said.
        device: where networks run: cpu, cuda.
    """
    if scores == "list":
        return _print_names()
    names = [name.strip() for name in scores.split(",") if name.strip()]
    _check_inputs(pairs, real, fake, clips)
    earlier = _earlier(against)
    if report and report.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--report {report} is no page", do="Name a file that ends in .html")
    with _Bar(quiet=json) as bar:
        if pairs:
            from ganvas.metrics.paired_scores import Parts

            parts = Parts(
                lpips_backbone=lpips_backbone, lpips_heads=lpips_heads, dists_weights=dists_weights,
                backbone=backbone, niqe_model=niqe_model, device=device,
            )  # fmt: skip
            results, means = _pairs(pairs, names, crop_px, scale, parts, seed, resamples, bar)
        elif clips:
            from ganvas.metrics import clips as clip_scores

            asked = names or clip_scores.DEFAULT
            results, means = clip_scores.score_clips(
                *clips, asked, flow=flow, seed=seed, resamples=resamples, progress=bar.move
            ), {}  # fmt: skip
        else:
            assert real and fake
            from ganvas.metrics import sets

            asked = names or (*sets.DEFAULT, *(sets.WITH_INCEPTION if inception else ()))
            results, means = sets.score_sets(
                real, fake, asked, seed=seed, resamples=resamples, inception=inception,
                cache=_cache_folder() if cache else None, device=device, progress=bar.move,
            ), {}  # fmt: skip
    _tell(results, means, earlier, json)
    if report:
        _write_report(report, results, json)
    return DONE


def _check_inputs(pairs: Any, real: Path | None, fake: Path | None, clips: Any) -> None:
    asked = [
        name for name, given in (("--pairs", pairs), ("--real, --fake", real or fake), ("--clips", clips)) if given
    ]
    if len(asked) != 1:
        why = f"{' and '.join(asked)} are given at once" if asked else "Nothing to be scored is named"
        raise UserError(why, do="Give --pairs RESULTS TRUTH, or --real DIR --fake DIR, or --clips RESULTS TRUTH")
    if (real is None) != (fake is None):
        lacking = "--fake" if fake is None else "--real"
        raise UserError(f"{lacking} is missing", "A set is compared with a set", "Give both --real DIR and --fake DIR")
    if fake and (fake.is_file() or (fake / "settings.json").is_file()):
        do = f"ganvas generate {fake} --out DIR, then --fake DIR"
        raise UserError(f"{fake} is a model", "Sets are compared by their pictures", do)


def _pairs(
    pairs: tuple[Path, Path],
    names: Sequence[str],
    crop_px: int,
    scale: int,
    parts: Any,
    seed: int,
    resamples: int,
    bar: _Bar,
) -> tuple[Results, Mapping[str, float]]:
    from ganvas.metrics import evaluate as tables
    from ganvas.metrics import paired_scores

    table = tables.evaluate(
        *pairs, crop_px=crop_px, scores=names or paired_scores.DEFAULT, scale=scale, parts=parts,
        progress=lambda done, total: bar.move("pairs", done, total),
    )  # fmt: skip
    results = tables.results_of(table, *pairs, resamples=resamples, seed=seed, parts=parts)
    return results, table.means


def _cache_folder() -> Path:
    home = os.environ.get("GANVAS_HOME")
    return (Path(home) if home else Path.home() / ".cache" / "ganvas") / "scores"


def _earlier(path: Path | None) -> dict[str, dict[str, Any]]:
    from ganvas.io import runs

    return dict(runs.read_json(path).get("scores", {})) if path else {}


# Telling


def _print_names() -> int:
    from ganvas.metrics import clips, paired_scores, sets

    for kind, names in (("pairs", paired_scores.NAMES), ("sets", sets.names()), ("clips", clips.NAMES)):
        print(f"{kind.ljust(6)}", ", ".join(names))
    return DONE


def _tell(
    results: Results, means: Mapping[str, float], earlier: Mapping[str, Mapping[str, Any]], as_json: bool
) -> None:
    from ganvas.metrics.results import warn_of_differences

    for name, why in results.problems.items():
        print(f"{name}: {why}", file=sys.stderr)
    for warning in warn_of_differences(results.scores, earlier):
        print(f"Warning: {warning}", file=sys.stderr)
    if as_json:
        print_json({**results.plain(), **({"means": dict(means)} if means else {})})
        return
    _print_rows(results)
    _print_scores(results, earlier)
    for note in results.notes:
        print(f"{note}.")
    if results.kind == "pairs":
        print(f"{results.conditions['crop_px']} px left out at each border; Y as in MATLAB's rgb2ycbcr.")


def _print_rows(results: Results) -> None:
    if not results.rows:
        return
    columns = [score.name for score in results.scores]
    width = max(len(name) for name in results.rows)
    widths = [max(12, len(column)) for column in columns]
    print("  ".join(["name".ljust(width), *(column.rjust(size) for column, size in zip(columns, widths))]))
    for name, row in results.rows.items():
        values = (f"{row[column]:{size}.4f}" for column, size in zip(columns, widths))
        print("  ".join([name.ljust(width), *values]))
    print()


def _print_scores(results: Results, earlier: Mapping[str, Mapping[str, Any]]) -> None:
    from ganvas.metrics.report import interval, number

    lines = [("score", "value", "95 % interval", "better", "hash", *(("earlier",) if earlier else ()))]
    for score in results.scores:
        before = earlier.get(score.name, {})
        comparable = before.get("preprocessing") == score.preprocessing
        then = (number(float(before["value"])) if comparable else "-",) if earlier else ()
        lines.append((score.name, number(score.value), interval(score), score.better, score.preprocessing, *then))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        first, *rest = (cell.ljust(size) if not place else cell.rjust(size) for place, (cell, size) in
                        enumerate(zip(line, widths)))  # fmt: skip
        print("  ".join([first, *rest]))


def _write_report(path: Path, results: Results, quiet: bool) -> None:
    from ganvas.io import runs
    from ganvas.metrics.report import page

    if not path.parent.is_dir():
        raise UserError(f"The folder {path.parent} does not exist", do="Make it, or choose another --report")
    command = " ".join(["ganvas evaluate", *_shown_arguments()])
    runs.write_atomically(path, page(results, command).encode())
    print(f"Report: {path}", file=sys.stderr if quiet else sys.stdout)


def _shown_arguments() -> list[str]:
    """Return the arguments that this program was started with, if it was started as the verb."""
    arguments = sys.argv[1:]
    return arguments[1:] if arguments[:1] == ["evaluate"] else []


class _Bar:
    """Progress on the terminal, if it is one."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet or not sys.stderr.isatty()
        self._bar: Any = None
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> _Bar:
        if not self.quiet:
            from rich.console import Console
            from rich.progress import Progress

            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._bar.start()
        return self

    def __exit__(self, *details: object) -> None:
        if self._bar:
            self._bar.stop()

    def move(self, name: str, done: int, total: int) -> None:
        """Move the bar of one part of the work."""
        if self._bar:
            if name not in self._tasks:
                self._tasks[name] = self._bar.add_task(name, total=total)
            self._bar.update(self._tasks[name], completed=done)
