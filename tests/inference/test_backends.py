"""Every engine computes what the network computes, says what it chose, and fails loud when it does not."""

import copy
import importlib.util

import pytest
import torch
from torch import nn

from ganvas import device as devices
from ganvas.errors import UserError
from ganvas.inference import backends
from ganvas.inference.backends import estimate_bytes_per_px, pick_backend
from ganvas.inference.open import BUNDLED, load
from ganvas.io.weights.files import read_card
from ganvas.networks import build
from ganvas.networks.rrdb.net import CompactNet, RRDBNet
from ganvas.protocol import Card

has_openvino = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="needs the extra openvino")
has_onnx = pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason="needs the extra onnx")


@pytest.fixture
def net():
    torch.manual_seed(0)
    return CompactNet(width=12, convs=3, scale=2).eval()


@pytest.fixture
def picture():
    return torch.rand(2, 3, 31, 45, generator=torch.Generator().manual_seed(1))


def reference(net, picture):
    with torch.inference_mode():
        return net.double()(picture.double()).float()


def psnr(a, b):
    return -10 * torch.log10((a - b).square().mean())


def test_float32_equals_the_network_and_leaves_it_alone(net, picture):
    before = copy.deepcopy(net.state_dict())
    result = pick_backend(net, "float32", "cpu")(picture)
    assert result.dtype == torch.float32
    assert all(torch.equal(net.state_dict()[key], before[key]) for key in before)
    assert net.body[0].weight.requires_grad
    torch.testing.assert_close(result, reference(net, picture), rtol=1e-5, atol=1e-5)


def test_bfloat16_is_close_and_returns_float32_and_leaves_the_network_in_float32(net, picture):
    result = pick_backend(net, "bfloat16", "cpu")(picture)
    assert result.dtype == torch.float32
    assert net.body[0].weight.dtype == torch.float32
    assert 40 < psnr(result, reference(net, picture)) < 90


def test_auto_takes_bfloat16_where_the_processor_has_it_and_says_so(net, monkeypatch):
    for fast, precision in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(devices, "has_fast_bfloat16", lambda device, fast=fast: fast)
        backend = pick_backend(net, device="cpu")
        assert backend.precision == precision
        assert f"torch on cpu in {precision}" in str(backend)
        assert backend.why


def test_float16_works_and_falls_back_to_float32_when_it_overflows(net, picture):
    fine = pick_backend(net, "float16", "cpu")
    assert fine.precision == "float16"
    assert psnr(fine(picture), reference(net, picture)) > 50
    loud = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 3, 1))
    for conv, size in ((loud[0], 1e5), (loud[1], 1e-5)):
        nn.init.constant_(conv.weight, size)
        nn.init.zeros_(conv.bias)
    backend = pick_backend(loud, "float16", "cpu")
    assert backend.precision == "float32"
    assert "no numbers" in backend.why
    torch.testing.assert_close(backend(picture), reference(loud, picture))


def test_float16_that_overflows_only_on_some_picture_is_redone_in_float32():
    net = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.Conv2d(3, 3, 1, bias=False))
    with torch.no_grad():
        net[0].weight.copy_(torch.eye(3)[:, :, None, None] * 1e4)
        net[1].weight.copy_(torch.eye(3)[:, :, None, None] * 1e-4)
    backend = pick_backend(net, "float16", "cpu")
    assert backend.precision == "float16"
    bright = torch.full((1, 3, 4, 4), 20.0)
    torch.testing.assert_close(backend(bright), bright)


def test_the_value_range_of_the_network_is_hidden(picture):
    class Squares(nn.Module):
        def forward(self, x):
            return x.square()

    backend = pick_backend(Squares(), "float32", "cpu", value_range=(-1.0, 1.0))
    torch.testing.assert_close(backend(picture), ((2 * picture - 1) ** 2 + 1) / 2)


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        pytest.param("openvino", "float32", marks=has_openvino),
        pytest.param("openvino", "bfloat16", marks=has_openvino),
        pytest.param("onnx", "float32", marks=has_onnx),
    ],
)
def test_other_engines_equal_torch_at_any_size(net, picture, name, precision):
    backend = pick_backend(net, precision, "cpu", name)
    kept = backend(picture)
    for x in (picture, picture[:1, :, :17, :9]):
        expected = reference(net, x)
        if precision == "float32":
            torch.testing.assert_close(backend(x), expected, rtol=1e-4, atol=1e-4)
        else:
            assert psnr(backend(x), expected) > 40
    assert torch.equal(backend(picture), kept)  # not a view of memory that the next call overwrites


