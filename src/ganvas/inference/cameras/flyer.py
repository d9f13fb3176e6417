"""Flights: pictures from cameras, by any generator whose card says `input: camera`, and how far to trust them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from ganvas import device as machine
from ganvas.data import camera_trust
from ganvas.data.shots import Views, decode_light, read_footage
from ganvas.data.undistort import distorted
from ganvas.errors import UserError
from ganvas.inference.cameras.paths import Geometry
from ganvas.inference.cameras.stops import numbers_of
from ganvas.inference.open import Opened, open_model, resolve
from ganvas.io import runs
from ganvas.io.cameras.cameras import Camera, Given
from ganvas.io.pictures import images
from ganvas.io.video.frames import FramesWriter, parse_pattern
from ganvas.io.video.headers import new_header
from ganvas.io.video.writer import VideoWriter

STRIP_PX = 8
GOOD, FAIR, POOR = (0.16, 0.63, 0.33), (0.85, 0.65, 0.13), (0.76, 0.15, 0.15)
LEVELS = ("near", "between", "guess")
COLOURS: dict[str, tuple[float, float, float]] = dict(zip(LEVELS, (GOOD, FAIR, POOR)))


@dataclass(frozen=True)
class Trust:
    """How far the frames of a flight can be trusted."""

    distance: np.ndarray
    """Of each frame's camera to the nearest that was trained on, in standard deviations: (F,)."""
    expected_db: np.ndarray | None
    """PSNR to be expected, by what held-out views had at that distance; None where none were held out."""
    limits: tuple[float, float]
    """Distances up to which a frame is `near`, and beyond which it is a `guess`."""
    is_calibrated: bool
    error_db: float | None = None
    """Root mean square of the error with which held-out views were foretold from others."""

    def levels(self) -> list[str]:
        """Return `near`, `between` or `guess` for each frame."""
        return [LEVELS[int(np.searchsorted(self.limits, one))] for one in self.distance]

    def counts(self) -> str:
        """Return how many frames are of each level, in words."""
        levels = self.levels()
        return ", ".join(f"{levels.count(level)} {level}" for level in LEVELS)

    def table(self, frames: Sequence[int]) -> str:
        """Return frame, distance, expected PSNR, its error and level as CSV."""
        lines = ["frame,distance,expected_psnr_db,error_db,trust"]
        off = "" if self.error_db is None else f"{self.error_db:.2f}"
        quality = self.expected_db if self.expected_db is not None else [None] * len(self.distance)
        for frame, distance, decibels, level in zip(frames, self.distance, quality, self.levels()):
            lines.append(f"{frame},{distance:.4f},{'' if decibels is None else f'{decibels:.2f}'},{off},{level}")
        return "\n".join(lines) + "\n"

    def strip(self, width_px: int, now: int | None = None) -> np.ndarray:
        """Return the flight as colours from left to right, (STRIP_PX, width, 3), with the frame `now` marked white."""
        levels = self.levels()
        places = np.arange(width_px) * len(levels) // width_px
        row = np.array([COLOURS[levels[place]] for place in places], np.float32)
        if now is not None:
            middle = round((now + 0.5) / len(levels) * width_px - 0.5)
            row[max(0, middle - 1) : middle + 1] = 1.0
        return np.repeat(row[None], STRIP_PX, axis=0)


@dataclass(frozen=True, eq=False)
class Flight:
    """A path along which a place is seen, and how far to trust what is seen of it."""

    name: str
    vectors: np.ndarray
    """Cameras as thirteen numbers, (F, 13)."""
    frames: list[int]
    """The path's own frame numbers."""
    trust: Trust
    fps: float | None = None
    """Frames a second, where its file says it."""


