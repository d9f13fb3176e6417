"""Pictures from label maps: a style for each instance by seed or by choice, at any size, exactly in little memory.

A style belongs to a region, which is an instance of a class. It is drawn by (seed, class, instance) alone: a region
keeps its style when others are edited, and over the frames of a clip.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ganvas import device as machine
from ganvas.data.conditions import class_of_segment, instance_of_segment, segments, shrink
from ganvas.data.decoding import decode
from ganvas.data.input_ranges import InputRange, read_input
from ganvas.data.labels import resize
from ganvas.data.styles import Styles, class_of
from ganvas.errors import UserError
from ganvas.inference.labels.editing import Scene, scene_condition
from ganvas.inference.labels.options import Known, Strips
from ganvas.inference.labels.scene_files import SavedScene, read_scene
from ganvas.inference.open import Opened, open_model
from ganvas.inference.result import Reports
from ganvas.inference.rows.exact import Condition, ExactRun
from ganvas.io import runs
from ganvas.io.labels.legends import Label
from ganvas.io.labels.maps import check_ids, read_instance_map, read_label_map
from ganvas.io.pictures import images
from ganvas.networks.pix2pixhd.card import assume
from ganvas.networks.pix2pixhd.net import InstanceFeatureEncoder, tabulate
from ganvas.protocol import Card
from ganvas.values import to_range, to_unit

_BAND = 256
NO_INSTANCES = "no instance map was found: the boundaries are those between classes"
MAPS_AT_ONCE = 6
"""Finest maps of float32 that a network run as a whole holds at its widest moment, measured roughly."""


@dataclass(frozen=True)
class MapFiles:
    """Where the maps of one picture lie."""

    name: str
    """Path below the folder, without suffix."""
    labels: Path
    instances: Path | None = None
    input: Path | None = None
    """The picture that goes in beside them, where the generator takes one."""
    scene: Path | None = None
    """The folder of the painted scene that they are, whose instances have styles."""


@dataclass(frozen=True)
class Regions:
    """The maps of one picture, and the regions that have a style each."""

    label_map: Tensor
    """(1, 1, H, W) integers; -1 where a pixel has no class."""
    region_map: Tensor
    """(1, 1, H, W) integers: an id for each pair of class and instance."""
    ids: Tensor
    """(N,) int64, the ids that occur, in order."""
    input: Tensor | None = None
    """(1, 3, H, W) in [-1, 1]: the picture that goes in beside the maps."""

    @classmethod
    def of(cls, label_map: Tensor, instance_map: Tensor, picture: Tensor | None = None) -> Regions:
        """Return the regions of a label and an instance map (1, 1, H, W)."""
        # A large map in int64 would be most of what strips leave of memory; so would be its sorting whole.
        highest = int(segments(label_map.max(), instance_map.max()))
        dtype = torch.int32 if highest <= torch.iinfo(torch.int32).max else torch.int64
        region_map, ids = torch.empty(instance_map.shape, dtype=dtype), []
        for top in range(0, instance_map.shape[-2], _BAND):
            rows = slice(top, top + _BAND)
            band = segments(label_map[:, :, rows], instance_map[:, :, rows])
            region_map[:, :, rows] = band
            ids.append(band.unique())
        return cls(label_map, region_map, torch.cat(ids).unique(), picture)

    @property
    def labels(self) -> list[int]:
        """Return the class of each region, -1 for none."""
        return class_of_segment(self.ids).tolist()

    @property
    def size(self) -> tuple[int, int]:
        """Return height and width."""
        return self.label_map.shape[-2], self.label_map.shape[-1]


@dataclass
class Chosen:
    """Features of each region, and what is worth telling about them."""

    features: Tensor
    """(N, F), in the order of the regions' ids."""
    notes: list[str] = field(default_factory=list)


