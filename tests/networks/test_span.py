"""SPAN: its size as published, its function written out plainly, and the training form against the fused one."""

import pytest
import torch
import torch.nn.functional as F

from ganvas import networks
from ganvas.errors import UserError
from ganvas.io.weights import foreign
from ganvas.networks.notch import notch
from ganvas.networks.rrdb.card import enlarger_card
from ganvas.networks.span import layouts
from ganvas.networks.span.net import SPAN


def seeded(**settings):
    torch.manual_seed(0)
    net = SPAN(**settings).double().eval()
    for tensor in net.parameters():
        torch.nn.init.normal_(tensor, std=0.2)
    return net


def test_the_published_sizes_have_the_published_number_of_parameters():
    # Of the fused networks, summed by hand: a convolution has k k in out + out.
    for width, scale in ((48, 4), (52, 4), (48, 2)):
        by_hand = 27 * width + width + 19 * (9 * width**2 + width) + 4 * width**2 + width
        by_hand += 9 * width * 3 * scale**2 + 3 * scale**2
        with torch.device("meta"):
            assert sum(tensor.numel() for tensor in SPAN(width=width, scale=scale).parameters()) == by_hand


@torch.no_grad()
def test_it_computes_what_the_paper_says():
    net = seeded(width=3, blocks=2, scale=2)
    low = torch.rand(2, 3, 5, 7, dtype=torch.float64)

    def conv(module, x):
        return F.conv2d(x, module.weight, module.bias, padding=module.weight.shape[-1] // 2)

    first = conv(net.conv_first, low - torch.tensor(SPAN.MEAN, dtype=torch.float64)[:, None, None])
    x, made, activated = first, [], []
    for block in net.blocks:
        one = conv(block.conv1, x)
        activated.append(one * torch.sigmoid(one))
        two = conv(block.conv2, activated[-1])
        three = conv(block.conv3, two * torch.sigmoid(two))
        x = (three + x) * (1 / (1 + torch.exp(-three)) - 0.5)
        made.append(x)
    joined = torch.cat([first, conv(net.conv_body, x), made[0], activated[-1]], dim=1)
    flat = conv(net.conv_last, conv(net.conv_merge, joined))
    wanted = flat.view(2, 3, 2, 2, 5, 7).permute(0, 1, 4, 2, 5, 3).reshape(2, 3, 10, 14)
    # The mean is kept in float32.
    assert (net(low) - wanted).abs().max() < 1e-6 * wanted.abs().max()


@torch.no_grad()
def test_the_fused_network_is_the_trained_one_borders_included():
    net = seeded(width=3, blocks=2, scale=2, branches=True)
    trained = enlarger_card("span", width=3, blocks=2, scale=2, branches=True)
    card, tensors = layouts.fused(trained, net.state_dict())
    plain = networks.build(card).double()
    plain.load_state_dict(tensors)
    assert not plain.conv_body.branches
    low = torch.rand(1, 3, 6, 8, dtype=torch.float64)
    assert (plain(low) - net(low)).abs().max() < 1e-10


@torch.no_grad()
def test_branches_added_to_a_trained_network_change_nothing_at_first():
    plain = seeded(width=4, blocks=1)
    torch.manual_seed(1)
    grown = SPAN(width=4, blocks=1, branches=True).double().eval()
    grown.load_state_dict(plain.state_dict(), strict=False)
    low = torch.rand(1, 3, 5, 5, dtype=torch.float64)
    assert torch.equal(grown(low), plain(low))


def authors_state(blocks, width, scale, dtype=torch.float64):
    """Random weights in the authors' layout, and their network's function as their paper draws it."""
    random = torch.Generator().manual_seed(2)

    def rand(*shape):
        return torch.randn(shape, generator=random, dtype=dtype) * 0.2

    state = {}
    names = [("conv_1", 3), ("conv_2", width)]
    names += [(f"block_{n}.c{k}_r", width) for n in range(1, blocks + 1) for k in (1, 2, 3)]
    for name, channels in names:
        for part, shape in {
            "sk": (width, channels, 1, 1),
            "conv.0": (2 * channels, channels, 1, 1),
            "conv.1": (2 * width, 2 * channels, 3, 3),
            "conv.2": (width, 2 * width, 1, 1),
        }.items():
            state[f"{name}.{part}.weight"], state[f"{name}.{part}.bias"] = rand(*shape), rand(shape[0])
        # What a training checkpoint leaves here is out of date.
        state[f"{name}.eval_conv.weight"], state[f"{name}.eval_conv.bias"] = rand(width, channels, 3, 3), rand(width)
    for name, shape in {"conv_cat": (width, 4 * width, 1, 1), "upsampler.0": (3 * scale**2, width, 3, 3)}.items():
        state[f"{name}.weight"], state[f"{name}.bias"] = rand(*shape), rand(shape[0])
    return state


def authors_forward(state, blocks, scale, x, gain=255.0, mean=(0.4488, 0.4371, 0.4040)):
    def conv(name, x):
        weights = {part: (state[f"{name}.{part}.weight"], state[f"{name}.{part}.bias"]) for part in
                   ("sk", "conv.0", "conv.1", "conv.2")}  # fmt: skip
        inner = F.conv2d(F.pad(x, [1, 1, 1, 1]), *weights["conv.0"])
        return F.conv2d(F.conv2d(inner, *weights["conv.1"]), *weights["conv.2"]) + F.conv2d(x, *weights["sk"])

    first = x = conv("conv_1", (x - torch.tensor(mean, dtype=x.dtype)[:, None, None]) * gain)
    kept = []
    for number in range(1, blocks + 1):
        one = F.silu(conv(f"block_{number}.c1_r", x))
        three = conv(f"block_{number}.c3_r", F.silu(conv(f"block_{number}.c2_r", one)))
        x = (three + x) * (torch.sigmoid(three) - 0.5)
        kept.append(x)
    joined = torch.cat([first, conv("conv_2", x), kept[0], one], dim=1)
    merged = F.conv2d(joined, state["conv_cat.weight"], state["conv_cat.bias"])
    return F.pixel_shuffle(F.conv2d(merged, state["upsampler.0.weight"], state["upsampler.0.bias"], padding=1), scale)


@torch.no_grad()
@pytest.mark.parametrize("blocks, scale, normalised", [(1, 2, True), (2, 4, True), (2, 2, False)])
def test_the_authors_file_gives_what_their_network_gives(tmp_path, blocks, scale, normalised):
    state = authors_state(blocks, 4, scale)
    stored = state if normalised else {**state, "no_norm": torch.zeros(1)}
    torch.save({"params_ema": {key: value.float() for key, value in stored.items()}}, tmp_path / "net.pth")
    recognised = foreign.recognise(tmp_path / "net.pth")
    net = networks.build(recognised.card)
    net.load_state_dict(recognised.tensors)
    low = torch.rand(1, 3, 6, 7, dtype=torch.float64)
    gain, mean = (255.0, SPAN.MEAN) if normalised else (1.0, (0.0,) * 3)
    wanted = authors_forward(state, blocks, scale, low, gain, mean)
    assert (net.double()(low) - wanted).abs().max() < 1e-4 * wanted.abs().max()


def test_a_cut_down_file_is_refused_by_the_tensor_that_it_lacks(tmp_path):
    state = authors_state(1, 4, 2, torch.float32)
    for key in ("conv_cat.bias", "block_1.c3_r.conv.1.weight"):
        torch.save({name: value for name, value in state.items() if name != key}, tmp_path / "net.pth")
        with pytest.raises(UserError, match=f"lacks the tensor {key}"):
            foreign.recognise(tmp_path / "net.pth")
    torch.save({**state, "upsampler.0.weight": torch.ones(11, 4, 3, 3)}, tmp_path / "net.pth")
    with pytest.raises(UserError, match="do not fit together"):
        foreign.recognise(tmp_path / "net.pth")


@torch.no_grad()
def test_in_bfloat16_the_finished_pixels_keep_more_than_eight_bits():
    # A slow ramp: rounded to bfloat16, values near 1 would lie on a grid of 1/256.
    net = SPAN(width=4, blocks=1, scale=2, base="bicubic")
    torch.nn.init.zeros_(net.conv_last.weight)
    ramp = torch.linspace(0.9, 0.95, 64).expand(1, 3, 8, 64)
    exact, half = net(ramp), net.to(torch.bfloat16)(ramp)
    assert (exact - half).abs().max() < 1e-4


def test_settings_that_fit_nothing_are_refused():
    for settings, says in [
        ({"base": "bicubc"}, "bicubic"),
        ({"mean": (0.5,)}, "1 values"),
        ({"blocks": 0}, "blocks is 0"),
        ({"channels_out": 1, "base": "bicubic"}, "3 channels into 1"),
        ({"unshuffle": 3}, "unshuffle by 3"),
        ({"unshuffle": 2, "notch": 7}, "unshuffle and notch"),
    ]:
        with pytest.raises(UserError, match=says):
            SPAN(**settings)


@torch.no_grad()
def test_the_notch_takes_a_grid_away_and_leaves_what_has_no_period():
    random = torch.Generator().manual_seed(3)
    cell = torch.randn(1, 3, 16, 1, 1, generator=random, dtype=torch.float64)
    texture = torch.randn(1, 48, 40, 40, generator=random, dtype=torch.float64)
    grid = (cell - cell.mean(2, keepdim=True)).reshape(1, 48, 1, 1).expand(1, 48, 40, 40)
    assert notch(grid, 4, 9).abs().max() < 1e-12
    # What all places do alike is no grid, however it changes from cell to cell.
    alike = torch.randn(1, 3, 1, 40, 40, generator=random, dtype=torch.float64).expand(1, 3, 16, 40, 40)
    alike = alike.reshape(1, 48, 40, 40)
    assert torch.allclose(notch(alike, 4, 9), alike)
    # Of faint white noise, 15 of 16 parts differ between places, and two boxes of 9 cells are a triangle, which takes
    # its middle's share away twice and adds its own energy.
    inner = (slice(None), slice(None), slice(8, -8), slice(8, -8))
    triangle = F.conv1d(torch.ones(1, 1, 9).double() / 9, torch.ones(1, 1, 9).double() / 9, padding=8)[0, 0]
    kept = 1 - 15 / 16 * float(2 * triangle[8] ** 2 - (triangle**2).sum() ** 2)
    faint = 1e-3 * texture
    found = notch(faint, 4, 9)[inner].square().mean() / faint[inner].square().mean()
    assert float(found) == pytest.approx(kept, abs=0.003)


@torch.no_grad()
def test_an_edge_leaves_no_fringes_around_it():
    edge = torch.zeros(1, 48, 40, 40, dtype=torch.float64)
    edge[..., 20] = torch.linspace(-0.5, 0.5, 16, dtype=torch.float64).repeat(3)[:, None]
    beside = (notch(edge, 4, 9) - edge)[..., 22]
    # Unweighted, the triangle would bring 7 of 81 parts of it there.
    assert beside.abs().max() < 0.05 * 0.5 * 7 / 81


@torch.no_grad()
def test_the_notch_in_the_network_leaves_slopes_and_counts_into_the_halo():
    net = seeded(width=4, blocks=1, scale=4, notch=3)
    for tensor in net.parameters():
        tensor.zero_()
    # A network that adds nothing to its gray: what is left is the smooth enlargement, less its own mean over places.
    net.conv_last.bias.copy_(torch.randn(48, dtype=torch.float64))
    slope = torch.linspace(0, 1, 24, dtype=torch.float64).expand(1, 3, 24, 24)
    even = net(slope)[..., 16:-16, 16:-16]
    means = F.pixel_unshuffle(even - enlarged_by_torch(slope)[..., 16:-16, 16:-16], 4).view(3, 16, -1).mean(2)
    assert (means - means.mean(1, keepdim=True)).abs().max() < 1e-9
    assert net.receptive_halo_px == SPAN(blocks=1).receptive_halo_px + 2
    net = seeded(width=4, blocks=1, scale=2, notch=5)
    low, halo = torch.rand(1, 3, 40, 12, dtype=torch.float64), net.receptive_halo_px
    assert torch.allclose(net(low[..., : 15 + halo, :])[..., :30, :], net(low)[..., :30, :])
    for window in (2, -1):
        with pytest.raises(UserError, match="odd"):
            SPAN(notch=window)


def enlarged_by_torch(low):
    return F.interpolate(low, scale_factor=4, mode="bicubic", align_corners=False)


@torch.no_grad()
def test_a_network_in_16_bits_keeps_its_last_convolution_and_leaves_no_grid():
    torch.manual_seed(0)
    net = SPAN(width=16, blocks=2)
    wanted = {name: value.clone() for name, value in net.conv_last.named_parameters()}
    # As trained networks are: each place has nearly the same kernel.
    wanted["weight"] = wanted["weight"].view(3, 16, -1)[:, :1].expand(-1, 16, -1).reshape(48, 16, 3, 3) * 3
    wanted["bias"] = torch.full((48,), 0.45) + torch.linspace(0, 1e-3, 48)
    net.conv_last.load_state_dict(wanted)
    low = torch.rand(1, 3, 32, 32)
    exact = F.pixel_unshuffle(net(low), 4).mean((0, 2, 3))
    for dtype in (torch.bfloat16, torch.float16):
        cast = net.to(dtype)
        assert cast.conv_first.weight.dtype == dtype
        assert all(torch.equal(cast.conv_last.get_parameter(name), value) for name, value in wanted.items())
        error = F.pixel_unshuffle(cast(low), 4).mean((0, 2, 3)) - exact
        # What is wrong alike in all places is a shade; rounded parameters left up to 1e-3 between them.
        assert (error.view(3, 16) - error.view(3, 16).mean(1, keepdim=True)).abs().max() < 1e-5
        net.float()
    assert net.double().conv_last.weight.dtype == torch.float64


def test_folded_pixels_give_what_the_plain_network_makes_of_their_mean():
    torch.manual_seed(1)
    plain = SPAN(width=8, blocks=2, scale=4, base="none").eval()
    folded = SPAN(width=8, blocks=2, scale=2, base="none", unshuffle=2).eval()
    tensors = plain.state_dict()
    tensors["conv_first.weight"] = tensors["conv_first.weight"].repeat_interleave(4, dim=1) / 4
    folded.load_state_dict(tensors)
    picture = torch.rand(1, 3, 12, 16)
    with torch.no_grad():
        expected = plain(F.avg_pool2d(picture, 2))
        torch.testing.assert_close(folded(picture), expected, atol=1e-5, rtol=0)


def test_a_base_under_folded_pixels_is_the_picture_itself_where_nothing_is_enlarged():
    net = SPAN(width=8, blocks=1, scale=1, base="bicubic", unshuffle=2).eval()
    with torch.no_grad():
        net.conv_last.weight.zero_()
        net.conv_last.bias.zero_()
        picture = torch.rand(1, 3, 7, 9)
        assert torch.equal(net(picture), picture)


@pytest.mark.parametrize(("scale", "unshuffle"), [(1, 2), (2, 2), (1, 4)])
def test_tiles_of_folded_pixels_equal_the_whole(scale, unshuffle):
    torch.manual_seed(2)
    net = SPAN(width=8, blocks=1, scale=scale, unshuffle=unshuffle).eval()
    halo, begin = net.receptive_halo_px, 2 * net.receptive_halo_px // unshuffle * unshuffle
    picture = torch.rand(1, 3, 8, begin + 2 * halo + 8)
    with torch.no_grad():
        whole = net(picture)[..., begin * scale : (begin + 8) * scale]
        tile = net(picture[..., begin - halo : begin + 8 + halo])[..., halo * scale : (halo + 8) * scale]
    torch.testing.assert_close(tile, whole, atol=1e-5, rtol=0)
    assert enlarger_card("span", scale=scale, unshuffle=unshuffle).multiple_of == unshuffle
