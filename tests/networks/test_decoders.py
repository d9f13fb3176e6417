"""The DCGAN generator: its sizes, its range and its first statistics."""

import pytest
import torch

from ganvas.errors import UserError
from ganvas.networks.blocks import SelfAttention, spectral_sigmas
from ganvas.networks.decoders import DCGANGenerator


@pytest.mark.parametrize("size_px", [32, 64, 128, 256])
def test_sizes_and_widths(size_px):
    with torch.device("meta"):
        net = DCGANGenerator(latent=16, size_px=size_px, width=8)
        assert net(torch.empty(2, 16)).shape == (2, 3, size_px, size_px)
    widths = [layer.out_channels for layer in net.body if isinstance(layer, torch.nn.ConvTranspose2d)]
    assert widths[-2:] == [8, 3]
    assert max(widths) == min(64, 8 * size_px // 8)


@pytest.mark.parametrize("settings", [{}, {"norm": "none"}, {"spectral": True}, {"attention_px": 8}])
def test_pictures_lie_in_the_range_and_differ(settings):
    torch.manual_seed(0)
    net = DCGANGenerator(latent=8, size_px=32, width=4, **settings)
    out = net(torch.randn(3, 8) * 100)
    assert out.min() >= -1 and out.max() <= 1
    assert (out[0] - out[1]).abs().max() > 0


@pytest.mark.parametrize("head", ["doubling", "full_size"])
def test_only_a_head_at_full_size_draws_lines_of_one_pixel_after_interpolation(head):
    # A picture twice enlarged by interpolation has no wave of two pixels, and one convolution after it makes none.
    torch.manual_seed(0)
    net = DCGANGenerator(latent=8, size_px=64, width=4, upsampling="smooth", head=head)
    with torch.no_grad():
        raw = net.body[:-1](torch.randn(4, 8, 1, 1) * 10)
    assert raw.shape == (4, 3, 64, 64)
    rows = (raw - raw.mean(dim=-1, keepdim=True)) * torch.hann_window(64)
    spectrum = torch.fft.rfft(rows).abs().square().sum(dim=(0, 1, 2))
    share = float(spectrum[-1] / spectrum[1:].sum())
    assert share < 1e-7 if head == "doubling" else share > 1e-6


@pytest.mark.parametrize("head", ["doubling", "full_size"])
def test_tanh_takes_the_place_of_every_relu(head):
    net = DCGANGenerator(latent=8, size_px=32, width=4, activation="tanh", head=head)
    kinds = [type(module) for module in net.modules()]
    assert torch.nn.ReLU not in kinds
    assert kinds.count(torch.nn.Tanh) == kinds.count(type(net.body[1])) + 1


def test_spectral_norm_covers_every_convolution_of_attention_too():
    net = DCGANGenerator(latent=8, size_px=32, width=8, spectral=True, attention_px=8)
    convs = [m for m in net.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.ConvTranspose2d))]
    assert len(spectral_sigmas(net)) == len(convs) == 8


def test_attention_stands_where_it_was_asked_for():
    net = DCGANGenerator(latent=8, size_px=64, width=8, attention_px=32)
    sides = []
    for module in net.modules():
        if isinstance(module, SelfAttention):
            module.register_forward_hook(lambda _m, _x, out: sides.append(out.shape[-1]))
    net(torch.randn(2, 8))
    assert sides == [32]


@pytest.mark.parametrize(
    "settings", [{"size_px": 48}, {"norm": "layer"}, {"attention_px": 64, "size_px": 64}, {"head": "half"}]
)
def test_impossible_settings(settings):
    with pytest.raises(UserError, match="Use"):
        DCGANGenerator(**settings)
