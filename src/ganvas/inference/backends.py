"""The engines that run a network, behind one call: (B, 3, h, w) -> (B, 3, H, W), float32 in [0, 1] in and out.

torch in float32, bfloat16 or float16; OpenVINO in float32 or bfloat16; ONNX Runtime in float32. A backend that does not
compute what torch computes is refused when it is made, not discovered in the picture.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas import device as devices
from ganvas.errors import UserError, did_you_mean, need
from ganvas.networks.blocks import pad_to_multiple

BACKENDS = ("torch", "openvino", "onnx")
PACKAGES = {"openvino": ("openvino",), "onnx": ("onnxruntime", "onnxscript")}
Precision = Literal["auto", "float32", "bfloat16", "float16"]

PROBE_PX = (24, 40), (48, 32)
"""Sizes on which a backend is compared with torch: two, because a size may have been frozen into a converted graph."""

LARGEST_ERROR = {"float32": 1e-3, "bfloat16": 0.03, "float16": 0.03}
"""Largest difference from float32 torch that passes, relative to the largest value: of any value in float32, and in the
root mean square otherwise: deep networks in half precision put single values far off."""


FIXED_FROM_PX = 2**17
"""From here on a tile runs in a graph of its size, which takes OpenVINO a tenth of a second to make for a small network
and a second for RRDBNet, and saves a tenth of the time."""
SIZES_AT_ONCE = 2
"""A picture has tiles of two sizes: those of its last row are lower."""


@dataclass
class Backend:
    """A network ready to run: call it."""

    name: str
    precision: str
    device: torch.device
    why: str
    """Why this precision was chosen."""
    bytes_per_px: float
    """Estimate of the memory held at the peak, per input pixel."""
    call: Callable[[Tensor], Tensor]
    value_range: tuple[float, float] = (0.0, 1.0)

    def __call__(self, picture: Tensor) -> Tensor:
        """Run the network: (B, 3, h, w) -> (B, 3, H, W), float32 in [0, 1] in and (unclamped) out."""
        low, high = self.value_range
        if (low, high) == (0.0, 1.0):
            return self.call(picture)
        return (self.call(picture * (high - low) + low) - low) / (high - low)

    def __str__(self) -> str:
        return f"{self.name} on {self.device} in {self.precision}: {self.why}"


def pick_backend(
    net: nn.Module,
    precision: str = "auto",
    device: str | torch.device = "auto",
    backend: str = "torch",
    value_range: tuple[float, float] = (0.0, 1.0),
    multiple_of: int = 1,
) -> Backend:
    """Return the engine for a network; `str()` of it says what was chosen and why. The network itself is not changed.

    Args:
        precision: `auto` takes what is fastest on this machine without visible loss.
        backend: `torch`, `openvino` or `onnx`.
        value_range: of the values that the network itself takes and gives.
        multiple_of: sides of every input will be multiples of this.

    Raises:
        UserError: an unknown name, an engine that cannot do it here, or one that computes something else than torch.
    """
    if backend not in BACKENDS:
        raise UserError(f"There is no backend {backend!r}", do=did_you_mean(backend, ("auto", *BACKENDS)))
    place = device if isinstance(device, torch.device) else devices.pick("cpu" if backend != "torch" else device)
    if backend != "torch" and (place.type != "cpu" or (isinstance(device, str) and device not in ("auto", "cpu"))):
        raise UserError(f"The backend {backend} runs on the CPU only here", do="Use --device cpu or --backend torch")
    chosen, why = _choose_precision(precision, place, backend)
    if net.training:
        net = copy.deepcopy(net).eval()
    if backend == "torch":
        call, chosen, why = _torch(net, place, chosen, why)
    else:
        for package in PACKAGES[backend]:
            need(package, backend)
        try:
            call = _convert(net, backend, chosen, multiple_of)
        except Exception as error:  # converters raise errors of many kinds, some of them hundreds of lines long
            why = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
            raise UserError(f"{backend} cannot run this network", why, "Use --backend torch") from error
        _check_parity(net, call, backend, chosen, multiple_of)
    held = estimate_bytes_per_px(net, torch.float32 if chosen == "float32" else torch.bfloat16, multiple_of)
    return Backend(backend, chosen, place, why, held, call, value_range)


def _choose_precision(precision: str, device: torch.device, backend: str) -> tuple[str, str]:
    if precision != "auto":
        devices.pick_precision(precision, device)
        able = {"openvino": ("float32", "bfloat16"), "onnx": ("float32",)}.get(backend, tuple(devices.PRECISIONS))
        if precision not in able:
            raise UserError(f"The backend {backend} does not compute in {precision}", do=f"Use {' or '.join(able)}")
        return precision, "asked for"
    if backend == "onnx":
        return "float32", "the only precision of this backend"
    if devices.has_fast_bfloat16(device):
        return "bfloat16", "this machine computes it about twice as fast as float32"
    if backend == "torch" and device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= 7:
        return "float16", "this GPU computes it faster than float32"
    return "float32", "this machine has no faster precision"


def _torch(
    net: nn.Module, device: torch.device, precision: str, why: str
) -> tuple[Callable[[Tensor], Tensor], str, str]:
    if precision == "float16":
        half = _Half(net, device)
        if half.failed:
            return half, "float32", "float16 gave values that are no numbers here"
        return half, precision, why
    return _torch_call(net, device, devices.PRECISIONS[precision]), precision, why


def _torch_call(net: nn.Module, device: torch.device, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    # channels_last spares a reorder around every convolution: 1.15 times as fast in float32, more in bfloat16.
    given = torch.float32 if getattr(net, "passes_input_on", False) else dtype
    net = copy.deepcopy(net).requires_grad_(False).to(device, dtype)
    net = net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - missing in torch's stubs

    @torch.inference_mode()
    def call(picture: Tensor) -> Tensor:
        seen = picture.to(device, given).contiguous(memory_format=torch.channels_last)
        return net(seen).to(picture.device, torch.float32)

    return call


class _Half:
    """float16 for as long as it gives numbers: networks were not trained in it, and some overflow."""

    def __init__(self, net: nn.Module, device: torch.device) -> None:
        self.net, self.device = net, device
        self.call = _torch_call(net, device, torch.float16)
        self.failed = False
        random = torch.Generator().manual_seed(0)
        for probe in (torch.rand(1, 3, 48, 48, generator=random), torch.zeros(1, 3, 48, 48), torch.ones(1, 3, 48, 48)):
            self(probe)

    def __call__(self, picture: Tensor) -> Tensor:
        result = self.call(picture)
        if self.failed or bool(torch.isfinite(result).all()) or not bool(torch.isfinite(picture).all()):
            return result
        self.failed = True
        self.call = _torch_call(self.net, self.device, torch.float32)
        return self.call(picture)


class Unpadded(nn.Module):
    """The part of a network that takes whole units: how far a picture is extended cannot stand in a fixed graph."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, low: Tensor) -> Tensor:
        return self.net.enlarge(low)  # pyright: ignore[reportCallIssue]


