"""Videos written with exact time stamps, under a temporary name until they are whole, with the sound of their source.

Sound, subtitles and data are copied packet by packet, never encoded anew.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from ganvas.errors import UserError, need
from ganvas.io.video.codecs import Encoding, choose, configure, container_for
from ganvas.io.video.headers import VideoHeader, main_stream, open_container, reason_of
from ganvas.io.video.yuv import to_frame
from ganvas.io.workroom import hidden_beside

_LARGEST_TIMESCALE = (1 << 31) - 1

_PLAIN_KEYS = frozenset(
    {"title", "artist", "album_artist", "album", "date", "comment", "genre", "copyright", "description", "synopsis"}
    | {"composer", "show", "network", "grouping", "lyrics", "creation_time", "timecode", "location"}
)
"""Metadata that every MP4 player finds; for any other key the file needs the newer kind of table."""


class EncodedPacket(NamedTuple):
    """A piece of an encoded video stream; times in the source's time base."""

    data: bytes
    pts: int
    dts: int
    duration: int
    is_keyframe: bool


class VideoWriter:
    """A video file in the making, like a source but of any size: same rate, time base, colours, metadata.

    Frames come with their time stamps in the time base of `like`. Under the final name there is either nothing or the
    whole file: an error inside `with` removes what was written.

    Raises:
        UserError: the name is taken, the codec cannot hold the picture, the container cannot hold the sound, disk full.
    """

    def __init__(
        self,
        path: str | Path,
        like: VideoHeader,
        width: int | None = None,
        height: int | None = None,
        codec: str = "auto",
        quality: int | None = None,
        bits: int | None = None,
        sampling: str = "auto",
        audio_from: str | Path | None = None,
        overwrite: bool = False,
        percent: int | None = None,
    ) -> None:
        self.path = Path(path)
        self.width, self.height = width or like.width, height or like.height
        self.encoding = choose(self.path, like, self.width, self.height, codec, quality, bits, sampling, percent)
        self.frames = 0
        self._like = like
        self._audio_from = None if audio_from is None else Path(audio_from)
        self._overwrite = overwrite
        check_target(self.path, overwrite, self._audio_from)
        self._partial = hidden_beside(self.path, ".partial")
        self._passengers: _Passengers | None = None
        self._last: int | None = None
        self._shown: deque[int] = deque()
        waiting = iter(self._shown.popleft, None)
        self._decoded_at = times_of_decoding(waiting, self.encoding.delay, like.frame_step)
        self._is_open = True
        try:
            self._open()
        except BaseException:
            self.abort()
            raise

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what a user should be told: what the container rounds or leaves out."""
        left_out = self._passengers.left_out if self._passengers else ()
        return (*self.encoding.notes, *_rounding(self.path, self._like.time_base), *left_out)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def write(self, picture: np.ndarray, pts: int, duration: int = 0) -> None:
        """Encode one upright picture, (H, W, 3) or (H, W, 4) of uint8 or uint16, shown at `pts`."""
        frame = frame_for(picture, pts, duration, self.encoding, self._like.time_base, (self.width, self.height))
        if self._last is not None and pts <= self._last:
            raise ValueError(f"frame {self.frames}: the time stamp {pts} is not after {self._last}")
        self._last = pts
        self._shown.append(pts)
        self._encode(frame)
        self.frames += 1

    def write_packet(self, packet: EncodedPacket) -> None:
        """Add a packet that an encoder of this very `encoding` has made."""
        made = need("av", extra="video").Packet(packet.data)
        made.stream = self._stream
        made.pts, made.dts, made.duration = packet.pts, packet.dts, packet.duration
        made.time_base = self._like.time_base
        made.is_keyframe = packet.is_keyframe
        with self._telling():
            self._mux(made)
        self.frames += 1

    def close(self) -> None:
        """Finish the file and give it its name."""
        if not self._is_open:
            return
        try:
            self._encode(None)
            with self._telling():
                if self._passengers:
                    self._passengers.board_rest()
                self._container.close()
            with self._partial.open("rb") as file:
                os.fsync(file.fileno())
            check_target(self.path, self._overwrite, self._audio_from)
            self._partial.replace(self.path)
        except BaseException:
            self.abort()
            raise
        self._leave()

    def abort(self) -> None:
        """Give up: close everything and remove what was written."""
        if self._is_open:
            self._leave()
            with contextlib.suppress(Exception):
                self._container.close()
            self._partial.unlink(missing_ok=True)

    def _leave(self) -> None:
        self._is_open = False
        if self._passengers:
            self._passengers.close()

    def _open(self) -> None:
        av = need("av", extra="video")
        format_ = container_for(self.path)
        options = _container_options(format_, self._like)
        with self._telling():
            self._container = av.open(str(self._partial), "w", format=format_, container_options=options)
            # No random numbers and no clock in the file: the same work gives the same bytes.
            self._container.flags |= need("av.container.core", extra="video").Flags.bitexact.value
            self._stream = self._container.add_stream(self.encoding.encoder, rate=self._like.fps)
            context = self._stream.codec_context
            configure(context, self.encoding, self.width, self.height, self._like.time_base, self._like.fps)
            context.sample_aspect_ratio = self._like.sample_aspect
            self._stream.time_base = self._like.time_base
            self._container.metadata.update(self._like.metadata)
        if self._audio_from is not None:
            self._passengers = _Passengers(self._audio_from, self._container, self.path, self._like)
        with self._telling():
            self._container.start_encoding()

    def _encode(self, frame: Any | None) -> None:
        with self._telling():
            for packet in self._stream.encode(frame):
                # Not the encoder's own: of a video of one frame x265 gives a time that it never set.
                packet.dts = next(self._decoded_at)
                self._mux(packet)

    def _mux(self, packet: Any) -> None:
        if self._passengers:
            self._passengers.board_until(packet.dts * packet.time_base)
        self._container.mux_one(packet)

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        av = need("av", extra="video")
        try:
            yield
        except (av.error.FFmpegError, OSError) as error:
            raise UserError(f"{self.path} could not be written", reason_of(error)) from error


def times_of_decoding(shown: Iterable[int], delay: int, step: int) -> Iterator[int]:
    """Yield when each packet is decoded: when the picture `delay` places before it, in order of showing, is shown.

    `shown` are the time stamps in order; the first `delay` packets come earlier, by `step` each.
    """
    stamps = iter(shown)
    for first in stamps:
        yield from (first - (delay - number) * step for number in range(delay))
        yield first
        yield from stamps


def check_target(path: Path, overwrite: bool, source: Path | None = None) -> None:
    """Check that a file may be written.

    Raises:
        UserError: the name is taken, is the source's own, or the folder is missing.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder", do="Name a file")
    if not path.parent.is_dir():
        raise UserError(f"The folder {path.parent} does not exist")
    if source is not None and path.exists() and source.exists() and path.samefile(source):
        raise UserError(f"{path} is the source itself", do="Choose another name")
    if path.exists() and not overwrite:
        raise UserError(f"{path} exists already", do="Choose another name, or give --overwrite")


