"""Discriminators: the grids that they give, what one score sees, and refusals that say what works."""

import pytest
import torch
import torch.nn.functional as F

from ganvas.errors import UserError
from ganvas.networks.blocks import spectral_sigmas
from ganvas.networks.discriminators import (
    DCGANDiscriminator,
    MultiScaleDiscriminator,
    PatchDiscriminator,
    UNetDiscriminator,
    VGGDiscriminator,
)
from ganvas.protocol import Verdict


def pictures(height, width, batch=2, channels=3):
    return torch.rand(batch, channels, height, width, generator=torch.Generator().manual_seed(1))


def parameters(net, without_biases=False):
    return sum(p.numel() for name, p in net.named_parameters() if not (without_biases and name.endswith("bias")))


ALL = {
    "vgg": (lambda: VGGDiscriminator(32, 4), 32),
    "unet": (lambda: UNetDiscriminator(width=4), 32),
    "unet without skips": (lambda: UNetDiscriminator(width=4, skip=False), 32),
    "patch": (lambda: PatchDiscriminator(width=4), 32),
    "spectral patch": (lambda: PatchDiscriminator(width=4, grid=4, norm="spectral", size_px=32), 32),
    "multi-scale": (lambda: MultiScaleDiscriminator(width=4, scales=3), 32),
    "dcgan": (lambda: DCGANDiscriminator(32, 4), 32),
    "dcgan discrimination": (lambda: DCGANDiscriminator(32, 4, "spectral", "discrimination"), 32),
    "dcgan stddev": (lambda: DCGANDiscriminator(32, 4, "none", "stddev"), 32),
}


@pytest.mark.parametrize("name", ALL)
def test_verdicts_end_with_their_score(name):
    make, size = ALL[name]
    verdicts = make()(pictures(size, size))
    for verdict in verdicts if isinstance(verdicts, list) else [verdicts]:
        assert isinstance(verdict, Verdict)
        assert len(verdict.features) >= 3
        assert verdict.features[-1] is verdict.score
        assert all(feature.shape[0] == 2 and feature.requires_grad for feature in verdict.features)


@pytest.mark.parametrize(
    ("make", "bias"),
    [
        (lambda last: VGGDiscriminator(32, 4, last), "linear2.bias"),
        (lambda last: UNetDiscriminator(width=4, last_bias=last), "conv9.bias"),
        (lambda last: PatchDiscriminator(width=4, last_bias=last), "layer4.0.bias"),
        (lambda last: MultiScaleDiscriminator(width=4, last_bias=last), "scale1_layer4.0.bias"),
        (lambda last: DCGANDiscriminator(32, 4, last_bias=last), "linear.bias"),
    ],
)
def test_score_differences_give_only_the_last_bias_no_gradient(make, bias):
    torch.manual_seed(0)
    net = make(True)
    left_out = dict(net.named_parameters()).keys() - dict(make(False).named_parameters()).keys()
    assert bias in left_out and len(left_out) == getattr(net, "num_scales", 1)
    real, fake = net(pictures(32, 32)), net(1 - pictures(32, 32) * 0.5)
    pairs = zip(real, fake) if isinstance(real, list) else [(real, fake)]
    sum((r.score - f.score).mean() for r, f in pairs).backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    largest = {name: parameter.grad.abs().max().item() for name, parameter in net.named_parameters()}
    assert all(largest[name] < 1e-6 for name in left_out)
    assert all(largest[name.removesuffix("bias") + "weight"] > 1e-6 for name in left_out)


# VGG


@pytest.mark.parametrize("size_px", [32, 64, 96, 128, 160, 224, 256, 288, 512])
def test_vgg_judges_any_multiple_of_32(size_px):
    with torch.device("meta"):
        net = VGGDiscriminator(size_px, 8)
        verdict = net(torch.empty(2, 3, size_px, size_px))
    assert verdict.score.shape == (2, 1)
    assert 4 <= verdict.features[-3].shape[-1] <= 7
    assert len(verdict.features) == 2 * net.num_stages + 2


def test_vgg_256_adds_one_pair_as_basicsr_does():
    with torch.device("meta"):
        names = {name.split(".")[0] for name in VGGDiscriminator(256).state_dict()}
        assert parameters(VGGDiscriminator(256)) == 14_499_401 + 512 * 512 * 9 + 512 * 512 * 16 + 4 * 512
    assert {"conv5_0", "bn5_0", "conv5_1", "bn5_1"} <= names


@pytest.mark.parametrize("size_px", [0, 16, 100])
def test_vgg_refuses_other_sizes(size_px):
    with pytest.raises(UserError, match="multiple of 32"):
        VGGDiscriminator(size_px)


@pytest.mark.parametrize("net", [VGGDiscriminator(64, 2), DCGANDiscriminator(64, 2)])
def test_a_picture_of_another_size_is_named(net):
    with pytest.raises(UserError, match="48 x 64 px"):
        net(pictures(64, 48))


# U-Net


@pytest.mark.parametrize("size", [(8, 8), (9, 15), (33, 47)])
def test_unet_scores_every_pixel(size):
    assert UNetDiscriminator(width=4)(pictures(*size)).score.shape == (2, 1, *size)


