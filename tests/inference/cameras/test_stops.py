"""Training cameras are named by the frame numbers of the footage, in the command, its messages and `ganvas inspect`."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ganvas.cli import main
from ganvas.errors import UserError
from ganvas.inference.cameras.paths import through
from ganvas.inference.cameras.stops import numbers_of, parse_stops, ranges
from ganvas.io.cameras import cameras
from ganvas.io.weights import files as weights
from ganvas.networks.matchmove.net import CameraGenerator
from ganvas.protocol import Card

FRAMES = [*range(1001, 1011), *range(1015, 1021)]
"""Of plates 1001 to 1020, four of which were held out."""


def vectors(count=len(FRAMES)):
    """Cameras along a line, which looks down z."""
    made = np.zeros((count, 13))
    made[:, [0, 5, 10]] = 1
    made[:, 3], made[:, 12] = np.arange(count), 30.0
    return made


def place(folder, frames=FRAMES):
    """A packed generator of 16 px that was trained on frames of these numbers."""
    known = vectors()
    settings = {"size_px": 16, "width": 2, "mean": known.mean(0).tolist(), "deviation": (known.std(0) + 1).tolist()}
    extra = {"cameras": known.tolist(), "film_back_mm": [24.0, 24.0], "output_px": [16, 16], **frames_of(frames)}
    card = Card(network="camera_generator", settings=settings, input="camera", range=(-1.0, 1.0), extra=extra)
    return weights.save(folder / "place.safetensors", CameraGenerator(**settings).state_dict(), card)


def frames_of(frames):
    return {"frames": list(frames)} if frames else {}


def test_numbers_are_those_of_the_footage_and_places_are_said_to_be_places():
    assert parse_stops("1001,1016,1020", FRAMES, 16) == ([0, 11, 15], [])
    assert parse_stops("index:0,11,15", FRAMES, 16) == ([0, 11, 15], [])
    assert parse_stops("0,11", [], 16) == ([0, 11], [])


def test_numbers_that_can_be_no_frames_are_places_and_held_out_frames_have_their_nearest():
    places, (note,) = parse_stops("0,2", FRAMES, 16)
    assert places == [0, 2] and "1001-1010, 1015-1020" in note and "places, counted from 0" in note
    places, (note,) = parse_stops("1001,1012,1013", FRAMES, 16)
    assert places == [0, 9, 10] and "1010 for 1012, 1015 for 1013" in note


@pytest.mark.parametrize(
    ("text", "frames", "texts"),
    [
        ("1010,1012", FRAMES, ["frame 1012", "1001-1010, 1015-1020", "held out", "1010 and 1015"]),
        ("3,17", FRAMES, ["frames 3, 17", "nearest to 3: 1001"]),
        ("1030,1001", FRAMES, ["frame 1030", "nearest to 1030: 1020", "--through 1020,1001"]),
        ("index:0,16", FRAMES, ["camera 16", "0 to 15"]),
        ("1001,1002", [], ["camera 1001", "no numbers of their own", "0 to 15"]),
        ("1001;1002", FRAMES, ["frame numbers"]),
    ],
)  # fmt: skip
def test_what_was_not_trained_on_is_told_with_the_nearest_that_was(text, frames, texts):
    with pytest.raises(UserError) as caught:
        parse_stops(text, frames, 16)
    told = f"{caught.value.what} {caught.value.why} {caught.value.do}"
    assert all(text in told for text in texts), told


def test_numbers_that_repeat_or_are_too_few_name_nothing():
    known = [[0.0] * 13] * 3
    assert numbers_of({"cameras": known, "frames": [7, 8, 9]}) == [7, 8, 9]
    for frames in ([7, 7, 9], [7, 8], None):
        assert numbers_of({"cameras": known, "frames": frames}) == []


def test_stretches():
    assert ranges([3, 1, 2, 7, 9, 10]) == "1-3, 7, 9-10"
    assert ranges(range(0, 20, 2), 3) == "0, 2 ... 18"


def test_a_flight_by_frame_numbers_is_written_from_the_frame_that_is_asked_for(tmp_path):
    words = ["generate", str(place(tmp_path)), "--frames", "4", "--quiet", "--through"]
    assert main([*words, "1001,1016", "--first-frame", "1001", "--out", str(tmp_path / "f.####.png")]) == 0
    assert sorted(path.name for path in tmp_path.glob("f.1*")) == [f"f.{frame}.png" for frame in range(1001, 1005)]
    shot = cameras.read(tmp_path / "f.camera.json").cameras
    assert [camera.frame for camera in shot] == [1001, 1002, 1003, 1004]
    wanted = through(vectors(), [0, 11], 4)
    assert np.allclose([camera.matrix[0, 3] for camera in shot], wanted[:, 3])
    # A path of another program is renumbered, too.
    back = ["generate", words[1], "--cameras", str(tmp_path / "f.camera.json"), "--first-frame", "86", "--quiet"]
    assert main([*back, "--out", str(tmp_path / "g.####.png")]) == 0
    assert sorted(path.name for path in tmp_path.glob("g.0*")) == [f"g.{frame:04d}.png" for frame in range(86, 90)]


@pytest.mark.parametrize(("frames", "text"), [(FRAMES, "1001-1010, 1015-1020"), ([], "0 to 15")])
def test_inspect_lists_the_frames_that_a_flight_can_lead_through(frames, text, tmp_path, capsys):
    path = str(place(tmp_path, frames))
    assert main(["inspect", path]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("trained on")]
    assert "16 cameras" in line and text in line
    assert main(["inspect", path, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["extra"].get("frames", []) == frames


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"val": "0.2"}, "have not been scored yet"),
        ({"val": ""}, "No views were held out"),
        (None, "tells no scores"),
    ],
)
def test_why_trust_is_only_a_distance(settings, text, tmp_path, monkeypatch):
    from ganvas.inference.cameras import flyer
    from ganvas.inference.open import Opened, open_model

    path = place(tmp_path)
    if settings is not None:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "settings.json").write_text(
            json.dumps({"recipe": "reverse_matchmove", "settings": settings})
        )
        monkeypatch.setattr(Opened, "run", property(lambda _: tmp_path / "run"))
    opened = open_model(path)
    assert text in flyer._unscored(opened)
