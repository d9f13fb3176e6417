"""Metadata goes from file to file: read back by exiftool where it is installed, and by Pillow."""

from __future__ import annotations

import io
import json
import shutil
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ganvas.io.pictures import images, metadata
from ganvas.io.pictures.boxes import box, put_boxes

CARRYING = ["jpg", "png", "tif", "webp", "jxl", "avif", "heic"]
PIXELS = np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:my="http://example.org/my/1.0/" my:own="kept">'
    '<dc:title><rdf:Alt><rdf:li xml:lang="x-default">A title</rdf:li></rdf:Alt></dc:title>'
    "</rdf:Description></rdf:RDF></x:xmpmeta>"
)


def photograph(path: Path) -> Path:
    """Write a picture as a camera would: EXIF with GPS, ISO and a thumbnail's orientation, XMP, IPTC, a comment."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "Maker"
    exif[0x8298] = "© Someone".encode()
    exif.get_ifd(0x8769).update({0x8827: 200, 0x9003: "2024:01:02 03:04:05", 0xA002: 32, 0xA003: 24})
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0hello"
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 30.0, 0.0)})
    Image.fromarray(PIXELS).save(path, exif=exif, xmp=XMP.encode(), quality=95)
    if path.suffix == ".jpg":
        records = b"".join(
            b"\x1c\x02" + bytes([kind, 0, len(text)]) + text for kind, text in ((25, b"key"), (90, b"Ulm"))
        )
        resource = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(records)) + records + b"\0" * (len(records) % 2)
        body = b"Photoshop 3.0\0" + resource
        data = path.read_bytes()
        path.write_bytes(data[:2] + b"\xff\xed" + struct.pack(">H", len(body) + 2) + body + data[2:])
    return path


def exiftool(path: Path) -> dict[str, object]:
    if not shutil.which("exiftool"):
        pytest.skip("exiftool is not installed")
    told = subprocess.run(["exiftool", "-j", "-G1", "-a", "-n", str(path)], capture_output=True, text=True, check=True)
    return json.loads(told.stdout)[0]


def rewritten(source: Path, target: Path) -> Path:
    with images.Reader(source) as reader:
        header = reader.header
        return images.write(target, reader.rows(0, header.height), header)


@pytest.mark.parametrize("suffix", CARRYING)
def test_exif_xmp_and_iptc_reach_every_format(tmp_path, suffix):
    path = rewritten(photograph(tmp_path / "in.jpg"), tmp_path / f"out.{suffix}")
    facts = exiftool(path)
    assert facts["ExifIFD:ISO"] == 200 and facts["ExifIFD:DateTimeOriginal"] == "2024:01:02 03:04:05"
    assert facts["ExifIFD:UserComment"] == "hello" and facts["IFD0:Copyright"] == "© Someone"
    assert facts["GPS:GPSLatitude"] == 48.5 and facts["GPS:GPSLatitudeRef"] == "N"
    assert facts["XMP-dc:Title"] == "A title" and facts["XMP-my:Own"] == "kept"
    if suffix in ("webp", "jxl", "avif", "heic"):
        assert facts["XMP-dc:Subject"] == "key" and facts["XMP-photoshop:City"] == "Ulm"
    else:
        assert facts["IPTC:Keywords"] == "key" and facts["IPTC:City"] == "Ulm"
    # The picture is upright now, and has its own size.
    assert facts.get("IFD0:Orientation", 1) == 1
    assert (facts["ExifIFD:ExifImageWidth"], facts["ExifIFD:ExifImageHeight"]) == (24, 32)


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_pillow_reads_what_was_carried(tmp_path, suffix):
    path = rewritten(photograph(tmp_path / "in.jpg"), tmp_path / f"out.{suffix}")
    with Image.open(path) as picture:
        exif = picture.getexif()
        assert exif.get_ifd(0x8769)[0x8827] == 200 and exif[0x010F] == "Maker" and exif.get(0x0112, 1) == 1
        assert np.array_equal(np.asarray(picture.convert("RGB")), images.read(path)[0])


@pytest.mark.parametrize("first", ["png", "tif", "webp", "jxl", "avif", "heic"])
@pytest.mark.parametrize("second", ["jpg", "png", "tif", "webp", "jxl", "avif", "heic"])
def test_metadata_survives_every_pairing(tmp_path, first, second):
    between = rewritten(photograph(tmp_path / "in.jpg"), tmp_path / f"a.{first}")
    facts = exiftool(rewritten(between, tmp_path / f"b.{second}"))
    assert facts["ExifIFD:ISO"] == 200 and facts["GPS:GPSLatitude"] == 48.5 and facts["XMP-dc:Title"] == "A title"


@pytest.mark.parametrize("kind", ["float32", "uint16", "tiled"])
def test_pixels_of_a_tiff_are_untouched_by_its_metadata(tmp_path, kind):
    source = photograph(tmp_path / "in.jpg")
    header = images.read_header(source)
    pixels = images.from_float(images.to_float(images.read(source)[0]), "uint16" if kind == "uint16" else "float32")
    header = replace(header, dtype=pixels.dtype.name, bits=8 * pixels.itemsize)
    path = tmp_path / "out.tif"
    with images.Writer(path, header, 24, 32, tile_px=16 if kind == "tiled" else 0) as writer:
        writer.write_rows(pixels)
    assert np.array_equal(images.read(path)[0], pixels)
    with tifffile.TiffFile(path) as file:
        assert file.pages[0].tags[0x010F].value == "Maker"  # type: ignore[union-attr]


def latin_texts(folder: Path) -> list[Path]:
    picture = Image.fromarray(PIXELS)
    picture.save(folder / "comment.jpg", comment="Photoshop® 4.0".encode("latin-1"))
    exif = Image.Exif()
    exif[0x8298] = b"\xa9 2005 Me"
    picture.save(folder / "copyright.jpg", exif=exif)
    picture.save(folder / "artist.tif", tiffinfo={315: b"J\xf6rg"})
    text = PngInfo()
    text.add_text("Author", "Jörg")
    picture.save(folder / "text.png", pnginfo=text)
    return sorted(folder.iterdir())


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "jxl", "exr", "bmp", "dpx"])
def test_text_that_is_no_utf_8_costs_no_picture(tmp_path, suffix):
    (tmp_path / "in").mkdir()
    for path in latin_texts(tmp_path / "in"):
        images.read(rewritten_loosely(path, tmp_path / f"{path.stem}.{suffix}"))
    if suffix == "png":
        with Image.open(tmp_path / "text.png") as picture:
            assert picture.text["Author"] == "Jörg"
    if suffix == "jpg":
        with Image.open(tmp_path / "comment.jpg") as picture:
            assert picture.info["comment"].decode().rstrip("\0") == "Photoshop® 4.0"
        with Image.open(tmp_path / "copyright.jpg") as picture:
            assert b"\xa9 2005 Me" in picture.info["exif"]  # byte for byte


def rewritten_loosely(source: Path, target: Path) -> Path:
    array, header = images.read(source)
    return images.write(target, array, header, allow_loss=True)


def test_what_has_no_place_is_listed(tmp_path):
    text = PngInfo()
    text.add_text("parameters", "a prompt")
    Image.fromarray(PIXELS).save(tmp_path / "in.png", pnginfo=text)
    header = images.read_header(tmp_path / "in.png")
    for suffix in ("jpg", "webp", "jxl", "tif", "bmp"):
        assert "parameters" in images.Writer(tmp_path / f"a.{suffix}", header, 32, 24).target.note
    assert images.Writer(tmp_path / "a.png", header, 32, 24).target.note == ""
    header = images.read_header(photograph(tmp_path / "in.jpg"))
    note = images.Writer(tmp_path / "a.bmp", header, 32, 24).target.note
    assert "dc.title" in note and "Keywords" in note and "Make" in note


def test_boxes_replace_those_of_their_kind(tmp_path):
    Image.fromarray(PIXELS)
    path = images.write(tmp_path / "a.jxl", PIXELS)
    put_boxes(path, [(b"xml ", b"<a/>")])
    put_boxes(path, [(b"xml ", b"<b/>")])
    assert path.read_bytes().count(b"xml ") == 1 and b"<b/>" in path.read_bytes()
    assert np.array_equal(images.read(path)[0].shape, PIXELS.shape)
    assert box(b"xml ", b"abc") == b"\0\0\0\x0bxml abc"


def test_without_exiv2_the_loss_is_said(tmp_path, monkeypatch):
    from ganvas.io.pictures import metadata

    monkeypatch.setattr(metadata, "is_available", lambda: False)
    source = photograph(tmp_path / "in.jpg")
    header = images.read_header(source)
    assert "ganvas[pictures]" in images.Writer(tmp_path / "a.png", header, 24, 32).target.note
    note = images.Writer(tmp_path / "a.webp", header, 24, 32).target.note
    assert "Make" in note and "ganvas[pictures]" in note


def test_a_broken_block_of_exif_costs_no_picture(tmp_path):
    data = io.BytesIO()
    Image.fromarray(PIXELS).save(data, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff garbage", xmp=b"<no <xml")
    (tmp_path / "in.jpg").write_bytes(data.getvalue())
    for suffix in CARRYING:
        images.read(rewritten(tmp_path / "in.jpg", tmp_path / f"out.{suffix}"))


def test_large_pngs_get_the_metadata_of_small_ones_as_they_stream_by(tmp_path, monkeypatch):
    source = photograph(tmp_path / "in.jpg")
    small = rewritten(source, tmp_path / "small.png")
    monkeypatch.setattr(metadata, "LARGEST_PNG_BYTES", 0)
    large = rewritten(source, tmp_path / "large.png")
    with Image.open(small) as one, Image.open(large) as other:
        assert list(one.getdata()) == list(other.getdata())
        first, second = one.getexif(), other.getexif()
        assert second[0x010F] == first[0x010F] == "Maker"
        assert dict(second.get_ifd(0x8769)) == dict(first.get_ifd(0x8769))
        assert "A title" in other.info["XML:com.adobe.xmp"]
    data = large.read_bytes()
    assert data.count(b"eXIf") == data.count(b"XML:com.adobe.xmp") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jpg", "large.png", "small.png"]
