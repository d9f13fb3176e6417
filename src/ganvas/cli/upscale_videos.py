"""What `upscale` does with videos and numbered frames."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ganvas.errors import UserError
from ganvas.inference.picture.files import Output, Result
from ganvas.inference.picture.upscale import Upscaler, target_size
from ganvas.inference.picture.video import VideoOptions, upscale_video
from ganvas.io.video.frames import FramesReader, parse_pattern
from ganvas.io.video.reader import read_header

SUFFIXES = frozenset((".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mxf", ".mpg", ".mpeg", ".wmv", ".ts"))


def is_video(name: str) -> bool:
    """Tell whether an input is a video file or a pattern of numbered frames (frames.####.exr, frame_%04d.png)."""
    path = Path(name)
    return path.suffix.lower() in SUFFIXES or (not path.exists() and parse_pattern(name) is not None)


def upscale_videos(up: Upscaler, names: Sequence[str], out: Path, output: Output, screen: Any) -> list[Result]:
    """Upscale videos one after the other; what fails is told in its result."""
    results: list[Result] = []
    for name in names:
        single = len(names) == 1 and (bool(out.suffix) or parse_pattern(str(out)) is not None)
        target = out if single else out / Path(name).name
        try:
            results.append(_upscale(up, name, target, output, screen))
        except UserError as error:
            results.append(Result(input=name, output=str(target), error=str(error)))
        screen.result(results[-1])
    return results


def _upscale(up: Upscaler, name: str, target: Path, output: Output, screen: Any) -> Result:
    if output.long_side is not None:
        pattern = None if Path(name).is_file() else parse_pattern(name)
        header = read_header(name, count=False) if pattern is None else FramesReader(pattern).header
        high, wide = target_size(header.height, header.width, up.scale, long_side=output.long_side)
        output = Output(size=(wide, high), overwrite=output.overwrite)
    if output.size is not None and 0 in output.size:
        raise UserError("--size with a 0 is for pictures", do="Give both sides of the video, or --factor")
    target.parent.mkdir(parents=True, exist_ok=True)
    scale = up.scale if output.factor is None else output.factor

    def grow(frame: np.ndarray) -> np.ndarray:
        return up(frame, size=output.size) if output.size else up(frame, factor=scale)

    report = upscale_video(
        name, target, grow, scale=scale, size=output.size, settings=_identity(up),
        options=VideoOptions(overwrite=output.overwrite), say=screen.say,
        progress=lambda done, frames: screen.progress(name, done, frames),
    )  # fmt: skip
    return Result(
        input=name, output=report.target, width=report.width, height=report.height,
        megapixels=round(report.frames * report.width * report.height / 1e6, 3), seconds=round(report.seconds, 3),
        precision=up.precision, tile=str(up.tile), note="; ".join((f"{report.frames} frames", *report.notes)),
    )  # fmt: skip


def _identity(up: Upscaler) -> dict[str, Any]:
    """Return all that decides the pictures, so that interrupted work is gone on with only when it is the same."""
    digest = hashlib.sha256()
    for key, value in up.net.state_dict().items():
        digest.update(key.encode())
        digest.update(value.contiguous().flatten().view(-1).cpu().numpy().tobytes())
    names = ("precision", "backend", "tile", "halo_px", "overlap_px", "border", "ensemble", "faithful")
    return {"weights": digest.hexdigest(), **{name: getattr(up, name) for name in names}}
