"""Animated pictures (GIF, APNG, WebP, AVIF) frame by frame, by Pillow."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ganvas.errors import UserError, need
from ganvas.io.pictures import metadata
from ganvas.io.pictures.formats import damaged
from ganvas.io.pictures.headers import Header
from ganvas.io.pictures.samples import format_for

ANIMATED = frozenset({"gif", "png", "webp", "avif"})
"""Formats that hold an animation."""
EXTRA = "pictures"


class AnimationFrame(NamedTuple):
    """One frame as it is seen, (H, W, 3) or (H, W, 4) uint8, and how long it is shown."""

    picture: np.ndarray
    duration_ms: float


@dataclass(frozen=True)
class Animation:
    """What an animated picture is, without its frames."""

    path: Path
    header: Header
    """That of a frame: RGB, or RGBA where any pixel of any frame is transparent."""
    frames: int
    plays: int
    """How often it is shown; 0 is for ever."""
    first: int = 0
    """The place of the first frame: an APNG may have a still picture before it."""
    durations_ms: tuple[float, ...] = ()

    def __iter__(self) -> Iterator[AnimationFrame]:
        """Yield the frames as they are seen, the earlier ones below them where they are transparent."""
        with _open(self.path) as picture:
            for number in range(self.first, self.first + self.frames):
                seen, duration = _frame(self.path, picture, number)
                yield AnimationFrame(seen[..., : self.header.channels], duration)


def read_animation(path: str | Path, header: Header) -> Animation:
    """Return what an animated picture is; all frames are looked through for alpha.

    Raises:
        UserError: the extra is not installed, or the file is damaged.
    """
    need("PIL.Image", EXTRA)
    path = Path(path)
    with _open(path) as picture:
        first = 1 if picture.info.get("default_image") else 0
        frames, plays = getattr(picture, "n_frames", 1) - first, _plays(picture)
        opaque, durations = True, []
        for number in range(first, first + frames):
            seen, duration = _frame(path, picture, number)
            durations.append(duration)
            opaque &= bool((seen[..., 3] == 255).all())
    note = header.note
    if header.dtype != "uint8":
        note = "; ".join(text for text in (note, f"frames of {header.bits} bits are read with 8") if text)
    like = replace(
        header, channels=3 if opaque else 4, dtype="uint8", bits=8, frames=1, associated_alpha=False, note=note
    )
    return Animation(path, like, frames, plays, first, tuple(durations))


def write_animation(
    path: str | Path,
    like: Animation,
    frames: Iterable[np.ndarray],
    size: tuple[int, int],
    overwrite: bool = False,
    quality: int = 95,
) -> tuple[str, ...]:
    """Write frames with the times of another animation, and return what a user should be told.

    Args:
        frames: (H, W, 3) or (H, W, 4) uint8, as many as `like` has.
        size: (width, height) of the frames in pixels.

    Raises:
        UserError: the format holds no animation, the name is taken, the disk is full.
    """
    from PIL import Image

    path = Path(path)
    name = format_for(path)
    if name not in ANIMATED:
        raise UserError(f"Cannot write {path}", f"{name} holds no animation", "Choose .png, .webp, .avif, .gif or .mp4")
    if path.exists() and (not overwrite or path.samefile(like.path)):
        raise UserError(f"Cannot write {path}", "The file is there already", "Choose another name, or give --overwrite")
    temporary = path.parent / f".ganvas-{secrets.token_hex(6)}.part"
    pictures = (Image.fromarray(frame) for frame in frames)
    blocks, notes = _encoded(name, like, size)
    durations = [round(each) for each in like.durations_ms] if name == "avif" else list(like.durations_ms)
    try:
        first = next(pictures)
        # Of a PNG's frames Pillow looks at the modes before it writes any.
        others = list(pictures) if name == "png" else pictures
        first.save(
            temporary, name.upper(), save_all=True, append_images=others, duration=durations,
            **_options(name, like, quality), **blocks,
        )  # fmt: skip
        notes += _carried(temporary, name, like, size)
        if path.exists() and not overwrite:
            raise UserError(f"Cannot write {path}", "The file is there already", "Choose another name")
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"Cannot write {path}", error.strerror or str(error), "Choose another folder") from error
    finally:
        temporary.unlink(missing_ok=True)
    if name == "gif":
        notes.append("GIF holds 256 colours a frame, and alpha that is all or nothing; .png or .webp hold all")
    if name == "avif" and like.plays:
        notes.append(f"AVIF is played for ever, the source {like.plays} times")
    return tuple(notes)


def _encoded(name: str, like: Animation, size: tuple[int, int]) -> tuple[dict[str, bytes], list[str]]:
    """Return the metadata that a format takes while it is encoded, and what is to be told of it."""
    if name not in metadata.ENCODED or like.header.format not in metadata.READ or not metadata.is_available():
        return {}, []
    (exif, xmp), notes = metadata.encode(metadata.read_records(like.path, *size))
    return {key: block for key, block in (("exif", exif), ("xmp", xmp)) if block}, list(notes)


def _options(name: str, like: Animation, quality: int) -> dict[str, Any]:
    profile = like.header.icc_profile
    described = {"icc_profile": profile} if profile else {}
    if name == "gif":
        return {} if like.plays == 1 else {"loop": max(0, like.plays - 1), "disposal": 2}
    if name == "webp":
        return {"loop": like.plays, "quality": quality, "lossless": quality == 100, "exact": True, **described}
    if name == "avif":
        return {"quality": quality, "subsampling": "4:4:4" if quality >= 90 else "4:2:0", **described}
    return {"loop": like.plays, "disposal": 0, "blend": 0, **described}


def _carried(temporary: Path, name: str, like: Animation, size: tuple[int, int]) -> tuple[str, ...]:
    if name not in metadata.WRITTEN or like.header.format not in metadata.READ or not metadata.is_available():
        return ()
    records = metadata.read_records(like.path, *size)
    return () if records.is_empty else metadata.write_records(temporary, name, records)


def _open(path: Path) -> Any:
    from PIL import Image

    try:
        return Image.open(path)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise damaged(path, str(error)) from error


def _frame(path: Path, picture: Any, number: int) -> tuple[np.ndarray, float]:
    try:
        picture.seek(number)
        return np.asarray(picture.convert("RGBA")), float(picture.info.get("duration", 100) or 100)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise damaged(path, f"frame {number}: {error}") from error


def _plays(picture: Any) -> int:
    """Return how often an animation is shown: GIF counts repetitions, the others count plays."""
    loop = picture.info.get("loop")
    if picture.format == "GIF":
        return 1 if loop is None else 0 if loop == 0 else loop + 1
    return int(loop or 0)
