"""Networks for other engines: one tensor in, one out, value ranges inside, compared with torch before they are kept.

picture   (B, 3, H, W) in [0, 1] -> (B, 3, scale H, scale W) in [0, 1]
labels    (B, N, H, W), the planes of the condition -> (B, 3, H, W) in [0, 1]
seeds     (B, L), noise, with classes (B, L + classes), their weights behind it -> (B, 3, S, S) in [0, 1]
camera    (B, 13), a matrix by rows and a focal length -> (B, 3, S, S) in [0, 1]
"""

from __future__ import annotations

import copy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ganvas.errors import UserError, need
from ganvas.inference.backends import Unpadded, onnx_program, openvino_graph
from ganvas.inference.open import Opened
from ganvas.inference.result import Progress, Reports
from ganvas.values import to_range, to_unit

Format = Literal["onnx", "torchscript", "openvino", "coreml-ready-onnx", "ncnn"]
ENDINGS: dict[str, str] = {
    "onnx": ".onnx", "torchscript": ".pt", "openvino": ".xml", "coreml-ready-onnx": ".onnx", "ncnn": ".param",
}  # fmt: skip
LARGEST_ERROR = {"onnx": 1e-3, "torchscript": 1e-4, "openvino": 1e-3, "coreml-ready-onnx": 1e-3, "ncnn": 1e-2}
"""Largest difference from torch that passes, of values in [0, 1]; ncnn computes in fewer bits where it may."""
STEPS = 4
"""Of an export: the network, the file, two comparisons."""
KINDS = ("picture", "labels", "seeds", "camera")
COREML_SIDE_PX = 256
"""Side of the pictures that a file for Core ML takes, whose shapes are fixed."""
COREML_OPERATIONS = frozenset(
    """
    Add AveragePool BatchNormalization Cast Clip Concat Conv ConvTranspose DepthToSpace Div Erf Exp Gemm
    GlobalAveragePool GlobalMaxPool GridSample GroupNormalization Identity InstanceNormalization LayerNormalization
    LeakyRelu MatMul Max MaxPool Mul Pad Pow PRelu Reciprocal ReduceMean ReduceSum Relu Reshape Resize Round Shape
    Sigmoid Slice Softmax Softplus Split Sqrt Squeeze Sub Tanh Transpose Unsqueeze
    """.split()  # noqa: SIM905
)
"""What ONNX Runtime's Core ML provider runs on the device as an ML program, as its documentation lists it."""


@dataclass(frozen=True)
class Exported:
    """What was written, and how far it is from torch."""

    files: tuple[Path, ...]
    error: float
    """Largest difference over the sizes that were tried."""
    sizes: tuple[tuple[int, ...], ...]
    """Shapes of the inputs that were tried."""
    note: str = ""


class Portable(nn.Module):
    """A generator with one tensor in and pictures in [0, 1] out."""

    def __init__(self, network: nn.Module, opened: Opened) -> None:
        super().__init__()
        card = opened.card
        self.network = network
        self.inner = Unpadded(network) if int(getattr(network, "unit_px", 1)) > 1 else network
        self.takes, self.span = card.input, card.range
        self.classes = int(card.settings.get("num_classes", 0)) if card.input == "seeds" else 0
        self.has_bank = bool(card.settings.get("statistics", 0))

    def forward(self, given: Tensor) -> Tensor:
        if self.takes == "picture":
            made = self.inner(to_range(given, self.span))
        elif self.takes == "camera":
            made = self.inner(given[:, :, None, None])
        elif self.takes == "seeds":
            length = given.shape[1] - self.classes
            parts = (given[:, :length], given[:, length:]) if self.classes else (given,)
            made = self.inner(*parts, 1.0) if self.has_bank else self.inner(*parts)
        else:
            made = self.inner(given)
        return to_unit(made, self.span).clamp(0, 1)


def export(
    opened: Opened, target: Path, to: Format, overwrite: bool = False, progress: Reports | None = None
) -> Exported:
    """Write a model for another engine, read it there and compare it with torch at two sizes.

    Progress is told in steps: the network, the file, the comparison at each size.

    Raises:
        UserError: the format cannot hold this network, the engine computes something else, or the name is taken.
    """
    if to not in get_args(Format):
        raise UserError(f"There is no format {to!r}", do=f"Known: {', '.join(get_args(Format))}")
    target = target if target.suffix == ENDINGS[to] else target.with_name(target.name + ENDINGS[to])
    files = [target] + [target.with_suffix(".bin")] * (to in ("openvino", "ncnn"))
    taken = next((path for path in files if path.exists()), None)
    if taken and not overwrite:
        raise UserError(
            f"{taken} exists already", "Nothing is overwritten unasked", "Choose another name, or --overwrite"
        )
    if not target.parent.is_dir():
        raise UserError(f"{target} cannot be written", f"The folder {target.parent} does not exist")
    if opened.takes not in KINDS:
        why = f"It takes a {opened.takes}: several tensors in and out, and a memory from frame to frame"
        raise UserError(f"{opened.name} cannot be exported", why, "Use it with `ganvas generate`")
    if to == "ncnn" and opened.takes != "picture":
        raise UserError(
            f"{opened.name} cannot be exported to ncnn", "Only upscalers were tried there", "Use --format onnx"
        )
    report = Progress() if progress is None else progress
    report(0, STEPS)
    whole = portable(opened)
    report(1, STEPS)
    unit = _unit_of(opened, whole)
    tried = probes(opened, unit) if to != "coreml-ready-onnx" else _fixed(probes(opened, unit), unit)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-") as folder:
        made = Path(folder) / target.name
        run = WRITERS[to](whole, tried, made)
        report(2, STEPS)
        error = _compare(whole, run, tried, to, lambda done, _: report(2 + done, STEPS))
        for path in files:
            made.with_suffix(path.suffix).replace(path)
    if to == "coreml-ready-onnx":
        note = f"Its input is always {list(tried[0].shape)}; it was run by ONNX Runtime, not on an Apple device"
        return Exported(tuple(files), error, tuple(tuple(probe.shape) for probe in tried), note)
    note = "" if unit == 1 or opened.takes != "picture" else f"Sides of its input must be multiples of {unit} px"
    return Exported(tuple(files), error, tuple(tuple(probe.shape) for probe in tried), note)


