"""Video from a sequence of label maps: frame after frame, in the memory of a few, resumable where it broke off.

What is fed back is what is written: each picture is rounded to the depth of the output before the next one is made
from it. So a folder of frames holds all that the rest of the clip depends on, and a resumed clip is equal
to an unbroken one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tyro.conf import FlagCreatePairsOff

from ganvas import device as machine
from ganvas.data import inspect_sequences, label_layouts
from ganvas.data.clips import (
    as_tensors,
    condition_of,
    find_legend,
    read_condition,
    read_moves,
    read_picture,
    told_of_films,
)
from ganvas.data.decoding import decode
from ganvas.data.films import VIDEOS, Film, FilmFrame
from ganvas.data.input_ranges import InputRange
from ganvas.data.sequences import Clip, find_clips, require_one_size
from ganvas.errors import UserError
from ganvas.inference.clips.assumptions import assume, told_of_size
from ganvas.inference.clips.coarse import coarse_moves, factor_of
from ganvas.inference.clips.lent import LentPainter
from ganvas.inference.clips.styles import ClipStyles, Kind, parse_changes
from ganvas.inference.open import Opened, open_model, resolve
from ganvas.inference.options import Common, Precision
from ganvas.inference.result import Job, Progress, Result, run_batch
from ganvas.inference.styles import gather
from ganvas.io.labels.legends import Label, label_of
from ganvas.io.pictures import images
from ganvas.io.video.frames import USUAL_FPS, FramePattern, FramesWriter, parse_pattern
from ganvas.io.video.headers import new_header
from ganvas.io.video.rates import rate_of
from ganvas.io.video.writer import VideoWriter
from ganvas.io.workroom import Workroom
from ganvas.networks.vid2vid.net import Known, Past, Vid2Vid, next_frame, no_past, past_of
from ganvas.protocol import Card
from ganvas.values import to_range, to_unit


@dataclass(frozen=True, kw_only=True)
class ClipOptions(Common):
    """How a clip is generated and written."""

    precision: Precision = "float32"
    """Arithmetic of the network; auto takes the machine's fastest."""
    first: str = ""
    """First frame: a picture, a video, or a run of pix2pixhd that generates one from the first label map."""
    painter: str = ""
    """A run of pix2pixhd that paints the frames; the model then only tells what stays of the last frame, and where
    to: steadier than the painter, and softer. It may paint twice as large as the model knows, or more."""
    seed: int = 0
    """Of the styles, where the model takes such (--instance-features); there is no other chance in it."""
    style: Kind = "gaussian"
    """Any style of each class's spread (gaussian), or one of its common ones (clusters)."""
    restyle: tuple[str, ...] = ()
    """Changes of style, CLASS@FRAME=SEED: car@24=7 gives cars from frame 24 on the styles of seed 7."""
    anchor: float = 0.0
    """Share of the hallucinated picture in what is fed back, against drift in long clips: 0 to 1."""
    repaint: float = 0.0
    """Above 0 more is painted anew, which is sharper and less steady; below 0 less. 1.6 is much."""
    num_labels: int = 0
    """Classes that another project's checkpoint was trained on, where its channels do not tell."""
    no_boundaries: FlagCreatePairsOff[bool] = False
    """Another project's checkpoint was trained without instance maps."""
    instances: str = ""
    """Folder or video of instance maps, where they do not lie beside the labels."""
    fps: Fraction | None = None
    """Frames a second of a video: 24, or 30000/1001."""
    bits: int = 8
    """8; in a video also 10, in frames 16."""
    quality: int | None = None
    """Constant rate factor of the video's codec, 0 (best) to 51."""
    resume: bool = True
    """Continue with the frames that an interrupted run has left; only numbered frames can be resumed."""


class Frame(NamedTuple):
    """A frame as it is written, and how far it is from the hallucinated one."""

    picture: np.ndarray
    drift: float


