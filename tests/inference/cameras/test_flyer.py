"""Flights: smooth paths, what a network is told of a path file, trust, and what the verb writes."""

from __future__ import annotations

import csv
import dataclasses

import av
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from ganvas.cli import main
from ganvas.data import camera_trust
from ganvas.data.shots import Views, decode_light
from ganvas.errors import UserError
from ganvas.inference.cameras.flyer import Flyer, Trust
from ganvas.inference.cameras.paths import Geometry, cameras_of, through, told
from ganvas.io.cameras import cameras
from ganvas.io.cameras.cameras import plain_camera
from ganvas.io.pictures import images
from ganvas.io.weights import files as weights
from ganvas.networks.matchmove.net import CameraGenerator
from ganvas.protocol import Card

FILM = (36.0, 20.25)


def shot(number=6, size=(320, 180), film=FILM):
    """Cameras on an arc that look at the origin."""
    made = []
    for frame in range(number):
        turn = Rotation.from_euler("Y", 8 * frame, degrees=True).as_matrix()
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = turn, turn @ [0, 0, 5]
        made.append(plain_camera(matrix, 30.0 + frame, film, size, frame))
    return made


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A packed generator of 16 px that tells its training cameras, of the middle squares of 16:9 footage."""
    from ganvas.data.shots import View

    views = Views([View(camera, torch.zeros(3, 180, 320)) for camera in shot()], 16, 10.0, (1.0, 1.2))
    mean, deviation = views.statistics()
    torch.manual_seed(0)
    settings = {
        "size_px": 16,
        "width": 2,
        "mean": mean,
        "deviation": deviation,
        "film_back_mm": list(views.film_back_mm),
    }
    net = CameraGenerator(**settings)
    extra = {
        "cameras": views.vectors().tolist(), "frames": list(range(6)), "film_back_mm": list(views.film_back_mm),
        "centre": [0.5, 0.5], "crop": "square", "output_px": [16, 16], "roll_degrees": 10.0, "zoom": [1.0, 1.2],
    }  # fmt: skip
    card = Card(
        network="camera_generator", settings=settings, input="camera", range=(-1.0, 1.0), extra=extra,
        scores={"psnr": 20.0, "distance_1": 0.1, "psnr_1": 26.0, "distance_2": 0.5, "psnr_2": 22.0,
                "distance_3": 1.0, "psnr_3": 18.0},
    )  # fmt: skip
    path = tmp_path_factory.mktemp("model") / "place.safetensors"
    return weights.save(path, net.state_dict(), card)


def test_a_path_passes_its_cameras_evenly_in_time_and_without_jerks():
    keys = np.array([[*camera.matrix[:3].ravel(), camera.focal_mm] for camera in shot()])
    path = through(keys, [0, 3, 1, 5], 31)
    for place, frame in ((0, 0), (3, 10), (1, 20), (5, 30)):
        np.testing.assert_allclose(path[frame], keys[place], atol=1e-9)
    rows = path[:, :12].reshape(-1, 3, 4)[:, :, :3]
    np.testing.assert_allclose(rows @ rows.transpose(0, 2, 1), np.broadcast_to(np.eye(3), (31, 3, 3)), atol=1e-9)
    assert np.linalg.det(rows).min() > 0.999
    # The speed does not jump where one piece of the path ends and the next begins.
    fine = through(keys, [0, 3, 1, 5], 3001)[:, [3, 7, 11]]
    speed = np.diff(fine, axis=0)
    assert np.abs(np.diff(speed, axis=0)).max() < 0.01 * np.abs(speed).max() * 1.5


def test_a_path_between_equal_cameras_stands_still():
    key = np.array([*shot()[2].matrix[:3].ravel(), 35.0])
    np.testing.assert_allclose(through(np.stack([key, key]), [0, 1], 5), np.broadcast_to(key, (5, 13)), atol=1e-12)


@pytest.mark.parametrize(("places", "frames"), [([0], 5), ([0, 9], 5), ([0, 1, 2], 2)])
def test_paths_that_cannot_be(places, frames):
    with pytest.raises(UserError):
        through(np.zeros((3, 13)), places, frames)


def test_what_is_told_of_a_camera_is_what_was_told_in_training_and_back_again():
    """The same lens in a wider film back, another size and a packed file's rounding is the same camera."""
    geometry = Geometry((20.25, 20.25), (16, 16), 16)
    vectors, notes = told(shot(), geometry)
    assert not notes
    # A third larger film back at a third longer lens sees the same.
    other = [
        plain_camera(one.matrix, one.focal_mm * 4 / 3, (48.0, 27.0), (1280, 720), one.frame) for one in shot()
    ]  # fmt: skip
    np.testing.assert_allclose(told(other, geometry)[0], vectors, rtol=1e-12)
    again = cameras_of(vectors, geometry, range(6))
    np.testing.assert_allclose(told(again, geometry)[0], vectors, rtol=1e-9, atol=1e-12)
    assert again[0].size_px == (16, 16) and again[3].focal_mm == pytest.approx(33.0)


