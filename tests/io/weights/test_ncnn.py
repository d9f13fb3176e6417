"""ncnn files: a graph written and executed here layer by layer gives the same picture as the network read from it."""

import math
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ganvas import networks
from ganvas.errors import UserError
from ganvas.io.weights import foreign, ncnn
from ganvas.networks.rrdb.net import CompactNet, RRDBNet
from ganvas.networks.span.net import SPAN


class Writer:
    """Writes a network as the converters from ONNX do: fused activations, Split layers, scaled Eltwise sums."""

    def __init__(self, half: bool) -> None:
        self.half, self.lines, self.weights, self.num_blobs = half, ["Input in 0 1 data"], b"", 0

    def add(self, kind: str, inputs: list[str], values: str = "", outputs: int = 1) -> list[str]:
        made = [f"b{self.num_blobs + number}" for number in range(outputs)]
        self.num_blobs += outputs
        blobs = " ".join([*inputs, *made])
        self.lines.append(f"{kind} {kind}_{len(self.lines)} {len(inputs)} {outputs} {blobs} {values}")
        return made

    def convolve(self, source: str, conv: torch.nn.Conv2d, values: str = "") -> str:
        weight, bias = conv.weight.detach().numpy(), conv.bias.detach().numpy()
        raw = weight.astype("<f2" if self.half else "<f4").tobytes()
        self.weights += struct.pack("<I", 0x01306B47 if self.half else 0) + raw + b"\0" * (-len(raw) % 4)
        self.weights += bias.astype("<f4").tobytes()
        side = weight.shape[-1]
        values = f"0={len(bias)} 1={side} 4={side // 2} 5=1 6={weight.size} {values}"
        return self.add("Convolution", [source], values)[0]

    def constant(self, values: list[float]) -> str:
        self.weights += np.array(values, "<f4").tobytes()
        return self.add("MemoryData", [], f"0=1 1=1 2={len(values)}")[0]

    def prelu(self, source: str, slopes: torch.Tensor) -> str:
        self.weights += slopes.detach().numpy().astype("<f4").tobytes()
        return self.add("PReLU", [source], f"0={len(slopes)}")[0]

    def write(self, folder: Path) -> Path:
        self.lines[-1] = self.lines[-1].replace(f" b{self.num_blobs - 1}", " output")
        text = "\n".join(["7767517", f"{len(self.lines)} {self.num_blobs + 1}", *self.lines]) + "\n"
        (folder / "net.param").write_text(text)
        (folder / "net.bin").write_bytes(self.weights)
        return folder / "net.param"


LEAKY = "9=2 -23310=1,2.000000e-01"
RESIDUAL = "0=1 -23301=2,2.000000e-01,1.000000e+00"


def write_rrdbnet(folder: Path, net: RRDBNet, half: bool = False, leaky: str = LEAKY, residual: str = RESIDUAL) -> Path:
    writer = Writer(half)
    first = writer.convolve("data", net.conv_first)
    block_in = first
    for block in net.body:
        dense_in = block_in
        for dense in (block.rdb1, block.rdb2, block.rdb3):
            seen = [dense_in]
            for conv in (dense.conv1, dense.conv2, dense.conv3, dense.conv4):
                joined = writer.add("Concat", seen)[0] if len(seen) > 1 else seen[0]
                seen.append(writer.convolve(joined, conv, leaky))
            last = writer.convolve(writer.add("Concat", seen)[0], dense.conv5)
            dense_in = writer.add("Eltwise", [last, dense_in], residual)[0]
        block_in = writer.add("Eltwise", [dense_in, block_in], residual)[0]
    blob = writer.add("BinaryOp", [first, writer.convolve(block_in, net.conv_body)], "0=0")[0]
    for number in range(1, net.num_doublings + 1):
        blob = writer.add("Interp", [blob], "0=1 1=2.000000e+00 2=2.000000e+00")[0]
        blob = writer.convolve(blob, net.get_submodule(f"conv_up{number}"), leaky)
    writer.convolve(writer.convolve(blob, net.conv_hr, leaky), net.conv_last)
    return writer.write(folder)


