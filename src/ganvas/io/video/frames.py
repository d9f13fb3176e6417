"""Numbered frames: `shot.####.exr`, `shot_%04d.png`, `shot.[1001-1096].exr`, read and written like a video.

The number stands where the marks stand: `####` and `%04d` are four digits (more where a number needs them), `[a-b]` is
a range of frames, written with as many digits as `a`. A folder's frames must have no gaps unless that is allowed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ganvas.errors import UserError
from ganvas.io.closing import Closing
from ganvas.io.pictures import images
from ganvas.io.video.codecs import VIDEO_SUFFIXES
from ganvas.io.video.headers import VideoHeader, new_header
from ganvas.io.video.rates import rate_beside, rate_within
from ganvas.io.video.reader import Frame

USUAL_FPS = 24
_MARKS = re.compile(r"(?P<hashes>#+)|%0?(?P<width>\d*)d|\[(?P<first>\d+)-(?P<last>\d+)\]")


@dataclass(frozen=True)
class FramePattern:
    """The name of numbered frames: what stands before and after the number, its digits, and perhaps a range."""

    folder: Path
    before: str
    after: str
    digits: int
    first: int | None = None
    last: int | None = None

    def path(self, number: int) -> Path:
        """Return the file of a number."""
        return self.folder / f"{self.before}{number:0{self.digits}d}{self.after}"

    def __str__(self) -> str:
        return str(self.folder / f"{self.before}{'#' * self.digits}{self.after}")

    def numbers(self) -> list[int]:
        """Return the numbers of the files that exist, in order, within the range."""
        shape = re.compile(re.escape(self.before) + rf"(\d{{{self.digits},}})" + re.escape(self.after))
        matches = (shape.fullmatch(path.name) for path in self.folder.iterdir()) if self.folder.is_dir() else ()
        found = sorted(int(match[1]) for match in matches if match and self.path(int(match[1])).name == match[0])
        return [
            number
            for number in found
            if (self.first is None or number >= self.first) and (self.last is None or number <= self.last)
        ]


def parse_pattern(name: str | Path) -> FramePattern | None:
    """Return the pattern of numbered frames that a name is, or None when it has no marks of a number.

    Raises:
        UserError: the range is upside down, or the suffix is no picture's.
    """
    path = Path(name)
    marks = list(_MARKS.finditer(path.name))
    if not marks:
        return None
    mark = marks[-1]
    first = last = None
    if mark["first"] is not None:
        first, last = int(mark["first"]), int(mark["last"])
        if last < first:
            raise UserError(f"{path}: the range {first}-{last} is upside down", do=f"Write [{last}-{first}]")
    digits = len(mark["hashes"] or mark["first"] or "") or int(mark["width"] or 1)
    after = path.name[mark.end() :]
    if Path(f"x{after}").suffix.lower() in VIDEO_SUFFIXES:
        return None  # a video may have a number sign in its name
    if Path(f"x{after}").suffix.lower() not in images.READABLE:
        raise UserError(f"{path} names no pictures", f"{Path(after).suffix or after!r} is no suffix of pictures")
    return FramePattern(path.parent, path.name[: mark.start()], after, digits, first, last)


def _gaps(numbers: list[int], first: int, last: int) -> str:
    missing = sorted(set(range(first, last + 1)) - set(numbers))
    runs: list[list[int]] = []
    for number in missing:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    names = [str(start) if start == stop else f"{start}-{stop}" for start, stop in runs]
    return ", ".join([*names[:8], *(["..."] if len(names) > 8 else [])])


class FramesReader(Closing):
    """Numbered pictures as a video: frame k has the time stamp (its number - the first) * `frame_step`.

    The rate is `fps`, or what the pictures or `clip.json` beside them say, or 24.
    Pictures keep the type and channels of their files; `picture_header` is that of the picture last given.

    Raises:
        UserError: there are no such files, some are missing (they are named), or one has another size or kind.
    """

    def __init__(
        self,
        pattern: FramePattern,
        fps: Fraction | int | None = None,
        start: int = 0,
        allow_gaps: bool = False,
    ) -> None:
        self.pattern = pattern
        self.numbers = pattern.numbers()
        self.start = start
        self.lost = 0
        self.picture_header: images.Header | None = None
        if not self.numbers:
            raise UserError(f"There are no frames {pattern}", do="Look at the folder, the digits and the range")
        first = self.numbers[0] if pattern.first is None else pattern.first
        last = self.numbers[-1] if pattern.last is None else pattern.last
        if not allow_gaps and len(self.numbers) != last - first + 1:
            what = f"Frames of {pattern} are missing: {_gaps(self.numbers, first, last)}"
            raise UserError(what, do="Bring them, or name a range without gaps, such as [1001-1096] in place of ####")
        self.first = first
        self._like = images.read_header(pattern.path(self.numbers[0]))
        self.is_light = self._like.dtype.startswith("float")
        """The pictures hold light (floating point), not codes for a screen."""
        told = rate_within(self._like.metadata) or rate_beside(pattern.folder)
        self.rate_is_told = told is not None
        """The rate stands in the pictures or in a file beside them."""
        self.header = self._header(Fraction(fps or told or USUAL_FPS))
        self.frame_duration = self.header.frame_step

    def _header(self, fps: Fraction) -> VideoHeader:
        like = self._like
        header = new_header(like.width, like.height, fps, like.bits, like.has_alpha)
        return replace(
            header,
            frames=len(self.numbers),
            frames_from="container",
            codec=like.format,
            container="frames",
            duration_s=len(self.numbers) / fps,
        )

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames."""
        for index, number in enumerate(self.numbers):
            if index < self.start:
                continue
            path = self.pattern.path(number)
            picture, header = images.read(path)
            kind = (header.width, header.height, header.channels, header.dtype)
            if kind != (self._like.width, self._like.height, self._like.channels, self._like.dtype):
                why = f"It is {_described(header)}, the first is {_described(self._like)}"
                raise UserError(f"{path} does not fit in the sequence", why)
            self.picture_header = header
            yield Frame(index, (number - self.first) * self.header.frame_step, picture)

    def fingerprint(self) -> dict[str, Any]:
        """Return what tells these files from others or from their changed selves: numbers, sizes and times."""
        digest = hashlib.sha256()
        for number in self.numbers:
            facts = self.pattern.path(number).stat()
            digest.update(f"{number} {facts.st_size} {facts.st_mtime_ns}\n".encode())
        return {"pattern": str(self.pattern), "sha256_of_facts": digest.hexdigest()}