def frame_for(
    picture: np.ndarray, pts: int, duration: int, encoding: Encoding, time_base: Fraction, size: tuple[int, int]
) -> Any:
    """Return a picture as a frame for an encoder.

    Raises:
        ValueError: the picture is not of the video's size, or not RGB or RGBA of uint8 or uint16.
    """
    width, height = size
    if picture.shape not in ((height, width, 3), (height, width, 4)) or picture.dtype not in (np.uint8, np.uint16):
        raise ValueError(
            f"a frame must be ({height}, {width}, 3 or 4) of uint8 or uint16, not {picture.shape} {picture.dtype}"
        )
    frame = to_frame(picture, encoding.pixel_format, encoding.tags)
    frame.pts, frame.time_base = pts, time_base
    frame.duration = duration
    return frame


def _rounding(path: Path, time_base: Fraction) -> list[str]:
    if container_for(path) != "matroska" or (time_base * 1000).denominator == 1:
        return []
    return ["Matroska counts whole milliseconds, so time stamps are rounded to them; .mov and .mp4 keep them exact"]


def _container_options(format_: str, like: VideoHeader) -> dict[str, str]:
    if format_ == "matroska":
        # Sound may begin a little before zero, as AAC does; without this all streams would be moved.
        return {"avoid_negative_ts": "disabled"}
    flags = "+faststart" if set(like.metadata) <= _PLAIN_KEYS else "+faststart+use_metadata_tags"
    timescale = like.time_base.denominator
    # Offsets between the streams are kept in the movie's own unit: one in which all of them are whole.
    whole = math.lcm(timescale, *(track.rate_hz for track in like.audio if track.rate_hz))
    return {
        "movflags": flags,
        "video_track_timescale": str(timescale),
        "movie_timescale": str(whole if whole <= _LARGEST_TIMESCALE else timescale),
    }


