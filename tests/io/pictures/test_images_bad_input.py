"""Broken and awkward picture files and places: each is one clear line, and nothing half-written stays behind."""

import os
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from ganvas.errors import UserError
from ganvas.io.pictures import images

PICTURE = (np.random.default_rng(0).random((60, 80, 3)) * 255).astype(np.uint8)
HEADER = images.Header(80, 60, 3, "uint8", "png")
DEPTHS = {"exr": np.float16, "hdr": np.float32}


def picture(path: Path) -> Path:
    dtype = DEPTHS.get(path.suffix[1:])
    return images.write(path, PICTURE if dtype is None else (PICTURE / 255).astype(dtype))


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def one_line(error: pytest.ExceptionInfo[UserError], *words: str) -> None:
    text = str(error.value)
    assert "\n" not in text and len(text) < 500, text
    assert error.value.what and error.value.why
    for word in words:
        assert word in text, text


def read_in_strips(path: Path) -> None:
    with images.Reader(path) as reader:
        for start in range(0, reader.header.height, 16):
            reader.rows(start, min(start + 16, reader.header.height))


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError) as error:
        images.read(tmp_path / "none.png")
    one_line(error, "none.png", "no such file")


def test_a_folder_as_a_file(tmp_path):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UserError) as error:
        images.read_header(tmp_path / "folder.png")
    one_line(error, "folder.png", "folder")


@pytest.mark.parametrize("suffix", sorted(images.READABLE))
def test_zero_bytes_and_text_in_every_format(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"")
    with pytest.raises(UserError) as error:
        images.read_header(path)
    one_line(error, path.name, "empty")
    path.write_text("This is a letter, and not a picture.\n" * 30)
    with pytest.raises(UserError) as error:
        images.read(path)
    one_line(error, path.name)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp", "exr", "dpx", "tga", "bmp", "jxl", "hdr", "ppm"])
@pytest.mark.parametrize("share", [0.02, 0.4, 0.9])
def test_a_truncated_file_is_named(tmp_path, suffix, share):
    whole = picture(tmp_path / f"whole.{suffix}").read_bytes()
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UserError) as error:
        read_in_strips(cut)
    one_line(error, f"cut.{suffix}", "damaged")


@pytest.mark.parametrize("kind", ["gif", "progressive.jpg"])
def test_a_truncated_file_that_is_decoded_whole(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    Image.fromarray(PICTURE).save(path, None, progressive=True)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match="damaged"):
        read_in_strips(path)


def test_a_truncated_png_is_refused_before_it_is_decoded(tmp_path, capfd):
    data = picture(tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[:-200])
    with pytest.raises(UserError):
        images.read_header(tmp_path / "a.png")
    assert capfd.readouterr().err == ""


def test_a_flipped_byte_in_a_png_is_found(tmp_path):
    data = bytearray(picture(tmp_path / "a.png").read_bytes())
    data[len(data) // 2] ^= 255
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(UserError, match=r"a\.png"):
        images.read(tmp_path / "a.png")


def test_no_pixels(tmp_path):
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    ends = chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    for width, height in ((0, 0), (5, 0)):
        head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + ends)
        with pytest.raises(UserError) as error:
            images.read_header(tmp_path / "a.png")
        one_line(error, "a.png", f"{width} x {height}")


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp", "exr", "dpx", "tga", "bmp", "jxl"])
def test_one_pixel_is_a_picture(tmp_path, suffix):
    array = np.full((1, 1, 3), 128, np.uint8)
    back = images.to_float(images.read(images.write(tmp_path / f"a.{suffix}", array))[0])
    assert back.shape == (1, 1, 3) and np.abs(back - 128 / 255).max() < 0.02


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.nef", ("raw", "TIFF")),
        ("a.HEIC", ("damaged",)),
        ("a.avif", ("damaged",)),
        ("a.mp4", ("video", "ganvas[video]")),
        ("a.svg", ("vector", "PNG")),
        ("a.txt", ("'.txt'", ".png")),
        ("a", ("extension",)),
    ],
)
def test_foreign_files_are_refused_with_advice(tmp_path, name, words):
    (tmp_path / name).write_bytes(b"something")
    with pytest.raises(UserError) as error:
        images.read_header(tmp_path / name)
    one_line(error, name, *words)


