"""An animated picture as a video: the frames of a GIF, APNG or WebP with their times in milliseconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from ganvas.io.closing import Closing
from ganvas.io.pictures.animations import ANIMATED, read_animation
from ganvas.io.pictures.formats import READABLE
from ganvas.io.pictures.headers import read_header
from ganvas.io.video.headers import new_header
from ganvas.io.video.reader import Frame

PER_SECOND = 1000


def is_animated(path: Path) -> bool:
    """Tell whether a file is a picture with frames."""
    return READABLE.get(path.suffix.lower()) in ANIMATED and path.is_file() and read_header(path).frames > 1


class AnimationReader(Closing):
    """The frames of an animated picture, one after another, as those of a video.

    Raises:
        UserError: the file is damaged, or the extra is not installed.
    """

    def __init__(self, path: str | Path, start: int = 0) -> None:
        self.clip = read_animation(path, read_header(path))
        self.start, self.lost = start, 0
        self.frame_duration = 0
        like, durations = self.clip.header, [round(ms) for ms in self.clip.durations_ms]
        total = max(1, sum(durations))
        plain = new_header(like.width, like.height, Fraction(len(durations) * PER_SECOND, total), 8, like.has_alpha)
        self.header = replace(
            plain, time_base=Fraction(1, PER_SECOND), frames=len(durations), frames_from="container",
            codec=like.format, container=like.format, duration_s=Fraction(total, PER_SECOND),
            is_variable_rate=len(set(durations)) > 1,
        )  # fmt: skip

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames."""
        pts = 0
        for index, frame in enumerate(self.clip):
            self.frame_duration = max(1, round(frame.duration_ms))
            if index >= self.start:
                yield Frame(index, pts, frame.picture)
            pts += self.frame_duration