# What travels along


class _Passengers:
    """The other streams of the source, copied into the container between the video's packets."""

    def __init__(self, source: Path, target: Any, path: Path, like: VideoHeader) -> None:
        self._source = open_container(source)
        self._target = target
        self._begins, self._ends = like.begins_s, like.ends_s
        main = main_stream(self._source)
        self._zero = (main.start_time or 0) * main.time_base
        self._streams: dict[int, Any] = {}
        notes: list[str] = []
        try:
            for stream in self._source.streams:
                self._add(stream, source, path, notes)
            if chapters := self._source.chapters():
                if self._is_part:
                    notes.append("chapters are left out of a part")
                else:
                    target.set_chapters(chapters)
        except BaseException:
            self.close()
            raise
        self.left_out = tuple(notes)
        self._packets = self._demuxed()
        self._next: Any | None = next(self._packets, None)

    def _add(self, stream: Any, source: Path, path: Path, notes: list[str]) -> None:
        if stream.index == main_stream(self._source).index or _is_made_anew(stream):
            return
        problem = "it is another moving picture or a cover" if stream.type == "video" else ""
        problem = problem or _probe(stream, container_for(path))
        if not problem:
            copy = self._target.add_stream_from_template(stream)
            copy.metadata.update(stream.metadata)
            self._streams[stream.index] = copy
        elif stream.type == "audio":
            why = f"{path.suffix} does not hold the sound of {source.name}: {problem}"
            raise UserError(f"{path} cannot be written", why, "Use .mkv or .mov")
        else:
            notes.append(f"stream {stream.index} ({stream.type}) of {source.name} was left out: {problem}")

    def _demuxed(self) -> Iterator[Any]:
        if not self._streams:
            return
        streams = [stream for stream in self._source.streams if stream.index in self._streams]
        av = need("av", extra="video")
        # A damaged or cut file has sound up to where it ends; whether that is enough was decided with its pictures.
        with contextlib.suppress(av.error.FFmpegError):
            for packet in self._source.demux(streams):
                if packet.size and packet.dts is not None and (not self._is_part or self._moved(packet)):
                    yield packet

    @property
    def _is_part(self) -> bool:
        return self._begins > 0 or self._ends is not None

    def _moved(self, packet: Any) -> bool:
        """Move a packet onto the part's clock, and tell whether it belongs to the part."""
        seconds = packet.dts * packet.time_base - self._zero
        shift = round(self._begins / packet.time_base)
        packet.dts -= shift
        packet.pts = None if packet.pts is None else packet.pts - shift
        return seconds >= self._begins and (self._ends is None or seconds < self._ends)

    def board_until(self, seconds: Fraction) -> None:
        """Write all packets that come before a moment."""
        while self._next is not None and self._next.dts * self._next.time_base <= seconds:
            self._board()

    def board_rest(self) -> None:
        """Write all packets that are left."""
        while self._next is not None:
            self._board()

    def _board(self) -> None:
        packet = self._next
        assert packet is not None
        packet.stream = self._streams[packet.stream_index]
        self._target.mux_one(packet)
        self._next = next(self._packets, None)

    def close(self) -> None:
        """Close the source."""
        self._source.close()


def _is_made_anew(stream: Any) -> bool:
    # The track of the timecode is made from the metadata, and that of the chapters' names from the chapters.
    names_chapters = stream.metadata.get("handler_name") == "SubtitleHandler" and bool(stream.container.chapters())
    return stream.type == "data" and ("timecode" in stream.metadata or names_chapters)


def _probe(stream: Any, format_: str) -> str:
    """Return why a stream cannot be copied into a container, by trying; empty when it can."""
    av = need("av", extra="video")
    try:
        with av.open(io.BytesIO(), "w", format=format_) as trial:
            trial.add_stream_from_template(stream)
            trial.start_encoding()
    except (av.error.FFmpegError, ValueError, OSError) as error:
        return reason_of(error)
    return ""
