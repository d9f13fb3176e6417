"""Paths whose bytes are no UTF-8, for libraries that take text: a link of a plain name stands for them."""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
from pathlib import Path


def plain(path: Path) -> str:
    """Return a path as text that every library takes; where it is none, that of a link to it."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        link = Path(_links().name) / (hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:32] + _suffix(path))
        if not link.is_symlink():
            link.symlink_to(path.absolute())
        return str(link)
    return str(path)


def plain_beside(path: Path) -> str:
    """Return a path of a plain name in a folder of any name, for a file that is still to be made."""
    return f"{plain(path.parent)}{os.sep}{path.name}"


@functools.cache
def _links() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="ganvas-names-")


def _suffix(path: Path) -> str:
    return path.suffix if path.suffix.isascii() else ""
