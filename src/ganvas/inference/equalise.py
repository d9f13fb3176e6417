"""Make the channels that convolutions read alike in range, so that one step of 8 bits suits them all.

A convolution's input is quantised in one step, and its widest channel decides it: in Real-ESRGAN's trunk that is five
times the median channel, and costs 10 dB. A channel divided by a factor, with the weights that read it multiplied by
it, is the same network. Where a convolution wrote the channel, the factor goes into its weights; elsewhere it is a
multiplication, which OpenVINO merges into the quantisation.
Source: Xiao et al., "SmoothQuant", arXiv 2211.10438, equation 4, for convolutions over concatenated inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

BALANCE = 1.0
"""How much of a channel's range its weights take over: 0 is none, 1 all."""
PASSING = ("Concat", "Interpolate")
"""Operations that pass channels on: a factor before them is one after them."""
HOMOGENEOUS = ("Relu", "PRelu", "LeakyRelu")
"""Activations with f(a x) = a f(x) for positive a."""


@dataclass
class Value:
    """What convolutions read, before it is concatenated or enlarged."""

    port: Any
    readers: list[tuple[Any, int]] = field(default_factory=list)
    """Convolutions, and the first of their input channels that is this value's."""
    edges: list[Any] = field(default_factory=list)
    """The inputs, of convolutions or of what passes channels on to them alone, that a factor changes."""

    @property
    def channels(self) -> int:
        """Number of channels."""
        return int(self.port.get_partial_shape()[1].get_length())


def equalise(graph: Any, tiles: Sequence[Tensor], balance: float = BALANCE) -> int:
    """Change an OpenVINO graph into one that computes the same with channels of like range; return how many values.

    Args:
        tiles: on which the ranges are measured, (1, 3, H, W).
    """
    values = read_by_convolutions(graph)
    for value, widest in zip(values, _widest(graph, values, tiles)):
        weights = np.max([_weights_of(conv, first, value.channels) for conv, first in value.readers], axis=0)
        known = (widest > 0) & (weights > 0)
        factor = np.ones_like(widest)
        factor[known] = widest[known] ** balance / weights[known] ** (1 - balance)
        for conv, first in value.readers:
            _scale_weights(conv, factor, first)
        if not _scale_writer(value, 1 / factor):
            _insert(value, 1 / factor)
    return len(values)


def read_by_convolutions(graph: Any) -> list[Value]:
    """Return the values that only convolutions read on some of their ways."""
    found: dict[tuple[str, int], Value] = {}
    for conv in graph.get_ordered_ops():
        if conv.get_type_name() == "Convolution" and _constant(conv.input_value(1)):
            _gather(conv.input(0), conv, 0, found)
    return list(found.values())


def _gather(edge: Any, conv: Any, first: int, found: dict[tuple[str, int], Value]) -> None:
    """Note the values that reach a convolution through an edge, if nothing but convolutions reads beyond it."""
    port = edge.get_source_output()
    node = port.get_node()
    if node.get_type_name() not in PASSING:
        if port.get_partial_shape()[1].is_static and node.get_type_name() != "Parameter":
            value = found.setdefault((node.get_friendly_name(), port.get_index()), Value(port))
            value.readers.append((conv, first))
            if not any(_same(edge, known) for known in value.edges):
                value.edges.append(edge)
        return
    if not all(_leads_to_convolutions(reader) for reader in port.get_target_inputs()):
        return
    inputs = node.inputs() if node.get_type_name() == "Concat" else node.inputs()[:1]
    for inner in inputs:
        _gather(inner, conv, first, found)
        first += int(inner.get_partial_shape()[1].get_length())