BUNDLED_MODELS = sorted(
    path.stem
    for path in BUNDLED.glob("*.safetensors")
    if (card := read_card(path)).input == "picture" and card.channels_in == 3
)
GENERATORS = [
    Card(network="rrdbnet", settings={"width": 8, "blocks": 1, "growth": 4, "scale": 4}, scale=4),
    Card(network="rrdbnet", settings={"width": 8, "blocks": 1, "growth": 4, "scale": 2, "unshuffle": 2}, scale=2),
    *(
        Card(network="compact", settings={"width": 8, "convs": 1, "scale": scale, "base": base}, scale=scale)
        for base in ("nearest", "bilinear", "bicubic")
        for scale in (1, 3)
    ),
    Card(network="srresnet", settings={"width": 8, "blocks": 1, "scale": 2}, scale=2),
    Card(network="srresnet", settings={"width": 8, "blocks": 1, "scale": 3, "batch_norm": False}, scale=3),
]


@pytest.mark.parametrize("engine", [pytest.param("openvino", marks=has_openvino), pytest.param("onnx", marks=has_onnx)])
@pytest.mark.parametrize(
    "model", [*BUNDLED_MODELS, *GENERATORS], ids=lambda m: m if isinstance(m, str) else f"{m.network}{m.settings}"
)
def test_every_upscaler_runs_on_every_engine_at_sizes_that_it_was_not_converted_for(model, engine):
    net = load(model) if isinstance(model, str) else build(model).eval()
    if not isinstance(model, str) and model.network == "compact":
        net.load_state_dict({key: torch.randn_like(value) * 0.1 for key, value in net.state_dict().items()})
    unit = max(1, net.card.multiple_of) if isinstance(model, str) else 1
    backend = pick_backend(net, "float32", "cpu", engine, multiple_of=unit)
    for height, width in ((13, 37), (40, 21)):
        height, width = (-(-side // unit) * unit for side in (height, width))
        # Smooth, as pictures are: on white noise an attention multiplies the last digits of every engine.
        coarse = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(height))
        low = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")
        torch.testing.assert_close(backend(low), reference(copy.deepcopy(net), low), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("engine", [pytest.param("openvino", marks=has_openvino), pytest.param("onnx", marks=has_onnx)])
def test_a_network_that_an_engine_cannot_convert_is_refused_in_one_line(engine):
    class Calls(nn.Module):
        def forward(self, x):
            return torch.from_numpy(x.numpy() * 2) if float(x.sum()) > 0 else x

    with pytest.raises(UserError) as refusal:
        pick_backend(Calls(), "float32", "cpu", engine)
    assert engine in str(refusal.value) and "\n" not in str(refusal.value) and len(str(refusal.value)) < 400


@has_openvino
def test_an_engine_that_computes_something_else_is_refused():
    class Branches(nn.Module):
        def forward(self, x):
            return x * 2 if x.shape[-1] > 36 else x

    with pytest.raises(UserError, match="computes something else than torch"):
        pick_backend(Branches(), "float32", "cpu", "openvino")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"backend": "openvno"}, "Did you mean openvino"),
        ({"precision": "int8"}, "no precision 'int8'"),
        ({"backend": "onnx", "precision": "bfloat16"}, "does not compute in bfloat16"),
        ({"backend": "openvino", "device": "cuda"}, "CPU only"),
        ({"device": "tpu9"}, "no device"),
    ],
)
def test_what_cannot_be_done_is_said(net, arguments, words):
    with pytest.raises(UserError, match=words):
        pick_backend(net, **arguments)


def test_the_estimate_of_memory_follows_the_widest_layer():
    small, wide = (estimate_bytes_per_px(CompactNet(width=w, convs=1), torch.float32) for w in (64, 128))
    assert 64 * 2 * 4 < small < wide < 2.2 * small
    assert estimate_bytes_per_px(CompactNet(), torch.bfloat16) < estimate_bytes_per_px(CompactNet(), torch.float32)
    # Measured on an RRDBNet of 64 features between 128 and 256 px squared: 9.9 KB a pixel in float32.
    assert 9_900 < estimate_bytes_per_px(RRDBNet(blocks=1), torch.float32) < 15_000


@has_openvino
@pytest.mark.alone
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_graphs_of_one_size_compute_what_the_network_computes_and_what_ran_before_changes_no_bit(
    net, precision, monkeypatch
):
    monkeypatch.setattr(backends, "FIXED_FROM_PX", 40 * 40)
    run = pick_backend(net, precision, "cpu", "openvino")
    random = torch.Generator().manual_seed(2)
    # More sizes than are held at once, and one that stays below.
    pictures = [torch.rand(1, 3, *size, generator=random) for size in ((40, 40), (40, 48), (56, 40), (64, 44), (9, 12))]
    once = [run(picture) for picture in pictures]
    again = [run(picture) for picture in reversed(pictures)][::-1]
    for picture, first, second in zip(pictures, once, again):
        assert torch.equal(first, second)
        true = reference(copy.deepcopy(net), picture)
        assert psnr(first, true) > (100 if precision == "float32" else 40)
