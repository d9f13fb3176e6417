"""Plates: the pictures of footage as their cameras saw them.

A solved camera belongs to a rectangle: the picture as it is stored where the solver does not look at EXIF orientation,
and the display window of an OpenEXR file, of which the stored pixels may be a part, or more (overscan). A plate is read
together with the camera of exactly its stored pixels.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganvas.data.decoding import decode
from ganvas.data.undistort import by_map, undistorted
from ganvas.errors import UserError
from ganvas.io.cameras.cameras import Camera
from ganvas.io.pictures import headers, images
from ganvas.io.pictures.tensors import to_tensor

SHAPE = 0.02
"""How far the shape of a picture may be from its camera's: solvers round sizes."""
LOGARITHMIC = ("log", "printing density", "cineon", "acescc", "redlog", "adx")
"""What names of colour spaces of logarithms have in common: LogC, S-Log3, V-Log, Log3G10, ACEScct ..."""
TURNED = {2: "mirrored", 3: "by 180 degrees", 4: "mirrored", 5: "mirrored", 6: "by 90 degrees", 7: "mirrored",
          8: "by 270 degrees"}  # fmt: skip
"""What EXIF orientations ask of a viewer."""


@dataclass(frozen=True)
class Plate:
    """How a file of footage is to be read."""

    as_stored: bool = False
    """The camera belongs to the stored pixels: EXIF orientation is not applied."""
    exposure: float = 0.0
    """Stops by which light, the values of a floating-point file, is exposed up."""
    movie_frame: int | None = None
    """Number from 0 of the frame, where the file is a movie."""
    stmap: Path | None = None
    """STMap that undistorts it."""


@dataclass(frozen=True)
class Film:
    """What a picture file covers: sizes as (width, height), upright unless told otherwise."""

    size_px: tuple[int, int]
    """The display window."""
    origin: tuple[int, int]
    """Where the stored pixels begin in it, from its left and top."""
    stored_px: tuple[int, int]
    orientation: int
    """EXIF's, 1 to 8."""
    header: images.Header

    def turned(self, as_stored: bool) -> tuple[int, int]:
        """Return the size as stored, or upright."""
        width, height = self.size_px
        return (height, width) if as_stored and self.orientation >= 5 else (width, height)


def film(path: Path) -> Film:
    """Return what a picture file covers.

    Raises:
        UserError: it cannot be read.
    """
    header, layout = headers.inspect(path)
    stored = (header.width, header.height)
    if header.window is None:
        return Film(stored, (0, 0), stored, layout.orientation, header)
    x, y, left, top, width, height = header.window
    return Film((width, height), (x - left, y - top), stored, layout.orientation, header)


def read(path: Path, camera: Camera, plate: Plate) -> tuple[Tensor, Camera, Tensor | None]:
    """Return a plate as a pinhole took it, (3, H, W) in [0, 1], the camera of exactly these pixels, and a mask.

    The mask, (1, H, W), says where the plate is known; None stands for everywhere.

    Raises:
        UserError: it cannot be read, or has another shape than the camera's picture.
    """
    return straightened(*_stored(path, camera, plate), plate)


def straightened(picture: Tensor, camera: Camera, plate: Plate) -> tuple[Tensor, Camera, Tensor | None]:
    """Return a picture without the distortion of its lens, its camera, and where it is known (None: everywhere)."""
    if plate.stmap is not None:
        return by_map(picture, camera, plate.stmap)
    return undistorted(picture, camera) if camera.lens is not None else (picture, camera, None)


def _stored(path: Path, camera: Camera, plate: Plate) -> tuple[Tensor, Camera]:
    told = film(path)
    picture = read_picture(path, plate.exposure)
    if plate.as_stored and told.orientation != 1:
        turned = unturned(picture.permute(1, 2, 0).numpy(), told.orientation)
        picture = torch.from_numpy(np.ascontiguousarray(turned.transpose(2, 0, 1)))
        return picture, checked(camera, picture, path)
    if (told.origin == (0, 0) and told.size_px == told.stored_px) or camera.size_px == told.stored_px != told.size_px:
        return picture, checked(camera, picture, path)
    whole = camera.resized(*told.size_px)
    _check_shape(camera, told.size_px, path)
    return picture, whole.cropped(*told.origin, *told.stored_px)


