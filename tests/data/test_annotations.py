"""Maps of annotations against OpenCV's and Pillow's drawing, and run lengths against a plain loop."""

import base64
import io
import json

import cv2
import numpy as np
import OpenImageIO as oiio
import pytest
from PIL import Image

from ganvas.cli import main
from ganvas.data.annotations import write_maps
from ganvas.errors import UserError
from ganvas.io.labels.maps import read_instance_map, read_label_map

SIZE = (48, 64)
CAR = [[10.0, 10.0], [40.0, 12.0], [38.0, 30.0], [12.0, 32.0]]
TREE = [[30.0, 20.0], [60.0, 20.0], [60.0, 44.0], [30.0, 44.0]]


def filled(points):
    return cv2.fillPoly(np.zeros(SIZE, np.uint8), [np.rint(points).astype(np.int32)], 1) > 0


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


def read(out, name="a"):
    return read_label_map(out / f"labels/{name}.png"), read_instance_map(out / f"instances/{name}.png")


def check_two(out, name="a", names=("background", "car", "tree")):
    """The tree lies over the car; OpenCV counts the pixels on an outline, so edges differ by one."""
    labels, instances = read(out, name)
    legend = json.loads((out / "legend.json").read_text())["labels"]
    assert [each["name"] for each in legend] == list(names)
    car, tree = filled(CAR), filled(TREE)
    assert overlap(labels == 2, tree) > 0.9 and overlap(labels == 1, car & ~tree) > 0.85
    assert np.array_equal(instances // 1000, labels)
    return labels, instances


def test_labelme(tmp_path):
    mask = np.zeros((6, 8), bool)
    mask[2:5, 1:7] = True
    stored = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(stored, "PNG")
    shapes = [
        {"label": "car", "points": CAR, "shape_type": "polygon", "group_id": None},
        {"label": "tree", "points": [TREE[0], TREE[2]], "shape_type": "rectangle", "group_id": None},
        {"label": "car", "points": [[2, 38], [10, 44]], "shape_type": "mask",
         "mask": base64.b64encode(stored.getvalue()).decode()},
        {"label": "car", "points": [[3, 3]], "shape_type": "point"},
    ]  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps({"shapes": shapes, "imagePath": "..\\x\\a.jpg", "imageHeight": 48,
                                                 "imageWidth": 64, "imageData": None}))  # fmt: skip
    done = write_maps(tmp_path / "a.json", tmp_path / "o")
    labels, instances = check_two(tmp_path / "o")
    wanted = np.zeros(SIZE, bool)
    wanted[38:44, 2:10] = mask
    assert np.array_equal(instances == 1001, wanted) and (labels[wanted] == 1).all()
    assert done.count == 1 and "point" in done.notes[0]


def test_a_group_is_one_instance_and_a_circle_is_round(tmp_path):
    shapes = [{"label": "car", "points": [[20, 20], [30, 20]], "shape_type": "circle", "group_id": 7},
              {"label": "car", "points": [[50, 20], [54, 20]], "shape_type": "circle", "group_id": 7}]  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps({"shapes": shapes, "imageHeight": 48, "imageWidth": 64}))
    write_maps(tmp_path / "a.json", tmp_path / "o")
    _, instances = read(tmp_path / "o")
    disc = cv2.circle(cv2.circle(np.zeros(SIZE, np.uint8), (20, 20), 10, 1, -1), (50, 20), 4, 1, -1) > 0
    assert set(np.unique(instances)) == {0, 1000} and overlap(instances == 1000, disc) > 0.85


def run_lengths(mask):
    """COCO's: down the columns, beginning with what is outside."""
    runs, value = [0], False
    for pixel in mask.T.ravel():
        if pixel != value:
            runs.append(0)
            value = not value
        runs[-1] += 1
    return runs


def test_coco(tmp_path):
    blob = np.random.default_rng(0).random(SIZE) > 0.7
    told = {
        "images": [{"id": 5, "file_name": "sub/a.jpg", "height": 48, "width": 64}],
        "categories": [{"id": 3, "name": "car"}, {"id": 9, "name": "tree"}, {"id": 11, "name": "crowd"}],
        "annotations": [
            {"image_id": 5, "category_id": 3, "segmentation": [np.ravel(CAR).tolist()]},
            {"image_id": 5, "category_id": 9, "segmentation": [np.ravel(TREE).tolist()]},
            {"image_id": 5, "category_id": 11, "iscrowd": 1,
             "segmentation": {"size": list(SIZE), "counts": run_lengths(blob)}},
            {"image_id": 5, "category_id": 3, "bbox": [1, 2, 3, 4]},
        ],
    }  # fmt: skip
    (tmp_path / "coco.json").write_text(json.dumps(told))
    done = write_maps(tmp_path / "coco.json", tmp_path / "o")
    labels, _ = read(tmp_path / "o", "sub/a")
    names = {each.name: each.id for each in done.labels}
    uncovered = ~(filled(CAR) | filled(TREE))
    assert np.array_equal((labels == names["crowd"])[uncovered], blob[uncovered])
    assert overlap(labels == names["tree"], filled(TREE)) > 0.9 and "boxes or key points" in done.notes[0]