def test_a_squeezed_frame_is_told_by_its_whole_width():
    geometry = Geometry(FILM, (28, 16), 16, "whole")
    vectors, _ = told(shot(), geometry)
    assert vectors[0, 12] == pytest.approx(30.0)
    # Of a square picture only the middle with the training's shape is asked for: its width is the same.
    squares, _ = told(shot(size=(100, 100), film=(36.0, 36.0)), geometry)
    assert squares[0, 12] == pytest.approx(30.0, rel=0.02)


def test_lens_shift_that_training_had_not_is_told_of():
    moved = [dataclasses.replace(one, centre_px=(one.centre_px[0] + 20, one.centre_px[1])) for one in shot()]
    assert "shift" in told(moved, Geometry((20.25, 20.25), (16, 16), 16))[1][0]


def test_distances_are_zero_on_training_cameras_however_rolled_and_zoomed():
    from ganvas.data.shots import View

    views = Views([View(camera, torch.zeros(3, 180, 320)) for camera in shot()], 16, 10.0, (1.0, 1.2))
    mean, deviation = views.statistics()
    asked = np.stack([views.turned(2, roll, zoom)["camera"].flatten().numpy() for roll, zoom in ((5, 1.1), (-10, 1.2))])
    found = camera_trust.distances(asked, views.vectors(), mean, deviation, 10.0, 1.2)
    assert found.max() < 1e-4
    plain = camera_trust.distances(asked, views.vectors(), mean, deviation)
    assert plain.min() > 0.2
    by_hand = np.linalg.norm((views.vectors()[:, None] - asked[None]) / deviation, axis=-1).min(0)
    np.testing.assert_allclose(plain, by_hand)


def test_expected_quality_follows_what_held_out_views_had():
    quality = np.array([30.0, 20.0, 28.0, 15.0, 22.0, 26.0])
    far = np.array([0.1, 0.8, 0.2, 1.0, 0.7, 0.3])
    scores = camera_trust.calibrate(far, quality)
    assert scores["distance_1"] == pytest.approx(0.15) and scores["psnr_1"] == pytest.approx(29.0)
    assert scores["distance_3"] == pytest.approx(0.9) and scores["psnr_3"] == pytest.approx(17.5)
    found = camera_trust.expected(np.array([0.0, 0.15, 0.325, 0.5, 5.0]), scores)
    assert found == pytest.approx([29.0, 29.0, 26.5, 24.0, 17.5])
    assert camera_trust.expected(far, {"psnr": 20.0}) is None


def test_the_strip_shows_levels_in_order():
    trust = Trust(np.array([0.05, 0.5, 3.0]), None, (0.1, 1.0), True)
    assert trust.levels() == ["near", "between", "guess"]
    strip = trust.strip(9, now=1)
    assert np.allclose(strip[0, 0], strip[0, 2]) and not np.allclose(strip[0, 0], strip[0, 8])
    assert np.allclose(strip[:, 3:5], 1.0)


def test_the_network_is_asked_frame_by_frame_and_its_range_undone(model):
    flyer = Flyer(model, device="cpu")
    vectors = flyer.training
    frames = list(flyer.frames(vectors, batch=4))
    with torch.no_grad():
        plain = flyer.network(torch.from_numpy(vectors).float()[:, :, None, None]) / 2 + 0.5
    assert len(frames) == 6
    np.testing.assert_allclose(np.stack(frames), plain.permute(0, 2, 3, 1).numpy(), atol=1e-6)


