"""Classes come out of shards as they come out of the folder that was packed."""

import io
import shutil
import tarfile

import numpy as np
import pytest

from ganvas.data.classes import ClassPictures
from ganvas.errors import UserError
from ganvas.io.pictures import images

CLASSES = ("rose", "tulip", "aster")


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(CLASSES * 3):
        (tmp_path / "flowers" / name).mkdir(parents=True, exist_ok=True)
        rows = np.random.default_rng(number).integers(0, 256, (20, 24, 3), np.uint8)
        images.write(tmp_path / "flowers" / name / f"{number:04d}.png", rows)
    return tmp_path / "flowers"


def pack(files, target):
    with tarfile.open(target, "w") as tar:
        for name, content in files:
            if isinstance(content, str):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content.encode()))
            else:
                tar.add(content, name)
    return target


def pairs(source):
    """Return what is trained on, whatever it is called: each picture's bytes with its class."""
    found = [
        (source.square(index).numpy().tobytes(), source.class_names[c]) for index, c in enumerate(source.classes())
    ]
    return sorted(found)


@pytest.mark.parametrize("root", ["", "flowers/"])
@pytest.mark.parametrize("shards", [1, 2])
def test_folders_in_shards_are_classes(tmp_path, folder, root, shards):
    files = [(root + str(file.relative_to(folder)), file) for file in sorted(folder.rglob("*.png"))]
    (tmp_path / "shards").mkdir()
    for number in range(shards):
        pack(files[number::shards], tmp_path / "shards" / f"train-{number:03d}.tar")
    whole = ClassPictures(tmp_path / "shards", 16, mirror=False)
    assert whole.class_names == sorted(CLASSES)
    assert pairs(whole) == pairs(ClassPictures(folder, 16, mirror=False))
    assert pairs(ClassPictures(f"{tmp_path}/shards/train-*.tar", 16, mirror=False)) == pairs(whole)


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("names", [True, False])
def test_a_class_may_lie_beside_its_picture(tmp_path, folder, shards, names):
    expected = ClassPictures(folder, 16, mirror=False)
    packed = []
    for index, (name, number) in enumerate(zip(expected.groups(), expected.classes())):
        label = expected.class_names[number] if names else f"{number}\n"
        packed.append([(f"{index:04d}.png", folder / name), (f"{index:04d}.cls", label)])
    (tmp_path / "shards").mkdir()
    for number in range(shards):
        files = [file for sample in packed[number::shards] for file in sample]
        pack(files, tmp_path / "shards" / f"train-{number}.tar")
    source = ClassPictures(tmp_path / "shards", 16, mirror=False)
    numbers = {name: name if names else str(number) for number, name in enumerate(expected.class_names)}
    assert pairs(source) == sorted((picture, numbers[name]) for picture, name in pairs(expected))


def test_the_same_name_in_two_shards_is_two_pictures(tmp_path, folder):
    files = [(f"{name}/0.png", file) for name in CLASSES for file in sorted((folder / name).iterdir())[:1]]
    others = [(f"{name}/0.png", file) for name in CLASSES for file in sorted((folder / name).iterdir())[1:2]]
    (tmp_path / "shards").mkdir()
    pack(files, tmp_path / "shards" / "a.tar")
    pack(others, tmp_path / "shards" / "b.tar")
    assert len({picture for picture, _ in pairs(ClassPictures(tmp_path / "shards", 16))}) == 6


@pytest.mark.parametrize("label", ["x" * 300, "-1", ""])
def test_what_is_no_label_is_told(tmp_path, folder, label):
    picture = next(folder.rglob("*.png"))
    shard = pack([("a.png", picture), ("a.cls", label), ("b.png", picture), ("b.cls", "1")], tmp_path / "train.tar")
    if label == "x" * 300:
        with pytest.raises(UserError, match="no label"):
            ClassPictures(shard, 16)
    else:  # a name like any other, and no label at all
        assert len(ClassPictures(shard, 16, class_names=["-1", "1", ""])) == 2


def test_a_shard_without_classes_says_what_is_needed(tmp_path, folder):
    shutil.copy(next(folder.rglob("*.png")), tmp_path / "a.png")
    shard = pack([("a.png", tmp_path / "a.png")], tmp_path / "train.tar")
    with pytest.raises(UserError, match="has no classes"):
        ClassPictures(shard, 16)
