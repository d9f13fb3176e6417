"""Upscale a video or numbered frames, frame by frame, in the memory of one, resumable after a kill."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ganvas.errors import UserError
from ganvas.inference.result import Progress, Result
from ganvas.io.video.animated import AnimationReader, is_animated
from ganvas.io.video.frames import USUAL_FPS, FramePattern, FramesReader, FramesWriter, parse_pattern
from ganvas.io.video.headers import WHOLE, Cut, VideoHeader
from ganvas.io.video.reader import Frame, VideoReader, read_header
from ganvas.io.video.segments import SegmentStore
from ganvas.io.video.writer import VideoWriter
from ganvas.io.workroom import Workroom, fingerprint

Upscale: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""A picture (H, W, C) into a larger one, (H', W', C) of the same dtype."""

SLOW_S = 1.0
"""A frame that took longer than this is kept on disk at once; faster ones are made again after a kill."""


@dataclass(frozen=True, kw_only=True)
class VideoOptions:
    """How a video is written and how work on it goes on."""

    codec: str = "auto"
    """auto, h264, h265, av1, vp9, prores, prores4444 or ffv1 (lossless)."""
    quality: int | None = None
    """Constant rate factor: 0 (best) to 51 of h264 and h265, to 63 of av1 and vp9; 17, 18 or 22 when not given."""
    percent: int | None = None
    """Quality as pictures have it, 1 to 100, in place of the factor."""
    bits: int | None = None
    """Bits of a sample; those of the source when not given."""
    sampling: str = "auto"
    """Chroma: 420, 422 or 444; that of the source when auto."""
    fps: Fraction | None = None
    """Frames in a second of numbered frames; when not given, what they say themselves, or 24. A video has its own."""
    segment_frames: int = 48
    """Frames of one segment, the piece that is finished on disk; each begins with a picture that stands alone."""
    resume: bool = True
    """Go on where an interrupted process stopped."""
    overwrite: bool = False
    """Replace what stands under the target's name."""
    strict: bool = True
    """Refuse a source with missing or damaged frames instead of passing over them."""
    cut: Cut = WHOLE
    """The part of a video that is taken."""
    deinterlace: bool = False
    """Make one whole frame of the two fields of each interlaced one."""


def upscale_video(
    source: str | Path,
    target: str | Path,
    upscale: Upscale,
    *,
    scale: float = 4,
    size: tuple[int, int] | None = None,
    settings: Mapping[str, Any],
    options: VideoOptions | None = None,
    progress: Progress | None = None,
) -> Result:
    """Upscale a video file or numbered frames into a video file or numbered frames.

    Every frame keeps its time stamp; sound, subtitles and metadata are copied. `size` (width, height) or `scale` is
    what `upscale` makes of a frame. `settings` is everything else that decides the pictures (model, tiling, precision)
    as plain values: earlier work is continued only when it is the same.

    Raises:
        UserError: source or target cannot be used (checked before the first frame is upscaled), or a frame is missing.
    """
    begun = time.monotonic()
    options = options or VideoOptions()
    if options.segment_frames < 1:
        raise UserError("A segment must have at least one frame")
    clip = _Clip(source, options)
    width, height = size or (round(clip.header.width * scale), round(clip.header.height * scale))
    job = _Job(clip, upscale, (width, height), options, progress or Progress())
    identity = {"source": clip.fingerprint(), "settings": dict(settings), "size": [width, height]}
    pattern = parse_pattern(target)
    if pattern is None:
        frames, resumed, notes = job.into_video(Path(target), identity)
    else:
        frames, resumed, notes = job.into_frames(pattern, identity)
    notes = (*clip.notes, *notes)
    if job.lost:
        notes = (*notes, f"{job.lost} frames of the source are missing or damaged and were passed over")
    return Result(
        input=str(source), output=str(target), width=width, height=height, frames=frames, resumed_frames=resumed,
        seconds=round(time.monotonic() - begun, 3), note="; ".join(notes),
    )  # fmt: skip


def source_header(name: str | Path) -> VideoHeader:
    """Return what a video, numbered frames or an animated picture is, without counting its frames.

    Raises:
        UserError: it cannot be read.
    """
    path = Path(name)
    pattern = None if path.is_file() else parse_pattern(name)
    if pattern is not None:
        return FramesReader(pattern, allow_gaps=True).header
    return AnimationReader(path).header if is_animated(path) else read_header(path, count=False)


