"""The recipe `esrgan` against the paper's values, against losses written out plainly, and in small runs."""

from __future__ import annotations

import copy
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from assembled import networks_of
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio
from torch import Tensor, nn

import ganvas
from ganvas import launch
from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.io.weights import files as weights
from ganvas.networks import build
from ganvas.networks.blocks import SyncedBatchNorm2d
from ganvas.networks.features import VGG19, SmallFeatures
from ganvas.networks.rrdb.net import RRDBNet
from ganvas.protocol import Card, Context
from ganvas.recipes.esrgan import ESRGAN, PAPER, SRGAN, Batch, Settings
from ganvas.recipes.features import load_features
from ganvas.settings import differences

TINY: dict[str, Any] = {
    "network": "compact", "width": 8, "blocks": 1, "discriminator_width": 4, "batch_size": 3, "crop_px": 32,
    "pixel_crop_px": 48, "perceptual": "none", "precision": "float32", "threads": 1, "average_half_life": 20.0,
}  # fmt: skip


def tiny(**changes: Any) -> Settings:
    return Settings(**{**TINY, **changes})


def context(recipe: ESRGAN, stage: str = "gan", seed: int = 0, step: int = 0) -> Context:
    found = next(item for item in recipe.stages() if item.name == stage)
    random = torch.Generator().manual_seed(seed)
    return Context(step=step, stage_step=step, images_seen=0, stage=found, random=random)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four drawn pictures: stripes of several widths under a soft light."""
    folder = tmp_path_factory.mktemp("photographs")
    y, x = np.mgrid[0:104, 0:88]
    for number in range(4):
        random = np.random.default_rng(number)
        angle, wave = random.uniform(0, np.pi), random.uniform(6, 16)
        stripes = np.sin((np.cos(angle) * x + np.sin(angle) * y) * 2 * np.pi / wave) > 0
        light = (x / 88 + y / 104)[..., None] / 2 * random.uniform(0.5, 1, 3)
        picture = 0.6 * light + 0.4 * stripes[..., None] * random.uniform(0, 1, 3)
        Image.fromarray((picture * 255).astype(np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def features_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    card = Card(network="small_features", settings={"width": 4, "stages": 2, "classes": 3}, input="other")
    network = SmallFeatures(width=4, stages=2, classes=3)
    return weights.save(tmp_path_factory.mktemp("features") / "features.safetensors", network.state_dict(), card)


# The paper


PAPER_VALUES = {
    "scale": (4, "section 4.1"),
    "degradation": ("bicubic", "section 4.1: MATLAB's bicubic kernel"),
    "batch_size": (16, "section 4.1"),
    "crop_px": (128, "section 4.1"),
    "pixel_crop_px": (192, "supplement, section 4"),
    "network": ("rrdb", "section 3.1, no batch norm"),
    "blocks": (23, "section 4.1"),
    "width": (64, "the authors' released model"),
    "growth": (32, "the authors' released model"),
    "discriminator": ("vgg", "section 4.1, as SRGAN"),
    "pixel_loss": ("l1", "sections 3.3 and 4.1"),
    "pixel_steps": (1_000_000, "the authors' released options"),
    "pixel_rate": (2e-4, "section 4.1"),
    "gan_steps": (400_000, "the authors' released options"),
    "gan_rate": (1e-4, "section 4.1"),
    "adversarial.base": ("standard", "section 3.2, equations 1 and 2"),
    "adversarial.pairing": ("average", "section 3.2"),
    "gan_weight": (5e-3, "section 4.1, lambda"),
    "pixel_weight": (1e-2, "section 4.1, eta"),
    "perceptual": ("vgg19", "section 3.3"),
    "perceptual_layers": (("conv5_4",), "section 3.3, VGG19-54 before its activation"),
    "perceptual_loss": ("l1", "the authors' released options"),
    "perceptual_weight": (1.0, "equation 3"),
}


@pytest.mark.parametrize("name", PAPER_VALUES)
def test_the_paper_preset_holds_the_papers_values(name: str) -> None:
    value: Any = PAPER
    for part in name.split("."):
        value = getattr(value, part)
    assert value == PAPER_VALUES[name][0], PAPER_VALUES[name][1]


def test_the_rates_fall_at_the_papers_iterations() -> None:
    pixel, gan = ESRGAN(PAPER).stages()
    for stage, name, first, halvings in (
        (pixel, "generator", 2e-4, [200_000, 400_000, 600_000, 800_000]),  # section 4.1: every 2e5 iterations
        (gan, "generator", 1e-4, [50_000, 100_000, 200_000, 300_000]),
        (gan, "discriminator", 1e-4, [50_000, 100_000, 200_000, 300_000]),
    ):
        adam = stage.optimizers[name]
        assert (adam.rate, adam.betas, adam.schedule, adam.factor) == (first, (0.9, 0.999), "step", 0.5)
        assert [milestone * stage.steps for milestone in adam.milestones] == pytest.approx(halvings)


def test_the_papers_networks_have_the_published_sizes() -> None:
    with torch.device("meta"):
        nets = networks_of(ESRGAN(replace(PAPER, perceptual="none")))
    counts = {name: sum(p.numel() for p in net.parameters()) for name, net in nets.items()}
    # The released discriminator has 14,499,401; its last bias has no gradient under a relativistic loss.
    assert counts == {"generator": 16_697_987, "discriminator": 14_499_400}


def test_stages_train_pixels_first_then_both_networks() -> None:
    pixel, gan = ESRGAN(tiny(pixel_steps=5, gan_steps=7)).stages()
    assert (pixel.name, pixel.steps, pixel.resolution) == ("pixel", 5, 48)
    assert [turn.trains for turn in pixel.turns] == [("generator",)]
    assert (gan.name, gan.steps, gan.resolution) == ("gan", 7, 32)
    assert [turn.side for turn in gan.turns] == ["discriminator", "generator"]
    assert [stage.name for stage in ESRGAN(tiny(pixel_steps=0)).stages()] == ["gan"]
    assert [stage.name for stage in ESRGAN(tiny(gan_steps=0)).stages()] == ["pixel"]


def test_srgan_undoes_the_four_improvements() -> None:
    changed = set(differences(PAPER, SRGAN))
    improvements = {"network", "adversarial.pairing", "perceptual_layers", "pixel_steps"}
    sizes_and_weights = {
        "blocks", "crop_px", "gan_steps", "gan_weight",
        "perceptual_weight", "perceptual_loss", "pixel_loss", "pixel_weight",
    }  # fmt: skip
    assert changed == improvements | sizes_and_weights
    assert (SRGAN.adversarial.pairing, SRGAN.perceptual_layers) == ("plain", ("relu5_4",))
    assert [stage.name for stage in ESRGAN(SRGAN).stages()] == ["gan"]
    with torch.device("meta"):
        nets = networks_of(ESRGAN(replace(SRGAN, perceptual="none")))
    # Two in each of 16 residual blocks, one behind them (SRGAN, figure 4).
    assert sum(isinstance(module, SyncedBatchNorm2d) for module in nets.generator.modules()) == 33


# The losses of one step, in float64


def scene(settings: Settings) -> tuple[ESRGAN, Any, Batch, dict[str, Tensor], Context]:
    torch.manual_seed(0)
    recipe = ESRGAN(settings)
    nets = networks_of(recipe)
    for net in nets.values():
        net.double()
    high = torch.rand(3, 3, 32, 32, dtype=torch.float64)
    batch = Batch(torch.rand(3, 3, 8, 8, dtype=torch.float64), high)
    outputs, _ = recipe.forward(nets, batch, {}, context(recipe))
    assert outputs["fake"].dtype == torch.float64
    return recipe, nets, batch, outputs, context(recipe)


def scores(nets: Any, batch: Batch, outputs: dict[str, Tensor]) -> tuple[np.ndarray, np.ndarray]:
    critic = copy.deepcopy(nets.discriminator)
    return tuple(critic(picture).score.detach().numpy() for picture in (batch.high, outputs["fake"]))  # pyright: ignore


def log_sigmoid(x: np.ndarray) -> np.ndarray:
    return -np.log1p(np.exp(-x))


def absolute(a: Tensor, b: Tensor) -> float:
    return float(np.abs(a.detach().numpy() - b.detach().numpy()).mean())


def test_the_losses_are_equation_3(features_file: Path) -> None:
    layers = ("conv2_2",)
    recipe, nets, batch, outputs, at = scene(tiny(perceptual=str(features_file), perceptual_layers=layers))
    r, f = scores(nets, batch, outputs)
    d_real, d_fake = r - f.mean(), f - r.mean()

    found = recipe.discriminator_losses(nets, batch, {"fake": outputs["fake"].detach()}, {}, at)
    # Equation 1, halved as in the authors' code; log(1 - sigmoid(x)) = log(sigmoid(-x)).
    assert found["gan"].item() == pytest.approx(-(log_sigmoid(d_real) + log_sigmoid(-d_fake)).mean() / 2, abs=1e-12)

    found = recipe.generator_losses(nets, batch, outputs, {}, at)
    assert list(found) == ["gan", "pixel", "perceptual"]
    gan = -(log_sigmoid(-d_real) + log_sigmoid(d_fake)).mean() / 2  # equation 2
    assert found["gan"].item() == pytest.approx(5e-3 * gan, abs=1e-12)
    assert found["pixel"].item() == pytest.approx(1e-2 * absolute(outputs["fake"], batch.high), abs=1e-12)
    features = plain_features(features_file)
    assert found["perceptual"].item() == pytest.approx(
        absolute(features(outputs["fake"]), features(batch.high)), abs=1e-12
    )


def plain_features(file: Path) -> nn.Module:
    """The four convolutions up to conv2_2, before its ReLU, from the file's tensors by hand."""
    tensors = weights.read(file).tensors
    modules: list[nn.Module] = []
    for number in (0, 2, 5, 7):
        weight = tensors[f"features.{number}.weight"]
        conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1, dtype=torch.float64)
        conv.load_state_dict({"weight": weight, "bias": tensors[f"features.{number}.bias"]})
        modules += [conv, nn.ReLU(), nn.MaxPool2d(2) if number == 2 else nn.Identity()]
    mean, deviation = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))

    class Normalised(nn.Module):
        def forward(self, picture: Tensor) -> Tensor:
            return nn.Sequential(*modules[:-2])((picture - mean) / deviation)

    return Normalised()


