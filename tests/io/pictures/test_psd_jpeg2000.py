"""Photoshop files and JPEG 2000: read as Pillow and OpenJPEG read them, and what is left out is said."""

from __future__ import annotations

import struct

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from ganvas.io.pictures import images

PIXELS = np.random.default_rng(1).integers(0, 255, (24, 32, 3), dtype=np.uint8)


def block(data: bytes, align: int = 1) -> bytes:
    return struct.pack(">I", len(data) + -len(data) % align) + data + b"\0" * (-len(data) % align)


def psd(path, whole: np.ndarray, layers: list[np.ndarray] = (), profile: bytes = b"", description: bytes = b""):
    """Write a Photoshop file (Adobe, "Photoshop File Format"), raw and of 8 or 16 bits."""
    height, width, channels = whole.shape
    records, pixels = struct.pack(">h", len(layers)), b""
    for number, layer in enumerate(layers):
        records += struct.pack(">4iH", 0, 0, height, width, 3)
        records += b"".join(struct.pack(">hI", channel, 2 + height * width) for channel in range(3))
        records += b"8BIMnorm" + bytes([255, 0, 8, 0])
        name = f"layer {number}".encode()
        records += block(block(b"") + block(b"") + bytes([len(name)]) + name + b"\0" * (-(len(name) + 1) % 4))
        pixels += b"".join(b"\0\0" + layer[..., channel].tobytes() for channel in range(3))
    resources = b"".join(
        b"8BIM" + struct.pack(">HH", kind, 0) + struct.pack(">I", len(data)) + data + b"\0" * (len(data) % 2)
        for kind, data in ((1039, profile), (1060, description)) if data
    )  # fmt: skip
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, channels, height, width, 8 * whole.itemsize, 3 if channels > 2 else 1)
    middle = block(b"") + block(resources) + block(block(records + pixels, 2) if layers else b"")
    planes = whole.transpose(2, 0, 1).astype(whole.dtype.newbyteorder(">"))
    path.write_bytes(head + middle + b"\0\0" + planes.tobytes())
    return path


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_photoshop_files_are_read_as_pillow_reads_them(tmp_path, channels):
    whole = np.dstack([PIXELS, PIXELS[..., 0]])[..., :channels]
    psd(tmp_path / "a.psd", whole)
    back, header = images.read(tmp_path / "a.psd")
    with Image.open(tmp_path / "a.psd") as picture:
        assert np.array_equal(back[..., :3], np.asarray(picture).reshape(24, 32, -1)[..., :3])
    assert not header.note and header.format == "psd"


def test_photoshop_of_16_bits_keeps_them(tmp_path):
    deep = PIXELS.astype(np.uint16) * 257 + 1
    psd(tmp_path / "a.psd", deep)
    back, header = images.read(tmp_path / "a.psd")
    assert header.dtype == "uint16" and np.array_equal(back, deep)


def test_layers_are_left_out_and_counted(tmp_path):
    layers = [np.roll(PIXELS, shift, 0) for shift in (3, 5)]
    psd(tmp_path / "a.psd", PIXELS, layers)
    with Image.open(tmp_path / "a.psd") as picture:
        assert picture.n_frames == 2  # Pillow counts layers
    back, header = images.read(tmp_path / "a.psd")
    assert np.array_equal(back, PIXELS) and "its 2 layers are left out" in header.note and header.frames == 1


def test_photoshop_keeps_its_profile_and_xmp(tmp_path):
    profile = imagecodecs.cms_profile("srgb")
    packet = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" dc:format="psd"/></rdf:RDF></x:xmpmeta>'
    )
    psd(tmp_path / "a.psd", PIXELS, profile=profile, description=packet)
    array, header = images.read(tmp_path / "a.psd")
    with Image.open(images.write(tmp_path / "b.png", array, header)) as picture:
        assert picture.info["icc_profile"] == profile and b"psd" in picture.info["XML:com.adobe.xmp"].encode()


@pytest.mark.parametrize("suffix", ["jp2", "j2k"])
@pytest.mark.parametrize(("channels", "bits"), [(1, 8), (3, 8), (4, 8), (3, 16), (1, 12)])
def test_jpeg_2000_is_read_as_openjpeg_reads_it(tmp_path, suffix, channels, bits):
    whole = np.dstack([PIXELS, PIXELS[..., 0]])[..., :channels]
    whole = whole if bits == 8 else (whole.astype(np.uint16) * 257) >> (16 - bits)
    data = imagecodecs.jpeg2k_encode(whole, level=0, codecformat=suffix, bitspersample=bits, reversible=True)
    (tmp_path / f"a.{suffix}").write_bytes(data)
    back, header = images.read(tmp_path / f"a.{suffix}")
    wanted = whole / ((1 << bits) - 1)
    assert header.dtype == ("uint8" if bits == 8 else "uint16") and back.shape == whole.shape
    assert np.abs(images.to_float(back) - wanted).max() < 1e-3 if bits == 12 else np.array_equal(back, whole)
