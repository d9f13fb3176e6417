"""Reconstruction losses against written-out numpy, and against the pictures and batches that they must not see."""

from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from skimage.measure import block_reduce
from skimage.metrics import peak_signal_noise_ratio

from ganvas.errors import UserError
from ganvas.losses import reconstruction as rec
from ganvas.protocol import Verdict


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layers(seed, num=4):
    """Features of one scale: activations of growing width, then the score map."""
    activations = [draw(3, 2 + i, 6 - i, 5, seed=seed * 10 + i) for i in range(num)]
    return (*activations, draw(3, 1, 2, 2, seed=seed))


def mean_abs(a, b):
    return np.abs(a.numpy() - b.numpy()).mean()


def mean_square(a, b):
    return ((a.numpy() - b.numpy()) ** 2).mean()


def gradient(loss, leaf):
    return torch.autograd.grad(loss, leaf, allow_unused=True, retain_graph=True)[0]


class TestPixels:
    fake, real = draw(2, 3, 8, 12), draw(2, 3, 8, 12, seed=1)

    def test_plain_distances(self):
        assert rec.l1(self.fake, self.real).item() == pytest.approx(mean_abs(self.fake, self.real))
        assert rec.l2(self.fake, self.real).item() == pytest.approx(mean_square(self.fake, self.real))

    def test_charbonnier_has_a_round_bottom_and_straight_sides(self):
        expected = np.sqrt((self.fake.numpy() - self.real.numpy()) ** 2 + 0.01**2).mean()
        assert rec.charbonnier(self.fake, self.real, 0.01).item() == pytest.approx(expected)
        same = self.real.clone().requires_grad_(True)
        bottom = rec.charbonnier(same, self.real)
        assert bottom.item() == pytest.approx(1e-3) and not gradient(bottom, same).any()
        far = rec.charbonnier(self.real + 100.0, self.real).item()
        assert far == pytest.approx(100.0, rel=1e-9)
        with pytest.raises(UserError, match="epsilon"):
            rec.charbonnier(self.fake, self.real, 0.0)

    @pytest.mark.parametrize("size", [(4, 3), (2, 2), (8, 12)])
    def test_low_l1_compares_block_means(self, size):
        block: Any = (1, 1, 8 // size[0], 12 // size[1])
        low = [block_reduce(picture.numpy(), block, np.mean) for picture in (self.fake, self.real)]
        expected = np.abs(low[0] - low[1]).mean()
        assert rec.low_l1(self.fake, self.real, size).item() == pytest.approx(expected, abs=1e-14)
        # The target may be low already.
        target = torch.tensor(low[1])
        assert rec.low_l1(self.fake, target, size).item() == pytest.approx(expected, abs=1e-14)

    def test_low_l1_is_blind_to_detail_and_not_to_brightness(self):
        checks = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64).repeat(4, 6)
        assert rec.low_l1(self.real + checks, self.real, (4, 6)).item() < 1e-15
        assert rec.low_l1(self.real + 0.25, self.real, (4, 6)).item() == pytest.approx(0.25)

    def test_low_l1_takes_sizes_that_do_not_divide(self):
        assert rec.low_l1(self.real + 0.25, self.real, (3, 5)).item() == pytest.approx(0.25)

    def test_low_l1_never_enlarges(self):
        with pytest.raises(UserError, match="grow"):
            rec.low_l1(self.fake, self.real, 10)
        with pytest.raises(UserError, match="grow"):
            rec.low_l1(self.fake, draw(2, 3, 3, 3), 4)

    def test_decibels_are_those_of_psnr_below_60_and_count_every_picture_alike(self):
        real = torch.rand(3, 3, 8, 8, dtype=torch.float64)
        off = torch.tensor([0.1, 0.02, 0.3], dtype=torch.float64)[:, None, None, None]
        fake = (real + off).requires_grad_()
        pairs = zip(real.numpy(), fake.detach().numpy(), strict=True)
        psnrs = [peak_signal_noise_ratio(truth, picture, data_range=1.0) for truth, picture in pairs]
        found = rec.decibels(fake, real)
        assert found.item() == pytest.approx(60 - sum(psnrs) / 3, abs=0.01)
        found.backward()
        # A step that takes the same share of each picture's error gains each the same decibels.
        gains = (fake.grad * off).sum((1, 2, 3))
        torch.testing.assert_close(gains, gains.mean().expand(3), rtol=0.01, atol=0)
        assert rec.decibels(real, real).item() == 0
        with pytest.raises(UserError, match="floor"):
            rec.decibels(fake, real, 0.0)

    @pytest.mark.parametrize("loss", [rec.l1, rec.l2, rec.charbonnier, rec.decibels, rec.learned_l2])
    def test_targets_get_no_gradient_and_shapes_must_agree(self, loss):
        fake, real = self.fake.clone().requires_grad_(True), self.real.clone().requires_grad_(True)
        assert gradient(loss(fake, real), real) is None
        assert gradient(loss(fake, real), fake).any()
        with pytest.raises(UserError, match="shapes"):
            loss(self.fake, self.real[:, :1])

    def test_half_pictures_are_compared_in_float32(self):
        fake, real = torch.full((1, 3, 64, 64), 1.0).bfloat16(), torch.full((1, 3, 64, 64), 0.99609375).bfloat16()
        loss = rec.l1(fake, real)
        assert loss.dtype == torch.float32 and loss.item() == 0.00390625


