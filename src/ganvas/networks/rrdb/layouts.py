"""ESRGAN's generator in three spellings, the compact net and SRResNet: known by their tensor names, and written back.

Layouts: xinntao/ESRGAN before and after June 2019, BasicSR (Real-ESRGAN, SRVGG), SRResNet.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from torch import Tensor

from ganvas.errors import UserError
from ganvas.networks.layouts import Layout, Recognised, Tensors, count, fitting, renamed, size
from ganvas.networks.rrdb.card import enlarger_card
from ganvas.protocol import Card

# RRDBNet in three spellings


@dataclass(frozen=True)
class _Spelling:
    """How one project spells the module names of RRDBNet."""

    dense: str
    """A convolution in a dense block, of block {i}, dense block {j}, convolution {k}."""
    body: str
    """The convolution after {n} blocks."""
    up: str
    """The up-convolution {n}, of which {triple} is three times the number."""
    hr: str
    last: str
    """The last two; {n} is three times the number of up-convolutions, plus two and plus four."""
    first: str = "conv_first"

    def names(self, blocks: int, num_ups: int) -> dict[str, str]:
        """Return our module name -> theirs, in the order in which the network runs."""
        names = {"conv_first": self.first}
        for i in range(blocks):
            for j in (1, 2, 3):
                for k in (1, 2, 3, 4, 5):
                    names[f"body.{i}.rdb{j}.conv{k}"] = self.dense.format(i=i, j=j, k=k)
        names["conv_body"] = self.body.format(n=blocks)
        for number in range(1, num_ups + 1):
            names[f"conv_up{number}"] = self.up.format(n=number, triple=3 * number)
        names["conv_hr"] = self.hr.format(n=3 * num_ups + 2)
        names["conv_last"] = self.last.format(n=3 * num_ups + 4)
        return names


_BASICSR = _Spelling("body.{i}.rdb{j}.conv{k}", "conv_body", "conv_up{n}", "conv_hr", "conv_last")
_XINNTAO = _Spelling("RRDB_trunk.{i}.RDB{j}.conv{k}", "trunk_conv", "upconv{n}", "HRconv", "conv_last")
_OLD = _Spelling(
    "model.1.sub.{i}.RDB{j}.conv{k}.0", "model.1.sub.{n}", "model.{triple}", "model.{n}", "model.{n}", "model.0"
)


def _from_basicsr(tensors: Tensors) -> Recognised:
    return _rrdbnet(tensors, _BASICSR, count(tensors, r"conv_up\d+\.weight"))


def _from_xinntao(tensors: Tensors) -> Recognised:
    return _rrdbnet(tensors, _XINNTAO, count(tensors, r"upconv\d+\.weight"))


def _from_old(tensors: Tensors) -> Recognised:
    # After the blocks come the up-convolutions and two more. An x3 net has the shapes of an x2 one and is taken for it.
    return _rrdbnet(tensors, _OLD, count(tensors, r"model\.([2-9]|\d\d)\.weight") - 2)


def _rrdbnet(tensors: Tensors, spelling: _Spelling, num_ups: int) -> Recognised:
    if any("conv1x1" in key for key in tensors):
        raise UserError("it is an ESRGAN+", "The 1x1 convolutions of its dense blocks are not supported")
    blocks = 0
    while spelling.dense.format(i=blocks, j=1, k=1) + ".weight" in tensors:
        blocks += 1
    names = spelling.names(blocks, max(0, num_ups))
    theirs = {f"{ours}.{part}": f"{name}.{part}" for ours, name in names.items() for part in ("weight", "bias")}
    result = renamed(tensors, theirs)
    settings = _rrdbnet_settings(result, blocks, max(0, num_ups))
    return fitting(enlarger_card("rrdbnet", **settings), result, theirs)


def _rrdbnet_settings(tensors: Tensors, blocks: int, num_ups: int) -> dict[str, int]:
    stored_in, out = size(tensors, "conv_first.weight", 1), size(tensors, "conv_last.weight", 0)
    # BasicSR's nets for x2 and x1 fold 2x2 or 4x4 pixels into channels before the first convolution.
    unshuffle = {4 * out: 2, 16 * out: 4}.get(stored_in, 1)
    scale, rest = divmod(2**num_ups, unshuffle)
    if rest or scale == 0:
        raise UserError(
            "it would shrink the picture", f"It folds {unshuffle}x{unshuffle} pixels and enlarges {2**num_ups} times"
        )
    return {
        "channels_in": stored_in // unshuffle**2,
        "channels_out": out,
        "width": size(tensors, "conv_first.weight", 0),
        "blocks": blocks,
        "growth": size(tensors, "body.0.rdb1.conv1.weight", 0),
        "scale": scale,
        "unshuffle": unshuffle,
    }


# The compact net


def _is_compact(keys: Collection[str]) -> bool:
    return "body.0.weight" in keys and all(re.fullmatch(r"body\.\d+\.(weight|bias)", key) for key in keys)


def _from_compact(tensors: Tensors) -> Recognised:
    last = max(int(key.split(".")[1]) for key in tensors)
    if last % 2 or not 2 <= last <= 2 * len(tensors):
        raise UserError("its layers are not convolutions and activations by turns", f"The last is number {last}")
    is_prelu = "body.1.weight" in tensors
    width, channels_in = size(tensors, "body.0.weight", 0), size(tensors, "body.0.weight", 1)
    channels_out, scale = _compact_enlargement(size(tensors, f"body.{last}.weight", 0), channels_in)
    activation = "prelu" if is_prelu else "relu"
    card = enlarger_card(
        "compact", channels_in=channels_in, channels_out=channels_out, width=width, convs=last // 2 - 1, scale=scale,
        activation=activation,
    )  # fmt: skip
    guess = {} if is_prelu else {"assumed": "activation relu: the file does not tell it from leaky_relu"}
    return fitting(replace(card, extra=guess), tensors)


def _compact_enlargement(num_enlarged: int, channels_in: int) -> tuple[int, int]:
    # A gray picture may be added to a coloured result; any other input has as many channels as the result.
    for channels_out in (channels_in, 3) if channels_in == 1 else (channels_in,):
        scale = math.isqrt(num_enlarged // channels_out)
        if scale**2 * channels_out == num_enlarged:
            return channels_out, scale
    why = f"{num_enlarged} channels at the end are no whole enlargement of {channels_in}"
    raise UserError("its shapes do not fit together", why)


# SRResNet


def _from_srresnet(tensors: Tensors) -> Recognised:
    blocks = count(tensors, r"body\.\d+\.conv1\.weight")
    num_ups = count(tensors, r"upsample\.\d+\.0\.conv\.weight")
    width = size(tensors, "conv_first.weight", 0)
    factors = [math.isqrt(size(tensors, f"upsample.{n}.0.conv.weight", 0) // width) for n in range(num_ups)]
    card = enlarger_card(
        "srresnet", channels_in=size(tensors, "conv_first.weight", 1), width=width, blocks=blocks,
        channels_out=size(tensors, "conv_last.weight", 0), scale=math.prod(factors),
        batch_norm="body.0.norm1.weight" in tensors,
    )  # fmt: skip
    return fitting(card, tensors)


LAYOUTS: tuple[Layout, ...] = (
    Layout("ESRGAN (old layout)", lambda keys: "model.1.sub.0.RDB1.conv1.0.weight" in keys, _from_old),
    Layout("ESRGAN (xinntao's layout)", lambda keys: "RRDB_trunk.0.RDB1.conv1.weight" in keys, _from_xinntao),
    Layout("RRDBNet (BasicSR, Real-ESRGAN)", lambda keys: "body.0.rdb1.conv1.weight" in keys, _from_basicsr),
    Layout("SRVGG compact net (Real-ESRGAN)", _is_compact, _from_compact),
    Layout(
        "SRResNet (Ganvas)", lambda keys: {"act_first.weight", "upsample.0.0.conv.weight"} <= set(keys), _from_srresnet
    ),
)


# The way back


def to_basicsr(card: Card, tensors: Tensors) -> dict[str, Tensor]:
    """Return an RRDBNet's or a compact net's tensors under BasicSR's names.

    BasicSR itself builds only x4, and x2 and x1 by unshuffling.

    Raises:
        UserError: they are of another network.
    """
    if card.network == "compact" and card.settings.get("base", "nearest") == "nearest":
        return dict(tensors)
    return _spelt(card, tensors, _BASICSR)


def to_xinntao(card: Card, tensors: Tensors) -> dict[str, Tensor]:
    """Return an RRDBNet's tensors under the names that xinntao/ESRGAN has used since June 2019.

    Raises:
        UserError: they are of another network.
    """
    return _spelt(card, tensors, _XINNTAO)


def to_old_esrgan(card: Card, tensors: Tensors) -> dict[str, Tensor]:
    """Return an RRDBNet's tensors under the names of ESRGAN before June 2019, which most community tools read.

    Raises:
        UserError: they are of another network.
    """
    return _spelt(card, tensors, _OLD)


def _spelt(card: Card, tensors: Tensors, spelling: _Spelling) -> dict[str, Tensor]:
    if card.network != "rrdbnet":
        raise UserError(
            f"A {card.network} cannot be written in this layout",
            "The layout is RRDBNet's",
            "Write .safetensors",
        )
    blocks = count(tensors, r"body\.\d+\.rdb1\.conv1\.weight")
    names = spelling.names(blocks, count(tensors, r"conv_up\d+\.weight"))
    return {
        f"{theirs}.{part}": tensors[f"{ours}.{part}"] for ours, theirs in names.items() for part in ("weight", "bias")
    }
