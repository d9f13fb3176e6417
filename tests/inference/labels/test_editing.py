"""Editing scenes, taking edits back, and making only the touched part of a picture anew."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ganvas.errors import UserError
from ganvas.inference.labels import editing
from ganvas.inference.labels.editing import Box, History, Scene
from ganvas.networks.pix2pixhd.net import GlobalGenerator, LocalEnhancer

LABELS = 4


def street(height: int = 12, width: int = 20) -> Scene:
    """Return road (0), sky (1) and two cars (2), numbered as Cityscapes numbers them."""
    labels = torch.zeros(height, width, dtype=torch.int64)
    labels[: height // 2] = 1
    instances = labels.clone()
    for number, left in enumerate((3, 7)):
        labels[4:9, left : left + 4] = 2
        instances[4:9, left : left + 4] = 2000 + number
    return Scene(labels, instances, {2000: (0.5, -0.5), 2001: (0.1, 0.2)})


def plain_ids(scene: Scene) -> Scene:
    """Return the same scene, its instances numbered from 1."""
    ids = scene.instance_map.unique(return_inverse=True)[1] + 1
    return Scene(scene.label_map, ids)


def equal(first: Scene, second: Scene) -> bool:
    maps = torch.equal(first.label_map, second.label_map) and torch.equal(first.instance_map, second.instance_map)
    return maps and dict(first.styles) == dict(second.styles)


def test_a_relabelled_instance_is_new_and_the_old_scene_stays() -> None:
    scene = street()
    kept = Scene(scene.label_map.clone(), scene.instance_map.clone(), dict(scene.styles))
    mask = editing.instance_at(scene, 8, 5)
    assert int(mask.sum()) == 20
    after = editing.change_label(scene, mask, 3, style=(1.0, 2.0))
    assert set(after.instance_map[mask].tolist()) == {3000}
    assert set(after.label_map[mask].tolist()) == {3}
    assert torch.equal(after.label_map[~mask], scene.label_map[~mask])
    assert after.styles == {**scene.styles, 3000: (1.0, 2.0)}
    assert equal(scene, kept)


def test_new_ids_are_those_that_the_scene_counts_in() -> None:
    scene = street()
    assert editing.new_instance(scene, 2) == 2002
    assert editing.new_instance(scene, 3) == 3000
    assert editing.new_instance(scene, 0) not in scene.instance_map
    assert editing.new_instance(plain_ids(scene), 2) == 5
    empty = torch.zeros(4, 4, dtype=torch.int64)
    assert editing.new_instance(Scene(empty, empty), 2) == 2000


def test_stuff_joins_its_own() -> None:
    for scene in (street(), plain_ids(street())):
        road = int(scene.instance_map[-1, 0])
        after = editing.change_label(scene, editing.instance_at(scene, 4, 5), 0, is_thing=False)
        assert int(after.instance_map[5, 4]) == road


def test_an_id_of_several_classes_is_several_instances() -> None:
    """Maps that number only things leave 0 to road and sky: their boundary is drawn, and styles are their own."""
    scene = street()
    only_things = torch.where(scene.instance_map >= 1000, scene.instance_map, 0)
    shared = Scene(scene.label_map, only_things, {2000: (0.5, 0.5)})
    planes = [editing.scene_condition(each, LABELS)(0, 12) for each in (scene, shared)]
    assert torch.equal(*planes)
    own = Scene.from_maps(scene.label_map, only_things)
    pairs = torch.stack([own.label_map, own.instance_map]).flatten(1).unique(dim=1)
    assert pairs.shape[1] == 4 and len(own.instance_map.unique()) == 4
    assert torch.equal(own.instance_map[scene.label_map == 2], only_things[scene.label_map == 2])
    road, sky = int(own.instance_map[-1, 0]), int(own.instance_map[0, 0])
    styled = editing.scene_condition(editing.set_style(own, road, (3.0, 4.0)), LABELS, 2)(0, 12)
    assert styled[0, -2:, -1, 0].tolist() == [3, 4] and styled[0, -2:, 0, 0].tolist() == [0, 0]
    # What becomes road joins the road, and not the sky.
    after = editing.change_label(own, editing.instance_at(own, 4, 5), 0, is_thing=False)
    assert int(after.instance_map[5, 4]) == road != sky
    assert torch.equal(Scene.from_maps(scene.label_map, scene.instance_map).instance_map, scene.instance_map)


def test_small_integers_do_not_wrap() -> None:
    labels = torch.zeros(3, 3, dtype=torch.uint8)
    after = editing.change_label(Scene(labels, labels), torch.eye(3).bool(), 2)
    assert int(after.instance_map[1, 1]) == 2000


@pytest.mark.parametrize("points", [[(5, 4)], [(2, 2), (15, 9), (15.5, 1)], [(-4, 6), (30, 6)]])
def test_a_stroke_covers_what_lies_within_its_width(points: list[tuple[float, float]]) -> None:
    scene = street()
    after = editing.paint_stroke(scene, points, 3, 3)
    y, x = np.mgrid[:12, :20]
    near = np.zeros((12, 20), dtype=bool)
    for (x0, y0), (x1, y1) in zip(points, points[1:] or points):
        for share in np.linspace(0, 1, 2001):  # walked along, not projected
            near |= (x - x0 - share * (x1 - x0)) ** 2 + (y - y0 - share * (y1 - y0)) ** 2 <= 1.5**2 + 1e-9
    np.testing.assert_array_equal((after.label_map == 3).numpy(), near)
    assert len(after.instance_map[after.label_map == 3].unique()) == 1


def test_an_object_is_cut_at_the_edges() -> None:
    scene = street()
    mask = torch.tensor([[1, 0, 1], [1, 1, 1]])
    after = editing.paste_object(scene, mask, -1, 18, 3, style=(0.0, 1.0))
    assert (after.label_map == 3).nonzero().tolist() == [[0, 18], [0, 19]]
    inside = editing.paste_object(scene, mask, 6, 2, 3)
    assert (inside.label_map == 3).nonzero().tolist() == [[6, 2], [6, 4], [7, 2], [7, 3], [7, 4]]
    with pytest.raises(UserError, match="outside"):
        editing.paste_object(scene, mask, 12, 0, 3)


def test_mistakes_are_named() -> None:
    scene = street()
    with pytest.raises(UserError, match="empty"):
        editing.change_label(scene, torch.zeros(12, 20), 1)
    with pytest.raises(UserError, match="empty"):
        editing.paint_stroke(scene, [(100, 100)], 3, 1)
    with pytest.raises(UserError, match="does not fit"):
        editing.change_label(scene, torch.ones(3, 3), 1)
    with pytest.raises(UserError, match="no instance 7"):
        editing.set_style(scene, 7, (0.0, 0.0))
    with pytest.raises(UserError, match="outside"):
        editing.instance_at(scene, 20, 0)
    with pytest.raises(UserError, match="fit together"):
        Scene(torch.zeros(2, 2), torch.zeros(2, 3))
    with pytest.raises(UserError, match=r"Pixel \(3, 4\) has the label 2"):
        editing.scene_condition(scene, 2)
    with pytest.raises(UserError, match="2 features"):
        editing.scene_condition(scene, LABELS, num_features=3)


def random_edit(scene: Scene, random: np.random.Generator) -> Scene:
    label = int(random.integers(LABELS))
    match random.integers(4):
        case 0:
            y, x = (int(random.integers(side)) for side in scene.size)
            return editing.change_label(scene, editing.instance_at(scene, x, y), label)
        case 1:
            points = [(float(random.uniform(0, 19)), float(random.uniform(0, 11))) for _ in range(3)]
            return editing.paint_stroke(scene, points, 2, label, is_thing=bool(random.integers(2)))
        case 2:
            mask = torch.ones(int(random.integers(1, 5)), int(random.integers(1, 5)))
            return editing.paste_object(scene, mask, int(random.integers(12)), int(random.integers(20)), label)
        case _:
            instance = int(scene.instance_map[tuple(int(random.integers(side)) for side in scene.size)])
            return editing.set_style(scene, instance, (float(random.normal()), 0.0))


@pytest.mark.parametrize("seed", range(5))
def test_history_goes_back_and_forth_without_end(seed: int) -> None:
    random = np.random.default_rng(seed)
    history, scenes = History(street()), [street()]
    for _ in range(12):
        edited = random_edit(history.scene, random)
        if history.do(edited) is not None:
            scenes.append(edited)
    for scene in scenes[-2::-1]:
        history.undo()
        assert equal(history.scene, scene)
    assert not history.can_undo
    with pytest.raises(UserError, match="undo"):
        history.undo()
    for scene in scenes[1:]:
        history.redo()
        assert equal(history.scene, scene)
    with pytest.raises(UserError, match="again"):
        history.redo()


def test_a_new_edit_forgets_what_was_taken_back() -> None:
    history = History(street())
    history.do(editing.paint_stroke(history.scene, [(2, 2)], 3, 3))
    history.undo()
    history.do(editing.paint_stroke(history.scene, [(15, 9)], 3, 3))
    assert not history.can_redo
    history.undo()
    assert equal(history.scene, street())


@pytest.mark.parametrize("seed", range(8))
def test_the_touched_region_holds_every_change_of_the_condition(seed: int) -> None:
    random = np.random.default_rng(seed)
    before = street()
    after = random_edit(before, random)
    planes = [editing.scene_condition(scene, LABELS, 2)(0, 12) for scene in (before, after)]
    changed = (planes[0] != planes[1]).any(dim=1)[0].numpy()
    box = editing.touched_region(before, after)
    if box is None:
        assert not changed.any()
        return
    outside = changed.copy()
    outside[box.top : box.bottom, box.left : box.right] = False
    assert not outside.any()
    differing = ((before.label_map != after.label_map) | (before.instance_map != after.instance_map)).numpy()
    rows, columns = np.nonzero(differing)
    if len(rows):
        tight = (max(0, rows.min() - 1), max(0, columns.min() - 1), min(12, rows.max() + 2), min(20, columns.max() + 2))
        assert tuple(box) == tight


def test_a_restyled_instance_is_touched_and_nothing_else() -> None:
    scene = street()
    assert editing.touched_region(scene, scene) is None
    assert editing.touched_region(scene, editing.set_style(scene, 2001, (9.0, 9.0))) == Box(3, 6, 10, 12)


def test_conditions_by_strips_are_those_of_the_whole() -> None:
    scene = street()
    provide = editing.scene_condition(scene, LABELS, 2)
    whole = provide(0, 12)
    assert whole.shape == (1, LABELS + 1 + 2, 12, 20)
    assert torch.equal(torch.cat([provide(top, top + 1) for top in range(12)], dim=2), whole)
    assert torch.equal(whole[0, :LABELS].argmax(dim=0), scene.label_map)
    # The two cars touch: a boundary, two pixels wide, where the labels alone show none.
    assert whole[0, LABELS, 6, 5:9].tolist() == [0, 1, 1, 0]
    assert whole[0, LABELS + 1 :, 6, 4].tolist() == [0.5, -0.5]
    assert whole[0, LABELS + 1 :, 0, 0].tolist() == [0, 0]
    assert editing.scene_condition(scene, LABELS, has_boundaries=False)(0, 3).shape == (1, LABELS, 3, 20)


def generators() -> dict[str, nn.Module]:
    torch.manual_seed(2)
    networks = {
        "global": GlobalGenerator(LABELS + 1, width=4, downs=1, blocks=1),
        "local": LocalEnhancer(LABELS + 1, width=4, downs=1, blocks=0, local_blocks=1),
    }
    for network in networks.values():
        network.double()
        for parameter in network.parameters():
            nn.init.normal_(parameter, 0.0, 0.2)
    return networks


def made(network: nn.Module, scene: Scene) -> tuple[Tensor, tuple[editing.Statistics, ...]]:
    return editing.synthesise(network, editing.scene_condition(scene, LABELS), scene.size)


@pytest.mark.parametrize("touched", [Box(40, 60, 50, 70), Box(0, 0, 5, 9), Box(90, 150, 97, 163), Box(0, 70, 97, 80)])
@pytest.mark.parametrize("name", ["global", "local"])
def test_a_part_with_full_context_is_that_of_the_whole(name: str, touched: Box) -> None:
    # 97 x 163 is no multiple of what the networks need, so the padding of parts at the far edges is tested, too.
    network, scene = generators()[name], street(97, 163)
    picture, statistics = made(network, scene)
    condition = editing.scene_condition(scene, LABELS)
    again, box = editing.resynthesise(
        network, condition, torch.zeros_like(picture), touched, statistics, context_px=36, feather_px=0
    )
    torch.testing.assert_close(again, box.of(picture), rtol=0, atol=1e-9)
    assert again[0, 0].numel() < picture[0, 0].numel() / 2 or touched.bottom - touched.top == 97


def test_new_pixels_pass_into_old_ones() -> None:
    network, scene = generators()["global"], street(64, 96)
    picture, statistics = made(network, scene)
    old = torch.full_like(picture, 5.0)
    condition = editing.scene_condition(scene, LABELS)
    touched = Box(20, 0, 30, 40)
    again, box = editing.resynthesise(network, condition, old, touched, statistics, context_px=40, feather_px=8)
    assert box == Box(12, 0, 38, 48)
    share = ((again - 5) / (box.of(picture) - 5))[0, 0]
    torch.testing.assert_close(share[8:18, :40], torch.ones(10, 40, dtype=share.dtype))
    assert (share[:8].diff(dim=0) >= -1e-9).all()
    assert (share[18:].diff(dim=0) <= 1e-9).all()
    assert 0 < float(share[0, 10]) < 0.2
    assert float(share[12, 47]) < 0.2


@torch.no_grad()
def test_after_an_edit_only_the_statistics_are_approximate() -> None:
    network, scene = generators()["global"], street(192, 320)
    picture, statistics = made(network, scene)
    after = editing.paint_stroke(scene, [(70, 40), (90, 50)], 10, 3)
    touched = editing.touched_region(scene, after)
    assert touched is not None
    condition = editing.scene_condition(after, LABELS)
    true, true_statistics = made(network, after)

    def anew(given: tuple[editing.Statistics, ...], around: Box = touched) -> tuple[Tensor, Box]:
        return editing.resynthesise(network, condition, picture, around, given, context_px=40, feather_px=0)

    made_anew, box = anew(true_statistics)
    torch.testing.assert_close(made_anew, box.of(true), rtol=0, atol=1e-9)

    # Kept statistics err, but far less than those of the part alone.
    seen = touched.grown(40, 192, 320, 2)
    _, own = editing.synthesise(
        network,
        lambda top, bottom: condition(seen.top + top, seen.top + bottom)[..., seen.left : seen.right],
        (seen.bottom - seen.top, seen.right - seen.left),
    )
    errors = [float((anew(given)[0] - box.of(true)).abs().mean()) for given in (statistics, own)]
    assert 0 < errors[0] < 0.5 * errors[1]

    # And they leave no seam: out of the edit's reach the part is the old picture's, to the last digits.
    wide, wide_box = anew(statistics, touched.grown(40, 192, 320))
    for rim in (wide - wide_box.of(picture))[..., :2, :], (wide - wide_box.of(picture))[..., -2:]:
        assert float(rim.abs().max()) < 1e-9
