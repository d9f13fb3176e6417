"""Styles of clips: Gaussians of classes, the same in every frame until changed, and an encoder's planes over frames."""

import numpy as np
import pytest
import torch
from torch import nn

from ganvas.data.conditions import segments
from ganvas.data.styles import Observed, cluster
from ganvas.errors import UserError
from ganvas.inference.clips.styles import Change, ClipStyles, fit_gaussians, parse_changes
from ganvas.networks.pix2pixhd.net import styles_of_clip

LEGEND = [{"id": 0, "name": "road"}, {"id": 1, "name": "car"}]


def observed(num=400):
    random = np.random.default_rng(0)
    mixing = np.array([[0.2, 0.0, 0.0], [0.1, 0.1, 0.0], [0.0, 0.0, 0.05]])
    cars = 0.3 + random.standard_normal((num, 3)) @ mixing.T
    roads = -0.2 + 0.01 * random.standard_normal((num, 3))
    features = torch.from_numpy(np.concatenate([roads, cars])).float()
    labels = torch.cat([torch.zeros(num), torch.ones(num)]).long()
    return Observed(labels, torch.full((2 * num,), 0.1), features)


def attachments():
    seen = observed()
    styles = cluster(seen, 4)
    return {
        **{f"instances.{name}": value for name, value in zip(("label", "share", "features"), vars(seen).values())},
        **{f"styles.{name}": value for name, value in styles.tensors().items()},
    }


def maps():
    label_map = torch.zeros(1, 1, 4, 6, dtype=torch.int64)
    label_map[..., :2], instance_map = 1, torch.zeros(1, 1, 4, 6, dtype=torch.int64)
    instance_map[..., :1], instance_map[..., 1:2] = 1001, 1002
    return label_map, instance_map


def test_gaussians_have_the_means_and_covariances_of_their_classes():
    seen = observed()
    found = fit_gaussians(seen.labels, seen.shares, seen.features)
    for label in (0, 1):
        rows = seen.features[seen.labels == label].double().numpy()
        assert np.allclose(found[label].mean, rows.mean(0))
        assert np.allclose(found[label].root @ found[label].root.T, np.cov(rows, rowvar=False))


def test_small_instances_count_only_where_there_are_no_others():
    labels, features = torch.tensor([3, 3, 3, 4]), torch.tensor([[1.0], [3.0], [100.0], [7.0]])
    found = fit_gaussians(labels, torch.tensor([0.5, 0.5, 0.001, 0.001]), features)
    assert found[3].mean.tolist() == [2.0] and found[4].mean.tolist() == [7.0] and float(found[4].root[0, 0]) == 0


@pytest.mark.parametrize("kind", ["gaussian", "clusters"])
def test_a_region_has_one_style_in_all_frames_and_seeds_differ(kind):
    styles = ClipStyles(attachments(), 3, seed=1, kind=kind)
    first, later = styles.planes(*maps(), 0), styles.planes(*maps(), 17)
    assert first.shape == (1, 3, 4, 6) and torch.equal(first, later)
    assert float(first.abs().max()) <= 1
    for region in (first[..., :1], first[..., 1:2], first[..., 2:]):
        assert float((region - region[..., :1, :1]).abs().max()) == 0
    other = ClipStyles(attachments(), 3, seed=2, kind=kind).planes(*maps(), 0)
    assert not torch.equal(first, other)


def test_drawn_styles_are_spread_as_the_gaussian():
    styles, seen = ClipStyles(attachments(), 3), observed()
    rows = np.stack([styles.style(instance * 4096 + 1 + 1, 0) for instance in range(600)])
    wanted = seen.features[seen.labels == 1].numpy()
    assert np.allclose(rows.mean(0), wanted.mean(0), atol=0.03)
    assert np.allclose(np.cov(rows.T), np.cov(wanted.T), atol=0.012)


def test_a_class_changes_its_style_at_a_frame():
    styles = ClipStyles(attachments(), 3, changes=[Change(1, 5, 9)])
    before, after = styles.planes(*maps(), 4), styles.planes(*maps(), 5)
    assert torch.equal(before[..., 2:], after[..., 2:]) and not torch.equal(before[..., :2], after[..., :2])
    nine = ClipStyles(attachments(), 3, seed=9).planes(*maps(), 0)
    assert torch.equal(after[..., :2], nine[..., :2])


def test_a_class_without_styles_has_the_mean_of_all():
    styles = ClipStyles(attachments(), 3)
    assert np.allclose(styles.style(7 + 1, 0), observed().features.double().mean(0).numpy())


def test_changes_are_read_and_mistakes_named():
    assert parse_changes(["car@24=7", "0@3=1"], LEGEND, 2) == [Change(1, 24, 7), Change(0, 3, 1)]
    for text in ("car", "car@x=1", "car@3", "@3=1"):
        with pytest.raises(UserError, match="CLASS@FRAME=SEED"):
            parse_changes([text], LEGEND, 2)
    with pytest.raises(UserError, match="cart"):
        parse_changes(["cart@1=2"], LEGEND, 2)
    with pytest.raises(UserError, match="ganvas styles"):
        ClipStyles({}, 3)


def test_planes_are_means_over_all_frames_of_a_region():
    random = torch.Generator().manual_seed(0)
    shown = torch.rand(2, 3, 3, 4, 5, generator=random)
    labels = torch.randint(3, (2, 3, 1, 4, 5), generator=random)
    regions = segments(labels, labels)
    planes = styles_of_clip(nn.Identity(), shown, regions)
    for sample in range(2):
        for region in regions[sample].unique():
            inside = regions[sample, :, 0] == region
            mean = shown[sample].permute(0, 2, 3, 1)[inside].mean(0)
            assert torch.allclose(planes[sample].permute(0, 2, 3, 1)[inside], mean, atol=1e-6)


@pytest.mark.parametrize(
    ("trained", "given", "texts"),
    [
        ((128, 256), (256, 512), ["256x128", "512x256", "Reduce"]),
        ((128, 256), (64, 128), ["128x64", "Enlarge"]),
        ((128, 256), (128, 256), []),
        ((128, 256), (136, 272), []),
        (None, (256, 512), []),
    ],
)
def test_maps_of_another_size_than_was_trained_on_are_warned_of(trained, given, texts):
    from ganvas.inference.clips.assumptions import told_of_size

    told = told_of_size(trained, given)
    assert bool(told) == bool(texts) and all(text in told for text in texts)
