"""The relativistic recipe against plain formulas, and through the engine with a selection of losses and options."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from assembled import networks_of
from torch import nn

from ganvas import settings as settings_room
from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.losses.adversarial import AdversarialLoss
from ganvas.networks import build
from ganvas.protocol import Context, Networks, Source, Turn, Verdict
from ganvas.recipes import base
from ganvas.recipes.relativistic import PREVIEW, Batch, Relativistic, spread
from ganvas.training import loop
from ganvas.training.trainer import Plan

TINY = replace(
    PREVIEW, width=4, latent=6, batch_size=4, steps=4, discriminator_norm="none", checkpoint_every=2, preview_every=4,
    score_every=4, log_every=1, workers=1,
)  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Drawn(Source):
    """Pictures of 32 px drawn on the fly: a bright square on a dark ground."""

    def __init__(self, indices: Sequence[int] = range(12)) -> None:
        self.indices = list(indices)

    def __len__(self):
        return len(self.indices)

    def groups(self):
        return [str(index) for index in self.indices]

    def subset(self, indices):
        return Drawn([self.indices[index] for index in indices])

    def sample(self, index, random):
        picture = random.integers(0, 60, (3, 32, 32), dtype=np.uint8)
        top, left = random.integers(4, 20, 2)
        picture[:, top : top + 8, left : left + 8] = 40 * (self.indices[index] % 5) + 60
        return {"picture": torch.from_numpy(picture)}


def plan(val=False, **changes) -> Plan:
    recipe = Relativistic(settings_room.replace(TINY, {name.replace("__", "."): v for name, v in changes.items()}))
    return Plan("relativistic", recipe, Drawn(), Drawn(range(12, 32)) if val else None)


def train(folder, **changes) -> runs.Checkpoint:
    return last(loop.train(plan(**changes), folder, quiet=True))


def last(run) -> runs.Checkpoint:
    saved, problems = runs.newest_checkpoint(run)
    assert saved is not None and not problems
    return saved


def context(recipe, side="discriminator", step=0) -> Context:
    stage = recipe.stages()[0]
    turn = next(turn for turn in stage.turns if turn.side == side)
    return Context(
        step=step, stage_step=step, images_seen=0, stage=stage, random=torch.Generator().manual_seed(0), turn=turn
    )


# The losses


class Linear(nn.Module):
    """A discriminator whose scores can be computed by hand: weights times pixels."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, 3 * 4 * 4, dtype=torch.float64))

    def forward(self, pictures):
        score = (pictures.flatten(1).double() @ self.weight)[:, None]
        return Verdict(score, (pictures.flatten(1) ** 2, score))


@pytest.fixture
def shown():
    random = torch.Generator().manual_seed(3)
    real, fake = (torch.randn(5, 3, 4, 4, generator=random, dtype=torch.float64) for _ in range(2))
    return Networks(discriminator=Linear()), Batch(real, torch.zeros(5, 6)), {"fake": fake}


def losses(recipe, shown, side="discriminator", carry=None):
    nets, batch, outputs = shown
    function = recipe.discriminator_losses if side == "discriminator" else recipe.generator_losses
    ledger = function(nets, batch, outputs, carry or {}, context(recipe, side))
    for name, loss in ledger.items():
        ledger[name] = loss.detach()
    return ledger


def test_least_squares_average_is_the_papers_formula(shown):
    recipe = Relativistic(replace(TINY, adversarial=AdversarialLoss(base="least_squares", pairing="average")))
    weight = shown[0].discriminator.weight.detach().numpy()
    r = shown[1].real.flatten(1).numpy() @ weight
    f = shown[2]["fake"].flatten(1).numpy() @ weight
    ledger = losses(recipe, shown)
    expected = (np.mean((r - f.mean() - 1) ** 2) + np.mean((f - r.mean() + 1) ** 2)) / 2
    assert float(ledger["gan"]) == pytest.approx(expected, rel=1e-12)
    expected = (np.mean((r - f.mean() + 1) ** 2) + np.mean((f - r.mean() - 1) ** 2)) / 2
    assert float(losses(recipe, shown, "generator")["gan"]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("penalty", "expected"), [("r1", 1), ("r2", 1), ("r1_r2", 2)])
