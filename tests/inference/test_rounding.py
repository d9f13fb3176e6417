"""Rounded kernels keep their sums, move no weight by a step or more, and stay on the grid."""

import importlib.util

import numpy as np
import pytest
import torch
from torch import nn

from ganvas.inference import backends
from ganvas.inference.rounding import keep_sums, round_again, weights_of


def kernels(seed, shape=(12, 7, 3, 3), largest=127.0):
    exact = np.random.default_rng(seed).normal(0, 30, shape)
    return exact * largest / np.abs(exact).max(axis=(1, 2, 3), keepdims=True)


@pytest.mark.parametrize("shape", [(12, 7, 3, 3), (4, 16, 1, 1), (3, 2, 5, 5)])
def test_sums_are_kept_to_half_a_step(shape):
    exact = kernels(0, shape)
    off = keep_sums(exact).astype(float) - exact
    assert np.abs(off).max() < 1
    assert np.abs(off.sum(axis=(2, 3))).max() <= 0.5 + 1e-9


def test_the_squared_error_is_the_least_of_all_roundings_with_such_a_sum():
    exact = kernels(1, (6, 1, 2, 2))
    found = keep_sums(exact)
    for kernel, rounded in zip(exact.reshape(6, 4), found.reshape(6, 4)):
        choices = np.stack(np.meshgrid(*[(np.floor(v), np.ceil(v)) for v in kernel]), -1).reshape(-1, 4)
        good = choices[(np.abs(choices.sum(1) - kernel.sum()) <= 0.5) & (np.abs(choices) <= 127).all(1)]
        least = np.square(good - kernel).sum(1).min()
        if not (np.abs(np.rint(kernel)) >= 127).any():  # the largest weight of an output stays
            assert np.square(rounded - kernel).sum() == pytest.approx(least)


def test_the_largest_weights_stay_and_nothing_leaves_the_grid():
    exact = kernels(2)
    found = keep_sums(exact)
    ends = np.abs(np.rint(exact)) >= 127
    assert ends.any() and (found[ends] == np.rint(exact[ends])).all()
    assert found.dtype == np.int8 and np.abs(found.astype(int)).max() == 127


@pytest.mark.alone
@pytest.mark.skipif(importlib.util.find_spec("nncf") is None, reason="needs the extra int8")
@torch.inference_mode()
def test_flat_pictures_come_out_nearer_to_the_network():
    import nncf

    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 32, 3), nn.Conv2d(32, 32, 3), nn.Conv2d(32, 3, 3)).eval()
    flat = torch.rand(8, 3, 1, 1).expand(8, 3, 16, 16).contiguous()
    plain = backends.openvino_graph(net, flat[:1], [-1, 3, -1, -1])
    exact = weights_of(plain)
    graph = nncf.quantize(plain, nncf.Dataset([tile[None].numpy() for tile in flat]), subset_size=8)
    before = (backends.openvino_run(graph, "float32")(flat) - net(flat)).square().mean()
    assert round_again(graph, exact) == 3
    after = (backends.openvino_run(graph, "float32")(flat) - net(flat)).square().mean()
    assert after < before
