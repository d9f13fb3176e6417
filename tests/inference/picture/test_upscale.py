"""Whole pictures through a network: depth, channels, alpha, light, sizes, borders."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ganvas.data.degrade import resize_bicubic
from ganvas.errors import UserError
from ganvas.inference.picture.sizes import target_size
from ganvas.inference.picture.upscale import Upscaler
from ganvas.inference.rows.pixels import LogCurve
from ganvas.networks.rrdb.net import CompactNet, RRDBNet
from ganvas.protocol import Card


class Nearest(nn.Module):
    """Repeats pixels: whatever is done around the network, its answer is known."""

    def __init__(self, scale=2):
        super().__init__()
        self.scale = scale

    def forward(self, x):
        return F.interpolate(x, scale_factor=self.scale, mode="nearest")


class Smooth(nn.Module):
    """Interpolates, doubling the sides."""

    def forward(self, x):
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def repeat(picture, scale):
    return picture.repeat(scale, axis=0).repeat(scale, axis=1)


def random_picture(shape, dtype, seed=0):
    random = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return random.random(shape).astype(dtype)
    return random.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def compact(scale=2, seed=0):
    torch.manual_seed(seed)
    return CompactNet(width=8, convs=2, scale=scale).eval()


def exactly(net, **options):
    return Upscaler(net, precision="float32", device="cpu", **options)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(13, 9), (13, 9, 1), (13, 9, 2), (13, 9, 3), (13, 9, 4), (1, 1, 3), (1, 40, 4)])
def test_depth_and_channels_stay_and_every_value_survives(dtype, shape):
    picture = random_picture(shape, dtype)
    if len(shape) == 3 and shape[2] in (2, 4):
        # Where alpha is nearly zero the colours cannot come back from their product with it; see the test of alpha.
        full = 1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
        picture[..., -1] = np.where(picture[..., -1] < full / 2, full, picture[..., -1])
    result = exactly(Nearest(2))(picture)
    assert result.dtype == picture.dtype
    assert result.shape == (2 * shape[0], 2 * shape[1], *shape[2:])
    tolerance = 0 if np.dtype(dtype).kind == "u" else 1e-3 if dtype == "float16" else 1e-6
    np.testing.assert_allclose(result.astype(float), repeat(picture, 2).astype(float), atol=tolerance)


def test_the_result_is_that_of_the_network():
    net = compact()
    picture = random_picture((40, 30, 3), "uint8")
    with torch.inference_mode():
        expected = net(torch.from_numpy(picture).permute(2, 0, 1)[None] / 255)[0].permute(1, 2, 0).numpy()
    result = exactly(net)(picture)
    assert np.abs(result - expected.clip(0, 1) * 255).max() <= 0.51


def test_gray_goes_through_as_three_equal_colours_and_is_averaged():
    net = compact()
    gray = random_picture((20, 30), "float32")
    colours = exactly(net)(np.stack([gray] * 3, axis=-1))
    np.testing.assert_allclose(exactly(net)(gray), colours.mean(axis=-1), atol=1e-6)


def test_colours_that_cannot_be_seen_do_not_bleed_into_those_that_can():
    garish = np.zeros((30, 30, 4), np.uint8)
    garish[:, :15] = (200, 100, 50, 255)
    plain = garish.copy()
    garish[:, 15:, :3] = (0, 255, 255)
    for net in (compact(), Smooth()):
        np.testing.assert_array_equal(exactly(net)(garish), exactly(net)(plain))
    result = exactly(Smooth())(garish)
    seen = result[..., 3] > 20
    assert (result[..., 3][seen] < 235).sum() > 0  # an edge of partial alpha ...
    assert (
        np.abs(result[seen][:, :3].astype(int) - (200, 100, 50)).max() <= 4
    )  # ... of pure colour, with no dark fringe


def test_what_is_nearly_invisible_is_not_divided_into_specks():
    picture = random_picture((40, 40, 4), "float32")
    picture[..., 3] = np.where(np.arange(40) < 20, 1.0, 1e-6)
    result = exactly(compact())(picture)
    assert np.abs(result[..., :3]).max() < 256 * np.abs(exactly(compact())(picture[..., :3])).max()
    seen = random_picture((8, 8, 4), "uint8")
    seen[..., 3] = np.maximum(seen[..., 3], 1)  # each of 8 bits is still divided by
    again = exactly(Nearest(2))(seen)
    np.testing.assert_array_equal(again, repeat(seen, 2))


def test_alpha_that_is_full_everywhere_stays_full_and_costs_nothing():
    net = compact()
    picture = random_picture((20, 20, 4), "uint8")
    picture[..., 3] = 255
    result = exactly(net)(picture)
    assert (result[..., 3] == 255).all()
    np.testing.assert_array_equal(result[..., :3], exactly(net)(picture[..., :3]))


def test_sixteen_bits_are_kept_although_bfloat16_is_this_machines_choice():
    ramp = np.linspace(0, 65535, 400).astype(np.uint16).reshape(1, 400).repeat(3, axis=0)
    up = Upscaler(Nearest(2), device="cpu")
    np.testing.assert_array_equal(up(ramp), repeat(ramp, 2))
    assert up.engine_for(ramp.dtype).precision == "float32"
    assert "depth" in str(up.engine_for(ramp.dtype))


def test_scene_linear_light_survives_with_its_highlights_and_its_negatives():
    light = np.full((24, 24, 3), 0.18, np.float32)
    light[10:14, 10:14] = 20.0
    light[2:4, 2:4] = -0.05
    light[20:22, 20:22] = 5000.0
    np.testing.assert_allclose(exactly(Nearest(2))(light), repeat(light, 2), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_a_highlight_of_20_keeps_its_place_and_height_through_a_real_network(seed):
    net = compact(seed=seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter *= 0.5  # an untrained net that stays near its base, as a trained one does
    light = np.full((32, 32, 3), 0.18, np.float32)
    light[8:24, 8:24] = 20.0
    result = exactly(net)(light)
    assert np.isfinite(result).all()
    assert abs(np.median(result[24:40, 24:40]) / 20 - 1) < 0.15
    assert np.median(result[24:40, 24:40]) > 10 * np.median(result[:8])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-6e4, 6e4, width=32), min_size=2, max_size=20), st.floats(0, 6e4))
def test_the_log_curve_is_monotone_and_undone(values, brightest):
    curve = LogCurve.reaching(brightest)
    light = torch.tensor(sorted(values), dtype=torch.float64)
    inside = curve.apply(light)
    assert (inside.diff() >= 0).all()
    torch.testing.assert_close(curve.undo(inside), light, rtol=1e-9, atol=1e-9)
    assert float(curve.apply(torch.tensor(0.0))) == 0
    if 1 <= brightest <= 64:
        torch.testing.assert_close(float(curve.apply(torch.tensor(brightest))), 1.0, rtol=1e-5, atol=0)


def test_pixels_that_are_no_numbers_do_not_spread():
    light = np.full((20, 20, 3), 0.5, np.float32)
    light[5, 5, 0], light[9, 9, 1] = np.nan, np.inf
    assert np.isfinite(exactly(compact())(light)).all()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, (40, 80)),
        ({"factor": 1.5}, (15, 30)),
        ({"factor": 0.01}, (1, 1)),
        ({"size": (50, 30)}, (30, 50)),
        ({"size": (50, 0)}, (25, 50)),
        ({"size": (0, 30)}, (30, 60)),
        ({"long_side": 70}, (35, 70)),
    ],
)
def test_sizes(arguments, expected):
    assert target_size(10, 20, 4, **arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"factor": 2, "long_side": 9}, "twice"),
        ({"factor": 0}, "factor above 0"),
        ({"factor": float("nan")}, "factor above 0"),
        ({"size": (0, 0)}, "no size"),
        ({"size": (-4, 4)}, "no size"),
    ],
)
def test_sizes_that_make_no_picture(arguments, words):
    with pytest.raises(UserError, match=words):
        target_size(10, 20, 4, **arguments)


@pytest.mark.parametrize(("factor", "passes"), [(2, 1), (2.1, 1), (1, 1), (0.5, 1), (3, 2), (4, 2), (8, 3), (1.5, 1)])
def test_any_factor_runs_the_network_as_often_as_needed_and_resizes_the_rest(factor, passes):
    picture = random_picture((20, 24, 3), "float32")
    result = exactly(Nearest(2))(picture, factor=factor)
    target = (round(20 * factor), round(24 * factor))
    repeated = torch.from_numpy(repeat(picture, 2**passes)).permute(2, 0, 1)[None]
    expected = resize_bicubic(repeated, size=target)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(result, expected, atol=3e-6)


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 200, 3), (150, 3, 3), (97, 111, 3), (64, 64, 4)])
@pytest.mark.parametrize("factor", [2, 3.3])
def test_small_tiles_equal_one_large_tile(shape, factor):
    net = compact()
    picture = random_picture(shape, "float32")
    halo = net.receptive_halo_px
    tiled = exactly(net, tile=48, halo_px=halo)(picture, factor=factor)
    whole = exactly(net, tile=512, halo_px=halo)(picture, factor=factor)
    np.testing.assert_allclose(tiled, whole, atol=2e-5 * np.abs(whole).max())


def test_a_net_with_unshuffle_takes_odd_sides():
    torch.manual_seed(0)
    net = RRDBNet(width=8, blocks=1, growth=4, scale=2, unshuffle=2).eval()
    picture = random_picture((75, 33, 3), "float32")
    with torch.inference_mode():
        expected = net(torch.from_numpy(picture).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
    up = exactly(net, tile=2 * net.receptive_halo_px + 24, halo_px=net.receptive_halo_px)
    assert up.multiple_of == 2
    np.testing.assert_allclose(up(picture), expected, atol=1e-5)


@pytest.mark.parametrize("factor", [2, 4, 1.5])
def test_a_seamless_texture_stays_seamless_wherever_it_is_cut(factor):
    net = compact()
    texture = random_picture((48, 36, 3), "float32")
    up = exactly(net, seamless=True, halo_px=net.receptive_halo_px, tile=48)
    once, again = up(texture, factor=factor), up(np.roll(texture, (16, 12), (0, 1)), factor=factor)
    shift = (round(16 * factor), round(12 * factor))
    np.testing.assert_allclose(again, np.roll(once, shift, (0, 1)), atol=2e-5)
    assert np.abs(again - np.roll(exactly(net)(texture, factor=factor), shift, (0, 1))).max() > 1e-4


def test_reflect_gives_the_network_the_mirrored_picture():
    net = compact()
    picture = random_picture((30, 20, 3), "float32")
    halo = net.receptive_halo_px
    grown = np.pad(picture, ((halo, halo), (halo, halo), (0, 0)), mode="reflect")
    expected = exactly(net)(grown)[2 * halo : -2 * halo, 2 * halo : -2 * halo]
    np.testing.assert_allclose(exactly(net, border="reflect", halo_px=halo)(picture), expected, atol=1e-6)


def test_ensemble_turns_with_the_picture():
    up = exactly(compact(), ensemble=True)
    picture = random_picture((14, 20, 3), "float32")
    np.testing.assert_allclose(up(np.rot90(picture)), np.rot90(up(picture)), atol=1e-5)


def test_faithful_brings_the_shrunk_result_back_to_the_input():
    net, picture = compact(), random_picture((24, 24, 3), "float32")

    def error(strength):
        high = torch.from_numpy(exactly(net, faithful=strength)(picture)).permute(2, 0, 1)[None]
        return float((resize_bicubic(high, 0.5)[0].permute(1, 2, 0) - torch.from_numpy(picture)).square().mean())

    assert error(1.0) < 0.2 * error(0.0)
    assert error(1.0) < error(0.5) < error(0.0)


def test_progress_ends_with_all_rows_and_never_goes_back():
    seen = []
    exactly(Nearest(2), tile=80)(random_picture((150, 100, 3), "uint8"), progress=lambda *rows: seen.append(rows))
    assert len(seen) > 3
    assert seen == sorted(seen)
    assert seen[-1] == (300, 300)


def test_seam_error_is_small_with_the_whole_halo_and_larger_without():
    net, picture = compact(), random_picture((100, 100, 3), "uint8")
    assert exactly(net, tile=48, halo_px=net.receptive_halo_px).seam_error(picture).maximum < 1e-5
    assert exactly(net, tile=48, halo_px=0, overlap_px=0).seam_error(picture).maximum > 1e-4


def test_a_card_says_scale_range_and_halo():
    class Minus(nn.Module):
        card = Card(network="x", scale=2, range=(-1.0, 1.0), halo_px=5, exact_halo_px=5)

        def forward(self, x):
            assert x.shape[2] < 40 or x.min() < -0.5
            return F.interpolate(x.clamp(-1, 1), scale_factor=2, mode="nearest")

    up = exactly(Minus())
    assert (up.scale, up.halo_px, up.overlap_px) == (2, 5, 0)
    picture = random_picture((40, 40, 3), "uint8")
    np.testing.assert_array_equal(up(picture), repeat(picture, 2))


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((3,), np.uint8),
        np.zeros((0, 5, 3), np.uint8),
        np.zeros((4, 4, 5), np.uint8),
        np.zeros((4, 4, 3), np.int64),
        np.zeros((4, 4), bool),
        np.zeros((4, 4, 3), complex),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(picture):
    with pytest.raises(UserError):
        exactly(Nearest())(picture)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tile": 16, "halo_px": 16}, "too small"),
        ({"border": "mirror"}, "no border"),
        ({"faithful": 2}, "from 0"),
        ({"precision": "int4"}, "no precision"),
    ],
)
def test_impossible_options_fail_when_the_upscaler_is_made(options, words):
    with pytest.raises(UserError, match=words):
        Upscaler(Nearest(), **options)


@pytest.mark.parametrize("net", [nn.Conv2d(3, 1, 3), nn.Flatten()])
def test_a_network_that_is_no_upscaler_is_refused(net):
    with pytest.raises(UserError, match="no upscaler"):
        Upscaler(net)


class Normed(nn.Module):
    """Looks at the whole picture, as instance norm does."""

    card = Card(network="normed", tiling="internal")

    def forward(self, picture):
        return 0.5 + 0.1 * F.instance_norm(picture)


def test_a_network_that_sees_the_whole_picture_is_given_it_whole():
    picture = np.random.default_rng(0).random((150, 700, 3), np.float32) * np.linspace(0.1, 1, 700)[None, :, None]
    picture = picture.astype(np.float32)
    found = Upscaler(Normed().eval(), precision="float32", tile=64)(picture)
    seen = torch.from_numpy(picture).permute(2, 0, 1)[None]
    wanted = Normed()(seen)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-5)
