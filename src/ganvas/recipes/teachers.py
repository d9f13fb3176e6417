"""Teachers: trained upscalers whose output is a target for another network (Hinton et al. 2015, arXiv 1503.02531)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from ganvas.errors import UserError
from ganvas.io.weights import files as weights
from ganvas.io.weights.foreign import UnknownNetwork
from ganvas.networks import build, others

BUNDLED = Path(__file__).parents[1] / "weights"


def load_teacher(name: str, scale: int) -> nn.Module:
    """Return a trained upscaler, frozen, from pictures in [0, 1] to pictures in [0, 1].

    (B, 3, h, w) -> (B, 3, scale h, scale w)

    Args:
        name: a weight file, a run, or a model that comes with Ganvas.
        scale: of the network that is to be taught.

    Raises:
        UserError: no such weights, or they are of no upscaler of pictures by that scale.
    """
    bundled = BUNDLED / f"{name}.safetensors"
    try:
        file = weights.read(bundled if bundled.is_file() else Path(name).expanduser())
        network, card = None, file.card
    except UnknownNetwork as unknown:
        file = None
        network, card = others.by_spandrel(unknown.tensors)
    if card.input != "picture" or card.scale != scale or (card.channels_in, card.channels_out) != (3, 3):
        why = f"It is a {card.network} x{card.scale} of {card.channels_in} channels for {card.input}"
        raise UserError(f"{name} cannot teach", why, f"Name an upscaler x{scale} of colour pictures")
    if tuple(card.range) != (0.0, 1.0) or card.extra.get("resize_output", 1) != 1:
        raise UserError(f"{name} cannot teach", "It takes other values than [0, 1], or resizes what it makes")
    if network is None:
        assert file is not None
        # Building draws random numbers, which must not move those of the network that is taught.
        with torch.random.fork_rng(devices=[]):
            network = build(card)
        network.load_state_dict(dict(file.tensors))
    return network.eval().requires_grad_(False)