def test_the_verb_writes_frames_of_light_with_their_cameras_and_trust(model, tmp_path, capsys):
    cameras.write(tmp_path / "path.chan", shot()[1:4], cameras.Given(rotation_order="ZXY"))
    out = tmp_path / "shot.####.exr"
    base = ["generate", str(model), "--camera", str(tmp_path / "path.chan"), "--out", str(out)]
    assert main(base) == 1 and "rotation order" in capsys.readouterr().err
    whole = [*base, "--rotation-order", "ZXY", "--film-back", "36x20.25", "--device", "cpu", "--precision", "float32"]
    assert main([*whole, "--camera-format", "ma"]) == 0
    flyer = Flyer(model, device="cpu")
    expected = list(flyer.frames(told(shot()[1:4], flyer.geometry)[0]))
    for number, picture in zip((1, 2, 3), expected):
        pixels, header = images.read(tmp_path / f"shot.{number:04d}.exr")
        assert header.dtype == "float16"
        np.testing.assert_allclose(pixels, decode_light(picture), atol=2e-3)
    match = cameras.read(tmp_path / "shot.camera.ma").cameras
    np.testing.assert_allclose([one.matrix for one in match], [one.matrix for one in shot()[1:4]], atol=1e-6)
    assert [one.focal_mm for one in match] == pytest.approx([31, 32, 33], rel=1e-6)
    rows = list(csv.DictReader((tmp_path / "shot.trust.csv").open()))
    assert [row["frame"] for row in rows] == ["1", "2", "3"] and {row["trust"] for row in rows} == {"near"}
    assert float(rows[0]["expected_psnr_db"]) == 26.0
    assert images.read(tmp_path / "shot.trust.png")[0].shape[1] == 256
    assert main(whole) == 1 and "exists already" in capsys.readouterr().err


def test_the_verb_flies_through_training_cameras_into_a_video(model, tmp_path, capsys):
    out = tmp_path / "flight.mp4"
    assert main(["generate", str(model), "--through", "0,2,5", "--frames", "9", "--out", str(out), "--burn-in"]) == 0
    with av.open(str(out)) as film:
        assert sum(1 for _ in film.decode(video=0)) == 9
    match = cameras.read(tmp_path / "flight.camera.json").cameras
    np.testing.assert_allclose(match[4].matrix, shot()[2].matrix, atol=1e-6)
    # The written camera is a path like any other.
    again = ["generate", str(model), "--camera", str(tmp_path / "flight.camera.json"), "--out", str(tmp_path / "again")]
    assert main([*again, "--bits", "16"]) == 0
    assert images.read(tmp_path / "again" / "000009.png")[0].dtype == np.uint16


def test_a_table_of_cameras_without_a_film_back_is_flown_on_that_of_the_training(model, tmp_path, capsys):
    cameras.write(tmp_path / "path.csv", shot()[1:4])
    assert main(["generate", str(model), "--camera", str(tmp_path / "path.csv"), "--out", str(tmp_path / "f")]) == 0
    said = "".join(capsys.readouterr())
    assert "20.2 x 20.2 mm" in said and "3 near" in said
    match = cameras.read(tmp_path / "f" / "shot.camera.json").cameras
    assert [one.focal_mm for one in match] == pytest.approx([31, 32, 33], rel=1e-5)
    assert match[0].film_back_mm == pytest.approx((20.25, 20.25))


def test_a_path_far_from_the_training_cameras_is_warned_of_with_numbers(model, tmp_path, capsys):
    far = [dataclasses.replace(one, matrix=one.matrix @ np.diag([1, 1, 1, 1.0])) for one in shot()[:2]]
    far[1].matrix[:3, 3] += 50
    cameras.write(tmp_path / "far.json", far)
    assert main(["generate", str(model), "--camera", str(tmp_path / "far.json"), "--out", str(tmp_path / "f"),
                 "--zoom", "3"]) == 0  # fmt: skip
    said = "".join(capsys.readouterr())
    assert "farther from the training cameras" in said and "standard deviations" in said and "Focal lengths" in said


