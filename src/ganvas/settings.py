"""Settings: frozen dataclasses to and from JSON, their differences, and the settings that every training run shares."""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeVar

from ganvas.errors import UsageError, UserError, did_you_mean

T = TypeVar("T")


def runtime(default: Any, least: float | None = None, most: float | None = None) -> Any:
    """Declare a field that may change between a run and its resumption because it does not alter the weights."""
    return field(default=default, metadata={"runtime": True, "least": least, "most": most})


def bounded(default: Any, least: float, most: float | None = None) -> Any:
    """Declare a field that is a number within bounds, both included."""
    return field(default=default, metadata={"least": least, "most": most})


@dataclass(frozen=True, kw_only=True)
class Training:
    """The settings that every recipe has. A recipe's own settings extend them."""

    RENAMED: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    """By setting the values that have another name now: old -> new. Runs may still note the old one."""

    data: str = ""
    """Folder of pictures (searched in all its subfolders)."""
    val: str = ""
    """Validation set: a folder, or the fraction of the data to hold out, split by picture, scene or clip (0.1)."""
    seed: int = bounded(0, 0, 2**62)
    """Seed of everything that is random."""
    batch_size: int = bounded(16, 1, 2**20)
    """Samples of one optimiser step's batch, over all ranks."""
    micro_batches: int = bounded(1, 1, 2**20)
    """Accumulate the gradients of this many batches before each optimiser step."""
    clip_gradient: float = bounded(0.0, 0)
    """Largest norm of each network's gradient; 0 does not clip."""
    average_half_life: float = bounded(10_000.0, 0)
    """Half-life of the moving average of the weights, in images; 0 keeps none."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Arithmetic of the forward passes. `auto`: bfloat16 where the processor has it, otherwise float32."""
    channels_last: bool = True
    """Store pictures with the channels innermost, which convolutions prefer."""
    compile: bool = False
    """Compile the generator with torch.compile."""
    activation_checkpoints: bool = False
    """Recompute the generator's activations in the backward pass: less memory, about a third more time."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:1`."""
    threads: int = bounded(0, 0, 4096)
    """Processor threads for arithmetic; 0 leaves it to torch. Another number changes the last bits."""
    workers: int = runtime(2, 0, 1024)
    """Threads that read and prepare the data."""
    checkpoint_every: int = runtime(500, 1)
    """Steps between checkpoints."""
    keep_last: int = runtime(3, 1)
    """Checkpoints kept, beside the best one."""
    preview_every: int = runtime(250, 0)
    """Steps between preview pictures; 0 makes none."""
    score_every: int = runtime(500, 0)
    """Steps between scores on the validation set; 0 scores at the end only."""
    frechet: str = runtime("")
    """Keep the best by the Frechet distance of these features: `small`, `efficientnet-lite2`, `clean` ..."""
    log_every: int = runtime(10, 1)
    """Steps between lines of the log."""
    tensorboard: bool = runtime(False)
    """Write TensorBoard events, too (extra `track`)."""
    sentinel: Literal["off", "warn", "rollback", "stop"] = "rollback"
    """What the collapse watch does when it trips."""
    sentinel_action: Literal["halve_rates", "strengthen_r1", "none"] = "halve_rates"
    """What changes after a rollback."""


def to_json(settings: Any) -> dict[str, Any]:
    """Return a dataclass as plain dicts, lists, strings and numbers."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        if isinstance(value, Mapping):
            return {str(key): plain(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        return value

    return plain(settings)


def from_json(cls: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """Build a frozen dataclass from plain values.

    Raises:
        UserError: a key is unknown (with the nearest known ones), or a value has the wrong type.
    """
    hints = typing.get_type_hints(cls)
    known = {f.name for f in dataclasses.fields(cls)}  # pyright: ignore[reportArgumentType]
    for key in values:
        if key not in known:
            raise UserError(f"Unknown setting {where + key!r}", do=did_you_mean(key, known))
    for f in dataclasses.fields(cls):  # pyright: ignore[reportArgumentType]
        if f.default is f.default_factory is dataclasses.MISSING and f.name not in values:
            raise UserError(f"Setting {where + f.name!r} is missing")
    for key, value in values.items():
        if isinstance(value, str) and (now := _renamed(cls, key, value)) != value:
            raise UserError(f"Setting {where + key!r} is {value!r}", f"That is called {now!r} now", f"Use {now}")
    return cls(**{key: _typed(hints[key], value, where + key) for key, value in values.items()})


def renamed(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run notes of its settings, by the names of today."""
    return {key: _renamed(cls, key, value) for key, value in values.items()}


