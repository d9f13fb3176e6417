"""The page Paint: scenes live here, pages send strokes and show what comes back."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from ganvas.drawn.world.scene import DETAILED
from ganvas.drawn.world.world import LEGEND, World, shots
from ganvas.errors import UserError
from ganvas.inference.labels.editing import Box, Scene
from ganvas.inference.labels.paint_scene import PaintScene
from ganvas.inference.labels.painter import LabelPainter
from ganvas.inference.result import Progress
from ganvas.io import runs
from ganvas.studio import pixels
from ganvas.studio.guard import refuse
from ganvas.studio.orders import Id
from ganvas.studio.state import Studio, studio_of

router = APIRouter(prefix="/api/scenes")
Shared = Annotated[Studio, Depends(studio_of)]
LARGEST_SIDE = 2048


class New(BaseModel):
    """A scene to begin with: blank, or the street that is drawn for pages without one."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model: Id
    width: int | None = Field(None, ge=32, le=LARGEST_SIDE)
    """In pixels; what the painter was trained at where a page names none."""
    height: int | None = Field(None, ge=32, le=LARGEST_SIDE)
    begin: Literal["street", "blank"] = "street"
    seed: int = Field(0, ge=0, lt=2**31)


class Edit(BaseModel):
    """One edit of a scene, made on the revision that the page shows."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    revision: int = Field(ge=0)
    kind: Literal["stroke", "fill", "style", "move", "copy", "remove", "undo", "redo"]
    points: list[tuple[float, float]] = Field(default_factory=list, max_length=20_000)
    width_px: float = Field(1.0, gt=0, le=1000)
    label: int = Field(0, ge=0, le=100_000)
    is_thing: bool = True
    x: int = 0
    y: int = 0
    instance: int = 0
    number: int = Field(0, ge=0)


class Stale(Exception):
    """An edit was made on a revision that is no longer the scene's."""


@router.post("", status_code=201)
async def begin(new: New, studio: Shared) -> dict[str, Any]:
    """Begin a scene and return what a page needs to paint in it."""
    model = studio.workspace.model(new.model)

    def work(_: Progress) -> dict[str, Any]:
        painter = _painter(studio, model.source)
        trained = painter.card.extra.get("size_px", (512, 256))
        width, height = new.width or int(trained[0]), new.height or int(trained[1])
        if new.begin == "street" and _knows_street(painter):
            scene = _street(painter, width, height, new.seed)
        else:
            scene = PaintScene.blank(painter, width, height, seed=new.seed)
        number = f"{max((int(name) for name in _saved(studio)), default=0) + 1:04d}"
        folder = scene.save(studio.workspace.scenes / number)
        runs.write_json(folder / "about.json", {"model": model.source})
        studio.scenes[number] = scene
        return _about(folder, scene, model.source)

    return await studio.live(("scene", id(new)), work)


@router.get("")
def scenes(studio: Shared) -> list[dict[str, Any]]:
    """Return the scenes that were painted here."""
    return [{"id": name, "model": _model_of(studio, name)} for name in _saved(studio)]


@router.get("/{name}")
async def one_scene(name: str, studio: Shared) -> dict[str, Any]:
    """Return a scene: its classes, its size, its revision."""
    model = _model_of(studio, name)
    return await studio.live(
        ("scene", name, "about"), lambda _: _about(_folder(studio, name), _scene(studio, name), model)
    )


@router.post("/{name}/edits")
async def edit(name: str, wanted: Edit, studio: Shared) -> Response:
    """Edit a scene and return the part of the picture that is new, as RGBA bytes; its place stands in the headers."""

    def work(_: Progress) -> Response:
        scene = _scene(studio, name)
        if wanted.revision != scene.revision:
            raise Stale
        box = _apply(scene, wanted)
        if box is None:
            return Response(status_code=204)
        scene.save(_folder(studio, name))  # a killed server loses no stroke
        return _part(scene, scene.repaint())

    try:
        return await studio.live(("edit", name, id(wanted)), work)
    except Stale:
        return refuse(409, "This scene was changed elsewhere", "Another page painted in it", "Reload the page")


@router.get("/{name}/picture")
async def picture(name: str, studio: Shared, is_exact: Annotated[bool, Query(alias="exact")] = False) -> Response:
    """Return the whole picture of a scene as RGBA bytes."""

    def work(_: Progress) -> Response:
        scene = _scene(studio, name)
        if is_exact and not scene.is_exact:
            scene.repaint(is_exact=True)
        return pixels.raw(scene.picture(), revision=scene.revision)

    return await studio.live(("scene picture", name), work)


