"""`ganvas train --config FILE`: a training written down, as JSON or TOML, or as the settings.json of a run.

The file is data: nothing in it is executed. A recipe's file that only it names is not run.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganvas import launch
from ganvas.errors import UsageError, UserError, did_you_mean
from ganvas.io import noted, runs

KNOWN = ("recipe", "preset", "settings", "init", "freeze")
"""What stands in a file that a user writes."""


def order_of(path: Path, recipe: str = "", preset: str = "") -> launch.Order:
    """Return the order that a file describes; what the command names stands above the file.

    Raises:
        UserError: the file cannot be read, names what there is not, or names a recipe's file that the user has not.
    """
    path = path / runs.SETTINGS if path.is_dir() else path
    values = _read(path)
    if "folder" in values or "card" in values:
        if preset:
            raise UsageError(f"--preset {preset} means nothing beside {path}", "A run's settings are all its own")
        return launch.order_again(noted.of(values, path), recipe, str(path), "--config")
    for key in values:
        if key not in KNOWN:
            raise UserError(f"{path} has an unknown entry {key!r}", do=did_you_mean(key, KNOWN))
    told = str(values.get("recipe", ""))
    if not (recipe or told):
        raise UserError(f"{path} names no recipe", do="Add one, or name it in the command")
    if not recipe and told.endswith(".py"):
        do = f"Name it yourself: ganvas train {told} --config {path}"
        raise UserError(f"{told} was not run", f"Only {path} names it, and a file of settings is data", do)
    settings, lists = values.get("settings", {}), {}
    if not isinstance(settings, Mapping):
        raise UserError(f"`settings` in {path} is no table", do='Write "settings": {"batch_size": 8}')
    for key in ("init", "freeze"):
        items = values.get(key, ())
        if not (isinstance(items, (list, tuple)) and all(isinstance(item, str) for item in items)):
            raise UserError(f"{key!r} in {path} is no list of texts")
        lists[key] = tuple(items)
    order = launch.order(recipe or told, preset or str(values.get("preset", "")), flat(settings))
    return launch.Order(order.recipe, order.settings, order.preset, **lists)


def flat(settings: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return settings in groups by dotted names."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found.update(flat(value, f"{before}{name}."))
        else:
            found[f"{before}{name}"] = value
    return found


def _read(path: Path) -> Mapping[str, Any]:
    if path.suffix.lower() != ".toml" or not path.is_file():
        return runs.read_json(path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read", error.strerror or str(error)) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"{path} is no TOML", str(error)) from error
