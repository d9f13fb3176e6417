"""The setting `perceptual`: which networks a name means, their balance, and their loss in every recipe that has it."""

import pytest
import torch
import torch.nn.functional as F
from assembled import networks_of

from ganvas.errors import UserError
from ganvas.io.weights import files as weights
from ganvas.io.weights import published
from ganvas.networks import build
from ganvas.networks.feature_sets import FeatureSet
from ganvas.recipes import features, tiled_upres
from ganvas.recipes.superres_unet import recipe as superres_unet


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path))
    monkeypatch.setenv("GANVAS_OFFLINE", "1")
    return tmp_path


def stored(name):
    """A network of random weights in the cache, in the place of the published one."""
    card = published.PUBLISHED[name].card
    torch.manual_seed(0)
    weights.save(published.kept_at(name), build(card).state_dict(), card)


@torch.no_grad()
def test_vgg16_comes_with_ganvas_and_sees_what_oxfords_sees(cache):
    net = features.load_features("vgg16", ("conv5_4",))
    assert isinstance(net, FeatureSet) and net.layers == ("vgg16/relu1_2", "vgg16/relu2_2", "vgg16/relu3_3")
    picture = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    tensors = weights.read(features.FIRST_STAGES).tensors
    # Caffe's way: 8-bit values, blue first, less the mean of each channel.
    blue_first = picture.flip(1) * 255 - torch.tensor([103.939, 116.779, 123.68])[:, None, None]
    x = F.conv2d(
        blue_first, tensors["features.0.weight"].float().flip(1), tensors["features.0.bias"].float(), padding=1
    )
    x = F.conv2d(x.relu(), tensors["features.2.weight"].float(), tensors["features.2.bias"].float(), padding=1).relu()
    mean = published.PUBLISHED["vgg16"].mean_activations["relu1_2"]
    found = net(picture)["vgg16/relu1_2"]
    assert (found - x / mean).abs().max() < 1e-4 * found.max()


def test_deeper_layers_say_how_they_are_had(cache):
    with pytest.raises(UserError, match="ganvas features fetch vgg16"):
        features.load_features("vgg16:relu2_2,relu4_3", ())
    stored("vgg16")
    net = features.load_features("vgg16:relu2_2,relu4_3", ())
    assert net is not None and set(net(torch.rand(1, 3, 16, 16))) == {"vgg16/relu2_2", "vgg16/relu4_3"}


def test_several_networks_have_equal_shares(cache):
    stored("efficientnet-lite0")
    net = features.load_features("vgg16:relu1_2,relu2_2+efficientnet-lite0:stage3", ())
    assert isinstance(net, FeatureSet)
    assert net.weights == {"vgg16/relu1_2": 0.25, "vgg16/relu2_2": 0.25, "efficientnet-lite0/stage3": 0.5}
    assert not any(parameter.requires_grad for parameter in net.parameters())
    fake, real = torch.rand(2, 1, 3, 32, 32).requires_grad_().unbind()
    distance = features.distance(net, fake, real)
    by_hand = sum(share * (net(fake)[key] - net(real)[key]).abs().mean() for key, share in net.weights.items())
    assert float(distance.detach()) == pytest.approx(float(by_hand), rel=1e-5)
    gradients = torch.autograd.grad(distance, [fake, real], allow_unused=True)
    assert gradients[0].abs().sum() > 0 and gradients[1] is None


def test_torchvisions_vgg16_is_taken_by_its_path_too(tmp_path):
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in features.VGG16().state_dict().items()}
    torch.save({key: torch.full(shape, 0.01, dtype=torch.float16) for key, shape in shapes.items()}, tmp_path / "v.pth")
    assert isinstance(features.load_features(str(tmp_path / "v.pth"), ("relu5_3",)), features.VGG16)


@pytest.mark.parametrize(
    "name, says",
    [
        ("vgg16:relu9_1", "relu"),
        ("vgg16:pool1", "cannot be balanced"),
        ("vgg16+vgg16:relu1_1", "twice"),
        ("vgg16+vgg61", "no features 'vgg61'"),
        ("small+vgg16", "no features 'small'"),
    ],
)
def test_mistaken_names_are_refused(cache, name, says):
    with pytest.raises(UserError, match=says):
        features.load_features(name, ("relu1_1",))


def test_random_crops_cut_one_place_and_leave_chance_alone_when_off():
    random = torch.Generator().manual_seed(0)
    before = random.get_state()
    picture = torch.arange(48.0).view(1, 1, 6, 8)
    assert features.random_crops(0, random, picture)[0] is picture
    assert torch.equal(random.get_state(), before)
    first, second = features.random_crops(4, random, picture, picture + 100)
    assert first.shape == (1, 1, 4, 4) and torch.equal(second - first, torch.full_like(first, 100))
    assert features.random_crops(7, random, picture)[0].shape == (1, 1, 6, 7)


@pytest.mark.parametrize("module, scene", [(superres_unet, "unet"), (tiled_upres, "tiles")])
def test_the_upres_recipes_can_have_it(cache, module, scene):
    import test_superres_unet
    import test_tiled_upres

    if scene == "unet":
        recipe = superres_unet.SuperResolvingUNets(test_superres_unet.tiny(perceptual="vgg16", perceptual_weight=0.5))
        nets, batch = networks_of(recipe), test_superres_unet.batch_of(recipe)
        context = test_superres_unet.context(recipe)
        outputs, _ = recipe.forward(nets, batch, {}, context)
    else:
        recipe, nets, batch, outputs = test_tiled_upres.scene(
            test_tiled_upres.tiny(perceptual="vgg16", perceptual_weight=0.5)
        )
        context = test_tiled_upres.context(recipe)
    ledger = recipe.generator_losses(nets, batch, outputs, {}, context)
    wanted = features.distance(nets.features, outputs["fake"] / 2 + 0.5, batch.high / 2 + 0.5)
    assert float(ledger["perceptual"]) == pytest.approx(0.5 * float(wanted), rel=1e-5)
