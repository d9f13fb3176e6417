"""Cameras in and out: every format to one normal form, and back.

The normal form is `Camera`: a camera-to-world matrix, right-handed, Y up, looking down -Z, in metres; intrinsics in
pixels, counted from the top left corner of the picture, pixel centres at one half; the film back in millimetres that
the picture covers; and a frame number. What a file lacks is given in `Given`; what had to be assumed, or is lost in a
format, comes back as notes.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np

from ganvas.errors import UserError
from ganvas.io.cameras.kinds import kind_of
from ganvas.io.cameras.lens import Lens

INCH_MM = 25.4
DEFAULT_FILM_MM = 36.0
DEFAULT_WIDTH_PX = 1920
SKEW = 1e-3
"""How far from orthogonal a rotation may be before it is none."""
LENSES = {
    "brown": "Brown's lens model", "fisheye": "a fisheye", "aria": "a fisheye", "fov": "the field-of-view lens model",
    "division": "the division lens model", "eucm": "the enhanced unified lens model", "lensfun": "lensfun's profile",
}  # fmt: skip
ORIGINS = {
    "rotation_order": "rotation order", "film_back_mm": "film back", "up": "up axis",
    "metres_per_unit": "metres per unit",
}  # fmt: skip
"""What a camera path may take over from the footage of a run."""
Up = Literal["", "y", "z", "-y"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Camera:
    """One camera at one frame, in the normal form that this module's text describes."""

    matrix: np.ndarray
    """Camera to world, (4, 4) float64."""
    focal_px: tuple[float, float]
    centre_px: tuple[float, float]
    """Principal point: where the optical axis meets the picture, from its left and top edge."""
    size_px: tuple[int, int]
    """Width and height of the picture."""
    film_back_mm: tuple[float, float]
    frame: int = 0
    name: str = ""
    """Picture file, as the camera file names it."""
    lens: Lens | None = None
    """Distortion of the stored picture; None where it is that of a pinhole."""
    whole_film_mm: tuple[float, float] | None = None
    """The camera's whole film back, where the picture covers only the middle of it."""

    @property
    def focal_mm(self) -> float:
        """Focal length in millimetres on this film back."""
        return self.focal_px[0] * self.film_back_mm[0] / self.size_px[0]

    @property
    def shift_mm(self) -> tuple[float, float]:
        """Lens shift in millimetres: how far the film's middle lies right of and above the optical axis."""
        (cx, cy), (width, height) = self.centre_px, self.size_px
        return (
            (width / 2 - cx) * self.film_back_mm[0] / width,
            (cy - height / 2) * self.film_back_mm[1] / height,
        )

    @property
    def intrinsics(self) -> np.ndarray:
        """Matrix (3, 3) from directions in the camera's own axes (X right, Y up, -Z ahead) to pixels."""
        (fx, fy), (cx, cy) = self.focal_px, self.centre_px
        return np.array([[fx, 0, -cx], [0, -fy, -cy], [0, 0, -1]], float)

    def rolled(self, degrees: float) -> Camera:
        """Return this camera turned about its own optical axis, counter-clockwise as seen from behind it."""
        angle = np.radians(degrees)
        turn = np.eye(4)
        turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        return replace(self, matrix=self.matrix @ turn)

    def zoomed(self, factor: float) -> Camera:
        """Return this camera with a focal length times a factor; the principal point stays."""
        return replace(self, focal_px=(self.focal_px[0] * factor, self.focal_px[1] * factor))

    def cropped(self, left: float, top: float, width: int, height: int) -> Camera:
        """Return the camera of a part of its picture; the film back shrinks with it, the focal length stays."""
        film = (self.film_back_mm[0] * width / self.size_px[0], self.film_back_mm[1] * height / self.size_px[1])
        centre = (self.centre_px[0] - left, self.centre_px[1] - top)
        return replace(self, centre_px=centre, size_px=(width, height), film_back_mm=film)

    def resized(self, width: int, height: int) -> Camera:
        """Return the camera of its picture resized, squeezed if need be."""
        across, down = width / self.size_px[0], height / self.size_px[1]
        return replace(
            self,
            size_px=(width, height),
            focal_px=(self.focal_px[0] * across, self.focal_px[1] * down),
            centre_px=(self.centre_px[0] * across, self.centre_px[1] * down),
        )


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the user says of a camera file that the file itself does not say."""

    film_back_mm: tuple[float, float] | None = None
    size_px: tuple[int, int] | None = None
    """Size of the pictures that belong to the cameras."""
    rotation_order: str = ""
    """Axes in the order in which they are turned about, the first first: ZXY is Nuke's default, XYZ Maya's."""
    focal_mm: float | None = None
    metres_per_unit: float | None = None
    up: Up = ""
    """Up axis of the file's world: y, z, or -y."""
    camera: str = ""
    """Name of the camera, where a scene holds several."""
    fps: float | None = None
    """Frames a second, for formats that say it."""
    first_frame: int | None = None
    """Number of a movie's first frame."""
    stmap: Path | None = None
    """STMap that undistorts the pictures."""
    lens_profile: str = ""
    """`exif` takes the lens from lensfun's database, where the camera file tells none."""
    footage: str = ""
    """Folder of the footage that a run was trained on, and below its camera file, if that was named."""
    file: str = ""
    exposure: float | None = None
    """Stops by which light is exposed up before it is clipped at 1."""

    def filled(self, other: Given) -> Given:
        """Return this with what it leaves open taken from another."""
        told = {one.name: _told(getattr(self, one.name), getattr(other, one.name)) for one in fields(self)}
        return Given(**told)


