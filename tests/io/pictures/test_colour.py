"""Colour models other than RGB, against LittleCMS as Pillow binds it, and formats that other libraries decode."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
import tifffile
from PIL import Image, ImageCms

from ganvas.io.pictures import colour, images
from ganvas.io.pictures.decoders import end_of_first_jpeg

INKS = np.random.default_rng(1).integers(0, 255, (16, 24, 4), dtype=np.uint8)


def cmyk_profile() -> bytes:
    """Return a printer's profile: a table of 16 corners from inks to CIELAB, as ICC.1:2001, section 6.5.8, has it."""
    grid = []
    for corner in range(16):
        c, m, y, k = (corner >> 3 & 1, corner >> 2 & 1, corner >> 1 & 1, corner & 1)
        light = 0.95 * (1 - 0.4 * c - 0.3 * m - 0.1 * y) * (1 - 0.85 * k)
        grid += [round(255 * light), 128 + round(-40 * c + 60 * m), 128 + round(-45 * c + 75 * y)]
    ramp = bytes(range(256))
    identity = struct.pack(">9i", *(65536 if i % 4 == 0 else 0 for i in range(9)))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + ramp * 4 + bytes(grid) + ramp * 3
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(4 + 4 + 2 + 1 + 67)
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    tags = [(b"desc", text), (b"wtpt", white), (b"A2B0", table), (b"A2B1", table), (b"cprt", b"text\0\0\0\0none\0")]
    at = 128 + 4 + 12 * len(tags)
    index, body = struct.pack(">I", len(tags)), b""
    for name, data in tags:
        data += b"\0" * (-len(data) % 4)
        index += name + struct.pack(">II", at + len(body), len(data))
        body += data
    head = struct.pack(">I4sI4s4s4s", at + len(body), b"test", 0x02400000, b"prtr", b"CMYK", b"Lab ")
    head += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(24) + struct.pack(">4x3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + index + body


def by_littlecms(inks: np.ndarray, profile: bytes) -> np.ndarray:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    transform = ImageCms.buildTransform(
        source, ImageCms.createProfile("sRGB"), "CMYK", "RGB", 1, ImageCms.Flags.BLACKPOINTCOMPENSATION
    )
    return np.asarray(ImageCms.applyTransform(Image.fromarray(inks, "CMYK"), transform))


def test_cmyk_tiff_becomes_srgb_through_its_profile(tmp_path):
    profile = cmyk_profile()
    Image.fromarray(INKS, "CMYK").save(tmp_path / "a.tif", icc_profile=profile)
    back, header = images.read(tmp_path / "a.tif")
    assert np.abs(back.astype(int) - by_littlecms(INKS, profile)).max() <= 1
    assert "profile" in header.note and header.channels == 3 and header.icc_profile is None


def test_cmyk_of_16_bits_keeps_them(tmp_path):
    deep = INKS.astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="separated", iccprofile=cmyk_profile())
    back, header = images.read(tmp_path / "a.tif")
    assert header.dtype == "uint16"
    assert np.abs(back / 257 - by_littlecms(INKS, cmyk_profile())).max() <= 1.5
    assert (back % 257 != 0).any()


def test_cmyk_jpeg_becomes_srgb_through_its_profile(tmp_path):
    profile = cmyk_profile()
    Image.fromarray(INKS, "CMYK").resize((48, 32)).save(tmp_path / "a.jpg", icc_profile=profile, quality=95)
    with Image.open(tmp_path / "a.jpg") as stored:
        inks = np.asarray(stored)
    back, header = images.read(tmp_path / "a.jpg")
    assert np.abs(back.astype(int) - by_littlecms(inks, profile)).max() <= 1 and "CMYK" in header.note


@pytest.mark.parametrize("suffix", ["tif", "jpg"])
def test_cmyk_without_a_profile_is_plain_and_said(tmp_path, suffix):
    Image.new("CMYK", (32, 24), (0, 255, 255, 0)).save(tmp_path / f"red.{suffix}")
    back, header = images.read(tmp_path / f"red.{suffix}")
    assert np.abs(back.astype(int) - (255, 0, 0)).max() <= 1 and "CMYK became RGB" in header.note


