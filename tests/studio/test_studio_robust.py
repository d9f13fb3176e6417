"""What is sent to harm: pictures that would fill the memory, bodies without end, names that lead elsewhere, no numbers,
other sites' pages, and the token."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import struct
import threading
import time
import zlib
from http.cookies import SimpleCookie

import httpx
import pytest
import uvicorn
from studio_server import client_of, model_of, png, send, wait

from ganvas.studio.app import create_app
from ganvas.studio.guard import Guard
from ganvas.studio.workspace import Workspace

SIDE = 30_000
"""Sides of a picture of 900 megapixels."""


def jpeg(side: int) -> bytes:
    frame = struct.pack(">HBHHB", 17, 8, side, side, 3) + bytes([1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0])
    scan = struct.pack(">HB", 12, 3) + bytes([1, 0, 2, 0, 3, 0, 0, 63, 0])
    return b"\xff\xd8\xff\xc0" + frame + b"\xff\xda" + scan + bytes(64) + b"\xff\xd9"


def bmp(side: int) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 14 + len(info) + 64, 0, 0, 14 + len(info)) + info + bytes(64)


def gif(side: int) -> bytes:
    screen = b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + bytes(6)
    return screen + b"," + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\x02\x02\x4c\x01\x00;"


def tga(side: int) -> bytes:
    return struct.pack("<BBBHHBHHHHBB", 0, 0, 10, 0, 0, 0, 0, 0, side, side, 24, 0) + bytes(64)


def tiff(side: int) -> bytes:
    entries = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    entries += [(277, 3, 1, 1), (278, 4, 1, side), (279, 4, 1, 64)]
    table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries)) + table + bytes(68)


def ppm(side: int) -> bytes:
    return b"P6 %d %d 255\n" % (side, side) + bytes(64)


def pfm(side: int) -> bytes:
    return b"PF\n%d %d\n-1.0\n" % (side, side) + bytes(64)


def dds(side: int) -> bytes:
    pixels = struct.pack("<II4sIIIII", 32, 4, b"DXT1", 0, 0, 0, 0, 0)
    head = struct.pack("<IIIIIII", 124, 0x1007, side, side, 0, 0, 1) + bytes(44)
    return b"DDS " + head + pixels + struct.pack("<IIIII", 0x1000, 0, 0, 0, 0) + bytes(64)


def hdr(side: int) -> bytes:
    return b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y %d +X %d\n" % (side, side) + bytes(64)


def webp(side: int) -> bytes:
    canvas = (side - 1).to_bytes(3, "little") * 2
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + canvas
    return b"RIFF" + struct.pack("<I", len(body)) + body


def exr(side: int) -> bytes:
    def attribute(name: bytes, kind: bytes, value: bytes) -> bytes:
        return name + b"\0" + kind + b"\0" + struct.pack("<I", len(value)) + value

    window = struct.pack("<iiii", 0, 0, side - 1, side - 1)
    channel = b"R\0" + struct.pack("<IBBBBII", 1, 0, 0, 0, 0, 1, 1) + b"\0"
    return b"\x76\x2f\x31\x01\x02\0\0\0" + b"".join([
        attribute(b"channels", b"chlist", channel), attribute(b"compression", b"compression", b"\0"),
        attribute(b"dataWindow", b"box2i", window), attribute(b"displayWindow", b"box2i", window),
        attribute(b"lineOrder", b"lineOrder", b"\0"), attribute(b"pixelAspectRatio", b"float", struct.pack("<f", 1)),
        attribute(b"screenWindowCenter", b"v2f", struct.pack("<ff", 0, 0)),
        attribute(b"screenWindowWidth", b"float", struct.pack("<f", 1)),
    ]) + b"\0" + bytes(64)  # fmt: skip


@pytest.mark.parametrize(
    "write", [jpeg, bmp, gif, tga, tiff, ppm, pfm, dds, hdr, webp, exr], ids=lambda each: each.__name__
)
def test_a_picture_of_900_megapixels_of_any_format_is_refused_undecoded(client, tmp_path, write):
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    answer = send(client, f"bomb.{write.__name__}", write(SIDE))
    assert answer.status_code == 400
    told = answer.json()
    assert "bomb" in told["what"] and str(tmp_path) not in json.dumps(told)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB; 900 megapixels take 2.7 GB
    assert time.process_time() - began < 5
    assert [path.name for path in (tmp_path / "work/files").iterdir()] == ["astronaut"]


def test_a_whole_picture_of_441_megapixels_in_a_small_file_is_refused_for_its_size(client):
    side, rows = 21_000, 1_000
    strip = zlib.compress(bytes(side * rows), 1)  # each of the strips lies at the same place
    count = side // rows
    entries = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1)]
    places = 8 + 2 + 12 * 9 + 4
    entries += [(273, 4, count, places), (277, 3, 1, 1), (278, 4, 1, rows), (279, 4, count, places + 4 * count)]
    table = struct.pack("<H", 9) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    begins = struct.pack(f"<{count}I", *[places + 8 * count] * count)
    bomb = b"II*\0" + struct.pack("<I", 8) + table + begins + struct.pack(f"<{count}I", *[len(strip)] * count) + strip
    assert len(bomb) < 200_000
    answer = send(client, "bomb.tif", bomb)
    assert answer.status_code == 400 and "21000 x 21000 pixels" in answer.json()["why"], answer.text


# Bodies without end


@pytest.fixture
def address(tmp_path):
    """The address of a server in a thread."""
    app = create_app(Workspace(tmp_path / "work", (), tmp_path / "no-runs"), Guard())
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        wait(lambda: server.started)
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(60)


ROUTES = ["PUT /api/masks", "PUT /api/flights?model=0123456789abcdef&name=a.csv", "PUT /api/curations/a"]
ROUTES += ["POST /api/crops", "POST /api/jobs", "POST /token", "DELETE /api/jobs/0001-upscale", "GET /api/models"]


@pytest.mark.parametrize("route", ROUTES)
def test_a_body_of_ten_gigabytes_in_pieces_is_refused_unread(address, tmp_path, route):
    host, port = address.split(":")
    piece = b"10000\r\n" + bytes(1 << 16) + b"\r\n"
    sent = 0
    with socket.create_connection((host, int(port)), timeout=60) as line:
        line.sendall(f"{route} HTTP/1.1\r\nHost: {address}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        with contextlib.suppress(OSError):  # the server hangs up
            while sent < 10 << 30:
                line.sendall(piece)
                sent += 1 << 16
        with contextlib.suppress(ConnectionResetError):
            assert line.recv(64).startswith(b"HTTP/1.1 411")
    assert sent < 64 << 20
    assert httpx.get(f"http://{address}/health", timeout=60).status_code == 200
    assert not list((tmp_path / "work/masks").iterdir())


# Names that lead elsewhere

PATHS = [
    "/page/..%2f..%2fapp.py", "/page/%2e%2e/guard.py", "/page/..%5c..%5capp.py", "/page//etc/passwd",
    "/page/vendor/..%2f..%2f..%2fapp.py", "/api/jobs/..%2f..%2fx/output", "/api/jobs/..%2f0001-x/results/0",
    "/api/scenes/..%2f..%2fetc", "/api/runs/..%2f..%2fetc/previews/passwd",
    "/api/runs/x/previews/..%2f..%2fetc%2fpasswd",
    "/api/pictures/..%2f..%2fetc%2fpasswd/shown", "/api/curations/..%2f..%2fetc", "/..%2f..%2f..%2fetc/passwd",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_paths_lead_nowhere(address, path):
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=60) as line:  # as it is: a client would tidy it
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: line.recv(1 << 16), b""))
    assert answer.split()[1] in (b"400", b"404")
    assert b"root:" not in answer and b"import" not in answer


@pytest.mark.parametrize(
    "name", ["..%2f..%2fx.png", "%2e%2e%2fx.png", "..\\x.png", "a\0b.png", "x" * 250 + ".png", "‮gnp.png"]
)
def test_names_of_files_stay_in_their_folder(client, tmp_path, name):
    answer = client.put(f"/api/pictures?name={name}" if "%" in name else "/api/pictures", content=png(8, 8),
                        params=None if "%" in name else {"name": name})  # fmt: skip
    assert answer.status_code in (201, 400)
    strays = [
        path for path in tmp_path.rglob("*") if path.is_file() and not path.is_relative_to(tmp_path / "work/files")
    ]
    assert not strays


# Numbers that are none


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "[]", "1" * 400])
def test_no_route_takes_what_is_no_number(page, value):
    camera, model = model_of(page, "camera")["id"], model_of(page, "labels")["id"]
    seeds = model_of(page, "seeds")["id"]
    scene = page.post("/api/scenes", json={"model": model, "width": 64, "height": 32}).json()["id"]
    vector = ",".join([value, *"0" * 11, "35"])
    bodies = {
        "views": f'{{"model": "{camera}", "camera": [{vector}]}}',
        "paths": f'{{"model": "{camera}", "through": [0, [{vector}]], "frames": 4}}',
        "grids": f'{{"model": "{seeds}", "seeds": [1], "truncation": {value}}}',
        "walks": f'{{"model": "{seeds}", "seeds": [1, 2], "share": {value}}}',
        f"scenes/{scene}/edits": f'{{"kind": "stroke", "points": [[{value}, 3]], "revision": 0}}',
        "scenes": f'{{"model": "{model}", "width": {value}}}',
        "jobs": f'{{"verb": "sample", "model": "{seeds}", "truncation": {value}}}',
    }
    for path, body in bodies.items():
        answer = page.post(f"/api/{path}", content=body, headers={"content-type": "application/json"})
        assert answer.status_code in (400, 422), (path, answer.status_code, answer.text)
        json.loads(answer.text, parse_constant=lambda name: pytest.fail(f"{path} answers {name}"))


# Other sites' pages


@pytest.mark.parametrize(
    "headers", [{"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "http://evil.example"}]
)
@pytest.mark.parametrize("path", ["events", "jobs", "pictures", "models"])
def test_other_sites_read_nothing(client, headers, path):
    assert client.get(f"/api/{path}", headers=headers).status_code == 403


UPGRADE = """Origin: http://evil.example\r
Upgrade: websocket\r
Connection: Upgrade\r
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
Sec-WebSocket-Version: 13\r
"""


def test_nobody_opens_a_websocket(address):
    host, port = address.split(":")
    for path in ("/", "/api/events"):
        with socket.create_connection((host, int(port)), timeout=60) as line:
            line.sendall(f"GET {path} HTTP/1.1\r\nHost: {address}\r\n{UPGRADE}\r\n".encode())
            assert b" 101 " not in line.recv(64)


# The token


def test_the_cookie_is_no_scripts_and_no_other_sites(tmp_path):
    with client_of(tmp_path / "w", host="192.0.2.7") as client:
        answer = client.post("/token", json={"token": "secret-token"})
        cookie = SimpleCookie(answer.headers["set-cookie"])["ganvas-token"]
        assert cookie["httponly"] and cookie["samesite"].lower() == "strict" and not cookie["domain"]
        assert "secret-token" not in answer.text
        for path in ("/", "/page/app.js", "/health"):
            assert "secret-token" not in client.get(path).text
        assert client.get("/api/jobs").status_code == 200  # by its cookie
    with client_of(tmp_path / "w", host="192.0.2.7") as client:
        assert client.get("/api/jobs?token=secret-token").status_code == 401  # an address is no place for a token
        assert client.get("/api/events").status_code == 401
        assert client.get("/api/jobs", headers={"host": "evil.example"}).status_code == 403
