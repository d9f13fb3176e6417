"""Guides: further input channels that tell an upres net what it sees, made from the whole low picture or beside it.

A crop of a few pixels does not say whether it is cheek or forehead; the whole picture does. A guide is a function of
the whole low picture: facial landmarks, a label map, an edge map, or any function of the user's. A picture for which
there is no guide (no face found, no file) gets an empty one, and that is counted.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.data import landmarks
from ganvas.data.cache import ByteCache
from ganvas.data.degrade import resize_bicubic
from ganvas.data.pictures import Report, stem_of
from ganvas.data.squares import Squares
from ganvas.errors import UserError, did_you_mean
from ganvas.io.pictures import images
from ganvas.protocol import Source
from ganvas.values import to_range

KINDS = ("none", "landmarks", "points", "labels", "edges")
PROBE_PX = 32
GOLDEN_ANGLE = 0.6180339887498949
"""Share of the colour circle between the colours of neighbouring labels, so that no two come near each other."""


class Origin(NamedTuple):
    """Where a picture comes from: its file, and which part of the file's pixels it shows."""

    path: Path
    left: float
    top: float
    width: float
    height: float


class Guide(Protocol):
    """A function of a whole picture, (3, H, W) in [0, 1], to its guide, (channels, H, W) in [0, 1]."""

    channels: int
    missing: list[str]
    """Pictures that got an empty guide."""

    def __call__(self, picture: Tensor, origin: Origin | None = None) -> Tensor: ...


@dataclass(frozen=True, kw_only=True)
class GuideSettings:
    """Which guide; plain values, so that they stand in a weight file's card."""

    kind: str = "none"
    """`none`, `landmarks`, `points`, `labels`, `edges`, or a function: `FILE.py:NAME`, `package.module:NAME`."""
    file: str = ""
    """What the guide reads: dlib's predictor (`landmarks`), a JSON file (`points`), a folder (`labels`)."""
    each: bool = False
    """One channel a feature or label instead of colours."""
    num_labels: int = 0
    """`labels` with `each`: number of labels."""


def make(settings: GuideSettings, strict: bool = True) -> Guide:
    """Return the guide that settings describe; where not `strict`, pictures without a file of points get an empty one.

    Raises:
        UserError: an unknown kind, or what the guide needs is missing.
    """
    match settings.kind:
        case "none":
            return NoGuide()
        case "landmarks":
            return LandmarkGuide(settings.file, settings.each)
        case "points":
            return PointGuide(settings.file, settings.each, strict)
        case "labels":
            return LabelGuide(settings.file, settings.num_labels if settings.each else 0)
        case "edges":
            return EdgeGuide()
    if ":" not in settings.kind:
        do = did_you_mean(settings.kind, KINDS) + " Or name your own function as FILE.py:NAME"
        raise UserError(f"There is no guide {settings.kind!r}", do=do)
    return FunctionGuide(settings.kind)


class NoGuide:
    """No further channels: what a guide is compared with."""

    def __init__(self) -> None:
        self.channels, self.missing = 0, list[str]()

    def __call__(self, picture: Tensor, origin: Origin | None = None) -> Tensor:  # noqa: ARG002
        return picture.new_zeros((0, *picture.shape[-2:]))


class EdgeGuide:
    """The strength of edges of the whole picture, the strongest percent at 1: Sobel's gradient of its gray values."""

    def __init__(self) -> None:
        self.channels, self.missing = 1, list[str]()

    def __call__(self, picture: Tensor, origin: Origin | None = None) -> Tensor:  # noqa: ARG002
        gray = F.pad(picture.float().mean(0, keepdim=True)[None], (1, 1, 1, 1), mode="replicate")
        slope = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]], device=picture.device) / 8
        gradient = F.conv2d(gray, torch.stack([slope, slope.T])[:, None])
        strength = gradient.square().sum(1).sqrt()
        most = strength.flatten().quantile(0.99) if strength.numel() < 1 << 24 else strength.max()
        return (strength / most.clamp_min(1e-4)).clamp(0, 1)


class _FeatureGuide:
    """Masks of facial features, in colours or a channel each, where points are known."""

    def __init__(self, each: bool) -> None:
        self.channels = len(landmarks.FEATURES) if each else 3
        self.missing: list[str] = []

    def _empty(self, picture: Tensor, origin: Origin | None) -> Tensor:
        self.missing.append(str(origin.path) if origin else "a picture")
        return picture.new_zeros((self.channels, *picture.shape[-2:]))

    def _drawn(self, points: np.ndarray, picture: Tensor) -> Tensor:
        masks = landmarks.drawn(points, picture.shape[-2], picture.shape[-1])
        found = landmarks.colored(masks) if self.channels == 3 else masks
        return torch.from_numpy(found).to(picture)


