"""Samples: between integers and floats, with and without alpha, and from what one file holds to what another can."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ganvas.errors import UserError
from ganvas.io.pictures import colour
from ganvas.io.pictures import metadata as carrying
from ganvas.io.pictures.formats import ASKED_FOR, READABLE, WRITABLE
from ganvas.io.pictures.headers import BYTES_PER_SAMPLE, Header


def to_float(array: np.ndarray) -> np.ndarray:
    """Return float32: uint8 divided by 255 and uint16 by 65535, floats with their values unchanged."""
    if array.dtype.kind == "u":
        return array.astype(np.float32) / np.float32(np.iinfo(array.dtype).max)
    return array.astype(np.float32)


def from_float(array: np.ndarray, dtype: str | np.dtype, dither: bool = False) -> np.ndarray:
    """Return `array` in `dtype`: for integers clipped to [0, 1], scaled and rounded half up; for floats unclipped.

    `dither` rounds up or down by a fixed pattern of noise, which hides the bands of a smooth gradient.
    """
    kind = np.dtype(dtype)
    if kind.kind != "u":
        return array.astype(kind)
    # In place, because fresh memory costs more than the arithmetic; fmax takes the number where the other is none.
    scaled = np.fmax(array, np.float32(0), dtype=np.float32)
    np.minimum(scaled, 1, out=scaled)
    scaled *= np.float32(np.iinfo(kind).max)
    # float32 keeps 65535 + 0.5 exactly, so that every level finds its way back.
    scaled += np.random.default_rng(0).random(scaled.shape, np.float32) if dither else np.float32(0.5)
    return np.minimum(scaled, np.iinfo(kind).max, out=scaled).astype(kind)


def premultiply(array: np.ndarray) -> np.ndarray:
    """Return a float picture (H, W, 2 or 4) with its colours multiplied by its alpha, the last channel."""
    alpha = array[..., -1:]
    return np.concatenate([array[..., :-1] * alpha, alpha], axis=-1)


def unpremultiply(array: np.ndarray) -> np.ndarray:
    """Return a float picture with its colours divided by its alpha; where alpha is 0 they stay as they are."""
    alpha = array[..., -1:]
    return np.concatenate([array[..., :-1] / np.where(alpha > 0, alpha, 1), alpha], axis=-1)


@dataclass(frozen=True)
class _Ability:
    dtypes: tuple[str, ...]
    channels: tuple[int, ...]
    longest_px: int = 2**31 - 1
    profile: bool = False
    gray_profile: bool = False
    most_bits: int = 16
    """Of whole numbers."""
    texts: frozenset[str] | None = frozenset()
    """Which of the names that OpenImageIO gives to metadata its writer keeps; None is all of them."""


_RESOLUTION = frozenset({"XResolution", "YResolution", "ResolutionUnit"})
_EXIF = _RESOLUTION | {
    "ImageDescription", "Artist", "Copyright", "DateTime", "Software", "Make", "Model", "DocumentName", "HostComputer",
    "WhitePoint", "PrimaryChromaticities", "ExposureTime", "FNumber", "Keywords",
}  # fmt: skip
_EVERY_CHANNELS = (1, 2, 3, 4)
_ABILITIES = {
    "png": _Ability(("uint8", "uint16"), _EVERY_CHANNELS, profile=True, gray_profile=True, texts=None),
    "jpeg": _Ability(("uint8",), (1, 3), 65_500, profile=True, gray_profile=True, texts=_EXIF),
    "tiff": _Ability(
        ("uint8", "uint16", "float32"), _EVERY_CHANNELS, profile=True, gray_profile=True, texts=_EXIF | {"PageName"}
    ),
    "webp": _Ability(("uint8",), (3, 4), 16_383, profile=True),
    "exr": _Ability(("float16", "float32"), _EVERY_CHANNELS, texts=None),
    "dpx": _Ability(("uint8", "uint16", "float32"), (1, 3, 4), texts=frozenset({"Copyright", "Software", "DateTime"})),
    "targa": _Ability(("uint8",), (1, 3, 4), 65_535),
    # Alpha is the customary fourth byte, which some programs overlook.
    "bmp": _Ability(("uint8",), (1, 3, 4), 32_767, texts=_RESOLUTION),
    "jpegxl": _Ability(("uint8", "uint16", "float16", "float32"), (1, 3, 4), profile=True),
    "hdr": _Ability(("float32",), (3,)),
    "pnm": _Ability(("uint8", "uint16"), (1, 3)),
    "gif": _Ability(("uint8",), (3, 4), 65_535),
    "avif": _Ability(("uint8", "uint16"), (3, 4), 65_536, profile=True, most_bits=12),
    "heif": _Ability(("uint8", "uint16"), (1, 3, 4), 16_384, profile=True, most_bits=12),
    "dds": _Ability(("uint8",), (1, 3, 4), 16_384),
}
_EVERYWHERE = {
    "ICCProfile", "oiio:ColorSpace", "compression", "PixelAspectRatio", "CICP", "FramesPerSecond", "ResolutionUnit",
    "name", "screenWindowCenter", "screenWindowWidth", "textureformat",
}  # fmt: skip
_CARRIED = re.compile(r"(?!oiio:|dpx:|openexr:)[A-Za-z]+:|Keywords$")
"""Names of what exiv2 carries better, and what OpenImageIO makes of XMP."""
# In order of preference: what holds every value of a type, its own type first.
_HOLDERS = {
    "uint8": ("uint8", "uint16", "float16", "float32"),
    "uint16": ("uint16", "float32"),
    "float16": ("float16", "float32"),
    "float32": ("float32",),
}
_DEEPEST_FIRST = ("float32", "float16", "uint16", "uint8")


def format_for(path: Path) -> str:
    """Return the name of the format that a path to be written asks for.

    Raises:
        UserError: nothing, or nothing that can be written, has this extension.
    """
    suffix = path.suffix.lower()
    if suffix in WRITABLE or suffix in ASKED_FOR:
        return (WRITABLE | ASKED_FOR)[suffix]
    why = (
        "This format can be read but not written" if suffix in READABLE else f"The extension {path.suffix!r} is unknown"
    )
    raise UserError(f"Cannot write {path}", why, f"Choose one of {', '.join(WRITABLE)}")


def adapt_header(header: Header, path: str | Path, allow_loss: bool = False) -> Header:
    """Return the header that the picture has once it lies at `path`: as `header` where that format can hold it.

    Depth grows silently where that loses nothing (8 bit to half in EXR, half to float in TIFF), and gray becomes RGB
    where a format knows no gray. Colour spaces are never converted.

    Raises:
        UserError: the format cannot be written, or cannot hold the picture without loss and `allow_loss` is false.
    """
    path = Path(path)
    name = format_for(path)
    ability = _ABILITIES[name]
    dtype = next((kind for kind in _HOLDERS[header.dtype] if kind in ability.dtypes), None)
    channels = _fitting_channels(header.channels, ability.channels)
    if not allow_loss:
        if dtype is None:
            raise _loss(path, header, f"{name} has no room for {header.dtype} samples")
        if header.dtype == dtype == "uint16" and header.bits > ability.most_bits:
            raise _loss(path, header, f"{name} holds at most {ability.most_bits} bits, and this has {header.bits}")
        if channels in (1, 3) and header.has_alpha:
            raise _loss(path, header, f"{name} cannot store alpha")
    dtype = dtype or next(kind for kind in _DEEPEST_FIRST if kind in ability.dtypes)
    carries = is_carried(header, name)
    metadata = tuple(item for item in header.metadata if not (carries and _CARRIED.match(item[0])))
    metadata, note = _fitting_profile(metadata, header, name, channels)
    lost = _without_place(metadata, header.format, name, carries)
    note = _join(note, left_out(lost, name))
    return replace(
        header,
        format=name,
        dtype=dtype,
        channels=channels,
        bits=_fitting_bits(header, name, dtype),
        scene_linear=dtype.startswith("float"),
        associated_alpha=channels in (2, 4) and (name == "exr" or (name == "tiff" and header.associated_alpha)),
        metadata=metadata,
        note=note,
        frames=1,
        interlaced=False,
    )


def is_carried(header: Header, target: str) -> bool:
    """Tell whether a picture's EXIF, XMP and IPTC go to a format by exiv2, and not as OpenImageIO understands them."""
    # exiv2 takes the second page of a TIFF for the thumbnail of the first.
    carried = target in carrying.WRITTEN | carrying.ENCODED and not (target == "tiff" and header.frames > 1)
    return carried and carrying.is_available() and header.path is not None and header.path.is_file()


