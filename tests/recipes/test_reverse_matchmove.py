"""The recipe `reverse_matchmove`: losses written out plainly, the post's values, stages, exact resume, its card."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from assembled import networks_of

from ganvas import launch
from ganvas.drawn import photograph
from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.io.pictures import images
from ganvas.io.weights import files as weights
from ganvas.networks import build
from ganvas.protocol import Context
from ganvas.recipes import base
from ganvas.recipes.reverse_matchmove.recipe import PAPER, Batch, ReverseMatchmove, Settings
from ganvas.settings import replace
from ganvas.training import loop

TINY: dict[str, Any] = {
    "size_px": 16, "width": 2, "discriminator_width": 2, "batch_size": 2, "perceptual": "none", "precision": "float32",
    "threads": 1, "workers": 0, "pixel_steps": 2, "steps": 2, "zoom": [1.0, 1.2], "average_half_life": 20.0,
    "checkpoint_every": 2, "preview_every": 4, "score_every": 4, "val": "0.25", "run": 3, "fourier": 1, "rays_px": 8,
}  # fmt: skip


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    """Twelve views of a drawn photograph."""
    folder = tmp_path_factory.mktemp("footage")
    y, x = np.mgrid[0:96, 0:144] / 144
    picture = np.stack([np.sin(20 * x) * 0.4 + 0.5, np.cos(15 * y) * 0.4 + 0.5, x * y], -1)
    images.write(folder / "photo.png", images.from_float(picture.astype(np.float32), "uint8"))
    views = photograph.photograph_views(folder / "photo.png", 12, 16, seed=4)
    return photograph.write_views(views, folder / "shot")


def settings(footage, **changes: Any) -> Settings:
    return replace(Settings(), {**TINY, "data": str(footage), **changes})


def plan(footage, **changes: Any):
    return launch.plan(launch.Order("reverse_matchmove", settings(footage, **changes)))


def prepared(footage, **changes: Any):
    recipe = ReverseMatchmove(settings(footage, **changes))
    source = recipe.source(str(footage))
    recipe.prepare(source)
    torch.manual_seed(0)
    nets = networks_of(recipe)
    raw = [source.sample(place, np.random.default_rng(place)) for place in range(2)]
    return recipe, nets, {key: torch.stack([sample[key] for sample in raw]) for key in raw[0]}


def context(recipe, stage: str = "all") -> Context:
    found = next(item for item in recipe.stages() if item.name == stage)
    return Context(step=0, stage_step=0, images_seen=0, stage=found, random=torch.Generator().manual_seed(0))


def test_the_generators_losses_are_the_posts_sum(footage):
    weights_of = {"pixel_weight": 3.0, "learned_weight": 31.25, "gan_weight": 0.001}
    recipe, nets, raw = prepared(footage, **weights_of)
    for net in nets.values():
        net.eval()
    batch = recipe.batch(raw, context(recipe))
    outputs, _ = recipe.forward(nets, batch, {}, context(recipe))
    ledger = recipe.generator_losses(nets, batch, outputs, {}, context(recipe))
    fake, real = (((picture + 1) / 2).detach().double().numpy() for picture in (outputs["fake"], batch.real))
    normal = [(picture - 0.45) / np.array([0.229, 0.224, 0.225])[:, None, None] for picture in (fake, real)]
    assert ledger["pixel"].item() == pytest.approx(3 * np.abs(normal[0] - normal[1]).mean(), rel=1e-5)
    ours, theirs = nets.discriminator(outputs["fake"]), nets.discriminator(batch.real)
    distances = [(a - b).abs().mean().item() for a, b in zip(ours.features[:4], theirs.features[:4])]
    assert ledger["learned"].item() == pytest.approx(31.25 * np.mean(distances), rel=1e-5)
    assert ledger["gan"].item() == pytest.approx(-0.001 * ours.score.mean().item(), rel=1e-5)
    assert set(ledger) == {"pixel", "learned", "gan"}
    judged = recipe.discriminator_losses(nets, batch, outputs, {}, context(recipe))
    hinge = F.relu(1 - theirs.score).mean() + F.relu(1 + ours.score).mean()
    assert judged["gan"].item() == pytest.approx(hinge.item(), rel=1e-5)


def test_the_learned_loss_outweighs_the_others_as_the_post_has_it():
    assert PAPER.learned_weight == 25 * 1.25
    assert PAPER.learned_weight > 20 * PAPER.perceptual_weight and PAPER.gan_weight < 0.01


def test_nothing_is_learned_where_the_picture_does_not_reach(footage):
    recipe, nets, raw = prepared(footage, learned_weight=0.0, gan_weight=0.0, roll_degrees=0.0)
    raw["mask"][:] = 1.0
    raw["mask"][:, :, :, :8] = 0.0
    batch = recipe.batch(raw, context(recipe))
    outputs, _ = recipe.forward(nets, batch, {}, context(recipe))
    assert torch.equal(outputs["fake"][..., :8], batch.real[..., :8])
    fake = outputs["fake"]
    fake.retain_grad()
    sum(recipe.generator_losses(nets, batch, outputs, {}, context(recipe)).values()).backward()
    assert float(fake.grad[..., 8:].abs().min()) > 0
    wholly_hidden = Batch(batch.camera, batch.real, torch.zeros_like(batch.mask))
    hidden, _ = recipe.forward(nets, wholly_hidden, {}, context(recipe))
    for net in nets.values():
        net.zero_grad()
    sum(recipe.generator_losses(nets, wholly_hidden, hidden, {}, context(recipe)).values()).backward()
    assert all(float(p.grad.abs().max()) == 0 for p in nets.generator.parameters() if p.grad is not None)


def test_the_coarse_stage_sees_coarse_pictures_and_no_border(footage):
    recipe, nets, raw = prepared(footage, size_px=32, coarse_px=16, coarse_steps=2, rays_px=0)
    raw["mask"][:] = 1.0
    raw["mask"][0, 0, 0, 0] = 0.0
    batch = recipe.batch(raw, context(recipe, "coarse"))
    assert batch.real.shape == (2, 3, 16, 16)
    torch.testing.assert_close(batch.real, F.avg_pool2d(raw["picture"] * 2 - 1, 2))
    assert float(batch.mask[0, 0, 0, 0]) == 0 and float(batch.mask.sum()) == 2 * 256 - 1
    assert recipe.forward(nets, batch, {}, context(recipe, "coarse"))[0]["fake"].shape == (2, 3, 16, 16)
    assert recipe.sample(nets, batch, context(recipe, "coarse")).shape == (2, 3, 16, 32)


def test_stages_and_halving_rates():
    recipe = ReverseMatchmove(replace(PAPER, {"pixel_steps": 10}))
    assert [(stage.name, len(stage.turns)) for stage in recipe.stages()] == [("pixel", 1), ("all", 2)]
    adam = recipe.stages()[1].optimizers["discriminator"]
    # 500 epochs, halved every 50 from epoch 100 on.
    assert [round(500 * place) for place in adam.milestones] == [100, 150, 200, 250, 300, 350, 400, 450]
    assert (adam.rate, adam.betas, adam.factor) == (2e-4, (0.5, 0.999), 0.5)


@pytest.mark.parametrize("name", ReverseMatchmove.PRESETS)
def test_every_preset_is_a_recipe(name):
    chosen = base.preset(base.find("reverse_matchmove"), name).settings
    recipe = ReverseMatchmove(chosen)
    assert recipe.stages()
    if name in ("512", "paper"):
        assert (chosen.size_px, chosen.width, chosen.rays_px, chosen.fourier) == (512, 128, 0, 0)
        with torch.device("meta"):
            assert sum(p.numel() for p in build(recipe.card()).parameters()) == 52_299_651
            assert sum(p.numel() for p in build(recipe.cards()["discriminator"]).parameters()) == 3_862_273
    elif name.isdigit():
        assert chosen.size_px == int(name) and chosen.coarse_steps > 0


VARIANTS = {
    "as it is": {"rays_table": 32, "rays_planes": 1},
    "everything on": {"conditional": True, "attention_px": 8, "generator_spectral": True, "coarse_px": 16,
                      "size_px": 32,
                      "coarse_steps": 1, "pixel_steps": 1, "rays_px": 0, "dropout": 0.1, "width": 4},
    "batch norm, wasserstein, clipping": {"discriminator_norm": "batch", "adversarial.base": "wasserstein",
                                          "weight_clip": 0.01, "discriminator_decay": 0.01},
    "no discriminator": {"learned_weight": 0.0, "gan_weight": 0.0},
}  # fmt: skip


class Crash(Exception):
    """Stands for a kill: nothing is saved."""


@pytest.mark.parametrize("name", VARIANTS)
def test_a_run_killed_and_resumed_ends_bit_equal(name, footage, tmp_path, monkeypatch):
    changes = VARIANTS[name]
    loop.train(plan(footage, **changes), tmp_path / "whole", quiet=True)
    original = ReverseMatchmove.generator_losses

    def crash_at_3(self, nets, batch, outputs, carry, context):
        if context.step == 3:
            raise Crash
        return original(self, nets, batch, outputs, carry, context)

    with monkeypatch.context() as patch:
        patch.setattr(ReverseMatchmove, "generator_losses", crash_at_3)
        with pytest.raises(Crash):
            loop.train(plan(footage, **changes), tmp_path / "killed", quiet=True)
    torch.manual_seed(99)
    loop.resume(plan(footage, **changes), tmp_path / "killed", quiet=True)
    whole, again = (runs.newest_checkpoint(tmp_path / folder)[0] for folder in ("whole", "killed"))
    assert whole.step == again.step == 4
    for group, tensors in whole.groups.items():
        different = [key for key, value in tensors.items() if not torch.equal(value, again.groups[group][key])]
        assert not different, (group, different)
    net = build(weights.read_run(tmp_path / "whole").card)
    net.load_state_dict(dict(weights.read_run(tmp_path / "whole").tensors))
    if name != "no discriminator":
        assert weights.read_run(tmp_path / "whole", "discriminator").card.network == "camera_discriminator"


def test_a_run_tells_its_training_cameras_and_how_good_held_out_views_were(footage, tmp_path):
    loop.train(plan(footage), tmp_path / "run", quiet=True)
    read = weights.read_run(tmp_path / "run")
    told = read.card.extra
    # Three of the twelve are held out, in a row.
    assert len(told["cameras"]) == len(told["frames"]) == 9
    missing = sorted(set(range(12)) - set(told["frames"]))
    assert missing == list(range(missing[0], missing[0] + 3))
    recipe = ReverseMatchmove(settings(footage))
    whole = recipe.source(str(footage))
    mean, _ = whole.statistics()
    assert read.card.settings["mean"] == pytest.approx(mean)
    np.testing.assert_allclose(told["cameras"], whole.subset(told["frames"]).vectors(), rtol=1e-6, atol=1e-6)
    scores = runs.best_scores(tmp_path / "run")
    assert {"psnr", "gain_over_nearest", "ssim", "distance_1", "psnr_1"} <= set(scores)
    assert scores["distance_1"] <= scores["distance_3"]
    json.dumps(dataclasses.asdict(read.card))


def test_scores_are_those_of_a_plain_comparison(footage):
    recipe = ReverseMatchmove(settings(footage))
    whole = recipe.source(str(footage))
    train, held = whole.subset([0, 1, 2, 3, 4, 5, 6, 7, 8]), whole.subset([9, 10, 11])
    recipe.prepare(train)
    torch.manual_seed(0)
    nets = networks_of(recipe)
    nets.generator.eval()
    with torch.no_grad():
        scores = recipe.score(nets, held, context(recipe))
    _, deviation = whole.statistics()
    ours, base_ = [], []
    for place in range(3):
        view = held.plain(place)
        truth = view["picture"].double().numpy()
        with torch.no_grad():
            made = (nets.generator(view["camera"][None])[0].double().numpy() / 2 + 0.5).clip(0, 1)
        apart = np.linalg.norm((train.vectors() - held.vectors()[place]) / deviation, axis=1)
        nearest = train.plain(int(apart.argmin()))["picture"].double().numpy()
        for found, picture in ((ours, made), (base_, nearest)):
            found.append(-10 * np.log10(np.mean((picture - truth) ** 2)))
    assert scores["psnr"] == pytest.approx(np.mean(ours), abs=1e-3)
    assert scores["gain_over_nearest"] == pytest.approx(np.mean(ours) - np.mean(base_), abs=1e-3)


def test_a_photograph_itself_is_footage(footage):
    recipe = ReverseMatchmove(settings(footage, photograph_views=7))
    assert len(recipe.source(str(footage.parent / "photo.png"))) == 7


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"steps": 0, "pixel_steps": 0}, "nothing to train"),
        ({"pixel_weight": 0.0, "learned_weight": 0.0, "gan_weight": 0.0}, "nothing to learn"),
        ({"pixel_weight": 0.0}, "pixel stage"),
        ({"zoom": [1.4, 1.2]}, "zoom"),
        ({"coarse_px": 8}, "go together"),
        ({"coarse_px": 8, "coarse_steps": 1}, "16"),
        ({"halvings": 0}, "halvings"),
        ({"gan_weight": -1.0}, "negative"),
        ({"adversarial.base": "wasserstein", "discriminator_norm": "batch"}, "bounded"),
        ({"rays_px": 12}, "rays_px"),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_step(changes, text, footage):
    with pytest.raises(UserError, match=text):
        networks_of(ReverseMatchmove(settings(footage, **changes)))
