"""DiffAugment in the recipes that make pictures from noise: what both players see, and nothing where it is off."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import test_biggan_recipe
import test_relativistic
import torch
from assembled import networks_of

from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.losses.augmentation import diff_augment
from ganvas.protocol import Verdict
from ganvas.training import loop

POLICY = ("color", "translation", "cutout")
MODULES = {"biggan": test_biggan_recipe, "relativistic": test_relativistic}
TINY = {"biggan": test_biggan_recipe.TINY, "relativistic": test_relativistic.TINY}


class Remembering(torch.nn.Module):
    """A discriminator that keeps what it was shown and scores its mean."""

    def __init__(self):
        super().__init__()
        self.shown = []

    def forward(self, pictures, *_):
        self.shown.append(pictures)
        score = pictures.mean(dim=(1, 2, 3))[:, None]
        return Verdict(score, (pictures, score))


def turns(name, augmentation):
    """What the discriminator is shown in its turn and in the generator's, and the fakes of both."""
    module = MODULES[name]
    recipe = type(module.plan().recipe)(replace(TINY[name], augmentation=augmentation))
    judge = Remembering()
    nets = networks_of(recipe)
    nets["discriminator"] = judge
    random = torch.Generator().manual_seed(0)
    real = torch.rand(4, 3, 32, 32, generator=random) * 2 - 1
    fake = (torch.rand(4, 3, 32, 32, generator=random) * 2 - 1).requires_grad_()
    classes = () if name == "relativistic" else (torch.arange(4),)
    batch = module.Batch(real, *classes, torch.zeros(4, 8))
    at = test_biggan_recipe.context(recipe)
    recipe.discriminator_losses(nets, batch, {"fake": fake.detach()}, {}, at)
    at = replace(at, random=torch.Generator().manual_seed(7))
    recipe.generator_losses(nets, batch, {"fake": fake}, {}, at)["gan"].backward()
    return judge.shown, real, fake


@pytest.mark.parametrize("name", MODULES)
def test_both_players_see_changed_pictures_and_the_gradient_comes_back(name):
    shown, real, fake = turns(name, ",".join(POLICY))
    random = torch.Generator().manual_seed(0)
    in_turn = [torch.cat([real, fake])] if name == "biggan" else [real, fake]
    wanted = [diff_augment(pictures, POLICY, random) for pictures in in_turn]
    wanted.append(diff_augment(fake, POLICY, torch.Generator().manual_seed(7)))
    generators = [pictures for pictures in shown if pictures.requires_grad]
    assert torch.equal(generators[0], wanted[-1])
    assert all(torch.equal(found, expected) for found, expected in zip(shown, wanted[:-1]))
    assert fake.grad is not None and fake.grad.abs().sum() > 0


@pytest.mark.parametrize("name", MODULES)
def test_off_it_changes_nothing(name):
    shown, real, fake = turns(name, "")
    assert torch.equal(torch.cat(shown[: 1 if name == "biggan" else 2]), torch.cat([real, fake]))


@pytest.mark.parametrize("name", MODULES)
def test_unknown_changes_are_refused_before_anything_is_read(name):
    with pytest.raises(UserError, match="translation"):
        MODULES[name].plan(augmentation="translaton")


@pytest.mark.parametrize("name", MODULES)
def test_a_stopped_run_ends_bit_equal(name, tmp_path):
    module = MODULES[name]
    whole = loop.train(module.plan(augmentation="color,cutout"), tmp_path / "whole", quiet=True)
    again = tmp_path / "again"
    shutil.copytree(whole, again)
    for folder in runs.checkpoints(again):
        if int(folder.name) > 2:
            shutil.rmtree(folder)
    loop.resume(module.plan(augmentation="color,cutout"), again, quiet=True)
    first, second = module.last(whole), module.last(again)
    assert first.step == second.step == 4
    for key, tensor in first.groups["networks"].items():
        assert torch.equal(tensor, second.groups["networks"][key]), key
