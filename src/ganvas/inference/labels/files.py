"""Label map files in, picture files out: which maps belong together, and a folder of them that no bad one stops."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from ganvas.data.label_layouts import ROLES
from ganvas.data.pictures import decode
from ganvas.errors import UserError
from ganvas.inference.labels.painter import Chosen, LabelPainter, MapFiles, Regions
from ganvas.io.pictures import images

CITYSCAPES = ("gtFine", "gtCoarse")
"""Folders that hold label and instance maps side by side."""


@dataclass(frozen=True)
class Result:
    """What became of one label map."""

    input: str
    output: str = ""
    width: int = 0
    height: int = 0
    seconds: float = 0.0
    note: str = ""
    error: str = ""
    """Empty when all went well."""


def find_maps(labels: str | Path, instances: str | Path = "") -> list[MapFiles]:
    """Return the maps of a folder of label maps, of a data set that has such a folder, of its clips, or of one file.

    Instance maps lie in the folder given, or in one of a usual name beside that of the label maps; they belong to the
    label maps of the same path below it.

    Raises:
        UserError: there are no label maps.
    """
    root = Path(labels)
    if root.is_file():
        return [MapFiles(root.stem, root, _partner(root, root.parent, _instances_of(root.parent, instances)))]
    if not root.is_dir():
        raise UserError(f"{root} does not exist", do="Give a folder of label maps, or one label map")
    clips = [child for child in sorted(root.iterdir()) if child.is_dir() and _child(child, "labels")]
    own = _child(root, "labels")
    folders = [own] if own else [folder for clip in clips if (folder := _child(clip, "labels"))] or [root]
    found: list[MapFiles] = []
    for folder in folders:
        beside = _instances_of(folder, instances)
        paths, _ = images.find_pictures([folder])
        preferred = [path for path in paths if path.stem.endswith("_labelIds")]
        for path in preferred or paths:
            below = path.relative_to(folder).with_suffix("").as_posix()
            name = f"{folder.parent.name}/{below}" if len(folders) > 1 else below
            found.append(MapFiles(name, path, _partner(path, folder, beside)))
    if not found:
        raise UserError(f"{root} holds no label maps", do="Give a folder of 8-bit or 16-bit pictures of class ids")
    return found


def _child(folder: Path, role: str) -> Path | None:
    present = {child.name.casefold(): child for child in folder.iterdir() if child.is_dir()}
    return next((present[name.casefold()] for name in ROLES[role] if name.casefold() in present), None)


def _instances_of(folder: Path, given: str | Path) -> Path | None:
    if given:
        if not Path(given).is_dir():
            raise UserError(f"The folder of instance maps {given} does not exist")
        return Path(given)
    if any(folder.rglob("*_instanceIds.png")):
        return folder
    beside = _child(folder.parent, "instances")
    return None if beside is None or beside.name in CITYSCAPES else beside


def _partner(path: Path, folder: Path, instances: Path | None) -> Path | None:
    if instances is None or (instances == folder and "_labelIds" not in path.name):
        return None
    below = path.relative_to(folder)
    names = [below.name.replace("_labelIds", "_instanceIds"), below.name]
    for name in dict.fromkeys(names):
        for candidate in (instances / below.parent / name, *(instances / below.parent).glob(f"{Path(name).stem}.*")):
            if candidate.is_file() and candidate != path:
                return candidate
    # It is missed when the map is read: one that lacks it must not stop the others.
    return instances / below.parent / names[0]


@dataclass(frozen=True, kw_only=True)
class Order:
    """How pictures are made of label maps."""

    seed: int = 0
    wanted: Mapping[int, int] = field(default_factory=dict)
    """Class -> number of its style."""
    style_from: Path | None = None
    """A picture whose styles are taken."""
    style_labels: Path | None = None
    """The label map of that picture; without it the picture lies under each label map."""
    style_instances: Path | None = None
    bits: Literal[8, 16] = 8
    suffix: str = ".png"
    overwrite: bool = False


def make_pictures(
    painter: LabelPainter,
    files: Sequence[MapFiles],
    out: Path,
    order: Order,
    on_result: Callable[[Result], None] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Result]:
    """Make a picture of every label map into a folder; what is wrong with one stops none of the others.

    Raises:
        UserError: something is wrong that concerns all of them.
    """
    choose = _chooser(painter, order)
    results = []
    for file in files:
        target = out / f"{file.name}{order.suffix}"
        began = time.perf_counter()
        try:
            regions = painter.read(file)
            chosen = choose(regions)
            report = None if progress is None else lambda done, of, name=file.name: progress(name, done, of)
            _write(target, painter.paint(regions, chosen.features, report), regions.size, order)
            seconds = round(time.perf_counter() - began, 3)
            height, width = regions.size
            # What concerns the model is told once.
            note = "; ".join([*chosen.notes, *([painter.warning] if painter.warning and not results else [])])
            result = Result(str(file.labels), str(target), width, height, seconds, note)
        except UserError as error:
            result = Result(str(file.labels), error=str(error))
        results.append(result)
        if on_result:
            on_result(result)
    return results


def _chooser(painter: LabelPainter, order: Order) -> Callable[[Regions], Chosen]:
    if order.style_from is None:
        # What is wrong with the choice is wrong with it for every map.
        painter.draw(Regions.of(*torch.full((2, 1, 1, 1, 1), -1)), order.seed, order.wanted)
        return lambda regions: painter.draw(regions, order.seed, order.wanted)
    picture = torch.from_numpy(images.to_float(decode(order.style_from))).permute(2, 0, 1)
    picture = picture.expand(3, -1, -1)[None]
    of = None
    if order.style_labels:
        of = painter.read(MapFiles("", order.style_labels, order.style_instances))
    return lambda regions: painter.copy(regions, picture, of, order.seed)


def _write(target: Path, strips: Iterator[np.ndarray], size: tuple[int, int], order: Order) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    dtype = "uint8" if order.bits == 8 else "uint16"
    header = images.Header(size[1], size[0], 3, dtype, "png", bits=order.bits)
    with images.Writer(target, header, size[1], size[0], overwrite=order.overwrite) as writer:
        for rows in strips:
            writer.write_rows(images.from_float(rows, dtype))


def write_style_sheet(painter: LabelPainter, regions: Regions, label: int, target: Path, order: Order) -> int:
    """Write a row of pictures, the label map with each style of a class in turn, and return its width in pixels.

    Raises:
        UserError: the class has no styles, or the file cannot be written.
    """
    count = painter.num_styles(label)
    if not count:
        why = "No instance of it was seen when styles were gathered"
        raise UserError(f"There are no styles of {painter.name_of(label)}", why)
    wanted = [dict(order.wanted) | {label: number} for number in range(count)]
    sheet = np.concatenate(
        [painter.picture(regions, painter.draw(regions, order.seed, each).features) for each in wanted], axis=1
    )
    height, width = sheet.shape[:2]
    _write(target, iter([sheet]), (height, width), order)
    return width
