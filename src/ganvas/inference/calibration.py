"""Tiles of a user's photographs, on which the value ranges of a network's layers are measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganvas.errors import UserError
from ganvas.inference.rows.pixels import Pixels
from ganvas.io.pictures import images

TILES = 24
SIDE_PX = 64
MOST_PICTURES = 200


def tiles_of(
    folder: Path, multiple_of: int = 1, value_range: tuple[float, float] = (0.0, 1.0), count: int = 0
) -> list[Tensor]:
    """Return tiles from all over the photographs of a folder, (1, 3, S, S) in a network's range; always the same ones.

    A `count` of 0 takes as many as are enough for ranges.

    Raises:
        UserError: the folder holds no picture that can be read and is large enough.
    """
    count = count or TILES
    side = -(-SIDE_PX // multiple_of) * multiple_of
    paths, problems = images.find_pictures([folder])
    if not paths:
        raise UserError(f"{folder} holds no photographs", "; ".join(why for _, why in problems[:1]), "Name a folder")
    random = np.random.default_rng(0)
    order = [paths[int(place)] for place in random.permutation(len(paths))[:MOST_PICTURES]]
    pictures: list[np.ndarray] = []
    for path in order:
        try:
            array, _ = images.read(path)
        except UserError:  # one bad file is no reason to stop; too few good ones are
            continue
        if min(array.shape[:2]) >= side and array.dtype in (np.uint8, np.uint16):
            pictures.append(array)
        if len(pictures) == count:
            break
    if not pictures:
        why = f"None of its {len(paths)} files is a readable picture of 8 or 16 bits and at least {side} px"
        raise UserError(f"{folder} holds no photographs to calibrate with", why, "Name a folder of photographs")
    low, high = value_range
    tiles = []
    for number in range(count):
        array = pictures[number % len(pictures)]
        top, left = (int(random.integers(0, length - side + 1)) for length in array.shape[:2])
        crop = np.ascontiguousarray(array[top : top + side, left : left + side])
        pixels = Pixels(channels=crop.shape[2], dtype=crop.dtype)
        tiles.append(pixels.to_net(crop)[:1] * (high - low) + low)
    return [torch.as_tensor(tile).contiguous() for tile in tiles]
