"""The losses that `esrgan` has beyond its paper: each as its function gives it, and the teacher."""

from __future__ import annotations

import copy
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_esrgan
import torch
from assembled import networks_of

import ganvas
from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.io.weights import files as weights
from ganvas.io.weights import published
from ganvas.losses.structure import (
    colour_consistency,
    locally_discriminative,
    ms_ssim_loss,
    wavelet_details,
)
from ganvas.networks import build
from ganvas.networks.rrdb.card import enlarger_card
from ganvas.recipes import features
from ganvas.recipes.esrgan import ESRGAN

photographs = test_esrgan.photographs
features_file = test_esrgan.features_file


def losses(**changes: Any):
    """The ledger of one generator turn, with what it was computed from."""
    recipe, nets, batch, outputs, at = test_esrgan.scene(test_esrgan.tiny(perceptual="none", **changes))
    average = copy.deepcopy(nets.generator).eval()
    for parameter in average.parameters():
        parameter.data.mul_(0.9)
    at = replace(at, averages={"generator": average})
    return recipe.generator_losses(nets, batch, outputs, {}, at), outputs["fake"], batch, average


def test_every_option_adds_its_loss_and_nothing_else() -> None:
    plain, fake, batch, average = losses()
    with torch.no_grad():
        averaged = average(batch.low)
    expected = {
        "ms_ssim": ms_ssim_loss(fake, batch.high), "colour": colour_consistency(fake, batch.high, 4),
        "ldl": locally_discriminative(fake, batch.high, averaged),
    }  # fmt: skip
    for name, value in expected.items():
        found = losses(**{f"{name}_weight": 0.5})[0]
        assert set(found) == {*plain, name}
        assert found[name].item() == pytest.approx(0.5 * value.item(), rel=1e-6), name
        assert all(found[other].item() == pytest.approx(plain[other].item(), rel=1e-6) for other in plain)


def test_charbonnier_is_the_root_of_the_rounded_square() -> None:
    found, fake, batch, _ = losses(pixel_loss="charbonnier", pixel_weight=1.0)
    wanted = np.sqrt((fake.detach() - batch.high).numpy() ** 2 + 1e-6).mean()
    assert found["pixel"].item() == pytest.approx(wanted, rel=1e-9)


def test_a_wavelet_guided_discriminator_sees_details_alone() -> None:
    settings = test_esrgan.tiny(perceptual="none", judged="wavelets")
    recipe, nets, batch, outputs, at = test_esrgan.scene(settings)
    seen: list[torch.Tensor] = []
    nets.discriminator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    fake = outputs["fake"].detach()
    recipe.discriminator_losses(nets, batch, {"fake": fake}, {}, at)
    recipe.generator_losses(nets, batch, outputs, {}, at)
    for found, wanted in zip(seen, (batch.high, fake, batch.high, fake)):
        assert torch.allclose(found, wavelet_details(wanted))


def test_r1_and_r2_are_of_the_mean_score_of_each_picture_every_so_many_steps() -> None:
    changes = {"discriminator": "patch", "patch_norm": "none", "r1_weight": 2.0, "r2_weight": 3.0, "r1_every": 4}
    recipe, nets, batch, outputs, at = test_esrgan.scene(test_esrgan.tiny(perceptual="none", **changes))
    fake = outputs["fake"].detach()
    found = recipe.discriminator_losses(nets, batch, {"fake": fake}, {}, at)
    for name, gamma, pictures in (("r1", 2.0, batch.high), ("r2", 3.0, fake)):
        shown = pictures.clone().requires_grad_()
        slope = torch.autograd.grad(nets.discriminator(shown).score.mean(dim=(1, 2, 3)).sum(), shown)[0]
        wanted = 4 * gamma * slope.square().sum(dim=(1, 2, 3)).mean() / 2
        assert found[name].item() == pytest.approx(wanted.item(), rel=1e-4)
    assert set(recipe.discriminator_losses(nets, batch, {"fake": fake}, {}, replace(at, step=1))) == {"gan"}


