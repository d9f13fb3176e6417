"""The training pictures nearest to a sample, as the page Explore asks for them."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
from studio_server import client_of, model_of, png, rgba, send, wait

from ganvas.errors import UserError
from ganvas.evaluation.neighbours import Bank
from ganvas.inference.result import Progress
from ganvas.io.pictures import images
from ganvas.studio import banks
from ganvas.studio.routes import neighbours


def ready(client, among: dict) -> dict:
    def ask():
        answer = client.post("/api/neighbours/readings", json=among)
        assert answer.status_code == 200, answer.text
        return answer.json()["is_ready"] and answer.json()

    return wait(ask)


def own_set(client, model: str) -> str:
    return next(each["id"] for each in client.get(f"/api/models/{model}/sets").json() if each["is_own"])


def samples_of(client, model: str, seeds: list[int]) -> np.ndarray:
    seen = rgba(client.post("/api/grids", json={"model": model, "seeds": seeds}))[..., :3]
    return seen.reshape(len(seeds), -1, *seen.shape[1:])


def test_a_sample_that_is_a_training_picture_is_found_mirrored_too_and_called_near(tmp_path):
    with client_of(tmp_path / "first") as client:
        model = model_of(client, "seeds")["id"]
        pictures = samples_of(client, model, list(range(12)))
    folder = tmp_path / "learnt"
    folder.mkdir()
    for number, picture in enumerate(pictures):
        images.write(folder / f"{number:02d}.png", np.ascontiguousarray(picture[:, ::-1] if number % 2 else picture))
    with client_of(tmp_path / "second", str(folder)) as client:
        (found,) = client.get(f"/api/models/{model}/sets").json()  # too few were sent to the studio
        assert found["name"] == "learnt" and not found["is_own"]
        among = {"model": model, "folder": found["id"]}
        assert ready(client, among) == {"done": 12, "total": 12, "is_ready": True}
        for seed in (4, 5):
            answer = client.post("/api/neighbours", json={**among, "seed": seed})
            column = rgba(answer)[..., :3].reshape(7, *pictures.shape[1:])
            # One at a time and twelve at once may differ in the last bit, and so by a level.
            assert np.abs(column[0].astype(int) - pictures[seed]).max() <= 1
            for space, place in (("pixels", 1), ("features", 4)):
                told = json.loads(answer.headers["x-found"])[space]
                assert told["names"][0].endswith(f"{seed:02d}.png") and told["nearer"] == 0
                assert np.array_equal(column[place], pictures[seed][:, ::-1] if seed % 2 else pictures[seed])
        # Where a picture came or went, all are read anew.
        (folder / "04.png").unlink()
        assert ready(client, among)["total"] == 11
        answer = client.post("/api/neighbours", json={**among, "seed": 4})
        assert not json.loads(answer.headers["x-found"])["pixels"]["names"][0].endswith("04.png")


def test_pictures_that_were_sent_can_be_looked_among(client):
    model = model_of(client, "seeds")["id"]
    assert client.get(f"/api/models/{model}/sets").json() == []
    for number in range(8):
        assert send(client, f"{number}.png", png(140, 132)).status_code == 201
    (found,) = client.get(f"/api/models/{model}/sets").json()
    assert found["name"] == "sent to the studio"
    ready(client, {"model": model, "folder": found["id"]})


def test_neighbours_are_not_looked_for_before_the_pictures_are_read(page, monkeypatch):
    goes = threading.Event()

    def late(*words):
        goes.wait(120)
        return Bank(*words)

    monkeypatch.setattr(neighbours, "Bank", late)
    monkeypatch.setattr(neighbours, "_changed", lambda path: -2)
    model = model_of(page, "seeds")["id"]
    among = {"model": model, "folder": own_set(page, model)}
    assert not page.post("/api/neighbours/readings", json=among).json()["is_ready"]
    assert "not read yet" in page.post("/api/neighbours", json={**among, "seed": 0}).json()["what"]
    grid = {"model": model, "seeds": [0]}
    assert page.post("/api/grids", json=grid).status_code == 200  # live calls do not wait for it
    goes.set()
    ready(page, among)


@pytest.mark.parametrize("change", [{"folder": "0" * 16}, {"model": "0" * 16}, {"label": 99}])
def test_what_cannot_be_looked_for_is_said(page, change):
    model = model_of(page, "seeds")["id"]
    folder = own_set(page, model)
    ready(page, {"model": model, "folder": folder})
    answer = page.post("/api/neighbours", json={"model": model, "folder": folder, "seed": 1, **change})
    assert answer.status_code == 400 and answer.json()["what"]


def test_a_painter_has_no_neighbours(page):
    model = model_of(page, "labels")["id"]
    folder = page.get(f"/api/models/{model}/sets").json()[0]["id"]
    answer = page.post("/api/neighbours/readings", json={"model": model, "folder": folder})
    assert answer.status_code == 400 and "no pictures from seeds" in answer.json()["what"]


def test_too_many_pictures_are_left_to_the_command(page, monkeypatch):
    monkeypatch.setattr(neighbours, "MOST", 9)
    model = model_of(page, "seeds")["id"]
    folder = own_set(page, model)
    monkeypatch.setattr(neighbours, "_changed", lambda path: -1)  # as if they had changed: they are read anew

    def ask():
        answer = page.post("/api/neighbours/readings", json={"model": model, "folder": folder})
        return answer.status_code == 400 and answer.json()

    assert "ganvas neighbours" in wait(ask)["do"]


# Readings


def test_what_nobody_asks_about_any_more_makes_way_and_what_was_read_is_kept(monkeypatch):
    monkeypatch.setattr(banks, "PATIENCE_S", 1e9)
    shelf = banks.Banks()
    begun, goes = threading.Event(), threading.Event()

    def endless(progress: Progress):
        while True:
            begun.set()
            progress(1, 9)

    def quick(progress: Progress):
        goes.set()
        return "pictures", {}

    first = shelf.ask("first", endless)
    assert begun.wait(60)
    wait(lambda: shelf.ask("first", endless).total == 9)
    assert not shelf.ask("second", quick).asked.future.done()
    assert not goes.is_set()  # the first is still asked about
    monkeypatch.setattr(banks, "PATIENCE_S", 0.0)
    assert wait(lambda: shelf.ask("second", quick).asked.future.done() and goes.is_set())
    assert first.asked.token.is_cancelled
    for name in ("third", "fourth"):
        wait(lambda name=name: shelf.ask(name, quick).asked.future.done())
    goes.clear()
    assert shelf.ask("third", quick).asked.future.result() == ("pictures", {}) and not goes.is_set()
    wait(lambda: shelf.ask("second", quick).asked.future.done())
    assert goes.is_set()  # forgotten, and read again
    shelf.close()


def test_pictures_that_cannot_be_read_are_told_and_tried_again():
    shelf, tries = banks.Banks(), []

    def read(progress: Progress):
        tries.append(1)
        if len(tries) == 1:
            raise UserError("The disk is gone")
        return "pictures", {}

    told = []

    def ask():
        try:
            return shelf.ask("folder", read).asked.future.done()
        except UserError as error:
            told.append(error.what)
            return False

    wait(ask)
    assert told == ["The disk is gone"] and len(tries) == 2
    shelf.close()
