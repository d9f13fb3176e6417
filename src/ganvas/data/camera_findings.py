"""What looks wrong with cameras by themselves: lenses, doubles, outliers, axes and units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ganvas.errors import UserError
from ganvas.io.cameras.cameras import Camera

FAR = 8.0
"""Times the usual distance from the middle of the cameras at which one counts as an outlier."""
LONGEST_MM = 1000.0
"""A longer lens is hardly one: pixels read as millimetres."""
NARROWEST_DEGREES = 2.0
UNITS = (10.0, 100.0, 1000.0, 2.54, 30.48)
"""Ratios of units of length that are mixed up: millimetres, centimetres, metres, inches, feet."""


@dataclass(frozen=True)
class Finding:
    """One thing that looks wrong, and what to do."""

    what: str
    do: str = ""

    def __str__(self) -> str:
        return f"{self.what}. {self.do}".rstrip()


def check(cameras: Sequence[Camera]) -> list[Finding]:
    """Return what looks wrong with cameras.

    Raises:
        UserError: there are none.
    """
    if not cameras:
        raise UserError("There are no cameras to check")
    found = [*_lenses(cameras), *_duplicates(cameras), *_shapes(cameras)]
    if len(cameras) >= 4:
        found += [*_outliers(cameras), *_axes(cameras)]
    return found


def _lenses(cameras: Sequence[Camera]) -> list[Finding]:
    wrong = []
    for camera in cameras:
        angle = 2 * np.degrees(np.arctan(camera.size_px[0] / 2 / camera.focal_px[0]))
        if camera.focal_mm > LONGEST_MM or angle < NARROWEST_DEGREES:
            wrong.append(camera)
    if not wrong:
        return []
    focal = wrong[0].focal_mm
    what = f"{len(wrong)} cameras have lenses such as {focal:.0f} mm on {wrong[0].film_back_mm[0]:.1f} mm of film"
    return [Finding(what, "Focal lengths in pixels were probably read as millimetres: convert them")]


def _duplicates(cameras: Sequence[Camera]) -> list[Finding]:
    rows = np.array([[*camera.matrix[:3].ravel(), camera.focal_px[0]] for camera in cameras])
    scale = np.maximum(np.abs(rows).max(0), 1e-9)
    _, counts = np.unique(np.round(rows / scale, 9), axis=0, return_counts=True)
    doubled = int((counts - 1).sum())
    if not doubled:
        return []
    return [
        Finding(f"{doubled} cameras are the same as another one", "A camera that stands still needs one frame only")
    ]


def _shapes(cameras: Sequence[Camera]) -> list[Finding]:
    sizes = sorted({camera.size_px for camera in cameras})
    if len(sizes) < 2:
        return []
    told = ", ".join(f"{width} x {height}" for width, height in sizes[:4])
    return [Finding(f"The pictures have {len(sizes)} sizes: {told}", "Train on pictures of one shape")]


def _outliers(cameras: Sequence[Camera]) -> list[Finding]:
    positions = np.array([camera.matrix[:3, 3] for camera in cameras])
    middle = np.median(positions, axis=0)
    away = np.linalg.norm(positions - middle, axis=1)
    usual = np.median(away)
    far = np.flatnonzero(away > FAR * max(usual, 1e-9)) if usual > 1e-9 else np.array([], int)
    if not len(far):
        return []
    names = ", ".join(str(cameras[place].frame) for place in far[:5])
    found = [Finding(f"{len(far)} cameras lie far from all others: frames {names}", "Look at them in the solve")]
    # A part of the solve in another unit is a scaled copy of the rest.
    sizes = np.linalg.norm(positions, axis=1)
    rest = np.delete(sizes, far)
    ratio = np.median(sizes[far]) / max(np.median(rest), 1e-9)
    near = [unit for unit in UNITS if 0.7 < ratio / unit < 1.4]
    if near and len(far) > 1:
        found.append(Finding(f"They are about {near[0]:g} times as far from the origin as the rest", "Units are mixed"))
    return found


def _axes(cameras: Sequence[Camera]) -> list[Finding]:
    ups = np.array([camera.matrix[:3, 1] for camera in cameras]).mean(0)
    found = []
    if ups[1] < -0.5:
        found.append(Finding("The cameras stand on their heads", "Try --up -y, or look for flipped axes in the export"))
    elif abs(ups[2]) > 0.7:
        found.append(Finding("The cameras' up axis is Z", "Give --up z"))
    centre = _looked_at(cameras)
    if centre is not None:
        ahead = [-camera.matrix[:3, 2] @ (centre - camera.matrix[:3, 3]) for camera in cameras]
        behind = sum(depth < 0 for depth in ahead)
        if behind > 0.8 * len(cameras):
            what = f"{behind} of {len(cameras)} cameras look away from the point that their axes share"
            found.append(Finding(what, "Cameras look down -Z here: the export probably has them look down +Z"))
    return found


def _looked_at(cameras: Sequence[Camera]) -> np.ndarray | None:
    """Return the point nearest to all optical axes; None where these are parallel or the cameras share a place."""
    total, pulled = np.zeros((3, 3)), np.zeros(3)
    for camera in cameras:
        axis = camera.matrix[:3, 2]
        across = np.eye(3) - np.outer(axis, axis)
        total += across
        pulled += across @ camera.matrix[:3, 3]
    positions = np.array([camera.matrix[:3, 3] for camera in cameras])
    if np.linalg.eigvalsh(total / len(cameras))[0] < 0.02 or np.ptp(positions, axis=0).max() < 1e-6:
        return None
    return np.linalg.solve(total, pulled)
