"""Editing a scene of labels and instances as functions that a page can call: a scene goes in, a new scene comes out.

A scene never changes. `History` steps back and forth between scenes without end; `touched_region` says where two
differ; `resynthesise` makes that part of the picture anew. The boundaries of the instances and the maps of their styles
are derived from the scene as its rows are read (`scene_condition`), so that they cannot get out of step with it.

What `resynthesise` leaves out, to cost as little as the touched part: it keeps the instance norms' statistics of the
first, whole picture, which the edit would move a little; it sees `context_px` around the part, where the network
sees further; and it keeps the old pixels beyond the part, which would change a little, too. A part of an unedited
scene whose context reaches as far as the network sees comes out as in the whole picture, to the last digits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from ganvas.data.conditions import compose, instance_of_segment, segments
from ganvas.data.labels import boundaries
from ganvas.errors import UserError
from ganvas.inference.result import Reports
from ganvas.inference.rows.exact import Condition, ExactRun, cell_px
from ganvas.inference.rows.layers import Statistics

Style: TypeAlias = tuple[float, ...]
"""An instance's features, as many as the generator takes beside labels and boundaries."""

CITYSCAPES_FACTOR = 1000
"""Where instances are numbered as class * 1000 + k, and stuff as its class."""
_BAND = 256


