"""Pictures that OpenImageIO does not decode, or not as they are meant: HEIF, AVIF, CMYK JPEG, Ultra HDR and others.

Each is decoded whole.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio  # noqa: N813 - as its own documentation does

from ganvas.errors import need
from ganvas.io.pictures.formats import damaged

EXTRA = "pictures"


@dataclass(frozen=True)
class Whole:
    """A picture that another library decodes, upright, and what it is."""

    decode: Callable[[], np.ndarray]
    """Return the picture, (H, W, C)."""
    width: int
    height: int
    channels: int
    dtype: str = "uint8"
    bits: int = 8
    frames: int = 1
    profile: bytes | None = None
    note: str = ""


def heif(path: Path) -> Whole:
    """Open a HEIC picture by pillow-heif.

    Raises:
        UserError: the extra is not installed, or the file is damaged.
    """
    library = need("pillow_heif", EXTRA)
    try:
        file = library.open_heif(str(path), convert_hdr_to_8bit=False, hdr_to_16bit=True)
        main = file[file.primary_index]
    except (ValueError, OSError, RuntimeError, SyntaxError, IndexError) as error:
        raise damaged(path, str(error)) from error
    deep = ";16" in main.mode
    bits = int(main.info.get("bit_depth", 8))
    channels = {"L": 1, "I": 1, "LA": 2, "RGB": 3, "RGBA": 4}[main.mode.partition(";")[0]]

    def decode() -> np.ndarray:
        try:
            pixels = np.asarray(main)
        except (ValueError, OSError, RuntimeError, EOFError) as error:
            raise damaged(path, str(error)) from error
        pixels = pixels.reshape(main.size[1], main.size[0], channels)
        return _full_scale(pixels >> (16 - bits), bits) if deep else pixels

    aux = [name for name in ("depth_images", "aux") if main.info.get(name)]
    width, height = main.size
    return Whole(
        decode, width, height, channels, "uint16" if deep else "uint8", bits, len(file), _profile(main.info),
        "pictures that go along with the main one (depth, gain map) are left out" if aux else "",
    )  # fmt: skip


def avif(path: Path) -> Whole:
    """Open an AVIF picture by Pillow, or by imagecodecs where it has more than 8 bits.

    Raises:
        UserError: the extra is not installed, or the file is damaged.
    """
    image, codecs = need("PIL.Image", EXTRA), need("imagecodecs", EXTRA)
    opened = _pillow(path)
    orientation = opened.getexif().get(0x0112, 1)
    stored = opened.info.get("icc_profile")
    bits = _avif_bits(path)
    mode = opened.mode
    channels = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}.get(mode, 3)
    wide, high = opened.size[::-1] if orientation >= 5 else opened.size

    def decode() -> np.ndarray:
        try:
            if bits == 8:
                pixels = np.asarray(opened.convert({1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]))
            else:
                pixels = codecs.avif_decode(path.read_bytes(), index=0)
        except (ValueError, OSError, image.DecompressionBombError, codecs.AvifError) as error:
            raise damaged(path, str(error)) from error
        pixels = pixels.reshape(*pixels.shape[:2], -1)[..., :channels]
        return reorient(_full_scale(pixels, bits) if bits > 8 else pixels, orientation)

    frames = getattr(opened, "n_frames", 1)
    return Whole(decode, wide, high, channels, "uint16" if bits > 8 else "uint8", bits, frames, stored)


def cmyk_jpeg(path: Path) -> Whole | None:
    """Open a CMYK or YCCK JPEG as inks, 255 being all of an ink; None where Pillow is not installed."""
    try:
        opened = _pillow(path)
    except ModuleNotFoundError:
        return None

    def decode() -> np.ndarray:
        try:
            return np.asarray(opened)
        except (ValueError, OSError) as error:
            raise damaged(path, str(error)) from error

    return Whole(decode, opened.width, opened.height, 4, profile=opened.info.get("icc_profile"))


def palette_with_alpha(path: Path) -> Whole:
    """Open a TIFF of palette indices and alpha as RGBA.

    Raises:
        UserError: the extra is not installed, or the file is damaged.
    """
    need("PIL.Image", EXTRA)
    opened = _pillow(path)

    def decode() -> np.ndarray:
        try:
            return np.asarray(opened.convert("RGBA"))
        except (ValueError, OSError) as error:
            raise damaged(path, str(error)) from error

    return Whole(decode, opened.width, opened.height, 4, profile=opened.info.get("icc_profile"))


def ultra_hdr(path: Path) -> tuple[Whole, oiio.ImageSpec]:
    """Open the plain picture of a JPEG with a gain map, which OpenImageIO would merge, and what it says of it."""
    with _plain_jpeg(path) as plain:
        opened = oiio.ImageInput.open(plain.name)
        if opened is None:
            raise damaged(path, oiio.geterror())
        spec = opened.spec()

    def decode() -> np.ndarray:
        with _plain_jpeg(path) as plain:
            source = oiio.ImageInput.open(plain.name)
            pixels = source and source.read_image(0, 0, 0, spec.nchannels, "uint8")
            if source is None or pixels is None:
                raise damaged(path, source.geterror() if source else oiio.geterror())
            source.close()
        return reorient(pixels, spec.get_int_attribute("Orientation", 1))

    turned = spec.get_int_attribute("Orientation", 1) >= 5
    wide, high = (spec.height, spec.width) if turned else (spec.width, spec.height)
    note = "the gain map (Ultra HDR) is left out, the picture for plain screens is kept"
    return Whole(decode, wide, high, spec.nchannels, note=note), spec


def _plain_jpeg(path: Path) -> Any:
    """Return a temporary file of the first JPEG stream of a file, without what follows it."""
    data = path.read_bytes()
    copy = tempfile.NamedTemporaryFile(suffix=".jpg")  # noqa: SIM115 - the caller closes it
    copy.write(data[: end_of_first_jpeg(data)])
    copy.flush()
    return copy


_SEARCHED_BYTES = 1 << 18
_MULTI_PICTURE = re.compile(rb"MPF\0(II\*\0|MM\0\*)")


def holds_more_jpegs(path: Path) -> bool:
    """Tell whether a JPEG says that there are more pictures behind it (CIPA DC-007, Multi-Picture Format)."""
    with path.open("rb") as file:
        return _MULTI_PICTURE.search(file.read(_SEARCHED_BYTES)) is not None


_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


def end_of_first_jpeg(data: bytes) -> int:
    """Return where the first JPEG stream of a file ends: behind its EOI marker (ITU-T T.81, annex B)."""
    at = 2
    while (found := _MARKER.search(data, at)) is not None:
        at, marker = found.end(), data[found.end() - 1]
        if marker == 0xD9:
            return at
        at += int.from_bytes(data[at : at + 2], "big")
    return len(data)


def reorient(rows: np.ndarray, orientation: int) -> np.ndarray:
    """Turn a picture upright; `orientation` is EXIF's, 1 to 8."""
    if orientation >= 5:
        rows = rows.transpose(1, 0, 2)
    # Stored row 0 is the right or bottom side for these values (EXIF 2.3, table 6), counted after the transposition.
    if orientation in (3, 4, 7, 8):
        rows = rows[::-1]
    if orientation in (2, 3, 6, 7):
        rows = rows[:, ::-1]
    return np.ascontiguousarray(rows)


def _pillow(path: Path) -> Any:
    import warnings

    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(path)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise damaged(path, str(error)) from error


def _profile(info: dict[str, Any]) -> bytes | None:
    return info.get("icc_profile") or None


def _full_scale(codes: np.ndarray, bits: int) -> np.ndarray:
    """Return codes of `bits` bits over all of uint16."""
    top = (1 << bits) - 1
    return ((codes.astype(np.uint32) * 65535 + top // 2) // top).astype(np.uint16)


def _avif_bits(path: Path) -> int:
    """Return the bits of an AVIF's samples as its AV1 configuration says (AV1 in ISOBMFF, section 2.3.3)."""
    with path.open("rb") as file:
        start = file.read(1 << 16)
    at = start.find(b"av1C")
    if at < 0 or at + 7 > len(start):
        return 8
    flags = start[at + 6]
    return (12 if flags & 0x20 else 10) if flags & 0x40 else 8
