"""vid2vid's generator: published layouts and counts, a plain writing of it, the blend, the recurrence, other files."""

import math
import re

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

import ganvas
from ganvas.errors import UserError
from ganvas.flow import is_inside, warp
from ganvas.io.weights import foreign
from ganvas.networks import build, find
from ganvas.networks.vid2vid import layouts
from ganvas.networks.vid2vid.net import Features, Known, LocalGenerator, Vid2Vid, next_frame, no_past, past_of
from ganvas.protocol import Card

TINY = {"channels_label": 4, "width": 4, "downs": 2, "blocks": 3, "local_blocks": 1}


def tiny(**changes):
    torch.manual_seed(0)
    net = Vid2Vid(**{**TINY, **changes})
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    # The published initialisation leaves tiny networks all but silent.
    for parameter in net.parameters():
        parameter.data.mul_(6)
    return net


def inputs(height=16, width=24, batch=2, dtype=torch.float32):
    random = torch.Generator().manual_seed(1)
    labels = torch.rand(batch, 12, height, width, generator=random, dtype=dtype)
    return labels, torch.rand(batch, 6, height, width, generator=random, dtype=dtype) * 2 - 1


# Facts of the published files


def test_parameter_counts_of_the_published_scales():
    with torch.device("meta"):
        net = Vid2Vid(foreground=(26,), scales=3)
        face, pose = Vid2Vid(channels_label=15), Vid2Vid(channels_label=6)
    counts = [sum(p.numel() for p in net.get_submodule(f"scale{n}").parameters()) for n in range(3)]
    assert counts == [411_335_241, 2_880_489, 859_641]
    assert sum(p.numel() for p in face.parameters()) == 364_996_230
    assert sum(p.numel() for p in pose.parameters()) == 364_826_886


def test_layout_of_the_published_files():
    # 108 planes of labels, 32 channels, two halvings, no foreground; and a finer scale of 16 channels.
    coarse = Vid2Vid(width=32, downs=2).scale0.state_dict()
    assert sum(p.numel() for p in Vid2Vid(width=32, downs=2).parameters()) == 5_880_966
    assert sum(p.numel() for p in LocalGenerator(width=16).parameters()) == 224_646
    assert tuple(coarse["model_down_seg.1.weight"].shape) == (32, 108, 7, 7)
    assert tuple(coarse["model_down_img.14.conv_block.5.weight"].shape) == (128, 128, 3, 3)
    assert tuple(coarse["model_up_img.3.weight"].shape) == (64, 32, 3, 3)
    assert tuple(coarse["model_final_w.1.weight"].shape) == (1, 32, 7, 7)
    fine = LocalGenerator(width=16).state_dict()
    assert tuple(fine["model_down_seg.4.weight"].shape) == (32, 16, 3, 3)
    assert tuple(fine["model_up_flow.3.weight"].shape) == (32, 16, 3, 3)
    assert "model_up_flow.4.running_var" in fine and "model_down_img.5.num_batches_tracked" in fine


@pytest.mark.parametrize("name", ["vid2vid", "vid2vid_local"])
@pytest.mark.parametrize(("height", "width"), [(32, 48), (33, 47)])
def test_the_shape_line_is_true(name, height, width):
    line = re.search(r"^ *\(B, (\d+), H, W\) -> \(B, (\d+), H, W\)$", find(name).__doc__, re.MULTILINE)
    height, width = (height, width) if name == "vid2vid" else (2 * (height // 2), 2 * (width // 2))
    with torch.device("meta"):
        output = find(name)()(torch.empty(2, int(line[1]), height, width))
    assert tuple(output[0].shape) == (2, int(line[2]), height, width)


# A plain writing


def normed(x, state, name):
    if f"{name}.running_mean" not in state:
        mean, var = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, unbiased=False)
        return (x - mean) / (var + 1e-5).sqrt()
    mean, var, gain, bias = (
        state[f"{name}.{part}"].view(1, -1, 1, 1) for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (var + 1e-5).sqrt() * gain + bias


def layer(x, state, name, norm, kind="conv"):
    weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
    if kind == "wide":
        x = F.conv2d(F.pad(x, (3, 3, 3, 3), mode="reflect"), weight, bias)
    elif kind == "down":
        x = F.conv2d(x, weight, bias, stride=2, padding=1)
    elif kind == "up":
        x = F.conv_transpose2d(x, weight, bias, stride=2, padding=1, output_padding=1)
    else:
        x = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), weight, bias)
    return normed(x, state, norm) if norm else x


def block(x, state, name):
    inner = layer(x, state, f"{name}.conv_block.1", f"{name}.conv_block.2").relu()
    return x + layer(inner, state, f"{name}.conv_block.5", f"{name}.conv_block.6")


