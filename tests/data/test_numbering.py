"""Frames by the number in their names: names of the world's tools, steps, holes, and numbers that stand there twice."""

from pathlib import Path

import numpy as np
import pytest
from drawn_clips import draw_clip
from PIL import Image

from ganvas.data.clips import Clips
from ganvas.data.numbering import numbered, runs_of, step_of
from ganvas.data.sequences import find_clips
from ganvas.errors import UserError


@pytest.mark.parametrize(
    "name",
    ["aachen_000000_{:06d}_leftImg8bit.png", "{:04d}_1080p.png", "f{:04d}_v2.png", "{:05d}_L2.png", "{}.png",
     "shot12.{:04d}.exr", "c_{:012d}_keypoints.json", "a1b{}c3.png", "take-2_{:03d}.png"],
)  # fmt: skip
def test_the_number_that_changes_is_the_frames(name):
    paths = [Path(name.format(number)) for number in range(6)]
    assert numbered(paths) == dict(enumerate(paths))
    if "c3" not in name:  # a single name tells it by itself, but for digits inside of words
        assert numbered(paths[4:5]) == {4: paths[4]}


def test_two_files_of_one_number_and_none(tmp_path):
    with pytest.raises(UserError, match=r"a_1_7\.png and b_1_7\.png.*both frame 7"):
        numbered([Path(f"{letter}_1_{number}.png") for letter in "ab" for number in (7, 8)])
    with pytest.raises(UserError, match=r"1\.jpg and .*1\.png"):
        numbered([Path("1.jpg"), Path("1.png"), Path("2.png")])
    with pytest.raises(UserError, match="no number"):
        numbered([Path("a.png")])


def test_steps_and_runs():
    assert step_of([4]) == 1 and step_of([0, 2, 4, 8, 10]) == 2
    assert runs_of([0, 2, 4, 8, 10]) == [[0, 2, 4], [8, 10]] and runs_of([5]) == [[5]]


def without(folder, frames, roles=("frames", "labels", "instances")):
    for role in roles:
        for number in frames:
            (folder / role / f"{number:06d}.png").unlink()


def test_holes_cut_what_is_trained_on_and_not_what_is_generated(tmp_path):
    clip = draw_clip(tmp_path / "one", frames=9, roles=("frames", "labels", "instances"))
    without(clip, (3, 4))
    (whole,) = find_clips(clip)
    assert len(whole) == 7 and "lacks the frames 3, 4" in " ".join(whole.notes)
    first, second = find_clips(clip, cut_at_gaps=True)
    assert [still.name for still in second.files["labels"]] == [f"00000{n}.png" for n in (5, 6, 7, 8)]
    source = Clips(clip, flow_from="none")
    assert [len(one) for one in source.clips] == [3, 4] and "lacks the frames 3, 4" in source.report.text
    without(clip, (1,))
    source = Clips(clip, flow_from="none")
    assert [len(one) for one in source.clips] == [4] and "2 sequences of one frame are passed" in source.report.text
    assert first.name != second.name


def test_steps_are_accepted_and_told(tmp_path):
    clip = draw_clip(tmp_path / "one", frames=9, roles=("frames", "labels"))
    without(clip, (1, 3, 5, 7), ("frames", "labels"))
    source = Clips(clip, flow_from="none")
    assert [len(one) for one in source.clips] == [5] and "steps of 2" in source.report.text
    (clip / "flow").mkdir()
    for number in range(0, 9, 2):
        Image.fromarray(np.zeros((16, 32), np.float32)).save(clip / "flow" / f"{number:06d}.tif")
    with pytest.raises(UserError, match=r"lacks the frames 1, 3, 5, 7.*flow"):
        find_clips(clip)


def test_sequences_of_one_frame_only_are_none(tmp_path):
    for number in range(3):
        draw_clip(tmp_path / f"clip{number}", frames=1, roles=("frames", "labels"))
    with pytest.raises(UserError, match="Each of its 3 sequences has one frame"):
        Clips(tmp_path, flow_from="none")
    draw_clip(tmp_path / "long", frames=4, roles=("frames", "labels"))
    assert [clip.name for clip in Clips(tmp_path, flow_from="none").clips] == ["long"]


@pytest.mark.parametrize("names", [("train_A", "train_B", "train_inst"), ("images", "seg_maps", "instance_maps")])
def test_the_originals_and_imaginaires_folders(tmp_path, names):
    roles = dict(
        zip(names, ("labels", "frames", "instances") if "A" in names[0] else ("frames", "labels", "instances"))
    )
    drawn = draw_clip(tmp_path / "drawn", frames=6, roles=roles.values())
    for name, role in roles.items():
        (tmp_path / "set" / name / "seq0000").mkdir(parents=True)
        for path in sorted((drawn / role).iterdir()):
            path.rename(tmp_path / "set" / name / "seq0000" / f"aachen_000000_{path.stem}_leftImg8bit.png")
    (clip,) = Clips(tmp_path / "set", flow_from="none").clips
    assert len(clip) == 6 and clip.files.keys() == {"labels", "frames", "instances"}


def test_tests_are_generated_from_and_trained_on_is_what_is_to_train(tmp_path):
    for phase, frames in (("train", 4), ("test", 3)):
        drawn = draw_clip(tmp_path / phase, frames=frames, roles=("labels", "frames"))
        for name, role in ((f"{phase}_A", "labels"), (f"{phase}_B", "frames")):
            (tmp_path / "set" / name).mkdir(parents=True)
            (drawn / role).rename(tmp_path / "set" / name / "s")
    assert [len(clip) for clip in find_clips(tmp_path / "set", needs=("frames",))] == [4]
    assert [len(clip) for clip in find_clips(tmp_path / "set")] == [3]


def test_maps_side_by_side_as_cityscapes_has_them(tmp_path):
    drawn = draw_clip(tmp_path / "one", frames=3, roles=("labels", "frames"))
    for path in sorted((drawn / "labels").iterdir()):
        stem = f"ulm_000001_{path.stem}_gtFine"
        Image.new("RGB", (32, 16)).save(drawn / "labels" / f"{stem}_color.png")
        path.rename(drawn / "labels" / f"{stem}_labelIds.png")
    (clip,) = find_clips(drawn)
    assert [still.name.rpartition("_")[2] for still in clip.files["labels"]] == ["labelIds.png"] * 3