def test_the_penalty_of_a_linear_discriminator_is_its_weights_norm(shown, penalty, expected):
    recipe = Relativistic(replace(TINY, penalty=penalty, penalty_weight=3.0, penalty_every=4))
    square = float((shown[0].discriminator.weight.detach() ** 2).sum())
    ledger = losses(recipe, shown)
    # Every fourth step it counts four times; step 0 is one of them.
    total = sum(float(ledger[name]) for name in ("r1", "r2") if name in ledger)
    assert total == pytest.approx(4 * 3.0 * square / 2 * expected, rel=1e-6)
    nets, batch, outputs = shown
    assert set(recipe.discriminator_losses(nets, batch, outputs, {}, context(recipe, step=1))) == {"gan"}


@pytest.mark.parametrize("penalty", ["gradient_penalty", "dragan"])
def test_penalties_on_the_norm_are_the_same_anywhere_for_a_linear_discriminator(shown, penalty):
    recipe = Relativistic(replace(TINY, penalty=penalty))
    norm = float(torch.linalg.vector_norm(shown[0].discriminator.weight.detach()))
    assert float(losses(recipe, shown)["penalty"]) == pytest.approx(10 * (norm - 1) ** 2, rel=1e-6)


def test_feature_matching_compares_means_of_the_chosen_layer(shown):
    recipe = Relativistic(replace(TINY, feature_matching_weight=2.0, feature_matching_norm="l1", gan_weight=0.0))
    ledger = losses(recipe, shown, "generator")
    means = [(pictures.flatten(1).numpy() ** 2).mean(0) for pictures in (shown[1].real, shown[2]["fake"])]
    assert set(ledger) == {"features"}
    assert float(ledger["features"]) == pytest.approx(2 * np.abs(means[0] - means[1]).mean(), rel=1e-6)


def test_historical_averaging_pulls_towards_the_mean_of_the_past(shown):
    recipe = Relativistic(replace(TINY, history_weight=0.5))
    weight = shown[0].discriminator.weight.detach()
    past = torch.zeros_like(weight)
    carry = {"history.discriminator.count": 3, "history.discriminator.weight": past}
    ledger = losses(recipe, shown, carry=carry)
    assert float(ledger["history"]) == pytest.approx(0.5 * float((weight**2).sum()), rel=1e-6)


def test_consistency_is_zero_only_for_a_discriminator_that_ignores_shifts(shown):
    recipe = Relativistic(replace(TINY, consistency_weight=10.0))
    assert float(losses(recipe, shown)["consistency"]) > 0
    nets, batch, outputs = shown
    flat = batch._replace(real=torch.ones(5, 3, 4, 4, dtype=torch.float64) * torch.arange(5)[:, None, None, None])
    assert float(losses(recipe, (nets, flat, outputs))["consistency"]) == pytest.approx(0.0, abs=1e-18)


def test_spread_sees_differences_between_pictures_and_no_noise():
    both = torch.ones(4, 3, 32, 32) * torch.tensor([1.0, -1.0, 1.0, -1.0])[:, None, None, None]
    assert float(spread(both)) == pytest.approx(1.0)
    assert float(spread(both[:1].expand(4, -1, -1, -1))) == 0.0
    noise = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert float(spread(noise)) == pytest.approx(1 / 4, rel=0.05)  # means of 4 x 4 values
    assert float(spread(torch.tensor([[0.0], [2.0]]))) == pytest.approx(1.0)


def test_the_discriminator_is_shown_past_fakes_and_the_generator_is_not():
    recipe = Relativistic(replace(TINY, replay_size=4))
    torch.manual_seed(0)
    nets, stage = networks_of(recipe), recipe.stages()[0]
    carry, shown = {}, []
    for step in range(6):
        batch = recipe.batch({"picture": torch.zeros(4, 3, 32, 32)}, context(recipe))
        outputs, after = recipe.forward(nets, batch._replace(latents=torch.randn(4, 6)), carry, context(recipe))
        if step:
            before = carry["replay.fake"].float() * (2 / 255) - 1
            for made, seen in zip(outputs["fake"], outputs["shown"]):
                assert torch.equal(made, seen) or float((before - seen).abs().flatten(1).amax(1).min()) < 1e-6
            shown += [torch.equal(made, seen) for made, seen in zip(outputs["fake"], outputs["shown"])]
        carry = after
        _, same = recipe.forward(nets, batch, carry, replace(context(recipe), turn=stage.turns[-1]))
        assert same is carry
    assert 0 < sum(shown) < len(shown)


# Through the engine

