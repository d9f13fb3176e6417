"""The biggan recipe: its losses against plain formulas, the paper's values, exact resume, data and labels."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from assembled import networks_of
from torch import nn

from ganvas.drawn.shapes import CLASSES, Shapes, draw
from ganvas.errors import UserError
from ganvas.inference.open import load
from ganvas.inference.seeds.sampler import SeedSampler
from ganvas.io import runs
from ganvas.io.pictures import images
from ganvas.losses.adversarial import AdversarialLoss
from ganvas.protocol import Context, Networks, Verdict
from ganvas.recipes.biggan import DEEP, PREVIEW, SAGAN, Batch, BigGAN, split
from ganvas.training import loop
from ganvas.training.trainer import Plan

TINY = replace(
    PREVIEW, width=2, multipliers=(8, 4, 4, 4), latent=8, class_features=5, num_classes=12, batch_size=4, steps=4,
    checkpoint_every=2, preview_every=4, score_every=4, log_every=1, workers=1, standing_batches=1,
    precision="float32", attention_px=16, orthogonal_weight=1e-4,
)  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def plan(val=False, **changes) -> Plan:
    return Plan("biggan", BigGAN(replace(TINY, **changes)), Shapes(32, 2), Shapes(32, 2, first=2) if val else None)


def last(run) -> runs.Checkpoint:
    saved, problems = runs.newest_checkpoint(run)
    assert saved is not None and not problems
    return saved


def context(recipe, side="discriminator", step=0) -> Context:
    stage = recipe.stages()[0]
    turn = next(turn for turn in stage.turns if turn.side == side)
    random = torch.Generator().manual_seed(0)
    return Context(step=step, stage_step=step, images_seen=0, stage=stage, random=random, turn=turn)


# The paper


def test_the_presets_are_the_papers_values():
    presets = BigGAN.PRESETS
    # Brock et al. 2019: latent by size from appendix B (chunks of 20), the rest from section 3, appendix C and table 1.
    for name, size_px, latent in (("paper128", 128, 120), ("paper256", 256, 140), ("paper512", 512, 160)):
        s = presets[name]
        table = {
            "size_px": size_px, "latent": latent, "width": 96, "class_features": 128, "skip_z": True,
            "attention_px": 64, "discriminator_steps": 2, "generator_rate": 5e-5, "discriminator_rate": 2e-4,
            "betas": (0.0, 0.999), "orthogonal_weight": 1e-4, "steps": 165_000, "multipliers": (), "deep": False,
        }  # fmt: skip
        assert {key: getattr(s, key) for key in table} == table
        assert s.batch_size * s.micro_batches == 2048 and s.adversarial == AdversarialLoss(base="hinge")
        # 0.9999 a step of 2048 pictures.
        assert 0.5 ** (2048 / s.average_half_life) == pytest.approx(0.9999, abs=1e-8)
    assert presets["paper"] is presets["paper128"]
    assert (DEEP.deep, DEEP.width, DEEP.latent) == (True, 128, 128)
    assert BigGAN(replace(DEEP, num_classes=10)).card().settings["depth"] == 2
    assert (presets["deep256"].generator_rate, presets["deep256"].discriminator_rate) == (2.5e-5, 2.5e-5)
    # Zhang et al. 2019, section 4: rates 1e-4 and 4e-4, betas 0 and 0.9, one step each, batch 256.
    assert (SAGAN.generator_rate, SAGAN.discriminator_rate, SAGAN.betas) == (1e-4, 4e-4, (0.0, 0.9))
    assert (SAGAN.batch_size * SAGAN.micro_batches, SAGAN.discriminator_steps, SAGAN.skip_z) == (256, 1, False)


# The losses


class Linear(nn.Module):
    """A discriminator whose scores can be computed by hand."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, 12 * 48, dtype=torch.float64).view(12, 48))

    def forward(self, pictures, classes):
        score = (pictures.flatten(1).double() * self.weight[classes]).sum(1, keepdim=True)
        return Verdict(score, (pictures, score))


@pytest.fixture
def shown():
    random = torch.Generator().manual_seed(3)
    real, fake = (torch.randn(5, 3, 4, 4, generator=random, dtype=torch.float64) for _ in range(2))
    nets = Networks(discriminator=Linear(), generator=nn.Linear(4, 3))
    return nets, Batch(real, torch.tensor([0, 3, 11, 3, 5]), torch.zeros(5, 8)), {"fake": fake}


def scores(shown):
    nets, batch, outputs = shown
    weight = nets.discriminator.weight.detach().numpy()[batch.classes.numpy()]
    return tuple((pictures.flatten(1).numpy() * weight).sum(1) for pictures in (batch.real, outputs["fake"]))