def portable(opened: Opened) -> Portable:
    """Return a model's generator with one tensor in and one out, its weights as numbers."""
    network = copy.deepcopy(opened.network()).eval().requires_grad_(False)
    for module in network.modules():
        if parametrize.is_parametrized(module):
            # A spectral norm is for training: here it is the same quotient each time. torch's own removal would change
            # the class, which the copy shares with its original.
            names = list(module.parametrizations)  # pyright: ignore[reportArgumentType, reportCallIssue]
            values = {name: getattr(module, name).detach().clone() for name in names}
            kind = parametrize.type_before_parametrizations(module)
            del module.parametrizations
            module.__class__ = kind
            for name, value in values.items():
                module.register_buffer(name, value)
    return Portable(network, opened).eval().requires_grad_(False)


def _unit_of(opened: Opened, whole: Portable) -> int:
    """Return of how many pixels the sides of an input must be multiples."""
    return max(int(getattr(whole.network, "unit_px", 1)), opened.card.multiple_of, 1)


def probes(opened: Opened, unit: int = 1) -> list[Tensor]:
    """Return inputs of two sizes: what was frozen into a graph shows at the second."""
    unit = max(unit, opened.card.multiple_of)
    random = torch.Generator().manual_seed(0)
    card = opened.card
    if opened.takes == "camera":
        cameras = torch.tensor(card.extra.get("cameras") or [card.settings.get("mean") or [0.0] * 13]).float()
        return [cameras[:1], cameras[:2] if len(cameras) > 1 else cameras.expand(2, -1)]
    if opened.takes == "seeds":
        classes = int(card.settings.get("num_classes", 0))
        length = int(card.settings.get("latent", card.channels_in))
        rows = []
        for count in (1, 3):
            noise = torch.randn(count, length, generator=random)
            rows.append(torch.cat([noise, torch.eye(classes)[torch.arange(count) % classes]], 1) if classes else noise)
        return rows
    sides = [tuple(-(-side // unit) * unit for side in size) for size in ((24, 40), (48, 32))]
    shapes = [(1, card.channels_in, *size) for size in sides]
    coarse = [torch.rand(*shape[:2], 6, 6, generator=random) for shape in shapes]
    return [nn.functional.interpolate(low, size=shape[2:], mode="bilinear") for low, shape in zip(coarse, shapes)]


def _fixed(tried: Sequence[Tensor], unit: int) -> list[Tensor]:
    """Return two inputs of one size, for a format whose sizes are fixed."""
    if tried[0].dim() != 4:
        return [tried[0], tried[-1][-1:]]
    side = -(-COREML_SIDE_PX // unit) * unit
    return [nn.functional.interpolate(probe, size=(side, side), mode="bilinear") for probe in tried]


def _compare(
    portable: Portable, run: Callable[[Tensor], Tensor], probes: Sequence[Tensor], to: str, progress: Reports
) -> float:
    worst = 0.0
    for number, probe in enumerate(probes):
        with torch.inference_mode():
            expected = portable(probe)
        found = run(probe)
        if found.shape != expected.shape:
            why = f"Of an input {list(probe.shape)} it makes {list(found.shape)}, torch {list(expected.shape)}"
            raise UserError(f"{to} computes something else than torch", why, "Use another format")
        worst = max(worst, float((found - expected).abs().max()))
        progress(number + 1, len(probes))
    if not worst <= LARGEST_ERROR[to]:
        raise UserError(f"{to} computes something else than torch", f"Values in [0, 1] differ by {worst:.2g}")
    return worst


def _failed(to: str, error: Exception) -> UserError:
    why = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return UserError(f"{to} cannot hold this network", why, "Use another format")


def _write_onnx(portable: Portable, probes: Sequence[Tensor], path: Path) -> Callable[[Tensor], Tensor]:
    return _onnx(portable, probes, path, free=(0, 2, 3) if probes[0].dim() == 4 else (0,))


def _write_coreml(portable: Portable, probes: Sequence[Tensor], path: Path) -> Callable[[Tensor], Tensor]:
    """Write ONNX of fixed shapes that consists of what Core ML runs itself, or say what does not."""
    run = _onnx(portable, probes, path, free=())
    import onnx

    graph = onnx.load(str(path)).graph
    known = {tensor.name for tensor in graph.initializer}
    foreign = sorted(
        {node.op_type for node in graph.node if node.op_type not in COREML_OPERATIONS and not known >= set(node.input)}
    )
    if foreign:
        why = f"Its provider in ONNX Runtime does not run {', '.join(foreign)}"
        raise UserError("Core ML cannot hold this network", why, "Use --format onnx, which runs on the processor")
    return run


def _onnx(portable: Portable, probes: Sequence[Tensor], path: Path, free: Sequence[int]) -> Callable[[Tensor], Tensor]:
    for package in ("onnxruntime", "onnxscript"):
        need(package, "onnx")
    import onnxruntime as runtime

    try:
        program = onnx_program(portable, probes[0], free)
        path.write_bytes(program.model_proto.SerializeToString())
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # converters raise errors of many kinds
        raise _failed("onnx", error) from error
    name = session.get_inputs()[0].name
    return lambda given: torch.from_numpy(session.run(None, {name: given.contiguous().numpy()})[0])


def _trace(portable: Portable, probe: Tensor) -> torch.jit.ScriptModule:
    traced = torch.jit.trace(portable, probe, check_trace=False)
    assert isinstance(traced, torch.jit.ScriptModule)
    return traced


def _write_torchscript(portable: Portable, probes: Sequence[Tensor], path: Path) -> Callable[[Tensor], Tensor]:
    try:
        with torch.inference_mode():
            _trace(portable, probes[0]).save(str(path))
        read = torch.jit.load(str(path))
    except Exception as error:
        raise _failed("torchscript", error) from error
    return lambda given: read(given).detach()


def _write_openvino(portable: Portable, probes: Sequence[Tensor], path: Path) -> Callable[[Tensor], Tensor]:
    openvino = need("openvino", "openvino")
    shape = [-1, probes[0].shape[1], -1, -1] if probes[0].dim() == 4 else [-1, probes[0].shape[1]]
    try:
        openvino.save_model(openvino_graph(portable, probes[0], shape), path, compress_to_fp16=False)
        compiled = openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    except Exception as error:
        raise _failed("openvino", error) from error
    return lambda given: torch.from_numpy(np.array(compiled(given.contiguous().numpy())[0]))


def _write_ncnn(portable: Portable, probes: Sequence[Tensor], path: Path) -> Callable[[Tensor], Tensor]:
    """Write `.param` and `.bin` by pnnx, whose program reads a TorchScript file."""
    need("pnnx", "ncnn")
    ncnn = need("ncnn", "ncnn")
    program = shutil.which("pnnx") or str(Path(sys.executable).with_name("pnnx"))
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        script = Path(folder) / "net.pt"
        _trace(portable, probes[0]).save(str(script))
        shapes = [f"inputshape{number}=[{','.join(map(str, probe.shape))}]" for number, probe in zip(("", "2"), probes)]
        names = [f"ncnnparam={folder}/net.param", f"ncnnbin={folder}/net.bin", "fp16=0"]
        done = subprocess.run([program, str(script), *shapes, *names], cwd=folder, capture_output=True, text=True)
        if done.returncode or not (Path(folder) / "net.param").is_file():
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise UserError("ncnn cannot hold this network", " ".join(last)[:200], "Use another format")
        shutil.copyfile(Path(folder) / "net.param", path)
        shutil.copyfile(Path(folder) / "net.bin", path.with_suffix(".bin"))
    net = ncnn.Net()
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    # What pnnx found no layer for keeps torch's name, and ncnn's reader would print that on its own.
    unknown = sorted(
        {word for line in path.read_text().splitlines() if "." in (word := line.split(" ")[0]) or ":" in word}
    )
    if unknown or net.load_param(str(path)) or net.load_model(str(path.with_suffix(".bin"))):
        why = f"It has no layer for {', '.join(unknown)}" if unknown else "Its reader refuses what pnnx wrote"
        raise UserError("ncnn cannot hold this network", why, "Use another format")

    def run(given: Tensor) -> Tensor:
        pictures = []
        for picture in given:
            # The array must live as long as ncnn reads it: its Mat copies nothing.
            array = np.ascontiguousarray(picture.numpy())
            extractor = net.create_extractor()
            extractor.input(net.input_names()[0], ncnn.Mat(array))
            code, made = extractor.extract(net.output_names()[0])
            if code:
                raise UserError("ncnn cannot run this network", f"It ended with code {code}", "Use another format")
            pictures.append(torch.from_numpy(np.array(made)))
        return torch.stack(pictures)

    return run


WRITERS: dict[str, Callable[[Portable, Sequence[Tensor], Path], Callable[[Tensor], Tensor]]] = {
    "onnx": _write_onnx, "torchscript": _write_torchscript, "openvino": _write_openvino,
    "coreml-ready-onnx": _write_coreml, "ncnn": _write_ncnn,
}  # fmt: skip
