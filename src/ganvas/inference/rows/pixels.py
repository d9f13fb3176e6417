"""Pixels of files into what a network sees, and back: gray, alpha, depth, and scene-linear light.

A network sees three colours in about [0, 1]. Gray is given to it three times and averaged afterwards. Alpha is a
second gray picture that goes beside the colours; these are multiplied by it before, so that what is invisible cannot
bleed into what is seen, and divided by it after (unless the file holds them multiplied already).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ganvas.data.input_ranges import InputRange
from ganvas.io.pictures.images import from_float, premultiply, to_float

LARGEST_HALF = 65504.0

LARGEST_TRACE = 0.1
"""Negative values up to this share of the brightest are traces of filters in light; beyond it they are measures."""
LEAST_DIVISOR = 1 / 256
"""Alpha below this, less than one step of 8 bits, is not divided by."""


@dataclass(frozen=True)
class LogCurve:
    """An invertible curve that brings scene-linear light into a network's range: `brightest` becomes 1, 0 stays 0.

    Close to display gamma up to 1 and logarithmic above; negative values are mirrored, so all values survive.
    """

    brightest: float = 1.0

    STEEPNESS = 20.0
    GREATEST_BRIGHTEST = 64.0
    """Beyond this, ordinary light would get too little of the range; brighter values lie above 1 and survive there."""

    @classmethod
    def reaching(cls, brightest: float) -> LogCurve:
        """Return the curve for a picture whose largest absolute value is `brightest`."""
        return cls(min(max(brightest, 1.0), cls.GREATEST_BRIGHTEST))

    @property
    def _unit(self) -> float:
        return math.log1p(self.STEEPNESS * self.brightest)

    def apply(self, light: Tensor) -> Tensor:
        """Return scene-linear light as network values."""
        return light.sign() * (self.STEEPNESS * light.abs()).log1p() / self._unit

    def undo(self, values: Tensor) -> Tensor:
        """Return network values as scene-linear light, at most what a half float holds."""
        return values.sign() * ((values.abs() * self._unit).expm1() / self.STEEPNESS).clamp(max=LARGEST_HALF)


@dataclass(frozen=True)
class Range:
    """A straight line that brings heights and other measures, which go below 0 as far as above, to [0, 1]."""

    lowest: float
    highest: float

    def apply(self, values: Tensor) -> Tensor:
        """Return measured values as network values."""
        return (values - self.lowest) / (self.highest - self.lowest)

    def undo(self, values: Tensor) -> Tensor:
        """Return network values as measured values."""
        return values * (self.highest - self.lowest) + self.lowest


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """How the pixels of one picture are brought before a network: (h, w, C) of a file's dtype <-> (B, 3, h, w)."""

    channels: int
    """1 gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha."""
    dtype: np.dtype
    associated_alpha: bool = False
    """The colours are multiplied by alpha in the file, and stay so."""
    opaque: bool = False
    """Alpha is 1 everywhere, so it needs no network."""
    curve: LogCurve | Range | None = None
    painted: str = ""
    """Type of the samples of a picture of the network's own, in colour, made of what may be a sketch or a depth."""
    within: InputRange | None = None
    """Which values the network sees as 0 to 1, where these are no picture's."""

    @property
    def has_alpha(self) -> bool:
        """Tell whether the last channel is alpha."""
        return self.channels in (2, 4)

    @property
    def pictures(self) -> int:
        """Pictures that the network sees side by side: the colours, and alpha where it matters."""
        return 2 if self.has_alpha and not self.opaque else 1

    @property
    def are_plain(self) -> bool:
        """Tell whether they are colours of 8 bits and nothing else."""
        return self.channels == 3 and self.dtype == np.uint8 and self.curve is None and not self.painted

    def to_net(self, rows: np.ndarray) -> Tensor:
        """Return rows of a file as a network sees them: (h, w, C) -> (B, 3, h, w)."""
        light = to_float(rows)
        if self.painted and self.has_alpha:
            # As in training.
            alpha = light[..., -1:]
            light = np.concatenate([light[..., :-1] * alpha + 0.5 * (1 - alpha), alpha], axis=-1)
        if self.within is not None:
            light = self.within.apply(light)
        elif self.dtype.kind == "f":
            # One pixel that is no number would spoil all that the network sees around it.
            light = np.nan_to_num(light, nan=0.0, posinf=LARGEST_HALF, neginf=-LARGEST_HALF)
        if self.pictures == 2 and not self.associated_alpha:
            light = premultiply(light)
        colours = light[..., : self.channels - self.has_alpha]
        planes = torch.from_numpy(np.ascontiguousarray(colours.transpose(2, 0, 1)))
        planes = (self.curve.apply(planes) if self.curve else planes).expand(3, -1, -1)
        if self.pictures == 1:
            return planes[None]
        alpha = torch.from_numpy(np.ascontiguousarray(light[..., -1]))
        return torch.stack([planes, alpha.expand(3, -1, -1)])

    def from_net(self, strip: Tensor) -> np.ndarray:
        """Return a network's strip, `rounded` or not, as rows of a file: (B, 3, h, w) -> (h, w, C)."""
        if self.are_plain:
            return _interleaved(strip[0] if strip.dtype == torch.uint8 else rounded(strip)[0])
        planes = strip[0].mean(0, keepdim=True) if self.channels < 3 and not self.painted else strip[0]
        colours = (self.curve.undo(planes) if self.curve else planes).permute(1, 2, 0).numpy()
        if not self.has_alpha or self.painted:
            return from_float(colours, self.painted or self.dtype)
        alpha = (
            strip[1].mean(0)[..., None].clamp(0, 1).numpy() if self.pictures == 2 else np.ones_like(colours[..., :1])
        )
        if self.pictures == 2 and not self.associated_alpha:
            # Where next to nothing is seen, a network's small errors would be divided into specks of any brightness.
            colours = colours / np.maximum(alpha, LEAST_DIVISOR)
        return from_float(np.concatenate([colours, alpha], axis=-1), self.dtype)


