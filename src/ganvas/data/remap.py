"""Label maps made usable: gaps of ids closed, smoothed edges and noise of JPEG snapped to classes, colours to ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ganvas.data import label_layouts
from ganvas.data.smears import Census, color_codes, colors_of, fill
from ganvas.errors import UserError
from ganvas.io.labels.legends import Label, find_legend, read_legend, write_legend
from ganvas.io.labels.maps import is_lossy, read_label_map
from ganvas.io.pictures import images, palettes

NEAR_GRAY, NEAR_COLOR = 3.0, 24.0
"""Values of a lossy file so near to a class are of it; farther ones are mixtures, and take the class beside them."""
LEAST_SHARE, INSIDE = 0.01, 0.3
"""A class of a lossy file has this share of the pixels at least, and this share of its own inside of its regions."""


@dataclass
class Remapped:
    """What became of label maps."""

    labels: list[Label] = field(default_factory=list)
    """The classes that are left, by their new ids."""
    old: dict[int, int] = field(default_factory=dict)
    """New id -> old id, or code of the colour."""
    written: list[Path] = field(default_factory=list)
    snapped: int = 0
    """Pixels that were of no class."""
    errors: dict[str, str] = field(default_factory=dict)


def remap(
    inputs: str | Path,
    out: Path,
    legend: Sequence[Label] = (),
    changes: Mapping[int, int] | None = None,
    ids: Sequence[int] = (),
    ignore: Sequence[int] = (255,),
    overwrite: bool = False,
) -> Remapped:
    """Write all label maps of a folder or data set anew as ids in PNGs, with a legend, into out/labels.

    Without a legend the classes are the values that have regions of their own, numbered 0, 1, 2 ... in their order; a
    pixel of any other value takes the class of the nearest pixel that has one. With a legend its ids stay, and colours
    that it lacks take the class beside them.

    Args:
        inputs: a data set, or a folder of label maps.
        out: folder to be made or added to.
        legend: classes that the maps show in colours; by default the one beside the maps.
        changes: old id -> new id; only these are changed, and no gap is closed.
        ids: the ids that are classes, where they are known; by default they are found.
        ignore: ids that stay what they are and count as no class.
        overwrite: replace existing files.

    Raises:
        UserError: there are no maps, they are of both kinds, or none can be read.
    """
    clips = label_layouts.find_maps(inputs)
    files = [(clip, folders["labels"], path) for clip, folders in clips.items() for path in _maps(folders["labels"])]
    if not files:
        raise UserError(f"{inputs} holds no label maps")
    places = [Path(inputs), Path(inputs).parent, *(folder for _, folder, _ in files[:1])]
    known = find_legend([place for place in places if place.is_dir()])
    legend = tuple(legend) or (read_legend(known) if known else ())
    result, census, lossy = Remapped(), Census(), False
    values: dict[Path, np.ndarray] = {}
    for _, _, path in files:
        try:
            values[path], is_color = _values(path, legend)
            census.add(values[path], is_color)
            lossy |= is_lossy(path)
        except UserError as error:
            result.errors[str(path)] = str(error)
            continue
        if is_color is not _is_color(path, legend):
            raise UserError(f"{path} is of another kind than the others", "Colours and ids are mixed")
    if not values:
        raise UserError("No label map can be read", next(iter(result.errors.values())))
    colored = _is_color(next(iter(values)), legend)
    if colored and legend:
        classes = np.unique(color_codes(np.array([[label.color for label in legend]], np.uint8)))
    elif ids and not colored:
        classes = np.unique(ids)
    else:
        classes = _classes(list(values.values()), census, lossy, colored, () if colored else ignore)
    new = _numbering(classes, legend if colored else (), changes, ignore)
    for clip, folder, path in files:
        if path not in values:
            continue
        found, snapped = _snapped(values[path], classes, colored, exact=not lossy)
        table_from, table_to = zip(*sorted(new.items()))
        renumbered = np.array(table_to)[np.searchsorted(table_from, found)]
        target = out / "labels" / clip / path.relative_to(folder).with_suffix(".png")
        target.parent.mkdir(parents=True, exist_ok=True)
        images.write(target, renumbered.astype(_depth(renumbered)), overwrite=overwrite)
        result.written.append(target)
        result.snapped += snapped
    result.old = {target: source for source, target in new.items() if target not in ignore}
    result.labels = _named(result.old, legend, colored)
    write_legend(out / "legend.json", result.labels)
    return result


def _depth(ids: np.ndarray) -> type:
    return np.uint8 if ids.max(initial=0) < 256 else np.uint16


def _maps(folder: Path) -> list[Path]:
    return label_layouts.listed("labels", folder)


def _is_color(path: Path, legend: Sequence[Label]) -> bool:
    storage = palettes.read_storage(path)
    if storage is not None and storage.palette is not None:
        return False
    header = images.read_header(path)
    return header.channels >= 3 and header.dtype == "uint8" and (bool(legend) or not _is_gray(path))


def _is_gray(path: Path) -> bool:
    pixels = images.read(path)[0]
    return bool((pixels[..., :3] == pixels[..., :1]).all())


def _values(path: Path, legend: Sequence[Label]) -> tuple[np.ndarray, bool]:
    """Return a map's ids, or the codes of its colours, and which of them these are."""
    if _is_color(path, legend):
        return color_codes(images.read(path)[0]), True
    if is_lossy(path):
        return images.read(path)[0][..., 0].astype(np.int64), False
    return read_label_map(path), False