class _Clip:
    """A source: a video file, numbered frames or an animated picture."""

    def __init__(self, source: str | Path, options: VideoOptions) -> None:
        self.path = Path(source)
        self.options = options
        self.pattern = None if self.path.is_file() else parse_pattern(source)
        self.is_animated = self.pattern is None and is_animated(self.path)
        self.notes: tuple[str, ...] = ()
        self.is_light = False
        self.first = 0
        if self.pattern is None and not self.is_animated:
            self.header = read_header(self.path, strict=options.strict, cut=options.cut)
            if self.header.damage and options.cut.stop_s is None:
                self.notes = (self.header.damage,)
            if options.deinterlace:
                self.notes += _fields_note(self.header)
                self.header = replace(self.header, is_interlaced=False)
            if options.fps is not None:
                raise UserError(f"--fps means nothing for {self.path}", "A video has its own rate", "Leave it out")
            return
        if options.cut != WHOLE or options.deinterlace:
            named = "--deinterlace" if options.deinterlace else "--from and --to"
            raise UserError(f"{named} means nothing for {self.path}", "It is no video file", "Leave it out")
        if self.is_animated:
            self.header = AnimationReader(self.path).header
            return
        frames = self._frames()
        self.header, self.is_light, self.first = frames.header, frames.is_light, frames.first
        if options.fps is None and not frames.rate_is_told:
            self.notes = (f"numbered frames are taken as {USUAL_FPS} a second; --fps says otherwise",)

    def _frames(self, start: int = 0) -> FramesReader:
        assert self.pattern is not None
        return FramesReader(self.pattern, self.options.fps, start, allow_gaps=not self.options.strict)

    def reader(self, start: int) -> VideoReader | FramesReader | AnimationReader:
        """Open the source at a frame."""
        if self.pattern is not None:
            return self._frames(start)
        if self.is_animated:
            return AnimationReader(self.path, start)
        options = self.options
        return VideoReader(self.path, start, options.strict, options.cut, options.deinterlace)

    def fingerprint(self) -> dict[str, Any]:
        """Return what tells this source from another or from its changed self."""
        if self.pattern is not None:
            return self._frames().fingerprint()
        cut = [str(self.options.cut.start_s), str(self.options.cut.stop_s), self.options.deinterlace]
        return {**fingerprint(self.path), "part": cut}


def _fields_note(header: VideoHeader) -> tuple[str, ...]:
    if header.is_interlaced:
        return ("its fields were made whole frames by bwdif, one of two",)
    return ("it does not say that it is interlaced; bwdif was run on it as asked",)