def _renamed(cls: type, key: str, value: Any) -> Any:
    return getattr(cls, "RENAMED", {}).get(key, {}).get(value, value) if isinstance(value, str) else value


def _typed(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, Mapping):
            raise UserError(f"Setting {where!r} is {_short(value)}", "It is a group of settings")
        return from_json(hint, value, where + ".")
    if origin is Literal:
        if value not in typing.get_args(hint):
            raise UserError(
                f"Setting {where!r} is {_short(value)}", do=did_you_mean(str(value), map(str, typing.get_args(hint)))
            )
        return value
    if origin in (typing.Union, types.UnionType):
        options = typing.get_args(hint)
        if value is None and type(None) in options:
            return None
        errors: list[UserError] = []
        for option in options:
            try:
                return _typed(option, value, where)
            except UserError as error:
                errors.append(error)
        raise errors[0]
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise UserError(f"Setting {where!r} is {_short(value)}", "It takes a list")
        items = typing.get_args(hint)
        if len(items) == 2 and items[1] is Ellipsis:
            return tuple(_typed(items[0], item, where) for item in value)
        if len(items) != len(value):
            raise UserError(f"Setting {where!r} is {_short(value)}", f"It takes {len(items)} values")
        return tuple(_typed(kind, item, where) for kind, item in zip(items, value))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise UserError(f"Setting {where!r} is {_short(value)}", "It takes names with values")
        return value
    if origin is not None or hint is Any:
        return value
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return _finite(value, where)
    if isinstance(hint, type) and not (isinstance(value, hint) and (hint is bool or not isinstance(value, bool))):
        raise UserError(f"Setting {where!r} is {_short(value)}", f"It takes a value of type {hint.__name__}")
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]} ..."


def _finite(value: float, where: str) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise UsageError(f"Setting {where!r} is {str(value)[:20]}", "It takes a finite number")
    return number


def differences(settings: Any, other: Any) -> dict[str, tuple[Any, Any]]:
    """Return the leaves in which two settings of one class differ: dotted name -> (first, second)."""
    found: dict[str, tuple[Any, Any]] = {}
    for f in dataclasses.fields(settings):
        mine, theirs = getattr(settings, f.name), getattr(other, f.name)
        if dataclasses.is_dataclass(mine) and type(mine) is type(theirs):
            found.update({f"{f.name}.{key}": pair for key, pair in differences(mine, theirs).items()})
        elif mine != theirs:
            found[f.name] = (mine, theirs)
    return found


_NEVER_ZERO = frozenset({
    *("px", "rate", "rates", "width", "scale", "scales", "every", "length", "lengths", "longest", "growth", "latent"),
    *("div", "shrink", "strides", "multipliers", "zoom", "mm", "unit", "backpropagated"),
})  # fmt: skip
"""Last words of names of numbers that mean nothing at zero or below."""
_NEVER_NEGATIVE = frozenset({
    *("steps", "step", "weight", "weights", "rounds", "decay", "life", "dropout", "momentum", "betas", "std", "share"),
    *("hold", "frames", "features", "size", "samples", "blocks", "layers", "downs", "classes", "labels", "depth"),
    *("batches", "enhancers", "iterations", "table", "planes", "views", "clip", "fourier", "halvings", "run"),
})  # fmt: skip
"""Those that may be zero."""
_BELOW_ONE = frozenset({"betas", "momentum", "dropout"})
_MOST = {
    **dict.fromkeys(("px", "width", "latent", "growth", "multipliers"), 1 << 20),
    **dict.fromkeys(("classes", "labels", "batches", "views", "table", "planes"), 1 << 20),
    **dict.fromkeys(("blocks", "layers", "frames", "depth", "features", "fourier"), 1 << 12),
    # Each doubles a size, or more.
    **dict.fromkeys(("downs", "scales", "enhancers", "iterations", "halvings", "lengths"), 64),
    **dict.fromkeys(("share", "hold"), 1),
}
"""Last words of names of numbers that nobody means beyond this: they would cost memory or time without end."""


