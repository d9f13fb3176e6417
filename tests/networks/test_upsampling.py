"""Decoders that resize leave no grid where transposed convolutions leave one, under the same names."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from ganvas.errors import UserError
from ganvas.networks.blocks import init_normal
from ganvas.networks.decoders import DCGANGenerator
from ganvas.networks.doubling import ResizeConv2d, SmoothConv2d, Upsampling, doubling_conv
from ganvas.networks.matchmove.net import CameraGenerator
from ganvas.networks.pix2pixhd.net import GlobalGenerator, LocalEnhancer
from ganvas.networks.unet import SuperResolvingUNet
from ganvas.networks.upres import JNet
from ganvas.networks.vid2vid.net import Vid2Vid

GENERATORS: dict[str, Callable[[Upsampling], nn.Module]] = {
    "global": lambda up: GlobalGenerator(4, width=4, downs=2, blocks=1, upsampling=up),
    "local": lambda up: LocalEnhancer(4, width=4, downs=2, blocks=1, local_blocks=1, upsampling=up),
    "vid2vid": lambda up: Vid2Vid(4, width=4, downs=2, blocks=2, scales=2, foreground=(1,), upsampling=up),
    "dcgan": lambda up: DCGANGenerator(8, 32, width=4, upsampling=up),
    "unet": lambda up: SuperResolvingUNet(width=4, downs=2, norm="none", upsampling=up),
    "unet of the seed": lambda up: SuperResolvingUNet(width=4, downs=2, tail="single", upsampling=up),
    "jnet": lambda up: JNet(3, width=4, encoder_width_div=2, scale=2, upsampling=up),
    "camera": lambda up: CameraGenerator(16, width=4, mean=[0.0] * 13, deviation=[1.0] * 13, upsampling=up),
}


def test_a_flat_map_stays_flat() -> None:
    torch.manual_seed(0)
    for kernel in (3, 4):
        flat = {up: doubling_conv(3, 5, up, kernel)(torch.ones(1, 3, 8, 8)) for up in ("resize", "transposed")}
        assert flat["resize"].shape == flat["transposed"].shape == (1, 5, 16, 16)
        inner = {up: found[..., 4:-4, 4:-4] for up, found in flat.items()}
        steps = {up: float((found[..., 1:] - found[..., :-1]).detach().abs().max()) for up, found in inner.items()}
        assert steps["resize"] < 1e-6
        assert steps["transposed"] > 1e-2


def test_resizing_equals_nearest_pixels_and_a_convolution() -> None:
    torch.manual_seed(0)
    layer, x = ResizeConv2d(3, 5), torch.randn(2, 3, 4, 6)
    wide = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert torch.equal(layer(x), nn.functional.conv2d(wide, layer.weight, layer.bias, padding=1))


def test_smooth_doubling_interpolates_as_torchs_own_layer_does_before_the_convolution() -> None:
    torch.manual_seed(0)
    layer, x = SmoothConv2d(3, 5), torch.randn(2, 3, 4, 6)
    wide = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)(x)
    torch.testing.assert_close(layer(x), nn.functional.conv2d(wide, layer.weight, layer.bias, padding=1))


def test_even_and_odd_pixels_of_a_ramp_differ_where_they_are_repeated_and_not_where_they_are_interpolated() -> None:
    # A network that finds its even pixels by such a difference can weave a pattern of two pixels.
    ramp = torch.arange(16.0).expand(1, 1, 16, 16)
    for up, differs in (("resize", True), ("smooth", False)):
        layer = doubling_conv(1, 1, up, bias=False)  # pyright: ignore[reportArgumentType]
        nn.init.zeros_(layer.weight)
        layer.weight.data[0, 0, 1, 1:] = torch.tensor([-1.0, 1.0])  # the step to the right neighbour
        steps = layer(ramp)[0, 0, 16, 4:-4].detach()
        assert (float((steps[::2] - steps[1::2]).abs().max()) > 0.5) is differs


def test_initialisers_reach_the_layer() -> None:
    layer = ResizeConv2d(8, 8)
    init_normal(layer, 0.5)
    assert float(layer.weight.detach().std()) == pytest.approx(0.5, rel=0.15)


@pytest.mark.parametrize("name", GENERATORS)
def test_generators_keep_their_tensors_names_and_default(name: str) -> None:
    transposed, resized = (GENERATORS[name](up) for up in ("transposed", "resize"))
    assert list(transposed.state_dict()) == list(resized.state_dict())
    kinds = [type(module) for module in resized.modules()]
    assert ResizeConv2d in kinds
    seeds = sum(kind is nn.ConvTranspose2d for kind in kinds)
    assert seeds == (1 if name in ("dcgan", "camera") else 0)  # what makes 4 x 4 of a vector


def test_another_kind_is_refused() -> None:
    with pytest.raises(UserError, match="transposed, resize or smooth"):
        doubling_conv(3, 3, "bilinear")  # pyright: ignore[reportArgumentType]