@pytest.mark.parametrize("suffix", ["tif", "jpg", "png", "webp", "avif", "jxl", "bmp", "tga", "dpx"])
@pytest.mark.parametrize("model", ["CMYK", "profiled CMYK", "LAB"])
def test_what_became_rgb_is_written_as_rgb(tmp_path, model, suffix):
    profile = {"icc_profile": cmyk_profile()} if model.startswith("profiled") else {}
    pixels = Image.new("LAB", (8, 8), (200, 0, 0)) if model == "LAB" else Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    pixels.save(tmp_path / "in.tif", **profile)
    array, header = images.read(tmp_path / "in.tif")
    out = images.write(tmp_path / f"out.{suffix}", array, header)
    if suffix in ("jxl", "dpx"):  # Pillow reads neither
        back, again = images.read(out)
        assert not again.note and np.abs(images.to_float(back) * 255 - array).max() < 9
        return
    with Image.open(out) as copy:
        assert copy.mode == "RGB" and "icc_profile" not in copy.info
        assert np.abs(np.asarray(copy).astype(int) - array).max() <= (3 if suffix in ("jpg", "webp", "avif") else 0)


def test_cmyk_is_read_in_strips(tmp_path):
    Image.fromarray(INKS, "CMYK").save(tmp_path / "a.tif", icc_profile=cmyk_profile())
    whole = images.read(tmp_path / "a.tif")[0]
    with images.Reader(tmp_path / "a.tif") as reader:
        assert np.array_equal(np.concatenate([reader.rows(y, y + 4) for y in range(0, 16, 4)]), whole)


def test_a_damaged_profile_costs_no_picture(tmp_path):
    Image.fromarray(INKS, "CMYK").save(tmp_path / "a.tif", icc_profile=cmyk_profile()[:200])
    back, header = images.read(tmp_path / "a.tif")
    assert back.shape == (16, 24, 3) and "CMYK" in header.note


@pytest.mark.parametrize("kind", ["uint8", "uint16", "icclab"])
def test_cielab_agrees_with_littlecms(tmp_path, kind):
    # Muted colours: near the edge of sRGB the 8 bits inside LittleCMS tell.
    rng = np.random.default_rng(2)
    lab = np.stack([rng.integers(90, 190, (8, 8)), *(rng.integers(-12, 12, (8, 8)) for _ in range(2))], axis=-1)
    with_sign = np.dstack([lab[..., 0], lab[..., 1] % 256, lab[..., 2] % 256]).astype(np.uint8)
    transform = ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB", 1)
    wanted = np.asarray(ImageCms.applyTransform(Image.fromarray(with_sign, "LAB"), transform))
    if kind == "uint8":
        Image.fromarray(with_sign, "LAB").save(tmp_path / "a.tif")
    elif kind == "uint16":
        stored = np.dstack([with_sign[..., 0].astype(np.uint16) * 257, *((lab[..., i] * 256) % 65536 for i in (1, 2))])
        tifffile.imwrite(tmp_path / "a.tif", stored.astype(np.uint16), photometric="cielab")
    else:
        stored = np.dstack([lab[..., 0], lab[..., 1] + 128, lab[..., 2] + 128]).astype(np.uint16) * 256
        tifffile.imwrite(tmp_path / "a.tif", stored, photometric="icclab")
    back, header = images.read(tmp_path / "a.tif")
    assert np.abs(images.to_float(back) * 255 - wanted).max() <= 2 and "CIELAB" in header.note


def gray_profile(gamma: float = 1.0) -> bytes:
    import imagecodecs

    return imagecodecs.cms_profile("gray", gamma=gamma)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_a_gray_profile_stays_with_gray(tmp_path, suffix):
    ramp = np.tile(np.arange(32, dtype=np.uint8) * 8, (24, 1))
    Image.fromarray(ramp).save(tmp_path / "a.png", icc_profile=gray_profile())
    array, header = images.read(tmp_path / "a.png")
    with Image.open(images.write(tmp_path / f"b.{suffix}", array, header)) as copy:
        assert copy.mode == "L" and copy.info["icc_profile"] == gray_profile()


