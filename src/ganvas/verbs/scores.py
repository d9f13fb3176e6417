"""The verb `evaluate`."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
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
    labels: Path | None = None,
    scores: str = "",
    num: int = 1000,
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
    """Score pictures against truth (--pairs), sets (--real, --fake), clips (--clips), results of labels (--labels).

    Each number is printed with its interval of 95 % by bootstrap, where there is one, and with a hash of how the
    pictures reached it: numbers of different hashes are not comparable. Only the features of FID's Inception give FID;
    without its weights a distance is called by the network that it was measured with.

    Args:
        pairs: results and truth: two pictures, or two folders whose pictures have the same names.
        real: folder of real pictures.
        fake: folder of generated pictures, or a run or weight file that makes them from seeds.
        clips: results and truth: video files, folders of frames, or folders of these.
        labels: labelled data from whose label maps the --fake pictures were made; a segmenter trained on it judges.
        scores: names, separated by commas; `list` prints all that there are.
        num: how many pictures a run or weight file makes.
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
    _check_inputs(pairs, real, fake, clips, labels)
    earlier = _earlier(against)
    if report and report.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--report {report} is no page", do="Name a file that ends in .html")
    with _Bar(quiet=json) as bar, _pictures_of(fake, num, seed, device, bar) as made:
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
        elif labels:
            from ganvas.metrics import labelled

            asked = names or tuple(labelled.NAMES)
            results, means = labelled.score_labelled(
                made, labels, asked, seed=seed, resamples=resamples, device=device, progress=bar.move
            ), {}  # fmt: skip
        else:
            assert real
            from ganvas.metrics import sets

            asked = names or (*sets.DEFAULT, *(sets.WITH_INCEPTION if inception else ()))
            results, means = sets.score_sets(
                real, made, asked, seed=seed, resamples=resamples, inception=inception,
                cache=_cache_folder() if cache else None, device=device, progress=bar.move,
            ), {}  # fmt: skip
            results = replace(results, conditions={**results.conditions, "fake": str(fake)})
        text = _page(results) if report else ""
    _tell(results, means, earlier, json)
    if report:
        _write_report(report, text, json)
    return DONE


def _check_inputs(pairs: Any, real: Path | None, fake: Path | None, clips: Any, labels: Path | None) -> None:
    kinds = {"--pairs": pairs, "--real": real, "--clips": clips, "--labels": labels}
    asked = [name for name, given in kinds.items() if given]
    ways = "--pairs RESULTS TRUTH, --real DIR --fake DIR, --clips RESULTS TRUTH, or --labels DATA --fake DIR"
    if len(asked) > 1:
        raise UserError(f"{' and '.join(asked)} are given at once", do=f"Give {ways}")
    if not asked:
        what = "--real is missing" if fake else "Nothing to be scored is named"
        raise UserError(what, do=f"Give {ways}")
    if (real or labels) and fake is None:
        raise UserError(
            "--fake is missing", f"{asked[0]} is compared with results", f"Give both {asked[0]} and --fake DIR"
        )


@contextlib.contextmanager
def _pictures_of(fake: Path | None, num: int, seed: int, device: str, bar: _Bar) -> Iterator[Path]:
    """Give the folder of the results; a generator's are made for as long as they are needed."""
    if fake is None or not (fake.is_file() or (fake / "settings.json").is_file()):
        yield fake or Path()
        return
    from ganvas.inference.seeds import BATCH, SeedSampler
    from ganvas.io import images

    sampler = SeedSampler(fake, device)
    with tempfile.TemporaryDirectory(prefix="ganvas-scores-") as folder:
        for start in range(0, num, BATCH):
            seeds = range(seed + start, seed + min(start + BATCH, num))
            for number, picture in zip(seeds, sampler.sample(seeds)):
                array = images.from_float(picture.permute(1, 2, 0).numpy(), "uint8")
                images.write(Path(folder) / f"{number:08d}.png", array)
            bar.move("pictures made", min(start + BATCH, num), num)
        yield Path(folder)


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
    from ganvas.metrics import clips, labelled, paired_scores, sets

    for kind, names in (("pairs", paired_scores.NAMES), ("sets", sets.names()), ("clips", clips.NAMES),
                        ("labels", labelled.NAMES)):  # fmt: skip
        print(f"{kind.ljust(7)}", ", ".join(names))
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


def _page(results: Results) -> str:
    from ganvas.metrics.report import page

    return page(results, " ".join(["ganvas evaluate", *_shown_arguments()]))


def _write_report(path: Path, text: str, quiet: bool) -> None:
    from ganvas.io import runs

    if not path.parent.is_dir():
        raise UserError(f"The folder {path.parent} does not exist", do="Make it, or choose another --report")
    runs.write_atomically(path, text.encode())
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
