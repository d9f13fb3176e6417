"""The table of adversarial losses against its written-out form, its symmetries, finite differences and dead corners."""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from adversarial_reference import BASES, CELLS, COUPLED, DISCRIMINATOR, GENERATOR, PAIRINGS
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ganvas import settings
from ganvas.errors import UserError
from ganvas.losses.adversarial import AdversarialLoss, probability_real, require_coupled_batch, scores_of
from ganvas.protocol import Verdict

SHAPES = ((5, 1), (4, 1, 3, 2), (3,))
cells = pytest.mark.parametrize(("base", "pairing"), CELLS)
relativistic_cells = pytest.mark.parametrize(("base", "pairing"), [cell for cell in CELLS if cell[1] != "plain"])


def draw(shape, seed=0, scale=1.5, dtype=torch.float64):
    random = torch.Generator().manual_seed(seed)
    real, fake = torch.randn((2, *shape), generator=random, dtype=torch.float64) * scale
    return (real + 0.7).to(dtype), (fake - 0.4).to(dtype)


@cells
@pytest.mark.parametrize("shape", SHAPES)
def test_every_cell_equals_its_written_out_formula(base, pairing, shape):
    loss = AdversarialLoss(base=base, pairing=pairing)
    real, fake = draw(shape)
    expected_d = DISCRIMINATOR[base, pairing](real.numpy(), fake.numpy())
    expected_g = GENERATOR[base, pairing](real.numpy(), fake.numpy())
    assert loss.discriminator(real, fake).item() == pytest.approx(expected_d, abs=1e-13)
    assert loss.generator(real, fake).item() == pytest.approx(expected_g, abs=1e-13)


@relativistic_cells
@hypothesis_settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.01, 30.0))
def test_generator_loss_is_the_discriminators_with_real_and_fake_exchanged(base, pairing, seed, scale):
    loss = AdversarialLoss(base=base, pairing=pairing)
    real, fake = draw((4, 1, 2, 2), seed, scale)
    assert torch.equal(loss.generator(real, fake), loss.discriminator(fake, real))


@relativistic_cells
@hypothesis_settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), constant=st.floats(-20.0, 20.0))
def test_relativistic_losses_ignore_a_constant_added_to_all_scores(base, pairing, seed, constant):
    loss = AdversarialLoss(base=base, pairing=pairing)
    real, fake = draw((6, 1), seed)
    for side in (loss.discriminator, loss.generator):
        assert side(real + constant, fake + constant).item() == pytest.approx(side(real, fake).item(), abs=1e-11)


@cells
def test_the_last_bias_has_no_gradient_exactly_where_the_loss_says_so(base, pairing):
    loss = AdversarialLoss(base=base, pairing=pairing)
    real, fake = draw((6, 1))
    bias = torch.zeros((), dtype=torch.float64, requires_grad=True)
    gradient = torch.autograd.grad(loss.discriminator(real + bias, fake + bias), bias)[0]
    assert (abs(gradient.item()) < 1e-14) == loss.is_shift_invariant


@cells
@pytest.mark.parametrize("shape", [(3, 1), (2, 1, 2, 2)])
def test_gradients_equal_finite_differences(base, pairing, shape):
    loss = AdversarialLoss(base=base, pairing=pairing)
    real, fake = (scores.requires_grad_(True) for scores in draw(shape, seed=3))
    assert torch.autograd.gradcheck(loss.discriminator, (real, fake), atol=1e-7)
    assert torch.autograd.gradcheck(loss.generator, (real, fake), atol=1e-7)


@pytest.mark.parametrize("base", ["standard", "least_squares"])
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_gradients_equal_finite_differences_when_smoothed(base, pairing):
    real, fake = (scores.requires_grad_(True) for scores in draw((3, 1), seed=4))
    loss = AdversarialLoss(base=base, pairing=pairing, smooth_real=0.9)
    assert torch.autograd.gradcheck(loss.discriminator, (real, fake), atol=1e-7)


