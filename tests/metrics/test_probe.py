"""Probes: they learn what can be learned, say how well, repeat exactly, and judge each picture by itself."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from ganvas.errors import UserError
from ganvas.io.score_cache import ScoreCache
from ganvas.metrics.probe import SmallClassifier, SmallSegmenter, _label_weights, train_classifier, train_segmenter


def scenes(num=20, height=32, width=40, seed=0):
    """Pictures of a bright disc (label 1) and a striped square (label 2) on noise (label 0)."""
    random = torch.Generator().manual_seed(seed)
    ys, xs = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    maps = torch.zeros(num, height, width, dtype=torch.int64)
    for label_map in maps:
        cy, cx, top, left = (int(torch.randint(6, 24, (), generator=random)) for _ in range(4))
        label_map[top : top + 10, left : left + 10] = 2
        label_map[(ys - cy) ** 2 + (xs - cx) ** 2 < 36] = 1
    stripes = ((xs + ys) % 4 < 2).float().expand(num, -1, -1)
    gray = torch.where(maps == 1, torch.tensor(0.95), torch.where(maps == 2, stripes, torch.tensor(0.3)))
    pictures = gray[:, None].expand(-1, 3, -1, -1) + 0.05 * torch.randn(num, 3, height, width, generator=random)
    return pictures.clamp(0, 1), maps


def textures(num=40, seed=1):
    """Smooth pictures (class 0) and noise (class 1)."""
    random = torch.Generator().manual_seed(seed)
    noise = torch.rand(num, 3, 24, 24, generator=random)
    smooth = torch.nn.functional.interpolate(noise[..., :4, :4], size=(24, 24), mode="bilinear")
    labels = torch.arange(num) % 2
    return torch.where(labels[:, None, None, None] == 1, noise, smooth), labels


@pytest.fixture(scope="module")
def segmenter():
    return train_segmenter(*scenes(), 3, steps=40)


@pytest.fixture(scope="module")
def classifier():
    return train_classifier(*textures(), 2, steps=40)


def test_a_segmenter_learns_and_tells_how_well(segmenter):
    pictures, maps = scenes(seed=5)
    predicted = segmenter.predict(pictures)
    assert predicted.shape == maps.shape and predicted.dtype == torch.int64
    accuracy = float((predicted == maps).double().mean())
    assert accuracy > 0.93 > segmenter.chance_accuracy
    assert segmenter.held_out_accuracy == pytest.approx(accuracy, abs=0.04)
    assert segmenter.held_out_miou > 0.7
    assert (segmenter.num_trained_on, segmenter.num_held_out) == (16, 4)
    assert f"{segmenter.held_out_accuracy:.3f}" in segmenter.trust


def test_a_classifier_learns_and_tells_how_well(classifier):
    pictures, labels = textures(seed=9)
    assert classifier.held_out_accuracy > 0.9
    assert (classifier.predict(pictures) == labels).double().mean() > 0.85
    assert classifier.held_out_miou is None
    sums = classifier.probabilities(pictures).sum(1)
    torch.testing.assert_close(sums, torch.ones_like(sums))


def test_labels_that_mean_nothing_are_not_learned():
    pictures, _ = textures(60)
    labels = torch.randint(2, (60,), generator=torch.Generator().manual_seed(3))
    assert train_classifier(pictures, labels, 2, steps=30, held_out=0.5).held_out_accuracy < 0.75


def test_the_same_seed_gives_the_same_probe_and_leaves_the_callers_chance_alone():
    pictures, labels = textures(12)
    torch.manual_seed(4)
    before = torch.random.get_rng_state()
    first = train_classifier(pictures, labels, 2, steps=3)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(5)
    second = train_classifier(pictures, labels, 2, steps=3)
    third = train_classifier(pictures, labels, 2, steps=3, seed=1)
    assert torch.equal(first.features(pictures), second.features(pictures))
    assert not torch.equal(first.features(pictures), third.features(pictures))


def test_pictures_are_judged_one_by_one(segmenter):
    pictures, _ = scenes(11)
    torch.testing.assert_close(segmenter.features(pictures)[3:4], segmenter.features(pictures[3:4]), rtol=0, atol=1e-5)
    sizes = [pictures[0], pictures[1][:, :20], pictures[2]]
    features = segmenter.features(sizes)
    assert features.shape == (3, 176)
    torch.testing.assert_close(features[2], segmenter.features(pictures[2:3])[0], rtol=0, atol=1e-5)


def test_what_is_held_out_is_not_trained_on():
    """A class of its own among the held-out pictures cannot be known."""
    pictures, labels = textures(20)
    labels = torch.where(torch.arange(20) < 4, 2, labels)
    probe = train_classifier(pictures, labels, 3, steps=20, held_out=range(4))
    assert probe.held_out_accuracy == 0.0
    assert probe.chance_accuracy == 1.0


def test_unknown_pixels_are_neither_learned_nor_counted():
    pictures, maps = scenes(8)
    unknown = maps.clone()
    unknown[:, :16] = -1
    probe = train_segmenter(pictures, unknown, 3, steps=2)
    inside = probe.predict(pictures[:, :, :, :])[:, 16:]
    assert probe.held_out_accuracy <= 1.0 and inside.shape == (8, 16, 40)
    unknown[:, 16:] = maps[:, 16:]
    changed = train_segmenter(pictures, torch.where(unknown < 0, -1, unknown), 3, steps=2)
    assert changed.held_out_accuracy == probe.held_out_accuracy


def test_rare_labels_weigh_more_but_not_as_much_as_they_are_rare():
    maps = torch.zeros(1, 10, 10, dtype=torch.int64)
    maps[0, 0, :4], maps[0, 1] = 1, -1
    weights = _label_weights([maps[0]], 3)
    assert float(weights[1] / weights[0]) == pytest.approx((86 / 4) ** 0.5)
    assert float(weights[2]) == 0 and float(86 * weights[0] + 4 * weights[1]) == pytest.approx(90)


@pytest.mark.parametrize("kind", ["classifier", "segmenter"])
def test_a_kept_probe_is_that_which_was_trained(kind, tmp_path):
    make, given = {"classifier": (train_classifier, textures(12)), "segmenter": (train_segmenter, scenes(8))}[kind]
    first = make(*given, 3, steps=3, cache=ScoreCache(tmp_path))
    (kept,) = tmp_path.iterdir()
    again, alone = make(*given, 3, steps=3, cache=ScoreCache(tmp_path)), make(*given, 3, steps=3)
    for other in (again, alone):
        assert torch.equal(other.probabilities(given[0]), first.probabilities(given[0]))
        assert (other.trust, other.digest) == (first.trust, first.digest)
    # What is read is the file, not a second training.
    stored = load_file(kept)
    save_file({**stored, "held_out_accuracy": torch.tensor(0.5, dtype=torch.float64)}, kept)
    assert make(*given, 3, steps=3, cache=ScoreCache(tmp_path)).held_out_accuracy == 0.5
    changed = given[0].clone()
    changed[0, 0, 0, 0] += 0.25
    digests = {make(changed, given[1], 3, steps=3).digest, make(*given, 3, steps=4).digest, first.digest}
    assert len(digests) == 3 and list(tmp_path.iterdir()) == [kept]


@pytest.mark.parametrize(("height", "width"), [(16, 16), (33, 47)])
def test_networks_keep_their_shape_lines(height, width):
    picture = torch.rand(2, 3, height, width)
    assert SmallSegmenter(5)(picture).shape == (2, 5, height, width)
    assert SmallClassifier(7)(picture).shape == (2, 7)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: train_classifier(torch.rand(4, 3, 16, 16), torch.zeros(3), 2), "4 pictures and 3 labels"),
        (lambda: train_classifier(torch.rand(2, 3, 16, 16), torch.tensor([0, 2]), 2), "outside 0 to 1"),
        (lambda: train_classifier(torch.rand(1, 3, 16, 16), torch.zeros(1), 2), "at least two"),
        (lambda: train_segmenter(torch.rand(2, 3, 16, 16), torch.zeros(2, 16, 17), 2), r"Picture 0.*differ in size"),
    ],
)
def test_impossible_orders_are_answered(make, words):
    with pytest.raises(UserError, match=words):
        make()
