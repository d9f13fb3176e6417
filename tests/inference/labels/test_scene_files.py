"""Painted scenes as files: what `PaintScene.save` writes, `ganvas generate --labels` paints as it was seen."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas import cli
from ganvas.errors import UserError
from ganvas.inference.labels import scene_files
from ganvas.inference.labels.editing import Scene
from ganvas.inference.labels.files import find_maps, make_pictures
from ganvas.inference.labels.options import Options
from ganvas.inference.labels.paint_scene import RIM_PX, PaintScene
from ganvas.inference.labels.painter import LabelPainter
from ganvas.io.weights import files as weights
from ganvas.networks.pix2pixhd.net import GlobalGenerator
from ganvas.protocol import Card

FEATURES = 2


@pytest.fixture
def model(tmp_path):
    """A generator of three classes with two styles each."""
    torch.manual_seed(0)
    settings = {"channels_in": 4 + FEATURES, "width": 4, "downs": 1, "blocks": 1}
    legend = [{"id": id, "name": name, "color": [id, 0, 0]} for id, name in enumerate(("sky", "road", "car"))]
    extra = {"num_labels": 3, "features": FEATURES, "boundaries": True, "legend": legend}
    card = Card(
        network="pix2pixhd_global", settings=settings, input="labels", range=(-1, 1), channels_in=4 + FEATURES,
        extra=extra,
    )  # fmt: skip
    styles = {
        "styles.labels": torch.arange(3).repeat_interleave(2),
        "styles.centers": torch.randn(6, FEATURES),
        "styles.counts": torch.ones(6, dtype=torch.long),
    }
    path = tmp_path / "painter.safetensors"
    weights.save(path, GlobalGenerator(**settings).state_dict(), card, styles)
    return path


def street() -> Scene:
    labels = torch.zeros(16, 32, dtype=torch.int32)
    labels[8:] = 1
    instances = labels.clone()
    for car, left in ((2000, 4), (2001, 20)):
        labels[6:12, left : left + 8] = 2
        instances[6:12, left : left + 8] = car
    return Scene(labels, instances)


@pytest.fixture
def painted(model):
    """A scene in which each car has a style that was chosen for it."""
    scene = PaintScene(LabelPainter(model, device="cpu", precision="float32"), street(), seed=3)
    scene.restyle(2000, 0)
    scene.restyle(2001, 1)
    return scene


def picture_of(path) -> np.ndarray:
    return np.asarray(Image.open(path))


def generate(model, labels, out, *more) -> int:
    words = ["generate", model, "--labels", labels, "--out", out, "--precision", "float32", "--device", "cpu", *more]
    return cli.main(list(map(str, words)))


def test_the_command_paints_the_scene_as_it_was_seen(model, painted, tmp_path) -> None:
    seen = painted.picture()
    assert generate(model, painted.save(tmp_path / "scenes/first"), tmp_path / "one.png") == 0
    assert np.array_equal(picture_of(tmp_path / "one.png"), seen)
    # Neither the seed nor its default has a say in styles that the scene has.
    assert generate(model, tmp_path / "scenes/first", tmp_path / "two.png", "--seed", "9") == 0
    assert np.array_equal(picture_of(tmp_path / "two.png"), seen)
    painted.restyle(2000, 1)
    assert not np.array_equal(painted.picture(), seen)


def test_another_style_changes_its_instance_and_nothing_beyond_until_all_is_painted_anew(painted) -> None:
    before = painted.picture()
    painted.restyle(2000, 1)
    changed = (painted.picture() != before).any(-1)
    near = np.zeros_like(changed)
    near[6 - RIM_PX : 12 + RIM_PX, 4 - RIM_PX : 12 + RIM_PX] = True
    assert changed[6:12, 4:12].mean() > 0.9 and not changed[~near].any() and not painted.is_exact
    painted.repaint(is_exact=True)
    assert (painted.picture() != before).any(-1)[~near].any() and painted.is_exact


def test_what_is_asked_for_goes_before_what_the_scene_has(model, painted, tmp_path) -> None:
    folder = painted.save(tmp_path / "scene")
    painted.restyle(2000, 1)
    assert generate(model, folder, tmp_path / "one.png", "--style", "car@2000=1") == 0
    assert np.array_equal(picture_of(tmp_path / "one.png"), painted.picture())
    painted.restyle(2000, 0)
    painted.restyle(2001, 0)
    painted.repaint(is_exact=True)
    assert generate(model, folder, tmp_path / "all.png", "--style", "car=0") == 0
    assert np.array_equal(picture_of(tmp_path / "all.png"), painted.picture())


def test_a_folder_of_scenes_is_painted_and_a_damaged_one_stops_no_other(model, painted, tmp_path) -> None:
    for name in ("a", "b", "c"):
        painted.save(tmp_path / "scenes" / name)
    (tmp_path / "scenes/b/scene.json").write_text('{"seed": 0, "styles": {"2000": [NaN, 1]}}')
    assert [file.name for file in find_maps(tmp_path / "scenes")] == ["a", "b", "c"]
    options = Options(labels=tmp_path / "scenes", out=tmp_path / "out")
    results = make_pictures(LabelPainter(model, device="cpu", precision="float32"), options)
    assert [bool(result.error) for result in results] == [False, True, False]
    assert np.array_equal(picture_of(tmp_path / "out/a.png"), painted.picture())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": "../other.png"}, "names a map that is not there"),
        ({"labels": "gone.png"}, "names a map that is not there"),
        ({"styles": 3}, "no scene"),
        ({"styles": {"2000": [1, 2, 3]}}, "another generator"),
        ({"styles": {"2000": [1, 2], "2001": [1]}}, "differ in length"),
        ({"seed": "x"}, "no scene"),
    ],
)
def test_a_scene_that_says_something_else_is_refused(painted, tmp_path, change, said) -> None:
    folder = painted.save(tmp_path / "scene")
    Image.new("L", (32, 16)).save(tmp_path / "other.png")
    about = json.loads((folder / "scene.json").read_text())
    (folder / "scene.json").write_text(json.dumps({**about, **change}))
    with pytest.raises(UserError, match=said):
        PaintScene.load(painted.painter, folder)


def test_instance_maps_of_its_own_are_refused(painted, tmp_path) -> None:
    with pytest.raises(UserError, match="--instances"):
        find_maps(painted.save(tmp_path / "scene"), instances=tmp_path)


def test_ids_of_any_size_and_of_no_class_come_back(tmp_path) -> None:
    scene = street()
    scene.label_map[0, :5] = -1
    scene.instance_map[0, :5] = -1
    scene.instance_map[10] = 1_000_007
    scene_files.write_scene(tmp_path, scene, 5)
    again = scene_files.read_scene(tmp_path)
    assert again.seed == 5
    assert torch.equal(again.scene.label_map, scene.label_map)
    assert torch.equal(again.scene.instance_map, scene.instance_map)


@pytest.mark.parametrize("written", range(3))
def test_a_killed_writer_leaves_the_scene_as_it_was(painted, tmp_path, monkeypatch, written) -> None:
    folder = painted.save(tmp_path / "scene")
    before = scene_files.read_scene(folder).scene
    painted.stroke([(8, 2)], 4, 2, True)
    count = 0

    class Killed(BaseException):
        pass

    def until(function):
        def call(*given, **named):
            nonlocal count
            if count == written:
                raise Killed
            count += 1
            return function(*given, **named)

        return call

    monkeypatch.setattr(scene_files.images, "write", until(scene_files.images.write))
    monkeypatch.setattr(scene_files.runs, "write_json", until(scene_files.runs.write_json))
    with pytest.raises(Killed):
        painted.save(folder)
    after = scene_files.read_scene(folder).scene
    assert torch.equal(after.label_map, before.label_map) and torch.equal(after.instance_map, before.instance_map)
    monkeypatch.undo()
    painted.save(folder)
    assert torch.equal(scene_files.read_scene(folder).scene.label_map, painted.scene.label_map)
    assert len(list(folder.glob("*.png"))) == 2