def whole_units(net: nn.Module, multiple_of: int) -> tuple[nn.Module, int]:
    """Return what of a network a fixed graph can hold, and of what the sides of its input must be multiples."""
    unit = int(getattr(net, "unit_px", 1))
    return (net, multiple_of) if unit == 1 else (Unpadded(net), math.lcm(unit, multiple_of))


def padded_to_units(run: Callable[[Tensor], Tensor], unit: int) -> Callable[[Tensor], Tensor]:
    """Return a network of whole units as one that takes any size."""

    def call(picture: Tensor) -> Tensor:
        padded = pad_to_multiple(picture, unit)
        high = run(padded)
        scale = high.shape[-1] // padded.shape[-1]
        return high[..., : picture.shape[-2] * scale, : picture.shape[-1] * scale]

    return call


def _convert(net: nn.Module, backend: str, precision: str, multiple_of: int) -> Callable[[Tensor], Tensor]:
    inner, sides = whole_units(net, multiple_of)
    run = _openvino(inner, precision, sides) if backend == "openvino" else _onnx(inner, sides)
    return run if inner is net else padded_to_units(run, int(getattr(net, "unit_px", 1)))


def _openvino(net: nn.Module, precision: str, multiple_of: int) -> Callable[[Tensor], Tensor]:
    return openvino_run(openvino_graph(net, smooth_probe(PROBE_PX[0], multiple_of), [-1, 3, -1, -1]), precision)


