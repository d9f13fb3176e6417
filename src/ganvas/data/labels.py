"""Label maps, instance maps and the pictures that they describe, as samples addressed by number.

A label map holds the number of a class at each pixel, an instance map the number of an object. Every id is checked
against the number of labels. A pixel whose id is to be ignored is -1 in the samples and of no class of `one_hot`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, Self, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.data import inspect
from ganvas.data.cache import CACHE_BYTES, ByteCache
from ganvas.data.decoding import decode, faults
from ganvas.data.degrade import resize_bicubic
from ganvas.data.doctor import Examination
from ganvas.data.input_ranges import Asked, InputRange, measure, read_input, spread
from ganvas.data.label_layouts import Scene, Scenes, find_scenes
from ganvas.data.pictures import Report
from ganvas.errors import UserError
from ganvas.io.labels.legends import read_legend
from ganvas.io.labels.maps import check_ids, read_instance_map, read_label_map
from ganvas.io.pictures import shards
from ganvas.io.pictures.tensors import to_tensor
from ganvas.protocol import Source

NUM_CHECKED = 24
"""Label maps, spread over the data set, whose ids are checked before any work starts; all others when first read."""


def one_hot(label_map: Tensor, num_labels: int) -> Tensor:
    """Return a plane for each class, 1 where the pixel is of it; ignored pixels (negative) are 0 in all.

    (B, 1, H, W) -> (B, N, H, W)
    """
    planes = torch.zeros(
        (label_map.shape[0], num_labels, *label_map.shape[2:]), dtype=torch.float32, device=label_map.device
    )
    return planes.scatter_(1, label_map.clamp(min=0), (label_map >= 0).float())


def boundaries(instance_map: Tensor) -> Tensor:
    """Return 1 at the pixels on both sides of a boundary between instances (4 neighbours), 0 elsewhere.

    (B, 1, H, W) -> (B, 1, H, W)

    Source: Wang et al., High-Resolution Image Synthesis with Conditional GANs, section 3.4.
    """
    edge = torch.zeros(instance_map.shape, dtype=torch.bool, device=instance_map.device)
    across = instance_map[..., :, 1:] != instance_map[..., :, :-1]
    down = instance_map[..., 1:, :] != instance_map[..., :-1, :]
    edge[..., :, 1:] |= across
    edge[..., :, :-1] |= across
    edge[..., 1:, :] |= down
    edge[..., :-1, :] |= down
    return edge.float()


Fit = Literal["crop", "cover", "resize", "whole"]


@dataclass
class LabelReport(Report):
    """Which scenes are used, and what is to be told of the set."""

    notes: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """A summary with the notes."""
        return "\n".join([super().text, *(f"  {note}" for note in self.notes)])


class LabelledPictures(Source):
    """Pictures with label and instance maps, or an input picture, or both: what a conditional generator is trained on.

    A sample is {"picture": (3, H, W) float32 in [0, 1]} with {"label_map": (1, H, W) int64, "instance_map": (1, H, W)
    int64}, and with {"input": (3, H, W) float32} where the data set has pictures as inputs. Without a folder of
    instance maps the label map takes their place, so that boundaries are those between classes.
    """

    def __init__(
        self,
        inputs: str | Path | Mapping[str, str | Path],
        num_labels: int = 0,
        size_px: tuple[int, int] | None = None,
        fit: Fit = "resize",
        mirror: bool = True,
        ignore: Sequence[int] = (255,),
        cache_bytes: int = CACHE_BYTES,
        input_range: InputRange | Asked | None = Asked(),  # noqa: B008 - immutable
    ) -> None:
        """Find and pair the files, read their headers, and check the ids of label maps spread over the set.

        Args:
            inputs: a folder in a known layout, folders by role (see `label_layouts`), or shards (see `sharded`).
            num_labels: classes; ids are below it. 0 takes what the legend says, or the highest id there is plus one.
            size_px: (height, width) of the samples.
            fit: how a picture comes to that size. `crop`: a random part at its own size; `cover`: shrunk or enlarged
                until it just covers the size, then a random part; `resize`: squeezed; `whole`: left alone.
            mirror: flip samples left to right at random.
            ignore: ids that stand for no class.
            cache_bytes: decoded scenes that are kept in memory.
            input_range: which values of the inputs become 0 to 1; by default those of pictures, and of anything else,
                such as depth, what is measured.

        Raises:
            UserError: no layout is recognised, nothing can be paired or used, or an id has no label.
        """
        self._found, self._told_labels = find_scenes(inputs), num_labels
        found = self._found
        self.legend = read_legend(found.legend) if found.legend else ()
        self.size_px, self.fit, self.mirror, self.ignore = size_px, fit, mirror, tuple(ignore)
        self.has_labels, self.has_instances = found.has("labels"), found.has("instances")
        self.has_inputs = found.has("input")
        self.report = LabelReport(skipped=dict(found.unpaired), notes=found.notes)
        self._scenes = found.scenes = _usable(found, size_px if fit == "crop" else None, self.report)
        self._cache: ByteCache[dict[str, np.ndarray]] = ByteCache(cache_bytes)
        self.input_range: InputRange | None = None
        if self.has_inputs:
            paths = spread((scene.files["input"] for scene in self._scenes), NUM_CHECKED)
            self.input_range = measure(paths, input_range) if isinstance(input_range, Asked) else input_range
        if self.input_range is not None:
            self.report.notes.append(f"Of the inputs, the values {self.input_range} become 0 to 1 (--input-range)")
        if self.has_inputs and self.has_labels:
            folder = found.folders[0]["input"]
            self.report.notes.append(f"Pictures are made from the labels and, beside them, from {folder}")
        self.num_labels = (num_labels or self._count_labels()) if self.has_labels else 0
        for scene in self._scenes[:: max(1, len(self._scenes) // NUM_CHECKED)] if self.has_labels else ():
            self._label_map(scene)

    def __len__(self) -> int:
        return len(self._scenes)

    def examine(self) -> Examination:
        """Return what the doctor says of the ids in maps spread over the set; files left out stand in the report."""
        names = {scene.files["picture"]: scene.name for scene in self._scenes}
        for file, why in faults(list(names)).items():
            self.report.skip(names[file], why, was_used=True)
        if not self.has_labels:
            return Examination()
        return inspect.examine_ids(self._found, self.legend, self._told_labels, self.ignore, NUM_CHECKED)

    def groups(self) -> list[str]:
        """Return for each sample its clip or city where the set has several, else its own name."""
        return [scene.group for scene in self._scenes]

    def names(self) -> list[str]:
        """Return for each sample the name of its files below the data set's folders."""
        return [scene.name for scene in self._scenes]

    def subset(self, indices: Sequence[int]) -> Self:
        """Return the source of only these samples; it shares the cache and the report."""
        chosen = copy.copy(self)
        chosen._scenes = [self._scenes[index] for index in indices]
        return chosen

    def sample(self, index: int, random: np.random.Generator) -> dict[str, Tensor]:
        """Return one sample; a scene that turns out to be broken is replaced by the next one of this source.

        Raises:
            UserError: no scene of this source can be read.
        """
        arrays = self._arrays(index)
        if self.size_px is None or self.fit == "whole":
            sample = _tensors(arrays)
        elif self.fit == "crop":
            # Cut before converting: of a large picture only the part that is used.
            sample = _tensors(_cut(arrays, self.size_px, random))
        elif self.fit == "cover":
            height, width = arrays["picture"].shape[:2]
            factor = max(self.size_px[0] / height, self.size_px[1] / width)
            covering = max(self.size_px[0], round(height * factor)), max(self.size_px[1], round(width * factor))
            resized = {name: resize(plane, covering) for name, plane in _tensors(arrays).items()}
            sample = _cut(resized, self.size_px, random)
        else:
            sample = {name: resize(plane, self.size_px) for name, plane in _tensors(arrays).items()}
        if self.mirror and random.random() < 0.5:
            sample = {name: plane.flip(-1) for name, plane in sample.items()}
        return sample

    def whole(self, index: int) -> dict[str, Tensor]:
        """Return a sample at its own size, not mirrored.

        Raises:
            UserError: no scene of this source can be read.
        """
        return _tensors(self._arrays(index))

    def _arrays(self, index: int) -> dict[str, np.ndarray]:
        """Return the planes (H, W, C) of a sample's scene, or of the next scene that can be read."""
        for scene in (*self._scenes[index:], *self._scenes[:index]):
            try:
                return self._cache.get(scene.name, partial(self._read, scene))
            except UserError as error:
                self.report.skip(scene.name, str(error), was_used=True)
        raise UserError("No scene of this source can be read", self.report.text)

    def _read(self, scene: Scene) -> dict[str, np.ndarray]:
        arrays = {"picture": decode(scene.files["picture"])}
        if "input" in scene.files:
            path = scene.files["input"]
            arrays["input"] = decode(path) if self.input_range is None else read_input(path, self.input_range)
        if "labels" in scene.files:
            # Kept small in memory; -1 must fit.
            depth = np.int16 if self.num_labels < 1 << 15 else np.int32
            arrays["label_map"] = self._label_map(scene).astype(depth)[..., None]
            arrays["instance_map"] = arrays["label_map"]
        if "instances" in scene.files:
            instance_map = read_instance_map(scene.files["instances"])
            low, high = instance_map.min(initial=0), instance_map.max(initial=0)
            depth = np.uint16 if low >= 0 and high < 1 << 16 else np.int32 if high < 1 << 31 else np.int64
            arrays["instance_map"] = instance_map.astype(depth)[..., None]
        if len({array.shape[:2] for array in arrays.values()}) > 1:
            raise UserError(f"The files of {scene.name} differ in size")
        return arrays

    def _label_map(self, scene: Scene) -> np.ndarray:
        path = scene.files["labels"]
        return check_ids(read_label_map(path, self.legend), self.num_labels, self.ignore, path)

    def _count_labels(self) -> int:
        if self.legend:
            return max(label.id for label in self.legend) + 1
        highest = 0
        for scene in self._scenes:
            ids = read_label_map(scene.files["labels"])
            ids = ids[~np.isin(ids, self.ignore)]
            highest = max(highest, int(ids.max(initial=0)))
        return highest + 1


