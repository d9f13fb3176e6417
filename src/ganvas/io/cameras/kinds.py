"""Which of the camera formats a file is in: by its suffix, and by its content where programs share a suffix."""

from __future__ import annotations

import contextlib
import functools
import json
from pathlib import Path
from typing import Any

from ganvas.errors import UserError

SUFFIXES = {
    ".csv": "csv",
    ".chan": "chan",
    ".nk": "nuke",
    ".ma": "maya",
    ".usd": "usd",
    ".usda": "usd",
    ".usdc": "usd",
    ".usdz": "usd",
    ".abc": "alembic",
    ".fbx": "fbx",
    ".json": "nerf",
    ".txt": "colmap",
    ".bin": "colmap",
    ".sfm": "meshroom",
    ".xml": "metashape",
    ".out": "bundler",
}
"""Suffix -> the file of this room that reads it, unless its content says otherwise; a folder is COLMAP's model."""
STANDARD = (
    "transforms.json", "transforms_train.json", "cameras.csv", "reconstruction.json", "sfm_data.json", "cameras.sfm",
    "bundle.out", "bundle/bundle.out", "metadata.json",
)  # fmt: skip
"""Camera files that are looked for in a folder, in this order; then COLMAP's models; then any other one."""
MODELS = ("sparse/0", "sparse", "dense/sparse", "dense/0/sparse", "colmap/sparse/0", "colmap/sparse", "")
"""Where a model of COLMAP is looked for below a folder."""
KEYS = {
    "sfm_data_version": "openmvg",
    "cameraPoseARFrame": "arkit",
    "t_00": "polycam",
    "frames": "nerf",
    "perFrameIntrinsicCoeffs": "record3d",
}
"""A key of a JSON file -> the format that has it."""
FEW_BYTES = 1 << 16


def kind_of(path: Path) -> str:
    """Return the name of the file of this room that reads a path.

    Raises:
        UserError: it is in no format that is known.
    """
    if path.is_dir():
        return _kind_of_folder(path)
    suffix = path.suffix.lower()
    if not suffix:
        return "colmap"
    if suffix not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        why = "Maya's binary scenes hold no text" if suffix == ".mb" else ""
        do = f"Use {known}, or a folder with COLMAP's model"
        raise UserError(f"{path} is in no camera format that Ganvas knows", why, do)
    if not path.is_file():
        return SUFFIXES[suffix]
    looks = {".json": _of_json, ".txt": _of_text, ".csv": _of_table, ".sfm": _of_json, ".xml": _of_xml}
    return looks[suffix](path) if suffix in looks else SUFFIXES[suffix]


def is_cameras(path: Path) -> bool:
    """Tell whether a file that was not named looks like one of cameras; .json, .txt and .xml may be anything."""
    suffix = path.suffix.lower()
    if suffix in (".xml", ".out"):
        return b"<cameras" in _start(path) or _start(path).startswith(b"# Bundle")
    if suffix == ".nk":
        return b"Camera" in _start(path)
    return suffix in SUFFIXES and suffix not in (".txt", ".json", ".bin")


def _kind_of_folder(path: Path) -> str:
    if any((path / f"images{suffix}").is_file() for suffix in (".bin", ".txt")):
        return "colmap"
    for below in ("corrected_cameras", "cameras", "."):
        some = next(iter(sorted((path / below).glob("*.json"))), None)
        with contextlib.suppress(UserError):
            kind = _of_json(some) if some else ""
            if kind == "polycam" or (kind == "arkit" and below == "."):
                return kind
    return "colmap"


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(FEW_BYTES)
    except OSError:
        return b""


def _of_json(path: Path) -> str:
    told = load_json(path)
    if isinstance(told, list):
        return "opensfm" if told and isinstance(told[0], dict) and "shots" in told[0] else "nerf"
    if "views" in told and "poses" in told:
        return "meshroom"
    if "poses" in told and "frames" not in told and ("K" in told or "perFrameIntrinsicCoeffs" in told):
        return "record3d"
    return next((kind for key, kind in KEYS.items() if key in told), "nerf")


@functools.lru_cache(maxsize=2)
def _loaded(path: Path, _size: int, _changed: int) -> Any:
    return json.loads(path.read_text(encoding="utf-8-sig"))


def load_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises:
        UserError: it is missing or no JSON.
    """
    try:
        told = path.stat()
        return _loaded(path, told.st_size, told.st_mtime_ns)
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read", str(error)) from error


def _lines(path: Path) -> list[str]:
    text = _start(path).decode("utf-8", "replace")
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _of_text(path: Path) -> str:
    if path.name in ("images.txt", "cameras.txt", "points3D.txt"):
        return "colmap"
    first = next(iter(_lines(path)), "").split()
    try:
        [float(part) for part in first]
    except ValueError:
        return "colmap"
    return "trajectory" if len(first) in (8, 12, 13) else "colmap"


def _of_table(path: Path) -> str:
    first = next(iter(_start(path).decode("utf-8", "replace").splitlines()), "").lower()
    return "realitycapture" if first.lstrip("\ufeff").startswith("#") else "csv"


def _of_xml(path: Path) -> str:
    if b"<document" in _start(path) or b"<chunk" in _start(path):
        return "metashape"
    why = "Of .xml files those that Metashape exports with File > Export > Export Cameras are known"
    raise UserError(f"{path} is in no camera format that Ganvas knows", why)
