"""A contact sheet: many pictures in one, in a grid with gaps."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from torch import Tensor

from ganvas.io.pictures.tensors import from_tensor


def contact_sheet(pictures: Iterable[Tensor], columns: int = 0, gap_px: int = 2) -> np.ndarray:
    """Return pictures (3, H, W) in [0, 1] in a grid with white gaps: (rows, columns, 3) uint8.

    Args:
        pictures: of one size.
        columns: of the grid; 0 makes it about as wide as high.
        gap_px: between two pictures.
    """
    tiles = [from_tensor(picture) for picture in pictures]
    columns = columns or math.ceil(math.sqrt(len(tiles)))
    height, width = tiles[0].shape[0] + gap_px, tiles[0].shape[1] + gap_px
    laid = np.full((-(-len(tiles) // columns) * height - gap_px, columns * width - gap_px, 3), 255, np.uint8)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        laid[row * height : row * height + tile.shape[0], column * width : column * width + tile.shape[1]] = tile
    return laid
