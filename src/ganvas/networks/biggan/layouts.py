"""BigGAN's weight files by their tensor names: BigGAN-PyTorch, Hugging Face's BigGAN-deep, TF-Hub's BigGAN.

BigGAN-PyTorch (`G.pth`, `G_ema.pth`, `D.pth`) keeps one singular vector `u0` of each layer and iterates once more when
the layer is used; the two that it would then have are stored here. Its first linear layer and its norms take (class,
noise), as ours do. Hugging Face's take (noise, class) and make the first map with channels last. TF-Hub's are the same
with kernels stored as (height, width, in, out); the map follows the published names of its variables, which have to be
saved under these names first (as safetensors or .pth).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.errors import UserError
from ganvas.networks.layouts import Layout, Recognised, Tensors
from ganvas.protocol import Card

BASE_PX = 4
GENERATORS = {
    (4, 4, 4, 4): 32, (16, 16, 8, 4, 2): 64, (16, 16, 8, 4, 2, 1): 128, (16, 16, 8, 8, 4, 2, 1): 256,
    (16, 16, 8, 8, 4, 2, 1, 1): 512,
}  # fmt: skip
"""Side of the picture by the published plan of channels."""
DISCRIMINATORS = {
    (4, 4, 4, 4): 32, (1, 2, 4, 8, 16): 64, (1, 2, 4, 8, 16, 16): 128, (1, 2, 4, 8, 8, 16, 16): 256,
    (1, 1, 2, 4, 8, 8, 16, 16): 512,
}  # fmt: skip
CLASS_FEATURES = 128


class _Taken:
    """The tensors of a file, each to be taken once, and ours as they are made."""

    def __init__(self, tensors: Tensors) -> None:
        self.theirs, self.left = tensors, set(tensors)
        self.ours: dict[str, Tensor] = {}

    def take(self, key: str) -> Tensor:
        """Return one of their tensors.

        Raises:
            UserError: it is missing.
        """
        if key not in self.theirs:
            raise UserError(f"it lacks the tensor {key}", "It may be cut down or belong to a variant of this network")
        self.left.discard(key)
        return self.theirs[key]

    def plain(self, name: str, weight: Tensor, bias: Tensor | None = None) -> None:
        """Add a layer without spectral norm."""
        self.ours[f"{name}.weight"] = weight
        if bias is not None:
            self.ours[f"{name}.bias"] = bias

    def normalised(self, name: str, weight: Tensor, u: Tensor, v: Tensor, bias: Tensor | None = None) -> None:
        """Add a spectrally normalised layer with its singular vectors."""
        prefix = f"{name}.parametrizations.weight"
        self.ours[f"{prefix}.original"] = weight
        self.ours[f"{prefix}.0._u"], self.ours[f"{prefix}.0._v"] = u, v
        if bias is not None:
            self.ours[f"{name}.bias"] = bias

    def iterated(self, name: str, weight: Tensor, u: Tensor, bias: Tensor | None = None) -> None:
        """Add a layer of which only the left vector is known: one iteration gives both, as the original would."""
        rows = weight.flatten(1).float()
        v = F.normalize(u.flatten().float() @ rows, dim=0, eps=1e-12)
        self.normalised(name, weight, F.normalize(rows @ v, dim=0, eps=1e-12), v, bias)

    def statistics(self, name: str, mean: Tensor, variance: Tensor, bank: bool = False) -> None:
        """Add running statistics, or a bank of them."""
        if bank:
            self.ours[f"{name}.running_means"], self.ours[f"{name}.running_vars"] = mean, variance
            return
        self.ours[f"{name}.running_mean"], self.ours[f"{name}.running_var"] = mean, variance
        self.ours[f"{name}.num_batches_tracked"] = torch.tensor(0)

    def finish(self, card: Card, harmless: str = r"$^") -> Recognised:
        """Return what was made.

        Raises:
            UserError: the file has tensors that were not taken.
        """
        left = sorted(key for key in self.left if not re.search(harmless, key))
        if left:
            raise UserError(f"it has a tensor too many: {left[0]}", "It may be a variant that is not supported")
        return Recognised(card, self.ours)


def _size(widths: tuple[int, ...], plans: Mapping[tuple[int, ...], int]) -> tuple[int, int]:
    """Return the side of the picture and the width that channels are multiples of."""
    for plan, size_px in plans.items():
        if len(plan) == len(widths):
            width, rest = divmod(widths[0], plan[0])
            if not rest and tuple(width * multiple for multiple in plan) == widths:
                return size_px, width
    raise UserError("its shapes do not fit together", f"No plan of BigGAN has the channels {widths}")


def _card(network: str, settings: dict[str, Any], purpose: str, **extra: Any) -> Card:
    is_generator = network.endswith("generator")
    return Card(
        network=network, settings=settings, input="seeds" if is_generator else "other", range=(-1.0, 1.0),
        channels_in=settings.get("latent", 3), tiling="internal", purpose=purpose, extra=extra,
    )  # fmt: skip


# BigGAN-PyTorch


def _layer(taken: _Taken, ours: str, theirs: str, has_bias: bool = True) -> None:
    weight, u = taken.take(f"{theirs}.weight"), taken.take(f"{theirs}.u0")
    taken.iterated(ours, weight, u, taken.take(f"{theirs}.bias") if has_bias else None)


def _attention(taken: _Taken, theirs: str) -> None:
    taken.ours["attention.gamma"] = taken.take(f"{theirs}.gamma").reshape(())
    for part in ("theta", "phi", "g", "o"):
        _layer(taken, f"attention.{part}", f"{theirs}.{part}", has_bias=False)


def _running(taken: _Taken, ours: str, theirs: str) -> None:
    """Take a norm's statistics, which lie in one of three places, as the norm was switched."""
    for spelling in ("{}.stored_{}", "{}.bn.stored_{}", "{}.bn.running_{}", "{}.running_{}"):
        if spelling.format(theirs, "mean") in taken.theirs:
            mean, variance = (taken.take(spelling.format(theirs, part)) for part in ("mean", "var"))
            taken.statistics(ours, mean, variance)
            return
    raise UserError(f"it lacks the statistics of {theirs}")


