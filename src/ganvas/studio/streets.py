"""Stretches of the drawn street for the page Clips, each written once."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

from ganvas.drawn.world.files import write_clip
from ganvas.drawn.world.world import World, shots
from ganvas.io.labels import world_layout

_LOCK = threading.Lock()


def folder_of(work: Path, frames: int, size: tuple[int, int], seed: int) -> Path:
    """Return where a stretch of the street lies, or will lie."""
    return work / f"streets/{size[0]}x{size[1]}-{frames}-{seed}"


def write(work: Path, frames: int, size: tuple[int, int], seed: int) -> Path:
    """Return the folder of a stretch of the street, written where it is not there yet."""
    folder = folder_of(work, frames, size, seed)
    with _LOCK:
        if folder.is_dir():
            return folder
        temporary = folder.with_name(f".{folder.name}")
        shutil.rmtree(temporary, ignore_errors=True)
        place = world_layout.begin(temporary)[0]
        write_clip(place, World(seed), shots("drive", frames, seed), *size, lambda _: None)
        temporary.rename(folder)
    return folder