def test_a_checkpoint_without_statistics_asks_for_its_footage(tmp_path, capsys):
    from ganvas.networks.matchmove.layouts import generator_card

    net = CameraGenerator(size_px=16, width=2)
    path = weights.save(tmp_path / "bare.safetensors", net.state_dict(), generator_card(16, 2))
    (tmp_path / "footage").mkdir()
    for one in shot():
        images.write(tmp_path / "footage" / f"{one.frame:04d}.png", np.zeros((18, 32, 3), np.uint8))
    cameras.write(tmp_path / "footage" / "solve.ma", shot())
    base = ["generate", str(path), "--through", "0,3", "--frames", "4", "--out", str(tmp_path / "out")]
    assert main(base) == 1 and "--footage" in capsys.readouterr().err
    assert main([*base, "--footage", str(tmp_path / "footage")]) == 0
    assert "held out" in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ([], "--cameras FILE or --through"),
        (["--through", "0,x"], "numbers of training cameras"),
        (["--through", "index:0,6"], "from 0 to 5"),
        (["--through", "0,77"], "nearest to 77: 5"),
        (["--through", "0,1", "--first-frame", "-1"], "0 or more"),
        (["--through", "0,1", "--zoom", "0"], "above 0"),
    ],
)
def test_questions_that_cannot_be_answered(options, text, model, tmp_path, capsys):
    assert main(["generate", str(model), "--out", str(tmp_path / "o"), *options]) == 1
    assert text in capsys.readouterr().err
    assert not list(tmp_path.glob("*.csv"))


@pytest.mark.parametrize(("options", "text"), [(["--fps", "x"], "24000/1001"), (["--film-back", "36"], "36x24")])
def test_values_that_cannot_be_read(options, text, model, tmp_path, capsys):
    assert main(["generate", str(model), "--out", str(tmp_path / "o"), "--through", "0,1", *options]) == 2
    assert text in capsys.readouterr().err


@pytest.mark.parametrize(
    ("format_", "names"),
    [
        ("colmap", ["images.txt", "cameras.txt", "points3D.txt"]),
        ("usda", []),
        ("ma", []),
        ("chan", []),
        ("csv", []),
        ("nk", []),
        ("abc", []),
    ],
)
def test_every_camera_format_can_be_asked_for(format_, names, model, tmp_path):
    asked = ["--through", "0,2", "--frames", "3", "--up", "-y", "--camera-format", format_, "--quiet"]
    out = str(tmp_path / "s.####.png")
    assert main(["generate", str(model), "--out", out, *asked]) == 0
    found = tmp_path / ("s.camera" if names else f"s.camera.{format_}")
    assert {path.name for path in found.iterdir()} >= set(names) if names else found.is_file()
    # Names that are taken are refused before a frame is made.
    for frame in tmp_path.glob("s.0*"):
        frame.unlink()
    (tmp_path / "s.trust.csv").unlink()
    assert main(["generate", str(model), "--out", out, *asked]) == 1
    assert not list(tmp_path.glob("s.0*"))


def test_frames_that_a_format_cannot_hold_are_refused_before_one_is_made(model, tmp_path, capsys):
    gaps = [dataclasses.replace(one, frame=frame) for one, frame in zip(shot(), (1001, 1003))]
    cameras.write(tmp_path / "gaps.json", gaps)
    asked = ["generate", str(model), "--cameras", str(tmp_path / "gaps.json"), "--out", str(tmp_path / "s.####.png")]
    assert main([*asked, "--camera-format", "abc"]) == 1
    assert "not in a row" in capsys.readouterr().err and not list(tmp_path.glob("s.1*"))
    assert main([*asked, "--camera-format", "json"]) == 0
    assert [one.frame for one in cameras.read(tmp_path / "s.camera.json").cameras] == [1001, 1003]


def test_notes_name_the_paths_own_frames(model, tmp_path, capsys):
    far = [dataclasses.replace(one, frame=1001 + place) for place, one in enumerate(shot()[:2])]
    far[1].matrix[:3, 3] += 50
    cameras.write(tmp_path / "far.json", far)
    assert main(["generate", str(model), "--camera", str(tmp_path / "far.json"), "--out", str(tmp_path / "f")]) == 0
    assert "frame 1002 by" in "".join(capsys.readouterr())


