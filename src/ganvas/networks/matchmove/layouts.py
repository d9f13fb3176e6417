"""Checkpoints of NeuralVFX' reverse matchmove: generator and discriminator, recognised and renamed to our layout.

They hold no statistics of their training cameras: the generator takes cameras that are standardised already, and
`ganvas generate` asks for the training cameras to do that.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from torch import Tensor

from ganvas.errors import UserError
from ganvas.networks.layouts import Layout, Recognised, Tensors
from ganvas.protocol import Card

_STEM = re.compile(r"model\.([01])\.operations\.([02])\.(\w+)")
_BLOCK = re.compile(r"model\.(\d+)\.conv\.([02])\.(\w+)")
_PARTS = {"0": "conv", "2": "norm"}
_RAW = {"weight_orig": "parametrizations.weight.original", "weight_u": "parametrizations.weight.0._u",
        "weight_v": "parametrizations.weight.0._v", "bias": "bias"}  # fmt: skip


def _is_generator(keys: Collection[str]) -> bool:
    return "model.0.operations.0.weight" in keys and "model.2.conv.0.weight" in keys


def _generator(tensors: Tensors) -> Recognised:
    blocks = 1 + max(int(match[1]) for key in tensors if (match := _BLOCK.fullmatch(key)))
    renamed: dict[str, Tensor] = {}
    for key, value in tensors.items():
        if (match := _STEM.fullmatch(key)) or (match := _BLOCK.fullmatch(key)):
            renamed[f"blocks.{match[1]}.{_PARTS[match[2]]}.{match[3]}"] = value
        elif key.startswith(f"model.{blocks + 1}."):
            renamed[f"last.{key.rpartition('.')[2]}"] = value
        else:
            raise UserError(f"it has a tensor too many: {key}", "It may be a variant that is not supported")
    for key in ("last.weight", "last.bias", "blocks.0.conv.weight"):
        if key not in renamed:
            raise UserError("its last or first convolution is missing", "It may be cut down or a variant")
    width, size_px = renamed["last.weight"].shape[1], 8 * 2 ** (blocks - 2)
    return Recognised(generator_card(size_px, width), renamed)


def generator_card(size_px: int, width: int) -> Card:
    """Return the card of the original's generator, which takes standardised cameras."""
    return Card(
        network="camera_generator", settings={"size_px": size_px, "width": width}, input="camera", range=(-1.0, 1.0),
        channels_in=13, tiling="internal", recipe="reverse_matchmove", purpose=f"views of {size_px} px from cameras",
    )  # fmt: skip


def _is_discriminator(keys: Collection[str]) -> bool:
    return "operations.1.weight_orig" in keys and "operations.2.conv.0.weight_orig" in keys


def _discriminator(tensors: Tensors) -> Recognised:
    last = max(int(key.split(".")[1]) for key in tensors)
    names = {"operations.1": "first", f"operations.{last}": "last"}
    names |= {f"operations.{place}.conv.0": f"blocks.{place - 2}.conv" for place in range(2, last)}
    renamed: dict[str, Tensor] = {}
    for key, value in tensors.items():
        layer, _, part = key.rpartition(".")
        if layer not in names or part not in _RAW:
            raise UserError(f"it has a tensor too many: {key}", "It may be a variant that is not supported")
        renamed[f"{names[layer]}.{_RAW[part]}"] = value
    width = tensors["operations.1.weight_orig"].shape[0]
    card = Card(
        network="camera_discriminator", settings={"width": width}, input="other", range=(-1.0, 1.0), channels_out=1,
        tiling="discouraged", recipe="reverse_matchmove", purpose="tells views from generated ones",
    )  # fmt: skip
    return Recognised(card, renamed)


LAYOUTS: tuple[Layout, ...] = (
    Layout("reverse matchmove generator (NeuralVFX)", _is_generator, _generator),
    Layout("reverse matchmove discriminator (NeuralVFX)", _is_discriminator, _discriminator),
)
