"""EXIF, XMP and IPTC carried from file to file by exiv2, byte for byte where nothing about the new picture forbids it.

Only what describes the stored pixels changes: orientation, size, thumbnail, gain map.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganvas.io.pictures.boxes import put_boxes, put_metadata
from ganvas.io.pictures.paths import plain, plain_beside

READ = frozenset({"jpeg", "png", "tiff", "webp", "jpegxl", "psd", "jpeg2000", "heif", "avif"})
"""Formats whose metadata exiv2 reads."""
WRITTEN = frozenset({"jpeg", "png", "tiff", "webp", "jpegxl"})
"""Formats into which metadata is carried after the pixels are written."""
ENCODED = frozenset({"avif", "heif"})
"""Formats that take metadata while they are encoded."""
INSTALL = "pip install 'ganvas[pictures]'"

# exiv2 rewrites a TIFF in memory, knows no BigTIFF, and takes the second page of a TIFF for a thumbnail.
_LARGEST_TIFF_BYTES = 1 << 30

_STRUCTURE = re.compile(
    r"Exif\.Image\.(NewSubfileType|SubfileType|ImageWidth|ImageLength|BitsPerSample|Compression|Photometric\w+"
    r"|FillOrder|Strip\w+|RowsPerStrip|SamplesPerPixel|MinSampleValue|MaxSampleValue|PlanarConfiguration|Free\w+"
    r"|Gray\w+|Predictor|ColorMap|HalftoneHints|Tile\w+|SubIFDs|ExtraSamples|SampleFormat|S(Min|Max)SampleValue"
    r"|JPEG\w+|YCbCr\w+|ReferenceBlackWhite|Ink\w+|NumberOfInks|DotRange|Indexed|InterColorProfile|TransferFunction"
    r"|XMLPacket|IPTCNAA|ImageResources|ExifTag|GPSTag|0xc61[a-f]|0x84e3|0xa480|0xa481)$"
    r"|Exif\.(Thumbnail|SubImage\d|SubThumb\d|Image[2-9]|MpfInfo)\."
)
_XMP_STALE = re.compile(
    r"Xmp\.(tiff\.(ImageWidth|ImageLength|BitsPerSample|Compression|Photometric\w+|SamplesPerPixel|Planar\w+|YCbCr\w+)"
    r"|exif\.Pixel[XY]Dimension|xmp\.Thumbnails|hdrgm\.|Container\.|GContainer\.|Item\.|HDRGainMap\.|apdi\.)"
)
_PLAIN = {
    "ImageDescription": "Exif.Image.ImageDescription",
    "Artist": "Exif.Image.Artist",
    "Copyright": "Exif.Image.Copyright",
    "DateTime": "Exif.Image.DateTime",
    "Software": "Exif.Image.Software",
    "Make": "Exif.Image.Make",
    "Model": "Exif.Image.Model",
    "DocumentName": "Exif.Image.DocumentName",
    "HostComputer": "Exif.Image.HostComputer",
}
"""Names that OpenImageIO gives to texts of every format -> where EXIF keeps them."""
_IPTC_AS_XMP = {
    "ObjectName": "Xmp.dc.title",
    "Keywords": "Xmp.dc.subject",
    "Caption": "Xmp.dc.description",
    "Byline": "Xmp.dc.creator",
    "Copyright": "Xmp.dc.rights",
    "Headline": "Xmp.photoshop.Headline",
    "Credit": "Xmp.photoshop.Credit",
    "Source": "Xmp.photoshop.Source",
    "City": "Xmp.photoshop.City",
    "ProvinceState": "Xmp.photoshop.State",
    "CountryName": "Xmp.photoshop.Country",
    "SpecialInstructions": "Xmp.photoshop.Instructions",
    "Writer": "Xmp.photoshop.CaptionWriter",
    "BylineTitle": "Xmp.photoshop.AuthorsPosition",
}
"""IPTC's data sets -> the properties that stand for them (IPTC Photo Metadata Standard), for formats without IPTC."""


@dataclass
class Records:
    """What exiv2 found in a file, cleaned of all that is only true of that file."""

    exif: Any
    xmp: Any
    iptc: Any
    comment: str
    lost: tuple[str, ...] = ()
    """What could not be read."""

    @property
    def is_empty(self) -> bool:
        return self.exif.empty() and self.xmp.empty() and self.iptc.empty() and not self.comment


def is_available() -> bool:
    """Tell whether exiv2 is installed."""
    return importlib.util.find_spec("exiv2") is not None


def _exiv2() -> Any:
    library = importlib.import_module("exiv2")
    # It prints what it finds odd in other people's files.
    library.LogMsg.setLevel(library.LogMsg.Level.mute)
    return library


def read_records(path: Path | None, width: int, height: int) -> Records:
    """Return a file's metadata as a picture of `width` x `height` shall have it, upright and without thumbnail."""
    library = _exiv2()
    if path is None:
        return Records(library.ExifData(), library.XmpData(), library.IptcData(), "")
    try:
        image = library.ImageFactory.open(plain(path))
        image.readMetadata()
    except library.Exiv2Error as error:
        why = f"its EXIF, XMP and IPTC could not be read ({error.args[-1]})"
        return Records(library.ExifData(), library.XmpData(), library.IptcData(), "", (why,))
    exif, xmp, iptc = image.exifData(), image.xmpData(), image.iptcData()
    _erase(exif, lambda key: bool(_STRUCTURE.match(key)))
    _erase(xmp, lambda key: bool(_XMP_STALE.match(key)))
    if any(datum.key() == "Exif.Image.ImageDescription" and is_shape(datum.toString()) for datum in exif):
        _erase(exif, lambda key: key == "Exif.Image.ImageDescription")
    for key, value in (("Exif.Photo.PixelXDimension", width), ("Exif.Photo.PixelYDimension", height)):
        if _has(exif, key):
            exif[key] = library.ULongValue([value])
    if _has(exif, "Exif.Image.Orientation"):
        exif["Exif.Image.Orientation"] = library.UShortValue([1])
    if _has(xmp, "Xmp.tiff.Orientation"):
        xmp["Xmp.tiff.Orientation"] = "1"
    return Records(exif, xmp, iptc, readable(image.comment()))


