"""Names of outputs, and what a batch does: nothing shares a name, and what is done is passed over."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganvas import cli
from ganvas.cli.console import counted
from ganvas.errors import UserError
from ganvas.inference.picture.jobs import plan
from ganvas.inference.picture.options import Naming, Sizing
from ganvas.inference.picture.suite import read_time
from ganvas.inference.result import Counted


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8)).save(path)
    return path


def targets(inputs, out=None, sizing=None, **naming) -> list[str]:
    made = plan(inputs, out, Naming(**naming), sizing or Sizing(), "compact-x4", 4)
    assert not made.problems
    return [str(job.target) for job in (*made.pictures, *made.videos)]


def test_outputs_lie_beside_their_inputs(tmp_path):
    photo = picture(tmp_path / "sub" / "photo.jpg")
    assert targets([photo]) == [str(tmp_path / "sub" / "photo_x4.jpg")]
    assert targets([photo], sizing=Sizing(factor=2.5)) == [str(tmp_path / "sub" / "photo_x2.5.jpg")]
    assert targets([photo], sizing=Sizing(size=(640, 0))) == [str(tmp_path / "sub" / "photo_640.jpg")]
    assert targets([photo], sizing=Sizing(long_side=800), format="png") == [str(tmp_path / "sub" / "photo_800px.png")]


def test_patterns_and_formats(tmp_path):
    for name in ("a.png", "a.jpg", "a.gif"):
        picture(tmp_path / "in" / name)
    names = [
        Path(t).name
        for t in targets([tmp_path / "in"], tmp_path / "out", pattern="{name}-{ext}-{model}", format="webp")
    ]
    assert names == ["a-gif-compact-x4.webp", "a-jpg-compact-x4.webp", "a-png-compact-x4.webp"]
    assert sorted(Path(t).name for t in targets([tmp_path / "in"], tmp_path / "out")) == ["a.jpg", "a.png", "a.png"]
    for bad in ({"pattern": "{nmae}"}, {"pattern": "a/{name}"}, {"format": "pgn"}, {"pattern": "{name"}):
        with pytest.raises(UserError):
            targets([tmp_path / "in"], tmp_path / "out", **bad)


def test_videos_and_folders_of_them(tmp_path):
    for name in ("a.mp4", "b.avi", "c.webm"):
        (tmp_path / name).touch()
    picture(tmp_path / "d.png")
    made = plan([tmp_path], tmp_path / "out", Naming(), Sizing(), "m", 4)
    assert [job.target.name for job in made.videos] == ["a.mp4", "b.mkv", "c.webm"] and len(made.pictures) == 1
    assert [Path(t).name for t in targets([str(tmp_path / "*.avi")], tmp_path / "out")] == ["b.mkv"]
    assert targets([tmp_path / "a.mp4"], format="mov") == [str(tmp_path / "a_x4.mov")]


def test_many_inputs_need_a_folder(tmp_path):
    for name in ("a.png", "b.png"):
        picture(tmp_path / "in" / name)
    with pytest.raises(UserError, match="2 inputs"):
        targets([tmp_path / "in"], tmp_path / "a.png")
    assert len(targets([tmp_path / "in"], tmp_path / "v1.5")) == 2


@pytest.mark.parametrize("stem", ["a" * 251, "ä" * 125])
def test_long_names_fit(tmp_path, stem):
    photo = picture(tmp_path / f"{stem}.png")
    [target] = targets([photo])
    assert len(Path(target).name.encode()) <= 255 and target.endswith("_x4.png")


def test_a_second_run_passes_over_what_is_done(tmp_path, capsys):
    for name in ("a.png", "b.png"):
        picture(tmp_path / "in" / name)
    command = ["upscale", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--device", "cpu", "--factor", "1"]
    assert cli.main(command) == cli.DONE
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    capsys.readouterr()
    assert cli.main(command) == cli.DONE
    said = capsys.readouterr()
    assert "2 exist already" in said.err and "--overwrite" in said.err and said.out == ""
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before
    assert cli.main([*command, "--json"]) == cli.DONE
    assert [json.loads(line)["skipped"] for line in capsys.readouterr().out.splitlines()] == [True, True]
    single = ["upscale", str(tmp_path / "in" / "a.png"), "-o", str(tmp_path / "out" / "a.png"), "-s", "1"]
    assert cli.main(single) == cli.USER_ERROR and "--overwrite" in capsys.readouterr().err
    assert cli.main([*single, "--skip-existing"]) == cli.DONE


def test_short_options_and_default_names(tmp_path, capsys):
    photo = picture(tmp_path / "photo.png")
    assert cli.main(["upscale", "-i", str(photo), "-m", "compact-x2", "--device", "cpu"]) == cli.DONE
    with Image.open(tmp_path / "photo_x2.png") as copy:
        assert copy.size == (32, 24)
    assert cli.main([str(photo)]) == cli.USAGE
    assert f"ganvas upscale {photo}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        ["--crop", "0,0,8,8", "--size", "100x100"],
        ["--crop", "0,0,8,8", "--quality", "50"],
        ["--blend", "compact-x4", "compact-x4-gan", "--model", "compact-x2"],
        ["--mix", "0.3"],
        ["--codec", "h264"],
        ["--from", "3"],
        ["--crf", "20"],
    ],
)
def test_options_that_mean_nothing_are_refused_by_name(tmp_path, capsys, options):
    photo = picture(tmp_path / "photo.png")
    assert cli.main(["upscale", str(photo), "--out", str(tmp_path / "b.png"), *options]) == cli.USAGE
    assert options[-2] in capsys.readouterr().err and not (tmp_path / "b.png").exists()


def test_a_comparison_is_json_where_asked(tmp_path, capsys):
    photo = picture(tmp_path / "photo.png")
    command = [
        "upscale",
        str(photo),
        "--out",
        str(tmp_path / "b.png"),
        "--crop",
        "0,0,8,8",
        "--json",
        "--device",
        "cpu",
    ]
    assert cli.main(command) == cli.DONE
    assert json.loads(capsys.readouterr().out)["output"] == str(tmp_path / "b.png")


def test_how_far_a_batch_is():
    assert counted(Counted(12, 500, 180)) == "12 of 500, 3 min left"
    assert counted(Counted(0, 500, None)) == "0 of 500"
    assert counted(Counted(1, 3, 40.2)) == "1 of 3, 40 s left" and counted(Counted(1, 3, 9000)) == "1 of 3, 2.5 h left"


def test_times():
    assert [float(read_time(text)) for text in ("83.5", "1:23.5", "0:01:23.5")] == [83.5] * 3
    for bad in ("x", "1:", "-3", ""):
        with pytest.raises(UserError):
            read_time(bad)
