"""EXIF, XMP and a colour profile put into a finished AVIF file whose encoder takes none (ISO/IEC 14496-12, 23008-12).

Beside the coded picture, a file holds *items*: `iinf` lists them, `iloc` says where their bytes lie, `iref` what they
describe; `iprp` holds properties such as the profile, and which item has which.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ganvas.io.pictures.boxes import box

_XMP_TYPE = b"application/rdf+xml"


def put_items(data: bytes, exif: bytes = b"", xmp: bytes = b"", profile: bytes = b"") -> bytes:
    """Return a file of one picture with metadata added.

    Args:
        data: the file, as libavif writes it.
        exif: a block that begins with its TIFF header.
        xmp: a packet.
        profile: an ICC profile.

    Raises:
        ValueError: the file is laid out in a way that is not known here.
    """
    stored = dict(_boxes(data))[b"meta"]
    parts = dict(_boxes(stored[4:]))
    primary, places = int.from_bytes(parts[b"pitm"][4:6], "big"), _places(parts[b"iloc"])
    # An EXIF item begins with the offset of the TIFF header in what follows.
    fresh = [(b"Exif", b"\0\0\0\0" + exif)] if exif else []
    fresh += [(b"mime", xmp)] if xmp else []
    items = dict(enumerate(fresh, max(places) + 1))
    if items:
        described = b"".join(box(b"cdsc", struct.pack(">3H", item, 1, primary)) for item in items)
        parts[b"iref"] = parts.get(b"iref", bytes(4)) + described
        parts[b"iinf"] = _listed(parts[b"iinf"], {item: kind for item, (kind, _) in items.items()})
    if profile:
        parts[b"iprp"] = _with_profile(parts[b"iprp"], primary, profile)

    def meta(moved: int, end: int) -> bytes:
        """Return the box where all that was there moved by so many bytes, and the items begin at `end`."""
        found = {item: [(start + moved, size) for start, size in spans] for item, spans in places.items()}
        for item, (_, content) in items.items():
            found[item] = [(end, len(content))]
            end += len(content)
        contents = {**parts, b"iloc": _located(found)}
        return box(b"meta", bytes(4) + b"".join(box(kind, content) for kind, content in contents.items()))

    # Every offset has four bytes, so that the length does not depend on what they are.
    moved = len(meta(0, 0)) - len(box(b"meta", stored))
    fitting = meta(moved, len(data) + moved + 8)
    changed = b"".join(fitting if kind == b"meta" else box(kind, content) for kind, content in _boxes(data))
    return changed + (box(b"mdat", b"".join(content for _, content in items.values())) if items else b"")


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of each box."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8 or at + size > len(data):
            raise ValueError(f"a box {kind!r} of {size} bytes")
        yield kind, data[at + 8 : at + size]
        at += size


def _places(iloc: bytes) -> dict[int, list[tuple[int, int]]]:
    """Return where each item's bytes lie: (offset, length) of its parts."""
    if iloc[:6] != bytes((0, 0, 0, 0, 0x44, 0)):
        raise ValueError("places of items of another form than four bytes each")
    count, at, found = int.from_bytes(iloc[6:8], "big"), 8, {}
    for _ in range(count):
        item, _, spans = struct.unpack_from(">3H", iloc, at)
        found[item] = [struct.unpack_from(">2I", iloc, at + 6 + 8 * n) for n in range(spans)]
        at += 6 + 8 * spans
    return found


def _located(places: dict[int, list[tuple[int, int]]]) -> bytes:
    text = bytes((0, 0, 0, 0, 0x44, 0)) + struct.pack(">H", len(places))
    for item, spans in places.items():
        text += struct.pack(">3H", item, 0, len(spans)) + b"".join(struct.pack(">2I", *span) for span in spans)
    return text


def _listed(iinf: bytes, items: dict[int, bytes]) -> bytes:
    count = int.from_bytes(iinf[4:6], "big") + len(items)
    added = b""
    for item, kind in items.items():
        text = b"\2\0\0\0" + struct.pack(">2H4s", item, 0, kind) + b"\0"
        added += box(b"infe", text + (_XMP_TYPE + b"\0" if kind == b"mime" else b""))
    return iinf[:4] + struct.pack(">H", count) + iinf[6:] + added


def _with_profile(iprp: bytes, primary: int, profile: bytes) -> bytes:
    parts = dict(_boxes(iprp))
    number = sum(1 for _ in _boxes(parts[b"ipco"])) + 1
    links = parts[b"ipma"]
    if links[:4] != bytes(4) or number > 127:
        raise ValueError("properties of items of another form than one byte each")
    at, text = 8, links[:8]
    for _ in range(int.from_bytes(links[4:8], "big")):
        item, count = struct.unpack_from(">HB", links, at)
        own = links[at + 3 : at + 3 + count]
        own = bytes([number]) + own if item == primary else own
        text += struct.pack(">HB", item, len(own)) + own
        at += 3 + count
    return box(b"ipco", parts[b"ipco"] + box(b"colr", b"prof" + profile)) + box(b"ipma", text)
