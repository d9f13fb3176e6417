"""Regularisers against closed forms on linear and quadratic critics, written-out sums, and finite differences."""

import math

import numpy as np
import pytest
import torch

from ganvas.errors import UserError
from ganvas.losses import regularization as reg
from ganvas.protocol import Verdict


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64).to(dtype)


def linear(weight):
    return lambda x: (x * weight).flatten(1).sum(1, keepdim=True) + 3.0


def quadratic(curvature):
    return lambda x: (curvature * x.square()).flatten(1).sum(1, keepdim=True) / 2


class TestGradientPenalty:
    def test_closed_form_on_a_linear_critic(self):
        weight = pictures(3, 4, 5, seed=1)
        real, fake = pictures(6, 3, 4, 5, seed=2), pictures(6, 3, 4, 5, seed=3)
        expected = (np.sqrt((weight.numpy() ** 2).sum()) - 1) ** 2
        assert reg.gradient_penalty(linear(weight), real, fake, seeded()).item() == pytest.approx(expected, rel=1e-13)

    def test_peer_mistake_norm_per_pixel(self):
        weight = pictures(3, 4, 5, seed=1) / 5
        real, fake = pictures(6, 3, 4, 5, seed=2), pictures(6, 3, 4, 5, seed=3)
        mistaken = np.mean((np.sqrt((weight.numpy() ** 2).sum(0)) - 1) ** 2)
        right = (np.sqrt((weight.numpy() ** 2).sum()) - 1) ** 2
        ours = reg.gradient_penalty(linear(weight), real, fake, seeded()).item()
        assert abs(mistaken - right) > 0.05
        assert ours == pytest.approx(right, rel=1e-13)

    def test_one_weight_per_sample_on_the_line_between_its_two_ends(self):
        # C = |x|^2 / 2 has the gradient x: the penalty shows at which points it was taken.
        seen = []
        real, fake = pictures(5, 3, 2, 2, seed=4), pictures(5, 3, 2, 2, seed=5)

        def critic(x):
            seen.append(x.detach())
            return quadratic(1.0)(x)

        penalty = reg.gradient_penalty(critic, real, fake, seeded(7))
        share = ((seen[0] - fake) / (real - fake)).flatten(1)
        assert torch.allclose(share, share[:, :1].expand_as(share), atol=1e-9)
        assert share.min() >= 0 and share.max() < 1 and share[:, 0].unique().numel() == 5
        expected = np.mean((np.sqrt((seen[0].flatten(1).numpy() ** 2).sum(1)) - 1) ** 2)
        assert penalty.item() == pytest.approx(expected, rel=1e-13)
        assert penalty == reg.gradient_penalty(critic, real, fake, seeded(7))

    def test_a_flat_critic_has_a_finite_gradient(self):
        weight = torch.zeros(3, 2, 2, dtype=torch.float64, requires_grad=True)
        x = pictures(2, 3, 2, 2)
        penalty = reg.gradient_penalty(lambda x: linear(weight)(x), x, x, seeded())
        assert penalty.item() == 1.0
        assert torch.autograd.grad(penalty, weight)[0].isfinite().all()

    def test_shapes_must_agree(self):
        with pytest.raises(UserError, match="shape"):
            reg.gradient_penalty(linear(1.0), pictures(2, 3, 4, 4), pictures(2, 3, 4, 1), seeded())


class TestR1:
    def test_closed_form_on_a_quadratic_critic(self):
        curvature, real = pictures(3, 4, 4, seed=1), pictures(5, 3, 4, 4, seed=2)
        expected = np.mean(((curvature.numpy() * real.numpy()) ** 2).sum((1, 2, 3))) / 2
        assert reg.r1(quadratic(curvature), real).item() == pytest.approx(expected, rel=1e-13)
        assert reg.r2(quadratic(curvature), real).item() == pytest.approx(expected, rel=1e-13)

    def test_its_gradient_for_the_weights_is_the_closed_one(self):
        curvature, real = pictures(3, 4, 4, seed=1).requires_grad_(True), pictures(5, 3, 4, 4, seed=2)
        gradient = torch.autograd.grad(reg.r1(quadratic(curvature), real), curvature)[0]
        assert torch.allclose(gradient, curvature.detach() * real.square().mean(0), rtol=1e-12)

    def test_patches_are_averaged_into_one_score_and_scales_into_one_penalty(self):
        x = pictures(4, 1, 2, 2, seed=3)
        # A map that is the picture itself: the score is its mean, the gradient 1/4 everywhere, the squared norm 1/4.
        assert reg.r1(lambda x: x, x).item() == pytest.approx(1 / 8)
        # Second scale with double the scores: four times the penalty.
        assert reg.r1(lambda x: [Verdict(x, (x,)), 2 * x], x).item() == pytest.approx((1 / 8 + 4 / 8) / 2)

    def test_it_is_float32_under_autocast(self):
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.LeakyReLU(0.2), torch.nn.Conv2d(8, 1, 3))
        real = pictures(2, 3, 8, 8, dtype=torch.float32)
        expected = reg.r1(net, real)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert net(real).dtype == torch.bfloat16
            ours = reg.r1(net, real)
            half = reg.r1(net, real.bfloat16())
        assert ours.dtype == torch.float32
        assert torch.equal(ours, expected)
        assert half.dtype == torch.float32

    def test_it_works_where_the_caller_computes_no_gradients(self):
        with torch.no_grad():
            assert reg.r1(quadratic(1.0), pictures(2, 3, 4, 4)).item() > 0


