"""What OpenImageIO's writers are told of a picture that is to be written."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import OpenImageIO as oiio  # noqa: N813 - as its own documentation does

from ganvas.io.pictures.headers import BYTES_PER_SAMPLE, Header

_OIIO_TYPES = {"float16": "half", "float32": "float"}
_CHANNEL_NAMES = {1: ("Y",), 2: ("Y", "A"), 3: ("R", "G", "B"), 4: ("R", "G", "B", "A")}
_TIFF_COMPRESSIONS = {"none", "lzw", "zip", "packbits", "zstd"}
# Offsets of a classic TIFF have 32 bits; the rest is for what compression may add and the directory.
_CLASSIC_TIFF_BYTES = 4_000_000_000


def output_spec(
    source: Header, target: Header, quality: int, extra: Mapping[str, str | int | float], tile_px: int
) -> oiio.ImageSpec:
    kind = _OIIO_TYPES.get(target.dtype, target.dtype)
    spec = oiio.ImageSpec(target.width, target.height, target.channels, kind)
    spec.channelnames = _CHANNEL_NAMES[target.channels]
    if target.has_alpha:
        spec.alpha_channel = target.channels - 1
        if not target.associated_alpha:
            spec.attribute("oiio:UnassociatedAlpha", 1)
    same_format = source.format == target.format
    for name, type_name, value in target.metadata:
        own = name.startswith(("dpx:", "openexr:", "oiio:")) or name == "compression"
        if same_format or not own:
            set_value(spec, name, type_name, value)
    for name, value in extra.items():
        spec.attribute(name, value)
    spec.attribute("Orientation", 1)
    spec.attribute("oiio:BitsPerSample", target.bits)
    _set_compression(spec, source.format, target, quality)
    raw_bytes = target.width * target.height * target.channels * BYTES_PER_SAMPLE[target.dtype]
    if target.format == "tiff" and raw_bytes > _CLASSIC_TIFF_BYTES:
        spec.attribute("tiff:bigtiff", 1)
    if tile_px:
        spec.tile_width = spec.tile_height = tile_px
    if target.window is not None and target.format == "exr":
        _set_window(spec, source, target.window)
    return spec


def set_value(spec: oiio.ImageSpec, name: str, type_name: str, value: object) -> None:
    if isinstance(value, bytes):
        spec.attribute(name, oiio.TypeDesc(f"uint8[{len(value)}]"), np.frombuffer(value, np.uint8))
    else:
        spec.attribute(name, oiio.TypeDesc(type_name), value)


def _set_compression(spec: oiio.ImageSpec, source_format: str, target: Header, quality: int) -> None:
    if target.format == "jpeg":
        spec.attribute("compression", f"jpeg:{quality}")
        spec.attribute("jpeg:subsampling", "4:4:4" if quality >= 90 else "4:2:0")
    elif target.format in ("avif", "heif"):
        spec.attribute("compression", f"{target.format}:{quality}")
    elif target.format == "dds" and source_format != "dds":
        spec.attribute("compression", "bc7")
    elif target.format == "webp":
        spec.attribute("compression", "lossless" if quality == 100 else f"webp:{quality}")
    elif target.format == "jpegxl":
        # Its lossy mode replaces the profile by one of its own, and keeps values above 1 to no stated accuracy.
        plain = target.dtype == "uint8" and target.icc_profile is None
        spec.attribute("compression", f"jpegxl:{quality if plain else 100}")
    elif target.format == "tiff" and spec.get_string_attribute("compression") not in _TIFF_COMPRESSIONS:
        spec.attribute("compression", "zip")


def _set_window(spec: oiio.ImageSpec, source: Header, window: tuple[int, int, int, int, int, int]) -> None:
    """Scale the data origin and the display window with the picture."""
    across, down = spec.width / source.width, spec.height / source.height
    spec.x, spec.full_x, spec.full_width = (round(window[i] * across) for i in (0, 2, 4))
    spec.y, spec.full_y, spec.full_height = (round(window[i] * down) for i in (1, 3, 5))
