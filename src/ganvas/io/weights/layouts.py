"""What it takes to know another project's weight file by its tensor names; the files foreign_*.py hold such layouts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from torch import Tensor

from ganvas.protocol import Card

Tensors: TypeAlias = Mapping[str, Tensor]
Shapes: TypeAlias = dict[str, tuple[int, ...]]


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