def readable(text: str) -> str:
    """Return a text whose bytes are no UTF-8 as the Latin-1 that PNG demands and old cameras wrote."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("latin-1")
    return text


def is_shape(description: str) -> bool:
    """Tell whether a description is what tifffile and ImageJ write of the stored array, untrue of any other."""
    return description.startswith(('{"shape":', "ImageJ="))


def add_texts(records: Records, metadata: Sequence[tuple[str, str, Any]]) -> None:
    """Put texts that formats keep in ways of their own where EXIF has them."""
    library = _exiv2()
    for name, _, value in metadata:
        key = _PLAIN.get(name)
        if key and isinstance(value, str) and value.strip() and not _has(records.exif, key):
            records.exif[key] = library.AsciiValue(value)
    if records.comment and not _has(records.exif, "Exif.Image.ImageDescription"):
        records.exif["Exif.Image.ImageDescription"] = library.AsciiValue(records.comment)


LARGEST_PNG_BYTES = 1 << 28
"""exiv2 holds a PNG whole while it writes metadata; into larger files they are put as they stream by."""


def write_records(path: Path, name: str, records: Records) -> tuple[str, ...]:
    """Put metadata into a finished file of the format `name`; return what is left out and why."""
    if name == "jpegxl":
        blocks, left_out = encode(records)
        put_boxes(path, [(kind, data) for kind, data in ((b"Exif", blocks[0]), (b"xml ", blocks[1])) if data])
        return left_out
    if name == "tiff" and path.stat().st_size > _LARGEST_TIFF_BYTES:
        return ("EXIF and XMP that OpenImageIO does not know are left out of a TIFF of more than 1 GB",)
    if name == "png" and path.stat().st_size > LARGEST_PNG_BYTES:
        blocks, left_out = encode(records)
        put_metadata(path, *blocks)
        return left_out
    library = _exiv2()
    notes: list[str] = []
    try:
        image = library.ImageFactory.open(plain_beside(path))
        image.readMetadata()
        exif = image.exifData()
        for datum in records.exif:
            exif[datum.key()] = datum.value()
        image.setExifData(exif)
        xmp = records.xmp
        if name == "webp":
            notes += iptc_into_xmp(records)
        elif not records.iptc.empty():
            image.setIptcData(records.iptc)
        if not xmp.empty():
            image.setXmpData(xmp)
        if records.comment and name == "jpeg":
            image.setComment(records.comment)
        image.writeMetadata()
    except library.Exiv2Error as error:
        notes.append(f"EXIF, XMP and IPTC are left out ({error.args[-1]})")
    return (*records.lost, *notes)


def encode(records: Records) -> tuple[tuple[bytes, bytes], tuple[str, ...]]:
    """Return metadata as a block of EXIF and a packet of XMP, each empty where there is none, and notes."""
    library = _exiv2()
    notes = iptc_into_xmp(records)
    # Where these formats keep blocks, the codestream alone says how the picture is turned.
    _erase(records.exif, lambda key: key == "Exif.Image.Orientation")
    block = packet = b""
    if not records.exif.empty():
        # The binding encodes EXIF into files only; in a PNG the block stands as it is.
        image = library.ImageFactory.create(library.ImageType.png)
        image.setExifData(records.exif)
        image.writeMetadata()
        stream = image.io()
        stream.open()
        file = bytes(stream.mmap())
        at = file.find(b"eXIf")
        block = file[at + 4 : at + 4 + int.from_bytes(file[at - 4 : at], "big")] if at > 0 else b""
    if not records.xmp.empty():
        packet = library.XmpParser.encode(records.xmp)[1].encode()
    return (block, packet), (*records.lost, *notes)


def iptc_into_xmp(records: Records) -> list[str]:
    """Say in XMP what IPTC says, for formats without a place for it; return what XMP has no name for."""
    lost = []
    for datum in records.iptc:
        name = datum.key().rpartition(".")[2]
        key = _IPTC_AS_XMP.get(name)
        if key is None:
            if name not in ("RecordVersion", "CharacterSet", "ModelVersion"):
                lost.append(name)
        elif key == "Xmp.dc.subject" or not _has(records.xmp, key):
            text = datum.toString()
            if not any(item.key() == key and text in item.toString() for item in records.xmp):
                _add_xmp(records.xmp, key, text)
    return [f"IPTC without a place in XMP is left out: {', '.join(dict.fromkeys(lost))}"] if lost else []


def _add_xmp(xmp: Any, key: str, text: str) -> None:
    library = _exiv2()
    if key == "Xmp.dc.subject":
        held = [item.value() for item in xmp if item.key() == key]
        value = held[0] if held else library.XmpArrayValue(library.TypeId.xmpBag)
        value.read(text)
        xmp[key] = value
    else:
        xmp[key] = text


def _has(data: Any, key: str) -> bool:
    return any(datum.key() == key for datum in data)


def _erase(data: Any, is_stale: Any) -> None:
    at = data.begin()
    while at != data.end():
        at = data.erase(at) if is_stale(at.key()) else next_of(at)


def next_of(at: Any) -> Any:
    """Return an iterator of exiv2 moved by one."""
    next(at)
    return at
