"""Scores of folders as sets: they order what is known, repeat, are cached rightly, and refuse what they cannot say."""

import numpy as np
import pytest
import torch

from ganvas.errors import UserError
from ganvas.evaluation import extractors, sets
from ganvas.evaluation.extractors import open_extractor
from ganvas.evaluation.results import Score, warn_of_differences
from ganvas.io.pictures import images
from ganvas.io.score_cache import ScoreCache
from ganvas.metrics import features
from ganvas.metrics.distribution import Statistics, frechet_distance, squared_mmd


def write(folder, num, seed, noise=0.0, size=32):
    """Pictures of soft colours with noise on them."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(num):
        coarse = torch.from_numpy(random.random((1, 3, 4, 4)))
        soft = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic")[0].permute(1, 2, 0).numpy()
        loud = np.clip(soft + noise * random.normal(size=soft.shape), 0, 1)
        images.write(folder / f"{number:03d}.png", (loud * 255).astype(np.uint8), overwrite=True)
    return folder


@pytest.fixture(scope="module", autouse=True)
def small_sides():
    """Judges look at the pictures as they are: eight times as quick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "SMALL_SIDE_PX", 32)
        yield


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    return {
        "real": write(root / "real", 48, 1), "like": write(root / "like", 44, 2),
        "loud": write(root / "loud", 40, 3, noise=0.2),
    }  # fmt: skip


@pytest.fixture(scope="module")
def scored(folders):
    return {name: sets.score_sets(folders["real"], folders[name], resamples=4) for name in ("like", "loud")}


def values(results):
    return {score.name: score.value for score in results.scores}


def test_noise_is_farther_away_than_more_of_the_same(scored):
    like, loud = values(scored["like"]), values(scored["loud"])
    for name in ("frechet_small", "frechet_infinity_small", "kernel_small", "swd_32px"):
        assert like[name] < loud[name] / 2, name
    for name in ("precision_small", "coverage_small"):
        assert like[name] > loud[name], name


def test_numbers_are_those_of_the_judge_and_the_formula(folders, scored):
    extractor = open_extractor("small")
    sides = [
        torch.cat([extractor.features(sets.read_picture(path)) for path in sorted(folders[side].iterdir())])
        for side in ("real", "like")
    ]
    expected = frechet_distance(*(Statistics.of(side) for side in sides))
    assert values(scored["like"])["frechet_small"] == pytest.approx(expected, rel=1e-4)


def test_intervals_hashes_and_conditions_stand_beside_the_numbers(scored):
    found = scored["like"]
    frechet = found.scores[0]
    assert frechet.name == "frechet_small" and frechet.low < frechet.value < frechet.high
    assert frechet.better == "lower" and len(frechet.preprocessing) == 8
    assert found.conditions["real_pictures"] == 48 and found.conditions["fake_pictures"] == 44
    assert any("Not FID" in note for note in found.notes)
    assert not any("fid" in score.name for score in found.scores)
    plain = found.plain()
    assert plain["scores"]["frechet_small"]["interval_95"] == [frechet.low, frechet.high]


def test_the_same_seed_gives_the_same_numbers(folders, scored):
    again = sets.score_sets(folders["real"], folders["like"], resamples=4)
    assert again.scores == scored["like"].scores
    other = sets.score_sets(folders["real"], folders["like"], ["kernel_small"], resamples=20, seed=1)
    assert other.scores[0].low != next(s for s in again.scores if s.name == "kernel_small").low


