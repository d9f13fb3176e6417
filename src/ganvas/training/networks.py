"""The networks of a run: built from a recipe's cards, or taken from it, and those that nothing trains."""

from __future__ import annotations

import torch

from ganvas.errors import UserError
from ganvas.networks import build
from ganvas.protocol import Networks, Recipe
from ganvas.training import contract


def fresh(recipe: Recipe) -> Networks:
    """Return all networks that a recipe trains, in the order of its cards, initialised by the global generator."""
    # Its own come first: they draw from the global generator.
    own = contract.networks(recipe, recipe.networks())
    cards = contract.cards(recipe)
    nets = Networks({name: own.pop(name) if name in own else build(card) for name, card in cards.items()})
    # Those of a user's own classes need no card of their own.
    nets.update(own)
    return nets


def fixed(recipe: Recipe, trained: Networks, device: torch.device) -> Networks:
    """Return the networks that a recipe uses and nothing trains: in eval mode, without gradients, on the device.

    Raises:
        UserError: one has the name of a trained network.
    """
    nets = Networks(recipe.fixed())
    for name in nets:
        if name in trained:
            raise UserError(f"The recipe names {name!r} among the networks that it trains and those that it does not")
    for net in nets.values():
        # In float32 whatever the run's precision: autocast rounds what its convolutions take, while the means and
        # deviations by which they normalise pictures, and features asked for outside autocast, need all their digits.
        net.eval().requires_grad_(False).to(device)
    return nets
