"""Cameras of USD stages (extra `cameras`).

USD measures focal length, apertures and offsets in tenths of a scene unit, and says the scene's unit and up axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ganvas.errors import UserError, need
from ganvas.io.cameras.cameras import (
    Camera,
    Given,
    Solve,
    film_that_shows,
    plain_camera,
)
from ganvas.io.cameras.geometry import into_metres, out_of_metres

SIZE = "ganvas:sizePx"
NAME = "ganvas:name"
WHOLE = "ganvas:wholeFilmBackMm"
FPS = 24.0
MOST_FRAMES = 1_000_000


def says(_path: Path) -> tuple[str, ...]:
    """Return which fields of `Given` these files say themselves."""
    return ("film_back_mm", "metres_per_unit", "rotation_order", "up")


def read(path: Path, given: Given) -> Solve:
    """Read the camera of a stage, at each time at which it or a parent of it has a sample.

    Raises:
        UserError: the extra is missing, the file cannot be opened, or holds no or several cameras and none was named.
    """
    stage = _open(path)
    geometry = need("pxr.UsdGeom", "cameras")
    usd = need("pxr.Usd", "cameras")
    known = [prim for prim in _all(stage, usd) if prim.IsA(geometry.Camera)]
    found = [prim for prim in known if not given.camera or given.camera in (prim.GetName(), str(prim.GetPath()))]
    if not found:
        listed = ", ".join(str(prim.GetPath()) for prim in known)
        what = f"{path} holds no camera" + (f" {given.camera!r}" if given.camera else "")
        raise UserError(what, do=f"It has {listed}" if listed else "")
    if len(found) > 1:
        names = ", ".join(str(prim.GetPath()) for prim in found)
        raise UserError(f"{path} holds several cameras", names, "Name one: --camera-name NAME")
    prim = geometry.Camera(found[0])
    unit = geometry.GetStageMetersPerUnit(stage)
    up = given.up or str(geometry.GetStageUpAxis(stage)).lower()
    notes: list[str] = []
    if not stage.HasAuthoredMetadata("metersPerUnit") and not given.metres_per_unit:
        notes.append("The stage does not say its unit, so USD's centimetres are taken (--metres-per-unit)")
    cameras = []
    for frame, time in _times(stage, found[0], geometry, usd):
        if prim.GetProjectionAttr().Get(time) == geometry.Tokens.orthographic:
            raise UserError(f"{found[0].GetPath()} of {path} is orthographic", do="Use a perspective camera")
        lens = prim.GetCamera(time)
        # Row vectors there, columns here.
        matrix = np.array(lens.transform, float).T
        # Tenths of a unit in millimetres; a scene in centimetres has them in millimetres as they are.
        tenth = 100.0 * unit
        film = given.film_back_mm or (_told(lens.horizontalAperture) * tenth, _told(lens.verticalAperture) * tenth)
        shift = (_told(lens.horizontalApertureOffset) * tenth, _told(lens.verticalApertureOffset) * tenth)
        size = given.size_px or _size(found[0], film)
        if abs(film[0] * size[1] / (film[1] * size[0]) - 1) > 1e-3:
            film = film_that_shows(film, size)
            notes.append("The aperture has another shape than the picture: its width is filled")
        focal = given.focal_mm or _told(lens.focalLength) * tenth
        turned = into_metres(matrix, given.metres_per_unit or unit, up)
        cameras.append(plain_camera(turned, focal, film, size, frame, _name(found[0], time), shift))
    fps = float(stage.GetFramesPerSecond()) if stage.HasAuthoredMetadata("framesPerSecond") else None
    return Solve(tuple(cameras), tuple(notes), fps=fps)


def _told(single: float) -> float:
    """Return what was written into one of USD's single-precision numbers: 35.2 for 35.20000076."""
    return float(str(np.float32(single)))


def _all(stage: Any, usd: Any) -> Any:
    # Cameras inside of instances, too.
    return usd.PrimRange.Stage(stage, usd.TraverseInstanceProxies(usd.PrimDefaultPredicate))


def _open(path: Path) -> Any:
    usd = need("pxr.Usd", "cameras")
    try:
        return usd.Stage.Open(str(path))
    except Exception as error:
        # The library raises a plain exception of its own for every kind of damage.
        raise UserError(f"{path} cannot be opened", str(error).strip().splitlines()[-1]) from error