class TestPerceptual:
    fake = MappingProxyType({"conv1": draw(2, 4, 6, 6), "conv5": draw(2, 8, 3, 3, seed=1)})
    real = MappingProxyType({"conv1": draw(2, 4, 6, 6, seed=2), "conv5": draw(2, 8, 3, 3, seed=3), "unused": draw(1)})

    @pytest.mark.parametrize(("norm", "distance"), [("l1", mean_abs), ("l2", mean_square)])
    def test_layers_are_weighted(self, norm, distance):
        expected = 0.1 * distance(self.fake["conv1"], self.real["conv1"]) + 2 * distance(
            self.fake["conv5"], self.real["conv5"]
        )
        ours = rec.perceptual(self.fake, self.real, {"conv1": 0.1, "conv5": 2.0}, norm)
        assert ours.item() == pytest.approx(expected)

    def test_targets_get_no_gradient(self):
        real = {"conv1": self.real["conv1"].clone().requires_grad_(True)}
        fake = {"conv1": self.fake["conv1"].clone().requires_grad_(True)}
        loss = rec.perceptual(fake, real, {"conv1": 1.0})
        assert gradient(loss, real["conv1"]) is None and gradient(loss, fake["conv1"]).any()

    def test_unknown_layers_are_refused_with_the_nearest(self):
        with pytest.raises(UserError, match="conv5"):
            rec.perceptual(self.fake, self.real, {"conv55": 1.0})
        with pytest.raises(UserError, match="layer"):
            rec.perceptual(self.fake, self.real, {})


