"""SPAN's weights: the authors' `.pth`, and the training form that a run saves."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.errors import UserError
from ganvas.networks.layouts import Layout, Recognised, Tensors, fitting, need
from ganvas.networks.rrdb.card import enlarger_card
from ganvas.networks.span.net import SPAN
from ganvas.protocol import Card

INPUT_GAIN = 255.0
"""By what the authors' network multiplies its input, behind its mean."""
LINKS = {"conv1": "c1_r", "conv2": "c2_r", "conv3": "c3_r"}


# The training form


def fused(card: Card, tensors: Tensors) -> Recognised:
    """Return the plain form of a SPAN that was trained with branches: the same function, one kernel a convolution."""
    plain = {key: value for key, value in tensors.items() if key.rpartition(".")[2] in ("weight", "bias")}
    for key in [key for key in tensors if key.endswith(".expand")]:
        name = key.removesuffix(".expand")
        expand, middle, reduce, skip = (tensors[f"{name}.{part}"] for part in ("expand", "middle", "reduce", "skip"))
        chain = torch.einsum("op,pqyx,qi->oiyx", reduce, middle, expand)
        plain[f"{name}.weight"] = plain[f"{name}.weight"] + chain + F.pad(skip[:, :, None, None], [1, 1, 1, 1])
    return Recognised(replace(card, settings={**card.settings, "branches": False}), plain)


# The authors' layout


def _is_authors(keys: Collection[str]) -> bool:
    return "block_1.c1_r.eval_conv.weight" in keys or "block_1.c1_r.sk.weight" in keys


def _from_authors(tensors: Tensors) -> Recognised:
    blocks = 1
    while any(key.startswith(f"block_{blocks + 1}.") for key in tensors):
        blocks += 1
    names = {"conv_first": "conv_1", "conv_body": "conv_2"}
    names |= {
        f"blocks.{number - 1}.{ours}": f"block_{number}.{theirs}"
        for number in range(1, blocks + 1)
        for ours, theirs in LINKS.items()
    }
    ours: dict[str, Tensor] = {}
    for name, theirs in names.items():
        ours[f"{name}.weight"], ours[f"{name}.bias"] = _kernel(tensors, theirs)
    for name, theirs in {"conv_merge": "conv_cat", "conv_last": "upsampler.0"}.items():
        ours[f"{name}.weight"], ours[f"{name}.bias"] = (
            need(tensors, f"{theirs}.weight"),
            need(tensors, f"{theirs}.bias"),
        )
    # neosr's networks take the picture as it is, and say so by a tensor of this name.
    normalised = "no_norm" not in tensors
    return recognised(ours, SPAN.MEAN if normalised else None, INPUT_GAIN if normalised else 1.0)


def recognised(tensors: dict[str, Tensor], mean: Sequence[float] | None, gain: float) -> Recognised:
    """Return the card that tensors in our names belong to, with the input's gain folded into the first kernel."""
    first, last = tensors["conv_first.weight"], tensors["conv_last.weight"]
    if first.ndim != 4 or last.ndim != 4 or not first.numel():
        raise UserError("its shapes do not fit together", f"The first kernel is {list(first.shape)}")
    width, channels_in = first.shape[:2]
    scale = math.isqrt(last.shape[0] // channels_in)
    if scale < 1 or scale * scale * channels_in != last.shape[0]:
        why = f"{last.shape[0]} channels at the end are no whole enlargement of {channels_in}"
        raise UserError("its shapes do not fit together", why)
    blocks = sum(re.fullmatch(r"blocks\.\d+\.conv1\.weight", key) is not None for key in tensors)
    mean = (0.0,) * channels_in if mean is None else tuple(mean)
    if len(mean) != channels_in:
        raise UserError("it takes no RGB", f"Its mean has {len(mean)} values and its input {channels_in} channels")
    card = enlarger_card(
        "span", channels_in=channels_in, channels_out=channels_in, width=width, blocks=blocks, scale=scale, mean=mean
    )
    tensors["conv_first.weight"] = first * gain
    return fitting(card, tensors)


def _kernel(tensors: Tensors, name: str) -> tuple[Tensor, Tensor]:
    """Return one kernel and bias; the stored `eval_conv` may be older than the branches, so those go first."""
    if f"{name}.sk.weight" not in tensors:
        return need(tensors, f"{name}.eval_conv.weight"), need(tensors, f"{name}.eval_conv.bias")
    # In double: products of three kernels, rounded once.
    parts = {
        part: (need(tensors, f"{name}.{part}.weight").double(), need(tensors, f"{name}.{part}.bias").double())
        for part in ("conv.0", "conv.1", "conv.2", "sk")
    }
    (expand, expand_bias), (middle, middle_bias), (reduce, reduce_bias), (skip, skip_bias) = parts.values()
    weight = torch.einsum("op,pqyx,qi->oiyx", reduce[..., 0, 0], middle, expand[..., 0, 0])
    weight = weight + F.pad(skip, [1, 1, 1, 1])
    # The padding is put on before the chain, whose first bias therefore reaches every tap of the middle kernel.
    bias = reduce[..., 0, 0] @ (torch.einsum("pqyx,q->p", middle, expand_bias) + middle_bias) + reduce_bias + skip_bias
    return weight.float(), bias.float()


LAYOUTS = (Layout("SPAN (the authors' layout)", _is_authors, _from_authors),)
