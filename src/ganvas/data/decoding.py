"""Pictures decoded for training: as gray or RGB, within bounds of memory, the last used ones kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from ganvas.data.cache import CACHE_BYTES, ByteCache
from ganvas.errors import UserError
from ganvas.io.pictures import images, shards

A = TypeVar("A")
T = TypeVar("T")

CHECKED_BYTES = 1 << 28
"""A set whose files have no more bytes is decoded whole before training; of a larger one, broken files show as they
are met."""
MOST_DECODED_BYTES = 1 << 30
"""Memory that decoding one picture may take."""
BACKDROP = 0.5
"""What transparent pixels are laid over: neither black nor white, so that they add the weakest possible edges."""


class PictureCache:
    """Decoded pictures, those used last kept; what is wrong with a picture is kept, too."""

    def __init__(self, limit_bytes: int = CACHE_BYTES) -> None:
        self._held: ByteCache[np.ndarray | UserError] = ByteCache(limit_bytes)

    def get(self, path: Path) -> np.ndarray:
        """Return a picture (H, W, 1 or 3) in its file's dtype.

        Raises:
            UserError: it cannot be decoded, or cannot be used as a colour picture.
        """
        found = self._held.get(path, lambda: _decoded(path))
        if isinstance(found, UserError):
            # A new error each time: one that is kept would gather the traceback of every raise.
            raise UserError(found.what, found.why, found.do)
        return found


def _decoded(path: Path) -> np.ndarray | UserError:
    try:
        return decode(path)
    except UserError as error:
        return error


def check_cost(path: Path, header: images.Header) -> None:
    """Refuse a picture whose pixels take more memory than a picture to train on may: a small file can claim any size.

    Raises:
        UserError: it would; its size is named.
    """
    if (needed := images.decoded_bytes(header)) > MOST_DECODED_BYTES:
        raise UserError(
            f"{path} is too large",
            f"{header.width} x {header.height} px would take {needed / 2**30:.1f} GB of memory",
            f"Cut it into parts of at most {MOST_DECODED_BYTES / 2**30:.0f} GB",
        )


@shards.from_shards
def decode(path: Path) -> np.ndarray:
    """Return a picture as gray or RGB, (H, W, 1 or 3), in its file's dtype; transparency is laid over mid-gray.

    Raises:
        UserError: it cannot be decoded, has more than four channels, or holds values that are not finite.
    """
    check_cost(path, images.read_header(path))
    picture, header = images.read(path)
    channels = picture.shape[-1]
    if channels > 4:
        raise UserError(f"{path} is no colour picture", f"It has {channels} channels")
    if picture.dtype.kind == "f" and not np.isfinite(picture).all():
        raise UserError(f"{path} cannot be used", "Some of its values are not finite")
    if channels in (1, 3):
        return picture
    colour, alpha = picture[..., :-1], picture[..., -1:]
    opaque = np.iinfo(picture.dtype).max if picture.dtype.kind == "u" else 1
    if (alpha == opaque).all():
        return np.ascontiguousarray(colour)
    alpha = alpha.astype(np.float32) / opaque
    laid = (colour if header.associated_alpha else colour * alpha) + BACKDROP * opaque * (1 - alpha)
    return (np.rint(laid) if picture.dtype.kind == "u" else laid).astype(picture.dtype)


def in_threads(
    function: Callable[[A], T], items: Iterable[A], progress: Callable[[int, int], None] | None = None
) -> list[T]:
    """Return what a function returns for each item, several of them at once; progress is told how many are done."""
    items, found = list(items), []
    with ThreadPoolExecutor(max_workers=8) as pool:
        for value in pool.map(function, items):
            found.append(value)
            if progress:
                progress(len(found), len(items))
    return found


def faults(files: Sequence[Path], read: Callable[[Path], object] = decode) -> dict[Path, str]:
    """Return which files cannot be read, and why; nothing where they are too many to be read before training."""
    if sum(map(shards.num_bytes, files)) > CHECKED_BYTES:
        return {}

    def fault(file: Path) -> str:
        try:
            read(file)
        except UserError as error:
            return " ".join(str(error).split())
        return ""

    return {file: why for file, why in zip(files, in_threads(fault, files)) if why}
