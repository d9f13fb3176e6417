"""What a run says of itself, checked before anything is done as it says: a run folder may come from anybody."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganvas.errors import UserError


@dataclass(frozen=True)
class Noted:
    """What `settings.json` says: the recipe, its settings, what the run started from, and the cards of its networks."""

    recipe: str
    settings: Mapping[str, Any]
    recipe_sha256: str = ""
    folder: str = ""
    """Where the run was started: what its settings name by a relative path lies there."""
    init: tuple[str, ...] = ()
    freeze: tuple[str, ...] = ()
    card: Mapping[str, Any] | None = None
    cards: Mapping[str, Mapping[str, Any]] | None = None

    def card_of(self, network: str) -> Any:
        """Return what the run notes of a network's card; of one it does not know, the generator's."""
        return (self.cards or {}).get(network, self.card or {})


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_group(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_groups(value: Any) -> bool:
    return isinstance(value, Mapping) and all(map(_is_group, value.values()))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value


_NOTED: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "recipe": ("a text", _is_text),
    "settings": ("a group of settings", _is_group),
    "recipe_sha256": ("a text", _is_text),
    "folder": ("a folder", _is_path),
    "init": ("a list of texts", _is_texts),
    "freeze": ("a list of texts", _is_texts),
    "card": ("a card", _is_group),
    "cards": ("cards by network", _is_groups),
}


def of(found: Mapping[str, Any], path: Path) -> Noted:
    """Return what a run notes of itself, from what its `settings.json` at `path` holds.

    Raises:
        UserError: something is missing or of another type.
    """
    _require(found, _NOTED, path, needed=("recipe", "settings"))
    if "\0" in found["recipe"]:
        raise _damaged(path, "Its recipe is no name and no path")
    known: dict[str, Any] = {key: value for key, value in found.items() if key in _NOTED}
    for key in known.keys() & {"init", "freeze"}:
        known[key] = tuple(known[key])
    return Noted(**known)


# Checkpoints


def _whole(most: int = 1 << 53) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_carry(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_group, value))


def _is_shown(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(pictures, list) for pictures in value)


def _is_checksums(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        _TENSORS.fullmatch(name) and isinstance(digest, str) for name, digest in value.items()
    )


def _is_scores(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(score, (int, float)) for score in value.values())


_TENSORS = re.compile(r"[A-Za-z0-9_-]+\.safetensors")
_STATE: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "step": ("a number of steps", _whole()),
    "checksums": ("checksums of files in the checkpoint", _is_checksums),
    "settings": ("a group of settings", _is_group),
    "samples": ("a number of samples", _whole()),
    "images_seen": ("a number of images", _whole()),
    "stage": ("a text", _is_text),
    "stage_index": ("a number", _whole()),
    "position": ("a number", _whole()),
    "carry": ("a group of values for each rank", _is_carry),
    "shown": ("thumbnails of each rank", _is_shown),
    "scaler": ("a group of values", _is_group),
    "sentinel": ("a group of values", _is_group),
    "healthy": ("true or false", _is_flag),
    "regular": ("true or false", _is_flag),
    "facts": ("a group of values", _is_group),
    "fingerprints": ("a group of fingerprints", _is_group),
    "folder": ("a folder", _is_path),
    "scores": ("scores by name", _is_scores),
}


def check_state(state: Mapping[str, Any], path: Path) -> None:
    """Check the types of what a checkpoint's state says.

    Raises:
        UserError: a value is of another type; it is named.
    """
    _require(state, _STATE, path, needed=("step", "checksums"))


def require_resumable(state: Mapping[str, Any], path: Path) -> None:
    """Check that a checkpoint's state has all that a resumption takes over.

    Raises:
        UserError: something is missing.
    """
    optional = ("regular", "healthy", "scores", "fingerprints", "folder", "shown")
    _require(state, _STATE, path, needed=tuple(name for name in _STATE if name not in optional))


def _require(
    found: Mapping[str, Any],
    known: Mapping[str, tuple[str, Callable[[Any], bool]]],
    path: Path,
    needed: tuple[str, ...],
) -> None:
    for name in needed:
        if name not in found:
            raise _damaged(path, f"It does not say its {name}")
    for name, (what, is_right) in known.items():
        if name in found and not is_right(found[name]):
            shown = repr(found[name])
            raise _damaged(path, f"Its {name} is {shown if len(shown) <= 60 else shown[:60] + ' ...'}, not {what}")


def _damaged(path: Path, why: str) -> UserError:
    return UserError(f"{path} is damaged or was written by something else", why)
