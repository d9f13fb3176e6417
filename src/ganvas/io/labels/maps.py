"""Maps of ids, read as they were meant: whole numbers of any width, palettes by their index, colours by a legend.

Instance maps may also be Cryptomattes, or colours that write a number as R + 256 G + 65536 B. Where a file cannot hold
ids (JPEG, fractions), it is refused: a wrong id makes a wrong picture, and nobody would see why.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ganvas.errors import UserError
from ganvas.io.labels import cryptomatte
from ganvas.io.labels.legends import Label
from ganvas.io.pictures import images, palettes
from ganvas.io.pictures.headers import open_input
from ganvas.io.pictures.shards import from_shards

IGNORED = -1
"""The label of a pixel that belongs to no class."""

_WIDE = ("int8", "int16", "int", "int32", "uint", "uint32", "int64", "uint64")
"""Types of samples that the reader of pictures makes fractions of."""


@from_shards
def read_label_map(path: Path, legend: Sequence[Label] = ()) -> np.ndarray:
    """Return the ids of a label map, (H, W) int64: gray values, indices of a palette, or colours of a legend.

    Negative ids, as 32-bit maps may hold them, stand for no class.

    Raises:
        UserError: the file is damaged or stored with loss, is no map of ids, or holds a colour that the legend lacks.
    """
    if is_lossy(path):
        why = "It is stored with loss, which changes ids at every edge"
        raise UserError(f"{path} is no label map", why, f"Export it as PNG, or restore it: {_remap(path)}")
    if path.suffix.lower() == ".exr" and cryptomatte.layers(path):
        why = "It is a Cryptomatte, whose ids are hashes of names and no classes"
        raise UserError(f"{path} is no label map", why, f"ganvas label import {path.parent} --out DIR")
    pixels = _ids_of(path)[..., :3]
    if pixels.shape[-1] == 1:
        return _unscaled(path, pixels[..., 0])
    storage = palettes.read_storage(path)
    if storage is not None and storage.palette is not None:
        return _indices(path, pixels, storage.palette, np.arange(len(storage.palette)), "its palette")
    if (pixels == pixels[..., :1]).all() and not legend:
        return pixels[..., 0].astype(np.int64)
    if legend:
        colors = np.array([label.color for label in legend], np.uint8)
        return _indices(path, pixels, colors, np.array([label.id for label in legend]), "the legend")
    raise UserError(
        f"{path} is no label map",
        "It is a colour picture, and no legend says which colour is which class",
        "Put a legend.json beside the folders: `ganvas inspect DIR --write-legend` lists the colours, and "
        "`ganvas label legend` has those of known sets",
    )


@from_shards
def read_instance_map(path: Path) -> np.ndarray:
    """Return the ids of an instance map, (H, W) int64: whole numbers, colours (R + 256 G + 65536 B) or a Cryptomatte.

    An alpha of many values is part of the number.

    Raises:
        UserError: the file is damaged or stored with loss, or holds fractions.
    """
    if is_lossy(path):
        why = "It is stored with loss, which changes ids at every edge"
        raise UserError(f"{path} is no instance map", why, "Export it as 16-bit PNG")
    if path.suffix.lower() == ".exr" and cryptomatte.layers(path):
        return cryptomatte.read_instances(path)
    pixels = _ids_of(path)
    if pixels.shape[-1] == 1:
        return _unscaled(path, pixels[..., 0])
    storage = palettes.read_storage(path)
    if storage is not None and storage.palette is not None:
        return _indices(path, pixels, storage.palette, np.arange(len(storage.palette)), "its palette")
    if pixels.shape[-1] == 3 and (pixels == pixels[..., :1]).all():
        return pixels[..., 0].astype(np.int64)
    if pixels.dtype == np.uint16 and not (pixels % 257).any():
        pixels = pixels // 257  # 8 bits, stretched
    if pixels.max() > 255:
        why = "It is a colour picture of 16 bits, and how its colours write a number is not known"
        raise UserError(f"{path} is no instance map", why, "Write ids as 16-bit gray PNG, or colours of 8 bits")
    return pixels.astype(np.int64) @ np.array([1, 1 << 8, 1 << 16, 1 << 24])[: pixels.shape[-1]]


@from_shards
def is_lossy(path: Path) -> bool:
    """Tell whether a file's format has changed its values: JPEG, and WebP but for its lossless kind.

    Raises:
        UserError: it cannot be read.
    """
    name = images.read_header(path).format
    if name != "webp":
        return name == "jpeg"
    with path.open("rb") as file:
        return b"VP8L" not in file.read(64)


def check_ids(
    label_map: np.ndarray, num_labels: int, ignore: Sequence[int], path: str | Path, do: str = ""
) -> np.ndarray:
    """Return a label map with its ignored and its negative ids made -1.

    Args:
        do: what mends an id that is too high; by default, what a training run can do.

    Raises:
        UserError: an id is not below `num_labels`; the file, the highest such id and its first pixel are named.
    """
    checked = np.where(np.isin(label_map, list(ignore)) | (label_map < 0), IGNORED, label_map)
    if checked.size and checked.max() >= num_labels:
        y, x = (int(place[0]) for place in np.nonzero(checked == checked.max()))
        raise UserError(
            f"{path} holds the label id {int(checked[y, x])} at pixel x={x}, y={y}",
            f"With {num_labels} labels the ids are 0 to {num_labels - 1}",
            do or f"Set the number of labels to {int(checked.max()) + 1} or more, or ignore this id",
        )
    return checked


def _ids_of(path: Path) -> np.ndarray:
    """Return whole numbers (H, W, 1, 3 or 4), as wide as they are stored."""
    wide = _wide(path)
    pixels = images.read(path)[0] if wide is None else wide
    if pixels.shape[-1] == 4 and len(np.unique(pixels[..., 3])) > 2:
        return pixels  # no alpha: BDD100K's bitmasks hold part of a number there
    pixels = pixels[..., :-1] if pixels.shape[-1] in (2, 4) else pixels
    if pixels.dtype.kind == "f":
        if not np.isfinite(pixels).all() or (pixels != np.rint(pixels)).any():
            raise UserError(f"{path} is no map of ids", "It holds fractions", "Write ids as 8-bit or 16-bit PNG")
        pixels = pixels.astype(np.int64)
    if pixels.dtype.kind != "u" and pixels.shape[-1] > 1:
        if (pixels != pixels[..., :1]).any():
            raise UserError(f"{path} is no map of ids", f"It has {pixels.shape[-1]} channels of {pixels.dtype}")
        pixels = pixels[..., :1]
    return pixels


def _wide(path: Path) -> np.ndarray | None:
    """Return a file's signed, or more than 16-bit, whole numbers; None for samples of other types."""
    source = open_input(path)
    try:
        spec = source.spec()
        kind = str(spec.format)
        if kind not in _WIDE or spec.channelformats:
            return None
        pixels = source.read_image(0, 0, 0, spec.nchannels, kind)
        if pixels is None:
            raise UserError(f"{path} cannot be read", source.geterror(), "Export it again")
        return np.asarray(pixels).reshape(spec.height, spec.width, spec.nchannels)
    finally:
        source.close()


