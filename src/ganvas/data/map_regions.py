"""The regions of one label or instance map, found with the maps beside it: what `--style car@26003=3` names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ganvas.data import label_layouts
from ganvas.errors import UserError
from ganvas.io.labels.legends import find_legend, read_legend
from ganvas.io.labels.maps import read_instance_map, read_label_map


@dataclass(frozen=True)
class Region:
    """The pixels of an instance, or of a class."""

    label: int | None
    """Class; None where no label map lies beside the instance map."""
    name: str
    """Of the class; empty where no legend tells it."""
    instance: int | None
    """Number in the instance map; None in a label map."""
    pixels: int


@dataclass(frozen=True)
class MapRegions:
    """What a map holds, the largest first."""

    path: Path
    size_px: tuple[int, int]
    regions: list[Region]

    @property
    def has_instances(self) -> bool:
        """Whether the map is one of instances."""
        return any(region.instance is not None for region in self.regions)


def role_of(path: Path) -> tuple[str, Path]:
    """Return "labels" or "instances", and the folder of such maps in which a file lies; else two empty values."""
    for folder in list(path.absolute().parents)[:3]:
        for role in ("instances", "labels"):
            if folder.name.casefold() not in map(str.casefold, label_layouts.ROLES[role]):
                continue
            if path.absolute() in {one.absolute() for one in label_layouts.listed(role, folder)}:
                return role, folder
    return "", Path()


def regions_of(path: Path) -> MapRegions | None:
    """Return the regions of a map, or None where the file is not in a folder of label or instance maps.

    Raises:
        UserError: the map is damaged, or differs in size from the one beside it.
    """
    role, folder = role_of(path)
    if not role:
        return None
    found = find_legend([folder, folder.parent, folder.parent.parent])
    legend = read_legend(found) if found else ()
    names = {label.id: label.name for label in legend}
    if role == "labels":
        plane = read_label_map(path, legend)
        ids, counts = np.unique(plane, return_counts=True)
        rows = [Region(int(id), names.get(int(id), ""), None, int(n)) for id, n in zip(ids, counts)]
        return MapRegions(path, (plane.shape[1], plane.shape[0]), _by_size(rows))
    instances = read_instance_map(path)
    beside = _labels_of(path, folder)
    labels = read_label_map(beside, legend) if beside else np.full_like(instances, -1)
    if labels.shape != instances.shape:
        raise UserError(f"{path} and {beside} differ in size")
    pairs, counts = np.unique(np.stack([labels.ravel(), instances.ravel()]), axis=1, return_counts=True)
    rows = [
        Region(int(label) if beside else None, names.get(int(label), ""), int(instance), int(n))
        for (label, instance), n in zip(pairs.T, counts)
    ]
    return MapRegions(path, (instances.shape[1], instances.shape[0]), _by_size(rows))


def _by_size(rows: list[Region]) -> list[Region]:
    return sorted(rows, key=lambda row: (-row.pixels, row.instance or 0, row.label or 0))


def _labels_of(path: Path, folder: Path) -> Path | None:
    """Return the label map of an instance map's name in the folder of label maps beside its own."""
    key = label_layouts.key_of(path.absolute().relative_to(folder))
    for child in [folder, *sorted(folder.parent.iterdir())]:
        if child.is_dir() and child.name.casefold() in map(str.casefold, label_layouts.ROLES["labels"]):
            named = label_layouts.by_name(label_layouts.listed("labels", child), child)
            if key in named and named[key].absolute() != path.absolute():
                return named[key]
    return None
