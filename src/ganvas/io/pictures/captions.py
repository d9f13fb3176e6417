"""Lines of text as pixels, for what is burnt into frames."""

from __future__ import annotations

import numpy as np
import OpenImageIO as oiio  # noqa: N813

MARGIN_PX = 4
FONT_SHARE = 0.6
"""Size of the letters as a share of the line's height."""
INK = (0.92, 0.92, 0.92)


def caption(text: str, width_px: int, height_px: int) -> np.ndarray:
    """Return a line of text on black as display values, (height, width, 3) float32; what does not fit ends in dots.

    A line without room for letters, or an OpenImageIO without fonts, gives black.
    """
    size = round(height_px * FONT_SHARE)
    line = oiio.ImageBuf(oiio.ImageSpec(width_px, height_px, 3, oiio.FLOAT))
    oiio.ImageBufAlgo.zero(line)
    shown = _fitting(text, size, width_px - 2 * MARGIN_PX)
    if shown:
        baseline = round((height_px + 0.7 * size) / 2)
        oiio.ImageBufAlgo.render_text(line, MARGIN_PX, baseline, shown, size, "", INK)
    return np.asarray(line.get_pixels(oiio.FLOAT), np.float32).reshape(height_px, width_px, 3)


def _fitting(text: str, size: int, width_px: int) -> str:
    for length in range(len(text), 0, -1):
        shown = text if length == len(text) else text[:length].rstrip() + "..."
        if oiio.ImageBufAlgo.text_size(shown, size).width <= width_px:
            return shown
    return ""
