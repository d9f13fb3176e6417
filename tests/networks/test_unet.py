"""The U-Net super-resolver, the J-net and its discriminator: published sizes, true shape lines, gradients, any size."""

import itertools
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import convolve1d, gaussian_filter

from ganvas.data.degrade import resize_bicubic
from ganvas.errors import UserError
from ganvas.networks import build, find
from ganvas.networks.unet import DetailGain, SuperResolvingUNet, detail_of, enlarged, fine_detail
from ganvas.networks.upres import JNet, LowConditionedDiscriminator, by_fours
from ganvas.protocol import Card

SHAPE_LINE = re.compile(r"^ *(\(.*\)) -> (\(.*\))$", re.MULTILINE)
TINY = {
    "super_resolving_unet": {"width": 4, "downs": 3},
    "jnet": {"width": 4},
    "low_conditioned_discriminator": {"width": 2},
}


def count(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def shapes(text: str, **sides: int) -> list[tuple[int, ...]]:
    found = eval("[" + re.sub(r"(\d)([A-Z])", r"\1*\2", text) + "]", {"__builtins__": {}}, sides)
    return [tuple(shape) for shape in found]


@pytest.mark.parametrize(
    ("network", "settings", "parameters"),
    [
        # Seed 004's generator (ngf 64, num_downs 4, which makes five halvings), counted on its own code.
        ("super_resolving_unet", {"tail": "single"}, 17_727_619),
        # Seed 001's figure method2 with kernels of 4 and 3: equal widths, and the text's slim encoder.
        ("jnet", {"encoder_width_div": 1}, 10_169_155),
        ("jnet", {}, 5_773_939),
    ],
)
def test_published_sizes(network: str, settings: dict, parameters: int) -> None:
    with torch.device("meta"):
        assert count(build(Card(network=network, settings=settings))) == parameters


def test_the_slim_encoder_has_the_parameters_of_its_five_convolutions() -> None:
    widths = [6, 16, 32, 64, 64, 64]
    expected = sum(16 * a * b + b for a, b in itertools.pairwise(widths))
    with torch.device("meta"):
        assert count(JNet().down) == expected == 173_808


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize(("height", "width"), [(32, 64), (40, 24)])
def test_the_shape_line_is_true(name: str, height: int, width: int) -> None:
    line = SHAPE_LINE.search(find(name).__doc__ or "")
    assert line is not None
    given = [torch.rand(shape) * 2 - 1 for shape in shapes(line[1], B=2, H=height, W=width)]
    output = build(Card(network=name, settings=TINY[name])).eval()(*given)
    found = getattr(output, "score", output)
    assert tuple(found.shape) == shapes(line[2], B=2, H=height, W=width)[0]


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
@pytest.mark.parametrize("base", ["none", "bicubic", "faithful"])
def test_every_power_of_two_and_any_size(scale: int, base: str) -> None:
    net = SuperResolvingUNet(scale=scale, width=4, downs=3, norm="none", base=base)  # pyright: ignore[reportArgumentType]
    high = net(torch.rand(1, 3, 13, 22))
    assert high.shape == (1, 3, 13 * scale, 22 * scale)
    high.square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("make", [lambda: SuperResolvingUNet(width=4, downs=3, base="bicubic"), lambda: JNet(4, 4)])
def test_the_base_is_what_the_network_adds_to(make) -> None:
    net = make().eval()
    if isinstance(net, JNet):
        net.base = "bicubic"
    torch.nn.init.zeros_(net.last.weight)
    torch.nn.init.zeros_(net.last.bias)  # pyright: ignore[reportArgumentType]
    picture = torch.rand(1, 4 if isinstance(net, JNet) else 3, 32, 32)
    expected = F.interpolate(picture[:, :3], scale_factor=net.scale, mode="bicubic")
    assert torch.equal(net(picture), expected)
    assert torch.equal(enlarged(picture, 1), picture)


@pytest.mark.parametrize("norm", ["none", "instance", "batch", "batch_statistics"])
def test_every_norm_of_the_j_net_trains(norm: str) -> None:
    torch.manual_seed(0)
    net = JNet(width=4, norm=norm)  # pyright: ignore[reportArgumentType]
    net(torch.rand(2, 6, 32, 32)).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name


def test_batch_statistics_are_those_of_the_batch_even_at_inference() -> None:
    torch.manual_seed(0)
    batch, others = torch.rand(2, 6, 32, 32), torch.rand(2, 6, 32, 32)
    for norm, is_coupled in (("batch", False), ("batch_statistics", True)):
        net = JNet(width=4, norm=norm).eval()  # pyright: ignore[reportArgumentType]
        alone, beside = net(batch), net(torch.cat([batch, others]))[:2]
        assert torch.allclose(alone, beside, atol=1e-6) != is_coupled


def test_without_norm_the_signal_neither_fades_nor_explodes() -> None:
    torch.manual_seed(0)
    net = JNet(width=16)
    inner = []
    net.up[-1].register_forward_hook(lambda module, given, made: inner.append(made.std().item()))
    net(torch.rand(2, 6, 32, 32) * 2 - 1)
    assert 0.05 < inner[0] < 5


def test_the_low_picture_joins_where_the_extent_is_its_own() -> None:
    judge = LowConditionedDiscriminator(width=4).eval()
    high, low = torch.rand(1, 3, 256, 256), torch.rand(1, 6, 32, 32)
    verdict = judge(high, low)
    assert [tuple(f.shape[1:]) for f in verdict.features] == [
        (4, 128, 128), (8, 64, 64), (16, 32, 32), (32, 31, 31), (1, 30, 30),
    ]  # fmt: skip
    assert judge.joined[0].in_channels == 16 + 6
    assert not torch.equal(judge(high, 1 - low).score, verdict.score)


def test_impossible_networks_are_refused_with_what_is_possible() -> None:
    with pytest.raises(UserError, match="Use 1, 2, 4, 8, 16"):
        SuperResolvingUNet(scale=3)
    with pytest.raises(UserError, match="symmetric"):
        SuperResolvingUNet(scale=4, tail="single")
    with pytest.raises(UserError, match="no channels"):
        JNet(width=8, encoder_width_div=16)
    with pytest.raises(UserError, match="scale of 8"):
        LowConditionedDiscriminator(width=2)(torch.rand(1, 3, 64, 64), torch.rand(1, 6, 16, 16))


@pytest.mark.parametrize("scale", [2, 4])
def test_a_faithful_net_gives_back_its_input_when_shrunk(scale: int) -> None:
    torch.manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(1, 6, 8, 8) * 2 - 1, size=(64, 64), mode="bicubic")
    nets = [
        SuperResolvingUNet(scale=scale, width=4, downs=2, channels_in=6, norm="none", base="faithful"),
        JNet(width=4, encoder_width_div=1, scale=scale, base="faithful"),
    ]
    for net in nets:
        torch.nn.init.normal_(net.last.weight, 0, 0.5)  # pyright: ignore[reportArgumentType]
        net.requires_grad_(False)
        high = net(smooth)
        net.base = "bicubic"
        errors = [resize_bicubic(made, 1 / scale) - smooth[:, :3] for made in (high, net(smooth))]
        # Borders are mirrored there and repeated here.
        left, before = (float(error[..., 4:-4, 4:-4].abs().mean()) for error in errors)
        assert left < 0.1 * before and (high - net(smooth)).abs().max() > 0.01


