"""A scene that is painted by hand: its maps and styles, every edit undone and redone, and the picture of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.data.conditions import colorize, instance_of_segment
from ganvas.errors import UserError
from ganvas.inference.labels import editing
from ganvas.inference.labels.editing import Box, History, Scene, Style
from ganvas.inference.labels.painter import LabelPainter, Regions
from ganvas.inference.labels.scene_files import read_scene, write_scene
from ganvas.inference.rows.layers import Statistics
from ganvas.io.pictures.tensors import from_tensor
from ganvas.values import to_unit

WHOLE_PX = 1024 * 512
"""Up to this many pixels an edit repaints the whole picture, which costs little more than a part and is exact."""
RIM_PX = 2
"""Pixels around a restyled instance that change with it: those that its outline is drawn on."""


@dataclass(frozen=True)
class Thing:
    """What lies at a pixel."""

    label: int
    name: str
    instance: int
    num_styles: int
    """Styles to choose from; 0 where the generator takes none."""


class PaintScene:
    """A scene, and the picture that a painter makes of it.

    Each edit raises `revision` by one and returns the box that it touched, None where nothing changed; `repaint` then
    brings the picture up to date. Not for several threads at once.

    Args:
        painter: makes the picture.
        scene: what it shows at first.
        seed: of the styles that are drawn.
    """

    def __init__(self, painter: LabelPainter, scene: Scene, seed: int = 0) -> None:
        self.painter, self.seed = painter, seed
        self.history = History(self._with_styles(scene))
        self.revision = 0
        self.is_exact = False
        """Whether the picture is that of the whole scene, not one of which only parts were repainted."""
        self._picture: Tensor | None = None
        self._statistics: tuple[Statistics, ...] = ()
        self._pending: list[Box] = []
        self._restyled: list[int] = []
        """The instance of each pending edit that was no more than another style."""

    @classmethod
    def blank(cls, painter: LabelPainter, width: int, height: int, label: int = 0, seed: int = 0) -> PaintScene:
        """Return a scene that is one class all over.

        Raises:
            UserError: the size is not positive, or there is no such class.
        """
        if width < 1 or height < 1:
            raise UserError(f"{width} x {height} is no size for a scene", do="Give a width and a height in pixels")
        if not 0 <= label < painter.num_labels:
            raise UserError(f"There is no class {label}", f"They are numbered from 0 to {painter.num_labels - 1}")
        maps = torch.full((height, width), label, dtype=torch.int32)
        return cls(painter, Scene(maps, maps.clone()), seed)

    @classmethod
    def from_regions(cls, painter: LabelPainter, regions: Regions, seed: int = 0) -> PaintScene:
        """Return the scene of maps that `LabelPainter.read` has read."""
        instances = instance_of_segment(regions.region_map[0, 0].long()).int()
        return cls(painter, Scene.from_maps(regions.label_map[0, 0].int(), instances), seed)

    def is_thing(self, label: int) -> bool:
        """Tell whether a class is counted: the legend says so, or the scene has several instances of it."""
        if any(entry.id == label and entry.thing for entry in self.painter.legend):
            return True
        return len(self.scene.instance_map[self.scene.label_map == label].unique()) > 1

    @property
    def scene(self) -> Scene:
        """Return the scene as it is now."""
        return self.history.scene

    # Edits

    def stroke(self, points: Sequence[tuple[float, float]], width_px: float, label: int, is_thing: bool) -> Box | None:
        """Draw a round brush through points (x, y) in pixels; of a thing it is one new instance.

        Raises:
            UserError: no point lies in the picture, or there is no such class.
        """
        self._check_label(label)
        return self._do(editing.paint_stroke(self.scene, points, width_px, label, is_thing=is_thing))

    def fill(self, x: int, y: int, label: int, is_thing: bool) -> Box | None:
        """Make another class of the instance at a pixel.

        Raises:
            UserError: the pixel lies outside, or there is no such class.
        """
        self._check_label(label)
        mask = editing.instance_at(self.scene, x, y)
        return self._do(editing.change_label(self.scene, mask, label, is_thing=is_thing))

    def restyle(self, instance: int, number: int) -> Box | None:
        """Give an instance one of the styles of its class.

        Raises:
            UserError: there is no such instance or style, or the generator takes none.
        """
        places = (self.scene.instance_map == instance).nonzero()
        if not len(places):
            raise UserError(f"The scene has no instance {instance}")
        label = int(self.scene.label_map[tuple(places[0])])
        box = self._do(editing.set_style(self.scene, instance, self.painter.style(label, number)))
        if box is not None:
            self._restyled.append(instance)
        return box

    def move(self, instance: int, down: int, right: int, copies: bool = False) -> Box | None:
        """Move an instance, or a copy of it, by pixels; what it uncovers becomes what lies around it.

        Raises:
            UserError: there is no such instance, or nothing of it would lie in the picture.
        """
        mask = self.scene.instance_map == instance
        if not mask.any():
            raise UserError(f"The scene has no instance {instance}")
        rows, columns = (mask.any(dim=axis).nonzero().flatten() for axis in (1, 0))
        top, left = int(rows[0]), int(columns[0])
        shape = mask[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1]
        label = int(self.scene.label_map[mask][0])
        scene = self.scene if copies else self._without(mask)
        return self._do(
            editing.paste_object(scene, shape, top + down, left + right, label, self.scene.styles.get(instance))
        )

    def remove(self, instance: int) -> Box | None:
        """Give the pixels of an instance to what lies around it.

        Raises:
            UserError: there is no such instance, or nothing else in the scene.
        """
        mask = self.scene.instance_map == instance
        if not mask.any():
            raise UserError(f"The scene has no instance {instance}")
        return self._do(self._without(mask))

    def undo(self) -> Box | None:
        """Take the last edit back; None where there is none."""
        return self._after(self.history.undo()) if self.history.can_undo else None

    def redo(self) -> Box | None:
        """Make an edit again that was taken back; None where there is none."""
        return self._after(self.history.redo()) if self.history.can_redo else None

    def at(self, x: int, y: int) -> Thing:
        """Return what lies at a pixel.

        Raises:
            UserError: the pixel lies outside.
        """
        editing.instance_at(self.scene, x, y)
        label, instance = int(self.scene.label_map[y, x]), int(self.scene.instance_map[y, x])
        styles = self.painter.num_styles(label) if self.painter.num_features and label >= 0 else 0
        return Thing(label, self.painter.name_of(label), instance, styles)

    def _check_label(self, label: int) -> None:
        if not 0 <= label < self.painter.num_labels:
            raise UserError(f"There is no class {label}", f"They are numbered from 0 to {self.painter.num_labels - 1}")

    def _do(self, scene: Scene) -> Box | None:
        box = self.history.do(self._with_styles(scene))
        return None if box is None else self._after(box)

    def _after(self, box: Box) -> Box:
        self.revision += 1
        self._pending.append(box)
        return box

    def _with_styles(self, scene: Scene) -> Scene:
        """Return the scene in which each instance has a style: those without one draw it by seed."""
        if not self.painter.num_features:
            return scene
        regions = Regions.of(scene.label_map[None, None], scene.instance_map[None, None])
        names = instance_of_segment(regions.ids).tolist()
        if all(name in scene.styles for name in names):
            return scene
        drawn = self.painter.draw(regions, self.seed).features.tolist()
        styles: dict[int, Style] = dict(zip(names, map(tuple, drawn)))
        return Scene(scene.label_map, scene.instance_map, {**styles, **scene.styles})

    def _without(self, mask: Tensor) -> Scene:
        """Return the scene in which the pixels of a mask take the class and instance of the nearest others."""
        if mask.all():
            raise UserError("Nothing would be left", "The scene holds this one thing only", "Paint over it instead")
        labels, instances = self.scene.label_map.clone(), self.scene.instance_map.clone()
        hidden = mask.clone()
        while hidden.any():
            for shift, axis in ((1, 1), (-1, 1), (1, 0), (-1, 0)):
                seen = ~torch.roll(hidden, shift, axis) & hidden
                edge = [slice(None)] * 2
                edge[axis] = slice(0, 1) if shift == 1 else slice(-1, None)
                seen[tuple(edge)] = False  # what rolls over the border is no neighbour
                labels[seen] = torch.roll(labels, shift, axis)[seen]
                instances[seen] = torch.roll(instances, shift, axis)[seen]
                hidden &= ~seen
        return Scene(labels, instances, self.scene.styles)

    # Pictures

    def repaint(self, is_exact: bool = False) -> Box:
        """Bring the picture up to date and return the box of it that is new.

        Small pictures, and all where `is_exact`, are painted anew as a whole; of larger ones the parts that edits
        touched. Where edits only changed styles and nothing `is_exact`, all but the instances themselves is kept as it
        was: norms over the whole picture would carry a new colour on to the rest.
        """
        height, width = self.scene.size
        whole = Box(0, 0, height, width)
        before, restyled = self._picture, self._restyled
        is_restyled_only = 0 < len(restyled) == len(self._pending)
        self._restyled = []
        if before is None or is_exact or height * width <= WHOLE_PX:
            self._paint_whole()
            if before is not None and is_restyled_only and not is_exact:
                self._keep_beyond(restyled, before)
            return whole
        before = before.clone() if is_restyled_only else before
        new = [self._repaint_part(box) for box in self._pending]
        self._pending = []
        if is_restyled_only:
            self._keep_beyond(restyled, before)
        if not new:
            return whole
        return Box(
            min(box.top for box in new), min(box.left for box in new), max(box.bottom for box in new),
            max(box.right for box in new),
        )  # fmt: skip

    def picture(self) -> np.ndarray:
        """Return the picture of the scene as it is now: (H, W, 3) uint8."""
        if self._picture is None or self._pending:
            self.repaint()
        assert self._picture is not None
        return from_tensor(to_unit(self._picture[0], self.painter.card.range).clamp(0, 1))

    def colored_labels(self) -> np.ndarray:
        """Return the label map in the legend's colours, with the boundaries of the instances: (H, W, 3) uint8."""
        palette = {entry.id: entry.color for entry in self.painter.legend}
        shown = colorize(self.scene.label_map[None, None], palette, self.scene.instance_map[None, None])
        return from_tensor(shown[0].float())

    def _condition(self) -> editing.Condition:
        painter = self.painter
        return editing.scene_condition(self.scene, painter.num_labels, painter.num_features, painter.has_boundaries)

    def _paint_whole(self) -> None:
        height, width = self.scene.size
        if height * width <= WHOLE_PX:
            self._picture = self.painter.paint_condition(self._condition(), height, width)
        else:
            self._picture, self._statistics = editing.synthesise(
                self.painter.network, self._condition(), (height, width)
            )
        self._pending, self.is_exact = [], True

    def _keep_beyond(self, instances: Sequence[int], before: Tensor) -> None:
        """Take from the new picture only these instances and their rims."""
        assert self._picture is not None
        names = torch.tensor(instances, device=self.scene.instance_map.device)
        on = torch.isin(self.scene.instance_map, names)[None, None].float()
        changed = F.max_pool2d(on, 2 * RIM_PX + 1, 1, RIM_PX).bool()
        self._picture = torch.where(changed.to(before.device), self._picture, before)
        self.is_exact = False

    def _repaint_part(self, box: Box) -> Box:
        assert self._picture is not None
        part, place = editing.resynthesise(
            self.painter.network, self._condition(), self._picture, box, self._statistics
        )
        self._picture[..., place.top : place.bottom, place.left : place.right] = part
        self.is_exact = False
        return place

    # Files

    def save(self, folder: str | Path) -> Path:
        """Write the scene as a folder, which `ganvas generate RUN --labels FOLDER` paints as it is here."""
        write_scene(Path(folder), self.scene, self.seed, self.revision)
        return Path(folder)

    @classmethod
    def load(cls, painter: LabelPainter, folder: str | Path) -> PaintScene:
        """Return a scene that `save` wrote.

        Raises:
            UserError: the folder holds no scene, or one for another generator.
        """
        saved = read_scene(Path(folder))
        painter.check_scene(saved)
        scene = cls(painter, saved.scene, saved.seed)
        scene.revision = saved.revision
        return scene