def test_a_heic_that_calls_itself_jpeg(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(200))
    with pytest.raises(UserError, match="damaged"):
        images.read_header(tmp_path / "a.jpg")


def test_a_wrong_extension_does_not_matter_for_reading(tmp_path):
    path = picture(tmp_path / "a.png").rename(tmp_path / "a.jpg")
    back, header = images.read(path)
    assert header.format == "png" and np.array_equal(back, PICTURE)


# --- writing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".psd", ".jp2", ".xyz", ""])
def test_formats_that_are_not_written(tmp_path, suffix):
    with pytest.raises(UserError) as error:
        images.Writer(tmp_path / f"a{suffix}", HEADER, 80, 60)
    one_line(error, f"a{suffix}", ".png")


def test_an_existing_output_is_kept_unless_told_otherwise(tmp_path):
    path = picture(tmp_path / "a.png")
    before = path.read_bytes()
    with pytest.raises(UserError) as error:
        images.write(path, 255 - PICTURE)
    one_line(error, "a.png", "there already")
    assert path.read_bytes() == before
    images.write(path, 255 - PICTURE, overwrite=True)
    assert np.array_equal(images.read(path)[0], 255 - PICTURE)
    assert names_in(tmp_path) == ["a.png"]


def test_a_file_that_appears_while_we_write_is_not_replaced(tmp_path):
    with pytest.raises(UserError), images.Writer(tmp_path / "a.png", HEADER, 80, 60) as writer:
        writer.write_rows(PICTURE)
        (tmp_path / "a.png").write_text("another's")
    assert (tmp_path / "a.png").read_text() == "another's"
    assert names_in(tmp_path) == ["a.png"]


def test_the_input_itself_as_output(tmp_path):
    path = picture(tmp_path / "a.png")
    header = images.read_header(path)
    (tmp_path / "link.png").symlink_to(path)
    for output in (path, tmp_path / "link.png"):
        with pytest.raises(UserError) as error:
            images.Writer(output, header, 80, 60, overwrite=True)
        one_line(error, "input itself")


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.png").mkdir()
    for place in (tmp_path / "none" / "a.png", tmp_path / "file" / "a.png", tmp_path / "folder.png"):
        with pytest.raises(UserError) as error:
            images.Writer(place, HEADER, 80, 60)
        one_line(error, str(place))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a folder that even root cannot write to")
def test_an_unwritable_folder():
    with pytest.raises(UserError) as error:
        images.write("/proc/self/a.png", PICTURE)
    one_line(error, "/proc/self/a.png", "folder")


@pytest.mark.parametrize(("suffix", "width"), [("jpg", 70_000), ("webp", 17_000), ("tga", 70_000)])
def test_pictures_too_wide_for_their_format(tmp_path, suffix, width):
    with pytest.raises(UserError) as error:
        images.Writer(tmp_path / f"a.{suffix}", HEADER, width, 10)
    one_line(error, str(width), ".png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp", "exr", "dpx", "tga", "bmp", "jxl", "hdr", "ppm"])
@pytest.mark.parametrize("rows", [0, 25])
@pytest.mark.parametrize("reason", [KeyboardInterrupt, MemoryError, None])
def test_interrupted_work_leaves_nothing(tmp_path, suffix, rows, reason):
    header = HEADER
    with (
        pytest.raises(reason or ValueError),
        images.Writer(tmp_path / f"a.{suffix}", header, 80, 60) as writer,
    ):
        if rows:
            writer.write_rows(PICTURE[:rows])
        if reason:
            raise reason
    assert names_in(tmp_path) == []


