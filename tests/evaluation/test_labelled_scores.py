"""Pictures judged by their label maps: real ones are read, wrong ones are not, and names pair."""

import numpy as np
import pytest
import torch

from ganvas.errors import UserError
from ganvas.evaluation.labels import match, score_labelled
from ganvas.io.pictures import images

COLOURS = np.array([[60, 60, 60], [220, 40, 40], [40, 200, 60]], np.uint8)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A set of coloured blocks with noise, results that follow their label maps, and results that do not."""
    root, random = tmp_path_factory.mktemp("labelled"), np.random.default_rng(0)
    for folder in ("data/labels", "data/frames", "right", "wrong"):
        (root / folder).mkdir(parents=True)
    for number in range(12):
        label_map = np.zeros((32, 48), np.uint8)
        for label in (1, 2):
            top, left = random.integers(0, 16), random.integers(0, 32)
            label_map[top : top + 14, left : left + 14] = label
        picture = (COLOURS[label_map] + random.normal(0, 10, (32, 48, 3))).clip(0, 255).astype(np.uint8)
        images.write(root / "data/labels" / f"{number:06d}.png", label_map)
        images.write(root / "data/frames" / f"{number:06d}.png", picture)
        if number < 6:
            images.write(root / "right" / f"{number:06d}.png", COLOURS[label_map])
            images.write(root / "wrong" / f"{number:06d}.png", COLOURS[(label_map + 1) % 3])
    return root


def test_results_that_follow_their_maps_score_and_others_do_not(world):
    right = score_labelled(world / "right", world / "data", steps=20, resamples=10)
    values = {score.name: score for score in right.scores}
    assert values["miou_real"].value > 0.8 and values["miou"].value > 0.8
    assert values["miou"].low <= values["miou"].value <= values["miou"].high
    assert "held out" in right.notes[0] and len(right.rows) == 6
    wrong = score_labelled(world / "wrong", world / "data", ["miou"], steps=20, resamples=0)
    assert wrong.scores[0].value < 0.35


def test_the_same_seed_gives_the_same_numbers(world):
    first, again = (score_labelled(world / "right", world / "data", steps=1, resamples=5) for _ in range(2))
    assert again.scores == first.scores
    assert score_labelled(world / "right", world / "data", steps=1, seed=1, resamples=5).scores != first.scores


def test_names_pair_whole_or_by_their_tail(tmp_path):
    for name in ("a/1.png", "2.png", "9.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        images.write(tmp_path / name, np.zeros((4, 4, 3), np.uint8))
    found, alone = match(tmp_path, ["a/1", "b/1", "b/2"])
    assert {number: path.name for number, path in found.items()} == {0: "1.png", 2: "2.png"}
    assert [name for name in alone if name.endswith("9.png")]
    with pytest.raises(UserError, match="Name results as"):
        match(tmp_path, ["x"])
    with pytest.raises(UserError, match="no folder"):
        match(tmp_path / "nowhere", ["x"])


def test_unknown_names_are_answered(world):
    with pytest.raises(UserError, match="Did you mean miou"):
        score_labelled(world / "right", world / "data", ["mio"])


def test_larger_results_are_brought_to_the_size_of_the_map(world, tmp_path):
    for path in (world / "right").iterdir():
        picture = torch.from_numpy(images.read(path)[0])
        large = picture.repeat_interleave(2, 0).repeat_interleave(2, 1).numpy()
        images.write(tmp_path / path.name, large)
    found = score_labelled(tmp_path, world / "data", ["miou"], steps=20, resamples=0)
    assert found.scores[0].value > 0.75
