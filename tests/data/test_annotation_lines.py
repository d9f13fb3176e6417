"""Lines of docs/label-formats.md that say little things, each against pycocotools, OpenCV or Pillow."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from ganvas.data.annotations import write_maps
from ganvas.errors import UserError
from ganvas.io.labels.legends import READY, ready
from ganvas.io.labels.maps import read_instance_map, read_label_map

SIZE = (48, 64)
BLOB = np.random.default_rng(0).random(SIZE) > 0.6
SQUARE = [10.0, 8.0, 40.0, 8.0, 40.0, 30.0, 10.0, 30.0]


def written(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    done = write_maps(tmp_path / name, tmp_path / "o")
    return done, read_label_map(tmp_path / "o/labels/a.png"), read_instance_map(tmp_path / "o/instances/a.png")


def coco_file(*annotations, kinds=("car", "tree")):
    categories = [{"id": number, "name": name} for number, name in enumerate(kinds, 7)]
    images = [{"id": 3, "file_name": "a.jpg", "height": SIZE[0], "width": SIZE[1]}]
    told = [{"id": number, "image_id": 3, **each} for number, each in enumerate(annotations)]
    return json.dumps({"images": images, "categories": categories, "annotations": told})


def test_compressed_run_lengths_of_coco_are_those_of_its_own_tools(tmp_path):
    packed = coco.encode(np.asfortranarray(BLOB.astype(np.uint8)))
    area = {"size": list(SIZE), "counts": packed["counts"].decode()}
    _, labels, _ = written(tmp_path, "a.json", coco_file({"category_id": 7, "segmentation": area, "iscrowd": 0}))
    assert np.array_equal(labels > 0, coco.decode(packed).astype(bool)) and np.array_equal(labels > 0, BLOB)


def test_polygons_of_coco_are_drawn_as_its_own_tools_draw_them(tmp_path):
    rings = [SQUARE, [50.5, 10.25, 62.0, 20.0, 48.0, 40.75]]
    _, labels, _ = written(tmp_path, "a.json", coco_file({"category_id": 8, "segmentation": rings, "iscrowd": 0}))
    wanted = coco.decode(coco.merge(coco.frPyObjects(rings, *SIZE))).astype(bool)
    assert np.array_equal(labels > 0, wanted)


def test_crowds_lie_below_and_boxes_without_an_area_are_counted(tmp_path):
    crowd = {"size": list(SIZE), "counts": [0, SIZE[0] * SIZE[1]]}
    done, labels, instances = written(
        tmp_path, "a.json",
        coco_file({"category_id": 7, "segmentation": [SQUARE], "iscrowd": 0},
                  {"category_id": 8, "segmentation": crowd, "iscrowd": 1},
                  {"category_id": 8, "bbox": [1, 1, 5, 5], "iscrowd": 0}),
    )  # fmt: skip
    inside = coco.decode(coco.merge(coco.frPyObjects([SQUARE], *SIZE))).astype(bool)
    assert len(np.unique(labels[inside])) == 1 and len(np.unique(labels[~inside])) == 1
    assert labels[20, 20] != labels[45, 60] and len(np.unique(instances)) == 2
    assert any("1" in note for note in done.notes)


def cvat(*shapes):
    inner = "".join(shapes)
    image = f'<image id="0" name="a.jpg" width="64" height="48">{inner}</image>'
    return f"<annotations><version>1.1</version>{image}</annotations>"


def box(label, left, top, right, bottom, **more):
    told = " ".join(f'{key}="{value}"' for key, value in more.items())
    return f'<box label="{label}" xtl="{left}" ytl="{top}" xbr="{right}" ybr="{bottom}" {told}></box>'


def test_groups_of_cvat_are_one_instance(tmp_path):
    shapes = [box("car", 2, 2, 12, 12, group_id=5), box("car", 20, 2, 30, 12, group_id=5), box("car", 40, 2, 50, 12)]
    _, labels, instances = written(tmp_path, "a.xml", cvat(*shapes))
    first, second, third = (instances[7, x] for x in (7, 25, 45))
    assert first == second != third and len(np.unique(labels)) == 2


def test_order_of_cvat_and_what_it_loses(tmp_path):
    line = '<polyline label="car" points="1,1;9,9"/><points label="car" points="1,1"/><tag label="a"/>'
    shapes = [box("tree", 0, 0, 40, 40, z_order=1), box("car", 10, 10, 30, 30, z_order=0), line]
    done, labels, _ = written(tmp_path, "a.xml", cvat(*shapes))
    assert len(np.unique(labels[2:38, 2:38])) == 1  # the tree, drawn last, covers the car
    assert "polyline" in " ".join(done.notes) and "points" in " ".join(done.notes)


def test_masks_of_cvat_are_runs_along_the_rows_of_a_box(tmp_path):
    runs, value = [0], False
    for pixel in BLOB[4:20, 6:36].ravel():
        if pixel != value:
            runs, value = [*runs, 0], not value
        runs[-1] += 1
    told = f'<mask label="car" rle="{", ".join(map(str, runs))}" left="6" top="4" width="30" height="16"></mask>'
    _, labels, _ = written(tmp_path, "a.xml", cvat(told))
    wanted = np.zeros(SIZE, bool)
    wanted[4:20, 6:36] = BLOB[4:20, 6:36]
    assert np.array_equal(labels > 0, wanted)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.xml", "<annotations><track id='0' label='car'></track></annotations>", "tracks"),
        ("a.xml", "<!DOCTYPE a [<!ENTITY b 'c'>]><annotations></annotations>", "entities"),
        ("a.json", json.dumps({"images": [], "annotations": [{"segments_info": []}], "categories": []}), ""),
        ("a.json", json.dumps({"info": 1}), ""),
    ],
)
def test_what_is_refused_is_refused_by_name(tmp_path, name, text, told):
    (tmp_path / name).write_text(text)
    try:
        done = write_maps(tmp_path / name, tmp_path / "o")
    except UserError as error:
        assert told in str(error)
    else:
        assert not done.count and done.errors and told in str(done.errors)


def test_lines_and_points_of_labelme_are_counted(tmp_path):
    shapes = [
        {"label": "car", "points": [[1, 1], [40, 30]], "shape_type": "rectangle"},
        {"label": "car", "points": [[1, 1], [9, 9]], "shape_type": "line"},
        {"label": "car", "points": [[1, 1], [9, 9], [12, 3]], "shape_type": "linestrip"},
    ]
    told = json.dumps({"shapes": shapes, "imagePath": "a.jpg", "imageHeight": 48, "imageWidth": 64})
    done, labels, _ = written(tmp_path, "a.json", told)
    wanted = cv2.rectangle(np.zeros(SIZE, np.uint8), (1, 1), (39, 29), 1, -1) > 0
    assert (labels > 0)[2:29, 2:39].all() and ((labels > 0) ^ wanted).mean() < 0.03
    assert "line" in " ".join(done.notes) and "linestrip" in " ".join(done.notes)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_gray_png_of_any_depth_holds_ids(tmp_path, bits):
    import imagecodecs

    ids = np.arange(48 * 64).reshape(SIZE) % min(1 << bits, 3000)
    if bits < 8:
        # Pillow writes fewer bits for palettes; a gray one of few bits is packed by hand.
        rows = b"".join(
            b"\0" + np.packbits(np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, -bits:]).tobytes()
            for row in ids
        )
        (tmp_path / "a.png").write_bytes(plain_png(rows, bits))
        with Image.open(tmp_path / "a.png") as picture:
            assert picture.size == (64, 48)
    else:
        kind = np.uint8 if bits == 8 else np.uint16
        (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(ids.astype(kind)))
    assert np.array_equal(read_label_map(tmp_path / "a.png"), ids)


def plain_png(rows: bytes, bits: int) -> bytes:
    """Return a gray PNG of 64 x 48 pixels (PNG specification, section 11.2)."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">2I5B", 64, 48, bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", ["bmp", "webp", "tif", "tga"])
def test_other_lossless_pictures_hold_ids(tmp_path, suffix):
    ids = (np.arange(48 * 64).reshape(SIZE) % 35).astype(np.uint8)
    options = {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(ids).save(tmp_path / f"a.{suffix}", **options)
    assert np.array_equal(read_label_map(tmp_path / f"a.{suffix}"), ids)


def test_ready_legends_have_a_color_for_each_class():
    for name in READY:
        labels = ready(name)
        assert len({label.id for label in labels}) == len(labels) > 1, name
    assert {label.name for label in ready("cityscapes")} >= {"road", "car", "sky"}