class TestLazy:
    def test_an_interval_weighs_as_much_as_every_step(self):
        assert [reg.lazy_factor(step, 4) for step in range(6)] == [4, 0, 0, 0, 4, 0]
        assert sum(reg.lazy_factor(step, 16) for step in range(160)) == 160

    @pytest.mark.parametrize("interval", [0, -3])
    def test_impossible_intervals_are_refused(self, interval):
        with pytest.raises(UserError):
            reg.lazy_factor(0, interval)


class TestDragan:
    def test_it_looks_near_the_real_samples(self):
        seen = []
        real = 3.0 * pictures(200, 3, 4, 4, seed=1)

        def critic(x):
            seen.append(x.detach())
            return quadratic(1.0)(x)

        penalty = reg.dragan(critic, real, seeded(), spread=0.5)
        step = (seen[0] - real) / (0.5 * real.numpy().std())
        assert step.min() >= 0 and step.max() < 1
        largest = step.flatten(1).max(1).values
        assert largest.min() < 0.1 and largest.max() > 0.8, "each sample has its own distance"
        expected = np.mean((np.sqrt((seen[0].flatten(1).numpy() ** 2).sum(1)) - 1) ** 2)
        assert penalty.item() == pytest.approx(expected, rel=1e-12)


class TestClipping:
    def test_weights_end_within_the_limit_and_small_ones_stay(self):
        weights = [pictures(4, 3).requires_grad_(True), pictures(4, seed=1)]
        before = [weight.detach().clone() for weight in weights]
        reg.clip_weights(weights, 0.3)
        for weight, old in zip(weights, before):
            assert np.array_equal(weight.detach().numpy(), np.clip(old.numpy(), -0.3, 0.3))

    @pytest.mark.parametrize("limit", [0.0, -1.0, math.nan])
    def test_an_impossible_limit_is_refused(self, limit):
        with pytest.raises(UserError):
            reg.clip_weights([pictures(2)], limit)


class TestOrthogonality:
    def test_it_sums_squared_overlaps_of_different_filters(self):
        first, second = pictures(4, 3, 2, 2), pictures(5, 7, seed=1)
        expected = 0.0
        for weight in (first.numpy().reshape(4, -1), second.numpy()):
            for i in range(len(weight)):
                expected += sum(np.dot(weight[i], weight[j]) ** 2 for j in range(len(weight)) if j != i)
        assert reg.orthogonality([first, pictures(4), second]).item() == pytest.approx(expected, rel=1e-12)

    def test_scaled_orthogonal_filters_cost_nothing(self):
        rows = torch.linalg.qr(pictures(6, 6)).Q[:4] * torch.tensor([[1.0], [2.0], [0.5], [9.0]], dtype=torch.float64)
        assert reg.orthogonality([rows]).item() < 1e-20

    def test_peer_mistake_half_of_the_gradient(self):
        weight = pictures(4, 3, 2, 2).requires_grad_(True)
        gradient = torch.autograd.grad(reg.orthogonality([weight]), weight)[0].numpy().reshape(4, -1)
        rows = weight.detach().numpy().reshape(4, -1)
        mistaken = 2 * (rows @ rows.T * (1 - np.eye(4))) @ rows
        assert gradient == pytest.approx(2 * mistaken, rel=1e-10)
        # Which of the two is right is decided by a difference quotient.
        at, h = 1e-6, np.zeros_like(rows)
        h[1, 2] = at
        ahead, behind = (reg.orthogonality([torch.tensor(rows + sign * h)]).item() for sign in (1, -1))
        assert gradient[1, 2] == pytest.approx((ahead - behind) / (2 * at), rel=1e-6)

    def test_it_is_float32_under_autocast(self):
        weight = pictures(8, 8, dtype=torch.float32)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert (weight @ weight).dtype == torch.bfloat16
            inside = reg.orthogonality([weight])
        assert torch.equal(inside, reg.orthogonality([weight]))

    def test_nothing_to_regularise_is_refused(self):
        with pytest.raises(UserError):
            reg.orthogonality([pictures(3)])


