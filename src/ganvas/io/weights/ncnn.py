"""ncnn models, the text graph `.param` and the weights `.bin`, of RRDBNet, SPAN and the compact net, in our layout.

The graph is checked, not trusted: a network that only resembles one of them would give wrong pictures in silence.
Format: ncnn's developer guide, "param and model file structure" and "operation param weight table".
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from ganvas.errors import UserError

MAGIC = "7767517"
HALF_FLAG = 0x01306B47
INT8_FLAG = 0x000D4B38
LEAK = 0.2
RESIDUAL = 0.2

Value: TypeAlias = int | float | tuple[int | float, ...]


@dataclass(frozen=True)
class Layer:
    """One line of a `.param` file."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    values: Mapping[int, Value]

    def number(self, key: int, default: float = 0) -> float:
        """Return a layer parameter that is one number."""
        value = self.values.get(key, default)
        if isinstance(value, tuple):
            raise UserError(f"The layer {self.name} is malformed", f"Its parameter {key} is a list")
        return value

    def numbers(self, key: int) -> tuple[int | float, ...]:
        """Return a layer parameter that is a list of numbers."""
        value = self.values.get(key, ())
        return value if isinstance(value, tuple) else (value,)


class Model(NamedTuple):
    """Tensors in our layout, and what the graph does to the picture before and after the network."""

    tensors: dict[str, Tensor]
    output_factor: float = 1.0
    """Factor of the resize that follows (1: none)."""
    mean: tuple[float, ...] | None = None
    """Taken off the picture first."""
    gain: float = 1.0
    """What the picture is then multiplied by."""


def read(param: Path, weights: Path) -> Model:
    """Read an RRDBNet, a SPAN or a compact net from its two files; half-precision weights come back as float32.

    Raises:
        UserError: the files are damaged, quantised to int8, or hold another network.
    """
    layers = parse(_text(param))
    kinds = Counter(layer.kind for layer in layers)
    arrays = _read_weights(layers, weights)
    if kinds["PReLU"] and kinds["PixelShuffle"] == 1:
        return _compact(layers, arrays)
    if kinds["Swish"] and kinds["Sigmoid"]:
        return _span(layers, arrays)
    if kinds["Concat"] and kinds["Convolution"] > 15:
        return _rrdbnet(layers, arrays)
    found = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common(6))
    raise UserError(f"{param} holds a network that Ganvas does not know", f"Its layers are: {found}", _KNOWN)


_KNOWN = "ncnn files of RRDBNet (ESRGAN, Real-ESRGAN), of the compact SRVGG net and of SPAN can be read"