def test_unet_equals_its_formula():
    net = UNetDiscriminator(width=4).double().eval()
    weight = {name: net.get_submodule(name).weight for name in [f"conv{i}" for i in range(10)]}
    x = pictures(16, 24).double()

    def leaky(x):
        return torch.maximum(x, 0.2 * x)

    x0 = leaky(F.conv2d(x, weight["conv0"], net.conv0.bias, padding=1))
    x1 = leaky(F.conv2d(x0, weight["conv1"], stride=2, padding=1))
    x2 = leaky(F.conv2d(x1, weight["conv2"], stride=2, padding=1))
    x3 = leaky(F.conv2d(x2, weight["conv3"], stride=2, padding=1))
    for name, below in (("conv4", x2), ("conv5", x1), ("conv6", x0)):
        x3 = leaky(F.conv2d(F.interpolate(x3, scale_factor=2, mode="bilinear"), weight[name], padding=1)) + below
    for name in ("conv7", "conv8"):
        x3 = leaky(F.conv2d(x3, weight[name], padding=1))
    expected = F.conv2d(x3, weight["conv9"], net.conv9.bias, padding=1)
    torch.testing.assert_close(net(x).score, expected, rtol=0, atol=1e-9)


def test_unet_has_the_published_number_of_parameters_and_eight_normalised_layers():
    with torch.device("meta"):
        assert parameters(UNetDiscriminator()) == 4_376_897
    assert list(spectral_sigmas(UNetDiscriminator(width=2))) == [f"conv{i}" for i in range(1, 9)]


# Patches


@pytest.mark.parametrize(
    ("grid", "side"), [(1, 1), (4, 4), ("4x4", 4), (5, 5), ("5", 5), (16, 16), ("70px", 14), ("34px", 30), ("1px", 128)]
)
def test_the_user_picks_the_grid(grid, side):
    net = PatchDiscriminator(width=2, grid=grid, size_px=128)
    assert net(pictures(128, 128)).score.shape == (2, 1, side, side)
    assert net.grid_at(128, 128) == (side, side)


@pytest.mark.parametrize("size_px", [31, 64, 100])
def test_every_grid_that_the_advice_names_can_be_had(size_px):
    with pytest.raises(UserError) as error:
        PatchDiscriminator(grid=size_px * 2, size_px=size_px)
    advice = error.value.do.partition(": ")[2]
    grids = [
        range(int(low), int(high or low) + 1) for low, _, high in (run.partition("-") for run in advice.split(", "))
    ]
    assert sum(map(len, grids)) >= 5
    for grid in (number for run in grids for number in run):
        with torch.device("meta"):
            net = PatchDiscriminator(width=1, grid=grid, size_px=size_px, norm="none")
            assert net(torch.empty(1, 3, size_px, size_px)).score.shape == (1, 1, grid, grid)


@pytest.mark.parametrize("grid", ["1px", "16px", "34px", "70px", "142px"])
def test_the_receptive_field_of_a_name_is_that_many_pixels(grid):
    assert PatchDiscriminator(width=1, grid=grid).receptive_field_px == int(grid[:-2])


@pytest.mark.parametrize(
    "net",
    [
        PatchDiscriminator(width=2, layers=2, norm="none"),
        PatchDiscriminator(width=2, grid=5, size_px=128, norm="none"),
        PatchDiscriminator(width=2, grid=8, size_px=128, norm="spectral"),
        MultiScaleDiscriminator(width=2, scales=1, norm="none"),
    ],
)
def test_one_score_sees_exactly_its_receptive_field(net):
    """The gradient of a score in the middle reaches that many pixels a side."""
    picture = torch.rand(1, 3, 256, 256, dtype=torch.float64, requires_grad=True)
    verdict = net.double()(picture)
    score = (verdict[0] if isinstance(verdict, list) else verdict).score
    score[0, 0, score.shape[2] // 2, score.shape[3] // 2].backward()
    assert picture.grad is not None
    seen = picture.grad.abs().sum(dim=(0, 1)) > 0
    assert seen.any(dim=1).sum() == seen.any(dim=0).sum() == net.receptive_field_px
    assert f"receptive_field_px={net.receptive_field_px}" in repr(net)


def test_a_5_x_5_grid_is_the_published_one_of_seed_004():
    with torch.device("meta"):
        net = PatchDiscriminator(grid=5, size_px=128, norm="none")
    assert parameters(net, without_biases=True) == 2_763_776


def test_the_70_px_discriminator_gives_30_x_30_at_256():
    assert PatchDiscriminator(width=1, grid="70px").grid_at(256, 256) == (30, 30)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"grid": 9, "size_px": 128}, "1-8, 13-16"),
        ({"grid": 5}, "Set size_px"),
        ({"grid": "4x5", "size_px": 64}, "4x4"),
        ({"grid": "-3", "size_px": 64}, "4x4"),
        ({"grid": "50px"}, "34px, 70px"),
        ({"grid": "70px", "size_px": 16}, "1px, 16px, 34px, or a grid of 1-8"),
        ({"layers": 4, "size_px": 32}, "70px"),
        ({"layers": 20}, "0 to 8"),
        ({"norm": "layer"}, "instance, batch"),
    ],
)
def test_impossible_patches_say_what_works(settings, words):
    with pytest.raises(UserError, match=words):
        PatchDiscriminator(**settings)