@pytest.mark.parametrize("suffix", ["webp", "jxl", "bmp", "avif"])
@pytest.mark.parametrize("channels", ["L", "LA"])
def test_a_gray_profile_that_cannot_stay_is_converted(tmp_path, suffix, channels):
    # Linear gray 0.216 looks like sRGB 0.5.
    Image.new("L", (32, 24), 55).convert(channels).save(tmp_path / "a.png", icc_profile=gray_profile())
    array, header = images.read(tmp_path / "a.png")
    path = tmp_path / f"b.{suffix}"
    with images.Writer(path, header, 32, 24, quality=100) as writer:
        writer.write_rows(array)
    assert np.abs(images.read(path)[0][..., :3].astype(int) - 128).max() <= 2 and "profile" in writer.target.note


def test_bmp_of_32_bits_with_an_unused_byte(tmp_path):
    pixels = b"".join(bytes((x * 8, y * 10, 128, 0)) for y in range(24) for x in range(32))
    head = b"BM" + struct.pack("<IHHI", 54 + len(pixels), 0, 0, 54)
    head += struct.pack("<IiiHHIIiiII", 40, 32, 24, 1, 32, 0, len(pixels), 2835, 2835, 0, 0)
    (tmp_path / "a.bmp").write_bytes(head + pixels)
    back, header = images.read(tmp_path / "a.bmp")
    with Image.open(tmp_path / "a.bmp") as picture:
        assert header.channels == 3 and np.array_equal(back, np.asarray(picture.convert("RGB")))


def test_targa_with_an_unused_byte_and_one_that_is_used(tmp_path):
    rgba = np.dstack([INKS[..., :3], np.zeros((16, 24), np.uint8)])
    Image.fromarray(rgba).save(tmp_path / "zero.tga")
    rgba[3, 3, 3] = 9
    Image.fromarray(rgba).save(tmp_path / "used.tga")
    assert images.read_header(tmp_path / "zero.tga").channels == 3
    assert np.array_equal(images.read(tmp_path / "zero.tga")[0], rgba[..., :3])
    assert np.array_equal(images.read(tmp_path / "used.tga")[0], rgba)


def test_palette_with_alpha(tmp_path):
    picture = Image.fromarray(INKS[..., :3]).quantize(32).convert("PA")
    alpha = np.tile(np.linspace(0, 255, 24).astype(np.uint8), (16, 1))
    picture.putalpha(Image.fromarray(alpha))
    picture.save(tmp_path / "a.tif")
    back, header = images.read(tmp_path / "a.tif")
    assert header.channels == 4 and np.array_equal(back, np.asarray(picture.convert("RGBA")))


# --- JPEG with a gain map, JPEG XL, HEIC, AVIF, DDS ---------------------------------------------------------------


def ultra_hdr(path: Path) -> np.ndarray:
    """Write a JPEG with a gain map behind it, as Android does, and return its plain picture."""

    def jpeg(picture: Image.Image, xmp: str) -> bytes:
        data = io.BytesIO()
        picture.save(data, "JPEG", quality=90, xmp=xmp.encode())
        return data.getvalue()

    start = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    start += '<rdf:Description xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0" '
    gain = jpeg(
        Image.new("L", (16, 12), 128),
        start + 'hdrgm:GainMapMin="0" hdrgm:GainMapMax="2" hdrgm:Gamma="1" hdrgm:OffsetSDR="0.015625" '
        'hdrgm:OffsetHDR="0.015625" hdrgm:HDRCapacityMin="0" hdrgm:HDRCapacityMax="2" hdrgm:BaseRenditionIsHDR="False"'
        "/></rdf:RDF></x:xmpmeta>",
    )
    item = '<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="{}" Item:Mime="image/jpeg"{}/></rdf:li>'
    base = jpeg(
        Image.linear_gradient("L").resize((64, 48)).convert("RGB"),
        start + 'xmlns:Container="http://ns.google.com/photos/1.0/container/" '
        'xmlns:Item="http://ns.google.com/photos/1.0/container/item/"><Container:Directory><rdf:Seq>'
        + item.format("Primary", "") + item.format("GainMap", f' Item:Length="{len(gain)}"')
        + "</rdf:Seq></Container:Directory></rdf:Description></rdf:RDF></x:xmpmeta>",
    )  # fmt: skip
    path.write_bytes(base + gain)
    with Image.open(io.BytesIO(base)) as plain:
        return np.asarray(plain)