def check(settings: Any, presets: Iterable[Any] = (), where: str = "") -> None:
    """Refuse numbers that mean nothing: NaN anywhere, and zero or less where only more makes sense.

    A field says its own bounds (`bounded`, `runtime`); otherwise its name tells what it counts or measures, unless one
    of the recipe's presets has such a value itself.

    Raises:
        UserError: a setting is out of its bounds; it is named.
    """
    presets = list(presets)
    for f in dataclasses.fields(settings):
        value, name = getattr(settings, f.name), where + f.name
        if dataclasses.is_dataclass(value):
            check(value, [getattr(preset, f.name, None) for preset in presets], name + ".")
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, (int, float)) and not isinstance(number, bool):
                _check_number(number, name, f.metadata, [getattr(preset, f.name, None) for preset in presets])


def _check_number(number: float, name: str, bounds: Mapping[str, Any], usual: Sequence[Any]) -> None:
    _finite(number, name)
    least, most = bounds.get("least"), bounds.get("most")
    word = name.rpartition(".")[2].rpartition("_")[2]
    smallest = min((value for value in usual if isinstance(value, (int, float))), default=1)
    if least is None and word in _NEVER_ZERO | _NEVER_NEGATIVE and smallest >= 0:
        least = 0
        if word in _NEVER_ZERO and smallest > 0 and number <= 0:
            raise UsageError(f"Setting {name!r} is {number:g}", "It must be above 0")
    if word in _BELOW_ONE and number >= 1:
        raise UsageError(f"Setting {name!r} is {number:g}", "It must be below 1")
    most = _MOST.get(word) if most is None else most
    if least is not None and number < least:
        raise UsageError(f"Setting {name!r} is {number:g}", f"It must be {least:g} or more")
    if most is not None and number > most:
        raise UsageError(f"Setting {name!r} is {number:g}", f"It must be {most:g} or less")


def is_runtime(cls: type, name: str) -> bool:
    """Tell whether a setting (by dotted name) may differ between a run and its resumption."""
    head, _, rest = name.partition(".")
    for f in dataclasses.fields(cls):
        if f.name == head:
            if rest and (inner := typing.get_type_hints(cls)[head]) and dataclasses.is_dataclass(inner):
                return is_runtime(inner, rest)  # pyright: ignore[reportArgumentType]
            return bool(f.metadata.get("runtime"))
    return False


def replace(settings: T, changes: Mapping[str, Any]) -> T:
    """Return settings with some leaves changed: {"adversarial.base": "hinge"}.

    Raises:
        UserError: a name is unknown, or a value has the wrong type.
    """
    values = to_json(settings)
    for name, value in changes.items():
        place: Any = values
        *path, last = name.split(".")
        for part in path:
            place = _enter(place, part, name)[part]
        _enter(place, last, name)[last] = value
    return from_json(type(settings), values)


def _enter(place: Any, part: str, name: str) -> dict[str, Any]:
    if not isinstance(place, dict) or part not in place:
        known = list(place) if isinstance(place, dict) else []
        raise UserError(f"Unknown setting {name!r}", do=did_you_mean(part, known))
    return place


def parse(text: str) -> Any:
    """Read a value given as text on a command line: true, 3, 1e-4, null, or the text itself."""
    lowered = {"True": "true", "False": "false", "None": "null"}.get(text, text)
    try:
        return json.loads(lowered)
    except json.JSONDecodeError:
        return text
