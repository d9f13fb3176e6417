"""Inputs that are measures rather than pictures, such as depth in metres: which of their values become 0 to 1, and how.

Pictures of 8 bits and floats within 0 to 1 are left alone. Where values go beyond, as depth does, the range is taken
from the data without what merely stands for "far": infinity, or a single largest value that many pixels share and
nothing comes near (a sky at 10,000 m). What lies beyond the range becomes 0 or 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ganvas.errors import UserError
from ganvas.io.pictures import images, shards

Scale = Literal["linear", "log", "inverse"]

SAMPLES = 4096
"""Values of each file that are looked at."""
DARK = 0.25
"""An input of 16 bits whose largest value is a smaller share of them holds fewer bits than that: 12 give 0.06."""
FAR_SHARE, FAR_FACTOR = 0.002, 3.0
"""The largest value means "far" where so many pixels share it and it is so many times the next."""
WIDE = 20.0
"""Values whose largest is so many times the smallest are taken by their logarithm."""


@dataclass(frozen=True)
class InputRange:
    """Values `low` to `high` become 0 to 1: evenly, by their logarithm, or by their inverse (near is 1)."""

    low: float
    high: float
    scale: Scale = "linear"

    def __post_init__(self) -> None:
        if not (np.isfinite([self.low, self.high]).all() and self.low < self.high):
            raise UserError(f"{self.low:g} to {self.high:g} is no range", do="Give the smaller value first")
        if self.scale != "linear" and self.low <= 0:
            why = f"A scale of {self.scale} values needs positive ones, and the range begins at {self.low:g}"
            raise UserError("The range of the input cannot be used", why, "Use the scale linear, or a range above 0")

    def __str__(self) -> str:
        return f"{self.low:.4g} to {self.high:.4g} ({self.scale})"

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Return values, as `images.to_float` has them, in [0, 1]; infinity is far."""
        bounded = np.clip(np.asarray(values, np.float64), self.low, self.high)
        if self.scale == "log":
            return (np.log(bounded / self.low) / np.log(self.high / self.low)).astype(np.float32)
        if self.scale == "inverse":
            return ((1 / bounded - 1 / self.high) / (1 / self.low - 1 / self.high)).astype(np.float32)
        return ((bounded - self.low) / (self.high - self.low)).astype(np.float32)

    def note(self) -> dict[str, Any]:
        """Return what a card keeps."""
        return {"low": self.low, "high": self.high, "scale": self.scale}

    @classmethod
    def from_note(cls, note: Any) -> InputRange | None:
        """Return the range that a card's `input_range` tells, None where it tells none."""
        return cls(float(note["low"]), float(note["high"]), note["scale"]) if note else None


@dataclass(frozen=True)
class Asked:
    """What the user says of the range of the inputs."""

    bounds: Sequence[float] = ()
    """Low and high; empty measures them."""
    scale: str = "auto"
    """`linear`, `log`, `inverse`, or `auto`: log where the largest is more than 20 times the smallest."""


def measure(paths: Sequence[Path], wanted: Asked) -> InputRange | None:
    """Return the range of some inputs; None where they are plain pictures, whose values are left alone.

    Args:
        paths: files to look at.
        wanted: what is known of it.

    Raises:
        UserError: a file cannot be read or holds values that are no numbers, or the range makes no sense.
    """
    asked, scale = tuple(wanted.bounds), wanted.scale
    if asked and len(asked) != 2:
        raise UserError(f"A range has two values, not {len(asked)}", do="Give --input-range LOW HIGH, such as 0.5 80")
    dtypes = {np.dtype(shards.read_header(path).dtype) for path in paths}
    kinds, deep = {dtype.kind for dtype in dtypes}, {dtype.name for dtype in dtypes} - {"uint8"}
    if not deep and not asked and scale == "auto":
        return None
    values = np.concatenate([_some(path) for path in paths]) if not asked else np.array(asked, np.float64)
    finite = values[np.isfinite(values)]
    if not len(finite):
        raise UserError(f"{paths[0]} and the other inputs hold no numbers", do="Export them again")
    if not asked and scale == "auto" and not _leaves_the_unit(finite, len(finite) < len(values), "f" in kinds):
        return None
    low, high = (float(bound) for bound in (asked or _bounds(finite)))
    wide = low > 0 and high / low > WIDE
    chosen: Any = ("log" if wide else "linear") if scale == "auto" else scale
    return InputRange(low, low + 1 if low == high and not asked else high, chosen)


@shards.from_shards
def read_input(path: Path, within: InputRange) -> np.ndarray:
    """Return an input by its range, (H, W, 1 or 3) float32 in [0, 1].

    Raises:
        UserError: it cannot be read, or holds values that are no numbers.
    """
    pixels, _ = images.read(path)
    pixels = pixels[..., :-1] if pixels.shape[-1] in (2, 4) else pixels
    values = images.to_float(pixels)
    if np.isnan(values).any():
        raise UserError(f"{path} cannot be used", "Some of its values are no numbers", "Render the pass again")
    return within.apply(values)


def _some(path: Path) -> np.ndarray:
    values = images.to_float(shards.read(path)[0])
    values = values[..., :-1] if values.shape[-1] in (2, 4) else values
    flat = values.ravel()
    return flat[:: max(1, len(flat) // SAMPLES)].astype(np.float64)


def _leaves_the_unit(values: np.ndarray, has_infinity: bool, is_float: bool) -> bool:
    if is_float:
        return has_infinity or values.min() < 0 or values.max() > 1
    return 0 < values.max() < DARK


def _bounds(values: np.ndarray) -> tuple[float, float]:
    ordered = np.sort(values)
    nearer = ordered[ordered < ordered[-1]]
    if len(nearer) and 1 - len(nearer) / len(ordered) >= FAR_SHARE and ordered[-1] > FAR_FACTOR * abs(nearer[-1]):
        ordered = nearer
    # A few wild pixels must not set the range.
    return tuple(np.quantile(ordered, (0.001, 0.999)).tolist())


def spread(items: Iterable[Path], most: int) -> list[Path]:
    """Return at most so many of some files, spread over all."""
    listed = list(items)
    return listed[:: max(1, -(-len(listed) // most))]