def _times(stage: Any, prim: Any, geometry: Any, usd: Any) -> list[tuple[int, Any]]:
    """Return each whole frame from the first to the last sample of a camera and its parents, and its time.

    Between samples USD interpolates, so sparse ones are filled in, and those between frames are no frames.
    """
    samples: set[float] = set()
    for name in ("focalLength", "horizontalAperture", "verticalAperture", "horizontalApertureOffset",
                 "verticalApertureOffset"):  # fmt: skip
        samples.update(_sampled(prim.GetAttribute(name)))
    above = prim
    while above and not above.IsPseudoRoot():
        if above.IsA(geometry.Xformable):
            samples.update(geometry.Xformable(above).GetTimeSamples())
            for operation in geometry.Xformable(above).GetOrderedXformOps():
                samples.update(_sampled(operation.GetAttr()))
            if geometry.Xformable(above).GetResetXformStack():
                break
        above = above.GetParent()
    # Times are frames unless a stage says that it counts them otherwise.
    rate = 1.0
    if stage.HasAuthoredMetadata("framesPerSecond") and stage.HasAuthoredMetadata("timeCodesPerSecond"):
        rate = stage.GetFramesPerSecond() / stage.GetTimeCodesPerSecond()
    if not samples:
        first = stage.GetStartTimeCode() if stage.HasAuthoredMetadata("startTimeCode") else 0.0
        return [(round(first * rate), usd.TimeCode.Default())]
    low, high = min(samples) * rate, max(samples) * rate
    frames = list(range(math.ceil(low - 1e-6), math.floor(high + 1e-6) + 1))
    if len(frames) > MOST_FRAMES:
        raise UserError(f"{prim.GetPath()} has samples from {low:g} to {high:g}", "These are too many frames")
    return [(frame, usd.TimeCode(frame / rate)) for frame in frames] or [(round(low), usd.TimeCode(min(samples)))]


def _sampled(attribute: Any) -> set[float]:
    """Return the times at which an attribute has samples, or knots where it is a spline."""
    times = set(attribute.GetTimeSamples())
    if hasattr(attribute, "HasSpline") and attribute.HasSpline():
        times.update(attribute.GetSpline().GetKnots())
    return times


def _size(prim: Any, film: tuple[float, float]) -> tuple[int, int]:
    told = prim.GetAttribute(SIZE)
    if told and told.Get() is not None:
        width, height = told.Get()
        return int(width), int(height)
    return 1920, max(1, round(1920 * film[1] / film[0]))


def _name(prim: Any, time: Any) -> str:
    told = prim.GetAttribute(NAME)
    return str(told.Get(time) or "") if told else ""


def check_writable(path: Path, _frames: Sequence[int]) -> None:
    """Check that a stage can be written.

    Raises:
        UserError: the extra is missing, or it would be an archive.
    """
    if path.suffix.lower() == ".usdz":
        raise UserError(f"{path} cannot be written", "Archives of USD are only read", "Write .usda or .usdc")
    need("pxr.Usd", "cameras")


def write(path: Path, cameras: Sequence[Camera], given: Given) -> list[str]:
    """Write a stage with one camera in centimetres, Y up unless given, a sample for each frame.

    USD knows the up axes Y and Z: a world with another is written with Y up.

    Raises:
        UserError: the file cannot be written.
    """
    usd, geometry = need("pxr.Usd", "cameras"), need("pxr.UsdGeom", "cameras")
    graphics, types = need("pxr.Gf", "cameras"), need("pxr.Sdf", "cameras").ValueTypeNames
    unit = given.metres_per_unit or 0.01
    up = given.up if given.up == "z" else "y"
    # Written aside and renamed: a stage is saved in place, and its name must hold a whole file or none.
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    partial.unlink(missing_ok=True)
    stage = usd.Stage.CreateNew(str(partial))
    geometry.SetStageMetersPerUnit(stage, unit)
    geometry.SetStageUpAxis(stage, up.upper())
    stage.SetFramesPerSecond(given.fps or FPS)
    stage.SetTimeCodesPerSecond(given.fps or FPS)
    stage.SetStartTimeCode(cameras[0].frame)
    stage.SetEndTimeCode(cameras[-1].frame)
    camera = geometry.Camera.Define(stage, "/shotCam")
    stage.SetDefaultPrim(camera.GetPrim())
    place = camera.AddTransformOp()
    names = camera.GetPrim().CreateAttribute(NAME, types.String)
    if cameras[0].whole_film_mm:
        camera.GetPrim().CreateAttribute(WHOLE, types.Float2).Set(graphics.Vec2f(*cameras[0].whole_film_mm))
    camera.GetPrim().CreateAttribute(SIZE, types.Int2).Set(graphics.Vec2i(*cameras[0].size_px))
    tenth = 100.0 * unit
    for one in cameras:
        rows = out_of_metres(one.matrix, unit, up).T
        place.Set(graphics.Matrix4d(*rows.ravel().tolist()), one.frame)
        camera.CreateFocalLengthAttr().Set(one.focal_mm / tenth, one.frame)
        camera.CreateHorizontalApertureAttr().Set(one.film_back_mm[0] / tenth, one.frame)
        camera.CreateVerticalApertureAttr().Set(one.film_back_mm[1] / tenth, one.frame)
        camera.CreateHorizontalApertureOffsetAttr().Set(one.shift_mm[0] / tenth, one.frame)
        camera.CreateVerticalApertureOffsetAttr().Set(one.shift_mm[1] / tenth, one.frame)
        names.Set(one.name, one.frame)
    stage.GetRootLayer().Save()
    partial.replace(path)
    return [f"USD has no up axis {given.up}: it was written with Y up"] if given.up not in ("", up) else []
