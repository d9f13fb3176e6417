"""Networks in 8 bits for OpenVINO: quantised by NNCF on photographs, layers that would be harmed left in bfloat16.

What keeps the error small, and what each step gave, stands in docs/measured/speed.md.

`quantise` makes a graph, `attach` and `graph_of` carry it in a weight file beside the network's own weights, and
`engine` runs it.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import re
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import torch
from torch import Tensor, nn

from ganvas.errors import UserError, need
from ganvas.inference import backends, calibration
from ganvas.inference.backends import Backend
from ganvas.inference.equalise import equalise
from ganvas.inference.open import Opened
from ganvas.inference.rounding import round_again, weights_of
from ganvas.io.weights import files as weights

GRAPH, CONSTANTS = "openvino_int8_graph", "openvino_int8_constants"
"""Names of the attachments of a weight file."""
TARGET_DB = 40.0
MARGIN_DB = 0.5
"""By how much the target is exceeded on the measured tiles, since other pictures are other pictures."""
LEAST_DB = 25.0
"""A graph that is farther than this from its network, on soft contrasts, belongs to another one."""
ELEMENTWISE = ("Multiply", "Add", "Subtract", "Divide", "Swish", "Sigmoid")
"""Left in bfloat16: in 8 bits they cost more conversions than they save, and a trunk's sum loses its last digits."""
MOST_GROUPS = 12
OPERATIONS = frozenset(
    """
    Parameter Result Const Convolution GroupConvolution ConvolutionBackpropData GroupConvolutionBackpropData Add
    Subtract Multiply Divide Power Sqrt Abs Clamp Convert ConvertLike Concat Split VariadicSplit StridedSlice Slice
    Gather Reshape Transpose Squeeze Unsqueeze ShapeOf Broadcast Tile Pad ReLU PReLU Elu Gelu Swish Sigmoid Tanh
    HSwish HSigmoid SoftPlus Mish Interpolate DepthToSpace SpaceToDepth FakeQuantize MatMul ReduceMean ReduceSum
    MaxPool AvgPool AdaptiveAvgPool MVN BatchNormInference Select Equal Less Greater Range Minimum Maximum Floor Mod
    FloorMod Exp Negative SquaredDifference
    """.split()  # noqa: SIM905 - seventy names
)
"""All that a graph in a weight file may consist of: arithmetic, nothing that reads or runs anything."""


@dataclass(frozen=True)
class Graph:
    """An OpenVINO graph as it stands in a file."""

    structure: bytes
    constants: bytes


@dataclass(frozen=True)
class Quantised:
    """A network in 8 bits, and how it was made."""

    graph: Graph
    psnr: float
    """Against the network in float32, in dB, on tiles that the ranges were not measured on."""
    left: tuple[str, ...]
    """Modules left in higher precision, the most harmed first."""
    layers: tuple[int, int]
    """Convolutions in 8 bits, and all."""


