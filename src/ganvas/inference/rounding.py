"""Round weights to 8 bits so that every kernel keeps its sum.

Neighbouring pixels of a picture are nearly alike, so what a rounded kernel does wrong is mostly the error of its sum.
Rounding to the nearest leaves nine independent errors in it; here so many weights are rounded the other way, those
nearest to the middle of a step first, that at most half a step is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

LARGEST = 127


def keep_sums(exact: np.ndarray) -> np.ndarray:
    """Return the weights of a convolution, in steps of their grid, as whole numbers: (O, I, h, w) -> (O, I, h, w)."""
    flat = exact.reshape(*exact.shape[:2], -1).astype(np.float64)
    nearest = np.clip(np.rint(flat), -LARGEST - 1, LARGEST)
    error = nearest - flat
    excess = np.rint(error.sum(axis=2, keepdims=True))
    gain = error * np.sign(excess)
    gain[(np.abs(nearest) >= LARGEST) | (gain <= 0)] = -np.inf
    rank = np.argsort(np.argsort(-gain, axis=2, kind="stable"), axis=2)
    turned = (rank < np.abs(excess)) & np.isfinite(gain)
    return (nearest - np.sign(excess) * turned).reshape(exact.shape).astype(np.int8)


def weights_of(graph: Any) -> dict[str, np.ndarray]:
    """Return the constant weights of the convolutions of an OpenVINO graph by name."""
    found = {}
    for node in graph.get_ops():
        if node.get_type_name() == "Convolution" and node.input_value(1).get_node().get_type_name() == "Constant":
            found[node.get_friendly_name()] = np.array(node.input_value(1).get_node().data)
    return found


def round_again(graph: Any, exact: Mapping[str, np.ndarray]) -> int:
    """Round the weights of a graph that NNCF has quantised as `keep_sums` does; return of how many convolutions.

    Args:
        graph: changed in place; its 8-bit weights are constants times the step of each output.
        exact: the weights before, by the convolution's name.
    """
    from openvino import opset13 as ops

    done = 0
    for node in graph.get_ops():
        if node.get_type_name() != "Convolution" or node.get_friendly_name() not in exact:
            continue
        product = node.input_value(1).get_node()
        parts = [value.get_node() for value in product.input_values()]
        if [part.get_type_name() for part in parts] != ["Convert", "Constant"]:
            continue  # not in 8 bits
        whole = parts[0].input_value(0).get_node()
        if whole.get_type_name() == "Constant" and whole.get_element_type().get_type_name() == "i8":
            steps = np.array(parts[1].data)
            rounded = keep_sums(exact[node.get_friendly_name()] / np.where(steps == 0, 1, steps))
            parts[0].input(0).replace_source_output(ops.constant(rounded).output(0))
            done += 1
    return done
