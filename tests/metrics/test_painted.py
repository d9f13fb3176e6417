"""Repeated patterns and texture distances: a grid is found, noise is not, and equal textures are near."""

import math

import pytest
import torch

from ganvas.metrics.painted import distance, instance_contrast, repetition, tile_features


def noise(number, size=(64, 96), seed=0, grain=1):
    random = torch.Generator().manual_seed(seed)
    small = torch.rand(number, 3, size[0] // grain, size[1] // grain, generator=random)
    return list(small.repeat_interleave(grain, 2).repeat_interleave(grain, 3))


def test_a_grid_repeats_and_noise_does_not():
    across = torch.arange(96) * (2 * math.pi / 8)
    waves = 0.5 + 0.3 * torch.cos(across).expand(3, 64, 96)
    # The filter's mirrored ends bend the waves a little there.
    assert repetition(waves) > 0.95
    assert repetition(noise(1)[0]) < 0.06
    # Half of the high-pass's energy repeats, half does not: the peak is a half.
    both = 0.5 + 0.5 * torch.cos(math.pi * torch.arange(96) / 2).expand(3, 64, 96) * 0.2
    grain = torch.randn(64, 96, generator=torch.Generator().manual_seed(1)).expand(3, 64, 96)
    mixed = both + grain * 0.1 / math.sqrt(2)
    assert repetition(mixed) == pytest.approx(0.5, abs=0.1)
    assert repetition(torch.full((3, 64, 64), 0.4)) == 0.0


def test_textures_of_one_kind_are_nearer_than_others():
    fine, again, coarse = noise(6), noise(6, seed=1), noise(6, grain=4)
    assert tile_features(fine).shape[0] == 6 and tile_features([fine[0][:, :40, :40]]).shape[0] == 1
    assert distance(again, fine) < 0.1 * distance(coarse, fine)


def test_only_borders_between_things_of_a_class_count():
    labels, instances = torch.zeros(2, 1, 6, 8, dtype=torch.int64)
    labels[:, :, 4:] = 1
    instances[:, 3:] = 7
    instances[:, :, 4:] = 9
    # Gray: the border within class 0 (columns 0 to 3, between rows 2 and 3) steps by 0.25, that of classes by more.
    gray = torch.where(labels == 1, 1.0, torch.where(instances == 7, 0.5, 0.25))
    assert instance_contrast([gray.expand(3, -1, -1)], [labels], [instances]) == pytest.approx(
        0.25 * 219 / 255, abs=1e-6
    )
    assert math.isnan(instance_contrast([gray.expand(3, -1, -1)], [labels], [labels]))
    assert instance_contrast([gray.expand(3, -1, -1)], [labels - 1], [instances]) != instance_contrast(
        [gray.expand(3, -1, -1)], [labels], [instances]
    )
