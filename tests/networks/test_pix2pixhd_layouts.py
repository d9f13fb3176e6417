"""pix2pixHD's checkpoints: tiny networks written out under the original's names, recognised, and run plainly."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import ganvas
from ganvas.errors import UserError
from ganvas.io.weights import foreign


def block(width):
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv_block = nn.Sequential(
                nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width), nn.ReLU(),
                nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width),
            )  # fmt: skip

        def forward(self, x):
            return x + self.conv_block(x)

    return Block()


def entrance(channels, width):
    return [nn.ReflectionPad2d(3), nn.Conv2d(channels, width, 7), nn.InstanceNorm2d(width), nn.ReLU()]


def trunk(channels, width, downs, blocks):
    """The published generator as its paper draws it, out of torch's own layers."""
    layers = entrance(channels, width)
    for level in range(downs):
        wide = width * 2**level
        layers += [nn.Conv2d(wide, 2 * wide, 3, 2, 1), nn.InstanceNorm2d(2 * wide), nn.ReLU()]
    layers += [block(width * 2**downs) for _ in range(blocks)]
    for level in range(downs, 0, -1):
        wide = width * 2**level
        layers += [nn.ConvTranspose2d(wide, wide // 2, 3, 2, 1, 1), nn.InstanceNorm2d(wide // 2), nn.ReLU()]
    return layers


def head(width, out=3):
    return [nn.ReflectionPad2d(3), nn.Conv2d(width, out, 7), nn.Tanh()]


class Original(nn.Module):
    """A generator or encoder: one chain called `model`."""

    def __init__(self, *layers):
        super().__init__()
        self.model = nn.Sequential(*layers)

    def forward(self, x):
        return self.model(x)


class OriginalLocal(nn.Module):
    def __init__(self, channels, width, downs, blocks, local_blocks):
        super().__init__()
        self.model = nn.Sequential(*trunk(channels, 2 * width, downs, blocks))
        self.model1_1 = nn.Sequential(
            *entrance(channels, width), nn.Conv2d(width, 2 * width, 3, 2, 1), nn.InstanceNorm2d(2 * width), nn.ReLU()
        )
        self.model1_2 = nn.Sequential(
            *[block(2 * width) for _ in range(local_blocks)],
            nn.ConvTranspose2d(2 * width, width, 3, 2, 1, 1), nn.InstanceNorm2d(width), nn.ReLU(), *head(width),
        )  # fmt: skip

    def forward(self, x):
        coarse = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
        return self.model1_2(self.model1_1(x) + self.model(coarse))


class OriginalCritic(nn.Module):
    """The published discriminator, with its features kept apart or in one chain a scale."""

    def __init__(self, channels, width, scales, features):
        super().__init__()
        self.scales, self.features = scales, features
        widths = [channels, width, 2 * width, 4 * width, 8 * width, 1]
        for scale in range(scales):
            groups = []
            for place in range(5):
                conv = nn.Conv2d(widths[place], widths[place + 1], 4, 2 if place < 3 else 1, 2)
                norm = [nn.InstanceNorm2d(widths[place + 1])] if 0 < place < 4 else []
                groups.append([conv, *norm, *([nn.LeakyReLU(0.2)] if place < 4 else [])])
            if features:
                for place, group in enumerate(groups):
                    self.add_module(f"scale{scale}_layer{place}", nn.Sequential(*group))
            else:
                self.add_module(f"layer{scale}", nn.Sequential(*[layer for group in groups for layer in group]))

    def forward(self, x):
        scores = []
        for scale in reversed(range(self.scales)):
            y = x
            if self.features:
                for place in range(5):
                    y = getattr(self, f"scale{scale}_layer{place}")(y)
            else:
                y = getattr(self, f"layer{scale}")(y)
            scores.append(y)
            x = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
        return scores


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def saved(net, path):
    torch.save(net.state_dict(), path)
    return path


def same(ours, theirs):
    return float((ours - theirs).abs().max()) < 1e-5


@pytest.mark.parametrize(("width", "downs", "blocks"), [(4, 2, 3), (2, 4, 1), (3, 1, 9)])
def test_global_generator(tmp_path, width, downs, blocks):
    net = Original(*trunk(36, width, downs, blocks), *head(width)).eval()
    ours = ganvas.load(saved(net, tmp_path / "latest_net_G.pth"))
    assert ours.card.input == "labels" and ours.card.range == (-1, 1) and ours.card.multiple_of == 2**downs
    assert ours.card.extra["num_labels"] == 35 and ours.card.extra["boundaries"]
    x = torch.rand(1, 36, 32, 48)
    with torch.no_grad():
        assert same(ours(x), net(x))


def test_local_generator(tmp_path):
    net = OriginalLocal(39, 3, downs=2, blocks=2, local_blocks=3).eval()
    ours = ganvas.load(saved(net, tmp_path / "latest_net_G.pth"))
    assert ours.card.settings["enhancers"] == 1 and ours.card.settings["width"] == 3
    assert ours.card.extra["features"] == 3 and "assumed" in ours.card.extra
    x = torch.rand(1, 39, 32, 48)
    with torch.no_grad():
        assert same(ours(x), net(x))


def test_generator_of_pictures(tmp_path):
    net = Original(*trunk(3, 4, 2, 2), *head(4)).eval()
    card, _ = foreign.recognise(saved(net, tmp_path / "latest_net_G.pth"))
    assert card.input == "picture" and card.channels_in == 3 and card.extra["num_labels"] == 0


@pytest.mark.parametrize("features", [True, False])
def test_discriminator_with_and_without_features(tmp_path, features):
    net = OriginalCritic(7, 2, scales=3, features=features).eval()
    ours = ganvas.load(saved(net, tmp_path / "latest_net_D.pth"))
    assert ours.card.settings == {"channels_in": 7, "width": 2, "scales": 3, "layers": 3}
    x = torch.rand(1, 7, 64, 48)
    with torch.no_grad():
        for verdict, score in zip(ours(x), net(x), strict=True):
            assert same(verdict.score, score) and len(verdict.features) == 5


@pytest.mark.parametrize("bare", [True, False])
def test_encoder(tmp_path, bare):
    net = Original(*trunk(3, 4, 3, 0), *head(4, out=5)).eval()
    ours = ganvas.load(saved(net.model if bare else net, tmp_path / "latest_net_E.pth"))
    assert ours.card.network == "pix2pixhd_encoder" and ours.card.channels_out == 5
    x, ids = torch.rand(1, 3, 16, 24), torch.randint(0, 4, (1, 1, 16, 24))
    with torch.no_grad():
        made, raw = ours(x, ids), net(x)
    for instance in range(4):
        inside = (ids == instance)[0, 0]
        assert same(made[0, :, inside], raw[0, :, inside].mean(1, keepdim=True))


def test_what_was_cut_or_belongs_to_a_variant_is_named(tmp_path):
    state = Original(*trunk(5, 2, 1, 1), *head(2)).state_dict()
    torch.save({key: value for key, value in state.items() if "conv_block.5.bias" not in key}, tmp_path / "cut.pth")
    with pytest.raises(UserError, match=r"model\.7\.conv_block\.5\.bias"):
        foreign.recognise(tmp_path / "cut.pth")
    torch.save(state | {"model.1.weight": torch.zeros(2, 5, 3, 3)}, tmp_path / "small.pth")
    with pytest.raises(UserError, match="shapes"):
        foreign.recognise(tmp_path / "small.pth")
    flat = OriginalCritic(4, 2, 1, features=False).state_dict()
    torch.save(flat | {"layer0.3.weight": torch.zeros(4)}, tmp_path / "norm.pth")
    with pytest.raises(UserError, match=r"layer0\.3\.weight"):
        foreign.recognise(tmp_path / "norm.pth")
