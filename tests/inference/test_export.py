"""Models for other engines: each is read by the engine itself and computes what torch computes, at any size."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

from ganvas.errors import UserError
from ganvas.inference.export import ENDINGS, export
from ganvas.inference.open import Opened, open_model
from ganvas.networks import build
from ganvas.protocol import Card

has_ncnn = pytest.mark.skipif(importlib.util.find_spec("pnnx") is None, reason="needs the extra ncnn")

PAINTER = {"channels_in": 5, "width": 4, "downs": 1, "blocks": 1}
SAMPLER = {"size_px": 32, "width": 4, "num_classes": 3, "latent": 20, "attention_px": 0}
CARDS = {
    "labels": Card(network="pix2pixhd_global", settings=PAINTER, input="labels", range=(-1.0, 1.0), channels_in=5),
    "seeds": Card(network="biggan_generator", settings=SAMPLER, input="seeds", range=(-1.0, 1.0), channels_in=20),
}


def model_of(kind: str) -> Opened:
    torch.manual_seed(0)
    return Opened(CARDS[kind], kind, module=build(CARDS[kind]).eval())


def test_an_upscaler_runs_in_onnx_runtime_at_any_size(tmp_path):
    import onnxruntime

    made = export(open_model("compact-x2"), tmp_path / "net", "onnx")
    assert made.files == (tmp_path / "net.onnx",) and made.error < 1e-4
    session = onnxruntime.InferenceSession(str(made.files[0]))
    low = torch.rand(1, 3, 19, 33, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        expected = open_model("compact-x2").network()(low).clamp(0, 1)
    found = session.run(None, {session.get_inputs()[0].name: low.numpy()})[0]
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]  # nothing half-written is left


def test_an_upscaler_runs_in_openvino_and_torchscript(tmp_path):
    for to in ("openvino", "torchscript"):
        made = export(open_model("compact-x2"), tmp_path / f"net-{to}", to)
        assert made.error < 1e-3 and all(path.stat().st_size for path in made.files)
    read = torch.jit.load(str(tmp_path / "net-torchscript.pt"))
    low = torch.rand(2, 3, 9, 7)
    torch.testing.assert_close(read(low), open_model("compact-x2").network()(low).clamp(0, 1), atol=1e-5, rtol=0)


@has_ncnn
def test_an_upscaler_runs_in_ncnn_or_the_reason_is_said(tmp_path):
    try:
        made = export(open_model("compact-x4"), tmp_path / "net", "ncnn")
    except UserError as error:
        assert "ncnn" in error.what and error.why
        assert not list(tmp_path.iterdir())
    else:
        assert [path.suffix for path in made.files] == [".param", ".bin"] and made.error < 1e-2


@pytest.mark.parametrize("kind", CARDS)
def test_generators_take_one_tensor_and_give_pictures(tmp_path, kind):
    import onnxruntime

    opened = model_of(kind)
    made = export(opened, tmp_path / kind, "onnx")
    session = onnxruntime.InferenceSession(str(made.files[0]))
    assert len(session.get_inputs()) == len(session.get_outputs()) == 1
    given = torch.randn(4, 23) if kind == "seeds" else torch.rand(1, 5, 12, 20)
    if kind == "seeds":
        given[:, 20:] = torch.eye(3)[[0, 1, 2, 0]]
    with torch.inference_mode():
        net = opened.network()
        expected = net(given[:, :20], torch.tensor([0, 1, 2, 0])) if kind == "seeds" else net(given)
    found = session.run(None, {session.get_inputs()[0].name: given.numpy()})[0]
    np.testing.assert_allclose(found, (expected.numpy() + 1) / 2, atol=1e-4)


def test_what_cannot_be_exported_is_said_and_nothing_is_overwritten(tmp_path):
    clip = Opened(Card(network="vid2vid", input="clip"), "clip", module=torch.nn.Identity())
    with pytest.raises(UserError, match="memory from frame to frame"):
        export(clip, tmp_path / "clip", "onnx")
    (tmp_path / "net.onnx").write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        export(open_model("compact-x2"), tmp_path / "net", "onnx")
    assert (tmp_path / "net.onnx").read_text() == "mine"
    with pytest.raises(UserError, match="no format"):
        export(open_model("compact-x2"), tmp_path / "other", "tflite")
    assert set(ENDINGS) == {"onnx", "torchscript", "openvino", "coreml-ready-onnx", "ncnn"}
