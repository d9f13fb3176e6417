"""Some of a folder's pictures, as a list names them: a folder of links to them, which every training takes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ganvas.errors import UserError


def pick(folder: str | Path, listed: str | Path) -> Path:
    """Return a folder of links to the pictures of a folder that a list names; it is made beside the list.

    Args:
        folder: where the pictures lie, with subfolders; their places below it are kept.
        listed: a text file with a path in each line, as `ganvas curate` writes `keep.txt`: absolute, or below the
            folder, the list's own folder or the present one.

    Raises:
        UserError: the list cannot be read or is empty, names what is not in the folder, or its place is taken.
    """
    folder, listed = Path(folder), Path(listed)
    wanted = {_place(line, folder, listed): line for line in _lines(listed)}
    target = listed.with_name(f"{listed.stem}-pictures")
    if target.exists() and not _is_ours(target):
        raise UserError(f"{target} exists already", "The links to the pictures of the list would go there", "Move it")
    links = {place: (folder / place).resolve() for place in wanted}
    if target.is_dir() and {path.relative_to(target): path.readlink() for path in _links(target)} == links:
        return target  # ranks of one training find what the first has made
    building = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(building, ignore_errors=True)
    for place, picture in links.items():
        (building / place).parent.mkdir(parents=True, exist_ok=True)
        (building / place).symlink_to(picture)
    shutil.rmtree(target, ignore_errors=True)
    building.rename(target)
    return target


def _lines(listed: Path) -> list[str]:
    try:
        lines = listed.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The list {listed} cannot be read", str(error), "Give a text file of paths") from error
    found = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not found:
        raise UserError(f"The list {listed} is empty", do="Write a path into each line")
    return found


def _place(line: str, folder: Path, listed: Path) -> Path:
    """Return where a line's picture lies below the folder."""
    root = folder.resolve()
    for path in (folder / line, Path(line), listed.parent / line):
        # Of links in the folder, the link is meant and not what it leads to.
        whole = Path(os.path.normpath(path.absolute()))
        for base in (Path(os.path.normpath(folder.absolute())), root):
            if whole.is_file() and whole.is_relative_to(base):
                return whole.relative_to(base)
    why = f"{listed} names it, and there is no such file in {folder}"
    raise UserError(f"{line} is not among the pictures", why, "Give the folder by --data that the list was made of")


def _links(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_symlink()]


def _is_ours(folder: Path) -> bool:
    """Tell whether a folder holds nothing but links."""
    return folder.is_dir() and all(path.is_symlink() or path.is_dir() for path in folder.rglob("*"))
