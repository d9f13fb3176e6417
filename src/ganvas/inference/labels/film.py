"""A video, or numbered frames, of the pictures that a painter makes of one sequence of label maps."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ganvas.errors import UserError, need
from ganvas.inference.labels.options import Options
from ganvas.inference.labels.painter import Chosen, LabelPainter, MapFiles, Regions
from ganvas.inference.result import Progress, Result
from ganvas.io.pictures import images
from ganvas.io.video.codecs import VIDEO_SUFFIXES
from ganvas.io.video.frames import USUAL_FPS, FramePattern, FramesWriter, parse_pattern
from ganvas.io.video.headers import VideoHeader, new_header
from ganvas.io.video.rates import rate_of
from ganvas.io.video.writer import VideoWriter, check_target

_NUMBER = re.compile(r"(\d+)(?!.*\d)")


def is_film(out: Path) -> bool:
    """Tell whether a name is that of a video or of numbered frames.

    Raises:
        UserError: it is a pattern of frames that cannot be.
    """
    return out.suffix.lower() in VIDEO_SUFFIXES or parse_pattern(out) is not None


def make_film(
    painter: LabelPainter,
    files: Sequence[MapFiles],
    choose: Callable[[Regions, Path | None], Chosen],
    options: Options,
    progress: Progress,
) -> Result:
    """Write the pictures of a sequence of label maps, in their order, as one video or as numbered frames.

    Frames take the numbers of their maps, where these have numbers that rise.

    Raises:
        UserError: the maps are of several sequences or sizes, one cannot be used, or the target cannot be written.
    """
    began = time.perf_counter()
    folders = list(dict.fromkeys(file.labels.parent for file in files))
    if len(folders) > 1:
        why = f"The label maps lie in {len(folders)} folders: {', '.join(map(str, folders[:3]))}"
        raise UserError(f"{options.out} is one clip", why, "Name the folder of one sequence by --labels")
    pattern = parse_pattern(options.out)
    if pattern is None:
        need("av", extra="video")
        check_target(options.out, options.overwrite)
    size, notes = None, list[str]()

    def frames() -> Iterator[np.ndarray]:
        nonlocal size
        for number, file in enumerate(files):
            regions = painter.read(file)
            size = size or regions.size
            if regions.size != size:
                sizes = " and ".join(f"{width} x {height}" for height, width in (size, regions.size))
                raise UserError(f"{file.labels} has another size than the map before it", f"They measure {sizes} px")
            chosen = choose(regions, file.scene)
            once = [] if number else [painter.warning, painter.note_on(file)]
            notes.extend(note for note in (*chosen.notes, *once) if note)
            yield images.from_float(
                painter.picture(regions, chosen.features), "uint8" if options.bits == 8 else "uint16"
            )
            progress(number + 1, len(files))

    rate = options.fps or rate_of(options.labels, files[0].name.rpartition("/")[0]) or USUAL_FPS
    if pattern is None:
        notes += _write_video(frames(), options, new_header(*_size_of(painter, files[0]), rate, _video_bits(options)))
    else:
        pattern.folder.mkdir(parents=True, exist_ok=True)
        _write_frames(frames(), _numbers(pattern, files), pattern, options.overwrite)
    height, width = size or (0, 0)
    return Result(
        input=str(options.labels), output=str(pattern or options.out), width=width, height=height, frames=len(files),
        seconds=round(time.perf_counter() - began, 3), note="; ".join(dict.fromkeys(notes)),
    )  # fmt: skip


def _size_of(painter: LabelPainter, file: MapFiles) -> tuple[int, int]:
    height, width = painter.read(file).size
    return width, height


def _video_bits(options: Options) -> int:
    return 8 if options.bits == 8 else 10


def _write_video(frames: Iterator[np.ndarray], options: Options, header: VideoHeader) -> tuple[str, ...]:
    with VideoWriter(options.out, header, bits=header.bits, overwrite=options.overwrite) as writer:
        for number, frame in enumerate(frames):
            writer.write(frame, number * header.frame_step, header.frame_step)
    return writer.notes


def _write_frames(frames: Iterator[np.ndarray], numbers: Sequence[int], pattern: FramePattern, overwrite: bool) -> None:
    with FramesWriter(pattern, numbers[0], step=1, overwrite=overwrite) as writer:
        for number, frame in zip(numbers, frames):
            writer.write(frame, number - numbers[0])


def _numbers(pattern: FramePattern, files: Sequence[MapFiles]) -> list[int]:
    """Return the frames' numbers: from the pattern's first, or those of the maps where they rise, or from 0."""
    if pattern.first is None:
        found = [_NUMBER.search(file.labels.stem) for file in files]
        numbers = [int(match[1]) for match in found if match]
        if len(numbers) == len(files) and all(one < other for one, other in itertools.pairwise(numbers)):
            return numbers
    first = pattern.first or 0
    return list(range(first, first + len(files)))
