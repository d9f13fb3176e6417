"""The server: whom it answers, what it takes in, what its pages ask for, and that it survives what goes wrong."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from studio_server import client_of, model_of, png, rgba, send, wait

from ganvas.inference.picture.upscale import Upscaler
from ganvas.studio.guard import is_loopback
from ganvas.studio.jobs import Jobs

# Whom it answers


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8765", "10.1.2.3", "", "localhost.evil.example"])
def test_other_names_than_its_own_are_refused(client, host):
    assert client.get("/api/models", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9", "[::1]:9", "LOCALHOST"])
def test_names_of_this_machine_are_answered(client, host):
    assert client.get("/health", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
    ],
)
def test_pages_of_other_sites_change_nothing(client, headers):
    order = {"verb": "upscale", "picture": "0" * 16, "model": "0" * 16}
    assert client.post("/api/jobs", json=order, headers=headers).status_code == 403
    assert client.delete("/api/jobs/0001-upscale", headers=headers).status_code == 403
    assert client.put("/api/pictures?name=a.png", content=b"x", headers=headers).status_code == 403
    assert client.get("/api/jobs").json() == []


def test_beyond_loopback_nobody_reads_or_writes_without_the_token(tmp_path):
    with client_of(tmp_path / "w", host="192.0.2.7") as client:
        for path in ("models", "pictures", "jobs", "runs", "events", "curations"):
            assert client.get(f"/api/{path}").status_code == 401
        assert client.put("/api/pictures?name=a.png", content=b"x").status_code == 401
        assert client.get("/").status_code == 200  # the page holds nothing secret
        assert client.post("/token", json={"token": "wrong"}).status_code == 401
        assert client.get("/api/jobs", headers={"x-ganvas-token": "wrong"}).status_code == 401
        assert client.post("/token", json={"token": "secret-token"}).status_code == 200
        cookie = client.cookies.jar
        assert [each.name for each in cookie] == ["ganvas-token"]
        assert client.get("/api/jobs").status_code == 200


def test_loopback_is_recognised():
    assert all(map(is_loopback, ["localhost", "127.0.0.1", "127.8.8.8", "::1"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "example.org", "128.0.0.1", ""]))


def test_pages_are_asked_for_anew_and_tiles_are_kept(client):
    for path in ("/", "/page/app.js", "/page/vendor/lit.js", "/api/models"):
        assert client.get(path).headers["cache-control"] == "no-cache"
    picture = client.get("/api/pictures").json()[0]["id"]
    assert "max-age" in client.get(f"/api/pictures/{picture}/tiles/0/0_0").headers["cache-control"]


def test_every_answer_forbids_foreign_scripts(client):
    for path in ("/", "/api/models", "/api/nothing"):
        assert "default-src 'self'" in client.get(path).headers["content-security-policy"]


# What it takes in


@pytest.mark.parametrize("name", ["../../../etc/x.png", "..\\..\\x.png", "/etc/x.png", "a/b/../x.png", ".x.png"])
def test_names_lead_nowhere(client, tmp_path, name):
    answer = send(client, name, png(8, 8))
    assert answer.status_code == 201 and answer.json()["name"] == "x.png"
    written = [path for path in tmp_path.rglob("*.png") if path.name != "astronaut.png"]
    assert [path.name for path in written] == ["x.png"] and (tmp_path / "work/files") in written[0].parents


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [("a.exe", b"x", "no picture"), ("a.png", b"no picture", "cannot be read"), ("a.png", b"", "cannot be read")],
)
def test_what_is_no_picture_is_refused_and_leaves_nothing(client, tmp_path, name, content, words):
    answer = send(client, name, content)
    assert answer.status_code == 400 and words in answer.json()["what"]
    assert [path.name for path in (tmp_path / "work/files").iterdir()] == ["astronaut"]


def test_a_picture_that_claims_a_billion_pixels_is_not_decoded(client):
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    side = 21_000  # of one bit each, so that the file is whole and small
    header = side.to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
    rows = zlib.compress(bytes((side // 8 + 1) * side), 1)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    answer = send(client, "bomb.png", bomb)
    assert answer.status_code == 400 and "too large" in answer.json()["why"]


def test_a_body_that_says_it_is_huge_is_refused_before_it_is_read(client):
    answer = client.put("/api/pictures?name=a.png", content=b"x", headers={"content-length": str(10 << 30)})
    assert answer.status_code == 413
    assert client.post("/api/grids", content=b"[" * (3 << 20)).status_code == 413


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_told(client, value):
    body = '{"model": "%s", "picture": "%s", "left": 0, "top": 0, "width": 8, "height": 8, "alpha": %s}'
    content = body % ("0" * 16, "0" * 16, value)
    answer = client.post("/api/crops", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 422 and "alpha" in answer.json()["why"]


@pytest.mark.parametrize(
    "path", ["pictures/0000", "models/zz/classes", "runs/0/log", "jobs/0001-x/output", "scenes/9999"]
)
def test_what_is_not_there_is_said(client, path):
    answer = client.get(f"/api/{path}")
    assert answer.status_code in (400, 404) and answer.json()["what"]


# Upscale


def test_every_model_that_the_page_offers_upscales(client):
    models = client.get("/api/models").json()
    offered = [model for model in models if model["page"] == "upscale"]
    assert {"photo-x4", "compact-x2"} <= {model["name"] for model in offered}
    picture = send(client, "noise.png", png(24, 20)).json()["id"]
    for model in offered:
        wanted = {"picture": picture, "left": 0, "top": 0, "width": 16, "height": 16, "model": model["id"]}
        made = rgba(client.post("/api/crops", json=wanted))
        assert made.shape == (16 * model["scale"], 16 * model["scale"], 4), model["name"]


def test_tiles_are_the_picture(client):
    picture = client.get("/api/pictures").json()[0]
    assert picture["name"] == "astronaut.png"
    sent = send(client, "noise.png", png(300, 270)).json()
    info = client.get(f"/api/pictures/{sent['id']}").json()
    assert info["levels"] == [[300, 270], [150, 135]] and info["tile_px"] == 256 and info["overlap_px"] == 1
    import io

    whole = np.zeros((270, 300, 3), np.uint8)
    for x in range(2):
        for y in range(2):
            answer = client.get(f"/api/pictures/{sent['id']}/tiles/0/{x}_{y}")
            part = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB"))
            top, left = max(0, y * 256 - 1), max(0, x * 256 - 1)  # a tile shares a pixel with each neighbour
            assert part.shape[:2] == (min(270, y * 256 + 257) - top, min(300, x * 256 + 257) - left)
            whole[top : top + part.shape[0], left : left + part.shape[1]] = part
    assert np.array_equal(whole, np.asarray(Image.open(_file_of(client, "noise.png"))))
    half = Image.open(io.BytesIO(client.get(f"/api/pictures/{sent['id']}/tiles/1/0_0").content)).convert("RGB")
    means = whole.reshape(135, 2, 150, 2, 3).astype(float).mean((1, 3))
    assert np.abs(np.asarray(half) - means).max() <= 0.5
    assert client.get(f"/api/pictures/{sent['id']}/tiles/0/2_0").status_code == 400


def _file_of(client, name: str) -> Path:
    workspace = client.app.state.studio.workspace
    return next(picture.path for picture in workspace.pictures() if picture.name == name)


def test_a_crop_is_the_part_of_the_whole_upscaled_picture(client):
    sent = send(client, "noise.png", png(64, 48)).json()
    model = next(model for model in client.get("/api/models").json() if model["name"] == "compact-x2")
    wanted = {"picture": sent["id"], "left": 20, "top": 10, "width": 24, "height": 30, "model": model["id"]}
    made = rgba(client.post("/api/crops", json=wanted))
    whole = Upscaler("compact-x2")(np.asarray(Image.open(_file_of(client, "noise.png"))))
    assert made.shape == (60, 48, 4)
    assert np.abs(made[..., :3].astype(int) - whole[20:80, 40:88]).max() <= 1
    outside = client.post("/api/crops", json={**wanted, "left": 64})
    assert outside.status_code == 400 and "outside" in outside.json()["what"]


def test_a_blend_moves_from_one_model_to_the_other(client):
    picture = client.get("/api/pictures").json()[0]
    models = {model["name"]: model["id"] for model in client.get("/api/models").json()}
    wanted = {"picture": picture["id"], "left": 0, "top": 0, "width": 32, "height": 32, "model": models["compact-x4"]}
    alone = rgba(client.post("/api/crops", json=wanted)).astype(int)
    other = rgba(client.post("/api/crops", json={**wanted, "model": models["compact-x4-gan"]})).astype(int)
    ends = [
        rgba(client.post("/api/crops", json={**wanted, "blend": models["compact-x4-gan"], "alpha": a})) for a in (0, 1)
    ]
    assert np.array_equal(ends[0], alone) and np.array_equal(ends[1], other) and not np.array_equal(alone, other)
    middle = rgba(client.post("/api/crops", json={**wanted, "blend": models["compact-x4-gan"], "alpha": 0.5})).astype(
        int
    )
    assert 0 < np.abs(middle - alone).mean() < np.abs(other - alone).mean()


# Paint


def test_a_scene_is_painted_undone_and_kept_by_a_killed_server(page):
    model = model_of(page, "labels")
    scene = page.post("/api/scenes", json={"model": model["id"], "width": 64, "height": 32}).json()
    assert [entry["name"] for entry in scene["classes"]][:2] == ["sky", "road"]
    first = rgba(page.get(f"/api/scenes/{scene['id']}/picture"))
    labels = rgba(page.get(f"/api/scenes/{scene['id']}/labels"))
    edit = {"kind": "stroke", "points": [[10, 10], [30, 12]], "width_px": 6, "label": 9, "revision": 0}
    answer = page.post(f"/api/scenes/{scene['id']}/edits", json=edit)
    part, left, top = rgba(answer), int(answer.headers["x-left"]), int(answer.headers["x-top"])
    now = rgba(page.get(f"/api/scenes/{scene['id']}/picture"))
    assert np.array_equal(now[top : top + part.shape[0], left : left + part.shape[1]], part)
    assert not np.array_equal(now, first)
    at = page.get(f"/api/scenes/{scene['id']}/at", params={"x": 20, "y": 11}).json()
    assert at["name"] == "person" and at["num_styles"] > 0
    # Made on an old revision it is refused, and changes nothing.
    stale = page.post(f"/api/scenes/{scene['id']}/edits", json=edit)
    assert stale.status_code == 409
    # Another server finds the stroke.
    page.app.state.studio.scenes.clear()
    assert np.array_equal(rgba(page.get(f"/api/scenes/{scene['id']}/picture")), now)
    undo = page.post(f"/api/scenes/{scene['id']}/edits", json={"kind": "undo", "revision": 1})
    assert undo.status_code == 204  # what was before the restart is kept, and no more undone
    assert not np.array_equal(rgba(page.get(f"/api/scenes/{scene['id']}/labels")), labels)


def test_undo_gives_the_picture_before_to_the_bit(page):
    scene = page.post("/api/scenes", json={"model": model_of(page, "labels")["id"], "width": 64, "height": 32}).json()
    before, edits = rgba(page.get(f"/api/scenes/{scene['id']}/picture")), f"/api/scenes/{scene['id']}/edits"
    for number, edit in enumerate(
        [
            {"kind": "fill", "x": 3, "y": 30, "label": 4, "is_thing": False},
            {"kind": "stroke", "points": [[40, 20]], "width_px": 9, "label": 8},
        ]
    ):
        assert page.post(edits, json={**edit, "revision": number}).status_code == 200
    for number in (2, 3):
        assert page.post(edits, json={"kind": "undo", "revision": number}).status_code == 200
    assert np.array_equal(rgba(page.get(f"/api/scenes/{scene['id']}/picture")), before)


# Explore, Fly


def test_grids_are_what_the_sampler_makes(page):
    from ganvas.inference.seeds.sampler import SeedSampler, Truncation

    model = model_of(page, "seeds")
    names = page.get(f"/api/models/{model['id']}/classes").json()["names"]
    made = rgba(page.post("/api/grids", json={"model": model["id"], "seeds": [3, 4], "label": 1, "truncation": 0.5}))
    sampler = SeedSampler(model["source"])
    expected = sampler.sample([3, 4], [1, 1], Truncation(0.5)).permute(0, 2, 3, 1).reshape(64, 32, 3)
    assert len(names) == sampler.num_classes
    assert np.abs(made[..., :3] / 255 - expected.numpy()).max() <= 0.5 / 255 + 1e-6
    walk = {"model": model["id"], "seeds": [3, 4], "labels": [1, 1], "truncation": 0.5}
    for share, place in ((0, 0), (1, 1)):
        end = rgba(page.post("/api/walks", json={**walk, "share": share}))
        assert np.abs(end.astype(int) - made[32 * place : 32 * place + 32]).max() <= 1
    assert page.post("/api/grids", json={"model": model["id"], "seeds": [1], "label": 99}).status_code == 400


def test_views_and_paths_are_the_flyers(page):
    from ganvas.inference.cameras.flyer import Flyer
    from ganvas.inference.cameras.paths import through

    model = model_of(page, "camera")
    told = page.get(f"/api/models/{model['id']}/cameras").json()
    flyer = Flyer(model["source"])
    made = page.post("/api/views", json={"model": model["id"], "camera": told["cameras"][0]})
    expected = next(iter(flyer.frames(flyer.training[:1])))
    assert np.abs(rgba(made)[..., :3] / 255 - expected).max() <= 0.5 / 255 + 1e-6
    assert made.headers["x-trust"] in ("near", "between", "guess")
    path = page.post("/api/paths", json={"model": model["id"], "through": [0, 3, 5], "frames": 7}).json()
    assert np.allclose(path["cameras"], through(flyer.training, [0, 3, 5], 7)) and len(path["trust"]) == 7
    assert page.post("/api/paths", json={"model": model["id"], "through": [0, 999], "frames": 7}).status_code == 400


# Curate


def test_decisions_are_kept_and_make_a_list(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / f"{name}.png").write_bytes(png(8, 8))
    for turn in range(2):
        with client_of(tmp_path / "work", str(folder)) as client:
            listed = next(each for each in client.get("/api/curations").json() if each["name"] == "pictures")
            place = f"/api/curations/{listed['id']}"
            if not turn:
                for name, keep in (("a.png", "keep"), ("b.png", "drop"), ("c.png", "keep"), ("c.png", "open")):
                    assert (
                        client.put(f"/api/curations/{listed['id']}", json={"picture": name, "keep": keep}).status_code
                        == 200
                    )
                assert (
                    client.put(f"/api/curations/{listed['id']}", json={"picture": "../x", "keep": "keep"}).status_code
                    == 400
                )
            found = client.get(place).json()
            assert [each["keep"] for each in found["pictures"]] == ["keep", "drop", "open"]
            words = shlex.split(found["command"])
            assert words[:4] == ["ganvas", "train", "esrgan", "--data"]
            kept = Path(words[-1])
            assert [path.name for path in kept.iterdir()] == ["a.png"]
            assert (kept / "a.png").read_bytes() == (folder / "a.png").read_bytes()


def test_decisions_that_come_at_once_are_all_kept(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    names = [f"{number:02d}.png" for number in range(24)]
    for name in names:
        (folder / name).write_bytes(png(8, 8))
    with client_of(tmp_path / "work", str(folder)) as client, ThreadPoolExecutor(8) as threads:
        place = f"/api/curations/{client.get('/api/curations').json()[0]['id']}"
        list(threads.map(lambda name: client.put(place, json={"picture": name, "keep": "keep"}), names))
        assert {each["keep"] for each in client.get(place).json()["pictures"]} == {"keep"}
        (listed,) = (tmp_path / "work/curations").glob("*-keep.txt")
        assert sorted(listed.read_text().split()) == names


# Runs and jobs


def test_runs_tell_their_log_in_increments(page, trained):
    run = next(run for run in page.get("/api/runs").json() if run["name"] == "street")
    assert run["recipe"] == "pix2pixhd" and run["step"] == 2
    log = page.get(f"/api/runs/{run['id']}/log").json()
    assert len(log["lines"]) == log["after"] == len((trained / "street/log.jsonl").read_text().splitlines())
    assert page.get(f"/api/runs/{run['id']}/log?after={log['after']}").json()["lines"] == []
    shown = page.get(f"/api/runs/{run['id']}").json()["previews"]
    assert page.get(f"/api/runs/{run['id']}/previews/{shown[0]}").content.startswith(b"\x89PNG")
    assert page.get(f"/api/runs/{run['id']}/previews/..%2Fsettings.json").status_code in (400, 404)


PLAY = (
    sys.executable,
    "-c",
    """
