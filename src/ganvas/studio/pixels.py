"""Pixels for pages: raw bytes of small pictures, and tiles of large ones."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
from starlette.responses import Response

from ganvas.errors import UserError
from ganvas.io.pictures import images
from ganvas.studio.workspace import Picture, Workspace

TILE_PX = 256
OVERLAP_PX = 1
"""Pixels that a tile shares with each neighbour: enlarged without them, its edges would fade and show as lines."""
SHOWN_PX = 1600
_LOCK = threading.Lock()


def raw(picture: np.ndarray, **facts: object) -> Response:
    """Return a picture (H, W, 1 to 4) as RGBA bytes, its size and further facts in the headers."""
    headers = {"X-Width": str(picture.shape[1]), "X-Height": str(picture.shape[0])}
    headers |= {f"X-{name.replace('_', '-').title()}": str(value) for name, value in facts.items()}
    return Response(to_rgba(picture).tobytes(), media_type="application/octet-stream", headers=headers)


def to_rgba(picture: np.ndarray) -> np.ndarray:
    """Return a picture of any depth and channels as (H, W, 4) uint8."""
    if picture.dtype != np.uint8:
        picture = images.from_float(np.clip(np.nan_to_num(images.to_float(picture)), 0, 1), "uint8")
    channels = picture.shape[-1]
    color = picture[..., :1].repeat(3, -1) if channels < 3 else picture[..., :3]
    alpha = picture[..., -1:] if channels in (2, 4) else np.full_like(color[..., :1], 255)
    return np.ascontiguousarray(np.concatenate([color, alpha], -1))


def levels(width: int, height: int, side: int = TILE_PX) -> list[tuple[int, int]]:
    """Return the sizes of a picture's pyramid, full size first: each half the one before, the last within a limit."""
    sizes = [(width, height)]
    while max(sizes[-1]) > side:
        sizes.append((max(1, (sizes[-1][0] + 1) // 2), max(1, (sizes[-1][1] + 1) // 2)))
    return sizes


def tile(workspace: Workspace, picture: Picture, level: int, x: int, y: int) -> Path:
    """Return the file of a tile; level 0 is the full size.

    Raises:
        UserError: there is no such tile, or the picture cannot be read.
    """
    sizes = levels(picture.width, picture.height)
    inside = 0 <= level < len(sizes) and all(0 <= place * TILE_PX < side for place, side in zip((x, y), sizes[level]))
    if not inside:
        raise UserError("The picture has no such tile")
    path = _folder(workspace, picture) / f"{level}+{OVERLAP_PX}/{x}_{y}.png"
    if not path.is_file():
        rows, columns = (slice(max(0, at * TILE_PX - OVERLAP_PX), (at + 1) * TILE_PX + OVERLAP_PX) for at in (y, x))
        part = plane(workspace, picture, level)[rows, columns]
        path.parent.mkdir(parents=True, exist_ok=True)
        images.write(path, np.ascontiguousarray(part), overwrite=True)
    return path


def shown(workspace: Workspace, picture: Picture, side: int = SHOWN_PX) -> Path:
    """Return a file with a picture halved until its sides are within a limit; of a small one, as it is.

    Raises:
        UserError: the picture cannot be read.
    """
    sizes = levels(picture.width, picture.height, side)
    path = _folder(workspace, picture) / f"shown-{len(sizes) - 1}.png"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        small = to_rgba(images.read(picture.path)[0])  # of a folder that is only looked through, no pyramids are kept
        for size in sizes[1:]:
            small = _halved(small, *size)
        images.write(path, small, overwrite=True)
    return path


def plane(workspace: Workspace, picture: Picture, level: int = 0) -> np.ndarray:
    """Return a level of a picture's pyramid, (H, W, 4) uint8 mapped from disk; all are made when one is asked for.

    Raises:
        UserError: the picture cannot be read.
    """
    folder = _folder(workspace, picture)
    with _LOCK:
        if not (folder / f"{level}.npy").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            pixels = to_rgba(images.read(picture.path)[0])
            for number, (width, height) in enumerate(levels(picture.width, picture.height)):
                if number:
                    pixels = _halved(pixels, width, height)
                temporary = folder / f".{number}.npy"
                np.save(temporary, pixels)
                temporary.rename(folder / f"{number}.npy")
    return np.load(folder / f"{level}.npy", mmap_mode="r")


def _folder(workspace: Workspace, picture: Picture) -> Path:
    # A picture that changed has tiles of its own.
    stamp = picture.path.stat()
    return workspace.pyramids / f"{picture.id}-{stamp.st_mtime_ns:x}-{stamp.st_size:x}"


def _halved(plane: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return a picture at half its sides: means of two by two pixels, the last row and column repeated where odd."""
    grown = np.pad(plane, ((0, 2 * height - plane.shape[0]), (0, 2 * width - plane.shape[1]), (0, 0)), mode="edge")
    summed = grown.reshape(height, 2, width, 2, 4).sum((1, 3), dtype=np.uint16)
    return ((summed + 2) // 4).astype(np.uint8)