def test_cvat(tmp_path):
    mask = np.random.default_rng(1).random((5, 7)) > 0.5
    runs, value = [0], False
    for pixel in mask.ravel():
        if pixel != value:
            runs.append(0)
            value = not value
        runs[-1] += 1
    points = ";".join(f"{x},{y}" for x, y in CAR)
    (tmp_path / "c.xml").write_text(f"""<annotations><image id="0" name="a.png" width="64" height="48">
        <box label="tree" xtl="30" ytl="20" xbr="60" ybr="44" z_order="2"/>
        <polygon label="car" points="{points}" z_order="1"/>
        <mask label="car" rle="{", ".join(map(str, runs))}" left="2" top="40" width="7" height="5" z_order="3"/>
        <polyline label="car" points="1,1;2,2"/></image></annotations>""")
    done = write_maps(tmp_path, tmp_path / "o")
    _, instances = check_two(tmp_path / "o")
    wanted = np.zeros(SIZE, bool)
    wanted[40:45, 2:9] = mask
    assert np.array_equal(instances == 1001, wanted) and "polyline" in done.notes[0]


def test_voc_boxes(tmp_path):
    (tmp_path / "v.xml").write_text("""<annotation><filename>a.jpg</filename><size><width>64</width><height>48</height>
        </size><object><name>car</name><bndbox><xmin>11</xmin><ymin>5</ymin><xmax>20</xmax><ymax>9</ymax></bndbox>
        </object></annotation>""")
    write_maps(tmp_path / "v.xml", tmp_path / "o")
    labels, _ = read(tmp_path / "o")
    assert np.array_equal(np.argwhere(labels)[[0, -1]], [[4, 10], [8, 19]])


def test_celebs(tmp_path):
    folder = tmp_path / "CelebAMask-HQ-mask-anno" / "0"
    folder.mkdir(parents=True)
    parts = {"skin": np.s_[5:40, 5:40], "nose": np.s_[15:25, 15:25], "hair": np.s_[0:8, 0:64]}
    for part, where in parts.items():
        mask = np.zeros(SIZE, np.uint8)
        mask[where] = 255
        Image.fromarray(mask).convert("RGB").save(folder / f"00003_{part}.png")
    assert main(["label", "import", str(tmp_path), "--out", str(tmp_path / "o")]) == 0
    labels, _ = read(tmp_path / "o", "3")
    names = {each["name"]: each["id"] for each in json.loads((tmp_path / "o/legend.json").read_text())["labels"]}
    assert labels[20, 20] == names["nose"] and labels[6, 6] == names["hair"] and labels[30, 30] == names["skin"]


def test_cryptomattes_name_their_classes(tmp_path):
    codes = {"car1": 0x3F000001, "car_002": 0x3E222222, "tree": 0x41999999}
    where = np.random.default_rng(2).integers(0, 3, (8, 12))
    planes = np.zeros((8, 12, 4), np.float32)
    planes[..., 0] = np.array(list(codes.values()), np.uint32)[where].view(np.float32)
    planes[..., 1] = 1
    spec = oiio.ImageSpec(12, 8, 4, "float")
    spec.channelnames = tuple(f"Obj00.{letter}" for letter in "RGBA")
    manifest = json.dumps({name: f"{code:08x}" for name, code in codes.items()})
    for key, value in {"name": "Obj", "hash": "MurmurHash3_32", "manifest": manifest}.items():
        spec.attribute(f"cryptomatte/abc1234/{key}", value)
    output = oiio.ImageOutput.create(str(tmp_path / "m.exr"))
    output.open(str(tmp_path / "m.exr"), spec)
    output.write_image(planes)
    output.close()
    done = write_maps(tmp_path / "m.exr", tmp_path / "o")
    labels, instances = read(tmp_path / "o", "m")
    assert [each.name for each in done.labels] == ["background", "car", "tree"]
    assert np.array_equal(labels, np.array([1, 1, 2])[where])
    assert len({int(instances[where == n][0]) for n in range(3)}) == 3


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [("a.json", "[1,2", "cannot be read"), ("a.json", '{"x": 1}', "neither labelme's nor COCO's"),
     ("a.json", '{"shapes": [{"label": "car"}], "imageHeight": 4, "imageWidth": 4}', "cannot be understood"),
     ("a.xml", "<a", "no XML"), ("a.xml", "<!DOCTYPE x [<!ENTITY e 'e'>]><annotations>&e;</annotations>", "entities"),
     ("a.xml", "<annotations><track/></annotations>", "tracks"), ("a.xml", "<svg/>", "neither CVAT's")],
)  # fmt: skip
def test_what_cannot_be_read_is_named_and_stops_no_other(tmp_path, name, text, told):
    (tmp_path / name).write_text(text)
    (tmp_path / "good.json").write_text('{"shapes": [], "imageHeight": 4, "imageWidth": 4}')
    done = write_maps(tmp_path, tmp_path / "o")
    assert done.count == 1 and len(done.errors) == 1 and told in done.errors[0]


def test_sizes_and_legends_are_heeded(tmp_path, capsys):
    shape = {"label": "car", "points": CAR, "shape_type": "polygon"}
    (tmp_path / "a.json").write_text(json.dumps({"shapes": [shape, {**shape, "label": "moon"}], "imageHeight": 48,
                                                 "imageWidth": 64}))  # fmt: skip
    arguments = ["label", "import", str(tmp_path / "a.json"), "--out", str(tmp_path / "o")]
    assert main([*arguments, "--legend", "cityscapes"]) == 0
    assert set(np.unique(read(tmp_path / "o")[0])) == {0, 26}
    assert "'moon' are lost" in capsys.readouterr().out
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (32, 24)).save(tmp_path / "pictures" / "a.png")
    assert main([*arguments, "--overwrite", "--pictures", str(tmp_path / "pictures")]) == 1
    assert "32x24" in capsys.readouterr().err
    with pytest.raises(UserError, match="no annotations"):
        write_maps(tmp_path / "pictures", tmp_path / "p")