@dataclass
class _Job:
    """One source on its way into one target."""

    clip: _Clip
    upscale: Upscale
    size: tuple[int, int]
    options: VideoOptions
    progress: Progress
    lost: int = 0

    # Into a video

    def into_video(self, target: Path, identity: Mapping[str, Any]) -> tuple[int, int, tuple[str, ...]]:
        """Return the frames written, those that were there before, and notes."""
        if self.clip.is_light:
            why = "They hold floating point, and a video holds 8 to 16 bits that are meant for a screen"
            raise UserError(
                f"{self.clip.path} cannot become {target.name}", why, "Write numbered frames: NAME.####.exr"
            )
        # All that can be refused is refused now, not after a night of work: the codec, the sound, the name.
        trial = self._writer(target)
        trial.abort()
        options, encoding = self.options, trial.encoding
        if encoding.codec == "vp9" and self.clip.header.has_alpha:
            return self._straight(target)
        whole = {**identity, "segment_frames": options.segment_frames}
        store = SegmentStore(target, self.clip.header, encoding, self.size, whole, options.resume)
        finished = False
        try:
            resumed = store.num_frames
            self._tell(store.started_anew, resumed)
            if not store.is_complete:
                self._encode(store)
            with self._writer(target) as writer:
                store.join(writer)
            finished = True
        finally:
            store.leave(finished)
        return writer.frames, resumed, writer.notes

    def _straight(self, target: Path) -> tuple[int, int, tuple[str, ...]]:
        """Write without segments: VP9's alpha stands beside its packets, which segments do not keep."""
        with self._writer(target) as writer, self.clip.reader(0) as reader:
            for frame in reader:
                writer.write(_as_colour(self._made(frame)), frame.pts, reader.frame_duration)
                self.progress(frame.number + 1, self.clip.header.frames)
            self.lost = reader.lost
        return writer.frames, 0, writer.notes

    def _writer(self, target: Path) -> VideoWriter:
        options, header = self.options, self.clip.header
        audio_from = self.clip.path if self.clip.pattern is None and not self.clip.is_animated else None
        look = options.codec, options.quality, options.bits, options.sampling
        return VideoWriter(
            target, header, *self.size, *look, audio_from=audio_from, overwrite=options.overwrite,
            percent=options.percent,
        )  # fmt: skip

    def _encode(self, store: SegmentStore) -> None:
        with self.clip.reader(store.num_frames) as reader:
            frames = iter(reader)
            while (first := next(frames, None)) is not None:
                piece = itertools.islice(frames, self.options.segment_frames - 1)
                with store.segment() as segment:
                    for frame in itertools.chain([first], piece):
                        picture = self._kept_or_made(frame, store)
                        segment.write(_as_colour(picture), frame.pts, reader.frame_duration)
                        self.progress(frame.number + 1, self.clip.header.frames)
            self.lost = reader.lost
        store.mark_complete()

    def _kept_or_made(self, frame: Frame, store: SegmentStore) -> np.ndarray:
        kept = store.kept_frame(frame.number)
        if kept is not None:
            return kept
        begun = time.monotonic()
        picture = self._made(frame)
        if time.monotonic() - begun > SLOW_S:
            store.keep_frame(frame.number, picture)
        return picture

    # Into numbered frames

    def into_frames(self, pattern: FramePattern, identity: Mapping[str, Any]) -> tuple[int, int, tuple[str, ...]]:
        """Return the frames written, those that were there before, and notes."""
        room = Workroom(Path(str(pattern)), identity, self.options.resume)
        finished = False
        try:
            resumed = int(room.journal.get("done", 0))
            self._tell(room.started_anew, resumed)
            with self._frames_writer(pattern, resumed) as writer, self.clip.reader(resumed) as reader:
                for frame in reader:
                    header = reader.picture_header if isinstance(reader, FramesReader) else None
                    writer.write(self._made(frame), frame.pts, header=header)
                    room.note(done=frame.number + 1)
                    self.progress(frame.number + 1, self.clip.header.frames)
                self.lost = reader.lost
            finished = True
        finally:
            room.leave(finished)
        notes = ("numbered frames hold no sound",) if self.clip.header.audio else ()
        return writer.frames, resumed, notes

    def _frames_writer(self, pattern: FramePattern, done: int) -> FramesWriter:
        step, first = None, pattern.first
        if self.clip.pattern is not None:
            # Numbers stay those of the source, with its gaps.
            step = self.clip.header.frame_step
            first = self.clip.first if first is None else first
        writer = FramesWriter(pattern, first, step, overwrite=self.options.overwrite or done > 0)
        writer.frames = done
        return writer

    # Both

    def _made(self, frame: Frame) -> np.ndarray:
        picture = self.upscale(frame.picture)
        width, height = self.size
        if picture.shape[:2] != (height, width) or picture.dtype != frame.picture.dtype:
            what = f"Frame {frame.number} came out as {picture.shape[1]}x{picture.shape[0]} {picture.dtype}"
            why = f"It was to be {width}x{height} {frame.picture.dtype}"
            raise UserError(what, why, "Give the scale that the model has")
        return picture

    def _tell(self, started_anew: str, resumed: int) -> None:
        if started_anew:
            self.progress.say(f"Earlier work is not used ({started_anew}); starting again")
        if resumed:
            self.progress.say(f"Resuming at frame {resumed}")
            self.progress(resumed, self.clip.header.frames)


def _as_colour(picture: np.ndarray) -> np.ndarray:
    """Return a gray picture as RGB, others as they are: (H, W, 1 to 4) -> (H, W, 3 or 4)."""
    if picture.shape[2] >= 3:
        return picture
    return np.concatenate([np.repeat(picture[..., :1], 3, axis=2), picture[..., 1:]], axis=2)
