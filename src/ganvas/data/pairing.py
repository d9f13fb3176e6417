"""Which picture belongs to which camera: by the path that the camera file gives, by frame number, or by time.

What is ambiguous is an error: a camera with another camera's picture teaches a network something that is not so.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from ganvas.errors import UserError
from ganvas.io.cameras.cameras import Camera, Solve
from ganvas.io.cameras.names import time_of
from ganvas.io.pictures import images

PASSES = frozenset({"labels", "instances", "depth", "flow", "occlusion"})
"""Folders of other passes of a frame, which share its name."""
RAW = (".heic", ".heif", ".dng", ".nef", ".cr2", ".cr3", ".arw")
"""Suffixes of pictures that are developed before they are used."""
DO = "Name the folder of the plates instead of this one, and the camera file: --cameras FILE"


def plates_of(files: Sequence[Path], root: Path) -> list[Path]:
    """Return the pictures below a folder without other passes of them."""
    return [file for file in files if file.parent.name not in PASSES or file.parent == root]


def pair(solve: Solve, files: Sequence[Path], root: Path) -> list[Path | None]:
    """Return the picture of each camera, None where it has none.

    Args:
        solve: cameras; with names, their files' paths are looked for, first in the folders that the camera file's
            format says, then by the longest common ending; without, their frame numbers.
        files: pictures to choose from, all below `root`.
        root: folder of the footage.

    Raises:
        UserError: a camera could have either of two pictures, or two cameras claim one.
    """
    if solve.timed:
        return _by_time(solve.cameras, files)
    if not any(camera.name for camera in solve.cameras):
        return _by_number(solve.cameras, files)
    found = _by_name([camera.name for camera in solve.cameras], files, [*solve.roots, root])
    claimed: dict[Path, str] = {}
    for camera, file in zip(solve.cameras, found):
        if file is not None and claimed.setdefault(file, camera.name) != camera.name:
            raise UserError(
                f"{claimed[file]} and {camera.name} would both be {file}", "Each camera has its own picture"
            )
    return found


# By name


def _by_name(names: Sequence[str], files: Sequence[Path], anchors: Iterable[Path]) -> list[Path | None]:
    known = _Known(files)
    paths = [PurePosixPath(_plain(name)) for name in names]
    # The folder from which most names lead to a picture is the one that they are told from.
    best: list[Path | None] = [None] * len(names)
    for anchor in dict.fromkeys(_whole(anchor) for anchor in anchors):
        found = [known.at(anchor, path) for path in paths]
        if _count(found) > _count(best):
            best = found
    if _count(best):
        return best
    # A moved folder: as few folders in front as can be are passed over, as many for every name.
    for skipped in range(max(len(path.parts) for path in paths)):
        tails = [path.parts[min(skipped, len(path.parts) - 1) :] for path in paths]
        found = [known.ending(tail, name) for tail, name in zip(tails, names)]
        if _count(found):
            return found
    return best


def _count(found: Sequence[Path | None]) -> int:
    return sum(file is not None for file in found)


def _plain(name: str) -> str:
    """Return a path as written on any system without drive, and without what leads nowhere."""
    parts: list[str] = []
    for part in name.removeprefix("file://").replace("\\", "/").split("/"):
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _whole(path: Path) -> tuple[str, ...]:
    # Links keep their own names: footage is often a folder of links.
    return Path(os.path.abspath(path)).parts  # noqa: PTH100


def _folded(name: str) -> str:
    """Return a name without the difference of cases, and of letters with accents as macOS and others write them."""
    return unicodedata.normalize("NFC", name).casefold()


class _Known:
    """Pictures by their whole paths, with and without suffix."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.wholes = {file: _whole(file) for file in files}
        self.paths = {parts: file for file, parts in self.wholes.items()}
        self.by_name: dict[str, list[Path]] = defaultdict(list)
        self.by_stem: dict[str, list[Path]] = defaultdict(list)
        for file in files:
            self.by_name[_folded(file.name)].append(file)
            self.by_stem[_folded(file.stem)].append(file)

    def at(self, anchor: tuple[str, ...], path: PurePosixPath) -> Path | None:
        """Return the picture that a path leads to from a folder."""
        parts = list(anchor)
        for part in path.parts:
            if part == "..":
                parts = parts[:-1]
            else:
                parts.append(part)
        if tuple(parts) in self.paths:
            return self.paths[tuple(parts)]
        beside = [file for file in self._alike(path.name) if self.wholes[file][:-1] == tuple(parts[:-1])]
        return _only(beside, str(path))

    def ending(self, parts: Sequence[str], name: str) -> Path | None:
        """Return the picture whose path ends with these parts."""
        folders = tuple(parts[:-1])
        exact = [file for file in self.by_name[_folded(parts[-1])] if self._lies_in(file, folders)]
        return _only(exact or [file for file in self._alike(parts[-1]) if self._lies_in(file, folders)], name)

    def _lies_in(self, file: Path, folders: tuple[str, ...]) -> bool:
        return not folders or [*map(_folded, self.wholes[file][:-1][-len(folders) :])] == [*map(_folded, folders)]

    def _alike(self, name: str) -> list[Path]:
        """Return the pictures of a name whose suffix is left out, or is another: footage that was converted."""
        whole = self.by_stem[_folded(name)]
        suffix = PurePosixPath(name).suffix.lower()
        known = suffix in images.READABLE or suffix in RAW
        return whole or (self.by_stem[_folded(PurePosixPath(name).stem)] if known else [])


