"""How the work of each kind of model is cut into pieces for a cluster: a picture or video, a label map, some seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ganvas.errors import UserError
from ganvas.inference.cluster import Piece, run_shared
from ganvas.inference.kinds import KINDS
from ganvas.inference.open import Opened
from ganvas.inference.options import part
from ganvas.inference.picture.strip_tasks import SharedPicture, share_out
from ganvas.inference.result import Job, Progress, Result, report_problems
from ganvas.io.pictures.images import READABLE

SEEDS_AT_ONCE = 16
"""Pictures from noise are made in batches, as each call of the network is short."""


def share(opened: Opened, options: Any, cluster: str, progress: Progress) -> list[Result]:
    """Run a model on a cluster and return what became of every input, as the model's suite would.

    Raises:
        UserError: the work cannot be shared, or as `run_shared`.
    """
    if opened.takes not in _CUTTERS:
        makes = KINDS[opened.takes].makes if opened.takes in KINDS else opened.takes
        why = "Each of its frames follows from those before it, so there is only one piece of work"
        raise UserError(f"{makes[0].upper()}{makes[1:]} cannot be shared over a cluster", why, "Leave --cluster out")
    pieces, problems = _CUTTERS[opened.takes](opened, options)
    pictures: list[SharedPicture] = []
    if opened.takes == "picture":
        pieces, pictures, more = _in_strips(opened, pieces)
        problems += more
    results = report_problems(problems, progress)
    found: list[Result] = []
    try:
        found = run_shared(opened, pieces, cluster, progress) if pieces else []
    finally:
        results += _put_together(pictures, found, progress)
    return results


def _in_strips(opened: Opened, pieces: list[Piece]) -> tuple[list[Piece], list[SharedPicture], Problems]:
    """Return pieces of which large pictures are cut into strips, those pictures, and what cannot be done."""
    cut: list[Piece] = []
    pictures: list[SharedPicture] = []
    problems: Problems = []
    for piece in pieces:
        try:
            picture = _shared_picture(opened, piece)
        except UserError as error:
            problems.append((piece.name, str(error)))
            continue
        if picture is None:
            cut.append(piece)
            continue
        pictures.append(picture)
        for task in picture.left:
            name = f"{piece.name}, rows {task.start} to {task.stop}"
            cut.append(Piece(name, str(task.log), task, task, is_part=True))
    return cut, pictures, problems


def _shared_picture(opened: Opened, piece: Piece) -> SharedPicture | None:
    from ganvas.inference.picture import suite
    from ganvas.inference.picture.options import PictureOptions

    source, options = Path(piece.name), piece.options
    if suite.way_of(opened.card) is not suite.PLAIN or source.suffix.lower() not in READABLE:
        return None
    job = Job(source, Path(piece.output))
    return share_out(opened, job, part(options, PictureOptions), options.skip_existing)


def _put_together(pictures: Sequence[SharedPicture], found: Sequence[Result], progress: Progress) -> list[Result]:
    """Return the results of all files, with those of strips replaced by their picture's."""
    logs = {str(task.log) for picture in pictures for task in picture.tasks}
    results = [result for result in found if result.output not in logs]
    for picture in pictures:
        own = {str(task.log) for task in picture.tasks}
        if made := picture.finish([result for result in found if result.output in own]):
            progress.finish(made)
            results.append(made)
    return results


Problems = list[tuple[str, str]]


def _cut_pictures(opened: Opened, options: Any) -> tuple[list[Piece], Problems]:
    from ganvas.inference.picture import jobs, suite
    from ganvas.inference.picture.options import FilmOptions, Naming, Options, PictureOptions, Sizing

    suite.check(opened, options)
    if getattr(options, "fixed_choices", False):
        why = "The variants of the first picture are kept for all others"
        raise UserError("--fixed-choices cannot be shared over a cluster", why, "Leave one of them out")
    if suite.way_of(opened.card) is not suite.PLAIN:
        return _cut_guided(options)
    plan = jobs.plan(
        options.inputs, options.out, part(options, Naming), part(options, Sizing), opened.name, opened.card.scale
    )
    skips = plan.many or options.skip_existing
    pieces = []
    for job in (*plan.pictures, *plan.videos):
        kind = PictureOptions if job in plan.pictures else FilmOptions
        source = str(Path(job.source).absolute())
        plain = replace(Options(**vars(part(options, kind))), inputs=(source,), out=job.target.absolute())
        first = replace(plain, skip_existing=skips, pattern="", format="")
        pieces.append(Piece(str(job.source), str(job.target), first, replace(first, skip_existing=True)))
    return _without_twins(pieces), plan.problems


