"""Smoothed, lossy and gappy label maps are told and made usable: against the maps that they were made of."""

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw

from ganvas.cli import main
from ganvas.data.inspect import examine, write_legend
from ganvas.data.labels import LabelledPictures
from ganvas.data.smears import Census, fill
from ganvas.errors import UserError
from ganvas.io.labels.maps import read_label_map

SKY, GROUND, LINE = (90, 150, 220), (90, 90, 90), (220, 40, 60)


def draw(number, size=(256, 128), colors=(SKY, GROUND, LINE)):
    picture = Image.new("RGB", size, colors[0])
    brush = ImageDraw.Draw(picture)
    brush.rectangle([0, 70, size[0], size[1]], fill=colors[1])
    brush.line([10, 10, 230 - 9 * number, 120], fill=colors[2], width=9)
    return picture


def write(root, maps, suffix="png", **options):
    for role in ("labels", "images"):
        (root / role).mkdir(parents=True)
    for number, picture in enumerate(maps):
        picture.save(root / "labels" / f"{number}.{suffix}", **options)
        picture.convert("RGB").save(root / "images" / f"{number}.png")
    return root


def ids_of(picture, colors=(SKY, GROUND, LINE)):
    pixels = np.array(picture).astype(int)
    return np.stack([np.abs(pixels - color).sum(-1) for color in colors]).argmin(0)


@pytest.fixture
def smooth(tmp_path):
    return write(tmp_path / "smooth", [draw(n).resize((64, 32), Image.Resampling.BOX) for n in range(3)])


def test_smoothed_colours_are_told_and_snapped_to_the_main_ones(smooth, tmp_path, capsys):
    colors = len({color for n in range(3) for color in Image.open(smooth / f"labels/{n}.png").getdata()})
    with pytest.raises(UserError, match=f"{colors - 3} of {colors} colours.*at edges.*smoothed.*label remap"):
        write_legend(smooth)
    assert main(["inspect", str(smooth), "--write-legend"]) == 1 and not (smooth / "legend.json").exists()
    capsys.readouterr()
    assert main(["label", "remap", str(smooth), "--out", str(tmp_path / "o")]) == 0
    legend = json.loads((tmp_path / "o/legend.json").read_text())["labels"]
    assert {tuple(each["color"]) for each in legend} == {SKY, GROUND, LINE}
    colors = {each["id"]: tuple(each["color"]) for each in legend}
    for number in range(3):
        found = np.array(
            [[colors[i] for i in row] for row in np.array(Image.open(tmp_path / f"o/labels/{number}.png"))]
        )
        pure = np.array(Image.open(smooth / f"labels/{number}.png"))
        is_pure = np.isin(ids_of(pure), range(3)) & (np.abs(pure.astype(int) - found).sum(-1) == 0)
        wanted = np.array(draw(number).resize((64, 32), Image.Resampling.NEAREST))
        assert (found == wanted).all(-1).mean() > 0.93 and is_pure.mean() > 0.8
    source = LabelledPictures(f"labels={tmp_path / 'o/labels'},picture={smooth / 'images'}")
    assert source.num_labels == 3 and source.examine().is_healthy


def test_smoothed_ids_stop_training_and_a_legend_snaps_colours(smooth, tmp_path):
    gray = write(tmp_path / "gray", [
        Image.fromarray(np.array([7, 24, 200], np.uint8)[ids_of(draw(n))]).resize((64, 32), Image.Resampling.BOX)
        for n in range(3)
    ])  # fmt: skip
    source = LabelledPictures(gray)
    assert any("lie at edges only" in finding.what for finding in source.examine().findings)
    assert main(["train", "pix2pixhd", "--preset", "preview", "--data", str(gray), "--out", str(tmp_path / "run")]) == 1
    assert not (tmp_path / "run").exists()
    legend = {"labels": [{"id": 5 * n, "name": str(n), "color": list(c)} for n, c in enumerate((SKY, GROUND, LINE))]}
    (tmp_path / "legend.json").write_text(json.dumps(legend))
    assert main(["label", "remap", str(smooth), "--out", str(tmp_path / "o"), "--legend",
                 str(tmp_path / "legend.json")]) == 0  # fmt: skip
    assert set(np.unique(np.array(Image.open(tmp_path / "o/labels/0.png")))) == {0, 5, 10}


