"""Painted scenes as folders: `scene.json` with a style for each instance, and the names of the two maps beside it.

The maps' names tell their content, and `scene.json` is replaced in one step: whoever is killed while writing leaves
the scene as it was before.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ganvas.errors import UserError
from ganvas.inference.labels.editing import Scene, Style
from ganvas.io import runs
from ganvas.io.labels.maps import read_instance_map, read_label_map
from ganvas.io.pictures import images

SCENE = "scene.json"
_NONE = 2**16 - 1
"""How a map's file writes -1: no class, no instance."""


@dataclass(frozen=True)
class SavedScene:
    """A scene as it was painted, and the seed that drew the styles which nobody chose."""

    scene: Scene
    seed: int
    revision: int
    """How often it was edited."""
    labels: Path
    instances: Path


def find_scenes(root: Path) -> list[Path]:
    """Return the folder itself where it is a scene, else the scenes in it."""
    if not root.is_dir():
        return []
    return [root] if _is_scene(root) else sorted(folder for folder in root.iterdir() if _is_scene(folder))


def _is_scene(folder: Path) -> bool:
    return (folder / SCENE).is_file()


def write_scene(folder: Path, scene: Scene, seed: int, revision: int = 0) -> None:
    """Write a scene into a folder, over the one that is there."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {role: _write_map(folder, role, getattr(scene, f"{role[:-1]}_map").numpy()) for role in _ROLES}
    styles = {str(instance): list(style) for instance, style in scene.styles.items()}
    runs.write_json(folder / SCENE, {"seed": seed, "revision": revision, **names, "styles": styles})
    for role, name in names.items():
        for old in folder.glob(f"{role}*.png"):
            if old.name != name:
                old.unlink(missing_ok=True)


_ROLES = ("labels", "instances")


def _write_map(folder: Path, role: str, ids: np.ndarray) -> str:
    name = f"{role}-{hashlib.blake2b(ids.tobytes(), digest_size=6).hexdigest()}.png"
    if not (folder / name).is_file():
        plain = np.where(ids < 0, _NONE, ids)
        if plain.max() <= _NONE:
            pixels = plain.astype(np.uint16)[..., None]
        else:  # as instance maps are read: R + 256 G + 65536 B
            pixels = np.stack([plain >> shift & 255 for shift in (0, 8, 16)], -1).astype(np.uint8)
        images.write(folder / name, pixels, overwrite=True)
    return name


def read_scene(folder: Path) -> SavedScene:
    """Return the scene of a folder.

    Raises:
        UserError: the folder holds none, or a file of it is damaged.
    """
    about = runs.read_json(folder / SCENE)
    try:
        styles = {int(name): _style(values) for name, values in dict(about["styles"]).items()}
        seed, revision = int(about["seed"]), int(about.get("revision", 0))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder / SCENE} is no scene", f"{type(error).__name__}: {error}") from error
    paths = [_beside(folder, about.get(role, f"{role}.png")) for role in _ROLES]
    labels, instances = (torch.from_numpy(read(path)).int() for read, path in zip(_READERS, paths))
    labels[labels == _NONE] = -1
    instances[(labels == -1) & (instances == _NONE)] = -1
    return SavedScene(Scene(labels, instances, styles), seed, revision, *paths)


_READERS = (read_label_map, read_instance_map)


def _beside(folder: Path, name: Any) -> Path:
    """Return a map's path: a name in the folder itself, whatever the file says."""
    path = folder / str(name)
    if path.name != name or not path.is_file():
        raise UserError(f"{folder / SCENE} names a map that is not there", f"There is no {name} beside it")
    return path


def _style(values: Any) -> Style:
    style = tuple(map(float, values))
    if not all(map(math.isfinite, style)):
        raise ValueError("a style is not finite")
    return style