def _cut_guided(options: Any) -> tuple[list[Piece], Problems]:
    from ganvas.io.pictures.images import find_pictures

    if options.out is None:
        raise UserError("It is not said where the pictures go", do="Name a folder: --out DIR")
    found, problems = find_pictures(list(options.inputs))
    options = _absolute(options)
    pieces = []
    for path in found:
        target = options.out.absolute() / f"{path.stem}.png"
        first = replace(options, inputs=(str(path.absolute()),), out=target)
        pieces.append(Piece(str(path), str(target), first, replace(first, overwrite=True)))
    return _without_twins(pieces), problems


def _without_twins(pieces: list[Piece]) -> list[Piece]:
    """Check that no two pieces write one file.

    Raises:
        UserError: two do.
    """
    taken: dict[str, str] = {}
    for piece in pieces:
        if taken.setdefault(piece.output, piece.name) != piece.name:
            do = "Name outputs apart, as --pattern '{name}-{ext}' does"
            raise UserError(f"Cannot write {piece.output}", f"{taken[piece.output]} has the same name", do)
    return pieces


def _cut_labels(_: Opened, options: Any) -> tuple[list[Piece], Problems]:
    from ganvas.inference.labels import film
    from ganvas.inference.labels.files import find_maps, suffix_of

    if options.styles:
        raise UserError("--styles cannot be shared over a cluster", do="Leave --cluster out")
    if film.is_film(options.out) or options.out.suffix.lower() in READABLE:
        raise UserError(f"{options.out} cannot be shared over a cluster", "It is one file", "Name a folder by --out")
    options = _absolute(options)
    files = find_maps(options.labels, options.instances, options.inputs)
    if options.num and len(files) > options.num:
        files = [files[place * len(files) // options.num] for place in range(options.num)]
    pieces = []
    for file in files:
        target = options.out.absolute() / f"{file.name}{suffix_of(options)}"
        if target.exists() and not options.overwrite:
            raise UserError(f"{target} exists already", do="Add --overwrite")
        target.parent.mkdir(parents=True, exist_ok=True)
        first = replace(options, labels=file.scene or file.labels, out=target, num=0, is_piece=True)
        pieces.append(Piece(file.name, str(target), first, replace(first, overwrite=True)))
    return pieces, []


def _cut_seeds(_: Opened, options: Any) -> tuple[list[Piece], Problems]:
    from ganvas.inference.seeds.latents import parse_numbers

    if options.grid or options.walk or options.bank or getattr(options, "curve", None):
        what = "--grid, --walk, --bank and --curve cannot be shared over a cluster"
        raise UserError(what, do="Leave --cluster out")
    seeds = parse_numbers(options.seeds)
    pieces = []
    for start in range(0, len(seeds), SEEDS_AT_ONCE):
        text = ",".join(map(str, seeds[start : start + SEEDS_AT_ONCE]))
        first = replace(options, seeds=text, out=options.out.absolute())
        pieces.append(Piece(f"seeds {text}", str(options.out), first, replace(first, overwrite=True)))
    return pieces, []


_FILES = ("labels", "instances", "inputs", "encoder", "style_from", "style_labels", "style_instances", "guide_file")


def _absolute(options: Any) -> Any:
    """Return options whose files are named as another process finds them."""
    named = {name: getattr(options, name, None) for name in _FILES}
    # The inputs of label maps are a folder, and those of pictures are many files, which are named one by one.
    files = {name: value for name, value in named.items() if value and not isinstance(value, tuple)}
    return replace(options, **{name: type(value)(Path(value).absolute()) for name, value in files.items()})


_CUTTERS: dict[str, Callable[[Opened, Any], tuple[list[Piece], Problems]]] = {
    "picture": _cut_pictures,
    "labels": _cut_labels,
    "seeds": _cut_seeds,
}
