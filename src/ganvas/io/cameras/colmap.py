"""COLMAP's models, text and binary: images (world to camera, axes of computer vision) and cameras (lenses).

A reconstruction has no unit, and its up axis is whatever came out: give metres per unit and `up` where they are known.
COLMAP does not look at EXIF orientation: its cameras belong to the pictures as they are stored.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.io.cameras.cameras import DEFAULT_FILM_MM, Camera, Given, Solve, number
from ganvas.io.cameras.geometry import FLIP, into_metres, out_of_metres, quaternion, rotation_of
from ganvas.io.cameras.lens import Lens
from ganvas.io.cameras.names import distinct_frames

MODELS = (
    ("SIMPLE_PINHOLE", 3), ("PINHOLE", 4), ("SIMPLE_RADIAL", 4), ("RADIAL", 5), ("OPENCV", 8), ("OPENCV_FISHEYE", 8),
    ("FULL_OPENCV", 12), ("FOV", 5), ("SIMPLE_RADIAL_FISHEYE", 4), ("RADIAL_FISHEYE", 5), ("THIN_PRISM_FISHEYE", 12),
    ("RAD_TAN_THIN_PRISM_FISHEYE", 16), ("SIMPLE_DIVISION", 4), ("DIVISION", 5), ("SIMPLE_FISHEYE", 3), ("FISHEYE", 4),
    ("EUCM", 6), ("EQUIRECTANGULAR", 2),
)  # fmt: skip
"""Names and numbers of parameters, in the order of COLMAP's identifiers."""
ONE_FOCAL = (
    "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE", "SIMPLE_DIVISION",
    "SIMPLE_FISHEYE",
)  # fmt: skip
LARGEST = 1 << 40


@dataclass(frozen=True)
class _Kind:
    size_px: tuple[int, int]
    focal_px: tuple[float, float]
    centre_px: tuple[float, float]
    lens: Lens | None


@dataclass(frozen=True)
class _Image:
    name: str
    camera: int
    turn: tuple[float, ...]
    """Quaternion w, x, y, z."""
    shift: tuple[float, ...]


def read(path: Path, given: Given) -> Solve:
    """Read the folder of a model, or its images.txt or images.bin.

    Raises:
        UserError: a file is missing or damaged, or a lens model is not supported.
    """
    folder = path if path.is_dir() else path.parent
    is_text = path.suffix == ".txt" or (path.is_dir() and not (folder / "images.bin").is_file())
    suffix = ".txt" if is_text else ".bin"
    pictures = path if path.is_file() and path.stem == "images" else folder / f"images{suffix}"
    lenses = folder / f"cameras{suffix}"
    for needed in (pictures, lenses):
        if not needed.is_file():
            raise UserError(f"{needed} does not exist", "COLMAP's model is images and cameras together, .bin or .txt")
    kinds = _lenses_of_text(lenses) if is_text else _lenses_of_binary(lenses)
    images = list(_images_of_text(pictures) if is_text else _images_of_binary(pictures))
    cameras = []
    for image, frame in zip(images, distinct_frames([image.name for image in images])):
        if image.camera not in kinds:
            raise UserError(f"{image.name} in {pictures} has the camera {image.camera}", f"{lenses} does not hold it")
        cameras.append(_camera(image, kinds[image.camera], frame, given, pictures))
    cameras.sort(key=lambda camera: camera.frame)
    # Pictures lie in `images` beside or above the model; those of an undistorted model in its own.
    whole = Path(os.path.abspath(folder))  # noqa: PTH100 - links keep their own names
    roots = [above / "images" for above in (whole, *whole.parents[:4])]
    return Solve(tuple(cameras), roots=tuple(root for root in roots if root.is_dir()), as_stored=True)


def _camera(image: _Image, kind: _Kind, frame: int, given: Given, path: Path) -> Camera:
    view = np.eye(4)
    length = float(np.linalg.norm(image.turn))
    if not length > 1e-9:
        raise UserError(f"{image.name} in {path} has a rotation of no length")
    view[:3, :3] = rotation_of(np.array(image.turn) / length)
    view[:3, 3] = image.shift
    matrix = np.linalg.inv(view) @ FLIP if np.isfinite(view).all() else np.full((4, 4), np.nan)
    (fx, fy), size = kind.focal_px, kind.size_px
    width = (given.film_back_mm or (DEFAULT_FILM_MM,))[0]
    return Camera(
        matrix=into_metres(matrix, given.metres_per_unit or 1.0, given.up), focal_px=(fx, fy),
        centre_px=kind.centre_px, size_px=size, film_back_mm=(width, width / size[0] * size[1] * fx / fy),
        frame=frame, name=image.name, lens=kind.lens,
    )  # fmt: skip