def quantise(
    net: nn.Module,
    tiles: Sequence[Tensor],
    target_db: float = TARGET_DB,
    multiple_of: int = 1,
    say: Callable[[str], object] = str,
) -> Quantised:
    """Return a network in 8 bits that stays within `target_db` of itself on photographs.

    If all of it in 8 bits does not, every group of layers is put into 8 bits alone and its error measured; those that
    do most harm for the time that they save stay in higher precision until the rest together keeps the target.

    Args:
        tiles: of photographs, (1, 3, H, W) of the network's own value range; every third one measures.
        multiple_of: sides of inputs are multiples of this.

    Raises:
        UserError: NNCF or OpenVINO is missing, or the target needs nearly all layers in higher precision.
    """
    need("openvino", "int8")
    nncf = need("nncf", "int8")
    measured, calibrating = tiles[::3], [tile for place, tile in enumerate(tiles) if place % 3] or tiles
    inner, unit = backends.whole_units(net, multiple_of)
    plain = backends.openvino_graph(inner, backends.smooth_probe(backends.PROBE_PX[0], unit), [-1, 3, -1, -1])
    with torch.inference_mode():
        truth = [inner(tile) for tile in measured]
    equalise(plain, calibrating)
    exact = weights_of(plain)
    group_of = grouped(convolutions(plain))
    groups = list(dict.fromkeys(group_of.values()))

    def made(chosen: Collection[str]) -> Any:
        """Return the graph with some groups in 8 bits."""
        scope = nncf.IgnoredScope(
            names=[name for name, group in group_of.items() if group not in chosen], types=list(ELEMENTWISE),
            validate=False,
        )  # fmt: skip
        # By default a range is the mean of the tiles' ranges, which half of them exceed.
        widest = nncf.quantization.range_estimator.RangeEstimatorParametersSet.MINMAX
        # Biases need no correction where kernels keep their sums, and it would take most of the time.
        advanced = nncf.AdvancedQuantizationParameters(
            disable_bias_correction=True, activations_range_estimator_params=widest
        )
        with _silent(nncf):
            graph = nncf.quantize(
                plain.clone(), nncf.Dataset([tile.numpy() for tile in calibrating]), subset_size=len(calibrating),
                preset=nncf.QuantizationPreset.MIXED, ignored_scope=scope, advanced_parameters=advanced,
            )  # fmt: skip
        round_again(graph, exact)
        return graph

    def error(graph: Any, precision: str) -> float:
        run = backends.openvino_run(graph, precision)
        return float(np.mean([float((run(tile) - true).square().mean()) for tile, true in zip(measured, truth)]))

    span = float(max(true.abs().max() for true in truth)) or 1.0
    allowed = span**2 * 10 ** (-(target_db + MARGIN_DB) / 10)

    def tried(left: Sequence[str]) -> Quantised | None:
        """Return the network with all but some groups in 8 bits, if it is near enough."""
        graph = made([group for group in groups if group not in left])
        found = error(graph, "bfloat16")
        say(f"{', '.join(left) or 'nothing'} in bfloat16: {_decibels(found, span):.1f} dB")
        if found > allowed:
            return None
        num_left = sum(group in left for group in group_of.values())
        return Quantised(
            _written(graph), _decibels(found, span), tuple(left), (len(group_of) - num_left, len(group_of))
        )

    whole = tried(())
    if whole:
        return whole
    harm = {}
    for group in groups:
        harm[group] = error(made({group}), "float32")
        say(f"{group}: {_decibels(harm[group], span):.1f} dB alone in 8 bits")
    cost = costs(plain, group_of, calibrating[0].shape)
    worst = sorted(groups, key=lambda group: -harm[group] / cost[group])
    # Errors of different layers are hardly related: their squares add up.
    left = next(count for count in range(len(worst) + 1) if sum(harm[group] for group in worst[count:]) <= allowed)
    for count in range(max(1, left), len(worst)):
        enough = tried(worst[:count])
        if enough:
            return enough
    raise UserError(
        f"8 bits keep no {target_db:g} dB of this network", "Hardly a layer could be in 8 bits", "Lower --least-db"
    )


def costs(graph: Any, group_of: Mapping[str, str], shape: Sequence[int]) -> dict[str, float]:
    """Return the multiplications of every group of convolutions for an input of a shape."""
    fixed = graph.clone()
    fixed.reshape(list(shape))
    found = dict.fromkeys(group_of.values(), 0.0)
    for node in fixed.get_ops():
        if node.get_friendly_name() in group_of:
            kernel, made = node.input(1).get_shape(), node.output(0).get_shape()
            found[group_of[node.get_friendly_name()]] += math.prod(kernel) * math.prod(made[2:])
    return found


def _decibels(error: float, span: float) -> float:
    return 10 * math.log10(span**2 / max(error, 1e-20))


def convolutions(graph: Any) -> list[str]:
    """Return the names of a graph's convolutions, in the order in which they run."""
    return [node.get_friendly_name() for node in graph.get_ordered_ops() if "Convolution" in node.get_type_name()]


