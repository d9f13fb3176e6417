"""The size that an upscaled picture gets."""

from __future__ import annotations

import math

from ganvas.errors import UserError


def target_size(
    height: int,
    width: int,
    scale: int,
    factor: float | None = None,
    size: tuple[int, int] | None = None,
    long_side: int | None = None,
) -> tuple[int, int]:
    """Return the (height, width) of the output, asked for in at most one way; otherwise `scale` times the input.

    Args:
        size: (width, height) in pixels; a 0 is filled in so that the proportions stay.

    Raises:
        UserError: more than one way, or a size that makes no picture.
    """
    asked = [
        name for name, value in (("factor", factor), ("size", size), ("long_side", long_side)) if value is not None
    ]
    if len(asked) > 1:
        raise UserError(f"The output size is given twice: {' and '.join(asked)}", do="Give one of them")
    if size is not None:
        wide, high = size
        if min(wide, high) < 0 or wide == high == 0:
            raise UserError(f"{wide}x{high} is no size for a picture", do="Give --size as 3840x2160, or 3840x0")
        wide, high = wide or round(high * width / height), high or round(wide * height / width)
        return max(1, high), max(1, wide)
    if long_side is not None:
        factor = long_side / max(height, width)
    factor = scale if factor is None else factor
    if not (math.isfinite(factor) and factor > 0):
        raise UserError(f"A picture cannot become {factor:g} times as large", do="Give a factor above 0")
    return max(1, round(height * factor)), max(1, round(width * factor))
