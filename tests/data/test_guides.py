"""Guides and landmarks: drawings against areas and an independent point-in-polygon, each kind, bad input."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data as samples
from skimage.draw import polygon as sk_polygon

from ganvas.data import guides, landmarks
from ganvas.data.guides import GuidedPictures, GuideSettings, Origin
from ganvas.drawn.faces import face, write
from ganvas.errors import UserError


def test_a_drawn_polygon_is_that_of_scikit_image_and_has_its_area() -> None:
    points = face(3, 64).points * 2
    mask = landmarks.drawn(points, 128, 128)[landmarks.FEATURES.index("mouth")]
    outline = points[48:60]
    rows, columns = sk_polygon(outline[:, 1], outline[:, 0], (128, 128))
    oracle = np.zeros((128, 128), bool)
    oracle[rows, columns] = True
    assert ((mask > 0.5) != oracle).sum() <= 0.15 * oracle.sum()
    x, y = outline.T
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    assert mask.sum() == pytest.approx(area, rel=0.03)


def test_features_have_the_colours_of_the_figure() -> None:
    made = face(1, 256)
    picture = landmarks.colored(landmarks.drawn(made.points, 256, 256))

    def at(points: np.ndarray) -> list[float]:
        x, y = points.mean(0).round().astype(int)
        return picture[:, y, x].round(2).tolist()

    assert at(made.points[36:42]) == [0, 0, 1]
    assert at(made.points[[27, 31, 35]]) == [1, 1, 0]
    assert at(made.points[48:60]) == [1, 0, 0]
    assert at(made.points[[2, 4, 31]]) == [1, 1, 1]
    assert picture[:, 2, 2].tolist() == [0, 0, 0]


def test_five_points_are_drawn_and_other_numbers_refused() -> None:
    five = np.array([[20.0, 40], [35, 40], [80, 40], [65, 40], [50, 65]])
    masks = landmarks.drawn(five, 100, 100)
    assert all(mask.max() == 1 for mask in masks)
    assert masks[landmarks.FEATURES.index("eyes"), 40, 27] == 1
    with pytest.raises(UserError, match="7 landmarks"):
        landmarks.drawn(np.zeros((7, 2)), 10, 10)


def test_points_follow_the_crop_and_the_resize(tmp_path: Path) -> None:
    square = np.array([[10.0, 10]] * 68)
    square[36:42] = [[19.5, 29.5], [39.5, 29.5], [39.5, 49.5], [19.5, 49.5], [19.5, 49.5], [19.5, 49.5]]
    (tmp_path / "landmarks.json").write_text(json.dumps({"points": {"a.png": square.tolist()}}))
    guide = guides.make(GuideSettings(kind="points", each=True))
    origin = Origin(tmp_path / "a.png", left=10, top=20, width=40, height=40)
    eyes = guide(torch.zeros(3, 20, 20), origin)[landmarks.FEATURES.index("eyes")]
    # The eye's edges at 20 and 40, 30 and 50 of the file are 5 and 15, 5 and 15 of the resized crop.
    expected = torch.zeros(20, 20)
    expected[5:15, 5:15] = 1
    assert torch.allclose(eyes, expected, atol=1e-6)


def test_edges_are_strong_at_a_step_and_absent_in_flat_parts() -> None:
    picture = torch.zeros(3, 16, 16)
    picture[:, :, 8:] = 0.7
    edges = guides.make(GuideSettings(kind="edges"))(picture)
    assert edges.shape == (1, 16, 16)
    assert (edges[0, :, 7:9] == 1).all() and edges[0, :, :6].max() < 1e-6 and edges[0, :, 10:].max() < 1e-6


def test_label_maps_in_colours_or_a_channel_each(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    labels = np.zeros((30, 40), np.uint8)
    labels[:, 20:] = 2
    Image.fromarray(labels).save(tmp_path / "labels" / "a.png")
    Image.fromarray(np.zeros((60, 80, 3), np.uint8)).save(tmp_path / "a.jpg")
    origin = Origin(tmp_path / "a.jpg", left=20, top=0, width=40, height=60)
    folder = str(tmp_path / "labels")
    each = guides.make(GuideSettings(kind="labels", file=folder, each=True, num_labels=3))
    found = each(torch.zeros(3, 15, 10), origin)
    assert found.argmax(0)[3].tolist() == [0] * 5 + [2] * 5
    colored = guides.make(GuideSettings(kind="labels", file=folder))(torch.zeros(3, 15, 10), origin)
    assert (colored[:, :, :5] == 0).all() and colored[:, 0, 9].max() > 0.5
    assert not each.missing
    assert each(torch.zeros(3, 4, 4), Origin(tmp_path / "b.jpg", 0, 0, 4, 4)).eq(0).all() and len(each.missing) == 1
    with pytest.raises(UserError, match="label 2"):
        guides.make(GuideSettings(kind="labels", file=folder, each=True, num_labels=2))(torch.zeros(3, 4, 4), origin)


def test_a_users_function_is_a_guide(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def bright(picture):\n    return (picture.mean(-1) > 0.6).astype('float32')\n\nnumber = 3\n")
    guide = guides.make(GuideSettings(kind=f"{file}:bright"))
    picture = torch.rand(3, 9, 7)
    assert guide.channels == 1
    assert torch.equal(guide(picture)[0], (picture.mean(0) > 0.6).float())
    with pytest.raises(UserError, match="no function"):
        guides.make(GuideSettings(kind=f"{file}:dark"))
    with pytest.raises(UserError, match="no function"):
        guides.make(GuideSettings(kind=f"{file}:number"))


def test_unknown_guides_and_missing_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="edges"):
        guides.make(GuideSettings(kind="edge"))
    with pytest.raises(UserError, match="no folder"):
        guides.make(GuideSettings(kind="labels"))
    with pytest.raises(UserError, match="ganvas faces"):
        guides.make(GuideSettings(kind="points"))(torch.zeros(3, 8, 8), Origin(tmp_path / "x.png", 0, 0, 8, 8))
    with pytest.raises(UserError, match="does not exist"):
        guides.make(GuideSettings(kind="nowhere.py:f"))


def test_a_missing_landmark_file_names_the_licence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(landmarks.MODEL_VARIABLE, raising=False)
    monkeypatch.setattr(landmarks, "MODEL_PACKAGE", "no_such_package")
    with pytest.raises(UserError, match=r"300-W.*commercial"):
        landmarks.model_file()
    with pytest.raises(UserError, match="no landmark file"):
        landmarks.model_file(str(tmp_path / "absent.dat"))


@pytest.mark.skipif(importlib.util.find_spec("dlib") is None, reason="the extra 'faces' is not installed")
def test_dlib_finds_the_astronaut_and_counts_the_coffee() -> None:
    if importlib.util.find_spec(landmarks.MODEL_PACKAGE) is None:
        pytest.skip("the landmark file is not installed")
    guide = guides.make(GuideSettings(kind="landmarks", each=True))
    picture = torch.from_numpy(samples.astronaut()[:256, 96:352].copy()).permute(2, 0, 1).float() / 255
    masks = guide(picture)
    eyes, mouth = (masks[landmarks.FEATURES.index(name)] for name in ("eyes", "mouth"))
    rows = [float((mask.sum(1) * torch.arange(256)).sum() / mask.sum()) for mask in (eyes, mouth)]
    assert 80 < rows[0] < 130 < rows[1] < 170
    assert not guide.missing
    cup = torch.from_numpy(samples.coffee()[:256, :256].copy()).permute(2, 0, 1).float() / 255
    assert guide(cup).eq(0).all() and guide.missing == ["a picture"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("faces") / "set", 3, 64)


def test_tiles_of_low_and_high_show_the_same_place(folder: Path) -> None:
    guide = guides.make(GuideSettings(kind="points"))
    source = GuidedPictures(folder, guide, high_px=64, low_px=16, tile_px=4, scale=8)
    assert len(source) == 3 and source.grid_px == 8
    for index in range(3):
        sample = source.sample(index, np.random.default_rng(index))
        assert sample["low"].shape == (6, 4, 4) and sample["high"].shape == (3, 32, 32)
        averaged = torch.nn.functional.avg_pool2d(sample["high"], 8)
        assert (averaged - sample["low"][:3]).abs().mean() < 0.15
        assert sample["low"].abs().max() <= 1 and sample["high"].abs().max() <= 1


def test_the_guide_is_drawn_over_the_whole_picture_before_tiles_are_cut(folder: Path) -> None:
    guide = guides.make(GuideSettings(kind="points"))
    source = GuidedPictures(folder, guide, high_px=64, low_px=64, tile_px=8, scale=1, mirror=False)
    whole = source.whole(0)["low"][3:]
    points = json.loads((folder / "landmarks.json").read_text())["points"]["000000.png"]
    expected = landmarks.colored(landmarks.drawn(np.array(points), 64, 64)) * 2 - 1
    assert np.abs(whole.numpy() - expected).max() < 1e-5
    tile = source.sample(0, np.random.default_rng(0))["low"]
    top, left = np.random.default_rng(0).integers(57, size=2)
    assert torch.equal(tile[3:], whole[:, top : top + 8, left : left + 8])


def test_stacked_is_in_range_and_of_the_grids_size() -> None:
    both = guides.stacked(torch.rand(3, 16, 16), torch.rand(2, 16, 16), (12, 12))
    assert both.shape == (5, 12, 12) and both.abs().max() <= 1
    flat = guides.stacked(torch.full((3, 16, 16), 0.25), torch.zeros(1, 16, 16), (12, 12))
    assert torch.allclose(flat[:3], torch.tensor(-0.5), atol=2 / 255)
