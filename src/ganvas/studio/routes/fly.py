"""The page Fly: the training cameras of a learned place, and what any camera sees there."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from ganvas.errors import UserError
from ganvas.inference.cameras.flyer import Flyer
from ganvas.inference.cameras.paths import through
from ganvas.io.pictures import images
from ganvas.studio import pixels
from ganvas.studio.orders import Id
from ganvas.studio.state import Studio, studio_of

router = APIRouter(prefix="/api")
Shared = Annotated[Studio, Depends(studio_of)]
Number = Annotated[float, Field(ge=-1e6, le=1e6)]


class View(BaseModel):
    """A camera: its matrix by rows, camera to world, and its focal length in millimetres."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model: Id
    camera: list[Number] = Field(min_length=13, max_length=13)


class Path(BaseModel):
    """A flight through training cameras."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model: Id
    through: list[Annotated[int, Field(ge=0)]] = Field(min_length=2, max_length=100)
    frames: int = Field(120, ge=2, le=2000)


@router.get("/models/{id}/cameras")
async def cameras(id: str, studio: Shared) -> dict[str, Any]:
    """Return the cameras that a generator was trained on, and its output's size."""
    source = studio.workspace.model(id).source

    def work() -> dict[str, Any]:
        flyer = _flyer(studio, source)
        width, height = flyer.geometry.output_px
        film = list(flyer.geometry.film_back_mm)
        return {"cameras": flyer.training.tolist(), "width": width, "height": height, "film_back_mm": film}

    return await studio.live(("cameras", id), work)


@router.post("/views")
async def view(wanted: View, studio: Shared) -> Response:
    """Return what a camera sees as RGBA bytes; how far to trust it stands in the headers."""
    source = studio.workspace.model(wanted.model).source

    def work() -> Response:
        flyer, vector = _flyer(studio, source), np.array([wanted.camera])
        picture = images.from_float(next(iter(flyer.frames(vector))), "uint8")
        if not len(flyer.training):
            return pixels.raw(picture)
        trust = flyer.trust(vector)
        return pixels.raw(picture, trust=trust.levels()[0], distance=f"{float(trust.distance[0]):.3f}")

    return await studio.live("view", work)


@router.post("/paths")
async def path(wanted: Path, studio: Shared) -> dict[str, Any]:
    """Return the cameras of a smooth flight through training cameras, and how far to trust each."""
    source = studio.workspace.model(wanted.model).source

    def work() -> dict[str, Any]:
        flyer = _flyer(studio, source)
        if not len(flyer.training):
            raise UserError("The training cameras of this model are not known", do="Choose another model")
        flight = through(flyer.training, wanted.through, wanted.frames)
        return {"cameras": flight.tolist(), "trust": flyer.trust(flight).levels()}

    return await studio.live("path", work)


def _flyer(studio: Studio, source: str) -> Flyer:
    return studio.desk.keep(("flyer", source), lambda: Flyer(source))
