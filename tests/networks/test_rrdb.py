"""The super-resolvers against an independent writing, their own halo, and pictures of every size."""

import pytest
import torch
import torch.nn.functional as F

from ganvas.errors import UserError
from ganvas.networks.rrdb.net import CompactNet, RRDBNet, SRResNet

TINY_RRDB = {"width": 6, "blocks": 1, "growth": 3}


def randomised(net, dtype=torch.float64):
    """Make every parameter count, so that no halo or error hides behind a zero."""
    generator = torch.Generator().manual_seed(7)
    for parameter in net.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return net.to(dtype).eval()


def picture(height, width, channels=3, batch=1, dtype=torch.float64):
    return torch.rand(batch, channels, height, width, generator=torch.Generator().manual_seed(3)).to(dtype)


def plain_rrdbnet(state, low, blocks, doublings, unshuffle):
    """ESRGAN's generator from its formulas."""

    def conv(x, name):
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)

    def leaky(x):
        return torch.maximum(x, 0.2 * x)

    batch, channels, height, width = low.shape
    x = low.reshape(batch, channels, height // unshuffle, unshuffle, width // unshuffle, unshuffle)
    x = torch.einsum("bchiwj->bcijhw", x).reshape(batch, -1, height // unshuffle, width // unshuffle)
    first = x = conv(x, "conv_first")
    for i in range(blocks):
        block = x
        for j in (1, 2, 3):
            dense = x
            name = f"body.{i}.rdb{j}.conv"
            x1 = leaky(conv(x, name + "1"))
            x2 = leaky(conv(torch.cat((x, x1), 1), name + "2"))
            x3 = leaky(conv(torch.cat((x, x1, x2), 1), name + "3"))
            x4 = leaky(conv(torch.cat((x, x1, x2, x3), 1), name + "4"))
            x = dense + 0.2 * conv(torch.cat((x, x1, x2, x3, x4), 1), name + "5")
        x = block + 0.2 * x
    x = first + conv(x, "conv_body")
    for number in range(1, doublings + 1):
        x = leaky(conv(x.repeat_interleave(2, 2).repeat_interleave(2, 3), f"conv_up{number}"))
    return conv(leaky(conv(x, "conv_hr")), "conv_last")


@pytest.mark.parametrize(("scale", "unshuffle"), [(4, 1), (2, 2), (1, 4), (2, 1), (1, 1), (8, 1)])
def test_rrdbnet_equals_the_formulas(scale, unshuffle):
    net = randomised(RRDBNet(**TINY_RRDB | {"blocks": 2}, scale=scale, unshuffle=unshuffle))
    low = picture(8, 12)
    plain = plain_rrdbnet(net.state_dict(), low, 2, (scale * unshuffle).bit_length() - 1, unshuffle)
    assert torch.allclose(net(low), plain, rtol=0, atol=1e-9 * plain.abs().max().item())


@pytest.mark.parametrize("activation", ["prelu", "relu", "leaky_relu"])
@pytest.mark.parametrize("base", ["nearest", "bilinear", "bicubic"])
def test_compact_net_equals_the_formulas(activation, base):
    net = randomised(CompactNet(width=5, convs=2, scale=3, activation=activation, base=base))
    state, low = net.state_dict(), picture(7, 9)
    x = low
    for index in (0, 2, 4, 6):
        x = F.conv2d(x, state[f"body.{index}.weight"], state[f"body.{index}.bias"], padding=1)
        if index < 6:
            slope = (
                state[f"body.{index + 1}.weight"][:, None, None]
                if activation == "prelu"
                else 0.1 * (activation != "relu")
            )
            x = torch.where(x > 0, x, slope * x)
    high = torch.zeros(1, 3, 21, 27, dtype=torch.float64)
    for row in range(3):
        for column in range(3):
            high[:, :, row::3, column::3] = x[:, row * 3 + column :: 9]
    if base == "nearest":
        high += low.repeat_interleave(3, 2).repeat_interleave(3, 3)
    else:
        high += F.interpolate(low, size=(21, 27), mode=base, align_corners=False)
    assert torch.allclose(net(low), high, rtol=0, atol=1e-9)


def test_a_bicubic_base_leaves_less_to_learn_than_a_nearest_one():
    rows = torch.linspace(0, 6, 64)
    smooth = (0.5 + 0.4 * torch.sin(rows)[:, None] * torch.cos(rows)[None]).expand(1, 3, 64, 64)
    low = F.avg_pool2d(smooth, 4)
    errors = []
    for base in ("nearest", "bicubic"):
        net = CompactNet(width=4, convs=1, base=base)
        for parameter in net.parameters():
            parameter.data.zero_()
        errors.append((net(low) - smooth)[..., 8:-8, 8:-8].abs().mean())
    assert errors[1] < 0.2 * errors[0]


NETS = {
    "rrdb x4": lambda: RRDBNet(**TINY_RRDB),
    "rrdb x2": lambda: RRDBNet(**TINY_RRDB, scale=2, unshuffle=2),
    "rrdb x1": lambda: RRDBNet(**TINY_RRDB, scale=1, unshuffle=4),
    "rrdb old x1": lambda: RRDBNet(**TINY_RRDB, scale=1),
    "rrdb old x2": lambda: RRDBNet(**TINY_RRDB, scale=2),
    "rrdb x8": lambda: RRDBNet(**TINY_RRDB, scale=8),
    "compact": lambda: CompactNet(width=4, convs=1, base="bicubic"),
    "compact of two layers": lambda: CompactNet(width=4, convs=0, base="bicubic", scale=2),
    "compact x1": lambda: CompactNet(width=4, convs=1, scale=1),
    "srresnet": lambda: SRResNet(width=4, blocks=1),
    "srresnet x8": lambda: SRResNet(width=4, blocks=1, scale=8, batch_norm=False),
    "srresnet x3": lambda: SRResNet(width=4, blocks=1, scale=3),
    "srresnet x1": lambda: SRResNet(width=4, blocks=1, scale=1),
}


@pytest.mark.parametrize("name", NETS)
def test_the_halo_is_exact(name):
    """With that much context a tile equals the whole picture; with one step less it does not."""
    net = randomised(NETS[name]())
    halo, scale, step = net.receptive_halo_px, net.scale, getattr(net, "unshuffle", 1)
    tile, sides = 8, 2 * halo + 8 + 4 * step
    start = (halo // step + 1) * step
    whole = picture(sides, sides)
    inner = slice(start * scale, (start + tile) * scale)
    with torch.no_grad():
        expected = net(whole)[..., inner, inner]

        def error_with(context):
            cut = slice(start - context, start + tile + context)
            core = slice(context * scale, (context + tile) * scale)
            return (net(whole[..., cut, cut])[..., core, core] - expected).abs().max() / expected.abs().max()

        assert error_with(halo) < 1e-12
        assert error_with(halo - step) > 1e-12


@pytest.mark.parametrize("name", ["rrdb x4", "compact", "srresnet"])
def test_a_pixel_beyond_the_halo_alters_nothing(name):
    net = randomised(NETS[name]())
    halo, scale = net.receptive_halo_px, net.scale
    middle = halo + 2
    first = picture(2 * middle + 1, 1 + 2 * middle)
    second = first.clone()
    second[..., middle, middle] += 1
    with torch.no_grad():
        changed = (net(second) - net(first)).abs().amax(dim=(0, 1)) > 0
    rows = torch.nonzero(changed.any(dim=1)).flatten()
    assert rows.min() == (middle - halo) * scale or rows.min() // scale == middle - halo
    assert rows.max() // scale == middle + halo


def test_the_published_net_has_the_halo_of_the_arithmetic():
    with torch.device("meta"):
        assert RRDBNet().receptive_halo_px == 349
        assert CompactNet().receptive_halo_px == 18


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (5, 2), (33, 47)])
def test_any_size_of_picture(name, height, width):
    net = NETS[name]().eval()
    with torch.no_grad():
        high = net(torch.rand(2, 3, height, width))
    assert high.shape == (2, 3, height * net.scale, width * net.scale)
    assert torch.isfinite(high).all()


def test_extending_to_a_multiple_touches_only_the_border():
    net = randomised(RRDBNet(**TINY_RRDB, scale=2, unshuffle=2))
    whole = picture(40, 40)
    with torch.no_grad():
        odd, even = net(whole[..., :39, :39]), net(whole)
    assert odd.shape[-2:] == (78, 78)
    assert torch.equal(odd[..., :2, :2], even[..., :2, :2])


def test_dense_convolutions_start_at_a_tenth():
    torch.manual_seed(0)
    net = RRDBNet(width=64, blocks=1)
    weight = net.get_parameter("body.0.rdb2.conv3.weight")
    assert weight.std().item() == pytest.approx(0.1 * (2 / (128 * 9)) ** 0.5, rel=0.03)
    assert net.get_parameter("body.0.rdb2.conv3.bias").abs().max() == 0


def test_srresnet_without_batch_norm_has_no_statistics():
    assert not list(SRResNet(width=4, blocks=1, batch_norm=False).buffers())
    assert list(SRResNet(width=4, blocks=1, batch_norm=True).buffers())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: RRDBNet(scale=3), "1, 2, 4, 8"),
        (lambda: RRDBNet(scale=0), "1, 2, 4, 8"),
        (lambda: RRDBNet(unshuffle=3), "1, 2 or 4"),
        (lambda: RRDBNet(width=0), "width"),
        (lambda: SRResNet(scale=6), "3, 1, 2, 4, 8"),
        (lambda: CompactNet(base="bicubik"), "bicubic"),
        (lambda: CompactNet(activation="prelou"), "prelu"),
        (lambda: CompactNet(channels_in=4), "channels_in 1 or 3"),
    ],
)
def test_impossible_settings_say_what_works(make, words):
    with pytest.raises(UserError, match=words):
        make()


