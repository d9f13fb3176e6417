"""The doctor of plain pictures, with or without classes: folders and zip files, kinds, sizes, labels and faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ganvas.data import classes, label_layouts
from ganvas.data.decoding import decode
from ganvas.data.doctor import Examination, Finding, broken
from ganvas.data.pictures import in_threads
from ganvas.errors import UserError
from ganvas.io.pictures import images
from ganvas.io.pictures.archives import Folder, Shelf, open_shelf
from ganvas.io.pictures.shards import Tar

_FEW = 3


def examine(inputs: str | Path, progress: Callable[[int, int], None] | None = None) -> Examination:
    """Return what a folder or zip file of pictures holds, and what is wrong with it and with its file of labels.

    Progress is told how many of the pictures have been read.

    Raises:
        UserError: it is neither a folder nor a zip file that can be read.
    """
    shelf = Tar(Path(inputs)) if Path(inputs).suffix.lower() == ".tar" else open_shelf(inputs)
    names = shelf.names()
    result = Examination({"folder": str(inputs), "pictures": 0})
    problems = dict(images.find_pictures([shelf.path])[1]) if isinstance(shelf, Folder) else {}
    if isinstance(shelf, Tar) and shelf.damage:
        problems[str(inputs)] = shelf.damage
    kinds: Counter[str] = Counter()
    sides: list[int] = []
    for name, header in zip(names, in_threads(lambda name: _header_of(shelf, name), names, progress)):
        if isinstance(header, UserError):
            problems[str(Path(inputs) / name)] = " ".join(str(header).split())
            continue
        kinds[f"{header.format} {header.channels} x {header.dtype}"] += 1
        sides.append(min(header.width, header.height))
    result.facts |= {
        "pictures": sum(kinds.values()),
        "kinds": dict(kinds.most_common()),
        "shorter_side_px": [min(sides), sorted(sides)[len(sides) // 2], max(sides)] if sides else [],
        "problems": problems,
    }
    result.findings += broken(problems, "files")
    folders = [Path(inputs), *(Path(inputs) / name for name in label_layouts.PHASES)]
    pairs = next((folder for folder in folders if label_layouts.are_side_by_side(folder)), None)
    if pairs is not None:
        what = "All pictures are twice as wide as high: do they show pairs side by side (A|B)?"
        mend = f"To learn one from the other, split them: ganvas label split {pairs} --out DIR"
        result.findings.append(Finding("note", what.removesuffix("?"), mend))
    _examine_classes(shelf, inputs, result)
    return result


def _header_of(shelf: Shelf, name: str) -> images.Header | UserError:
    """Return the header of a picture that can be trained on, or why it cannot: all of it is decoded."""
    try:
        with shelf.file(name) as path:
            header = images.read_header(path)
            decode(path)
    except UserError as error:
        return error
    return header


def _examine_classes(shelf: Shelf, inputs: str | Path, result: Examination) -> None:
    """Add the classes, and what is wrong with a file that names them; pictures without classes are in order."""
    try:
        stored = [name for name in classes.LABEL_FILES if shelf.read_json(name) is not None]
        found = classes.describe(inputs)
    except UserError as error:
        if _has_label_file(shelf):
            result.findings.append(Finding("error", error.what, ". ".join(filter(None, (error.why, error.do)))))
        return
    result.facts |= {"classes": found["classes"], "notes": found["notes"]}
    for reason in ("is not there", "has no label"):
        named = [name for name, why in found["problems"].items() if reason in why]
        if stored and named:
            some = ", ".join(sorted(named)[:_FEW]) + (" ..." if len(named) > _FEW else "")
            told = f"{stored[0]} names {len(named)} pictures that are not there: {some}"
            if reason == "has no label":
                told = f"{len(named)} pictures have no label in {stored[0]} and are left out: {some}"
            result.findings.append(Finding("warning", told, f"Correct {stored[0]}, or add the pictures"))


def _has_label_file(shelf: Shelf) -> bool:
    for name in classes.LABEL_FILES:
        try:
            if shelf.read_json(name) is not None:
                return True
        except UserError:
            return True
    return False
