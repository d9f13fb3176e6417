"""What `inspect` says of one picture or video file."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from ganvas.errors import UserError

CHANNELS = {1: "gray", 2: "gray and alpha", 3: "RGB", 4: "RGB and alpha"}


def is_picture(path: Path) -> bool:
    """Tell whether a file is a picture by its ending."""
    from ganvas.io.pictures.formats import READABLE

    return path.is_file() and path.suffix.lower() in READABLE


def is_video(path: Path) -> bool:
    """Tell whether a file is a video by its ending."""
    from ganvas.io.video.codecs import VIDEO_SUFFIXES

    return path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES


def picture_facts(path: Path) -> dict[str, Any]:
    """Return what a picture file is, its state, and the upscaler that suits it.

    Raises:
        UserError: it cannot be read.
    """
    from ganvas.inference.open import DEFAULT
    from ganvas.inference.picture.condition import RESTORING, examine
    from ganvas.io.pictures import images

    header = images.read_header(path)
    names = {name.lower() for name, _, _ in header.metadata}
    facts: dict[str, Any] = {
        "picture": str(path),
        "format": header.format,
        "size": f"{header.width} x {header.height}",
        "channels": CHANNELS[header.channels],
        "depth": f"{header.dtype}, {header.bits} bits",
        "frames": header.frames if header.frames > 1 else "",
        "profile": "ICC" if any("icc" in name for name in names) else "",
        "metadata entries": len(header.metadata) or "",
        "note": header.note,
    }
    with contextlib.suppress(UserError):
        state, restoring = examine(path), RESTORING[4]
        facts["state"] = restoring.describe(state) or "no strong compression, no noise"
        model = restoring.name if restoring.suits(state) else DEFAULT
        facts["next"] = f"ganvas upscale {path} (by {model})"
    return facts


def video_facts(path: Path) -> dict[str, Any]:
    """Return what a video file is.

    Raises:
        UserError: it cannot be read, or the extra for video is missing.
    """
    from ganvas.io.video.reader import read_header

    header = read_header(path)
    return {
        "video": str(path),
        "format": f"{header.codec} in {header.container}",
        "size": f"{header.width} x {header.height}",
        "frames": header.frames or "",
        "frames a second": str(header.fps),
        "depth": f"{header.bits} bits, {header.pixel_format}",
        "audio tracks": len(header.audio) or "",
        "damage": header.damage,
        "next": f"ganvas upscale {path}",
    }
