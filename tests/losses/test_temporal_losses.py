"""Temporal losses against plain arithmetic in float64."""

import numpy as np
import torch

from ganvas.losses import temporal


def random(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).float()


def test_masked_l1_divides_by_all_pixels():
    a, b = random(2, 3, 4, 5), random(2, 3, 4, 5, seed=1)
    weight = torch.zeros(2, 1, 4, 5)
    weight[:, :, 0] = 1
    wanted = np.abs(a.numpy() - b.numpy())[:, :, 0].sum() / a.numel()
    assert abs(float(temporal.masked_l1(a, b, weight)) - wanted) < 1e-6
    assert abs(float(temporal.masked_l1(a, b)) - np.abs(a.numpy() - b.numpy()).mean()) < 1e-6
    assert torch.equal(temporal.warp_loss(a, b, weight), temporal.masked_l1(a, b, weight))


def test_confidence_counts_squares_over_channels():
    picture = torch.zeros(1, 3, 1, 3)
    fetched = picture.clone()
    fetched[0, :, 0, 1] = 0.08  # 3 x 0.0064 = 0.0192
    fetched[0, :, 0, 2] = 0.083  # 0.0207
    assert temporal.confidence(picture, fetched).flatten().tolist() == [1, 1, 0]


def test_mask_and_end_point_error():
    mask, trust = torch.full((1, 1, 2, 2), 0.25), torch.tensor([[[[1.0, 0.0], [1.0, 0.0]]]])
    assert abs(float(temporal.mask_loss(mask, trust)) - 0.125) < 1e-7
    flow, target = torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, 2)
    flow[0, 0], flow[0, 1] = 3, 4
    flow[..., 1] = 0
    assert float(temporal.end_point_error(flow, target)) == 2.5
    assert float(temporal.end_point_error(flow, target, trust)) == 5.0