class TestHistoricalAveraging:
    def test_the_running_mean_is_the_mean_of_all_past_values(self):
        past = [pictures(3, 2, seed=seed) for seed in range(9)]
        history: dict = {}
        for value in past:
            history = reg.update_history([("layer.weight", value)], history)
        mean = np.mean([value.numpy() for value in past], axis=0)
        assert history["history.layer.weight"].numpy() == pytest.approx(mean, abs=1e-14)
        assert history["history.count"] == 9 and len(history) == 2
        now = pictures(3, 2, seed=20).requires_grad_(True)
        loss = reg.historical_averaging([("layer.weight", now)], history)
        assert loss.item() == pytest.approx(((now.detach().numpy() - mean) ** 2).sum(), rel=1e-12)
        gradient = torch.autograd.grad(loss, now)[0]
        assert gradient.numpy() == pytest.approx(2 * (now.detach().numpy() - mean), rel=1e-12)

    def test_it_keeps_no_hold_of_the_parameters_and_survives_their_updates(self):
        layer = torch.nn.Linear(2, 2)
        history = reg.update_history(layer.named_parameters(), {}, "generator")
        kept = history["generator.weight"].clone()
        with torch.no_grad():
            layer.weight.add_(1.0)
        assert torch.equal(history["generator.weight"], kept) and not history["generator.weight"].requires_grad

    def test_it_begins_with_zero(self):
        layer = torch.nn.Linear(2, 2)
        assert reg.historical_averaging(layer.named_parameters(), {}).item() == 0.0

    def test_half_weights_are_averaged_in_float32(self):
        history: dict = {}
        for _ in range(300):
            history = reg.update_history([("w", torch.tensor([1.0]).bfloat16())], history)
        history = reg.update_history([("w", torch.tensor([2.0]).bfloat16())], history)
        assert history["history.w"].item() == pytest.approx(302 / 301, rel=1e-6)

    def test_another_network_is_refused(self):
        history = reg.update_history([("w", pictures(2))], {})
        for parameters in ([("v", pictures(2))], [("w", pictures(3))]):
            with pytest.raises(UserError, match="history"):
                reg.historical_averaging(parameters, history)


class TestConsistency:
    def test_it_is_the_mean_squared_difference_with_gradients_on_both_sides(self):
        before, after = pictures(4, 1).requires_grad_(True), pictures(4, 1, seed=1).requires_grad_(True)
        loss = reg.consistency(before, after)
        difference = before.detach().numpy() - after.detach().numpy()
        assert loss.item() == pytest.approx((difference**2).mean())
        left, right = torch.autograd.grad(loss, (before, after))
        assert left.numpy() == pytest.approx(difference / 2) and right.numpy() == pytest.approx(-difference / 2)

    def test_scales_are_averaged(self):
        one, two = pictures(4, 1), pictures(4, 1, 2, 2, seed=1)
        assert reg.consistency([one, two], [one + 1, two + 3]).item() == pytest.approx((1 + 9) / 2)

    def test_shapes_must_agree(self):
        with pytest.raises(UserError):
            reg.consistency(pictures(4, 1), pictures(4))


@pytest.mark.parametrize("name", ["gradient_penalty", "dragan", "r1"])
def test_second_derivatives_equal_finite_differences(name):
    real, fake = pictures(2, 2, 2, 2, seed=1), pictures(2, 2, 2, 2, seed=2)

    def penalty(first, second):
        def critic(x):
            return torch.tanh(x.flatten(1) @ first) @ second

        if name == "r1":
            return reg.r1(critic, real)
        if name == "dragan":
            return reg.dragan(critic, real, seeded(3))
        return reg.gradient_penalty(critic, real, fake, seeded(3))

    weights = pictures(8, 3, seed=3).requires_grad_(True), pictures(3, 1, seed=4).requires_grad_(True)
    assert torch.autograd.gradcheck(penalty, weights)
