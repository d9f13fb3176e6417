"""Runs, models and jobs: what there is, how it goes, what it printed."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import FileResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.studio.orders import AnyOrder
from ganvas.studio.state import Studio, studio_of

router = APIRouter(prefix="/api")
Shared = Annotated[Studio, Depends(studio_of)]
SHOWN_LINES = 5000


@router.get("/models")
def models(studio: Shared) -> list[dict[str, Any]]:
    """Return the trained models at hand."""
    return [model.row() for model in studio.workspace.models()]


@router.get("/runs")
def all_runs(studio: Shared) -> list[dict[str, Any]]:
    """Return the runs with how far each is."""
    return [_run_row(id, path) for id, path in studio.workspace.runs().items()]


@router.get("/runs/{id}")
def one_run(id: str, studio: Shared) -> dict[str, Any]:
    """Return a run with its settings and previews."""
    path = studio.workspace.run(id)
    previews = sorted((path / "previews").glob("*.png"), key=lambda file: (len(file.stem), file.stem))
    return {
        **_run_row(id, path), "settings": runs.read_json(path / runs.SETTINGS),
        "previews": [file.name for file in previews],
    }  # fmt: skip


@router.get("/runs/{id}/log")
def run_log(id: str, studio: Shared, after: Annotated[int, Query(ge=0)] = 0) -> dict[str, Any]:
    """Return the lines of a run's log after the first so many: what a page has is not sent again."""
    lines = list(runs.read_log(studio.workspace.run(id)))
    return {"after": len(lines), "lines": lines[after:][-SHOWN_LINES:]}


@router.get("/runs/{id}/previews/{name}")
def preview(id: str, name: str, studio: Shared) -> FileResponse:
    """Return a preview picture of a run."""
    folder = studio.workspace.run(id) / "previews"
    if name not in {file.name for file in folder.glob("*.png")}:
        raise UserError("The run has no such preview", do="Reload the page")
    return FileResponse(folder / name)


@router.get("/jobs")
def jobs(studio: Shared) -> list[dict[str, Any]]:
    """Return all jobs, newest first."""
    return [studio.row_of(job) for job in studio.jobs.list()]


@router.post("/commands")
def command(order: AnyOrder, studio: Shared) -> dict[str, str]:
    """Return the command line that does what a page shows."""
    return {"command": shlex.join(["ganvas", *order.arguments(studio.workspace, Path("results"))])}


@router.post("/jobs", status_code=201)
def add_job(order: AnyOrder, studio: Shared) -> dict[str, Any]:
    """Queue a job; one that was ordered twice, as by a button that was pressed twice, is queued once."""
    job = studio.jobs.add(
        order.verb, lambda out: order.job(studio.workspace, out), order.model_dump(), order.verb,
        once=order.verb != "paint",  # a scene may have changed
    )  # fmt: skip
    return studio.row_of(job)


@router.get("/jobs/{id}/output")
def job_output(id: str, studio: Shared) -> dict[str, str]:
    """Return the end of what a job printed."""
    return {"text": studio.jobs.output(id)}


@router.get("/jobs/{id}/results/{number}")
def job_result(id: str, number: int, studio: Shared) -> FileResponse:
    """Return a file that a job made."""
    path = studio.jobs.result(id, number)
    return FileResponse(path, filename=Path(path).name)


@router.delete("/jobs/{id}")
def stop_job(id: str, studio: Shared) -> dict[str, Any]:
    """Stop a job."""
    return studio.row_of(studio.jobs.stop(id))


@router.post("/jobs/{id}/resume")
def resume_job(id: str, studio: Shared) -> dict[str, Any]:
    """Queue a job again that was stopped, failed or interrupted."""
    return studio.row_of(studio.jobs.resume(id))


@router.get("/events", response_class=EventSourceResponse)
async def events(
    studio: Shared, last_event_id: Annotated[int | None, Header()] = None
) -> AsyncIterable[ServerSentEvent]:
    """Send what happens, from the event on that a page saw last."""
    last = studio.events.last
    # A number from before a restart says nothing here.
    seen = last if last_event_id is None else last_event_id if last_event_id <= last else 0
    yield ServerSentEvent(comment="hello")
    while True:
        for number, kind, data in studio.events.after(seen):
            seen = number
            yield ServerSentEvent(data=data, event=kind, id=str(number))
        await asyncio.sleep(0.15)


def _run_row(id: str, path: Path) -> dict[str, Any]:
    last: dict[str, Any] = {}
    for line in runs.read_log(path):
        if "step" in line:
            last = line
    settings = runs.read_json(path / runs.SETTINGS)
    return {
        "id": id, "name": path.name, "path": str(path), "recipe": settings.get("recipe", ""),
        "step": last.get("step", 0), "checkpoints": len(runs.checkpoints(path)), "best": runs.best_scores(path),
        "command": shlex.join(["ganvas", "train", "--resume", str(path)]),
    }  # fmt: skip
