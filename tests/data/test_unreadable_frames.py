"""Pictures whose header is whole and whose pixels are not: every kind of data names them before training."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from ganvas import cli
from ganvas.data.doctor import examine
from ganvas.errors import UserError
from ganvas.io.labels.legends import MOST_LABELS, read_legend
from ganvas.io.pictures import images
from ganvas.recipes import base

RECIPES = {"pix2pixhd": False, "vid2vid": True, "reverse_matchmove": True}
"""Whether a frame that is missing leaves a gap that training cannot pass over."""


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    folder = tmp_path_factory.mktemp("street") / "street"
    assert cli.main(["world", "--out", str(folder), "--frames", "8", "--size", "64x32"]) == cli.DONE
    return folder


@pytest.fixture
def footage(street, tmp_path):
    return Path(shutil.copytree(street, tmp_path / "street"))


def flip_png(path: Path) -> Path:
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 8] = bytes(255 - byte for byte in content[middle : middle + 8])
    path.write_bytes(content)
    return path


def cut_jpeg(path: Path) -> Path:
    Image.open(path).convert("RGB").save(path := path.with_suffix(".jpg"), quality=95)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    path.with_suffix(".png").unlink()
    return path


def not_finite(path: Path) -> Path:
    values = images.read(path)[0].astype(np.float32) / 255
    values[0, 0] = np.nan
    path.unlink()
    tifffile.imwrite(path := path.with_suffix(".tif"), values)
    return path


@pytest.mark.parametrize("damage", [flip_png, cut_jpeg, not_finite])
@pytest.mark.parametrize("recipe", RECIPES)
def test_it_is_named_before_training(recipe, damage, footage):
    broken = damage(footage / "frames" / "000002.png")
    kind = base.find(recipe)
    try:
        source = kind(base.preset(kind).settings).source(str(footage))
        examination = examine(source)
    except UserError as error:
        assert RECIPES[recipe] and broken.name in str(error)
        return
    told = " ".join([*examination.lines(), getattr(getattr(source, "report", None), "text", "")])
    assert broken.name in told or broken.stem in told
    assert examination.is_healthy != RECIPES[recipe]


@pytest.mark.parametrize("layout", ["labels", "sequences", "cameras"])
def test_inspect_says_the_same(layout, footage, capsys):
    broken = flip_png(footage / "frames" / "000002.png")
    if layout != "labels":
        for name in ("labels", "instances", "legend.json"):
            target = footage / name
            shutil.rmtree(target) if target.is_dir() else target.unlink()
    options = ["--cameras", str(footage / "transforms.json")] if layout == "cameras" else []
    if layout == "sequences":
        for name in ("transforms.json", "cameras.csv"):
            (footage / name).unlink()
    capsys.readouterr()
    cli.main(["inspect", str(footage), *options])
    assert str(broken) in capsys.readouterr().out


def test_a_whole_set_is_in_order(footage):
    for recipe in RECIPES:
        kind = base.find(recipe)
        assert examine(kind(base.preset(kind).settings).source(str(footage))).is_healthy


def test_cameras_that_look_wrong_are_told_before_training(footage, capsys):
    lines = (footage / "cameras.csv").read_text().splitlines()
    (footage / "transforms.json").unlink()
    same, name = lines[1].rpartition(",")[0], lines[2].rpartition(",")[2]
    (footage / "cameras.csv").write_text("\n".join([*lines[:2], f"{same},{name}", *lines[3:]]))
    kind = base.find("reverse_matchmove")
    found = examine(kind(base.preset(kind).settings).source(str(footage)))
    assert found.is_healthy and any("same as another" in line for line in found.lines())
    assert cli.main(["inspect", str(footage), "--cameras", str(footage / "cameras.csv")]) == cli.USER_ERROR
    assert "same as another" in capsys.readouterr().out


def test_what_is_no_file_is_named(tmp_path):
    images.write(tmp_path / "whole.png", np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "device.jpg").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.tif")
    os.mkfifo(tmp_path / "notes.txt")
    found, problems = images.find_pictures([tmp_path])
    assert [path.name for path in found] == ["whole.png"]
    assert {Path(path).name: why for path, why in problems} == {
        "gone.png": "it is a link to nothing", "device.jpg": "it is no file", "pipe.tif": "it is no file",
    }  # fmt: skip


@pytest.mark.parametrize("recipe", ["pix2pixhd", "vid2vid"])
def test_ids_that_would_cost_a_plane_each_are_refused_by_training(recipe, footage):
    (footage / "legend.json").unlink()
    for path in (footage / "labels").glob("*.png"):
        ids = np.asarray(Image.open(path)).astype(np.uint16)
        ids[0, 0] = 65000
        Image.fromarray(ids).save(path)
    kind = base.find(recipe)
    found = examine(kind(base.preset(kind).settings).source(str(footage)))
    assert not found.is_healthy and "The ids go to 65000" in found.lines()[0]


@pytest.mark.parametrize("count", [70_000, 60_000])
def test_a_legend_of_many_entries_takes_no_time(count, tmp_path):
    entries = [{"id": number, "name": "x", "color": [0, 0, 0]} for number in range(count)]
    (tmp_path / "legend.json").write_text(json.dumps({"labels": entries}))
    began = time.process_time()
    if count > MOST_LABELS:
        with pytest.raises(UserError, match="70000 entries"):
            read_legend(tmp_path / "legend.json")
    else:
        assert len(read_legend(tmp_path / "legend.json")) == count
    # Compared one by one with all others, they took a minute.
    assert time.process_time() - began < 10