def encoder(x, state, name, downs, blocks):
    x = layer(x, state, f"{name}.1", f"{name}.2", "wide").relu()
    for level in range(downs):
        x = layer(x, state, f"{name}.{4 + 3 * level}", f"{name}.{5 + 3 * level}", "down").relu()
    for number in range(blocks):
        x = block(x, state, f"{name}.{4 + 3 * downs + number}")
    return x


def branch(x, state, name, res, up_from, downs):
    for number in range(res[1]):
        x = block(x, state, f"{res[0]}.{number}")
    for level in range(downs):
        first = up_from + 3 * level
        x = layer(x, state, f"{name}.{first}", f"{name}.{first + 1}", "up").relu()
    return x


def fetched(picture, flow):
    """Warp in double loops."""
    result = torch.zeros_like(picture)
    height, width = picture.shape[-2:]
    for b in range(len(picture)):
        for y in range(height):
            for x in range(width):
                at_x = min(max(x + float(flow[b, 0, y, x]), 0), width - 1)
                at_y = min(max(y + float(flow[b, 1, y, x]), 0), height - 1)
                left, top = min(int(at_x), width - 2), min(int(at_y), height - 2)
                u, v = at_x - left, at_y - top
                part = picture[b, :, top : top + 2, left : left + 2]
                rows = part[:, :, 0] * (1 - u) + part[:, :, 1] * u
                result[b, :, y, x] = rows[:, 0] * (1 - v) + rows[:, 1] * v
    return result


def heads(pictures, flows, drawn, state, previous, now, foreground, flow_px):
    raw = layer(pictures, state, "model_final_img.1", "", "wide").tanh()
    flow = flow_px * layer(flows, state, "model_final_flow.1", "", "wide")
    mask = torch.sigmoid(layer(flows, state, "model_final_w.1", "", "wide"))
    picture = raw * mask + fetched(previous[:, -3:], flow) * (1 - mask)
    share = now[:, foreground : foreground + 1]
    drawn = layer(drawn, state, "indv_final.1", "", "wide").tanh()
    return drawn * share + picture * (1 - share), flow, mask, drawn * share + raw * (1 - share)


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_both_scales_equal_a_plain_writing(norm):
    net = tiny(scales=2, foreground=(2,), norm=norm).double().eval()
    labels, previous = inputs(dtype=torch.float64)
    with torch.no_grad():
        found = net(labels, previous)
    coarse = {key.removeprefix("scale0."): value for key, value in net.state_dict().items() if key.startswith("scale0")}
    fine = {key.removeprefix("scale1."): value for key, value in net.state_dict().items() if key.startswith("scale1")}
    small = [F.avg_pool2d(x, 3, 2, 1, count_include_pad=False) for x in (labels, previous)]
    seen = encoder(small[0], coarse, "model_down_seg", 2, 2) + encoder(small[1], coarse, "model_down_img", 2, 2)
    pictures = branch(seen, coarse, "model_up_img", ("model_res_img", 1), 0, 2)
    flows = branch(seen, coarse, "model_up_flow", ("model_res_flow", 1), 0, 2)
    drawn = branch(encoder(small[0], coarse, "indv_down", 2, 2), coarse, "indv_up", ("indv_res", 1), 0, 2)
    seen = encoder(labels, fine, "model_down_seg", 1, 0) + encoder(previous, fine, "model_down_img", 1, 0)
    pictures = branch(seen + pictures, fine, "model_up_img", ("model_up_img", 1), 1, 1)
    flows = branch(seen + flows, fine, "model_up_flow", ("model_up_flow", 1), 1, 1)
    drawn = branch(encoder(labels, fine, "indv_down", 1, 0) + drawn, fine, "indv_up", ("indv_up", 1), 1, 1)
    wanted = heads(pictures, flows, drawn, fine, previous, labels[:, -4:], 2, 40.0)
    for mine, theirs in zip(found, wanted):
        assert float((mine - theirs).abs().max()) < 1e-9 * max(1.0, float(theirs.abs().max()))
    assert float(found.flow.abs().max()) > 1 and 0.2 < float(found.mask.mean()) < 0.8


# Behaviour


def test_a_coarse_scale_alone_is_the_generator_of_one_scale():
    net, (labels, previous) = tiny(scales=2).eval(), inputs()
    alone = Vid2Vid(**TINY).eval()
    alone.load_state_dict({k: v for k, v in net.state_dict().items() if k.startswith("scale0")})
    with torch.no_grad():
        for mine, theirs in zip(net(labels, previous, scales=1), alone(labels, previous)):
            assert torch.equal(mine, theirs)


def test_without_a_frame_before_the_picture_is_hallucinated():
    net, (labels, previous) = tiny().eval(), inputs()
    with torch.no_grad():
        frame = net(labels, previous, torch.tensor([True, False]))
        nothing = net(labels)
    assert torch.equal(frame.picture[1], frame.raw[1]) and not torch.equal(frame.picture[0], frame.raw[0])
    assert torch.equal(nothing.picture, nothing.raw)