def parse(text: str) -> list[Layer]:
    """Parse the text of a `.param` file.

    Raises:
        UserError: the text is no ncnn graph or breaks off.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if not lines or lines[0] != [MAGIC]:
        raise UserError("This is no ncnn graph", f"A .param file begins with the line {MAGIC}")
    try:
        num_layers = int(lines[1][0])
        layers = [_parse_layer(line) for line in lines[2:]]
    except (IndexError, ValueError) as error:
        raise UserError("The ncnn graph is damaged", f"A line cannot be read: {error}") from error
    if len(layers) != num_layers:
        raise UserError("The ncnn graph is damaged", f"It announces {num_layers} layers and holds {len(layers)}")
    return layers


def _parse_layer(words: Sequence[str]) -> Layer:
    kind, name, num_inputs, num_outputs = words[0], words[1], int(words[2]), int(words[3])
    first_value = 4 + num_inputs + num_outputs
    if len(words) < first_value:
        raise ValueError(f"{name} names fewer blobs than it announces")
    blobs = words[4:first_value]
    values = dict(_parse_value(word) for word in words[first_value:])
    return Layer(kind, name, tuple(blobs[:num_inputs]), tuple(blobs[num_inputs:]), values)


def _parse_value(word: str) -> tuple[int, Value]:
    key_text, _, value_text = word.partition("=")
    key = int(key_text)
    numbers: list[int | float] = [_parse_number(part) for part in value_text.split(",")]
    if key <= -23300:  # a list, in the older spelling: its length comes first
        return -23300 - key, tuple(numbers[1:])
    return key, tuple(numbers) if len(numbers) > 1 else numbers[0]


def _parse_number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not text", "It may be a binary graph (.param.bin)", "Use the text .param"
        ) from error


# The weights


class _Reader:
    def __init__(self, path: Path) -> None:
        self.path, self.content, self.position = path, path.read_bytes(), 0

    def take(self, count: int, dtype: str) -> np.ndarray:
        size = count * np.dtype(dtype).itemsize
        if self.position + size > len(self.content):
            raise UserError(
                f"{self.path} is too short", "It is cut off, or belongs to another .param", "Fetch both again"
            )
        array = np.frombuffer(self.content, dtype, count, self.position)
        self.position += (size + 3) // 4 * 4
        return array.astype(np.float32) if dtype != "<u4" else array

    def take_weights(self, count: int) -> np.ndarray:
        flag = int(self.take(1, "<u4")[0])
        if flag == 0:
            return self.take(count, "<f4")
        if flag == HALF_FLAG:
            return self.take(count, "<f2")
        if flag == INT8_FLAG:
            raise UserError(f"{self.path} is quantised to int8", do="Use the float16 or float32 file of this model")
        raise UserError(
            f"{self.path} stores its weights in a way that Ganvas does not read", f"Its flag is {flag:#010x}"
        )


def _read_weights(layers: Iterable[Layer], path: Path) -> dict[str, tuple[Tensor, ...]]:
    reader = _Reader(path)
    arrays: dict[str, tuple[Tensor, ...]] = {}
    for layer in layers:
        if layer.kind == "Convolution":
            arrays[layer.name] = _read_convolution(layer, reader)
        elif layer.kind == "PReLU":
            arrays[layer.name] = (torch.from_numpy(reader.take(int(layer.number(0)), "<f4")),)
        elif layer.kind == "MemoryData":
            count = math.prod(max(1, int(layer.number(key))) for key in (0, 1, 2))
            arrays[layer.name] = (torch.from_numpy(reader.take(count, "<f4")),)
        elif layer.kind not in _WEIGHTLESS:
            raise UserError(f"{path} holds a network that Ganvas does not know", f"It has a layer {layer.kind}", _KNOWN)
    if reader.position != len(reader.content):
        raise UserError(
            f"{path} does not belong to its .param", f"{len(reader.content) - reader.position} bytes are left"
        )
    return arrays


_WEIGHTLESS = frozenset(
    {"Input", "Split", "Concat", "Eltwise", "BinaryOp", "Interp", "PixelShuffle", "ReLU", "Noop", "Swish", "Sigmoid"}
)


def _read_convolution(layer: Layer, reader: _Reader) -> tuple[Tensor, Tensor]:
    num_out, size, side = int(layer.number(0)), int(layer.number(6)), int(layer.number(1))
    is_plain = side in (1, 3) and layer.number(11, side) == side and layer.number(4) == side // 2
    is_plain &= all(layer.number(key, side // 2) == side // 2 for key in (14, 15, 16))
    is_plain &= all(layer.number(key, 1) == 1 for key in (2, 12, 3, 13))
    taps = side * side * num_out
    if not is_plain or layer.number(5) != 1 or num_out <= 0 or size % taps:
        raise UserError(f"The layer {layer.name} is not a plain 3x3 or 1x1 convolution with bias", do=_KNOWN)
    weight = torch.from_numpy(reader.take_weights(size)).reshape(num_out, size // taps, side, side)
    return weight, torch.from_numpy(reader.take(num_out, "<f4"))


# The graphs


def _compact(layers: Sequence[Layer], arrays: Mapping[str, tuple[Tensor, ...]]) -> Model:
    chain = [layer for layer in layers if layer.kind in ("Convolution", "PReLU")]
    expected = ["Convolution", "PReLU"] * (len(chain) // 2) + ["Convolution"]
    shuffle = next(layer for layer in layers if layer.kind == "PixelShuffle")
    resizes = [layer for layer in layers if layer.kind == "Interp"]
    added = [layer for layer in layers if layer.kind == "BinaryOp"]
    _require([layer.kind for layer in chain] == expected, "convolutions and PReLUs do not take turns")
    _require(all(_activation(layer) is None for layer in chain), "a convolution has an activation of its own")
    _require(shuffle.number(1) == 0, "the pixels are shuffled in another order")
    _require(len(resizes) in (1, 2), "the picture is not added to the result")
    _require(
        _is_resize(resizes[0], mode=1, factor=shuffle.number(0)), "the picture added is not a nearest-neighbour one"
    )
    _require(len(added) == 1 and _is_addition(added[0]), "the picture is not added to the result")
    tensors: dict[str, Tensor] = {}
    for index, layer in enumerate(chain):
        for part, array in zip(("weight", "bias"), arrays[layer.name]):
            tensors[f"body.{index}.{part}"] = array
    return Model(tensors, _output_factor(resizes[1:], layers[-1]))


def _output_factor(resizes: Sequence[Layer], last: Layer) -> float:
    # The published x2 and x3 files are the x4 network followed by a bicubic resize.
    if not resizes:
        return 1.0
    factor = resizes[0].number(1)
    _require(resizes[0] is last and _is_resize(last, mode=3, factor=factor), "it ends in an unknown resize")
    return factor


def _rrdbnet(layers: Sequence[Layer], arrays: Mapping[str, tuple[Tensor, ...]]) -> Model:
    convolutions = [layer for layer in layers if layer.kind == "Convolution"]
    resizes = [layer for layer in layers if layer.kind == "Interp"]
    num_ups = len(resizes)
    blocks, rest = divmod(len(convolutions) - 4 - num_ups, 15)
    _require(rest == 0 and blocks > 0, f"{len(convolutions)} convolutions are not those of whole blocks")
    _require(
        all(_is_resize(layer, mode=1, factor=2) for layer in resizes), "it enlarges other than by nearest-neighbour 2x"
    )
    leaks = [_activation(layer) for layer in layers if layer.kind in ("Convolution", "ReLU")]
    num_leaks = sum(leak is not None and math.isclose(leak, LEAK, abs_tol=1e-4) for leak in leaks)
    _require(num_leaks == 12 * blocks + num_ups + 1, f"{num_leaks} activations are leaky by {LEAK}")
    num_scaled = sum(_is_scaled_residual(layer) for layer in layers)
    _require(num_scaled == 4 * blocks, f"{num_scaled} residuals are scaled by {RESIDUAL}")
    _require(not any(layer.kind in ("PixelShuffle", "PReLU") for layer in layers), "it shuffles pixels")
    tensors: dict[str, Tensor] = {}
    for name, layer in zip(_rrdbnet_names(blocks, num_ups), convolutions):
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = arrays[layer.name]
    return Model(tensors)


def _rrdbnet_names(blocks: int, num_ups: int) -> list[str]:
    dense = [f"body.{i}.rdb{j}.conv{k}" for i in range(blocks) for j in (1, 2, 3) for k in (1, 2, 3, 4, 5)]
    ups = [f"conv_up{number}" for number in range(1, num_ups + 1)]
    return ["conv_first", *dense, "conv_body", *ups, "conv_hr", "conv_last"]


def _span(layers: Sequence[Layer], arrays: Mapping[str, tuple[Tensor, ...]]) -> Model:
    convolutions = [layer for layer in layers if layer.kind == "Convolution"]
    blocks, rest = divmod(len(convolutions) - 4, 3)
    _require(rest == 0 and blocks > 0, f"{len(convolutions)} convolutions are not those of whole blocks")
    names = ["conv_first", *(f"blocks.{i}.conv{k}" for i in range(blocks) for k in (1, 2, 3))]
    names += ["conv_body", "conv_merge", "conv_last"]
    _require(all(_activation(layer) is None for layer in convolutions), "a convolution has an activation of its own")
    mean, gain, expected = _span_head(layers, arrays)
    # Every blob is named by what it is a function of; the published network is one such name.
    found: dict[str, str] = {}
    names_of = {layer.name: name for layer, name in zip(convolutions, names)}
    for layer in layers:
        seen = [found.get(blob, blob) for blob in layer.inputs]
        found |= dict.fromkeys(layer.outputs, _formula(layer, seen, names_of))
    _require(found[layers[-1].outputs[0]] == _span_formula(expected, blocks), "its layers are joined in another way")
    shuffle = layers[-1]
    _require(shuffle.kind == "PixelShuffle" and shuffle.number(1) == 0, "the pixels are shuffled in another order")
    tensors: dict[str, Tensor] = {}
    for name, layer in zip(names, convolutions):
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = arrays[layer.name]
    return Model(tensors, mean=mean, gain=gain)


def _span_head(
    layers: Sequence[Layer], arrays: Mapping[str, tuple[Tensor, ...]]
) -> tuple[tuple[float, ...] | None, float, str]:
    """Return the mean and the gain of the input, and the formula of what the first convolution is given."""
    picture = next(layer for layer in layers if layer.kind == "Input").outputs[0]
    constants = [layer for layer in layers if layer.kind == "MemoryData"]
    if not constants:
        return None, 1.0, picture
    _require(len(constants) == 1, "it holds more constants than a mean")
    gains = [layer for layer in layers if layer.kind == "BinaryOp" and layer.number(0) == 2 and layer.number(1) == 1]
    _require(len(gains) == 1, "the picture is not multiplied once")
    gain = gains[0].number(2)
    # The mean is written with the digits of float32.
    mean = tuple(round(float(value), 7) for value in arrays[constants[0].name][0].flatten())
    return mean, gain, _call("mul", f"{gain:g}", _call("sub", picture, constants[0].outputs[0]))


def _call(function: str, *arguments: str) -> str:
    """Return a short name for what a function of other values is; sums and products do not mind the order."""
    ordered = sorted(arguments) if function in ("add", "mul") else arguments
    return hashlib.blake2b(f"{function}({','.join(ordered)})".encode(), digest_size=16).hexdigest()


def _formula(layer: Layer, seen: list[str], names: Mapping[str, str]) -> str:
    """Return the name of what a layer computes of its inputs."""
    if layer.kind in ("Input", "MemoryData"):
        return layer.outputs[0]
    if layer.kind == "Split":
        return seen[0]
    if layer.kind != "BinaryOp":
        return _call(names.get(layer.name, layer.kind), *seen)
    operation = {0: "add", 1: "sub", 2: "mul"}.get(int(layer.number(0)), "other")
    constant = [f"{layer.number(2):g}"] if layer.number(1) == 1 else []
    return _call(operation, *seen, *constant)


def _span_formula(picture: str, blocks: int) -> str:
    first = x = early = late = _call("conv_first", picture)
    for number in range(blocks):
        conv1, conv2, conv3 = (f"blocks.{number}.conv{link}" for link in (1, 2, 3))
        late = _call("Swish", _call(conv1, x))
        features = _call(conv3, _call("Swish", _call(conv2, late)))
        x = _call("mul", _call("add", features, x), _call("sub", _call("Sigmoid", features), "0.5"))
        early = x if number == 0 else early
    merged = _call("conv_merge", _call("Concat", first, _call("conv_body", x), early, late))
    return _call("PixelShuffle", _call("conv_last", merged))


def _activation(layer: Layer) -> float | None:
    """Return the slope for negative values of a ReLU or of a convolution's own activation; None when there is none."""
    if layer.kind == "ReLU":
        return layer.number(0)
    activation = layer.number(9)
    if activation == 0:
        return None
    slopes = layer.numbers(10)
    return float(slopes[0]) if activation == 2 and slopes else math.inf


def _is_scaled_residual(layer: Layer) -> bool:
    if layer.kind == "Eltwise":
        coefficients = layer.numbers(1)
        return (
            layer.number(0) == 1 and len(coefficients) == 2 and math.isclose(min(coefficients), RESIDUAL, abs_tol=1e-4)
        )
    is_product = layer.kind == "BinaryOp" and layer.number(0) == 2 and layer.number(1) == 1
    return is_product and math.isclose(layer.number(2), RESIDUAL, abs_tol=1e-4)


def _is_addition(layer: Layer) -> bool:
    return layer.number(0) == 0 and layer.number(1) == 0


def _is_resize(layer: Layer, mode: int, factor: float) -> bool:
    return layer.number(0) == mode and layer.number(1) == factor and layer.number(2) == factor and layer.number(6) == 0


def _require(condition: bool, why: str) -> None:
    if not condition:
        raise UserError("The ncnn graph is not one that Ganvas knows", why[0].upper() + why[1:], _KNOWN)
