"""Clips that are compared: with the street itself, and with one another."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image
from studio_server import rgba

CLIP = {"frames": 3, "width": 64, "height": 32, "seed": 4}


def test_the_street_itself_is_what_the_clip_is_made_from(client, tmp_path):
    seen = [rgba(client.post("/api/clips/drawn", json={**CLIP, "frame": frame})) for frame in range(3)]
    written = sorted((tmp_path / "work/streets/64x32-3-4/frames").glob("*.png"))
    assert len(written) == 3
    for picture, path in zip(seen, written):
        assert np.array_equal(picture[..., :3], np.asarray(Image.open(path).convert("RGB")))
    assert not np.array_equal(seen[0], seen[2])
    answer = client.post("/api/clips/drawn", json={**CLIP, "frame": 3})
    assert answer.status_code == 400 and "no frame 3" in answer.json()["what"]


def test_both_sides_are_answered_at_once(client):
    """Two requests of a kind take each other's place; those of two sides do not."""
    model = next(model for model in client.get("/api/models").json() if model["takes"] == "clip")["id"]
    wanted = [{**CLIP, "model": model, "frame": 2, "side": side} for side in ("one", "other")]
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda each: client.post("/api/clips/frame", json=each), wanted)
    assert np.array_equal(rgba(one), rgba(other)) and one.headers["x-drift"] == other.headers["x-drift"]
