"""What an HDR video says of the display it was made on (SMPTE ST 2086) and of its brightest light (CTA-861.3)."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import Any, NamedTuple

from ganvas.errors import need

_DYNAMIC = {"DYNAMIC_HDR_PLUS": "HDR10+", "DOVI_RPU_BUFFER": "Dolby Vision", "DYNAMIC_HDR_VIVID": "HDR Vivid"}
"""Names of side data that changes from scene to scene, which a larger picture would need anew."""


class Static(NamedTuple):
    """Metadata that holds for a whole video; each part is empty where the file has none."""

    primaries: tuple[Fraction, ...] = ()
    """x and y of red, green, blue and white."""
    luminance: tuple[Fraction, ...] = ()
    """Least and greatest luminance of the mastering display, in cd/m2."""
    light_level: tuple[int, ...] = ()
    """Greatest light of a pixel (MaxCLL) and of a frame's mean (MaxFALL), in cd/m2."""


NONE = Static()


def read_static(frame: Any) -> tuple[Static, str]:
    """Return what a decoded frame carries, and the name of what changes from scene to scene."""
    kinds = need("av.sidedata.sidedata", extra="video").Type
    found, dynamic = NONE, ""
    for data in frame.side_data:
        if data.type == kinds.MASTERING_DISPLAY_METADATA:
            numbers = struct.unpack("=20i2i", bytes(data)[:88])
            ratios = [Fraction(*numbers[at : at + 2]) if numbers[at + 1] else Fraction(0) for at in range(0, 20, 2)]
            if numbers[20]:
                found = found._replace(primaries=tuple(ratios[:8]))
            if numbers[21]:
                found = found._replace(luminance=tuple(ratios[8:]))
        elif data.type == kinds.CONTENT_LIGHT_LEVEL:
            found = found._replace(light_level=struct.unpack("=2I", bytes(data)[:8]))
        else:
            dynamic = next((name for kind, name in _DYNAMIC.items() if data.type == kinds[kind]), dynamic)
    return found, dynamic


def parameters(static: Static, codec: str) -> str:
    """Return what makes an encoder write the metadata: parts of x264-params, x265-params or svtav1-params."""
    parts = []
    if static.primaries and static.luminance:
        x = [*static.primaries]
        low, high = static.luminance
        if codec == "av1":
            whole = "".join(f"{name}({float(x[at]):.5f},{float(x[at + 1]):.5f})" for name, at in _PLACES)
            parts.append(f"mastering-display={whole}L({float(high):.4f},{float(low):.4f})")
        else:
            whole = "".join(f"{name}({round(x[at] * 50000)},{round(x[at + 1] * 50000)})" for name, at in _PLACES)
            name = {"h265": "master-display", "h264": "mastering-display"}[codec]
            parts.append(f"{name}={whole}L({round(high * 10000)},{round(low * 10000)})")
    if static.light_level:
        name = {"h265": "max-cll", "h264": "cll", "av1": "content-light"}[codec]
        parts.append(f"{name}={static.light_level[0]},{static.light_level[1]}")
    return ":".join(parts)


_PLACES = (("G", 2), ("B", 4), ("R", 0), ("WP", 6))
HOLDERS = ("h264", "h265", "av1")
"""Codecs whose streams hold the metadata."""
