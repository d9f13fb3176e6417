"""What state a picture file is in: how strongly it was compressed and how noisy it is, and which model suits it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ganvas.errors import UserError
from ganvas.inference.open import BUNDLED, DEFAULT
from ganvas.inference.picture.options import Sizing
from ganvas.inference.picture.sizes import target_size
from ganvas.io.pictures import images
from ganvas.io.pictures.jpeg_quality import jpeg_quality

RESTORE = "restore-x4"
RESTORE_BY_SCALE = {1: "restore-x1", 2: "restore-x2", 4: RESTORE}
"""The restoring models; the smallest that reaches the size asked for is taken."""
POOR_QUALITY = 85.0
"""JPEGs of at most this are better for the restoring model: measured, the two cross between 85 and 90."""
NOISY = 7.0
"""Noise, in 8-bit levels, from which they are; measured, the two cross between 4 and 8."""
NOISY_JPEG = 4.0
"""The same of a JPEG, which keeps about half of the noise it was given where it is flat: 10 levels at quality 85
measure 4.8, none measures 1 to 2."""
BLOCK_PX = 16
FLATTEST = 0.1
"""The share of a picture's blocks that is taken for flat, so that what varies in them is noise."""
LOOKED_AT = 12
"""Pictures of a batch that are looked at."""
LARGEST_PX = 40_000_000
"""Pictures beyond this are not read for their noise alone."""


@dataclass(frozen=True)
class Condition:
    """The state of one file."""

    quality: float | None
    """JPEG quality by the tables, 1 to 100; None for other files."""
    noise: float
    """Standard deviation of the noise in 8-bit levels, as far as flat parts show it."""

    @property
    def is_poor(self) -> bool:
        """Tell whether the restoring model suits it better."""
        return (self.quality is not None and self.quality <= POOR_QUALITY) or self.is_noisy

    @property
    def is_noisy(self) -> bool:
        """Tell whether it is noise that makes it so."""
        return self.noise >= (NOISY if self.quality is None else NOISY_JPEG)

    def __str__(self) -> str:
        found = [f"JPEG of quality {self.quality:.0f}"] if self.quality is not None else []
        return ", ".join([*found, *([f"noise of {self.noise:.0f} levels"] if self.is_noisy else [])])


def examine(path: Path) -> Condition:
    """Return the state of a picture file.

    Raises:
        UserError: it cannot be read.
    """
    quality = jpeg_quality(path)
    header = images.read_header(path)
    if header.width * header.height > LARGEST_PX or np.dtype(header.dtype).kind != "u":
        return Condition(quality, 0.0)
    picture, _ = images.read(path)
    return Condition(quality, noise_of(images.to_float(picture)[..., :3]))


def noise_of(picture: np.ndarray) -> float:
    """Return the noise of a picture (H, W, C) in [0, 1], in 8-bit levels: the mean of its channels.

    It is what a Laplacian of a Laplacian finds in the flattest blocks. Source: Immerkaer 1996, "Fast noise variance
    estimation", here by blocks.
    """
    if min(picture.shape[:2]) < 2 * BLOCK_PX:
        return 0.0
    rows = picture[:-2] - 2 * picture[1:-1] + picture[2:]
    response = np.abs(rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:])
    high, wide = (side // BLOCK_PX for side in response.shape[:2])
    blocks = response[: high * BLOCK_PX, : wide * BLOCK_PX].reshape(high, BLOCK_PX, wide, BLOCK_PX, -1).mean((1, 3))
    return float(np.quantile(blocks, FLATTEST, axis=(0, 1)).mean() * np.sqrt(np.pi / 2) / 6 * 255)


def model_for(inputs: Sequence[str], sizing: Sizing = Sizing()) -> tuple[str, str]:  # noqa: B008 - immutable
    """Return the model that suits pictures where none was named, and one line on why it is not the default one.

    Of a batch some pictures are looked at, and the batch is run by one model: the restoring one where most are poor,
    that of the scale which the first of them asks for.
    """
    try:
        found, _ = images.find_pictures(list(inputs))
    except UserError:  # told where the work is done
        return DEFAULT, ""
    shown = [found[place * len(found) // LOOKED_AT] for place in range(LOOKED_AT)] if len(found) > LOOKED_AT else found
    states = {}
    for path in shown:
        with contextlib.suppress(UserError, OSError):
            states[path] = examine(path)
    poor = [state for state in states.values() if state.is_poor]
    if 2 * len(poor) <= len(states):
        return DEFAULT, ""
    name = _restoring(enlargement(next(iter(states)), sizing))
    if not name:
        return DEFAULT, ""
    what = f"{shown[0]}: {poor[0]}" if len(states) == 1 else f"{len(poor)} of {len(states)} pictures looked at are poor"
    return name, f"{what}; {name} was taken, which removes that (--model {DEFAULT} takes the other)"


def enlargement(path: Path, sizing: Sizing) -> float:
    """Return how many times a picture is to be enlarged: the larger of its sides' ratios; 4 where nothing is asked."""
    header = images.read_header(path)
    asked = sizing.factor, sizing.size, sizing.long_side
    high, wide = target_size(header.height, header.width, 4, *asked)
    return max(high / header.height, wide / header.width)


def _restoring(times: float) -> str:
    """Return the restoring model of a scale, or of the next that is at hand; nothing where there is none."""
    at_hand = [scale for scale, name in RESTORE_BY_SCALE.items() if (BUNDLED / f"{name}.safetensors").is_file()]
    fitting = [scale for scale in at_hand if scale >= times] or at_hand[-1:]
    return RESTORE_BY_SCALE[fitting[0]] if fitting else ""
