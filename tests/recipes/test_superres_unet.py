"""The recipe `superres_unet` against the seed's values, against losses written out plainly, and in small runs."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from assembled import networks_of
from PIL import Image
from torch import Tensor

import ganvas
from ganvas import settings as settings_room
from ganvas.errors import UserError
from ganvas.inference.picture.upscale import Upscaler
from ganvas.io import runs
from ganvas.io.weights import files as weights
from ganvas.metrics.paired import luma
from ganvas.metrics.sharpness import octave_energies
from ganvas.networks import build
from ganvas.networks.unet import DetailGain, enlarged
from ganvas.protocol import Context, Health, Turn
from ganvas.recipes import enlargement
from ganvas.recipes.enlargement import lowered
from ganvas.recipes.superres_unet.recipe import FADED, PAPER, PREVIEW, Batch, Settings, SuperResolvingUNets

TINY: dict[str, Any] = {
    "width": 4, "downs": 2, "norm": "none", "base": "bicubic", "discriminator_width": 4, "low_px": 16, "grid": "4x4",
    "batch_size": 3, "precision": "float32", "threads": 1, "average_half_life": 20.0, "steps": 4, "content_steps": 0,
}  # fmt: skip


def tiny(**changes: Any) -> Settings:
    return Settings(**{**TINY, **changes})


def context(recipe: SuperResolvingUNets, stage: int = 0, step: int = 0, health: bool = True, side: str = "") -> Context:
    turn = Turn(side="generator" if side == "generator" else "discriminator", trains=()) if side else None
    return Context(
        step=step, stage_step=step, images_seen=0, stage=recipe.stages()[stage], turn=turn,
        random=torch.Generator().manual_seed(step), health=Health(healthy=health),
    )  # fmt: skip


def batch_of(recipe: SuperResolvingUNets, stage: int = 0, number: int = 3) -> Batch:
    side = recipe.stages()[stage].resolution
    high = torch.rand(number, 3, side, side, generator=torch.Generator().manual_seed(5))
    return recipe.batch({"high": high}, context(recipe, stage))


def draw(folder: Path, number: int, size: int = 72) -> Path:
    folder.mkdir(parents=True)
    y, x = np.mgrid[0:size, 0:size]
    for index in range(number):
        random = np.random.default_rng(index)
        wave = np.sin(x * random.uniform(0.2, 0.6) + y * random.uniform(0.2, 0.6))[..., None]
        picture = 0.5 + 0.4 * wave * random.uniform(0.3, 1, 3)
        Image.fromarray((picture * 255).astype(np.uint8)).save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("pictures") / "waves", 4)


SEED_VALUES = {
    "scale": (2, "README: from 64x64 to 128x128"),
    "low_px": (64, "README"),
    "framing": ("squares", "README: two transforms of the same image"),
    "batch_size": (32, "train_stage2.py"),
    "width": (64, "ngf"),
    "downs": (5, "num_downs 4 makes five halvings"),
    "norm": ("batch", "pix2pix's U-Net"),
    "tail": ("single", "README: an extra deconv layer at the end"),
    "base": ("none", "tanh"),
    "generator_std": (0.002, "init of G"),
    "grid": ("5x5", "D_Stage2 on 128 px"),
    "discriminator_norm": ("none", "D_Stage2"),
    "content_weight": (1.0, "train_stage2.py"),
    "content_off_step": (0, "planned, not published"),
    "style": ("vaegan", "train_stage2.py as last published"),
    "style_weight": (0.01, "train_stage2.py"),
    "adversarial.base": ("least_squares", "README: LSGAN"),
    "adversarial.pairing": ("plain", "README"),
    "generator_rate": (2e-4, "train_stage2.py"),
    "discriminator_rate": (5e-5, "train_stage2.py"),
    "betas": ((0.5, 0.999), "train_stage2.py"),
}


@pytest.mark.parametrize("name", SEED_VALUES)
def test_the_paper_preset_holds_the_seeds_values(name: str) -> None:
    value: Any = PAPER
    for part in name.split("."):
        value = getattr(value, part)
    assert value == SEED_VALUES[name][0], SEED_VALUES[name][1]


def test_the_seeds_networks_have_the_published_sizes() -> None:
    with torch.device("meta"):
        nets = networks_of(SuperResolvingUNets(PAPER))
        verdict = nets.discriminator(torch.empty(1, 3, 128, 128))
    assert sum(p.numel() for p in nets.generator.parameters()) == 17_727_619
    # Five by five scores; 2,763,776 weights, to which ours adds the biases of the five convolutions.
    assert verdict.score.shape == (1, 1, 5, 5)
    assert sum(p.numel() for p in nets.discriminator.parameters() if p.ndim == 4) == 2_763_776


def test_iterations_grow_by_the_scale() -> None:
    stages = SuperResolvingUNets(tiny(low_px=64, iterations=3, content_steps=2)).stages()
    assert [stage.name for stage in stages] == [
        "content128", "style128", "content256", "style256", "content512", "style512",
    ]  # fmt: skip
    assert [turn.side for turn in stages[1].turns] == ["discriminator", "generator"]
    assert [turn.side for turn in stages[0].turns] == ["generator"]


def plain_losses(style: str, nets: Any, batch: Batch, fake: Tensor) -> float:
    """The seed's style losses in plain float64 numpy, of the discriminator's last features and scores."""

    def seen(pictures: Tensor) -> tuple[np.ndarray, np.ndarray]:
        with torch.no_grad():
            features = nets.discriminator(pictures).features
        return features[-2].double().numpy(), features[-1].double().numpy()

    (fake_features, fake_score), (real_features, _) = seen(fake), seen(batch.high)
    if style == "gan":
        return float(((fake_score - 1) ** 2).mean())
    if style == "vaegan":
        return float(((fake_features - real_features) ** 2).mean())
    return float(np.sqrt(((fake_features.mean(0) - real_features.mean(0)) ** 2).sum()))


@pytest.mark.parametrize("style", ["gan", "salimans", "vaegan", "none"])
def test_losses_are_content_plus_lambda_times_style(style: str) -> None:
    torch.manual_seed(0)
    recipe = SuperResolvingUNets(tiny(style=style, style_weight=0.3, content_weight=2.0))
    nets, batch, now = networks_of(recipe), batch_of(recipe), context(recipe)
    outputs, _ = recipe.forward(nets, batch, {}, now)
    ledger = recipe.generator_losses(nets, batch, outputs, {}, now)
    fake = outputs["fake"].detach()
    assert float(ledger["content"].detach()) == pytest.approx(2 * float((fake - batch.high).abs().mean()), rel=1e-5)
    if style == "none":
        assert "discriminator" not in nets and set(ledger) == {"content"}
    else:
        assert float(ledger["style"].detach()) == pytest.approx(0.3 * plain_losses(style, nets, batch, fake), rel=1e-4)


def test_the_discriminators_loss_is_least_squares() -> None:
    torch.manual_seed(0)
    recipe = SuperResolvingUNets(tiny())
    nets, batch, now = networks_of(recipe), batch_of(recipe), context(recipe)
    outputs, _ = recipe.forward(nets, batch, {}, now)
    found = recipe.discriminator_losses(nets, batch, {"fake": outputs["fake"].detach()}, {}, now)["gan"]
    with torch.no_grad():
        real, fake = (nets.discriminator(p).score.double() for p in (batch.high, outputs["fake"]))
    assert float(found.detach()) == pytest.approx(float(((real - 1) ** 2).mean() + (fake**2).mean()), rel=1e-5)


def test_content_fades_only_while_the_discriminator_is_healthy_and_comes_back() -> None:
    recipe = SuperResolvingUNets(tiny(content_off_step=2, content_fade_steps=4))
    nets, batch = networks_of(recipe), batch_of(recipe)
    carry: dict[str, Any] = {}
    shares = []
    for step, health in enumerate([True, True, True, True, False, True, True, True, True]):
        _, carry = recipe.forward(nets, batch, carry, context(recipe, step=step, health=health, side="discriminator"))
        shares.append(recipe.content_share(carry))
    assert shares == [1, 1, 0.75, 0.5, 0.75, 0.5, 0.25, 0, 0]
    assert carry[FADED] == 4
    outputs, _ = recipe.forward(nets, batch, carry, context(recipe))
    assert float(recipe.generator_losses(nets, batch, outputs, carry, context(recipe))["content"].detach()) == 0


def test_from_the_second_doubling_on_half_the_inputs_are_the_networks_own() -> None:
    torch.manual_seed(0)
    recipe = SuperResolvingUNets(tiny(iterations=2, low_px=16, style="none"))
    nets = networks_of(recipe)
    assert batch_of(recipe, 0).lower is None
    batch = batch_of(recipe, 1, number=4)
    assert batch.lower is not None and batch.lower.shape == (2, 3, 16, 16)
    made = recipe.forward(nets, batch, {}, context(recipe, 1))[0]["fake"]
    own = nets.generator(nets.generator(batch.lower).clamp(-1, 1))
    given = nets.generator(batch.low[2:])
    assert torch.allclose(made, torch.cat([own, given]), atol=1e-5)


def test_low_pictures_are_the_high_ones_made_smaller() -> None:
    recipe = SuperResolvingUNets(tiny(iterations=2, low_px=16))
    smooth = torch.linspace(0.1, 0.9, 64).expand(2, 3, 64, 64)
    batch = recipe.batch({"high": smooth}, context(recipe, 1))
    assert torch.allclose(batch.high, smooth * 2 - 1)
    assert batch.lower is not None
    for low, factor in ((batch.low, 2), (batch.lower, 4)):
        expected = torch.nn.functional.avg_pool2d(batch.high[: len(low)], factor)
        assert (low - expected)[..., 2:-2].abs().max() < 2.5 / 255


def test_conditions_reach_both_networks(tmp_path: Path, pictures: Path) -> None:
    for index in range(4):
        labels = np.zeros((72, 72), np.uint8)
        labels[:, 36:] = index % 3
        (tmp_path / "labels").mkdir(exist_ok=True)
        Image.fromarray(labels).save(tmp_path / "labels" / f"{index}.png")
    recipe = SuperResolvingUNets(tiny(labels=str(tmp_path / "labels"), num_labels=3, discriminator_sees_low=True))
    source = recipe.source(str(pictures))
    raw = torch.utils.data.default_collate([source.sample(i, np.random.default_rng(i)) for i in range(3)])
    batch, now = recipe.batch(raw, context(recipe)), context(recipe)
    assert batch.condition.shape == (3, 3, 32, 32)
    assert torch.equal(batch.condition.sum(1), torch.ones(3, 32, 32))
    nets = networks_of(recipe)
    outputs, _ = recipe.forward(nets, batch, {}, now)
    recipe.generator_losses(nets, batch, outputs, {}, now)
    recipe.discriminator_losses(nets, batch, outputs, {}, now)
    assert set(recipe.score(nets, source, now)) >= {"psnr_y", "low_l1_255ths"}


def test_classes_are_the_names_of_folders(tmp_path: Path) -> None:
    draw(tmp_path / "data" / "ants", 2)
    draw(tmp_path / "data" / "bees", 1, size=80)
    recipe = SuperResolvingUNets(tiny(num_classes=2))
    source: Any = recipe.source(str(tmp_path / "data"))
    classes = {name: int(source.sample(i, np.random.default_rng(0))["class"]) for i, name in enumerate(source.groups())}
    assert classes == {"ants/0.png": 0, "ants/1.png": 0, "bees/0.png": 1}
    raw = {"high": torch.rand(2, 3, 32, 32), "class": torch.tensor([1, 0])}
    assert recipe.batch(raw, context(recipe)).condition[:, :, 0, 0].tolist() == [[0, 1], [1, 0]]
    assert "psnr_y" in recipe.score(networks_of(recipe), source, context(recipe))
    with pytest.raises(UserError, match="3 classes"):
        SuperResolvingUNets(tiny(num_classes=3)).source(str(tmp_path / "data"))


@pytest.mark.parametrize(
    "changes",
    [
        {"replay_size": 4, "history_weight": 0.1, "content_off_step": 1, "discriminator_sees_low": True},
        {"iterations": 2, "low_px": 8, "steps": 2, "replay_size": 4, "content_steps": 1, "grid": "2x2"},
        {"minibatch": True, "grid": "1x1", "low_px": 16, "framing": "squares", "norm": "batch"},
        {"detail": 0.0, "content_schedule": "cosine", "content_steps": 3, "style": "none", "steps": 1},
    ],
)
def test_a_stopped_and_resumed_run_is_bit_equal(tmp_path: Path, pictures: Path, changes: dict[str, Any]) -> None:
    kept = {**TINY, "checkpoint_every": 2, "keep_last": 9, "preview_every": 100, "score_every": 100, **changes}
    whole = ganvas.train("superres_unet", pictures, tmp_path / "whole", preset="laptop", settings=kept, quiet=True)
    again = tmp_path / "again"
    shutil.copytree(whole, again)
    for folder in (again / "checkpoints").iterdir():
        if folder.is_dir() and int(folder.name) > 2:
            shutil.rmtree(folder)
    torch.manual_seed(99)
    ganvas.train(resume=again, quiet=True)
    first, second = (runs.newest_checkpoint(folder)[0] for folder in (whole, again))
    assert first is not None and second is not None
    assert first.step == second.step > 2
    assert first.state["carry"] == second.state["carry"]
    for group, tensors in first.groups.items():
        different = [key for key, value in tensors.items() if not torch.equal(value, second.groups[group][key])]
        assert not different, (group, different)


def test_the_gain_that_training_finds_is_used_and_gives_the_truths_finest_octave(tmp_path: Path) -> None:
    torch.manual_seed(0)
    recipe = SuperResolvingUNets(tiny(detail=0.0, style="none"))
    net, high = networks_of(recipe).generator, enlarged(torch.randn(2, 3, 40, 40), 2)[..., :64, :64] * 0.2
    low = lowered(high * 0.5 + 0.5, 2) * 2 - 1
    enlargement.calibrate(net, low, high)
    found = float(net.gain())  # pyright: ignore[reportCallIssue]
    with torch.no_grad():
        made = net.eval()(low)
    energies = [octave_energies(luma(x * 0.5 + 0.5)[:, 0])[:, 0].mean() for x in (made, high)]
    assert 1.1 < found < DetailGain.LIMITS[1] and float(energies[0] / energies[1]) == pytest.approx(1, rel=0.01)
    weights.save(tmp_path / "net.safetensors", net.state_dict(), recipe.card())
    assert torch.equal(ganvas.load(tmp_path / "net.safetensors")(low), made)


def test_a_run_upscales_any_number_of_doublings(tmp_path: Path, pictures: Path) -> None:
    changes = {**TINY, "style": "none", "steps": 2, "content_steps": 0}
    ganvas.train("superres_unet", pictures, tmp_path / "run", preset="laptop", settings=changes, quiet=True)
    up = Upscaler(str(tmp_path / "run"), precision="float32", device="cpu")
    picture = np.random.default_rng(0).random((21, 30, 3)).astype(np.float32)
    assert up(picture).shape == (42, 60, 3)
    assert up(picture, factor=4).shape == (84, 120, 3)
    assert ganvas.load(tmp_path / "run").card.scale == 2  # pyright: ignore[reportAttributeAccessIssue]


def test_the_autoencoder_gives_back_its_own_size(pictures: Path) -> None:
    recipe = SuperResolvingUNets(tiny(scale=1, style="none"))
    batch = batch_of(recipe)
    assert torch.equal(batch.low, batch.high)
    assert networks_of(recipe).generator(batch.low).shape == batch.high.shape


def test_low_pictures_may_come_from_a_folder_of_their_own(tmp_path: Path, pictures: Path) -> None:
    (tmp_path / "low").mkdir()
    for path in pictures.iterdir():
        Image.open(path).resize((36, 36), Image.Resampling.BOX).save(tmp_path / "low" / f"{path.stem}_lr.png")
    recipe = SuperResolvingUNets(tiny(low=str(tmp_path / "low")))
    source = recipe.source(str(pictures))
    raw = torch.utils.data.default_collate([source.sample(0, np.random.default_rng(0))])
    batch = recipe.batch(raw, context(recipe))
    expected = torch.nn.functional.avg_pool2d(batch.high, 2)
    assert (batch.low - expected).abs().max() < 2 / 255 + 1e-3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": "40x40"}, "cannot give a grid"),
        ({"minibatch": True}, "grid 1x1"),
        ({"scale": 1, "iterations": 2}, "nothing grows"),
        ({"low_px": 2}, "halvings need"),
        ({"labels": "x"}, "num-labels"),
        ({"low": "a", "labels": "b", "num_labels": 2}, "Both"),
        ({"low": "a", "iterations": 2}, "iterations"),
        ({"content_weight": 0.0, "style": "none"}, "nothing to learn"),
        ({"content_off_step": 5, "style": "none"}, "shut off"),
        ({"steps": 0}, "nothing to train"),
    ],
)
def test_impossible_settings_are_refused_before_training(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SuperResolvingUNets(tiny(**changes))


def test_every_preset_can_be_built() -> None:
    for settings in SuperResolvingUNets.PRESETS.values():
        with torch.device("meta"):
            networks_of(SuperResolvingUNets(settings))
    assert SuperResolvingUNets(replace(PREVIEW, style="salimans")).stages()


def test_the_old_name_of_the_single_tail_is_refused_with_the_new_one_but_not_in_runs_and_cards() -> None:
    with pytest.raises(UserError, match=r"'seed'.*called 'single' now"):
        settings_room.replace(PREVIEW, {"tail": "seed"})
    noted = {**settings_room.to_json(PREVIEW), "tail": "seed"}
    assert settings_room.from_json(Settings, settings_room.renamed(Settings, noted)) == replace(PREVIEW, tail="single")
    card = SuperResolvingUNets(replace(PREVIEW, tail="single")).card()
    nets = [build(replace(card, settings={**card.settings, "tail": tail})) for tail in ("seed", "single", "symmetric")]
    shapes = [{key: value.shape for key, value in net.state_dict().items()} for net in nets]
    assert shapes[0] == shapes[1] != shapes[2]
