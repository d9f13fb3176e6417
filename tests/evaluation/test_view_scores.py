"""Scores of held-out views: against scikit-image, over the nearest training frame, and which views are held out."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from ganvas import cli, launch
from ganvas.data.shots import Views, read_footage, read_picture
from ganvas.errors import UserError
from ganvas.evaluation import view_scores as views
from ganvas.evaluation.view_scores import HeldView, score_view
from ganvas.evaluation.views import HeldOut, score_flyer
from ganvas.inference.cameras.flyer import Flyer
from ganvas.io.weights import files as weights
from ganvas.networks import build
from ganvas.protocol import Card

SIZE, TRAINED_ON = 32, (0, 2, 4, 6)


def noisy(picture, seed, amount=0.1):
    random = torch.Generator().manual_seed(seed)
    return (picture + amount * torch.randn(picture.shape, generator=random)).clamp(0, 1)


def test_scores_of_a_view_are_those_of_scikit_image():
    truth = noisy(torch.full((3, 40, 40), 0.5), 0, 0.2)
    made, nearest = noisy(truth, 1), noisy(truth, 2, 0.2)
    row = score_view(HeldView("a", made, truth, nearest, 0.25))
    ours, theirs, near = (picture.permute(1, 2, 0).double().numpy() for picture in (made, truth, nearest))
    assert row["psnr_rgb"] == pytest.approx(peak_signal_noise_ratio(theirs, ours, data_range=1), abs=1e-6)
    gain = row["psnr_rgb"] - peak_signal_noise_ratio(theirs, near, data_range=1)
    assert row["gain"] == pytest.approx(gain, abs=1e-6) and row["gain"] > 3
    # scikit-image means over the same inner pixels once its border of half a window is cut off.
    _, whole = structural_similarity(
        theirs, ours, data_range=1, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        full=True,
    )  # fmt: skip
    assert row["ssim_rgb"] == pytest.approx(whole[5:-5, 5:-5].mean(), abs=1e-3)
    assert set(row) == set(views.NAMES) and row["distance"] == 0.25


def test_a_copy_of_the_truth_has_all_its_detail_in_place_and_without_neighbours_no_gain():
    truth = noisy(torch.full((3, 40, 40), 0.5), 0, 0.2)
    row = score_view(HeldView("a", truth, truth))
    assert math.isinf(row["psnr_rgb"]) and row["detail"] == pytest.approx(1) and row["in_place"] == pytest.approx(1)
    assert row["in_place_bar"] < 1 and "gain" not in row
    with pytest.raises(UserError, match="--footage"):
        views.names_for(["gain"], has_nearest=False)


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    from ganvas.data.shots import View
    from ganvas.drawn.photograph import write_views
    from ganvas.io.cameras.cameras import plain_camera

    folder, shots = tmp_path_factory.mktemp("footage") / "all", []
    for frame in range(8):
        matrix = np.eye(4)
        matrix[0, 3] = frame
        camera = plain_camera(matrix, 20.0, (24.0, 24.0), (SIZE, SIZE), frame, f"frames/{frame:06d}.png")
        shots.append(View(camera, noisy(torch.full((3, SIZE, SIZE), 0.1 * frame), frame, 0.05)))
    write_views(shots, folder)
    return folder


@pytest.fixture(scope="module")
def model(footage, tmp_path_factory):
    """A generator without training whose card says that every other view was trained on."""
    all_views = Views(read_footage(footage).views, SIZE, 0.0, (1.0, 1.0))
    mean, deviation = all_views.statistics()
    told = all_views.vectors()[list(TRAINED_ON)]
    torch.manual_seed(0)
    card = Card(
        network="camera_generator", input="camera", range=(-1.0, 1.0), channels_in=13, tiling="internal",
        settings={"size_px": SIZE, "width": 4, "mean": mean, "deviation": deviation},
        extra={"cameras": told.tolist(), "frames": list(TRAINED_ON), "zoom": [1.0, 1.0], "roll_degrees": 0.0,
               "film_back_mm": [24.0, 24.0], "output_px": [SIZE, SIZE]},
    )  # fmt: skip
    path = tmp_path_factory.mktemp("model") / "net.safetensors"
    weights.save(path, build(card).state_dict(), card)
    return path


def test_views_that_were_trained_on_are_left_out_and_the_nearest_is_one_of_them(model, footage):
    held = HeldOut(Flyer(str(model), device="cpu"), footage, footage)
    assert held.places == [1, 3, 5, 7]
    (last,) = held.pictures([7])
    assert torch.equal(last.nearest, Views(read_footage(footage).views, SIZE, 0.0, (1.0, 1.0)).plain(6)["picture"])
    found = score_flyer(model, footage, footage, resamples=5)
    assert found.conditions["views"] == 4 and any("4 views" in note for note in found.notes)
    assert list(found.rows) == [f"{frame:06d}" for frame in (1, 3, 5, 7)]


def test_the_verb_scores_with_and_without_the_training_frames(model, footage, tmp_path, capsys):
    asked = ["evaluate", "--views", str(footage), "--fake", str(model), "--json"]
    assert cli.main(asked) == cli.DONE
    alone = json.loads(capsys.readouterr().out)["scores"]
    assert "gain" not in alone and "psnr_rgb" in alone
    page = tmp_path / "page.html"
    assert cli.main([*asked, "--footage", str(footage), "--report", str(page)]) == cli.DONE
    both = json.loads(capsys.readouterr().out)["scores"]
    assert both["psnr_rgb"] == alone["psnr_rgb"]
    assert both["gain"]["value"] == pytest.approx(both["psnr_rgb"]["value"] - both["psnr_nearest"]["value"])
    assert page.read_text().count("base64,") == 3 * 4


def test_footage_that_was_all_trained_on_is_refused(model, footage, tmp_path):
    from ganvas.drawn.photograph import write_views

    known = [replace(view, picture=read_picture(view.picture)) for view in read_footage(footage).views]
    write_views([known[place] for place in TRAINED_ON], tmp_path / "known")
    with pytest.raises(UserError, match="holds no view"):
        score_flyer(model, tmp_path / "known")
    write_views([known[place] for place in (1, 3)], tmp_path / "other")
    with pytest.raises(UserError, match="not what the run was trained on"):
        score_flyer(model, footage, tmp_path / "other")


def test_a_run_is_asked_what_it_was_told_of_its_cameras(tmp_path):
    data, table = tmp_path / "data", tmp_path / "footage"
    assert cli.main(["world", str(data), "--frames", "6", "--size", "32x32", "--path", "survey"]) == cli.DONE
    # A table of cameras alone does not say the film back, which is 24 mm here and not the usual 36.
    (data / "frames").rename(table)
    (data / "cameras.csv").rename(table / "cameras.csv")
    settings = {"pixel_steps": 1, "steps": 0, "size_px": 32, "width": 4, "threads": 1, "workers": 0, "rays_px": 0,
                "film_back_mm": (24.0, 24.0)}  # fmt: skip
    run = launch.train(
        "reverse_matchmove", table, tmp_path / "run", preset="preview", settings={**settings, "val": "0.34"}, quiet=True
    )
    held = HeldOut(Flyer(str(run), device="cpu"), table, table)
    assert len(held.places) == 2 and len(held.known) == 4
