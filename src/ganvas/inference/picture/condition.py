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


@dataclass(frozen=True)
class Restoring:
    """A restoring model, and the files for which it is better than the default one. Measured by condition_table.py."""

    name: str
    quality: float
    """JPEGs of at most this quality."""
    jpeg_noise: float
    """JPEGs of at least this noise, in 8-bit levels: where it is flat, a JPEG keeps half of its noise or less."""
    noise: float = 7.0
    """Other files of at least this noise."""

    def suits(self, state: Condition) -> bool:
        """Tell whether a file is better restored."""
        return (state.quality is not None and state.quality <= self.quality) or self.finds_noise(state)

    def finds_noise(self, state: Condition) -> bool:
        """Tell whether a file is noisy."""
        return state.noise >= (self.noise if state.quality is None else self.jpeg_noise)

    def describe(self, state: Condition) -> str:
        """Return what may be wrong with a file; nothing where nothing is."""
        found = [f"JPEG of quality {state.quality:.0f}"] if state.quality is not None else []
        return ", ".join([*found, *([f"noise of {state.noise:.0f} levels"] if self.finds_noise(state) else [])])


RESTORING = {
    1: Restoring("restore-x1", quality=60, jpeg_noise=2),
    2: Restoring("restore-x2", quality=70, jpeg_noise=2),
    4: Restoring("restore-x4", quality=85, jpeg_noise=4),
}
"""By scale; the smallest that reaches the size asked for is taken. The less is enlarged, the more there is to lose."""


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
    if not states:
        return DEFAULT, ""
    restoring = _restoring(enlargement(next(iter(states)), sizing))
    poor = [state for state in states.values() if restoring and restoring.suits(state)]
    if not restoring or 2 * len(poor) <= len(states):
        return DEFAULT, ""
    name = restoring.name
    what = f"{len(poor)} of {len(states)} pictures looked at are poor"
    if len(states) == 1:
        what = f"{shown[0]}: {restoring.describe(poor[0])}"
    return name, f"{what}; {name} was taken, which removes that (--model {DEFAULT} takes the other)"


def enlargement(path: Path, sizing: Sizing) -> float:
    """Return how many times a picture is to be enlarged: the larger of its sides' ratios; 4 where nothing is asked."""
    header = images.read_header(path)
    asked = sizing.factor, sizing.size, sizing.long_side
    high, wide = target_size(header.height, header.width, 4, *asked)
    return max(high / header.height, wide / header.width)


def _restoring(times: float) -> Restoring | None:
    """Return the restoring model of a scale, or of the next that is at hand; None where there is none."""
    at_hand = [scale for scale, model in RESTORING.items() if (BUNDLED / f"{model.name}.safetensors").is_file()]
    fitting = [scale for scale in at_hand if scale >= times] or at_hand[-1:]
    return RESTORING[fitting[0]] if fitting else None
