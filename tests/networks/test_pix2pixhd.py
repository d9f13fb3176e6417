"""pix2pixHD's networks: sizes and names of the original, plain writings in float64, instances without a loop."""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ganvas.errors import UserError
from ganvas.networks import build, find
from ganvas.networks.discriminators import MultiScaleDiscriminator
from ganvas.networks.pix2pixhd.net import (
    CoarseHeads,
    GlobalGenerator,
    InstanceFeatureEncoder,
    InstanceNorm,
    LocalEnhancer,
    average_over_instances,
    paint,
    tabulate,
)
from ganvas.protocol import Card

TINY = {
    "pix2pixhd_global": {"width": 4, "downs": 2, "blocks": 1},
    "pix2pixhd_local": {"width": 2, "downs": 2, "blocks": 1, "local_blocks": 1},
    "pix2pixhd_heads": {"width": 32},
    "pix2pixhd_encoder": {"width": 4, "downs": 2},
}
SHAPE_LINE = re.compile(r"^ *(\([^>]*\)) -> (\(.*\))$", re.MULTILINE)


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize(
    ("make", "parameters"),
    [
        (GlobalGenerator, 182_546_755),
        (lambda: GlobalGenerator(39), 182_556_163),
        (lambda: GlobalGenerator(3), 182_443_267),
        (lambda: GlobalGenerator(downs=3), 45_696_835),
        (LocalEnhancer, 182_857_059),
        (lambda: MultiScaleDiscriminator(39), 5_603_202),
        (lambda: MultiScaleDiscriminator(39, scales=3), 8_404_803),
        (InstanceFeatureEncoder, 788_803),
    ],
)
def test_parameters_of_the_original(make, parameters):
    with torch.device("meta"):
        assert count(make()) == parameters


def test_names_of_the_original():
    with torch.device("meta"):
        local, plain = LocalEnhancer().state_dict(), GlobalGenerator().state_dict()
    assert len(plain) == 56 and len(local) == 74
    assert plain["model.38.weight"].shape == (3, 64, 7, 7) and plain["model.25.weight"].shape == (1024, 512, 3, 3)
    assert plain["model.24.conv_block.5.bias"].shape == (1024,)
    assert local["model1_1.4.weight"].shape == (64, 32, 3, 3) and local["model1_2.7.weight"].shape == (3, 32, 7, 7)
    assert local["model1_2.3.weight"].shape == (64, 32, 3, 3) and "model.38.weight" not in local


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize(("height", "width"), [(32, 48), (33, 47), (57, 39), (5, 9)])
def test_the_shape_line_is_true_at_any_size(name, height, width):
    given, made = SHAPE_LINE.search(find(name).__doc__).groups()
    shapes = [eval(text, {"__builtins__": {}}, {"B": 2, "H": height, "W": width}) for text in (given, made)]
    with torch.no_grad():
        assert build(Card(network=name, settings=TINY[name]))(draw(*shapes[0])).shape == shapes[1]


def test_a_picture_of_one_pixel():
    with torch.no_grad():
        assert LocalEnhancer(5, width=2, downs=2, blocks=1)(draw(1, 5, 1, 1)).shape == (1, 3, 1, 1)


def run(modules, x):
    """Run layers by their parameters alone, written plainly: reflected border, convolution, instance norm, ReLU."""
    for module in modules:
        match module:
            case nn.ReflectionPad2d():
                x = F.pad(x, module.padding, mode="reflect")
            case nn.ConvTranspose2d():
                x = F.conv_transpose2d(x, module.weight, module.bias, stride=2, padding=1, output_padding=1)
            case nn.Conv2d():
                x = F.conv2d(x, module.weight, module.bias, stride=module.stride, padding=module.padding)
            case InstanceNorm():
                x = (x - x.mean((2, 3), keepdim=True)) / (x.var((2, 3), keepdim=True, correction=0) + 1e-5).sqrt()
            case nn.ReLU():
                x = x.clamp(min=0)
            case nn.Tanh():
                x = x.tanh()
            case _:
                x = x + run(module.conv_block, x)
    return x


