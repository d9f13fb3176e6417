"""From the words of the command line to typed options: the dataclasses that verbs share, and how values are written.

A verb is a function of one or more dataclasses whose fields are its options and whose docstrings under the fields are
the help. Those of `inference/` are taken as they are.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from ganvas.cli.help import verb_page
from ganvas.errors import UsageError

if TYPE_CHECKING:
    from ganvas.cli.options import Option

Options = TypeVar("Options")


@dataclass(frozen=True, kw_only=True)
class Printing:
    """What a verb shows."""

    json: bool = False
    """Print JSON: one line for each result."""
    quiet: Annotated[bool, tyro.conf.arg(aliases=("-q",))] = False
    """Print only errors."""


def parse(verb: Callable[..., Any], arguments: Sequence[str], prog: str, scope: str = "") -> Any:
    """Run a verb with its arguments, each option under its own name whatever dataclass it stands in.

    `scope` names the options in `names.py`; default is what follows `ganvas` in `prog`.

    Raises:
        UsageError: a word cannot be understood; a size, region or rate is written otherwise than it must be.
    """
    from ganvas.cli import words
    from ganvas.cli.wording import in_words_of

    scope = scope or prog.removeprefix("ganvas ")
    options = options_of(verb, scope)
    if asks_for_help(arguments):
        print(verb_page(prog, inspect.getdoc(verb) or "", options))
        return 0
    with _written_values(), in_words_of(options):
        arranged = words.arrange(arguments, options, scope, prog)
        return tyro.cli(verb, prog=prog, args=arranged, config=(tyro.conf.OmitArgPrefixes,))


def parse_known(kind: type[Options], arguments: Sequence[str], prog: str, scope: str = "") -> tuple[Options, list[str]]:
    """Return the options of a dataclass, and the arguments that are none of them.

    Raises:
        UsageError: as `parse`.
    """
    from ganvas.cli import words

    said = words.read_words(arguments, options_of(kind, scope), scope)
    words.tell(said)
    with _written_values():
        return tyro.cli(kind, prog=prog, args=words.spelled(said)), [*said.positional, *said.unknown]


def options_of(verb: Callable[..., Any] | type, scope: str, default: Any = None) -> list[Option]:
    """Return the options of a verb, or of a dataclass with its defaults."""
    from ganvas.cli.options import read_options

    if default is not None:
        # Pairs among a recipe's settings are two numbers of any kind, and its parser takes two words for them.
        return read_options(verb, scope, default)
    with _written_values():
        return read_options(verb, scope)


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Tell whether help is asked for."""
    return any(word in ("-h", "--help", "--help-all") for word in arguments)


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
        UsageError: it is written otherwise.
    """
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise UsageError(f"{text!r} is no size", do="Write it as 3840x2160: width x height in pixels")
    return int(width), int(height)


def read_millimetres(text: str) -> tuple[float, float]:
    """Return width and height of a film back written as 36x24.

    Raises:
        UsageError: it is written otherwise.
    """
    try:
        width, height = map(float, text.lower().split("x"))
    except ValueError as error:
        raise UsageError(f"{text!r} is no film back", do="Give width and height in millimetres: 36x24") from error
    return width, height


def read_region(text: str) -> tuple[int, int, int, int]:
    """Return X, Y, width and height of a part of a picture.

    Raises:
        UsageError: it is written otherwise.
    """
    parts = [part.strip() for part in text.replace("x", ",").split(",")]
    if len(parts) != 4 or not all(map(str.isdecimal, parts)):
        raise UsageError(f"{text!r} is no part of a picture", do="Give X,Y,WIDTH,HEIGHT in pixels: 100,50,128,128")
    x, y, width, height = map(int, parts)
    return x, y, width, height


def read_rate(text: str) -> Fraction:
    """Return frames a second, written as 24, 12.5 or 24000/1001.

    Raises:
        UsageError: it is written otherwise, or is not above 0.
    """
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise UsageError(f"--fps is {text!r}", do="Give a number above 0, such as 24, 12.5 or 24000/1001")
    return rate


_WRITTEN: dict[Any, tuple[str, Callable[[str], Any], Callable[[Any], str]]] = {
    tuple[int, int]: ("WxH", read_size, lambda size: "x".join(map(str, size))),
    tuple[float, float]: ("WxH", read_millimetres, lambda film: "x".join(f"{side:g}" for side in film)),
    tuple[int, int, int, int]: ("X,Y,W,H", read_region, lambda region: ",".join(map(str, region))),
    Fraction: ("RATE", read_rate, str),
}
"""Types with a way of their own to be written: metavar, reader, writer."""