class ClipSampler:
    """Makes the frames of a sequence with a trained generator.

    Raises:
        UserError: the model makes no clips, or the sequence lacks what the model wants.
    """

    def __init__(
        self, model: str | Path | Opened, clip: Clip, options: ClipOptions, legend: tuple[Label, ...] = ()
    ) -> None:
        self.options, self.clip, self.legend = options, clip, legend
        self.device = machine.pick(options.device)
        self.precision = machine.pick_precision(options.precision, self.device)
        self.opened = open_model(model)
        net = self.opened.network(device=self.device)
        self.card = self.opened.card
        if not isinstance(net, Vid2Vid):
            raise UserError(f"{self.opened} makes no clips", f"It is a {self.card.network}")
        self.net = net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.extra: dict[str, Any] = {
            **assume(self.card, net.channels_label, options.num_labels, options.no_boundaries),
            "first_frame": "needed", "replaces": [], "features": 0, **self.card.extra,
        }  # fmt: skip
        if not 0 <= options.anchor <= 1:
            raise UserError(f"The anchor is {options.anchor}", "It is a share", "Use 0 to 1; 0.05 is much")
        if options.repaint and not self.card.settings.get("with_flow", True):
            raise UserError("This generator has no mask", "It paints every frame again", "Leave out --repaint")
        self.net.repaint(options.repaint)
        if not legend and isinstance(clip.files.get("labels", (None,))[0], FilmFrame):
            self.legend = tuple(label_of(entry) for entry in self.extra.get("legend", ()))
        features = int(self.extra["features"])
        if options.restyle and not features:
            raise UserError("This generator takes no styles", "It was trained with --instance-features 0")
        self.styles = self._styles_of(self.opened, features) if features else None
        self._check_clip()
        self.height, self.width = require_one_size([clip])
        self.first = self._first_picture()
        self._paint = self._painting(options.painter) if options.painter else None
        # A painter may paint larger pictures than the generator knows, whose flow is then found at its own size.
        self.factor = factor_of(_size_of(self.card), (self.height, self.width)) if options.painter else 1

    def _styles_of(self, opened: Opened, features: int) -> ClipStyles:
        options, attachments = self.options, opened.attachments
        if "instances.features" not in attachments and opened.run:
            # Encoding the training data takes a moment, once.
            gather(opened.run, device=options.device)
            attachments = open_model(opened.run).attachments
        changes = parse_changes(options.restyle, self.extra.get("legend", ()), int(self.extra["num_labels"]))
        return ClipStyles(attachments, features, options.seed, options.style, changes)

    def _check_clip(self) -> None:
        if self.extra["edges"] and "instances" not in self.clip.files:
            why = "This generator was trained with the boundaries of instances"
            raise UserError(f"The sequence {self.clip.name} has no instances", why, "Put them into a folder instances/")
        if self.extra.get("inputs") and "conditions" not in self.clip.files:
            why = "This generator was trained with pictures beside the label maps"
            do = f"Put them into a folder {self.extra['inputs'].replace('auto', 'conditions')}/"
            raise UserError(f"The sequence {self.clip.name} has no inputs", why, do)
        if self.extra["replaces"] and not {"flow", "flow_back"} & self.clip.files.keys():
            why = f"This generator was trained with exact {' and '.join(self.extra['replaces'])}"
            raise UserError(f"The sequence {self.clip.name} has no flow", why, "Put it into a folder flow/")
        if self.extra["first_frame"] == "needed" and not (self.options.first or self.options.painter):
            why = "This generator always was given the first frame of a sequence"
            raise UserError("There is no first frame", why, "Add --first PICTURE, or a run that makes one")
        told = told_of_films(self.clip, self.legend)
        self.notes = [told] if told else []
        if "num_labels" not in self.card.extra:
            kinds = f"{self.extra['num_labels']} labels, {'boundaries' if self.extra['edges'] else 'no boundaries'}"
            self.notes.append(f"assumed are {kinds}; --num-labels and --no-boundaries say otherwise")
        for frame in {0, len(self.clip) // 2, len(self.clip) - 1}:
            planes = self._condition(frame)
            if planes.shape[1] != self.net.channels_label:
                why = f"The generator takes {self.net.channels_label} planes a frame, this gives {planes.shape[1]}"
                raise UserError(f"The sequence {self.clip.name} is not what this model was trained on", why)

    def _planes(self, frame: int) -> dict[str, np.ndarray]:
        planes = read_condition(self.clip, frame, self.extra["num_labels"], legend=self.legend)
        if self.extra.get("inputs") or not planes:
            within = InputRange.from_note(self.extra.get("input_range"))
            planes["condition"] = read_picture(self.clip.files["conditions"][frame], within)
        return planes

    def _condition(self, frame: int) -> Tensor:
        planes = self._tensors(frame)
        condition = condition_of(planes, self.extra["num_labels"], self.extra["edges"])
        if self.styles is None:
            return condition
        return torch.cat([condition, _styled(self.styles, planes, frame)], 1)

    def _tensors(self, frame: int) -> dict[str, Tensor]:
        return {name: plane.to(self.device) for name, plane in as_tensors(self._planes(frame)).items()}

    def _first_picture(self) -> Tensor | None:
        if not self.options.first:
            return None
        path = resolve(self.options.first)
        if path.suffix.lower() in (*images.READABLE, *VIDEOS):
            colour = images.to_float(Film(path).read(0) if path.suffix.lower() in VIDEOS else decode(path))
            picture = torch.from_numpy(colour).permute(2, 0, 1)[None].expand(1, 3, -1, -1)
            where = f"The first frame {path.name}"
        else:
            picture, where = self._painting(path)(0, self._condition(0)), f"The first frame that {path.name} made"
        if tuple(picture.shape[-2:]) != (self.height, self.width):
            why = f"It is {picture.shape[-1]}x{picture.shape[-2]}, the label maps are {self.width}x{self.height}"
            raise UserError(f"{where} has another size", why)
        return picture.to(self.device)

    def _painting(self, model: str | Path) -> Callable[[int, Tensor], Tensor]:
        """Return what paints a frame from its number and its condition by a model of pictures, in styles of its own."""
        num_labels = int(self.extra["num_labels"]) if "labels" in self.clip.files else 0
        painter = LentPainter(model, num_labels, bool(self.extra["edges"]), self.device)
        is_styled = painter.features and (painter.opened.attachments or painter.opened.run)
        styles = self._styles_of(painter.opened, painter.features) if is_styled else None

        def paint(frame: int, condition: Tensor) -> Tensor:
            return painter(condition, None if styles is None else _styled(styles, self._tensors(frame), frame))

        return paint

    def frames(self, start: int = 0, shown: list[np.ndarray] | None = None) -> Iterator[Frame]:
        """Yield the frames from `start` on, (H, W, 3) in the output's depth.

        Args:
            start: how many frames are there already.
            shown: the last of those, oldest first: as many as the generator remembers, or all.
        """
        past = self._past(start, shown or [])
        for frame in range(start, len(self.clip)):
            condition = self._condition(frame)
            if frame == 0 and self.first is not None:
                picture, drift = self.first, 0.0
                past = past_of(self.net, condition, to_range(self._rounded(picture)[1]))
            else:
                past = no_past(self.net, condition) if past is None else past
                picture, past, drift = self._next(frame, condition, past)
            array, kept = self._rounded(picture)
            pictures = torch.cat([past.pictures[:, :-3], to_range(kept)], 1)
            past = Past(past.labels, pictures, torch.ones_like(past.has_previous))
            yield Frame(array, drift)

    def _next(self, frame: int, condition: Tensor, past: Past) -> tuple[Tensor, Past, float]:
        with torch.inference_mode(), machine.autocast(self.device, self.precision):
            made, past = next_frame(self.net, condition, past, self._known(frame, condition, past))
        picture, raw = (to_unit(part.float()) for part in (made.picture, made.raw))
        drift = float((picture - raw).abs().mean())
        if self.options.anchor and bool(past.has_previous.all()):
            picture = torch.lerp(picture, raw, self.options.anchor)
        return picture, past, drift

    def _known(self, frame: int, condition: Tensor, past: Past) -> Known | None:
        painted = None if self._paint is None else to_range(self._paint(frame, condition))
        if not self.extra["replaces"] or not frame:
            if painted is None:
                return None
            if self.factor == 1 or not self.net.scale0.with_flow:
                return Known(None, None, painted)
            boundary_plane = int(self.extra["num_labels"]) if self.extra["edges"] else None
            return Known(*coarse_moves(self.net, condition, past, self.factor, boundary_plane), painted)
        flow, trust = (part[None].to(self.device) for part in read_moves(self.clip, frame, (self.height, self.width)))
        replaces = self.extra["replaces"]
        return Known(flow if "flow" in replaces else None, 1 - trust if "mask" in replaces else None, painted)

    def _rounded(self, picture: Tensor) -> tuple[np.ndarray, Tensor]:
        """Return a picture as it is written, and the same as a tensor."""
        kind = "uint8" if self.options.bits == 8 else "uint16"
        array = images.from_float(picture[0].permute(1, 2, 0).cpu().numpy(), kind)
        return array, self._as_tensor(array)

    def _as_tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(images.to_float(array)).permute(2, 0, 1)[None].to(self.device)

    def _past(self, start: int, shown: list[np.ndarray]) -> Past | None:
        """Return what the generator remembers before a frame, from the frames that were written."""
        if not start:
            return None
        memory = self.net.frames - 1
        # As `past_of` and `no_past` would have it: the first frame counts as long shown, or as never.
        blank = torch.zeros(1, 3, self.height, self.width, device=self.device)
        before = [to_range(self._as_tensor(array)) for array in shown][-memory:]
        missing = memory - len(before)
        pictures = [before[0] if self.first is not None else blank] * missing + before
        labels = [self._condition(max(0, start - back)) for back in range(memory, 0, -1)]
        has = torch.ones(1, dtype=torch.bool, device=self.device)
        return Past(torch.cat(labels, 1), torch.cat(pictures, 1), has)


def generate_clip(
    model: str | Path | Opened,
    labels: str | Path,
    out: str | Path,
    options: ClipOptions,
    progress: Progress | None = None,
) -> Result:
    """Generate a clip from a folder of label maps: a video, or a folder of numbered frames, which can be resumed.

    The result's `drift` is, for each frame generated now, how far it is from the hallucinated picture, which knows no
    past: the mean |difference|.

    Raises:
        UserError: the folder, the model, the first frame or the target do not go together.
    """
    opened = open_model(model)
    clips = find_sequences(opened, labels, options.instances)
    if len(clips) > 1:
        names = ", ".join(clip.name for clip in clips[:6])
        raise UserError(f"{labels} holds {len(clips)} sequences", f"A clip is made of one: {names}", "Name its folder")
    return _generate(opened, clips[0], Path(labels), Path(out), options, progress or Progress())


def _styled(styles: ClipStyles, planes: Mapping[str, Tensor], frame: int) -> Tensor:
    return styles.planes(planes["label_map"], planes.get("instance_map"), frame)


NAME = "{name}"
"""Stands in an output for the name of each sequence."""


def generate_clips(
    model: str | Path | Opened,
    labels: str | Path,
    out: str | Path,
    options: ClipOptions,
    progress: Progress | None = None,
) -> list[Result]:
    """Generate a clip from each sequence of a folder; of several, what is wrong with one stops none of the others.

    Several go into folders of their names below `out`, or where its `{name}` says: clips/{name}.mp4.

    Raises:
        UserError: something is wrong with the only one, or several are to go into one file.
    """
    opened, progress = open_model(model), progress or Progress()
    clips = find_sequences(opened, labels, options.instances)
    progress.warn_of(inspect_sequences.examine_maps(clips, find_legend(Path(labels))))
    if len(clips) == 1:
        target = Path(str(out).replace(NAME, clips[0].name))
        result = _generate(opened, clips[0], Path(labels), target, options, progress.of(str(target)))
        progress.finish(result)
        return [result]
    pattern = str(out) if NAME in str(out) else str(Path(out) / NAME)
    if NAME not in str(out) and Path(out).suffix:
        why = f"{labels} holds {len(clips)} sequences"
        do = f"Give a folder, or {Path(out).with_name(NAME + Path(out).suffix)}"
        raise UserError(f"{out} is one clip", why, do)
    jobs = {Job(clip.name, Path(pattern.replace(NAME, clip.name))): clip for clip in clips}

    def work(job: Job, progress: Progress) -> Result:
        job.target.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _generate(opened, jobs[job], Path(labels), job.target, options, progress)
        except UserError as error:
            raise UserError(f"{job.source}: {error.what}", error.why, error.do) from error

    return run_batch(jobs, work, progress)


def find_sequences(opened: Opened, labels: str | Path, instances: str | Path = "") -> list[Clip]:
    """Return the sequences of a folder, of a video, or of a plain folder of numbered maps, as a model wants them.

    Raises:
        UserError: there are none.
    """
    path, extra = Path(labels), opened.card.extra
    role = "labels" if extra.get("num_labels", 1) else "conditions"
    named = {"instances": Path(instances)} if instances else {}
    for place in named.values():
        if not place.exists():
            raise UserError(f"{place} does not exist", do="Name the folder or video of the instance maps")
    if path.is_file():
        if path.suffix.lower() not in VIDEOS:
            raise UserError(f"{path} is no video", do=f"Give a folder of maps, or one of {', '.join(VIDEOS)}")
        named = {role: path, **named}
    elif path.is_dir() and not any(child.is_dir() for child in path.iterdir()) and images.find_pictures([path])[0]:
        beside = label_layouts.beside_maps(path)
        named = {role: path, **({"instances": beside["instances"]} if "instances" in beside else {}), **named}
    inputs = str(extra.get("inputs", ""))
    return find_clips(path, size_px=_size_of(opened.card), named=named, inputs="" if inputs == "auto" else inputs)


def _generate(
    opened: Opened, clip: Clip, labels: Path, target: Path, options: ClipOptions, progress: Progress
) -> Result:
    began = time.monotonic()
    sampler = ClipSampler(opened, clip, options, find_legend(labels))
    told = told_of_size(_size_of(sampler.card), (sampler.height, sampler.width))
    if told and sampler.factor == 1:
        progress.warn(told)
    if target.suffix.lower() in VIDEOS:
        drift, resumed, notes = _into_video(sampler, target, rate_of(labels, clip.name) or USUAL_FPS, progress)
    else:
        drift, resumed, notes = _into_frames(sampler, target, _identity(sampler, labels), progress)
    note = "; ".join((*clip.notes, *sampler.notes, *notes))
    return Result(
        input=clip.name, output=str(target), width=sampler.width, height=sampler.height, frames=len(clip),
        resumed_frames=resumed, seconds=round(time.monotonic() - began, 3), note=note, facts={"drift": drift},
    )  # fmt: skip


def _size_of(card: Card) -> tuple[int, int] | None:
    """Return the (height, width) that a model was trained at: key points alone tell none."""
    width, height = card.extra.get("size_px", (0, 0))
    return (height, width) if width and height else None


def _into_video(
    sampler: ClipSampler, target: Path, fps: Fraction | int, progress: Progress
) -> tuple[list[float], int, tuple[str, ...]]:
    options = sampler.options
    header = new_header(sampler.width, sampler.height, options.fps or fps, options.bits)
    drift = []
    with VideoWriter(
        target, header, quality=options.quality, bits=options.bits, overwrite=options.overwrite
    ) as writer:  # fmt: skip
        for number, made in enumerate(sampler.frames()):
            writer.write(made.picture, number * header.frame_step, header.frame_step)
            drift.append(made.drift)
            progress(number + 1, len(sampler.clip))
    return drift, 0, writer.notes


def _into_frames(
    sampler: ClipSampler, target: Path, identity: dict[str, Any], progress: Progress
) -> tuple[list[float], int, tuple[str, ...]]:
    pattern = parse_pattern(target)
    if pattern is None:
        target.mkdir(parents=True, exist_ok=True)
        pattern = FramePattern(target, "", ".png", 6, first=0)
    room = Workroom(Path(str(pattern)), identity, sampler.options.resume)
    finished, drift = False, []
    try:
        done = int(room.journal.get("done", 0))
        first = pattern.first or 0
        memory = range(max(0, done - sampler.net.frames + 1), done)
        shown = [images.read(pattern.path(first + number))[0] for number in memory]
        with FramesWriter(pattern, first, overwrite=sampler.options.overwrite or done > 0) as writer:
            writer.frames = done
            for number, made in enumerate(sampler.frames(done, shown), start=done):
                writer.write(made.picture, number)
                room.note(done=number + 1)
                drift.append(made.drift)
                progress(number + 1, len(sampler.clip))
        finished = True
    finally:
        room.leave(finished)
    note = f"begun again: {room.started_anew}" if room.started_anew else ""
    return drift, done, (note,) if note else ()


def _identity(sampler: ClipSampler, labels: str | Path) -> dict[str, Any]:
    options = sampler.options
    return {
        "model": str(sampler.opened), "origin": sampler.card.origin, "labels": str(Path(labels).resolve()),
        "frames": len(sampler.clip), "first": options.first, "seed": options.seed, "style": options.style,
        "restyle": list(options.restyle), "anchor": options.anchor, "repaint": options.repaint,
        "painter": options.painter, "bits": options.bits, "instances": options.instances,
    }  # fmt: skip
