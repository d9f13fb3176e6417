"""The page Clips: a stretch of the drawn street as video, frame by frame, with styles that change on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from ganvas.data.sequences import find_clips
from ganvas.drawn.world.world import LEGEND
from ganvas.errors import UserError
from ganvas.inference.clips.sampler import ClipOptions, ClipSampler
from ganvas.inference.result import Progress
from ganvas.io.labels import world_layout
from ganvas.io.pictures import images
from ganvas.studio import pixels, streets
from ganvas.studio.orders import Street, Stretch
from ganvas.studio.state import Studio, studio_of

router = APIRouter(prefix="/api/clips")
Shared = Annotated[Studio, Depends(studio_of)]


@dataclass
class Reel:
    """The frames of a clip so far; further ones are generated as they are asked for."""

    sampler: ClipSampler
    frames: list[np.ndarray] = field(default_factory=list)
    drift: list[float] = field(default_factory=list)

    def frame(self, number: int, progress: Progress) -> np.ndarray:
        """Return a frame; those before it are generated first, since each follows from the ones before."""
        if number >= len(self.frames):
            memory = self.sampler.net.frames
            for made in self.sampler.frames(len(self.frames), self.frames[-memory:]):
                self.frames.append(made.picture)
                self.drift.append(made.drift)
                if len(self.frames) > number:
                    break
                progress.check()  # what is there so far is kept
        return self.frames[number]


class Drawn(Street):
    """One frame of the street itself."""

    frame: int = Field(0, ge=0)


class Wanted(Stretch):
    """One frame of a clip."""

    frame: int = Field(0, ge=0)
    side: Literal["one", "other"] = "one"
    """Of two clips that are compared: of each side, the newest request counts."""


@router.post("/frame")
async def frame(wanted: Wanted, studio: Shared, request: Request) -> Response:
    """Return a frame of a clip as RGBA bytes, and how far it has drifted from one without a past."""
    source = studio.workspace.model(wanted.model).source
    _check(wanted)

    def work(progress: Progress) -> Response:
        reel = _reel(studio, source, wanted)
        picture = reel.frame(wanted.frame, progress)
        return pixels.raw(picture, drift=f"{reel.drift[wanted.frame]:.5f}", done=len(reel.frames))

    return await studio.live(("clip frame", wanted.side), work, request)


@router.post("/drawn")
def drawn(wanted: Drawn, studio: Shared) -> Response:
    """Return a frame of the street as it is drawn, as RGBA bytes: what a clip of it is compared with."""
    _check(wanted)
    size = wanted.width, wanted.height
    street = streets.write(studio.workspace.work, wanted.frames, size, wanted.seed)
    return pixels.raw(images.read(world_layout.plane_path(street, "picture", wanted.frame))[0])


def _check(wanted: Drawn | Wanted) -> None:
    if wanted.frame >= wanted.frames:
        raise UserError(f"There is no frame {wanted.frame}", f"The clip has {wanted.frames}, numbered from 0")


def _reel(studio: Studio, source: str, wanted: Wanted) -> Reel:
    name = ("reel", source, wanted.frames, wanted.width, wanted.height, wanted.seed, *wanted.restyle)
    options = ClipOptions(seed=wanted.seed, restyle=tuple(wanted.restyle))

    def make() -> Reel:
        street = streets.write(studio.workspace.work, wanted.frames, (wanted.width, wanted.height), wanted.seed)
        return Reel(ClipSampler(source, find_clips(street)[0], options))

    return studio.desk.keep(name, make)


@router.get("/street")
def street() -> dict[str, Any]:
    """Return the classes whose style a page can change."""
    return {"classes": [entry.name for entry in LEGEND]}
