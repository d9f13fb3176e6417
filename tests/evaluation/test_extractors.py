"""Feature extractors of sets: both resize conventions against Pillow and a plain writing, hashes, names, refusals."""

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas import networks
from ganvas.errors import UserError
from ganvas.evaluation import extractors, sets
from ganvas.evaluation.extractors import open_extractor
from ganvas.io.score_cache import ScoreCache
from ganvas.io.weights import files as weights
from ganvas.io.weights import published
from ganvas.metrics import features
from ganvas.metrics.features import quantize, resize_clean, resize_legacy
from ganvas.networks.inception.net import Inception2015
from ganvas.protocol import Card


@pytest.fixture(scope="module")
def picture():
    from skimage import data

    return torch.from_numpy(data.chelsea().copy()).permute(2, 0, 1)[None] / 255


@pytest.mark.parametrize("side", [64, 299, 420])
def test_clean_is_pillows_bicubic_in_floats(picture, side):
    channels = [Image.fromarray(channel.numpy() * 255) for channel in picture[0]]
    theirs = [np.asarray(channel.resize((side, side), Image.Resampling.BICUBIC)) for channel in channels]
    expected = torch.from_numpy(np.stack(theirs)).clamp(0, 255) / 255
    assert float((resize_clean(picture, side)[0] - expected).abs().max()) < 0.01 / 255


@pytest.mark.parametrize("side", [50, 299, 700])
def test_legacy_is_tensorflows_bilinear(picture, side):
    crop = picture[..., :150, :200].double()
    height, width = crop.shape[-2:]
    expected = np.empty((3, side, side))
    for i in range(0, side, 5):
        for j in range(0, side, 7):
            y, x = i * height / side, j * width / side
            top, left = int(y), int(x)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            p = crop[0, :, [top, top, bottom, bottom], [left, right, left, right]].numpy()
            upper, lower = p[:, 0] + (p[:, 1] - p[:, 0]) * (x - left), p[:, 2] + (p[:, 3] - p[:, 2]) * (x - left)
            expected[:, i, j] = upper + (lower - upper) * (y - top)
    np.testing.assert_allclose(resize_legacy(crop, side)[0, :, ::5, ::7], expected[:, ::5, ::7], atol=1e-9)


def test_the_conventions_differ_by_gray_levels(picture):
    difference = (resize_clean(picture, 100) - resize_legacy(picture, 100)).abs().max()
    assert float(difference) > 20 / 255


def test_bytes_are_rounded_half_up_and_stay():
    levels = torch.arange(256) / 255
    assert torch.equal(quantize(levels), levels)
    assert torch.equal(
        quantize(torch.tensor([-1.0, 0.4999 / 255, 0.5001 / 255, 2])) * 255, torch.tensor([0.0, 0, 1, 255])
    )


def test_small_and_random_judges_see_each_picture_by_itself(picture):
    pictures = torch.cat([picture, picture.flip(-1), picture.flip(-2)])
    for name in ("small", "random"):
        extractor = open_extractor(name)
        seen = extractor.features(pictures)
        assert seen.shape == (3, 240) and seen.isfinite().all()
        torch.testing.assert_close(extractor.features(pictures[1:2])[0], seen[1], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(seen[0], seen[2])
        assert "Not FID" in extractor.trust and not extractor.is_published
        with pytest.raises(UserError, match="inception_score_clean"):
            extractor.probabilities(seen)


def test_random_judges_are_equal_whatever_the_callers_seed(picture):
    torch.manual_seed(1)
    first = open_extractor("random")
    torch.manual_seed(2)
    second = open_extractor("random")
    assert first.preprocessing == second.preprocessing
    assert torch.equal(first.features(picture), second.features(picture))


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory):
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("inception") / "inception.safetensors"
    return weights.save(path, Inception2015().state_dict(), Card(network="inception2015", input="other"))


def test_inception_under_both_conventions(picture, inception_file):
    clean, legacy = (open_extractor(name, inception_file) for name in ("clean", "legacy"))
    assert clean.preprocessing.hash != legacy.preprocessing.hash
    assert clean.is_published and "unknown Inception" in clean.trust
    seen = clean.features(picture)
    expected = clean.network(resize_clean(picture, 299))
    torch.testing.assert_close(seen, expected, rtol=1e-4, atol=1e-5)
    difference = (seen - legacy.features(picture)).abs().max()
    assert float(difference) > 1e-3 * float(seen.abs().max())
    answers = clean.probabilities(seen)
    assert answers.shape == (1, 1008) and answers.dtype == torch.float64
    assert float(answers.sum()) == pytest.approx(1)


@pytest.mark.parametrize("name", extractors.EXTRACTORS)
def test_every_judge_keeps_what_it_saw_in_the_real_set(name, picture, inception_file, tmp_path, monkeypatch):
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path / "home"))
    if name == extractors.LITE:
        card = published.PUBLISHED[name].card
        torch.manual_seed(0)
        weights.save(published.kept_at(name), networks.build(card).state_dict(), card)
    path = tmp_path / "real.png"
    Image.fromarray((picture[0, :, :64, :64].permute(1, 2, 0) * 255).byte().numpy()).save(path)
    asked = [path], "real", ScoreCache(tmp_path / "cache"), {}, None
    seen = sets._features(open_extractor(name, inception_file), *asked)
    extractor = open_extractor(name, inception_file)
    monkeypatch.setattr(extractor.network, "forward", lambda *_: pytest.fail("it looked again"))
    assert torch.equal(sets._features(extractor, *asked), seen)
    (kept,) = (tmp_path / "cache").iterdir()
    assert kept.name.startswith(f"{name}-{extractor.preprocessing.hash}")


def test_without_weights_and_network_the_way_out_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("GANVAS_OFFLINE", "1")
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path))
    with pytest.raises(UserError, match=r"needs the weights of Inception.*--inception FILE.*frechet_small"):
        open_extractor("clean")
    with pytest.raises(UserError, match="not FID's Inception"):
        open_extractor("clean", extractors.SMALL)
    with pytest.raises(UserError, match="Did you mean clean"):
        open_extractor("cleaan")


def test_hashes_tell_every_difference():
    one = features.Preprocessing("net", "abc", 299, "clean")
    others = [features.Preprocessing("net", "abd", 299, "clean"), features.Preprocessing("net", "abc", 299, "legacy"),
              features.Preprocessing("net", "abc", 128, "clean")]  # fmt: skip
    assert len({one.hash, *(other.hash for other in others)}) == 4
    assert one.hash == features.Preprocessing("net", "abc", 299, "clean").hash
