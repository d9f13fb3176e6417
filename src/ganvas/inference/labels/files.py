"""Label map files in, picture files out: which maps belong together, and a folder of them that no bad one stops."""

from __future__ import annotations

import glob
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from ganvas.data import label_layouts
from ganvas.data.pictures import decode
from ganvas.errors import UserError
from ganvas.inference.labels.painter import Chosen, LabelPainter, MapFiles, Regions
from ganvas.io.pictures import images


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
    """Return the maps of a folder of label maps, of a data set that has such, of its clips, of a glob, or of one file.

    Instance maps and inputs lie in the folder given, or where they belong in the layout of the label maps' folder; they
    go with the label maps of the same name, but for the ending that tells their role.

    Raises:
        UserError: there are no label maps.
    """
    root = Path(labels)
    if instances and not Path(instances).is_dir():
        raise UserError(f"The folder of instance maps {instances} does not exist")
    given = {"instances": Path(instances)} if instances else {}
    if root.is_file() or (glob.has_magic(str(root)) and not root.exists()):
        paths, problems = images.find_pictures([root])
        if not paths:
            raise UserError(f"{root} holds no label maps", "; ".join(why for _, why in problems))
        places = {path.parent: None for path in paths}
        partners = {place: _Partners({**label_layouts.beside_maps(place), **given}, place) for place in places}
        return [MapFiles(path.stem, path, **partners[path.parent].of(path)) for path in paths]
    clips = label_layouts.find_maps(root)
    found: list[MapFiles] = []
    for clip, folders in clips.items():
        folder = folders["labels"]
        partners = _Partners({**folders, **given}, folder)
        for path in label_layouts.listed("labels", folder):
            below = path.relative_to(folder).with_suffix("").as_posix()
            name = f"{clip}/{below}" if clip else below
            found.append(MapFiles(name, path, **partners.of(path)))
    if not found:
        raise UserError(f"{root} holds no label maps", do="Give a folder of 8-bit or 16-bit pictures of class ids")
    return found


class _Partners:
    """Finds the instance maps and inputs of the label maps of a folder."""

    def __init__(self, folders: Mapping[str, Path], folder: Path) -> None:
        self.folder, self.folders = folder, {role: folders[role] for role in ("instances", "input") if role in folders}
        self.named = {
            role: label_layouts.by_name(label_layouts.listed(role, place), place)
            for role, place in self.folders.items()
        }

    def of(self, path: Path) -> dict[str, Path]:
        """Return the files that go with a label map; one that is missed is told when it is read."""
        below = path.relative_to(self.folder)
        absent = below.with_name(below.name.replace("_labelIds", "_instanceIds"))
        key = label_layouts.key_of(below)
        return {role: self.named[role].get(key, place / absent) for role, place in self.folders.items()}


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
    target: Path | None = None
    """The file of the picture, where only one is made."""
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
        target = order.target or out / f"{file.name}{order.suffix}"
        began = time.perf_counter()
        try:
            regions = painter.read(file)
            chosen = choose(regions)
            report = None if progress is None else lambda done, of, name=file.name: progress(name, done, of)
            _write(target, painter.paint(regions, chosen.features, report), regions.size, order)
            seconds = round(time.perf_counter() - began, 3)
            height, width = regions.size
            # What concerns the model is told once.
            is_first = all(result.error for result in results)
            once = [painter.warning, painter.note_on(file)] if is_first else []
            note = "; ".join(filter(None, [*chosen.notes, *once]))
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
