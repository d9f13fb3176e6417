"""The shapes of a network without its memory: built on the meta device, and only as far as tensors at hand can fill.

A card or a run's settings may come from anybody and ask for a width of a million or a hundred thousand layers. What
cannot be the network of the tensors beside them is refused before it costs memory or time.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from ganvas.errors import UserError

Shapes = Mapping[str, tuple[int, ...]]


class TooManyLayers(Exception):
    """A network has grown beyond what the tensors at hand can fill."""


_left = threading.local()
"""What the thread may still build; without `parts`, anything."""


def _count(kind: str) -> Callable[..., None]:
    def count(*_: Any) -> None:
        left = getattr(_left, "parts", None)
        if left is not None:
            left[kind] -= 1
            if left[kind] < 0:
                raise TooManyLayers

    return count


# Torch asks these hooks in every thread, so they are set once and for all: a thread that builds a network in earnest is
# not counted, and meets no list of hooks that changes meanwhile.
register_module_parameter_registration_hook(_count("parameters"))
register_module_module_registration_hook(_count("modules"))


@contextlib.contextmanager
def _at_most(tensors: int) -> Iterator[None]:
    """Stop this thread from building networks that have many more parts than there are tensors for them."""
    before = getattr(_left, "parts", None)
    # Norms that reparametrise register a weight twice; modules without tensors come several to a layer.
    _left.parts = {"parameters": 4 * tensors + 200, "modules": 40 * tensors + 2000}
    try:
        yield
    finally:
        _left.parts = before


def shapes_of(build: Callable[[], Mapping[str, nn.Module]], tensors: int) -> dict[str, dict[str, tuple[int, ...]]]:
    """Return the shapes of the networks that `build` makes, by network and tensor, at next to no cost.

    Args:
        build: makes fresh networks by name.
        tensors: how many tensors there are to fill them.

    Raises:
        TooManyLayers: they have many more layers than there are tensors.
    """
    with torch.device("meta"), _at_most(tensors), torch.random.fork_rng(devices=[]):
        networks = build()
        return {
            name: {key: tuple(value.shape) for key, value in network.state_dict().items()}
            for name, network in networks.items()
        }


def require_fit(wanted: Shapes, found: Shapes, where: str) -> None:
    """Check that tensors fill a network.

    Raises:
        UserError: one is missing, is of another shape, or belongs nowhere.
    """
    for key in [*wanted, *found]:
        if wanted.get(key) != found.get(key):
            sides = [list(side[key]) if key in side else "missing" for side in (wanted, found)]
            why = f"The tensor {key} is {sides[1]} in the file and {sides[0]} in the network"
            raise UserError(f"{where} and the network of their card do not fit together", why)
