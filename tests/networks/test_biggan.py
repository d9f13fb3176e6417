"""BigGAN and BigGAN-deep: published parameter counts, conditional batch norm, chunks of noise, projection."""

from __future__ import annotations

import copy
import math
import re

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from ganvas.errors import UserError
from ganvas.networks import find
from ganvas.networks.biggan.deep import BigGANDeepDiscriminator, BigGANDeepGenerator
from ganvas.networks.biggan.net import (
    DISCRIMINATOR_CHANNELS,
    BigGANDiscriminator,
    BigGANGenerator,
    ConditionalBatchNorm,
    StatisticsBank,
)
from ganvas.networks.statistics import renew_statistics, set_statistics, statistics_of

NAMES = ("biggan_generator", "biggan_discriminator", "biggan_deep_generator", "biggan_deep_discriminator")

COUNTS = [
    (70_433_988, BigGANGenerator, {}),
    (87_982_370, BigGANDiscriminator, {}),
    (82_235_844, BigGANGenerator, {"size_px": 256, "latent": 140}),
    (82_468_068, BigGANGenerator, {"size_px": 512, "latent": 160}),
    (50_244_484, BigGANDeepGenerator, {}),
    (50_388_609, BigGANDeepGenerator, {"statistics": 51, "rgb_outputs": 128}),
    (34_590_210, BigGANDeepDiscriminator, {}),
    (31_969_540, BigGANGenerator, {"size_px": 64, "width": 64, "attention_px": 32}),
    (20_571_842, BigGANDiscriminator, {"size_px": 64, "width": 64, "attention_px": 32}),
    # The authors' settings for CIFAR-10, where each norm has an embedding of its own.
    (4_304_387, BigGANGenerator,
     {"size_px": 32, "width": 64, "num_classes": 10, "latent": 128, "class_features": 0, "skip_z": False,
      "attention_px": 0}),
    (4_207_361, BigGANDiscriminator, {"size_px": 32, "width": 64, "num_classes": 10, "attention_px": 0}),
]  # fmt: skip

SMALL = {"size_px": 32, "width": 2, "num_classes": 3, "multipliers": (8, 4, 4, 4), "attention_px": 16}
DEEP = {**SMALL, "width": 4, "latent": 6, "class_features": 5}


def generator(**changes) -> BigGANGenerator:
    torch.manual_seed(0)
    return BigGANGenerator(**{**SMALL, "latent": 8, "class_features": 5, **changes})


@pytest.mark.parametrize(("count", "kind", "settings"), COUNTS)
def test_parameters_are_as_many_as_published(count, kind, settings, monkeypatch):
    # Without memory there are no singular vectors to find; looking for them is most of the time.
    monkeypatch.setattr(parametrizations._SpectralNorm, "_power_method", lambda *_: None)
    monkeypatch.setattr("ganvas.networks.biggan.net.init_orthogonal", lambda _: None)
    monkeypatch.setattr("ganvas.networks.biggan.deep.init_orthogonal", lambda _: None)
    with torch.device("meta"):
        network = kind(**settings)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_the_discriminator_of_512_px_has_the_papers_channels():
    # Brock et al. 2019, table 6: 1, 1, 2, 4, 8, 8, 16, 16 times the width.
    net = BigGANDiscriminator(512, width=1, num_classes=2, attention_px=0)
    assert [block.conv1.weight.shape[0] for block in net.blocks] == list(DISCRIMINATOR_CHANNELS[512])
    assert [block.halves for block in net.blocks] == [True] * 7 + [False]
    assert net(torch.zeros(1, 3, 512, 512), torch.tensor([1])).features[-3].shape == (1, 16, 4, 4)


@pytest.mark.parametrize("name", NAMES)
def test_the_shape_line_is_true(name):
    line = re.search(r"^ *(\(B.*\)) -> (\(.*\))$", find(name).__doc__ or "", re.MULTILINE)
    assert line is not None
    sizes, result = eval(line[1].replace("B", "2")), eval(line[2].replace("B", "2"))
    settings = {"width": 4 if "deep" in name else 8, "num_classes": 3, "attention_px": 0}
    net = find(name)(**settings).eval()
    with torch.no_grad():
        out = net(torch.randn(sizes[0]), torch.zeros(sizes[1], dtype=torch.long))
    assert tuple((out if isinstance(out, torch.Tensor) else out.score).shape) == result


# Conditional batch norm


