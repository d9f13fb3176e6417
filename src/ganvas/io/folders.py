"""The files below a folder, as every room finds them: links are followed, loops cut, and our own output left out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

OWN_FILES = ("settings.json", "comparison.json")
"""A folder below the one that is searched which holds one of these is a run or a comparison: output, never data."""

NO_DATA = ("__MACOSX", "Thumbs.db", "desktop.ini")
"""What systems leave in folders and archives."""


def files(root: str | Path, recursive: bool = True, plain: bool = True) -> Iterator[Path]:
    """Yield the files of a folder and of those below it, hidden ones left out, in the order of their names.

    `plain` leaves out what is no file: links to nothing, pipes and devices.
    Links to folders are followed; a folder that is reached twice, by a loop or by two links, counts where it is met
    first.
    """
    seen = {os.path.realpath(root)}
    for place, folders, names in os.walk(root, followlinks=True):
        for name in sorted(names):
            path = Path(place, name)
            if is_data(name) and (not plain or path.is_file()):
                yield path
        kept = []
        for name in sorted(folders if recursive else []):
            real = os.path.realpath(Path(place, name))
            if is_data(name) and real not in seen and not is_output(Path(place, name)):
                seen.add(real)
                kept.append(name)
        folders[:] = kept


def subfolders(root: str | Path) -> list[Path]:
    """Return the folders directly below one that may hold data, in the order of their names."""
    return sorted(
        path for path in Path(root).iterdir() if path.is_dir() and is_data(path.name) and not _holds_output(path)
    )


def is_data(name: str) -> bool:
    """Tell whether a file or folder of this name may be data."""
    return not name.startswith(".") and name not in NO_DATA


def is_output(folder: Path) -> bool:
    """Tell whether a folder is a run or a comparison."""
    run, comparison = (folder / name for name in OWN_FILES)
    return (run.is_file() and (folder / "checkpoints").is_dir()) or comparison.is_file()


def _holds_output(folder: Path) -> bool:
    """Tell whether a folder is output or, as `runs` is, holds nothing else."""
    if is_output(folder):
        return True
    inner = [path for path in folder.iterdir() if is_data(path.name)]
    return bool(inner) and all(path.is_dir() and is_output(path) for path in inner)