def halve(x):
    """Average 3 x 3 neighbours at every second pixel, those outside the picture not counted."""
    ones = F.pad(torch.ones_like(x), (1, 1, 1, 1))
    x = F.pad(x, (1, 1, 1, 1))
    rows, columns = range(0, x.shape[2] - 2, 2), range(0, x.shape[3] - 2, 2)
    cells = [[x[:, :, r : r + 3, c : c + 3].sum((2, 3)) for c in columns] for r in rows]
    counts = [[ones[:, :, r : r + 3, c : c + 3].sum((2, 3)) for c in columns] for r in rows]
    return torch.stack([torch.stack(row, -1) for row in cells], -2) / torch.stack(
        [torch.stack(row, -1) for row in counts], -2
    )


def test_global_generator_equals_a_plain_writing():
    torch.manual_seed(0)
    net = GlobalGenerator(5, width=3, downs=2, blocks=2).double()
    x = draw(2, 5, 16, 24, dtype=torch.float64)
    with torch.no_grad():
        assert (net(x) - run(net.model, x)).abs().max() < 1e-9


def test_two_enhancers_equal_a_plain_writing():
    torch.manual_seed(0)
    net = LocalEnhancer(5, width=2, downs=1, blocks=1, enhancers=2, local_blocks=1).double()
    fine = draw(1, 5, 16, 24, dtype=torch.float64)
    with torch.no_grad():
        middle = halve(fine)
        coarse = run(net.model, halve(middle))
        inner = run(net.model1_2, run(net.model1_1, middle) + coarse)
        assert (net(fine) - run(net.model2_2, run(net.model2_1, fine) + inner)).abs().max() < 1e-9
        # The parts that are trained alone see a condition of their own size.
        assert (net.features(middle, 1) - inner).abs().max() < 1e-9
        assert (net.features(halve(middle), 0) - coarse).abs().max() < 1e-9


def test_coarse_parts_with_their_heads_are_global_generators():
    net, heads = LocalEnhancer(5, width=2, downs=1, blocks=1, enhancers=2), CoarseHeads(width=2, enhancers=2)
    plain = GlobalGenerator(5, width=8, downs=1, blocks=1)
    plain.load_state_dict(
        {f"model.{key}": value for key, value in net.model.state_dict().items()}
        | {f"model.{11 + int(key[0])}{key[1:]}": value for key, value in heads.heads[0].state_dict().items()}
    )
    x = draw(1, 5, 8, 8)
    with torch.no_grad():
        assert torch.allclose(heads(net.features(x, 0), 0), plain(x), atol=1e-6)
        assert heads(net.features(x, 1), 1).shape == (1, 3, 8, 8)


def test_features_are_refused_where_the_picture_begins():
    with pytest.raises(UserError, match="features of 1"):
        LocalEnhancer(5, width=2, downs=1, blocks=0).features(draw(1, 5, 8, 8), 1)
    with pytest.raises(UserError, match="0 enhancers"):
        LocalEnhancer(enhancers=0)


@pytest.mark.parametrize("size", [(9, 13), (70, 66)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_instance_norm_is_torchs_in_both_layouts_and_both_directions(size, layout):
    x = 3 + draw(2, 6, *size, dtype=torch.float64).contiguous(memory_format=layout)
    ours, theirs = x.clone().requires_grad_(), x.clone().contiguous().requires_grad_()
    made, true = InstanceNorm()(ours), F.instance_norm(theirs)
    assert torch.allclose(made, true, atol=1e-12) and made.is_contiguous(memory_format=layout)
    weight = draw(2, 6, *size, seed=1, dtype=torch.float64)
    (made * weight).sum().backward()
    (true * weight).sum().backward()
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-12)


@pytest.mark.parametrize("size", [16, 68])
def test_gradients_do_not_depend_on_the_layout(size):
    torch.manual_seed(0)
    net, x = GlobalGenerator(3, width=2, downs=1, blocks=1).double(), draw(1, 3, size, size, dtype=torch.float64)
    gradients = []
    for layout in (torch.contiguous_format, torch.channels_last):
        net.zero_grad()
        net.to(memory_format=layout)(x.contiguous(memory_format=layout)).square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in net.parameters()])
    assert all(torch.allclose(a, b, atol=1e-9) for a, b in zip(*gradients))


def test_instance_norm_of_half_precision_far_from_zero():
    x = (50 + draw(1, 8, 16, 16)).to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
    made = InstanceNorm()(x)
    assert made.dtype == torch.bfloat16 and torch.allclose(made.float(), F.instance_norm(x.float()), atol=0.02)