def test_without_shared_features_conditional_batch_norm_starts_as_plain_batch_norm():
    norm, plain = ConditionalBatchNorm(6, 0, 4, 1e-5), nn.BatchNorm2d(6, affine=False)
    x = 3 * torch.randn(5, 6, 7, 7) + 2
    torch.testing.assert_close(norm(x, torch.tensor([0, 1, 2, 3, 0])), plain(x))


def test_the_gain_of_shared_features_is_one_and_not_zero_at_initialisation():
    norm = ConditionalBatchNorm(256, 20, 4, 1e-5).eval()
    x = torch.randn(8, 256, 4, 4)
    torch.testing.assert_close(norm(x, torch.zeros(8, 20)), x, rtol=1e-4, atol=1e-4)
    # Under a random condition the gain still scatters around 1: without it the signal would all but vanish.
    gain = norm(torch.ones(64, 256, 1, 1), torch.randn(64, 20)) - norm(torch.zeros(64, 256, 1, 1), torch.randn(64, 20))
    assert abs(float(gain.detach().mean()) - 1) < 0.1


def test_conditional_batch_norm_is_the_formula():
    norm = ConditionalBatchNorm(3, 4, 2, 1e-5)
    x, y = torch.randn(5, 3, 2, 2), torch.randn(5, 4)
    out = norm.eval()(x, y)
    g, b = norm.gain.weight, norm.offset.weight
    expected = x / math.sqrt(1 + 1e-5) * (1 + (y @ g.T))[..., None, None] + (y @ b.T)[..., None, None]
    torch.testing.assert_close(out, expected)
    for weight in (g, b):
        assert float(torch.linalg.matrix_norm(weight.detach(), 2)) == pytest.approx(1, abs=0.02)


def test_a_bank_gives_its_entries_and_what_lies_between_them():
    bank = StatisticsBank(1, 51, 0.0)
    bank.running_means.copy_(torch.arange(51.0)[:, None])
    bank.running_vars.copy_(1 + torch.arange(51.0)[:, None])
    x = torch.full((1, 1, 1, 1), 100.0)
    for step in range(51):
        assert float(bank(x, step * 0.02)) == pytest.approx((100 - step) / math.sqrt(1 + step), rel=1e-5)
    # A quarter of the way from entry 7 (0.14) to entry 8: nearer to 7. The published code has the weights exchanged.
    assert float(bank(x, 0.145)) == pytest.approx((100 - 7.25) / math.sqrt(8.25), rel=1e-4)


# Noise and classes


def test_skip_z_gives_each_block_its_own_chunk():
    net = generator().eval()
    seen = {}
    net.first.register_forward_pre_hook(lambda _, inputs: seen.update(first=inputs[0]))
    for index, block in enumerate(net.blocks):
        block.norm1.register_forward_pre_hook(lambda _, inputs, at=index: seen.update({at: inputs[1]}))
    z, y = torch.arange(16.0).view(2, 8), torch.tensor([0, 2])
    with torch.no_grad():
        net(z, y)
    assert torch.equal(seen["first"], z[:, :2])
    for index in range(3):
        assert torch.equal(seen[index], torch.cat([net.embedding(y), z[:, 2 * index + 2 : 2 * index + 4]], 1))


@pytest.mark.parametrize("make", [generator, lambda **_: BigGANDeepGenerator(**DEEP), lambda **_: generator(
    class_features=0, skip_z=False)])  # fmt: skip
def test_weights_of_classes_mix_embeddings_and_certain_ones_are_the_class(make):
    net = make().eval()
    z = torch.randn(3, net.latent)
    with torch.no_grad():
        by_number = net(z, torch.tensor([2, 0, 1]))
        by_weight = net(z, torch.eye(3)[[2, 0, 1]])
        mixed = net(z, torch.full((3, 3), 1 / 3))
    torch.testing.assert_close(by_weight, by_number)
    assert mixed.shape == by_number.shape and torch.isfinite(mixed).all()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"latent": 9}, "does not divide into 4 chunks.*Use 8 or 12"),
        ({"class_features": 0}, "skip_z needs a shared class embedding"),
        ({"attention_px": 64}, "No layer has 64 px"),
        ({"size_px": 48}, "has no 48 px"),
        ({"multipliers": (8, 4)}, "32 px need 4 numbers"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, said):
    with pytest.raises(UserError, match=said):
        generator(**settings)


def test_a_deep_generator_cannot_widen():
    with pytest.raises(UserError, match="cannot widen"):
        BigGANDeepGenerator(**{**DEEP, "multipliers": (4, 8, 4, 4)})


