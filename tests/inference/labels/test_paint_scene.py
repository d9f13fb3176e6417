"""A scene painted by hand: edits, their way back, the picture in whole and in part, and files."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ganvas.errors import UserError
from ganvas.inference.labels import paint_scene
from ganvas.inference.labels.editing import Scene
from ganvas.inference.labels.paint_scene import PaintScene
from ganvas.inference.labels.painter import LabelPainter
from ganvas.io.labels.legends import Label
from ganvas.io.weights import files as weights
from ganvas.networks.pix2pixhd.net import GlobalGenerator
from ganvas.protocol import Card

LEGEND = (Label(0, "sky", (0, 0, 255)), Label(1, "road", (90, 90, 90)), Label(2, "car", (200, 0, 0), thing=True))


@pytest.fixture
def painter(tmp_path) -> LabelPainter:
    torch.manual_seed(0)
    settings = {"channels_in": 4, "width": 4, "downs": 1, "blocks": 1}
    extra = {
        "num_labels": 3, "features": 0, "boundaries": True,
        "legend": [{"id": entry.id, "name": entry.name, "color": list(entry.color)} for entry in LEGEND],
    }  # fmt: skip
    card = Card(
        network="pix2pixhd_global", settings=settings, input="labels", range=(-1, 1), channels_in=4, extra=extra
    )
    weights.save(tmp_path / "painter.safetensors", GlobalGenerator(**settings).state_dict(), card)
    return LabelPainter(tmp_path / "painter.safetensors", precision="float32")


def street() -> Scene:
    labels = torch.zeros(24, 40, dtype=torch.int32)
    labels[12:] = 1
    labels[10:16, 5:12] = 2
    instances = labels.clone()
    instances[labels == 2] = 2000
    return Scene(labels, instances)


def test_a_moved_car_uncovers_what_lies_around_it(painter) -> None:
    scene = PaintScene(painter, street())
    box = scene.move(2000, down=2, right=20)
    labels = scene.scene.label_map
    assert (labels == 2).nonzero().min(0).values.tolist() == [12, 25] and int((labels == 2).sum()) == 6 * 7
    assert set(labels[10:16, 5:12].unique().tolist()) <= {0, 1}
    assert box is not None and box.left <= 5 and box.right >= 32
    assert labels[10, 8] == 0 and labels[15, 8] == 1  # each pixel takes after the nearest outside


def test_what_cannot_be_removed_is_refused(painter) -> None:
    scene = PaintScene.blank(painter, 8, 8)
    with pytest.raises(UserError, match="Nothing would be left"):
        scene.remove(int(scene.scene.instance_map[0, 0]))
    with pytest.raises(UserError, match="no instance 77"):
        scene.remove(77)
    with pytest.raises(UserError, match="no class 3"):
        scene.stroke([(1, 1)], 2, 3, True)


def test_edits_are_undone_to_the_bit_and_counted(painter) -> None:
    scene = PaintScene(painter, street())
    first = scene.picture()
    scene.stroke([(20, 4), (30, 5)], 3, 2, scene.is_thing(2))
    scene.fill(2, 20, 0, False)
    changed = scene.picture()
    assert scene.revision == 2 and not np.array_equal(first, changed)
    scene.undo()
    scene.undo()
    assert scene.undo() is None
    assert np.array_equal(scene.picture(), first) and scene.revision == 4
    scene.redo()
    scene.redo()
    assert np.array_equal(scene.picture(), changed)


def test_a_large_picture_is_repainted_in_part_and_then_exactly(painter, monkeypatch) -> None:
    whole = PaintScene(painter, street())
    monkeypatch.setattr(paint_scene, "WHOLE_PX", 100)
    part = PaintScene(painter, street())
    before = part.picture()
    assert np.abs(before.astype(int) - whole.picture()).max() <= 1  # strips and the whole agree
    for scene in (part, whole):
        scene.stroke([(33, 3)], 4, 2, True)
    box = part.repaint()
    assert 0 < (box.right - box.left) * (box.bottom - box.top) < 24 * 40 and not part.is_exact
    after = part.picture()
    outside = np.ones((24, 40), bool)
    outside[box.top : box.bottom, box.left : box.right] = False
    assert np.array_equal(after[outside], before[outside]) and not np.array_equal(after, before)
    part.repaint(is_exact=True)
    monkeypatch.undo()
    whole.repaint()
    assert part.is_exact and np.abs(part.picture().astype(int) - whole.picture()).max() <= 1


def test_a_saved_scene_is_the_scene(painter, tmp_path) -> None:
    scene = PaintScene(painter, street())
    scene.stroke([(20, 4)], 5, 2, True)
    scene.save(tmp_path / "scene")
    again = PaintScene.load(painter, tmp_path / "scene")
    assert torch.equal(again.scene.label_map, scene.scene.label_map)
    assert torch.equal(again.scene.instance_map, scene.scene.instance_map)
    assert np.array_equal(again.picture(), scene.picture())
    (tmp_path / "scene/scene.json").write_text('{"styles": 3}')
    with pytest.raises(UserError, match="no scene"):
        PaintScene.load(painter, tmp_path / "scene")