def test_dists_over_vgg16_is_zero_for_equal_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path))
    monkeypatch.setenv("GANVAS_OFFLINE", "1")
    settings = test_esrgan.tiny(perceptual="none", dists_weight=0.3)
    with pytest.raises(UserError, match="ganvas features fetch vgg16"):
        networks_of(ESRGAN(settings))
    card = published.PUBLISHED["vgg16"].card
    torch.manual_seed(0)
    weights.save(published.kept_at("vgg16"), build(card).state_dict(), card)
    dists = features.load_dists()
    real = torch.rand(2, 3, 32, 32)
    assert dists(real, real).abs().max() < 1e-5
    # Texture and structure of all 1475 channels count alike: they sum to 1.
    assert dists.alpha.unique().tolist() == pytest.approx([1 / (2 * 1475)])
    recipe, nets, batch, outputs, at = test_esrgan.scene(settings)
    found = recipe.generator_losses(nets, batch, outputs, {}, at)["dists"]
    assert found.item() == pytest.approx(
        0.3 * float(dists(outputs["fake"].detach().float(), batch.high.float()).mean())
    )
    found.backward()
    assert sum(float(value.grad.abs().sum()) for value in nets.generator.parameters() if value.grad is not None) > 0


# The teacher


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    card = enlarger_card("compact", width=4, convs=1, scale=4, base="bicubic")
    torch.manual_seed(5)
    return weights.save(tmp_path / "teacher.safetensors", build(card).state_dict(), card)


def test_the_teachers_output_is_a_target_beside_the_truth(teacher: Path) -> None:
    shares = {}
    for share in (0.0, 0.25, 1.0):
        settings = test_esrgan.tiny(perceptual="none", teacher=str(teacher), teacher_share=share, pixel_weight=1.0)
        recipe, nets, batch, outputs, at = test_esrgan.scene(settings)
        with torch.no_grad():
            taught = ganvas.load(teacher).double()(batch.low).clamp(0, 1)
        truth, copied = ((outputs["fake"] - target).abs().mean().item() for target in (batch.high, taught))
        shares[share] = recipe.generator_losses(nets, batch, outputs, {}, at)["pixel"].item()
        assert shares[share] == pytest.approx((1 - share) * truth + share * copied, rel=1e-6)
    assert shares[0.0] != shares[1.0]


def test_what_cannot_teach_is_refused(teacher: Path) -> None:
    for changes, says in [
        ({"teacher": str(teacher), "scale": 2}, r"cannot teach.*x4"),
        ({"teacher": "no-such-model"}, "no-such-model"),
        ({"teacher": str(teacher), "teacher_share": 1.5}, "teacher_share"),
        ({"ms_ssim_weight": -1.0}, "below 0"),
    ]:
        with pytest.raises(UserError, match=says):
            networks_of(ESRGAN(test_esrgan.tiny(perceptual="none", **changes)))


def test_a_run_with_everything_on_learns_and_resumes_bit_equal(
    photographs: Path, teacher: Path, tmp_path: Path
) -> None:
    changes = {
        "perceptual": "vgg16:relu1_2", "ms_ssim_weight": 0.5, "colour_weight": 1.0, "ldl_weight": 1.0,
        "judged": "wavelets", "pixel_loss": "charbonnier", "teacher": str(teacher), "network": "span", "branches": True,
        "width": 4, "blocks": 1, "gan_steps": 3, "pixel_steps": 3, "checkpoint_every": 2,
    }  # fmt: skip
    settings = {**test_esrgan.TINY, **changes}
    whole = ganvas.train("esrgan", photographs, tmp_path / "whole", preset="paper", settings=settings, quiet=True)
    again = tmp_path / "again"
    shutil.copytree(whole, again)
    for folder in runs.checkpoints(again):
        if int(folder.name) > 4:
            shutil.rmtree(folder)
    ganvas.train(resume=again, quiet=True)
    first, second = (runs.newest_checkpoint(folder)[0] for folder in (whole, again))
    assert first is not None and second is not None and first.step == second.step == 6
    for name, tensor in first.groups["networks"].items():
        assert torch.equal(tensor, second.groups["networks"][name]), name
    # What the run hands out is fused.
    assert weights.read_run(whole).card.settings["branches"] is False
    assert ganvas.load(whole)(torch.rand(1, 3, 8, 8)).shape == (1, 3, 32, 32)