class Skipped(nn.Module):
    """A block that does nothing."""

    def forward(self, x, *_):
        return x


def test_further_blocks_lie_before_the_doubling_and_behind_the_halving():
    settings = {"class_features": 0, "skip_z": False}
    plain, deeper = generator(**settings).eval(), generator(**settings, depth=2).eval()
    judge, deeper_judge = BigGANDiscriminator(**SMALL).eval(), BigGANDiscriminator(**SMALL, depth=2).eval()
    for net, twice, first in ((plain, deeper, 1), (judge, deeper_judge, 0)):
        assert len(twice.blocks) == 2 * len(net.blocks)
        for index, block in enumerate(net.blocks):
            assert twice.blocks[2 * index + 1 - first].shortcut is None
            twice.blocks[2 * index + 1 - first] = Skipped()
            twice.blocks[2 * index + first] = block
        twice.load_state_dict({**twice.state_dict(), **{
            name: value for name, value in net.state_dict().items() if not name.startswith("blocks.")
        }})  # fmt: skip
    z, y = torch.randn(2, plain.latent), torch.tensor([0, 2])
    with torch.no_grad():
        made = plain(z, y)
        torch.testing.assert_close(deeper(z, y), made)
        torch.testing.assert_close(deeper_judge(made, y).score, judge(made, y).score)


# Layers


def test_the_deep_block_adds_to_its_first_channels_only():
    net = BigGANDeepGenerator(**{**DEEP, "attention_px": 0}).eval()
    block = net.blocks[1]
    assert block.doubles and block.channels_out == 16
    with torch.no_grad():
        x, condition, hidden = torch.randn(1, 32, 4, 4), torch.randn(1, 11), []
        block.convs[3].register_forward_hook(lambda *seen: hidden.append(seen[2]))
        out = block(x, condition, 1.0)
        # The 16 other channels of the shortcut are dropped, those kept are only repeated.
        torch.testing.assert_close(out - hidden[0], x[:, :16].repeat_interleave(2, 2).repeat_interleave(2, 3))


@pytest.mark.parametrize("halves", [True, False])
@pytest.mark.parametrize("is_first", [True, False])
def test_the_discriminators_block_is_the_published_order_of_layers(halves, is_first):
    from ganvas.networks.biggan.net import DiscriminatorBlock

    torch.manual_seed(0)
    block = DiscriminatorBlock(3, 5, is_first, halves).double().eval()
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    relu, conv = torch.relu, nn.functional.conv2d
    hidden = conv(x if is_first else relu(x), block.conv1.weight, block.conv1.bias, padding=1)
    hidden = conv(relu(hidden), block.conv2.weight, block.conv2.bias, padding=1)

    def pool(t):
        return t.unflatten(2, (4, 2)).unflatten(4, (4, 2)).mean((3, 5)) if halves else t

    # As published: pooled behind the shortcut's convolution, but before it in the first block.
    short = conv(pool(x), block.shortcut.weight, block.shortcut.bias) if is_first else pool(
        conv(x, block.shortcut.weight, block.shortcut.bias))  # fmt: skip
    torch.testing.assert_close(block(x), pool(hidden) + short)


def test_the_score_is_linear_plus_projection_of_summed_features():
    net = BigGANDiscriminator(**SMALL).double().eval()
    x, y = torch.randn(4, 3, 32, 32, dtype=torch.float64), torch.tensor([0, 1, 2, 1])
    with torch.no_grad():
        verdict = net(x, y)
        h = verdict.features[-3].relu().sum((2, 3))
        expected = h @ net.head.linear.weight[0] + net.head.linear.bias + (net.head.embedding.weight[y] * h).sum(1)
    torch.testing.assert_close(verdict.score[:, 0], expected)
    assert verdict.features[-1] is verdict.score


@pytest.mark.parametrize("kind", [BigGANDiscriminator, BigGANDeepDiscriminator])
def test_without_spectral_norm_the_score_grows_with_the_weights_of_the_last_layer(kind):
    torch.manual_seed(0)
    pictures, classes = torch.rand(2, 3, 32, 32), torch.tensor([0, 2])
    network = kind(**{**SMALL, "width": 4, "multipliers": (4, 4, 4, 8)}, last_bias=False, norm="none")
    before = network(pictures, classes).score
    for layer in (network.head.linear, network.head.embedding):
        layer.weight.data.mul_(3)
    torch.testing.assert_close(network(pictures, classes).score, 3 * before)
    assert not any("parametrizations" in name for name in network.state_dict())


