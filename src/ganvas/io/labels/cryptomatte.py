"""Id mattes: which object each pixel of a rendered frame shows, from OpenEXR files.

Cryptomatte files hold, for each pixel, ids of objects (hashes of their names, kept as the bits of floats) with the
share of the pixel that each covers, in the order of the shares; metadata tells which channels, and the names. Other
files may hold whole numbers in one channel. Source: Friedman and Jones, "Fully automatic ID mattes with support for
motion blur and transparency" (2015), and the Cryptomatte specification 1.2.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ganvas.errors import UserError
from ganvas.io.pictures import images
from ganvas.io.pictures.headers import open_input

BACKGROUND = 0
"""Id where no object covers most of a pixel."""
_PREFERRED = "object"


class Matte(NamedTuple):
    """What covers most of each pixel."""

    ids: np.ndarray
    """(H, W) int64: the hash of an object's name, or 0 for none."""
    coverage: np.ndarray
    """(H, W) float32: its share of the pixel."""
    names: dict[str, int]
    """Ids by name, where the file tells names."""


def read_instances(path: str | Path) -> np.ndarray:
    """Return an instance map, (H, W) int64 of 0 to 2**31 - 1: from a Cryptomatte, or from a channel of whole numbers.

    An object has the same id in every frame and file, since it is the hash of its name (without its highest bit).

    Raises:
        UserError: the file cannot be read, or holds neither.
    """
    path = Path(path)
    if layers(path):
        return read_matte(path).ids & 0x7FFFFFFF
    pixels, _ = images.read(path)
    ids = pixels[..., 0]
    if pixels.shape[-1] > 1 or not np.isfinite(ids).all() or (ids != np.rint(ids)).any() or ids.min() < 0:
        why = "It holds neither Cryptomattes nor a single channel of whole numbers"
        raise UserError(f"{path} is no map of ids", why, "Render the pass Cryptomatte, or ids of objects")
    return ids.astype(np.int64)


def read_matte(path: str | Path, layer: str = "") -> Matte:
    """Read a Cryptomatte.

    Args:
        path: an OpenEXR file.
        layer: which of its Cryptomattes, such as `CryptoObject`; empty takes the only one, or the one of objects.

    Raises:
        UserError: there is no such, or its channels are missing.
    """
    path = Path(path)
    there = layers(path)
    name = layer or _chosen(path, list(there))
    if name not in there:
        raise UserError(f"{path} holds no Cryptomatte {name!r}", f"It holds {', '.join(there) or 'none'}")
    ranks = _read_ranks(path, name)
    covered = np.concatenate([part[..., 1::2] for part in ranks], -1)
    hashes = np.concatenate([np.ascontiguousarray(part[..., 0::2]).view(np.uint32) for part in ranks], -1)
    most = covered.argmax(-1)[..., None]
    ids, coverage = (np.take_along_axis(values, most, -1)[..., 0] for values in (hashes.astype(np.int64), covered))
    # What no object covers is background, and it counts as one.
    is_background = coverage < 1 - covered.sum(-1)
    return Matte(np.where(is_background, BACKGROUND, ids), coverage, _names(path, there[name]))


def layers(path: str | Path) -> dict[str, dict[str, str]]:
    """Return the Cryptomattes of a file by name, each with its metadata; none for other files.

    Raises:
        UserError: the file cannot be read.
    """
    source = open_input(Path(path))
    try:
        told: dict[str, dict[str, str]] = {}
        for item in source.spec().extra_attribs:
            parts = item.name.split("/", 2)
            if len(parts) == 3 and parts[0] == "cryptomatte":
                told.setdefault(parts[1], {})[parts[2]] = str(item.value)
    finally:
        source.close()
    return {facts["name"]: facts for facts in told.values() if "name" in facts}


def _chosen(path: Path, names: list[str]) -> str:
    if len(names) == 1:
        return names[0]
    of_objects = [name for name in names if _PREFERRED in name.lower()]
    if len(of_objects) != 1:
        raise UserError(f"{path} holds several Cryptomattes", ", ".join(names), "Render the one of objects alone")
    return of_objects[0]


def _read_ranks(path: Path, name: str) -> list[np.ndarray]:
    """Return each group of channels, (H, W, 4): id, share, next id, its share."""
    source = open_input(path)
    try:
        spec = source.spec()
        places = {channel.lower(): number for number, channel in enumerate(spec.channelnames)}
        ranks = []
        # Renderers differ in how they write R, red and r.
        while all(f"{name}{len(ranks):02d}.{letter}".lower() in places for letter in "rgba"):
            group = [places[f"{name}{len(ranks):02d}.{letter}".lower()] for letter in "rgba"]
            planes = [source.read_image(0, 0, number, number + 1, "float") for number in group]
            if any(plane is None for plane in planes):
                raise UserError(f"{path} cannot be read", source.geterror(), "Render it again")
            ranks.append(
                np.concatenate([np.asarray(plane).reshape(spec.height, spec.width, 1) for plane in planes], -1)
            )
        kinds = {str(spec.channelformat(places[f"{name}00.r".lower()]))} if ranks else {"none"}
    finally:
        source.close()
    if kinds != {"float"}:
        why = f"Its channels {name}00.R to A are of type {kinds.pop()}, and ids need 32 bits"
        raise UserError(f"{path} holds no usable Cryptomatte", why, "Render it as 32-bit float")
    return ranks


def _names(path: Path, facts: dict[str, str]) -> dict[str, int]:
    text = facts.get("manifest", "")
    beside = path.parent / facts.get("manif_file", "")
    if not text and beside.is_file():
        text = beside.read_text(errors="replace")
    try:
        return {str(name): int(code, 16) for name, code in json.loads(text or "{}").items()}
    except (AttributeError, TypeError, ValueError):
        # Names are a comfort; ids are what counts.
        return {}