class LabelPainter:
    """A trained generator of pictures from label maps.

    Args:
        model: run folder, weight file, or what `open_model` gave.
        device: where it runs.
        precision: of a run as a whole; layer by layer it is float32.
        strips: `always` runs layer by layer in strips (exactly, in little memory), `never` as a whole; `auto` takes
            strips where the whole would not fit into half of the free memory.
        known: what the files do not tell.

    Raises:
        UserError: the model cannot be used, or is no generator from label maps.
    """

    def __init__(
        self,
        model: str | Path | Opened,
        device: str = "auto",
        precision: str = "auto",
        strips: Strips = "auto",
        known: Known = Known(),  # noqa: B008 - immutable
    ) -> None:
        self.opened, self.known = open_model(model), known
        card = self.opened.card
        if card.input != "labels" or not card.network.startswith("pix2pixhd"):
            raise UserError(f"{self.opened} makes no pictures from label maps", f"It is a {card.network}")
        assumed = card.extra.get("assumed", "")
        self.opened = self.opened.with_card(assume(card, known.num_labels, known.no_boundaries))
        self.device = machine.pick(device)
        self.precision = machine.pick_precision(precision, self.device)
        self.styles = Styles.from_attachments(self.opened.attachments)
        self.network = self.opened.network(device=self.device)
        self.card, self.strips = self.opened.card, strips
        extra: Mapping[str, Any] = self.card.extra
        self.num_labels, self.num_features = int(extra["num_labels"]), int(extra["features"])
        self.has_boundaries, self.has_input = bool(extra["boundaries"]), bool(extra.get("inputs"))
        self.legend = tuple(
            Label(int(entry["id"]), str(entry["name"]), tuple(entry["color"])) for entry in extra.get("legend", ())
        )
        self.ignore = (*extra.get("ignore", (255,)), *known.ignore)
        self.warning = _untrained(self.opened.run, int(self.card.settings.get("enhancers", 0)))
        if "assumed" in extra:
            self.warning = f"assumed are {assumed}; --num-labels and --no-boundaries say otherwise"
        """What is to be told before the first picture; mostly nothing."""
        self._encoder: nn.Module | None = None

    # Maps

    def read(self, labels: MapFiles | str | Path, instances: str | Path = "") -> Regions:
        """Read the maps of one picture: a pair of files, or a label map and, where there is one, an instance map.

        Raises:
            UserError: a file is damaged or missing, an id has no label, or the two maps differ in size.
        """
        files = labels
        if not isinstance(files, MapFiles):
            files = MapFiles(Path(files).stem, Path(files), Path(instances) if instances else None)
        if files.scene is not None:
            return self._read_scene(files, files.scene)
        label_map = read_label_map(files.labels, self.legend)
        label_map = check_ids(label_map, self.num_labels, self.ignore, files.labels, self._do_about(label_map))
        label_map = label_map.astype(np.int16 if self.num_labels < 1 << 15 else np.int32)
        if files.instances and not files.instances.is_file():
            what = f"{files.labels} has no instance map"
            raise UserError(what, f"{files.instances} does not exist", "Add it, or name another folder by --instances")
        instance_map = read_instance_map(files.instances) if files.instances else label_map
        if instance_map.shape != label_map.shape:
            sizes = [f"{shape[1]} x {shape[0]}" for shape in (label_map.shape, instance_map.shape)]
            why = f"They measure {' and '.join(sizes)} px"
            raise UserError(f"{files.labels.name} and its instance map differ in size", why)
        labels_in, instances_in = (torch.from_numpy(plane)[None, None] for plane in (label_map, instance_map))
        picture = self._input(files, label_map.shape) if self.has_input else None
        return Regions.of(labels_in, instances_in, picture)

    def _read_scene(self, files: MapFiles, folder: Path) -> Regions:
        saved = read_scene(folder)
        self.check_scene(saved)
        scene = saved.scene
        picture = self._input(files, scene.size) if self.has_input else None
        return Regions.of(scene.label_map[None, None], scene.instance_map[None, None], picture)

    def check_scene(self, saved: SavedScene) -> None:
        """Refuse a scene that was painted for another generator.

        Raises:
            UserError: it has classes that this one does not know, or styles of another length.
        """
        check_ids(
            saved.scene.label_map.numpy(), self.num_labels, (), saved.labels, "Give the generator it was made with"
        )
        length = len(next(iter(saved.scene.styles.values()), ()))
        if length not in (0, self.num_features):
            why = f"Its styles have {length} numbers, and the generator takes {self.num_features or 'none'}"
            raise UserError(f"{saved.labels.parent} was painted for another generator", why)

    def _input(self, files: MapFiles, size: tuple[int, ...]) -> Tensor:
        if files.input is None or not files.input.is_file():
            why = f"{files.input} does not exist" if files.input else "This generator takes one beside the label map"
            do = "Put it into a folder edges/, renders/ or inputs/ beside the labels, or name the folder by --inputs"
            raise UserError(f"{files.labels} has no input picture", why, do)
        within = InputRange.from_note(self.card.extra.get("input_range"))
        values = images.to_float(decode(files.input)) if within is None else read_input(files.input, within)
        if values.shape[:2] != tuple(size):
            why = f"They measure {size[1]} x {size[0]} and {values.shape[1]} x {values.shape[0]} px"
            raise UserError(f"{files.labels.name} and its input picture differ in size", why)
        return to_range(torch.from_numpy(values.astype(np.float32)).permute(2, 0, 1).expand(3, -1, -1)[None])

    def _do_about(self, label_map: np.ndarray) -> str:
        highest = int(label_map[~np.isin(label_map, self.ignore)].max(initial=0))
        if "assumed" in self.card.extra and highest == self.num_labels < self.card.channels_in:
            return f"If it was trained without instance maps: --num-labels {highest + 1} --no-boundaries"
        return f"Leave it out (--ignore {highest}), or give it another id: ganvas label remap DIR --map {highest}=0"

    def note_on(self, files: MapFiles) -> str:
        """Return what is to be told of maps that can be used, but hardly as they were meant."""
        return NO_INSTANCES if self.has_boundaries and files.instances is None else ""

    # Styles

    def draw(self, regions: Regions, seed: int = 0, wanted: Mapping[int, int] | None = None) -> Chosen:
        """Draw a style for each region by seed, or take the wanted one of its class.

        Raises:
            UserError: the generator takes styles and the run has none, or a wanted one does not exist.
        """
        wanted = wanted or {}
        if not self.num_features:
            if wanted:
                raise UserError("This generator takes no styles", "It was trained with --instance-features 0")
            return Chosen(torch.zeros(len(regions.ids), 0))
        styles = self._require_styles()
        for label, number in wanted.items():
            self.check_style(label, number)
        mean = (styles.centers * styles.counts[:, None]).sum(0) / styles.counts.sum()
        rows, bare = [], set()
        for region, label in zip(regions.ids, regions.labels):
            mine = styles.of(label)
            if not len(mine):
                bare.add(label)
                rows.append(mean)
            elif label in wanted:
                rows.append(mine[wanted[label]])
            else:
                rows.append(_drawn(mine, styles.counts[styles.labels == label], seed, label, region))
        notes = [f"{self.name_of(label)} has no styles: it has the mean of all" for label in sorted(bare - {-1})]
        return Chosen(torch.stack(rows), notes)

    def copy(self, regions: Regions, picture: Tensor, of: Regions | None = None, seed: int = 0) -> Chosen:
        """Take the styles of a picture (1, 3, H, W) in [0, 1].

        Without maps of its own the picture is laid under the regions: each takes the style of what it covers. With
        them, each region draws one of the picture's styles of its class.

        Raises:
            UserError: the run has no encoder, or the maps do not fit the picture.
        """
        if not self.num_features:
            raise UserError("This generator takes no styles", "It was trained with --instance-features 0")
        source = regions if of is None else of
        picture = resize(picture[0], source.size)[None]
        small = shrink(to_range(picture), int(self.card.extra.get("encoder_shrinks", 1)))
        with torch.no_grad():
            features = self._require_encoder()(small.to(self.device)).cpu()
        table = tabulate(features, source.region_map)[0]
        if of is None:
            return Chosen(table.features)
        seen = Styles(class_of_segment(table.instance), table.features, table.area)
        rows, absent = [], set()
        fallback = self.draw(regions, seed) if self.styles else None
        for place, (region, label) in enumerate(zip(regions.ids, regions.labels)):
            mine = seen.of(label)
            if len(mine):
                rows.append(_drawn(mine, seen.counts[seen.labels == label], seed, label, region))
            else:
                absent.add(label)
                rows.append(seen.centers.mean(0) if fallback is None else fallback.features[place])
        notes = [
            f"{self.name_of(label)} is not in the picture: its style is another's" for label in sorted(absent - {-1})
        ]
        return Chosen(torch.stack(rows), notes)

    def class_named(self, name: str) -> int:
        """Return the id of a class by name or number.

        Raises:
            UserError: there is none.
        """
        legend = [{"id": label.id, "name": label.name} for label in self.legend]
        return class_of(name, legend, self.num_labels)

    def name_of(self, label: int) -> str:
        """Return what a class is called."""
        return next((entry.name for entry in self.legend if entry.id == label), f"class {label}")

    def style(self, label: int, number: int) -> tuple[float, ...]:
        """Return one of the styles of a class.

        Raises:
            UserError: there is none of this number, or the generator takes no styles.
        """
        if not self.num_features:
            raise UserError("This generator takes no styles", "It was trained with --instance-features 0")
        self.check_style(label, number)
        return tuple(self._require_styles().of(label)[number].tolist())

    def num_styles(self, label: int) -> int:
        """Return how many styles a class has."""
        return len(self._require_styles().of(label)) if self.num_features else 0

    def styles_of(self, label: int) -> Tensor:
        """Return the styles of a class, (k, F).

        Raises:
            UserError: none were gathered.
        """
        return self._require_styles().of(label)

    def check_style(self, label: int, number: int) -> None:
        """Refuse a style that a class has not.

        Raises:
            UserError: it has fewer.
        """
        have = self.num_styles(label)
        if not 0 <= number < have:
            why = f"It has {have}, numbered from 0" if have else "No instance of it was seen when styles were gathered"
            do = f"Use 0 to {have - 1}" if have else ""
            raise UserError(f"There is no style {number} of {self.name_of(label)}", why, do)

    def _require_styles(self) -> Styles:
        if self.styles is None:
            do = f"ganvas styles {self.opened}" if self.opened.run else "Give the run, or pack it after `ganvas styles`"
            raise UserError(f"{self.opened} has no styles yet", "Its generator wants one for each instance", do)
        return self.styles

    def _require_encoder(self) -> nn.Module:
        if self._encoder is None:
            # The originals' networks lie side by side as latest_net_G.pth and latest_net_E.pth.
            path = self.opened.path or Path()
            beside = path.with_name(path.name.replace("net_G", "net_E")) if path.name else path
            if self.known.encoder or (beside != path and beside.is_file()):
                encoder = open_model(self.known.encoder or beside).network(device=self.device)
            elif self.opened.run:
                encoder = self.opened.network("encoder", self.device)
            else:
                do = "Give the run folder, or name the encoder's file by --encoder"
                raise UserError(f"{self.opened} holds no encoder", "A weight file is one network", do)
            card: Card = encoder.card  # pyright: ignore[reportAssignmentType]
            if not isinstance(encoder, InstanceFeatureEncoder) or card.channels_out != self.num_features:
                why = f"It is a {card.network} of {card.channels_out} features, wanted are {self.num_features}"
                raise UserError(f"{self.known.encoder or beside} is not the encoder of {self.opened}", why)
            self._encoder = encoder
        return self._encoder

    # Pictures

    def paint(self, regions: Regions, features: Tensor, progress: Reports | None = None) -> Iterator[np.ndarray]:
        """Yield the picture from top to bottom as (rows, W, 3) in [0, 1]; sides need be no multiple of anything."""
        styles = dict(zip(regions.ids.tolist(), map(tuple, features.tolist()))) if self.num_features else {}
        scene = Scene(regions.label_map[0, 0], regions.region_map[0, 0], styles)
        condition = scene_condition(scene, self.num_labels, self.num_features, self.has_boundaries)
        if regions.input is not None:
            condition = _with_input(condition, regions.input, self.num_labels + self.has_boundaries)
        height, width = regions.size
        if self.runs_in_strips(height, width):
            run = ExactRun(self.network, condition, height, width, progress=progress, memory_budget=self._budget())
            made = run.strips()
        else:
            made = iter([self._whole(condition(0, height))])
        for strip in made:
            yield to_unit(strip.float().cpu()[0], self.card.range).clamp(0, 1).permute(1, 2, 0).numpy()

    def paint_condition(self, condition: Condition, height: int, width: int) -> Tensor:
        """Return the whole picture of a condition in one piece: (1, 3, H, W) in the network's own range."""
        return self._whole(condition(0, height)[..., :width]).float().cpu()

    def picture(self, regions: Regions, features: Tensor) -> np.ndarray:
        """Return the whole picture (H, W, 3) in [0, 1]."""
        return np.concatenate(list(self.paint(regions, features)))

    @torch.no_grad()
    def _whole(self, condition: Tensor) -> Tensor:
        with machine.autocast(self.device, self.precision):
            return self.network(condition.to(self.device))

    def runs_in_strips(self, height: int, width: int) -> bool:
        """Tell whether a picture of this size is made layer by layer."""
        if self.strips != "auto":
            return self.strips == "always"
        finest = int(self.card.settings["width"])
        needed = 4 * height * width * (self.card.channels_in + MAPS_AT_ONCE * finest)
        return needed > machine.free_memory(self.device) // 2

    def _budget(self) -> int:
        return machine.free_memory(self.device) // 2


