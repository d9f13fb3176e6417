"""A real server under many clients, and under those who leave in the middle."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import uvicorn
from studio_server import png, wait

from ganvas.studio import workspace as places
from ganvas.studio.app import create_app
from ganvas.studio.guard import Guard
from ganvas.studio.routes import upscale
from ganvas.studio.workspace import Workspace


@pytest.fixture
def served(trained, tmp_path):
    """A server in a thread: its address, and its studio."""
    app = create_app(Workspace(tmp_path / "work", [str(trained)], tmp_path / "no-runs"), Guard())
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        wait(lambda: server.started)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", app.state.studio
        server.should_exit = True
        thread.join(60)


def test_fifty_read_while_one_paints(served):
    address, _ = served
    with httpx.Client(base_url=address, timeout=120) as painter:
        model = next(each["id"] for each in painter.get("/api/models").json() if each["takes"] == "labels")
        scene = painter.post("/api/scenes", json={"model": model, "width": 64, "height": 32}).json()["id"]
        picture = painter.get("/api/pictures").json()[0]["id"]
        paths = ("models", "jobs", "runs", f"pictures/{picture}/tiles/0/0_0", f"scenes/{scene}/labels", "curations")
        is_over, answers = threading.Event(), []

        def read(number: int) -> None:
            with httpx.Client(base_url=address, timeout=120) as client:
                while not is_over.is_set():
                    answers.append(client.get(f"/api/{paths[number % len(paths)]}").status_code)

        with ThreadPoolExecutor(50) as readers:
            asked = [readers.submit(read, number) for number in range(50)]
            try:
                wait(lambda: len(answers) > 50)
                for revision in range(4):
                    stroke = {"kind": "stroke", "points": [[5 + revision, 9]], "width_px": 4, "label": 9}
                    made = painter.post(f"/api/scenes/{scene}/edits", json={**stroke, "revision": revision})
                    assert made.status_code == 200 and int(made.headers["x-revision"]) == revision + 1
            finally:
                is_over.set()
            for each in asked:
                each.result(120)
        # Of those who ask for one scene's labels at once the newest counts: the others are told so.
        assert set(answers) <= {200, 409} and answers.count(200) > 50


def raw(address: str, head: str, body: bytes = b"") -> socket.socket:
    """Return a connection on which a request was begun."""
    host, port = address.removeprefix("http://").split(":")
    line = socket.create_connection((host, int(port)), timeout=60)
    line.sendall(f"{head}\r\nHost: {host}:{port}\r\n".encode() + body)
    return line


def test_an_upload_that_never_ends_is_cut_off_and_leaves_nothing(served, monkeypatch):
    address, studio = served
    monkeypatch.setattr(upscale, "LARGEST_FILE", 1 << 20)
    before = sorted(studio.workspace.uploads.rglob("*"))

    def endless():
        for _ in range(64):
            yield bytes(1 << 16)

    answer = httpx.put(f"{address}/api/pictures", params={"name": "a.png"}, content=endless(), timeout=60)
    assert answer.status_code == 400 and "too large" in answer.json()["what"]
    assert sorted(studio.workspace.uploads.rglob("*")) == before


def test_an_upload_whose_sender_goes_leaves_nothing(served):
    address, studio = served
    before = sorted(studio.workspace.uploads.rglob("*"))
    line = raw(address, "PUT /api/pictures?name=a.png HTTP/1.1", b"Content-Length: 99999\r\n\r\n" + png(8, 8)[:40])
    wait(lambda: list(studio.workspace.uploads.rglob("*.partial")))
    line.close()
    wait(lambda: sorted(studio.workspace.uploads.rglob("*")) == before)


def test_a_body_larger_than_any_is_refused_before_it_is_sent(served):
    address, _ = served
    length = places.LARGEST_FILE + 1
    with contextlib.closing(
        raw(address, "PUT /api/pictures?name=a.png HTTP/1.1", f"Content-Length: {length}\r\n\r\n".encode())
    ) as line:
        assert line.recv(64).startswith(b"HTTP/1.1 413")


def test_a_clip_that_nobody_waits_for_is_not_made(served):
    address, studio = served
    models = httpx.get(f"{address}/api/models", timeout=60).json()
    model = next(each["id"] for each in models if each["name"] == "street-clip")
    wanted = {"model": model, "frames": 120, "width": 64, "height": 32, "frame": 0}
    assert httpx.post(f"{address}/api/clips/frame", json=wanted, timeout=120).status_code == 200
    (reel,) = [each for name, each in studio.desk._models.items() if name[0] == "reel"]
    begun, go = threading.Event(), threading.Event()

    def slow(frames):
        for frame in frames:
            yield frame
            begun.set()
            assert go.wait(120)

    original = reel.sampler.frames
    reel.sampler.frames = lambda *given: slow(original(*given))
    body = json.dumps({**wanted, "frame": 119}).encode()
    head = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    line = raw(address, "POST /api/clips/frame HTTP/1.1", head + body)
    wait(begun.is_set)
    asked = studio.desk._running[1]
    line.close()
    wait(lambda: asked.token.is_cancelled)
    go.set()
    reel.sampler.frames = original
    assert httpx.post(f"{address}/api/clips/frame", json={**wanted, "frame": 3}, timeout=120).status_code == 200
    assert len(reel.frames) < 20  # what was there was kept, and the other hundred were not made