VARIANTS = {
    "everything of Salimans, pool, accumulation": {
        "feature_matching_weight": 1.0, "history_weight": 0.1, "minibatch": "discrimination", "replay_size": 3,
        "adversarial__smooth_real": 0.9, "adversarial__pairing": "plain", "micro_batches": 2, "fresh_batch": False,
    },
    "wasserstein, two steps of D": {
        "adversarial__base": "wasserstein", "adversarial__pairing": "plain", "penalty": "gradient_penalty",
        "discriminator_steps": 2,
    },
    "hinge average, spectral norm everywhere, patches, history, pool": {
        "adversarial__base": "hinge", "adversarial__pairing": "average", "discriminator_norm": "spectral",
        "generator_spectral": True, "patch_grid": "4x4", "history_weight": 0.1, "replay_size": 6,
        "consistency_weight": 1.0,
    },
    "paired, R1 and R2, spread of the batch": {
        "adversarial__pairing": "paired", "penalty": "r1_r2", "penalty_every": 2, "minibatch": "stddev",
        "generator_norm": "none", "attention_px": 0,
    },
}  # fmt: skip


class Crash(Exception):
    """Stands for a kill: nothing is saved."""


@pytest.mark.parametrize("name", VARIANTS)
def test_a_run_killed_and_resumed_ends_bit_equal(name, tmp_path, monkeypatch):
    changes = VARIANTS[name]
    whole = train(tmp_path / "whole", **changes)
    original = Relativistic.generator_losses

    def crash_at_3(self, nets, batch, outputs, carry, context):
        if context.step == 3:
            raise Crash
        return original(self, nets, batch, outputs, carry, context)

    with monkeypatch.context() as patch:
        patch.setattr(Relativistic, "generator_losses", crash_at_3)
        with pytest.raises(Crash):
            train(tmp_path / "killed", **changes)
    torch.manual_seed(99)
    resumed = last(loop.resume(plan(**changes), tmp_path / "killed", quiet=True))
    assert resumed.step == whole.step == 4
    assert resumed.state["carry"] == whole.state["carry"]
    for group, tensors in whole.groups.items():
        assert tensors.keys() == resumed.groups[group].keys()
        different = [key for key, value in tensors.items() if not torch.equal(value, resumed.groups[group][key])]
        assert not different, (group, different)
    carried = whole.groups.get("carry-0", {})
    assert ("replay.fake" in carried) == bool(changes.get("replay_size"))
    assert any(key.startswith("history.generator.") for key in carried) == bool(changes.get("history_weight"))


@pytest.mark.parametrize(("fresh", "images"), [(True, 3 * 4), (False, 2 * 4)])
def test_each_turn_draws_what_it_should(fresh, images, tmp_path):
    loop.train(plan(fresh_batch=fresh, discriminator_steps=2, steps=1), tmp_path / "run", quiet=True)
    entry = next(entry for entry in runs.read_log(tmp_path / "run") if "losses" in entry)
    assert entry["images"] == images
    assert {"margin", "real_spread", "fake_spread", "D.gan", "G.gan"} <= set(entry["losses"])


def test_clipped_weights_stay_within_their_bound(tmp_path):
    changes = {"adversarial__base": "wasserstein", "adversarial__pairing": "plain", "weight_clip": 0.01}
    tensors = train(tmp_path / "run", steps=2, **changes).groups["networks"]
    largest = max(float(v.abs().max()) for key, v in tensors.items() if key.startswith("discriminator/"))
    assert 0 < largest <= 0.01


def test_a_run_is_scored_previewed_and_can_be_built_from_its_card(tmp_path):
    order = plan(val=True, steps=2)
    run = loop.train(order, tmp_path / "run", quiet=True)
    scores = next(entry["scores"] for entry in runs.read_log(run) if "scores" in entry)
    assert list(scores) == ["minus_swd", "minus_swd_32px", "minus_swd_16px"] and scores["minus_swd"] < 0
    assert (run / "latest.png").is_file()
    card = order.recipe.card()
    assert card.input == "seeds" and card.network == "dcgan_generator" and card.range == (-1.0, 1.0)
    tensors = last(run).groups["networks"]
    generator = build(card)
    generator.load_state_dict(
        {key.removeprefix("generator/"): v for key, v in tensors.items() if key.startswith("generator/")}
    )
    assert generator(torch.zeros(2, 6)).shape == (2, 3, 32, 32)