def test_what_a_run_was_told_of_its_cameras_fills_what_is_left_open(tmp_path):
    from ganvas.inference.cameras.flyer import told as told_by
    from ganvas.io import runs

    run = runs.create(tmp_path / "run", {"settings": {"up": "z", "rotation_order": "XYZ", "film_back_mm": [24, 18]}})
    assert told_by(run) == cameras.Given(up="z", rotation_order="XYZ", film_back_mm=(24.0, 18.0))
    mixed = cameras.Given(up="-y").filled(told_by(run))
    assert (mixed.up, mixed.rotation_order, mixed.film_back_mm) == ("-y", "XYZ", (24.0, 18.0))


def test_pictures_are_laid_onto_the_plates_that_were_trained_on(tmp_path):
    """A view of a plate with a lens model, laid onto the plate again, is the plate."""
    from ganvas.data.shots import View
    from ganvas.data.undistort import distorted
    from ganvas.inference.cameras.paths import plates_of
    from ganvas.io.cameras.lens import Lens

    y, x = np.mgrid[0:180, 0:320]
    plate = torch.from_numpy(np.stack([np.sin(x / 25), np.cos(y / 19), np.sin((x + y) / 31)]) * 0.4 + 0.5).float()
    lens = Lens(radial=(-0.12, 0.02), tangential=(1e-3, -2e-3))
    taken = [dataclasses.replace(one, lens=lens, centre_px=(163.0, 88.0)) for one in shot()]
    views = Views([View(one, plate) for one in taken], 512, 0.0, (1.0, 1.0))
    film = taken[0].film_back_mm
    extra = {"film_back_mm": views.film_back_mm, "output_px": (512, 512), "whole_film_back_mm": film,
             "centre": [place / 512 for place in views.squares[0].centre_px], "plate": views.plate()}  # fmt: skip
    geometry = Geometry.of(extra, 512)
    made = views.plain(2)
    (square,) = cameras_of(views.vectors()[2:3], geometry, [3])
    (again,) = plates_of([square], geometry)
    assert again.focal_px == pytest.approx(taken[2].focal_px) and again.size_px == (320, 180)
    laid, known = distorted(made["picture"], square, again)
    inner = known[0, 4:-4, 80:240]
    assert inner.float().mean() > 0.95
    np.testing.assert_allclose(
        laid[:, 4:-4, 80:240][:, inner].numpy(), plate[:, 4:-4, 80:240][:, inner].numpy(), atol=0.02
    )
    with pytest.raises(UserError, match="--on-plate"):
        plates_of([square], Geometry.of({**extra, "plate": None}, 512))


def test_a_flight_has_the_rate_of_its_path(model, tmp_path):
    cameras.write(tmp_path / "path.ma", shot()[1:4], cameras.Given(fps=25.0))
    assert main(["generate", str(model), "--camera", str(tmp_path / "path.ma"), "--out", str(tmp_path / "a.mp4")]) == 0
    with av.open(str(tmp_path / "a.mp4")) as film:
        assert film.streams.video[0].average_rate == 25
    assert cameras.read(tmp_path / "a.camera.json").fps == 25


def test_a_promise_is_that_of_views_alike_less_half_its_error():
    """Two places far apart: each camera is promised what its own place had, and runs are foretold from the others."""
    views = np.zeros((8, 13))
    views[4:, 3] = 100.0
    quality = np.array([30.0, 30, 32, 32, 20, 20, 22, 22])
    promise = camera_trust.Promise.fit(views, quality, [0, 0, 1, 1, 2, 2, 3, 3])
    pull = camera_trust.PULL
    # Of each place two views are alike; all eight pull a little.
    foretold = [(2 * other + pull * 26) / (2 + pull) for other in (32, 32, 30, 30, 22, 22, 20, 20)]
    assert promise.error_db == pytest.approx(np.sqrt(np.mean((quality - foretold) ** 2)))
    expected = [(4 * mean + pull * 26) / (4 + pull) - camera_trust.CAUTION * promise.error_db for mean in (31, 21)]
    assert promise.at(views[[0, 4]]) == pytest.approx(expected)
    # Where nothing is alike the mean of all is promised.
    far = np.full((1, 13), 1e3)
    assert promise.at(far) == pytest.approx([26 - camera_trust.CAUTION * promise.error_db])