def test_the_pixel_stage_is_l1_alone_and_needs_no_discriminator() -> None:
    recipe, nets, batch, outputs, _ = scene(tiny())
    del nets["discriminator"]
    found = recipe.generator_losses(nets, batch, outputs, {}, context(recipe, "pixel"))
    assert {key: value.item() for key, value in found.items()} == {
        "pixel": pytest.approx(absolute(outputs["fake"], batch.high), abs=1e-12)
    }


def test_srgans_losses_are_squares_and_a_plain_gan(features_file: Path) -> None:
    small = {**TINY, "network": "srresnet_bn", "perceptual": str(features_file), "perceptual_layers": ("relu2_2",)}
    recipe, nets, batch, outputs, at = scene(replace(SRGAN, **small))
    r, f = scores(nets, batch, outputs)
    found = recipe.discriminator_losses(nets, batch, {"fake": outputs["fake"].detach()}, {}, at)
    assert found["gan"].item() == pytest.approx(-(log_sigmoid(r) + log_sigmoid(-f)).mean(), abs=1e-12)

    found = recipe.generator_losses(nets, batch, outputs, {}, at)
    assert list(found) == ["gan", "perceptual"]
    assert found["gan"].item() == pytest.approx(-1e-3 * log_sigmoid(f).mean(), abs=1e-12)  # SRGAN, equations 3 and 6
    ours, truth = (
        torch.relu(plain_features(features_file)(picture)).detach().numpy() for picture in (outputs["fake"], batch.high)
    )
    assert found["perceptual"].item() == pytest.approx(0.006 * np.square(ours - truth).mean(), abs=1e-12)


