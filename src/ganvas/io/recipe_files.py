"""Recipes of users: Python files, which are run only when the user himself has named them.

A run folder notes the path and the SHA-256 of its recipe. Both come from the folder, which may be anybody's, so neither
is a reason to run the file: `confirm` keeps the hash of each file that the user names, outside of all runs.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path


def digest(path: str | Path) -> str:
    """Return the SHA-256 of a file, empty when it cannot be read."""
    path = Path(path)
    with contextlib.suppress(OSError, ValueError):
        if path.is_file():
            return hashlib.sha256(path.read_bytes()).hexdigest()
    return ""


def confirm(path: str | Path) -> None:
    """Remember that the user has named this file, with its present content, as a recipe."""
    # Where nothing can be kept, the user names the file again when he resumes.
    if content := digest(path):
        with contextlib.suppress(OSError):
            folder = _folder()
            folder.mkdir(parents=True, exist_ok=True)
            (folder / content).write_text(f"{Path(path).resolve()}\n", encoding="utf-8")


def is_confirmed(path: str | Path) -> bool:
    """Tell whether the user has named a file of this very content before."""
    content = digest(path)
    return bool(content) and (_folder() / content).is_file()


def _folder() -> Path:
    home = os.environ.get("GANVAS_HOME")
    return (Path(home) if home else Path.home() / ".cache" / "ganvas") / "recipes"