# Where a discriminator stands: undecided, ahead, far ahead. A generator must learn in all of them.
REGIMES = {"undecided": (0.0, 0.01), "ahead": (0.8, 0.1), "at its optimum": (1.0, 0.0), "far ahead": (12.0, 0.5)}


@cells
@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("shape", [(6, 1), (3, 1, 2, 2)])
def test_no_cell_leaves_the_generator_without_gradient_while_the_discriminator_leads(base, pairing, regime, shape):
    lead, spread = REGIMES[regime]
    noise = draw(shape, seed=5, dtype=torch.float32)
    real, fake = lead + spread * noise[0], (-lead + spread * noise[1]).requires_grad_(True)
    loss = AdversarialLoss(base=base, pairing=pairing).generator(real, fake)
    share = torch.autograd.grad(loss, fake)[0] * fake.numel()
    # All fakes are pushed the same way, up, and by a force that float32 and Adam's epsilon do not swallow.
    assert share.max() < -0.05, share


@cells
@pytest.mark.parametrize("lead", [-0.2, -0.8, -12.0])
def test_no_cell_leaves_the_discriminator_without_gradient_while_it_is_behind(base, pairing, lead):
    noise = draw((6, 1), seed=6, dtype=torch.float32)
    real, fake = (lead + 0.01 * noise[0]).requires_grad_(True), (-lead + 0.01 * noise[1]).requires_grad_(True)
    loss = AdversarialLoss(base=base, pairing=pairing).discriminator(real, fake)
    down, up = torch.autograd.grad(loss, (real, fake))
    assert (down * real.numel()).max() < -0.05
    assert (up * fake.numel()).min() > 0.05


def test_saturating_is_the_minimax_loss():
    real, fake = draw((7, 1))
    loss = AdversarialLoss(saturating=True)
    expected = np.mean(np.log(1.0 - 1.0 / (1.0 + np.exp(-fake.numpy()))))
    assert loss.generator(real, fake).item() == pytest.approx(expected, abs=1e-13)
    assert loss.discriminator(real, fake) == AdversarialLoss().discriminator(real, fake)


@pytest.mark.parametrize(("base", "pairing"), [cell for cell in CELLS if cell != ("standard", "plain")])
def test_saturating_is_refused_everywhere_else_with_the_reason(base, pairing):
    with pytest.raises(UserError) as refusal:
        AdversarialLoss(base=base, pairing=pairing, saturating=True)
    assert refusal.value.why and "standard" in refusal.value.do


@pytest.mark.parametrize(
    ("minimax", "aim"), [(lambda f: -(f**2), 0.0), (lambda f: -torch.relu(1 + f), -1.5)], ids=["least_squares", "hinge"]
)
def test_the_refused_minimax_losses_are_dead_where_the_discriminator_drives_fakes(minimax, aim):
    fake = torch.full((4, 1), aim, dtype=torch.float64, requires_grad=True)
    assert not torch.autograd.grad(minimax(fake).mean(), fake)[0].any()


def test_smoothing_is_cross_entropy_with_a_soft_target_on_real_samples_only():
    real, fake = (scores.numpy() for scores in draw((7, 1)))
    probability = 1.0 / (1.0 + np.exp(-real))
    expected = -np.mean(0.9 * np.log(probability) + 0.1 * np.log(1 - probability)) + np.mean(np.logaddexp(0, fake))
    smooth = AdversarialLoss(smooth_real=0.9)
    assert smooth.discriminator(torch.tensor(real), torch.tensor(fake)).item() == pytest.approx(expected, abs=1e-13)
    assert smooth.generator(None, torch.tensor(fake)) == AdversarialLoss().generator(None, torch.tensor(fake))
    squares = AdversarialLoss(base="least_squares", smooth_real=0.9)
    expected = np.mean((real - 0.9) ** 2) + np.mean(fake**2)
    assert squares.discriminator(torch.tensor(real), torch.tensor(fake)).item() == pytest.approx(expected, abs=1e-13)