def _fitting_profile(
    metadata: tuple[tuple[str, str, Any], ...], header: Header, name: str, channels: int
) -> tuple[tuple[tuple[str, str, Any], ...], str]:
    """Return the metadata with the colours' description that a format can hold, and a note of what it cannot."""
    profile, ability = header.icc_profile, _ABILITIES[name]
    without = tuple(item for item in metadata if item[0] != "ICCProfile")
    if profile is None:
        return without, header.note
    if name == "jpegxl" and any(item[0] == "CICP" and item[2][:2] == (1, 13) for item in metadata):
        return without, header.note  # plain sRGB, which the encoder says itself
    if ability.profile and (header.channels > 2 or (ability.gray_profile and channels <= 2)):
        # Two descriptions of one picture's colours are refused by some encoders.
        return tuple(item for item in metadata if item[0] != "CICP"), header.note
    if header.channels <= 2 and colour.is_converted(header.dtype):
        return without, _join(header.note, "the gray became sRGB through its profile")
    return without, _join(header.note, f"the colour profile is left out, which {name} cannot hold")


def _without_place(metadata: tuple[tuple[str, str, Any], ...], source: str, target: str, carries: bool) -> list[str]:
    texts = _ABILITIES[target].texts
    if texts is None or (source == target and target in ("tiff", "dpx", "targa", "jpeg")):
        return []
    known = _EVERYWHERE | texts | (_EXIF if carries else set())
    keeps_exif = target in ("jpeg", "tiff")
    return [
        name
        for name, _, _ in metadata
        if name not in known and not (keeps_exif and name.startswith(("Exif:", "GPS:", "IPTC:")))
    ]