def checked(camera: Camera, picture: Tensor, name: Path | str) -> Camera:
    """Return a camera at the size of its picture (3, H, W).

    Raises:
        UserError: they differ in shape.
    """
    size = (picture.shape[-1], picture.shape[-2])
    _check_shape(camera, size, name)
    return camera.resized(*size)


def fits(camera: Camera, size_px: tuple[int, int]) -> bool:
    """Tell whether a picture of a size has the shape of a camera's."""
    (width, height), (across, down) = camera.size_px, size_px
    return abs(across * height / (down * width) - 1) <= SHAPE


def _check_shape(camera: Camera, size_px: tuple[int, int], name: Path | str) -> None:
    if not fits(camera, size_px):
        width, height = camera.size_px
        what = f"{name} is {size_px[0]} x {size_px[1]} px"
        raise UserError(what, f"Its camera is of {width} x {height} px, another shape")


def unturned(picture: np.ndarray, orientation: int) -> np.ndarray:
    """Return an upright picture (H, W, C) as it was stored, for an orientation of EXIF's (its table 6)."""
    if orientation in (2, 3, 6, 7):  # the stored column 0 is the right side, or the stored row 0 is
        picture = picture[:, ::-1]
    if orientation in (3, 4, 7, 8):
        picture = picture[::-1]
    return picture.transpose(1, 0, 2) if orientation >= 5 else picture


def read_picture(path: Path, exposure: float = 0.0) -> Tensor:
    """Return a picture as display values (3, H, W) in [0, 1], upright.

    Floating-point files are taken as light, exposed up by some stops, clipped at 1 and encoded.

    Raises:
        UserError: it cannot be read.
    """
    stored = decode(path)
    values = images.to_float(stored)
    if stored.dtype.kind == "f":
        values = encode(np.clip(values * 2.0**exposure, 0, 1))
    colours = np.repeat(values, 3, axis=-1) if values.shape[-1] == 1 else values
    return torch.from_numpy(np.ascontiguousarray(colours.transpose(2, 0, 1), np.float32))


def encode(light: np.ndarray) -> np.ndarray:
    """Return display values of light in [0, 1], by sRGB's curve (IEC 61966-2-1)."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)


def decode_light(display: np.ndarray) -> np.ndarray:
    """Return the light of display values in [0, 1], by sRGB's curve."""
    return np.where(display <= 0.04045, display / 12.92, ((display + 0.055) / 1.055) ** 2.4)


def brightest(path: Path, exposure: float = 0.0) -> float:
    """Return the largest value of a floating-point picture, exposed by some stops; 0 for others."""
    stored = decode(path)
    return float(stored.max()) * 2.0**exposure if stored.dtype.kind == "f" else 0.0


def is_log(header: images.Header) -> bool:
    """Tell whether a file says that its values are logarithms of light or printing densities."""
    told = {name: str(value).lower() for name, _, value in header.metadata}
    spaces = (told.get("dpx:Transfer", ""), told.get("dpx:Colorimetric", ""), told.get("oiio:ColorSpace", ""))
    return any(word in space for space in spaces for word in LOGARITHMIC)


def movie_frames(path: Path, wanted: Collection[int | None]) -> Iterator[tuple[int, Tensor]]:
    """Yield the wanted frames of a movie with their numbers from 0: (3, H, W) in [0, 1].

    Raises:
        UserError: the extra `video` is missing, or the movie is damaged.
    """
    from ganvas.io.video.reader import VideoReader

    left = {number for number in wanted if number is not None}
    with VideoReader(path, start=min(left)) as reader:
        for frame in reader:
            if frame.number in left:
                yield frame.number, to_tensor(frame.picture)
                left.discard(frame.number)
            if not left:
                return
