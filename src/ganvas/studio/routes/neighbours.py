"""Of the page Explore: the training pictures nearest to a sample, which tell whether it is one of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import torch
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from ganvas.errors import UserError
from ganvas.evaluation.neighbours import FEWEST, SHOWN, SPACES, Bank
from ganvas.inference.result import Progress
from ganvas.inference.seeds.sampler import SeedSampler, Truncation, class_names_of
from ganvas.io.pictures import images
from ganvas.studio import pixels
from ganvas.studio.banks import Read, Reading
from ganvas.studio.orders import Id
from ganvas.studio.state import Studio, studio_of
from ganvas.studio.workspace import id_of

router = APIRouter(prefix="/api")
Shared = Annotated[Studio, Depends(studio_of)]
MOST = 20_000
"""Pictures that are looked through here."""
CACHED_BYTES = 1 << 26
"""Pictures that are kept besides what is compared of them."""
NAME_CHARS = 80


class Among(BaseModel):
    """Which pictures to look among, for a generator."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model: Id
    folder: Id


class Sample(Among):
    """The sample whose neighbours are looked for."""

    seed: int = Field(ge=0, lt=2**31)
    label: int | None = Field(None, ge=0)
    """Number of the class; None takes the seed's."""
    truncation: float | None = Field(None, gt=0, le=10)


@router.get("/models/{id}/sets")
def sets(id: str, studio: Shared) -> list[dict[str, Any]]:
    """Return the pictures among which the neighbours of a generator's samples can be looked for."""
    model = studio.workspace.model(id)
    found = []
    for path in studio.workspace.training_sets(model):
        is_own = model.is_run and path == Path(model.card.data).resolve()
        if not is_own and path.is_dir() and len(images.find_pictures([path])[0]) < FEWEST:
            continue
        name = "sent to the studio" if path == studio.workspace.uploads else path.name
        found.append({"id": id_of(path), "name": name, "is_own": is_own})
    return found


@router.post("/neighbours/readings")
def reading(among: Among, studio: Shared) -> dict[str, Any]:
    """Return how far the reading of pictures is; the first who asks begins it."""
    found = _reading(studio, among)
    return {"done": found.done, "total": found.total, "is_ready": found.asked.future.done()}


@router.post("/neighbours")
async def neighbours(wanted: Sample, studio: Shared, request: Request) -> Response:
    """Return a sample, its nearest by pixels and its nearest by features, one below the other, as RGBA bytes.

    The header says of each space their names, and how many of the training pictures are nearer to another one.
    """
    source = studio.workspace.model(wanted.model).source
    found = _reading(studio, wanted).asked.future
    if not found.done():
        raise UserError("The pictures are not read yet", do="Wait until they are")
    bank, usual = found.result()

    def work(progress: Progress) -> Response:
        sampler = studio.desk.keep(("sampler", source), lambda: SeedSampler(source))
        labels = None if wanted.label is None else sampler.classes(str(wanted.label))
        made = sampler.sample([wanted.seed], labels, Truncation(wanted.truncation), progress)
        sample = (made * 255).round().to(torch.uint8)
        near = bank.nearest(sample, SHOWN)
        rows, facts = [sample], {}
        for space in SPACES:
            rows.append(bank.pictures(near[space].places[0]))
            facts[space] = {
                "names": [bank.names[place][-NAME_CHARS:] for place in near[space].places[0].tolist()],
                "nearer": round(float((usual[space] < near[space].distances[0, 0]).double().mean()), 4),
            }
        column = torch.cat(rows).permute(0, 2, 3, 1)
        return pixels.raw(column.reshape(-1, *column.shape[2:]).numpy(), found=json.dumps(facts), among=len(bank))

    return await studio.live("neighbours", work, request)


def _reading(studio: Studio, among: Among) -> Reading:
    model = studio.workspace.model(among.model)
    if model.page != "explore":
        raise UserError(f"{model.name} makes no pictures from seeds")
    path = studio.workspace.training_set(model, among.folder)
    size_px, names = int(model.card.settings["size_px"]), class_names_of(model.card)

    def read(progress: Progress) -> Read:
        bank = Bank(path, size_px, names, "cpu", progress, MOST, CACHED_BYTES)
        if len(bank) < FEWEST:
            raise UserError(f"{path.name} is too little to look for neighbours in", f"It has {len(bank)} pictures")
        return bank, bank.among_themselves(progress)

    return studio.banks.ask((path, _changed(path), size_px, *names), read)


def _changed(path: Path) -> int:
    """Return when pictures came or went: a folder's own time, or that of a folder in it."""
    inside = [each for each in path.iterdir() if each.is_dir()] if path.is_dir() else []
    return max(each.stat().st_mtime_ns for each in [path, *inside])