@pytest.mark.parametrize("options", [[], ["--ids", "0", "24", "100", "200"]])
def test_jpeg_maps_are_refused_and_restored(tmp_path, options, capsys):
    truth = [np.zeros((64, 96), np.uint8) for _ in range(3)]
    for number, ids in enumerate(truth):
        ids[20:] = 24
        ids[30:50, 9 * number : 9 * number + 30], ids[10:40, 60:80] = 200, 100
    data = write(tmp_path / "d", [Image.fromarray(ids) for ids in truth], "jpg", quality=85)
    for verb in (["inspect", str(data)], ["train", "pix2pixhd", "--data", str(data), "--out", str(tmp_path / "run")]):
        assert main(verb) == 1
        told = capsys.readouterr()
        assert "with loss" in told.out + told.err and "label remap" in told.out + told.err
    assert main(["label", "remap", str(data), "--out", str(tmp_path / "o"), *options]) == 0
    for number, ids in enumerate(truth):
        found = read_label_map(tmp_path / f"o/labels/{number}.png")
        assert (found == np.searchsorted([0, 24, 100, 200], ids)).mean() > 0.97


def test_gaps_are_closed_and_single_ids_changed(tmp_path):
    ids = np.random.default_rng(0).choice([0, 7, 24, 200, 255], (16, 24)).astype(np.uint8)
    data = write(tmp_path / "d", [Image.fromarray(ids)])
    told = [finding.what for finding in LabelledPictures(data).examine().findings]
    assert any("Only 4 of 201 ids occur" in what for what in told)
    assert main(["label", "remap", str(data), "--out", str(tmp_path / "o")]) == 0
    found = read_label_map(tmp_path / "o/labels/0.png")
    for new, old in enumerate((0, 7, 24, 200)):
        assert np.array_equal(found == new, ids == old)
    assert np.array_equal(found == 255, ids == 255)
    assert main(["label", "remap", str(data), "--out", str(tmp_path / "p"), "--map", "200=1"]) == 0
    assert np.array_equal(read_label_map(tmp_path / "p/labels/0.png"), np.where(ids == 200, 1, ids))
    assert main(["label", "remap", str(data), "--out", str(tmp_path / "p")]) == 1  # nothing is overwritten


def test_instance_maps_in_place_of_label_maps_are_told(tmp_path):
    ids = np.repeat(np.array([7, 8, 26000, 26001, 24003], np.uint16), 48).reshape(15, 16)
    data = write(tmp_path / "d", [Image.fromarray(ids)])
    found = examine(data)
    assert not found.is_healthy and "instance maps in place of label maps" in found.findings[0].what
    assert not LabelledPictures(data).examine().is_healthy
    assert LabelledPictures(data, num_labels=26002).examine().is_healthy  # it was said


def test_black_and_white_masks_warn_in_training(tmp_path):
    mask = (np.random.default_rng(0).random((16, 24)) > 0.5).astype(np.uint8) * 255
    found = LabelledPictures(write(tmp_path / "d", [Image.fromarray(mask)])).examine()
    assert found.is_healthy and any("black and white" in finding.what for finding in found.findings)


def test_thin_classes_are_no_mixtures():
    ids = np.zeros((64, 64), np.int64)
    ids[:, 20:40] = 1
    for pole in range(2, 14):
        ids[:, 4 * pole + 1] = pole
    census = Census()
    census.add(ids)
    assert census.pixels[5] == census.edges[5] == 64 and census.mixtures() == []


def test_filling_takes_the_nearest():
    ids, known = np.zeros((1, 9), int), np.zeros((1, 9), bool)
    ids[0, [0, 8]], known[0, [0, 8]] = (3, 5), True
    assert fill(ids, known)[0].tolist() in ([3] * 5 + [5] * 4, [3] * 4 + [5] * 5)


def test_pairs_side_by_side_are_split(tmp_path):
    pictures = [np.random.default_rng(n).integers(0, 255, (8, 16, 3)).astype(np.uint8) for n in range(2)]
    (tmp_path / "train").mkdir()
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / "train" / f"{number}.png")
    Image.new("RGB", (15, 8)).save(tmp_path / "train" / "odd.png")
    assert main(["label", "split", str(tmp_path / "train"), "--out", str(tmp_path / "o")]) == 1  # one is odd
    for number, picture in enumerate(pictures):
        for part, half in (("A", picture[:, :8]), ("B", picture[:, 8:])):
            assert np.array_equal(np.array(Image.open(tmp_path / "o" / part / f"{number}.png")), half)
    assert len(LabelledPictures(tmp_path / "o")) == 2


def test_legends_are_listed_and_written(tmp_path, capsys):
    assert main(["label", "legend"]) == 0 and "cityscapes" in capsys.readouterr().out
    assert main(["label", "legend", "voc", "--out", str(tmp_path / "legend.json")]) == 0
    assert json.loads((tmp_path / "legend.json").read_text())["labels"][15]["name"] == "person"
    assert main(["label", "legend", "voc", "--out", str(tmp_path / "legend.json")]) == 1
    assert main(["label", "legend", "void"]) == 1
