"""The feature networks of perceptual losses: what a recipe's setting `perceptual` names, opened and frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ganvas.errors import UserError
from ganvas.io.weights import containers, published
from ganvas.io.weights import files as weights
from ganvas.losses.reconstruction import Norm, perceptual
from ganvas.metrics.perceptual import DISTS, DISTS_CHANNELS
from ganvas.networks import build
from ganvas.networks.backbones import VGG16
from ganvas.networks.feature_sets import FeatureSet
from ganvas.networks.features import VGG19
from ganvas.protocol import Card

BUNDLED = Path(__file__).parents[1] / "weights"
SMALL = BUNDLED / "small-features.safetensors"
"""Our own small features, which scripts/train_features.py makes. They are no VGG."""
FIRST_STAGES = BUNDLED / "vgg16-features.safetensors"
"""Oxford's VGG16 up to conv3_3, which scripts/fetch_features.py makes."""
LAYERS = {
    "vgg16": ("relu1_2", "relu2_2", "relu3_3"),
    "efficientnet-lite0": ("stage2", "stage3", "stage5"),
    "efficientnet-lite2": ("stage2", "stage3", "stage5"),
}
"""What is compared unless layers are named."""
KNOWN = "vgg16, efficientnet-lite0, efficientnet-lite2 (joined by +, each with :layers), vgg19, small or none"


def load_features(name: str, layers: tuple[str, ...]) -> nn.Module | None:
    """Return a frozen feature network, from pictures in [0, 1] to a dict of activations; None for `none`.

    (B, 3, H, W) -> layer name: (B, C, h, w)

    Args:
        name: `vgg19` (torchvision's published file, fetched once), `small` (ours), `none`, or a file: a `.pth` is taken
            for torchvision's VGG16 or VGG19, any other has a card that names its network. These give `layers`.
            `vgg16` (Oxford's), `efficientnet-lite0` and `efficientnet-lite2` are balanced: their activations are
            divided by what photographs give, and several may be joined: `vgg16:relu2_2,relu4_3+efficientnet-lite0`.
        layers: names of activations; convN_M is before its ReLU, reluN_M after it.

    Raises:
        UserError: the weights cannot be had, are of no feature network, or lack a layer.
    """
    if name == "none":
        return None
    if "+" in name or name.partition(":")[0] in published.PUBLISHED:
        return load_balanced(name)
    if name == "vgg19":
        path = weights.fetch(weights.VGG19_URL, weights.VGG19_NAME, weights.VGG19_HASH)
    else:
        path = SMALL if name == "small" else Path(name)
    if path.suffix == ".pth":
        tensors = containers.open_stored(path)
        # The sixteenth convolution is VGG19's alone.
        network: nn.Module = VGG19(layers=layers) if "features.34.weight" in tensors else VGG16(layers=layers)
    else:
        file = weights.read(path)
        network, tensors = _built(file.card, layers), dict(file.tensors)
    return _filled(network, tensors, path)


def distance(
    features: nn.Module, fake: Tensor, real: Tensor, weights: Mapping[str, float] | None = None, norm: Norm = "l1"
) -> Tensor:
    """Return the perceptual distance of pictures (B, 3, H, W) in [0, 1]; gradients flow to `fake` alone.

    Args:
        features: what `load_features` returned, on the pictures' device.
        fake: generated pictures.
        real: the pictures wanted.
        weights: of the layers; balanced features have their own.
        norm: `l1` or `l2`.
    """
    with torch.no_grad():
        wanted = features(real)
    return perceptual(features(fake), wanted, weights_of(features, weights or {}), norm)


def load_dists() -> nn.Module:
    """Return DISTS over Oxford's VGG16 with equal weights of all channels, frozen; the authors' fitted ones come apart.

    (B, 3, H, W), (B, 3, H, W) -> (B,)

    Raises:
        UserError: the deeper layers of VGG16 are not in the cache and cannot be fetched.
    """
    file = weights.read(published.features_file("vgg16"))
    backbone = _filled(build(file.card), dict(file.tensors), file.path)
    assert isinstance(backbone, VGG16)
    ones = torch.ones(sum(DISTS_CHANNELS))
    return DISTS(backbone, ones, ones).eval().requires_grad_(False)


def weights_of(features: nn.Module, own: Mapping[str, float]) -> Mapping[str, float]:
    """Return the weight of each layer in a perceptual loss: the recipe's own, unless the features are balanced."""
    return features.weights if isinstance(features, FeatureSet) else own


def random_crops(side_px: int, random: torch.Generator, *pictures: Tensor) -> list[Tensor]:
    """Cut the same random square out of pictures of one size; 0 or a side that is too large leaves them whole."""
    if not side_px:
        return list(pictures)
    height, width = pictures[0].shape[-2:]
    rows, columns = min(side_px, height), min(side_px, width)
    top = int(torch.randint(height - rows + 1, (), generator=random))
    left = int(torch.randint(width - columns + 1, (), generator=random))
    return [picture[..., top : top + rows, left : left + columns] for picture in pictures]


def load_balanced(name: str) -> nn.Module | None:
    """Return the balanced features that a name such as `vgg16:relu2_2+efficientnet-lite0` means; None for `none`.

    Raises:
        UserError: as `load_features`, or the features are not balanced ones.
    """
    if name == "none":
        return None
    networks: dict[str, nn.Module] = {}
    means: dict[str, dict[str, float]] = {}
    for part in name.split("+"):
        kind, _, listed = part.partition(":")
        layers = tuple(listed.split(",")) if listed else LAYERS.get(kind, ())
        if kind in networks:
            raise UserError(f"--perceptual names {kind} twice", do=f"Name its layers together: {kind}:one,another")
        if kind not in published.PUBLISHED:
            raise UserError(f"There are no features {kind!r}", do=f"Use {KNOWN}")
        file = weights.read(_file_of(kind, layers))
        # A misspelt layer is told by the network, with the nearest known ones.
        networks[kind] = _filled(_built(file.card, layers), dict(file.tensors), file.path)
        known = published.PUBLISHED[kind].mean_activations
        if missing := [layer for layer in layers if layer not in known]:
            raise UserError(f"{kind}:{missing[0]} cannot be balanced with others", do=f"Use {', '.join(known)}")
        means[kind] = {layer: known[layer] for layer in layers}
    return FeatureSet(networks, means).eval().requires_grad_(False)


def _file_of(kind: str, layers: tuple[str, ...]) -> Path:
    """Return the weight file that reaches as deep as the layers: the bundled one where it does."""
    is_deep = any(layer[4:5] in ("4", "5") for layer in layers)
    return FIRST_STAGES if kind == "vgg16" and not is_deep else published.features_file(kind)


def _built(card: Card, layers: tuple[str, ...]) -> nn.Module:
    return build(replace(card, settings={**card.settings, "layers": layers}))


def _filled(network: nn.Module, tensors: Mapping[str, Tensor], path: Path | None) -> nn.Module:
    try:
        network.load_state_dict(dict(tensors))
    except RuntimeError as error:
        why = f"Its tensors are not those of {type(network).__name__}"
        raise UserError(f"{path} cannot serve as features", why, f"Use {KNOWN}") from error
    return network.eval().requires_grad_(False)