def test_known_flow_and_mask_take_the_place_of_learned_ones():
    net, (labels, previous) = tiny().eval(), inputs()
    flow = torch.zeros(2, 2, 16, 24)
    flow[:, 0] = 3.0
    with torch.no_grad():
        frame = net(labels, previous, known=Known(flow, torch.zeros(2, 1, 16, 24)))
    assert torch.allclose(frame.picture[..., :-3], previous[:, -3:, :, 3:], atol=1e-5)


def test_where_the_fetched_label_is_another_the_picture_is_hallucinated():
    net, (labels, previous) = tiny(repainted_classes=3).eval(), inputs()
    classes = torch.randint(0, 3, (2, 16, 24), generator=torch.Generator().manual_seed(4))
    flow = torch.zeros(2, 2, 16, 24)
    flow[:, 0] = 2.0
    now = torch.roll(classes, -2, dims=-1)
    now[:, 5, :-3] = (now[:, 5, :-3] + 1) % 3
    # The fourth plane, boundaries, may change.
    labels[:, -8:-4] = F.one_hot(classes, 4).movedim(-1, 1)
    labels[:, -4:] = F.one_hot(now, 4).movedim(-1, 1)
    labels[:, -1] = 1
    with torch.no_grad():
        frame = net(labels, previous, known=Known(flow, torch.full((2, 1, 16, 24), 0.1)))
    inside = frame.mask[..., :-3]
    assert torch.allclose(inside[:, :, 5], torch.ones(()), atol=1e-5)
    assert torch.allclose(torch.cat([inside[:, :, :5], inside[:, :, 6:]], 2), torch.tensor(0.1), atol=1e-5)
    assert torch.allclose(frame.picture[:, :, 5, :-3], frame.raw[:, :, 5, :-3], atol=1e-5)


def test_a_steep_mask_is_the_same_choice_made_harder():
    net, (labels, previous) = tiny(norm="instance").eval(), inputs()
    net.scale0.model_final_w[1].weight.data.mul_(0.1)
    steep = tiny(norm="instance", mask_slope=4.0).eval()
    steep.load_state_dict(net.state_dict())
    with torch.no_grad():
        soft, hard = net(labels, previous).mask.double(), steep(labels, previous).mask.double()
    odds = (soft / (1 - soft)) ** 4
    assert torch.allclose(hard, odds / (1 + odds), atol=1e-5) and float(soft.std()) > 0.01
    steep.repaint(1.5)
    odds = odds * math.exp(1.5)
    with torch.no_grad():
        assert torch.allclose(steep(labels, previous).mask.double(), odds / (1 + odds), atol=1e-5)


def test_no_flow_branch_hallucinates_every_frame():
    net, (labels, previous) = tiny(with_flow=False).eval(), inputs()
    assert not any("flow" in key for key in net.state_dict())
    frame = net(labels, previous)
    assert torch.equal(frame.picture, frame.raw) and float(frame.mask.min()) == 1


def test_the_foreground_branch_sees_labels_alone():
    net, (labels, previous) = tiny(foreground=(1,)).eval(), inputs()
    labels[:, -4:] = 0
    labels[:, -3] = 1
    with torch.no_grad():
        assert torch.equal(net(labels, previous).picture, net(labels, -previous).picture)


def test_the_recurrence_feeds_back_its_pictures_and_labels():
    net = tiny().eval()
    random = torch.Generator().manual_seed(2)
    labels = torch.rand(5, 1, 4, 16, 24, generator=random)
    with torch.no_grad():
        past, pictures = no_past(net, labels[0]), []
        for now in labels:
            frame, past = next_frame(net, now, past)
            pictures.append(frame.picture)
        again = net(torch.cat([*labels[2:5]], 1), torch.cat([pictures[2], pictures[3]], 1))
    assert torch.equal(pictures[4], again.picture)
    first = torch.rand(1, 3, 16, 24, generator=random)
    given = past_of(net, labels[0], first)
    assert torch.equal(given.pictures, torch.cat([first, first], 1)) and bool(given.has_previous.all())


def test_odd_sizes_and_small_ones():
    net = tiny(scales=2, norm="instance").eval()
    for height, width in ((9, 7), (21, 35), (64, 17)):
        frame = net(*inputs(height, width))
        assert [tuple(part.shape[-2:]) for part in frame] == [(height, width)] * 4


def test_every_parameter_gets_a_finite_gradient():
    net, (labels, previous) = tiny(scales=1, foreground=(1,)), inputs()
    frame = net(labels, previous)
    (frame.picture.square().mean() + frame.raw.square().mean()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())


