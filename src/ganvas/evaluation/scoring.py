"""From what is asked to results: which kind of scores is meant, what a model generates for them, the scores themselves.

Options -> kind -> generated.py (a model in the place of results) -> pairs | sets | classes | ... -> Results
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ganvas import device as machine
from ganvas.errors import UsageError, UserError, did_you_mean
from ganvas.evaluation import classes, clips, generated, labels, pairs, sets, view_scores
from ganvas.evaluation import evaluate as tables
from ganvas.evaluation.extractors import LITE, default_extractor, open_extractor
from ganvas.evaluation.generated import Generated
from ganvas.evaluation.options import Classes, Clips, Maps, Options, Pairs, Sets, Views
from ganvas.evaluation.results import Results
from ganvas.evaluation.views import score_flyer
from ganvas.inference.open import Opened, open_model
from ganvas.inference.options import part, refuse
from ganvas.inference.result import Progress
from ganvas.io.pictures import images
from ganvas.io.score_cache import ScoreCache, default_cache


@dataclass(frozen=True)
class Kind:
    """A kind of scores."""

    Options: type
    """What it honours."""
    takes: str
    """What a model in the place of the results takes."""
    asked_by: str
    """The option that asks for it."""
    usage: str
    """How it is asked for, with MODEL for a model."""
    names: Callable[[], Iterable[str]]
    score: Callable[[Any, _Room], Results]
    """Its scores."""


@dataclass(frozen=True)
class _Room:
    """Where what a model generates lies for as long as it is needed, and who is told."""

    folder: Path
    progress: Progress
    cache: ScoreCache | None


def score(options: Options, progress: Progress, use: Callable[[Results], None] = lambda _: None) -> Results:
    """Return the scores that are asked for.

    Args:
        options: which scores, of what.
        progress: told how far the work is.
        use: is given the results while the pictures that a model generated are still there, for a report page.

    Raises:
        UserError: nothing or too much is asked for, an option means nothing for the kind, or it cannot be scored.
    """
    if options.fake and not any((options.pairs, options.real, options.clips, options.labels, options.cameras)):
        options = replace(options, real=_trained_on(options.fake))
    name = kind_of(options)
    kind = KINDS[name]
    refuse(options, [kind.Options], f"scores of {name}", f"{kind.usage} asks for them")
    cache = default_cache() if options.cache else None
    with tempfile.TemporaryDirectory(prefix="ganvas-scores-") as folder:
        options = replace(options, device=str(machine.pick(options.device)))
        results = kind.score(part(options, kind.Options), _Room(Path(folder), progress, cache))
        use(results)
    return results


def kind_of(options: Options) -> str:
    """Return the name of the kind of scores that is asked for.

    Raises:
        UserError: none is, or several are, or what is compared is missing.
    """
    given = {"--pairs": options.pairs, "--real": options.real, "--clips": options.clips, "--labels": options.labels,
             "--views": options.cameras}  # fmt: skip
    asked = [name for name, value in given.items() if value]
    usages = ", ".join(dict.fromkeys(kind.usage.replace("MODEL", "RESULTS") for kind in KINDS.values()))
    if len(asked) > 1:
        raise UsageError(f"{' and '.join(asked)} are given at once", do=f"Give one of {usages}")
    if not asked:
        what = "--real is missing" if options.fake else "Nothing to be scored is named"
        raise UsageError(what, do=f"Give one of {usages}")
    if asked[0] in ("--real", "--labels", "--views") and options.fake is None:
        why = f"{asked[0]} is compared with results"
        raise UsageError("--fake is missing", why, f"Give both {asked[0]} and --fake DIR")
    if options.per_class and not options.real:
        raise UsageError("--per-class needs real pictures by class", do="Give --real DIR --fake RUN --per-class")
    if options.per_class:
        return "classes"
    return next(name for name, kind in KINDS.items() if kind.asked_by == asked[0])


def _trained_on(fake: Path) -> Path:
    """Return the pictures that a generator from seeds learned from.

    Raises:
        UserError: it is no such generator, or they are no longer where they lay.
    """
    if generated.is_model(fake):
        opened = open_model(str(fake))
        if opened.takes != "seeds":
            what = f"{fake} takes a {opened.takes}"
            raise UserError(what, "What it is compared with has to be named", _usage_for(opened))
    found = generated.training_folder(fake)
    if found is None:
        why = f"{fake} does not tell where its training data lies, or it lies there no more"
        raise UsageError("--real is missing", why, f"Give --real DIR --fake {fake}")
    return found


def _usage_for(opened: Opened) -> str:
    """Return how the results of a model are scored."""
    usages = [kind.usage for kind in KINDS.values() if kind.takes == opened.takes]
    return f"Use {usages[0].replace('MODEL', str(opened))}" if usages else "Write its results to a folder and name that"


def _generated(fake: Path, takes: str, generate: Callable[[], Generated]) -> Generated:
    """Return the folder of the results, after a model in its place has generated them.

    Raises:
        UserError: there is nothing, or the model takes something else, with what to do instead.
    """
    is_model = generated.is_model(fake)
    if fake.is_dir() and not is_model:
        return Generated(fake)
    if not fake.exists() and not is_model:
        do = "Name a folder of results, or a run or weight file that generates them"
        raise UserError(f"{fake} does not exist", do=do)
    opened = open_model(str(fake))
    if opened.takes != takes:
        why = f"It takes a {opened.takes}, and this score is of results from {takes}"
        raise UserError(f"{fake} cannot make these results", why, _usage_for(opened))
    return generate()


def _require_known(names: Iterable[str], known: Iterable[str], kind: str) -> None:
    """Refuse unknown names before a model generates anything."""
    for name in names:
        if name not in known:
            raise UsageError(f"There is no score {name!r} of {kind}", do=did_you_mean(name, known))


def _named(results: Results, fake: Path, fakes: Generated) -> Results:
    """Return results under the name that the user gave, with what is to be told of how they came to be."""
    notes = [*results.notes, *fakes.notes]
    return replace(results, conditions={**results.conditions, "fake": str(fake)}, notes=notes)


def _not_independent(results: Results, fake: Path, names: Iterable[str]) -> Results:
    """Return results with a note on each network that scores a model and also stood in its loss."""
    if not generated.is_model(fake):
        return results
    return replace(results, notes=[*results.notes, *generated.partial_extractors(fake, tuple(names))])


# One kind each


def _score_pairs(options: Pairs, room: _Room) -> Results:
    assert options.pairs
    parts, scale = part(options, pairs.Parts), options.scale
    ours, truth = options.pairs
    notes: list[str] = []
    problems: dict[str, str] = {}
    if generated.is_model(ours):
        opened = open_model(str(ours))
        if opened.takes != "picture":
            raise UserError(f"{ours} enlarges no pictures", f"It takes a {opened.takes}", _usage_for(opened))
        found, unread = images.find_pictures([truth])
        if not found:
            raise UserError(f"{truth} holds no pictures")
        # Names and weights are looked at before anything is enlarged; the model's own factor is known to be above 1.
        pairs.scorer(options.names, options.crop_px, max(2, scale), parts)
        num = options.num
        some = [found[place * len(found) // num] for place in range(num)] if len(found) > num else found
        root = truth if truth.is_dir() else truth.parent
        copies = generated.from_small_copies(ours, some, root, room.folder, scale, options.device, room.progress)
        notes, problems = generated.seen_in_training(ours, truth), {**dict(unread), **copies.problems}
        ours, truth, scale = copies.results, copies.truth, copies.scale
    usual = (*pairs.DEFAULT, *(pairs.OF_ENLARGERS if scale > 1 else ()))
    table = tables.evaluate(
        ours, truth, crop_px=options.crop_px, scores=options.names or usual, scale=scale, parts=parts,
        progress=room.progress.of("pairs"),
    )  # fmt: skip
    results = tables.results_of(table, ours, truth, resamples=options.resamples, seed=options.seed, parts=parts)
    named = {"results": str(options.pairs[0]), "truth": str(options.pairs[1])}
    results = _not_independent(results, options.pairs[0], table.means)
    return replace(
        results,
        conditions={**results.conditions, **named},
        notes=[*notes, *results.notes],
        problems={**problems, **results.problems},
    )


def _score_sets(options: Sets, room: _Room) -> Results:
    assert options.real and options.fake
    real, fake = options.real, options.fake
    names = options.names or (*sets.DEFAULT, *(sets.WITH_INCEPTION if options.inception else ()))

    def generate() -> Generated:
        sets.check(real, names, options.num, options.inception)
        return generated.from_seeds(
            fake, room.folder / "generated", options.num, options.seed, options.device, room.progress
        )  # fmt: skip

    fakes = _generated(fake, "seeds", generate)
    results = sets.score_sets(
        real, fakes.folder, names, seed=options.seed, resamples=options.resamples, inception=options.inception,
        cache=room.cache, device=options.device, progress=room.progress,
    )  # fmt: skip
    results = _not_independent(results, fake, [score.name for score in results.scores])
    return _named(results, fake, fakes)


BETTER = f"A better classifier, over published features, is had by `ganvas features fetch {LITE}`, once"


def _score_classes(options: Classes, room: _Room) -> Results:
    assert options.real and options.fake
    fake = options.fake
    _require_known(options.names, classes.NAMES, "classes")
    fakes = _generated(
        fake, "seeds",
        lambda: generated.from_seeds(
            fake, room.folder / "generated", options.num, options.seed, options.device, room.progress
        ),
    )  # fmt: skip
    if fakes.folder != fake and not fakes.class_names:
        raise UserError(f"{fake} knows no classes", "It makes pictures from noise alone", "Leave --per-class out")
    name, _ = default_extractor()
    is_small = options.probe_steps > 0 or name != LITE
    results = classes.score_classes(
        options.real, fakes.folder, options.names or tuple(classes.NAMES), shares=fakes.shares,
        class_names=fakes.class_names, extractor=None if is_small else open_extractor(name, device=options.device),
        steps=options.probe_steps or classes.STEPS, seed=options.seed, resamples=options.resamples, cache=room.cache,
        device=options.device, progress=room.progress,
    )  # fmt: skip
    if is_small and not options.probe_steps:
        results = replace(results, notes=[*results.notes, BETTER])
    return _named(results, fake, fakes)


def _score_maps(options: Maps, room: _Room) -> Results:
    assert options.labels and options.fake
    fake, data = options.fake, options.labels
    _require_known(options.names, labels.NAMES, "labelled pictures")
    fakes = _generated(
        fake, "labels",
        lambda: generated.from_labels(
            fake, data, room.folder / "generated", options.num, options.seed, options.device, room.progress
        ),
    )  # fmt: skip
    results = labels.score_labelled(
        fakes.folder, data, options.names or tuple(labels.NAMES), steps=options.probe_steps or labels.STEPS,
        seed=options.seed, resamples=options.resamples, device=options.device, cache=room.cache,
        progress=room.progress,
    )  # fmt: skip
    return _named(results, fake, fakes)


def _score_clips(options: Clips, room: _Room) -> Results:
    assert options.clips
    ours, truth = options.clips
    _require_known(options.names, clips.NAMES, "clips")
    # A single video is a result, too.
    fakes = Generated(ours)
    if generated.is_model(ours):
        fakes = _generated(
            ours, "clip",
            lambda: generated.from_sequences(
                ours, truth, room.folder / "generated", options.seed, options.device, room.progress
            ),
        )  # fmt: skip
    results = clips.score_clips(
        fakes.folder, truth, options.names or clips.DEFAULT, flow=options.flow, seed=options.seed,
        resamples=options.resamples, progress=room.progress,
    )  # fmt: skip
    return _named(results, ours, fakes)


def _score_views(options: Views, room: _Room) -> Results:
    assert options.cameras and options.fake
    return score_flyer(
        options.fake, options.cameras, options.footage, options.names, num=options.num, seed=options.seed,
        resamples=options.resamples, device=options.device, room=room.folder, progress=room.progress,
    )  # fmt: skip


KINDS = {
    "pairs": Kind(Pairs, "picture", "--pairs", "--pairs MODEL TRUTH", lambda: pairs.NAMES, _score_pairs),
    "sets": Kind(Sets, "seeds", "--real", "--real DIR --fake MODEL", sets.names, _score_sets),
    "classes": Kind(
        Classes, "seeds", "--real", "--real DIR --fake MODEL --per-class", lambda: classes.NAMES, _score_classes
    ),
    "clips": Kind(Clips, "clip", "--clips", "--clips MODEL DATA", lambda: clips.NAMES, _score_clips),
    "labels": Kind(Maps, "labels", "--labels", "--labels DATA --fake MODEL", lambda: labels.NAMES, _score_maps),
    "cameras": Kind(
        Views, "camera", "--views", "--views FOOTAGE --fake MODEL", lambda: view_scores.NAMES, _score_views
    ),
}
"""Every kind of scores."""
