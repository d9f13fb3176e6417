"""File formats: which are read and written, which are refused with advice, and what a file's first bytes tell."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ganvas.errors import UserError

_SUFFIXES = {
    "png": ".png .apng",
    "jpeg": ".jpg .jpeg .jpe .jfif",
    "tiff": ".tif .tiff",
    "webp": ".webp",
    "exr": ".exr",
    "dpx": ".dpx",
    "targa": ".tga",
    "bmp": ".bmp .dib",
    "jpegxl": ".jxl",
    "hdr": ".hdr",
    "pnm": ".ppm .pgm .pnm .pbm .pfm",
    "dds": ".dds",
    "psd": ".psd .psb",
    "gif": ".gif",
    "jpeg2000": ".jp2 .j2k",
    "heif": ".heic .heif .hif",
    "avif": ".avif",
}
_NOT_WRITTEN = {"psd", "jpeg2000", "gif"}
_NOT_WRITTEN_SUFFIXES = {".pbm", ".pfm"}

READABLE: dict[str, str] = {suffix: name for name, text in _SUFFIXES.items() for suffix in text.split()}
"""File extension (lower case, with its dot) -> format name, for what `Reader` opens."""
WRITABLE: dict[str, str] = {
    suffix: name
    for suffix, name in READABLE.items()
    if name not in _NOT_WRITTEN and suffix not in _NOT_WRITTEN_SUFFIXES
}
"""File extension (lower case, with its dot) -> format name, for what `Writer` makes."""

ASKED_FOR: dict[str, str] = {".gif": "gif"}
"""What is written only where its name is given: its 256 colours lose what a GIF read as RGB gained."""

_FOREIGN = {
    ".dng .nef .cr2 .cr3 .crw .arw .orf .rw2 .raf .pef .srw .3fr .iiq .x3f": (
        "it is a camera's raw file, which must be developed first",
        "Export it as 16-bit TIFF from your raw developer, or: dcraw_emu -T -6 FILE",
    ),
    ".mp4 .mov .mkv .webm .avi .m4v .mxf .mpg .mpeg .wmv .ts": (
        "it is a video, not a picture",
        "Install the extra with: pip install 'ganvas[video]', or extract its frames: ffmpeg -i FILE frame%06d.png",
    ),
    ".svg .pdf .eps .ai": ("it is a vector drawing, which has no pixels", "Export it as PNG at the size you need"),
}
FOREIGN: dict[str, tuple[str, str]] = {suffix: text for key, text in _FOREIGN.items() for suffix in key.split()}
"""Extensions of files that look like pictures but are not read here -> (why, what to do)."""

SUPPORTED = f"Supported: {', '.join(READABLE)}"


def damaged(path: Path, message: str) -> UserError:
    """Return the error for a file whose content cannot be decoded."""
    reason = "; ".join(dict.fromkeys(line.strip() for line in message.splitlines() if line.strip()))
    reason = reason.replace(str(path), path.name)[:160]
    return UserError(
        f"Cannot read {path}",
        f"It is damaged, cut short or not a picture ({reason or 'no reason given by the decoder'})",
        "Get the file again from its source, or leave it out",
    )


@dataclass(frozen=True)
class Signs:
    interlaced: bool = False
    frames: int = 1
    opaque: bool = False
    brand: str = ""
    """"heif" or "avif", which another library decodes."""


def sniff(path: Path) -> Signs:
    """Check all that can be checked before a decoder sees the file, and read the signs of interlacing and animation."""
    refuse_foreign(path)
    if path.is_dir():
        raise UserError(
            f"Cannot read {path}", "It is a folder, not a picture", "Name a file in it, or the whole folder as an input"
        )
    if not path.exists():
        raise UserError(f"Cannot read {path}", "There is no such file", "Check the spelling and the folder")
    if path.suffix.lower() not in READABLE:
        raise UserError(f"Cannot read {path}", f"The extension {path.suffix!r} is not a supported picture's", SUPPORTED)
    try:
        with path.open("rb") as file:
            start = file.read(32)
            file.seek(0)
            return _read_signs(path, file, start)
    except (ArithmeticError, IndexError, ValueError, struct.error) as error:
        # A header that is cut off or says what no header says.
        raise damaged(path, str(error)) from error
    except OSError as error:
        raise UserError(f"Cannot read {path}", error.strerror or str(error), "Check the permissions") from error


def refuse_foreign(path: Path) -> None:
    """Raise for raw, video and vector files.

    Raises:
        UserError: the extension says that it is one of these.
    """
    if path.suffix.lower() in FOREIGN:
        why, advice = FOREIGN[path.suffix.lower()]
        raise UserError(f"Cannot read {path}", why[0].upper() + why[1:], advice.replace("FILE", path.name))


def _read_signs(path: Path, file: BinaryIO, start: bytes) -> Signs:
    if not start:
        raise UserError(
            f"Cannot read {path}", "It is empty (0 bytes)", "Get the file again from its source, or leave it out"
        )
    if start[4:8] == b"ftyp":
        return _brand_signs(path, file)
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png_signs(path, file)
    if start.startswith(b"\xff\xd8"):
        return Signs(interlaced=_is_progressive(file))
    if start[:6] in (b"GIF87a", b"GIF89a"):
        return _gif_signs(file)
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return _webp_signs(path, file)
    return Signs()


_BRANDS = {b"avif": "avif", b"avis": "avif"}
_BRANDS |= dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "heif")


def _brand_signs(path: Path, file: BinaryIO) -> Signs:
    """Tell HEIF from AVIF and from video by the brands that the file says it keeps to, the main one first."""
    length = int.from_bytes(file.read(4), "big")
    brands = file.read(max(0, min(length, 256) - 4))[4:]
    found = [_BRANDS[brand] for at in range(0, len(brands), 4) if (brand := brands[at : at + 4]) in _BRANDS]
    if not found:
        refuse_foreign(path.with_suffix(".mp4"))
    # "mif1" is a frame for either kind, so that the more particular brand decides.
    return Signs(interlaced=True, brand="avif" if "avif" in found else "heif")


def no_pixels(path: Path, width: int, height: int) -> UserError:
    return UserError(f"Cannot read {path}", f"The picture is {width} x {height} pixels: it has none", "Leave it out")


def _png_signs(path: Path, file: BinaryIO) -> Signs:
    """Walk the chunks: a picture cut short is found here, before the decoder prints complaints of its own."""
    size = path.stat().st_size
    interlaced, frames, at = False, 1, 8
    while at + 12 <= size:
        file.seek(at)
        head = file.read(8 + 13)
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if kind == b"IHDR":
            width, height = int.from_bytes(head[8:12], "big"), int.from_bytes(head[12:16], "big")
            if width < 1 or height < 1:
                raise no_pixels(path, width, height)
            interlaced = head[20] == 1
        elif kind == b"acTL":
            frames = max(1, int.from_bytes(head[8:12], "big"))
        elif kind == b"IEND":
            return Signs(interlaced, frames)
        at += 12 + length
    raise damaged(path, f"the file ends after {size} bytes, before its last chunk")


def _is_progressive(file: BinaryIO) -> bool:
    at = 2
    while True:
        file.seek(at)
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF:
            return False
        marker = head[1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return marker in (0xC2, 0xC6, 0xCA, 0xCE)
        at += 1 if marker == 0xFF else 2 + int.from_bytes(head[2:], "big")


def _gif_signs(file: BinaryIO) -> Signs:
    """Count the frames, and tell whether the first one has a transparent colour."""
    frames, transparent = 0, False
    _skip_palette(file, file.read(13)[10:11])
    while (mark := file.read(1)) in (b"!", b","):
        if mark == b",":
            frames += 1
            _skip_palette(file, file.read(9)[8:])
            file.read(1)
            _skip_blocks(file)
        elif file.read(1) == b"\xf9":
            control = _skip_blocks(file)
            transparent |= frames == 0 and bool(control[:1] and control[0] & 1)
        else:
            _skip_blocks(file)
    return Signs(interlaced=True, frames=max(1, frames), opaque=not transparent)


def _skip_palette(file: BinaryIO, flags: bytes) -> None:
    if flags and flags[0] & 0x80:
        file.seek(3 << ((flags[0] & 7) + 1), 1)


def _skip_blocks(file: BinaryIO) -> bytes:
    """Step over a chain of blocks; return the first."""
    first = b""
    while size := file.read(1):
        if size == b"\0":
            break
        block = file.read(size[0])
        first = first or block
    return first


def _webp_signs(path: Path, file: BinaryIO) -> Signs:
    frames, at, size = 0, 12, path.stat().st_size
    while at + 8 <= size:
        file.seek(at)
        head = file.read(8)
        frames += head[:4] == b"ANMF"
        length = int.from_bytes(head[4:], "little")
        at += 8 + length + (length & 1)
    return Signs(interlaced=True, frames=max(1, frames))
