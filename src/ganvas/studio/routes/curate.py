"""The page Curate: keep or drop each picture of a folder; every decision is written at once."""

from __future__ import annotations

import json
import shlex
import shutil
import threading
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict

from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.io.pictures import images
from ganvas.studio.state import Studio, studio_of
from ganvas.studio.workspace import Workspace, id_of

router = APIRouter(prefix="/api/curations")
Shared = Annotated[Studio, Depends(studio_of)]


_LOCK = threading.Lock()


class Decision(BaseModel):
    """Whether a picture stays; `open` takes a decision back."""

    model_config = ConfigDict(extra="forbid")

    picture: str
    keep: Literal["keep", "drop", "open"]


@router.get("")
def folders(studio: Shared) -> list[dict[str, Any]]:
    """Return the folders that can be curated, with how much of each is decided."""
    places = [*studio.workspace.folders, studio.workspace.uploads]
    rows = []
    for folder in places:
        names = _names(folder)
        if names:
            decided = _decisions(studio.workspace, folder)
            rows.append({
                "id": id_of(folder), "name": _name(studio.workspace, folder), "pictures": len(names),
                "decided": sum(name in decided for name in names),
            })  # fmt: skip
    return rows


@router.get("/{id}")
def one_folder(id: str, studio: Shared) -> dict[str, Any]:
    """Return the pictures of a folder with what was decided, and the command that trains on those kept."""
    folder = _folder(studio, id)
    decided = _decisions(studio.workspace, folder)
    pictures = []
    for name in _names(folder):
        picture = studio.workspace.add((folder / name).resolve())
        pictures.append({**picture.row(), "name": name, "keep": decided.get(name, "open")})
    kept, listed = _kept(studio.workspace, folder), _list(studio.workspace, folder)
    return {
        "id": id, "name": _name(studio.workspace, folder), "pictures": pictures,
        "command": shlex.join(["ganvas", "train", "esrgan", "--data", str(kept)]),
        "list_command": shlex.join(["ganvas", "train", "esrgan", "--data", str(folder), "--list", str(listed)]),
    }  # fmt: skip


@router.put("/{id}")
def decide(id: str, decision: Decision, studio: Shared) -> dict[str, Any]:
    """Write a decision down."""
    folder = _folder(studio, id)
    if decision.picture not in _names(folder):
        raise UserError("This picture is not in the folder any more", do="Reload the page")
    with _LOCK:  # swipes come faster than they are written
        decided = _decisions(studio.workspace, folder)
        decided.pop(decision.picture, None)
        if decision.keep != "open":
            decided[decision.picture] = decision.keep
        runs.write_json(_file(studio.workspace, folder), {"folder": str(folder), "decisions": decided})
        kept = [name for name, keep in decided.items() if keep == "keep"]
        runs.write_atomically(_list(studio.workspace, folder), "".join(f"{name}\n" for name in kept).encode())
        _show(_kept(studio.workspace, folder) / decision.picture, folder / decision.picture, decision.keep == "keep")
    return {"decided": len(decided)}


def _folder(studio: Studio, id: str) -> Path:
    places = [*studio.workspace.folders, studio.workspace.uploads]
    found = next((folder for folder in places if id_of(folder) == id), None)
    if found is None:
        raise UserError("This folder is not here any more", do="Start the studio with it: ganvas studio FOLDER")
    return found


def _names(folder: Path) -> list[str]:
    if not any(folder.iterdir()):
        return []
    return [path.relative_to(folder).as_posix() for path in images.find_pictures([folder])[0]]


def _file(workspace: Workspace, folder: Path) -> Path:
    return workspace.curations / f"{id_of(folder)}.json"


def _kept(workspace: Workspace, folder: Path) -> Path:
    """Return the folder of links to the pictures that are kept: what a training is given."""
    return workspace.curations / f"{folder.name}-{id_of(folder)[:4]}-kept"


def _list(workspace: Workspace, folder: Path) -> Path:
    """Return the list of the pictures that are kept, for `--list`."""
    return workspace.curations / f"{folder.name}-{id_of(folder)[:4]}-keep.txt"


def _name(workspace: Workspace, folder: Path) -> str:
    return "sent to the studio" if folder == workspace.uploads else folder.name


def _show(link: Path, picture: Path, is_kept: bool) -> None:
    """Make or remove the link to a picture; where there are no links, a copy."""
    link.unlink(missing_ok=True)
    if is_kept:
        link.parent.mkdir(parents=True, exist_ok=True)
        try:
            link.symlink_to(picture.resolve())
        except OSError:
            shutil.copyfile(picture, link)


def _decisions(workspace: Workspace, folder: Path) -> dict[str, str]:
    path = _file(workspace, folder)
    if not path.is_file():
        return {}
    found = json.loads(path.read_text())
    return {str(name): str(value) for name, value in found.get("decisions", {}).items()}
