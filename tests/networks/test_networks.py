"""Every network of this room: published layouts, docstrings that run, gradients, cards, determinism."""

import itertools
import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ganvas.errors import UserError
from ganvas.networks import NETWORKS, build, find
from ganvas.protocol import Card, Verdict

LAYOUTS = json.loads((Path(__file__).parents[1] / "data" / "network_layouts.json").read_text())
RANGE = re.compile(r"\[(\d+)-(\d+)(?::(\d+))?\]")

PUBLISHED = {
    "rrdbnet_x4": ("rrdbnet", {}),
    "rrdbnet_x2_6blocks": ("rrdbnet", {"blocks": 6, "scale": 2, "unshuffle": 2}),
    "rrdbnet_x1_6blocks": ("rrdbnet", {"blocks": 6, "scale": 1, "unshuffle": 4}),
    "compact_x4_32convs": ("compact", {"convs": 32}),
    "vgg_discriminator_128": ("vgg_discriminator", {}),
    "multi_scale_discriminator_39_3": ("multi_scale_discriminator", {"channels_in": 39, "scales": 3}),
}

TINY = {
    "rrdbnet": {"width": 4, "blocks": 1, "growth": 2},
    "compact": {"width": 4, "convs": 1, "base": "bicubic"},
    "srresnet": {"width": 4, "blocks": 1},
    "span": {"width": 4, "blocks": 1, "branches": True},
    "vgg_discriminator": {"width": 2},
    "unet_discriminator": {"width": 2},
    "patch_discriminator": {"width": 2},
    "multi_scale_discriminator": {"width": 2},
    "dcgan_discriminator": {"width": 2, "minibatch": "discrimination"},
    "dcgan_generator": {"width": 8, "spectral": True, "attention_px": 32},
    "pix2pixhd_global": {"width": 2, "downs": 1, "blocks": 1},
    "pix2pixhd_local": {"width": 2, "downs": 1, "blocks": 1},
    "camera_generator": {"width": 2, "fourier": 1},
    "camera_discriminator": {"width": 2},
    "vgg19": {"layers": ["conv1_2", "relu2_1"]},
    "vgg16": {"layers": ["relu1_1"], "stages": 1},
    "efficientnet_lite": {"layers": ["stage2"]},
    "small_features": {"width": 2, "stages": 2},
}
SHAPE_LINE = re.compile(r"^ *(\([^>]*\)) -> (\(.*\))$", re.MULTILINE)


def expanded(tensors):
    """Write the ranges of a compact list out: `conv[1-3]` is conv1, conv2, conv3."""
    for name, shape in tensors.items():
        parts = RANGE.split(name)
        ranges = [range(int(a), int(b) + 1, int(s or 1)) for a, b, s in zip(parts[1::4], parts[2::4], parts[3::4])]
        for numbers in itertools.product(*ranges):
            yield "".join(text + str(number) for text, number in zip(parts[::4], numbers)) + parts[-1], tuple(shape)


def card(name, **settings):
    return Card(network=name, settings=TINY[name] | settings)


def shape_line(name):
    found = SHAPE_LINE.search(find(name).__doc__ or "")
    return found.groups() if found else None


def shape_of(text, **sides):
    """Evaluate a shape such as (B, 3, 4H, 4W) for given sides."""
    return tuple(eval(re.sub(r"(\d)([A-Z])", r"\1*\2", text), {"__builtins__": {}}, sides))


def shapes_of_output(output):
    first = output[0] if isinstance(output, list) else output
    return tuple((first.score if isinstance(first, Verdict) else first).shape)


def tensors_of(output):
    if isinstance(output, torch.Tensor):
        return [output]
    if isinstance(output, dict):
        return list(output.values())
    parts = output if isinstance(output, list) else [output]
    return [feature for part in parts for feature in part.features]