def test_the_losses_are_hinge_on_scores_of_the_same_classes(shown):
    recipe, (r, f) = BigGAN(TINY), scores(shown)
    nets, batch, outputs = shown
    d = recipe.discriminator_losses(nets, batch, outputs, {}, context(recipe))
    assert float(d["gan"].detach()) == pytest.approx(
        np.maximum(0, 1 - r).mean() + np.maximum(0, 1 + f).mean(), rel=1e-12
    )
    assert set(d) == {"gan"}
    g = recipe.generator_losses(nets, batch, outputs, {}, context(recipe, "generator"))
    assert float(g["gan"].detach()) == pytest.approx(-f.mean(), rel=1e-12)
    w = nets.generator.weight.detach().double().numpy()
    overlap = w @ w.T
    expected = 1e-4 * ((overlap - np.diag(np.diag(overlap))) ** 2).sum()
    assert float(g["orthogonal"].detach()) == pytest.approx(expected, rel=1e-5)


def test_a_relativistic_loss_sees_real_scores_in_both_turns(shown):
    recipe = BigGAN(replace(TINY, adversarial=AdversarialLoss(base="least_squares", pairing="average")))
    r, f = scores(shown)
    g = recipe.generator_losses(*shown, {}, context(recipe, "generator"))
    expected = (np.mean((r - f.mean() + 1) ** 2) + np.mean((f - r.mean() - 1) ** 2)) / 2
    assert float(g["gan"].detach()) == pytest.approx(expected, rel=1e-12)


def test_r1_and_r2_of_a_linear_discriminator_are_the_norm_of_each_classs_weights(shown):
    recipe = BigGAN(replace(TINY, r1_weight=3.0, r2_weight=5.0, r1_every=4))
    nets, batch, _ = shown
    square = (nets.discriminator.weight.detach()[batch.classes] ** 2).sum(1).mean()
    ledger = recipe.discriminator_losses(*shown, {}, context(recipe))
    assert float(ledger["r1"].detach()) == pytest.approx(4 * 3.0 * float(square) / 2, rel=1e-5)
    # Generated pictures have the classes of the real ones, and a linear discriminator the same slope everywhere.
    assert float(ledger["r2"].detach()) == pytest.approx(4 * 5.0 * float(square) / 2, rel=1e-5)
    assert "r1" not in recipe.discriminator_losses(*shown, {}, context(recipe, step=1))


def test_orthogonality_leaves_the_class_embedding_out():
    recipe = BigGAN(TINY)
    nets = networks_of(recipe)
    nets["discriminator"] = Linear()
    batch = Batch(torch.zeros(2, 3, 4, 4), torch.tensor([0, 1]), torch.zeros(2, 8))
    loss = recipe.generator_losses(nets, batch, {"fake": torch.zeros(2, 3, 4, 4)}, {}, context(recipe, "generator"))
    loss["orthogonal"].backward()
    assert nets.generator.embedding.weight.grad is None
    assert nets.generator.first.parametrizations.weight.original.grad is not None


def test_verdicts_of_two_batches_in_one_are_taken_apart():
    both = Verdict(torch.arange(5.0)[:, None], (torch.arange(10.0).view(5, 2), torch.arange(5.0)[:, None]))
    first, second = split(both, 2)
    assert first.score.flatten().tolist() == [0, 1] and second.features[0].tolist() == [[4, 5], [6, 7], [8, 9]]


# Training


def test_stopped_and_resumed_training_is_bit_equal(tmp_path):
    settings = {"discriminator_steps": 2, "dropout": 0.2, "r1_weight": 1.0, "r1_every": 2}
    whole = loop.train(plan(val=True, **settings), tmp_path / "whole", quiet=True)
    half = loop.train(plan(val=True, **settings, steps=2), tmp_path / "half", quiet=True)
    resumed = loop.resume(plan(val=True, **settings), half, quiet=True, allow_changes=True)
    first, second = last(whole), last(resumed)
    for group, tensors in first.groups.items():
        for name, value in tensors.items():
            assert torch.equal(value, second.groups[group][name]), (group, name)
    assert (whole / "latest.png").is_file() and "minus_swd" in runs.best_scores(whole)