def _described(header: images.Header) -> str:
    return f"{header.width}x{header.height}, {header.channels} channels of {header.dtype}"


class FramesWriter(Closing):
    """Numbered pictures in the making, each whole under its name or not there.

    Frame k gets the number `first` + k, or `first` + time stamp / `step` where a step is given (so that gaps stay).

    Raises:
        UserError: the folder is missing, or one of the names is taken.
    """

    def __init__(
        self, pattern: FramePattern, first: int | None = None, step: int | None = None, overwrite: bool = False
    ) -> None:
        self.pattern = pattern
        self.first = first if first is not None else pattern.first if pattern.first is not None else 1
        self.frames = 0
        self.notes: tuple[str, ...] = ()
        self._step = step
        self._overwrite = overwrite
        if not pattern.folder.is_dir():
            raise UserError(f"The folder {pattern.folder} does not exist")
        if Path(f"x{pattern.after}").suffix.lower() not in images.WRITABLE:
            raise UserError(f"{pattern} cannot be written", f"Pictures of this kind are read only: {pattern.after}")
        taken = pattern.numbers()
        if taken and not overwrite:
            why = f"{pattern.path(taken[0]).name} and {len(taken) - 1} more"
            raise UserError(f"Frames {pattern} exist already", why, "Choose another name, or give --overwrite")

    def path_of(self, index: int, pts: int) -> Path:
        """Return the file of a frame."""
        return self.pattern.path(self.first + (index if self._step is None else pts // self._step))

    def write(self, picture: np.ndarray, pts: int, header: images.Header | None = None) -> None:
        """Write one picture, with the metadata of the picture that it was made from."""
        images.write(self.path_of(self.frames, pts), picture, header, overwrite=self._overwrite)
        self.frames += 1