@pytest.mark.parametrize(("pairing", "scored"), [("plain", 1), ("average", 2)])
def test_the_generators_turn_scores_the_reals_only_where_they_count(
    pairing: str, scored: int, features_file: Path
) -> None:
    s = tiny(perceptual=str(features_file), perceptual_layers=("conv1_1",))
    recipe, nets, batch, outputs, at = scene(replace(s, adversarial=replace(s.adversarial, pairing=pairing)))
    seen: list[int] = []
    nets.discriminator.register_forward_hook(lambda *_: seen.append(1))
    recipe.generator_losses(nets, batch, outputs, {}, at)
    assert len(seen) == scored


def test_none_matches_the_discriminators_features() -> None:
    s = tiny(perceptual_weight=2.0)
    for pairing in ("average", "plain"):
        recipe, nets, batch, outputs, at = scene(replace(s, adversarial=replace(s.adversarial, pairing=pairing)))
        critic = copy.deepcopy(nets.discriminator)
        ours, truth = (critic(picture).features[:-1] for picture in (outputs["fake"], batch.high))
        plain = np.mean([absolute(a, b) for a, b in zip(ours, truth)])
        found = recipe.generator_losses(nets, batch, outputs, {}, at)
        assert found["perceptual"].item() == pytest.approx(2 * plain, abs=1e-12)


