"""Which files are videos, and what each of them is: size, rate, depth, colours, orientation, sound, metadata."""

from __future__ import annotations

import contextlib
import itertools
import os
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, TypeAlias

import numpy as np

from ganvas.errors import UserError, need
from ganvas.io.video.hdr import NONE, Static, read_static
from ganvas.io.video.yuv import BT709, LIMITED, UNTAGGED, ColourTags, Layout

Container: TypeAlias = Any
"""An open PyAV container; the package is optional, so its types cannot be named here."""

_PICTURES = ("image2", "_pipe", "ico")
_NOT_VIDEO = frozenset({"tty", "hls", "concat", "dash", "srt", "ass", "webvtt", "sdp", "ffmetadata"})

_CONTAINERS_OWN = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder", "duration"})


class Orientation(NamedTuple):
    """How the stored frames are turned upright: transposed first, then mirrored."""

    transpose: bool = False
    mirror_columns: bool = False
    mirror_rows: bool = False

    @classmethod
    def of_matrix(cls, matrix: tuple[int, ...]) -> Orientation:
        """Return the orientation of a display matrix (nine numbers, row by row; points are row vectors)."""
        a, b, _, c, d = matrix[:5]
        if abs(b) > abs(a):
            return cls(True, c < 0, b < 0)
        return cls(False, a < 0, d < 0)

    def apply(self, picture: np.ndarray) -> np.ndarray:
        """Return a picture upright."""
        if self.transpose:
            picture = picture.swapaxes(0, 1)
        if self.mirror_columns:
            picture = picture[:, ::-1]
        if self.mirror_rows:
            picture = picture[::-1]
        return np.ascontiguousarray(picture)

    @property
    def clockwise_degrees(self) -> int:
        """Return by how much the stored frames are turned, leaving mirroring aside."""
        if self.transpose:
            return 90 if self.mirror_columns else 270
        return 180 if self.mirror_rows else 0


UPRIGHT = Orientation()
MADE_HERE = ColourTags(BT709, BT709, BT709, LIMITED)
"""The colours of a video that is made and not copied."""


@dataclass(frozen=True)
class AudioTrack:
    """One stream of sound."""

    index: int
    codec: str
    rate_hz: int
    channels: int
    language: str = ""