def write_compact(folder: Path, net: CompactNet, half: bool = False, tail: str = "", base: str = "") -> Path:
    writer = Writer(half)
    copy, blob = writer.add("Split", ["data"], outputs=2)
    for layer in net.body:
        blob = writer.prelu(blob, layer.weight) if isinstance(layer, torch.nn.PReLU) else writer.convolve(blob, layer)
    blob = writer.add("PixelShuffle", [blob], f"0={net.scale}")[0]
    enlarged = writer.add("Interp", [copy], base or f"0=1 1={net.scale}.0 2={net.scale}.0")[0]
    blob = writer.add("BinaryOp", [blob, enlarged])[0]
    if tail:
        writer.add("Interp", [blob], tail)
    return writer.write(folder)


def write_span(folder: Path, net: SPAN, half: bool = False, gain: float = 255.0, weight: str = "0=1 1=1 2=0.5") -> Path:
    """Write SPAN as the converter does; the network's first kernel is written divided by the gain."""
    writer = Writer(half)
    mean = writer.constant(net.mean.flatten().tolist())
    centred = writer.add("BinaryOp", ["data", mean], "0=1")[0]
    first_conv = torch.nn.Conv2d(3, 4, 3)
    first_conv.weight.data, first_conv.bias.data = net.conv_first.weight.data / gain, net.conv_first.bias.data
    x = first = writer.convolve(writer.add("BinaryOp", [centred], f"0=2 1=1 2={gain:e}")[0], first_conv)
    early = late = first
    for number, block in enumerate(net.blocks):
        late = writer.add("Swish", [writer.convolve(x, block.conv1)])[0]
        features = writer.convolve(writer.add("Swish", [writer.convolve(late, block.conv2)])[0], block.conv3)
        share = writer.add("BinaryOp", writer.add("Sigmoid", [features]), weight)[0]
        x = writer.add("BinaryOp", [writer.add("BinaryOp", [features, x], "0=0")[0], share], "0=2")[0]
        early = x if number == 0 else early
    joined = writer.add("Concat", [first, writer.convolve(x, net.conv_body), early, late])[0]
    blob = writer.convolve(writer.convolve(joined, net.conv_merge), net.conv_last)
    writer.add("PixelShuffle", [blob], f"0={net.scale}")
    return writer.write(folder)


