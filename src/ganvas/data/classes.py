"""Pictures with classes: a folder for each class, or one `labels.json` or `dataset.json`, in a folder, zip or tar file.

    flowers/rose/0001.jpg            the class is the first folder's name
    flowers/labels.json              {"labels": {"a.jpg": "rose", "b.jpg": "tulip"}}
    flowers/dataset.json             {"labels": [["a.jpg", 0], ["b.jpg", 1]]}   (StyleGAN's; "classes" may name them)
    flowers-000.tar                  as any of these, or a.jpg with a.cls beside it   (WebDataset's)

What is wrong with labels is said before training: one class for all, pictures without a label, classes without a
picture, classes much smaller than others.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from ganvas.data.cache import CACHE_BYTES, ByteCache
from ganvas.data.decoding import check_cost, decode
from ganvas.data.degrade import resize_bicubic
from ganvas.data.doctor import Examination
from ganvas.data.pictures import CHECKED_BYTES, Report, in_threads
from ganvas.errors import UserError, did_you_mean
from ganvas.io.pictures import images
from ganvas.io.pictures.archives import Folder, Shelf
from ganvas.io.pictures.labelled_shards import open_labelled
from ganvas.io.pictures.tensors import to_tensor
from ganvas.protocol import Source

LABEL_FILES = ("labels.json", "dataset.json")
SMALL_SHARE = 0.1
"""A class with less than this share of the largest one's pictures is worth a word."""

MOST_EMPTY, CLASSES_A_PICTURE = 1000, 10
"""Labels that are numbers may go to this, or to so many times the number of pictures, before they count as wrong."""


@dataclass
class ClassReport(Report):
    """Which pictures are used, how many of each class, and what looks wrong with the classes."""

    counts: dict[str, int] = field(default_factory=dict)
    """Class -> pictures."""
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """A summary of pictures and classes."""
        classes = f"{len(self.counts)} classes of {min(self.counts.values())} to {max(self.counts.values())} pictures"
        return "\n".join([super().text, classes, *self.notes])