class Flyer:
    """A camera-to-picture generator, ready to be asked.

    Args:
        model: run, weight file, name, or what `open_model` gave.
        footage: folder of the training footage, for a checkpoint that does not tell its cameras.
        given: what the footage's camera file does not say; what it leaves open is what the run was told of its own.
        device: `auto`, `cpu`, `cuda` or `cuda:1`.
        precision: `auto` takes the machine's fastest.

    Raises:
        UserError: the model cannot be read, takes no cameras, or the statistics of its cameras are not known.
    """

    def __init__(
        self,
        model: str | Path | Opened,
        footage: str | Path = "",
        given: Given | None = None,
        device: str = "auto",
        precision: str = "float32",
    ) -> None:
        opened = open_model(model)
        opened.require("camera", "pictures from cameras")
        self.given = (given or Given()).filled(told(opened))
        self.device = machine.pick(device)
        self.dtype = machine.pick_precision(precision, self.device)
        self.network = opened.network(device=self.device)
        self.card = opened.card
        self.size_px = int(self.card.settings["size_px"])
        self.scores = dict(self.card.scores) or (runs.best_scores(opened.run) if opened.run else {})
        self._unscored = _unscored(opened)
        extra = dict(self.card.extra)
        mean, deviation = self.card.settings.get("mean"), self.card.settings.get("deviation")
        self._standardises = mean is not None and deviation is not None
        if not self._standardises:
            if not footage:
                why = "The file holds no statistics of the cameras that it was trained on"
                raise UserError(f"{opened} needs its training cameras", why, "Name their folder: --footage DIR")
            views = Views(read_footage(footage, given=self.given).views, self.size_px)
            mean, deviation = views.statistics()
            extra = {
                "cameras": views.vectors().tolist(), "frames": [view.camera.frame for view in views.views],
                "film_back_mm": list(views.film_back_mm), "zoom": list(views.zoom), "roll_degrees": views.roll_degrees,
            }  # fmt: skip
        self.mean, self.deviation = np.array(mean), np.array(deviation)
        self.training = np.array(extra.get("cameras", np.empty((0, 13))), float).reshape(-1, 13)
        self.training_frames = numbers_of(extra)
        self.geometry = Geometry.of(extra, self.size_px)
        self.promise = camera_trust.Promise.of(opened.attachments, self.mean, self.deviation)
        zoom = extra.get("zoom", (1.0, 1.0))
        self.exposure = float(extra.get("exposure", 0.0))
        self.roll_degrees, self.reach = float(extra.get("roll_degrees", 0.0)), float(zoom[1]) / float(zoom[0])

    def frames(self, vectors: np.ndarray, batch: int = 0) -> Iterator[np.ndarray]:
        """Yield what cameras, (F, 13), see: display values (H, W, 3) in [0, 1], unsqueezed to the output's size."""
        # Large pictures one by one: what they need between layers is what limits their size.
        batch = batch or max(1, 4 * 256**2 // self.size_px**2)
        given = vectors if self._standardises else (vectors - self.mean) / self.deviation
        width, height = self.geometry.output_px
        for part in torch.from_numpy(given).float().split(batch):
            with torch.no_grad(), machine.autocast(self.device, self.dtype):
                made = self.network(part[:, :, None, None].to(self.device)).float() * 0.5 + 0.5
            if made.shape[-2:] != (height, width):
                made = F.interpolate(made, size=(height, width), mode="bicubic", align_corners=False)
            yield from made.clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()

    def trust(self, vectors: np.ndarray) -> Trust:
        """Return how far frames can be trusted: by held-out views where there were some, else by the cameras' spacing.

        Raises:
            UserError: the card tells no training cameras.
        """
        if not len(self.training):
            raise UserError("The training cameras of this model are not known", do="Name their folder: --footage DIR")
        found = self._distances(vectors)
        quality = camera_trust.expected(found, self.scores)
        if self.promise is not None:
            quality = self.promise.at((vectors - self.mean) / self.deviation)
            quality = camera_trust.lowered(quality, found, self.scores)
        places = sorted(int(name.removeprefix("distance_")) for name in self.scores if name.startswith("distance_"))
        if quality is not None and len(places) > 1:
            known = [self.scores[f"distance_{place}"] for place in places]
            error = self.promise.error_db if self.promise else None
            return Trust(found, quality, (float(known[0]), float(known[-1])), True, error)
        spacing = self._spacing()
        return Trust(found, None, (2 * spacing, 10 * spacing), False)

    def _distances(self, vectors: np.ndarray) -> np.ndarray:
        return camera_trust.distances(
            vectors, self.training, self.mean.tolist(), self.deviation.tolist(), self.roll_degrees, self.reach
        )

    def _spacing(self) -> float:
        """Return the median distance from a training camera to the nearest other one."""
        standard = (self.training - self.mean) / self.deviation
        some = standard[:: -(-len(standard) // 500)]
        apart = np.linalg.norm(some[:, None] - some[None], axis=-1)
        np.fill_diagonal(apart, np.inf)
        return float(np.median(apart.min(1))) if len(some) > 1 else 1.0

    def warnings(self, vectors: np.ndarray, trust: Trust, frames: Sequence[int]) -> list[str]:
        """Return what the user should know before a flight is believed; `frames` are the path's own numbers."""
        notes = []
        guesses = trust.levels().count("guess")
        if guesses:
            worst = int(np.argmax(trust.distance))
            notes.append(
                f"{guesses} of {len(vectors)} frames lie farther from the training cameras than any that was tested: "
                f"frame {frames[worst]} by {trust.distance[worst]:.2f} standard deviations, the limit is "
                f"{trust.limits[1]:.2f}"
            )
        low, high = self.training[:, 12].min(), self.training[:, 12].max() * self.reach
        asked = vectors[:, 12]
        if asked.min() < 0.98 * low or asked.max() > 1.02 * high:
            notes.append(
                f"Focal lengths of {asked.min():.1f} to {asked.max():.1f} mm are asked for; trained were {low:.1f} to "
                f"{high:.1f} mm (--zoom changes them)"
            )
        if not trust.is_calibrated:
            notes.append(f"{self._unscored}, so trust is only the distance between cameras")
        return notes


class Screen:
    """Where a flight is shown: a video, numbered frames, or a folder of frames; made when it is opened.

    Light in files of floating point is brought back from the stops by which the footage was exposed up.

    Raises:
        UserError: the name is taken or of no known kind, or frames are numbered with gaps in a video.
    """

    def __init__(
        self,
        out: str | Path,
        size_px: tuple[int, int],
        frames: Sequence[int],
        fps: Fraction,
        bits: int,
        overwrite: bool,
        exposure: float = 0.0,
    ) -> None:
        out, self.exposure = Path(out), exposure
        self.frames, self.bits = list(frames), bits
        pattern = parse_pattern(out)
        if pattern is None and not out.suffix:
            out.mkdir(parents=True, exist_ok=True)
            pattern = parse_pattern(out / "######.png")
        self.pattern = pattern
        self.video: VideoWriter | None = None
        self.writer: FramesWriter | None = None
        if pattern is not None:
            pattern.folder.mkdir(parents=True, exist_ok=True)
            self.writer = FramesWriter(pattern, first=self.frames[0], step=1, overwrite=overwrite)
            self.is_light = Path(f"x{pattern.after}").suffix.lower() in (".exr", ".hdr")
            self.folder, self.stem = pattern.folder, pattern.before.rstrip("._-") or "shot"
            self.target = str(pattern)
        else:
            deep = 10 if out.suffix.lower() == ".mov" and bits > 8 else bits if bits <= 10 else 10
            self.header = new_header(*size_px, fps, deep)
            self.video = VideoWriter(out, self.header, overwrite=overwrite)
            self.is_light = False
            self.folder, self.stem, self.target = out.parent, out.stem, str(out)

    def names(self) -> list[str]:
        """Return the file of each frame, as a camera file beside them names it."""
        return [self.pattern.path(frame).name for frame in self.frames] if self.pattern else []

    def show(self, place: int, picture: np.ndarray) -> None:
        """Write one frame of display values (H, W, 3); floating-point files get light."""
        if self.writer is not None:
            suffix = "float16" if self.is_light else "uint16" if self.bits > 8 else "uint8"
            light = decode_light(picture) / 2.0**self.exposure if self.is_light else picture
            values = light.astype(np.float32)
            self.writer.write(images.from_float(values, suffix), self.frames[place] - self.frames[0])
        elif self.video is not None:
            kind = "uint16" if self.header.bits > 8 else "uint8"
            self.video.write(images.from_float(picture, kind), place * self.header.frame_step)

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self.video is not None:
            if kind is None:
                self.video.close()
            else:
                self.video.abort()


def fly(
    flyer: Flyer,
    vectors: np.ndarray,
    trust: Trust,
    screen: Screen,
    burn_in: bool = False,
    laid: Sequence[tuple[Camera, Camera]] = (),
) -> Iterator[int]:
    """Make and write a flight frame by frame, yielding how many are done; `burn_in` draws the trust strip on them.

    `laid` are the camera of each picture and that of the plate onto which it is laid, distorted as by its lens.
    """
    for place, picture in enumerate(flyer.frames(vectors)):
        if laid:
            picture = _on_plate(picture, *laid[place])
        if burn_in:
            picture = picture.copy()
            picture[-STRIP_PX:] = trust.strip(picture.shape[1], place)
        screen.show(place, picture)
        yield place + 1


def _on_plate(picture: np.ndarray, camera: Camera, plate: Camera) -> np.ndarray:
    seen, known = distorted(torch.from_numpy(picture).permute(2, 0, 1), camera, plate)
    return (seen.clamp(0, 1) * known).permute(1, 2, 0).numpy()


def write_trust(folder: Path, stem: str, trust: Trust, frames: Sequence[int], overwrite: bool = False) -> list[Path]:
    """Write a flight's trust as a table and as a strip, STEM.trust.csv and STEM.trust.png; return the two.

    Raises:
        UserError: one of them exists and may not be replaced.
    """
    table, strip = folder / f"{stem}.trust.csv", folder / f"{stem}.trust.png"
    if table.exists() and not overwrite:
        raise UserError(f"{table} exists already", do="Choose another name, or give --overwrite")
    runs.write_atomically(table, trust.table(frames).encode())
    pixels = images.from_float(trust.strip(max(256, len(frames))), "uint8")
    images.write(strip, pixels, overwrite=overwrite)
    return [table, strip]


def check_free(paths: Sequence[Path], overwrite: bool) -> None:
    """Refuse before work starts to replace files.

    Raises:
        UserError: one exists.
    """
    for path in paths:
        if path.exists() and not overwrite:
            raise UserError(f"{path} exists already", do="Choose another name, or add --overwrite")


def _unscored(opened: Opened) -> str:
    """Return why nothing is known of how well held-out views are made."""
    if opened.run is None:
        return "The model tells no scores of views that were held out"
    if runs.read_json(opened.run / runs.SETTINGS).get("settings", {}).get("val"):
        return "The views that were held out have not been scored yet"
    return "No views were held out in training (--val 0.2)"


def told(model: str | Path | Opened) -> Given:
    """Return what a run was told of its cameras beside their file, as it or the card of a packed one says."""
    run = model.run if isinstance(model, Opened) else resolve(model)
    if run is not None and runs.is_run(run):
        known = runs.read_json(run / runs.SETTINGS).get("settings", {})
    else:
        known = dict(model.card.extra).get("told", {}) if isinstance(model, Opened) else {}
    film = known.get("film_back_mm")
    return Given(
        film_back_mm=(float(film[0]), float(film[1])) if film else None, up=known.get("up", ""),
        rotation_order=known.get("rotation_order", ""), metres_per_unit=known.get("metres_per_unit"),
        focal_mm=known.get("focal_mm"), camera=known.get("camera_name", ""),
        first_frame=known.get("first_frame"), exposure=known.get("exposure"),
        stmap=Path(known["stmap"]) if known.get("stmap") else None, lens_profile=known.get("lens_profile", ""),
        footage=str(known.get("data", "")), file=str(known.get("cameras", "")),
    )  # fmt: skip
