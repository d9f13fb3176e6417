"""Clips of pictures with what they are made from: sequences of label maps or of condition pictures, and render passes.

How sequences lie on disk is told in `sequences`. All sequences of a set have one size and no gaps; whatever is wrong is
said before any work starts. Flow files are OpenEXR in pixels, to the next frame; those in `flow_back/` lead to the one
before. Instances may be Cryptomattes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from ganvas.data import films, inspect_sequences, sharded
from ganvas.data.cache import ByteCache
from ganvas.data.conditions import compose
from ganvas.data.doctor import Examination
from ganvas.data.films import FilmFrame
from ganvas.data.input_ranges import Asked, InputRange, measure, read_input, spread
from ganvas.data.labels import boundaries
from ganvas.data.sequences import Clip, find_clips, require_one_size
from ganvas.data.snapping import Colors
from ganvas.data.stills import Still, StillFile
from ganvas.errors import UserError
from ganvas.flow import FlowTeacher, invert, is_inside
from ganvas.io.labels import legends
from ganvas.io.labels.legends import Label, read_legend
from ganvas.io.labels.maps import check_ids, read_instance_map, read_label_map
from ganvas.io.pictures import shards
from ganvas.io.pictures.tensors import to_tensor
from ganvas.protocol import Source
from ganvas.values import to_range

KEPT_BYTES = 1 << 29
NUM_CHECKED = 3
"""Label maps of each sequence whose ids are checked before work starts."""

MEASURED = 24
"""Condition pictures, spread over the set, whose values are looked at."""

PLACES = 1 << 20
"""Steps into which the places are divided where a window may begin."""

Planes = dict[str, Tensor]
"""`label_map` and `instance_map` (T, 1, H, W) int64, or `condition` (T, 3, H, W), or all; `picture` (T, 3, H, W) in
[0, 1]; `flow` (T, 2, H, W) to the frame before, in pixels, and `trust` (T, 1, H, W), 1 where that is known."""


class ClipReport:
    """Which sequences are used, and what is to be told of them."""

    def __init__(self, found: Sequence[Clip]) -> None:
        used = [clip for clip in found if len(clip) > 1]
        passed_over = [clip.name for clip in found if len(clip) < 2]
        self.notes = [note for clip in used for note in clip.notes]
        if passed_over:
            names = ", ".join(passed_over[:8]) + (" ..." if len(passed_over) > 8 else "")
            self.notes.append(f"{len(passed_over)} sequences of one frame are passed over: {names}")
        for role in ("instances", "labels"):
            lacking = [clip.name for clip in used if role not in clip.files]
            if lacking and len(lacking) < len(used):
                self.notes.append(
                    f"The {role} are left aside: {len(lacking)} sequences lack them, such as {lacking[0]}"
                )
        lengths = sorted(map(len, used))
        self.summary = f"{len(used)} sequences of {lengths[0]} to {lengths[-1]} frames" if used else ""

    @property
    def text(self) -> str:
        """A summary, with the first ten of the notes."""
        more = [f"  and {len(self.notes) - 10} more"] if len(self.notes) > 10 else []
        return "\n".join([self.summary, *(f"  {note}" for note in self.notes[:10]), *more])


class Clips(Source):
    """Sequences with their frames; a sample is the address of a window, not its pictures.

    A sample is {"window": (3,) int64}: number of the sequence, where the window begins, as a share of the places where
    it can (in 2**20 steps), and a number below 2**20 to toss coins with. `windows` reads the frames of such windows.
    """

    def __init__(
        self,
        folder: str | Path,
        num_labels: int = 0,
        ignore: Sequence[int] = (255,),
        flow_from: str | FlowTeacher = "exact",
        multiple_of: int = 1,
        cache_bytes: int = KEPT_BYTES,
        inputs: str = "auto",
        input_range: InputRange | Asked | None = Asked(),  # noqa: B008 - immutable
    ) -> None:
        """Find the sequences, and check their frames, sizes and a few of their ids.

        Args:
            folder: as in `find_clips`.
            num_labels: classes; 0 takes what the legend says, or the highest id that is found plus one.
            ignore: ids that stand for no class.
            flow_from: `exact` (the folders of flow), `none`, or what tells the flow between two pictures.
            multiple_of: frames are cut at the right and at the bottom to multiples of this.
            cache_bytes: decoded frames that are kept in memory.
            inputs: pictures that go in beside label maps: `auto` (conditions, inputs, edges or poses where all
                sequences have them), `none`, or the name of their folders, such as depth.
            input_range: which values of condition pictures become 0 to 1; by default those of pictures, and of anything
                else, such as depth, what is measured.

        Raises:
            UserError: anything is missing or does not fit.
        """
        named = "" if inputs in ("auto", "none") else inputs
        found = find_clips(folder, ("frames", "conditions") if named else ("frames",), cut_at_gaps=True, inputs=named)
        self.clips = [clip for clip in found if len(clip) > 1]
        if not self.clips:
            why = f"Each of its {len(found)} sequences has one frame"
            raise UserError(f"{folder} holds no sequences to train on", why, "Number the frames of a sequence 0, 1 ...")
        self.report = ClipReport(found)
        still = [clip.name for clip in self.clips if not {"flow", "flow_back"} & clip.files.keys()]
        if flow_from == "exact" and still:
            why = "Exact flow was asked for, and it has no folder flow nor flow_back"
            raise UserError(f"The sequence {still[0]} has no flow", why, "Use --flow-from dis, or none")
        self.folder, self.ignore = Path(folder), tuple(ignore)
        self._has_flow = flow_from != "none"
        self._teacher = None if isinstance(flow_from, str) else flow_from
        self._file_px = height, width = require_one_size(self.clips)
        self.size_px = height // multiple_of * multiple_of, width // multiple_of * multiple_of
        if min(self.size_px) < 1:
            raise UserError(f"Frames of {width}x{height} are too small", f"This network needs {multiple_of} px")
        self.has_instances = all("instances" in clip.files for clip in self.clips)
        self.has_labels = all("labels" in clip.files for clip in self.clips)
        self.has_inputs = (
            self.has_labels and inputs != "none" and all("conditions" in clip.files for clip in self.clips)
        )
        self.input_range = self._range(input_range) if self.has_inputs or not self.has_labels else None
        self.legend = find_legend(self.folder)
        self._told_labels = num_labels
        self.num_labels = (num_labels or self._count_labels()) if self.has_labels else 0
        self.shortest = min(map(len, self.clips))
        self._cache: ByteCache[Any] = ByteCache(cache_bytes)
        self._check_first_labels()
        self.indices = list(range(len(self.clips)))
        # A teacher that is of no use, or a flow of another size, is to be known now and not in the first step.
        for sequence, clip in enumerate(self.clips):
            if self._has_flow and len(clip) > 1:
                self._moves(sequence, 1)

    def examine(self) -> Examination:
        """Return what the doctor says of all frames, and of label and instance maps spread over all sequences."""
        result = inspect_sequences.examine_maps(
            self.clips if self.has_labels else (), self.legend, self._told_labels, self.ignore
        )
        result.findings += inspect_sequences.unreadable_frames(self.clips)
        return result

    @property
    def channels_label(self) -> int:
        """Planes of one frame's condition."""
        return self.num_labels + self.has_instances + 3 * self.has_inputs if self.has_labels else 3

    def __len__(self) -> int:
        return len(self.indices)

    def groups(self) -> list[str]:
        """Return the name of each sequence."""
        return [self.clips[index].name for index in self.indices]

    def subset(self, indices: Sequence[int]) -> Self:
        """Return the source of only these sequences; addresses stay those of the whole set."""
        chosen = copy.copy(self)
        chosen.indices = [self.indices[index] for index in indices]
        return chosen

    def sample(self, index: int, random: np.random.Generator) -> dict[str, Tensor]:
        """Return the address of a window that begins anywhere in a sequence."""
        chance = (int(number) for number in random.integers(PLACES, size=2))
        return {"window": torch.tensor([self.indices[index], *chance])}

    def start_of(self, window: Sequence[int], frames: int) -> int:
        """Return the first frame of a window of so many frames."""
        return window[1] * (len(self.clips[window[0]]) - frames + 1) // PLACES

    def read(self, sequence: int, frames: Sequence[int], with_flow: bool = True) -> Planes:
        """Return frames of a sequence, stacked along the first axis; the first frame of all moves from nowhere.

        Raises:
            UserError: a file cannot be read, or holds an id without a label.
        """
        with_flow = with_flow and self._has_flow
        read = [self._frame(sequence, frame) for frame in frames]
        planes = {name: torch.stack([_tensor(frame[name], name) for frame in read]) for name in read[0]}
        if with_flow:
            moves = [self._moves(sequence, frame) for frame in frames]
            planes["flow"] = torch.stack([flow for flow, _ in moves])
            planes["trust"] = torch.stack([trust for _, trust in moves])
        return planes

    def _frame(self, sequence: int, frame: int) -> dict[str, np.ndarray]:
        return self._cache.get(("frame", sequence, frame), lambda: self._read_frame(self.clips[sequence], frame))

    def _read_frame(self, clip: Clip, frame: int) -> dict[str, np.ndarray]:
        planes = read_condition(clip, frame, self.num_labels, self.ignore, self.legend)
        if self.has_inputs or not self.has_labels:
            planes["condition"] = read_picture(clip.files["conditions"][frame], self.input_range)
        planes["picture"] = clip.files["frames"][frame].read()
        height, width = self.size_px
        return {name: np.ascontiguousarray(plane[:height, :width]) for name, plane in planes.items()}

    def _moves(self, sequence: int, frame: int) -> tuple[Tensor, Tensor]:
        height, width = self.size_px
        if frame == 0:
            return torch.zeros(2, height, width), torch.zeros(1, height, width)
        return self._cache.get(("flow", sequence, frame), lambda: self._read_moves(sequence, frame))

    def _read_moves(self, sequence: int, frame: int) -> tuple[Tensor, Tensor]:
        height, width = self.size_px
        if self._teacher is not None:
            now, before = (_tensor(self._frame(sequence, at)["picture"], "picture")[None] for at in (frame, frame - 1))
            flow = self._teacher(now, before)
            return flow[0], is_inside(flow)[0]
        flow, trust = read_moves(self.clips[sequence], frame, self._file_px)
        return flow[:, :height, :width].contiguous(), trust[:, :height, :width].contiguous()

    def _count_labels(self) -> int:
        if self.legend:
            return max(label.id for label in self.legend) + 1
        highest = 0
        for clip in self.clips:
            for still in clip.files["labels"][:: max(1, len(clip) // NUM_CHECKED)]:
                ids = read_labels(still, self.legend)
                highest = max(highest, int(ids[~np.isin(ids, self.ignore)].max(initial=0)))
        return highest + 1

    def _range(self, asked: InputRange | Asked | None) -> InputRange | None:
        """Return which values of the conditions become 0 to 1, and say so; of videos nothing is measured."""
        stills = [still for clip in self.clips for still in clip.files["conditions"] if isinstance(still, StillFile)]
        paths = spread((still.path for still in stills), MEASURED)
        found = measure(paths, asked) if isinstance(asked, Asked) and paths else asked
        if not isinstance(found, InputRange):
            return None
        self.report.notes.append(f"Of the conditions, the values {found} become 0 to 1")
        return found

    def _check_first_labels(self) -> None:
        for clip in self.clips if self.has_labels else ():
            for frame in range(0, len(clip), max(1, len(clip) // NUM_CHECKED)):
                read_condition(clip, frame, self.num_labels, self.ignore, self.legend)
            if told := told_of_films(clip, self.legend):
                self.report.notes.append(told)


def find_legend(folder: Path) -> tuple[Label, ...]:
    """Return the legend of a set of sequences, empty where there is none."""
    if packed := sharded.open_set(folder, {}):
        within = sharded.legend_of(packed, folder)
        return read_legend(within) if within else ()
    below = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    found = legends.find_legend([folder, *below, folder.parent])
    return read_legend(found) if found else ()


def read_condition(
    clip: Clip, frame: int, num_labels: int, ignore: Sequence[int] = (255,), legend: Sequence[Label] = ()
) -> dict[str, np.ndarray]:
    """Return the `label_map` and `instance_map` of one frame, (H, W, 1), where a sequence has such.

    Raises:
        UserError: a file cannot be read, or holds an id without a label.
    """
    if "labels" not in clip.files:
        return {}
    still = clip.files["labels"][frame]
    planes = {"label_map": check_ids(read_labels(still, legend), num_labels, ignore, str(still))[..., None]}
    if "instances" in clip.files:
        planes["instance_map"] = read_instances(clip.files["instances"][frame])[..., None]
    # 16 bits would not hold the ids of colours, and 64 would only fill the cache.
    return {name: plane.astype(np.int32) for name, plane in planes.items()}


def read_picture(still: Still, within: InputRange | None) -> np.ndarray:
    """Return a condition picture, (H, W, 1 or 3), by its range where it has one.

    Raises:
        UserError: it cannot be read, or holds values that are no numbers.
    """
    return still.read() if within is None or not isinstance(still, StillFile) else read_input(still.path, within)


def read_labels(still: Still, legend: Sequence[Label] = ()) -> np.ndarray:
    """Return the label ids of a still, (H, W) int64.

    Raises:
        UserError: it is no map of ids.
    """
    if isinstance(still, FilmFrame):
        return films.read_ids(still, colors_of(legend))
    return read_label_map(still.path, legend)


def colors_of(legend: Sequence[Label]) -> Colors:
    """Return the ids of a legend with their colours."""
    return [(label.id, label.color) for label in legend]


def told_of_films(clip: Clip, legend: Sequence[Label]) -> str:
    """Return what is to be told of a sequence whose label maps are a film that changes values; else nothing.

    Raises:
        UserError: no legend says what its colours are, or they are not those of the legend.
    """
    frames = [still for still in clip.files.get("labels", ()) if isinstance(still, FilmFrame)]
    return films.told_of_snapping(frames[:: max(1, len(frames) // NUM_CHECKED)], colors_of(legend))


def read_instances(still: Still) -> np.ndarray:
    """Return the instance ids of a still, (H, W) int64: of a map, a film of maps, or an OpenEXR file of id mattes.

    Raises:
        UserError: it is no map of ids.
    """
    if isinstance(still, FilmFrame):
        return films.read_ids(still)
    return read_instance_map(still.path)


def condition_of(planes: Mapping[str, Tensor], num_labels: int, with_edges: bool) -> Tensor:
    """Return the planes that a generator is given: classes one-hot, the boundaries of instances, then a picture.

    {"label_map": (B, 1, H, W), "instance_map": (B, 1, H, W), "condition": (B, 3, H, W)} -> (B, N, H, W)
    """
    picture = [to_range(planes["condition"])] if "condition" in planes else []
    if "label_map" not in planes:
        return picture[0]
    edges = boundaries(planes["instance_map"]) if with_edges else None
    return torch.cat([compose(planes["label_map"], edges, num_labels), *picture], 1)


def as_tensors(planes: Mapping[str, np.ndarray]) -> Planes:
    """Return the planes of one frame as a batch of one."""
    return {name: _tensor(plane, name)[None] for name, plane in planes.items()}


def read_moves(clip: Clip, frame: int, size_px: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the exact flow from a frame but the first to the one before (2, H, W), and where it is known (1, H, W).

    Args:
        clip: the sequence.
        frame: number of the frame.
        size_px: (height, width) that the flow must have.

    Raises:
        UserError: a file cannot be read, is no flow, or has another size.
    """
    files = clip.files
    if "flow_back" in files:
        back = _read_flow(files["flow_back"][frame + len(files["flow_back"]) - len(clip)].path, size_px)[None]
        return back[0], is_inside(back)[0]
    forward = _read_flow(files["flow"][frame - 1].path, size_px)[None]
    visible = torch.ones_like(forward[:, :1])
    if "occlusion" in files:
        hidden, _ = shards.read(files["occlusion"][frame - 1].path)
        visible = torch.from_numpy((hidden[..., 0] < 128).astype(np.float32))[None, None]
    back, known = invert(forward, visible)
    return back[0], known[0]


def _read_flow(path: Path, size_px: tuple[int, int]) -> Tensor:
    pixels, _ = shards.read(path)
    if pixels.shape[:2] != size_px:
        why = f"It is {pixels.shape[1]}x{pixels.shape[0]}, the frames are {size_px[1]}x{size_px[0]}"
        raise UserError(f"{path} has another size", why)
    if pixels.shape[-1] < 2 or pixels.dtype.kind != "f":
        raise UserError(f"{path} is no flow", "It needs two channels of floating point: pixels to the right and down")
    if not np.isfinite(pixels[..., :2]).all():
        raise UserError(f"{path} cannot be used", "Some of its values are not finite", "Render the pass again")
    return torch.from_numpy(pixels[..., :2].astype(np.float32)).permute(2, 0, 1)


def _tensor(plane: np.ndarray, name: str) -> Tensor:
    if name.endswith("_map"):
        return torch.from_numpy(plane).permute(2, 0, 1).long()
    return to_tensor(plane)
