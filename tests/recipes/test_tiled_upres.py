"""The recipe `tiled_upres` against the seed's values, against losses written out plainly, and in small runs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from assembled import networks_of
from torch import Tensor

import ganvas
from ganvas.drawn.faces import write
from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.io.weights import files as weights
from ganvas.protocol import Context
from ganvas.recipes.tiled_upres import PAPER, Batch, Settings, TiledUpres, laplacian_l1

TINY: dict[str, Any] = {
    "width": 4, "encoder_width_div": 2, "discriminator_width": 4, "high_px": 128, "low_px": 80, "scale": 2,
    "guide": "edges", "batch_size": 2, "pixel_steps": 2, "steps": 3, "threads": 1, "precision": "float32",
    "checkpoint_every": 2, "keep_last": 9, "average_half_life": 10.0,
}  # fmt: skip


def tiny(**changes: Any) -> Settings:
    return Settings(**{**TINY, **changes})


def context(recipe: TiledUpres, stage: str = "gan") -> Context:
    found = next(item for item in recipe.stages() if item.name == stage)
    return Context(step=3, stage_step=1, images_seen=0, stage=found, random=torch.Generator().manual_seed(0))


def scene(settings: Settings) -> tuple[TiledUpres, Any, Batch, dict[str, Tensor]]:
    torch.manual_seed(0)
    recipe = TiledUpres(settings)
    batch = Batch(torch.rand(2, 4, 32, 32) * 2 - 1, torch.rand(2, 3, 64, 64) * 2 - 1)
    nets = networks_of(recipe)
    outputs, _ = recipe.forward(nets, batch, {}, context(recipe))
    return recipe, nets, batch, outputs


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("faces") / "set", 3, 128)


SEED_VALUES = {
    "high_px": (768, "introduction; figure"),
    "low_px": (128, "semantic guide"),
    "tile_px": (32, "semantic guide: 32x32x6 crops"),
    "scale": (8, "upres generator: 8x"),
    "guide": ("landmarks", "semantic guide: dlib"),
    "guide_each": (False, "encoded as colours in RGB"),
    "encoder_width_div": (4, "upres generator: 4x fewer channels"),
    "width": (64, "figure method2"),
    "norm": ("none", "I've also removed the batchnorm step"),
    "base": ("none", "figure method2"),
    "discriminator_norm": ("batch", "I still use batchnorm in the discriminator"),
    "l1_at": ("low", "lowres L1 loss"),
    "l1_weight": (100.0, "not stated; pix2pix's lambda"),
    "adversarial.base": ("standard", "pix2pix"),
    "pixel_steps": (0, "one stage of training"),
    "generator_rate": (2e-4, "not stated; pix2pix's"),
    "betas": ((0.5, 0.999), "not stated; pix2pix's"),
}


@pytest.mark.parametrize("name", SEED_VALUES)
def test_the_paper_preset_holds_the_seeds_values(name: str) -> None:
    value: Any = PAPER
    for part in name.split("."):
        value = getattr(value, part)
    assert value == SEED_VALUES[name][0], SEED_VALUES[name][1]


def test_the_seeds_grid_is_96() -> None:
    assert PAPER.high_px // PAPER.scale == 96


def pooled(picture: Tensor, factor: int) -> np.ndarray:
    array = picture.detach().double().numpy()
    b, c, h, w = array.shape
    return array.reshape(b, c, h // factor, factor, w // factor, factor).mean((3, 5))


def test_losses_are_the_gan_and_lambda_times_l1_at_the_tiles_own_size() -> None:
    recipe, nets, batch, outputs = scene(tiny(l1_weight=7.0, gan_weight=0.5))
    ledger = recipe.generator_losses(nets, batch, outputs, {}, context(recipe))
    expected = 7 * np.abs(pooled(outputs["fake"], 2) - pooled(batch.high, 2)).mean()
    assert float(ledger["l1"].detach()) == pytest.approx(expected, rel=1e-5)
    score = nets.discriminator(outputs["fake"], batch.low).score.detach().double().numpy()
    assert float(ledger["gan"].detach()) == pytest.approx(0.5 * np.log1p(np.exp(-score)).mean(), rel=1e-5)
    judged = recipe.discriminator_losses(nets, batch, {"fake": outputs["fake"].detach()}, {}, context(recipe))
    real = nets.discriminator(batch.high, batch.low).score.detach().double().numpy()
    expected = np.log1p(np.exp(-real)).mean() + np.log1p(np.exp(score)).mean()
    assert float(judged["gan"].detach()) == pytest.approx(expected, rel=1e-4)


def test_l1_can_be_full_or_on_a_pyramid_and_is_full_in_the_first_stage() -> None:
    recipe, nets, batch, outputs = scene(tiny(l1_weight=1.0, l1_at="full"))
    full = np.abs(outputs["fake"].detach().double().numpy() - batch.high.double().numpy()).mean()
    found = recipe.generator_losses(nets, batch, outputs, {}, context(recipe))
    assert float(found["l1"].detach()) == pytest.approx(full, rel=1e-5)
    recipe, nets, batch, outputs = scene(tiny(l1_weight=1.0))
    first = recipe.generator_losses(nets, batch, outputs, {}, context(recipe, "pixel"))
    assert set(first) == {"l1"} and float(first["l1"].detach()) == pytest.approx(full, rel=1e-5)
    assert float(laplacian_l1(batch.high, batch.high, 3)) == 0


def test_the_pyramid_sees_a_shift_of_brightness_at_its_top_only() -> None:
    picture = torch.rand(1, 3, 32, 32)
    # Three levels of detail do not change, the top does by 0.1: the mean over four is 0.025.
    assert float(laplacian_l1(picture + 0.1, picture, 3)) == pytest.approx(0.025, rel=1e-4)
    checker = torch.zeros(1, 3, 32, 32)
    checker[..., ::2, ::2] = checker[..., 1::2, 1::2] = 0.1
    # A checkerboard has no average of its own but 0.05: fine detail of +-0.05 and the top.
    assert float(laplacian_l1(checker, torch.zeros_like(checker), 3)) == pytest.approx((0.05 + 0.05) / 4, rel=1e-4)


@pytest.mark.parametrize(
    "changes",
    [{}, {"norm": "batch", "guide": "points", "guide_each": True}, {"guide": "none", "discriminator_norm": "none"}],
)
def test_a_run_stopped_and_resumed_ends_bit_equal(tmp_path: Path, faces: Path, changes: dict[str, Any]) -> None:
    kept = {**TINY, **changes}
    whole = ganvas.train("tiled_upres", faces, tmp_path / "whole", preset="laptop", settings=kept, quiet=True)
    again = tmp_path / "again"
    shutil.copytree(whole, again)
    for folder in runs.checkpoints(again):
        if int(folder.name) > 2:
            shutil.rmtree(folder)
    torch.manual_seed(99)
    ganvas.train(resume=again, quiet=True)
    first, second = (runs.newest_checkpoint(folder)[0] for folder in (whole, again))
    assert first is not None and second is not None and first.step == second.step == 5
    for group, tensors in first.groups.items():
        different = [key for key, value in tensors.items() if not torch.equal(value, second.groups[group][key])]
        assert not different, (group, different)
    judge = weights.read_run(whole, "discriminator")
    assert judge.card.network == "low_conditioned_discriminator"


def test_training_learns_low_tiles(tmp_path: Path, faces: Path) -> None:
    settings = {**TINY, "pixel_steps": 30, "steps": 0, "base": "none", "generator_rate": 2e-3, "log_every": 1}
    run = ganvas.train("tiled_upres", faces, tmp_path / "run", preset="laptop", settings=settings, quiet=True)
    losses = [entry["losses"]["G.l1"] for entry in runs.read_log(run) if "losses" in entry]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:3])


def test_the_score_tells_psnr_low_l1_and_detail(faces: Path) -> None:
    recipe = TiledUpres(tiny(base="bicubic"))
    source = recipe.source(str(faces))
    nets = networks_of(recipe)
    torch.nn.init.zeros_(nets.generator.last.weight)  # pyright: ignore[reportArgumentType]
    with torch.no_grad():
        found = recipe.score(nets, source, context(recipe))
    # What adds nothing to the bicubic (torch's, a little sharper than MATLAB's) gains next to nothing, and is soft.
    assert abs(found["gain_over_bicubic"]) < 0.6
    assert found["low_l1_255ths"] < 3 and found["laplacian_ratio"] < 0.9
    batch = scene(tiny())[2]
    low, _, fake, high = recipe.sample(nets, batch, context(recipe)).chunk(4, dim=-1)
    assert torch.allclose(low[..., ::2, ::2], batch.low[:, :3] * 0.5 + 0.5) and torch.allclose(
        high, batch.high * 0.5 + 0.5
    )
    assert torch.equal(fake, (nets.generator(batch.low) * 0.5 + 0.5).clamp(0, 1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"high_px": 100, "scale": 8}, "multiple of the scale"),
        ({"high_px": 32}, "larger than the picture"),
        ({"tile_px": 48}, "multiple of 32"),
        ({"low_px": 50}, "would be enlarged"),
        ({"pixel_steps": 0, "steps": 0}, "nothing to train"),
        ({"l1_weight": 0.0}, "nothing to learn"),
    ],
)
def test_impossible_settings_are_refused_before_training(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TiledUpres(tiny(**changes))


def test_unknown_guides_and_small_pictures_are_refused_before_training(tmp_path: Path, faces: Path) -> None:
    for changes, message in (({"guide": "edgy"}, "edges"), ({"high_px": 256, "low_px": 160}, "No picture")):
        with pytest.raises(UserError, match=message):
            ganvas.train(
                "tiled_upres", faces, tmp_path / "run", preset="laptop", settings={**TINY, **changes}, quiet=True
            )
        assert not (tmp_path / "run").exists()