class Box(NamedTuple):
    """A part of a picture: rows `top` to `bottom`, columns `left` to `right`, the ends excluded."""

    top: int
    left: int
    bottom: int
    right: int

    def grown(self, by_px: int, height: int, width: int, cell: int = 1) -> Box:
        """Return the box with a margin, its sides moved out to multiples of a cell, and cut at the picture's."""
        top, left = (max(0, start - by_px) // cell * cell for start in (self.top, self.left))
        bottom, right = (stop + by_px + -(stop + by_px) % cell for stop in (self.bottom, self.right))
        return Box(top, left, min(bottom, height), min(right, width))

    def of(self, picture: Tensor) -> Tensor:
        """Return this part of a picture (..., H, W)."""
        return picture[..., self.top : self.bottom, self.left : self.right]


@dataclass(frozen=True)
class Scene:
    """What a picture is to show: a class and an instance for each pixel, and a style for each instance.

    Raises:
        UserError: the two maps differ in size, or a style has another length than the others.
    """

    label_map: Tensor
    """(H, W) integers; negative where a pixel has no class."""
    instance_map: Tensor
    """(H, W) integers."""
    styles: Mapping[int, Style] = field(default_factory=dict)
    """By instance; an instance without one has the style 0. Empty for a generator that takes none. Where one id stands
    in several classes, they share its style: `from_maps` gives each an id of its own."""

    def __post_init__(self) -> None:
        if self.label_map.dim() != 2 or self.label_map.shape != self.instance_map.shape:
            sizes = " and ".join(str(list(plane.shape)) for plane in (self.label_map, self.instance_map))
            raise UserError("Label and instance map do not fit together", f"They are {sizes}")
        if len({len(style) for style in self.styles.values()}) > 1:
            raise UserError("The styles of a scene differ in length")

    @classmethod
    def from_maps(cls, label_map: Tensor, instance_map: Tensor) -> Scene:
        """Return the scene of two maps (H, W), each of its instances being of one class.

        Where an id stands in several classes, as the 0 of maps that number only things, it stays with the first of
        them, and each of the others has a new one.

        Raises:
            UserError: as for any scene.
        """
        scene = cls(label_map, instance_map)
        regions = _unique(segments(*band) for band in _bands(scene))
        owners = instance_of_segment(regions)
        is_new = torch.cat([owners.new_zeros(1, dtype=torch.bool), owners[1:] == owners[:-1]])
        if not is_new.any():
            return scene
        ids = torch.where(is_new, int(owners.max()) + is_new.cumsum(0), owners)
        renumbered = [ids[torch.searchsorted(regions, segments(*band))] for band in _bands(scene)]
        return cls(label_map, torch.cat(renumbered))

    @property
    def size(self) -> tuple[int, int]:
        """Return height and width."""
        return self.label_map.shape[0], self.label_map.shape[1]


def _bands(scene: Scene) -> Iterator[tuple[Tensor, Tensor]]:
    # Sorting large maps whole would take several times their memory.
    return zip(scene.label_map.split(_BAND), scene.instance_map.split(_BAND))


def _unique(bands: Iterable[Tensor]) -> Tensor:
    return torch.cat([band.unique() for band in bands]).unique()


# Editing


def change_label(scene: Scene, mask: Tensor, label: int, style: Style | None = None, is_thing: bool = True) -> Scene:
    """Return the scene in which the pixels of a mask (H, W) are one new instance of a class.

    A class that is no thing, such as road, has no new instance: its pixels join the others of their class.

    Raises:
        UserError: the mask is empty or of another size, or the label negative.
    """
    if mask.shape != scene.label_map.shape:
        raise UserError(f"A mask of {list(mask.shape)} does not fit a scene of {list(scene.size)}")
    if label < 0:
        raise UserError(f"{label} is no class")
    mask = mask.bool()
    if not mask.any():
        raise UserError("The region to change is empty", do="Mark at least one pixel within the picture")
    instance = new_instance(scene, label) if is_thing else stuff_instance(scene, label)
    labels, instances = scene.label_map.clone(), scene.instance_map.clone()
    if instance > torch.iinfo(instances.dtype).max:
        instances = instances.long()
    labels[mask], instances[mask] = label, instance
    styles = scene.styles if style is None else {**scene.styles, instance: style}
    return Scene(labels, instances, styles)


def paint_stroke(
    scene: Scene,
    points: Sequence[tuple[float, float]],
    width_px: float,
    label: int,
    style: Style | None = None,
    is_thing: bool = True,
) -> Scene:
    """Return the scene with a round brush drawn through points (x, y) in pixels, of which (0, 0) is the first's middle.

    Raises:
        UserError: no points, or none of the stroke lies in the picture, or its width is not positive.
    """
    if not points or width_px <= 0:
        raise UserError("A stroke needs a point and a width", f"It has {len(points)} points and {width_px:g} pixels")
    mask = torch.zeros(scene.size, dtype=torch.bool)
    for start, stop in zip(points, [*points[1:], points[-1]]):
        _brush(mask, start, stop, width_px / 2)
    return change_label(scene, mask.to(scene.label_map.device), label, style, is_thing)


def _brush(mask: Tensor, start: tuple[float, float], stop: tuple[float, float], radius: float) -> None:
    """Set the pixels whose middles lie within a radius of a line."""
    (left, right), (top, bottom) = (
        (max(0, math.ceil(min(ends) - radius)), min(side, math.floor(max(ends) + radius) + 1))
        for ends, side in zip(zip(start, stop), (mask.shape[1], mask.shape[0]))
    )
    if left >= right or top >= bottom:
        return
    y, x = torch.arange(top, bottom)[:, None] - start[1], torch.arange(left, right) - start[0]
    across, down = stop[0] - start[0], stop[1] - start[1]
    length = across * across + down * down
    along = ((x * across + y * down) / length).clamp(0, 1) if length else torch.zeros(())
    distance = (x - along * across).square() + (y - along * down).square()
    mask[top:bottom, left:right] |= distance <= radius * radius


def paste_object(scene: Scene, mask: Tensor, top: int, left: int, label: int, style: Style | None = None) -> Scene:
    """Return the scene with a mask (h, w) as a new instance, its corner at a pixel; what lies outside is cut off.

    Raises:
        UserError: nothing of the object lies in the picture.
    """
    whole = torch.zeros(scene.size, dtype=torch.bool, device=scene.label_map.device)
    height, width = scene.size
    inside = mask.bool()[max(0, -top) : max(0, height - top), max(0, -left) : max(0, width - left)]
    start = max(0, top), max(0, left)
    if not inside.any():
        raise UserError("The object lies outside of the picture", f"Its corner is at row {top}, column {left}")
    whole[start[0] : start[0] + inside.shape[0], start[1] : start[1] + inside.shape[1]] = inside
    return change_label(scene, whole, label, style)


def set_style(scene: Scene, instance: int, style: Style) -> Scene:
    """Return the scene in which one instance has another style.

    Raises:
        UserError: there is no such instance.
    """
    if not (scene.instance_map == instance).any():
        raise UserError(f"The scene has no instance {instance}")
    return Scene(scene.label_map, scene.instance_map, {**scene.styles, instance: style})


def instance_at(scene: Scene, x: int, y: int) -> Tensor:
    """Return the mask (H, W) of the instance at a pixel, as `change_label` takes it.

    Raises:
        UserError: the pixel lies outside.
    """
    height, width = scene.size
    if not (0 <= x < width and 0 <= y < height):
        raise UserError(f"Pixel ({x}, {y}) lies outside of a scene of {width} x {height}")
    return scene.instance_map == scene.instance_map[y, x]


def new_instance(scene: Scene, label: int) -> int:
    """Return an unused id for an instance of a class: class * 1000 + k where the scene counts so, else the next one."""
    if not _is_counted_by_class(scene):
        return max(int(scene.instance_map.max()), *scene.styles, 0) + 1
    first = label * CITYSCAPES_FACTOR
    used = set(scene.instance_map.unique().tolist()) | set(scene.styles)
    return next(number for number in range(first or 1, first + len(used) + 2) if number not in used)


def stuff_instance(scene: Scene, label: int) -> int:
    """Return the id that a class of uncountable stuff has: that which its pixels have already, or the class itself."""
    alike, is_counted = scene.instance_map[scene.label_map == label], _is_counted_by_class(scene)
    if is_counted:
        alike = alike[alike // CITYSCAPES_FACTOR != label]
    if alike.numel():
        return int(alike.mode().values)
    return label if is_counted else int(scene.instance_map.max()) + 1


def _is_counted_by_class(scene: Scene) -> bool:
    # A scene without a single thing says so by instances that are its classes.
    highest = int(scene.instance_map.max())
    return highest >= CITYSCAPES_FACTOR or bool((scene.instance_map == scene.label_map).all())


# What an edit touched, and how to take it back


def touched_region(before: Scene, after: Scene) -> Box | None:
    """Return the smallest box around all pixels whose condition two scenes of one size differ in; None for none.

    Raises:
        UserError: the scenes differ in size.
    """
    if before.size != after.size:
        raise UserError("Scenes of two sizes cannot be compared", f"They are {before.size} and {after.size}")
    is_other = (before.label_map != after.label_map) | (before.instance_map != after.instance_map)
    names = {*before.styles, *after.styles}
    restyled = [name for name in names if before.styles.get(name) != after.styles.get(name)]
    if restyled:
        ids = torch.tensor(restyled, device=is_other.device)
        is_other |= torch.isin(after.instance_map, ids)
    rows, columns = (is_other.any(dim=axis).nonzero().flatten() for axis in (1, 0))
    if not len(rows):
        return None
    box = Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    # A boundary is drawn on both of its sides.
    return box.grown(1, *before.size)


class _Step(NamedTuple):
    """An edit: where it was, and what stood there before and after."""

    box: Box
    before: Scene
    after: Scene


class History:
    """A scene with all its edits, which can be taken back and made again without end.

    An edit is kept as the box that it touched, so that a thousand strokes cost no thousand maps.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._steps: list[_Step] = []
        self._done = 0

    @property
    def can_undo(self) -> bool:
        """Tell whether there is an edit to take back."""
        return self._done > 0

    @property
    def can_redo(self) -> bool:
        """Tell whether there is an edit to make again."""
        return self._done < len(self._steps)

    def do(self, scene: Scene) -> Box | None:
        """Take on an edited scene, forgetting the edits that were taken back; return what it touched, None for nothing.

        Raises:
            UserError: it has another size.
        """
        box = touched_region(self.scene, scene)
        if box is not None:
            self._steps[self._done :] = [_Step(box, _cut(self.scene, box), _cut(scene, box))]
            self._done += 1
        self.scene = scene
        return box

    def undo(self) -> Box:
        """Take back the last edit; return what that touched.

        Raises:
            UserError: there is none.
        """
        if not self.can_undo:
            raise UserError("There is nothing to undo")
        self._done -= 1
        step = self._steps[self._done]
        self.scene = _with(self.scene, step.box, step.before)
        return step.box

    def redo(self) -> Box:
        """Make the last edit again that was taken back; return what that touched.

        Raises:
            UserError: there is none.
        """
        if not self.can_redo:
            raise UserError("There is nothing to do again")
        step = self._steps[self._done]
        self._done += 1
        self.scene = _with(self.scene, step.box, step.after)
        return step.box


def _cut(scene: Scene, box: Box) -> Scene:
    return Scene(box.of(scene.label_map).clone(), box.of(scene.instance_map).clone(), scene.styles)


def _with(scene: Scene, box: Box, part: Scene) -> Scene:
    labels, instances = scene.label_map.clone(), scene.instance_map.to(part.instance_map.dtype, copy=True)
    box.of(labels).copy_(part.label_map)
    box.of(instances).copy_(part.instance_map)
    return Scene(labels, instances, part.styles)


# From a scene to a picture


def scene_condition(scene: Scene, num_labels: int, num_features: int = 0, has_boundaries: bool = True) -> Condition:
    """Return the rows of a generator's condition: classes one-hot, boundaries of instances, features of their styles.

    Nothing is made before its rows are asked for.

    Raises:
        UserError: a label is beyond the number of classes, or a style has another length than the generator takes.
    """
    highest = int(scene.label_map.max())
    if highest >= num_labels:
        y, x = (int(place[0]) for place in (scene.label_map == highest).nonzero(as_tuple=True))
        why = f"Pixel ({x}, {y}) has the label {highest}, and the generator knows 0 to {num_labels - 1}"
        raise UserError("A label is beyond the number of classes", why)
    lengths = {len(style) for style in scene.styles.values()}
    if num_features and lengths - {num_features}:
        raise UserError(f"A style has {max(lengths)} features, and the generator takes {num_features}")
    height = scene.size[0]
    styled = _style_table(scene, num_features) if num_features else None

    def provide(top: int, bottom: int) -> Tensor:
        labels = scene.label_map[None, None, top:bottom].long()
        # Boundaries need the rows around.
        first, last = max(0, top - 1), min(height, bottom + 1)
        instances = scene.instance_map[None, None, first:last]
        edges = None
        if has_boundaries:
            regions = segments(scene.label_map[None, None, first:last], instances)
            edges = boundaries(regions)[:, :, top - first : bottom - first]
        planes = compose(labels, edges, num_labels)
        if styled is None:
            return planes
        ids, table = styled
        rows = torch.searchsorted(ids, instances[0, 0, top - first : bottom - first].long())
        return torch.cat([planes, table[rows].permute(2, 0, 1)[None]], dim=1)

    return provide


def _style_table(scene: Scene, num_features: int) -> tuple[Tensor, Tensor]:
    """Return the ids of a scene in order, and for each its features."""
    ids = _unique(instances for _, instances in _bands(scene)).long()
    none = (0.0,) * num_features
    rows = [scene.styles.get(name, none) for name in ids.tolist()]
    return ids, torch.tensor(rows, dtype=torch.float32, device=ids.device).reshape(len(rows), num_features)


def synthesise(
    network: nn.Module, condition: Condition, size: tuple[int, int], progress: Reports | None = None
) -> tuple[Tensor, tuple[Statistics, ...]]:
    """Return the whole picture (1, C, H, W), and the statistics with which parts of it can be made anew.

    Raises:
        UserError: as `ganvas.inference.rows.exact.ExactRun`.
    """
    run = ExactRun(network, condition, *size, progress=progress)
    return torch.cat(list(run.strips()), dim=2), run.statistics


def resynthesise(
    network: nn.Module,
    condition: Condition,
    picture: Tensor,
    touched: Box,
    statistics: Sequence[Statistics],
    *,
    context_px: int | None = None,
    feather_px: int | None = None,
) -> tuple[Tensor, Box]:
    """Return the part of a picture (1, C, H, W) that an edit touched, made anew, and the box that it fills.

    The box is the touched one with a margin of `feather_px` (one cell of the coarsest maps by default) over which new
    pixels pass into old ones. The network sees `context_px` around it (8 cells by default). `statistics` are those that
    `synthesise` gave for the whole picture; the head of this file says what is approximate.

    Raises:
        UserError: as `ganvas.inference.rows.exact.ExactRun`.
    """
    height, width = int(picture.shape[-2]), int(picture.shape[-1])
    cell = cell_px(network, height, width)
    box = touched.grown(cell if feather_px is None else feather_px, height, width)
    seen = box.grown(8 * cell if context_px is None else context_px, height, width, cell)

    def rows(top: int, bottom: int) -> Tensor:
        return condition(seen.top + top, seen.top + bottom)[..., seen.left : seen.right]

    run = ExactRun(network, rows, seen.bottom - seen.top, seen.right - seen.left, statistics=statistics)
    made = torch.cat(list(run.strips()), dim=2)
    inner = Box(box.top - seen.top, box.left - seen.left, box.bottom - seen.top, box.right - seen.left)
    weight = _ramp(box.top, touched.top, touched.bottom, box.bottom, height)[:, None]
    weight = torch.minimum(weight, _ramp(box.left, touched.left, touched.right, box.right, width))
    return torch.lerp(box.of(picture), inner.of(made), weight.to(made)), box


def _ramp(start: int, full: int, past: int, stop: int, side: int) -> Tensor:
    """Return the share of the new for each pixel: 1 within, falling to both ends, but not where the picture ends."""
    places = torch.arange(start, stop)
    rising = torch.ones(stop - start) if start == 0 else (places - start + 1) / (full - start + 1)
    falling = torch.ones(stop - start) if stop == side else (stop - places) / (stop - past + 1)
    return torch.minimum(rising, falling).clamp(max=1)
