"""Networks of a recipe as the engine builds and hands them out, for tests that call a recipe's parts themselves."""

import torch

from ganvas.protocol import Networks, Recipe
from ganvas.training import networks


def networks_of(recipe: Recipe) -> Networks:
    """Return the trained networks of a recipe and, beside them, those that nothing trains."""
    trained = networks.fresh(recipe)
    return Networks({**trained, **networks.fixed(recipe, trained, torch.device("cpu"))})