def _kind(model: str, size: tuple[int, int], values: Sequence[float], path: Path) -> _Kind:
    """Return a lens in our form.

    Raises:
        UserError: its model is not supported, or has too few parameters.
    """
    wanted = dict(MODELS).get(model)
    if wanted is None or model == "EQUIRECTANGULAR":
        why = f"Known are {', '.join(name for name, _ in MODELS[:-1])}"
        raise UserError(f"{path} has a lens of the model {model}", why, "Undistort with COLMAP, which writes PINHOLE")
    if len(values) != wanted or min(size) <= 0:
        raise UserError(f"A lens in {path} cannot be read", f"{model} has {wanted} parameters, here are {len(values)}")
    if model in ONE_FOCAL:
        values = [values[0], *values]
    fx, fy, cx, cy, *rest = values
    k = [*rest, *[0.0] * (12 - len(rest))]
    lens = {
        "SIMPLE_RADIAL": Lens(radial=(k[0],)),
        "RADIAL": Lens(radial=(k[0], k[1])),
        "OPENCV": Lens(radial=(k[0], k[1]), tangential=(k[2], k[3])),
        "FULL_OPENCV": Lens(radial=(k[0], k[1], k[4]), divisor=(k[5], k[6], k[7]), tangential=(k[2], k[3])),
        "OPENCV_FISHEYE": Lens("fisheye", tuple(k[:4])),
        "SIMPLE_RADIAL_FISHEYE": Lens("fisheye", (k[0],)),
        "RADIAL_FISHEYE": Lens("fisheye", (k[0], k[1])),
        "FOV": Lens("fov", (k[0],)),
        "THIN_PRISM_FISHEYE": Lens("fisheye", (k[0], k[1], k[4], k[5]), tangential=(k[2], k[3]), prism=(k[6], k[7])),
        "RAD_TAN_THIN_PRISM_FISHEYE": Lens("aria", tuple(k[:6]), tangential=(k[7], k[6]), prism=tuple(k[8:12])),
        "SIMPLE_FISHEYE": Lens("fisheye"),
        "FISHEYE": Lens("fisheye"),
        "SIMPLE_DIVISION": Lens("division", (k[0],)),
        "DIVISION": Lens("division", (k[0],)),
        "EUCM": Lens("eucm", (k[0], k[1])),
    }.get(model)
    if model == "FOV" and abs(k[0]) < 1e-6:
        lens = None
    return _Kind(size, (fx, fy), (cx, cy), None if lens is None or lens.is_plain else lens)


# Text


