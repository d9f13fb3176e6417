"""Label map files in, picture files out: which maps belong together, and a folder of them that no bad one stops."""

from __future__ import annotations

import glob
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch

from ganvas.data import label_layouts
from ganvas.data.decoding import decode
from ganvas.data.inspect import examine_maps
from ganvas.errors import UserError
from ganvas.inference.labels import choices, film
from ganvas.inference.labels.options import Options
from ganvas.inference.labels.painter import Chosen, LabelPainter, MapFiles, Regions
from ganvas.inference.labels.scene_files import SCENE, find_scenes, read_scene
from ganvas.inference.result import Cancelled, Job, Progress, Result, run_batch
from ganvas.io.pictures import images
from ganvas.io.pictures.captioned import LINE_PX
from ganvas.io.pictures.captions import caption
from ganvas.io.pictures.tensors import to_tensor

MAPS_READ = 24
"""Maps that the doctor reads, spread over all."""
A_FEW = 3
"""Maps whose errors are told one by one, even where all have one."""
NAMED_PX = 96
"""Width from which on a panel of a sheet has room for the name of its class beside the number of its style."""
DEEPEST = 6
"""Folders below the one that is named in which sets are looked for."""


def find_maps(labels: str | Path, instances: str | Path = "", inputs: str | Path = "") -> list[MapFiles]:
    """Return the maps of a folder of label maps, of a data set that has such, of its clips, of a glob, or of one file.

    Instance maps and inputs lie in the folder given, or where they belong in the layout of the label maps' folder; they
    go with the label maps of the same name, but for the ending that tells their role.

    Raises:
        UserError: there are no label maps.
    """
    root = Path(labels)
    if scenes := find_scenes(root):
        if instances:
            raise UserError("--instances means nothing for a painted scene", "It has an instance map", "Leave it out")
        return [_maps_of_scene(folder, inputs) for folder in scenes]
    given = {role: Path(place) for role, place in (("instances", instances), ("input", inputs)) if place}
    for role, place in given.items():
        if not place.is_dir():
            kind = {"instances": "instance maps", "input": "inputs"}[role]
            raise UserError(f"The folder of {kind} {place} does not exist")
    if root.is_file() or (glob.has_magic(str(root)) and not root.exists()):
        paths, problems = images.find_pictures([root])
        if not paths:
            raise UserError(f"{root} holds no label maps", "; ".join(why for _, why in problems))
        places = {path.parent: None for path in paths}
        partners = {place: _Partners({**label_layouts.beside_maps(place), **given}, place) for place in places}
        return [MapFiles(path.stem, path, **partners[path.parent].of(path)) for path in paths]
    clips = label_layouts.find_maps(root)
    if clips.keys() == {""} and clips[""]["labels"] == root:
        _refuse_nested(root)
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


def _refuse_nested(root: Path) -> None:
    """Refuse a folder of no maps of its own that holds sets further below: all its pictures would be taken for maps.

    Raises:
        UserError: there are such sets; they are named.
    """
    names = {name.casefold() for name in label_layouts.ROLES["labels"]}
    below = (path for depth in range(2, DEEPEST + 1) for path in sorted(root.glob("/".join("*" * depth))))
    sets = list(dict.fromkeys(path.parent for path in below if path.name.casefold() in names and path.is_dir()))
    if sets and not images.find_pictures([root], recursive=False)[0]:
        why = f"Label maps lie in {', '.join(map(str, sets[:3]))}{' ...' if len(sets) > 3 else ''}"
        raise UserError(f"{root} is no folder of label maps", why, f"Name that: --labels {sets[0]}")


def _maps_of_scene(folder: Path, inputs: str | Path) -> MapFiles:
    name = folder.resolve().name
    beside = next((path for path in Path(inputs).glob(f"{name}.*")), None) if inputs else None
    return MapFiles(name, folder / SCENE, folder / SCENE, beside, folder)


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