@pytest.mark.parametrize("settings", [
    {"deep": True, "width": 4, "multipliers": (8, 4, 4, 4), "latent": 6},
    {"class_features": 0, "skip_z": False, "latent": 7, "attention_px": 0},
    {"adversarial": AdversarialLoss(base="standard", pairing="paired"), "fresh_batch": True, "attention_px": 32},
    # Of one sample each, whose means over the micro-batch alone would be no means.
    {"adversarial": AdversarialLoss(base="least_squares", pairing="average", exact_means=True),
     "micro_batches": 3, "batch_size": 1, "r1_weight": 1.0},
])  # fmt: skip
def test_variants_train_and_are_loaded_by_their_cards(tmp_path, settings):
    run = loop.train(plan(**settings, steps=1, checkpoint_every=1), tmp_path / "run", quiet=True)
    begin, end = (runs.read_checkpoint(folder).groups["networks"] for folder in runs.checkpoints(run))
    still = {key for key in begin if torch.equal(begin[key], end[key])}
    for network in ("generator", "discriminator"):
        weights = {key for key in begin if key.startswith(network) and key.endswith(("weight", "weight.original"))}
        # Attention begins with a factor of 0, so its weights have no gradient yet.
        assert not {key for key in weights & still if "attention" not in key}, network
    assert SeedSampler(run).sample([0, 1]).shape == (2, 3, 32, 32)
    judge = load(run, network="discriminator")
    assert all(torch.equal(value, end[f"discriminator/{key}"]) for key, value in judge.state_dict().items())
    with torch.no_grad():
        scores = [judge(torch.zeros(1, 3, 32, 32), torch.tensor([number])).score for number in (2, 3)]
    assert not torch.equal(*scores)  # it looks at the class


def test_accumulation_has_the_gradients_of_the_large_batch_where_no_norm_couples_samples():
    recipe = BigGAN(TINY)
    torch.manual_seed(0)
    nets = networks_of(recipe)
    # In eval mode batch norm uses stored statistics and spectral norm does not iterate: what is left must be exact.
    nets.generator.eval().double()
    nets.discriminator.eval().double()
    z, y = torch.randn(8, 8, dtype=torch.float64), torch.arange(8)

    def gradient(parts):
        nets.generator.zero_grad()
        for latents, classes in zip(z.chunk(parts), y.chunk(parts)):
            fake = nets.generator(latents, classes)
            batch = Batch(fake.detach(), classes, latents)
            ledger = recipe.generator_losses(nets, batch, {"fake": fake}, {}, context(recipe, "generator"))
            (sum(ledger.values()) / parts).backward()
        return torch.cat([p.grad.flatten() for p in nets.generator.parameters()])

    torch.testing.assert_close(gradient(4), gradient(1), rtol=1e-6, atol=1e-9)


def test_previews_and_scores_do_not_touch_the_networks():
    recipe = BigGAN(TINY)
    torch.manual_seed(0)
    nets = networks_of(recipe)
    for net in nets.values():
        net.eval()
    before = {key: value.clone() for key, value in nets.generator.state_dict().items()}
    with torch.no_grad():
        preview = recipe.sample(nets, None, context(recipe))
        assert torch.equal(recipe.sample(nets, None, context(recipe)), preview)
        scores = recipe.score(nets, Shapes(32, 1), context(recipe))
    assert preview.shape == (64, 3, 32, 32) and next(iter(scores)) == "minus_swd"
    assert all(torch.equal(value, before[key]) for key, value in nets.generator.state_dict().items())


# Data


def folder_of(root, names, number=2):
    for name in names:
        (root / name).mkdir(parents=True)
        for n in range(number):
            images.write(root / name / f"{n}.png", draw(name, 32, n))
    return root


def test_classes_are_those_of_the_data_and_stand_in_the_card(tmp_path):
    recipe = BigGAN(replace(TINY, num_classes=0))
    train = recipe.source(str(folder_of(tmp_path / "train", CLASSES[:3])))
    recipe.prepare(train)
    assert recipe.card().settings["num_classes"] == 3
    assert recipe.card().extra["class_names"] == sorted(CLASSES[:3]) and recipe.card().extra["class_counts"] == [2] * 3
    val = recipe.held_out(str(folder_of(tmp_path / "val", CLASSES[1:3])), train)
    assert set(val.labels.tolist()) == {sorted(CLASSES[:3]).index(name) for name in CLASSES[1:3]}
    with pytest.raises(UserError, match="num_classes says 12"):
        BigGAN(TINY).source(str(tmp_path / "train"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"latent": 9}, "does not divide into 4 chunks"),
        ({"discriminator_steps": 0}, "discriminator_steps is 0"),
        ({"r1_weight": -1.0}, "must not be negative"),
        ({"multipliers": (), "size_px": 64, "latent": 8}, "does not divide into 5 chunks"),
    ],
)
def test_impossible_settings_are_refused_before_any_work(changes, said):
    with pytest.raises(UserError, match=said):
        BigGAN(replace(TINY, **changes))
