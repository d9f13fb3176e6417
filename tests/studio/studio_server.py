"""A studio for tests, and how its answers are read."""

from __future__ import annotations

import io
import time
from pathlib import Path

import numpy as np
from fastapi.testclient import TestClient
from PIL import Image

from ganvas.studio.app import create_app
from ganvas.studio.guard import Guard
from ganvas.studio.workspace import Workspace


def client_of(work: Path, *given: str, host: str = "127.0.0.1", program: tuple[str, ...] = ()) -> TestClient:
    guard = Guard(host, token="secret-token")
    return TestClient(create_app(Workspace(work, given, work / "no-runs"), guard, program), base_url=f"http://{host}")


def model_of(client: TestClient, takes: str) -> dict:
    return next(model for model in client.get("/api/models").json() if model["takes"] == takes)


def rgba(answer) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    height, width = int(answer.headers["x-height"]), int(answer.headers["x-width"])
    return np.frombuffer(answer.content, np.uint8).reshape(height, width, 4)


def png(width: int, height: int) -> bytes:

    file = io.BytesIO()
    Image.effect_noise((width, height), 60).convert("RGB").save(file, "PNG")
    return file.getvalue()


def send(client, name: str, content: bytes):
    return client.put("/api/pictures", params={"name": name}, content=content)


def wait(ask, seconds: float = 120.0):
    """Return what a question is answered with once it is."""
    until = time.monotonic() + seconds
    while not (found := ask()):
        assert time.monotonic() < until, "it took too long"
        time.sleep(0.02)
    return found
