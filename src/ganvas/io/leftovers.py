"""What an interruption leaves in a run folder, and its removal: names that Ganvas gives, nothing else, through no link.

A run folder may come from anybody, or have links in it that its owner has put there. What is deleted or overwritten in
it must therefore be in it, and bear a name that only Ganvas gives.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from pathlib import Path

from ganvas.errors import UserError

FOLDERS = ("checkpoints", "previews", "attachments", "tensorboard")
"""Folders of a run that are written to."""

FILES = ("settings.json", "log.jsonl", "losses.svg", "latest.png")
"""Files of a run that are written to."""

_UNFINISHED = {
    "": re.compile(r"\.(settings(-until-[0-9]{8,12})?\.json|log\.jsonl|losses\.svg)\.partial"),
    "checkpoints": re.compile(r"\.([0-9]{8,12}\.(partial|deleted)|(latest|best\.json)\.partial)"),
    "previews": re.compile(r"\.ganvas-[0-9a-f]{12}\.part"),
    "attachments": re.compile(r"\.[A-Za-z0-9_-]+\.safetensors\.partial"),
}
"""By folder of a run: the names of what is being written or deleted there. `latest.png` is written beside the run's
own files by the room that writes pictures, whose unfinished files are called the same everywhere."""


def is_own_folder(path: Path) -> bool:
    """Tell whether a path is a folder itself, not a link to one."""
    return path.is_dir() and not path.is_symlink()


def require_own(run: Path) -> None:
    """Check that what is written in a run lies in it: no part of it is a link or a special file.

    Raises:
        UserError: a part is.
    """
    do = "Put the folder or file itself there. To keep a run on another disk, move the whole run and link to that"
    for name in FOLDERS:
        path = run / name
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise UserError(f"{path} is {_kind(path)}", "A run writes and deletes in its own folders only", do)
    for path in [*(run / name for name in FILES), *run.glob("settings-until-*.json")]:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise UserError(f"{path} is {_kind(path)}", "A run writes its own files only", do)


def _kind(path: Path) -> str:
    if path.is_symlink():
        with contextlib.suppress(OSError):
            return f"a link to {path.readlink()}"
    return "no folder" if path.name in FOLDERS else "no plain file"


def clear(run: Path) -> list[Path]:
    """Delete what an interruption left half-written or half-deleted, and return it."""
    removed: list[Path] = []
    for name, pattern in _UNFINISHED.items():
        folder = run / name
        if not is_own_folder(folder) and name:
            continue
        for path in folder.iterdir():
            known = pattern.fullmatch(path.name) or (not name and _UNFINISHED["previews"].fullmatch(path.name))
            if known and remove(path):
                removed.append(path)
    return removed


def remove(path: Path) -> bool:
    """Delete a file, a link (never what it leads to) or a folder; return whether it is gone."""
    with contextlib.suppress(OSError):
        if is_own_folder(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return not path.exists() and not path.is_symlink()
