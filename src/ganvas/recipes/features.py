"""The feature networks of perceptual losses: what a recipe's setting `perceptual` names, opened and frozen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import nn

from ganvas.errors import UserError
from ganvas.io.weights import containers
from ganvas.io.weights import files as weights
from ganvas.networks import build
from ganvas.networks.features import VGG19

SMALL = Path(__file__).parents[1] / "weights" / "small-features.safetensors"
"""Our own small features, which scripts/train_features.py makes. They are no VGG."""


def load_features(name: str, layers: tuple[str, ...]) -> nn.Module | None:
    """Return a frozen feature network, from pictures in [0, 1] to a dict of activations; None for `none`.

    (B, 3, H, W) -> layer name: (B, C, h, w)

    Args:
        name: `vgg19` (torchvision's published file, fetched once), `small` (ours), `none`, or a file: a `.pth` is taken
            for torchvision's VGG19, any other has a card that names its network.
        layers: names of activations; convN_M is before its ReLU, reluN_M after it.

    Raises:
        UserError: the weights cannot be had, are of no feature network, or lack a layer.
    """
    if name == "none":
        return None
    if name == "vgg19":
        path = weights.fetch(weights.VGG19_URL, weights.VGG19_NAME, weights.VGG19_HASH)
    else:
        path = SMALL if name == "small" else Path(name)
    if path.suffix == ".pth":
        network, tensors = VGG19(layers=layers), containers.open_stored(path)
    else:
        file = weights.read(path)
        network = build(replace(file.card, settings={**file.card.settings, "layers": layers}))
        tensors = dict(file.tensors)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        why = f"Its tensors are not those of {type(network).__name__}"
        raise UserError(f"{path} cannot serve as features", why, "Use vgg19, small or none") from error
    return network.eval().requires_grad_(False)