_IGNORED = r"\.sv0$|num_batches_tracked$|accumulation_counter$"


def _blocks(tensors: Tensors) -> list[int]:
    return sorted({int(found[1]) for key in tensors if (found := re.match(r"blocks\.(\d+)\.0\.", key))})


def _conditional(taken: _Taken, ours: str, theirs: str) -> None:
    _running(taken, f"{ours}.norm", theirs)
    for mine, other in (("gain", "gain"), ("offset", "bias")):
        if f"{theirs}.{other}.u0" in taken.theirs:
            _layer(taken, f"{ours}.{mine}", f"{theirs}.{other}", has_bias=False)
        else:
            # Each norm's own embedding, without a shared one.
            taken.plain(f"{ours}.{mine}", taken.take(f"{theirs}.{other}.weight"))


def _from_pytorch_generator(tensors: Tensors) -> Recognised:
    if "blocks.0.0.conv4.weight" in tensors:
        return _from_pytorch_deep_generator(tensors)
    taken, blocks = _Taken(tensors), _blocks(tensors)
    first = tensors["blocks.0.0.conv1.weight"].shape[1]
    widths = (first, *(tensors[f"blocks.{i}.0.conv1.weight"].shape[0] for i in blocks))
    size_px, width = _size(widths, GENERATORS)
    chunk = taken.take("linear.weight").shape[1]
    features = tensors["shared.weight"].shape[1] if "shared.weight" in tensors else 0
    gain = tensors["blocks.0.0.bn1.gain.weight"]
    skips = bool(features) and gain.shape[1] != features
    num_classes = tensors["shared.weight"].shape[0] if features else gain.shape[0]
    attended = [i for i in blocks if f"blocks.{i}.1.gamma" in tensors]
    if features:
        taken.plain("embedding", taken.take("shared.weight"))
    _layer(taken, "first", "linear")
    for i in blocks:
        for ours, theirs in (("conv1", "conv1"), ("conv2", "conv2"), ("shortcut", "conv_sc")):
            _layer(taken, f"blocks.{i}.{ours}", f"blocks.{i}.0.{theirs}")
        for number in (1, 2):
            _conditional(taken, f"blocks.{i}.norm{number}", f"blocks.{i}.0.bn{number}")
    _ends(taken, attended)
    settings = {
        "size_px": size_px, "width": width, "num_classes": num_classes,
        "latent": chunk * (len(blocks) + 1) if skips else chunk, "class_features": features, "skip_z": skips,
        "attention_px": BASE_PX * 2 ** (attended[0] + 1) if attended else 0,
    }  # fmt: skip
    card = _card("biggan_generator", settings, f"pictures of {size_px} px of {num_classes} classes from noise")
    return taken.finish(card, _IGNORED)


def _ends(taken: _Taken, attended: list[int]) -> None:
    if attended:
        _attention(taken, f"blocks.{attended[0]}.1")
    taken.plain("last_norm", taken.take("output_layer.0.gain"), taken.take("output_layer.0.bias"))
    _running(taken, "last_norm", "output_layer.0")
    _layer(taken, "to_rgb", "output_layer.2")


