"""Boxes of JPEG XL (ISO/IEC 18181-2) and texts of PNG put into finished files, whose pixels stay as they are."""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

_SIGNATURE = b"\0\0\0\x0cJXL \r\n\x87\n"
_FILE_TYPE = b"\0\0\0\x14ftypjxl \0\0\0\0jxl "
_CODESTREAM = b"\xff\x0a"


def put_boxes(path: Path, boxes: Sequence[tuple[bytes, bytes]]) -> None:
    """Append boxes to a JPEG XL file, wrapping a bare codestream; those of the same kinds are replaced.

    A file that would still be tiny is filled up, as OpenImageIO 3.2 reads none of less than 128 bytes.
    """
    data = path.read_bytes()
    if data.startswith(_CODESTREAM):
        data = _SIGNATURE + _FILE_TYPE + box(b"jxlc", data)
    kinds = {kind for kind, _ in boxes}
    kept = b"".join(whole for kind, whole in _walk(data) if kind not in kinds)
    # An EXIF box begins with the offset of the TIFF header in what follows.
    fresh = (box(kind, (b"\0\0\0\0" if kind == b"Exif" else b"") + content) for kind, content in boxes)
    data = kept + b"".join(fresh)
    path.write_bytes(data + (box(b"free", bytes(128)) if len(data) < 128 else b""))


def box(kind: bytes, content: bytes) -> bytes:
    """Return a box: its length, its kind, its content."""
    size = len(content) + 8
    if size < 1 << 32:
        return size.to_bytes(4, "big") + kind + content
    return (1).to_bytes(4, "big") + kind + (size + 8).to_bytes(8, "big") + content


def _walk(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return all boxes whole, each with its kind."""
    found, at = [], 0
    while at + 8 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        end = len(data) if size == 0 else at + size
        whole = data[at:end]
        # A box may be packed by Brotli, its kind inside.
        kind = whole[8:12] if kind == b"brob" else kind
        # A box without a length reaches to the end of the file, where another one is to stand.
        found.append((kind, box(whole[4:8], whole[8:]) if size == 0 else whole))
        at = end
    return found


_PNG_HEADER_BYTES = 8 + 25
_PNG_KEYWORDS = {"Artist": "Author", "ImageDescription": "Description", "DocumentName": "Title"}


def put_texts(path: Path, texts: Mapping[str, str]) -> None:
    """Add texts of any characters to a PNG as iTXt, which says that they are UTF-8 (PNG, section 11.3.3.4)."""
    chunks = b""
    for name, text in texts.items():
        keyword = _PNG_KEYWORDS.get(name, name).encode("latin-1", "replace")[:79]
        body = b"iTXt" + keyword + b"\0\0\0\0\0" + text.encode()
        chunks += _chunk(body)
    _insert(path, chunks, frozenset())


XMP = b"iTXtXML:com.adobe.xmp\0"


def put_metadata(path: Path, exif: bytes, xmp: bytes) -> None:
    """Put a block of EXIF and a packet of XMP, where they are not empty, into a PNG in place of those it has.

    Unlike libraries that hold the whole file, this takes no memory to speak of.
    """
    given = {b"eXIf": exif and b"eXIf" + exif, XMP: xmp and XMP + b"\0\0\0\0" + xmp}
    bodies = {kind: body for kind, body in given.items() if body}
    _insert(path, b"".join(map(_chunk, bodies.values())), bodies.keys())


def _chunk(body: bytes) -> bytes:
    return (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")


def _insert(path: Path, chunks: bytes, replaced: Collection[bytes]) -> None:
    """Write chunks behind a PNG's header, and leave out those before its pixels that begin as one that is replaced."""
    copy = path.with_name(f"{path.name}t")
    try:
        with path.open("rb") as source, copy.open("wb") as target:
            target.write(source.read(_PNG_HEADER_BYTES) + chunks)
            head = source.read(8)
            while head and head[4:] not in (b"IDAT", b"IEND"):
                rest = source.read(int.from_bytes(head[:4], "big") + 4)
                if not any((head[4:] + rest).startswith(kind) for kind in replaced):
                    target.write(head + rest)
                head = source.read(8)
            target.write(head)
            shutil.copyfileobj(source, target, 1 << 20)
        os.replace(copy, path)  # noqa: PTH105 - one call for both names
    finally:
        copy.unlink(missing_ok=True)