def test_the_advised_field_can_be_had():
    with pytest.raises(UserError, match="34px"):
        PatchDiscriminator(grid="70px", size_px=16)
    assert PatchDiscriminator(width=1, grid="34px", size_px=16)(pictures(16, 16)).score.shape[-1] >= 1


@pytest.mark.parametrize(
    "net",
    [PatchDiscriminator(width=1), MultiScaleDiscriminator(width=1, scales=3), PatchDiscriminator(width=1, grid="1px")],
)
def test_the_smallest_picture_works_and_the_next_smaller_is_refused(net):
    smallest = net.minimum_px
    verdict = net(pictures(smallest, smallest))
    for part in verdict if isinstance(verdict, list) else [verdict]:
        assert torch.isfinite(part.score).all()
    if smallest > 1:
        with pytest.raises(UserError, match=f"needs {smallest} px"):
            net(pictures(smallest, smallest - 1))


def test_no_convolution_before_a_norm_has_a_bias_that_it_would_undo():
    biases = {
        norm: [n for n, _ in PatchDiscriminator(norm=norm, width=1).named_parameters() if n.endswith("0.bias")]
        for norm in ("instance", "none")
    }
    assert biases["instance"] == ["layer0.0.bias", "layer4.0.bias"]
    assert len(biases["none"]) == 5


# Scales


@pytest.mark.parametrize(("scales", "count"), [(2, 5_603_202), (3, 8_404_803)])
def test_multi_scale_parameters_of_the_paper(scales, count):
    with torch.device("meta"):
        assert parameters(MultiScaleDiscriminator(39, scales=scales)) == count


def test_multi_scale_maps_at_1024_x_512_are_the_originals():
    with torch.device("meta"):
        verdicts = MultiScaleDiscriminator(39)(torch.empty(1, 39, 512, 1024))
    finest = [tuple(feature.shape[1:]) for feature in verdicts[0].features]
    assert finest == [(64, 257, 513), (128, 129, 257), (256, 65, 129), (512, 66, 130), (1, 67, 131)]
    assert verdicts[1].score.shape == (1, 1, 35, 67)


def test_the_finest_scale_has_the_highest_number():
    net = MultiScaleDiscriminator(width=2, scales=3)
    x = pictures(40, 40)
    before = [verdict.score.clone() for verdict in net(x)]
    net.get_submodule("scale2_layer4")[0].bias.data += 1
    after = [verdict.score for verdict in net(x)]
    assert [torch.equal(a, b) for a, b in zip(before, after)] == [False, True, True]
    torch.testing.assert_close(after[0], before[0] + 1)


@pytest.mark.parametrize("side", [40, 41])
def test_coarser_scales_see_averages_that_leave_the_outside_out(side):
    net = MultiScaleDiscriminator(width=2, scales=2).double()
    coarse = MultiScaleDiscriminator(width=2, scales=1).double()
    coarse.load_state_dict({key: value for key, value in net.state_dict().items() if key.startswith("scale0")})
    x = pictures(side, side).double()
    half = torch.stack(
        [
            torch.stack(
                [x[..., max(r - 1, 0) : r + 2, max(c - 1, 0) : c + 2].mean(dim=(2, 3)) for c in range(0, side, 2)], -1
            )
            for r in range(0, side, 2)
        ],
        -2,
    )
    torch.testing.assert_close(net(x)[1].score, coarse(half)[0].score, rtol=0, atol=1e-9)


# DCGAN


@pytest.mark.parametrize("size_px", [32, 64, 128, 256])
def test_dcgan_halves_down_to_four_pixels(size_px):
    with torch.device("meta"):
        verdict = DCGANDiscriminator(size_px, 8)(torch.empty(2, 3, size_px, size_px))
    assert verdict.features[-2].shape[-2:] == (4, 4)
    assert verdict.features[-2].shape[1] == min(8 * size_px // 8, 64)


@pytest.mark.parametrize("minibatch", ["discrimination", "stddev"])
def test_the_batch_is_in_view(minibatch):
    """The score of a sample depends on its neighbours with a minibatch layer and not without."""
    torch.manual_seed(0)
    first, second = torch.rand(4, 3, 32, 32), torch.rand(4, 3, 32, 32)
    second[0] = first[0]
    for kind in (minibatch, "none"):
        net = DCGANDiscriminator(32, 4, "none", kind)
        net(first)
        net.linear.weight.data.fill_(0.1)
        same = torch.allclose(net(first).score[0], net(second).score[0], rtol=1e-6)
        assert same == (kind == "none")


@pytest.mark.parametrize("settings", [{"size_px": 48}, {"minibatch": "std"}, {"norm": "layer"}])
def test_impossible_dcgan_settings(settings):
    with pytest.raises(UserError, match="Use"):
        DCGANDiscriminator(**settings)