def left_out(names: Iterable[str], target: str) -> str:
    """Return the note on metadata that a format has no place for; empty where there is none."""
    names = list(dict.fromkeys(names))
    if not names:
        return ""
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return f"left out, as {target} has no place for it: {', '.join(names[:12])}{more}"


def check_size(path: Path, width: int, height: int) -> None:
    """Raise for a picture that is too wide or too high for its format.

    Raises:
        UserError: it is.
    """
    name = format_for(path)
    longest = _ABILITIES[name].longest_px
    if max(width, height) > longest:
        raise UserError(
            f"Cannot write {path}",
            f"{name} holds at most {longest} pixels a side, and this is {width} x {height}",
            "Write .png or .tif instead",
        )


def convert_rows(rows: np.ndarray, source: Header, target: Header) -> np.ndarray:
    """Return (h, W, C) rows that fit `source` as rows that fit `target`."""
    alpha_differs = source.has_alpha and source.associated_alpha != target.associated_alpha
    if source.dtype == target.dtype and not alpha_differs:
        return _convert_channels(rows, target.channels, np.iinfo(rows.dtype).max if rows.dtype.kind == "u" else 1)
    values = to_float(rows)
    if alpha_differs:
        values = unpremultiply(values) if source.associated_alpha else premultiply(values)
    return from_float(_convert_channels(values, target.channels, 1), target.dtype)


def _convert_channels(rows: np.ndarray, channels: int, opaque: int) -> np.ndarray:
    present = rows.shape[-1]
    if present == channels:
        return rows
    colour = rows if present in (1, 3) else rows[..., :-1]
    if channels >= 3 and colour.shape[-1] == 1:
        colour = np.repeat(colour, 3, axis=-1)
    if channels in (1, 3):
        return np.ascontiguousarray(colour)
    alpha = rows[..., -1:] if present in (2, 4) else np.full_like(rows[..., :1], opaque)
    return np.concatenate([colour, alpha], axis=-1)


def _fitting_channels(channels: int, possible: tuple[int, ...]) -> int:
    choices = {1: (1, 3), 2: (2, 4, 1, 3), 3: (3,), 4: (4, 3)}[channels]
    return next(choice for choice in choices if choice in possible)


def _fitting_bits(header: Header, name: str, dtype: str) -> int:
    if dtype == "uint16" and name in ("avif", "heif"):
        return 10 if header.dtype == dtype and header.bits <= 10 else 12
    if name == "dpx" and dtype == header.dtype == "uint16" and header.bits in (10, 12):
        return header.bits
    return 8 * BYTES_PER_SAMPLE[dtype]


def _join(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def _loss(path: Path, header: Header, why: str) -> UserError:
    better = ".exr or .tif" if header.dtype.startswith("float") else ".png or .tif"
    return UserError(f"Cannot write {path}", why, f"Choose {better}, or give --allow-loss")
