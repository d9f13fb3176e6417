"""Errors that a user can act on: what happened, why, and what to do."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType


class UserError(Exception):
    """A mistake or an obstacle that the user can do something about; the command line prints it without a traceback."""

    def __init__(self, what: str, why: str = "", do: str = "") -> None:
        self.what, self.why, self.do = what, why, do
        super().__init__(" ".join(_sentence(part) for part in (what, why, do) if part))


class UsageError(UserError):
    """The words of a command cannot be understood, or do not go together; the command line exits with code 2."""


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!", ":")) else text + "."


def harmless(text: str) -> str:
    """Return a text with its control characters spelt out: names in files may be sequences that steer a terminal."""
    shown = (c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)
    return "".join(shown)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the advice that follows an unknown name: the nearest known names, or all of them when none is near."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if near:
        return f"Did you mean {' or '.join(near)}?"
    return f"Known: {', '.join(known)}." if known else ""


def need(module: str, extra: str) -> ModuleType:
    """Import an optional package, or say which extra brings it.

    Raises:
        UserError: the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name and module.split(".")[0] == error.name.split(".")[0]:
            why = f"The package {module.split('.')[0]!r} is not installed"
        else:
            why = f"Importing {module!r} failed: {error}"
        raise UserError(f"This needs the extra {extra!r}", why, f"pip install 'ganvas[{extra}]'") from error
