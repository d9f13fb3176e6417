"""Other projects' weight files, recognised by the grammar of their tensor names, renamed to our layout.

Every hyper-parameter is read off the shapes. To teach Ganvas another layout, add a `Layout` to `LAYOUTS`.
Layouts: xinntao/ESRGAN before and after June 2019, BasicSR (Real-ESRGAN, SRVGG, MSRResNet), SPAN; ncnn files of these.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from ganvas.errors import UserError
from ganvas.io.weights import (
    foreign_biggan,
    foreign_inception,
    foreign_matchmove,
    foreign_pix2pixhd,
    foreign_span,
    foreign_vid2vid,
    ncnn,
)
from ganvas.io.weights.containers import candidates, open_stored, sniff
from ganvas.io.weights.layouts import Layout, Recognised, Shapes, Tensors
from ganvas.protocol import Card


class Described(Protocol):
    """Anything with a card and tensors."""

    @property
    def card(self) -> Card: ...
    @property
    def tensors(self) -> Tensors: ...


def recognise(path: str | Path) -> Recognised:
    """Read another project's weight file and tell what it is.

    Raises:
        UserError: the file is missing, damaged, would run code on loading, or holds no network that Ganvas knows.
    """
    path = Path(path)
    if sniff(path) == "ncnn":
        return _recognise_ncnn(path)
    stored = open_stored(path)
    for tensors in candidates(stored):
        for layout in LAYOUTS:
            if layout.matches(tensors.keys()):
                return _convert(layout, tensors, path)
    raise _unrecognised(path, next(candidates(stored), {}))


def _convert(layout: Layout, tensors: Tensors, path: Path) -> Recognised:
    try:
        card, renamed = layout.convert(tensors)
    except UserError as error:
        raise UserError(f"{path} looks like {layout.name}, but {error.what}", error.why, error.do) from error
    return Recognised(replace(card, origin=layout.name), renamed)


class UnknownNetwork(UserError):
    """A file holds tensors of a network that Ganvas does not know; another package may."""

    def __init__(self, what: str, why: str = "", do: str = "", tensors: Tensors | None = None) -> None:
        super().__init__(what, why, do)
        self.tensors = tensors or {}


def _unrecognised(path: Path, tensors: Tensors) -> UserError:
    if not tensors:
        return UserError(
            f"{path} holds no tensors", "It looks like settings or the state of a program, not like weights"
        )
    first = ", ".join(f"{key} {list(value.shape)}" for key, value in list(tensors.items())[:4])
    why = f"Its {len(tensors)} tensors begin with {first}"
    do = f"Known layouts: {_layout_names()}"
    return UnknownNetwork(f"{path} holds a network that Ganvas does not know", why, do, tensors)


def _layout_names() -> str:
    return ", ".join([*dict.fromkeys(layout.name for layout in LAYOUTS), "ncnn .param with .bin"])


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
    return _rrdbnet(tensors, _BASICSR, _count(tensors, r"conv_up\d+\.weight"))


def _from_xinntao(tensors: Tensors) -> Recognised:
    return _rrdbnet(tensors, _XINNTAO, _count(tensors, r"upconv\d+\.weight"))


def _from_old(tensors: Tensors) -> Recognised:
    # After the blocks come the up-convolutions and two more. An x3 net has the shapes of an x2 one and is taken for it.
    return _rrdbnet(tensors, _OLD, _count(tensors, r"model\.([2-9]|\d\d)\.weight") - 2)


def _count(tensors: Tensors, pattern: str) -> int:
    return sum(re.fullmatch(pattern, key) is not None for key in tensors)


def _rrdbnet(tensors: Tensors, spelling: _Spelling, num_ups: int) -> Recognised:
    if any("conv1x1" in key for key in tensors):
        raise UserError("it is an ESRGAN+", "The 1x1 convolutions of its dense blocks are not supported")
    blocks = 0
    while spelling.dense.format(i=blocks, j=1, k=1) + ".weight" in tensors:
        blocks += 1
    names = spelling.names(blocks, max(0, num_ups))
    renamed = {f"{ours}.{part}": f"{theirs}.{part}" for ours, theirs in names.items() for part in ("weight", "bias")}
    result = _renamed(tensors, renamed)
    settings = _rrdbnet_settings(result, blocks, max(0, num_ups))
    _check_shapes(result, _rrdbnet_shapes(**settings), renamed)
    return Recognised(rrdbnet_card(**settings), result)


def _renamed(tensors: Tensors, names: Mapping[str, str]) -> dict[str, Tensor]:
    for theirs in names.values():
        if theirs not in tensors:
            raise UserError(
                f"it lacks the tensor {theirs}", "It may be cut down or belong to a variant of this network"
            )
    known = set(names.values())
    for key in tensors:
        if key not in known:
            raise UserError(
                f"it has a tensor too many: {key}", "It may be a variant of this network that is not supported"
            )
    return {ours: tensors[theirs] for ours, theirs in names.items()}


def _rrdbnet_settings(tensors: Tensors, blocks: int, num_ups: int) -> dict[str, int]:
    stored_in, out = _size(tensors, "conv_first.weight", 1), _size(tensors, "conv_last.weight", 0)
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
        "width": _size(tensors, "conv_first.weight", 0),
        "blocks": blocks,
        "growth": _size(tensors, "body.0.rdb1.conv1.weight", 0),
        "scale": scale,
        "unshuffle": unshuffle,
    }


def _size(tensors: Tensors, key: str, axis: int) -> int:
    shape = tensors[key].shape if key in tensors else ()
    if not shape:
        raise UserError(f"it lacks the tensor {key}")
    if len(shape) <= axis:
        raise UserError(f"its tensor {key} has the shape {list(shape)}")
    return shape[axis]


def _rrdbnet_shapes(
    channels_in: int, channels_out: int, width: int, blocks: int, growth: int, scale: int, unshuffle: int
) -> Shapes:
    sizes = {"conv_first": (width, channels_in * unshuffle**2)}
    for i in range(blocks):
        for j in (1, 2, 3):
            for k in (1, 2, 3, 4, 5):
                sizes[f"body.{i}.rdb{j}.conv{k}"] = (growth if k < 5 else width, width + (k - 1) * growth)
    ups = [f"conv_up{number}" for number in range(1, int(math.log2(scale * unshuffle)) + 1)]
    for name in ("conv_body", *ups, "conv_hr"):
        sizes[name] = (width, width)
    sizes["conv_last"] = (channels_out, width)
    return _convolution_shapes(sizes)


def _convolution_shapes(sizes: Mapping[str, tuple[int, int]]) -> Shapes:
    shapes: Shapes = {}
    for name, (num_out, num_in) in sizes.items():
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (num_out, num_in, 3, 3), (num_out,)
    return shapes


def _check_shapes(tensors: Tensors, shapes: Shapes, theirs: Mapping[str, str]) -> None:
    for key, shape in shapes.items():
        if tuple(tensors[key].shape) != shape:
            found = f"{theirs.get(key, key)} is {list(tensors[key].shape)} where {list(shape)} was expected"
            raise UserError("its shapes do not fit together", found)


def rrdbnet_card(
    channels_in: int = 3,
    channels_out: int = 3,
    width: int = 64,
    blocks: int = 23,
    growth: int = 32,
    scale: int = 4,
    unshuffle: int = 1,
) -> Card:
    """Return the card of an RRDBNet with these settings."""
    settings = dict(locals())
    # One pixel for each convolution before the enlargement; those behind it reach two more, rounding included.
    exact = (15 * blocks + 4) * unshuffle
    return _picture_card("rrdbnet", settings, exact, unshuffle)


def compact_card(
    channels_in: int = 3,
    channels_out: int = 3,
    width: int = 64,
    convs: int = 16,
    scale: int = 4,
    activation: str = "prelu",
    base: str = "nearest",
) -> Card:
    """Return the card of a compact net with these settings."""
    settings = dict(locals())
    return _picture_card("compact", settings, convs + 2, 1)


def _picture_card(network: str, settings: dict[str, Any], exact_halo_px: int, multiple_of: int) -> Card:
    return Card(
        network=network,
        settings=settings,
        scale=settings["scale"],
        channels_in=settings["channels_in"],
        channels_out=settings["channels_out"],
        multiple_of=multiple_of,
        # Exactness is nearly free where the receptive field is small; a deep net's is wider than a tile.
        halo_px=exact_halo_px if exact_halo_px <= 24 else 16,
        exact_halo_px=exact_halo_px,
    )


# The compact net


def _is_compact(keys: Collection[str]) -> bool:
    return "body.0.weight" in keys and all(re.fullmatch(r"body\.\d+\.(weight|bias)", key) for key in keys)


def _from_compact(tensors: Tensors) -> Recognised:
    last = max(int(key.split(".")[1]) for key in tensors)
    if last % 2 or last < 2:
        raise UserError("its layers are not convolutions and activations by turns", f"The last is number {last}")
    is_prelu = "body.1.weight" in tensors
    width, channels_in = _size(tensors, "body.0.weight", 0), _size(tensors, "body.0.weight", 1)
    channels_out, scale = _compact_enlargement(_size(tensors, f"body.{last}.weight", 0), channels_in)
    sizes = {f"body.{index}": (width, width) for index in range(0, last, 2)}
    sizes |= {"body.0": (width, channels_in), f"body.{last}": (channels_out * scale**2, width)}
    shapes = _convolution_shapes(sizes)
    shapes |= {f"body.{index}.weight": (width,) for index in range(1, last, 2) if is_prelu}
    result = _renamed(tensors, {key: key for key in shapes})
    _check_shapes(result, shapes, {})
    activation = "prelu" if is_prelu else "relu"
    card = compact_card(channels_in, channels_out, width, last // 2 - 1, scale, activation)
    guess = {} if is_prelu else {"assumed": "activation relu: the file does not tell it from leaky_relu"}
    return Recognised(replace(card, extra=guess), result)


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
    blocks = _count(tensors, r"body\.\d+\.conv1\.weight")
    num_ups = _count(tensors, r"upsample\.\d+\.0\.conv\.weight")
    width = _size(tensors, "conv_first.weight", 0)
    factors = [math.isqrt(_size(tensors, f"upsample.{n}.0.conv.weight", 0) // width) for n in range(num_ups)]
    settings = {
        "channels_in": _size(tensors, "conv_first.weight", 1),
        "channels_out": _size(tensors, "conv_last.weight", 0),
        "width": width,
        "blocks": blocks,
        "scale": math.prod(factors),
        "batch_norm": "body.0.norm1.weight" in tensors,
    }
    # 9x9 convolutions at both ends, two 3x3 a block, one behind the blocks and one before each enlargement.
    reach = 4
    for factor in reversed(factors):
        reach = math.ceil(reach / factor) + 1
    return Recognised(_picture_card("srresnet", settings, 5 + 2 * blocks + reach, 1), dict(tensors))


# ncnn


def _recognise_ncnn(path: Path) -> Recognised:
    param, weights = path.with_suffix(".param"), path.with_suffix(".bin")
    for part in (param, weights):
        if not part.is_file():
            raise UserError(f"{path} lacks its other half", f"{part.name} is not beside it")
    tensors, factor, mean, gain = ncnn.read(param, weights)
    if "conv_merge.weight" in tensors:
        card, tensors = foreign_span.recognised(tensors, mean, gain)
        return Recognised(replace(card, origin="ncnn file of SPAN"), tensors)
    layout = next(layout for layout in LAYOUTS if layout.matches(tensors.keys()))
    card, tensors = _convert(layout, tensors, path)
    if factor == 1:
        return Recognised(replace(card, origin=f"ncnn file of {layout.name}"), tensors)
    scale = card.scale * factor
    if scale != int(scale) or scale < 1:
        raise UserError(f"{path} enlarges {scale} times", "Only whole enlargements are supported")
    # The resize belongs to the file, not to the network: ganvas.load puts it behind the net.
    resized = replace(card, scale=int(scale), extra={**card.extra, "resize_output": factor})
    return Recognised(replace(resized, origin=f"ncnn file of {layout.name}"), tensors)


LAYOUTS: tuple[Layout, ...] = (
    Layout("ESRGAN (old layout)", lambda keys: "model.1.sub.0.RDB1.conv1.0.weight" in keys, _from_old),
    Layout("ESRGAN (xinntao's layout)", lambda keys: "RRDB_trunk.0.RDB1.conv1.weight" in keys, _from_xinntao),
    Layout("RRDBNet (BasicSR, Real-ESRGAN)", lambda keys: "body.0.rdb1.conv1.weight" in keys, _from_basicsr),
    Layout("SRVGG compact net (Real-ESRGAN)", _is_compact, _from_compact),
    Layout(
        "SRResNet (Ganvas)", lambda keys: {"act_first.weight", "upsample.0.0.conv.weight"} <= set(keys), _from_srresnet
    ),
    *foreign_span.LAYOUTS,
    *foreign_biggan.LAYOUTS,
    *foreign_inception.LAYOUTS,
    *foreign_matchmove.LAYOUTS,
    *foreign_vid2vid.LAYOUTS,
    *foreign_pix2pixhd.LAYOUTS,
)
"""Every layout that is recognised; the first that matches is taken."""


# The way back


def to_basicsr(weights: Described) -> dict[str, Tensor]:
    """Return an RRDBNet's or a compact net's tensors under BasicSR's names.

    BasicSR itself builds only x4, and x2 and x1 by unshuffling.

    Raises:
        UserError: the weights are of another network.
    """
    if weights.card.network == "compact" and weights.card.settings.get("base", "nearest") == "nearest":
        return dict(weights.tensors)
    return _spelt(weights, _BASICSR)


def to_xinntao(weights: Described) -> dict[str, Tensor]:
    """Return an RRDBNet's tensors under the names that xinntao/ESRGAN has used since June 2019.

    Raises:
        UserError: the weights are of another network.
    """
    return _spelt(weights, _XINNTAO)


def to_old_esrgan(weights: Described) -> dict[str, Tensor]:
    """Return an RRDBNet's tensors under the names of ESRGAN before June 2019, which most community tools read.

    Raises:
        UserError: the weights are of another network.
    """
    return _spelt(weights, _OLD)


def _spelt(weights: Described, spelling: _Spelling) -> dict[str, Tensor]:
    if weights.card.network != "rrdbnet":
        raise UserError(
            f"A {weights.card.network} cannot be written in this layout",
            "The layout is RRDBNet's",
            "Write .safetensors",
        )
    blocks = _count(weights.tensors, r"body\.\d+\.rdb1\.conv1\.weight")
    names = spelling.names(blocks, _count(weights.tensors, r"conv_up\d+\.weight"))
    return {
        f"{theirs}.{part}": weights.tensors[f"{ours}.{part}"]
        for ours, theirs in names.items()
        for part in ("weight", "bias")
    }
