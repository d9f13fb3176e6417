"""The commands that pages show: each is what its verb makes, to the pixel of what the page made."""

from __future__ import annotations

import io
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter
from studio_server import model_of, rgba, wait

from ganvas.cli import main
from ganvas.studio.orders import AnyOrder

PAGE = Path(__file__).parents[2] / "src/ganvas/studio/page"
PAGES = [path for path in PAGE.rglob("*.js") if path.parent.name != "vendor"]


def words_of(page, order: dict, out: Path) -> list[str]:
    """Return the words that a page shows for an order, writing to another folder."""
    answer = page.post("/api/commands", json=order)
    assert answer.status_code == 200, answer.text
    words = shlex.split(answer.json()["command"])
    place = words.index("--out") + 1
    words[place] = str(out / Path(words[place]).relative_to("results"))
    assert words[0] == "ganvas"
    return words[1:]


def written(out: Path) -> list[np.ndarray]:
    """Return the pictures that a command wrote, in order."""
    return [
        np.asarray(Image.open(path).convert("RGB")) for path in sorted(out.rglob("*.png")) if ".trust" not in path.name
    ]


def test_upscale(page, tmp_path):
    picture = page.get("/api/pictures").json()[0]
    models = {model["name"]: model["id"] for model in page.get("/api/models").json()}
    order = {"picture": picture["id"], "model": models["compact-x4"], "blend": models["compact-x4-gan"], "alpha": 0.25}
    assert main(words_of(page, {"verb": "upscale", **order}, tmp_path)) == 0
    seen = rgba(page.post("/api/crops", json={**order, "left": 0, "top": 0, "width": 128, "height": 128}))
    assert np.array_equal(written(tmp_path)[0], seen[..., :3])


def test_upscale_under_a_mask(page, tmp_path):
    picture = page.get("/api/pictures").json()[0]
    models = {model["name"]: model["id"] for model in page.get("/api/models").json()}
    mask = io.BytesIO()
    Image.fromarray(np.linspace(0, 255, 40 * 40).reshape(40, 40).astype(np.uint8)).save(mask, "PNG")
    assert page.put("/api/masks", content=b"no mask").status_code == 400
    id = page.put("/api/masks", content=mask.getvalue()).json()["id"]
    order = {"picture": picture["id"], "model": models["compact-x4"], "blend": models["compact-x4-gan"], "alpha": 1}
    order["mask"] = id
    assert main(words_of(page, {"verb": "upscale", **order}, tmp_path)) == 0
    seen = rgba(page.post("/api/crops", json={**order, "left": 32, "top": 16, "width": 64, "height": 48}))
    assert np.abs(written(tmp_path)[0][64:256, 128:384].astype(int) - seen[..., :3]).max() <= 1
    plain = rgba(
        page.post("/api/crops", json={**order, "mask": None, "left": 32, "top": 16, "width": 64, "height": 48})
    )
    assert not np.array_equal(plain, seen)


def test_explore(page, tmp_path):
    model = model_of(page, "seeds")["id"]
    order = {"verb": "sample", "model": model, "seeds": "3-4", "classes": "1", "truncation": 0.5}
    assert main(words_of(page, order, tmp_path)) == 0
    seen = rgba(page.post("/api/grids", json={"model": model, "seeds": [3, 4], "label": 1, "truncation": 0.5}))
    made = np.concatenate(written(tmp_path))
    assert made.shape == seen[..., :3].shape and np.abs(made.astype(int) - seen[..., :3]).max() <= 1


