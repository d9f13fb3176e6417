"""The server: guards, routes, errors as pages show them, and the pages themselves."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from ganvas import __version__
from ganvas.errors import UserError
from ganvas.studio.desk import Superseded
from ganvas.studio.guard import COOKIE, Door, Guard, refuse
from ganvas.studio.routes import clips, curate, explore, fly, neighbours, paint, runs, upscale
from ganvas.studio.state import Studio
from ganvas.studio.workspace import LARGEST_FILE, Workspace

PAGE = Path(__file__).parent / "page"
BODY = 2 << 20
"""Bytes of the largest request that is no upload."""
UPLOAD = "/api/pictures"
"""Where pictures are sent: their bodies may be large, and are counted as they come."""


class Token(BaseModel):
    """The token that the address of the page brings along."""

    token: str


def create_app(workspace: Workspace, guard: Guard, program: tuple[str, ...] = ()) -> FastAPI:
    """Return the server's application; `program` runs jobs in place of this Python's `ganvas`."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        app.state.studio = Studio(workspace, program)
        upscale.demo_picture(app.state.studio)
        yield
        app.state.studio.close()

    app = FastAPI(title="Ganvas Studio", version=__version__, lifespan=life, docs_url=None, redoc_url=None)
    app.add_middleware(Door, refusals=(guard.refusal, _too_large))
    for part in (runs, upscale, paint, explore, neighbours, fly, clips, curate):
        app.include_router(part.router)
    app.add_exception_handler(UserError, _on_user_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(Superseded, _on_superseded)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_defect)

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"ganvas": __version__}

    @app.post("/token")
    def take_token(given: Token) -> Response:
        if not guard.accepts(given.token):
            return refuse(401, "This is not the server's token", do="Copy the whole address that was printed")
        response = JSONResponse({})
        response.set_cookie(COOKIE, guard.token, httponly=True, samesite="strict")
        return response

    @app.get("/")
    def index() -> FileResponse:
        return FileResponse(PAGE / "index.html", headers={"Cache-Control": "no-cache"})

    app.mount("/page", StaticFiles(directory=PAGE), name="page")
    return app


def _too_large(request: Request) -> Response | None:
    """Refuse bodies that say they are larger than anything a page sends; uploads count theirs as they come."""
    is_upload = request.method == "PUT" and request.url.path == UPLOAD
    length = request.headers.get("content-length", "0")
    most = LARGEST_FILE if is_upload else BODY
    if not length.isdigit() or int(length) > most:
        return refuse(413, "This is more than the server takes", f"The limit is {most >> 20} MiB")
    if not is_upload and "transfer-encoding" in request.headers:  # its end is not known, and it is read whole
        return refuse(411, "The request does not say how long it is")
    return None


async def _on_user_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, UserError)
    return refuse(400, error.what, error.why, error.do)


async def _on_invalid(_: Request, error: Exception) -> Response:
    """Tell what is wrong with a request; its values may be such as JSON cannot hold."""
    assert isinstance(error, RequestValidationError)
    found = [f"{'.'.join(map(str, item['loc'][1:])) or 'body'}: {item['msg']}" for item in error.errors()[:5]]
    return refuse(422, "The request is not understood", "; ".join(found))


async def _on_superseded(_: Request, __: Exception) -> Response:
    return refuse(409, "A newer request took the place of this one")


async def _on_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return refuse(error.status_code, str(error.detail))


async def _on_defect(_: Request, error: Exception) -> Response:
    return refuse(500, f"Unexpected {type(error).__name__}", str(error)[:300], "This is a defect; please report it")


def serve(workspace: Workspace, host: str, port: int) -> str:
    """Run the server until it is stopped, and print its address.

    Raises:
        UserError: the port is taken.
    """
    guard = Guard(host)
    listener = _listen(host, port)
    port = listener.getsockname()[1]
    shown = "127.0.0.1" if host in ("", "0.0.0.0", "::") else host
    address = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/"
    print(f"Ganvas Studio: {address}{f'#token={guard.token}' if guard.needs_token else ''}", flush=True)
    config = uvicorn.Config(create_app(workspace, guard), log_level="warning", timeout_graceful_shutdown=3)
    uvicorn.Server(config).run(sockets=[listener])
    return address


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UserError(f"The studio cannot listen on {host}:{port}", why, "Choose another --port") from error
    listener.listen(128)
    return listener


def openapi(workspace: Workspace) -> str:
    """Return the description of the API as JSON."""
    return json.dumps(create_app(workspace, Guard()).openapi(), indent=1)
