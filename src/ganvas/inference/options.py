"""Options that all kinds of models have in common, and the error for one that a model cannot honour."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

from ganvas.errors import UsageError

Precision: TypeAlias = Literal["auto", "float32", "bfloat16", "float16"]
Border: TypeAlias = Literal["net", "reflect", "wrap"]
"""What a network sees beyond a picture: its own padding, the mirrored picture, or the opposite side."""
Size: TypeAlias = tuple[int, int]
"""Width and height in pixels."""
Millimetres: TypeAlias = tuple[float, float]
"""Width and height of a film back."""
Region: TypeAlias = tuple[int, int, int, int]
"""X, Y, width and height of a part of a picture, in its pixels."""

Taken = TypeVar("Taken")


@dataclass(frozen=True, kw_only=True)
class Common:
    """How and where any model runs; each option means the same for all kinds."""

    precision: Precision = "auto"
    """Arithmetic of the network; auto takes the machine's fastest."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:1."""
    overwrite: bool = False
    """Replace existing files."""


@dataclass(frozen=True, kw_only=True)
class CommonOptions(Common):
    """What every kind of model needs to write something."""

    out: Path
    """File or folder to write."""


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """Who does the work."""

    cluster: str = ""
    """Share the files over devices by Ray: local (this machine; local:2 for two workers), auto (the cluster that this
    machine belongs to) or ray://host:port."""


def changed(options: Any) -> dict[str, Any]:
    """Return the options by name that differ from their defaults; what has none, such as a file, is no option."""
    found = {}
    for field in dataclasses.fields(options):
        default, value = field.default, getattr(options, field.name)
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        if default is not dataclasses.MISSING and value != default:
            found[field.name] = value
    return found


def part(options: Any, kind: type[Taken]) -> Taken:
    """Return those of some options that another dataclass has, too, as that dataclass."""
    taken = {field.name for field in dataclasses.fields(kind)}  # pyright: ignore[reportArgumentType]
    return kind(
        **{field.name: getattr(options, field.name) for field in dataclasses.fields(options) if field.name in taken}
    )


def refuse(options: Any, kinds: Sequence[type], model: str, why: str, do: str = "Leave it out") -> None:
    """Refuse options that none of some kinds of work can honour, because its dataclass does not have them.

    This is the one place that refuses an option.

    Args:
        options: what the user asked for, of a wider dataclass.
        kinds: dataclasses of the options that the work takes.
        model: name of the model, for the error.
        why: why the others mean nothing for it.
        do: what to do about it.

    Raises:
        UsageError: an option was changed that the work does not take.
    """
    taken = {field.name for kind in kinds for field in dataclasses.fields(kind)}
    refused = [spelled(name) for name in changed(options) if name not in taken]
    if refused:
        raise UsageError(f"{', '.join(refused)} means nothing for {model}", why, do)


def narrow(options: Any, kind: type[Taken], model: str, why: str, do: str = "Leave it out") -> Taken:
    """Return the part of some options that one kind of work takes.

    Raises:
        UsageError: an option was changed that the work does not take.
    """
    refuse(options, [kind], model, why, do)
    return part(options, kind)


def spelled(name: str) -> str:
    """Return an option as the user writes it."""
    return "--" + _SPELLED.get(name, name).replace("_", "-")


_SPELLED = {"begin": "from", "end": "to"}
"""Options whose names are words of Python."""
