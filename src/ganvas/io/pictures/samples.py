"""Samples: between integers and floats, with and without alpha, and from what one file holds to what another can."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ganvas.errors import UserError
from ganvas.io.pictures.formats import READABLE, WRITABLE
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
    exif: bool = False


_EVERY_CHANNELS = (1, 2, 3, 4)
_ABILITIES = {
    "png": _Ability(("uint8", "uint16"), _EVERY_CHANNELS, profile=True, exif=True),
    "jpeg": _Ability(("uint8",), (1, 3), 65_500, profile=True, exif=True),
    "tiff": _Ability(("uint8", "uint16", "float32"), _EVERY_CHANNELS, profile=True, exif=True),
    "webp": _Ability(("uint8",), (3, 4), 16_383, profile=True),
    "exr": _Ability(("float16", "float32"), _EVERY_CHANNELS, exif=True),
    "dpx": _Ability(("uint8", "uint16", "float32"), (1, 3, 4)),
    "targa": _Ability(("uint8",), (1, 3, 4), 65_535),
    # Alpha is the customary fourth byte, which some programs overlook.
    "bmp": _Ability(("uint8",), (1, 3, 4), 32_767),
    "jpegxl": _Ability(("uint8", "uint16", "float16", "float32"), (1, 3, 4), profile=True),
    "hdr": _Ability(("float32",), (3,)),
    "pnm": _Ability(("uint8", "uint16"), (1, 3)),
}
_EVERYWHERE = {"ICCProfile", "oiio:ColorSpace", "compression", "PixelAspectRatio"}
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
    if suffix in WRITABLE:
        return WRITABLE[suffix]
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
        if channels in (1, 3) and header.has_alpha:
            raise _loss(path, header, f"{name} cannot store alpha")
    dtype = dtype or next(kind for kind in _DEEPEST_FIRST if kind in ability.dtypes)
    metadata, note = header.metadata, header.note
    if header.icc_profile is not None and not (ability.profile and (header.channels <= 2) == (channels <= 2)):
        metadata = tuple(item for item in metadata if item[0] != "ICCProfile")
        note = _join(note, f"the colour profile is left out, which {name} cannot hold")
    own = name == header.format and name in ("dpx", "targa")
    if not ability.exif and not own and any(item[0] not in _EVERYWHERE for item in metadata):
        note = _join(note, f"EXIF and other metadata that {name} has no place for is left out")
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
    if name == "dpx" and dtype == header.dtype == "uint16" and header.bits in (10, 12):
        return header.bits
    return 8 * BYTES_PER_SAMPLE[dtype]


def _join(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def _loss(path: Path, header: Header, why: str) -> UserError:
    better = ".exr or .tif" if header.dtype.startswith("float") else ".png or .tif"
    return UserError(f"Cannot write {path}", why, f"Choose {better}, or allow the loss")
