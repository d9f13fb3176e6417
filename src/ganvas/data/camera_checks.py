"""The doctor for cameras: what in a solve looks wrong before hours are spent on it, and a plan of it from above."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from ganvas.data import doctor
from ganvas.data.decoding import faults
from ganvas.data.shots import Footage, is_movie, read_footage
from ganvas.errors import UserError
from ganvas.io.cameras import cameras as camera_files
from ganvas.io.cameras.cameras import Camera, Given

FAR = 8.0
"""Times the usual distance from the middle of the cameras at which one counts as an outlier."""
LONGEST_MM = 1000.0
"""A longer lens is hardly one: pixels read as millimetres."""
NARROWEST_DEGREES = 2.0
UNITS = (10.0, 100.0, 1000.0, 2.54, 30.48)
"""Ratios of units of length that are mixed up: millimetres, centimetres, metres, inches, feet."""
SIDE, MARGIN = 480, 30


@dataclass(frozen=True)
class Finding:
    """One thing that looks wrong, and what to do."""

    what: str
    do: str = ""

    def __str__(self) -> str:
        return f"{self.what}. {self.do}".rstrip()


@dataclass(frozen=True)
class CameraReport:
    """What the cameras of a folder are, and what looks wrong with them."""

    cameras: tuple[Camera, ...]
    findings: tuple[Finding, ...]
    plan: str
    """The cameras from above, as SVG."""
    notes: tuple[str, ...] = ()
    """What was assumed, and how pictures are read."""

    def lines(self) -> list[str]:
        """Return the report as sentences."""
        focals = [camera.focal_mm for camera in self.cameras]
        positions = np.array([camera.matrix[:3, 3] for camera in self.cameras])
        width, height = self.cameras[0].size_px
        extent = " x ".join(f"{side:.2f}" for side in np.ptp(positions, axis=0))
        first = [
            f"{len(self.cameras)} cameras with pictures of {width} x {height} px",
            f"They spread over {extent} m; focal lengths {min(focals):.1f} to {max(focals):.1f} mm",
        ]
        return first + [f"{note}." for note in self.notes] + [str(finding) for finding in self.findings]


def check_folder(folder: str | Path, camera_file: str | Path = "", given: Given | None = None) -> CameraReport:
    """Read the cameras and pictures of a folder, or a camera file alone, and report what looks wrong.

    Raises:
        UserError: there is no camera file, it cannot be read, or no camera has a picture.
    """
    if Path(folder).is_file() and not is_movie(folder):
        solve = camera_files.read(folder, given)
        return CameraReport(solve.cameras, tuple(check(solve.cameras)), top_view(solve.cameras), solve.notes)
    footage = read_footage(folder, camera_file, given)
    cameras = [view.camera for view in footage.views]
    found = (*_unreadable(footage), *_unmatched(footage), *check(cameras))
    # What has no partner is a finding already.
    notes = tuple(note for note in footage.notes if " have no " not in note)
    return CameraReport(tuple(cameras), found, top_view(cameras), notes)


def _unreadable(footage: Footage) -> list[Finding]:
    files = [view.picture for view in footage.views if view.plate.movie_frame is None]
    found = doctor.unreadable(faults([file for file in files if isinstance(file, Path)]))
    return [Finding(each.what, each.mend) for each in found]


def _unmatched(footage: Footage) -> list[Finding]:
    found = []
    for names, what in (
        (footage.without_picture, "cameras have no picture"),
        (footage.without_camera, "pictures have no camera"),
    ):
        if names:
            shown = ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
            found.append(Finding(f"{len(names)} {what}: {shown}", "They are left out of training"))
    return found


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


def top_view(cameras: Sequence[Camera]) -> str:
    """Return the cameras from above as SVG: X to the right, Z downwards, a dot for each and a line where it looks."""
    places = np.array([camera.matrix[[0, 2], 3] for camera in cameras])
    heads = np.array([-camera.matrix[[0, 2], 2] for camera in cameras])
    low, extent = places.min(0), max(float(np.ptp(places, axis=0).max()), 1e-6)
    scale = (SIDE - 2 * MARGIN) / extent
    spots = MARGIN + (places - low) * scale
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE} {SIDE + 24}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{SIDE}" height="{SIDE + 24}" fill="white"/>',
    ]
    for camera, (x, y), (dx, dy) in zip(cameras, spots, heads):
        parts.append(f'<path d="M{x:.1f} {y:.1f}l{12 * dx:.1f} {12 * dy:.1f}" stroke="#1f6fb4"/>')
        name = escape(camera.name or str(camera.frame))
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="#d95f02"><title>{name}</title></circle>')
    parts.append(f'<text x="{MARGIN}" y="{SIDE + 12}">from above, X right, Z down; {extent:.3g} m across</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
