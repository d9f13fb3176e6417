"""Styles that a user chooses for one instance, or takes from an instance of another picture.

car@26003=2                  the second-commonest style of cars for the car 26003 (styles are numbered from 0)
car@26003=a.png:car@26012    the style of the car 26012 in a.png, whose maps lie beside it or are named
car=a.png:car@26012          the same for all cars
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ganvas.data.conditions import class_of_segment, instance_of_segment
from ganvas.data.decoding import decode
from ganvas.data.label_layouts import find_scenes
from ganvas.errors import UserError
from ganvas.inference.labels.editing import Style
from ganvas.inference.labels.painter import Chosen, LabelPainter, MapFiles, Regions
from ganvas.io.pictures.tensors import to_tensor

LARGEST = 6
"""Instances that an error names."""


@dataclass(frozen=True)
class Choice:
    """The style of a class's instances, or of one of them."""

    label: int
    instance: int | None
    features: Tensor
    """(F,)"""


def is_plain(text: str) -> bool:
    """Tell whether a text chooses a class's style by number, as car=3 does."""
    name, _, number = text.rpartition("=")
    return number.isdigit() and "@" not in name


def read_choices(painter: LabelPainter, texts: Sequence[str], maps: MapFiles | None = None) -> list[Choice]:
    """Return the choices that texts tell.

    Args:
        painter: whose styles they are.
        texts: as in the file's beginning.
        maps: those of the pictures that styles are taken from; by default the ones beside each.

    Raises:
        UserError: a text is written otherwise, or names a class, an instance, a style or a picture that is not there.
    """
    choices = []
    for text in texts:
        target, _, source = text.partition("=")
        label, instance = _named(painter, target, text)
        if source.isdigit():
            painter.check_style(label, int(source))
            features = painter.styles_of(label)[int(source)]
        else:
            picture, _, of = source.rpartition(":")
            if not picture:
                do = "Write car=3, car@26003=3, or car@26003=PICTURE:car@26012"
                raise UserError(f"--style is {text!r}", do=do)
            features = _taken(painter, Path(picture), *_named(painter, of, text), maps)
        choices.append(Choice(label, instance, features))
    return choices


def _named(painter: LabelPainter, text: str, whole: str) -> tuple[int, int | None]:
    name, at, number = text.partition("@")
    if not name or (at and not number.isdecimal()):
        raise UserError(f"--style is {whole!r}", f"{text!r} is no instance", "Write CLASS@INSTANCE, such as car@26003")
    return painter.class_named(name), int(number) if at else None


def _taken(painter: LabelPainter, picture: Path, label: int, instance: int | None, maps: MapFiles | None) -> Tensor:
    """Return the style of an instance of a picture, or the mean of a class's."""
    maps = maps or _maps_of(picture)
    regions = painter.read(maps)
    found = painter.copy(regions, to_tensor(decode(picture))[None]).features
    rows = [
        place for place, (region, its_label) in enumerate(zip(regions.ids, regions.labels))
        if its_label == label and instance in (None, int(instance_of_segment(region)))
    ]  # fmt: skip
    if not rows:
        there = [int(instance_of_segment(region)) for region, its in zip(regions.ids, regions.labels) if its == label]
        why = f"Of {painter.name_of(label)} it shows {', '.join(map(str, there[:8])) or 'none'}"
        raise UserError(f"{picture} shows no such instance", why)
    return found[rows].mean(0)


def _maps_of(picture: Path) -> MapFiles:
    do = "Name them by --style-labels and --style-instances"
    if not picture.is_file():
        raise UserError(f"{picture} does not exist")
    try:
        scenes = find_scenes(picture.absolute().parent.parent).scenes
    except UserError as error:
        raise UserError(f"{picture} has no label map beside it", error.what, do) from error
    for scene in scenes:
        if scene.files["picture"].absolute() == picture.absolute() and "labels" in scene.files:
            return MapFiles(scene.name, scene.files["labels"], scene.files.get("instances"), scene.files.get("input"))
    raise UserError(f"{picture} has no label map beside it", do=do)


def with_choices(regions: Regions, chosen: Chosen, choices: Sequence[Choice]) -> tuple[Chosen, set[int]]:
    """Return the styles of regions with those that were chosen, and the places of the choices that were of use."""
    features, used = chosen.features.clone(), set[int]()
    for place, (region, label) in enumerate(zip(regions.ids, regions.labels)):
        for number, choice in enumerate(choices):
            if choice.label == label and choice.instance in (None, int(instance_of_segment(region))):
                features[place] = choice.features
                used.add(number)
    return Chosen(features, chosen.notes), used


def require_shown(painter: LabelPainter, choices: Sequence[Choice], files: Sequence[MapFiles]) -> None:
    """Refuse a choice of an instance that none of the maps shows.

    Raises:
        UserError: there is one; the largest instances of its class are named.
    """
    missing = [choice for choice in choices if choice.instance is not None]
    seen: dict[tuple[int, int], tuple[int, str]] = {}
    for file in files:
        if not missing:
            return
        try:
            regions = painter.read(file)
        except UserError:
            continue  # told where it is painted
        ids, counts = regions.region_map.unique(return_counts=True)
        keys = list(zip(class_of_segment(ids.long()).tolist(), instance_of_segment(ids.long()).tolist()))
        missing = [choice for choice in missing if (choice.label, choice.instance) not in keys]
        wanted = {choice.label for choice in missing}
        for key, count in zip(keys, counts.tolist()):
            if key[0] in wanted and count > seen.get(key, (0, ""))[0]:
                seen[key] = count, file.labels.name
    if not missing:
        return
    label, name = missing[0].label, painter.name_of(missing[0].label)
    largest = sorted(((size, key[1], where) for key, (size, where) in seen.items() if key[0] == label), reverse=True)
    named = ", ".join(f"{name}@{instance} ({size} px in {where})" for size, instance, where in largest[:LARGEST])
    what = f"No label map shows {name}@{missing[0].instance}"
    raise UserError(what, f"The largest of {name}: {named}" if named else f"None shows any {name}")


def with_saved(regions: Regions, chosen: Chosen, styles: Mapping[int, Style], besides: Container[int] = ()) -> Chosen:
    """Return the styles of regions with those that a painted scene has by instance, but for some classes."""
    features = chosen.features.clone()
    for place, (region, label) in enumerate(zip(regions.ids, regions.labels)):
        style = styles.get(int(instance_of_segment(region)))
        if style is not None and label not in besides:
            features[place] = features.new_tensor(style)
    return Chosen(features, chosen.notes)