def _with_input(condition: Condition, picture: Tensor, place: int) -> Condition:
    """Return rows of a condition with those of a picture behind its first planes, as in training."""

    def provide(top: int, bottom: int) -> Tensor:
        planes = condition(top, bottom)
        return torch.cat([planes[:, :place], picture[:, :, top:bottom].to(planes), planes[:, place:]], dim=1)

    return provide


def _untrained(path: Path | None, enhancers: int) -> str:
    """Return what is to be told of a run whose finest enhancer has not been trained yet."""
    saved = runs.checkpoints(path) if enhancers and path is not None else []
    stage = str(runs.read_state(saved[-1])["stage"]) if saved else ""
    if stage in ("global", *(f"enhancer{level}" for level in range(1, enhancers))):
        return f"{path} is still in its stage {stage}: its finest enhancer is untrained, and pictures are noise"
    return ""


def _drawn(styles: Tensor, counts: Tensor, seed: int, label: int, region: Tensor) -> Tensor:
    """Return the style of a region, by seed: the commoner the likelier."""
    instance = int(instance_of_segment(region))
    random = np.random.default_rng([seed, label + 1, instance & 0xFFFFFFFF])
    share = counts.double().numpy()
    return styles[int(random.choice(len(styles), p=share / share.sum()))]