@dataclass(frozen=True, kw_only=True)
class VideoHeader:
    """What a video file is, without its frames."""

    width: int
    height: int
    """Pixels of the upright frames."""
    fps: Fraction
    """Frames in a second: the nominal rate, or the mean when it varies."""
    time_base: Fraction
    """Seconds of one unit of time stamps."""
    frames: int | None = None
    frames_from: Literal["container", "packets", "unknown"] = "unknown"
    """Where the number of frames is from: told by the container, or counted in its packets."""
    damage: str = ""
    """What is missing of the file, as far as its packets tell; empty where it is whole."""
    bits: int = 8
    """Bits of a sample; 8-bit frames are read as uint8, deeper ones as full-scale uint16."""
    pixel_format: str = "yuv420p"
    codec: str = ""
    container: str = ""
    has_alpha: bool = False
    tags: ColourTags = UNTAGGED
    """Colours as the file says."""
    colour: ColourTags = MADE_HERE
    """Colours as they are read: what the file leaves open is filled in."""
    orientation: Orientation = UPRIGHT
    """How frames are turned upright while they are read."""
    sample_aspect: Fraction = Fraction(1)
    """Width of a pixel over its height, upright."""
    audio: tuple[AudioTrack, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    duration_s: Fraction | None = None
    is_variable_rate: bool = False
    is_interlaced: bool = False
    hdr: Static = NONE
    """Mastering display and light level."""
    dynamic_hdr: str = ""
    """Name of metadata that changes from scene to scene, such as HDR10+, which is not kept."""
    begins_s: Fraction = Fraction(0)
    """Where a part of a video begins, on the clock of the whole."""
    ends_s: Fraction | None = None
    """Where it ends; None is with the whole."""

    @property
    def rotation(self) -> int:
        """Return the degrees by which the stored frames are turned clockwise to be upright."""
        return self.orientation.clockwise_degrees

    @property
    def sampling(self) -> str:
        """Return the chroma sampling, `420`, `422` or `444`; RGB is 444 and gray 420."""
        layout = Layout.of(self.pixel_format)
        return "420" if layout.family == "gray" else layout.sampling

    @property
    def frame_step(self) -> int:
        """Return the time from frame to frame in units of the time base, at least 1."""
        return max(1, round(1 / (self.fps * self.time_base)))


def new_header(width: int, height: int, fps: Fraction | int, bits: int = 8, has_alpha: bool = False) -> VideoHeader:
    """Return the header of a video to be made: BT.709, constant rate, frame k at the time stamp k * `frame_step`."""
    rate = Fraction(fps)
    return VideoHeader(
        width=width,
        height=height,
        fps=rate,
        time_base=Fraction(1, rate.numerator),
        bits=bits,
        has_alpha=has_alpha,
        tags=MADE_HERE,
        colour=MADE_HERE,
    )


# Opening


def open_container(path: str | Path) -> Container:
    """Open a video file for reading.

    Raises:
        UserError: the file is missing, empty, a folder, a picture, or no video.
    """
    path = Path(path)
    av = need("av", extra="video")
    _check_file(path)
    try:
        # A whole path, as FFmpeg takes what stands before a colon for a protocol.
        container = av.open(str(path.absolute()), metadata_errors="replace")
    except (av.error.FFmpegError, OSError) as error:
        why = f"It is damaged, cut off, or of a kind that FFmpeg does not know ({reason_of(error)})"
        raise UserError(f"{path} cannot be read as video", why) from error
    problem = _problem(container)
    if problem:
        container.close()
        raise UserError(f"{path} is no video that can be read", problem)
    return container


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise UserError(f"{path} is a folder", do="Name a video file, or numbered frames such as frame.####.exr")
    try:
        if path.stat().st_size == 0:
            raise UserError(f"{path} is empty", "It has 0 bytes", "Copy it again")
        with path.open("rb"):
            pass
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read", error.strerror or str(error)) from error


def _problem(container: Container) -> str:
    kinds = container.format.name.split(",")
    if any(kind.endswith(_PICTURES) for kind in kinds):
        return "It is a picture"
    if _NOT_VIDEO & set(kinds):
        return f"It is text or a playlist ({container.format.name})"
    stream = main_stream(container)
    if stream is None:
        return "It has sound but no moving picture" if container.streams.audio else "It has no moving picture"
    if stream.codec_context is None:
        return "Its codec is not known here"
    return ""


def main_stream(container: Container) -> Any:
    """Return the first moving picture of a container, passing over cover art; None where there is none."""
    streams = [stream for stream in container.streams.video if not _is_cover(stream)]
    return streams[0] if streams else None


def _is_cover(stream: Any) -> bool:
    return bool(int(stream.disposition) & 0x0400)


class Cut(NamedTuple):
    """A part of a video, in seconds from its first frame."""

    start_s: Fraction = Fraction(0)
    stop_s: Fraction | None = None

    def holds(self, seconds: Fraction) -> bool:
        """Tell whether a frame that is shown so long after the first one belongs to the part."""
        return seconds >= self.start_s and (self.stop_s is None or seconds < self.stop_s)


WHOLE = Cut()


def decoder_for(stream: Any) -> Any | None:
    """Return a decoder that knows more of a stream than the one it has: libvpx, for the alpha of VP8 and VP9."""
    if stream.metadata.get("alpha_mode") != "1" or stream.codec_context.codec.canonical_name not in ("vp8", "vp9"):
        return None
    av = need("av", extra="video")
    name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}[stream.codec_context.codec.canonical_name]
    try:
        decoder = av.CodecContext.create(name, "r")
    except (av.error.FFmpegError, ValueError):
        return None
    decoder.extradata = stream.codec_context.extradata
    return decoder


