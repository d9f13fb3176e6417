"""All that can be asked of a generator of views from cameras."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, TypeAlias

from ganvas.errors import UserError
from ganvas.inference.options import CommonOptions, Millimetres, Size
from ganvas.io.cameras.cameras import Given

CameraFormat: TypeAlias = Literal["json", "csv", "chan", "ma", "nk", "usda", "usdc", "abc", "colmap"]


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Which way a camera flies through a learned place, and what is written of it.

    Raises:
        UserError: the zoom is not positive, or the first frame is negative.
    """

    out: Path
    """A video (.mp4, .mov), numbered frames (shot.####.exr, shot.####.png), or a folder."""
    camera: Path | None = None
    """Camera path: .ma, .nk, .chan, .fbx, .abc, .usd, .csv, transforms.json, COLMAP's model, a scanner's file."""
    through: str = ""
    """Instead of --cameras, a smooth flight through training cameras, by the footage's frame numbers: 1001,1030,1072;
    by place among them, counted from 0, index:0,29,71. `ganvas inspect MODEL` lists the frames."""
    frames: int = 240
    """Frames of such a flight."""
    first_frame: int | None = None
    """Number of the first frame that is written: 1001; default 1, or the path's own."""
    zoom: float = 1.0
    """Multiply all focal lengths."""
    rotation_order: str = ""
    """Of a .chan file: ZXY, XYZ ... (the first axis turned about first)."""
    film_back: Millimetres | None = None
    """Width and height in millimetres, for formats that do not say it: 36x24."""
    focal: float | None = None
    """Focal length in millimetres, for a .chan without field of view."""
    size: Size | None = None
    """Size of the path's pictures in pixels, where it matters and is not said: 1920x1080."""
    metres_per_unit: float | None = None
    """Unit of the camera file, if it is not the format's usual one."""
    up: Literal["", "y", "z", "-y"] = ""
    """Up axis of the camera file's world, if it does not say it."""
    camera_name: str = ""
    """Which camera, where a scene holds several."""
    camera_format: CameraFormat = "json"
    """Format of the camera written beside the pictures."""
    fps: Fraction | None = None
    """Frames a second of a video: 24, 24000/1001; default that of the camera path, or 24."""
    bits: Literal[8, 10, 16] = 8
    """Depth of a video or of PNG frames; .mov with 10 is ProRes, .exr is always half float."""
    on_plate: bool = False
    """Lay pictures onto the training plates: of their size, distorted as by their lens if they have one; black beyond
    the square that was trained on (train with --crop whole for the whole frame)."""
    burn_in: bool = False
    """Draw the trust strip over the lower edge of the frames; captions below those of a film."""
    footage: str = ""
    """Training footage of a checkpoint that does not know its cameras."""

    def __post_init__(self) -> None:
        if not self.zoom > 0:
            raise UserError(f"--zoom is {self.zoom:g}", "It must be above 0")
        if self.first_frame is not None and self.first_frame < 0:
            raise UserError(f"--first-frame is {self.first_frame}", do="Use 0 or more")

    @property
    def given(self) -> Given:
        """What the user says of the camera file."""
        return Given(
            film_back_mm=self.film_back, rotation_order=self.rotation_order, focal_mm=self.focal, up=self.up,
            size_px=self.size, metres_per_unit=self.metres_per_unit, camera=self.camera_name,
        )  # fmt: skip