def test_real_features_are_kept_by_content(folders, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    asked = ["frechet_random"]
    first = sets.score_sets(folders["real"], folders["like"], asked, cache=ScoreCache(cache), resamples=0)
    assert len(list(cache.iterdir())) == 1
    seen = []
    whole = sets._batches
    monkeypatch.setattr(
        sets, "_batches", lambda paths, problems: seen.append(paths[0].parent.name) or whole(paths, problems)
    )
    again = sets.score_sets(folders["real"], folders["like"], asked, cache=ScoreCache(cache), resamples=0)
    assert seen == ["like"] and values(again) == values(first)
    changed = write(tmp_path / "real", 48, 1)
    write(changed, 1, 9)
    sets.score_sets(changed, folders["like"], asked, cache=ScoreCache(cache), resamples=0)
    assert len(list(cache.iterdir())) == 2


def test_a_damaged_picture_is_named_and_left_out(folders, tmp_path):
    write(tmp_path / "fake", 6, 4)
    (tmp_path / "fake" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    found = sets.score_sets(folders["real"], tmp_path / "fake", ["frechet_small"], resamples=0)
    assert found.conditions["fake_pictures"] == 6
    assert [name for name in found.problems if name.endswith("broken.png")]


def test_names_mean_what_they_say():
    wanted = sets.parse(["fid", "frechet", "kid_legacy", "swd", "precision_random", "fid"])
    assert [w.name for w in wanted] == ["fid_clean", "frechet_small", "kid_legacy", "swd", "precision_random"]
    assert [w.what for w in wanted] == ["frechet", "frechet", "kernel", "swd", "precision"]
    for name in ("fid_small", "kid_random", "fid_infinity_small"):
        with pytest.raises(UserError, match="Only Inception"):
            sets.parse([name])
    with pytest.raises(UserError, match="Did you mean"):
        sets.parse(["frechet_smal"])
    assert not [
        name
        for name in sets.names()
        if name.startswith(("fid", "kid")) and "clean" not in name and "legacy" not in name
    ]


@pytest.mark.parametrize(
    ("asked", "num", "words"),
    [
        ("frechet_infinity_small", 39, r"needs 40 pictures.*fake folder has 39.*kernel_small"),
        ("fid_infinity", 39, r"kid_clean"),
        ("density_small", 5, r"needs 6.*precision_small"),
        ("frechet_small", 1, "needs 2"),
    ],
)
def test_too_few_pictures_are_refused_before_any_work(folders, tmp_path, asked, num, words):
    write(tmp_path / "few", num, 1, size=8)
    with pytest.raises(UserError, match=words):
        sets.score_sets(folders["real"], tmp_path / "few", [asked])


def test_folders_that_are_none_are_named(folders, tmp_path):
    with pytest.raises(UserError, match="no folder"):
        sets.score_sets(folders["real"], tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no pictures"):
        sets.score_sets(folders["real"], tmp_path / "empty")
    write(tmp_path / "large", 3, 1, size=64)
    with pytest.raises(UserError, match="one size"):
        sets.score_sets(folders["real"], tmp_path / "large", ["swd"])


def test_few_pictures_leave_scores_out_and_never_all(folders, tmp_path):
    few = write(tmp_path / "few", 8, 4)
    found = sets.score_sets(few, few, resamples=0)
    assert "frechet_small" in values(found) and "kernel_small" in values(found)
    assert "frechet_infinity_small" not in values(found)
    assert [note for note in found.notes if "frechet_infinity_small was left out: it needs 40 pictures" in note]
    # Of several that were asked for by name, too; only where nothing is left it is refused.
    asked = ["frechet_infinity_small", "swd"]
    assert list(values(sets.score_sets(few, few, asked))) == ["swd_32px", "swd_16px"]
    sets.check(few, asked, 8)
    one = write(tmp_path / "one", 1, 4)
    with pytest.raises(UserError, match="needs 2"):
        sets.score_sets(one, one)


def test_the_default_judge_is_lite2_once_it_is_fetched(folders, tmp_path, monkeypatch):
    from ganvas.io.weights import files as weights
    from ganvas.io.weights import published
    from ganvas.networks import build

    monkeypatch.setenv("GANVAS_HOME", str(tmp_path))
    monkeypatch.setenv("GANVAS_OFFLINE", "1")
    few, others = write(tmp_path / "few", 4, 4), write(tmp_path / "others", 4, 5, noise=0.2)
    without = sets.score_sets(few, few, ["kernel"], resamples=0)
    assert list(values(without)) == ["kernel_small"]
    assert [note for note in without.notes if "ganvas features fetch efficientnet-lite2" in note]
    with pytest.raises(UserError, match="ganvas features fetch efficientnet-lite2"):
        sets.score_sets(few, few, ["kernel[efficientnet-lite2]"])
    card = published.PUBLISHED["efficientnet-lite2"].card
    torch.manual_seed(0)
    net = build(card).eval()
    weights.save(published.kept_at("efficientnet-lite2"), net.state_dict(), card)
    found = sets.score_sets(few, others, ["kernel"], resamples=0)
    assert list(values(found)) == ["kernel[efficientnet-lite2]"]
    assert not [note for note in found.notes if "fetch" in note]
    seen = []
    for folder in (few, others):
        pictures = torch.cat([sets.read_picture(path) for path in sorted(folder.iterdir())])
        shown = torch.nn.functional.interpolate(pictures, size=(260, 260), mode="bicubic", antialias=True).clamp(0, 1)
        with torch.no_grad():
            seen.append(net.embed(shown))
    assert values(found)["kernel[efficientnet-lite2]"] == pytest.approx(squared_mmd(*seen), rel=1e-3)
    # The hash is that of the published file, not of how this machine rounded it.
    extractor = open_extractor("efficientnet-lite2")
    assert extractor.preprocessing.weights == published.PUBLISHED["efficientnet-lite2"].sha256


def test_different_preprocessing_is_warned_of():
    now = [Score(name="fid_clean", value=1.0, preprocessing="aaaa"), Score(name="new", value=2.0, preprocessing="b")]
    before = {"fid_clean": {"value": 0.5, "preprocessing": "cccc"}}
    assert "aaaa now, cccc then" in warn_of_differences(now, before)[0]
    assert warn_of_differences(now, {"fid_clean": {"value": 0.5, "preprocessing": "aaaa"}}) == []


def test_published_names_with_weights_given(folders, tmp_path, monkeypatch):
    from ganvas.io.weights import files as weights
    from ganvas.networks.inception.net import Inception2015
    from ganvas.protocol import Card

    torch.manual_seed(0)
    file = tmp_path / "inception.safetensors"
    weights.save(file, Inception2015().state_dict(), Card(network="inception2015", input="other"))
    few = {side: tmp_path / side for side in ("like", "loud")}
    for side, folder in few.items():
        folder.mkdir()
        for path in sorted(folders[side].iterdir())[:10]:
            (folder / path.name).write_bytes(path.read_bytes())
    # 299 px would cost fourteen times as much and show nothing more.
    monkeypatch.setattr(extractors, "SIDE_PX", 80)
    asked = ["kid", "inception_score", "precision_clean"]
    found = sets.score_sets(few["like"], few["loud"], asked, inception=file, resamples=0)
    assert [score.name for score in found.scores] == ["kid_clean", "inception_score_clean", "precision_clean"]
    extractor = open_extractor("clean", file)
    seen = [
        torch.cat([extractor.features(sets.read_picture(path)) for path in sorted(few[side].iterdir())]) for side in few
    ]
    assert seen[0].shape == (10, 2048)
    assert values(found)["kid_clean"] == pytest.approx(squared_mmd(*seen), rel=1e-3, abs=1e-9)
    assert 1 <= values(found)["inception_score_clean"] <= 1008
    assert "unknown Inception" in found.notes[0]


def test_grids_are_told_of_both_sides(tmp_path):
    real = write(tmp_path / "real", 8, 1, noise=0.1, size=64)
    fake = tmp_path / "fake"
    fake.mkdir()
    for path in sorted(real.iterdir()):
        picture = images.read(path)[0].astype(int)
        picture[:, ::4] += 12
        images.write(fake / path.name, picture.clip(0, 255).astype(np.uint8))
    found = values(sets.score_sets(real, fake, ["grid"]))
    assert list(found) == [f"grid_{period}px_{side}" for side in ("fake", "real") for period in (2, 4, 8)]
    assert all(found[f"grid_{period}px_fake"] > found[f"grid_{period}px_real"] + 6 for period in (4, 8))
