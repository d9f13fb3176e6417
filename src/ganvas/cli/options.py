"""The options of a verb as data, read off its parser: for help, completion, and the check of what was written."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
import typing
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import tyro

from ganvas.cli.names import PAIRS, shown_of

MANY = -1


@dataclass(frozen=True)
class Option:
    """One option or positional argument."""

    field: str
    """As the parser spells it, without dashes."""
    names: tuple[str, ...]
    """As they are written; empty for a positional argument."""
    metavar: str
    help: str
    default: str = ""
    group: str = ""
    values: int = 1
    """Words that follow it; MANY for any number."""
    choices: tuple[str, ...] = ()
    kind: str = "text"
    """`int`, `float` or `text`."""
    is_required: bool = False
    repeats: bool = False
    parts: tuple[str, ...] = ()
    """Fields that an option written as WxH stands for."""

    @property
    def is_positional(self) -> bool:
        """Whether it is written without a name."""
        return not self.names

    @property
    def is_flag(self) -> bool:
        """Whether no value follows."""
        return self.values == 0


def read_options(verb: Callable[..., Any] | type, scope: str, default: Any = None) -> list[Option]:
    """Return the options of a verb, or of a dataclass with its defaults, under the names of the command line."""
    named: dict[str, Any] = {} if default is None else {"default": default}
    with warnings.catch_warnings():
        # It is called deprecated, and nothing else tells a parser's options.
        warnings.simplefilter("ignore")
        parser = tyro.extras.get_parser(verb, config=(tyro.conf.OmitArgPrefixes,) if default is None else None, **named)
    groups, shown = _groups(verb), shown_of(scope)
    found = [_option(action, groups, shown) for action in parser._actions if action.dest != "help"]
    return _paired(found, PAIRS.get(scope, {}))


TRUTHS = {"auto": "None", "yes": "True", "no": "False"}
"""How a choice between yes, no and neither is written, and what its parser takes."""
_SUFFIX = re.compile(r"\s*\((default: (?P<default>.*)|required)\)\s*$", re.DOTALL)


def _option(action: argparse.Action, groups: Mapping[str, str], shown: Mapping[str, str]) -> Option:
    field = action.dest.strip("_") if not action.option_strings else _field(action.option_strings)
    text = str(action.help or "")
    suffix = _SUFFIX.search(text)
    default = (suffix["default"] or "") if suffix else ""
    written = str(action.metavar or "")
    choices = tuple(map(str, action.choices)) if action.choices else ()
    choices = tuple(TRUTHS) if set(choices) == set(TRUTHS.values()) else choices or _choices(written)
    is_flag = action.nargs == 0
    names = tuple(_written(name, shown) for name in action.option_strings)
    if is_flag:
        names = _flag_names(names, default)
    values = 0 if is_flag else _count(action, written)
    return Option(
        field=field,
        names=names,
        metavar="" if is_flag else _metavar(written, choices, field, values, not names),
        help=" ".join(text[: suffix.start()].split() if suffix else text.split()),
        default="" if default in ("None", "''", "False", "True") else default.strip("'"),
        group=groups.get(field.replace("-", "_"), "options"),
        values=values,
        choices=choices,
        kind={"INT": "int", "FLOAT": "float"}.get(re.sub(r"\{None\}\||[\[\] .]", "", written)[:5].strip(), "text")
        if values == 1
        else _kind_of_many(written),
        is_required=bool(suffix and suffix["default"] is None) or (not names and values == 1 and not suffix),
        repeats=type(action).__name__ == "_AppendAction",
    )  # fmt: skip


def _count(action: argparse.Action, metavar: str) -> int:
    """Return how many words follow an option: of one that may be left out as None, its form tells."""
    if group := re.fullmatch(r"\{None\}\|\{(\w+(?: \w+)+)\}", metavar):
        return len(group[1].split())
    return action.nargs if isinstance(action.nargs, int) else 1 if action.nargs in (None, "?") else MANY


def _field(strings: typing.Sequence[str]) -> str:
    return next(name for name in strings if name.startswith("--")).removeprefix("--")


def is_negative(name: str) -> bool:
    """Tell whether an option's name is the one that switches it off: --no-mirror, --adversarial.no-saturating."""
    return re.match(r"--(?:[a-z0-9-]+\.)*no-", name) is not None


def _written(name: str, shown: Mapping[str, str]) -> str:
    plain = name.removeprefix("--")
    return f"--{shown.get(plain, plain)}" if name.startswith("--") else name


def _flag_names(names: tuple[str, ...], default: str) -> tuple[str, ...]:
    """Return the names of a flag, first the one that changes something."""
    return tuple(sorted(names, key=lambda name: is_negative(name) != (default == "True")))


def _choices(metavar: str) -> tuple[str, ...]:
    found = re.fullmatch(r"(?:\{None\}\|)?\{([^{} ]*)\}", metavar)
    return tuple(found[1].split(",")) if found else ()


def _kind_of_many(metavar: str) -> str:
    words = set(re.findall(r"[A-Z]+", metavar))
    return "int" if words == {"INT"} else "float" if words == {"FLOAT"} else "text"


_PLAIN = {"STR": "TEXT", "INT": "N", "FLOAT": "X", "PATH": "PATH"}


def _metavar(written: str, choices: tuple[str, ...], field: str, values: int, positional: bool) -> str:
    if choices and not positional:
        return "|".join(choice or "''" for choice in choices)
    if positional:
        name = field.rpartition(".")[2].replace("-", "_").upper()
        return f"{name} ..." if values == MANY else name
    plain = written.replace("{None}|", "")
    plain = re.sub(r"\[(\w+) \[\w+ \.\.\.\]\]", r"\1 ...", plain).strip("{}")
    plain = re.sub(r"\b(STR|INT|FLOAT)\b", lambda found: _PLAIN[found[1]], plain)
    return re.sub(r"[{}]", "", plain)


def _groups(verb: Callable[..., Any] | type) -> dict[str, str]:
    """Return the name of the dataclass that declares each option first: field -> class."""
    kinds = [verb] if isinstance(verb, type) else []
    if not kinds:
        hints = typing.get_type_hints(verb)
        kinds = [hints[name] for name in inspect.signature(verb).parameters if dataclasses.is_dataclass(hints[name])]
    found: dict[str, str] = {}
    for kind in kinds:
        for parent in reversed(kind.__mro__[:-1]):
            for name in inspect.get_annotations(parent):
                found.setdefault(name, parent.__name__)
    return found


def _paired(options: list[Option], pairs: Mapping[str, tuple[str, str]]) -> list[Option]:
    """Return options with those that are written as one WxH in place of the first of the two fields."""
    for name, parts in pairs.items():
        found = {one.field: one for one in options if one.field in parts}
        if len(found) < len(parts):
            continue
        first, second = (found[part] for part in parts)
        whole = dataclasses.replace(
            first, field=name, names=(f"--{name}",), metavar="WxH", default=f"{first.default}x{second.default}",
            help=f"{first.help.rstrip('.')}; width x height.", kind="text", parts=parts,
        )  # fmt: skip
        options = [whole if one is first else one for one in options if one is not second]
    return options
