"""The doctor of plain pictures: files of labels that are damaged, or name what is not there; zip files."""

import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from ganvas.cli import main
from ganvas.data.classes import ClassPictures
from ganvas.data.inspect_pictures import examine
from ganvas.errors import UserError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "set").mkdir()
    for number in range(4):
        Image.fromarray(np.full((8, 10, 3), 40 * number, np.uint8)).save(tmp_path / "set" / f"{number}.png")
    return tmp_path / "set"


def label(folder, value) -> None:
    (folder / "dataset.json").write_text(value if isinstance(value, str) else json.dumps(value))


def packed(folder):
    with zipfile.ZipFile(folder.parent / "set.zip", "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    return folder.parent / "set.zip"


@pytest.mark.parametrize("pack", [lambda folder: folder, packed], ids=["folder", "zip"])
def test_labels_that_are_damaged_or_name_absent_pictures(folder, pack, capsys):
    assert examine(pack(folder)).findings == []  # pictures need no classes
    label(folder, "[1,2")
    broken = examine(pack(folder))
    assert not broken.is_healthy and "dataset.json" in broken.findings[0].what
    assert main(["inspect", str(pack(folder))]) == 1
    assert "dataset.json" in capsys.readouterr().out
    label(folder, {"labels": {"0.png": 0, "1.png": 1, "nope.png": 1}})
    found = examine(pack(folder))
    assert found.is_healthy and found.facts["pictures"] == 4 and found.facts["classes"] == {"0": 1, "1": 1}
    absent, bare = (finding.what for finding in found.findings)
    assert "1 pictures that are not there: nope.png" in absent and "2 pictures have no label" in bare
    assert main(["inspect", str(pack(folder)), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pictures"] == 4


@pytest.mark.parametrize("labels", [{"0.png": 99_999_999, "1.png": 1}, [["0.png", 10**30], ["1.png", 0]]])
def test_numbers_that_count_no_classes_are_refused_at_once(folder, labels):
    label(folder, {"labels": labels})
    with pytest.raises(UserError, match=r"go to \d+ for 2 pictures"):
        ClassPictures(folder, 8)
    label(folder, {"labels": {"0.png": 999, "1.png": 1}})
    assert len(ClassPictures(folder, 8).class_names) == 1000


@pytest.mark.parametrize(
    "stored",
    [{"labels": {"0.png": 1.5}}, {"labels": {"0.png": [1]}}, {"labels": 3}, {"labels": {"0.png": 0}, "classes": 7},
     {"labels": [[["0.png"], 1]]}, {"labels": [1, 2]}, {"labels": {"0.png": -1}}],
)  # fmt: skip
def test_labels_of_any_other_kind_are_an_error_of_the_user(folder, stored):
    label(folder, stored)
    with pytest.raises(UserError, match=r"dataset\.json"):
        ClassPictures(folder, 8)
    assert not examine(folder).is_healthy
