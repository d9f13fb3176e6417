"""Colours that are not RGB made so: CMYK and gray through their profiles by LittleCMS, CIELAB by its formulas."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

Conversion: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""Rows (h, w, C) of one colour model into rows (h, w, C') of sRGB, of the same dtype."""

_MODELS = {b"CMYK": "cmyk", b"GRAY": "gray", b"RGB ": "rgb"}
_RELATIVE, _BLACK_POINT = 1, 0x2000


def model_of(profile: bytes) -> str:
    """Return the colour model of an ICC profile, or its signature where it is none of ours."""
    return _MODELS.get(profile[16:20], profile[16:20].decode("latin-1").strip())


def is_available() -> bool:
    """Tell whether LittleCMS is at hand."""
    return importlib.util.find_spec("imagecodecs") is not None


def is_converted(dtype: str) -> bool:
    """Tell whether samples of a type can be brought through a profile; those of light are left as they are."""
    return dtype.startswith("uint") and is_available()


def by_profile(profile: bytes) -> Conversion:
    """Return the conversion from a profile's colours to sRGB: relative colorimetric, black to black.

    Gray comes out as RGB, too; channels beyond the model's (alpha) pass as they are.

    Raises:
        ValueError: the profile is damaged, or of a model that is not known.
    """
    codecs = importlib.import_module("imagecodecs")
    model = model_of(profile)
    channels = {"cmyk": 4, "gray": 1, "rgb": 3}.get(model)
    if channels is None:
        raise ValueError(f"profiles of {model} are not known")
    target = codecs.cms_profile("srgb")

    def convert(rows: np.ndarray) -> np.ndarray:
        inks = np.ascontiguousarray(rows[..., :channels])
        try:
            colours = codecs.cms_transform(
                inks if model != "gray" else inks[..., 0], profile, target,
                colorspace=model, outcolorspace="rgb", intent=_RELATIVE, flags=_BLACK_POINT,
            )  # fmt: skip
        except codecs.CmsError as error:
            raise ValueError(str(error)) from error
        return np.concatenate([colours.reshape(*rows.shape[:2], 3), rows[..., channels:]], axis=-1)

    convert(np.zeros((1, 1, channels), np.uint8))  # a damaged profile must fail here
    return convert


def cmyk_plainly(rows: np.ndarray) -> np.ndarray:
    """Return CMYK without a profile as RGB, (1 - ink) (1 - black); channels beyond the inks pass as they are."""
    top = float(np.iinfo(rows.dtype).max)
    light = (top - rows[..., :3].astype(np.float64)) * (top - rows[..., 3:4].astype(np.float64)) / top
    return np.concatenate([np.rint(light).astype(rows.dtype), rows[..., 4:]], axis=-1)


_BRADFORD_D50_TO_SRGB = np.array([
    [3.1338561, -1.6168667, -0.4906146],
    [-0.9787684, 1.9161415, 0.0334540],
    [0.0719453, -0.2289914, 1.4052427],
])  # fmt: skip
"""XYZ under D50 -> linear sRGB, adapted after Bradford (sRGB: IEC 61966-2-1)."""
_D50 = np.array([0.96422, 1.0, 0.82521])


def lab_to_srgb(rows: np.ndarray, signed: bool) -> np.ndarray:
    """Return CIELAB (D50) as sRGB of the same depth; colours outside it are clipped.

    Args:
        rows: (h, w, 3 or more), as TIFF stores them: L over the whole type; a and b as integers with a sign where
            `signed` (TIFF 6.0, section 23), else around the middle (ICC's encoding, TIFF technical note 4).
    """
    bits = 8 * rows.dtype.itemsize
    unit = float(1 << (bits - 8))
    if signed:
        light = rows[..., 0] / float((1 << bits) - 1) * 100
        a, b = (rows[..., i].view(f"i{rows.dtype.itemsize}") / unit for i in (1, 2))
    else:
        # 16 bits of ICC's encoding before version 4 put 100 at 0xFF00.
        light = rows[..., 0] / (255 * unit) * 100
        a, b = (rows[..., i] / unit - 128 for i in (1, 2))
    y = (light + 16) / 116
    cubes = np.stack([y + a / 500, y, y - b / 200], axis=-1)
    xyz = np.where(cubes > 6 / 29, cubes**3, 3 * (6 / 29) ** 2 * (cubes - 4 / 29)) * _D50
    linear = np.clip(xyz @ _BRADFORD_D50_TO_SRGB.T, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    top = (1 << bits) - 1
    return np.concatenate([np.rint(encoded * top).astype(rows.dtype), rows[..., 3:]], axis=-1)