def make_pictures(painter: LabelPainter, options: Options, progress: Progress | None = None) -> list[Result]:
    """Generate a picture of every label map into a folder; what is wrong with one stops none of the others.

    Raises:
        UserError: something is wrong that concerns all of them.
    """
    files = find_maps(options.labels, options.instances, options.inputs)
    if options.num and len(files) > options.num:
        files = [files[place * len(files) // options.num] for place in range(options.num)]
    choose = _chooser(painter, options, files)
    if film.is_film(options.out):
        maps = [_roles(file) for file in files if file.scene is None]
        (progress or Progress()).warn_of(examine_maps(maps, painter.legend, MAPS_READ))
        try:
            made = film.make_film(painter, files, choose, options, (progress or Progress()).of(str(options.out)))
        except Cancelled:
            return []
        (progress or Progress()).finish(made)
        return [made]
    is_file = _is_file(options.out)
    if is_file and len(files) > 1:
        do = f"Give a folder by --out, or numbered frames: {options.out.with_suffix('')}.####{options.out.suffix}"
        raise UserError(f"{options.out} is one picture", f"{len(files)} label maps make more", do)
    _require_usable(painter, files)
    targets = [options.out if is_file else options.out / f"{file.name}{suffix_of(options)}" for file in files]
    if not options.overwrite and (taken := [target for target in targets if target.exists()]):
        raise UserError(f"{taken[0]} exists already", f"{len(taken)} of {len(targets)} do", "Add --overwrite")
    jobs = {Job(file.labels, target): file for file, target in zip(files, targets)}
    maps = [_roles(file) for file in files if file.scene is None]
    (progress or Progress()).warn_of(examine_maps(maps, painter.legend, MAPS_READ))
    is_told = False

    def work(job: Job, progress: Progress) -> Result:
        nonlocal is_told
        began = time.perf_counter()
        regions = painter.read(jobs[job])
        chosen = choose(regions, jobs[job].scene)
        _write(job.target, painter.paint(regions, chosen.features, progress.of(jobs[job].name)), regions.size, options)
        height, width = regions.size
        # What concerns the model is told once.
        once = [] if is_told else [painter.warning, painter.note_on(jobs[job])]
        is_told = True
        return Result(
            input=str(job.source), output=str(job.target), width=width, height=height,
            seconds=round(time.perf_counter() - began, 3), note="; ".join(filter(None, [*chosen.notes, *once])),
        )  # fmt: skip

    return run_batch(jobs, work, progress)


def _is_file(out: Path) -> bool:
    """Tell whether a name is that of one picture.

    Raises:
        UserError: it is one of a kind that is not written.
    """
    suffix = out.suffix.lower()
    if suffix in images.READABLE and suffix not in images.WRITABLE and not out.is_dir():
        raise UserError(f"{out} cannot be written", f"{suffix} is only read", "Name a .png, or a folder")
    return suffix in images.WRITABLE and not out.is_dir()


def _require_usable(painter: LabelPainter, files: Sequence[MapFiles]) -> None:
    """Refuse in one sentence what would be as many as there are maps, where the first few are as bad as all others.

    Raises:
        UserError: not one of more than a few maps can be used.
    """
    if len(files) <= A_FEW:
        return
    first: UserError | None = None
    for file in files:
        try:
            painter.read(file)
        except UserError as error:
            first = first or error
        else:
            return
    if first is not None:
        raise UserError(f"None of the {len(files)} label maps can be used", f"{first.what}. {first.why}", first.do)


def _roles(file: MapFiles) -> dict[str, Path]:
    roles = {"labels": file.labels}
    if file.instances is not None and file.instances.is_file():
        roles["instances"] = file.instances
    return roles


def suffix_of(options: Options) -> str:
    """Return the ending of the pictures' names."""
    return f".{options.extension.removeprefix('.')}"


def wanted_styles(painter: LabelPainter, texts: Sequence[str]) -> dict[int, int]:
    """Return the number of the style by class of texts such as `car=3`.

    Raises:
        UserError: a text is written otherwise, or names no class.
    """
    wanted = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        if not name or not number.isdigit():
            raise UserError(f"--style is {text!r}", do="Give a class and a number, as in --style car=3")
        wanted[painter.class_named(name)] = int(number)
    return wanted


Chooser: TypeAlias = Callable[[Regions, Path | None], Chosen]
"""What gives each region its style; of a painted scene also the folder is told."""


def _chooser(painter: LabelPainter, options: Options, files: Sequence[MapFiles]) -> Chooser:
    plain = [text for text in options.style if choices.is_plain(text)]
    wanted = wanted_styles(painter, plain)
    of = MapFiles("", options.style_labels, options.style_instances) if options.style_labels else None
    singled = choices.read_choices(painter, [text for text in options.style if text not in plain], of)
    choose = _plain_chooser(painter, options, wanted, of)
    if not singled:
        return choose
    if not options.is_piece:
        choices.require_shown(painter, singled, files)

    def choose_singled(regions: Regions, scene: Path | None) -> Chosen:
        chosen, used = choices.with_choices(regions, choose(regions, scene), singled)
        absent = [text for number, text in enumerate(singled) if number not in used and text.instance is not None]
        chosen.notes.extend(f"{painter.name_of(each.label)}@{each.instance} is not in this map" for each in absent)
        return chosen

    return choose_singled


def _plain_chooser(painter: LabelPainter, options: Options, wanted: Mapping[int, int], of: MapFiles | None) -> Chooser:
    if options.style_from is None:
        # What is wrong with the choice is wrong with it for every map.
        painter.draw(Regions.of(*torch.full((2, 1, 1, 1, 1), -1)), options.seed, wanted)

        def draw(regions: Regions, scene: Path | None) -> Chosen:
            drawn = painter.draw(regions, options.seed, wanted)
            return (
                drawn if scene is None else choices.with_saved(regions, drawn, read_scene(scene).scene.styles, wanted)
            )

        return draw
    picture = to_tensor(decode(options.style_from))[None]
    regions_of = painter.read(of) if of else None
    return lambda regions, _: painter.copy(regions, picture, regions_of, options.seed)


def _write(target: Path, strips: Iterator[np.ndarray], size: tuple[int, int], options: Options) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    dtype = "uint8" if options.bits == 8 else "uint16"
    header = images.Header(size[1], size[0], 3, dtype, "png", bits=options.bits)
    with images.Writer(target, header, size[1], size[0], overwrite=options.overwrite) as writer:
        for rows in strips:
            writer.write_rows(images.from_float(rows, dtype))


def make_style_sheets(painter: LabelPainter, options: Options, progress: Progress | None = None) -> list[Result]:
    """Write each label map with every style of a class side by side, of one class or of all.

    Raises:
        UserError: there is no such class, or a map does not show it.
    """
    asked = None if options.styles == "all" else painter.class_named(options.styles)
    wanted = wanted_styles(painter, options.style)
    if film.is_film(options.out):
        raise UserError(
            f"{options.out} is a clip", "--styles writes sheets", "Name a folder, or sheet.png for one sheet"
        )
    is_file = _is_file(options.out)
    found: dict[Job, tuple[Regions, int]] = {}
    files = find_maps(options.labels, options.instances, options.inputs)
    if is_file and len(files) > 1:
        why = f"{len(files)} label maps make a sheet each"
        raise UserError(f"{options.out} is one sheet", why, "Name one label map by --labels, or a folder by --out")
    for file in files:
        regions = painter.read(file)
        if asked is not None and asked not in regions.labels:
            raise UserError(f"{file.labels} shows no {painter.name_of(asked)}")
        present = [label for label in sorted(set(regions.labels)) if painter.num_styles(label)]
        if is_file and asked is None and len(present) > 1:
            why = f"{', '.join(map(painter.name_of, present))} make a sheet each"
            raise UserError(f"{options.out} is one sheet", why, "Name one class by --styles, or a folder by --out")
        for label in present if asked is None else [asked]:
            name = f"{file.name}_{painter.name_of(label).replace(' ', '_')}{suffix_of(options)}"
            found[Job(file.labels, options.out if is_file else options.out / name)] = regions, label

    def work(job: Job, _: Progress) -> Result:
        regions, label = found[job]
        sheet = style_sheet(painter, regions, label, options.seed, wanted)
        height, width = sheet.shape[:2]
        _write(job.target, iter([sheet]), (height, width), options)
        note = f"{painter.num_styles(label)} styles"
        return Result(input=str(job.source), output=str(job.target), width=width, height=height, note=note)

    return run_batch(found, work, progress)


def style_sheet(
    painter: LabelPainter, regions: Regions, label: int, seed: int, wanted: Mapping[int, int]
) -> np.ndarray:
    """Return a row of pictures, a label map with each style of a class, under its number: (18 + H, N * W, 3) in [0, 1].

    Raises:
        UserError: the class has no styles.
    """
    count = painter.num_styles(label)
    if not count:
        why = "No instance of it was seen when styles were gathered"
        raise UserError(f"There are no styles of {painter.name_of(label)}", why)
    each = [dict(wanted) | {label: number} for number in range(count)]
    row = np.concatenate([painter.picture(regions, painter.draw(regions, seed, one).features) for one in each], axis=1)
    name, width = painter.name_of(label), regions.size[1]
    numbers = [f"{name}={number}" if width >= NAMED_PX else str(number) for number in range(count)]
    return np.concatenate([np.concatenate([caption(text, width, LINE_PX) for text in numbers], axis=1), row])
