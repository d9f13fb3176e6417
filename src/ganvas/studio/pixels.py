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


def levels(width: int, height: int) -> list[tuple[int, int]]:
    """Return the sizes of a picture's tile pyramid, full size first: each half the one before."""
    sizes = [(width, height)]
    while max(sizes[-1]) > TILE_PX:
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
    path = _folder(workspace, picture) / f"{level}/{x}_{y}.png"
    if not path.is_file():
        part = plane(workspace, picture, level)[y * TILE_PX : (y + 1) * TILE_PX, x * TILE_PX : (x + 1) * TILE_PX]
        path.parent.mkdir(parents=True, exist_ok=True)
        images.write(path, np.ascontiguousarray(part), overwrite=True)
    return path


def shown(workspace: Workspace, picture: Picture) -> Path:
    """Return a file with the largest level of a picture's pyramid that a page can show as a whole.

    Raises:
        UserError: the picture cannot be read.
    """
    sizes = levels(picture.width, picture.height)
    level = next(number for number, size in enumerate(sizes) if max(size) <= SHOWN_PX or number == len(sizes) - 1)
    path = _folder(workspace, picture) / f"shown-{level}.png"
    if not path.is_file():
        images.write(path, np.array(plane(workspace, picture, level)), overwrite=True)
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
