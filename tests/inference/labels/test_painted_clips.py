"""What a painter is asked for by a name: a video, numbered frames, one picture, one sheet; and what it refuses."""

import itertools
import shutil

import numpy as np
import pytest

from ganvas import cli
from ganvas.io.pictures import images
from ganvas.io.video.reader import VideoReader

PAINT = ["generate", "street-painter", "--device", "cpu", "--precision", "float32"]


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    root = tmp_path_factory.mktemp("drawn") / "street"
    words = ["world", "--out", str(root), "--frames", "3", "--size", "128x64", "--seed", "7", "--quiet"]
    assert cli.main(words) == 0
    return root


@pytest.fixture(scope="module")
def painted(street, tmp_path_factory):
    folder = tmp_path_factory.mktemp("painted")
    assert cli.main([*PAINT, "--labels", str(street), "--out", str(folder)]) == 0
    return [images.read(folder / f"00000{number}.png")[0] for number in range(3)]


def test_a_sequence_becomes_a_video_of_its_pictures(street, painted, tmp_path):
    out = tmp_path / "clip.mp4"
    assert cli.main([*PAINT, "--labels", str(street), "--out", str(out), "--fps", "25"]) == 0
    with VideoReader(out) as video:
        frames = [images.to_float(frame.picture) for frame in video]
        assert video.header.fps == 25
    assert len(frames) == 3
    for frame, picture in zip(frames, painted):
        assert np.abs(frame - images.to_float(picture)).mean() < 0.03  # what the codec loses
    assert cli.main([*PAINT, "--labels", str(street), "--out", str(out)]) == 1  # not replaced unasked


def test_a_sequence_becomes_numbered_frames_with_the_numbers_of_its_maps(street, painted, tmp_path):
    plates = tmp_path / "plates"
    for role in ("labels", "instances"):
        (plates / role).mkdir(parents=True)
        for number in range(3):
            shutil.copy(street / role / f"00000{number}.png", plates / role / f"sh010.{1001 + number}.png")
    shutil.copy(street / "legend.json", plates)
    assert cli.main([*PAINT, "--labels", str(plates), "--out", str(tmp_path / "new" / "f.####.png")]) == 0
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [f"f.{1001 + n}.png" for n in range(3)]
    for number, picture in enumerate(painted):
        assert np.array_equal(images.read(tmp_path / "new" / f"f.{1001 + number}.png")[0], picture)


@pytest.mark.parametrize("out", ["c.mp4", "c.mov", "c.####.png", "c.png", "c.heic", "c.tif"])
@pytest.mark.parametrize("more", [[], ["--styles", "car"], ["--styles", "all"]])
def test_a_file_that_is_asked_for_is_no_folder(out, more, street, tmp_path):
    cli.main([*PAINT, "--labels", str(street), "--out", str(tmp_path / out), *more])
    assert not (tmp_path / out).is_dir()


def test_one_map_and_class_make_one_sheet_whose_panels_have_numbers(street, tmp_path):
    one = str(street / "labels" / "000001.png")
    assert cli.main([*PAINT, "--labels", one, "--out", str(tmp_path / "sheet.png"), "--styles", "car"]) == 0
    sheet = images.to_float(images.read(tmp_path / "sheet.png")[0])
    panels = np.split(sheet, 10, axis=1)
    assert sheet.shape == (64 + 18, 1280, 3)
    headings = [panel[:18] for panel in panels]
    assert all(heading.max() > 0.5 for heading in headings)
    assert all((one != other).any() for one, other in itertools.pairwise(headings))
    assert cli.main([*PAINT, "--labels", one, "--out", str(tmp_path / "3.png"), "--style", "car=3"]) == 0
    assert np.abs(panels[3][18:] - images.to_float(images.read(tmp_path / "3.png")[0])).max() < 2 / 255


def test_an_instance_that_no_map_shows_is_an_error_with_those_that_there_are(street, tmp_path, capsys):
    said = [*PAINT, "--labels", str(street), "--out", str(tmp_path / "out"), "--style"]
    assert cli.main([*said, "car@1=3"]) == 1
    told = capsys.readouterr().err
    assert "No label map shows car@1" in told and "px in 00000" in told and not (tmp_path / "out").exists()
    largest = told.split("The largest of car: car@")[1].split(" ")[0]
    assert cli.main([*said, f"car@{largest}=3", "--quiet"]) == 0


@pytest.mark.parametrize("below", ["a", "a/b", "a/b/c"])
def test_a_folder_above_a_set_is_refused_with_the_sets_place(below, street, tmp_path, capsys):
    shutil.copytree(street, tmp_path / "top" / below / "street")
    assert cli.main([*PAINT, "--labels", str(tmp_path / "top"), "--out", str(tmp_path / "out")]) == 1
    told = capsys.readouterr().err
    assert f"--labels {tmp_path / 'top' / below / 'street'}" in told and len(told.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_maps_that_are_all_bad_are_told_once_and_a_good_one_among_them_is_painted(tmp_path, capsys):
    (tmp_path / "maps").mkdir()
    for number in range(8):
        images.write(tmp_path / "maps" / f"{number}.png", np.full((8, 16, 1), 90 + number, np.uint8))
    said = [*PAINT, "--labels", str(tmp_path / "maps"), "--out", str(tmp_path / "out")]
    assert cli.main(said) == 1
    told = capsys.readouterr().err
    assert told.count("label id") == 1 and "None of the 8 label maps" in told
    images.write(tmp_path / "maps" / "good.png", np.zeros((8, 16, 1), np.uint8))
    assert cli.main(said) == 1 and [path.name for path in (tmp_path / "out").iterdir()] == ["good.png"]


def test_a_message_names_one_id_only(tmp_path, capsys):
    ids = np.array([[0, 90, 200, 255]] * 4, np.uint8)[..., None]
    images.write(tmp_path / "m.png", ids)
    assert cli.main([*PAINT, "--labels", str(tmp_path / "m.png"), "--out", str(tmp_path / "out")]) == 1
    told = capsys.readouterr().err.partition(" holds ")[2]  # the folder has numbers of its own
    assert "label id 200 at pixel x=2" in told and "--ignore 200" in told and "90" not in told and "255" not in told