# Features


def test_vgg19_without_network_says_what_to_do_before_anything_is_written(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANVAS_OFFLINE", "1")
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path / "cache"))
    with pytest.raises(UserError, match=r"https://.*vgg19-dcbb9e9d\.pth.*give its path"):
        ganvas.train("esrgan", photographs, tmp_path / "run", preset="paper", settings={**TINY, "perceptual": "vgg19"})
    assert not (tmp_path / "run").exists()


def test_torchvisions_file_is_taken_by_its_path(tmp_path: Path) -> None:
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in VGG19().state_dict().items()}
    state = {name: torch.full(shape, 0.01, dtype=torch.float16) for name, shape in shapes.items()}
    torch.save({**state, "classifier.0.weight": torch.zeros(2, 2)}, tmp_path / "vgg19-dcbb9e9d.pth")
    network = load_features(str(tmp_path / "vgg19-dcbb9e9d.pth"), ("conv1_2", "relu5_4"))
    assert isinstance(network, VGG19)
    assert float(network.state_dict()["features.34.weight"][0, 0, 0, 0]) == pytest.approx(0.01, rel=1e-3)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_what_cannot_serve_as_features_is_refused(tmp_path: Path, features_file: Path) -> None:
    torch.save(RRDBNet(width=4, blocks=1, growth=4).state_dict(), tmp_path / "upscaler.pth")
    with pytest.raises(UserError, match="cannot serve as features"):
        load_features(str(tmp_path / "upscaler.pth"), ("conv1_1",))
    with pytest.raises(UserError, match=r"no layer 'conv5_4'.*conv2_"):
        load_features(str(features_file), ("conv5_4",))
    with pytest.raises(UserError, match="missing"):
        load_features(str(tmp_path / "missing.safetensors"), ("conv1_1",))


# Data


def test_low_pictures_are_matlabs_bicubic_of_the_cut_crop(photographs: Path) -> None:
    recipe = ESRGAN(tiny())
    raw = {"high": recipe.source(str(photographs)).sample(0, np.random.default_rng(0))["high"][None]}
    assert raw["high"].shape == (1, 3, 48, 48)
    for stage, side in (("pixel", 48), ("gan", 32)):
        batch = recipe.batch(raw, context(recipe, stage))
        assert torch.equal(batch.high, raw["high"][..., :side, :side])
        steps = batch.low * 255
        assert batch.low.shape[-1] == side // 4
        torch.testing.assert_close(steps, steps.round(), atol=1e-4, rtol=0)
        mean = batch.high.mean((-1, -2))
        torch.testing.assert_close(batch.low.mean((-1, -2)), mean, atol=0.02, rtol=0)


