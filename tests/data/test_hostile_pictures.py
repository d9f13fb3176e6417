"""Sets with broken, huge and mislabelled pictures: each is named, and none costs what it claims."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from ganvas import cli
from ganvas.data import decoding
from ganvas.data.classes import ClassPictures
from ganvas.data.inspect_pictures import examine
from ganvas.data.pictures import Pictures, split
from ganvas.errors import UserError
from ganvas.io.pictures import archives


def picture(path, seed=0, size=32):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)).save(path)
    return path


def bomb(path, side=60_000):
    """Write a PNG of a few kilobytes that claims a square of gigabytes."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1 << 16))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    return path


def broken(folder):
    """Put every kind of broken picture into a folder and return their names."""
    content = io.BytesIO()
    noise = np.random.default_rng(9).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(content, "jpeg", quality=95)
    (folder / "cut.jpg").write_bytes(content.getvalue()[: len(content.getvalue()) // 2])
    values = np.full((64, 64, 3), 0.5, np.float32)
    for name, value in (("nan.tif", np.nan), ("inf.tif", np.inf)):
        values[0, 0] = value
        tifffile.imwrite(folder / name, values)
    (folder / "zero.png").touch()
    (folder / "page.jpg").write_text("<html>")
    whole = picture(folder / "flipped.png", 5, 64).read_bytes()
    (folder / "flipped.png").write_bytes(whole[:3000] + bytes(1000) + whole[4000:])
    bomb(folder / "bomb.png")
    return {"cut.jpg", "nan.tif", "inf.tif", "zero.png", "page.jpg", "flipped.png", "bomb.png"}


def test_every_broken_picture_is_named_before_training(tmp_path):
    for number in range(4):
        picture(tmp_path / f"{number}.png", number)
    names = broken(tmp_path)
    source = Pictures(tmp_path, crop_px=32)
    source.examine()
    assert set(source.report.skipped) == names and source.report.num_used == 4


@pytest.mark.parametrize("packed", [False, True])
def test_broken_pictures_of_classes_are_named_in_folders_and_archives(tmp_path, packed):
    for number in range(6):
        picture(tmp_path / "d" / "ab"[number % 2] / f"{number}.png", number)
    names = {f"a/{name}" for name in broken(tmp_path / "d" / "a")}
    path = tmp_path / "d"
    if packed:
        path = tmp_path / "d.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted((tmp_path / "d").rglob("*.*")):
                archive.write(file, file.relative_to(tmp_path / "d"))
    source = ClassPictures(path, 32)
    source.examine()
    assert set(source.report.skipped) == names and source.report.num_used == 6
    assert "/tmp/ganvas-" not in source.report.text
    found = examine(path)
    assert {name.removeprefix(f"{path}/") for name in found.facts["problems"]} == names
    assert any(f"{len(names)} files cannot be used" in finding.what for finding in found.findings)


def test_inspect_and_train_name_the_same_pictures(tmp_path, capsys):
    for number in range(4):
        picture(tmp_path / "d" / f"{number}.png", number)
    names = broken(tmp_path / "d")
    cli.main(["inspect", str(tmp_path / "d")])
    said = capsys.readouterr().out
    assert all(name in said for name in names)
    source = Pictures(tmp_path / "d", crop_px=32)
    source.examine()
    assert (
        set(source.report.skipped)
        == names
        == {name.rpartition("/")[2] for name in examine(tmp_path / "d").facts["problems"]}
    )


def test_members_that_would_unpack_to_much_are_refused_without_unpacking(tmp_path):
    with zipfile.ZipFile(tmp_path / "d.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/bomb.bmp", bytes(1 << 26))
        archive.writestr("dataset.json", b'{"labels": [' + b" " * (archives.runs.MOST_JSON_BYTES) + b"]}")
    shelf = archives.open_shelf(tmp_path / "d.zip")
    with pytest.raises(UserError, match="would unpack to 67108864"), shelf.file("a/bomb.bmp"):
        pass
    with pytest.raises(UserError, match="at most"):
        shelf.read_json("dataset.json")


@pytest.mark.parametrize("content", [b"", b"[1,2", b"[" * 100_000, b"null", b"\xff\xfe"])
@pytest.mark.parametrize("packed", [False, True])
def test_files_of_labels_that_are_none_are_one_line(tmp_path, content, packed):
    picture(tmp_path / "d" / "a.png")
    (tmp_path / "d" / "dataset.json").write_bytes(content)
    path = tmp_path / "d"
    if packed:
        path = tmp_path / "d.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(tmp_path / "d" / "a.png", "a.png")
            archive.writestr("dataset.json", content)
    with pytest.raises(UserError, match=r"dataset\.json"):
        ClassPictures(path, 8)


@pytest.mark.parametrize("label", [10**8, 10**18, 10**30])
def test_a_label_number_costs_nothing(tmp_path, label):
    for name in ("a.png", "b.png"):
        picture(tmp_path / name)
    for classes in ({}, {"classes": ["x", "y"]}):
        (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"a.png": label, "b.png": 1}, **classes}))
        with pytest.raises(UserError, match=str(label)):
            ClassPictures(tmp_path, 8)


def test_a_class_of_one_picture_stays_in_training(tmp_path):
    for number in range(30):
        picture(tmp_path / ("rare" if number == 0 else "common") / f"{number}.png", number, 8)
    source = ClassPictures(tmp_path, 8)
    for seed in range(40):
        train, held = split(source, 0.3, seed)
        assert set(train.classes()) == {0, 1} and len(train) + len(held) == 30 and len(held) >= 8


def test_classes_of_one_picture_each_leave_nothing_to_hold_out(tmp_path):
    for name in "ab":
        picture(tmp_path / name / "1.png", size=8)
    with pytest.raises(UserError, match="only picture"):
        split(ClassPictures(tmp_path, 8), 0.5)


def test_macosx_and_runs_are_no_classes(tmp_path):
    for name in "ab":
        picture(tmp_path / name / "1.png", size=8)
    picture(tmp_path / "__MACOSX" / "1.png", size=8)
    picture(tmp_path / "runs" / "1" / "previews" / "1.png", size=8)
    (tmp_path / "runs" / "1" / "settings.json").write_text("{}")
    (tmp_path / "runs" / "1" / "checkpoints").mkdir()
    assert ClassPictures(tmp_path, 8).class_names == ["a", "b"]


def test_a_picture_may_take_so_much_memory_and_no_more(tmp_path, monkeypatch):
    picture(tmp_path / "a.png", size=64)
    Pictures(tmp_path, crop_px=32)
    monkeypatch.setattr(decoding, "MOST_DECODED_BYTES", 64 * 64 * 3 - 1)
    with pytest.raises(UserError, match="too large"):
        Pictures(tmp_path, crop_px=32)