def example(name, height=32, width=48, batch=2):
    line = shape_line(name)
    shape = shape_of(line[0], B=batch, H=height, W=width) if line else (batch, 3, height, width)
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_files_fit_exactly(name):
    network, settings = PUBLISHED[name]
    with torch.device("meta"):
        net = build(Card(network=network, settings=settings))
    assert sum(p.numel() for p in net.parameters()) == LAYOUTS[name]["parameters"]
    ours = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    assert ours == dict(expanded(LAYOUTS[name]["tensors"]))


def test_compact_notation_of_layouts():
    assert dict(expanded({"a[0-4:2].b[1-2]": [3]})) == {f"a{i}.b{j}": (3,) for i in (0, 2, 4) for j in (1, 2)}


FEATURES = ("vgg16", "vgg19", "efficientnet_lite", "small_features")
"""They give a dict of activations."""
FROZEN = ("vgg16", "vgg19", "efficientnet_lite")
WITH_SHAPE_LINE = [name for name in TINY if name not in FEATURES]


@pytest.mark.parametrize("name", WITH_SHAPE_LINE)
@pytest.mark.parametrize(("height", "width"), [(32, 48), (33, 47), (57, 39)])
def test_the_shape_line_of_the_docstring_is_true(name, height, width):
    line = shape_line(name)
    assert line is not None
    net = build(card(name)).eval()
    with torch.no_grad():
        output = net(example(name, height, width))
    assert shapes_of_output(output) == shape_of(line[1], B=2, H=height, W=width)


@pytest.mark.parametrize("name", WITH_SHAPE_LINE)
def test_the_shape_line_is_that_of_the_published_settings(name):
    line = shape_line(name)
    assert line is not None
    with torch.device("meta"):
        output = find(name)()(torch.empty(shape_of(line[0], B=2, H=32, W=48)))
    assert shapes_of_output(output) == shape_of(line[1], B=2, H=32, W=48)


@pytest.mark.parametrize("name", [name for name in TINY if name not in FROZEN])
def test_every_parameter_gets_a_finite_gradient(name):
    torch.manual_seed(0)
    net = build(card(name))
    output = net.logits(example(name)) if name == "small_features" else net(example(name))
    if isinstance(output, (list, Verdict)):
        output = sum(v.score.square().sum() for v in (output if isinstance(output, list) else [output]))
    output.square().sum().backward()
    for parameter_name, parameter in net.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name


@pytest.mark.parametrize("name", TINY)
def test_evaluation_repeats_to_the_bit_and_leaves_the_state_alone(name):
    net = build(card(name)).eval()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with torch.no_grad():
        first, second = tensors_of(net(example(name))), tensors_of(net(example(name)))
    assert all(torch.equal(a, b) for a, b in zip(first, second))
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


@pytest.mark.parametrize("name", TINY)
def test_saving_and_building_from_the_card_gives_the_same_network(name, tmp_path):
    torch.manual_seed(1)
    net = build(card(name))
    if name not in FROZEN:
        net.train()(example(name))
    save_file({key: value.contiguous() for key, value in net.state_dict().items()}, tmp_path / "net.safetensors")
    settings = json.loads(json.dumps(card(name).settings))
    torch.manual_seed(2)
    other = build(Card(network=name, settings=settings))
    other.load_state_dict(load_file(tmp_path / "net.safetensors"))
    with torch.no_grad():
        first, second = tensors_of(net.eval()(example(name))), tensors_of(other.eval()(example(name)))
    assert len(first) == len(second) > 0
    assert all(torch.equal(a, b) for a, b in zip(first, second))


@pytest.mark.parametrize("name", TINY)
def test_the_same_seed_gives_the_same_network(name):
    states = []
    for _ in range(2):
        torch.manual_seed(11)
        states.append(build(card(name)).state_dict())
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


def test_all_networks_of_the_list_exist():
    for name in NETWORKS:
        assert issubclass(find(name), torch.nn.Module)


def test_unknown_names_and_settings_are_answered_with_the_nearest():
    with pytest.raises(UserError, match="rrdbnet"):
        find("rrdb_net")
    with pytest.raises(UserError, match="blocks"):
        build(Card(network="rrdbnet", settings={"block": 3}))
