"""Films: video files as roles of sequences, their frames read one by one, in any order, exactly.

A frame's number is its place in the file. A film is decoded from its beginning for every step back; a sequence read in
order, as training and generating do, is decoded once. Label maps may be videos; where the codec changes values, a
legend says what they were. Instance maps may be lossless ones.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ganvas.data.snapping import Colors, snap
from ganvas.errors import UserError
from ganvas.io.video import reader as video_reader
from ganvas.io.video.reader import VideoReader
from ganvas.io.video.yuv import Layout

VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")

READERS = 2
"""Places of one film at which decoding goes on."""
KEPT = 8
"""Frames of a film that are kept, so that those asked for again at once are not decoded again."""


@dataclass(frozen=True)
class FilmFrame:
    """One frame of a film."""

    film: Film
    number: int

    def __str__(self) -> str:
        return f"{self.film.path}, frame {self.number}"

    @property
    def path(self) -> Path:
        """The video file."""
        return self.film.path

    @property
    def name(self) -> str:
        """The file's name and the frame's number."""
        return f"{self.film.path.name}, frame {self.number}"

    @property
    def size_px(self) -> tuple[int, int]:
        """(height, width) of the upright frame."""
        return self.film.size_px

    def read(self) -> np.ndarray:
        """Return the picture, (H, W, 3), uint8 or, of more than 8 bits, uint16."""
        return self.film.read(self.number)


class Film:
    """A video of constant rate, whose frames are counted before any is used; several threads may read.

    Raises:
        UserError: it cannot be read, ends early, or has a variable frame rate.
    """

    def __init__(self, path: Path) -> None:
        header = video_reader.read_header(path)
        if header.is_variable_rate:
            why = "Some of its frames are shown longer than others, so a frame's number does not tell its time"
            do = f"Give it a constant rate first: ffmpeg -i {path.name} -fps_mode cfr -r {header.fps} constant.mkv"
            raise UserError(f"{path} has a variable frame rate", why, do)
        self.path, self.header, self.size_px = path, header, (header.height, header.width)
        self._count = header.frames or 0
        self._open: list[_Place] = []
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._count

    def frames(self) -> list[FilmFrame]:
        """Return all frames, none decoded."""
        return [FilmFrame(self, number) for number in range(self._count)]

    def read(self, number: int) -> np.ndarray:
        """Return a frame, without its alpha.

        Raises:
            UserError: there is no such frame, or it cannot be decoded.
        """
        with self._lock:
            if number not in self._kept:
                self._keep(number, self._decode(number))
            return self._kept[number]

    def _decode(self, number: int) -> np.ndarray:
        behind = [place for place in self._open if place.next <= number]
        place = max(behind, key=lambda place: place.next) if behind else self._from_the_beginning()
        for picture in place:
            if place.next > number:
                return picture[..., :3]
            # Its neighbours are asked for next, often by another thread.
            self._keep(place.next - 1, picture[..., :3])
        self._open.remove(place)
        raise UserError(f"{self.path} has no frame {number}", f"It holds {self._count}")

    def _from_the_beginning(self) -> _Place:
        if len(self._open) >= READERS:
            self._open.pop(0).reader.close()
        self._open.append(_Place(VideoReader(self.path)))
        return self._open[-1]

    def _keep(self, number: int, picture: np.ndarray) -> None:
        self._kept[number] = picture
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)


class _Place:
    """Where decoding stands: `next` is the number of the frame that comes."""

    def __init__(self, reader: VideoReader) -> None:
        self.reader, self.next = reader, 0
        self._frames = iter(reader)

    def __iter__(self) -> Iterator[np.ndarray]:
        for frame in self._frames:
            self.next = frame.number + 1
            yield frame.picture


# Maps as films

_EXACT = ("ffv1", "png", "rawvideo", "qtrle")
"""Codecs that change no value."""


def changes_values(frame: FilmFrame) -> bool:
    """Tell whether a film's codec, or its YUV, may have changed what was written."""
    header = frame.film.header
    return header.codec not in _EXACT or Layout.of(header.pixel_format).family == "yuv"


def read_ids(frame: FilmFrame, colors: Colors = ()) -> np.ndarray:
    """Return a frame's ids, (H, W) int64: gray values; or colours, of a legend or (without one) R + 256 G + 65536 B.

    Where the codec changes values, each pixel takes the class of the legend that it is nearest to.

    Args:
        frame: of a film that holds maps.
        colors: a legend's (id, colour), where ids are told by colour.

    Raises:
        UserError: the film changes values and there is no legend, or it holds a colour that the legend lacks.
    """
    return read_snapped(frame, colors)[0]


def read_snapped(frame: FilmFrame, colors: Colors = ()) -> tuple[np.ndarray, float]:
    """Return a frame's ids as `read_ids` does, and the share of its pixels that had to take the class beside them."""
    header = frame.film.header
    if changes_values(frame):
        if not colors:
            why = (
                f"{header.codec} as {header.pixel_format} changes values, and no legend says which colours are classes"
            )
            do = "Put its legend.json beside it, or write maps as PNG, or as FFV1 in gray or RGB"
            raise UserError(f"{frame.path} holds no ids", why, do)
        return snap(frame.read(), colors, str(frame))
    pixels = frame.read()
    if Layout.of(header.pixel_format).family == "gray":
        return pixels[..., 0].astype(np.int64), 0.0
    codes = pixels.astype(np.int64) @ np.array([1, 1 << 8, 1 << 16])
    if not colors:
        return (pixels[..., 0].astype(np.int64) if (pixels == pixels[..., :1]).all() else codes), 0.0
    ids = np.full(codes.shape, -1, np.int64)
    for label, (red, green, blue) in colors:
        ids[codes == red + (green << 8) + (blue << 16)] = label
    if (ids < 0).any():
        y, x = (int(place[0]) for place in np.nonzero(ids < 0))
        color = tuple(int(part) for part in pixels[y, x])
        raise UserError(f"{frame} holds the colour {color} at pixel x={x}, y={y}", "It is not in the legend")
    return ids, 0.0


def told_of_snapping(frames: Sequence[FilmFrame], colors: Colors) -> str:
    """Return what is to be told of a film of maps whose codec changes values, by some of its frames; else nothing.

    Raises:
        UserError: as `read_ids`.
    """
    if not frames or not changes_values(frames[0]):
        return ""
    share = float(np.mean([read_snapped(frame, colors)[1] for frame in frames]))
    name, codec = frames[0].path.name, frames[0].film.header.codec
    return (
        f"{name}: {codec} changes values, so pixels take the nearest class of the legend ({share:.1%} that beside them)"
    )
