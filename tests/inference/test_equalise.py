"""Channels of like range: the same network, whose convolutions read channels that one step of 8 bits suits."""

import importlib.util

import numpy as np
import pytest
import torch
from torch import nn

from ganvas.inference import backends
from ganvas.inference.equalise import equalise, read_by_convolutions

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="needs the extra openvino"),
]


class Tangled(nn.Module):
    """Convolutions over concatenations, sums, activations of both kinds and an enlargement."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.grow = nn.Conv2d(8, 6, 3, padding=1)
        self.gate = nn.Conv2d(14, 8, 3, padding=1)
        self.last = nn.Conv2d(8, 3, 3, padding=1)
        with torch.no_grad():
            self.grow.weight.mul_(torch.logspace(-2, 1, 6)[:, None, None, None])

    def forward(self, x):
        first = self.first(x)
        grown = nn.functional.leaky_relu(self.grow(first), 0.2)
        gated = nn.functional.silu(self.gate(torch.cat([first, grown], dim=1)))
        high = nn.functional.interpolate(first + gated, scale_factor=2, mode="nearest")
        return self.last(high)


def tiles(count=3):
    return list(torch.rand(count, 1, 3, 24, 24, generator=torch.Generator().manual_seed(3)))


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Tangled().eval()


@pytest.fixture
def graph(net):
    return backends.openvino_graph(net, tiles()[0], [-1, 3, -1, -1])


@torch.inference_mode()
def test_the_network_computes_what_it_computed(net, graph):
    assert equalise(graph, tiles()) == 3  # what the first convolution and the second wrote, and the sum
    run = backends.openvino_run(graph, "float32")
    unseen = torch.rand(1, 3, 20, 28, generator=torch.Generator().manual_seed(9))
    torch.testing.assert_close(run(unseen), net(unseen), rtol=1e-4, atol=1e-5)


def ranges(graph, conv):
    """Return the largest magnitude of each channel that a convolution reads."""
    import openvino
    from openvino import opset13 as ops

    node = next(node for node in graph.get_ops() if f"module.{conv}/" in node.get_friendly_name() + "/"
                and node.get_type_name() == "Convolution")  # fmt: skip
    probe = openvino.Model([ops.result(ops.abs(node.input_value(0)))], graph.get_parameters())
    run = openvino.compile_model(probe, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.max([run(tile.numpy())[0].max(axis=(0, 2, 3)) for tile in tiles()], axis=0)


def test_channels_that_a_convolution_reads_get_alike(graph):
    def unevenness(graph):
        widest = ranges(graph, "gate")
        return widest.max() / widest.min()

    before = unevenness(graph.clone())
    equalise(graph, tiles(), balance=1.0)  # weights take over all of it
    assert before > 20 and unevenness(graph) == pytest.approx(1, rel=1e-4)


def test_a_factor_goes_into_the_convolution_that_writes_the_channel_where_nothing_else_reads_it(graph):
    kinds = [node.get_type_name() for node in graph.get_ops()]
    equalise(graph, tiles())
    after = [node.get_type_name() for node in graph.get_ops()]
    # `first` is also added and the sum is no convolution's: two multiplications. `grow` takes its own.
    assert after.count("Multiply") - kinds.count("Multiply") == 2
    assert after.count("Convolution") == kinds.count("Convolution")


def test_what_others_than_convolutions_read_behind_a_concatenation_is_left_alone():
    class Shown(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)

        def forward(self, x):
            both = torch.cat([self.a(x), self.a(x * 2)], dim=1)
            return self.b(both) + both[:, :3]

    graph = backends.openvino_graph(Shown().eval(), tiles()[0], [-1, 3, -1, -1])
    assert not [value for value in read_by_convolutions(graph) if value.channels == 4]
