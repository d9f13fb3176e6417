"""Label data: layouts paired by name, ids read as meant and checked, crops in step."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.data.label_layouts import find_scenes
from ganvas.data.labels import LabelledPictures, boundaries, one_hot, resize
from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.io.labels.legends import read_legend
from ganvas.io.labels.maps import read_instance_map, read_label_map

COLORS = [(70, 130, 180), (128, 64, 128), (0, 0, 142), (107, 142, 35)]
LEGEND = {"labels": [{"id": i, "name": f"class {i}", "color": list(c)} for i, c in enumerate(COLORS)]}


def _ids(seed: int, height: int = 12, width: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, (height, width)).astype(np.uint8)


def _save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def _picture_of(ids: np.ndarray) -> np.ndarray:
    """A picture from whose red channel the ids can be told, so that a wrong pairing or crop shows."""
    return np.stack([ids * 60, 255 - ids * 60, np.full_like(ids, 9)], -1).astype(np.uint8)


def _world(root: Path, names: tuple[str, ...] = ("000000", "000001", "000002")) -> None:
    for number, name in enumerate(names):
        ids = _ids(number)
        _save(root / f"frames/{name}.png", _picture_of(ids))
        _save(root / f"labels/{name}.png", ids)
        _save(root / f"instances/{name}.png", ids.astype(np.uint16) * 1000 + 7)


def _check(source: LabelledPictures, num: int) -> None:
    assert len(source) == num
    for index in range(num):
        whole = source.whole(index)
        assert torch.equal((whole["picture"][:1] * 255).round().long(), whole["label_map"] * 60)


def test_one_hot_equals_torch_and_ignores_negatives() -> None:
    labels = torch.randint(0, 5, (2, 1, 6, 7))
    expected = torch.nn.functional.one_hot(labels[:, 0], 5).permute(0, 3, 1, 2).float()
    assert torch.equal(one_hot(labels, 5), expected)
    labels[0, 0, 2, 3] = -1
    assert one_hot(labels, 5)[0, :, 2, 3].sum() == 0
    assert one_hot(labels, 5).sum() == 2 * 6 * 7 - 1


def test_boundaries_equal_a_plain_loop() -> None:
    instances = torch.randint(0, 3, (2, 1, 7, 9))
    expected = torch.zeros(2, 1, 7, 9)
    for b in range(2):
        for y in range(7):
            for x in range(9):
                for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                    if 0 <= v < 7 and 0 <= u < 9 and instances[b, 0, v, u] != instances[b, 0, y, x]:
                        expected[b, 0, y, x] = 1
    assert torch.equal(boundaries(instances), expected)


def test_the_worlds_folders(tmp_path: Path) -> None:
    _world(tmp_path)
    source = LabelledPictures(tmp_path, 4)
    _check(source, 3)
    assert torch.equal(source.whole(1)["instance_map"], source.whole(1)["label_map"] * 1000 + 7)


def test_clips_are_groups(tmp_path: Path) -> None:
    _world(tmp_path / "clip_000")
    _world(tmp_path / "clip_001", ("000000", "000001"))
    source = LabelledPictures(tmp_path, 4)
    _check(source, 5)
    assert source.groups() == ["clip_000"] * 3 + ["clip_001"] * 2


def test_cityscapes(tmp_path: Path) -> None:
    for number, city in enumerate(("aachen", "bochum")):
        stem = f"{city}_000000_00001{number}"
        ids = _ids(number)
        _save(tmp_path / f"leftImg8bit/train/{city}/{stem}_leftImg8bit.png", _picture_of(ids))
        _save(tmp_path / f"gtFine/train/{city}/{stem}_gtFine_labelIds.png", ids)
        _save(tmp_path / f"gtFine/train/{city}/{stem}_gtFine_instanceIds.png", ids.astype(np.uint16) * 1000)
        _save(tmp_path / f"gtFine/train/{city}/{stem}_gtFine_color.png", _picture_of(ids))
        _save(tmp_path / f"gtFine/train/{city}/{stem}_gtFine_labelTrainIds.png", ids + 1)
    for root in (tmp_path, tmp_path / "leftImg8bit/train"):
        source = LabelledPictures(root, 4)
        _check(source, 2)
        assert int(source.whole(0)["instance_map"].max()) == 3000
    assert sorted(LabelledPictures(tmp_path, 4).groups()) == ["train/aachen", "train/bochum"]
    assert len(LabelledPictures(tmp_path / "leftImg8bit/train/aachen", 4)) == 1


def test_cityscapes_without_instances(tmp_path: Path) -> None:
    _save(tmp_path / "leftImg8bit/val/ulm/ulm_0_leftImg8bit.png", _picture_of(_ids(0)))
    for ending, ids in (("labelTrainIds", _ids(0)), ("color", _ids(1))):
        _save(tmp_path / f"gtFine/val/ulm/ulm_0_gtFine_{ending}.png", ids)
    source = LabelledPictures(tmp_path, 4)
    _check(source, 1)
    assert not source.has_instances and not source.report.skipped


def test_the_originals_folders_with_names_in_another_order(tmp_path: Path) -> None:
    for number, stem in enumerate(("b_0", "a_1", "c_2")):
        ids = _ids(number)
        _save(tmp_path / f"train_label/{stem}_gtFine_labelIds.png", ids)
        _save(tmp_path / f"train_inst/{stem}_gtFine_instanceIds.png", ids.astype(np.uint16))
        _save(tmp_path / f"train_img/{stem}_leftImg8bit.png", _picture_of(ids))
    _save(tmp_path / "train_img/a_0_leftImg8bit.png", _picture_of(_ids(9)))
    _save(tmp_path / "test_label/x.png", _ids(5))
    _save(tmp_path / "test_img/x.png", _picture_of(_ids(5)))
    source = LabelledPictures(tmp_path, 4)
    _check(source, 3)
    assert any("a_0_leftImg8bit.png" in name for name in source.report.skipped)
    _check(LabelledPictures(tmp_path / "test", 4), 1)


def test_ade_style_and_jpegs(tmp_path: Path) -> None:
    ids = np.repeat(np.repeat(_ids(0, 2, 2), 8, 0), 8, 1)
    _save(tmp_path / "annotations/training/ADE_1.png", ids)
    _save(tmp_path / "images/training/ADE_1.jpg", _picture_of(ids))
    source = LabelledPictures(tmp_path, 4)
    assert torch.equal(source.whole(0)["label_map"], source.whole(0)["instance_map"])
    assert not source.has_instances


def test_folders_named_one_by_one_and_pictures_to_pictures(tmp_path: Path) -> None:
    ids = _ids(0)
    _save(tmp_path / "here/one_label.png", ids)
    _save(tmp_path / "there/one.png", _picture_of(ids))
    _check(LabelledPictures(f"labels={tmp_path}/here,picture={tmp_path}/there", 4), 1)
    pairs = LabelledPictures({"input": tmp_path / "here", "picture": tmp_path / "there"}, size_px=(6, 8))
    sample = pairs.sample(0, np.random.default_rng(0))
    assert sample.keys() == {"input", "picture"} and sample["input"].shape == (3, 6, 8)
    with pytest.raises(UserError, match="role 'label'"):
        find_scenes(f"label={tmp_path}/here,picture={tmp_path}/there")


def test_palettes_legends_and_few_bits_give_the_ids(tmp_path: Path) -> None:
    ids = _ids(0)
    indexed = Image.fromarray(ids, "P")
    indexed.putpalette([part for color in COLORS for part in color])
    indexed.save(tmp_path / "indexed.png")
    four_bits = Image.fromarray(ids, "P")
    four_bits.putpalette([part for color in COLORS for part in color])
    four_bits.save(tmp_path / "few.png", bits=2)
    _save(tmp_path / "colors.png", np.array(COLORS, np.uint8)[ids])
    Image.fromarray((ids > 1).astype(np.uint8) * 255).convert("1").save(tmp_path / "mask.png")
    runs.write_json(tmp_path / "legend.json", LEGEND)
    assert (read_label_map(tmp_path / "indexed.png") == ids).all()
    assert (read_label_map(tmp_path / "few.png") == ids).all()
    assert (read_label_map(tmp_path / "colors.png", read_legend(tmp_path / "legend.json")) == ids).all()
    assert (read_label_map(tmp_path / "mask.png") == (ids > 1)).all()
    with pytest.raises(UserError, match="legend"):
        read_label_map(tmp_path / "colors.png")


def test_instances_of_16_bits_and_of_colours(tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(0, 65536, (5, 6)).astype(np.uint16)
    _save(tmp_path / "deep.png", ids)
    assert (read_instance_map(tmp_path / "deep.png") == ids).all()
    wide = ids.astype(np.int64) * 200 + 3
    _save(tmp_path / "wide.png", np.stack([wide % 256, wide // 256 % 256, wide // 65536], -1).astype(np.uint8))
    assert (read_instance_map(tmp_path / "wide.png") == wide).all()


def test_an_id_without_a_label_is_named_with_file_and_pixel(tmp_path: Path) -> None:
    _world(tmp_path)
    ids = _ids(1)
    ids[5, 11] = 40
    _save(tmp_path / "labels/000001.png", ids)
    with pytest.raises(UserError, match=r"000001\.png holds the label id 40 at pixel x=11, y=5.*0 to 3"):
        LabelledPictures(tmp_path, 4)
    source = LabelledPictures(tmp_path, 4, ignore=(40,))
    assert int(source.whole(1)["label_map"][0, 5, 11]) == -1
    assert LabelledPictures(tmp_path, ignore=(255,)).num_labels == 41


def test_crops_mirrors_and_sizes_move_all_planes_alike(tmp_path: Path) -> None:
    _world(tmp_path)
    source = LabelledPictures(tmp_path, 4, size_px=(5, 7), fit="crop")
    seen = set()
    for seed in range(12):
        sample = source.sample(0, np.random.default_rng(seed))
        assert sample["picture"].shape == (3, 5, 7)
        assert torch.equal((sample["picture"][:1] * 255).round().long(), sample["label_map"] * 60)
        assert torch.equal(sample["instance_map"], sample["label_map"] * 1000 + 7)
        seen.add(sample["label_map"].numpy().tobytes())
    assert len(seen) > 6
    for fit in ("resize", "cover"):
        sample = LabelledPictures(tmp_path, 4, size_px=(24, 24), fit=fit).sample(1, np.random.default_rng(3))  # pyright: ignore
        assert {name: tuple(plane.shape) for name, plane in sample.items()} == {
            "picture": (3, 24, 24),
            "label_map": (1, 24, 24),
            "instance_map": (1, 24, 24),
        }
        assert set(sample["label_map"].unique().tolist()) <= {0, 1, 2, 3}


def test_resized_ids_are_those_of_the_nearest_pixel() -> None:
    ids = torch.arange(35).reshape(1, 5, 7) * 1_000_003
    assert torch.equal(resize(ids, (10, 14)), ids.repeat_interleave(2, 1).repeat_interleave(2, 2))


def test_a_broken_file_and_sizes_that_differ_are_reported_and_passed_over(tmp_path: Path) -> None:
    _world(tmp_path)
    _save(tmp_path / "labels/000001.png", _ids(1, 12, 15))
    whole = (tmp_path / "frames/000002.png").read_bytes()
    source = LabelledPictures(tmp_path, 4)
    assert len(source) == 2 and "000001" in source.report.skipped
    (tmp_path / "frames/000002.png").write_bytes(whole[: len(whole) // 2])
    assert torch.equal(source.whole(1)["label_map"], source.whole(0)["label_map"])
    assert "000002" in source.report.skipped


def test_what_is_no_data_set_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        LabelledPictures(tmp_path / "nowhere", 4)
    with pytest.raises(UserError, match="no data set of labels"):
        LabelledPictures(tmp_path, 4)
