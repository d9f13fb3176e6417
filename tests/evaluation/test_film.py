"""The film of a learned place: which views it shows, for how long, what lies where, and what is burnt in."""

from __future__ import annotations

import av
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from ganvas.cli import main
from ganvas.data.shots import View, Views
from ganvas.inference.cameras.flyer import Flyer
from ganvas.inference.cameras.paths import through, told
from ganvas.io.cameras import cameras
from ganvas.io.cameras.cameras import plain_camera
from ganvas.io.pictures import images
from ganvas.io.weights import files as weights
from ganvas.networks.matchmove.net import CameraGenerator
from ganvas.protocol import Card

SIDE, FACTOR, TILE = 16, 16, 256


def camera(frame: int):
    """A camera on an arc about the origin, which it looks at."""
    turn = Rotation.from_euler("Y", 4 * frame, degrees=True).as_matrix()
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn, turn @ [0, 0, 5]
    return plain_camera(matrix, 30.0, (24.0, 24.0), (SIDE, SIDE), frame, f"{frame:04d}.png")


TRAINED, HELD = (0, 1, 2, 6, 7, 8, 11), (3, 4, 5, 10)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A generator of 16 px that was trained on some cameras of a folder of footage, and that folder."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "footage").mkdir()
    random = np.random.default_rng(0)
    shot = [camera(frame) for frame in sorted((*TRAINED, *HELD))]
    for one in shot:
        images.write(folder / "footage" / one.name, random.integers(0, 256, (SIDE, SIDE, 3), np.uint8))
    cameras.write(folder / "footage" / "transforms.json", shot)
    views = Views([View(one, torch.zeros(3, SIDE, SIDE)) for one in shot if one.frame in TRAINED], SIDE, 0.0, (1, 1))
    mean, deviation = views.statistics()
    settings = {"size_px": SIDE, "width": 2, "mean": mean, "deviation": deviation, "film_back_mm": [24.0, 24.0]}
    torch.manual_seed(0)
    net = CameraGenerator(**settings)
    extra = {
        "cameras": views.vectors().tolist(), "frames": list(TRAINED), "film_back_mm": [24.0, 24.0],
        "output_px": [SIDE, SIDE], "zoom": [1.0, 1.0],
    }  # fmt: skip
    card = Card(network="camera_generator", settings=settings, input="camera", range=(-1.0, 1.0), extra=extra)
    return weights.save(folder / "place.safetensors", net.state_dict(), card), folder / "footage"


def film(place, out, *options: str) -> int:
    model, footage = place
    return main(["generate", str(model), "--film", str(footage), "--out", str(out),
                 "--precision", "float32", "--device", "cpu", *options])  # fmt: skip


def frames_of(folder):
    return [images.read(path)[0] for path in sorted(folder.glob("*.png"))]


def test_held_out_views_lie_beside_what_is_made_and_two_flights_follow(place, tmp_path, capsys):
    path = [camera(frame) for frame in (1, 2, 3)]
    cameras.write(tmp_path / "path.ma", path)
    flights = ["--cameras", str(tmp_path / "path.ma"), "--through", "index:0,3", "--frames", "5", "--fps", "8"]
    assert film(place, tmp_path / "film", *flights) == 0
    frames = frames_of(tmp_path / "film")
    # Views 3 to 5 play on, the lone 10 stays half a second; then the longer flight's five frames.
    assert len(frames) == 3 + 4 + 5
    assert {frame.shape for frame in frames} == {(TILE, 2 * TILE + 8, 3)}
    flyer = Flyer(place[0], device="cpu")
    shown = dict(zip((0, 1, 2, *range(3, 7)), (*HELD, *(10,) * 3)))
    made = list(flyer.frames(told([camera(frame) for frame in HELD], flyer.geometry)[0]))
    for number, frame in shown.items():
        truth = images.read(place[1] / f"{frame:04d}.png")[0]
        left, right = frames[number][::FACTOR, :TILE:FACTOR], frames[number][::FACTOR, TILE + 8 :: FACTOR]
        assert np.abs(left.astype(int) - truth).max() <= 1
        assert np.abs(right / 255 - made[HELD.index(frame)]).max() < 0.01
    flights = [
        list(flyer.frames(through(flyer.training, [0, 3], 5))), list(flyer.frames(told(path, flyer.geometry)[0])),
    ]  # fmt: skip
    for number in range(5):
        # The shorter flight stands still at its end.
        left, right = frames[7 + number][::FACTOR, :TILE:FACTOR], frames[7 + number][::FACTOR, TILE + 8 :: FACTOR]
        assert np.abs(left / 255 - flights[0][number]).max() < 0.01
        assert np.abs(right / 255 - flights[1][min(number, 2)]).max() < 0.01
    said = "".join(capsys.readouterr())
    truths = [images.read(place[1] / f"{frame:04d}.png")[0] / 255 for frame in HELD]
    decibels = [-10 * np.log10(np.mean((one - two) ** 2)) for one, two in zip(truths, made)]
    assert f"4 held-out views, mean PSNR {np.mean(decibels):.2f} dB" in said
    assert "7 views of the footage were trained on" in said and "path.ma: 3 frames" in said


def test_captions_are_burnt_in_below_the_pictures(place, tmp_path):
    assert film(place, tmp_path / "plain", "--through", "index:0,3", "--frames", "2") == 0
    assert film(place, tmp_path / "told", "--through", "index:0,3", "--frames", "2", "--burn-in") == 0
    plain, told_ = frames_of(tmp_path / "plain"), frames_of(tmp_path / "told")
    assert len(plain) == len(told_)
    for bare, burnt in zip(plain, told_):
        np.testing.assert_array_equal(burnt[:TILE], bare)
        assert burnt[TILE + 8 :].max() > 150 and (burnt[TILE + 8 :] < 20).mean() > 0.7
    # One flight alone stands in the middle, its trust strip under it.
    assert not plain[-1][:, :100].any() and plain[-1][:, TILE].any()
    assert told_[-1][TILE, TILE].any() and not told_[0][TILE, :TILE].any()


def test_a_film_can_be_a_video_of_held_out_views_alone(place, tmp_path):
    assert film(place, tmp_path / "film.mp4", "--fps", "24", "--burn-in") == 0
    with av.open(str(tmp_path / "film.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == 3 + 12
    assert not list(tmp_path.glob("*.trust.*"))


def test_footage_that_was_wholly_trained_on_makes_no_film(place, tmp_path, capsys):
    model, footage = place
    (tmp_path / "seen").mkdir()
    shot = [camera(frame) for frame in TRAINED]
    for one in shot:
        images.write(tmp_path / "seen" / one.name, images.read(footage / one.name)[0])
    cameras.write(tmp_path / "seen" / "transforms.json", shot)
    assert main(["generate", str(model), "--film", str(tmp_path / "seen"), "--out", str(tmp_path / "f.mp4")]) == 1
    assert "trained on all 7" in capsys.readouterr().err
    assert not (tmp_path / "f.mp4").exists()