@cells
def test_scales_are_averaged_and_verdicts_stand_for_their_scores(base, pairing):
    loss = AdversarialLoss(base=base, pairing=pairing)
    fine, coarse = draw((4, 1, 4, 4), seed=1), draw((4, 1, 2, 2), seed=2)
    for side in (loss.discriminator, loss.generator):
        expected = (side(*fine) + side(*coarse)) / 2
        assert torch.allclose(side([fine[0], coarse[0]], [fine[1], coarse[1]]), expected, atol=1e-14)
        verdicts = [[Verdict(score, (score,)) for score in (fine[i], coarse[i])] for i in (0, 1)]
        assert torch.allclose(side(*verdicts), expected, atol=1e-14)
    single = [Verdict(score, (score,)) for score in fine]
    assert loss.discriminator(*single) == loss.discriminator(*fine)


@cells
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_scores_are_lost_on_in_float32_also_under_autocast(base, pairing, dtype):
    real, fake = draw((64, 1), dtype=dtype)
    loss = AdversarialLoss(base=base, pairing=pairing)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        computed = loss.discriminator(real, fake)
    assert computed.dtype == torch.float32
    expected = DISCRIMINATOR[base, pairing](real.double().numpy(), fake.double().numpy())
    assert computed.item() == pytest.approx(expected, rel=1e-5, abs=1e-5)


@cells
def test_extreme_scores_stay_finite(base, pairing):
    loss = AdversarialLoss(base=base, pairing=pairing)
    for sign in (1.0, -1.0):
        real = torch.full((4, 1), sign * 1e4, requires_grad=True)
        fake = torch.full((4, 1), -sign * 1e4, requires_grad=True)
        total = loss.discriminator(real, fake) + loss.generator(real, fake)
        gradients = torch.autograd.grad(total, (real, fake))
        assert total.isfinite() and all(gradient.isfinite().all() for gradient in gradients)


def test_the_generator_of_a_plain_pairing_needs_no_real_scores():
    _, fake = draw((4, 1))
    for base in BASES:
        assert not AdversarialLoss(base=base).generator_needs_real
        assert AdversarialLoss(base=base).generator(None, fake) == AdversarialLoss(base=base).generator(fake, fake)
    with pytest.raises(UserError, match="real"):
        AdversarialLoss(pairing="average").generator(None, fake)


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_batches_of_different_size_meet_only_where_that_means_something(pairing):
    real, fake = draw((6, 1))[0], draw((4, 1))[1]
    loss = AdversarialLoss(pairing=pairing)
    if pairing == "paired":
        with pytest.raises(UserError, match="fit"):
            loss.discriminator(real, fake)
    else:
        expected = DISCRIMINATOR["standard", pairing](real.numpy(), fake.numpy())
        assert loss.discriminator(real, fake).item() == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize("pairing", ["paired", "all_pairs"])
def test_a_missing_axis_is_refused_instead_of_broadcast(pairing):
    real, fake = draw((6, 1))
    with pytest.raises(UserError, match="fit"):
        AdversarialLoss(pairing=pairing).discriminator(real, fake[:, 0])


def test_scales_must_correspond():
    real, fake = draw((6, 1))
    with pytest.raises(UserError, match="scales"):
        AdversarialLoss().discriminator([real, real], [fake])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"base": "hinged"}, "hinge"),
        ({"base": "lsgan"}, "Known|Did you mean"),
        ({"pairing": "averaged"}, "average"),
        ({"pairing": "relativistic"}, "centred"),
        ({"smooth_real": 0.4}, "0.9"),
        ({"smooth_real": 1.1}, "0.9"),
        ({"smooth_real": float("nan")}, "0.9"),
        ({"base": "hinge", "smooth_real": 0.9}, "target"),
        ({"base": "wasserstein", "smooth_real": 0.9}, "target"),
    ],
)
def test_bad_settings_are_refused_with_what_would_work(values, message):
    with pytest.raises(UserError, match=message):
        AdversarialLoss(**values)