def test_neighbours(page, tmp_path, trained):
    model = model_of(page, "seeds")["id"]
    (folder,) = [each for each in page.get(f"/api/models/{model}/sets").json() if each["is_own"]]
    among = {"model": model, "folder": folder["id"]}
    wait(lambda: page.post("/api/neighbours/readings", json=among).json()["is_ready"])
    seen = rgba(page.post("/api/neighbours", json={**among, "seed": 5, "label": 1, "truncation": 0.5}))
    order = {"verb": "neighbours", **among, "seeds": "5", "classes": "1", "truncation": 0.5}
    words = words_of(page, order, tmp_path)
    assert words[words.index("--data") + 1] == str(trained.parent / "shapes")
    assert main([*words, "--num", "4"]) == 0
    # The sheet lays in a row, 2 px apart, what the page is sent one below the other.
    (sheet,) = written(tmp_path)
    side = seen.shape[1]
    made = np.concatenate([sheet[:, 34 * number : 34 * number + side] for number in range(7)])
    assert side == 32 and np.array_equal(made, seen[..., :3])


def test_paint(page, tmp_path):
    model = model_of(page, "labels")["id"]
    scene = page.post("/api/scenes", json={"model": model, "width": 64, "height": 32}).json()["id"]
    edit = {"kind": "stroke", "points": [[10, 10], [30, 12]], "width_px": 6, "label": 9, "revision": 0}
    assert page.post(f"/api/scenes/{scene}/edits", json=edit).status_code == 200
    assert main(words_of(page, {"verb": "paint", "model": model, "scene": scene}, tmp_path)) == 0
    assert np.array_equal(written(tmp_path)[0], rgba(page.get(f"/api/scenes/{scene}/picture"))[..., :3])


def test_fly(page, tmp_path, monkeypatch):
    monkeypatch.setattr("ganvas.studio.orders.find_spec", lambda _: None)  # frames can be compared, films not
    model = model_of(page, "camera")["id"]
    path = {"model": model, "through": [0, 3], "frames": 2}
    assert main(words_of(page, {"verb": "fly", **path}, tmp_path)) == 0
    cameras = page.post("/api/paths", json=path).json()["cameras"]
    seen = [rgba(page.post("/api/views", json={"model": model, "camera": camera}))[..., :3] for camera in cameras]
    made = written(tmp_path)
    assert len(made) == 2 and np.abs(np.stack(made).astype(int) - np.stack(seen)).max() <= 1


def test_fly_along_a_path_that_was_drawn(page, tmp_path, monkeypatch):
    monkeypatch.setattr("ganvas.studio.orders.find_spec", lambda _: None)
    model = model_of(page, "camera")["id"]
    own = page.get(f"/api/models/{model}/cameras").json()["cameras"][2]
    own[3] += 0.1
    path = page.post("/api/paths", json={"model": model, "through": [0, own, 1], "frames": 3}).json()
    assert np.allclose(path["cameras"][1], own)
    assert main(words_of(page, {"verb": "fly", "model": model, "flight": path["flight"]}, tmp_path)) == 0
    seen = [rgba(page.post("/api/views", json={"model": model, "camera": each}))[..., :3] for each in path["cameras"]]
    made = written(tmp_path)
    assert len(made) == 3 and np.abs(np.stack(made).astype(int) - np.stack(seen)).max() <= 1


@pytest.mark.parametrize("change", [{0: 5.0}, {12: -1.0}, {0: -1.0}])
def test_what_is_no_camera_is_refused(page, change):
    model = model_of(page, "camera")["id"]
    own = [1.0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 35]
    for place, value in change.items():
        own[place] = value
    answer = page.post("/api/paths", json={"model": model, "through": [own, 0], "frames": 3})
    assert answer.status_code == 400 and "no camera" in answer.json()["what"]
    assert page.post("/api/paths", json={"model": model, "through": [0, 999], "frames": 3}).status_code == 400
    assert page.post("/api/commands", json={"verb": "fly", "model": model}).status_code == 422