@router.get("/{name}/labels")
async def labels(name: str, studio: Shared) -> Response:
    """Return the label map of a scene in its colours, as RGBA bytes."""

    def work(_: Progress) -> Response:
        scene = _scene(studio, name)
        return pixels.raw(scene.colored_labels(), revision=scene.revision)

    return await studio.live(("scene labels", name), work)


@router.get("/{name}/at")
async def at(name: str, studio: Shared, x: int, y: int) -> dict[str, Any]:
    """Return what lies at a pixel of a scene, and the box around it in pixels."""

    def work(_: Progress) -> dict[str, Any]:
        scene = _scene(studio, name)
        found = scene.at(x, y)
        mask = scene.scene.instance_map == found.instance
        rows, columns = (mask.any(dim=axis).nonzero().flatten().tolist() for axis in (1, 0))
        (top, bottom), (left, right) = ((places[0], places[-1] + 1) for places in (rows, columns))
        box = {"left": left, "top": top, "width": right - left, "height": bottom - top}
        return {**asdict(found), "box": box}

    return await studio.live(("scene at", name), work)


def _apply(scene: PaintScene, wanted: Edit) -> Box | None:
    match wanted.kind:
        case "stroke":
            return scene.stroke(wanted.points, wanted.width_px, wanted.label, wanted.is_thing)
        case "fill":
            return scene.fill(wanted.x, wanted.y, wanted.label, wanted.is_thing)
        case "style":
            return scene.restyle(wanted.instance, wanted.number)
        case "move" | "copy":
            return scene.move(wanted.instance, wanted.y, wanted.x, copies=wanted.kind == "copy")
        case "remove":
            return scene.remove(wanted.instance)
        case "undo":
            return scene.undo()
        case "redo":
            return scene.redo()


def _part(scene: PaintScene, box: Box) -> Response:
    part = scene.picture()[box.top : box.bottom, box.left : box.right]
    return pixels.raw(
        part, left=box.left, top=box.top, revision=scene.revision, exact=int(scene.is_exact),
        undo=int(scene.history.can_undo), redo=int(scene.history.can_redo),
    )  # fmt: skip


def _about(folder: Path, scene: PaintScene, model: str) -> dict[str, Any]:
    height, width = scene.scene.size
    painter = scene.painter
    legend = {entry.id: entry for entry in painter.legend}
    classes = [
        {
            "id": label, "name": painter.name_of(label), "is_thing": scene.is_thing(label),
            "color": list(legend[label].color) if label in legend else [(37 * label) % 256, (91 * label) % 256, 128],
            "styles": painter.num_styles(label) if painter.num_features and painter.styles is not None else 0,
        }
        for label in range(painter.num_labels)
    ]  # fmt: skip
    return {
        "id": folder.name, "width": width, "height": height, "revision": scene.revision, "classes": classes,
        "undo": scene.history.can_undo, "redo": scene.history.can_redo, "model": model, "note": painter.warning,
    }  # fmt: skip


def _painter(studio: Studio, source: str) -> LabelPainter:
    return studio.desk.keep(("painter", source), lambda: LabelPainter(source))


def _scene(studio: Studio, name: str) -> PaintScene:
    """Return a scene, loaded from disk after a restart; its edits before that cannot be undone any more."""
    folder = _folder(studio, name)
    if name not in studio.scenes:
        studio.scenes[name] = PaintScene.load(_painter(studio, _model_of(studio, name)), folder)
    return studio.scenes[name]


def _model_of(studio: Studio, name: str) -> str:
    return str(runs.read_json(_folder(studio, name) / "about.json")["model"])


def _folder(studio: Studio, name: str) -> Path:
    if name not in _saved(studio):
        raise UserError("This scene is not here any more", do="Begin a new one")
    return studio.workspace.scenes / name


def _saved(studio: Studio) -> list[str]:
    folder = studio.workspace.scenes
    return sorted(path.name for path in folder.iterdir() if path.name.isdigit() and (path / "about.json").is_file())


def _knows_street(painter: LabelPainter) -> bool:
    known = [(entry.id, entry.name) for entry in painter.legend]
    return known in ([(entry.id, entry.name) for entry in legend] for legend in (LEGEND, DETAILED))


def _street(painter: LabelPainter, width: int, height: int, seed: int) -> PaintScene:
    """Return a frame of the drawn street as a scene."""
    shot = shots("drive", 1, seed)[0]
    frame = World(seed, len(painter.legend) > len(LEGEND)).render(shot.camera, shot.time, width, height)
    maps = (torch.from_numpy(plane.astype(np.int32)) for plane in (frame.label_map, frame.instance_map))
    return PaintScene(painter, Scene.from_maps(*maps), seed)
