"""Every generator of every recipe is exported to every format and computes the same there, or is refused in a line."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from ganvas.errors import UserError
from ganvas.inference.export import ENDINGS, LARGEST_ERROR, export
from ganvas.inference.open import BUNDLED, Opened, open_model
from ganvas.io.weights.files import read_card
from ganvas.networks import NETWORKS, build
from ganvas.protocol import Card

SEEDS = {"input": "seeds", "range": (-1.0, 1.0)}
LABELS = {"input": "labels", "range": (-1.0, 1.0), "channels_in": 5}
CLASSES = {"size_px": 32, "width": 4, "num_classes": 3, "latent": 20, "attention_px": 0}
PAINTER = {"channels_in": 5, "width": 4, "downs": 1, "blocks": 1}
STATISTICS = {"mean": [0.1 * place for place in range(13)], "deviation": [1.0] * 13}
CAMERA = {"input": "camera", "range": (-1.0, 1.0), "channels_in": 13}

GENERATORS = {
    "rrdbnet": Card(network="rrdbnet", settings={"width": 8, "blocks": 1, "growth": 4, "scale": 2}, scale=2),
    "compact": Card(network="compact", settings={"width": 8, "convs": 1, "scale": 2, "base": "bicubic"}, scale=2),
    "srresnet": Card(network="srresnet", settings={"width": 8, "blocks": 1, "scale": 2}, scale=2),
    "span": Card(network="span", settings={"width": 8, "blocks": 2, "scale": 2}, scale=2),
    "dcgan_generator": Card(
        network="dcgan_generator", settings={"latent": 8, "size_px": 32, "width": 4}, channels_in=8, **SEEDS
    ),
    "biggan_generator": Card(network="biggan_generator", settings=CLASSES, channels_in=20, **SEEDS),
    "biggan_deep_generator": Card(network="biggan_deep_generator", settings=CLASSES, channels_in=20, **SEEDS),
    "pix2pixhd_global": Card(network="pix2pixhd_global", settings=PAINTER, **LABELS),
    "pix2pixhd_local": Card(
        network="pix2pixhd_local", settings={**PAINTER, "local_blocks": 1}, multiple_of=4, **LABELS
    ),
    "super_resolving_unet": Card(
        network="super_resolving_unet", settings={"width": 4, "downs": 2, "norm": "none"}, scale=2, multiple_of=8
    ),
    "jnet": Card(network="jnet", settings={"channels_in": 6, "width": 4}, scale=8, channels_in=6, multiple_of=32),
    "camera_generator": Card(network="camera_generator", settings={"size_px": 32, "width": 4, **STATISTICS}, **CAMERA),
    "camera_generator with rays": Card(
        network="camera_generator", settings={"size_px": 32, "width": 4, "rays_px": 16, "rays_table": 4, **STATISTICS},
        **CAMERA,
    ),
    "vid2vid": Card(network="vid2vid", input="clip"),
}  # fmt: skip
"""The smallest of each, in all forms that change its graph."""

PARTS = {
    "vid2vid_local": "a part of vid2vid", "pix2pixhd_heads": "a part of a training stage",
    "pix2pixhd_encoder": "makes features, no pictures",
}  # fmt: skip
"""Networks that are neither generators nor looked at by losses."""
SEEING = ("vgg16", "vgg19", "efficientnet_lite", "small_features", "inception2015")

REFUSED = {("vid2vid", to): "memory from frame to frame" for to in ENDINGS} | {
    (name, "ncnn"): "upscalers" for name, card in GENERATORS.items() if card.input in ("seeds", "labels", "camera")
}
"""What is refused whatever the sizes, and by which words."""

EXTRAS = {"onnx": "onnxscript", "openvino": "openvino", "coreml-ready-onnx": "onnxscript", "ncnn": "pnnx"}


def opened(name: str) -> Opened:
    torch.manual_seed(0)
    card = GENERATORS[name]
    return Opened(card, name, module=torch.nn.Identity() if card.input == "clip" else build(card).eval())


def test_no_generator_is_left_out():
    named = {name.partition(" ")[0] for name in GENERATORS}
    rest = {name for name in NETWORKS if "discriminator" in name} | set(PARTS) | set(SEEING)
    assert named | rest == set(NETWORKS) and not named & rest
    assert {read_card(path).network for path in BUNDLED.glob("*.safetensors")} <= named | set(SEEING) | {"", "niqe"}


@pytest.mark.parametrize("to", ENDINGS)
@pytest.mark.parametrize("name", GENERATORS)
def test_every_generator_is_exported_or_refused_in_a_line(name, to, tmp_path):
    if to in EXTRAS and importlib.util.find_spec(EXTRAS[to]) is None:
        pytest.skip("needs an extra")
    try:
        made = export(opened(name), tmp_path / "net", to)
    except UserError as error:
        line = str(error)
        assert "\n" not in line and len(line) < 500
        assert REFUSED.get((name, to), "\0") in line or (to in MAY_REFUSE.get(name, ())), line
        assert not list(tmp_path.iterdir())
    else:
        assert (name, to) not in REFUSED
        assert made.error <= LARGEST_ERROR[to] and all(path.stat().st_size for path in made.files)
        assert len(made.sizes) == 2


MAY_REFUSE = {
    "compact": ("ncnn",), "jnet": ("coreml-ready-onnx",), "camera_generator with rays": ("coreml-ready-onnx",),
}  # fmt: skip
"""What a format of others does not hold, in the versions that were tried: ncnn, the padding of a bicubic base; Core ML,
the gathering of rays and of rearranged pixels."""


@pytest.mark.skipif(importlib.util.find_spec("pnnx") is None, reason="needs the extra ncnn")
def test_the_default_upscaler_is_loaded_by_the_published_ncnn(tmp_path):
    assert export(open_model("photo-x4"), tmp_path / "photo-x4", "ncnn").error < 1e-4