def _unscaled(path: Path, values: np.ndarray) -> np.ndarray:
    """Undo the decoder's stretching of gray of fewer than eight bits to the range of eight."""
    storage = palettes.read_storage(path)
    bits = 8 if storage is None else storage.bits
    ids = values.astype(np.int64)
    return ids // (255 // ((1 << bits) - 1)) if bits < 8 else ids


def _indices(path: Path, pixels: np.ndarray, colors: np.ndarray, ids: np.ndarray, where: str) -> np.ndarray:
    def code(color: np.ndarray) -> np.ndarray:
        return color.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])

    # Of equal colours the first counts: palettes are filled up with copies of black or white.
    known, first = np.unique(code(colors), return_index=True)
    wanted = code(pixels)
    at = np.searchsorted(known, wanted).clip(max=len(known) - 1)
    strange = known[at] != wanted
    if strange.any():
        y, x = (int(place[0]) for place in np.nonzero(strange))
        color = tuple(int(part) for part in pixels[y, x])
        what = f"{path} holds the colour {color} at pixel x={x}, y={y}"
        why = f"It is not in {where}, nor are those of {strange.mean():.2%} of the pixels"
        raise UserError(what, why, f"Add it to {where}, or take the nearest that is: {_remap(path)}")
    return ids[first[at]].astype(np.int64)


def _remap(path: Path) -> str:
    return f"ganvas label remap {path.parent} --out DIR"
