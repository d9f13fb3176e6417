"""Networks that paint a picture of their own of a sketch, edges or depth: what goes into them, and what comes out.

An upscaler gives back what it was given: gray, 16 bits, light. A translator gives colours of display, whatever it saw.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ganvas.data.input_ranges import InputRange
from ganvas.inference.picture.upscale import Upscaler
from ganvas.inference.rows.pixels import Pixels
from ganvas.io.pictures.images import Header


def pixels_for(up: Upscaler, header: Header) -> Pixels | None:
    """Return how a picture is brought before a translator; None where its pixels are treated as any upscaler's.

    Those of 8 or 16 bits in colour come out as they went in, so only others need it.
    """
    within = InputRange.from_note(up.card.extra.get("input_range"))
    is_float = header.dtype.startswith("float")
    if not up.translates or not (header.channels < 3 or is_float or within):
        return None
    return Pixels(
        channels=header.channels, dtype=np.dtype(header.dtype), opaque=True,
        painted="uint8" if is_float else header.dtype, within=within,
    )  # fmt: skip


def header_for(up: Upscaler, header: Header) -> Header:
    """Return the header of what a network makes of a picture, before its size is changed."""
    pixels = pixels_for(up, header)
    if pixels is None:
        return header
    # Profile, colour space and channels are the input's.
    return replace(
        header, channels=3, dtype=pixels.painted, bits=16 if pixels.painted == "uint16" else 8, scene_linear=False,
        metadata=(), associated_alpha=False, window=None,
    )  # fmt: skip