def test_impossible_settings_are_refused():
    with pytest.raises(UserError, match="foreground"):
        Vid2Vid(**TINY, foreground=(4,))
    with pytest.raises(UserError, match="halved"):
        Vid2Vid(**{**TINY, "width": 6}, scales=2)
    with pytest.raises(UserError, match="scale"):
        tiny()(inputs()[0], scales=2)


# Warping


def test_warp_equals_double_loops_and_whole_pixels_are_exact():
    random = torch.Generator().manual_seed(3)
    picture = torch.rand(2, 3, 7, 9, generator=random, dtype=torch.float64)
    flow = torch.randn(2, 2, 7, 9, generator=random, dtype=torch.float64) * 3
    assert float((warp(picture, flow) - fetched(picture, flow)).abs().max()) < 1e-12
    shift = torch.zeros(2, 2, 7, 9)
    shift[:, 0], shift[:, 1] = 2, -1
    moved = warp(picture.float(), shift)
    assert torch.allclose(moved[..., 1:, :-2], picture.float()[..., :-1, 2:], atol=1e-6)
    inside = is_inside(shift)
    assert float(inside[..., 1:, :-2].min()) == 1 and float(inside[..., 0, :].max()) == 0 == float(
        inside[..., -2:].max()
    )


# Other projects' files


def test_published_files_are_read_and_joined(tmp_path):
    whole = Vid2Vid(channels_label=30, width=8, downs=2, blocks=5, scales=2, local_blocks=2, foreground=(26,)).eval()
    parts = []
    for scale in (0, 1):
        own = {k.removeprefix(f"scale{scale}."): v for k, v in whole.state_dict().items() if f"scale{scale}." in k}
        save_file(own, tmp_path / f"G{scale}.safetensors")
        parts.append(foreign.recognise(tmp_path / f"G{scale}.safetensors"))
    coarse = ganvas.load(tmp_path / "G0.safetensors")
    assert coarse.card.input == "clip" and coarse.card.settings["blocks"] == 5 and coarse.foreground == (26,)
    local = ganvas.load(tmp_path / "G1.safetensors")
    joined = layouts.join(parts)
    net = build(joined.card)
    net.load_state_dict(joined.tensors)
    labels = torch.rand(1, 90, 16, 16)
    previous = torch.rand(1, 6, 16, 16)
    with torch.no_grad():
        wanted = whole(labels, previous)
        assert all(torch.equal(a, b) for a, b in zip(net.eval()(labels, previous), wanted))
        halves = [F.avg_pool2d(x, 3, 2, 1, count_include_pad=False) for x in (labels, previous)]
        features: Features = coarse.scale0.features(*halves)
        assert all(torch.equal(a, b) for a, b in zip(local(labels, previous, features), wanted))
    with pytest.raises(UserError, match="G0"):
        layouts.join(parts[::-1])


@pytest.mark.parametrize("norm", ["instance", "tracked_instance"])
def test_norms_of_published_files_are_told_apart(norm, tmp_path):
    net = Vid2Vid(**{**TINY, "channels_label": 5}, norm=norm, with_flow=False)
    save_file({k.removeprefix("scale0."): v for k, v in net.state_dict().items()}, tmp_path / "G0.safetensors")
    card: Card = foreign.recognise(tmp_path / "G0.safetensors").card
    assert card.settings["norm"] == norm and card.settings["with_flow"] is False and card.multiple_of == 4


def test_bicubic_sampling_keeps_a_picture_sharp_and_in_its_range():
    wave = torch.sin(torch.arange(40.0) * 2 * torch.pi / 5)[None, None, None].repeat(1, 3, 8, 1)
    half = torch.zeros(1, 2, 8, 40)
    half[:, 0] = 0.5
    # Half a pixel to and fro, eight times: what is left in the middle of a wave of five pixels.
    left = {}
    for sampling in ("bilinear", "bicubic"):
        picture = wave
        for number in range(8):
            picture = warp(picture, half if number % 2 else -half, sampling)
        left[sampling] = float(picture[..., 10:30].std() / wave[..., 10:30].std())
    assert left["bilinear"] == pytest.approx(torch.cos(torch.tensor(torch.pi / 5)).item() ** 8, abs=0.02)
    assert left["bicubic"] > 2.5 * left["bilinear"]
    whole = torch.full((1, 2, 8, 40), 1.0)
    assert torch.allclose(warp(wave, whole, "bicubic")[..., :-1, 2:-3], wave[..., 1:, 3:-2], atol=1e-5)
    net = Vid2Vid(channels_label=2, width=4, downs=1, blocks=2, norm="instance", sampling="bicubic").eval()
    sharp = torch.sign(torch.randn(1, 6, 16, 24, generator=torch.Generator().manual_seed(0)))
    assert float(net(torch.zeros(1, 6, 16, 24), sharp).picture.detach().abs().max()) <= 1
