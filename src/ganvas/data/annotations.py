"""Label and instance maps of annotations, and of Cryptomattes, whose names of objects tell the classes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ganvas.errors import UserError
from ganvas.io.labels import cryptomatte
from ganvas.io.labels.annotations import Annotated, Shape, read_annotations
from ganvas.io.labels.legends import Label, write_legend
from ganvas.io.pictures import images

BACKGROUND = "background"
MOST_THINGS = 64
"""Up to this class an id of class * 1000 + k fits into 16 bits; with more, instances are numbered through."""


@dataclass
class Imported:
    """What was written."""

    count: int = 0
    labels: tuple[Label, ...] = ()
    notes: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def write_maps(
    annotations: Path, out: Path, pictures: Path | None = None, legend: Sequence[Label] = (), overwrite: bool = False
) -> Imported:
    """Write a label and an instance map for each annotated picture into out/labels and out/instances.

    Args:
        annotations: file or folder of them, or Cryptomattes.
        out: folder; a legend is written into it, too.
        pictures: folder of the pictures; maps whose pictures are not there, or have another size, are told.
        legend: classes whose ids are used; by default 0 is background, and the others follow by name.
        overwrite: replace existing maps.

    Raises:
        UserError: nothing there is known as annotations.
    """
    done, lost, strange = Imported(), Counter[str](), Counter[str]()
    mattes = _mattes(annotations)
    found: list[Annotated] = []
    for each in _of_mattes(mattes) if mattes else read_annotations(annotations):
        if isinstance(each, UserError):
            done.errors.append(str(each))
        else:
            found.append(each)
    names = sorted({shape.label for each in found for shape in each.shapes} - {BACKGROUND})
    done.labels = tuple(legend) or _numbered(names)
    ids = {label.name: label.id for label in done.labels}
    for each in found:
        lost.update(each.lost)
        strange.update(shape.label for shape in each.shapes if shape.label not in ids)
        try:
            _check_size(each, pictures)
            for role, plane in zip(("labels", "instances"), _maps(each, ids)):
                target = out / role / f"{each.name}.png"
                target.parent.mkdir(parents=True, exist_ok=True)
                images.write(target, plane, overwrite=overwrite)
            done.count += 1
        except UserError as error:
            done.errors.append(str(error))
    done.notes += [f"{count} of the kind {kind} have no area and are lost" for kind, count in lost.items()]
    done.notes += [f"{count} shapes of {name!r} are lost: the legend lacks it" for name, count in strange.items()]
    if done.count:
        write_legend(out / "legend.json", done.labels)
    return done


def _numbered(names: Sequence[str]) -> tuple[Label, ...]:
    classes = [Label(0, BACKGROUND, (0, 0, 0))]
    for number, name in enumerate(names, 1):
        color = number * 67 % 256, number * 131 % 256, 255 - number % 256
        classes.append(Label(number, name, color, thing=True))
    return tuple(classes)


def _maps(each: Annotated, ids: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    highest = max(ids.values())
    label_map, instance_map = (np.zeros(each.size, np.int64) for _ in range(2))
    base = ids.get(BACKGROUND, 0 if 0 in ids.values() else 255)
    label_map[:] = base
    counts: Counter[str] = Counter()
    known: dict[tuple[str, str], int] = {}
    for number, shape in enumerate(each.shapes):
        if shape.label not in ids:
            continue
        key = shape.label, shape.group or f"\0{number}"
        if key not in known:
            wide = highest > MOST_THINGS
            known[key] = len(known) + 1 if wide else ids[shape.label] * 1000 + min(counts[shape.label], 999)
            counts[shape.label] += 1
        label_map[shape.area], instance_map[shape.area] = ids[shape.label], known[key]
    depth = np.uint8 if max(highest, base) < 256 else np.uint16
    return label_map.astype(depth), instance_map.astype(np.uint16)


def _check_size(each: Annotated, pictures: Path | None) -> None:
    if pictures is None:
        return
    beside = [path for path in (pictures / each.name).parent.glob(f"{Path(each.name).name}.*")
              if path.suffix.lower() in images.READABLE]  # fmt: skip
    if not beside:
        raise UserError(f"{each.name} has no picture in {pictures}")
    header = images.read_header(beside[0])
    if (header.height, header.width) != each.size:
        why = f"The picture is {header.width}x{header.height}, the annotations are of {each.size[1]}x{each.size[0]}"
        raise UserError(f"{each.name} does not fit its picture", why)


def _mattes(path: Path) -> list[Path]:
    files = [path] if path.is_file() else sorted(path.rglob("*.exr"))
    return [file for file in files if file.suffix.lower() == ".exr" and cryptomatte.layers(file)]


def _of_mattes(files: Sequence[Path]) -> list[Annotated | UserError]:
    """Return the objects of Cryptomattes: car, car1 and car_002 are things of the class car."""
    found: list[Annotated | UserError] = []
    for file in files:
        try:
            matte = cryptomatte.read_matte(file)
            each = Annotated(file.stem, matte.ids.shape)
            for name, code in sorted(matte.names.items()):
                if (area := matte.ids == code).any():
                    label = re.sub(r"[\s._:-]*\d+$", "", name.rpartition("/")[2]) or name
                    each.shapes.append(Shape(label, area, name))
            nameless = set(np.unique(matte.ids).tolist()) - {0, *matte.names.values()}
            each.lost.update(["objects without a name"] * len(nameless))
            found.append(each)
        except UserError as error:
            found.append(error)
    return found
