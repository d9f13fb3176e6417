"""Maps of ids as programs write them, each against what Pillow, OpenImageIO or NumPy wrote."""

import numpy as np
import OpenImageIO as oiio
import pytest
from PIL import Image

from ganvas.data.labels import LabelledPictures
from ganvas.errors import UserError
from ganvas.io.labels.legends import READY, read_legend, ready
from ganvas.io.labels.maps import check_ids, is_lossy, read_instance_map, read_label_map

IDS = np.random.default_rng(0).integers(0, 4, (12, 16))


def write_exr(path, array, kind, names=("Y",), **facts):
    """Write channels by OpenImageIO alone."""
    planes = array.reshape(*array.shape[:2], -1)
    spec = oiio.ImageSpec(planes.shape[1], planes.shape[0], planes.shape[2], kind)
    spec.channelnames = names
    for key, value in facts.items():
        spec.attribute(key, value)
    out = oiio.ImageOutput.create(str(path))
    assert out.open(str(path), spec) and out.write_image(np.ascontiguousarray(planes)), out.geterror()
    out.close()
    return path


@pytest.mark.parametrize("offset", [0, 255, 70_000, 2**31 - 10])
def test_whole_numbers_of_32_bits(tmp_path, offset):
    numbers = (IDS + offset).astype(np.int32)
    Image.fromarray(numbers).save(tmp_path / "ids.tif")
    write_exr(tmp_path / "ids.exr", numbers.astype(np.uint32), "uint")
    for name in ("ids.tif", "ids.exr"):
        assert np.array_equal(read_instance_map(tmp_path / name), numbers)
        assert np.array_equal(read_label_map(tmp_path / name), numbers)


def test_floats_that_are_whole_and_floats_that_are_not(tmp_path):
    write_exr(tmp_path / "ids.exr", IDS.astype(np.float32) + 2000, "float")
    Image.fromarray(IDS.astype(np.float32)).save(tmp_path / "ids.tif")
    assert np.array_equal(read_instance_map(tmp_path / "ids.exr"), IDS + 2000)
    assert np.array_equal(read_label_map(tmp_path / "ids.tif"), IDS)
    Image.fromarray(IDS.astype(np.float32) / 255).save(tmp_path / "shares.tif")
    for read in (read_label_map, read_instance_map):
        with pytest.raises(UserError, match="fractions"):
            read(tmp_path / "shares.tif")


def test_negative_ids_stand_for_no_class(tmp_path):
    Image.fromarray(IDS.astype(np.int32) - 1).save(tmp_path / "ids.tif")
    found = read_label_map(tmp_path / "ids.tif")
    assert np.array_equal(found, IDS - 1)
    assert np.array_equal(check_ids(found, 3, (1,), "x") >= 0, np.isin(IDS, (1, 3)))


def test_what_is_stored_with_loss_is_refused_and_what_is_not_is_read(tmp_path):
    picture = Image.fromarray((IDS * 40).astype(np.uint8))
    picture.save(tmp_path / "a.jpg")
    picture.convert("RGB").save(tmp_path / "b.webp")
    picture.convert("RGB").save(tmp_path / "c.webp", lossless=True)
    picture.save(tmp_path / "d.bmp")
    assert [is_lossy(tmp_path / name) for name in ("a.jpg", "b.webp", "c.webp", "d.bmp")] == [True, True, False, False]
    for name in ("a.jpg", "b.webp"):
        for read in (read_label_map, read_instance_map):
            with pytest.raises(UserError, match="with loss"):
                read(tmp_path / name)
    for name in ("c.webp", "d.bmp"):
        assert np.array_equal(read_label_map(tmp_path / name), IDS * 40)


def test_colours_write_numbers(tmp_path):
    numbers = IDS + 70_000
    Image.fromarray(np.stack([numbers & 255, numbers >> 8 & 255, numbers >> 16], -1).astype(np.uint8)).save(
        tmp_path / "ids.png"
    )
    assert np.array_equal(read_instance_map(tmp_path / "ids.png"), numbers)
    deep = np.stack([IDS * 300, IDS, IDS], -1).astype(np.uint16)
    write_exr(tmp_path / "deep.tif", deep, "uint16", ("R", "G", "B"))
    with pytest.raises(UserError, match="16 bits"):
        read_instance_map(tmp_path / "deep.tif")


