"""The film of a learned place: truth beside what is made of held-out cameras, then flights along new paths."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from ganvas.evaluation.views import HeldOut
from ganvas.inference.cameras.flyer import STRIP_PX, Flight, Flyer, Trust
from ganvas.io.pictures.captions import caption
from ganvas.metrics import paired

LEAST_PX = 256
"""Sides of small pictures are repeated to at least this, whole pixels, so that they can be looked at."""
GAP_PX, LINE_PX = 8, 24
HELD_SECONDS = Fraction(1, 2)
"""How long a held-out view is shown that no other follows at once."""


class Film:
    """First each held-out view's truth beside what is made of its camera, then up to two flights side by side.

    Held-out views in a row play on as footage does; a single one stays half a second. A flight that is shorter than the
    other stands still at its end. Burnt in, below the pictures: what is seen, its PSNR or trust, and the trust strip.
    """

    def __init__(
        self, flyer: Flyer, held: HeldOut, flights: Sequence[Flight], fps: Fraction, burn_in: bool = False
    ) -> None:
        self.flyer, self.held, self.flights, self.burn_in = flyer, held, list(flights), burn_in
        width, height = flyer.geometry.output_px
        self.factor = -(-LEAST_PX // min(width, height))
        self.tile_px = (width * self.factor, height * self.factor)
        self.below_px = STRIP_PX + LINE_PX if burn_in else 0
        numbers = [held.views.views[place].camera.frame for place in held.places]
        self.repeats = _repeats(numbers, max(1, round(fps * HELD_SECONDS)))
        self.decibels: list[float] = []
        """PSNR of each held-out view that was shown so far."""

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height of its frames, both even."""
        width, height = self.tile_px
        return _even(2 * width + GAP_PX), _even(height + self.below_px)

    def __len__(self) -> int:
        return sum(self.repeats) + max((len(flight.vectors) for flight in self.flights), default=0)

    def frames(self) -> Iterator[np.ndarray]:
        """Yield its frames as display values (H, W, 3) in [0, 1]."""
        self.decibels.clear()
        for view, repeats in zip(self.held.pictures(self.held.places), self.repeats):
            self.decibels.append(float(paired.psnr(view.made[None], view.truth[None])))
            truth = self._tile(self._unsqueezed(view.truth), f"truth, frame {int(view.name)}")
            made = self._tile(self._unsqueezed(view.made), f"generated, {self.decibels[-1]:.1f} dB")
            frame = self._joined([truth, made])
            for _ in range(repeats):
                yield frame
        yield from self._flown()

    def _flown(self) -> Iterator[np.ndarray]:
        running = [self.flyer.frames(flight.vectors) for flight in self.flights]
        levels = [flight.trust.levels() for flight in self.flights]
        tiles: list[np.ndarray] = [np.empty(0)] * len(self.flights)
        for place in range(max(map(len, levels), default=0)):
            for number, (flight, pictures) in enumerate(zip(self.flights, running)):
                if place < len(levels[number]):
                    text = f"{flight.name}, {levels[number][place]}"
                    tiles[number] = self._tile(next(pictures), text, flight.trust, place)
            yield self._joined(tiles)

    def _unsqueezed(self, picture: Tensor) -> np.ndarray:
        width, height = self.flyer.geometry.output_px
        if picture.shape[-2:] != (height, width):
            resized = F.interpolate(picture[None], size=(height, width), mode="bicubic", align_corners=False)
            picture = resized[0].clamp(0, 1)
        return picture.permute(1, 2, 0).numpy()

    def _tile(self, picture: np.ndarray, text: str, trust: Trust | None = None, place: int = 0) -> np.ndarray:
        tile = picture.repeat(self.factor, 0).repeat(self.factor, 1)
        if not self.burn_in:
            return tile
        width = tile.shape[1]
        strip = np.zeros((STRIP_PX, width, 3), np.float32) if trust is None else trust.strip(width, place)
        return np.concatenate([tile, strip, caption(text, width, LINE_PX)])

    def _joined(self, tiles: Sequence[np.ndarray]) -> np.ndarray:
        """Return two tiles side by side, or one in the middle."""
        width, height = self.size_px
        canvas = np.zeros((height, width, 3), np.float32)
        across = self.tile_px[0]
        lefts = [0, across + GAP_PX] if len(tiles) > 1 else [(across + GAP_PX) // 2]
        for tile, left in zip(tiles, lefts):
            canvas[: tile.shape[0], left : left + across] = tile
        return canvas


def _repeats(numbers: Sequence[int], still: int) -> list[int]:
    """Return for how many frames each view is shown: one where its number follows another's or is followed."""
    follows = [after - before == 1 for before, after in itertools.pairwise(numbers)]
    return [1 if before or after else still for before, after in zip([False, *follows], [*follows, False])]


def _even(length: int) -> int:
    return length + length % 2