def test_compact_net_from_gray_to_colour():
    net = CompactNet(channels_in=1, channels_out=3, width=4, convs=1)
    assert net(torch.rand(1, 1, 5, 6)).shape == (1, 3, 20, 24)


@pytest.mark.parametrize("base", ["nearest", "bicubic"])
def test_the_base_keeps_the_precision_of_its_input_under_coarser_weights(base):
    net = CompactNet(width=4, convs=1, base=base).eval()
    with torch.no_grad():
        net.body[-1].weight.zero_()
        net.body[-1].bias.zero_()
    low = torch.linspace(0.5, 0.51, 64).expand(1, 3, 8, 64)
    with torch.inference_mode():
        fine, coarse = net(low), net.to(torch.bfloat16)(low)
    assert coarse.dtype == torch.float32
    torch.testing.assert_close(coarse, fine, rtol=0, atol=1e-6)


def test_a_network_counted_on_the_meta_device_leaves_no_meta_kernel_behind():
    with torch.device("meta"):
        CompactNet(width=4, convs=0, scale=2, base="bilinear")
    low = torch.rand(1, 3, 5, 4)
    net = CompactNet(width=4, convs=0, scale=2, base="bilinear").eval()
    with torch.no_grad():
        net.body[-1].weight.zero_()
        expected = torch.nn.functional.interpolate(low, scale_factor=2, mode="bilinear", align_corners=False)
        torch.testing.assert_close(net(low), expected + net.body[-1].bias.new_zeros(()))