# Settings


def test_presets_hold_the_papers_values():
    paper = Relativistic.PRESETS["paper"]
    assert (paper.size_px, paper.batch_size, paper.steps, paper.latent, paper.width) == (64, 32, 100_000, 128, 64)
    assert (paper.generator_rate, paper.discriminator_rate, paper.betas) == (2e-4, 2e-4, (0.5, 0.999))
    assert (paper.discriminator_steps, paper.fresh_batch) == (1, True)
    dcgan = Relativistic.PRESETS["dcgan"]
    assert (dcgan.batch_size, dcgan.latent, dcgan.betas[0], dcgan.generator_rate) == (128, 100, 0.5, 2e-4)
    assert dcgan.adversarial == AdversarialLoss(base="standard", pairing="plain")
    names = {"ralsgan": "least_squares", "rahinge": "hinge"}
    for name, expected in names.items():
        loss = Relativistic.PRESETS[name].adversarial
        assert (loss.base, loss.pairing) == (expected, "average")


@pytest.mark.parametrize("name", Relativistic.PRESETS)
def test_every_preset_is_a_recipe_by_name(name):
    recipe = base.find("relativistic")(base.preset(base.find("relativistic"), name).settings)
    (stage,) = recipe.stages()
    assert [turn.side for turn in stage.turns] == ["discriminator", "generator"]
    assert isinstance(stage.turns[0], Turn)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"adversarial.base": "hing"}, "hinge"),
        ({"adversarial.pairing": "averaged"}, "average"),
        ({"batch_size": 1}, "batch of 1.*at least 2"),
        ({"batch_size": 1, "adversarial.pairing": "plain", "minibatch": "discrimination"}, "Minibatch discrimination"),
        ({"batch_size": 1, "adversarial.pairing": "plain", "minibatch": "stddev"}, "standard deviation"),
        ({"patch_grid": "31x31"}, "cannot give a grid.*can be had"),
        ({"patch_grid": "286px"}, "too small"),
        ({"patch_grid": "4x4", "minibatch": "stddev"}, "whole pictures"),
        ({"patch_grid": "4x4", "activation": "tanh"}, "leaky ReLUs alone"),
        ({"feature_matching_weight": 1.0, "feature_matching_layer": 4}, "has no layer 4.*0 to 3"),
        ({"feature_matching_weight": 1.0, "feature_matching_layer": -5}, "has no layer -5"),
        ({"penalty": "r1", "discriminator_norm": "batch"}, "batch norm"),
        ({"adversarial.base": "wasserstein"}, "bounded discriminator"),
        ({"gan_weight": 0.0}, "nothing to learn from"),
        ({"replay_size": -1}, "replay_size"),
        ({"discriminator_steps": 0}, "discriminator_steps"),
        ({"attention_px": 7}, "attention"),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_step(changes, text):
    with pytest.raises(UserError, match=text):
        networks_of(Relativistic(settings_room.replace(TINY, changes)))


def test_cards_name_a_head_and_an_activation_where_they_are_not_the_papers():
    papers = Relativistic(TINY).cards()
    assert not {"head", "activation"} & {key for card in papers.values() for key in card.settings}
    changed = Relativistic(replace(TINY, head="full_size", activation="tanh")).cards()
    assert changed["generator"].settings["head"] == "full_size"
    assert {card.settings["activation"] for card in changed.values()} == {"tanh"}
    assert build(changed["generator"])(torch.randn(2, TINY.latent)).shape == (2, 3, TINY.size_px, TINY.size_px)
    assert not any(isinstance(m, torch.nn.LeakyReLU) for m in build(changed["discriminator"]).modules())


@pytest.mark.parametrize("patch_grid", ["", "4x4"])
def test_the_layers_that_are_offered_are_those_that_there_are(patch_grid):
    recipe = Relativistic(replace(TINY, patch_grid=patch_grid))
    layers = len(networks_of(recipe).discriminator.eval()(torch.zeros(2, 3, 32, 32)).features)
    for layer in (layers - 1, -layers):
        Relativistic(replace(TINY, patch_grid=patch_grid, feature_matching_weight=1.0, feature_matching_layer=layer))
    with pytest.raises(UserError, match=f"0 to {layers - 1}"):
        Relativistic(replace(TINY, patch_grid=patch_grid, feature_matching_weight=1.0, feature_matching_layer=layers))