@dataclass(frozen=True, kw_only=True)
class RecipeSettings:
    """Settings of a recipe that holds the loss as a group."""

    adversarial: AdversarialLoss = field(default=AdversarialLoss(base="hinge"))
    """The adversarial loss."""


def test_it_is_a_group_of_settings():
    changed = settings.replace(RecipeSettings(), {"adversarial.pairing": "average", "adversarial.base": "standard"})
    assert changed.adversarial == AdversarialLoss(pairing="average")
    assert settings.from_json(RecipeSettings, settings.to_json(changed)) == changed
    assert settings.differences(RecipeSettings(), changed) == {
        "adversarial.base": ("hinge", "standard"),
        "adversarial.pairing": ("plain", "average"),
    }
    with pytest.raises(UserError, match="hinge"):
        settings.replace(RecipeSettings(), {"adversarial.base": "hnge"})
    with pytest.raises(UserError, match="saturating"):
        settings.replace(RecipeSettings(), {"adversarial.saturating": True})


def test_the_command_line_takes_it_by_name():
    import tyro

    given_words = ["--adversarial.base", "least_squares", "--adversarial.pairing", "centred"]
    parsed = tyro.cli(RecipeSettings, args=given_words)
    assert parsed.adversarial == AdversarialLoss(base="least_squares", pairing="centred")


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_a_batch_of_one_is_refused_where_samples_are_compared(pairing):
    loss = AdversarialLoss(pairing=pairing)
    assert loss.is_batch_coupled == (pairing in COUPLED)
    loss.require_batch(2)
    if pairing in COUPLED:
        with pytest.raises(UserError, match="at least 2"):
            loss.require_batch(1)
    else:
        loss.require_batch(1)
    with pytest.raises(UserError, match="Minibatch discrimination"):
        require_coupled_batch("Minibatch discrimination", 1)


@pytest.mark.parametrize("pairing", COUPLED)
def test_a_batch_of_one_would_have_been_the_paired_loss(pairing):
    # What the refusal advises must be true: for `average` and `all_pairs` one sample is one pair.
    real, fake = draw((1, 1))
    coupled = AdversarialLoss(pairing=pairing).discriminator(real, fake)
    paired = AdversarialLoss(pairing="paired").discriminator(real, fake)
    assert (abs(coupled - paired) < 1e-14) == (pairing != "centred")


def test_accumulation_is_announced_only_where_it_changes_the_loss():
    assert "4 micro-batches" in AdversarialLoss(pairing="average").accumulation_notice(4)
    assert not AdversarialLoss(pairing="average").accumulation_notice(1)
    assert not AdversarialLoss(pairing="average", exact_means=True).accumulation_notice(4)
    assert not AdversarialLoss(pairing="paired").accumulation_notice(4)


class TestProbability:
    """The figure of the relativistic discriminator: P(real) of one real batch beside worse and better fakes."""

    real = torch.tensor([[1.0], [2.0], [3.0]], dtype=torch.float64)

    def test_plain_is_blind_to_the_fakes_and_average_is_not(self):
        plain, average = [], []
        for fakes in (-4.0, 0.0, 2.0):
            fake = torch.full((3, 1), fakes, dtype=torch.float64)
            plain.append(probability_real(self.real, fake).mean().item())
            average.append(probability_real(self.real, fake, "standard", "average").mean().item())
        assert plain[0] == plain[1] == plain[2]
        assert average[0] > average[1] > average[2]
        assert average[2] == pytest.approx(np.mean([1 / (1 + math.exp(1)), 0.5, 1 / (1 + math.exp(-1))]))

    @pytest.mark.parametrize("pairing", ["paired", "all_pairs"])
    def test_real_and_fake_probabilities_of_pairs_add_up_to_one(self, pairing):
        real, fake = draw((5, 1, 2, 2))
        total = probability_real(real, fake, "standard", pairing) + probability_real(fake, real, "standard", pairing)
        assert total.mean().item() == pytest.approx(1.0)
        assert total.shape == (5, 1)

    def test_scales_are_averaged(self):
        real, fake = draw((5, 1))
        both = probability_real([real, real + 1], [fake, fake])
        assert torch.allclose(both, (torch.sigmoid(real) + torch.sigmoid(real + 1)) / 2)

    def test_bases_without_probability_are_refused(self):
        with pytest.raises(UserError, match="standard"):
            probability_real(self.real, self.real, "hinge", "plain")


