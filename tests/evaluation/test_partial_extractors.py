"""An extractor that stood in a model's loss is not independent, and LPIPS over Oxford's VGG16 only orders."""

import pytest
import torch
import torch.nn.functional as F

from ganvas.evaluation import generated, pairs
from ganvas.evaluation.evaluate import evaluate, results_of
from ganvas.evaluation.extractors import open_lpips_vgg16
from ganvas.io import runs
from ganvas.io.pictures import images
from ganvas.io.weights import files as weights
from ganvas.io.weights import published
from ganvas.networks import build
from ganvas.networks.rrdb.card import enlarger_card
from ganvas.protocol import Card
from ganvas.settings import to_json

CHANNELS = (64, 128, 256, 512, 512)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """VGG16 and LPIPS' heads of random weights where the published ones are kept."""
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GANVAS_OFFLINE", "1")
    torch.manual_seed(0)
    card = published.PUBLISHED["vgg16"].card
    weights.save(published.kept_at("vgg16"), build(card).state_dict(), card)
    heads = {f"lin{number}": torch.rand(channels) for number, channels in enumerate(CHANNELS)}
    weights.save(published.kept_at("lpips-vgg16-heads"), heads, Card(network="lpips_heads", input="other"))
    return heads


@torch.no_grad()
def test_lpips_over_vgg16_is_the_papers_formula(cache):
    a, b = torch.rand(2, 1, 3, 32, 48, generator=torch.Generator().manual_seed(1)).unbind()
    network = build(published.PUBLISHED["vgg16"].card)
    network.load_state_dict(dict(weights.read(published.kept_at("vgg16")).tensors))
    total = 0.0
    for (one, other), head in zip(zip(network(a).values(), network(b).values()), cache.values()):
        difference = (F.normalize(one, dim=1) - F.normalize(other, dim=1)).square()
        total += float((difference * head[:, None, None]).sum(1).mean())
    assert float(open_lpips_vgg16()(a, b)) == pytest.approx(total, rel=1e-4)


def test_it_is_a_score_that_says_what_it_is_worth(cache, tmp_path):
    for name, seed in (("a.png", 0), ("b.png", 1)):
        picture = torch.randint(0, 256, (40, 40, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
        images.write(tmp_path / name, picture.numpy())
    table = evaluate(tmp_path / "a.png", tmp_path / "b.png", scores=("psnr_y", "lpips[vgg16]"))
    assert table.means["lpips[vgg16]"] > 0
    found = results_of(table, tmp_path / "a.png", tmp_path / "b.png")
    assert found.notes == [pairs.ORDERING]
    assert len({score.preprocessing for score in found.scores}) == 2


@pytest.mark.parametrize(
    "perceptual, extractors, named",
    [
        ("vgg16:relu2_2+efficientnet-lite0", ["psnr_y", "lpips[vgg16]"], ["vgg16"]),
        ("efficientnet-lite2", ["frechet[efficientnet-lite2]", "swd_32px"], ["efficientnet-lite2"]),
        ("vgg16", ["frechet[efficientnet-lite2]"], []),
        ("none", ["lpips[vgg16]"], []),
    ],
)
def test_an_extractor_that_stood_in_the_loss_is_told(tmp_path, perceptual, extractors, named):
    run = tmp_path / "run"
    run.mkdir()
    card = to_json(enlarger_card("compact", width=4, convs=1, scale=2))
    runs.write_json(run / runs.SETTINGS, {"recipe": "esrgan", "card": card, "settings": {"perceptual": perceptual}})
    notes = generated.partial_extractors(run, extractors)
    assert [note.partition(" ")[0] for note in notes] == named
    assert all("not independent" in note for note in notes)
