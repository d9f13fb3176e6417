"""The page Explore: pictures of seeds, classes and truncations, and walks between them."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import torch
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from ganvas.inference.result import Progress
from ganvas.inference.seeds.latents import latents
from ganvas.inference.seeds.sampler import SeedSampler, Truncation
from ganvas.io.pictures import images
from ganvas.studio import pixels
from ganvas.studio.orders import Id
from ganvas.studio.state import Studio, studio_of

router = APIRouter(prefix="/api")
Shared = Annotated[Studio, Depends(studio_of)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Grid(BaseModel):
    """Pictures that a page shows: one for each seed."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model: Id
    seeds: list[Seed] = Field(min_length=1, max_length=64)
    label: int | None = Field(None, ge=0)
    """Number of the class; None lets them take turns."""
    truncation: float | None = Field(None, gt=0, le=10)


class Walk(BaseModel):
    """A place on the way from one seed and class to another."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model: Id
    seeds: tuple[Seed, Seed]
    labels: tuple[int, int] | None = None
    share: float = Field(ge=0, le=1)
    truncation: float | None = Field(None, gt=0, le=10)


@router.get("/models/{id}/classes")
async def classes(id: str, studio: Shared) -> dict[str, Any]:
    """Return the classes that a generator knows, and the side of its pictures."""
    source = studio.workspace.model(id).source
    return await studio.live(("classes", id), lambda _: {"names": _sampler(studio, source).class_names})


@router.post("/grids")
async def grid(wanted: Grid, studio: Shared, request: Request) -> Response:
    """Return the pictures one below the other as RGBA bytes; each is as high as wide."""
    source = studio.workspace.model(wanted.model).source

    def work(progress: Progress) -> np.ndarray:
        sampler = _sampler(studio, source)
        labels = None if wanted.label is None else [wanted.label] * len(wanted.seeds)
        return _column(_checked(sampler, labels).sample(wanted.seeds, labels, Truncation(wanted.truncation), progress))

    return pixels.raw(await studio.live("grid", work, request))


@router.post("/walks")
async def walk(wanted: Walk, studio: Shared, request: Request) -> Response:
    """Return the picture of a place between two seeds as RGBA bytes."""
    source = studio.workspace.model(wanted.model).source

    def work(progress: Progress) -> np.ndarray:
        sampler = _sampler(studio, source)
        truncation = Truncation(wanted.truncation)
        ends = latents(list(wanted.seeds), sampler.length, truncation.threshold, truncation.kind)
        noise = torch.lerp(ends[:1], ends[1:], wanted.share)
        if not sampler.num_classes:
            return _column(sampler.paint(noise, torch.zeros(1, dtype=torch.long), truncation, progress))
        labels = list(wanted.labels or map(sampler.class_of, wanted.seeds))
        _checked(sampler, labels)
        shares = torch.zeros(1, sampler.num_classes)
        shares[0, labels[0]] += 1 - wanted.share
        shares[0, labels[1]] += wanted.share
        return _column(sampler.paint(noise, shares, truncation, progress))

    return pixels.raw(await studio.live("walk", work, request))


def _sampler(studio: Studio, source: str) -> SeedSampler:
    return studio.desk.keep(("sampler", source), lambda: SeedSampler(source))


def _checked(sampler: SeedSampler, labels: list[int] | None) -> SeedSampler:
    if labels is not None:
        sampler.classes(",".join(map(str, labels)))
    return sampler


def _column(pictures: torch.Tensor) -> np.ndarray:
    stacked = pictures.permute(0, 2, 3, 1).reshape(-1, pictures.shape[3], pictures.shape[1])
    return images.from_float(stacked.numpy(), "uint8")
