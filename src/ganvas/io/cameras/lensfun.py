"""Lens profiles of the lensfun database, found by what a picture's EXIF says of camera and lens (extra `lenses`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ganvas.errors import UserError, need
from ganvas.io.cameras.lens import Lens

EXTRA = "lenses"
SIDE_PX, POWERS, FAR_M = 600, 5, 1000.0
"""Longer side of the picture on which a profile is measured, terms of its polynomial, and the distance it is for."""
OTHERWISE = "Name an STMap by --stmap, or leave out --lens-profile"


def profile(told: Mapping[str, Any], size_px: tuple[int, int], focal_px: float) -> tuple[Lens, str]:
    """Return the lens of a picture and what lensfun calls it.

    All its models of distortion are polynomials of the radius, which is found from where lensfun looks pixels up.

    Args:
        told: metadata by the names that OpenImageIO gives them: Make, Model, Exif:LensModel, Exif:FocalLength.
        size_px: (width, height) of the picture.
        focal_px: focal length in pixels.

    Raises:
        UserError: the extra is not installed, EXIF does not say enough, or the database does not know the lens.
    """
    library = need("lensfunpy", EXTRA)
    make, model, name = (str(told.get(key, "")).strip() for key in ("Make", "Model", "Exif:LensModel"))
    focal = float(told.get("Exif:FocalLength") or 0)
    if not (make and model and name and focal):
        why = "Camera, lens and focal length are looked for (Make, Model, LensModel, FocalLength)"
        raise UserError("EXIF does not tell the lens", why, OTHERWISE)
    database = library.Database()
    cameras = database.find_cameras(make, model)
    lenses = database.find_lenses(cameras[0], "", name) if cameras else []
    if not lenses:
        raise UserError(f"lensfun has no profile of {name} on {model}", do=OTHERWISE)
    if lenses[0].type != library.LensType.RECTILINEAR:
        raise UserError(f"{name} is no rectilinear lens", "The profiles of fisheyes are not used", OTHERWISE)
    width, height = (max(2, round(side * SIDE_PX / max(size_px))) for side in size_px)
    modifier = library.Modifier(lenses[0], cameras[0].crop_factor, width, height)
    modifier.initialize(focal, float(told.get("FNumber") or 8), FAR_M, scale=1.0)
    looked_up = modifier.apply_geometry_distortion()
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    if looked_up is None:
        return Lens("lensfun", (1.0,)), f"{lenses[0].maker} {lenses[0].model}"
    places = np.rint(middle * (1 + np.linspace(0.05, 1, SIDE_PX)[:, None])).astype(int)
    ideal = np.hypot(*(places - middle).T)
    seen = np.hypot(*(looked_up[places[:, 1], places[:, 0]].astype(np.float64) - middle).T)
    # In shares of the focal length; near the middle, rounding is a larger share of the radius.
    radius = ideal * max(size_px) / max(width, height) / focal_px
    terms = np.stack([radius**power for power in range(POWERS)], 1)
    found = np.linalg.lstsq(terms * ideal[:, None], seen, rcond=None)[0]
    return Lens("lensfun", tuple(found.tolist())), f"{lenses[0].maker} {lenses[0].model}"