def _classes(
    values: Sequence[np.ndarray], census: Census, lossy: bool, colored: bool, ignore: Sequence[int]
) -> np.ndarray:
    """Return the values that are classes, in order."""
    if not lossy:
        return np.array(sorted(set(census.pixels) - set(census.mixtures())))
    total, found = sum(census.pixels.values()), []
    for value, _ in census.pixels.most_common():
        # What lies around a peak is of it.
        near = [other for other in census.pixels if _distance(np.array(other), value, colored) <= _near(colored)]
        if sum(census.pixels[other] for other in near) < LEAST_SHARE * total:
            continue
        if all(_distance(np.array(value), other, colored) > 2 * _near(colored) for other in found):
            found.append(value)
    assigned = Census()
    for each in values:
        known, places = np.unique(each, return_inverse=True)
        distances = np.stack([_distance(known, value, colored) for value in found], -1)
        of = np.where(distances.min(-1) <= _near(colored), distances.argmin(-1), -1)
        assigned.add(of[places.reshape(each.shape)])
    kept = [
        value for number, value in enumerate(found)
        if assigned.edges[number] <= (1 - INSIDE) * assigned.pixels[number]
    ]  # fmt: skip
    kept += [value for value in ignore if census.pixels[value] >= LEAST_SHARE * total and value not in kept]
    return np.array(sorted(kept or found[:1]))


def _near(colored: bool) -> float:
    return NEAR_COLOR if colored else NEAR_GRAY


def _distance(values: np.ndarray, other: int, colored: bool) -> np.ndarray:
    if not colored:
        return np.abs(values - other).astype(np.float64)
    difference = colors_of(values).astype(np.float64) - colors_of(np.array(other))
    return np.sqrt(np.square(difference).sum(-1))


def _snapped(values: np.ndarray, classes: np.ndarray, colored: bool, exact: bool) -> tuple[np.ndarray, int]:
    """Return a map whose values are all classes, and how many pixels were not."""
    known, places = np.unique(values, return_inverse=True)
    distances = np.stack([_distance(known, int(each), colored) for each in classes], -1)
    nearest, far = classes[distances.argmin(-1)], distances.min(-1) > (0 if exact else _near(colored))
    places = places.reshape(values.shape)
    is_known = ~far[places]
    ids = nearest[places]
    if is_known.any():
        ids = fill(ids, is_known)
    return ids, int((~is_known).sum())


def _numbering(
    classes: np.ndarray, legend: Sequence[Label], changes: Mapping[int, int] | None, ignore: Sequence[int]
) -> dict[int, int]:
    """Return the new id of each class."""
    if legend:
        by_color = {int(color_codes(np.array([[each.color]], np.uint8))[0, 0]): each.id for each in reversed(legend)}
        new = {int(value): by_color[int(value)] for value in classes}
        return {value: (changes or {}).get(label, label) for value, label in new.items()}
    if changes:
        return {int(value): changes.get(int(value), int(value)) for value in classes}
    counted = [int(value) for value in classes if value >= 0 and value not in ignore]
    kept = {int(value): int(value) if value >= 0 else 255 for value in classes if int(value) not in counted}
    return {**kept, **{value: number for number, value in enumerate(counted)}}


def _named(old: Mapping[int, int], legend: Sequence[Label], colored: bool) -> list[Label]:
    names = {each.id: each for each in legend}
    labels = []
    for number, value in sorted(old.items()):
        told = names.get(number if colored else value)
        color = colors_of(np.array(value)).tolist() if colored else told.color if told else _shade(number)
        labels.append(Label(number, told.name if told else f"class {value if not colored else number}",
                            (color[0], color[1], color[2]), told.thing if told else False))  # fmt: skip
    return labels


def _shade(number: int) -> tuple[int, int, int]:
    # Far apart for neighbours in number, and no two alike below 256.
    return number * 67 % 256, number * 131 % 256, 255 - number % 256
