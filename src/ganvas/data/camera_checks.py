"""The doctor for cameras: what in a solve looks wrong before hours are spent on it, and a plan of it from above."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from ganvas.data import doctor
from ganvas.data.camera_findings import Finding, check
from ganvas.data.decoding import faults
from ganvas.data.shots import Footage, is_movie, read_footage
from ganvas.io.cameras import cameras as camera_files
from ganvas.io.cameras.cameras import Camera, Given

SIDE, MARGIN = 480, 30


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
