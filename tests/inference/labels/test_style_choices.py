"""Styles of one instance from the command line: by number, and from an instance of another picture."""

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas import cli
from ganvas.errors import UserError
from ganvas.inference.labels import choices
from ganvas.inference.labels.painter import LabelPainter, MapFiles
from ganvas.inference.styles import gather
from ganvas.recipes.pix2pixhd.recipe import Pix2PixHD
from ganvas.recipes.pix2pixhd.settings import PREVIEW
from ganvas.settings import replace
from ganvas.training import loop
from ganvas.training.trainer import Plan

TINY = {
    "width_px": 64, "height_px": 32, "global_width": 8, "downs": 1, "blocks": 1, "enhancers": 0, "encoder_width": 4,
    "discriminator_scales": 1, "discriminator_layers": 1, "gan_weight": 0.0, "feature_matching_weight": 0.0,
    "pixel_weight": 10.0, "global_steps": 4, "joint_steps": 0, "precision": "float32", "threads": 1, "workers": 1,
    "perceptual": "none", "average_half_life": 0.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    root = tmp_path_factory.mktemp("scenes") / "d"
    for role in ("frames", "labels", "instances"):
        (root / role).mkdir(parents=True)
    for number in range(4):
        labels = np.zeros((32, 64), np.uint8)
        labels[8:24, 4:24] = labels[8:24, 36:56] = 1
        instances, picture = labels.astype(np.uint16), np.full((32, 64, 3), 90, np.uint8)
        for car, x in enumerate((4, 36)):
            instances[8:24, x : x + 20] = 1000 + car
            picture[8:24, x : x + 20] = (40 + 50 * number, 220 - 40 * car, 60 * car)
        for role, plane in (("frames", picture), ("labels", labels), ("instances", instances)):
            Image.fromarray(plane).save(root / role / f"{number}.png")
    (root / "legend.json").write_text(
        '{"labels": [{"id": 0, "name": "road", "color": [0, 0, 0]}, {"id": 1, "name": "car", "color": [0, 0, 142]}]}'
    )
    return root


@pytest.fixture(scope="module")
def run(scenes, tmp_path_factory):
    recipe = Pix2PixHD(replace(PREVIEW, {**TINY, "data": str(scenes)}))
    folder = tmp_path_factory.mktemp("runs") / "run"
    loop.train(Plan("pix2pixhd", recipe, recipe.source(str(scenes))), folder, quiet=True)
    gather(folder)
    return folder


@pytest.fixture
def painter(run):
    return LabelPainter(run, device="cpu", precision="float32")


def maps(scenes, number):
    return MapFiles("", *(scenes / role / f"{number}.png" for role in ("labels", "instances")))


def test_only_the_chosen_instance_changes(painter, scenes):
    regions = painter.read(maps(scenes, 0))
    drawn = painter.draw(regions)
    (choice,) = choices.read_choices(painter, ["car@1001=1"])
    found, used = choices.with_choices(regions, drawn, [choice])
    changed = (found.features != drawn.features).any(-1)
    place = [int(region) // 4096 for region in regions.ids].index(1001)
    assert used == {0} and torch.equal(found.features[place], painter.styles.of(1)[1])
    assert not changed[[number for number in range(len(changed)) if number != place]].any()


def test_a_style_is_taken_from_an_instance_of_a_picture(painter, scenes):
    (choice,) = choices.read_choices(painter, [f"car@1000={scenes / 'frames/3.png'}:car@1001"])
    regions = painter.read(maps(scenes, 3))
    picture = torch.from_numpy(np.array(Image.open(scenes / "frames/3.png"))).permute(2, 0, 1)[None] / 255
    rows = painter.copy(regions, picture).features
    assert torch.equal(choice.features, rows[[int(r) // 4096 for r in regions.ids].index(1001)])
    elsewhere = scenes.parent / "alone.png"
    Image.open(scenes / "frames/3.png").save(elsewhere)
    (named,) = choices.read_choices(painter, [f"car@1000={elsewhere}:car@1001"], maps(scenes, 3))
    assert torch.equal(named.features, choice.features)


@pytest.mark.parametrize(
    ("text", "told"),
    [("car@1000=99", "no style 99"), ("bus@1=1", "no class 'bus'"), ("car@x=1", "no instance"),
     ("car@1=frames", "PICTURE:car@26012"), ("car@1=absent.png:car@1", "does not exist")],
)  # fmt: skip
def test_what_is_no_choice_is_named(painter, text, told):
    with pytest.raises(UserError, match=told):
        choices.read_choices(painter, [text])


def test_instances_that_are_not_there_are_named(painter, scenes):
    with pytest.raises(UserError, match=r"shows no such instance.*1000, 1001"):
        choices.read_choices(painter, [f"car={scenes / 'frames/3.png'}:car@7"])


def test_on_the_command_line(run, scenes, tmp_path, capsys):
    arguments = ["generate", str(run), "--labels", str(scenes / "labels/0.png"), "--precision", "float32"]
    assert cli.main([*arguments, "--out", str(tmp_path / "a.png")]) == 0
    assert cli.main([*arguments, "--out", str(tmp_path / "b.png"), "--style", "car@1000=0", "car@1000=1"]) == 0
    assert cli.main([*arguments, "--out", str(tmp_path / "c.png"), "--style", "car@1000=1", "car@9=1"]) == 1
    assert "car@1000 (320 px in 0.png)" in capsys.readouterr().err and not (tmp_path / "c.png").exists()
    assert cli.main([*arguments, "--out", str(tmp_path / "c.png"), "--style", "car@1000=1"]) == 0
    b, c = (np.array(Image.open(tmp_path / f"{name}.png")) for name in "bc")
    assert np.array_equal(b, c)  # of two choices the last counts
