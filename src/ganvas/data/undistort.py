"""Plates made those of a pinhole: by a lens model or by an STMap; and pictures of a pinhole laid onto plates again.

What a lens drew in from beyond a pinhole's frame is kept as overscan: the picture grows, the camera with it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.errors import UserError
from ganvas.io.cameras.cameras import Camera
from ganvas.io.cameras.lens import Lens
from ganvas.io.pictures import headers, images

WIDEST = 0.5
"""Shares of a side by which a picture grows at most on each of its sides."""
BORDER = 64
"""Points of each side of a picture that tell how far it reaches."""


@dataclass(frozen=True)
class _Frame:
    """A lens before a picture: all that the way from pixel to pixel depends on."""

    lens: Lens
    focal_px: tuple[float, float]
    centre_px: tuple[float, float]
    size_px: tuple[int, int]

    @staticmethod
    def of(camera: Camera) -> _Frame:
        assert camera.lens is not None
        return _Frame(camera.lens, camera.focal_px, camera.centre_px, camera.size_px)

    def directions(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return pixels as shares of the focal length, from the axis."""
        return (x - self.centre_px[0]) / self.focal_px[0], (y - self.centre_px[1]) / self.focal_px[1]

    def pixels(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the pixels of such shares."""
        return x * self.focal_px[0] + self.centre_px[0], y * self.focal_px[1] + self.centre_px[1]


def undistorted(picture: Tensor, camera: Camera) -> tuple[Tensor, Camera, Tensor]:
    """Return a plate as a pinhole would have taken it, its camera, and where it is known.

    (3, H, W) -> (3, h, w), (1, h, w)
    """
    frame = _Frame.of(camera)
    left, top, right, bottom = _reach(frame)
    whole = replace(camera, lens=None).cropped(left, top, right - left, bottom - top)
    grid, inside = _way(frame, (left, top, right, bottom))
    return _sampled(picture, grid), whole, inside


def distorted(picture: Tensor, camera: Camera, plate: Camera) -> tuple[Tensor, Tensor]:
    """Return what a lens shows of a pinhole's picture on its plate, and where the picture reaches.

    (3, H, W) -> (3, h, w), (1, h, w)

    Args:
        picture: of the pinhole.
        camera: the pinhole, which looks as the plate's camera does.
        plate: a camera with a lens, whose size the result has.
    """
    frame = _Frame.of(plate)
    x, y = frame.lens.undistort(*frame.directions(*_centres((0, 0, *plate.size_px))))
    own = _Frame(frame.lens, camera.focal_px, camera.centre_px, camera.size_px)
    grid, inside = _grid(*own.pixels(x, y), camera.size_px)
    return _sampled(picture, grid), inside


def _reach(frame: _Frame) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of all that a plate shows, in a pinhole's pixels."""
    width, height = frame.size_px
    across, down = np.linspace(0, width, BORDER), np.linspace(0, height, BORDER)
    x = np.concatenate([across, across, np.zeros(BORDER), np.full(BORDER, width)])
    y = np.concatenate([np.zeros(BORDER), np.full(BORDER, height), down, down])
    seen_x, seen_y = frame.pixels(*frame.lens.undistort(*frame.directions(x, y)))
    known = np.isfinite(seen_x) & np.isfinite(seen_y)
    edges = []
    for values, side in ((seen_x, width), (seen_y, height)):
        low = values[known].min() if known.any() else 0.0
        high = values[known].max() if known.any() else side
        if not known.all():  # the border lies beyond what the model tells: all that may be shown is
            low, high = min(low, -WIDEST * side), max(high, (1 + WIDEST) * side)
        edges.append((int(np.floor(max(low, -WIDEST * side))), int(np.ceil(min(high, (1 + WIDEST) * side)))))
    return edges[0][0], edges[1][0], edges[0][1], edges[1][1]


def _centres(box: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    left, top, right, bottom = box
    x, y = np.meshgrid(np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5)
    return x, y


@functools.lru_cache(maxsize=2)
def _way(frame: _Frame, box: tuple[int, int, int, int]) -> tuple[Tensor, Tensor]:
    """Return for each of a pinhole's pixels where the plate shows it, and whether it does; kept, as plates share it."""
    seen = frame.lens.distort(*frame.directions(*_centres(box)))
    return _grid(*frame.pixels(*seen), frame.size_px)


def _grid(x: np.ndarray, y: np.ndarray, size_px: tuple[int, int]) -> tuple[Tensor, Tensor]:
    width, height = size_px
    known = np.isfinite(x) & np.isfinite(y)
    inside = known & (x >= 0) & (x <= width) & (y >= 0) & (y <= height)
    places = np.stack([2 * np.where(known, x, -width) / width - 1, 2 * np.where(known, y, -height) / height - 1], -1)
    return torch.from_numpy(places.clip(-4, 4).astype(np.float32)), torch.from_numpy(inside)[None]


def _sampled(picture: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(
        picture[None].float(), grid[None], mode="bicubic", padding_mode="border", align_corners=False
    )[0]  # fmt: skip


# STMaps


def by_map(picture: Tensor, camera: Camera, path: Path) -> tuple[Tensor, Camera, Tensor]:
    """Return a plate undistorted by an STMap, its camera, and where it is known.

    Red and green of the map say where the picture is looked up, as shares of its width and height from its lower left,
    as Nuke's STMap and 3DEqualizer have them. The camera belongs to the map's display window; what lies beyond that in
    its data window is overscan.

    (3, H, W) -> (3, h, w), (1, h, w)

    Raises:
        UserError: the map cannot be read or is none.
    """
    grid, inside, (width, height), (x, y) = _map(path)
    whole = replace(camera, lens=None).resized(width, height).cropped(x, y, grid.shape[1], grid.shape[0])
    return _sampled(picture, grid), whole, inside


@functools.lru_cache(maxsize=2)
def _map(path: Path) -> tuple[Tensor, Tensor, tuple[int, int], tuple[int, int]]:
    values, header = images.read(path)
    header = headers.read_header(path)
    if values.dtype.kind != "f" or values.shape[-1] < 2:
        why = "It holds no two channels of floating-point numbers"
        raise UserError(f"{path} is no STMap", why, "Write it as OpenEXR with 32 bits")
    s, t = values[..., 0].astype(np.float64), values[..., 1].astype(np.float64)
    # 0 and 0 stand for nothing, as maps are black where the lens does not reach.
    known = np.isfinite(s) & np.isfinite(t) & ((s != 0) | (t != 0))
    inside = known & (s >= 0) & (s <= 1) & (t >= 0) & (t <= 1)
    places = np.stack([2 * np.where(known, s, -1) - 1, 1 - 2 * np.where(known, t, 2)], -1)
    grid = torch.from_numpy(places.clip(-4, 4).astype(np.float32))
    if header.window is None:
        size, origin = (header.width, header.height), (0, 0)
    else:
        x, y, left, top, width, height = header.window
        size, origin = (width, height), (x - left, y - top)
    return grid, torch.from_numpy(inside)[None], size, origin
