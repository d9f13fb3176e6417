"""The Frechet distance as a run's score: what it is, that it chooses the best checkpoint, and when it is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_runs import assert_same_bits, plan

from ganvas import cli
from ganvas.io import runs
from ganvas.io.pictures import images
from ganvas.metrics.features import random_extractor
from ganvas.protocol import Recipe
from ganvas.training import loop
from tiny_recipe import Tiny

REAL = torch.rand(24, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def faded(step):
    """Return fakes that are nearest to the real pictures at step 4."""
    return (REAL * (1 - 0.2 * abs(step - 4))).clamp(0, 1)


@pytest.fixture
def compared(monkeypatch):
    monkeypatch.setattr(Tiny, "compared", lambda self, nets, source, context: (REAL, faded(context.step)))
    return replace(plan(val=True, score_every=2, checkpoint_every=2, keep_last=9), extractor=random_extractor())


def closed_form(real, fake):
    extractor = random_extractor()
    one, other = (extractor.features(each).double().numpy() for each in (real, fake))
    covariances = [np.cov(each, rowvar=False) for each in (one, other)]
    # The trace of a root is the sum of the roots of the eigenvalues, of which none is below 0 but by rounding.
    root = np.sqrt(np.linalg.eigvals(covariances[0] @ covariances[1]).real.clip(0)).sum()
    mean = np.sum((one.mean(0) - other.mean(0)) ** 2)
    return mean + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * root


def test_the_best_checkpoint_is_the_nearest_by_the_closed_form(compared, tmp_path):
    run = loop.train(compared, tmp_path / "run", quiet=True)
    scored = {e["step"]: e["scores"] for e in runs.read_log(run) if "scores" in e}
    assert list(scored) == [2, 4, 6, 8] and all(
        list(s) == ["minus_frechet_random", "minus_l1"] for s in scored.values()
    )
    assert scored[2]["minus_frechet_random"] == pytest.approx(-closed_form(REAL, faded(2)), rel=1e-3)
    best = runs.best_scores(run)
    assert best["minus_frechet_random"] == pytest.approx(0, abs=1e-6)
    assert runs.read_json(run / "checkpoints" / "best.json")["checkpoint"] == runs.checkpoint_name(4)


def test_it_changes_no_bit_of_training(compared, tmp_path):
    scored = loop.train(compared, tmp_path / "scored", quiet=True)
    assert_same_bits(scored, loop.train(replace(compared, extractor=None), tmp_path / "plain", quiet=True))


@pytest.mark.parametrize(
    ("recipe", "options", "said"),
    [
        ("relativistic", ["--frechet", "small"], "--val 0.1"),
        ("relativistic", ["--frechet", "smal", "--val", "0.2"], "Did you mean small"),
        ("esrgan", ["--frechet", "small", "--val", "0.2"], "The recipe esrgan knows no Frechet distance"),
        ("relativistic", ["--frechet", "small", "--val", "0.5", "--size-px", "32"], "too few pictures to compare"),
    ],
)
def test_where_it_has_nothing_to_compare_it_is_refused_before_a_folder_is_made(recipe, options, said, tmp_path, capsys):
    (tmp_path / "data").mkdir()
    for value in range(2):
        images.write(tmp_path / "data" / f"{value}.png", np.full((64, 64, 3), value, np.uint8))
    out = tmp_path / "run"
    assert cli.main(["train", recipe, "--data", str(tmp_path / "data"), "--out", str(out), *options]) == cli.USER_ERROR
    assert said in capsys.readouterr().err and not out.exists()


def test_pictures_held_out_for_a_recipe_without_scores_are_refused_before_data_are_read(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("ganvas.recipes.esrgan.ESRGAN.score", Recipe.score)
    (tmp_path / "empty").mkdir()
    arguments = ["train", "esrgan", "--data", str(tmp_path / "empty"), "--val", "0.2", "--out", str(tmp_path / "run")]
    assert cli.main(arguments) == cli.USER_ERROR
    assert "The recipe esrgan cannot be scored" in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_previews_are_in_tensorboard(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = loop.train(plan(tensorboard=True, preview_every=4), tmp_path / "run", quiet=True)
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    seen = events.Images("preview")
    assert [event.step for event in seen] == [4, 8]
    kept = images.read(run / "latest.png")[0]
    assert (seen[-1].height, seen[-1].width) == kept.shape[:2]
