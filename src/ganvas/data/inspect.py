"""The data-set doctor: what is wrong with a folder of pictures and label maps, and what mends each finding.

It reads headers of all files and the pixels of label and instance maps spread over the set. Nothing is changed.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ganvas.data.decoding import faults
from ganvas.data.doctor import Examination, Finding, broken
from ganvas.data.label_layouts import Scene, Scenes, find_scenes
from ganvas.data.smears import Census, color_codes, colors_of
from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.io.labels.legends import Label, read_legend
from ganvas.io.labels.maps import is_lossy, read_instance_map, read_label_map
from ganvas.io.pictures import palettes, shards

NUM_READ = 200
"""Label maps whose pixels are read, spread over the set."""
MANY = 1000
"""Ids from here on are none of classes, unless a legend or the user says so."""
_FEW = 3


@dataclass
class _Ids:
    """What the label maps that were read hold."""

    census: Census = field(default_factory=Census)
    first_seen: dict[int, tuple[Path, int, int]] = field(default_factory=dict)
    """Id -> file, x and y of one pixel that has it."""
    unreadable: dict[Path, UserError] = field(default_factory=dict)
    colored: list[Path] = field(default_factory=list)
    """Colour pictures where ids were expected."""
    lossy: list[Path] = field(default_factory=list)

    @property
    def pixels(self) -> collections.Counter[int]:
        """Return how many pixels each id has."""
        return self.census.pixels


def examine(
    inputs: str | Path | Mapping[str, str | Path],
    num_labels: int = 0,
    ignore: Sequence[int] = (255,),
    report: Callable[[int, int], None] | None = None,
) -> Examination:
    """Return what a data set is and what is wrong with it.

    Args:
        report: called with the maps that were read, and how many there are.
        num_labels: labels that it is to be used with; 0 takes those of its legend, or finds out.

    Raises:
        UserError: it is no data set of labels at all.
    """
    found = find_scenes(inputs)
    result = Examination({"data set": str(inputs), "layout": found.layout, "scenes": len(found.scenes)})
    legend, complaint = _legend(found)
    findings = [*complaint, *_pairing(found), *_sizes(found, result.facts), *_pictures(found)]
    if found.has("labels"):
        chosen = found.scenes[:: max(1, -(-len(found.scenes) // NUM_READ))]
        ids = _read_ids(chosen, legend, report)
        findings += _ids(ids, found, legend, num_labels, ignore, result.facts)
        findings += _instances(chosen, ids, legend, found, result.facts)
        if len(chosen) < len(found.scenes):
            findings.append(Finding("note", f"The pixels of {len(chosen)} of {len(found.scenes)} label maps were read"))
    result.findings = list(findings)
    result.sort()
    return result


def examine_ids(
    found: Scenes, legend: Sequence[Label], num_labels: int, ignore: Sequence[int], most: int
) -> Examination:
    """Return what is wrong with the pixels of label and instance maps, `most` of them spread over the set.

    Args:
        num_labels: labels that it is to be used with, as the user says; 0 where that is left to the data.
    """
    result = Examination()
    chosen = found.scenes[:: max(1, -(-len(found.scenes) // most))]
    ids = _read_ids(chosen, legend)
    result.findings += _ids(ids, found, legend, num_labels, ignore, result.facts)
    result.findings += _instances(chosen, ids, legend, found, result.facts)
    return result


def examine_maps(
    maps: Sequence[Mapping[str, Path]],
    legend: Sequence[Label],
    most: int,
    num_labels: int = 0,
    ignore: Sequence[int] = (255,),
) -> Examination:
    """Return what is wrong with label and instance maps of which each can be read, `most` of them spread over all.

    Args:
        maps: of each picture "labels", and "instances" where it has some.
        legend: of whoever is to read them.
    """
    result = Examination()
    scenes = [Scene("", "", files) for files in maps[:: max(1, -(-len(maps) // most))]]
    if not scenes:
        return result
    found = Scenes("", scenes, [{role: path.parent for role, path in scene.files.items()} for scene in scenes])
    ids = _read_ids(scenes, legend)
    if ids.lossy:
        result.findings.append(_lossy(ids, found))
    if mixed := [] if legend else ids.census.mixtures():
        result.findings.append(_smoothed(len(mixed), ids, found))
    used = sorted(set(ids.pixels) - set(ignore))
    if not (mixed or legend or num_labels) and max(used, default=0) >= MANY:
        result.findings.append(_unnumbered(used, found))
    both = [scene for scene in scenes if "instances" in scene.files and scene.files["labels"] not in ids.unreadable]
    result.findings += _instances(both, ids, legend, found, result.facts)
    return result


def write_legend(inputs: str | Path | Mapping[str, str | Path]) -> Path:
    """Write a legend.json for label maps in colours, a class for each colour by falling area, and return its path.

    Raises:
        UserError: there is a legend already, or the maps are no pictures of few colours.
    """
    found = find_scenes(inputs)
    if found.legend is not None:
        raise UserError(f"{found.legend} exists already", "It is not overwritten")
    census = Census()
    for scene in found.scenes:
        if "labels" in scene.files:
            pixels, _ = shards.read(scene.files["labels"])
            if pixels.shape[-1] < 3 or pixels.dtype != np.uint8:
                raise UserError(f"{scene.files['labels']} holds ids already", do="It needs no legend to be read")
            census.add(color_codes(pixels), colored=True)
    folder = found.folders[0]["labels"]
    mixed, count = census.mixtures(), len(census.pixels)
    do = f"Take the nearest of the main colours: ganvas label remap {folder.parent} --out DIR"
    if mixed:
        what = f"{len(mixed)} of {count} colours in {folder} are rare mixtures, all at edges"
        raise UserError(what, "The maps were smoothed or resized", do)
    if count > 255:
        raise UserError(f"{folder} holds no label maps", f"They have {count} colours", do)
    entries = [
        {"id": number, "name": f"class {number}", "color": colors_of(np.array(code)).tolist(), "thing": False}
        for number, (code, _) in enumerate(census.pixels.most_common())
    ]
    # Beside shards, which are never written to.
    path = (folder.parent if folder.parent.is_dir() else folder.parent.parent) / "legend.json"
    runs.write_json(path, {"labels": entries})
    return path


def _pictures(found: Scenes) -> list[Finding]:
    """Name pictures whose pixels cannot be read, but for those of which not even the header can."""
    files = [scene.files["picture"] for scene in found.scenes if "picture" in scene.files]
    whole = [file for file in files if _has_header(file)]
    return broken({str(file): why for file, why in faults(whole).items()})


def _has_header(file: Path) -> bool:
    try:
        shards.read_header(file)
    except UserError:
        return False
    return True


def _legend(found: Scenes) -> tuple[tuple[Label, ...], list[Finding]]:
    if found.legend is None:
        return (), []
    try:
        return read_legend(found.legend), []
    except UserError as error:
        return (), [Finding("error", str(error), f"Correct {found.legend}")]


def _pairing(found: Scenes) -> Iterator[Finding]:
    if not found.scenes:
        yield Finding(
            "error", "No picture has a label map or input of its name",
            "Rename the files so that both have the same name but for an ending such as _img and _label, or name the "
            "folders: labels=DIR,picture=DIR",
        )  # fmt: skip
    if found.unpaired:
        some = "; ".join(f"{Path(path).name} {why}" for path, why in list(found.unpaired.items())[:_FEW])
        what = f"{len(found.unpaired)} files have no partner and are left out: {some}"
        yield Finding("warning" if found.scenes else "error", what, "Rename or add the missing ones, or remove these")
    if found.has("labels") and not found.has("instances"):
        yield Finding(
            "note", "There are no instance maps: neighbouring things of a class will run into each other",
            "Add a folder `instances` of 16-bit PNGs, or make both: ganvas label PICTURES --with SEGMENTER --out DIR",
        )  # fmt: skip


def _sizes(found: Scenes, facts: dict[str, Any]) -> Iterator[Finding]:
    sizes: collections.Counter[str] = collections.Counter()
    odd: list[str] = []
    kinds: collections.Counter[str] = collections.Counter()
    for scene in found.scenes:
        try:
            headers = {role: shards.read_header(path) for role, path in scene.files.items()}
        except UserError as error:
            yield Finding("error", str(error), "Restore the file, or remove it; training passes over it")
            continue
        seen = {role: f"{header.width}x{header.height}" for role, header in headers.items()}
        sizes[seen["picture"]] += 1
        picture = headers["picture"]
        kinds[f"{picture.channels} x {picture.dtype}"] += 1
        if len(set(seen.values())) > 1:
            odd.append(f"{scene.name} ({', '.join(f'{role} {size}' for role, size in seen.items())})")
    facts["sizes"] = dict(sizes.most_common(5))
    facts["pictures"] = dict(kinds)
    if odd:
        yield Finding(
            "error", f"{len(odd)} scenes have maps of another size than the picture: {', '.join(odd[:_FEW])}",
            "Resize the maps to the pictures' size by nearest neighbour, never by bilinear or bicubic",
        )  # fmt: skip
    if len(sizes) > 1:
        yield Finding("note", f"Pictures have {len(sizes)} sizes", "Train with --fit cover or --fit crop")


def _read_ids(
    scenes: Sequence[Scene], legend: Sequence[Label], report: Callable[[int, int], None] | None = None
) -> _Ids:
    ids = _Ids()
    for number, path in enumerate(scene.files["labels"] for scene in scenes):
        if report:
            report(number, len(scenes))
        try:
            if is_lossy(path):
                ids.lossy.append(path)
                continue
            label_map = read_label_map(path, legend)
        except UserError as error:
            if "no label map" in error.what and "colour" in error.why:
                ids.colored.append(path)
            else:
                ids.unreadable[path] = error
            continue
        ids.census.add(label_map)
        values, first = np.unique(label_map, return_index=True)
        for value, place in zip(values.tolist(), first.tolist()):
            ids.first_seen.setdefault(value, (path, place % label_map.shape[1], place // label_map.shape[1]))
    return ids


def _unnumbered(used: Sequence[int], found: Scenes) -> Finding:
    """Return the error of ids so large that a plane for each would cost memory without end."""
    what = f"The ids go to {max(used)}, and {len(used)} of them occur: instance maps in place of label maps?"
    mend = f"Give label maps; or number what occurs 0, 1, 2 ...: {_remap(found)}; or say --num-labels {max(used) + 1}"
    return Finding("error", what, mend)


def _ids(
    ids: _Ids, found: Scenes, legend: Sequence[Label], num_labels: int, ignore: Sequence[int], facts: dict[str, Any]
) -> Iterator[Finding]:
    yield from _files(ids, found)
    if not ids.pixels:
        return
    total = sum(ids.pixels.values())
    names = {label.id: label.name for label in legend}
    facts["labels"] = {names.get(key, str(key)): f"{ids.pixels[key] / total:.2%}" for key in sorted(ids.pixels)}
    used = sorted(set(ids.pixels) - set(ignore))
    known = num_labels or (max(names) + 1 if names else 0)
    facts["num_labels"] = known or max(used, default=0) + 1
    beyond = [key for key in used if known and key >= known]
    if beyond:
        path, x, y = ids.first_seen[beyond[0]]
        listed, left_out = ", ".join(map(str, beyond[:8])), " ".join(map(str, [*ignore, *beyond]))
        yield Finding(
            "error", f"The ids {listed} are not among {known} labels: {path} at pixel x={x}, y={y} holds {beyond[0]}",
            f"Train with --num-labels {max(beyond) + 1}, or leave them out: --ignore {left_out}",
        )  # fmt: skip
    ignored = sorted(set(ids.pixels) & set(ignore))
    if ignored:
        share = sum(ids.pixels[key] for key in ignored) / total
        what = f"{share:.2%} of the pixels have the ignored id {', '.join(map(str, ignored))} and belong to no class"
        kind = "warning" if share > 0.5 else "note"
        yield Finding(kind, what, "To use them, name another: --ignore -1" if kind == "warning" else "")
    mixed = [] if legend else ids.census.mixtures()
    if mixed:
        yield _smoothed(len(mixed), ids, found)
    elif not legend and not num_labels and max(used, default=0) >= MANY:
        yield _unnumbered(used, found)
    else:
        yield from _suspicious(used, ignored, facts["num_labels"], bool(legend), _remap(found))
    missing = [label.name for label in legend if label.id not in ids.pixels]
    if missing:
        yield Finding("note", f"In the maps that were read, the legend's {', '.join(missing[:8])} does not occur")


def _smoothed(mixed: int, ids: _Ids, found: Scenes) -> Finding:
    what = (
        f"{mixed} of {len(ids.pixels)} ids are rare and lie at edges only: the maps were smoothed, resized or stored "
    )
    return Finding("error", what + "with loss", f"Give each pixel the id of the nearest class: {_remap(found)}")


def _lossy(ids: _Ids, found: Scenes) -> Finding:
    what = f"{len(ids.lossy)} label maps are stored with loss, which changes ids: {ids.lossy[0]}"
    return Finding("error", what, f"Export them again as PNG, or restore them: {_remap(found)}")


def _files(ids: _Ids, found: Scenes) -> Iterator[Finding]:
    if ids.lossy:
        yield _lossy(ids, found)
    if ids.colored:
        yield Finding(
            "error", f"{len(ids.colored)} label maps are colour pictures, and no legend says what a colour means: "
            f"{ids.colored[0]}",
            f"ganvas inspect {found.folders[0]['labels'].parent} --write-legend, then name the classes in legend.json",
        )  # fmt: skip
    for path, error in list(ids.unreadable.items())[:_FEW]:
        yield Finding("error", str(error), f"Correct {path.name}, or add what it holds to the legend")


def _remap(found: Scenes) -> str:
    return f"ganvas label remap {found.folders[0]['labels']} --out DIR"


def _suspicious(
    used: Sequence[int], ignored: Sequence[int], num_labels: int, has_legend: bool, remap: str
) -> Iterator[Finding]:
    if has_legend or not used:
        return
    if set(used) <= {0} and 255 in ignored:
        yield Finding(
            "warning", "The only ids are 0 and 255: masks in black and white, whose white is ignored",
            "Store 1 instead of 255, or keep it: --ignore -1 --num-labels 256",
        )  # fmt: skip
        return
    gaps = num_labels - len(used)
    if len(used) <= 64 and gaps > 3 * len(used) and max(used) > 40:
        some = ", ".join(map(str, used[:8]))
        yield Finding(
            "warning", f"Only {len(used)} of {num_labels} ids occur ({some} ...): gray values of a palette, not its "
            "indices?",
            f"Number them 0, 1, 2 ...: {remap}; or export palette PNGs, or colours with a legend.json",
        )  # fmt: skip


def _instances(
    scenes: Sequence[Scene], ids: _Ids, legend: Sequence[Label], found: Scenes, facts: dict[str, Any]
) -> Iterator[Finding]:
    if not found.has("instances") or ids.colored:
        return
    bits: collections.Counter[str] = collections.Counter()
    mixed: list[str] = []
    wrong: list[str] = []
    counts: list[int] = []
    same = 0
    for scene in scenes:
        path = scene.files["instances"]
        try:
            label_map, instance_map = read_label_map(scene.files["labels"], legend), read_instance_map(path)
        except UserError as error:
            if scene.files["labels"] not in ids.unreadable:
                yield Finding("error", str(error), "Store instance maps as 16-bit gray PNG")
            continue
        if label_map.shape != instance_map.shape:
            continue
        bits[_depth(path)] += 1
        counts.append(len(np.unique(instance_map)))
        same += bool((label_map == instance_map).all())
        if (number := _mixed(label_map, instance_map)) is not None:
            mixed.append(f"{path.name} id {number}")
        if (instance_map >= 1000).any() and _disagrees(label_map, instance_map):
            wrong.append(path.name)
    facts["instance maps"] = dict(bits)
    facts["instances a picture"] = f"{np.mean(counts):.1f}" if counts else ""
    if mixed and any(name.startswith("8") for name in bits):
        yield Finding(
            "error", "8-bit instance maps cannot hold their ids: one id covers several classes "
            f"({', '.join(mixed[:_FEW])})",
            "Export them as 16-bit PNG: class * 1000 + k; 8 bits end at 255 and wrap or stop there",
        )  # fmt: skip
    elif mixed:
        yield Finding(
            "warning", f"One instance covers several classes: {', '.join(mixed[:_FEW])}",
            "Check that label and instance maps belong to the same pictures",
        )  # fmt: skip
    if wrong:
        yield Finding(
            "warning", f"Instance ids of the form class * 1000 + k name another class than the label map: {wrong[0]}",
            "Check that both maps number the classes alike",
        )  # fmt: skip
    if same and same == len(counts):
        yield Finding("note", "The instance maps equal the label maps: no two things of a class are told apart")


@shards.from_shards
def _depth(path: Path) -> str:
    header, storage = shards.read_header(path), palettes.read_storage(path)
    bits = storage.bits if storage is not None else 8 * np.dtype(header.dtype).itemsize
    return f"{bits}-bit{' palette' if storage is not None and storage.palette is not None else ''}"


def _mixed(label_map: np.ndarray, instance_map: np.ndarray) -> int | None:
    """Return an instance of which more than a twentieth lies outside its main class, or None."""
    # The instance map may simply continue the label map's ids for what is no thing; 0 often means no instance.
    _, instances = np.unique(instance_map, return_inverse=True)
    _, labels = np.unique(label_map, return_inverse=True)
    table = np.zeros((instances.max() + 1, labels.max() + 1), np.int64)
    np.add.at(table, (instances.ravel(), labels.ravel()), 1)
    share = table.max(1) / table.sum(1)
    numbers = np.unique(instance_map)
    bad = [int(number) for number, part in zip(numbers, share) if part < 0.95 and number != 0]
    return bad[0] if bad else None


def _disagrees(label_map: np.ndarray, instance_map: np.ndarray) -> bool:
    """Tell whether ids of the form class * 1000 + k are of other classes; other tools leave room for more things."""
    things = instance_map >= 1000
    told = [instance_map[things] // base for base in (1000, 10_000, 100_000, 1 << 16)]
    is_of_the_form = instance_map.max() // 1000 <= 255
    return is_of_the_form and all(bool((classes != label_map[things]).mean() > 0.05) for classes in told)