def accumulated(loss, side, whole, parts, net):
    """The gradient that accumulation with exact_means gives: two passes over micro-batches."""
    with torch.no_grad():
        first = [net(pictures) for pictures in whole]
    gradients = loss.score_gradients(*first, side)
    size = len(whole[0]) // parts
    values = []
    for start in range(0, len(whole[0]), size):
        real, fake = (net(pictures[start : start + size]) for pictures in whole)
        part = gradients.micro_batch_loss(real, fake, start)
        (part / parts).backward()
        values.append(part.item())
    return values, torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])


@cells
@pytest.mark.parametrize("side", ["discriminator", "generator"])
@pytest.mark.parametrize("patches", [1, 4])
def test_two_pass_accumulation_equals_the_full_batch(base, pairing, side, patches):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 6), torch.nn.Tanh(), torch.nn.Linear(6, patches)).double()
    whole = torch.randn(2, 8, 3, dtype=torch.float64).unbind()
    loss = AdversarialLoss(base=base, pairing=pairing, exact_means=True)
    full = getattr(loss, side)(net(whole[0]), net(whole[1]))
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(full, list(net.parameters()))])
    values, gradient = accumulated(loss, side, whole, 4, net)
    assert values == pytest.approx([full.item()] * 4, abs=1e-14)
    assert (gradient - expected).abs().max() < 1e-12


def test_plain_micro_batches_of_a_coupled_loss_are_not_the_full_batch():
    # The reason why the two passes exist.
    real, fake = draw((8, 1))
    loss = AdversarialLoss(pairing="average")
    parts = torch.stack([loss.discriminator(real[i : i + 2], fake[i : i + 2]) for i in range(0, 8, 2)]).mean()
    assert abs(parts - loss.discriminator(real, fake)) > 1e-3


def test_two_pass_accumulation_over_scales_without_real_gradients():
    real, fake = draw((4, 1))
    loss = AdversarialLoss(base="least_squares", pairing="average")
    leaves = [fake.clone().requires_grad_(True), (2 * fake).requires_grad_(True)]
    expected = torch.autograd.grad(loss.generator([real, real], leaves), leaves)
    gradients = loss.score_gradients([real, real], [fake, 2 * fake], "generator")
    for start in (0, 2):
        part = [leaf[start : start + 2].detach().requires_grad_(True) for leaf in leaves]
        shares = torch.autograd.grad(gradients.micro_batch_loss(None, part, start), part)
        for share, whole in zip(shares, expected):
            assert torch.allclose(share / 2, whole[start : start + 2], atol=1e-15)


def test_two_pass_accumulation_refuses_what_the_first_pass_did_not_see():
    real, fake = draw((4, 1))
    gradients = AdversarialLoss(pairing="average").score_gradients(real, fake, "discriminator")
    with pytest.raises(UserError, match="first pass"):
        gradients.micro_batch_loss(real[2:], fake[2:], 3)
    with pytest.raises(UserError, match="real scores"):
        AdversarialLoss(pairing="average").score_gradients(None, fake, "generator")
    plain = AdversarialLoss().score_gradients(None, fake, "generator")
    assert torch.allclose(plain.fake[0] * 4, -torch.sigmoid(-fake))