def test_ultra_hdr_is_read_as_the_jpeg_that_it_is(tmp_path):
    plain = ultra_hdr(tmp_path / "a.jpg")
    back, header = images.read(tmp_path / "a.jpg")
    assert header.dtype == "uint8" and header.channels == 3 and "gain map" in header.note
    assert np.abs(back.astype(int) - plain).max() <= 1
    copy = images.write(tmp_path / "b.jpg", back, header)
    assert b"hdrgm" not in copy.read_bytes()  # which would promise a gain map that is not there


def test_further_pictures_of_a_jpeg_are_named(tmp_path):
    views = [Image.new("RGB", (32, 24), colour) for colour in ("red", "blue")]
    views[0].save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=views[1:])
    back, header = images.read(tmp_path / "a.jpg")
    assert "further pictures" in header.note and np.abs(back.astype(int) - (255, 0, 0)).max() <= 2
    views[0].save(tmp_path / "b.jpg")
    assert images.read_header(tmp_path / "b.jpg").note == ""


def test_the_end_of_a_jpeg_stream():
    data = io.BytesIO()
    Image.fromarray(INKS[..., :3]).save(data, "JPEG", progressive=True, exif=b"Exif\0\0II*\0\xff\xd9")
    assert end_of_first_jpeg(data.getvalue() + b"behind") == len(data.getvalue())


@pytest.mark.parametrize("quality", [80, 100])
def test_jpeg_xl_to_jpeg_xl(tmp_path, quality):
    first = images.write(tmp_path / "a.jxl", INKS[..., :3], quality=quality)
    array, header = images.read(first)
    second, again = images.read(images.write(tmp_path / "b.jxl", array, header, quality=100))
    assert np.abs(second.astype(int) - array).max() <= 1 and again.channels == 3


def test_heic_is_read(tmp_path):
    smooth = np.asarray(Image.linear_gradient("L").resize((64, 48)).convert("RGB"))
    pillow_heif.from_pillow(Image.fromarray(smooth)).save(tmp_path / "a.heic", quality=95)
    back, header = images.read(tmp_path / "a.heic")
    assert header.format == "heif" and header.dtype == "uint8" and np.abs(back.astype(int) - smooth).max() <= 4
    renamed = (tmp_path / "a.heic").rename(tmp_path / "phone.jpg")
    assert np.array_equal(images.read(renamed)[0], back)


def test_heic_of_10_bits_keeps_them(tmp_path):
    ramp = np.tile(np.linspace(0, 65535, 256).astype(np.uint16)[None, :, None], (64, 1, 3))
    file = pillow_heif.from_bytes("RGB;16", (256, 64), ramp.tobytes())
    file.save(tmp_path / "a.heic", quality=-1, chroma=444, bit_depth=10)
    back, header = images.read(tmp_path / "a.heic")
    assert header.dtype == "uint16" and header.bits in (10, 12)
    assert np.abs(back.astype(int) - ramp).max() < 65535 / 1023 * 3


def test_avif_in_and_out(tmp_path):
    smooth = np.asarray(Image.radial_gradient("L").resize((64, 48)).convert("RGB"))
    path = images.write(tmp_path / "a.avif", smooth)
    with Image.open(path) as picture:
        assert picture.format == "AVIF" and np.abs(np.asarray(picture).astype(int) - smooth).max() <= 6
    back, header = images.read(path)
    assert header.format == "avif" and np.abs(back.astype(int) - smooth).max() <= 6


def test_avif_of_10_bits_keeps_them(tmp_path):
    import imagecodecs

    ramp = np.tile(np.linspace(0, 1023, 256).astype(np.uint16)[None, :, None], (64, 1, 3))
    (tmp_path / "a.avif").write_bytes(imagecodecs.avif_encode(ramp, level=100, bitspersample=10))
    back, header = images.read(tmp_path / "a.avif")
    assert header.dtype == "uint16" and header.bits == 10
    assert np.abs(back / 65535 - ramp / 1023).max() < 3 / 1023