@pytest.fixture
def pairs(photographs: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Low pictures that no degradation of ours makes: means of 4 x 4 px, inverted."""
    for folder in ("low", "high"):
        (tmp_path / folder).mkdir()
    for file in photographs.glob("*.png"):
        high = np.asarray(Image.open(file))
        low = 255 - high.reshape(26, 4, 22, 4, 3).mean((1, 3))
        Image.fromarray(low.round().astype(np.uint8)).save(tmp_path / "low" / f"{file.stem}x4.png")
        shutil.copy(file, tmp_path / "high")
    return tmp_path / "low", tmp_path / "high"


def test_paired_folders_are_cut_at_the_same_place(pairs: tuple[Path, Path]) -> None:
    recipe = ESRGAN(tiny(low=str(pairs[0])))
    source = recipe.source(str(pairs[1]))
    for stage, side in (("pixel", 48), ("gan", 32)):
        raw = {key: value[None] for key, value in source.sample(1, np.random.default_rng(5)).items()}
        batch = recipe.batch(raw, context(recipe, stage))
        assert batch.high.shape[-1] == side
        means = nn.functional.avg_pool2d(batch.high, 4)
        torch.testing.assert_close(1 - batch.low, means, atol=0.6 / 255, rtol=0)


def test_pairs_are_scored_on_their_own_low_pictures(pairs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganvas.recipes.esrgan.SCORED_PX", 72)  # (22 - 18) / 2 is whole, (26 - 18) / 2 too
    recipe = ESRGAN(tiny(low=str(pairs[0])))
    nets = networks_of(recipe)
    nets["generator"] = nn.Upsample(scale_factor=4, mode="nearest")
    found = recipe.score(nets, recipe.source(str(pairs[1])), context(recipe))
    plain = []
    for file in sorted(pairs[1].glob("*.png")):
        high = np.asarray(Image.open(file)).astype(np.float64)[16:88, 8:80]
        low = np.asarray(Image.open(pairs[0] / f"{file.stem}x4.png")).astype(np.float64)[4:22, 2:20]
        ours = low.repeat(4, 0).repeat(4, 1)
        y = [(p @ [65.481, 128.553, 24.966] / 255 + 16)[4:-4, 4:-4] for p in (ours, high)]
        plain.append(peak_signal_noise_ratio(y[1], y[0], data_range=255))
    assert found["psnr_y"] == pytest.approx(np.mean(plain), abs=1e-3)


def test_an_odd_margin_keeps_scored_pairs_aligned(pairs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganvas.recipes.esrgan.SCORED_PX", 68)  # 22 - 17 is odd
    recipe = ESRGAN(tiny(low=str(pairs[0])))
    nets = networks_of(recipe)

    class Inverted(nn.Module):
        def forward(self, low: Tensor) -> Tensor:
            return nn.functional.interpolate(1 - low, scale_factor=4, mode="bicubic")

    nets["generator"] = Inverted()
    aligned = recipe.score(nets, recipe.source(str(pairs[1])), context(recipe))["psnr_y"]
    monkeypatch.setattr("ganvas.recipes.esrgan.SCORED_PX", 72)
    assert aligned == pytest.approx(
        recipe.score(nets, recipe.source(str(pairs[1])), context(recipe))["psnr_y"], abs=0.7
    )


def test_the_second_order_degradation_is_drawn_from_the_context(photographs: Path) -> None:
    recipe = ESRGAN(tiny(degradation="second_order"))
    source = recipe.source(str(photographs))
    raw = {"high": source.sample(0, np.random.default_rng(0))["high"][None]}
    lows = [recipe.batch(raw, context(recipe, seed=seed)).low for seed in (1, 1, 2)]
    assert lows[0].shape == (1, 3, 8, 8)
    assert torch.equal(lows[0], lows[1])
    assert not torch.equal(lows[0], lows[2])
    assert not torch.equal(lows[0], ESRGAN(tiny()).batch(raw, context(recipe)).low)
    nets = networks_of(recipe)
    # Two scores of one network must not differ by luck.
    with torch.no_grad():
        first, second = (recipe.score(nets, source, context(recipe, seed=seed, step=seed)) for seed in (1, 2))
    assert first == second


def test_previews_show_bicubic_made_and_true(photographs: Path) -> None:
    recipe, nets, batch, outputs, at = scene(tiny())
    sheet = recipe.sample(nets, batch, at)
    bicubic, made, true = sheet.chunk(3, dim=-1)
    assert sheet.shape == (3, 3, 32, 96)
    torch.testing.assert_close(made, outputs["fake"].clamp(0, 1).to(made.dtype), atol=1e-6, rtol=0)
    torch.testing.assert_close(true, batch.high.to(true.dtype), atol=1e-6, rtol=0)
    torch.testing.assert_close(bicubic.mean((-1, -2)), batch.low.mean((-1, -2)).to(bicubic.dtype), atol=0.05, rtol=0)


# Networks and settings


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
@pytest.mark.parametrize("network", ["rrdb", "compact", "srresnet", "srresnet_bn"])
def test_every_generator_is_built_at_every_scale(network: Any, scale: Any) -> None:
    recipe = ESRGAN(tiny(network=network, scale=scale, degradation="second_order", growth=4))
    generator = networks_of(recipe).generator.eval()
    assert generator(torch.rand(1, 3, 6, 9)).shape == (1, 3, 6 * scale, 9 * scale)
    card = recipe.card()
    assert card.scale == scale
    build(card).load_state_dict(generator.state_dict())


@pytest.mark.parametrize("discriminator", ["vgg", "unet"])
@pytest.mark.parametrize(("pairing", "has_bias"), [("plain", True), ("average", False), ("paired", False)])
def test_the_last_bias_is_left_out_where_it_has_no_gradient(discriminator: Any, pairing: Any, has_bias: bool) -> None:
    s = tiny(discriminator=discriminator)
    net = networks_of(ESRGAN(replace(s, adversarial=replace(s.adversarial, pairing=pairing)))).discriminator
    last = net.get_submodule("linear2" if discriminator == "vgg" else "conv9")
    assert (last.bias is not None) == has_bias


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"pixel_steps": 0, "gan_steps": 0}, "nothing to train"),
        ({"pixel_steps": -1}, "nothing to train"),
        ({"crop_px": 34}, "multiple of the scale 4"),
        ({"pixel_crop_px": 0}, "multiple of the scale 4"),
        ({"batch_size": 1}, "'average' cannot work with a batch of 1"),
        ({"scale": 1}, "--degradation files"),
        ({"notch": 9}, "Only span"),
        ({"r1_weight": 1.0}, "batch norm"),
        ({"low": "folder", "degradation": "second_order"}, "Leave out --low"),
        ({"adversarial.base": "hinged"}, "hinge"),
        ({"perceptual_layer": "conv1_1"}, "perceptual_layers"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        ESRGAN(launch.order("esrgan", "paper", {**TINY, **changes}).settings)


def test_a_crop_that_the_discriminator_cannot_judge_is_refused() -> None:
    with pytest.raises(UserError, match="multiple of 32"):
        networks_of(ESRGAN(tiny(crop_px=40)))


# Runs


RUN = {
    **TINY, "network": "srresnet", "pixel_steps": 24, "pixel_rate": 3e-3, "gan_steps": 4, "gan_rate": 1e-3,
    "pixel_weight": 1.0, "val": "0.25", "log_every": 1, "checkpoint_every": 2, "keep_last": 100, "preview_every": 1000,
}  # fmt: skip


@pytest.fixture(scope="module")
def run(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    return ganvas.train("esrgan", photographs, out, preset="paper", settings=RUN, quiet=True)


def test_a_run_learns_pixels_and_then_plays(run: Path) -> None:
    log = [entry for entry in runs.read_log(run) if "losses" in entry]
    pixel = [entry["losses"]["G.pixel"] for entry in log if entry["stage"] == "pixel"]
    assert len(pixel) == 24
    assert np.mean(pixel[-6:]) < 0.6 * np.mean(pixel[:6])
    assert [entry["step"] for entry in log if entry["stage"] == "gan"] == [25, 26, 27, 28]
    assert {"D.gan", "G.gan", "G.pixel", "G.perceptual", "margin"} <= set(log[-1]["losses"])


@pytest.mark.parametrize("step", [10, 26], ids=["in the pixel stage", "in the GAN stage"])
def test_a_run_stopped_within_a_stage_ends_bit_equal(run: Path, step: int, tmp_path: Path) -> None:
    again = tmp_path / "again"
    shutil.copytree(run, again)
    for folder in runs.checkpoints(again):
        if int(folder.name) > step:
            shutil.rmtree(folder)
    ganvas.train(resume=again, quiet=True)
    whole, resumed = (runs.newest_checkpoint(folder)[0] for folder in (run, again))
    assert whole is not None
    assert resumed is not None
    assert whole.step == resumed.step == 28
    for group, tensors in whole.groups.items():
        for name, tensor in tensors.items():
            assert torch.equal(tensor, resumed.groups[group][name]), f"{group}/{name}"


def published(path: Path, scale: int = 4) -> dict[str, Tensor]:
    """Write a checkpoint as BasicSR does and return its tensors."""
    torch.manual_seed(8)
    net = RRDBNet(width=8, blocks=1, growth=4, scale=scale, unshuffle={2: 2}.get(scale, 1))
    torch.save({"params_ema": net.state_dict()}, path)
    return net.state_dict()


def test_a_published_checkpoint_is_fine_tuned(photographs: Path, tmp_path: Path) -> None:
    theirs = published(tmp_path / "x4.pth")
    settings = {**RUN, "network": "rrdb", "growth": 4, "pixel_steps": 2, "gan_steps": 2, "pixel_rate": 1e-5, "val": ""}
    init = str(tmp_path / "x4.pth")
    out = ganvas.train(
        "esrgan", photographs, tmp_path / "run", preset="paper", settings=settings, init=[init], quiet=True
    )
    saved, _ = runs.newest_checkpoint(out)
    assert saved is not None
    ours = {key.removeprefix("generator/"): value for key, value in saved.groups["networks"].items()}
    moved = max(float((ours[key] - value).abs().max()) for key, value in theirs.items())
    # Two steps of 1e-5 and two of 1e-3 at most; a fresh start would lie at the size of the weights.
    assert 0 < moved < 5e-3


def test_what_does_not_fit_is_listed_and_newly_initialised(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = published(tmp_path / "x2.pth", scale=2)
    # A rate at which no weight moves by a bit.
    settings = {**RUN, "network": "rrdb", "growth": 4, "pixel_steps": 1, "gan_steps": 0, "pixel_rate": 1e-30, "val": ""}
    init = str(tmp_path / "x2.pth")
    out = ganvas.train("esrgan", photographs, tmp_path / "run", preset="paper", settings=settings, init=[init])
    told = capsys.readouterr().out
    # The x2 net folds 2 x 2 pixels into 12 channels, so its first convolution has another shape.
    assert f"{len(theirs) - 1} of {len(theirs)} tensors taken" in told
    assert "newly initialised: conv_first.weight" in told
    saved, _ = runs.newest_checkpoint(out)
    assert saved is not None
    ours = saved.groups["networks"]
    assert torch.equal(ours["generator/conv_last.weight"], theirs["conv_last.weight"])
    assert ours["generator/conv_first.weight"].shape == (8, 3, 3, 3)
