"""DiffAugment: in the ranges of the paper, differentiable, repeatable, and not leaking."""

import numpy as np
import pytest
import torch

from ganvas.errors import UserError
from ganvas.losses.augmentation import diff_augment, parse


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(number=4, side=16):
    return torch.rand(number, 3, side, side, generator=chance(9)) * 2 - 1


def test_names_are_checked():
    assert parse("color, cutout") == ("color", "cutout") and parse("") == ()
    with pytest.raises(UserError, match="translation"):
        parse("translaton")


def test_no_policy_changes_nothing_and_draws_nothing():
    random = chance()
    before = random.get_state()
    x = pictures()
    assert diff_augment(x, (), random) is x and torch.equal(random.get_state(), before)


@pytest.mark.parametrize("name", ["color", "translation", "cutout"])
def test_one_state_of_chance_makes_one_change_and_the_gradient_passes(name):
    x = pictures().requires_grad_()
    first, second = (diff_augment(x, (name,), chance(3)) for _ in range(2))
    assert torch.equal(first, second) and not torch.equal(first, x)
    assert not torch.equal(first, diff_augment(x, (name,), chance(4)))
    first.square().sum().backward()
    assert x.grad.abs().sum() > 0


def test_translation_moves_by_at_most_an_eighth_and_brings_in_gray():
    x = torch.ones(400, 3, 16, 24)
    moved = diff_augment(x, ("translation",), chance())
    rows, columns = moved[:, 0].amax(2).sum(1), moved[:, 0].amax(1).sum(1)
    assert set((16 - rows).int().tolist()) == {0, 1, 2} and set((24 - columns).int().tolist()) == {0, 1, 2, 3}
    assert set(moved.unique().tolist()) == {0.0, 1.0}


def test_cutout_hides_at_most_a_quarter():
    hidden = (diff_augment(torch.ones(400, 3, 16, 16), ("cutout",), chance()) == 0).float().mean((1, 2, 3))
    assert float(hidden.max()) == 0.25 and float(hidden.min()) > 0


def test_colours_change_within_the_papers_ranges():
    flat = torch.zeros(2000, 3, 4, 4)
    brightness = diff_augment(flat, ("color",), chance()).mean((1, 2, 3))
    assert -0.5 <= float(brightness.min()) < -0.48 and 0.48 < float(brightness.max()) <= 0.5
    # Contrast is what is left of a gray ramp's deviation, 0.5 to 1.5 times.
    ramp = torch.linspace(-1, 1, 16).view(1, 1, 4, 4).expand(2000, 3, 4, 4)
    ratio = diff_augment(ramp, ("color",), chance()).std((1, 2, 3)) / ramp.std((1, 2, 3))
    assert 0.5 <= float(ratio.min()) < 0.52 and 1.48 < float(ratio.max()) <= 1.501


def test_what_is_cut_still_tells_distributions_apart():
    """The property of not leaking, for means: the mean change is a matrix without a null space.

    If changed real and changed generated pictures have one distribution, their means agree, and an invertible mean
    change then means that the originals' agree: a generator that only imitates cut pictures is found out.
    """
    side, mean, random = 8, torch.zeros(64, 64), chance(1)
    basis = torch.eye(side * side).view(-1, 1, side, side).expand(-1, 3, -1, -1)
    for _ in range(300):
        mean += diff_augment(basis, ("cutout",), random)[:, 0].flatten(1) / 300
    assert np.linalg.svd(mean.numpy(), compute_uv=False)[-1] > 0.05


def test_shifts_are_even_and_their_mean_hides_nothing():
    # A point in the middle of 7 px lands on each of 3 x 3 places equally often.
    point = torch.zeros(9000, 3, 7, 7)
    point[..., 3, 3] = 1
    landed = diff_augment(point, ("translation",), chance())[:, 0].mean(0)
    assert torch.allclose(landed[2:5, 2:5], torch.full((3, 3), 1 / 9), atol=0.015) and float(landed.sum()) == 1.0
    # Even shifts by -1, 0 and 1 have the eigenvalues (1 + 2 cos(k pi / 8)) / 3 along an axis of 7 px, none of them 0.
    along = sum(torch.diag(torch.ones(7 - abs(shift)), shift) for shift in (-1, 0, 1)) / 3
    expected = (1 + 2 * np.cos(np.arange(1, 8) * np.pi / 8)) / 3
    np.testing.assert_allclose(np.sort(np.linalg.eigvalsh(along.numpy())), np.sort(expected), atol=1e-6)
    assert np.abs(expected).min() > 0.07


def test_a_generator_that_makes_shifted_pictures_is_told_from_real_ones():
    # Under shifts alone the wrong generator's mean differs from the real one's by what it shifted.
    real = torch.zeros(3000, 3, 16, 16)
    real[..., 6:10, 6:10] = 1
    wrong = torch.roll(real, 1, dims=-1)
    means = [
        diff_augment(x, ("translation",), chance(seed))[:, 0].mean(0) for seed, x in ((1, real), (2, real), (3, wrong))
    ]
    alike, unlike = float((means[0] - means[1]).abs().max()), float((means[0] - means[2]).abs().max())
    assert unlike > 3 * alike
