"""Cards read from files: of any origin, so each field is checked before anything is done as it says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ganvas import settings
from ganvas.errors import UserError
from ganvas.protocol import Card

FORMAT_VERSION = 1

_BOUNDS = {
    "scale": (1, 64),
    "channels_in": (1, 65_536),
    "channels_out": (1, 65_536),
    "multiple_of": (1, 2048),
    "minimum_px": (1, 2048),
    "halo_px": (0, 4096),
    "exact_halo_px": (0, 65_536),
}
"""Least and largest value of what a picture is padded, cut or enlarged by."""


def read(text: str, where: str) -> Card:
    """Return the card of a weight file from its header.

    Raises:
        UserError: it is damaged, of a newer version, or says something that no card says.
    """
    try:
        header = json.loads(text)
        version, values = int(header["version"]), dict(header["card"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise UserError(f"The card of {where} is damaged", str(error) or type(error).__name__) from error
    if version > FORMAT_VERSION:
        why = f"Its format is version {version}; this Ganvas reads up to {FORMAT_VERSION}"
        raise UserError(f"{where} was written by a newer Ganvas", why, "pip install --upgrade ganvas")
    return from_values(values, where)


def write(card: Card) -> str:
    """Return the header of a weight file with this card."""
    return json.dumps({"version": FORMAT_VERSION, "card": settings.to_json(card)}, sort_keys=True)


def from_values(values: Any, where: str) -> Card:
    """Return a card from plain values.

    Raises:
        UserError: a field is unknown, missing, of another type, or out of its bounds.
    """
    try:
        if not isinstance(values, Mapping):
            raise UserError(f"It is a {type(values).__name__}")
        card = settings.from_json(Card, {str(key): value for key, value in values.items()})
        _check(card)
        card = replace(card, settings=_as_facts(card.settings), extra=_as_facts(card.extra))
    except UserError as error:
        raise UserError(f"The card of {where} cannot be read", error.what, error.do or error.why) from error
    return card


def _check(card: Card) -> None:
    for name, (least, most) in _BOUNDS.items():
        if not least <= getattr(card, name) <= most:
            raise UserError(f"Its {name} is {getattr(card, name)}, and must lie between {least} and {most}")
    low, high = card.range
    if not low < high:
        raise UserError(f"Its range goes from {low} to {high}")
    for name, is_right in _EXTRA.items():
        if name in card.extra and not is_right(card.extra[name]):
            shown = repr(card.extra[name])
            raise UserError(f"Its {name} is {shown if len(shown) <= 80 else shown[:80] + ' ...'}")


class Facts(dict[str, Any]):
    """Values of a card by name; one that is missing is an error of the card, not of the program."""

    def __missing__(self, key: str) -> Any:
        raise UserError(f"The model's card does not say its {key}", "It is damaged, or was written by something else")


def _as_facts(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Facts({str(key): _as_facts(inner) for key, inner in value.items()})
    return value


# What suites ask of a card beside its fields, and what it must look like.


def _is_number(value: Any, least: float = -1e12, most: float = 1e12) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most


def _whole(least: int, most: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and _is_number(value, least, most)


def _list_of(is_right: Callable[[Any], bool], length: int = -1) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, (list, tuple)) and (length < 0 or len(value) == length) and all(map(is_right, value))
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _facts(**inner: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, Mapping) and all(name in value and is_right(value[name]) for name, is_right in inner.items())
    )


def _is_size(value: Any) -> bool:
    return _list_of(_whole(1, 65_536), 2)(value) and value[0] * value[1] <= MOST_PIXELS


MOST_PIXELS = 1 << 26
"""Pixels of an output whose size a card says."""

_EXTRA: dict[str, Callable[[Any], bool]] = {
    "resize_output": lambda value: _is_number(value, 1 / 64, 64),
    "num_labels": _whole(0, 65_536),
    "features": _whole(0, 65_536),
    "boundaries": _is_flag,
    "edges": _is_flag,
    "replaces": _list_of(_is_text),
    "first_frame": _is_text,
    "legend": _list_of(lambda value: isinstance(value, Mapping)),
    "ignore": _list_of(_whole(-1, 1 << 31)),
    "size_px": _is_size,
    "output_px": _is_size,
    "fit": _is_text,
    "encoder_shrinks": _whole(1, 1024),
    "standing_batches": _whole(0, 10_000),
    "class_names": _list_of(_is_text),
    "class_counts": _list_of(lambda value: _is_number(value, 0)),
    "cameras": _list_of(_list_of(_is_number, 13)),
    "frames": _list_of(lambda value: isinstance(value, (int, str))),
    "film_back_mm": _list_of(lambda value: _is_number(value, 1e-3, 1e6), 2),
    "centre": _list_of(_is_number, 2),
    "zoom": _list_of(lambda value: _is_number(value, 1e-6, 1e6), 2),
    "roll_degrees": _is_number,
    "crop": _is_text,
    "conditions": _facts(num_labels=_whole(0, 65_536), class_names=_list_of(_is_text)),
    "upres": _facts(
        guide=lambda value: isinstance(value, Mapping),
        tile_px=_whole(1, 8192),
        low_px=_whole(1, 65_536),
        grid_px=_whole(1, 65_536),
    ),
}