def _leads_to_convolutions(edge: Any) -> bool:
    """Tell whether nothing but convolutions reads what goes into an edge, and all of its channels."""
    node, kind = edge.get_node(), edge.get_node().get_type_name()
    if kind == "Convolution":
        return edge.get_index() == 0 and _constant(node.input_value(1)) is not None
    if kind == "Concat":
        passes = node.get_attributes()["axis"] in (1, -3)
    else:
        passes = kind == "Interpolate" and edge.get_index() == 0
    return passes and all(_leads_to_convolutions(reader) for reader in node.output(0).get_target_inputs())


def _same(a: Any, b: Any) -> bool:
    return a.get_node().get_friendly_name() == b.get_node().get_friendly_name() and a.get_index() == b.get_index()


def _constant(port: Any) -> Any:
    """Return the constant at a port, or None."""
    node = port.get_node()
    return node if node.get_type_name() == "Constant" else None


def _widest(graph: Any, values: Sequence[Value], tiles: Sequence[Tensor]) -> list[np.ndarray]:
    """Return the largest magnitude of every channel of values."""
    import openvino
    from openvino import opset13 as ops

    copied = graph.clone()  # what is added here must not be seen as a reader of the values
    nodes = {node.get_friendly_name(): node for node in copied.get_ops()}
    ports = [nodes[value.port.get_node().get_friendly_name()].output(value.port.get_index()) for value in values]
    results = [ops.result(ops.reduce_max(ops.abs(port), np.array([0, 2, 3]))) for port in ports]
    probe = type(graph)(results, copied.get_parameters())
    run = openvino.compile_model(probe, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    widest = [np.zeros(value.channels) for value in values]
    for tile in tiles:
        found = run(tile.numpy())
        widest = [np.maximum(most, found[place]) for place, most in enumerate(widest)]
    return widest


def _weights_of(conv: Any, first: int, channels: int) -> np.ndarray:
    """Return the largest magnitude of the weights that read each channel."""
    weights = _constant(conv.input_value(1)).data[:, first : first + channels]
    return np.abs(weights).max(axis=(0, 2, 3)).astype(np.float64)


def _scale_weights(conv: Any, factor: np.ndarray, first: int) -> None:
    weights = np.array(_constant(conv.input_value(1)).data)
    weights[:, first : first + len(factor)] *= factor[None, :, None, None].astype(weights.dtype)
    _replace(conv.input(1), weights)


def _scale_writer(value: Value, factor: np.ndarray) -> bool:
    """Put a factor into the convolution that writes a value, if nothing else reads it in between."""
    if len(value.edges) != len(value.port.get_target_inputs()):
        return False
    node, bias = value.port.get_node(), None
    if node.get_type_name() in HOMOGENEOUS:
        node = node.input_value(0).get_node()
    if node.get_type_name() == "Add" and _constant(node.input_value(1)):
        bias, node = node.input(1), node.input_value(0).get_node()
    if node.get_type_name() != "Convolution" or not _constant(node.input_value(1)):
        return False
    between = value.port.get_node()
    while between.get_friendly_name() != node.get_friendly_name():
        between = between.input_value(0).get_node()
        if len(between.output(0).get_target_inputs()) != 1:
            return False
    shape = (-1, 1, 1, 1)
    weights = np.array(_constant(node.input_value(1)).data)
    _replace(node.input(1), weights * factor.reshape(shape).astype(weights.dtype))
    if bias is not None:
        held = np.array(_constant(bias.get_source_output()).data)
        _replace(bias, held * factor.reshape(1, -1, 1, 1).astype(held.dtype))
    return True


def _insert(value: Value, factor: np.ndarray) -> None:
    from openvino import opset13 as ops

    scaled = ops.multiply(value.port, ops.constant(factor.reshape(1, -1, 1, 1).astype(np.float32)))
    for edge in value.edges:
        edge.replace_source_output(scaled.output(0))


def _replace(edge: Any, array: np.ndarray) -> None:
    """Put another constant at an edge; whoever else reads the old one keeps it."""
    from openvino import opset13 as ops

    edge.replace_source_output(ops.constant(array).output(0))
