"""FID's Inception against a second writing from a table, and both published layouts against it."""

import re

import pytest
import torch
import torch.nn.functional as F

from ganvas.errors import UserError
from ganvas.inference.open import load
from ganvas.io.weights import files as weights
from ganvas.networks import find
from ganvas.networks.inception import layouts
from ganvas.networks.inception.net import Inception2015


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    made = Inception2015()
    for name, value in made.state_dict().items():
        if name.endswith(("running_mean", "bn.bias")):
            value.normal_(0, 0.1)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif name.endswith("conv.weight"):
            value.normal_(0, (2 / value[0].numel()) ** 0.5)
    return made


def plain(state, picture):
    """The graph written out once more, from the paper's figures 5 to 7 and FID's three deviations."""
    state = {key: value.double() for key, value in state.items()}

    def conv(x, name, stride=1, pad=(0, 0)):
        x = F.conv2d(x, state[f"{name}.conv.weight"], stride=stride, padding=pad)
        mean, var, shift = (state[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "bias"))
        gain = state[f"{name}.bn.weight"] / (var + 1e-3).sqrt()
        return (x * gain[:, None, None] + (shift - mean * gain)[:, None, None]).clamp_min(0)

    def chain(x, block, *steps):
        for name, *options in steps:
            x = conv(x, f"{block}.{name}", *options)
        return x

    def average(x):
        ones = torch.ones_like(x[:1, :1])
        total = F.avg_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 1) * 9
        return total / (F.avg_pool2d(F.pad(ones, (1, 1, 1, 1)), 3, 1) * 9)

    x = (picture.double() * 255 - 128) / 128
    x = conv(x, "Conv2d_1a_3x3", 2)
    x = conv(conv(x, "Conv2d_2a_3x3"), "Conv2d_2b_3x3", 1, 1)
    x = conv(F.max_pool2d(x, 3, 2), "Conv2d_3b_1x1")
    x = F.max_pool2d(conv(x, "Conv2d_4a_3x3"), 3, 2)
    for b in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
        x = torch.cat([
            chain(x, b, ("branch1x1",)),
            chain(x, b, ("branch5x5_1",), ("branch5x5_2", 1, 2)),
            chain(x, b, ("branch3x3dbl_1",), ("branch3x3dbl_2", 1, 1), ("branch3x3dbl_3", 1, 1)),
            chain(average(x), b, ("branch_pool",)),
        ], 1)  # fmt: skip
    b = "Mixed_6a"
    double = chain(x, b, ("branch3x3dbl_1",), ("branch3x3dbl_2", 1, 1), ("branch3x3dbl_3", 2))
    x = torch.cat([chain(x, b, ("branch3x3", 2)), double, F.max_pool2d(x, 3, 2)], 1)
    line, column = (0, 3), (3, 0)
    for b in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
        x = torch.cat([
            chain(x, b, ("branch1x1",)),
            chain(x, b, ("branch7x7_1",), ("branch7x7_2", 1, line), ("branch7x7_3", 1, column)),
            chain(x, b, ("branch7x7dbl_1",), ("branch7x7dbl_2", 1, column), ("branch7x7dbl_3", 1, line),
                  ("branch7x7dbl_4", 1, column), ("branch7x7dbl_5", 1, line)),
            chain(average(x), b, ("branch_pool",)),
        ], 1)  # fmt: skip
    b = "Mixed_7a"
    x = torch.cat([
        chain(x, b, ("branch3x3_1",), ("branch3x3_2", 2)),
        chain(x, b, ("branch7x7x3_1",), ("branch7x7x3_2", 1, line), ("branch7x7x3_3", 1, column), ("branch7x7x3_4", 2)),
        F.max_pool2d(x, 3, 2),
    ], 1)  # fmt: skip
    for b in ("Mixed_7b", "Mixed_7c"):
        pooled = average(x) if b == "Mixed_7b" else F.max_pool2d(x, 3, 1, 1)
        once = chain(x, b, ("branch3x3_1",))
        twice = chain(x, b, ("branch3x3dbl_1",), ("branch3x3dbl_2", 1, 1))
        x = torch.cat([
            chain(x, b, ("branch1x1",)),
            chain(once, b, ("branch3x3_2a", 1, (0, 1))), chain(once, b, ("branch3x3_2b", 1, (1, 0))),
            chain(twice, b, ("branch3x3dbl_3a", 1, (0, 1))), chain(twice, b, ("branch3x3dbl_3b", 1, (1, 0))),
            chain(pooled, b, ("branch_pool",)),
        ], 1)  # fmt: skip
    return x.mean((2, 3))


