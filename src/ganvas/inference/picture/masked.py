"""Two upscalers in one picture: a mask, brushed by hand, says where the second counts and how much.

    result = first + mask * (second - first)

Each runs on the whole picture, so neither knows of the mask, and there is no seam but that of the mask itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ganvas.errors import UserError
from ganvas.inference.picture import streaming, translation
from ganvas.inference.picture.sizes import target_size
from ganvas.inference.picture.streaming import Output
from ganvas.inference.picture.upscale import Upscaler
from ganvas.inference.result import Reports, Result
from ganvas.io.pictures import images
from ganvas.io.pictures.images import Reader


class Mask:
    """A mask at another size than its file's, row by row.

    Args:
        weights: (h, w) in [0, 1], over the whole picture.
        size: (height, width) of what it is laid over.

    Raises:
        UserError: it has no pixels.
    """

    def __init__(self, weights: np.ndarray, size: tuple[int, int]) -> None:
        if weights.ndim != 2 or 0 in weights.shape:
            raise UserError(f"An array of shape {weights.shape} is no mask", do="Give (H, W) with pixels")
        self.weights, self.size = weights.astype(np.float32), size
        self._left, self._right, self._share = _places(size[1], weights.shape[1], 0, size[1])

    @classmethod
    def read(cls, path: str | Path, size: tuple[int, int]) -> Mask:
        """Return the mask of a gray picture: white is 1; of a coloured one its mean counts, of an alpha nothing.

        Raises:
            UserError: the file is no picture.
        """
        pixels = images.to_float(images.read(path)[0])
        colours = pixels[..., :-1] if pixels.shape[-1] in (2, 4) else pixels
        return cls(np.clip(np.nan_to_num(colours.mean(-1)), 0, 1), size)

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Return rows `start` to `stop` of the mask, interpolated linearly: (stop - start, W, 1)."""
        above, below, share = _places(self.size[0], self.weights.shape[0], start, stop)
        first, second = self.weights[above], self.weights[below]
        tall = first + share[:, None] * (second - first)
        wide = tall[:, self._left] + self._share * (tall[:, self._right] - tall[:, self._left])
        return wide[..., None]


def _places(made: int, given: int, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, for pixels of a longer side, the two of the given side that each lies between, and the second's share."""
    centre = np.clip((np.arange(start, stop) + 0.5) * given / made - 0.5, 0, given - 1)
    before = centre.astype(np.int64)
    return before, np.minimum(before + 1, given - 1), (centre - before).astype(np.float32)


def mix(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return first + weights * (second - first), of the type of the first: (H, W, C), weights (H, W, 1) in [0, 1]."""
    one = first.astype(np.float32)
    mixed = one + weights * (second.astype(np.float32) - one)
    if first.dtype.kind == "u":
        limit = np.iinfo(first.dtype).max
        mixed = np.clip(np.rint(mixed), 0, limit)
    # Where a weight is 0 or 1 it is that picture to the bit, whatever float32 makes of it.
    return np.where(weights == 0, first, np.where(weights == 1, second, mixed.astype(first.dtype)))


def upscale_masked(
    first: Upscaler,
    second: Upscaler,
    mask: str | Path,
    source: str | Path,
    target: str | Path,
    output: Output = Output(),  # noqa: B008 - immutable
    progress: Reports | None = None,
) -> Result:
    """Upscale one file by two networks of one scale, mixed by a mask over the whole picture; as a stream.

    Raises:
        UserError: as `upscale_file`, the networks differ in scale, or the mask cannot be read.
    """
    if first.scale != second.scale:
        raise UserError("The two models do not go together", f"They enlarge by {first.scale} and {second.scale}")
    if output.crop is not None or output.alpha == "separate":
        name = "--crop" if output.crop is not None else "--alpha separate"
        raise UserError(f"{name} means nothing beside a mask", "It lies over the whole picture", "Leave it out")
    began, target = time.perf_counter(), Path(target)
    with Reader(source) as one, Reader(source) as other:
        header = streaming.seen(one, output.alpha).header
        wanted = target_size(header.height, header.width, first.scale, output.factor, output.size, output.long_side)
        laid = Mask.read(mask, wanted)
        size = (wanted[1], wanted[0])
        with streaming.writer_for(target, translation.header_for(first, header), size, output) as writer:
            rows, hidden = streaming.upscaled(first, streaming.seen(one, output.alpha), output, wanted, progress)
            others, _ = streaming.upscaled(second, streaming.seen(other, output.alpha), output, wanted, None)
            top = 0
            for mine, theirs in _together(rows, others):
                writer.write_rows(mix(mine, theirs, laid.rows(top, top + len(mine))))
                top += len(mine)
        note = writer.target.note
    if hidden and output.alpha == "auto" and not header.associated_alpha:
        note = "; ".join(text for text in (note, streaming.HIDDEN) if text)
    return streaming.result_of(first, source, target, size, began, header, note)


def _together(first: Iterator[np.ndarray], second: Iterator[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the rows of two pictures in strips of equal height; networks cut theirs as they like."""
    waiting = [np.empty(0), np.empty(0)]
    while True:
        for number, strips in enumerate((first, second)):
            if not len(waiting[number]):
                following = next(strips, None)
                if following is None:
                    return
                waiting[number] = following
        height = min(map(len, waiting))
        yield waiting[0][:height], waiting[1][:height]
        waiting = [strip[height:] for strip in waiting]