Plane = TypeVar("Plane", np.ndarray, Tensor)


def _cut(planes: Mapping[str, Plane], size_px: tuple[int, int], random: np.random.Generator) -> dict[str, Plane]:
    """Return the same random part of all planes: arrays (H, W, C) or tensors (C, H, W)."""
    (height, width), first = size_px, next(iter(planes.values()))
    rows, columns = first.shape[-2:] if isinstance(first, Tensor) else first.shape[:2]
    top, left = int(random.integers(rows - height + 1)), int(random.integers(columns - width + 1))
    down, across = slice(top, top + height), slice(left, left + width)
    return {
        name: plane[:, down, across] if isinstance(plane, Tensor) else plane[down, across]
        for name, plane in planes.items()
    }


def resize(plane: Tensor, size_px: tuple[int, int]) -> Tensor:
    """Resize one plane of a sample: pictures by the cubic kernel, ids by the nearest pixel's centre.

    (C, H, W) -> (C, H', W')
    """
    if tuple(plane.shape[-2:]) == tuple(size_px):
        return plane
    if plane.is_floating_point():
        return resize_bicubic(plane[None], size=size_px)[0].clamp(0, 1)
    # float64 holds every id, which float32 does not beyond 16 million.
    return F.interpolate(plane[None].double(), size=size_px, mode="nearest-exact")[0].to(plane.dtype)


