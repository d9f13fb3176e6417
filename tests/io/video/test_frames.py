"""Numbered frames: names, gaps, and pictures that come back as they were."""

from pathlib import Path

import numpy as np
import pytest

from ganvas.errors import UserError
from ganvas.io.pictures import images
from ganvas.io.video.frames import FramesReader, FramesWriter, parse_pattern


def some_frames(folder: Path, numbers, name="shot.{:04d}.png", dtype=np.uint16):
    rng = np.random.default_rng(0)
    top = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 4
    pictures = (rng.random((len(numbers), 6, 8, 3)) * top).astype(dtype)
    for number, picture in zip(numbers, pictures, strict=True):
        images.write(folder / name.format(number), picture)
    return pictures


@pytest.mark.parametrize(
    ("name", "number", "file"),
    [
        ("a/shot.####.exr", 7, "a/shot.0007.exr"),
        ("a/shot.####.exr", 123456, "a/shot.123456.exr"),
        ("frame_%04d.png", 12, "frame_0012.png"),
        ("frame_%d.png", 12, "frame_12.png"),
        ("v2_[0990-1010].png", 1000, "v2_1000.png"),
        ("#.png", 3, "3.png"),
    ],
)
def test_names_of_numbers(name, number, file):
    pattern = parse_pattern(name)
    assert pattern is not None
    assert pattern.path(number) == Path(file)


def test_what_is_no_pattern():
    assert parse_pattern("holiday.mp4") is None
    assert parse_pattern("shot.0001.exr") is None
    with pytest.raises(UserError, match="no pictures"):
        parse_pattern("shot.####.txt")
    with pytest.raises(UserError, match=r"upside down.*\[3-9\]"):
        parse_pattern("shot.[9-3].png")


def test_only_the_files_of_the_pattern_are_found(tmp_path):
    for name in ("a.0001.png", "a.0002.png", "a.10000.png", "a.3.png", "b.0001.png", "a.0004.png.bak", "a.00005.png"):
        (tmp_path / name).write_bytes(b"")
    pattern = parse_pattern(tmp_path / "a.####.png")
    assert pattern is not None
    assert pattern.numbers() == [1, 2, 10000]


@pytest.mark.parametrize(("suffix", "dtype"), [("png", np.uint8), ("png", np.uint16), ("exr", np.float16)])
def test_frames_come_back_as_they_were(tmp_path, suffix, dtype):
    pattern = parse_pattern(tmp_path / f"shot.####.{suffix}")
    pictures = some_frames(tmp_path, range(1001, 1005), f"shot.{{:04d}}.{suffix}", dtype)
    with FramesReader(pattern, fps=25) as reader:
        assert (reader.header.frames, reader.header.width, reader.header.height) == (4, 8, 6)
        assert reader.header.fps == 25
        found = list(reader)
    assert [frame.number for frame in found] == [0, 1, 2, 3]
    assert [frame.pts * reader.header.time_base * 25 for frame in found] == [0, 1, 2, 3]
    assert all(np.array_equal(frame.picture, picture) for frame, picture in zip(found, pictures, strict=True))
    copy = parse_pattern(tmp_path / f"copy_%03d.{suffix}")
    with FramesWriter(copy, first=7) as writer:
        for frame in found:
            writer.write(frame.picture, frame.pts)
    assert copy.numbers() == [7, 8, 9, 10]
    assert np.array_equal(images.read(copy.path(9))[0], pictures[2])


def test_starting_at_a_frame(tmp_path):
    some_frames(tmp_path, range(5))
    pattern = parse_pattern(tmp_path / "shot.####.png")
    assert [frame[:2] for frame in FramesReader(pattern, start=3)] == [(3, 3), (4, 4)]


def test_gaps_are_named(tmp_path):
    some_frames(tmp_path, [1, 2, 5, 6, 7, 9])
    pattern = parse_pattern(tmp_path / "shot.####.png")
    with pytest.raises(UserError, match="missing: 3-4, 8"):
        FramesReader(pattern)
    with pytest.raises(UserError, match="missing: 10-12"):
        FramesReader(parse_pattern(tmp_path / "shot.[0009-0012].png"))
    assert [frame.pts for frame in FramesReader(pattern, allow_gaps=True)] == [0, 1, 4, 5, 6, 8]
    assert FramesReader(parse_pattern(tmp_path / "shot.[0005-0007].png")).numbers == [5, 6, 7]
    with pytest.raises(UserError, match="no frames"):
        FramesReader(parse_pattern(tmp_path / "shoot.####.png"))


def test_a_picture_of_another_size_is_named(tmp_path):
    some_frames(tmp_path, range(3))
    images.write(tmp_path / "shot.0002.png", np.zeros((6, 9, 3), np.uint16), overwrite=True)
    with pytest.raises(UserError, match=r"shot\.0002\.png does not fit.*9x6.*8x6"):
        list(FramesReader(parse_pattern(tmp_path / "shot.####.png")))


def test_existing_frames_are_not_overwritten(tmp_path):
    some_frames(tmp_path, range(3))
    before = (tmp_path / "shot.0001.png").read_bytes()
    with pytest.raises(UserError, match="exist already"):
        FramesWriter(parse_pattern(tmp_path / "shot.####.png"))
    assert (tmp_path / "shot.0001.png").read_bytes() == before
