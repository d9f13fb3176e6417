"""The verb `studio`."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from ganvas.cli import DONE
from ganvas.errors import UserError, need


def studio(
    given: Positional[tuple[str, ...]] = (),
    host: str = "127.0.0.1",
    port: int = 8765,
    work: Path = Path("studio"),
    runs: Path = Path("runs"),
) -> int:
    """Open the studio: every method by hand, in the browser.

    Args:
        given: runs, weight files, pictures and folders of pictures to open.
        host: address to listen on; beyond 127.0.0.1 pages need the token that is printed.
        port: to listen on; 0 takes a free one.
        work: folder for uploads, scenes, jobs and decisions.
        runs: folder of your runs.
    """
    if not 0 <= port < 65536:
        raise UserError(f"There is no port {port}", "Ports go from 0 to 65535")
    for module in ("fastapi", "uvicorn"):
        need(module, "studio")
    from ganvas.studio.app import serve
    from ganvas.studio.workspace import Workspace

    serve(Workspace(work, given, runs), host, port)
    return DONE