def _told(first: Any, second: Any) -> Any:
    return second if first in (None, "") else first


@dataclass(frozen=True)
class Solve:
    """The cameras of a file, by frame, and what had to be assumed about them."""

    cameras: tuple[Camera, ...]
    notes: tuple[str, ...] = ()
    roots: tuple[Path, ...] = ()
    """Folders that the names of pictures may be told from, the likeliest first."""
    as_stored: bool = False
    """The cameras belong to pictures as they are stored: EXIF orientation was not applied when they were solved."""
    timed: bool = False
    """Names are times, to which the nearest pictures in time belong."""
    fps: float | None = None
    """Frames a second, where the file says it."""


def read(path: str | Path, given: Given | None = None, otherwise: Given | None = None) -> Solve:
    """Read cameras of any format.

    Args:
        path: camera file, or folder of COLMAP's model.
        given: what the user says; it goes before what the file says.
        otherwise: what is known from elsewhere: it counts where neither user nor file say a thing, with a note.

    Raises:
        UserError: the file is missing or damaged, lacks what `given` does not say either, its package is not installed,
            or a matrix is none of a camera.
    """
    path, given = Path(path), given or Given()
    _check_given(given)
    if not path.exists():
        raise UserError(f"{path} does not exist")
    try:
        return _read(path, given, otherwise)
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError) as error:
        # A damaged file can hold anything in any place.
        why = f"{type(error).__name__}: {error}"
        raise UserError(f"{path} is damaged, or no camera file of its kind", why, "Export it again") from error


def _read(path: Path, given: Given, otherwise: Given | None) -> Solve:
    module = _module(kind_of(path))
    given, taken = _completed(given, otherwise or Given(), module.says(path) if hasattr(module, "says") else ())
    try:
        solve = module.read(path, given)
    except (ArithmeticError, RecursionError) as error:
        why = f"A film back, a size or a frame in it is 0 or beyond all bounds ({type(error).__name__})"
        raise UserError(f"{path} holds cameras that are none", why, "Export it again") from error
    if not solve.cameras:
        raise UserError(f"{path} holds no cameras")
    cameras = tuple(_checked(camera, path) for camera in solve.cameras)
    lenses = {camera.lens.model for camera in cameras if camera.lens}
    if lenses:
        words = " and ".join(dict.fromkeys(LENSES[lens] for lens in sorted(lenses)))
        taken = [*taken, f"Pictures are distorted by {words}, which is undone when they are read"]
    roots = solve.roots or (path if path.is_dir() else path.parent,)
    return replace(solve, cameras=cameras, notes=tuple(dict.fromkeys([*taken, *solve.notes])), roots=roots)


def _completed(given: Given, otherwise: Given, said: Sequence[str]) -> tuple[Given, list[str]]:
    known = {name: getattr(otherwise, name) for name in ORIGINS if name not in said}
    used = [name for name, value in known.items() if value and not getattr(given, name)]
    words = ", ".join(f"{ORIGINS[name]} {_words(known[name])}" for name in used)
    return given.filled(Given(**known)), [f"Taken from the run: {words}"] if used else []


def _words(value: Any) -> str:
    return " x ".join(f"{part:g}" for part in value) + " mm" if isinstance(value, tuple) else str(value)


def write(
    path: str | Path,
    cameras: Sequence[Camera],
    given: Given | None = None,
    overwrite: bool = False,
    kind: str = "",
) -> list[str]:
    """Write cameras in the format of a suffix, or of a `kind`, and return what that format has no place for.

    `given` tells the rotation order of a .chan file, the unit and the up axis of the formats that leave them open, and
    the frame rate.

    Raises:
        UserError: as `check_writable`, or there are no cameras.
    """
    path, given = Path(path), given or Given()
    if not cameras:
        raise UserError(f"There are no cameras to write to {path}")
    check_writable(path, given, overwrite, kind, [camera.frame for camera in cameras])
    folder = path.parent if _is_file(path, kind) else path
    if not folder.is_dir() and _is_file(path, kind):
        raise UserError(f"The folder {folder} does not exist")
    return _module(kind or kind_of(path)).write(path, cameras, given)


