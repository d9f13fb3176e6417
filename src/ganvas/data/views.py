"""Views: pictures with the cameras that took them, and the same views turned and zoomed together with their cameras.

A turn of the camera about its optical axis and a change of its focal length need no depth, so both make true new views,
wherever the picture shows what they ask for.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas import device as devices
from ganvas.data import camera_findings, plates
from ganvas.data.cache import ByteCache
from ganvas.data.decoding import faults
from ganvas.data.degrade import resize_bicubic
from ganvas.data.doctor import Examination, Finding, unreadable
from ganvas.errors import UserError
from ganvas.io.cameras.cameras import Camera
from ganvas.io.cameras.lens import Lens

FLAT = 1e-6
"""A number whose spread over all cameras is below this share of it says nothing and is left as it is."""
PULL = 1e-3
"""Weight of the cameras' middle against one optical axis in finding the point that they look at."""
Crop = Literal["square", "whole"]
MEMORY_SHARE = 0.6
"""Of the free memory, that the frames of movies may take."""
WHOLE = 0.999
"""Share of a pixel that must be known for it to count."""
_Kept = tuple[Tensor, Camera, Tensor | None]


@dataclass(frozen=True, eq=False)
class View:
    """A camera and its picture: a file, or values (3, H, W) in [0, 1]."""

    camera: Camera
    picture: Path | Tensor
    plate: plates.Plate = field(default_factory=plates.Plate)
    """How a file is read: turned upright or not, exposed, and which frame of a movie it is."""


def homography(source: Camera, target: Camera) -> np.ndarray:
    """Return the matrix (3, 3) that takes pixels of one camera to those of another at the same place."""
    turn = source.matrix[:3, :3].T @ target.matrix[:3, :3]
    return source.intrinsics @ turn @ np.linalg.inv(target.intrinsics)


def resample(picture: Tensor, source: Camera, target: Camera) -> tuple[Tensor, Tensor]:
    """Return what a camera at the same place sees of a picture, and where the picture shows it.

    (3, H, W) -> (3, h, w), (1, h, w)

    Bicubic between the pixels; beyond the picture its border is repeated and the mask is 0.
    """
    width, height = target.size_px
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    places = np.stack([columns, rows, np.ones_like(rows)], -1) @ homography(source, target).T
    ahead = places[..., 2] > 1e-9
    # Both cameras' pixels have a depth of one along their own axes: the third number is positive where it is seen.
    x, y = (places[..., axis] / np.where(ahead, places[..., 2], 1.0) for axis in (0, 1))
    inside = ahead & (x >= 0) & (x <= source.size_px[0]) & (y >= 0) & (y <= source.size_px[1])
    grid = np.stack([2 * x / source.size_px[0] - 1, 2 * y / source.size_px[1] - 1], -1)
    sampled = F.grid_sample(
        picture[None].float(), torch.from_numpy(grid)[None].float().clamp(-4, 4), mode="bicubic",
        padding_mode="border", align_corners=False,
    )  # fmt: skip
    return sampled[0], torch.from_numpy(inside)[None]


def view_of(camera: Camera, size_px: int, crop: Crop) -> Camera:
    """Return the camera of the square that a network makes: the middle of the picture, or all of it squeezed."""
    width, height = camera.size_px
    camera = replace(camera, lens=None)
    if crop == "square":
        side = min(width, height)
        camera = camera.cropped((width - side) / 2, (height - side) / 2, side, side)
    return camera.resized(size_px, size_px)


def vector(view: Camera, film_width_mm: float) -> np.ndarray:
    """Return the thirteen numbers that networks are given: the matrix's upper rows, and the focal length in mm.

    The focal length is that on a film back of a width, so that cameras of several film backs are told alike.
    """
    focal = view.focal_px[0] * film_width_mm / view.size_px[0]
    return np.append(view.matrix[:3].ravel(), focal)


