"""The frames of a video file, upright, in RGB, with their exact time stamps.

Every frame that a file has is given or named as missing; none is dropped, doubled or moved.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ganvas.errors import UserError, need
from ganvas.io.closing import Closing
from ganvas.io.video.deinterlace import deinterlaced
from ganvas.io.video.headers import (
    WHOLE,
    Cut,
    VideoHeader,
    counted,
    decoder_for,
    ends_early,
    header_of,
    is_cut_off,
    is_held_to_its_numbers,
    main_stream,
    open_container,
    reason_of,
    survey,
)
from ganvas.io.video.yuv import siting, to_picture

_ONE_PACKET_A_FRAME = frozenset({"h264", "hevc", "prores", "ffv1", "mjpeg", "dnxhd", "av1", "rawvideo", "png", "qtrle"})
"""Codecs of which each packet gives one frame, so that a packet without a frame is a missing frame."""


def read_header(path: str | Path, count: bool = True, strict: bool = True, cut: Cut = WHOLE) -> VideoHeader:
    """Return what a video file is; `count` walks through all packets (decoding none) for exact numbers.

    Raises:
        UserError: the file is no video, not even its first frame can be decoded, or (when counted and `strict`) it
            holds fewer frames than it promises.
    """
    with VideoReader(path) as reader:
        header = reader.header
    if not count:
        return header
    stamps, sound_is_short = survey(path)
    damage = ""
    if is_held_to_its_numbers(header.container) and len(stamps) < (header.frames or 0):
        damage = f"it ends early: it promises {header.frames} frames and holds {len(stamps)}"
    elif is_cut_off(Path(path)):
        damage = "it ends early: it is shorter than the length it promises"
    elif sound_is_short:
        damage = "a part of its sound is missing"
    if strict and damage.startswith("it ends early"):
        raise ends_early(Path(path), len(stamps), header.frames if "promises" in damage and header.frames else None)
    if strict and damage:
        raise UserError(f"{path} ends early: {damage}", do="Copy or export it again")
    header = replace(header, damage=damage)
    return counted(header, [stamp for stamp in stamps if stamp.is_shown], cut)


class Frame(NamedTuple):
    """One frame: its number from 0, its time stamp in the header's time base, and its upright picture.

    The picture is (H, W, 3) or, with alpha, (H, W, 4): uint8, or full-scale uint16 where the file has more than 8 bits.
    """

    number: int
    pts: int
    picture: np.ndarray


class VideoReader(Closing):
    """The frames of a video file, one after another, in the memory of a few.

    `start` is the number of the first frame to give; those before it are decoded and passed over, which is exact with
    every file. With `strict` off, frames that are missing or damaged are passed over and counted in `lost`.
    A `cut` gives a part, numbered and timed as if it were the whole. `deinterlace` makes one frame of two fields.

    Raises:
        UserError: the file is no video; while iterating: a frame is missing, damaged or of another size.
    """

    def __init__(
        self,
        path: str | Path,
        start: int = 0,
        strict: bool = True,
        cut: Cut = WHOLE,
        deinterlace: bool = False,
    ) -> None:
        self.path = Path(path)
        self.start = start
        self._cut = cut
        self.lost = 0
        self.frame_duration = 0
        """How long the frame last given is shown, in the time base; 0 when the file does not tell."""
        self._strict = strict
        self._av = need("av", extra="video")
        self._container = open_container(self.path)
        self._stream: Any = main_stream(self._container)
        self._stream.thread_type = "AUTO"
        self._decoder = decoder_for(self._stream)
        self._missing = _Missing()
        self._packets = 0
        self._frames = self._decoded()
        if deinterlace:
            self._frames = deinterlaced(self._frames, self._stream.time_base)
        try:
            self._first = next(self._frames, None)
            if self._first is None:
                raise UserError(
                    f"{self.path}: not one frame can be decoded", "It is damaged or cut off", "Copy it again"
                )
            self.header = header_of(self._container, self._stream, self._first)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._frames.close()
        self._container.close()

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames, once."""
        first, self._first = self._first, None
        if first is None:
            return
        where = siting(self.header.codec)
        for index, (pts, frame) in enumerate(self._kept(first)):
            if index < self.start:
                continue
            self.frame_duration = int(frame.duration or 0)
            picture = to_picture(frame, self.header.colour, where)
            yield Frame(index, pts, self.header.orientation.apply(picture))

    def _kept(self, first: Any) -> Iterator[tuple[int, Any]]:
        """Yield the frames of the cut, with time stamps as if the first of them were the video's first."""
        zero: int | None = None
        shift: int | None = None
        for pts, frame in self._stamped(first):
            zero = pts if zero is None else zero
            seconds = (pts - zero) * self.header.time_base
            if self._cut.stop_s is not None and seconds >= self._cut.stop_s:
                return
            if self._cut.holds(seconds):
                shift = pts - zero if shift is None else shift
                yield pts - shift, frame

    def _stamped(self, first: Any) -> Iterator[tuple[int, Any]]:
        last: int | None = None
        index = -1
        for index, frame in enumerate(itertools.chain([first], self._frames)):
            pts = self._stamp(frame, last)
            if last is not None and pts <= last:
                why = f"Its time stamp {pts} is not after that of the frame before, {last}"
                raise UserError(f"{self.path}: frame {index} is out of order", why, "Copy or export it again")
            self._check_frame(index, frame, first)
            last = pts
            yield pts, frame
        self._check_end(index + 1)

    def _stamp(self, frame: Any, last: int | None) -> int:
        # Old containers such as AVI stamp packets in the order of decoding only.
        if frame.pts is not None:
            return int(frame.pts)
        if frame.dts is not None and (last is None or frame.dts > last):
            return int(frame.dts)
        return 0 if last is None else last + self.header.frame_step

    def _check_frame(self, index: int, frame: Any, first: Any) -> None:
        if (frame.width, frame.height) != (first.width, first.height):
            why = f"It is {frame.width}x{frame.height}, those before are {first.width}x{first.height}"
            raise UserError(f"{self.path}: frame {index} has another size", why, "Cut the video there")
        if frame.format.name != first.format.name:
            why = f"It is {frame.format.name}, those before are {first.format.name}"
            raise UserError(f"{self.path}: frame {index} has another pixel format", why, "Cut the video there")
        lost = self._missing.before(frame.pts)
        self.lost += lost + frame.is_corrupt
        if self._strict and (lost or frame.is_corrupt):
            raise self._cannot_decode(index)

    def _check_end(self, frames: int) -> None:
        lost = self._missing.before(None)
        self.lost += lost
        if self._strict and lost:
            raise self._cannot_decode(frames)
        promised = self._stream.frames
        if self._strict and is_held_to_its_numbers(self.header.container) and promised > self._packets:
            raise ends_early(self.path, self._packets, promised)
        if self._strict and is_cut_off(self.path):
            raise ends_early(self.path, frames, None)

    def _cannot_decode(self, index: int) -> UserError:
        why = self._missing.reason or "Its data is damaged or cut off"
        return UserError(f"{self.path}: frame {index} cannot be decoded", why, "Copy or export it again")

    def _decoded(self) -> Generator[Any]:
        codec = self._stream.codec_context.codec.canonical_name
        for packet in self._demuxed():
            self._packets += packet.size > 0
            discarded = packet.size > 0 and packet.is_discard
            if packet.size and not discarded and codec in _ONE_PACKET_A_FRAME:
                self._missing.expect(packet.pts)
            try:
                # Not the packet's own: the last one, after damage, belongs to no stream.
                frames = (self._decoder or self._stream).decode(packet if packet.size else None)
            except self._av.error.EOFError:
                return
            except self._av.error.FFmpegError as error:
                self._missing.reason = reason_of(error)
                self._missing.failed(packet.pts)
                continue
            for frame in frames:
                self._missing.arrived(frame.pts)
                yield frame

    def _demuxed(self) -> Iterator[Any]:
        try:
            yield from self._container.demux(self._stream)
        except self._av.error.FFmpegError as error:
            # What was read so far still waits in the decoder.
            self._missing.reason = f"The file ends early or is damaged there ({reason_of(error)})"
            yield self._av.Packet()


class _Missing:
    """Time stamps that packets have and no frame has had yet: one that is passed by is a missing frame."""

    def __init__(self) -> None:
        self.reason = ""
        self._expected: set[int] = set()
        self._first: int | None = None
        self._unplaced = 0

    def expect(self, pts: int | None) -> None:
        """Remember a packet's time stamp."""
        if pts is not None:
            self._expected.add(pts)

    def failed(self, pts: int | None) -> None:
        """Remember a packet that the decoder refused, of whatever codec."""
        self.expect(pts)
        self._unplaced += pts is None

    def arrived(self, pts: int | None) -> None:
        """Strike a frame's time stamp off."""
        if pts is not None:
            self._expected.discard(pts)
            self._first = pts if self._first is None else min(pts, self._first)

    def before(self, pts: int | None) -> int:
        """Return how many frames before a time stamp (None: the end) never arrived, and forget them."""
        passed = {stamp for stamp in self._expected if pts is None or stamp < pts}
        self._expected -= passed
        # Before the first picture that stands alone there may be some that players cannot show, either.
        unplaced, self._unplaced = self._unplaced, 0
        return unplaced + sum(self._first is not None and stamp > self._first for stamp in passed)
