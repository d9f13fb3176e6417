"""Paired scores by name, over folders, and what they need."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ganvas.errors import UserError
from ganvas.evaluation import evaluate as tables
from ganvas.evaluation import pairs as paired_scores
from ganvas.evaluation.evaluate import evaluate
from ganvas.evaluation.pairs import Parts, scorer
from ganvas.io.pictures import images
from ganvas.metrics import paired


@pytest.fixture(scope="module")
def pair():
    from skimage import data

    truth = torch.from_numpy(data.astronaut()[:224, :240].copy()).permute(2, 0, 1)[None] / 255
    noise = 0.04 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    return (truth + noise).clamp(0, 1), truth


@pytest.fixture(scope="module")
def folders(pair, tmp_path_factory):
    root = tmp_path_factory.mktemp("pairs")
    for number in range(3):
        for side, picture in zip(("results", "truth"), pair):
            (root / side).mkdir(exist_ok=True)
            crop = picture[0, :, 8 * number :, :].permute(1, 2, 0).numpy()
            images.write(root / side / f"{number}.png", (crop * 255 + 0.5).astype(np.uint8))
    return root


def test_names_are_the_functions_they_name(pair):
    names = ["ms_ssim_y", "psnr_rgb", "consistency", "ssim_y", "niqe"]
    found = scorer(names, 4, 4, Parts())(*pair)
    assert list(found) == names
    assert found["ms_ssim_y"] == pytest.approx(float(paired.ms_ssim(*map(paired.luma, pair), 4)))
    assert found["psnr_rgb"] == pytest.approx(float(paired.psnr(*pair, 4)))
    assert found["niqe"] > 0
    usual = scorer(paired_scores.DEFAULT, 4, 0, Parts())(*pair)
    assert usual == paired.score_pair(*pair, 4)


def test_consistency_hears_low_frequencies_only(pair):
    _, truth = pair
    checkers = torch.zeros_like(truth)
    checkers[..., ::2, ::2], checkers[..., 1::2, 1::2] = 0.05, 0.05
    detail = truth * 0.8 + checkers - checkers.mean()
    assert float(paired_scores.consistency(detail, truth * 0.8, 4)) > 55
    assert float(paired.psnr(detail, truth * 0.8)) < 35
    assert float(paired_scores.consistency(truth * 0.8, truth * 0.8 + 0.05, 4)) == pytest.approx(26.02, abs=0.05)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 999), turns=st.integers(0, 3), mirrored=st.booleans(), order=st.permutations(range(3)))
def test_scores_know_no_directions_and_no_order_of_channels(seed, turns, mirrored, order):
    random = torch.Generator().manual_seed(seed)
    a, b = torch.rand(2, 1, 3, 20, 26, generator=random, dtype=torch.float64)

    def moved(picture):
        picture = picture[:, list(order)].rot90(turns, (2, 3))
        return picture.flip(-1) if mirrored else picture

    for score in (paired.psnr, paired.ssim):
        before = score(a, b)
        torch.testing.assert_close(score(moved(a), moved(b)), before)
        torch.testing.assert_close(score(b, a), before)
        assert float(score(a, a)) >= float(before)


def test_tables_have_means_intervals_and_hashes(folders):
    table = evaluate(folders / "results", folders / "truth", scores=["psnr_y", "ms_ssim_rgb"], crop_px=2)
    assert list(table.means) == ["psnr_y", "ms_ssim_rgb"] and len(table.rows) == 3
    found = tables.results_of(table, folders / "results", folders / "truth")
    psnr = found.scores[0]
    assert psnr.value == pytest.approx(table.means["psnr_y"]) and psnr.low <= psnr.value <= psnr.high
    assert psnr.better == "higher"
    other = evaluate(folders / "results", folders / "truth", scores=["psnr_y"], crop_px=3)
    hashes = {
        tables.results_of(t, folders / "results", folders / "truth").scores[0].preprocessing for t in (table, other)
    }
    assert len(hashes) == 2
    assert [len(paths) for _, paths in found.shown] == [3, 3]


def test_equal_pictures_have_an_infinite_psnr_without_an_interval(folders):
    table = evaluate(folders / "truth", folders / "truth")
    found = tables.results_of(table, folders / "truth", folders / "truth")
    assert found.scores[0].value == float("inf") and not found.scores[0].has_interval


def test_one_bad_pair_never_ends_the_table(folders, tmp_path):
    for side in ("results", "truth"):
        (tmp_path / side).mkdir()
        for path in (folders / side).iterdir():
            (tmp_path / side / path.name).write_bytes(path.read_bytes())
    images.write(tmp_path / "results" / "1.png", np.zeros((20, 20, 3), np.uint8), overwrite=True)
    (tmp_path / "results" / "3.png").write_bytes(b"nothing")
    table = evaluate(tmp_path / "results", tmp_path / "truth")
    assert set(table.rows) == {"0", "2"}
    assert "differ" in table.problems["1"] and "only in" in table.problems["3"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["psnr"], "Did you mean psnr_"),
        (["consistency"], "--scale 4"),
        (["lpips"], "--lpips-heads"),
        (["dists"], "--dists-weights"),
    ],
)
def test_what_is_lacking_is_said_before_any_work(names, words, tmp_path):
    with pytest.raises(UserError, match=words):
        evaluate(tmp_path / "nowhere", tmp_path / "nothing", scores=names)