def openvino_run(graph: Any, precision: str) -> Callable[[Tensor], Tensor]:
    """Return what runs an OpenVINO graph: one tensor in, one out.

    Large tiles run in a graph of their one size: only in such a one OpenVINO merges sums, products and activations.
    Which graph runs depends on the size alone, so that a picture's bits never depend on what ran before it.
    """
    import openvino

    hint = {"float32": "f32", "bfloat16": "bf16"}[precision]
    options = {
        "INFERENCE_PRECISION_HINT": hint,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    free = openvino.compile_model(graph, "CPU", options)
    newest = [free]

    @functools.lru_cache(SIZES_AT_ONCE)
    def of_size(shape: tuple[int, ...]) -> Any:
        fixed = graph.clone()
        fixed.reshape(list(shape))
        return openvino.compile_model(fixed, "CPU", options)

    def call(picture: Tensor) -> Tensor:
        compiled = of_size(tuple(picture.shape)) if math.prod(picture.shape[-2:]) >= FIXED_FROM_PX else free
        if compiled is not newest[0]:
            newest[0].release_memory()
            newest[0] = compiled
        # The array belongs to the request and is overwritten by the next call.
        return torch.from_numpy(np.array(compiled(picture.contiguous().numpy(), share_outputs=True)[0]))

    return call


def _onnx(net: nn.Module, multiple_of: int) -> Callable[[Tensor], Tensor]:
    import onnxruntime as runtime

    program = onnx_program(net, smooth_probe(PROBE_PX[0], multiple_of), free=(0, 2, 3))
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = runtime.InferenceSession(
        program.model_proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name

    def call(picture: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {name: picture.contiguous().numpy()})[0])

    return call


def openvino_graph(net: nn.Module, example: Tensor, shape: Sequence[int]) -> Any:
    """Return a network as an OpenVINO graph; -1 in the `shape` of its input is any size."""
    import openvino

    with _quiet(), torch.inference_mode():
        return openvino.convert_model(net, example_input=example, input=[openvino.PartialShape(list(shape))])


def onnx_program(net: nn.Module, example: Tensor, free: Sequence[int]) -> Any:
    """Return a network as an ONNX program whose input is of any size along the `free` axes."""
    dynamic = (dict.fromkeys(free, torch.export.Dim.DYNAMIC),) if free else None
    with _quiet(), torch.no_grad():
        # A batch of one would be taken for a constant.
        several = example.expand(2, *([-1] * (example.dim() - 1))).contiguous() if free else example
        program = torch.onnx.export(net, (several,), dynamo=True, dynamic_shapes=dynamic, verbose=False)
    assert program is not None
    return program


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what converters say of graphs that the parity check looks at anyway."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def smooth_probe(size: tuple[int, int], multiple_of: int) -> Tensor:
    """Return a smooth random picture: on white noise, which no photograph is, a network's rounding errors explode."""
    height, width = (-(-side // multiple_of) * multiple_of for side in size)
    coarse = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    return F.interpolate(coarse, size=(height, width), mode="bilinear")


@torch.inference_mode()
def _check_parity(
    net: nn.Module, call: Callable[[Tensor], Tensor], backend: str, precision: str, multiple_of: int
) -> None:
    for size in PROBE_PX:
        probe = smooth_probe(size, multiple_of)
        expected = net(probe)
        found = call(probe)
        largest = float(expected.abs().max())
        error = float("inf")
        if found.shape == expected.shape:
            off = (found - expected).abs()
            error = float(off.max() if precision == "float32" else off.square().mean().sqrt())
        if not error <= LARGEST_ERROR[precision] * largest:
            raise UserError(
                f"{backend} computes something else than torch",
                f"At {size[1]}x{size[0]} px they differ by {error:.3g} where the largest value is {largest:.3g}",
                "Use --backend torch",
            )


@torch.inference_mode()
def estimate_bytes_per_px(net: nn.Module, dtype: torch.dtype, multiple_of: int = 1) -> float:
    """Estimate the memory that a network holds at its peak, per input pixel, from what its layers take and give.

    It is the largest sum of a layer's input and output, and half as much again for what is kept meanwhile (skips,
    activations, workspaces): for RRDBNet 12 KB in float32 where 10 KB were measured.
    """
    side = -(-16 // multiple_of) * multiple_of
    values = [0]

    def note(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        values.append(sum(x.numel() for x in (*inputs, output) if isinstance(x, Tensor)))

    layers = [module for module in net.modules() if next(module.children(), None) is None]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    try:
        home = next((parameter.device for parameter in net.parameters()), torch.device("cpu"))
        result = net(smooth_probe((side, side), 1).to(home))
    finally:
        for hook in hooks:
            hook.remove()
    # The result itself is held as float32 beside the network's own.
    held = 1.5 * max(values) * dtype.itemsize + 2 * result.numel() * 4
    return held / side**2