def _only(found: Sequence[Path], name: str) -> Path | None:
    if len(found) > 1:
        listed = " and ".join(str(file) for file in found[:3])
        raise UserError(f"{name} could be {listed}", "The camera file does not say which of them it means", DO)
    return found[0] if found else None


# By frame number and by time


def _by_number(cameras: Sequence[Camera], files: Sequence[Path]) -> list[Path | None]:
    wanted = {camera.frame for camera in cameras}
    found: dict[int, Path] = {}
    for file in files:
        numbers = re.findall(r"\d+", file.stem)
        number = int(numbers[-1]) if numbers else None
        if number is None or number not in wanted:
            continue
        if number in found:
            what = f"Two pictures have the frame number {number}: {found[number]} and {file}"
            raise UserError(what, "The cameras have no names by which to choose", DO)
        found[number] = file
    return [found.get(camera.frame) for camera in cameras]


def _by_time(cameras: Sequence[Camera], files: Sequence[Path]) -> list[Path | None]:
    """Return for each time the picture nearest to it, if that is nearer than half the pictures' usual distance."""
    timed = sorted((time, file) for file in files if (time := time_of(file.name)) is not None)
    if not timed:
        return [None] * len(cameras)
    times = np.array([time for time, _ in timed])
    if (np.diff(times) == 0).any():
        place = int(np.argmin(np.diff(times)))
        what = f"Two pictures have one time: {timed[place][1]} and {timed[place + 1][1]}"
        raise UserError(what, "The cameras are told by time", DO)
    reach = float(np.median(np.diff(times))) / 2 if len(times) > 1 else np.inf
    chosen: list[Path | None] = []
    for camera in cameras:
        asked = time_of(camera.name)
        place = int(np.abs(times - asked).argmin()) if asked is not None else 0
        is_near = asked is not None and abs(times[place] - asked) <= reach
        chosen.append(timed[place][1] if is_near else None)
    # Two cameras of one picture: the nearer one has it.
    for file in {file for file in chosen if file is not None}:
        rivals = [place for place, one in enumerate(chosen) if one == file]
        own = time_of(file.name)
        best = min(rivals, key=lambda place: abs((time_of(cameras[place].name) or 0.0) - (own or 0.0)))
        for place in rivals:
            chosen[place] = file if place == best else None
    return chosen
