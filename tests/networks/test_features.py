"""Feature networks: the published layout, which activation a name means, and what is fed in."""

import pytest
import torch
import torch.nn.functional as F

from ganvas.errors import UserError
from ganvas.networks.features import VGG19, SmallFeatures

CONVS = {
    "conv1_1": 0,
    "conv1_2": 2,
    "conv2_1": 5,
    "conv3_1": 10,
    "conv3_4": 16,
    "conv4_4": 25,
    "conv5_1": 28,
    "conv5_4": 34,
}
"""Numbers of torchvision's published `features`, by the paper's names."""


@pytest.fixture(scope="module")
def vgg():
    torch.manual_seed(0)
    return VGG19(layers=("conv1_1", "relu1_1", "conv2_1", "pool2", "relu2_2"))


def test_vgg19_has_the_published_tensors():
    with torch.device("meta"):
        net = VGG19()
    assert sum(p.numel() for p in net.parameters()) == 20_024_384
    state = net.state_dict()
    plan = [64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512, 512, 512, 512, 0]
    number, channels, expected = 0, 3, {}
    for out in plan:
        if out:
            expected[f"features.{number}.weight"], expected[f"features.{number}.bias"] = (out, channels, 3, 3), (out,)
            channels = out
        number += 2 if out else 1
    assert {name: tuple(value.shape) for name, value in state.items()} == expected
    assert all(net.names[number] == name for name, number in CONVS.items())


def test_a_published_file_with_its_classifier_loads_as_it_is():
    net = VGG19()
    state = {name: torch.rand_like(value) for name, value in net.state_dict().items()}
    published = state | {"classifier.0.weight": torch.rand(3, 3), "classifier.6.bias": torch.rand(3)}
    net.load_state_dict(published)
    assert "classifier.0.weight" in published
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    with pytest.raises(RuntimeError, match=r"features\.0\.bias"):
        net.load_state_dict({name: value for name, value in published.items() if name != "features.0.bias"})


def test_names_mean_before_and_after_the_relu(vgg):
    x = torch.rand(2, 3, 20, 20)
    seen = vgg(x)
    assert list(seen) == ["conv1_1", "relu1_1", "conv2_1", "pool2", "relu2_2"]
    assert seen["conv1_1"].min() < 0
    torch.testing.assert_close(seen["relu1_1"], seen["conv1_1"].clamp_min(0))
    torch.testing.assert_close(seen["pool2"], F.max_pool2d(seen["relu2_2"], 2))


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("pools", ["max", "average", "none"])
def test_activations_equal_the_formulas(normalize, pools):
    torch.manual_seed(1)
    net = VGG19(("conv2_1",), normalize, pools).double()
    state = net.state_dict()
    x = torch.rand(1, 3, 9, 12, dtype=torch.float64)
    if normalize:
        fed = torch.stack(
            [(x[:, c] - m) / s for c, (m, s) in enumerate(((0.485, 0.229), (0.456, 0.224), (0.406, 0.225)))], 1
        )
    else:
        fed = 2 * x - 1
    for number in (0, 2):
        fed = F.conv2d(fed, state[f"features.{number}.weight"], state[f"features.{number}.bias"], padding=1).clamp_min(
            0
        )
    if pools != "none":
        cells = fed[..., :8, :12].unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
        fed = cells.amax(-1) if pools == "max" else cells.mean(-1)
    expected = F.conv2d(fed, state["features.5.weight"], state["features.5.bias"], padding=1)
    # The ImageNet statistics are held in float32.
    torch.testing.assert_close(net(x)["conv2_1"], expected, rtol=0, atol=1e-6)


def test_vgg19_is_frozen_and_passes_gradients_on(vgg):
    assert not any(p.requires_grad for p in vgg.parameters())
    x = torch.rand(1, 3, 16, 16, requires_grad=True)
    vgg(x)["conv2_1"].square().sum().backward()
    assert x.grad is not None and torch.isfinite(x.grad).all() and x.grad.abs().max() > 0


def test_deeper_layers_are_not_computed():
    net = VGG19(("conv1_2",))
    for parameter in list(net.parameters())[4:]:
        parameter.data.fill_(float("nan"))
    assert torch.isfinite(net(torch.rand(1, 3, 1, 1))["conv1_2"]).all()


def test_small_features_can_be_trained():
    """Two classes that differ in frequency are told apart after a few steps."""
    torch.manual_seed(0)
    net = SmallFeatures(width=8, stages=2, classes=2)
    smooth = F.interpolate(torch.rand(16, 3, 4, 4), size=(16, 16), mode="bilinear")
    x, labels = torch.cat([smooth, torch.rand(16, 3, 16, 16)]), torch.arange(32) // 16
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(30):
        optimizer.zero_grad()
        F.cross_entropy(net.logits(x), labels).backward()
        optimizer.step()
    assert (net.logits(x).argmax(1) == labels).float().mean() > 0.95


def test_small_features_have_the_face_of_vgg():
    net = SmallFeatures(width=4, stages=3)
    assert net.layers == ("conv1_2", "conv2_2", "conv3_2")
    seen = net(torch.rand(2, 3, 17, 24))
    assert [tuple(value.shape) for value in seen.values()] == [(2, 4, 17, 24), (2, 8, 8, 12), (2, 16, 4, 6)]
    assert all(p.requires_grad for p in net.parameters())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: VGG19(("conv5_5",)), "conv5_"),
        (lambda: VGG19(()), "conv1_1, relu1_1"),
        (lambda: VGG19(pools="min"), "max, average or none"),
        (lambda: SmallFeatures(classes=1), "classes"),
        (lambda: SmallFeatures(width=2, layers=("conv3_1",))(torch.rand(1, 3, 3, 9)), "needs 4 px"),
    ],
)
def test_impossible_requests_say_what_works(make, words):
    with pytest.raises(UserError, match=words):
        make()