def _text(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read", str(error)) from error


def _lenses_of_text(path: Path) -> dict[int, _Kind]:
    found: dict[int, _Kind] = {}
    for line in _text(path):
        parts = line.split()
        if not parts or line.startswith("#"):
            continue
        try:
            which, model, width, height = int(parts[0]), parts[1], int(parts[2]), int(parts[3])
            values = [float(part) for part in parts[4:]]
        except (ValueError, IndexError) as error:
            raise UserError(f"A lens in {path} cannot be read", line) from error
        found[which] = _kind(model, (width, height), values, path)
    return found


def _images_of_text(path: Path) -> Iterator[_Image]:
    lines = iter(_text(path))
    for line in lines:
        if line.startswith("#") or not line.strip():
            continue
        row = line.split(maxsplit=9)
        if len(row) != 10:
            raise UserError(f"{path} is no images.txt", f"A line has {len(row)} values instead of 10: {line[:60]}")
        try:
            values, camera = [float(part) for part in row[1:8]], int(row[8])
        except ValueError as error:
            raise UserError(f"{row[9]} in {path} has a value that is no number", str(error)) from error
        yield _Image(row[9].strip(), camera, tuple(values[:4]), tuple(values[4:]))
        next(lines, None)  # the points seen in this picture, perhaps an empty line


# Binary


class _Binary:
    """Little-endian numbers of a file, one after another."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.file, self.path = file, path

    def take(self, form: str) -> tuple:
        """Return the next numbers, as `struct` names their types."""
        size = struct.calcsize("<" + form)
        data = self.file.read(size)
        if len(data) < size:
            raise UserError(f"{self.path} ends early", "It is damaged or cut off", "Copy it again")
        return struct.unpack("<" + form, data)

    def text(self) -> str:
        """Return the text up to the next zero byte."""
        found = bytearray()
        while (one := self.file.read(1)) not in (b"\0", b""):
            found += one
            if len(found) > 4096:
                raise UserError(f"{self.path} is no model of COLMAP", "A name in it does not end")
        return found.decode("utf-8", "surrogateescape")

    def skip(self, count: int) -> None:
        """Pass over bytes."""
        if count > LARGEST:
            raise UserError(f"{self.path} is no model of COLMAP", "A count in it is beyond all reason")
        self.file.seek(count, 1)


def _lenses_of_binary(path: Path) -> dict[int, _Kind]:
    found: dict[int, _Kind] = {}
    with path.open("rb") as file:
        data = _Binary(file, path)
        for _ in range(_count(data)):
            which, model, width, height = data.take("iiQQ")
            if not 0 <= model < len(MODELS):
                raise UserError(f"{path} has a lens of the model {model}", "It is not known here")
            name, parameters = MODELS[model]
            found[which] = _kind(name, (width, height), data.take(f"{parameters}d"), path)
    return found


def _images_of_binary(path: Path) -> Iterator[_Image]:
    with path.open("rb") as file:
        data = _Binary(file, path)
        for _ in range(_count(data)):
            _, *values, camera = data.take("i7di")
            name = data.text()
            data.skip(24 * data.take("Q")[0])
            yield _Image(name, camera, tuple(values[:4]), tuple(values[4:]))


def _count(data: _Binary) -> int:
    (count,) = data.take("Q")
    if count > LARGEST:
        raise UserError(f"{data.path} is no model of COLMAP", "A count in it is beyond all reason")
    return count


# Writing


def write(path: Path, cameras: Sequence[Camera], given: Given) -> list[str]:
    """Write a model, text and binary, one PINHOLE a distinct lens, and return what is lost."""
    folder = path.parent if path.name in ("images.txt", "images.bin") else path
    folder.mkdir(parents=True, exist_ok=True)
    lenses: dict[tuple[float, ...], int] = {}
    rows = []
    for place, camera in enumerate(cameras, 1):
        lens = (*camera.size_px, *camera.focal_px, *camera.centre_px)
        matrix = out_of_metres(camera.matrix, given.metres_per_unit or 1.0, given.up)
        view = np.linalg.inv(matrix @ FLIP)
        values = [*quaternion(view[:3, :3]).tolist(), *view[:3, 3].tolist()]
        rows.append((place, values, lenses.setdefault(lens, len(lenses) + 1), camera.name or f"{camera.frame:06d}.png"))
    for name, content in (*_as_text(lenses, rows), *_as_binary(lenses, rows)):
        runs.write_atomically(folder / name, content)
    return ["COLMAP's files do not say the film back"]


_Row = tuple[int, list[float], int, str]


def _as_text(lenses: dict[tuple[float, ...], int], rows: Sequence[_Row]) -> Iterator[tuple[str, bytes]]:
    lines = ["# CAMERA_ID MODEL WIDTH HEIGHT FX FY CX CY"]
    for (width, height, *rest), place in lenses.items():
        lines.append(" ".join([str(place), "PINHOLE", str(int(width)), str(int(height)), *map(number, rest)]))
    images = ["# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, then a line of points"]
    for place, values, lens, name in rows:
        images += [" ".join([str(place), *map(number, values), str(lens), name]), ""]
    # Readers of the model ask for the points, too, of which there are none.
    yield "points3D.txt", b"# POINT3D_ID X Y Z R G B ERROR TRACK\n"
    yield "cameras.txt", ("\n".join(lines) + "\n").encode()
    yield "images.txt", ("\n".join(images) + "\n").encode()


def _as_binary(lenses: dict[tuple[float, ...], int], rows: Sequence[_Row]) -> Iterator[tuple[str, bytes]]:
    yield "points3D.bin", struct.pack("<Q", 0)
    parts = [struct.pack("<Q", len(lenses))]
    for (width, height, *rest), place in lenses.items():
        parts.append(struct.pack("<iiQQ4d", place, 1, int(width), int(height), *rest))
    yield "cameras.bin", b"".join(parts)
    parts = [struct.pack("<Q", len(rows))]
    for place, values, lens, name in rows:
        parts.append(struct.pack("<i7di", place, *values, lens) + name.encode() + b"\0" + struct.pack("<Q", 0))
    yield "images.bin", b"".join(parts)