class Views:
    """Views as squares of one size: {"picture": (3, S, S) in [0, 1], "camera": (13, 1, 1), "mask": (1, S, S)}.

    At random each is rolled by up to `roll_degrees` either way and its focal length multiplied by a factor of the range
    `zoom`; the mask is 0 where its picture does not reach. `run` views in a row are held out together; 1 holds out
    single ones.

    Raises:
        UserError: there are no views, or their lenses differ in a way that thirteen numbers cannot tell.
    """

    def __init__(
        self,
        views: Sequence[View],
        size_px: int,
        roll_degrees: float = 15.0,
        zoom: tuple[float, float] = (1.2, 1.4),
        crop: Crop = "square",
        run: int = 1,
        notes: Sequence[str] = (),
    ) -> None:
        if not views:
            raise UserError("There are no views", do="Give a folder of pictures with a camera file")
        self.views, self.size_px, self.crop = list(views), size_px, crop
        self.roll_degrees, self.zoom, self.run = roll_degrees, zoom, max(1, run)
        self.notes = list(notes)
        self.squares = [view_of(view.camera, size_px, crop) for view in self.views]
        self.film_back_mm = self.squares[0].film_back_mm
        self._names = [f"{place // self.run:06d}" for place in range(len(self.views))]
        self._stills: ByteCache[_Kept] = ByteCache(evicts=False)
        self._frames: dict[int, _Kept] = {}
        """Of movies, which are decoded once, from their beginning."""
        self._numbers = list(range(len(self.views)))
        self._lock = threading.Lock()
        self.whole: Views = self
        """All views of the footage, of which a subset has some."""
        self._check_lenses()
        self._check_memory()

    def _check_memory(self) -> None:
        """Refuse movies whose frames would not fit into memory, where all of a movie's are kept."""
        sizes = [view.camera.size_px for view in self.views if view.plate.movie_frame is not None]
        needed = sum(3 * width * height * min(1.0, self._finest(width, height)) ** 2 for width, height in sizes)
        free = devices.free_memory(devices.pick("cpu"))
        if needed > MEMORY_SHARE * free:
            movie = next(view.picture for view in self.views if view.plate.movie_frame is not None)
            why = f"They are kept decoded, and {free / 2**30:.1f} GB are free"
            do = f"Extract them, and name the folder: ffmpeg -i {movie} frames/%06d.png"
            raise UserError(f"{len(sizes)} frames of {movie} take {needed / 2**30:.1f} GB of memory", why, do)

    def _finest(self, width: int, height: int) -> float:
        """Return to which share pictures are reduced: as fine as the strongest zoom asks for, finer would alias."""
        return self.size_px * self.zoom[1] / min(width, height)

    def _check_lenses(self) -> None:
        first = self.squares[0]
        for view, square in zip(self.views, self.squares):
            if abs(square.focal_px[0] / square.focal_px[1] * first.focal_px[1] / first.focal_px[0] - 1) > 0.01:
                why = f"Frame {view.camera.frame} has pixels or pictures of another shape than the first"
                raise UserError("The cameras' pictures differ in shape", why, "Train on pictures of one shape")
        shifts = np.array([square.centre_px for square in self.squares]) / self.size_px
        if np.ptp(shifts, axis=0).max() > 0.01:
            self.notes.append("Lens shift differs between frames, which the camera's thirteen numbers do not tell")

    def __len__(self) -> int:
        return len(self.views)

    def examine(self) -> Examination:
        """Return what the doctor says of the cameras, and which pictures cannot be read."""
        places = {view.picture: place for place, view in enumerate(self.views) if view.plate.movie_frame is None}
        files = [picture for picture in places if isinstance(picture, Path)]
        findings = unreadable(faults(files, lambda file: self._picture(places[file])))
        for found in camera_findings.check([view.camera for view in self.views]):
            findings.append(Finding("warning", found.what, found.do))
        return Examination(findings=findings)

    def groups(self) -> list[str]:
        """Return which run of views each belongs to."""
        return list(self._names)

    def subset(self, indices: Sequence[int]) -> Self:
        """Return only these views; they share the pictures read so far."""
        chosen = copy.copy(self)
        chosen.views = [self.views[index] for index in indices]
        chosen.squares = [self.squares[index] for index in indices]
        chosen._names = [self._names[index] for index in indices]
        chosen._numbers = [self._numbers[index] for index in indices]
        return chosen

    def sample(self, index: int, random: np.random.Generator) -> dict[str, Tensor]:
        """Return a view, rolled and zoomed at random."""
        roll = random.uniform(-self.roll_degrees, self.roll_degrees)
        low, high = self.zoom
        return self.turned(index, roll, float(np.exp(random.uniform(np.log(low), np.log(high)))))

    def plain(self, index: int) -> dict[str, Tensor]:
        """Return a view without roll, zoomed by the least factor."""
        return self.turned(index, 0.0, self.zoom[0])

    def turned(self, index: int, roll_degrees: float, zoom: float) -> dict[str, Tensor]:
        """Return a view whose camera is rolled and zoomed by given amounts."""
        picture, source, known = self._picture(index)
        target = self.squares[index].rolled(roll_degrees).zoomed(zoom)
        seen, mask = resample(picture.float() / 255, source, target)
        if known is not None:
            reaches, _ = resample(known.float() / 255, source, target)
            mask = mask & (reaches[:1] > WHOLE)
        return {
            "picture": seen.clamp(0, 1),
            "camera": torch.from_numpy(vector(target, self.film_back_mm[0])).float()[:, None, None],
            "mask": mask.float(),
        }

    def vectors(self) -> np.ndarray:
        """Return the numbers of all cameras at the least zoom: (N, 13)."""
        return np.array([vector(square.zoomed(self.zoom[0]), self.film_back_mm[0]) for square in self.squares])

    def statistics(self) -> tuple[list[float], list[float]]:
        """Return mean and deviation of each number over the cameras as they are rolled and zoomed, without chance."""
        zooms = sorted({self.zoom[0], (self.zoom[0] + self.zoom[1]) / 2, self.zoom[1]})
        rolls = sorted({-self.roll_degrees, 0.0, self.roll_degrees})
        told = np.array([
            vector(square.rolled(roll).zoomed(zoom), self.film_back_mm[0])
            for square in self.squares for roll in rolls for zoom in zooms
        ])  # fmt: skip
        mean, deviation = told.mean(0), told.std(0)
        deviation[deviation < FLAT * np.maximum(1.0, np.abs(mean))] = 1.0
        return mean.tolist(), deviation.tolist()

    def plate(self) -> dict[str, Any] | None:
        """Return size, centre and lens model of the plates, as plain values; None where these differ among them.

        Plates without distortion have a lens model that bends nothing.
        """
        first = self.views[0].camera
        told = [(view.camera.lens, view.camera.size_px) for view in self.views]
        if any(one != told[0] for one in told):
            return None
        stretch = first.focal_px[1] / first.focal_px[0]
        return {
            "size_px": list(first.size_px), "centre_px": list(first.centre_px), "stretch": stretch,
            "lens": asdict(first.lens or Lens()),
        }  # fmt: skip

    def centre(self) -> list[float] | None:
        """Return the point that the cameras look at, in metres; None where all stand in one place or look away from it.

        It is nearest to all optical axes; where these are about parallel, it is drawn towards the cameras.
        """
        matrices = np.array([square.matrix for square in self.squares])
        places, ahead = matrices[:, :3, 3], -matrices[:, :3, 2]
        middle = places.mean(0)
        if np.ptp(places, axis=0).max() < FLAT * max(1.0, np.abs(places).max()):
            return None
        across = np.eye(3) - ahead[:, :, None] * ahead[:, None]
        pull = PULL * len(places)
        sums = across.sum(0) + pull * np.eye(3)
        found = np.linalg.solve(sums, np.einsum("nij,nj->i", across, places) + pull * middle)
        return found.tolist() if (found - middle) @ ahead.mean(0) > 0 else None

    def _picture(self, index: int) -> _Kept:
        """Return a view's picture as uint8, no finer than it is needed, the camera of just that, and its mask."""
        number, view = self._numbers[index], self.views[index]
        if view.plate.movie_frame is None:
            return self._stills.get(number, lambda: self._reduced(*_opened(view)))
        if number not in self._frames:
            self._read_movie(view)
        return self._frames[number]

    def _read_movie(self, one: View) -> None:
        """Read all frames of a movie that any view needs, as a movie is decoded from its beginning."""
        wanted = {
            view.plate.movie_frame: number
            for number, view in zip(self._numbers, self.views)
            if view.picture == one.picture and view.plate.movie_frame is not None
        }
        assert isinstance(one.picture, Path)
        with self._lock:
            if all(number in self._frames for number in wanted.values()):
                return
            for frame, picture in plates.movie_frames(one.picture, wanted):
                view = self.views[self._numbers.index(wanted[frame])]
                camera = plates.checked(view.camera, picture, one.picture)
                self._frames[wanted[frame]] = self._reduced(*plates.straightened(picture, camera, view.plate))

    def _reduced(self, picture: Tensor, camera: Camera, known: Tensor | None) -> _Kept:
        sides = picture.shape[-2:]
        factor = self._finest(sides[1], sides[0])
        if factor < 1:
            size = (round(sides[0] * factor), round(sides[1] * factor))
            picture = resize_bicubic(picture[None], size=size)[0]
            known = None if known is None else resize_bicubic(known[None].float(), size=size)[0]
        stored = (picture.clamp(0, 1) * 255).round().to(torch.uint8)
        mask = None if known is None else (known.float().clamp(0, 1) * 255).round().to(torch.uint8)
        return stored, camera.resized(stored.shape[-1], stored.shape[-2]), mask


def _opened(view: View) -> _Kept:
    if isinstance(view.picture, Path):
        return plates.read(view.picture, view.camera, view.plate)
    return plates.straightened(view.picture, plates.checked(view.camera, view.picture, "A picture"), view.plate)
