"""Pictures from labels and edges or depth together, and colour from gray: what generates equals what was trained."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import ganvas
from ganvas import cli
from ganvas.io.pictures import images
from ganvas.io.weights import files as weights
from ganvas.recipes.pix2pixhd.recipe import Pix2PixHD
from ganvas.recipes.pix2pixhd.settings import PICTURE, PREVIEW
from ganvas.training import loop
from ganvas.training.trainer import Plan

TINY = {
    "width_px": 64, "height_px": 32, "global_width": 4, "downs": 2, "blocks": 1, "enhancers": 0,
    "discriminator_width": 4, "discriminator_scales": 1, "global_steps": 2, "joint_steps": 0, "threads": 1,
    "workers": 1, "instance_features": 0, "perceptual": "none", "precision": "float32", "mirror": False,
}  # fmt: skip


def write_set(root, extra="edges", suffix="png"):
    for role in ("labels", "images", extra):
        (root / role).mkdir(parents=True)
    for number in range(3):
        labels = np.zeros((32, 64), np.uint8)
        labels[:, 9 * number : 9 * number + 20] = 1
        Image.fromarray(labels).save(root / "labels" / f"{number}.png")
        Image.fromarray(np.stack([labels * 200, labels * 90, labels], -1)).save(root / "images" / f"{number}.png")
        values = labels * 200 if suffix == "png" else np.where(labels, 3 + number, 5000).astype(np.float32)
        images.write(root / extra / f"{number}.{suffix}", values)
    return root


def train(data, folder, preset=PREVIEW, **changes):
    recipe = Pix2PixHD(replace(preset, data=str(data), **{**TINY, **changes}))
    loop.train(Plan("pix2pixhd", recipe, recipe.source(str(data))), folder, quiet=True)
    return recipe


@pytest.mark.parametrize(("extra", "suffix"), [("edges", "png"), ("renders", "exr")])
@pytest.mark.parametrize("replayed", [0, 4])
def test_labels_and_an_input_go_in_together(tmp_path, extra, suffix, replayed):
    data = write_set(tmp_path / "d", extra, suffix)
    recipe = train(data, tmp_path / "run", replay_size=replayed)
    assert extra in recipe.data.report.text
    card = weights.read_card(tmp_path / "run")
    assert card.input == "labels" and card.channels_in == 2 + 1 + 3
    assert ("input_range" in card.extra) is (suffix == "exr")
    assert cli.main(["generate", str(tmp_path / "run"), "--labels", str(data), "--out", str(tmp_path / "o"),
                     "--precision", "float32"]) == 0  # fmt: skip
    sample = recipe.data.whole(1)
    labels = torch.nn.functional.one_hot(sample["label_map"][0], 2).permute(2, 0, 1)[None].float()
    edges = torch.zeros(1, 1, 32, 64)
    edges[..., [8, 9, 28, 29]] = 1
    condition = torch.cat([labels, edges, sample["input"][None] * 2 - 1], 1)
    with torch.no_grad():
        wanted = ganvas.load(tmp_path / "run")(condition)[0].permute(1, 2, 0).numpy() * 127.5 + 127.5
    assert np.abs(wanted - np.array(Image.open(tmp_path / "o" / "1.png"))).max() < 1.01


def test_an_input_that_is_missing_is_named(tmp_path, capsys):
    data = write_set(tmp_path / "d")
    train(data, tmp_path / "run")
    (data / "edges" / "1.png").unlink()
    arguments = ["generate", str(tmp_path / "run"), "--labels"]
    assert cli.main([*arguments, str(data), "--out", str(tmp_path / "o")]) == 1
    assert "1.png" in capsys.readouterr().err and len(list((tmp_path / "o").iterdir())) == 2
    (data / "edges").rename(tmp_path / "elsewhere")
    assert cli.main([*arguments, str(data / "labels" / "0.png"), "--out", str(tmp_path / "p.png")]) == 1
    assert "--inputs" in capsys.readouterr().err
    assert cli.main([*arguments, str(data / "labels" / "0.png"), "--out", str(tmp_path / "p.png"), "--inputs",
                     str(tmp_path / "elsewhere")]) == 0  # fmt: skip
    assert (tmp_path / "p.png").read_bytes() == (tmp_path / "o" / "0.png").read_bytes()


def test_the_preset_for_pictures_uses_both_as_well(tmp_path):
    recipe = train(write_set(tmp_path / "d"), tmp_path / "run", PICTURE)
    assert weights.read_card(tmp_path / "run").channels_in == 2 + 3 and "edges" in recipe.data.report.text


def test_gray_comes_in_and_colour_comes_out(tmp_path):
    data = write_set(tmp_path / "d")
    train(f"input={data / 'edges'},picture={data / 'images'}", tmp_path / "run", PICTURE)
    gray = Image.open(data / "edges" / "0.png")
    gray.convert("RGB").save(tmp_path / "rgb.png")
    for name, source in (("gray", data / "edges" / "0.png"), ("rgb", tmp_path / "rgb.png")):
        assert cli.main(["upscale", str(source), "--model", str(tmp_path / "run"), "--out",
                         str(tmp_path / f"{name}-out.png")]) == 0  # fmt: skip
    out = Image.open(tmp_path / "gray-out.png")
    assert out.mode == "RGB" and np.array_equal(np.array(out), np.array(Image.open(tmp_path / "rgb-out.png")))
    assert np.array(out).std(-1).max() > 0


def test_depth_comes_in_by_the_range_of_the_card(tmp_path):
    data = write_set(tmp_path / "d", "depth", "exr")
    recipe = train(f"input={data / 'depth'},picture={data / 'images'}", tmp_path / "run", PICTURE)
    assert weights.read_card(tmp_path / "run").extra["input_range"] == recipe.data.input_range.note()
    assert cli.main(["upscale", str(data / "depth" / "0.exr"), "--model", str(tmp_path / "run"), "--precision",
                     "float32", "--out", str(tmp_path / "out.png")]) == 0  # fmt: skip
    with torch.no_grad():
        made = ganvas.load(tmp_path / "run")(recipe.data.whole(0)["input"][None] * 2 - 1)
    wanted = made[0].permute(1, 2, 0).numpy() * 127.5 + 127.5
    out = Image.open(tmp_path / "out.png")
    assert out.mode == "RGB" and np.abs(wanted - np.array(out)).max() < 1.01