def execute(param: Path, picture: torch.Tensor) -> torch.Tensor:
    """Run a graph blob by blob, straight from the files' text and bytes."""
    blobs, content, place = {"data": picture}, param.with_suffix(".bin").read_bytes(), 0

    def floats(count: int, size: int = 4) -> torch.Tensor:
        nonlocal place
        array = np.frombuffer(content, f"<f{size}", count, place).astype(np.float32)
        place += -(-count * size // 4) * 4
        return torch.from_numpy(array)

    for line in param.read_text().splitlines()[2:]:
        kind, _, num_in, num_out, *words = line.split()
        names, values = (
            words[: int(num_in) + int(num_out)],
            dict(w.split("=") for w in words[int(num_in) + int(num_out) :]),
        )
        inputs = [blobs[name] for name in names[: int(num_in)]]
        if kind == "Input":
            continue
        if kind == "Split":
            out = inputs[0]
        elif kind == "Concat":
            out = torch.cat(inputs, 1)
        elif kind == "Convolution":
            half = content[place : place + 4] == b"\x47\x6b\x30\x01"
            place += 4
            side = int(values["1"])
            weight = floats(int(values["6"]), 2 if half else 4).reshape(int(values["0"]), -1, side, side)
            out = F.conv2d(inputs[0], weight, floats(len(weight)), padding=side // 2)
            out = F.leaky_relu(out, 0.2) if values.get("9") == "2" else out
        elif kind == "PReLU":
            out = F.prelu(inputs[0], floats(int(values["0"])))
        elif kind == "Eltwise":
            first, second = (float(part) for part in values["-23301"].split(",")[1:])
            out = first * inputs[0] + second * inputs[1]
        elif kind == "MemoryData":
            out = floats(int(values["2"])).reshape(1, -1, 1, 1)
        elif kind in ("Swish", "Sigmoid"):
            out = torch.sigmoid(inputs[0]) * (inputs[0] if kind == "Swish" else 1)
        elif kind == "BinaryOp":
            other = float(values["2"]) if values.get("1") == "1" else inputs[1]
            out = {"0": torch.add, "1": torch.sub, "2": torch.mul}[values.get("0", "0")](inputs[0], other)
        elif kind == "PixelShuffle":
            out = F.pixel_shuffle(inputs[0], int(values["0"]))
        else:
            mode = {"1": "nearest", "3": "bicubic"}[values["0"]]
            out = F.interpolate(inputs[0], scale_factor=float(values["1"]), mode=mode)
        blobs |= dict.fromkeys(names[int(num_in) :], out)
    return blobs["output"]


def seeded(network, **settings):
    torch.manual_seed(0)
    net = network(**settings).eval()
    for tensor in net.parameters():
        torch.nn.init.normal_(tensor, std=0.1)
    return net


def run(recognised, picture):
    net = networks.build(recognised.card)
    net.load_state_dict(recognised.tensors)
    return net.eval()(picture)


@torch.inference_mode()
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("blocks, scale", [(1, 4), (2, 2), (1, 8), (1, 1)])
def test_rrdbnet_gives_what_the_graph_gives(tmp_path, half, blocks, scale):
    param = write_rrdbnet(tmp_path, seeded(RRDBNet, width=5, blocks=blocks, growth=3, scale=scale), half)
    for named in (param, param.with_suffix(".bin")):
        recognised = foreign.recognise(named)
        assert recognised.card.settings["blocks"] == blocks
        assert recognised.card.scale == scale
        assert all(tensor.dtype == torch.float32 for tensor in recognised.tensors.values())
        picture = torch.rand(1, 3, 6, 9)
        assert (run(recognised, picture) - execute(param, picture)).abs().max() < 1e-5


@torch.inference_mode()
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("convs, scale", [(0, 2), (3, 4)])
def test_compact_gives_what_the_graph_gives(tmp_path, half, convs, scale):
    param = write_compact(tmp_path, seeded(CompactNet, width=5, convs=convs, scale=scale), half)
    recognised = foreign.recognise(param)
    assert recognised.card.settings["convs"] == convs
    assert recognised.card.scale == scale
    picture = torch.rand(1, 3, 6, 9)
    assert (run(recognised, picture) - execute(param, picture)).abs().max() < 1e-5


@torch.inference_mode()
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("blocks, scale", [(1, 4), (3, 2)])
def test_span_gives_what_the_graph_gives(tmp_path, half, blocks, scale):
    param = write_span(tmp_path, seeded(SPAN, width=4, blocks=blocks, scale=scale, mean=(0.5, 0.25, 0.125)), half)
    recognised = foreign.recognise(param)
    assert (recognised.card.settings["blocks"], recognised.card.scale) == (blocks, scale)
    assert recognised.card.settings["mean"] == (0.5, 0.25, 0.125)
    picture = torch.rand(1, 3, 6, 9)
    wanted = execute(param, picture)
    assert (run(recognised, picture) - wanted).abs().max() < 1e-5 * max(1, wanted.abs().max())


def test_a_resize_behind_the_net_is_told_by_the_card(tmp_path):
    param = write_compact(
        tmp_path, seeded(CompactNet, width=4, convs=1, scale=4), tail="0=3 1=7.500000e-01 2=7.500000e-01"
    )
    card = foreign.recognise(param).card
    assert (card.settings["scale"], card.scale, card.extra["resize_output"]) == (4, 3, 0.75)


def test_the_text_is_parsed_in_both_spellings_of_lists():
    text = (
        "7767517\n2 2\nInput input.1 0 1 data\nEltwise Add_16 2 1 206 193 209 0=1 -23301=2,2.000000e-01,1.000000e+00\n"
    )
    eltwise = ncnn.parse(text)[1]
    assert (eltwise.kind, eltwise.inputs, eltwise.outputs) == ("Eltwise", ("206", "193"), ("209",))
    assert eltwise.values == {0: 1, 1: (0.2, 1.0)}
    newer = ncnn.parse(text.replace("-23301=2,2.000000e-01,1.000000e+00", "1=2.000000e-01,1.000000e+00"))[1]
    assert newer.values == eltwise.values


@pytest.mark.parametrize(
    "text, says",
    [
        ("7767517\n", "damaged"),
        ("7767517\n3 3\nInput in 0 1 data\n", "announces 3 layers and holds 1"),
        ("7767517\n1 1\nInput in zero 1 data\n", "damaged"),
        ("7767517\n1 1\nConcat c 5 1 a b\n", "damaged"),
        ("42\n1 1\nInput in 0 1 data\n", "begins with the line 7767517"),
    ],
)
def test_damaged_graphs_are_clear_errors(text, says):
    with pytest.raises(UserError, match=says):
        ncnn.parse(text)


def test_damaged_weights_are_clear_errors(tmp_path):
    param = write_compact(tmp_path, seeded(CompactNet, width=4, convs=1, scale=2))
    path = param.with_suffix(".bin")
    whole = path.read_bytes()
    cases = {
        "too short": whole[:-4],
        "4 bytes are left": whole + bytes(4),
        "int8": struct.pack("<I", 0x000D4B38) + whole[4:],
        "a way that Ganvas does not read": struct.pack("<I", 7) + whole[4:],
    }
    for says, content in cases.items():
        path.write_bytes(content)
        with pytest.raises(UserError, match=says):
            foreign.recognise(param)
    path.unlink()
    with pytest.raises(UserError, match=r"net\.bin is not beside it"):
        foreign.recognise(param)
    path.write_bytes(b"\x01" + whole)
    param.unlink()
    with pytest.raises(UserError, match=r"net\.param beside"):
        foreign.recognise(path)


def test_graphs_that_only_resemble_are_refused(tmp_path):
    net = seeded(RRDBNet, width=4, blocks=1, growth=2, scale=2)
    compact = seeded(CompactNet, width=4, convs=1, scale=2)
    span = seeded(SPAN, width=4, blocks=1, scale=2)
    for write, says in [
        (lambda: write_span(tmp_path, span, weight="0=1 1=1 2=0.4"), "joined in another way"),
        (lambda: write_span(tmp_path, span, weight="0=0 1=1 2=0.5"), "joined in another way"),
        (lambda: write_rrdbnet(tmp_path, net, leaky="9=2 -23310=1,0.1"), "0 activations are leaky by 0.2"),
        (lambda: write_rrdbnet(tmp_path, net, leaky="9=1"), "0 activations are leaky"),
        (lambda: write_rrdbnet(tmp_path, net, residual=RESIDUAL.replace("2.0", "1.0")), "0 residuals are scaled"),
        (lambda: write_compact(tmp_path, compact, base="0=2 1=2.0 2=2.0"), "not a nearest-neighbour one"),
        (lambda: write_compact(tmp_path, compact, tail="0=2 1=0.5 2=0.5"), "unknown resize"),
    ]:
        with pytest.raises(UserError, match=says):
            foreign.recognise(write())


def test_other_layers_are_refused_by_name(tmp_path):
    param = write_compact(tmp_path, seeded(CompactNet, width=4, convs=1, scale=2))
    param.write_text(param.read_text().replace("PixelShuffle Pix", "Softmax Pix"))
    with pytest.raises(UserError, match="a layer Softmax"):
        foreign.recognise(param)


def test_activations_as_layers_of_their_own_are_understood(tmp_path):
    # What the converter writes before ncnnoptimize fuses them.
    param = write_rrdbnet(tmp_path, seeded(RRDBNet, width=4, blocks=1, growth=2, scale=1), leaky="")
    lines = param.read_text().splitlines()
    convolutions = [i for i, line in enumerate(lines) if line.startswith("Convolution")]
    plain = {0, 5, 10, 15, 16, 18}  # the first, each dense block's fifth, the body's and the last
    for number in reversed([i for i in range(len(convolutions)) if i not in plain]):
        index = convolutions[number]
        words = lines[index].split()
        lines.insert(index + 1, f"ReLU relu_{number} 1 1 {words[5]}_raw {words[5]} 0=0.2")
        lines[index] = " ".join([*words[:5], words[5] + "_raw", *words[6:]])
    lines[1] = f"{len(lines) - 2} 999"
    param.write_text("\n".join(lines) + "\n")
    recognised = foreign.recognise(param)
    assert recognised.card.settings["blocks"] == 1
    assert math.prod(recognised.tensors["conv_last.weight"].shape) == 3 * 4 * 9
