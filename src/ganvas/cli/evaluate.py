"""The verb `evaluate`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tyro.conf import Positional

from ganvas.cli import DONE
from ganvas.cli.arguments import Printing
from ganvas.cli.console import Console
from ganvas.cli.score_printing import page_of, print_names, tell, write_report
from ganvas.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from ganvas.evaluation.made import Made
    from ganvas.evaluation.pairs import Parts
    from ganvas.evaluation.results import Results
    from ganvas.inference.result import Progress
    from ganvas.io.score_cache import ScoreCache

WAYS = (
    "--pairs RESULTS TRUTH, --real DIR --fake DIR, --clips RESULTS TRUTH, --labels DATA --fake DIR, "
    "or --cameras FOOTAGE --fake RUN"
)


def evaluate(
    model: Positional[Path | None] = None,
    pairs: tuple[Path, Path] | None = None,
    real: Path | None = None,
    fake: Path | None = None,
    per_class: bool = False,
    clips: tuple[Path, Path] | None = None,
    labels: Path | None = None,
    cameras: Path | None = None,
    footage: Path | None = None,
    scores: str = "",
    num: int = 1000,
    crop_px: int = 4,
    scale: int = 0,
    flow: str = "given",
    probe_steps: int = 0,
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
    """Score pictures against truth, sets, classes, clips, results of label maps, or views of cameras.

    A run or weight file in the place of results makes them itself. Each number is printed with its interval of 95 % by
    bootstrap, where there is one, and with a hash of how the pictures reached it: numbers of different hashes are not
    comparable. Only the features of FID's Inception give FID; without its weights a distance is called by the network
    that it was measured with.

    Args:
        model: the same as --fake: `ganvas evaluate RUN --per-class`.
        pairs: results and truth: two pictures, or two folders whose pictures have the same names; or a model and truth,
            which is shrunk and enlarged again.
        real: folder of real pictures; a run of a generator from seeds is by default compared with its training data.
        fake: folder of generated pictures, or the run or weight file that makes them.
        per_class: with --real and --fake by class: accuracy, diversity, distance and confusion of each class.
        clips: results and truth: video files, folders of frames, or folders of these; or a model and truth, whose label
            maps it is given.
        labels: labelled data from whose label maps the --fake pictures were made; a segmenter trained on it reads them.
        cameras: footage (pictures with a camera file) whose views the --fake run makes; those it was trained on are
            left out.
        footage: the footage that the --fake run was trained on, where it lies elsewhere now: for the gain over the
            nearest training frame.
        scores: names, separated by commas; `list` prints all that there are.
        num: how many pictures a run or weight file makes.
        crop_px: pairs: pixels left out at each border; the custom is the scale factor.
        scale: pairs: how many times the results were enlarged, for consistency, detail and gain; a model tells its own.
        flow: clips: where motion comes from: `given` (files beside the real frames), `dis`, or a flow network's file.
        probe_steps: per class and labels: steps on which the probe is trained; 0 takes the usual number.
        seed: of subsets and bootstrap, and of what a model makes; the same seed gives the same numbers.
        resamples: bootstrap samples for the intervals; 0 leaves them out.
        inception: weight file of FID's Inception; without it the published one is fetched when fid is asked for.
        lpips_backbone: the classifier under LPIPS.
        lpips_heads: the published alex.pth or vgg.pth of LPIPS 0.1.
        dists_weights: the published weights.pt of DISTS.
        backbone: torchvision's file of AlexNet or VGG16, for LPIPS and DISTS; fetched where it is not given.
        niqe_model: NIQE's published model as .npz; without it ours is used, whose numbers are not those of papers.
        cache: keep what was seen in the real set for the next time, in $GANVAS_HOME or ~/.cache/ganvas.
        json: print JSON.
        report: write a page with numbers and pictures to this .html file.
        against: an earlier result, as --json prints it: differences are printed, and what is not comparable is said.
        device: where networks run: cpu, cuda.
    """
    if scores == "list":
        return print_names()
    names = tuple(name.strip() for name in scores.split(",") if name.strip())
    if model and fake:
        raise UserError(f"{model} and --fake {fake} are given at once", "Both name what is scored", "Give one of them")
    fake = model or fake
    if fake and not (pairs or real or clips or labels or cameras):
        real = _trained_on(fake)
    _check_inputs(pairs, real, fake, per_class, clips, labels, cameras)
    earlier = _earlier(against)
    if report and report.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--report {report} is no page", do="Name a file that ends in .html")
    from ganvas.io.score_cache import default_cache

    means: Mapping[str, float] = {}
    with Console(Printing(quiet=json)) as console, tempfile.TemporaryDirectory(prefix="ganvas-scores-") as room:
        asked = _Asked(
            names,
            num,
            seed,
            resamples,
            probe_steps,
            device,
            default_cache() if cache else None,
            Path(room),
            console.progress,
        )
        if pairs:
            from ganvas.evaluation.pairs import Parts

            parts = Parts(
                lpips_backbone=lpips_backbone, lpips_heads=lpips_heads, dists_weights=dists_weights,
                backbone=backbone, niqe_model=niqe_model, device=device,
            )  # fmt: skip
            results, means = _pairs(pairs, asked, crop_px, scale, parts)
        elif clips:
            results = _clips(clips, asked, flow)
        elif cameras:
            assert fake
            results = _views(cameras, fake, footage, asked)
        elif labels:
            assert fake
            results = _labels(labels, fake, asked)
        else:
            assert real and fake
            results = _classes(real, fake, asked) if per_class else _sets(real, fake, asked, inception)
        text = page_of(results) if report else ""
    tell(results, means, earlier, json)
    if report:
        write_report(report, text, json)
    return DONE


@dataclass(frozen=True)
class _Asked:
    """What all kinds of scores have in common."""

    names: tuple[str, ...]
    num: int
    seed: int
    resamples: int
    probe_steps: int
    device: str
    cache: ScoreCache | None
    room: Path
    """Folder for what a model makes, for as long as it is needed."""
    progress: Progress


def _check_inputs(
    pairs: Any,
    real: Path | None,
    fake: Path | None,
    per_class: bool,
    clips: Any,
    labels: Path | None,
    cameras: Path | None,
) -> None:
    kinds = {"--pairs": pairs, "--real": real, "--clips": clips, "--labels": labels, "--cameras": cameras}
    asked = [name for name, given in kinds.items() if given]
    if len(asked) > 1:
        raise UserError(f"{' and '.join(asked)} are given at once", do=f"Give {WAYS}")
    if not asked:
        what = "--real is missing" if fake else "Nothing to be scored is named"
        raise UserError(what, do=f"Give {WAYS}")
    if asked[0] in ("--real", "--labels", "--cameras") and fake is None:
        raise UserError(
            "--fake is missing", f"{asked[0]} is compared with results", f"Give both {asked[0]} and --fake DIR"
        )
    if per_class and not real:
        raise UserError("--per-class needs real pictures by class", do="Give --real DIR --fake RUN --per-class")


def _trained_on(fake: Path) -> Path:
    """Return the pictures that a generator from seeds learned from.

    Raises:
        UserError: it is no such generator, or they are no longer where they lay.
    """
    from ganvas.evaluation.made import card_of, is_model, training_folder

    if is_model(fake) and (takes := card_of(fake).input) != "seeds":
        raise UserError(f"{fake} takes a {takes}", "What it is compared with has to be named", _instead(fake, takes))
    found = training_folder(fake)
    if found is None:
        why = f"{fake} does not tell where its training data lies, or it lies there no more"
        raise UserError("--real is missing", why, f"Give --real DIR --fake {fake}")
    return found


# What a model makes


def _made(
    fake: Path,
    takes: str,
    asked: _Asked,
    labels: Path | None = None,
    check: Callable[[], None] = lambda: None,
) -> Made:
    """Return the folder of the results, after a model in its place has made them.

    Raises:
        UserError: the model takes something else, with what to do instead.
    """
    from ganvas.evaluation import made as scored_pictures

    if not fake.exists() and not scored_pictures.is_model(fake):
        raise UserError(
            f"{fake} does not exist", do="Name a folder of results, or a run or weight file that makes them"
        )
    if fake.is_dir() and not scored_pictures.is_model(fake):
        return scored_pictures.Made(fake)
    card = scored_pictures.card_of(fake)
    if card.input != takes:
        why = f"It takes a {card.input}, and this score is of pictures from {takes}"
        raise UserError(f"{fake} cannot make these results", why, _instead(fake, card.input))
    check()
    folder = asked.room / "made"
    if labels is not None:
        return scored_pictures.from_labels(
            fake, labels, folder, asked.num, asked.seed, asked.device, asked.progress
        )  # fmt: skip
    return scored_pictures.from_seeds(fake, folder, asked.num, asked.seed, asked.device, asked.progress)


def _instead(model: Path, takes: str) -> str:
    return {
        "seeds": f"Use --real DIR --fake {model}",
        "labels": f"Use --labels DATA --fake {model}",
        "clip": f"Use --clips {model} DATA; or write frames by `ganvas generate` and name their folder",
        "picture": f"Use --pairs {model} TRUTH",
        "camera": f"Use --cameras FOOTAGE --fake {model}",
    }.get(takes, "Write its results to a folder and name that")


# One kind each


def _pairs(
    pairs: tuple[Path, Path], asked: _Asked, crop_px: int, scale: int, parts: Parts
) -> tuple[Results, Mapping[str, float]]:
    from ganvas.evaluation import evaluate as tables
    from ganvas.evaluation import made as scored_pictures
    from ganvas.evaluation import pairs as paired_scores
    from ganvas.io.pictures import images

    ours, truth = pairs
    if scored_pictures.is_model(ours):
        card = scored_pictures.card_of(ours)
        if card.input != "picture":
            raise UserError(f"{ours} enlarges no pictures", f"It takes a {card.input}", _instead(ours, card.input))
        found, _ = images.find_pictures([truth])
        if not found:
            raise UserError(f"{truth} holds no pictures")
        # Names and weights are looked at before anything is enlarged; the model's own factor is known to be above 1.
        paired_scores.scorer(asked.names, crop_px, max(2, scale), parts)
        some = (
            [found[place * len(found) // asked.num] for place in range(asked.num)] if len(found) > asked.num else found
        )
        root = truth if truth.is_dir() else truth.parent
        made = scored_pictures.from_small_copies(ours, some, root, asked.room, scale, asked.device, asked.progress)
        ours, truth, scale = made.results, made.truth, made.scale
    usual = (*paired_scores.DEFAULT, *(paired_scores.OF_ENLARGERS if scale > 1 else ()))
    table = tables.evaluate(
        ours, truth, crop_px=crop_px, scores=asked.names or usual, scale=scale, parts=parts,
        progress=asked.progress.of("pairs"),
    )  # fmt: skip
    results = tables.results_of(table, ours, truth, resamples=asked.resamples, seed=asked.seed, parts=parts)
    named = {"results": str(pairs[0]), "truth": str(pairs[1])}
    if scored_pictures.is_model(pairs[0]):
        partial = scored_pictures.partial_extractors(pairs[0], tuple(table.means))
        results = replace(results, notes=[*results.notes, *partial])
    return replace(results, conditions={**results.conditions, **named}), table.means


def _sets(real: Path, fake: Path, asked: _Asked, inception: Path | None) -> Results:
    from ganvas.evaluation import made as scored_pictures
    from ganvas.evaluation import sets

    names = asked.names or (*sets.DEFAULT, *(sets.WITH_INCEPTION if inception else ()))
    made = _made(fake, "seeds", asked, check=lambda: sets.check(real, names, asked.num, inception))
    results = sets.score_sets(
        real, made.folder, names, seed=asked.seed, resamples=asked.resamples, inception=inception,
        cache=asked.cache, device=asked.device, progress=asked.progress,
    )  # fmt: skip
    if scored_pictures.is_model(fake):
        partial = scored_pictures.partial_extractors(fake, [score.name for score in results.scores])
        results = replace(results, notes=[*results.notes, *partial])
    return _named(results, fake, made)


def _classes(real: Path, fake: Path, asked: _Asked) -> Results:
    from ganvas.evaluation import classes

    _require_known(asked.names, classes.NAMES, "classes")
    made = _made(fake, "seeds", asked)
    if made.folder != fake and not made.class_names:
        raise UserError(f"{fake} knows no classes", "It makes pictures from noise alone", "Leave --per-class out")
    results = classes.score_classes(
        real, made.folder, asked.names or tuple(classes.NAMES), shares=made.shares, class_names=made.class_names,
        steps=asked.probe_steps or classes.STEPS, seed=asked.seed, resamples=asked.resamples, cache=asked.cache,
        device=asked.device, progress=asked.progress,
    )  # fmt: skip
    return _named(results, fake, made)


def _labels(labels: Path, fake: Path, asked: _Asked) -> Results:
    from ganvas.evaluation import labels as labelled

    _require_known(asked.names, labelled.NAMES, "labelled pictures")
    made = _made(fake, "labels", asked, labels)
    results = labelled.score_labelled(
        made.folder, labels, asked.names or tuple(labelled.NAMES), steps=asked.probe_steps or labelled.STEPS,
        seed=asked.seed, resamples=asked.resamples, device=asked.device, cache=asked.cache,
        progress=asked.progress,
    )  # fmt: skip
    return _named(results, fake, made)


def _clips(clips: tuple[Path, Path], asked: _Asked, flow: str) -> Results:
    from ganvas.evaluation import clips as clip_scores
    from ganvas.evaluation import made as scored_pictures

    _require_known(asked.names, clip_scores.NAMES, "clips")
    ours, truth = clips
    made = scored_pictures.Made(ours)
    if scored_pictures.is_model(ours):
        card = scored_pictures.card_of(ours)
        if card.input != "clip":
            raise UserError(f"{ours} makes no clips", f"It takes a {card.input}", _instead(ours, card.input))
        made = scored_pictures.from_sequences(
            ours, truth, asked.room / "made", asked.seed, asked.device, asked.progress
        )  # fmt: skip
    results = clip_scores.score_clips(
        made.folder, truth, asked.names or clip_scores.DEFAULT, flow=flow, seed=asked.seed,
        resamples=asked.resamples, progress=asked.progress,
    )  # fmt: skip
    return _named(results, ours, made)


def _views(footage: Path, fake: Path, trained_on: Path | None, asked: _Asked) -> Results:
    from ganvas.evaluation.views import score_flyer

    return score_flyer(
        fake, footage, trained_on, asked.names, num=asked.num, seed=asked.seed, resamples=asked.resamples,
        device=asked.device, room=asked.room, progress=asked.progress,
    )  # fmt: skip


def _require_known(names: Iterable[str], known: Iterable[str], kind: str) -> None:
    """Refuse unknown names before a model makes anything."""
    for name in names:
        if name not in known:
            raise UserError(f"There is no score {name!r} of {kind}", do=did_you_mean(name, known))


def _named(results: Results, fake: Path, made: Made) -> Results:
    """Return results under the name that the user gave, with what is to be told of how they were made."""
    return replace(results, conditions={**results.conditions, "fake": str(fake)}, notes=[*results.notes, *made.notes])


def _earlier(path: Path | None) -> dict[str, dict[str, Any]]:
    from ganvas.io import runs

    return dict(runs.read_json(path).get("scores", {})) if path else {}
