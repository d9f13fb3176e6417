"""AVIF and HEIC as they are written: read by libavif in Pillow and imagecodecs, libheif, exiftool and FFmpeg."""

from __future__ import annotations

import shutil
import subprocess

import imagecodecs
import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from ganvas.errors import UserError
from ganvas.io.pictures import heif_items, images
from ganvas.io.pictures.images import Header

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def ramp(bits: int, channels: int = 3) -> np.ndarray:
    """Return codes of so many bits over all of uint16, each channel another slope."""
    top = (1 << bits) - 1
    y, x = np.mgrid[:48, :64]
    planes = [x / 63, y / 47, (x + y) / 110, 0.25 + x / 126][:channels]
    codes = np.rint(np.stack(planes, -1) * top).astype(np.uint32)
    return ((codes * 65535 + top // 2) // top).astype(np.uint16)


def written(path, bits: int, channels: int = 3, **options):
    picture = ramp(bits, channels)
    header = Header(64, 48, channels, "uint16", "png", bits=bits, **options)
    return images.write(path, picture, header, quality=100), picture


@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("suffix", ["avif", "heic"])
def test_ten_and_twelve_bits_are_written(tmp_path, suffix, channels, bits):
    path, picture = written(tmp_path / f"a.{suffix}", bits, channels)
    if suffix == "avif":
        back = imagecodecs.avif_decode(path.read_bytes()) / float((1 << bits) - 1)
    else:
        file = pillow_heif.open_heif(path, convert_hdr_to_8bit=False)
        assert file[0].info["bit_depth"] == bits
        back = np.asarray(file[0]).reshape(48, 64, -1) / 65535
    # Closer than 8 bits could be: the mean error of rounding to them is 1 / 1020.
    assert np.abs(back[..., :channels] - picture / 65535).mean() < 1 / 1020
    again, header = images.read(path)
    assert header.bits == bits and again.dtype == np.uint16 and header.has_alpha == (channels == 4)


@pytest.mark.parametrize("suffix", ["avif", "heic"])
def test_sixteen_bits_and_floats_need_leave(tmp_path, suffix):
    for dtype in ("uint16", "float32"):
        header = Header(64, 48, 3, dtype, "png", bits=16)
        with pytest.raises(UserError, match="allow-loss"):
            images.write(tmp_path / f"a.{suffix}", ramp(16).astype(dtype), header)
    with images.Writer(
        tmp_path / f"a.{suffix}", Header(64, 48, 3, "uint16", "png", bits=16), 64, 48, allow_loss=True
    ) as w:
        w.write_rows(ramp(16))
    assert images.read_header(tmp_path / f"a.{suffix}").bits == 12


def test_a_deep_avif_has_profile_exif_and_xmp(tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    data = imagecodecs.avif_encode(ramp(10) >> 6, 95, bitspersample=10)
    packet = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    (tmp_path / "a.avif").write_bytes(heif_items.put_items(data, exif.tobytes()[6:], packet, PROFILE))
    with Image.open(tmp_path / "a.avif") as picture:
        assert picture.getexif()[0x010F] == "Maker" and picture.info["icc_profile"] == PROFILE
        assert picture.info["xmp"] == packet
    assert np.array_equal(imagecodecs.avif_decode((tmp_path / "a.avif").read_bytes()), imagecodecs.avif_decode(data))


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize(
    "kinds", [(), ("exif",), ("xmp",), ("profile",), ("exif", "profile"), ("exif", "xmp", "profile")]
)
def test_items_of_any_selection(tmp_path, kinds, channels):
    blocks = {"exif": b"MM\0*\0\0\0\x08\0\0\0\0\0\0", "xmp": b"<a/>" * 99, "profile": PROFILE}
    data = imagecodecs.avif_encode(ramp(12, channels) >> 4, 90, bitspersample=12)
    whole = heif_items.put_items(data, **{kind: blocks[kind] for kind in kinds})
    (tmp_path / "a.avif").write_bytes(whole)
    with Image.open(tmp_path / "a.avif") as picture:
        assert picture.info.get("icc_profile", b"") == (PROFILE if "profile" in kinds else b"")
        assert picture.info.get("xmp", b"") == (blocks["xmp"] if "xmp" in kinds else b"")
        assert picture.mode == ("RGBA" if channels == 4 else "RGB")
    assert np.array_equal(imagecodecs.avif_decode(whole), imagecodecs.avif_decode(data))


def test_a_layout_that_is_not_known_is_no_avif_made_worse():
    with pytest.raises(ValueError, match="box"):
        heif_items.put_items(b"\0\0\0\4ftyp" + bytes(64))


@pytest.mark.parametrize("suffix", ["avif", "heic"])
def test_profiles_stay_byte_for_byte(tmp_path, suffix):
    for bits, dtype in ((8, "uint8"), (10, "uint16")):
        header = Header(64, 48, 3, dtype, "png", bits=bits, metadata=(("ICCProfile", "", PROFILE),))
        picture = ramp(10) if bits == 10 else (ramp(8) // 257).astype(np.uint8)
        path = images.write(tmp_path / f"{bits}.{suffix}", picture, header)
        assert images.read_header(path).icc_profile == PROFILE
        own = pillow_heif.open_heif(path)[0] if suffix == "heic" else Image.open(path)
        assert own.info["icc_profile"] == PROFILE


def test_ffmpeg_shows_a_deep_avif(tmp_path):
    if not shutil.which("ffprobe"):
        pytest.skip("FFmpeg is not installed")
    path, _ = written(tmp_path / "a.avif", 10)
    asked = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name,pix_fmt,width", "-of", "csv=p=0", str(path)]
    told = subprocess.run(asked, capture_output=True, text=True).stdout
    assert told.startswith("av1,64,yuv444p10le")


def test_heic_of_several_pictures_says_which(tmp_path):
    pictures = [Image.new("RGB", (64, 48), colour) for colour in ("red", "blue")]
    file = pillow_heif.from_pillow(pictures[0])
    file.save(tmp_path / "burst.heic", append_images=[pillow_heif.from_pillow(pictures[1])[0]], quality=90)
    back, header = images.read(tmp_path / "burst.heic")
    assert header.frames == 2 and back[..., 0].mean() > 200