def test_a_promise_falls_with_distance():
    told = {"distance_1": 0.5, "distance_2": 1.5, "psnr_1": 30.0, "psnr_2": 28.0}
    # Their mean is 1: nearer than that is promised more, farther less, a decibel for each deviation.
    assert camera_trust.lowered(np.array([25.0, 25.0, 25.0]), np.array([0.0, 1.0, 3.0]), told).tolist() == [26, 25, 23]
    assert camera_trust.lowered(np.array([25.0]), np.array([3.0]), {}).tolist() == [25]


def test_a_promise_lies_beside_the_weights():
    tensors = {"cameras": torch.rand(4, 13, dtype=torch.float64), "psnr": torch.tensor([20.0, 21, 22, 23]).double()}
    told = {f"{camera_trust.HELD}.{name}": values for name, values in tensors.items()}
    runs = f"{camera_trust.HELD}.runs"
    promise = camera_trust.Promise.of(told | {runs: torch.tensor([0, 0, 1, 1])}, np.zeros(13), np.ones(13))
    assert promise is not None and promise.quality.tolist() == [20, 21, 22, 23]
    assert camera_trust.Promise.of(told | {runs: torch.zeros(4)}, np.zeros(13), np.ones(13)) is None
    assert camera_trust.Promise.of(told, np.zeros(13), np.ones(13)) is None


def test_a_packed_model_knows_what_its_run_was_told(model, tmp_path):
    from ganvas.inference.cameras.flyer import told as told_by
    from ganvas.inference.open import open_model

    read = weights.read(model)
    said = {"up": "z", "rotation_order": "XYZ", "film_back_mm": [24.0, 18.0], "exposure": -2.0, "data": "shot"}
    card = dataclasses.replace(read.card, extra={**read.card.extra, "told": said})
    packed = weights.save(tmp_path / "packed.safetensors", read.tensors, card)
    found = told_by(open_model(packed))
    assert (found.up, found.rotation_order, found.film_back_mm) == ("z", "XYZ", (24.0, 18.0))
    assert Flyer(packed, device="cpu").given.exposure == -2.0


@pytest.mark.parametrize("crop", ["square", "whole"])
@pytest.mark.parametrize("is_told", [True, False])
def test_pictures_are_laid_onto_undistorted_plates(crop, is_told):
    """A view of a plate without a lens model, laid onto the plate again, is the plate, where it was trained on."""
    from ganvas.data.shots import View
    from ganvas.data.undistort import distorted
    from ganvas.inference.cameras.paths import plates_of

    y, x = np.mgrid[0:180, 0:320]
    plate = torch.from_numpy(np.stack([np.sin(x / 25), np.cos(y / 19), np.sin((x + y) / 31)]) * 0.4 + 0.5).float()
    taken = shot()
    views = Views([View(one, plate) for one in taken], 512, 0.0, (1.0, 1.0), crop=crop)
    extra = {"film_back_mm": views.film_back_mm, "output_px": (512, 512), "whole_film_back_mm": FILM, "crop": crop,
             "centre": [place / 512 for place in views.squares[0].centre_px],
             "plate": views.plate() if is_told else None}  # fmt: skip
    geometry = Geometry.of(extra, 512)
    (made,) = cameras_of(views.vectors()[2:3], geometry, [3])
    (again,) = plates_of([made], geometry, None if is_told else (320, 180))
    if not is_told:
        with pytest.raises(UserError, match="that shape"):
            plates_of([made], geometry, (320, 200))
    assert again.focal_px == pytest.approx(taken[2].focal_px) and again.size_px == (320, 180)
    assert again.centre_px == pytest.approx(taken[2].centre_px)
    laid, known = distorted(views.plain(2)["picture"], made, again)
    seen = np.s_[4:-4, 74:246] if crop == "square" else np.s_[4:-4, 4:-4]
    assert known[0][seen].all() and (crop == "whole" or not known[0][:, :66].any())
    np.testing.assert_allclose(laid[:, *seen].numpy(), plate[:, *seen].numpy(), atol=0.02)