def slow_average(features, instance_map):
    features, result = np.asarray(features), np.zeros(features.shape)
    for sample, ids in enumerate(np.asarray(instance_map)[:, 0]):
        for instance in np.unique(ids):
            result[sample][:, ids == instance] = features[sample][:, ids == instance].mean(1, keepdims=True)
    return result


def ids(*shape, seed=0):
    values = torch.tensor([0, 7, 26001, 26002, 65535, -1])
    return values[torch.randint(len(values), shape, generator=torch.Generator().manual_seed(seed))]


def test_instance_averages_equal_a_loop_over_instances():
    features, instance_map = draw(3, 4, 10, 14, dtype=torch.float64), ids(3, 1, 10, 14)
    found = average_over_instances(features, instance_map)
    assert np.abs(found.numpy() - slow_average(features, instance_map)).max() < 1e-12


def test_one_id_in_two_samples_is_two_instances():
    features, instance_map = draw(2, 1, 4, 4), torch.full((2, 1, 4, 4), 5)
    found = average_over_instances(features, instance_map)
    assert torch.allclose(found[:, 0, 0, 0], features.mean((1, 2, 3)), atol=1e-6)


def test_table_of_instances():
    features, instance_map = draw(2, 3, 6, 6), ids(2, 1, 6, 6)
    table, rows = tabulate(features, instance_map)
    assert int(table.area.sum()) == 72 and len(table.area) == len(rows.unique())
    row = int(rows[36])  # the first pixel of the second sample
    assert int(table.sample[row]) == 1 and int(table.instance[row]) == int(instance_map[1, 0, 0, 0])
    painted = paint(table.features, rows, (2, 6, 6))
    assert torch.allclose(painted, average_over_instances(features, instance_map), atol=1e-6)


def test_half_precision_sums_in_full():
    features = torch.full((1, 1, 128, 128), 0.1, dtype=torch.bfloat16)
    found = average_over_instances(features, torch.zeros(1, 1, 128, 128, dtype=torch.int64))
    assert found.dtype == torch.bfloat16 and torch.equal(found, features)


def test_gradient_reaches_each_pixel_as_its_share():
    features = draw(1, 1, 2, 3).requires_grad_()
    instance_map = torch.tensor([[[[1, 1, 2], [1, 2, 2]]]])
    average_over_instances(features, instance_map)[0, 0, 0, 0].backward()
    assert torch.allclose(features.grad[0, 0], torch.tensor([[1 / 3, 1 / 3, 0], [1 / 3, 0, 0]]))


def test_encoder_gives_each_instance_one_style_also_under_a_finer_map():
    torch.manual_seed(0)
    encoder = InstanceFeatureEncoder(width=4, downs=2)
    picture, fine = draw(1, 3, 16, 16), ids(1, 1, 32, 32)
    with torch.no_grad():
        styles, raw = encoder(picture, fine), encoder(picture)
    assert styles.shape == (1, 3, 32, 32) and raw.shape == (1, 3, 16, 16)
    enlarged = raw.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert np.abs(styles.numpy() - slow_average(enlarged, fine)).max() < 1e-6


def test_coarsest_discriminators_are_those_of_a_smaller_picture():
    torch.manual_seed(0)
    net = MultiScaleDiscriminator(4, width=2, scales=3)
    small = draw(1, 4, 32, 48)
    for verdict, name in zip(net(small, scales=2), ("scale1", "scale0")):
        assert torch.isfinite(verdict.score).all()
        last = net.get_submodule(f"{name}_layer4")
        assert torch.equal(verdict.score, last(verdict.features[-2]))
    with pytest.raises(UserError, match="cannot run"):
        net(small, scales=4)


def test_the_norm_of_large_channels_last_maps_is_as_exact_as_their_type():
    x = torch.randn(1, 2, 512, 1024, generator=torch.Generator().manual_seed(0)) + 5
    wide = x.double()
    wanted = (wide - wide.mean((2, 3), keepdim=True)) / (wide.var((2, 3), keepdim=True, correction=0) + 1e-5).sqrt()
    found = InstanceNorm()(x.contiguous(memory_format=torch.channels_last))
    assert float((found - wanted).abs().max() / wanted.abs().max()) < 3e-6