def test_without_the_extra_heic_names_it(tmp_path, monkeypatch):
    import sys

    from ganvas.errors import UserError

    pillow_heif.from_pillow(Image.new("RGB", (16, 16))).save(tmp_path / "a.heic")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UserError, match=r"ganvas\[pictures\]"):
        images.read_header(tmp_path / "a.heic")


def dds(path: Path, data: bytes, code: bytes = b"\0\0\0\0", bits: int = 0, masks=(0, 0, 0, 0), flags: int = 4) -> Path:
    form = struct.pack("<II4s5I", 32, flags, code, bits, *masks)
    head = (
        struct.pack("<4s7I44x", b"DDS ", 124, 0x1007, 16, 16, 0, 0, 1) + form + struct.pack("<5I", 0x1000, 0, 0, 0, 0)
    )
    path.write_bytes(head + data)
    return path


def test_dds_is_read_with_all_its_channels(tmp_path):
    import etcpak

    smooth = np.asarray(Image.linear_gradient("L").resize((16, 16)))
    two = np.dstack([smooth, smooth.T])
    rgba = np.ascontiguousarray(np.dstack([two, two]))
    back = images.read(dds(tmp_path / "la.dds", two.tobytes(), bits=16, masks=(255, 0, 0, 0xFF00), flags=0x20001))[0]
    assert np.array_equal(back, two)
    back = images.read(dds(tmp_path / "l.dds", smooth.tobytes(), bits=8, masks=(255, 0, 0, 0), flags=0x20000))[0]
    assert np.array_equal(back[..., 0], smooth)
    back = images.read(dds(tmp_path / "bc5.dds", etcpak.compress_bc5(rgba.tobytes(), 16, 16), b"ATI2"))[0]
    assert back.shape == (16, 16, 3) and np.abs(back[..., :2].astype(int) - two).max() < 8 and not back[..., 2].any()
    back = images.read(dds(tmp_path / "bc4.dds", etcpak.compress_bc4(rgba.tobytes(), 16, 16), b"ATI1"))[0]
    assert back.shape == (16, 16, 1) and np.abs(back[..., 0].astype(int) - smooth).max() < 8


@pytest.mark.parametrize(("channels", "size"), [(1, (16, 24)), (3, (18, 21)), (4, (1, 5))])
def test_dds_is_written_and_read_by_pillow(tmp_path, channels, size):
    smooth = np.asarray(Image.linear_gradient("L").resize(size))
    picture = np.dstack([smooth] * channels)
    path = images.write(tmp_path / "a.dds", picture)
    with Image.open(path) as opened:
        back = np.asarray(opened.convert({1: "L", 3: "RGB", 4: "RGBA"}[channels])).reshape(picture.shape)
    assert np.abs(back.astype(int) - picture).mean() < 3
    assert path.read_bytes()[28] == max(size).bit_length()  # a full chain of mip maps


@pytest.mark.parametrize("code", [b"DXT1", b"DXT5", b"ATI1", b"ATI2"])
def test_dds_keeps_its_compression(tmp_path, code):
    import etcpak

    compress = {b"DXT1": "bc1", b"DXT5": "bc3", b"ATI1": "bc4", b"ATI2": "bc5"}[code]
    data = getattr(etcpak, f"compress_{compress}")(np.full((16, 16, 4), 90, np.uint8).tobytes(), 16, 16)
    array, header = images.read(dds(tmp_path / "a.dds", data, code))
    path = images.write(tmp_path / "b.dds", array, header)
    number = int.from_bytes(path.read_bytes()[128:132], "little")
    assert number == {"bc1": 71, "bc3": 77, "bc4": 80, "bc5": 83}[compress]
    assert np.abs(images.read(path)[0].astype(int) - array).max() <= 4


def test_a_profile_of_an_unknown_model_is_refused():
    profile = bytearray(cmyk_profile())
    profile[16:20] = b"6CLR"
    with pytest.raises(ValueError, match="6CLR"):
        colour.by_profile(bytes(profile))