import pathlib, sys, time
words = sys.argv[1:]
out = next((pathlib.Path(word) for word in words if "/out" in word), None)
print("at work", flush=True)
if "slow" in words: time.sleep(60)
if "bad" in words: sys.exit("ganvas: it went wrong.")
(out if out.suffix == "" else out.parent).joinpath("made.txt").write_text(" ".join(words))
""",
)


def test_jobs_run_in_turn_fail_stop_and_resume(tmp_path):
    told = []
    jobs = Jobs(tmp_path, told.append, PLAY)
    first = jobs.add("upscale", lambda out: ["upscale", "a.png", "--out", str(out)])
    bad = jobs.add("upscale", lambda out: ["bad", str(out)])
    assert first.command == f"ganvas upscale a.png --out {tmp_path / '0001-upscale/out'}"
    wait(lambda: jobs.get(bad.id).state == "failed")
    assert jobs.get(first.id).state == "done" and jobs.get(first.id).results == ("made.txt",)
    assert jobs.get(bad.id).error == "ganvas: it went wrong." and "at work" in jobs.output(bad.id)
    slow = jobs.add("upscale", lambda out: ["slow", str(out)])
    queued = jobs.add("upscale", lambda out: ["upscale", str(out)])
    wait(lambda: jobs.get(slow.id).state == "running")
    assert jobs.stop(queued.id).state == "stopped"
    jobs.stop(slow.id)
    wait(lambda: jobs.get(slow.id).state == "stopped")
    jobs.resume(queued.id)
    wait(lambda: jobs.get(queued.id).state == "done")
    expected = ["queued", "stopped", "queued", "running", "done"]
    wait(lambda: [job.state for job in told if job.id == queued.id] == expected)
    jobs.close()


def test_notes_that_are_written_at_once_do_not_take_each_others_files(tmp_path):
    jobs = Jobs(tmp_path, program=PLAY)
    slow = jobs.add("upscale", lambda out: ["slow", str(out)])
    wait(lambda: jobs.get(slow.id).state == "running")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: jobs._set(jobs.get(slow.id)), range(200)))
    jobs.stop(slow.id)
    wait(lambda: jobs.get(slow.id).state == "stopped")
    jobs.close()


def test_jobs_of_a_server_in_the_background_can_be_stopped(tmp_path):
    # A shell starts what it puts there with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        jobs = Jobs(tmp_path, program=PLAY)
        slow = jobs.add("upscale", lambda out: ["slow", str(out)])
        wait(lambda: jobs.get(slow.id).state == "running")
        jobs.stop(slow.id)
        wait(lambda: jobs.get(slow.id).state == "stopped")
        jobs.close()
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_killed_server_loses_no_job(tmp_path):
    jobs = Jobs(tmp_path, program=PLAY)
    slow = jobs.add("upscale", lambda out: ["slow", str(out)])
    later = jobs.add("upscale", lambda out: ["upscale", str(out)])
    wait(lambda: jobs.get(slow.id).state == "running")
    state = {job.id: job for job in jobs.list()}
    jobs._is_open = False  # as if killed: nothing is told and nothing stopped
    noted = lambda: json.loads((tmp_path / slow.id / "job.json").read_text())  # noqa: E731
    # The file follows the list: until then its process is 0, and that group is our own.
    wait(lambda: noted()["pid"] > 1)
    note = noted()
    os.killpg(note["pid"], signal.SIGKILL)
    time.sleep(0.2)
    note.update(state="running")  # what a server that was killed at once leaves behind
    (tmp_path / slow.id / "job.json").write_text(json.dumps(note))
    again = Jobs(tmp_path, program=PLAY)
    assert again.get(slow.id).state == "interrupted" and state[later.id].state == "queued"
    wait(lambda: again.get(later.id).state == "done")
    again.close()