def _tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: _tensor(array, name in ("label_map", "instance_map")) for name, array in arrays.items()}


def _tensor(array: np.ndarray, holds_ids: bool) -> Tensor:
    if holds_ids:
        return torch.from_numpy(array.transpose(2, 0, 1).astype(np.int64))
    return to_tensor(array)


def _usable(found: Scenes, smallest_px: tuple[int, int] | None, report: Report) -> list[Scene]:
    scenes = []
    for scene, sizes in _with_sizes(found.scenes, report):
        if len(set(sizes.values())) > 1:
            report.skip(scene.name, ", ".join(f"{role} {w} x {h} px" for role, (w, h) in sizes.items()))
        elif smallest_px and (sizes["picture"][1] < smallest_px[0] or sizes["picture"][0] < smallest_px[1]):
            size = f"{sizes['picture'][0]} x {sizes['picture'][1]}"
            report.skip(scene.name, f"too small: {size} px, a crop needs {smallest_px[1]} x {smallest_px[0]}")
        else:
            scenes.append(scene)
    report.num_used = len(scenes)
    if not scenes:
        where = ", ".join(str(folder) for folders in found.folders[:1] for folder in folders.values())
        raise UserError(f"No scene in {where} can be used", report.text, "`ganvas inspect DIR` says more")
    return scenes


def _with_sizes(scenes: Sequence[Scene], report: Report) -> Iterator[tuple[Scene, dict[str, tuple[int, int]]]]:
    for scene in scenes:
        try:
            headers = {role: shards.read_header(path) for role, path in scene.files.items()}
        except UserError as error:
            report.skip(scene.name, str(error))
            continue
        yield scene, {role: (header.width, header.height) for role, header in headers.items()}