def rounded(high: Tensor) -> Tensor:
    """Return values in [0, 1] in 8 bits, as `from_float` does, in half its time: (B, C, H, W) -> (B, C, H, W)."""
    if not bool(high.sum().isfinite()):
        high = torch.fmax(high, high.new_zeros(()))  # it takes the number where there is none, and is slow
    return high.clamp(0, 1).mul_(255).add_(0.5).to(torch.uint8)


def _interleaved(levels: Tensor) -> np.ndarray:
    """Return planes as rows of pixels: (C, h, w) -> (h, w, C)."""
    rows = np.empty((*levels.shape[1:], len(levels)), np.uint8)
    for channel, level in enumerate(levels.numpy()):
        rows[..., channel] = level
    return rows


def survey(pixels: Pixels, strips: Iterable[np.ndarray], scene_linear: bool | None) -> Pixels:
    """Look through a picture for what must be known before its first row is computed: alpha that matters, and range.

    Args:
        strips: rows of the file, (h, w, C) each.
        scene_linear: whether values are light, so that the log curve is needed; None decides by values outside [0, 1].
    """
    opaque, lowest, highest = True, 0.0, 0.0
    for rows in strips:
        light = rows[..., :-1] if pixels.has_alpha else rows
        if pixels.has_alpha and opaque:
            full = 1.0 if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype).max
            opaque = bool((rows[..., -1] == full).all())
        if pixels.dtype.kind == "f":
            finite = np.where(np.isfinite(light), light, 0)
            lowest, highest = min(lowest, float(finite.min())), max(highest, float(finite.max()))
    curved = pixels.dtype.kind == "f" and (lowest < 0 or highest > 1 if scene_linear is None else scene_linear)
    curve: LogCurve | Range | None = None
    if curved:
        # Light has at most a trace of negative values, left by filters; what has more is no light.
        is_light = -lowest <= LARGEST_TRACE * max(highest, 1.0)
        curve = LogCurve.reaching(max(-lowest, highest)) if is_light else Range(lowest, max(highest, lowest + 1))
    return replace(pixels, opaque=pixels.has_alpha and opaque, curve=curve)