def test_detail_is_what_an_enlarged_low_picture_lacks() -> None:
    low, detail = torch.rand(2, 6, 16, 16), torch.randn(2, 3, 64, 64)
    high = F.interpolate(low[:, :3], scale_factor=4, mode="bicubic") + detail
    assert torch.allclose(detail_of(high, low, 4), 10 * detail, atol=1e-4)
    torch.manual_seed(0)
    judge = LowConditionedDiscriminator(6, 4, 4, norm="none", judged="detail")
    plain = LowConditionedDiscriminator(6, 4, 4, norm="none")
    plain.load_state_dict(judge.state_dict())
    assert torch.allclose(judge(high, low).score, plain(10 * detail, low).score, atol=1e-5)


def test_fine_detail_is_given_back_at_inference_alone() -> None:
    torch.manual_seed(0)
    low = torch.rand(1, 3, 16, 16)
    for net in (SuperResolvingUNet(width=4, downs=2, norm="none", base="bicubic"), JNet(3, 4, 1, 2, base="bicubic")):
        net = net.eval().requires_grad_(False)
        plain, net.gain.fixed = net(low), 1.5
        blurred = gaussian_filter(plain.double().numpy(), (0, 0, 1, 1), mode="mirror", truncate=3)
        detail = plain.numpy() - blurred
        for axis in (-2, -1):
            detail = convolve1d(detail, [0.25, 0.5, 0.25], axis, mode="mirror")
        assert np.allclose(net(low).numpy(), plain.numpy() + 0.5 * detail, atol=1e-5)
        assert torch.allclose(net.train()(low), plain, atol=1e-6)


def test_the_gain_that_is_found_gives_the_truths_energy() -> None:
    gain, truth = DetailGain(0.0), torch.tensor(9.0)
    assert float(gain()) == 1
    # Detail of energy 1 over a ground of 0.25 with which it correlates by 0.1: at which gain are there 9 in all?
    energies = [torch.tensor(0.25 + g * g + 2 * g * 0.1 * 0.5) for g in DetailGain.TRIALS]
    gain.learn(energies, truth)
    found = float(gain())
    assert 0.25 + found**2 + 0.1 * found == pytest.approx(9, rel=1e-4)
    kept = DetailGain(0.0)
    kept.load_state_dict(gain.state_dict())
    assert float(kept()) == pytest.approx(found) and not DetailGain(1.5).state_dict()
    # Half the energy again, seen once: a tenth of the way.
    gain.learn([energy / 2 for energy in energies], truth / 2)
    assert float(gain()) == pytest.approx(found, rel=1e-4)
    gain.learn(energies, truth / 100)
    assert 1 < float(gain()) < found
    with pytest.raises(UserError, match="gain"):
        DetailGain(-1.0)


def test_a_convolution_by_fours_is_the_convolution() -> None:
    torch.manual_seed(0)
    for bias in (True, False):
        conv, x = torch.nn.Conv2d(8, 3, 3, padding=1, bias=bias), torch.randn(2, 8, 6, 10)
        assert torch.allclose(by_fours(conv, x), conv(x), atol=1e-6)
    net, low = JNet(4, 8), torch.rand(2, 4, 32, 32)
    with torch.no_grad():
        assert torch.allclose(net.eval()(low), net.train()(low), atol=1e-6)


def test_a_gain_leaves_checkerboards_alone() -> None:
    board = torch.ones(1, 3, 32, 32)
    board[..., ::2, 1::2] = board[..., 1::2, ::2] = -1
    stripes = torch.ones(1, 3, 32, 32)
    stripes[..., ::2] = -1
    for pattern in (board, stripes, stripes.mT):
        assert float(fine_detail(pattern).abs().max()) < 1e-6
    wave = torch.sin(torch.arange(32) * torch.pi / 2 + 0.3).expand(1, 3, 32, 32)
    assert float(fine_detail(wave).abs().max()) > 0.3