def test_the_network_equals_a_second_writing(net):
    picture = torch.rand(1, 3, 139, 171, generator=torch.Generator().manual_seed(1))
    expected = plain(net.state_dict(), picture)
    found = net(picture)
    assert found.shape == (1, 2048)
    assert float((found.double() - expected).abs().max()) < 1e-4 * float(expected.abs().max())
    torch.testing.assert_close(net.logits(found), found @ net.fc.weight.T)


def test_its_size_is_that_of_the_published_file(net):
    """95,628,359 bytes: the tensors below, in float32, and some 87 kB of names."""
    assert sum(p.numel() for p in net.parameters()) == 23_850_960
    stored = sum(v.numel() for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked"))
    assert 0 < 95_628_359 - 4 * stored < 150_000
    assert find("inception2015") is Inception2015


def test_the_shape_line_is_true():
    line = re.search(r"^ *\(B, 3, (\d+), (\d+)\) -> \(B, (\d+)\)$", Inception2015.__doc__, re.MULTILINE)
    height, width, features = map(int, line.groups())
    with torch.device("meta"):
        assert Inception2015()(torch.empty(2, 3, height, width)).shape == (2, features)


def test_it_stays_as_it_is_in_training(net):
    before = net.Conv2d_1a_3x3.bn.running_mean.clone()
    assert not net.train().training and not any(p.requires_grad for p in net.parameters())
    net(torch.rand(1, 3, 80, 80))
    assert torch.equal(net.Conv2d_1a_3x3.bn.running_mean, before)


def as_graph(state, merged=False):
    """A state dict under TensorFlow's names with its kernels' order, with norms or with them merged."""
    written = {}
    for theirs, ours in layouts.graph_names().items():
        name = f"layers.{theirs}"
        kernel = state[f"{ours}.conv.weight"]
        mean, var, shift = (state[f"{ours}.bn.{part}"] for part in ("running_mean", "running_var", "bias"))
        if merged:
            gain = (var + 0.001).rsqrt()
            written |= {f"{name}.weight": kernel * gain[:, None, None, None], f"{name}.bias": shift - mean * gain}
        else:
            written[f"{name}.weight"] = kernel.permute(2, 3, 1, 0)
            written |= {f"{name}.beta": shift, f"{name}.mean": mean, f"{name}.var": var}
    return written | {"output.weight": state["fc.weight"].T, "output.bias": state["fc.bias"]}


@pytest.mark.parametrize("spelling", ["pytorch", "with_auxiliary", "graph", "merged"])
def test_published_layouts_load(net, spelling, tmp_path):
    state = net.state_dict()
    stored = {
        "pytorch": lambda: {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")},
        "with_auxiliary": lambda: state | {"AuxLogits.fc.weight": torch.rand(2, 2)},
        "graph": lambda: as_graph(state),
        "merged": lambda: as_graph(state, merged=True),
    }[spelling]()
    path = tmp_path / "inception.pth"
    torch.save({key: value.contiguous() for key, value in stored.items()}, path)
    loaded = load(path)
    picture = torch.rand(1, 3, 90, 80)
    expected = net(picture)
    assert float((loaded(picture) - expected).abs().max()) < 1e-5 * float(expected.abs().max())
    assert torch.equal(loaded.state_dict()["fc.weight"], net.fc.weight)


def test_names_of_the_graph_are_all_layers_once(net):
    names = layouts.graph_names()
    modules = [name for name, module in net.named_modules() if hasattr(module, "bn")]
    assert sorted(names.values()) == sorted(modules) and len(names) == 94


def test_another_inception_is_refused(net, tmp_path):
    stored = net.state_dict() | {"fc.weight": torch.rand(1000, 2048), "fc.bias": torch.rand(1000)}
    torch.save(stored, tmp_path / "inception_v3.pth")
    with pytest.raises(UserError, match=r"1000 answers.*not FID"):
        weights.read(tmp_path / "inception_v3.pth")
    with pytest.raises(UserError, match="75 px"):
        net(torch.rand(1, 3, 74, 299))
