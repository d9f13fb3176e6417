"""The cards of super-resolution networks, which say for themselves how far they reach."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from ganvas import networks
from ganvas.protocol import Card

CHEAP_PX = 24
"""Up to here a tile's context may be all that its pixels depend on; a deep net's reach is wider than a tile."""
USUAL_PX = 16


def enlarger_card(network: str, **settings: Any) -> Card:
    """Return the card of a network that enlarges pictures (`rrdbnet`, `compact`, `srresnet`, `span`).

    Args:
        network: its name.
        settings: those that differ from its defaults.

    Raises:
        UserError: a setting that the network cannot have.
    """
    kind = networks.find(network)
    values = {name: parameter.default for name, parameter in inspect.signature(kind).parameters.items()} | settings
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        net: Any = networks.build(Card(network=network, settings=values))
    reach = net.receptive_halo_px
    return Card(
        network=network,
        settings=values,
        scale=values["scale"],
        channels_in=values["channels_in"],
        channels_out=values["channels_out"],
        multiple_of=getattr(net, "unit_px", 1),
        halo_px=reach if reach <= CHEAP_PX else USUAL_PX,
        exact_halo_px=reach,
    )
