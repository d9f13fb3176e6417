"""How fast each engine ran a network on this machine, kept from run to run in one small file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganvas.errors import UserError
from ganvas.io import runs

MOST = 500
"""The oldest entries above this number are forgotten."""


def key_of(facts: Mapping[str, Any]) -> str:
    """Return a short name for all that a timing depends on."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:20]


def known(key: str) -> dict[str, float] | None:
    """Return the seconds of each engine that were kept under a key, the fastest first; None where nothing was."""
    found = _read().get(key)
    if not isinstance(found, dict) or not all(isinstance(value, (int, float)) for value in found.values()):
        return None
    return dict(sorted(found.items(), key=lambda item: item[1])) or None


def keep(key: str, seconds: Mapping[str, float]) -> None:
    """Keep the seconds of each engine under a key; a folder that cannot be written to costs only the next probe."""
    entries = _read()
    entries.pop(key, None)
    entries[key] = {name: round(value, 5) for name, value in seconds.items()}
    newest = dict(list(entries.items())[-MOST:])
    with contextlib.suppress(OSError, UserError):
        _path().parent.mkdir(parents=True, exist_ok=True)
        runs.write_atomically(_path(), json.dumps(newest, indent=0).encode())


def _path() -> Path:
    home = os.environ.get("GANVAS_HOME")
    return (Path(home) if home else Path.home() / ".cache" / "ganvas") / "engines.json"


def _read() -> dict[str, Any]:
    try:
        found = json.loads(_path().read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