def test_a_data_set_whose_instances_are_cryptomattes_or_32_bits(tmp_path):
    for number in range(2):
        for role, picture in (("labels", IDS > 1), ("images", IDS * 60)):
            (tmp_path / role).mkdir(exist_ok=True)
            Image.fromarray(picture.astype(np.uint8)).save(tmp_path / role / f"{number}.png")
    (tmp_path / "instances").mkdir()
    # A hash, its bits kept as a float, covers the whole pixel.
    hashes = np.array([0x3F000001, 0x3E222222, 0x41999999, 0xC2000003], np.uint32)
    planes = np.zeros((*IDS.shape, 4), np.float32)
    planes[..., 0], planes[..., 1] = hashes[IDS].view(np.float32), 1
    names = tuple(f"Obj00.{letter}" for letter in "RGBA")
    facts = {"cryptomatte/abc1234/name": "Obj", "cryptomatte/abc1234/hash": "MurmurHash3_32"}
    write_exr(tmp_path / "instances" / "0.exr", planes, "float", names, **facts)
    Image.fromarray((IDS * 100_000).astype(np.int32)).save(tmp_path / "instances" / "1.tif")
    source = LabelledPictures(tmp_path)
    assert len(source) == 2 and not source.report.skipped
    matte, numbers = (source.whole(index)["instance_map"][0].numpy() for index in range(2))
    assert np.array_equal(matte, (hashes & 0x7FFFFFFF)[IDS]) and np.array_equal(numbers, IDS * 100_000)
    with pytest.raises(UserError, match="Cryptomatte"):
        read_label_map(tmp_path / "instances" / "0.exr")


def test_colours_beside_the_legend_are_counted_and_mended(tmp_path):
    colors = np.array([(0, 0, 0), (200, 0, 0), (0, 200, 0), (1, 2, 3)], np.uint8)
    Image.fromarray(colors[IDS]).save(tmp_path / "map.png")
    with pytest.raises(UserError, match=rf"\(1, 2, 3\).*{(IDS == 3).mean():.2%}.*label remap"):
        read_label_map(tmp_path / "map.png", _legend(tmp_path, colors[:3]))


def _legend(folder, colors):
    (folder / "label_colors.txt").write_text("\n".join(f"{r} {g} {b}\tclass {n}" for n, (r, g, b) in enumerate(colors)))
    return read_legend(folder / "label_colors.txt")


def test_legends_of_other_kinds(tmp_path):
    found = _legend(tmp_path, np.array([(64, 128, 64), (0, 0, 0)]))
    assert [(each.id, each.name, each.color) for each in found] == [
        (0, "class 0", (64, 128, 64)), (1, "class 1", (0, 0, 0)),
    ]  # fmt: skip
    (tmp_path / "class_dict.csv").write_text("name, r, g, b\nRoad, 128, 64, 128\nSky,1,2,3\n")
    assert [(each.id, each.name, each.color) for each in read_legend(tmp_path / "class_dict.csv")] == [
        (0, "Road", (128, 64, 128)), (1, "Sky", (1, 2, 3)),
    ]  # fmt: skip
    for text in ("1 2 sky", "1 2 300 sky", "a b c d"):
        (tmp_path / "label_colors.txt").write_text(text)
        with pytest.raises(UserError, match="no legend"):
            read_legend(tmp_path / "label_colors.txt")
    one = '{"id": 1, "name": "a", "color": [1, 2, 3]}'
    for labels in (f"{one}, {one}", one.replace("1,", "-1,", 1), one.replace("[1, 2, 3]", '"red"'), "3"):
        (tmp_path / "legend.json").write_text(f'{{"labels": [{labels}]}}')
        with pytest.raises(UserError, match="no legend"):
            read_legend(tmp_path / "legend.json")


def test_the_ready_legends_hold_what_their_sets_say():
    known = {
        "cityscapes": (34, 26, "car", (0, 0, 142), True), "cityscapes-train": (19, 13, "car", (0, 0, 142), True),
        "ade20k": (151, 150, "flag", (92, 0, 255), False), "coco-stuff": (171, 181, "wood", None, False),
        "camvid": (32, 17, "Road", (128, 64, 128), False), "isaid": (16, 15, "harbor", (0, 100, 155), True),
        "voc": (21, 15, "person", (192, 128, 128), True),
    }  # fmt: skip
    assert set(known) == set(READY)
    for name, (count, number, title, color, thing) in known.items():
        legend = ready(name)
        found = next(label for label in legend if label.id == number)
        assert len(legend) == count and (found.name, found.thing) == (title, thing)
        assert color in (None, found.color)
    with pytest.raises(UserError, match="cityscapes"):
        ready("cityscape")