def test_clips(page, tmp_path, monkeypatch):
    monkeypatch.setattr("ganvas.studio.orders.find_spec", lambda _: None)
    model = next(model for model in page.get("/api/models").json() if model["name"] == "street-clip")["id"]
    clip = {"model": model, "frames": 3, "width": 64, "height": 32, "seed": 1}
    seen = [rgba(page.post("/api/clips/frame", json={**clip, "frame": frame}))[..., :3] for frame in range(3)]
    assert main(words_of(page, {"verb": "clip", **clip}, tmp_path)) == 0
    assert np.abs(np.stack(written(tmp_path)).astype(int) - np.stack(seen)).max() <= 1


def test_watch_and_runs(page, trained, capsys):
    """A training is not repeated here: its words are parsed by the verb, which then measures a few steps."""
    run = next(run for run in page.get("/api/runs").json() if run["name"] == "shapes")
    shown = shlex.split(run["command"])
    order = {"verb": "resume", "run": run["id"]}
    assert shlex.split(page.post("/api/commands", json=order).json()["command"]) == shown
    assert main([*shown[1:], "--steps", "4", "--allow-changes", "--dry-run"]) == 0
    assert "Nothing was written" in capsys.readouterr().out


def test_curate(page, capsys):
    picture = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (160, 160, 3), np.uint8)).save(picture, "PNG")
    for name in ("kept.png", "dropped.png"):
        assert page.put("/api/pictures", params={"name": name}, content=picture.getvalue()).status_code == 201
    folder = page.get("/api/curations").json()[-1]["id"]
    for picture in page.get(f"/api/curations/{folder}").json()["pictures"]:
        keep = "keep" if "kept" in picture["name"] else "drop"
        page.put(f"/api/curations/{folder}", json={"picture": picture["name"], "keep": keep})
    told = page.get(f"/api/curations/{folder}").json()
    words, listed = shlex.split(told["command"]), shlex.split(told["list_command"])
    assert [path.name for path in Path(words[words.index("--data") + 1]).rglob("*.png")] == ["kept.png"]
    small = ["--preset", "preview", "--crop-px", "32", "--batch-size", "2", "--perceptual", "none"]
    for command in (words, listed):
        assert main([*command[1:], *small, "--dry-run"]) == 0
        assert "Nothing was written" in capsys.readouterr().out
    links = Path(listed[-1]).with_name(f"{Path(listed[-1]).stem}-pictures")
    assert [path.name for path in links.rglob("*.png")] == ["kept.png"]


def test_every_page_asks_the_server_for_its_command():
    """No page writes a command of its own: what it shows is an order, or what the server says of a run or a folder."""
    shown = {path.stem: re.findall(r"\$\{command\((.*?)\)\}", path.read_text()) for path in PAGES}
    assert {name for name, commands in shown.items() if commands} >= {"upscale", "paint", "explore", "fly", "clips"}
    allowed = {
        "shown.text",
        "other.text",
        "state.run.command",
        "state.folder.command",
        "state.folder.list_command",
        "'ganvas models'",
    }
    assert {command for commands in shown.values() for command in commands} - {"'ganvas models'"} <= allowed


EMPTY = sorted({line for path in PAGES for line in re.findall(r"'(ganvas [^']+)'", path.read_text())})


@pytest.mark.parametrize("line", EMPTY)
def test_the_commands_of_empty_pages_are_understood(line, capsys):
    """What a page without data says to type: each verb knows each option."""
    for command in line.split("&&"):
        verb, *words = shlex.split(command.strip())[1:]
        options = {word for word in words if word.startswith("--")}
        named = [word for word in words[:1] if not word.startswith("-")]
        main([verb, *(named if verb == "train" else []), "--help"])
        told = capsys.readouterr().out
        assert all(re.search(rf"{option}\b", told) for option in options), (command, options)


def test_orders_name_files_by_ids_only():
    for order in (
        {"verb": "upscale", "picture": "../../etc/passwd", "model": "0" * 16},
        {"verb": "resume", "run": "/"},
        {"verb": "paint", "model": "0" * 16, "scene": "../x"},
    ):
        with pytest.raises(ValueError):
            TypeAdapter(AnyOrder).validate_python(order)