class TestFeatureMatching:
    def test_mean_over_layers_and_scales_without_the_score(self):
        fake, real = [layers(1), layers(2)], [layers(3), layers(4)]
        expected = np.mean([[mean_abs(a, b) for a, b in zip(f[:-1], r[:-1])] for f, r in zip(fake, real)])
        assert rec.feature_matching(fake, real).item() == pytest.approx(expected)

    def test_published_weights(self):
        # pix2pixHD: three strided layers, four feature maps, two scales.
        fake, real = [layers(1), layers(2)], [layers(3), layers(4)]
        expected = 0.0
        for f, r in zip(fake, real):
            for i in range(4):
                expected += 4.0 / (3 + 1) * (1.0 / 2) * mean_abs(f[i], r[i])
        assert rec.feature_matching(fake, real, "pix2pixhd").item() == pytest.approx(expected)

    def test_one_scale_verdicts_and_tuples_mean_the_same(self):
        fake, real = layers(1), layers(2)
        expected = rec.feature_matching(fake, real)
        verdicts = Verdict(fake[-1], fake), Verdict(real[-1], real)
        assert rec.feature_matching(*verdicts) == expected
        assert rec.feature_matching([verdicts[0]], [verdicts[1]]) == expected
        assert rec.feature_matching([fake], [real]) == expected

    def test_it_is_per_sample(self):
        # Exchanging two samples keeps all batch means, and must still cost.
        fake = layers(1)
        exchanged = tuple(layer[[1, 0, 2]] for layer in fake)
        assert rec.feature_matching(exchanged, fake).item() > 0.1
        assert rec.mean_feature_matching(exchanged[0], fake[0]).item() < 1e-30

    def test_targets_get_no_gradient(self):
        fake = tuple(layer.requires_grad_(True) for layer in layers(1))
        real = tuple(layer.requires_grad_(True) for layer in layers(2))
        loss = rec.feature_matching(fake, real)
        assert all(gradient(loss, layer) is None for layer in real)
        assert all(gradient(loss, layer).any() for layer in fake[:-1]) and gradient(loss, fake[-1]) is None

    def test_misfits_are_refused(self):
        with pytest.raises(UserError, match="same discriminator"):
            rec.feature_matching(layers(1), layers(2, num=3))
        with pytest.raises(UserError, match="same discriminator"):
            rec.feature_matching([layers(1)], [layers(2), layers(3)])
        with pytest.raises(UserError, match="no features"):
            rec.feature_matching([layers(1)[-1:]], [layers(2)[-1:]])


class TestLearnedPerceptual:
    @pytest.mark.parametrize(("norm", "distance"), [("l1", mean_abs), ("l2", mean_square)])
    def test_chosen_layers_are_averaged(self, norm, distance):
        fake, real = layers(1), layers(2)
        expected = (distance(fake[0], real[0]) + distance(fake[3], real[3]) + distance(fake[4], real[4])) / 3
        assert rec.learned_perceptual(fake, real, (0, 3, -1), norm).item() == pytest.approx(expected)

    def test_all_layers_but_the_score_are_feature_matching(self):
        fake, real = [layers(1), layers(2)], [layers(3), layers(4)]
        ours = rec.learned_perceptual(fake, real, range(4))
        assert ours.item() == pytest.approx(rec.feature_matching(fake, real).item())

    @pytest.mark.parametrize("chosen", [(5,), (-6,), (0, 17)])
    def test_layers_that_do_not_exist_are_refused_with_what_there_is(self, chosen):
        with pytest.raises(UserError, match="0 to 4"):
            rec.learned_perceptual(layers(1), layers(2), chosen)

    def test_no_layer_is_refused(self):
        with pytest.raises(UserError, match="no layers"):
            rec.learned_perceptual(layers(1), layers(2), ())


class TestMeanFeatureMatching:
    fake, real = draw(6, 4, 3, 2), draw(5, 4, 3, 2, seed=1) + 0.3
    difference = fake.numpy().mean(0) - real.numpy().mean(0)

    def test_the_three_norms(self):
        assert rec.mean_feature_matching(self.fake, self.real, "l1").item() == pytest.approx(
            np.abs(self.difference).mean()
        )
        assert rec.mean_feature_matching(self.fake, self.real).item() == pytest.approx((self.difference**2).mean())
        assert rec.mean_feature_matching(self.fake, self.real, "l2").item() == pytest.approx(
            np.sqrt((self.difference**2).sum())
        )

    @pytest.mark.parametrize("norm", ["l1", "l2", "squared"])
    def test_gradients_equal_finite_differences(self, norm):
        fake = self.fake.clone().requires_grad_(True)
        assert torch.autograd.gradcheck(lambda x: rec.mean_feature_matching(x, self.real, norm), (fake,))

    def test_equal_means_have_a_finite_gradient(self):
        fake = self.fake.clone().requires_grad_(True)
        assert gradient(rec.mean_feature_matching(fake, self.fake, "l2"), fake).isfinite().all()

    def test_targets_get_no_gradient_and_layers_must_agree(self):
        fake, real = self.fake.clone().requires_grad_(True), self.real.clone().requires_grad_(True)
        assert gradient(rec.mean_feature_matching(fake, real), real) is None
        with pytest.raises(UserError, match="shapes"):
            rec.mean_feature_matching(self.fake, self.real[:, :2])