def reason_of(error: BaseException) -> str:
    return str(getattr(error, "strerror", "") or error).strip() or type(error).__name__


# What a file is


class Stamp(NamedTuple):
    """When a packet is shown and for how long (0 when the file does not tell), in the time base."""

    pts: int | None
    duration: int
    is_shown: bool


class Survey(NamedTuple):
    """What a walk through all packets of a file found."""

    stamps: list[Stamp]
    """Those of the moving picture, in the order of the file."""
    sound_is_short: bool
    """The sound holds fewer packets than it promises."""


def survey(path: str | Path) -> Survey:
    """Walk through all packets of a video, decoding none."""
    av = need("av", extra="video")
    stamps: list[Stamp] = []
    with open_container(path) as container:
        main = main_stream(container)
        held = is_held_to_its_numbers(container.format.name)
        # Of uncompressed sound the samples are told, not the packets.
        sound = {
            stream.index: stream.frames
            for stream in container.streams.audio
            if stream.codec_context and not stream.codec_context.name.startswith("pcm")
        }
        with contextlib.suppress(av.error.FFmpegError):
            for packet in container.demux():
                # Where a file is cut off, half a packet may come out.
                if not packet.size or (held and packet.is_corrupt):
                    continue
                if packet.stream_index == main.index:
                    stamps.append(Stamp(packet.pts, packet.duration or 0, not packet.is_discard))
                elif packet.stream_index in sound:
                    sound[packet.stream_index] -= 1
    return Survey(stamps, held and any(count > 0 for count in sound.values()))


def is_held_to_its_numbers(container: str) -> bool:
    """Tell whether a kind of container holds as many packets as it promises; AVI, for one, counts empty ones, too."""
    return "mp4" in container


def is_cut_off(path: Path) -> bool:
    """Tell whether a Matroska file is shorter than the length that it promises; False for other kinds."""
    with path.open("rb") as file:
        if file.read(4) != b"\x1a\x45\xdf\xa3":
            return False
        length = _matroska_length(file)
        file.seek(length or 0, os.SEEK_CUR)
        if length is None or file.read(4) != b"\x18\x53\x80\x67":
            return False
        length = _matroska_length(file)
        return length is not None and file.tell() + length > path.stat().st_size


def _matroska_length(file: IO[bytes]) -> int | None:
    # The zeros that a length begins with tell how many bytes follow; all ones mean that it is not known.
    first = file.read(1)
    if not first or not first[0]:
        return None
    extra = 8 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] ^ (0x80 >> extra)]) + file.read(extra), "big")
    return None if value == (1 << 7 * (extra + 1)) - 1 else value


def counted(header: VideoHeader, stamps: list[Stamp], cut: Cut = WHOLE) -> VideoHeader:
    """Return a header with what the shown packets tell: number, mean rate where it varies, duration.

    Raises:
        UserError: the cut holds no frame.
    """
    if cut != WHOLE:
        shown = [stamp.pts for stamp in stamps if stamp.pts is not None]
        zero = min(shown, default=0)
        stamps = [stamp for stamp in stamps if stamp.pts is None or cut.holds((stamp.pts - zero) * header.time_base)]
        kept = sorted(stamp.pts for stamp in stamps if stamp.pts is not None)
        if not kept:
            length = float((max(shown, default=0) - zero) * header.time_base)
            raise UserError("The part to be taken holds no frame", f"The last frame is at {length:.3f} s")
        begins = (kept[0] - zero) * header.time_base
        header = replace(header, begins_s=begins, ends_s=cut.stop_s)
    header = replace(header, frames=len(stamps), frames_from="packets")
    known = sorted((stamp.pts, stamp.duration) for stamp in stamps if stamp.pts is not None)
    if len(known) < 2:
        return header
    intervals = [later[0] - earlier[0] for earlier, later in itertools.pairwise(known)]
    span = known[-1][0] - known[0][0]
    last = known[-1][1] or header.frame_step
    # One unit of difference is rounding, as of 24 frames a second in milliseconds.
    varies = max(intervals) - min(intervals) > 1
    return replace(
        header,
        is_variable_rate=varies,
        fps=len(intervals) / (span * header.time_base) if varies else header.fps,
        duration_s=(span + last) * header.time_base,
    )