def check_writable(
    path: str | Path,
    given: Given | None = None,
    overwrite: bool = False,
    kind: str = "",
    frames: Sequence[int] = (),
) -> None:
    """Check before work starts that cameras, of frames where these are known, can be written to a path.

    Raises:
        UserError: the format is unknown, is only read, lacks its extra, cannot hold such frames, or the name is taken.
    """
    path, given = Path(path), given or Given()
    _check_given(given)
    module = _module(kind or kind_of(path))
    if not hasattr(module, "write"):
        raise UserError(f"{path} cannot be written", "This format is only read", "Write .ma, .usda, .chan or .json")
    if hasattr(module, "check_writable"):
        module.check_writable(path, frames)
    target = path if _is_file(path, kind) else path / "images.txt"
    if target.exists() and not overwrite:
        raise UserError(f"{target} exists already", do="Choose another name, or give --overwrite")


def _is_file(path: Path, kind: str) -> bool:
    return bool(path.suffix) and kind != "colmap" and not path.is_dir()


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"ganvas.io.cameras.{name}")


def _check_given(given: Given) -> None:
    order = given.rotation_order.upper()
    if order and sorted(order) != ["X", "Y", "Z"]:
        raise UserError(f"The rotation order is {given.rotation_order!r}", do="Use XYZ, XZY, YXZ, YZX, ZXY or ZYX")
    for name, value in (("focal length", given.focal_mm), ("metres per unit", given.metres_per_unit)):
        if value is not None and not value > 0:
            raise UserError(f"The {name} is {value}", "It must be above 0")
    if given.film_back_mm and min(given.film_back_mm) <= 0:
        raise UserError(f"The film back is {given.film_back_mm} mm", "It must be above 0")


def _checked(camera: Camera, path: Path) -> Camera:
    where = f"Frame {camera.frame}" + (f" ({camera.name})" if camera.name else "") + f" of {path}"
    matrix, numbers = camera.matrix, [*camera.focal_px, *camera.centre_px]
    if not (np.isfinite(matrix).all() and np.isfinite(numbers).all()):
        raise UserError(f"{where} has values that are no numbers", "A matrix or a lens is not finite")
    if min(camera.focal_px) <= 0:
        raise UserError(f"{where} has a focal length of {camera.focal_mm:g} mm", "It must be above 0")
    axes = matrix[:3, :3]
    lengths = np.linalg.norm(axes, axis=0)
    if lengths.min() < 1e-9 or abs(np.linalg.det(axes / np.maximum(lengths, 1e-30))) < SKEW:
        raise UserError(f"{where} has a singular matrix", "Two of its axes coincide, or one has no length")
    turn = axes / lengths
    if np.linalg.det(turn) < 0:
        why = "Its axes are left-handed, as if seen in a mirror"
        raise UserError(f"{where} has a left-handed matrix", why, "Remove negative scales and export again")
    if np.abs(turn.T @ turn - np.eye(3)).max() > SKEW:
        raise UserError(f"{where} has a sheared matrix", "Its axes are not at right angles", "Freeze the rig's scales")
    whole = np.eye(4)
    whole[:3, :3], whole[:3, 3] = turn, matrix[:3, 3]
    return replace(camera, matrix=whole)


# What the parsers share


def film_that_shows(film_back_mm: tuple[float, float], size_px: tuple[int, int]) -> tuple[float, float]:
    """Return the part of a film back that a picture of square pixels covers when its width is filled."""
    return film_back_mm[0], film_back_mm[0] * size_px[1] / size_px[0]


def film_and_size(given: Given, notes: list[str]) -> tuple[tuple[float, float], tuple[int, int]]:
    """Return film back and picture size for a format that tells neither, noting what is assumed."""
    film, size = given.film_back_mm, given.size_px
    if film is None:
        ratio = size[1] / size[0] if size else 2 / 3
        film = (DEFAULT_FILM_MM, DEFAULT_FILM_MM * ratio)
        notes.append(f"The film back is assumed to be {DEFAULT_FILM_MM:g} mm wide")
    if size is None:
        size = (DEFAULT_WIDTH_PX, round(DEFAULT_WIDTH_PX * film[1] / film[0]))
    return film_that_shows(film, size), size


def plain_camera(
    matrix: np.ndarray,
    focal_mm: float,
    film_back_mm: tuple[float, float],
    size_px: tuple[int, int],
    frame: int,
    name: str = "",
    shift_mm: tuple[float, float] = (0.0, 0.0),
) -> Camera:
    """Return a camera of millimetres in the normal form."""
    width, height = size_px
    focal = (focal_mm * width / film_back_mm[0], focal_mm * height / film_back_mm[1])
    centre = (
        width / 2 - shift_mm[0] * width / film_back_mm[0],
        height / 2 + shift_mm[1] * height / film_back_mm[1],
    )
    return Camera(
        matrix=np.asarray(matrix, float), focal_px=focal, centre_px=centre, size_px=size_px,
        film_back_mm=film_back_mm, frame=frame, name=name,
    )  # fmt: skip


def lost_shift(cameras: Iterable[Camera], name: str) -> list[str]:
    """Return a note where a format without lens shift is given some."""
    if any(max(map(abs, camera.shift_mm)) > 1e-6 for camera in cameras):
        return [f"{name} has no place for lens shift, which is left out"]
    return []


def number(value: float) -> str:
    """Return a number as text that reads back to the very same number."""
    return repr(float(value) + 0.0)
