"""Formats that OpenImageIO does not write, with its manner of writing: AVIF, HEIC and DDS."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import OpenImageIO as oiio  # noqa: N813 - as its own documentation does

from ganvas.errors import need
from ganvas.io.pictures.heif_items import put_items

EXTRA = "pictures"


class WholeOutput:
    """Rows gathered until the last one came, and then encoded; used as an `oiio.ImageOutput` is."""

    def __init__(self, encode: Callable[[Path, np.ndarray, oiio.ImageSpec], None]) -> None:
        self._encode = encode
        self._rows: list[np.ndarray] = []
        self._complaint = ""

    @property
    def has_error(self) -> bool:
        return bool(self._complaint)

    def geterror(self) -> str:
        """Return what went wrong, once."""
        text, self._complaint = self._complaint, ""
        return text

    def open(self, path: str, spec: oiio.ImageSpec) -> bool:
        """Begin a file."""
        self._path, self._spec = Path(path), spec
        return True

    def write_scanlines(self, _start: int, _stop: int, _z: int, rows: np.ndarray) -> bool:
        """Take rows."""
        self._rows.append(rows.copy())
        return True

    def close(self) -> bool:
        """Encode the picture, unless rows are missing."""
        rows, self._rows = self._rows, []
        if sum(map(len, rows)) != self._spec.height:
            return True
        try:
            self._encode(self._path, np.concatenate(rows), self._spec)
        except (OSError, ValueError, RuntimeError) as error:
            self._complaint = str(error) or type(error).__name__
        return not self._complaint


def create(name: str) -> WholeOutput | oiio.ImageOutput | None:
    """Return what writes a format, or None.

    Raises:
        UserError: the extra that writes it is not installed.
    """
    if name == "avif":
        need("PIL.Image", EXTRA), need("imagecodecs", EXTRA)
        return WholeOutput(_encode_avif)
    if name == "heif":
        need("pillow_heif", EXTRA)
        return WholeOutput(_encode_heif)
    if name == "dds":
        need("etcpak", EXTRA)
        return WholeOutput(_encode_dds)
    return oiio.ImageOutput.create(name)


WHOLE = frozenset({"avif", "heif", "dds"})
_SRGB = {"primaries": 1, "transfer": 13, "matrix": 6}
"""Code points of ITU-T H.273 for what pictures without a profile are, and how libavif makes YUV of it."""


def _quality_of(spec: oiio.ImageSpec) -> int:
    return int(spec.get_string_attribute("compression", "avif:95").rpartition(":")[2])


def _described(spec: oiio.ImageSpec) -> dict[str, bytes]:
    """Return the blocks that go along with the pixels: `icc_profile`, `exif`, `xmp`."""
    names = {"icc_profile": "ICCProfile", "exif": "ganvas:exif", "xmp": "ganvas:xmp"}
    found = {key: spec.getattribute(name) for key, name in names.items()}
    return {key: np.asarray(block, np.uint8).tobytes() for key, block in found.items() if block is not None}


def _coded(rows: np.ndarray, bits: int) -> np.ndarray:
    """Return uint16 rows as codes of so many bits."""
    return ((rows.astype(np.uint32) * ((1 << bits) - 1) + 32767) // 65535).astype(np.uint16)


def _encode_avif(path: Path, rows: np.ndarray, spec: oiio.ImageSpec) -> None:
    from PIL import Image

    blocks, quality = _described(spec), _quality_of(spec)
    sampling = "4:4:4" if quality >= 90 else "4:2:0"
    if rows.dtype == np.uint8:
        Image.fromarray(rows).save(path, "AVIF", quality=quality, subsampling=sampling, **blocks)
        return
    codecs, bits = need("imagecodecs", EXTRA), spec.get_int_attribute("oiio:BitsPerSample", 12)
    codes, form = _coded(rows, bits), sampling.replace(":", "")
    data = codecs.avif_encode(codes, quality, bitspersample=bits, pixelformat=form, **_SRGB)
    path.write_bytes(put_items(data, blocks.get("exif", b""), blocks.get("xmp", b""), blocks.get("icc_profile", b"")))


def _encode_heif(path: Path, rows: np.ndarray, spec: oiio.ImageSpec) -> None:
    import pillow_heif

    blocks, quality = _described(spec), _quality_of(spec)
    deep, bits = rows.dtype == np.uint16, spec.get_int_attribute("oiio:BitsPerSample", 12)
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[rows.shape[2]] + (";16" if deep else "")
    # The library keeps the highest bits.
    stored = _coded(rows, bits) << (16 - bits) if deep else rows
    picture = pillow_heif.from_bytes(mode, (rows.shape[1], rows.shape[0]), np.ascontiguousarray(stored).tobytes())
    if "exif" in blocks:
        blocks["exif"] = b"Exif\0\0" + blocks["exif"]
    if "icc_profile" in blocks:
        picture.info.update(icc_profile=blocks.pop("icc_profile"), icc_profile_type="prof")
    pillow_heif.options.SAVE_HDR_TO_12_BIT = bits == 12
    picture.save(path, quality=-1 if quality == 100 else quality, chroma=444 if quality >= 90 else 420, **blocks)


# DDS: a header, then each level of detail as blocks of 4 x 4 pixels (Microsoft, "DDS file layout for textures")

_BLOCKS = {"bc1": (71, "compress_bc1"), "bc3": (77, "compress_bc3"), "bc4": (80, "compress_bc4")}
_BLOCKS |= {"bc5": (83, "compress_bc5"), "bc7": (98, "compress_bc7")}
"""Compression -> its DXGI number and etcpak's function."""
_OLD_NAMES = {"dxt1": "bc1", "dxt2": "bc3", "dxt3": "bc3", "dxt4": "bc3", "dxt5": "bc3"}
_RAW = {1: 61, 3: 28, 4: 28}
"""Channels -> DXGI number of R8 and R8G8B8A8."""


