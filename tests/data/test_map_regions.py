"""One label or instance map, listed: classes, instance numbers and pixels, counted here by hand."""

import json

import numpy as np
import pytest

from ganvas import cli
from ganvas.data.map_regions import regions_of
from ganvas.io.pictures import images

LABELS = np.zeros((4, 8), np.uint8)
LABELS[1:3, 1:4], LABELS[1:3, 5:7] = 2, 2
INSTANCES = LABELS.astype(np.uint16)
INSTANCES[1:3, 1:4], INSTANCES[1:3, 5:7] = 2001, 2002


def write(root, labels="labels", instances="instances", legend=True, below=""):
    for folder, plane in ((labels, LABELS), (instances, INSTANCES)):
        if folder:
            (root / folder / below).mkdir(parents=True)
            images.write(root / folder / below / "7.png", plane[..., None])
    if legend:
        names = [{"id": n, "name": name, "color": [n, n, n]} for n, name in enumerate(("road", "sky", "car"))]
        (root / "legend.json").write_text(json.dumps({"labels": names}))
    return root


@pytest.mark.parametrize("below", ["", "city"])
@pytest.mark.parametrize(("labels", "instances"), [("labels", "instances"), ("masks", "inst")])
def test_an_instance_map_lists_its_instances_with_the_classes_of_the_map_beside_it(labels, instances, below, tmp_path):
    root = write(tmp_path, labels, instances, below=below)
    found = regions_of(root / instances / below / "7.png")
    assert found is not None and found.size_px == (8, 4)
    told = [(one.name, one.label, one.instance, one.pixels) for one in found.regions]
    assert told == [("road", 0, 0, 22), ("car", 2, 2001, 6), ("car", 2, 2002, 4)]


def test_without_label_maps_or_a_legend_numbers_stand_alone(tmp_path):
    found = regions_of(write(tmp_path / "a", labels="", legend=False) / "instances" / "7.png")
    assert [(one.label, one.name, one.instance) for one in found.regions] == [
        (None, "", 0), (None, "", 2001), (None, "", 2002),
    ]  # fmt: skip
    found = regions_of(write(tmp_path / "b", legend=False) / "labels" / "7.png")
    assert [(one.label, one.name, one.instance, one.pixels) for one in found.regions] == [
        (0, "", None, 22), (2, "", None, 10),
    ]  # fmt: skip


def test_a_picture_elsewhere_is_no_map(tmp_path):
    images.write(tmp_path / "a.png", LABELS[..., None])
    assert regions_of(tmp_path / "a.png") is None


def test_inspect_lists_them_and_gives_the_option_that_names_one(tmp_path, capsys):
    root = write(tmp_path)
    assert cli.main(["inspect", str(root / "instances" / "7.png")]) == 0
    told = capsys.readouterr().out
    assert "--style 'car@2001=3'" in told and "upscale" not in told
    assert [line.split() for line in told.splitlines()[2:5]] == [
        ["road", "0", "22"], ["car", "2001", "6"], ["car", "2002", "4"],
    ]  # fmt: skip
    assert cli.main(["inspect", str(root / "instances" / "7.png"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["regions"][1] == {
        "label": 2, "name": "car", "instance": 2001, "pixels": 6,
    }  # fmt: skip
    assert cli.main(["inspect", str(root / "labels" / "7.png")]) == 0
    assert "upscale" not in capsys.readouterr().out