def grouped(names: Sequence[str]) -> dict[str, str]:
    """Return the group of each convolution: a layer, or a stretch of blocks of the trunk, few enough to try each."""
    modules: dict[str, str] = {}
    before = ""
    for name in names:
        if name.startswith("__module."):
            path = re.sub(r"^__module\.((net|inner|network)\.)*", "", name).partition("/")[0].split(".")
            before = ".".join(path[:2])
        # A factor that was folded into a convolution leaves it without a name: it belongs where it stands.
        modules[name] = before or name
    distinct = list(dict.fromkeys(modules.values()))
    trunk = [module for module in distinct if re.fullmatch(r".+\.\d+", module)]
    length = max(1, -(-len(trunk) // max(1, MOST_GROUPS - (len(distinct) - len(trunk)))))
    merged = {module: trunk[place - place % length] for place, module in enumerate(trunk)}
    return {name: merged.get(module, module) for name, module in modules.items()}


@contextlib.contextmanager
def _silent(nncf: Any) -> Iterator[None]:
    """Keep NNCF's bars and notices off the terminal."""
    nncf.set_log_level(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()):
        yield


# In files


def convert(
    opened: Opened,
    photographs: Path,
    target: Path,
    least_db: float = TARGET_DB,
    overwrite: bool = False,
    say: Callable[[str], object] = str,
) -> Quantised:
    """Write a weight file that also holds its network in 8 bits, calibrated on a folder of photographs.

    Raises:
        UserError: this is no upscaler, no photograph is there, the target cannot be written or the quality not be kept.
    """
    card = opened.card
    if (card.input, card.channels_in, card.channels_out) != ("picture", 3, 3):
        what = f"{opened} cannot be converted to 8 bits"
        raise UserError(what, f"It takes {card.input} of {card.channels_in} channels", "Name an upscaler")
    if target.suffix != ".safetensors":
        raise UserError(f"{target} has the wrong ending", "The 8-bit graph is kept in a .safetensors file")
    if target.exists() and not overwrite:
        raise UserError(f"{target} exists already", do="Choose another name, or give --overwrite")
    net = opened.network()
    multiple = max(1, card.multiple_of, int(getattr(net, "unshuffle", 1)))
    unit = math.lcm(multiple, int(getattr(net, "unit_px", 1)))
    made = quantise(net, calibration.tiles_of(photographs, unit, card.range), least_db, multiple, say)
    told = {
        "psnr_db": round(made.psnr, 2), "left_higher": list(made.left), "layers": list(made.layers),
        "openvino": need("openvino", "int8").__version__,
    }  # fmt: skip
    card = replace(opened.card, extra={**opened.card.extra, "int8": told})
    attachments = {**opened.attachments, **attach(made.graph)}
    weights.save(target, net.state_dict(), card, attachments, overwrite)
    return made


def _written(graph: Any) -> Graph:
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.xml"
        openvino.save_model(graph, path, compress_to_fp16=False)
        return Graph(path.read_bytes(), path.with_suffix(".bin").read_bytes())


def attach(graph: Graph) -> dict[str, Tensor]:
    """Return a graph as attachments of a weight file."""
    parts = {GRAPH: graph.structure, CONSTANTS: graph.constants}
    return {name: torch.frombuffer(bytearray(part), dtype=torch.uint8) for name, part in parts.items()}


def graph_of(attachments: Mapping[str, Tensor]) -> Graph | None:
    """Return the graph that a weight file holds; None where it holds none."""
    parts = [attachments.get(name) for name in (GRAPH, CONSTANTS)]
    found = [part.numpy().tobytes() for part in parts if part is not None and part.dtype == torch.uint8]
    return Graph(*found) if len(found) == 2 else None


def check(graph: Graph) -> None:
    """Refuse a graph that holds anything but plain arithmetic.

    Raises:
        UserError: it does, or it is damaged.
    """
    what = "The 8-bit graph of this file cannot be used"
    do = "Use --precision float32, or convert the model again"
    if b"<!DOCTYPE" in graph.structure or b"<!ENTITY" in graph.structure:
        raise UserError(what, "It declares entities, which no such graph needs", do)
    try:
        layers = list(ElementTree.fromstring(graph.structure).iter("layer"))
    except ElementTree.ParseError as error:
        raise UserError(what, f"It is damaged: {error}", do) from error
    for layer in layers:
        kind, version = layer.get("type", ""), layer.get("version", "")
        if kind not in OPERATIONS or not re.fullmatch(r"opset\d+", version):
            raise UserError(what, f"It holds the operation {kind!r} of {version!r}", do)
        place = layer.find("data") if kind == "Const" else None
        if place is not None:
            numbers = [place.get(name, "") for name in ("offset", "size")]
            if not all(map(str.isdecimal, numbers)) or sum(map(int, numbers)) > len(graph.constants):
                raise UserError(what, "A constant lies beyond its end", do)
    if not layers:
        raise UserError(what, "It is empty", do)


def engine(
    net: nn.Module, graph: Graph, value_range: tuple[float, float] = (0.0, 1.0), multiple_of: int = 1
) -> Backend:
    """Return the engine that runs a network in 8 bits by OpenVINO.

    Raises:
        UserError: OpenVINO is not installed, or the graph is damaged or not this network's.
    """
    openvino = need("openvino", "openvino")
    check(graph)
    what, do = "The 8-bit graph of this file cannot be used", "Use --precision float32, or convert the model again"
    inner, unit = backends.whole_units(net, multiple_of)
    try:
        run = backends.openvino_run(openvino.Core().read_model(graph.structure, graph.constants), "bfloat16")
        probe = 0.4 + 0.2 * backends.smooth_probe(backends.PROBE_PX[0], unit)
        with torch.inference_mode():
            true, found = inner(probe), run(probe)
    except Exception as error:  # OpenVINO raises RuntimeErrors of many lines
        raise UserError(what, " ".join(str(error).split())[:160], do) from error
    if true.shape != found.shape or not _near(found, true):
        raise UserError(what, "It computes something else than the network beside it", do)
    held = backends.estimate_bytes_per_px(net, torch.bfloat16, multiple_of)
    call = backends.padded_to_units(run, unit) if inner is not net else run
    return Backend(
        "openvino", "int8", torch.device("cpu"), "the file holds it in 8 bits, for OpenVINO", held, call, value_range
    )


def _near(found: Tensor, true: Tensor) -> bool:
    error = float((found - true).square().mean())
    return _decibels(error, float(true.abs().max()) or 1.0) >= LEAST_DB