def _from_pytorch_deep_generator(tensors: Tensors) -> Recognised:
    taken, blocks = _Taken(tensors), _blocks(tensors)
    ins = [tensors[f"blocks.{i}.0.conv1.weight"].shape[1] for i in blocks]
    outs = [tensors[f"blocks.{i}.0.conv4.weight"].shape[0] for i in blocks]
    depth, size_px, width = _deep_plan(ins, outs)
    features = taken.take("shared.weight").shape[1]
    taken.plain("embedding", tensors["shared.weight"])
    _layer(taken, "first", "linear")
    for i in blocks:
        for number in range(4):
            _layer(taken, f"blocks.{i}.convs.{number}", f"blocks.{i}.0.conv{number + 1}")
            _conditional(taken, f"blocks.{i}.norms.{number}", f"blocks.{i}.0.bn{number + 1}")
    attended = [i for i in blocks if f"blocks.{i}.1.gamma" in tensors]
    _ends(taken, attended)
    settings = {
        "size_px": size_px, "width": width, "num_classes": tensors["shared.weight"].shape[0],
        "latent": tensors["linear.weight"].shape[1] - features, "class_features": features, "depth": depth,
        "attention_px": BASE_PX * 2 ** ((attended[0] + 1) // depth) if attended else 0,
    }  # fmt: skip
    return taken.finish(_card("biggan_deep_generator", settings, f"pictures of {size_px} px of classes from noise"),
                        _IGNORED)  # fmt: skip


def _deep_plan(ins: list[int], outs: list[int]) -> tuple[int, int, int]:
    """Return depth, side and width from the channels that the blocks take and give."""
    for depth in range(1, len(ins) + 1):
        if len(ins) % depth == 0:
            widths = (ins[0], *outs[depth - 1 :: depth])
            if any(len(plan) == len(widths) for plan in GENERATORS):
                try:
                    return depth, *_size(widths, GENERATORS)
                except UserError:
                    continue
    raise UserError("its shapes do not fit together", f"No plan of BigGAN-deep has the channels {ins} and {outs}")


def _from_pytorch_discriminator(tensors: Tensors) -> Recognised:
    if "input_conv.weight" in tensors:
        raise UserError("it is BigGAN-deep's discriminator", "Its import is not supported", "Load the generator")
    taken, blocks = _Taken(tensors), _blocks(tensors)
    widths = tuple(tensors[f"blocks.{i}.0.conv1.weight"].shape[0] for i in blocks)
    size_px, width = _size(widths, DISCRIMINATORS)
    for i in blocks:
        for ours, theirs in (("conv1", "conv1"), ("conv2", "conv2"), ("shortcut", "conv_sc")):
            if f"blocks.{i}.0.{theirs}.weight" in tensors:
                _layer(taken, f"blocks.{i}.{ours}", f"blocks.{i}.0.{theirs}")
    attended = [i for i in blocks if f"blocks.{i}.1.gamma" in tensors]
    if attended:
        _attention(taken, f"blocks.{attended[0]}.1")
    _layer(taken, "head.linear", "linear")
    _layer(taken, "head.embedding", "embed", has_bias=False)
    settings = {
        "size_px": size_px, "width": width, "num_classes": tensors["embed.weight"].shape[0],
        "attention_px": size_px // 2 ** (attended[0] + 1) if attended else 0,
    }  # fmt: skip
    card = _card("biggan_discriminator", settings, f"how real a picture of {size_px} px of a class is")
    return taken.finish(card, _IGNORED)


# Hugging Face


def _from_hugging_face(tensors: Tensors) -> Recognised:
    taken = _Taken(tensors)
    numbers = sorted({int(found[1]) for key in tensors if (found := re.match(r"generator\.layers\.(\d+)\.", key))})
    attended = [n for n in numbers if f"generator.layers.{n}.gamma" in tensors]
    blocks = [n for n in numbers if n not in attended]
    ins = [tensors[f"generator.layers.{n}.conv_0.weight_orig"].shape[1] for n in blocks]
    outs = [tensors[f"generator.layers.{n}.conv_3.weight_orig"].shape[0] for n in blocks]
    depth, size_px, width = _deep_plan(ins, outs)
    embedding = taken.take("embeddings.weight")
    features, num_classes = embedding.shape
    latent = tensors["generator.gen_z.weight_orig"].shape[1] - features
    taken.plain("embedding", embedding.T.contiguous())
    _first_of_hugging_face(taken, ins[0], latent)
    for ours, theirs in enumerate(blocks):
        for number in range(4):
            source = f"generator.layers.{theirs}"
            _old_spectral(taken, f"blocks.{ours}.convs.{number}", f"{source}.conv_{number}")
            _bank(taken, f"blocks.{ours}.norms.{number}", f"{source}.bn_{number}", latent)
    for place in attended:
        source = f"generator.layers.{place}"
        taken.ours["attention.gamma"] = taken.take(f"{source}.gamma").reshape(())
        for part, name in (("theta", "theta"), ("phi", "phi"), ("g", "g"), ("o", "o_conv")):
            _old_spectral(taken, f"attention.{part}", f"{source}.snconv1x1_{name}", has_bias=False)
    taken.ours["last_gain"], taken.ours["last_offset"] = (taken.take(f"generator.bn.{p}") for p in ("weight", "bias"))
    means, variances = (taken.take(f"generator.bn.running_{part}") for part in ("means", "vars"))
    taken.statistics("last_norm", means, variances, bank=True)
    _old_spectral(taken, "to_rgb", "generator.conv_to_rgb")
    settings = {
        "size_px": size_px, "width": width, "num_classes": num_classes, "latent": latent, "class_features": features,
        "depth": depth, "attention_px": BASE_PX * 2 ** (attended[0] // depth) if attended else 0, "epsilon": 1e-4,
        "statistics": means.shape[0], "rgb_outputs": tensors["generator.conv_to_rgb.weight_orig"].shape[0],
    }  # fmt: skip
    card = _card("biggan_deep_generator", settings, f"pictures of {size_px} px of {num_classes} classes from noise")
    return taken.finish(card)


def _first_of_hugging_face(taken: _Taken, channels: int, latent: int) -> None:
    """Take the first layer: its map has channels last, its input the noise first."""
    name = "generator.gen_z"
    weight, bias, u, v = (taken.take(f"{name}.{part}") for part in ("weight_orig", "bias", "weight_u", "weight_v"))
    rows = torch.arange(len(bias)).view(BASE_PX, BASE_PX, channels).permute(2, 0, 1).flatten()
    taken.normalised("first", _class_first(weight, latent)[rows], u[rows], _class_first(v[None], latent)[0], bias[rows])


def _class_first(columns: Tensor, latent: int) -> Tensor:
    return torch.cat([columns[:, latent:], columns[:, :latent]], dim=1).contiguous()


def _old_spectral(taken: _Taken, ours: str, theirs: str, has_bias: bool = True) -> None:
    weight, u, v = (taken.take(f"{theirs}.weight_{part}") for part in ("orig", "u", "v"))
    taken.normalised(ours, weight, u, v, taken.take(f"{theirs}.bias") if has_bias else None)


def _bank(taken: _Taken, ours: str, theirs: str, latent: int) -> None:
    means, variances = (taken.take(f"{theirs}.running_{part}") for part in ("means", "vars"))
    taken.statistics(f"{ours}.norm", means, variances, bank=True)
    for mine, other in (("gain", "scale"), ("offset", "offset")):
        weight, u, v = (taken.take(f"{theirs}.{other}.weight_{part}") for part in ("orig", "u", "v"))
        taken.normalised(f"{ours}.{mine}", _class_first(weight, latent), u, _class_first(v[None], latent)[0])


# TF-Hub

_ROOT = "module/Generator"
_AVERAGE = "ema_b999900"


def _tf_names(tensors: Tensors) -> dict[str, Tensor]:
    """Return variables by name without the output's number, averages in the place of what they are averages of."""
    plain = {key.removesuffix(":0"): value for key, value in tensors.items()}
    averaged = {key.removesuffix(f"/{_AVERAGE}"): value for key, value in plain.items() if key.endswith(_AVERAGE)}
    return {key: value for key, value in {**plain, **averaged}.items() if not key.endswith(_AVERAGE)}


def _from_tf_hub(tensors: Tensors) -> Recognised:
    named = _tf_names(tensors)
    theirs: dict[str, Tensor] = {}
    blocks = sorted({int(found[1] or 0) for key in named if (found := re.match(rf"{_ROOT}/GBlock(?:_(\d+))?/", key))})
    chunk = named[f"{_ROOT}/G_Z/G_linear/w"].shape[0]
    for i in blocks:
        root = f"{_ROOT}/GBlock" + (f"_{i}" if i else "")
        for number, part in (("conv1", "conv0"), ("conv2", "conv1"), ("conv_sc", "conv_sc")):
            _tf_conv(theirs, f"blocks.{i}.0.{number}", named, f"{root}/{part}")
        for number, suffix in ((1, ""), (2, "_1")):
            target, norm = f"blocks.{i}.0.bn{number}", f"{root}/HyperBN{suffix}"
            for ours, part in (("gain", "gamma"), ("bias", "beta")):
                theirs[f"{target}.{ours}.weight"] = _class_first(_get(named, f"{norm}/{part}/w").T, chunk)
                theirs[f"{target}.{ours}.u0"] = _get(named, f"{norm}/{part}/u0").reshape(1, -1)
            _tf_statistics(theirs, target, named, f"{root}/CrossReplicaBN{suffix}")
    _tf_ends(theirs, named, len(blocks), chunk)
    card, ours = _from_pytorch_generator(theirs)
    settings = {**card.settings, "epsilon": 1e-4}
    return Recognised(_card(card.network, settings, card.purpose), ours)


def _tf_ends(theirs: dict[str, Tensor], named: Tensors, num_blocks: int, chunk: int) -> None:
    theirs["shared.weight"] = _get(named, "module/linear/w").T.contiguous()
    if theirs["shared.weight"].shape[1] != CLASS_FEATURES:
        raise UserError("its class embedding has another length", f"Expected are {CLASS_FEATURES} numbers a class")
    linear = f"{_ROOT}/G_Z/G_linear"
    bias = _get(named, f"{linear}/b")
    rows = torch.arange(len(bias)).view(BASE_PX, BASE_PX, -1).permute(2, 0, 1).flatten()
    theirs["linear.weight"] = _get(named, f"{linear}/w").reshape(chunk, -1).T[rows].contiguous()
    theirs["linear.bias"], theirs["linear.u0"] = bias[rows], _get(named, f"{linear}/u0").flatten()[rows][None]
    place = {5: 3, 6: 4, 7: 3}.get(num_blocks, num_blocks - 2)
    theirs[f"blocks.{place}.1.gamma"] = _get(named, f"{_ROOT}/attention/gamma")
    for ours, part in (("theta", "theta"), ("phi", "phi"), ("g", "g"), ("o", "o_conv")):
        _tf_conv(theirs, f"blocks.{place}.1.{ours}", named, f"{_ROOT}/attention/{part}", has_bias=False)
    theirs["output_layer.0.gain"] = _get(named, f"{_ROOT}/ScaledCrossReplicaBN/gamma").flatten()
    theirs["output_layer.0.bias"] = _get(named, f"{_ROOT}/ScaledCrossReplicaBN/beta").flatten()
    _tf_statistics(theirs, "output_layer.0", named, f"{_ROOT}/ScaledCrossReplicaBNbn")
    _tf_conv(theirs, "output_layer.2", named, f"{_ROOT}/conv_2d")


def _tf_conv(theirs: dict[str, Tensor], ours: str, named: Tensors, source: str, has_bias: bool = True) -> None:
    theirs[f"{ours}.weight"] = _get(named, f"{source}/w").permute(3, 2, 0, 1).contiguous()
    theirs[f"{ours}.u0"] = _get(named, f"{source}/u0").reshape(1, -1)
    if has_bias:
        theirs[f"{ours}.bias"] = _get(named, f"{source}/b")


def _tf_statistics(theirs: dict[str, Tensor], ours: str, named: Tensors, source: str) -> None:
    for part in ("mean", "var"):
        theirs[f"{ours}.stored_{part}"] = _get(named, f"{source}/accumulated_{part}").flatten()


def _get(named: Tensors, name: str) -> Tensor:
    if name not in named:
        raise UserError(f"it lacks the variable {name}")
    return named[name]


def _has(*wanted: str):
    return lambda keys: all(key in keys for key in wanted)


def _is_tf_hub(keys: Collection[str]) -> bool:
    return any(key.startswith(f"{_ROOT}/GBlock/conv0/w") for key in keys)


LAYOUTS: tuple[Layout, ...] = (
    Layout("BigGAN-PyTorch generator", _has("linear.u0", "output_layer.2.u0", "blocks.0.0.conv1.u0"),
           _from_pytorch_generator),
    Layout("BigGAN-PyTorch discriminator", _has("embed.u0", "linear.u0", "blocks.0.0.conv1.u0"),
           _from_pytorch_discriminator),
    Layout("BigGAN-deep (Hugging Face)", _has("embeddings.weight", "generator.gen_z.weight_orig"), _from_hugging_face),
    Layout("BigGAN (TF-Hub)", _is_tf_hub, _from_tf_hub),
)  # fmt: skip
"""Every layout of BigGAN that is recognised."""