def _encode_dds(path: Path, rows: np.ndarray, spec: oiio.ImageSpec) -> None:
    name = spec.get_string_attribute("compression", "bc7").lower()
    kind = _OLD_NAMES.get(name, name)
    kind = "bc4" if kind == "bc7" and rows.shape[2] == 1 else kind
    levels = _levels(rows)
    number = _BLOCKS[kind][0] if kind in _BLOCKS else _RAW[rows.shape[2]]
    data = [_blocks(level, kind) if kind in _BLOCKS else _raw(level) for level in levels]
    flags = 0x1 | 0x2 | 0x4 | 0x1000 | 0x20000 | (0x80000 if kind in _BLOCKS else 0x8)
    pitch = len(data[0]) if kind in _BLOCKS else len(data[0]) // len(rows)
    height, width = rows.shape[:2]
    head = struct.pack("<4s7I44x", b"DDS ", 124, flags, height, width, pitch, 1, len(levels))
    head += struct.pack("<2I4s5I", 32, 0x4, b"DX10", 0, 0, 0, 0, 0)
    head += struct.pack("<5I", 0x401008, 0, 0, 0, 0) + struct.pack("<5I", number, 3, 0, 1, 0)
    path.write_bytes(head + b"".join(data))


def _levels(rows: np.ndarray) -> list[np.ndarray]:
    """Return the picture and its halves down to one pixel, each the mean of the one before over its pixels."""
    levels = [rows]
    while max(levels[-1].shape[:2]) > 1:
        high, wide = (max(1, side // 2) for side in levels[-1].shape[:2])
        buffer = oiio.ImageBuf(np.ascontiguousarray(levels[-1]))
        half = oiio.ImageBufAlgo.resize(buffer, "box", roi=oiio.ROI(0, wide, 0, high, 0, 1, 0, rows.shape[2]))
        levels.append(np.asarray(half.get_pixels(oiio.UINT8)).reshape(high, wide, rows.shape[2]))
    return levels


def _blocks(level: np.ndarray, kind: str) -> bytes:
    compress = getattr(need("etcpak", EXTRA), _BLOCKS[kind][1])
    down, across = -level.shape[0] % 4, -level.shape[1] % 4
    padded = np.pad(_rgba(level), ((0, down), (0, across), (0, 0)), mode="edge")
    return compress(padded.tobytes(), padded.shape[1], padded.shape[0])


def _raw(level: np.ndarray) -> bytes:
    return (level if level.shape[2] == 1 else _rgba(level)).tobytes()


def _rgba(level: np.ndarray) -> np.ndarray:
    if level.shape[2] == 4:
        return level
    colours = np.repeat(level, 3, axis=2) if level.shape[2] == 1 else level
    return np.concatenate([colours, np.full_like(colours[..., :1], 255)], axis=2)
