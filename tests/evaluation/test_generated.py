"""Models in the place of results: `evaluate` makes the pictures and scores what a user would have made by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_clips import draw_clip

from ganvas import cli
from ganvas.data.degrade import bicubic
from ganvas.inference.picture.upscale import Upscaler
from ganvas.io.pictures import images
from ganvas.io.weights import files as weights
from ganvas.metrics import paired
from ganvas.networks import build
from ganvas.networks.pix2pixhd.layouts import generator_card
from ganvas.networks.vid2vid.net import Vid2Vid
from ganvas.protocol import Card


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GANVAS_OFFLINE", "1")


def scores(capsys, *arguments):
    code = cli.main(["evaluate", *map(str, arguments), "--json"])
    out = capsys.readouterr()
    assert code == cli.DONE, out.err
    return json.loads(out.out)


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    from skimage import data

    folder = tmp_path_factory.mktemp("pairs") / "truth"
    (folder / "below").mkdir(parents=True)
    for name, crop in (("a", np.s_[40:107, 200:270]), ("below/b", np.s_[300:364, 100:164])):
        images.write(folder / f"{name}.png", data.astronaut()[crop])
    return folder


def test_an_enlarger_is_scored_on_small_copies_of_the_truth(truth, capsys):
    found = scores(capsys, "--pairs", "compact-x4", truth)
    assert found["conditions"]["results"] == "compact-x4" and found["conditions"]["scale"] == 4
    assert set(found["rows"]) == {"a", "below_b"}
    whole = torch.from_numpy(images.to_float(images.read(truth / "a.png")[0][:64, :68])).permute(2, 0, 1)[None]
    low = images.from_float(bicubic(whole, 4).clamp(0, 1)[0].permute(1, 2, 0).numpy(), "uint8")
    large = Upscaler("compact-x4", precision="float32", device="cpu")(low)
    ours = torch.from_numpy(images.to_float(large)).permute(2, 0, 1)[None]
    expected = float(paired.psnr(paired.luma(ours), paired.luma(whole), 4))
    assert found["rows"]["a"]["psnr_y"] == pytest.approx(expected, abs=1e-4)
    assert found["scores"]["gain"]["value"] > 0.3
    bar = found["scores"]["in_place_bar"]["value"]
    assert 0 < found["scores"]["detail"]["value"] < 1 and bar < found["scores"]["in_place"]["value"] < 1


def test_a_broken_picture_is_named_and_left_out(truth, tmp_path, capsys):
    folder = tmp_path / "mixed"
    folder.mkdir()
    for name in ("a.png", "b.jpg"):
        images.write(folder / name, images.read(truth / "a.png")[0])
    (folder / "cut.jpg").write_bytes((folder / "b.jpg").read_bytes()[:300])
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("no picture")
    found = scores(capsys, "--pairs", "compact-x4", folder)
    assert set(found["rows"]) == {"a", "b"}
    assert {Path(name).name for name in found["problems"]} == {"cut.jpg", "empty.png", "text.png"}
    # Results that lie in a folder, on either side.
    for first, second in ((folder, tmp_path / "other"), (tmp_path / "other", folder)):
        (tmp_path / "other").mkdir(exist_ok=True)
        for path in folder.iterdir():
            images.write(tmp_path / "other" / path.name, images.read(folder / "a.png")[0], overwrite=True)
        found = scores(capsys, "--pairs", first, second)
        assert set(found["rows"]) == {"a", "b"} and set(found["problems"]) == {"cut", "empty", "text"}
    for path in (folder / "a.png", folder / "b.jpg"):
        path.unlink()
    assert cli.main(["evaluate", "--pairs", "compact-x4", str(folder)]) == cli.USER_ERROR
    assert "could be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    "data, val, is_told",
    [("", "", True), ("below", "", True), ("", "0.1", True), ("..", "", True), ("../elsewhere", "", False)],
)
def test_scores_on_the_training_pictures_say_so(truth, tmp_path, data, val, is_told):
    from ganvas.evaluation.generated import seen_in_training
    from ganvas.io import runs

    (truth / "../elsewhere").mkdir(exist_ok=True)
    runs.write_json(tmp_path / runs.SETTINGS, {"settings": {"data": str(truth / data), "val": val}})
    notes = seen_in_training(tmp_path, truth)
    assert bool(notes) == is_told and all("is part of the training data" in note for note in notes)
    assert not val or "held out" in notes[0]


def test_plain_bicubic_gains_nothing_over_itself(truth, tmp_path, capsys):
    from ganvas.evaluation.pairs import small_copy_enlarged

    for name in ("a", "below/b"):
        picture, _ = images.read(truth / f"{name}.png")
        picture = picture[:64, :64]
        values = torch.from_numpy(images.to_float(picture)).permute(2, 0, 1)[None]
        large = images.from_float(small_copy_enlarged(values, 4)[0].permute(1, 2, 0).float().numpy(), "uint8")
        for side, pixels in (("truth", picture), ("results", large)):
            (tmp_path / side / name).parent.mkdir(parents=True, exist_ok=True)
            images.write(tmp_path / side / f"{name}.png", pixels)
    asked = (
        "--pairs",
        tmp_path / "results",
        tmp_path / "truth",
        "--scale",
        4,
        "--scores",
        "gain,in_place,in_place_bar",
    )
    found = scores(capsys, *asked)["scores"]
    assert found["gain"]["value"] == pytest.approx(0, abs=1e-6)
    assert found["in_place"]["value"] == pytest.approx(found["in_place_bar"]["value"], abs=0.02)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    for number in range(2):
        draw_clip(root / f"clip_{number:03d}", frames=8, height=32, seed=number)
    return root


def test_a_painter_paints_the_label_maps_itself(world, tmp_path, capsys):
    torch.manual_seed(0)
    card = generator_card(2, width=4, downs=1, blocks=1)
    model = weights.save(tmp_path / "painter.safetensors", build(card).state_dict(), card)
    asked = ("--labels", world, "--probe-steps", 3, "--resamples", 4)
    whole = scores(capsys, *asked, "--fake", model)
    assert whole["conditions"]["pictures"] == 16 and whole["conditions"]["fake"] == str(model)
    assert scores(capsys, *asked, "--fake", model, "--num", 3)["conditions"]["pictures"] == 3
    assert (
        cli.main(
            ["generate", str(model), "--labels", str(world), "--out", str(tmp_path / "made"), "--precision", "float32"]
        )
        == cli.DONE
    )
    capsys.readouterr()
    assert scores(capsys, *asked, "--fake", tmp_path / "made")["scores"] == whole["scores"]


def test_a_maker_of_clips_makes_every_sequence(world, tmp_path, capsys):
    settings = {"channels_label": 3, "width": 4, "downs": 1, "blocks": 2, "norm": "instance"}
    torch.manual_seed(0)
    for first in ("optional", "needed"):
        known = {"num_labels": 2, "edges": True, "first_frame": first, "replaces": []}
        card = Card(network="vid2vid", settings=settings, input="clip", extra=known)
        model = weights.save(tmp_path / f"{first}.safetensors", Vid2Vid(**settings).state_dict(), card)
        found = scores(capsys, "--clips", model, world)
        assert set(found["rows"]) == {"clip_000", "clip_001"} and found["conditions"]["fake"] == str(model)
        assert any("true first frame" in note for note in found["notes"]) == (first == "needed")
    single = scores(capsys, "--clips", model, world / "clip_001", "--scores", "psnr")
    assert single["scores"]["psnr"]["value"] == pytest.approx(found["rows"]["clip_001"]["psnr"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--pairs", "compact-x4", "truth", "--scale", "2"), "enlarges by 4"),
        (("--pairs", "compact-x4", "truth", "--scores", "psnr_y,lpips"), "--lpips-heads"),
        (("--real", "truth", "--fake", "camera.safetensors"), "--views FOOTAGE"),
        (("--labels", "truth", "--fake", "camera.safetensors"), "--views FOOTAGE"),
        (("--clips", "camera.safetensors", "truth"), "results from clip"),
        (("--real", "truth", "--fake", "nowhere"), "nowhere does not exist"),
        (("--pairs", "truth", "truth", "--per-class"), "--per-class needs real"),
    ],
)
def test_a_model_of_another_kind_is_told_its_own_way(truth, arguments, words, capsys, monkeypatch):
    monkeypatch.chdir(truth.parent)
    if not Path("camera.safetensors").exists():
        card = Card(network="camera_generator", input="camera", settings={"size_px": 32, "width": 4}, channels_in=13)
        weights.save("camera.safetensors", build(card).state_dict(), card)
    assert cli.main(["evaluate", *arguments]) in (cli.USER_ERROR, cli.USAGE)
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("scores_asked", "num", "words"),
    [("fid", 50, "--inception FILE"), ("frechet", 1, "needs 2 pictures"), ("frechte", 50, "Did you mean")],
)
def test_what_must_fail_fails_before_anything_is_made(truth, tmp_path, scores_asked, num, words, capsys, monkeypatch):
    from ganvas.evaluation import generated as scored_pictures

    card = Card(network="dcgan_generator", input="seeds", settings={"latent": 8, "width": 4, "size_px": 32})
    model = weights.save(tmp_path / "net.safetensors", build(card).state_dict(), card)
    monkeypatch.setattr(scored_pictures, "from_seeds", lambda *_: pytest.fail("pictures were made"))
    asked = ("--real", truth, "--fake", model, "--scores", scores_asked, "--num", num)
    assert cli.main(["evaluate", *map(str, asked)]) in (cli.USER_ERROR, cli.USAGE)
    assert words in capsys.readouterr().err
