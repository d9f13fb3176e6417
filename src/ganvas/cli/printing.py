"""What the verbs print."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def print_json(value: Any) -> None:
    """Print plain values as JSON."""
    print(json.dumps(value, indent=2, default=str), flush=True)


def print_facts(facts: Mapping[str, Any]) -> None:
    """Print names and values in two columns, leaving out what is empty."""
    width = max(map(len, facts))
    for key, value in facts.items():
        if value not in ("", {}, []):
            print(f"{key.ljust(width)}  {_shown(value)}")


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_shown(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_shown, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