class ClassPictures(Source):
    """The largest centred square of each picture with its class: {"picture": (3, S, S) uint8, "label": () int64}.

    Mirrored at random where `mirror` is on. Squares are kept in memory, so that files are read once. A picture that
    cannot be read is replaced by another of its class.

    Args:
        inputs: a folder, a zip file, an uncompressed tar file, or a folder or glob of such shards.
        size_px: side of the squares; smaller pictures are passed over and named.
        mirror: mirror pictures at random; not for digits and letters.
        class_names: the classes in their order, as those of a set trained on; otherwise those found, naturally sorted.
        cache_bytes: squares that are kept.

    Raises:
        UserError: there are no labels, or only one for all, or no picture can be used.
    """

    def __init__(
        self,
        inputs: str | Path,
        size_px: int,
        mirror: bool = True,
        class_names: Sequence[str] = (),
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.size_px, self.mirror, self.inputs = size_px, mirror, Path(inputs)
        self._shelf = open_labelled(inputs)
        self.report = ClassReport()
        found, names = _labelled(self._shelf, self.inputs, self.report)
        self.class_names = list(class_names) or names
        self._items = self._usable(_numbered(found, self.class_names, self.inputs))
        if not self._items:
            raise UserError(f"No picture in {inputs} can be used", super(ClassReport, self.report).text, _layouts())
        self._squares: ByteCache[Tensor] = ByteCache(cache_bytes, evicts=False)
        self._lint(is_given=bool(class_names))

    def _usable(self, labels: Mapping[str, int]) -> list[tuple[str, int]]:
        items: list[tuple[str, int]] = []
        for name, label in labels.items():
            try:
                # Those of an archive would have to be unpacked for their headers; they are looked at when needed.
                if isinstance(self._shelf, Folder):
                    _check_size(self._shelf.path / name, self.size_px)
            except UserError as error:
                self.report.skip(name, str(error))
                continue
            items.append((name, label))
        self.report.num_used = len(items)
        return items

    def _lint(self, is_given: bool) -> None:
        counts = Counter(label for _, label in self._items)
        self.report.counts = {name: counts[number] for number, name in enumerate(self.class_names)}
        present = [name for name, count in self.report.counts.items() if count]
        if len(present) < 2 and not is_given:
            why = f"All {len(self._items)} pictures are of the class {present[0]!r}"
            raise UserError(f"{self.inputs} has one class only", why, _layouts())
        empty = [name for name, count in self.report.counts.items() if not count]
        largest = max(self.report.counts.values())
        small = [name for name, count in self.report.counts.items() if 0 < count < SMALL_SHARE * largest]
        notes = [f"Classes without a picture: {_some(empty)}."] if empty else []
        if small:
            notes.append(f"Classes with less than a tenth of the largest one's {largest} pictures: {_some(small)}.")
        self.report.notes = tuple(notes)

    def __len__(self) -> int:
        return len(self._items)

    @property
    def labels(self) -> Tensor:
        """The class of each sample: (N,)."""
        return torch.tensor([label for _, label in self._items])

    def examine(self) -> Examination:
        """Decode all pictures of a set of few bytes, and name those that are broken in the report."""
        if self._shelf.num_bytes([name for name, _ in self._items]) <= CHECKED_BYTES:
            for (name, _), error in zip(self._items, in_threads(self._fault, [name for name, _ in self._items])):
                if error:
                    self.report.skip(name, error, was_used=True)
        return Examination()

    def _fault(self, name: str) -> str:
        try:
            self._squares.get(name, lambda: self._make(name))
        except UserError as error:
            return str(error)
        return ""

    takes_all_below = True
    """Every picture below the folder is trained on."""

    def classes(self) -> list[int]:
        """Return the number of each sample's class."""
        return [label for _, label in self._items]

    def groups(self) -> list[str]:
        """Return the name of each sample's picture."""
        return [name for name, _ in self._items]

    def subset(self, indices: Sequence[int]) -> Self:
        """Return the source of only these pictures; it shares the squares made so far."""
        chosen = type(self).__new__(type(self))
        chosen.__dict__.update(self.__dict__)
        chosen._items = [self._items[index] for index in indices]
        return chosen

    def sample(self, index: int, random: np.random.Generator) -> dict[str, Tensor]:
        """Return one square and its class.

        Raises:
            UserError: no picture of this class can be read.
        """
        square = self.square(index)
        mirrored = self.mirror and random.random() < 0.5
        return {"picture": square.flip(-1) if mirrored else square, "label": torch.tensor(self._items[index][1])}

    def square(self, index: int) -> Tensor:
        """Return a sample's square as it lies there: (3, S, S) uint8.

        Raises:
            UserError: no picture of its class can be read.
        """
        name, label = self._items[index]
        return self._squares.get(name, lambda: self._readable(name, label))

    def _readable(self, name: str, label: int) -> Tensor:
        """Return a picture's square, or that of another one of its class where it cannot be read."""
        others = [other for other, its_label in self._items if its_label == label and other != name]
        for candidate in (name, *others):
            try:
                return self._make(candidate)
            except UserError as error:
                self.report.skip(candidate, str(error), was_used=True)
        raise UserError(f"No picture of the class {self.class_names[label]!r} can be read", self.report.text)

    def _make(self, name: str) -> Tensor:
        with self._shelf.file(name) as path:
            picture = decode(path)
        height, width = picture.shape[:2]
        side = min(height, width)
        if side < self.size_px:
            raise UserError(f"{name} is too small", f"{width} x {height} px where {self.size_px} are needed")
        top, left = (height - side) // 2, (width - side) // 2
        square = to_tensor(picture[top : top + side, left : left + side])
        if side != self.size_px:
            square = resize_bicubic(square[None], size=(self.size_px, self.size_px))[0]
        return (square.clamp(0, 1) * 255).round().to(torch.uint8)


def _check_size(path: Path, size_px: int) -> None:
    header = images.read_header(path)
    check_cost(path, header)
    if min(header.width, header.height) < size_px:
        raise UserError(f"too small: {header.width} x {header.height} px, at least {size_px} are needed")


def _layouts() -> str:
    return "Give a folder with one folder a class, or pictures with a labels.json or dataset.json beside them"


def _some(names: Sequence[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


# Where the labels come from


def _labelled(shelf: Shelf, where: Path, report: Report) -> tuple[dict[str, str], list[str]]:
    """Return the class name of each picture, and all classes in order."""
    names = shelf.names()
    if not names:
        raise UserError(f"{where} holds no pictures", do=_layouts())
    for file in LABEL_FILES:
        if (stored := shelf.read_json(file)) is not None:
            return _from_json(stored, names, f"{where}/{file}", report)
    return _from_folders(shelf, names, where, report)


def _from_folders(shelf: Shelf, names: Sequence[str], where: Path, report: Report) -> tuple[dict[str, str], list[str]]:
    folders = [name for name in shelf.folders() if name]
    if not folders:
        raise UserError(f"{where} has no classes", "Its pictures lie in no folders, and no labels.json names them",
                        _layouts())  # fmt: skip
    _check_level(names, where)
    found: dict[str, str] = {}
    for name in names:
        folder, is_below, _ = name.partition("/")
        if is_below:
            found[name] = folder
        else:
            report.skip(name, "has no class: it lies in no folder")
    return found, sorted(folders, key=natural)


def _check_level(names: Sequence[str], where: Path) -> None:
    """Refuse folders whose pictures all lie one level deeper: train/ and val/ would be taken for the classes."""
    below = [Path(name).parts for name in names if "/" in name]
    inner: dict[str, set[str]] = {}
    for parts in below:
        if len(parts) == 2:
            return
        inner.setdefault(parts[0], set()).add(parts[1])
    common = set.intersection(*inner.values()) if inner else set()
    if inner and (len(inner) == 1 or common):
        first = next(iter(inner))
        classes = sorted(inner[first], key=natural)
        raise UserError(
            f"The classes of {where} lie one level too deep",
            f"{first}/ holds the folders {_some(classes, 4)}; {_some(list(inner), 4)} would be taken for classes",
            f"Use {where / first}",
        )


def _from_json(
    stored: Mapping[str, Any], names: Sequence[str], where: str, report: Report
) -> tuple[dict[str, str], list[str]]:
    labels: Any = stored.get("labels", {key: value for key, value in stored.items() if key != "classes"})
    if not labels:
        raise UserError(f"{where} has no labels", f'Its "labels" are {labels!r}', 'Write {"labels": {"a.jpg": "rose"}}')
    try:
        pairs = {str(name): label for name, label in (labels.items() if isinstance(labels, Mapping) else labels)}
    except (TypeError, ValueError) as error:
        raise UserError(f"{where} cannot be understood", str(error), 'Write {"labels": {"a.jpg": "rose"}}') from error
    named = _listed_classes(stored, where)
    present = set(names)
    found: dict[str, str] = {}
    for name, label in pairs.items():
        if name not in present:
            report.skip(name, f"is named in {Path(where).name} but is not there")
        else:
            found[name] = _class_name(label, named, name, where)
    for name in present - pairs.keys():
        report.skip(name, f"has no label in {Path(where).name}")
    if named:
        return found, named
    values = list(pairs.values())
    if all(isinstance(label, int) for label in values):
        _check_highest(max(values), len(pairs), where)
        return found, [str(number) for number in range(max(values) + 1)]
    return found, sorted(set(found.values()), key=natural)


def _listed_classes(stored: Mapping[str, Any], where: str) -> list[str]:
    listed = stored.get("classes") or []
    if not isinstance(listed, list):
        raise UserError(f"{where} cannot be understood", f'Its "classes" are {listed!r}', "List their names in order")
    return [str(name) for name in listed]


def _check_highest(highest: int, num_pictures: int, where: str) -> None:
    """Refuse numbers that cannot count classes: every class, with pictures or without, costs memory in the networks."""
    if highest >= max(MOST_EMPTY, CLASSES_A_PICTURE * num_pictures):
        what = f"The labels in {where} go to {highest} for {num_pictures} pictures"
        raise UserError(what, "Numbers from 0 count the classes", 'Number them 0, 1, 2 ..., or name them: "rose"')


def _class_name(label: Any, named: Sequence[str], picture: str, where: str) -> str:
    if isinstance(label, bool) or not isinstance(label, (int, str)) or (isinstance(label, int) and label < 0):
        why = "A label is a class's number from 0, or its name"
        raise UserError(f"The label of {picture} in {where} is {label!r}", why)
    if not named or (isinstance(label, str) and label in named):
        return str(label)
    if isinstance(label, int) and label < len(named):
        return named[label]
    raise UserError(
        f"{where} names the class {label!r} of {picture}, which its classes lack", do=did_you_mean(str(label), named)
    )


def _numbered(found: Mapping[str, str], class_names: Sequence[str], where: Path) -> dict[str, int]:
    numbers = {name: number for number, name in enumerate(class_names)}
    for picture, name in found.items():
        if name not in numbers:
            what = f"{where} has a class {name!r}, that of {picture}, which the training set lacks"
            raise UserError(what, do=did_you_mean(name, class_names))
    return {picture: numbers[name] for picture, name in found.items()}


def natural(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts class 2 before class 10."""
    parts = re.split(r"(\d+)", name.casefold())
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part]


# To look at


def mosaic(source: ClassPictures, columns: int = 8, rows: int = 24) -> np.ndarray:
    """Return the first pictures of each class, a row for each: (H, W, 3) uint8, 2 px between them.

    Args:
        source: pictures with classes.
        columns: pictures of a class.
        rows: classes shown at most, evenly spread over all.
    """
    labels, gap, side = source.labels, 2, source.size_px
    shown = sorted({round(n) for n in np.linspace(0, len(source.class_names) - 1, min(rows, len(source.class_names)))})
    sheet = np.full((len(shown) * (side + gap) - gap, columns * (side + gap) - gap, 3), 255, np.uint8)
    for row, label in enumerate(shown):
        for column, index in enumerate((labels == label).nonzero()[:columns, 0].tolist()):
            top, left = row * (side + gap), column * (side + gap)
            sheet[top : top + side, left : left + side] = source.square(index).permute(1, 2, 0).numpy()
    return sheet


def describe(inputs: str | Path) -> dict[str, Any]:
    """Return what `ganvas inspect` prints of a set with classes: counts, problems, notes.

    Raises:
        UserError: it has no classes.
    """
    source = ClassPictures(inputs, size_px=1)
    return {
        "folder": str(inputs),
        "pictures": len(source),
        "classes": source.report.counts,
        "notes": list(source.report.notes),
        "problems": source.report.skipped,
    }
