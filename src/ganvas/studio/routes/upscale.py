"""The page Upscale: pictures in, tiles of pictures out, and live crops of what a model makes of them."""

from __future__ import annotations

import hashlib
import shutil
from typing import Annotated, Any, Literal
from uuid import uuid4

import numpy as np
import torch
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from ganvas.data.degrade import bicubic
from ganvas.errors import UserError
from ganvas.inference.demo import PHOTOGRAPH
from ganvas.inference.open import build, resolve
from ganvas.inference.picture.masked import Mask, mix
from ganvas.inference.picture.upscale import Upscaler
from ganvas.inference.result import Progress
from ganvas.io.pictures import headers, images
from ganvas.io.weights import files as weights
from ganvas.studio import pixels
from ganvas.studio.orders import Id
from ganvas.studio.state import Studio, studio_of
from ganvas.studio.workspace import LARGEST_FILE, Model, Picture

router = APIRouter(prefix="/api")
Shared = Annotated[Studio, Depends(studio_of)]
MASK_PX = 2048 * 2048
"""Pixels of the largest mask: it is laid over the picture and interpolated."""
CROP_PX = 1024
"""Largest side of the input of a live crop."""


class Crop(BaseModel):
    """A part of a picture, and what to make of it."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    picture: Id
    left: int = Field(ge=0)
    top: int = Field(ge=0)
    width: int = Field(ge=1, le=CROP_PX)
    height: int = Field(ge=1, le=CROP_PX)
    model: Id
    blend: Id | None = None
    alpha: float = Field(0.5, ge=0, le=1)
    mask: Id | None = None
    """Where the blend counts; the first model elsewhere."""
    side: Literal["before", "after"] = "after"
    """Which side of a comparison it is for: of each, the newest counts."""


@router.get("/pictures")
def pictures(studio: Shared) -> list[dict[str, Any]]:
    """Return the pictures at hand."""
    return [picture.row() for picture in studio.workspace.pictures()]


@router.put("/pictures", status_code=201)
async def receive(request: Request, studio: Shared, name: Annotated[str, Query(max_length=255)]) -> dict[str, Any]:
    """Take a picture in, sent as the body of the request."""
    path = await run_in_threadpool(studio.workspace.receive, name)
    temporary = path.with_name(f".{path.name}.partial")
    size = 0
    try:
        with temporary.open("wb") as file:
            async for chunk in request.stream():
                size += len(chunk)
                if size > LARGEST_FILE:
                    raise UserError(f"{name} is too large", f"It has more than {LARGEST_FILE >> 30} GiB")
                file.write(chunk)
        temporary.rename(path)
        picture = await run_in_threadpool(studio.workspace.add, path, path.name)
        if picture.error:
            studio.workspace.forget(picture)
            raise UserError(f"{name} cannot be read", picture.error, "Send another file")
    except BaseException:  # a lost connection, too, leaves nothing half-written
        shutil.rmtree(path.parent, ignore_errors=True)
        raise
    return picture.row()


@router.put("/masks", status_code=201)
async def receive_mask(request: Request, studio: Shared) -> dict[str, str]:
    """Take a mask in, a small PNG sent as the body of the request; the same mask has the same id."""
    content = await request.body()
    id = hashlib.blake2b(content, digest_size=8).hexdigest()

    def keep() -> None:
        temporary = studio.workspace.masks / f".{uuid4().hex}.png"
        try:
            temporary.write_bytes(content)
            header = headers.read_header(temporary)
            if header.width * header.height > MASK_PX:
                raise UserError("The mask is too large", f"{header.width} x {header.height} px; {MASK_PX:,} are enough")
            Mask.read(temporary, (1, 1))
            temporary.rename(studio.workspace.masks / f"{id}.png")
        finally:
            temporary.unlink(missing_ok=True)

    await run_in_threadpool(keep)
    return {"id": id}


@router.get("/pictures/{id}")
def one_picture(id: str, studio: Shared) -> dict[str, Any]:
    """Return what a picture is, and the levels of its tile pyramid."""
    picture = studio.workspace.picture(id)
    sizes = pixels.levels(picture.width, picture.height)
    return {**picture.row(), "tile_px": pixels.TILE_PX, "overlap_px": pixels.OVERLAP_PX, "levels": sizes}


@router.get("/pictures/{id}/tiles/{level}/{x}_{y}")
def tile(id: str, level: int, x: int, y: int, studio: Shared) -> FileResponse:
    """Return a tile of a picture; level 0 is the full size."""
    path = pixels.tile(studio.workspace, studio.workspace.picture(id), level, x, y)
    return FileResponse(path, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})


@router.get("/pictures/{id}/shown")
def shown(
    id: str, studio: Shared, side: Annotated[int, Query(ge=32, le=pixels.SHOWN_PX)] = pixels.SHOWN_PX
) -> FileResponse:
    """Return a picture small enough for a page, as PNG."""
    path = pixels.shown(studio.workspace, studio.workspace.picture(id), side)
    return FileResponse(path, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})


@router.post("/crops")
async def crop(wanted: Crop, studio: Shared, request: Request) -> Response:
    """Return a part of a picture upscaled by a model, or by a blend of two, as RGBA bytes."""
    picture, model = studio.workspace.picture(wanted.picture), studio.workspace.model(wanted.model)
    blend = studio.workspace.model(wanted.blend) if wanted.blend else None

    def work(progress: Progress) -> np.ndarray:
        def made(up: Upscaler) -> np.ndarray:
            progress.check()  # the model may have been read just now
            whole = up(_part(studio, picture, wanted, up.halo_px), progress=progress)
            return whole[_inner(picture, wanted, up.halo_px, up.scale)]

        mixed = _upscaler(studio, model, blend, wanted.alpha)
        if wanted.mask is None or blend is None:
            return made(mixed)
        first, second = made(_upscaler(studio, model, None, 0)), made(mixed)
        scale = mixed.scale
        mask = Mask.read(studio.workspace.mask(wanted.mask), (picture.height * scale, picture.width * scale))
        top, left = wanted.top * scale, wanted.left * scale
        weights = mask.rows(top, top + first.shape[0])[:, left : left + first.shape[1]]
        return mix(first, second, weights)

    return pixels.raw(await studio.live(("crop", wanted.side), work, request))


def _upscaler(studio: Studio, model: Model, blend: Model | None, alpha: float) -> Upscaler:
    if blend is None or alpha == 0:
        return studio.desk.keep(("upscaler", model.source), lambda: Upscaler(model.source))
    if alpha == 1:
        return studio.desk.keep(("upscaler", blend.source), lambda: Upscaler(blend.source))
    # Both are kept as tensors, so that a moved slider costs a sum and no file.
    first, second = (
        studio.desk.keep(("weights", each.source), lambda each=each: weights.read(resolve(each.source)))
        for each in (model, blend)
    )
    return Upscaler(build(weights.blend(first, second, alpha)))


def _bounds(picture: Picture, wanted: Crop, halo_px: int) -> tuple[int, int, int, int]:
    """Return the part with its context: top, left, bottom, right."""
    if wanted.left >= picture.width or wanted.top >= picture.height:
        raise UserError("The part lies outside of the picture", f"It measures {picture.width} x {picture.height}")
    bottom, right = wanted.top + wanted.height, wanted.left + wanted.width
    return (
        max(0, wanted.top - halo_px), max(0, wanted.left - halo_px),
        min(picture.height, bottom + halo_px), min(picture.width, right + halo_px),
    )  # fmt: skip


def _part(studio: Studio, picture: Picture, wanted: Crop, halo_px: int) -> np.ndarray:
    top, left, bottom, right = _bounds(picture, wanted, halo_px)
    part = np.array(pixels.plane(studio.workspace, picture)[top:bottom, left:right])
    return part if picture.channels in (2, 4) else np.ascontiguousarray(part[..., :3])


def _inner(picture: Picture, wanted: Crop, halo_px: int, scale: int) -> tuple[slice, slice]:
    top, left, bottom, right = _bounds(picture, wanted, halo_px)
    rows = slice((wanted.top - top) * scale, (min(wanted.top + wanted.height, bottom) - top) * scale)
    columns = slice((wanted.left - left) * scale, (min(wanted.left + wanted.width, right) - left) * scale)
    return rows, columns


def demo_picture(studio: Studio) -> None:
    """Put the bundled photograph, made small, among the pictures of a studio that has none."""
    path = studio.workspace.uploads / "astronaut" / "astronaut.png"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        high = torch.from_numpy(images.to_float(images.read(PHOTOGRAPH)[0])).permute(2, 0, 1)[None]
        low = bicubic(high, 4)[0].permute(1, 2, 0).numpy()
        images.write(path, images.from_float(low, "uint8"), overwrite=True)