def test_rows_that_do_not_fit_are_a_programmer_s_error(tmp_path):
    for rows in (PICTURE[:, :70], PICTURE.astype(np.uint16), PICTURE[..., :1], np.concatenate([PICTURE, PICTURE])):
        with pytest.raises(ValueError), images.Writer(tmp_path / "a.png", HEADER, 80, 60) as writer:
            writer.write_rows(rows)
    assert names_in(tmp_path) == []


FULL_DISK = """
import resource, sys, numpy as np
from ganvas.errors import UserError
from ganvas.io.pictures import images
folder = sys.argv[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (6 << 20, resource.RLIM_INFINITY))
rng = np.random.default_rng(0)
strip = rng.integers(0, 256, (100, 1500, 3), dtype=np.uint8)
for suffix in sys.argv[2:]:
    header = images.Header(1500, 6000, 3, "uint8", "png")
    try:
        with images.Writer(f"{folder}/a.{suffix}", header, 1500, 6000) as writer:
            for _ in range(60):
                writer.write_rows(strip)
        print(suffix, "no error")
    except UserError as error:
        print(suffix, error)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a limit of file sizes")
def test_a_full_disk_is_one_line_in_every_format_and_leaves_nothing(tmp_path):
    suffixes = ["png", "jpg", "tif", "exr", "dpx", "tga", "bmp", "hdr", "ppm"]
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path), *suffixes], capture_output=True, text=True, timeout=100
    )
    lines = run.stdout.splitlines()
    assert [line.split()[0] for line in lines] == suffixes, run.stderr
    assert all("disk is full" in line for line in lines), lines
    assert run.stderr == "" and names_in(tmp_path) == []


def test_a_disk_without_space_is_found_before_the_encoder_does(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1 << 14))
    with pytest.raises(UserError, match="disk is full"):
        picture(tmp_path / "a.jpg")
    assert names_in(tmp_path) == []


# --- inputs ----------------------------------------------------------------------------------------------------------


def test_files_folders_and_globs(tmp_path):
    for name in (
        "frame10.PNG",
        "frame2.png",
        "deep/er/c.Jpg",
        "deep/notes.txt",
        ".hidden.png",
        "deep/.cache/x.png",
        "b[1].tif",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "deep" / "raw.cr2").write_bytes(b"x")

    def names(*inputs: str, **options: bool) -> tuple[list[str], list[str]]:
        found, problems = images.find_pictures([str(tmp_path / entry) for entry in inputs], **options)
        return [path.relative_to(tmp_path).as_posix() for path in found], [why for _, why in problems]

    found, problems = names("")
    assert found == ["b[1].tif", "deep/er/c.Jpg", "frame2.png", "frame10.PNG"]
    assert len(problems) == 1 and "raw file" in problems[0]
    assert names("", recursive=False)[0] == ["b[1].tif", "frame2.png", "frame10.PNG"]
    assert names("frame*", "frame2.png") == (["frame2.png", "frame10.PNG"], [])
    assert names("**/*.Jpg")[0] == ["deep/er/c.Jpg"]
    assert names("b[1].tif")[0] == ["b[1].tif"]
    assert names("deep/er", "none.png", "none*.png", "deep/notes.txt")[1] == [
        "there is no such file or folder",
        "nothing matches",
        "the extension '.txt' is not a supported picture's",
    ]
    (tmp_path / "empty").mkdir()
    assert names("empty") == ([], ["the folder holds no pictures"])


@pytest.mark.parametrize(
    "name", [b"b\xf6rg.png", b"b\xf6rg.jpg", b"x#1.tif", b"100%.exr", b"[1].webp", b"a" * 251 + b".jxl"]
)
def test_pictures_of_any_name(tmp_path, name):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xe9t\xe9"))
    folder.mkdir()
    path = folder / os.fsdecode(name)
    images.write(path, PICTURE)
    back, header = images.read(path)
    copy = images.write(folder / f"copy{path.suffix}", back, header)
    assert header.width == PICTURE.shape[1] and images.read(copy)[0].shape == PICTURE.shape
    assert sorted(folder.iterdir()) == sorted([path, copy])
