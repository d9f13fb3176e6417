"""The page Fly: the training cameras of a learned place, and what any camera sees there."""

from __future__ import annotations

import hashlib
import re
import tempfile
from pathlib import Path as FilePath
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from ganvas.errors import UserError
from ganvas.inference.cameras.flyer import Flyer
from ganvas.inference.cameras.paths import cameras_of, through, told
from ganvas.inference.result import Progress
from ganvas.io.cameras import cameras as camera_files
from ganvas.io.cameras.cameras import Given
from ganvas.io.pictures import images
from ganvas.studio import pixels
from ganvas.studio.orders import Id
from ganvas.studio.state import Studio, studio_of

router = APIRouter(prefix="/api")
Shared = Annotated[Studio, Depends(studio_of)]
Number = Annotated[float, Field(ge=-1e6, le=1e6)]
LONGEST = 2000
"""Frames of the longest path that a page flies."""
SUFFIX = re.compile(r"[^\w.]")


Camera = Annotated[list[Number], Field(min_length=13, max_length=13)]


class View(BaseModel):
    """A camera: its matrix by rows, camera to world, and its focal length in millimetres."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model: Id
    camera: Camera


class Path(BaseModel):
    """A flight through training cameras, by number, and views of one's own."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model: Id
    through: list[Annotated[int, Field(ge=0)] | Camera] = Field(min_length=2, max_length=100)
    frames: int = Field(120, ge=2, le=2000)


@router.get("/models/{id}/cameras")
async def cameras(id: str, studio: Shared) -> dict[str, Any]:
    """Return the cameras that a generator was trained on, and its output's size."""
    source = studio.workspace.model(id).source

    def work(_: Progress) -> dict[str, Any]:
        flyer = _flyer(studio, source)
        width, height = flyer.geometry.output_px
        film = list(flyer.geometry.film_back_mm)
        return {"cameras": flyer.training.tolist(), "width": width, "height": height, "film_back_mm": film}

    return await studio.live(("cameras", id), work)


@router.post("/views")
async def view(wanted: View, studio: Shared, request: Request) -> Response:
    """Return what a camera sees as RGBA bytes; how far to trust it stands in the headers."""
    source = studio.workspace.model(wanted.model).source

    def work(_: Progress) -> Response:
        flyer, vector = _flyer(studio, source), np.array([wanted.camera])
        picture = images.from_float(next(iter(flyer.frames(vector))), "uint8")
        if not len(flyer.training):
            return pixels.raw(picture)
        trust = flyer.trust(vector)
        return pixels.raw(picture, trust=trust.levels()[0], distance=f"{float(trust.distance[0]):.3f}")

    return await studio.live("view", work, request)


@router.post("/paths")
async def path(wanted: Path, studio: Shared, request: Request) -> dict[str, Any]:
    """Return the cameras of a smooth flight through training cameras, and how far to trust each."""
    source = studio.workspace.model(wanted.model).source

    def work(_: Progress) -> dict[str, Any]:
        flyer = _flyer(studio, source)
        if not len(flyer.training):
            raise UserError("The training cameras of this model are not known", do="Choose another model")
        own = [stop for stop in wanted.through if isinstance(stop, list)]
        for stop in own:
            _check(stop)
        known = np.concatenate([flyer.training, *(np.array([stop]) for stop in own)])
        numbers = iter(range(len(flyer.training), len(known)))
        stops = [
            _known(stop, len(flyer.training)) if isinstance(stop, int) else next(numbers) for stop in wanted.through
        ]
        flight = through(known, stops, wanted.frames)
        answer = {"cameras": flight.tolist(), "trust": flyer.trust(flight).levels()}
        return {**answer, "flight": _keep(studio, flyer, flight)} if own else answer

    return await studio.live("path", work, request)


@router.put("/flights", status_code=201)
async def load(
    request: Request, studio: Shared, model: Id, name: Annotated[str, Query(max_length=255)]
) -> dict[str, Any]:
    """Take in a camera path, a file of any format that commands read, sent as the body of the request."""
    source, content = studio.workspace.model(model).source, await request.body()

    def work(_: Progress) -> dict[str, Any]:
        flyer = _flyer(studio, source)
        with tempfile.TemporaryDirectory(dir=studio.workspace.flights, prefix=".") as folder:
            suffix = SUFFIX.sub("", FilePath(name).suffix)[:16]
            path = FilePath(folder) / f"path{suffix}"
            path.write_bytes(content)
            try:
                vectors = told(camera_files.read(path, _film(flyer, suffix), flyer.given).cameras, flyer.geometry)[0]
            except UserError as error:
                raise UserError(
                    *(part.replace(str(path), name) for part in (error.what, error.why, error.do))
                ) from error
        if not 2 <= len(vectors) <= LONGEST:
            raise UserError(
                f"{name} is no path", f"It holds {len(vectors)} cameras", f"From 2 to {LONGEST} can be flown"
            )
        answer = {"cameras": vectors.tolist(), "flight": _keep(studio, flyer, vectors)}
        return {**answer, "trust": flyer.trust(vectors).levels()} if len(flyer.training) else answer

    return await studio.live(("flight", id(request)), work)


def _film(flyer: Flyer, suffix: str) -> Given:
    """Return what a file of this kind does not say: a table of millimetres is of the training's film."""
    if suffix.lower() != ".csv" or flyer.given.film_back_mm:
        return Given()
    return Given(film_back_mm=flyer.geometry.film_back_mm, size_px=flyer.geometry.output_px)


def _known(stop: int, count: int) -> int:
    if stop >= count:
        raise UserError(f"There is no training camera {stop}", f"They are numbered from 0 to {count - 1}")
    return stop


def _check(camera: list[float]) -> None:
    rotation = np.array(camera[:12]).reshape(3, 4)[:, :3]
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3) or np.linalg.det(rotation) < 0 or camera[12] <= 0:
        raise UserError("This is no camera", "Its axes are not at right angles, or its focal length is not positive")


def _keep(studio: Studio, flyer: Flyer, flight: np.ndarray) -> str:
    """Write a path as a file that commands take, and return its id."""
    id = hashlib.blake2b(flight.tobytes(), digest_size=8).hexdigest()
    path = studio.workspace.flights / f"{id}.json"
    if not path.is_file():
        shot = cameras_of(flight, flyer.geometry, range(1, len(flight) + 1))
        written = studio.workspace.flights / f".{id}.json"
        camera_files.write(written, shot, flyer.given, overwrite=True)
        written.rename(path)
    return id


def _flyer(studio: Studio, source: str) -> Flyer:
    return studio.desk.keep(("flyer", source), lambda: Flyer(source))
