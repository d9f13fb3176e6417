"""Sequences from videos, key points, edges and id mattes: exact frames, drawings that are where they should be."""

import json
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import OpenImageIO as oiio
import pytest
from drawn_clips import draw_clip
from skimage.feature import canny

from ganvas.data import drawings, edges
from ganvas.data.clips import Clips, read_condition
from ganvas.data.sequences import find_clips, require_one_size
from ganvas.errors import UserError
from ganvas.io.labels import cryptomatte
from ganvas.io.pictures import images


def film(path: Path, pictures, form="rgb24", codec="ffv1", to="bgr0", stamps=None) -> Path:
    """Write a video with PyAV alone."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = to
        stream.time_base = Fraction(1, 25)
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format=form)
            frame.pts, frame.time_base = (stamps or range(1000))[number], Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture
def clip(tmp_path):
    return draw_clip(tmp_path / "set" / "one")


def pictures_of(folder: Path) -> list[np.ndarray]:
    return [images.read(path)[0] for path in sorted(folder.iterdir())]


# Videos


@pytest.mark.parametrize("place", ["frames.mkv", "frames/any.mkv", "shot_12.mkv"])
def test_a_video_gives_the_frames_of_its_pictures(clip, place):
    truth = pictures_of(clip / "frames")
    wanted = Clips(clip).read(0, [5, 1, 7, 6, 0])["picture"]
    shutil.rmtree(clip / "frames")
    (clip / place).parent.mkdir(exist_ok=True)
    film(clip / place, truth)
    source = Clips(clip)
    assert len(source.clips[0].files["frames"]) == 8
    # Forwards, backwards and the same again.
    assert np.array_equal(source.read(0, [5, 1, 7, 6, 0])["picture"].numpy(), wanted.numpy())


def test_maps_as_lossless_videos_and_numbers_that_begin_late(clip):
    truth = [read_condition(find_clips(clip)[0], frame, 2) for frame in range(8)]
    for role in ("labels", "instances"):
        maps = pictures_of(clip / role)
        shutil.rmtree(clip / role)
        bits = ("gray", "gray") if role == "labels" else ("gray16le", "gray16le")
        film(clip / f"{role}.mkv", [plane[..., 0] for plane in maps], bits[0], to=bits[1])
    for path in sorted((clip / "frames").iterdir(), reverse=True):
        path.rename(path.with_name(f"{int(path.stem) + 100:06d}.png"))
    with pytest.raises(UserError, match="lacks frames"):
        find_clips(clip)  # the video's frames are 0 to 7: files beside them must be, too
    for path in sorted((clip / "frames").iterdir()):
        path.rename(path.with_name(f"{int(path.stem) - 100:06d}.png"))
    found = find_clips(clip)[0]
    for frame in (3, 0, 7):
        planes = read_condition(found, frame, 2)
        assert all(np.array_equal(planes[name], truth[frame][name]) for name in planes)


def test_colours_of_a_legend_as_a_video(clip):
    wanted = Clips(clip).read(0, range(8))["label_map"]
    colors = np.array([[60, 120, 60], [200, 40, 40]], np.uint8)
    film(clip / "labels.mkv", [colors[plane[..., 0]] for plane in pictures_of(clip / "labels")])
    with pytest.raises(UserError, match="twice"):
        find_clips(clip)
    shutil.rmtree(clip / "labels")
    assert np.array_equal(Clips(clip).read(0, range(8))["label_map"].numpy(), wanted.numpy())
    (clip / "legend.json").write_text('{"labels": [{"id": 0, "name": "plain", "color": [60, 120, 60]}]}')
    with pytest.raises(UserError, match=r"colour \(200, 40, 40\).*legend"):
        Clips(clip)


def test_roles_first_with_a_video_for_each_sequence(clip, tmp_path):
    for name in ("a", "b"):
        shutil.copytree(clip / "labels", tmp_path / "set2" / "labels" / name)
        (tmp_path / "set2" / "frames").mkdir(exist_ok=True)
        film(tmp_path / "set2" / "frames" / f"{name}.mkv", pictures_of(clip / "frames"))
    found = find_clips(tmp_path / "set2", needs=["frames"])
    assert [one.name for one in found] == ["a", "b"] and require_one_size(found) == (16, 32)


def test_videos_that_do_not_fit_are_refused(clip):
    frames = pictures_of(clip / "frames")
    shutil.rmtree(clip / "frames")
    film(clip / "frames.mkv", frames[:7])
    with pytest.raises(UserError, match=r"frames.mkv has 7 frames, and there are 8 labels"):
        find_clips(clip)
    film(clip / "frames.mkv", frames, stamps=[0, 1, 2, 5, 6, 9, 10, 11])
    with pytest.raises(UserError, match="variable frame rate"):
        find_clips(clip)
    film(clip / "frames.mkv", frames)
    film(clip / "labels.mkv", frames, codec="mpeg4", to="yuv420p")
    shutil.rmtree(clip / "labels")
    with pytest.raises(UserError, match="other colours than the legend"):
        Clips(clip)
    (clip / "legend.json").unlink()
    with pytest.raises(UserError, match="changes values, and no legend"):
        Clips(clip)


# Key points


def person(*joints: tuple[float, float]) -> dict:
    points = np.zeros((25, 3))
    points[: len(joints), :2], points[: len(joints), 2] = joints, 0.9
    return {"pose_keypoints_2d": points.flatten().tolist()}


def test_a_limb_is_drawn_where_it_is_and_an_unknown_joint_is_not(tmp_path):
    # Neck and right shoulder are known, so that one limb is drawn, in its colour, and nothing to (0, 0).
    (tmp_path / "p.json").write_text(json.dumps({"people": [person((0, 0), (4, 10), (24, 10))]}))
    sketch = drawings.read_pose(tmp_path / "p.json")
    joints = sketch.figures[0].joints.copy()
    joints[0] = np.nan
    sketch = drawings.Sketch(sketch.path, (sketch.figures[0]._replace(joints=joints),))
    picture = drawings.draw(sketch, (20, 40))
    seen = picture.max(-1) > 0
    assert np.array_equal(seen, [[y == 10 and 4 <= x <= 24 for x in range(40)] for y in range(20)])
    assert (picture[10, 4:25] == picture[10, 4]).all() and picture[10, 4].max() == 255
    # Twice the size: the line is at the same place of the picture, twice as thick at most.
    large = drawings.draw(drawings.Sketch(sketch.path, sketch.figures, (20, 40)), (40, 80))
    ys, xs = np.nonzero(large.max(-1) > 127)
    assert (ys.mean() + 0.5) / 40 == pytest.approx(10.5 / 20) and (xs.mean() + 0.5) / 80 == pytest.approx(14.5 / 40)


def test_poses_and_lists_of_points_are_conditions(clip):
    for role in ("labels", "instances", "flow", "occlusion"):
        shutil.rmtree(clip / role)
    (clip / "poses").mkdir()
    for number in range(8):
        told = {"people": [] if number == 3 else [person((3, 3), (8 + number, 5), (20, 12))]}
        (clip / "poses" / f"shot_{number:012d}_keypoints.json").write_text(json.dumps(told))
    source = Clips(clip, flow_from="none")
    planes = source.read(0, range(8))
    assert source.channels_label == 3 and planes["condition"].shape == (8, 3, 16, 32)
    lit = planes["condition"].amax((1, 2, 3))
    assert lit[3] == 0 and (lit[[0, 1, 2, 4, 5, 6, 7]] > 0.9).all()

    shutil.rmtree(clip / "poses")
    points = [[[number, 4], None, [20, 8]] for number in range(8)]
    (clip / "points.json").write_text(json.dumps({"frames": points}))
    dots = Clips(clip, flow_from="none").read(0, range(8))["condition"]
    assert all(dots[number, :, 4, number].max() == 1 and dots[number, :, 8, 20].max() == 1 for number in range(8))
    (clip / "points.json").write_text(json.dumps({"frames": points, "lines": [[0, 3]]}))
    with pytest.raises(UserError, match="A line goes to point 3"):
        find_clips(clip)


def test_points_alone_need_a_size(tmp_path):
    (tmp_path / "points.json").write_text('{"frames": [[[1, 2]], [[2, 3]]]}')
    with pytest.raises(UserError, match="canvas_width"):
        find_clips(tmp_path)
    assert find_clips(tmp_path, size_px=(6, 8))[0].files["conditions"][1].read().shape == (6, 8, 3)
    (tmp_path / "points.json").write_text('{"frames": [[[1, 2]]], "canvas_width": 9, "canvas_height": 5}')
    assert find_clips(tmp_path)[0].files["conditions"][0].size_px == (5, 9)


@pytest.mark.parametrize("told", ["{}", '{"people": [{"pose_keypoints_2d": [1, 2]}]}',
                                  '{"people": [{"pose_keypoints_2d": [1, 2, 3]}]}'])  # fmt: skip
def test_what_is_no_pose_is_refused(tmp_path, told):
    (tmp_path / "p.json").write_text(told)
    with pytest.raises(UserError, match=r"p\.json"):
        drawings.read_pose(tmp_path / "p.json")


# Edges


def test_edges_agree_with_another_canny():
    y, x = np.mgrid[:48, :64]
    disc = ((x - 30) ** 2 + (y - 22) ** 2 < 15**2) * 0.7 + 0.1
    mine = edges.edge_map(disc[..., None].astype(np.float32))[..., 0] > 0
    theirs = canny(disc, sigma=1.4, low_threshold=0.05, high_threshold=0.15)
    near = np.pad(theirs, 1)
    near = np.any([near[dy : dy + 48, dx : dx + 64] for dy in range(3) for dx in range(3)], axis=0)
    assert (mine & near).sum() / mine.sum() == 1 and 0.8 < mine.sum() / theirs.sum() < 1.3
    assert not edges.edge_map(np.full((9, 9, 3), 0.5, np.float32)).any()


def test_edges_of_pictures_and_of_a_video_are_conditions(clip):
    wanted = [edges.edge_map(images.to_float(picture)) for picture in pictures_of(clip / "frames")]
    film(clip / "edges.mkv", pictures_of(clip / "frames"))
    for role in ("labels", "instances", "flow", "occlusion"):
        shutil.rmtree(clip / role)
    files = find_clips(clip)[0].files["conditions"]
    assert [np.array_equal(still.read(), edge) for still, edge in zip(files, wanted)] == [True] * 8


# Id mattes


def write_matte(path: Path, ids: np.ndarray, covered: np.ndarray, name="CryptoObject", manifest=None) -> Path:
    """Write a Cryptomatte of two ranks: (H, W, 2) uint32 and float32."""
    spec = oiio.ImageSpec(ids.shape[1], ids.shape[0], 4, "float")
    spec.channelnames = tuple(f"{name}00.{letter}" for letter in "RGBA")
    for key, value in {"name": name, "hash": "MurmurHash3_32", "conversion": "uint32_to_float32",
                       "manifest": json.dumps(manifest or {})}.items():  # fmt: skip
        spec.attribute(f"cryptomatte/abc1234/{key}", value)
    output: Any = oiio.ImageOutput.create(str(path))
    output.open(str(path), spec)
    bits = ids.astype(np.uint32).view(np.float32)
    output.write_image(np.stack([bits[..., 0], covered[..., 0], bits[..., 1], covered[..., 1]], -1))
    output.close()
    return path


def test_mattes_are_instances(clip):
    car, tree = 0xA3C71F05, 0x1B2D3C4E
    truth = Clips(clip).read(0, range(8))["instance_map"][:, 0]
    shutil.rmtree(clip / "instances")
    (clip / "instances").mkdir()
    for number, plane in enumerate(truth.numpy()):
        ids = np.stack([np.where(plane > 0, car, tree), np.where(plane > 0, tree, 0)], -1)
        covered = np.stack([np.full(plane.shape, 0.7), np.full(plane.shape, 0.3)], -1).astype(np.float32)
        covered[0, 0] = 0.3, 0.1  # mostly nothing
        names = {"car": f"{car:08x}", "tree": f"{tree:08x}"}
        write_matte(clip / "instances" / f"{number}.exr", ids, covered, manifest=names)
    found = Clips(clip).read(0, range(8))["instance_map"][:, 0]
    assert found[0, 0, 0] == 0
    found[:, 0, 0] = tree
    assert np.array_equal(found.numpy(), np.where(truth.numpy() > 0, car & 0x7FFFFFFF, tree))
    matte = cryptomatte.read_matte(clip / "instances" / "0.exr")
    assert matte.names == {"car": car, "tree": tree} and matte.coverage[3, 3] == pytest.approx(0.7)


def test_other_exr_files_as_instances(tmp_path):
    numbers = np.arange(12, dtype=np.float32).reshape(3, 4)
    images.write(tmp_path / "ids.exr", numbers)
    assert np.array_equal(cryptomatte.read_instances(tmp_path / "ids.exr"), numbers)
    images.write(tmp_path / "half.exr", numbers + np.float32(0.5))
    with pytest.raises(UserError, match="whole numbers"):
        cryptomatte.read_instances(tmp_path / "half.exr")
