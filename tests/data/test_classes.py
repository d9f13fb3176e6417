"""Pictures with classes: folders, JSON files, zip files, and every way in which labels are wrong."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
import torch

from ganvas.data.classes import ClassPictures, describe, mosaic, natural
from ganvas.errors import UserError
from ganvas.io.pictures import images


def picture(path, value, width=10, height=8):
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(path, np.full((height, width, 3), value, np.uint8))


@pytest.fixture
def folders(tmp_path):
    for place, (name, number) in enumerate([("dog", 3), ("cat", 2), ("class10", 2), ("class2", 2)]):
        for n in range(number):
            picture(tmp_path / "set" / name / f"{n}.png", 60 * place + n)
    return tmp_path / "set"


def values(source):
    random = np.random.default_rng(0)
    samples = [source.sample(index, random) for index in range(len(source))]
    return {int(s["picture"].float().mean()): source.class_names[int(s["label"])] for s in samples}


def test_folders_are_classes_in_natural_order(folders):
    source = ClassPictures(folders, 8)
    assert source.class_names == ["cat", "class2", "class10", "dog"]
    assert values(source) == {0: "dog", 1: "dog", 2: "dog", 60: "cat", 61: "cat", 120: "class10", 121: "class10",
                              180: "class2", 181: "class2"}  # fmt: skip
    assert source.report.counts == {"cat": 2, "class2": 2, "class10": 2, "dog": 3}
    assert sorted(["a10", "A9", "b1"], key=natural) == ["A9", "a10", "b1"]


def test_a_sample_is_the_middle_square_made_smaller(tmp_path):
    for name in "ab":
        wide = np.zeros((8, 16, 3), np.uint8)
        wide[:, 4:12] = 200
        (tmp_path / name).mkdir()
        images.write(tmp_path / name / "x.png", wide)
    square = ClassPictures(tmp_path, 4).square(0)
    assert square.shape == (3, 4, 4) and square.dtype == torch.uint8 and (square == 200).all()


@pytest.mark.parametrize("form", ["pairs", "mapping", "plain"])
@pytest.mark.parametrize("as_zip", [False, True])
def test_json_files_label_pictures_in_folders_and_archives(tmp_path, form, as_zip):
    root = tmp_path / "set"
    pairs = [["a.png", 1], ["deep/b.png", 0], ["c.png", 2]]
    for n, (name, _) in enumerate(pairs):
        picture(root / name, 10 * n)
    picture(root / "none.png", 99)
    labels = {"pairs": {"labels": pairs}, "mapping": {"labels": dict(pairs)}, "plain": dict(pairs)}[form]
    (root / "dataset.json").write_text(json.dumps(labels))
    where = root
    if as_zip:
        where = tmp_path / "set.zip"
        with zipfile.ZipFile(where, "w") as archive:
            for file in root.rglob("*"):
                archive.write(file, f"set/{file.relative_to(root)}")
    source = ClassPictures(where, 8)
    assert source.class_names == ["0", "1", "2"]
    assert values(source) == {0: "1", 10: "0", 20: "2"}
    assert source.report.skipped == {"none.png": "has no label in dataset.json"}


def test_named_classes_and_gaps(tmp_path):
    for name in "abc":
        picture(tmp_path / f"{name}.png", ord(name))
    stored = {"labels": {"a.png": "rose", "b.png": 2, "c.png": 0, "gone.png": 1}, "classes": ["iris", "lily", "rose"]}
    (tmp_path / "labels.json").write_text(json.dumps(stored))
    source = ClassPictures(tmp_path, 8)
    assert values(source) == {97: "rose", 98: "rose", 99: "iris"}
    assert source.report.notes == ("Classes without a picture: lily.",)
    assert "gone.png" in source.report.skipped


@pytest.mark.parametrize("name", ["archive.zip"])
def test_folders_in_an_archive_are_classes(folders, tmp_path, name):
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        for file in folders.rglob("*.png"):
            archive.write(file, file.relative_to(folders))
    source = ClassPictures(tmp_path / name, 8)
    assert source.class_names == ["cat", "class2", "class10", "dog"] and len(source) == 9


# What is wrong with labels


def test_classes_one_level_too_deep_are_named(tmp_path):
    for part in ("train", "val"):
        for name in ("dog", "cat"):
            picture(tmp_path / "set" / part / name / "0.png", 0)
    with pytest.raises(UserError, match=r"one level too deep.*train.*Use .*train"):
        ClassPictures(tmp_path / "set", 8)


def test_one_class_for_all_is_refused(tmp_path):
    picture(tmp_path / "only" / "0.png", 0)
    with pytest.raises(UserError, match="All 1 pictures are of the class 'only'"):
        ClassPictures(tmp_path, 8)


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ({"labels": None}, "has no labels"),
        ({"labels": {"a.png": [0, 1]}}, r"The label of a.png .* is \[0, 1\]"),
        ({"labels": {"a.png": -1}}, "is -1"),
        ({"labels": {"a.png": "ros"}, "classes": ["rose"]}, "Did you mean rose"),
        ({"labels": [["a.png"]]}, "cannot be understood"),
    ],
)
def test_labels_that_cannot_be_understood_are_refused(tmp_path, stored, said):
    picture(tmp_path / "a.png", 0)
    (tmp_path / "labels.json").write_text(json.dumps(stored))
    with pytest.raises(UserError, match=said):
        ClassPictures(tmp_path, 8)


def test_pictures_without_labels_and_small_ones_are_named_and_passed_over(folders):
    picture(folders / "loose.png", 0)
    picture(folders / "dog" / "tiny.png", 0, 6, 6)
    (folders / "dog" / "broken.png").write_bytes(b"no picture")
    skipped = ClassPictures(folders, 8).report.skipped
    assert set(skipped) == {"loose.png", "dog/tiny.png", "dog/broken.png"}
    assert "lies in no folder" in skipped["loose.png"] and "too small" in skipped["dog/tiny.png"]


def test_empty_and_small_classes_are_told(folders):
    (folders / "bird").mkdir()
    for n in range(40):
        picture(folders / "dog" / f"more{n}.png", n)
    text = ClassPictures(folders, 8).report.text
    assert "Classes without a picture: bird." in text
    assert "less than a tenth of the largest one's 43 pictures: cat, class2, class10." in text


def test_a_picture_that_breaks_later_is_replaced_by_one_of_its_class(folders):
    source = ClassPictures(folders, 8)
    index = source.groups().index("dog/1.png")
    (folders / "dog" / "1.png").write_bytes(b"gone")
    assert int(source.square(index).float().mean()) in (0, 2)
    assert "dog/1.png" in source.report.skipped


def test_validation_uses_the_classes_of_training(folders, tmp_path):
    picture(tmp_path / "val" / "dog" / "0.png", 7)
    source = ClassPictures(tmp_path / "val", 8, class_names=["cat", "class2", "class10", "dog"])
    assert int(source.sample(0, np.random.default_rng(0))["label"]) == 3
    picture(tmp_path / "val" / "dogg" / "0.png", 8)
    with pytest.raises(UserError, match="Did you mean dog"):
        ClassPictures(tmp_path / "val", 8, class_names=["cat", "dog"])


def test_subsets_keep_labels(folders):
    source = ClassPictures(folders, 8, mirror=False)
    part = source.subset([len(source) - 1, 0])
    assert part.groups() == [source.groups()[-1], source.groups()[0]]
    assert part.labels.tolist() == [int(source.labels[-1]), int(source.labels[0])]


def test_the_mosaic_has_a_row_for_each_class(folders):
    sheet = mosaic(ClassPictures(folders, 8), columns=3)
    assert sheet.shape == (4 * 10 - 2, 3 * 10 - 2, 3)
    assert sheet[0, 0, 0] == 60 and sheet[30, 0, 0] == 0 and (sheet[:8, 20:] == 255).all()
    assert describe(folders)["classes"] == {"cat": 2, "class2": 2, "class10": 2, "dog": 3}


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut"])
def test_a_damaged_archive_is_a_users_error(tmp_path, content):
    (tmp_path / "set.zip").write_bytes(content)
    with pytest.raises(UserError, match=r"set\.zip"):
        ClassPictures(tmp_path / "set.zip", 8)
