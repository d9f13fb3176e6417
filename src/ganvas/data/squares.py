"""Whole pictures as squares of one size, for generators that make a picture out of nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor

from ganvas.data.cache import CACHE_BYTES, ByteCache
from ganvas.data.degrade import resize_bicubic
from ganvas.data.doctor import Examination
from ganvas.data.pictures import Inputs, Pictures, Report
from ganvas.protocol import Source


class Squares(Source):
    """The largest centred square of each picture of a folder, made smaller to one size: {"picture": (3, S, S) uint8}.

    Mirrored at random where `mirror` is on. Squares are kept in memory, up to `cache_bytes` of them.

    Raises:
        UserError: no picture can be used; those below the size are passed over and named.
    """

    takes_all_below = True
    """Every picture below the folder is trained on."""

    def __init__(self, inputs: Inputs, size_px: int, mirror: bool = True, cache_bytes: int = CACHE_BYTES) -> None:
        self.size_px, self.mirror = size_px, mirror
        # Decoded pictures are not kept: a square is made once and is much smaller.
        self._pictures = Pictures(inputs, crop_px=size_px, augment=False, crops_per_picture=1, cache_bytes=0)
        self._names = self._pictures.groups()
        self._squares: ByteCache[Tensor] = ByteCache(cache_bytes, evicts=False)

    def __len__(self) -> int:
        return len(self._names)

    @property
    def report(self) -> Report:
        """Which pictures are used, and which are not and why."""
        return self._pictures.report

    def examine(self) -> Examination:
        """Name the pictures that are broken."""
        return self._pictures.examine()

    def groups(self) -> list[str]:
        """Return the name of each sample's picture."""
        return list(self._names)

    def subset(self, indices: Sequence[int]) -> Self:
        """Return the source of only these pictures; it shares the squares made so far."""
        chosen = type(self).__new__(type(self))
        chosen.__dict__.update(self.__dict__)
        chosen._pictures = self._pictures.subset(indices)
        chosen._names = [self._names[index] for index in indices]
        return chosen

    def sample(self, index: int, random: np.random.Generator) -> dict[str, Tensor]:
        """Return one square."""
        square = self._square(index)
        return {"picture": square.flip(-1) if self.mirror and random.random() < 0.5 else square}

    def _square(self, index: int) -> Tensor:
        return self._squares.get(self._names[index], lambda: self._make(index))

    def _make(self, index: int) -> Tensor:
        picture = self._pictures.whole(index)["high"]
        side = min(picture.shape[-2:])
        top, left = ((length - side) // 2 for length in picture.shape[-2:])
        square = picture[None, :, top : top + side, left : left + side]
        small = resize_bicubic(square, size=(self.size_px, self.size_px))[0]
        return (small.clamp(0, 1) * 255).round().to(torch.uint8)
