"""Long work on a video that survives a kill: finished segments in a hidden folder beside the file that is to be.

The folder `.NAME.ganvas` holds `journal.json` (what the work is, which segments are finished, their checksums), the
segments (encoded packets, one record after another) and, of the segment under way, those frames that took long to make.
A segment begins with a picture that stands alone and ends with the encoder flushed, so segments are joined by copying
packets; the joined file is the same, byte for byte, whether or not the work was interrupted.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from ganvas.errors import UserError, need
from ganvas.io.runs import sha256
from ganvas.io.video.codecs import Encoding, configure
from ganvas.io.video.headers import VideoHeader, reason_of
from ganvas.io.video.writer import EncodedPacket, VideoWriter, frame_for, times_of_decoding
from ganvas.io.workroom import Workroom

_RECORD = struct.Struct("<qq?q")


class _Stored(NamedTuple):
    pts: int
    duration: int
    is_keyframe: bool
    size: int


class SegmentStore:
    """The finished segments of a video in the making.

    Raises:
        UserError: the folder cannot be written, or another process works in it.
    """

    def __init__(
        self,
        target: Path,
        like: VideoHeader,
        encoding: Encoding,
        size: tuple[int, int],
        identity: Mapping[str, Any],
        resume: bool = True,
    ) -> None:
        av = need("av", extra="video")
        libraries = {"av": av.__version__, **{name: list(version) for name, version in av.library_versions.items()}}
        whole = {**identity, "encoding": asdict(encoding), "size": list(size), "libraries": libraries}
        self._room = Workroom(target, whole, resume)
        self._like, self._encoding, self._size = like, encoding, size
        self._segments: list[dict[str, Any]] = []
        for number, segment in enumerate(self._room.journal.get("segments", ())):
            path = self._path(number)
            if not path.is_file() or sha256(path) != segment["sha256"]:
                break
            self._segments.append(segment)
        self.is_complete = len(self._segments) == self._room.journal.get("complete", -1)

    @property
    def started_anew(self) -> str:
        """Return why earlier work was not used; empty when it was, or when there was none."""
        return self._room.started_anew

    @property
    def num_frames(self) -> int:
        """Return the number of frames in finished segments."""
        return sum(segment["frames"] for segment in self._segments)

    def _path(self, number: int) -> Path:
        return self._room.folder / f"segment-{number:06d}.packets"

    @contextlib.contextmanager
    def segment(self) -> Iterator[SegmentEncoder]:
        """Encode the next segment; it counts as finished when the block ends without an error.

        Raises:
            UserError: the disk is full.
        """
        path = self._path(len(self._segments))
        partial = path.with_suffix(".partial")
        av = need("av", extra="video")
        try:
            with partial.open("wb") as file:
                encoder = SegmentEncoder(file, self._like, self._encoding, self._size)
                yield encoder
                encoder.finish()
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
            facts = {"frames": encoder.frames, "sha256": sha256(path)}
            self._segments.append(facts)
            self._room.note(segments=self._segments, extradata=encoder.extradata.hex())
        except (av.error.FFmpegError, OSError) as error:
            what = f"{self._room.folder} could not be written"
            raise UserError(what, reason_of(error), "Make room and start again: finished frames are kept") from error
        finally:
            partial.unlink(missing_ok=True)
        for kept in self._room.folder.glob("frame-*.npy"):
            kept.unlink()

    def keep_frame(self, number: int, picture: np.ndarray) -> None:
        """Keep a frame of the segment under way, as far as there is room."""
        partial = self._room.folder / "frame.partial"
        with contextlib.suppress(OSError):
            with partial.open("wb") as file:
                np.save(file, picture, allow_pickle=False)
            partial.replace(self._frame_path(number))

    def kept_frame(self, number: int) -> np.ndarray | None:
        """Return a frame that an interrupted process has kept, or None."""
        with contextlib.suppress(OSError, ValueError, EOFError):
            return np.load(self._frame_path(number), allow_pickle=False)
        return None

    def _frame_path(self, number: int) -> Path:
        return self._room.folder / f"frame-{number:08d}.npy"

    def mark_complete(self) -> None:
        """Note that there are no more frames to come."""
        self._room.note(complete=len(self._segments))
        self.is_complete = True

    def join(self, writer: VideoWriter) -> None:
        """Hand all packets of all segments to a writer, in order, with times of decoding that fit together."""
        decoded_at = times_of_decoding(self._stamps(), self._encoding.delay, self._like.frame_step)
        for stored, data in self._packets():
            dts = next(decoded_at)
            writer.write_packet(EncodedPacket(data, stored.pts, dts, stored.duration, stored.is_keyframe))

    def _stamps(self) -> Iterator[int]:
        for number in range(len(self._segments)):
            yield from sorted(stored.pts for stored, _ in _records(self._path(number), skip=True))

    def _packets(self) -> Iterator[tuple[_Stored, bytes]]:
        for number in range(len(self._segments)):
            yield from _records(self._path(number))

    def leave(self, finished: bool) -> None:
        """Leave the folder, and remove it when the video is finished."""
        self._room.leave(finished)


def _records(path: Path, skip: bool = False) -> Iterator[tuple[_Stored, bytes]]:
    with path.open("rb") as file:
        while head := file.read(_RECORD.size):
            stored = _Stored(*_RECORD.unpack(head))
            if skip:
                file.seek(stored.size, os.SEEK_CUR)
            yield stored, b"" if skip else file.read(stored.size)


class SegmentEncoder:
    """One encoder from its first frame to its flush, its packets appended to a file."""

    def __init__(self, file: IO[bytes], like: VideoHeader, encoding: Encoding, size: tuple[int, int]) -> None:
        av = need("av", extra="video")
        self.frames = 0
        self._file = file
        self._time_base: Fraction = like.time_base
        self._encoding, self._size = encoding, size
        self._packets = 0
        self._context = av.CodecContext.create(encoding.encoder, "w")
        configure(self._context, encoding, *size, like.time_base, like.fps)
        self._context.sample_aspect_ratio = like.sample_aspect
        self._context.flags |= int(need("av.codec.context", extra="video").Flags.global_header)
        self._context.open()

    @property
    def extradata(self) -> bytes:
        """Return the headers that all packets share."""
        return bytes(self._context.extradata or b"")

    def write(self, picture: np.ndarray, pts: int, duration: int = 0) -> None:
        """Encode one picture."""
        frame = frame_for(picture, pts, duration, self._encoding, self._time_base, self._size)
        self._store(self._context.encode(frame))
        self.frames += 1

    def finish(self) -> None:
        """Flush the encoder."""
        self._store(self._context.encode(None))
        if self._packets != self.frames:
            raise RuntimeError(f"the encoder gave {self._packets} packets for {self.frames} frames")

    def _store(self, packets: list[Any]) -> None:
        for packet in packets:
            data = bytes(packet)
            self._packets += 1
            self._file.write(_RECORD.pack(packet.pts, packet.duration or 0, packet.is_keyframe, len(data)))
            self._file.write(data)
