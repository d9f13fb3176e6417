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

from ganvas.data.conditions import instance_of_segment
from ganvas.data.decoding import decode
from ganvas.data.label_layouts import find_scenes
from ganvas.errors import UserError
from ganvas.inference.labels.editing import Style
from ganvas.inference.labels.painter import Chosen, LabelPainter, MapFiles, Regions
from ganvas.io.pictures.tensors import to_tensor


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


def with_saved(regions: Regions, chosen: Chosen, styles: Mapping[int, Style], besides: Container[int] = ()) -> Chosen:
    """Return the styles of regions with those that a painted scene has by instance, but for some classes."""
    features = chosen.features.clone()
    for place, (region, label) in enumerate(zip(regions.ids, regions.labels)):
        style = styles.get(int(instance_of_segment(region)))
        if style is not None and label not in besides:
            features[place] = features.new_tensor(style)
    return Chosen(features, chosen.notes)