def ends_early(path: Path, found: int, promised: int | None) -> UserError:
    """Return the error for a file with fewer frames than it promises (None: it promises a length in bytes only)."""
    what = f"{path} ends early: frame {found} and what follows are missing"
    why = (
        f"It promises {promised} frames and holds {found}" if promised else "It is shorter than the length it promises"
    )
    return UserError(what, why, "Copy or export it again")


def header_of(container: Container, stream: Any, frame: Any) -> VideoHeader:
    """Return what an open video is, as its streams and its first decoded frame tell."""
    layout = Layout.of(frame.format.name)
    context = stream.codec_context
    tags = _tags(context, frame)
    orientation = _orientation(frame)
    width, height = frame.width, frame.height
    aspect = Fraction(stream.sample_aspect_ratio or 1)
    if orientation.transpose:
        width, height, aspect = height, width, 1 / aspect
    hdr, dynamic = read_static(frame)
    mean, nominal = stream.average_rate, stream.guessed_rate or stream.base_rate
    return VideoHeader(
        width=width,
        height=height,
        fps=Fraction(nominal or mean or 25),
        time_base=Fraction(stream.time_base),
        frames=stream.frames or None,
        frames_from="container" if stream.frames else "unknown",
        bits=layout.bits,
        pixel_format=frame.format.name,
        codec=context.codec.canonical_name,
        container=container.format.name,
        has_alpha=layout.has_alpha,
        tags=tags,
        colour=tags.resolved(frame.format.name, context.codec.canonical_name, frame.width, frame.height),
        orientation=orientation,
        sample_aspect=aspect,
        audio=tuple(_audio_track(track) for track in container.streams.audio),
        metadata=_metadata(container, stream),
        duration_s=Fraction(container.duration, 1_000_000) if container.duration else None,
        is_variable_rate=bool(mean and nominal and abs(mean / nominal - 1) > Fraction(1, 100)),
        is_interlaced=frame.interlaced_frame,
        hdr=hdr,
        dynamic_hdr=dynamic,
    )


def _tags(context: Any, frame: Any) -> ColourTags:
    def told(name: str, unknown: int) -> int:
        value = int(getattr(frame, name))
        return value if value != unknown else int(getattr(context, name))

    matrix = told("colorspace", 2)
    return ColourTags(told("color_primaries", 2), told("color_trc", 2), matrix, told("color_range", 0))


def _orientation(frame: Any) -> Orientation:
    wanted = need("av.sidedata.sidedata", extra="video").Type.DISPLAYMATRIX
    matrix = frame.side_data.get(wanted)
    return Orientation.of_matrix(tuple(np.frombuffer(bytes(matrix), "=i4").tolist())) if matrix else UPRIGHT


def _audio_track(stream: Any) -> AudioTrack:
    context = stream.codec_context
    codec = context.name if context else "unknown"
    rate, channels = (context.sample_rate, context.channels) if context else (0, 0)
    return AudioTrack(stream.index, codec, rate or 0, channels or 0, stream.metadata.get("language", ""))


def _metadata(container: Container, stream: Any) -> dict[str, str]:
    kept = {key: value for key, value in container.metadata.items() if key.lower() not in _CONTAINERS_OWN}
    codes = [dict(other.metadata).get("timecode") for other in (stream, *container.streams.data)]
    timecode = next((code for code in codes if code), None)
    return {"timecode": timecode, **kept} if timecode else kept
