"""What becomes of the inputs of a batch: which files they are, and the name that each output gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ganvas.errors import UserError, did_you_mean
from ganvas.inference.picture.options import Naming, Sizing
from ganvas.inference.result import Job
from ganvas.io.pictures.formats import ASKED_FOR, READABLE, WRITABLE
from ganvas.io.pictures.images import find_pictures
from ganvas.io.video.codecs import FORMATS, VIDEO_SUFFIXES
from ganvas.io.video.frames import parse_pattern

BESIDE = "{name}_{size}"
"""Names of outputs that lie beside their inputs: photo_x4.png."""
_LONGEST_NAME_BYTES = 255
_FIELDS = ("name", "ext", "model", "scale", "size")


@dataclass(frozen=True)
class Plan:
    """The work of a batch."""

    pictures: list[Job]
    videos: list[Job]
    problems: list[tuple[str, str]]
    """Inputs that cannot be used, and why."""
    many: bool
    """A folder, a pattern of names or several inputs are named: what is done already is passed over."""


def is_video(name: str | Path) -> bool:
    """Tell whether a name is that of a video file or of numbered frames (frames.####.exr, frame_%04d.png)."""
    path = Path(name)
    return path.suffix.lower() in VIDEO_SUFFIXES or (not path.exists() and parse_pattern(name) is not None)


def plan(
    inputs: Sequence[str | Path], out: Path | None, naming: Naming, sizing: Sizing, model: str, scale: int
) -> Plan:
    """Return what is to be done, with the output of every input.

    Args:
        inputs: pictures, videos, folders of them, globs, and patterns of numbered frames.
        out: file of a single input, or folder; None is beside each input.
        model: its name, for `{model}`.
        scale: its scale, for `{scale}`, and for `{size}` where no size is asked for.

    Raises:
        UserError: a pattern or format that is not known, or a file that many inputs would have to share.
    """
    suffix = _asked_suffix(naming.format)
    frames = [str(name) for name in inputs if not Path(name).exists() and is_video(name) and parse_pattern(name)]
    found, problems = _found([name for name in inputs if str(name) not in frames], out)
    many = len(inputs) > 1 or any(not Path(name).is_file() for name in inputs if str(name) not in frames)
    sources: dict[Path, Path] = {**found, **{Path(name): Path(Path(name).name) for name in frames}}
    if out is not None and _is_file(out, many, bool(frames)):
        if len(sources) > 1:
            what = f"{out} names a file, and there are {len(sources)} inputs"
            raise UserError(what, "Each becomes a file of its own", "Name a folder: --out upscaled")
        jobs = [Job(source, out) for source in sources]
    else:
        words = {"model": model, "scale": scale, "size": _size_word(sizing, scale)}
        naming = replace(naming, pattern=naming.pattern or (BESIDE if out is None else "{name}"))
        jobs = [
            Job(source, (source.parent if out is None else out / below.parent) / _name(below, naming, suffix, words))
            for source, below in sources.items()
        ]
    videos = [job for job in jobs if is_video(job.source) or job.target.suffix.lower() in VIDEO_SUFFIXES]
    return Plan([job for job in jobs if job not in videos], videos, problems, many)


def _is_file(out: Path, many: bool, frames: bool) -> bool:
    if out.is_dir():
        return False
    known = out.suffix.lower() in READABLE or out.suffix.lower() in VIDEO_SUFFIXES
    return known or bool(out.suffix and not many) or (frames and parse_pattern(out) is not None)


def _asked_suffix(name: str) -> str:
    if not name:
        return ""
    suffix = f".{name.lower().lstrip('.')}"
    known = [*WRITABLE, *ASKED_FOR, *FORMATS]
    if suffix not in known:
        raise UserError(f"{name!r} is no format that is written", do=did_you_mean(suffix, known))
    return suffix


def _found(inputs: Sequence[str | Path], out: Path | None) -> tuple[dict[Path, Path], list[tuple[str, str]]]:
    """Return the files of all inputs, each with the path that it has below its input, and what is wrong."""
    found: dict[Path, Path] = {}
    problems: list[tuple[str, str]] = []
    for given in inputs:
        files, wrong = find_pictures([given], also=VIDEO_SUFFIXES)
        problems += wrong
        root = Path(given)
        inside = root.is_dir() and out is not None and root.resolve() != out.resolve()
        for path in files:
            # What an earlier call put into a folder inside the input must not be upscaled again.
            if not (inside and out is not None and path.resolve().is_relative_to(out.resolve())):
                found.setdefault(path, path.relative_to(root) if root.is_dir() else Path(path.name))
    return found, problems


def _size_word(sizing: Sizing, scale: int) -> str:
    if sizing.size is not None:
        return "x".join(str(side) for side in sizing.size if side)
    if sizing.long_side is not None:
        return f"{sizing.long_side}px"
    return f"x{scale if sizing.factor is None else sizing.factor:g}"


def _name(source: Path, naming: Naming, suffix: str, words: dict[str, object]) -> str:
    pattern = naming.pattern
    name = source.stem if parse_pattern(source.name) is None or source.exists() else source.name
    try:
        stem = pattern.format(name=name, ext=source.suffix.lstrip("."), **words)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        fields = ", ".join(f"{{{field}}}" for field in _FIELDS)
        raise UserError(f"The pattern {pattern!r} cannot be filled in", str(error), f"Use {fields}") from error
    ending = suffix or _suffix_for(source)
    if stem != Path(stem).name:
        raise UserError(
            f"The pattern {pattern!r} gives {stem!r}", "It names files, no folders", "Give folders by --out"
        )
    room = _LONGEST_NAME_BYTES - len(ending.encode())
    while len(stem.encode(errors="surrogateescape")) > room:
        # The end of a name, with its size, tells more than its middle.
        stem = stem[: len(stem) // 2 - 1] + stem[len(stem) // 2 :]
    return f"{stem}{ending}"


def _suffix_for(source: Path) -> str:
    """Return the ending of an output where none is asked for: the input's own, or one that holds as much."""
    suffix = source.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return source.suffix if suffix in FORMATS else ".mkv"
    return source.suffix if suffix in WRITABLE else ".png"
