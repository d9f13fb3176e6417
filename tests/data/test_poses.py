"""People as OpenPose and its successors write them: names, numbers of points, shares of pictures; nothing unseen."""

import json

import numpy as np
import pytest
from PIL import Image

from ganvas.cli import main
from ganvas.data import drawings
from ganvas.data.clips import Clips
from ganvas.data.sequences import find_clips
from ganvas.errors import UserError

SIZE = (64, 96)


def write_clip(folder, people, frames=3, size=SIZE, **facts):
    """Write frames and, for each, what `people` gives for its number."""
    for role in ("poses", "frames"):
        (folder / role).mkdir(parents=True, exist_ok=True)
    for number in range(frames):
        told = {"people": people(number), **facts}
        (folder / "poses" / f"c_{number:012d}_keypoints.json").write_text(json.dumps(told))
        Image.new("RGB", size[::-1], (number, 9, 9)).save(folder / "frames" / f"{number:06d}.png")
    return folder


def joints(count, number=0):
    angles = np.linspace(0, 5, count)
    return np.stack([48 + 30 * np.cos(angles) + number, 32 + 20 * np.sin(angles)], 1)


def flat(points, confidence=0.9):
    return np.concatenate([points, np.full((len(points), 1), confidence)], 1).ravel().tolist()


def drawn(folder, frame=0):
    return find_clips(folder)[0].files["conditions"][frame].read()


@pytest.fixture
def wanted(tmp_path):
    return drawn(write_clip(tmp_path / "wanted", lambda n: [{"pose_keypoints_2d": flat(joints(18, n))}]))


def test_old_names_draw_what_new_ones_do(tmp_path, wanted):
    old = write_clip(tmp_path / "old", lambda n: [{"pose_keypoints": flat(joints(18, n)), "face_keypoints": []}])
    assert np.array_equal(drawn(old), wanted) and (wanted > 0).any()
    pairs = write_clip(tmp_path / "pairs", lambda n: [{"pose_keypoints_2d": joints(18, n).ravel().tolist()}])
    assert np.array_equal(drawn(pairs), wanted)
    nested = write_clip(tmp_path / "nested", lambda n: [{"pose_keypoints_2d": joints(18, n).tolist()}])
    assert np.array_equal(drawn(nested), wanted)


@pytest.mark.parametrize("signed", [False, True])
def test_shares_of_the_picture_are_drawn_where_they_are(tmp_path, wanted, signed):
    def shares(number):
        inside = (joints(18, number) + 0.5) / SIZE[::-1]
        return inside * 2 - 1 if signed else inside

    folder = write_clip(tmp_path / "shares", lambda n: [{"pose_keypoints_2d": flat(shares(n))}])
    # Rounding moves nothing by more than a level or two.
    assert np.abs(drawn(folder).astype(int) - wanted).max() <= 2
    assert "shares of the picture" in Clips(folder, flow_from="none").report.text
    alone = drawings.draw(drawings.read_pose(sorted((folder / "poses").iterdir())[0]), SIZE)
    assert np.array_equal(alone, drawn(folder))


def test_cocos_17_points_are_drawn_as_the_18_that_they_are(tmp_path):
    coco = joints(17)
    left, right = coco[5], coco[6]
    order = [0, None, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3]
    body = np.array([(left + right) / 2 if place is None else coco[place] for place in order])
    one = write_clip(tmp_path / "coco", lambda n: [{"pose_keypoints_2d": flat(coco)}])
    other = write_clip(tmp_path / "body", lambda n: [{"pose_keypoints_2d": flat(body)}])
    assert np.array_equal(drawn(one), drawn(other))


@pytest.mark.parametrize("count", [15, 17, 18, 25])
def test_every_number_of_points_is_seen(tmp_path, count):
    folder = write_clip(tmp_path / "set", lambda n: [{"pose_keypoints_2d": flat(joints(count))}])
    seen = drawn(folder).max(-1) > 127
    placed = np.rint(joints(count)).astype(int)
    assert sum(seen[y, x] for x, y in placed) > count - 3  # a joint may lie on a line's soft edge


def test_unknown_joints_of_every_kind_are_left_out(tmp_path):
    points = joints(18)
    points[4] = 0
    one = drawings.read_pose(_file(tmp_path / "a.json", points.ravel().tolist()))
    sure = flat(joints(18))
    sure[4 * 3 : 4 * 3 + 3] = [None, None, None]
    other = drawings.read_pose(_file(tmp_path / "b.json", sure))
    assert np.isnan(one.figures[0].joints[4]).all() and np.isnan(other.figures[0].joints[4]).all()
    assert np.array_equal(drawings.draw(one, SIZE), drawings.draw(other, SIZE))


def _file(path, numbers):
    path.write_text(json.dumps({"people": [{"pose_keypoints_2d": numbers}]}))
    return path


@pytest.mark.parametrize(
    ("people", "told"),
    [
        (lambda n: [{"keypoints": flat(joints(18))}], r"in any of 3 frames.*people have keypoints"),
        (lambda n: [], "in any of 3 frames.*no people"),
        (lambda n: [{"pose_keypoints_2d": flat(joints(18), 0.0)}], "in any of 3 frames.*sure enough"),
        (lambda n: [{"pose_keypoints_2d": flat(joints(18) / 60 + 9)}], r"cannot be seen.*within \d px of 96x64"),
        (lambda n: [{"pose_keypoints_2d": flat(joints(18) + 500)}], r"cannot be seen.*beyond the pictures of 96x64"),
    ],
)
def test_what_would_draw_nothing_is_an_error(tmp_path, people, told):
    with pytest.raises(UserError, match=told):
        Clips(write_clip(tmp_path / "set", people), flow_from="none")


def test_frames_without_anybody_and_points_beyond_are_told(tmp_path):
    folder = write_clip(tmp_path / "set", lambda n: [{"pose_keypoints_2d": flat(joints(18) + 40)}] if n else [])
    told = Clips(folder, flow_from="none").report.text
    assert "1 of 3 frames show nobody" in told and "% of the key points lie beyond" in told


def test_the_canvas_tells_the_size(tmp_path, wanted):
    twice = write_clip(tmp_path / "set", lambda n: [{"pose_keypoints_2d": flat(joints(18, n) * 2 + 0.5)}],
                       canvas_width=2 * SIZE[1], canvas_height=2 * SIZE[0])  # fmt: skip
    assert np.array_equal(drawn(twice), wanted)


def test_the_doctor_looks_at_sequences_of_poses(tmp_path, capsys):
    good = write_clip(tmp_path / "good", lambda n: [{"pose_keypoints_2d": flat(joints(18))}] if n else [])
    assert main(["inspect", str(good)]) == 0
    assert "1 of 3 frames show nobody" in capsys.readouterr().out
    bad = write_clip(tmp_path / "bad", lambda n: [{"points": flat(joints(18))}])
    assert main(["inspect", str(bad)]) == 1
    assert "No key points in any of 3 frames" in capsys.readouterr().out