@pytest.mark.parametrize("kind", [BigGANGenerator, BigGANDeepGenerator])
def test_smooth_doubling_takes_the_weights_of_repeated_pixels(kind, monkeypatch):
    settings = {**SMALL, "width": 4, "latent": 8, "class_features": 5, "multipliers": (8, 4, 4, 4)}
    torch.manual_seed(0)
    repeated, smooth = (kind(**settings, upsampling=up).eval() for up in ("resize", "smooth"))
    smooth.load_state_dict(repeated.state_dict())
    latents, classes = torch.randn(4, 8), torch.tensor([0, 1, 2, 0])
    found = smooth(latents, classes)
    assert not torch.allclose(found, repeated(latents, classes))
    # The same networks, but for what doubles.
    monkeypatch.setattr(
        torch.nn.functional,
        "interpolate",
        lambda x, **_: torch.ops.aten.upsample_bilinear2d(x, [2 * side for side in x.shape[-2:]], False),
    )
    torch.testing.assert_close(repeated(latents, classes), found)


def test_dropout_acts_in_training_only():
    net = BigGANDiscriminator(**SMALL, dropout=0.5)
    x, y = torch.randn(2, 3, 32, 32), torch.tensor([0, 1])
    assert torch.equal(net.eval()(x, y).score, net(x, y).score)
    torch.manual_seed(1)
    first = net.train()(x, y).score
    assert not torch.allclose(first, net(x, y).score)


def test_without_the_stems_activation_negative_values_reach_the_first_deep_block():
    torch.manual_seed(0)
    plain = BigGANDeepDiscriminator(**{**SMALL, "width": 4, "multipliers": (4, 4, 4, 8)})
    assert [block.activates for block in plain.blocks] == [False] + [True] * (len(plain.blocks) - 1)
    y = torch.tensor([0])
    assert plain(torch.randn(1, 3, 32, 32), y).score.shape == (1, 1)


# Standing statistics


def test_standing_statistics_are_the_means_over_the_batches():
    net = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.Dropout(0.5))
    batches = [torch.randn(4, 2, 5, 5) for _ in range(3)]
    net.train()
    renew_statistics(net, [(batch,) for batch in batches])
    made = [net[0](batch).detach() for batch in batches]
    torch.testing.assert_close(net[1].running_mean, torch.stack([m.mean((0, 2, 3)) for m in made]).mean(0))
    torch.testing.assert_close(net[1].running_var, torch.stack([m.var((0, 2, 3)) for m in made]).mean(0))
    assert net.training and net[2].training and net[1].momentum == 0.1


def test_standing_statistics_are_those_of_torchs_cumulative_training_mode():
    make = [nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False)]
    net = nn.Sequential(*make)
    batches = [torch.randn(4, 2, 5, 5) for _ in range(3)]
    reference = copy.deepcopy(net).train()
    for norm in (reference[1], reference[4]):
        norm.momentum = None
    with torch.no_grad():
        for batch in batches:
            reference(batch)
    renew_statistics(net, [(batch,) for batch in batches])
    for place in (1, 4):
        torch.testing.assert_close(net[place].running_mean, reference[place].running_mean)
        torch.testing.assert_close(net[place].running_var, reference[place].running_var)
    with pytest.raises(TypeError):
        renew_statistics(net, [(batches[0], "too many")])
    assert not net[1]._forward_pre_hooks


def test_standing_statistics_wait_for_no_other_rank(monkeypatch):
    # Previews and scores are made by the first rank alone; a collective in them would hang the run.
    def refuse(*_):
        raise AssertionError("a collective")

    monkeypatch.setattr("ganvas.networks.blocks.world_size", lambda: 2)
    monkeypatch.setattr("ganvas.networks.blocks.sum_over_ranks", refuse)
    net = generator()
    renew_statistics(net, [(torch.randn(4, 8), torch.tensor([0, 1, 2, 0]))])
    with pytest.raises(AssertionError, match="a collective"):
        net.train()(torch.randn(4, 8), torch.tensor([0, 1, 2, 0]))


def test_statistics_go_out_and_in_again():
    net, other = generator(), generator()
    renew_statistics(net, [(torch.randn(4, 8), torch.tensor([0, 1, 2, 0]))])
    set_statistics(other, statistics_of(net))
    z, y = torch.randn(2, 8), torch.tensor([1, 2])
    with torch.no_grad():
        assert torch.equal(net.eval()(z, y), other.eval()(z, y))
