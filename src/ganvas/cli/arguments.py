"""From the words of the command line to typed options: the dataclasses that verbs share, and how values are written.

A verb is a function of one or more dataclasses whose fields are its options and whose docstrings under the fields are
the help. Those of `inference/` are taken as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from ganvas.errors import UserError

Options = TypeVar("Options")


@dataclass(frozen=True, kw_only=True)
class Printing:
    """What a verb shows."""

    json: bool = False
    """Print JSON: one line for each result."""
    quiet: bool = False
    """Print only errors."""


def parse(verb: Callable[..., Any], arguments: Sequence[str], prog: str) -> Any:
    """Run a verb with its arguments, each option under its own name whatever dataclass it stands in.

    Raises:
        UserError: a size, region or rate is written otherwise than it must be.
    """
    with _written_values():
        return tyro.cli(verb, prog=prog, args=list(arguments), config=(tyro.conf.OmitArgPrefixes,))


def parse_known(kind: type[Options], arguments: Sequence[str], prog: str) -> tuple[Options, list[str]]:
    """Return the options of a dataclass, and the arguments that are none of them.

    Raises:
        UserError: as `parse`.
    """
    with _written_values():
        return tyro.cli(kind, prog=prog, args=list(arguments), return_unknown_args=True)


def _written_values() -> ConstructorRegistry:
    registry = ConstructorRegistry()
    for kind, (metavar, read, write) in _WRITTEN.items():
        registry.primitive_rule(_rule(kind, metavar, read, write))
    return registry


def _rule(
    kind: Any, metavar: str, read: Callable[[str], Any], write: Callable[[Any], str]
) -> Callable[[PrimitiveTypeInfo], PrimitiveConstructorSpec[Any] | None]:
    def rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
        if info.type != kind:
            return None
        return PrimitiveConstructorSpec(
            nargs=1,
            metavar=metavar,
            instance_from_str=lambda words: read(words[0]),
            is_instance=lambda value: isinstance(value, Fraction if kind is Fraction else tuple),
            str_from_instance=lambda value: [write(value)],
        )

    return rule


def read_size(text: str) -> tuple[int, int]:
    """Return width and height of a size written as 256x128.

    Raises:
        UserError: it is written otherwise.
    """
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise UserError(f"{text!r} is no size", do="Write it as 3840x2160: width x height in pixels")
    return int(width), int(height)


def read_millimetres(text: str) -> tuple[float, float]:
    """Return width and height of a film back written as 36x24.

    Raises:
        UserError: it is written otherwise.
    """
    try:
        width, height = map(float, text.lower().split("x"))
    except ValueError as error:
        raise UserError(f"{text!r} is no film back", do="Give width and height in millimetres: 36x24") from error
    return width, height


def read_region(text: str) -> tuple[int, int, int, int]:
    """Return X, Y, width and height of a part of a picture.

    Raises:
        UserError: it is written otherwise.
    """
    parts = [part.strip() for part in text.replace("x", ",").split(",")]
    if len(parts) != 4 or not all(map(str.isdecimal, parts)):
        raise UserError(f"{text!r} is no part of a picture", do="Give X,Y,WIDTH,HEIGHT in pixels: 100,50,128,128")
    x, y, width, height = map(int, parts)
    return x, y, width, height


def read_rate(text: str) -> Fraction:
    """Return frames a second, written as 24, 12.5 or 24000/1001.

    Raises:
        UserError: it is written otherwise, or is not above 0.
    """
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise UserError(f"--fps is {text!r}", do="Give a number above 0, such as 24, 12.5 or 24000/1001")
    return rate


_WRITTEN: dict[Any, tuple[str, Callable[[str], Any], Callable[[Any], str]]] = {
    tuple[int, int]: ("WxH", read_size, lambda size: "x".join(map(str, size))),
    tuple[float, float]: ("WxH", read_millimetres, lambda film: "x".join(f"{side:g}" for side in film)),
    tuple[int, int, int, int]: ("X,Y,W,H", read_region, lambda region: ",".join(map(str, region))),
    Fraction: ("RATE", read_rate, str),
}
"""Types with a way of their own to be written: metavar, reader, writer."""
