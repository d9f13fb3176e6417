"""Other projects' weight files by their tensor names: what a layout is, and what all layouts ask of tensors.

Each network's layouts stand beside it in `layouts.py`. They are functions of tensors by name and open no file; the
reader that tries them is `ganvas.io.weights.foreign`. Hyper-parameters are read off the shapes; which shapes belong to
them the network itself says, built without memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from torch import Tensor

from ganvas.errors import UserError
from ganvas.networks import blueprint, build
from ganvas.protocol import Card

Tensors: TypeAlias = Mapping[str, Tensor]
VARIANT = "It may be a variant of this network that is not supported"
CUT = "It may be cut down or belong to a variant of this network"


class Recognised(NamedTuple):
    """A card that says what a file holds, and its tensors in our layout."""

    card: Card
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class Layout:
    """One project's way of naming the tensors of one network."""

    name: str
    matches: Callable[[Collection[str]], bool]
    convert: Callable[[Tensors], Recognised]


def count(tensors: Tensors, pattern: str) -> int:
    """Return how many names match a pattern as a whole."""
    return sum(re.fullmatch(pattern, key) is not None for key in tensors)


def need(tensors: Tensors, key: str) -> Tensor:
    """Return a tensor by its name.

    Raises:
        UserError: it is missing.
    """
    if key not in tensors:
        raise UserError(f"it lacks the tensor {key}", CUT)
    return tensors[key]


def size(tensors: Tensors, key: str, axis: int) -> int:
    """Return the length of one axis of a tensor.

    Raises:
        UserError: the tensor is missing, or has no such axis or nothing along it.
    """
    shape = need(tensors, key).shape
    if len(shape) <= axis or not shape[axis]:
        raise UserError(f"its tensor {key} has the shape {list(shape)}")
    return shape[axis]


def renamed(tensors: Tensors, names: Mapping[str, str]) -> dict[str, Tensor]:
    """Return all tensors under our names, given our name -> theirs.

    Raises:
        UserError: one is missing, or one is left over.
    """
    known = set(names.values())
    for key in tensors:
        if key not in known:
            raise UserError(f"it has a tensor too many: {key}", VARIANT)
    return {ours: need(tensors, theirs) for ours, theirs in names.items()}


def fitting(card: Card, tensors: Tensors, names: Mapping[str, str] | None = None) -> Recognised:
    """Return a card with its tensors, if they are those of the card's network.

    Args:
        card: what was read off the tensors.
        tensors: under our names.
        names: our name -> theirs, for messages.

    Raises:
        UserError: one is missing, is of another shape, or belongs nowhere.
    """
    theirs = names or {}
    try:
        shapes = blueprint.shapes_of(lambda: {"": build(card)}, len(tensors))[""]
    except blueprint.TooManyLayers as error:
        raise UserError("its shapes do not fit together", f"{len(tensors)} tensors are too few for it") from error
    for key, shape in shapes.items():
        found = tuple(need(tensors, key).shape)
        if found != shape:
            why = f"{theirs.get(key, key)} is {list(found)} where {list(shape)} was expected"
            raise UserError("its shapes do not fit together", why)
    for key in tensors:
        if key not in shapes:
            raise UserError(f"it has a tensor too many: {theirs.get(key, key)}", VARIANT)
    return Recognised(card, dict(tensors))