class LandmarkGuide(_FeatureGuide):
    """Facial features that dlib finds in the low picture itself.

    Raises:
        UserError: dlib or its predictor is missing.
    """

    def __init__(self, model: str = "", each: bool = False) -> None:
        super().__init__(each)
        self._detect = landmarks.Detector(model)

    def __call__(self, picture: Tensor, origin: Origin | None = None) -> Tensor:
        rows = (picture.detach().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
        points = self._detect(rows)
        return self._empty(picture, origin) if points is None else self._drawn(points, picture)


class PointGuide(_FeatureGuide):
    """Facial features whose points stand in a file beside the pictures."""

    def __init__(self, file: str = "", each: bool = False, strict: bool = True) -> None:
        super().__init__(each)
        self._strict = strict
        self._file = Path(file) if file else None
        self._read: dict[Path, dict[str, np.ndarray]] = {}

    def __call__(self, picture: Tensor, origin: Origin | None = None) -> Tensor:
        points = None if origin is None else self._points(origin).get(origin.path.name)
        if points is None or origin is None:
            return self._empty(picture, origin)
        zoom = np.array([picture.shape[-1] / origin.width, picture.shape[-2] / origin.height])
        # Pixel centres lie at whole numbers, so edges, not centres, keep their places when a picture is resized.
        moved = (points - (origin.left, origin.top) + 0.5) * zoom - 0.5
        return self._drawn(moved, picture)

    def _points(self, origin: Origin) -> dict[str, np.ndarray]:
        file = self._file or origin.path.parent / landmarks.SIDECAR
        if file not in self._read:
            known = self._strict or file.is_file()
            self._read[file] = landmarks.read_points(file) if known else {}
        return self._read[file]


class LabelGuide:
    """A label map of the picture's name from another folder, in colours or a channel a label.

    Raises:
        UserError: the folder is missing or holds no pictures.
    """

    def __init__(self, folder: str, num_labels: int = 0) -> None:
        if not folder or not Path(folder).is_dir():
            what = f"There is no folder {folder}" if folder else "The guide 'labels' has no folder"
            raise UserError(what, do="Name the folder of label maps with --guide-file")
        self.num_labels, self.channels = num_labels, num_labels or 3
        self.missing: list[str] = []
        found, _ = images.find_pictures([folder])
        self._paths = {stem_of(path.relative_to(folder).as_posix()): path for path in found}
        if not self._paths:
            raise UserError(f"{folder} holds no label maps")

    def __call__(self, picture: Tensor, origin: Origin | None = None) -> Tensor:
        size = (picture.shape[-2], picture.shape[-1])
        path = self._paths.get(stem_of(origin.path.name)) if origin else None
        if path is None or origin is None:
            self.missing.append(str(origin.path) if origin else "a picture")
            return picture.new_zeros((self.channels, *size))
        labels = torch.from_numpy(images.read(path)[0][..., 0].astype(np.int64))
        labels = _cut(labels, origin)
        layers = self._layers(labels)
        return F.interpolate(layers[None], size=size, mode="nearest-exact")[0].to(picture)

    def _layers(self, labels: Tensor) -> Tensor:
        if self.num_labels:
            if int(labels.max()) >= self.num_labels:
                what = f"A label map holds the label {int(labels.max())}"
                raise UserError(what, f"{self.num_labels} labels are expected", "Set --num-labels")
            return F.one_hot(labels, self.num_labels).permute(2, 0, 1).float()
        hue = (labels * GOLDEN_ANGLE) % 1
        phases = torch.tensor([0.0, 1 / 3, 2 / 3])[:, None, None]
        return (labels > 0) * (0.5 + 0.5 * torch.cos(2 * torch.pi * (hue - phases)))


def _cut(labels: Tensor, origin: Origin) -> Tensor:
    """Cut a label map as the picture was cut; both show the same scene, whatever their sizes."""
    header = images.read_header(origin.path)
    zoom_x, zoom_y = labels.shape[1] / header.width, labels.shape[0] / header.height
    top, left = round(origin.top * zoom_y), round(origin.left * zoom_x)
    bottom, right = round((origin.top + origin.height) * zoom_y), round((origin.left + origin.width) * zoom_x)
    return labels[top:bottom, left:right]


class FunctionGuide:
    """A user's function of a picture, (H, W, 3) in [0, 1], to (H, W) or (H, W, C) in [0, 1], both numpy arrays.

    Raises:
        UserError: the function is not there, or gives something else.
    """

    def __init__(self, name: str) -> None:
        self.name, self._function = name, _function(name)
        self.missing: list[str] = []
        self.channels = len(self(torch.full((3, PROBE_PX, PROBE_PX), 0.5)))

    def __call__(self, picture: Tensor, origin: Origin | None = None) -> Tensor:  # noqa: ARG002
        made = np.asarray(self._function(picture.detach().permute(1, 2, 0).cpu().numpy()), np.float32)
        made = made[..., None] if made.ndim == 2 else made
        if made.ndim != 3 or made.shape[:2] != tuple(picture.shape[-2:]):
            size = (picture.shape[-2], picture.shape[-1])
            raise UserError(f"The guide {self.name} gave {made.shape}", f"The picture has {size}, so (H, W, C) is due")
        return torch.from_numpy(np.ascontiguousarray(made.transpose(2, 0, 1))).to(picture).clamp(0, 1)


def _function(name: str) -> Callable[[np.ndarray], Any]:
    place, _, attribute = name.rpartition(":")
    if place.endswith(".py"):
        if not Path(place).is_file():
            raise UserError(f"{place} does not exist", do="Give the guide as FILE.py:NAME")
        spec = importlib.util.spec_from_file_location(f"ganvas_guide_{Path(place).stem}", place)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        try:
            module = importlib.import_module(place)
        except ImportError as error:
            raise UserError(f"The guide {name} cannot be imported", str(error), "Give it as FILE.py:NAME") from error
    function = getattr(module, attribute, None)
    if not callable(function):
        raise UserError(f"{place} has no function {attribute!r}", do=did_you_mean(attribute, vars(module)))
    return function


def stacked(low: Tensor, guide: Tensor, grid_px: tuple[int, int]) -> Tensor:
    """Return a low picture over its guide, resized to the grid that tiles are cut from, in [-1, 1].

    (3, h, w), (C, h, w) -> (3 + C, H, W)

    The low picture's own artifacts are smoothed by being made a little smaller, and the guide gets soft edges.
    """
    both = torch.cat([low, guide.to(low)])[None]
    if both.shape[-2:] != grid_px:
        # Keys' kernel as in data/degrade.py, but without its matrices, which grow with the square of the height.
        both = F.interpolate(both, size=grid_px, mode="bicubic", antialias=True)
    return to_range(both[0].clamp(0, 1))


class GuidedPictures(Source):
    """Tiles of whole squares and of their low pictures over the guide: {"high": (3, S, S), "low": (3 + C, s, s)}.

    Both in [-1, 1]; mirrored together at random. The guide is drawn over the whole low picture before tiles are cut.

    Raises:
        UserError: no picture can be used; those below the size are passed over and named.
    """

    def __init__(
        self, folder: str | Path, guide: Guide, high_px: int, low_px: int, tile_px: int, scale: int, mirror: bool = True
    ) -> None:
        self.guide, self.tile_px, self.scale, self.mirror = guide, tile_px, scale, mirror
        self.low_px, self.grid_px = low_px, high_px // scale
        self._folder = Path(folder)
        self._squares = Squares(folder, high_px, mirror=False)
        self._names = self._squares.groups()
        self._lows: ByteCache[Tensor] = ByteCache(evicts=False)

    def __len__(self) -> int:
        return len(self._names)

    @property
    def report(self) -> Report:
        """Which pictures are used, and which are not and why."""
        return self._squares.report

    def groups(self) -> list[str]:
        """Return the name of each sample's picture."""
        return list(self._names)

    def subset(self, indices: Sequence[int]) -> Self:
        """Return the source of only these pictures; it shares what was made so far."""
        chosen = type(self).__new__(type(self))
        chosen.__dict__.update(self.__dict__)
        chosen._squares = self._squares.subset(indices)
        chosen._names = [self._names[index] for index in indices]
        return chosen

    def sample(self, index: int, random: np.random.Generator) -> dict[str, Tensor]:
        """Return one random tile."""
        whole = self.whole(index)
        room = self.grid_px - self.tile_px + 1
        top, left = (int(random.integers(room)) for _ in range(2))
        low = whole["low"][:, top : top + self.tile_px, left : left + self.tile_px]
        rows, columns = (slice(at * self.scale, (at + self.tile_px) * self.scale) for at in (top, left))
        high = to_range(whole["high"][:, rows, columns])
        if self.mirror and random.random() < 0.5:
            low, high = low.flip(-1), high.flip(-1)
        return {"low": low.contiguous(), "high": high.contiguous()}

    def whole(self, index: int) -> Mapping[str, Tensor]:
        """Return a whole square, uint8, and its low picture over the guide."""
        high = self._squares.sample(index, np.random.default_rng(0))["picture"]
        name = self._names[index]
        return {"high": high, "low": self._lows.get(name, lambda: self._low(name, high))}

    def _low(self, name: str, high: Tensor) -> Tensor:
        small = resize_bicubic(high[None].float() / 255, size=(self.low_px, self.low_px))[0].clamp(0, 1)
        return stacked(small, self.guide(small, self._origin(name)), (self.grid_px, self.grid_px))

    def _origin(self, name: str) -> Origin:
        path = self._folder / name if self._folder.is_dir() else self._folder
        return centred_square(path)


def centred_square(path: Path) -> Origin:
    """Return the largest square in the middle of a picture file."""
    header = images.read_header(path)
    side = min(header.width, header.height)
    return Origin(path, (header.width - side) // 2, (header.height - side) // 2, side, side)
