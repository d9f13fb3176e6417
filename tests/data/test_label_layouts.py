"""Data sets as their makers lay them out on the disk, for training and for generating; nothing is dropped unsaid."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganvas.data.label_layouts import find_maps, find_scenes
from ganvas.data.labels import LabelledPictures
from ganvas.errors import UserError
from ganvas.inference.labels import files as label_files
from ganvas.io.labels.legends import ready
from ganvas.io.labels.maps import read_instance_map

IDS = np.random.default_rng(0).integers(0, 4, (8, 16)).astype(np.uint8)
NUMBERS = IDS.astype(np.uint16) * 1000 + 7
PICTURE = np.stack([IDS * 60, 255 - IDS * 60, np.full_like(IDS, 9)], -1)


def save(root: Path, **files) -> Path:
    """Write arrays to paths that hold a __ for each slash, their suffix behind the last underscore."""
    for name, array in files.items():
        stem, _, suffix = name.rpartition("_")
        path = root / f"{stem.replace('__', '/')}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path, **({"quality": 100} if suffix == "jpg" else {}))
    return root


def palette(ids: np.ndarray) -> Image.Image:
    picture = Image.fromarray(ids, "P")
    picture.putpalette([value for number in range(256) for value in (number * 37 % 256, number, 255 - number)])
    return picture


def colored(name: str, ids: np.ndarray = IDS) -> np.ndarray:
    return np.array([label.color for label in ready(name)], np.uint8)[ids]


def check(inputs, count=1, instances=None, ids=IDS) -> LabelledPictures:
    source = LabelledPictures(inputs)
    assert len(source) == count
    sample = source.whole(0)
    assert np.array_equal(sample["label_map"][0].numpy(), ids)
    if instances is not None:
        assert np.array_equal(sample["instance_map"][0].numpy(), instances)
    return source


def test_the_originals_phases(tmp_path):
    for phase in ("train", "test"):
        save(tmp_path, **{f"{phase}_label__f_1_gtFine_labelIds_png": IDS, f"{phase}_img__f_1_leftImg8bit_png": PICTURE,
                          f"{phase}_inst__f_1_gtFine_instanceIds_png": NUMBERS})  # fmt: skip
    for given in (tmp_path, tmp_path / "test"):
        check(given, instances=NUMBERS)
    for phase, given in (("test", ""), ("test", "test"), ("train", "train"), ("test", "test_label")):
        found = label_files.find_maps(tmp_path / given)
        assert [file.labels.parent.name for file in found] == [f"{phase}_label"]
        assert [file.instances.parent.name for file in found] == [f"{phase}_inst"]
    (tmp_path / "test_label").rename(tmp_path / "only_label")
    with pytest.raises(UserError, match="does not exist"):
        find_maps(tmp_path / "nothing" / "test")


@pytest.mark.parametrize("given", ["", "gtFine", "gtFine/val", "val"])
def test_cityscapes_to_generate_from(tmp_path, given):
    save(tmp_path, gtFine__val__ulm__ulm_1_gtFine_labelIds_png=IDS, gtFine__val__ulm__ulm_1_gtFine_color_png=PICTURE,
         gtFine__val__ulm__ulm_1_gtFine_instanceIds_png=NUMBERS,
         leftImg8bit__val__ulm__ulm_1_leftImg8bit_png=PICTURE)  # fmt: skip
    (file,) = label_files.find_maps(tmp_path / given)
    assert (file.labels.name, file.instances.name) == ("ulm_1_gtFine_labelIds.png", "ulm_1_gtFine_instanceIds.png")


def test_bdd100k_and_its_bitmasks(tmp_path):
    # Category, attributes, and a number of 16 bits in blue and alpha.
    bits = np.stack([IDS, np.zeros_like(IDS), IDS, np.arange(128).reshape(8, 16).astype(np.uint8)], -1)
    save(tmp_path, images__10k__train__a_jpg=PICTURE, images__10k__val__b_jpg=PICTURE,
         labels__sem_seg__masks__train__a_png=IDS, labels__sem_seg__masks__val__b_png=IDS,
         labels__sem_seg__colormaps__train__a_png=PICTURE, labels__ins_seg__bitmasks__train__a_png=bits,
         labels__ins_seg__bitmasks__val__b_png=bits)  # fmt: skip
    source = check(tmp_path)
    assert "val" in " ".join(find_scenes(tmp_path).notes)
    numbers = source.whole(0)["instance_map"][0].numpy()
    assert len(np.unique(numbers)) == 128
    assert np.array_equal(
        read_instance_map(tmp_path / "labels/ins_seg/bitmasks/val/b.png"), bits.astype(int) @ [1, 2**8, 2**16, 2**24]
    )
    assert LabelledPictures(tmp_path / "val").names() == ["b"]
    older = save(tmp_path / "seg", images__train__a_jpg=PICTURE, labels__train__a_train_id_png=IDS)
    check(older)


def test_camvid_whole_and_in_copies(tmp_path):
    maps = colored("camvid")
    lines = "\n".join(f"{r} {g} {b}\t{each.name}" for each in ready("camvid") for r, g, b in [each.color])
    full = save(tmp_path / "full", **{"701_StillsRaw_full__a_1_png": PICTURE, "LabeledApproved_full__a_1_L_png": maps})
    (full / "label_colors.txt").write_text(lines)
    assert check(full).legend[17].name == "Road"
    copy = save(tmp_path / "copy", train__a_1_png=PICTURE, train_labels__a_1_L_png=maps, val__b_png=PICTURE,
                val_labels__b_L_png=maps)  # fmt: skip
    (copy / "class_dict.csv").write_text("name,r,g,b\n" + "\n".join(
        f"{each.name},{','.join(map(str, each.color))}" for each in ready("camvid")
    ))  # fmt: skip
    check(copy)
    assert LabelledPictures(copy / "val").names() == ["b"]
    check(save(tmp_path / "segnet", train__a_png=PICTURE, trainannot__a_png=IDS))


def test_isaid_brings_its_legend(tmp_path):
    numbers = np.stack([IDS * 50, IDS, IDS * 0], -1)
    save(tmp_path, images__P0000_png=PICTURE, Semantic_masks__images__P0000_instance_color_RGB_png=colored("isaid"),
         Instance_masks__images__P0000_instance_id_RGB_png=numbers)  # fmt: skip
    assert check(tmp_path, instances=numbers.astype(int) @ [1, 256, 65536]).legend[1].name == "ship"


def test_voc_ade_and_imaginaire(tmp_path):
    voc = save(tmp_path / "voc", JPEGImages__a_jpg=PICTURE, JPEGImages__b_jpg=PICTURE)
    for folder, plane in (("SegmentationClass", IDS), ("SegmentationObject", IDS + 1)):
        (voc / folder).mkdir()
        palette(plane).save(voc / folder / "a.png")
    check(voc, instances=IDS + 1)
    assert "b.jpg" in " ".join(find_scenes(voc).unpaired)
    ade = save(tmp_path / "ade", images__training__a_jpg=PICTURE, annotations__training__a_png=IDS,
               images__validation__b_jpg=PICTURE, annotations__validation__b_png=IDS)  # fmt: skip
    check(ade)
    check(ade / "val")
    assert LabelledPictures(ade / "val").names() == ["b"]
    check(save(tmp_path / "imaginaire", images__s1__0_jpg=PICTURE, seg_maps__s1__0_png=IDS,
               instance_maps__s1__0_png=NUMBERS), instances=NUMBERS)  # fmt: skip
    split = save(tmp_path / "split", train__images__0_png=PICTURE, train__labels__0_png=IDS, val__images__1_png=PICTURE,
                 val__labels__1_png=IDS)  # fmt: skip
    assert LabelledPictures(split).names() == ["0"] and LabelledPictures(split / "val").names() == ["1"]


def test_facades_lie_in_one_folder(tmp_path):
    save(tmp_path, base__cmp_b0001_jpg=PICTURE, base__cmp_b0002_jpg=PICTURE)
    palette(IDS).save(tmp_path / "base" / "cmp_b0001.png")
    check(tmp_path / "base")
    assert "cmp_b0002.jpg" in " ".join(find_scenes(tmp_path / "base").unpaired)


def test_pairs_side_by_side_and_celebs_are_told_what_to_do(tmp_path):
    for given in (save(tmp_path / "ab", train__0_jpg=PICTURE, train__1_jpg=PICTURE), tmp_path / "ab" / "train"):
        with pytest.raises(UserError, match=r"A\|B.*label split .*train"):
            find_scenes(given)
    celebs = save(tmp_path / "celebs", **{"CelebA-HQ-img__0_jpg": PICTURE,
                                          "CelebAMask-HQ-mask-anno__0__00000_skin_png": IDS})  # fmt: skip
    with pytest.raises(UserError, match="label import"):
        find_scenes(celebs)


def test_what_lies_there_twice_or_for_nothing_is_said(tmp_path):
    save(tmp_path, images__a_png=PICTURE, labels__a_png=IDS, labels__a_seg_png=IDS, edges__other_png=IDS)
    found = find_scenes(tmp_path)
    assert [scene.files.keys() for scene in found.scenes] == [{"picture", "labels"}]
    assert "a_seg.png" in " ".join(found.unpaired) and "edges" in " ".join(found.notes)


def test_globs_and_files_find_what_belongs_to_them(tmp_path):
    save(tmp_path, labels__a_png=IDS, labels__b_png=IDS, instances__a_png=NUMBERS, instances__b_png=NUMBERS)
    found = label_files.find_maps(tmp_path / "labels" / "*.png")
    assert [(file.name, file.instances.name) for file in found] == [("a", "a.png"), ("b", "b.png")]
    with pytest.raises(UserError, match="nothing matches"):
        label_files.find_maps(tmp_path / "labels" / "*.tif")
