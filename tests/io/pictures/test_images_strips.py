"""Strips: the same rows whatever the strip, and memory that does not grow with the height of the picture."""

import subprocess
import sys

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ganvas.errors import UserError
from ganvas.io.pictures import images

STREAMED = ["png", "jpg", "tif", "exr", "tiled.tif", "tiled.exr"]
PICTURE = (np.random.default_rng(0).random((150, 90, 3)) * 255).astype(np.uint8)


def source(folder, kind: str, array: np.ndarray = PICTURE):
    path = folder / f"a.{kind}"
    header = images.Header(array.shape[1], array.shape[0], array.shape[2], array.dtype.name, "png")
    if not path.exists():
        tile_px = 32 if kind.startswith("tiled") else 0
        with images.Writer(path, header, header.width, header.height, tile_px=tile_px) as writer:
            for start in range(0, header.height, 41):
                writer.write_rows(array[start : start + 41])
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("strips")


@pytest.mark.parametrize("kind", [*STREAMED, "bmp", "hdr", "dpx", "tga", "webp", "jxl"])
@given(spans=st.lists(st.tuples(st.integers(0, 149), st.integers(1, 150)), min_size=1, max_size=6))
@settings(max_examples=12, deadline=None)
def test_any_order_of_strips_gives_the_rows_of_the_whole(folder, kind, spans):
    path = source(folder, kind)
    whole = images.read(path)[0]
    with images.Reader(path) as reader:
        for start, length in spans:
            stop = min(150, start + length)
            assert np.array_equal(reader.rows(start, stop), whole[start:stop])


@pytest.mark.parametrize("kind", ["png", "tif", "tiled.tif", "bmp", "tga"])
@given(heights=st.lists(st.integers(1, 60), min_size=3, max_size=150))
@settings(max_examples=10, deadline=None)
def test_any_strips_written_give_the_same_picture(tmp_path_factory, kind, heights):
    path = tmp_path_factory.mktemp("out") / f"a.{kind}"
    header = images.Header(90, 150, 3, "uint8", "png")
    with images.Writer(path, header, 90, 150, tile_px=16 if "tiled" in kind else 0) as writer:
        start = 0
        for height in [*heights, 150]:
            if start < min(150, start + height):
                writer.write_rows(PICTURE[start : start + height])
                start = min(150, start + height)
    assert np.array_equal(images.read(path)[0], PICTURE)


def test_changing_returned_rows_does_not_change_the_next(folder):
    with images.Reader(source(folder, "png")) as reader:
        reader.rows(0, 50)[:] = 0
        assert np.array_equal(reader.rows(20, 80), PICTURE[20:80])


def test_the_callers_array_may_be_used_again(tmp_path):
    strip = np.empty((10, 90, 3), np.uint8)
    with images.Writer(tmp_path / "a.tif", images.Header(90, 150, 3, "uint8", "png"), 90, 150, tile_px=64) as writer:
        for start in range(0, 150, 10):
            strip[:] = PICTURE[start : start + 10]
            writer.write_rows(strip)
    assert np.array_equal(images.read(tmp_path / "a.tif")[0], PICTURE)


@pytest.mark.parametrize(("suffix", "tile_px"), [("tif", 64), ("exr", 32)])
def test_tiles_are_in_the_file(tmp_path, suffix, tile_px):
    header = images.Header(90, 150, 3, "uint8", "png")
    with images.Writer(tmp_path / f"a.{suffix}", header, 90, 150, tile_px=tile_px) as writer:
        writer.write_rows(PICTURE)
    if suffix == "tif":
        with tifffile.TiffFile(tmp_path / "a.tif") as file:
            page = file.pages[0]
            assert (page.tilewidth, page.tilelength) == (64, 64)  # type: ignore[union-attr]
    assert np.array_equal(
        images.from_float(images.to_float(images.read(tmp_path / f"a.{suffix}")[0]), "uint8"), PICTURE
    )


@pytest.mark.parametrize(("suffix", "tile_px"), [("png", 64), ("tif", 20)])
def test_tiles_that_cannot_be_are_refused(tmp_path, suffix, tile_px):
    with pytest.raises(UserError, match="tile"):
        images.Writer(tmp_path / f"a.{suffix}", images.Header(9, 9, 3, "uint8", "png"), 9, 9, tile_px=tile_px)


@pytest.mark.parametrize(("height", "big"), [(100, False), (1_000_000, True)])
def test_a_tiff_of_more_than_four_gigabytes_is_a_bigtiff(tmp_path, height, big):
    header, magic = images.Header(2000, 9, 3, "uint8", "png"), b""
    with pytest.raises(KeyboardInterrupt), images.Writer(tmp_path / "a.tif", header, 2000, height) as writer:
        writer.write_rows(np.zeros((64, 2000, 3), np.uint8))
        magic = next(tmp_path.iterdir()).read_bytes()[:4]
        raise KeyboardInterrupt
    assert magic == (b"II+\0" if big else b"II*\0")


def test_a_tiff_of_one_compressed_strip_is_decoded_whole(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", PICTURE, photometric="rgb", compression="zlib", rowsperstrip=150)
    tifffile.imwrite(tmp_path / "b.tif", PICTURE, photometric="rgb", rowsperstrip=150)
    assert images.read_header(tmp_path / "a.tif").interlaced
    assert not images.read_header(tmp_path / "b.tif").interlaced
    assert np.array_equal(images.read(tmp_path / "a.tif")[0], PICTURE)
    assert np.array_equal(images.read(tmp_path / "b.tif")[0], PICTURE)


@pytest.mark.parametrize(("kind", "whole"), [("png", False), ("jpg", False), ("webp", True), ("tga", True)])
def test_the_estimate_of_memory_tells_strips_from_wholes(tmp_path, kind, whole):
    Image.fromarray(PICTURE).save(tmp_path / f"a.{kind}")
    header = images.read_header(tmp_path / f"a.{kind}")
    assert header.interlaced == whole
    assert images.decoded_bytes(header) >= 150 * 90 * 3 * (2 if whole else 1)


COPY = """
import re, sys
from pathlib import Path
import numpy as np
from ganvas.io.pictures import images

folder, kind, height = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
path, width, strip = folder / f"{height}.{kind}", 1000, 64
options = {"tile_px": 64} if kind.startswith("tiled") else {}
header = images.Header(width, height, 3, "uint8", "png")
rows = (np.arange(strip * width * 3) // 7 % 200).reshape(strip, width, 3).astype(np.uint8)
with images.Writer(path, header, width, height, **options) as writer:
    for start in range(0, height, strip):
        writer.write_rows(rows[: height - start])
copy = folder / f"copy{height}.{kind}"
with images.Reader(path) as reader, images.Writer(copy, reader.header, width, height, **options) as writer:
    assert not reader.header.interlaced
    for start in range(0, height, strip):
        writer.write_rows(reader.rows(start, min(start + strip, height)))
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")
@pytest.mark.parametrize("kind", STREAMED)
def test_peak_memory_does_not_grow_with_the_height(tmp_path, kind):
    def peak(height: int) -> int:
        command = [sys.executable, "-c", COPY, str(tmp_path), kind, str(height)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    # 1.5 MB and 12 MB of pixels; the interpreter and its libraries are about 60.
    assert peak(4000) < 1.05 * peak(500)
