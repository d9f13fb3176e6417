"""The page Clips: a stretch of the drawn street as video, frame by frame, with styles that change on the way."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from ganvas.data.sequences import find_clips
from ganvas.drawn.world.files import write_clip
from ganvas.drawn.world.world import LEGEND, World, shots
from ganvas.errors import UserError
from ganvas.inference.clips.sampler import ClipOptions, ClipSampler
from ganvas.io.labels import world_layout
from ganvas.studio import pixels
from ganvas.studio.orders import Id
from ganvas.studio.state import Studio, studio_of

router = APIRouter(prefix="/api/clips")
Shared = Annotated[Studio, Depends(studio_of)]


@dataclass
class Reel:
    """The frames of a clip so far; further ones are generated as they are asked for."""

    sampler: ClipSampler
    frames: list[np.ndarray] = field(default_factory=list)
    drift: list[float] = field(default_factory=list)

    def frame(self, number: int) -> np.ndarray:
        """Return a frame; those before it are generated first, since each follows from the ones before."""
        if number >= len(self.frames):
            memory = self.sampler.net.frames
            for made in self.sampler.frames(len(self.frames), self.frames[-memory:]):
                self.frames.append(made.picture)
                self.drift.append(made.drift)
                if len(self.frames) > number:
                    break
        return self.frames[number]


class Wanted(BaseModel):
    """A clip of the drawn street by a generator, and what changes in it."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model: Id
    frames: int = Field(24, ge=2, le=240)
    width: int = Field(256, ge=64, le=1024)
    height: int = Field(128, ge=32, le=1024)
    seed: int = Field(0, ge=0, lt=2**31)
    restyle: list[Annotated[str, Field(pattern=r"^[\w -]{1,40}@\d{1,5}=\d{1,5}$")]] = Field(default_factory=list)
    frame: int = Field(0, ge=0)


@router.post("/frame")
async def frame(wanted: Wanted, studio: Shared) -> Response:
    """Return a frame of a clip as RGBA bytes, and how far it has drifted from one without a past."""
    source = studio.workspace.model(wanted.model).source
    if wanted.frame >= wanted.frames:
        raise UserError(f"There is no frame {wanted.frame}", f"The clip has {wanted.frames}, numbered from 0")

    def work() -> Response:
        reel = _reel(studio, source, wanted)
        picture = reel.frame(wanted.frame)
        return pixels.raw(picture, drift=f"{reel.drift[wanted.frame]:.5f}", done=len(reel.frames))

    return await studio.live("clip frame", work)


def _reel(studio: Studio, source: str, wanted: Wanted) -> Reel:
    name = ("reel", source, wanted.frames, wanted.width, wanted.height, wanted.seed, *wanted.restyle)
    options = ClipOptions(seed=wanted.seed, restyle=tuple(wanted.restyle))
    return studio.desk.keep(name, lambda: Reel(ClipSampler(source, find_clips(_street(studio, wanted))[0], options)))


def _street(studio: Studio, wanted: Wanted) -> Path:
    """Return the folder of a stretch of the drawn street, written once."""
    folder = studio.workspace.work / f"streets/{wanted.width}x{wanted.height}-{wanted.frames}-{wanted.seed}"
    if folder.is_dir():
        return folder
    temporary = folder.with_name(f".{folder.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    drive = shots("drive", wanted.frames, wanted.seed)
    place = world_layout.begin(temporary)[0]
    write_clip(place, World(wanted.seed), drive, wanted.width, wanted.height, lambda _: None)
    temporary.rename(folder)
    return folder


@router.get("/street")
def street() -> dict[str, Any]:
    """Return the classes whose style a page can change."""
    return {"classes": [entry.name for entry in LEGEND]}