def test_scores_come_by_scale_in_float32_or_better():
    half, double = torch.ones(2, 1, dtype=torch.bfloat16), torch.ones(2, 1, dtype=torch.float64)
    assert [score.dtype for score in scores_of([half, Verdict(double, (double,))])] == [torch.float32, torch.float64]
    assert len(scores_of(Verdict(half, (half, half)))) == 1


class TestPeerMistakes:
    """Mistakes found in other projects: each must differ from ours in the telling way while ours is right."""

    def test_hinge_with_relativistic_average_gives_the_generator_no_gradient(self):
        # Their generator's hinge term is -mean(score) whichever way the term points, so the two halves cancel.
        real, fake = draw((6, 1))
        fake.requires_grad_(True)
        mistaken = (-(real - fake.mean()).mean() - (fake - real.mean()).mean()) / 2
        assert torch.autograd.grad(mistaken, fake)[0].abs().max() < 1e-15
        ours = AdversarialLoss(base="hinge", pairing="average").generator(real, fake)
        gradient = torch.autograd.grad(ours, fake)[0]
        # Closed form: the active halves, each through its own argument or through the mean.
        r, f = real.numpy()[:, 0], fake.detach().numpy()[:, 0]
        through_mean = -np.mean(1 + (r - f.mean()) > 0) / 6
        direct = -(1 - (f - r.mean()) > 0).astype(float) / 6
        assert gradient.numpy()[:, 0] == pytest.approx((through_mean + direct) / 2, abs=1e-15)
        assert gradient.abs().max() > 0.05

    @pytest.mark.parametrize("base", BASES)
    def test_second_term_of_relativistic_average_subtracts_the_mean_from_each_fake(self, base):
        real, fake = draw((6, 1), scale=3.0)
        f2 = {
            "standard": lambda x: np.logaddexp(0, x),
            "least_squares": lambda x: (x + 1) ** 2,
            "hinge": lambda x: np.maximum(0, 1 + x),
            "wasserstein": lambda x: x,
        }[base]
        f1 = lambda x: f2(-x)  # noqa: E731
        r, f = real.numpy(), fake.numpy()
        mistaken = (np.mean(f1(r - f.mean())) + np.mean(f2(f.mean() - r))) / 2
        right = (np.mean(f1(r - f.mean())) + np.mean(f2(f - r.mean()))) / 2
        ours = AdversarialLoss(base=base, pairing="average").discriminator(real, fake).item()
        assert ours == pytest.approx(right, abs=1e-13)
        # Under Wasserstein both are the difference of the means, so there the mistake cannot show.
        assert (abs(mistaken - right) > 1e-2) == (base != "wasserstein")

    def test_detached_means_lose_part_of_the_gradient(self):
        real, fake = (scores.requires_grad_(True) for scores in draw((6, 1)))
        loss = AdversarialLoss(base="least_squares", pairing="average")
        ours = torch.autograd.grad(loss.discriminator(real, fake), real)[0]
        r, f = real.detach().numpy(), fake.detach().numpy()
        direct = (r - f.mean() - 1) / 6
        through_mean = -np.mean(f - r.mean() + 1) / 6
        assert ours.numpy() == pytest.approx(direct + through_mean, abs=1e-14)
        assert abs(through_mean) > 0.01

    def test_relativistic_generator_has_both_terms(self):
        real, fake = draw((6, 1))
        one_term = np.mean(np.logaddexp(0, -(fake.numpy() - real.numpy().mean())))
        ours = AdversarialLoss(pairing="average").generator(real, fake).item()
        assert ours == pytest.approx(GENERATOR["standard", "average"](real.numpy(), fake.numpy()), abs=1e-13)
        assert abs(ours - one_term) > 1e-2 and abs(ours - one_term / 2) > 1e-2
