"""The camera networks: the original's layout and arithmetic, rays, octaves, the second output, the judge of cameras."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ganvas.errors import UserError
from ganvas.networks.blocks import SelfAttention, spectral_sigmas
from ganvas.networks.matchmove.net import CameraDiscriminator, CameraGenerator, ChannelResize, Rays, Standardizer
from ganvas.networks.matchmove.ray_table import RayPlanes, RayTable

MEAN = [0.1 * number for number in range(12)] + [35.0]
DEVIATION = [1.0 + 0.1 * number for number in range(12)] + [5.0]


def cameras(number=2, seed=0):
    """Cameras of random turns, the way a camera is told: rows of the matrix, then millimetres."""
    random = np.random.default_rng(seed)
    told = []
    for _ in range(number):
        turn, _ = np.linalg.qr(random.normal(size=(3, 3)))
        turn *= np.sign(np.linalg.det(turn))
        told.append([*np.column_stack([turn, random.normal(size=3)]).ravel(), 35 + 5 * random.random()])
    return torch.tensor(told, dtype=torch.float32)[:, :, None, None]


def count(net):
    return sum(parameter.numel() for parameter in net.parameters())


def test_parameters_are_as_many_as_the_originals():
    with torch.device("meta"):
        assert count(CameraGenerator()) == 52_299_651
        assert count(CameraDiscriminator()) == 3_862_273
        # 33.4, 42.9 and 61.7 million in the notes on the original's other sizes.
        assert [round(count(CameraGenerator(size_px=size)) / 1e5) for size in (128, 256, 1024)] == [334, 429, 617]


def test_2048_px_goes_through():
    with torch.device("meta"):
        assert CameraGenerator(size_px=2048)(torch.empty(1, 13, 1, 1)).shape == (1, 3, 2048, 2048)


@pytest.mark.parametrize(
    ("channels", "size"), [((6, 6), (9, 9)), ((6, 12), (3, 3)), ((12, 6), (10, 8)), ((13, 40), (4, 4))]
)
def test_channels_are_resized_as_torch_resizes_a_volume(channels, size):
    x = torch.randn(2, channels[0], 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    whole = F.interpolate(x[:, None], size=(channels[1], *size), mode="trilinear", align_corners=True)[:, 0]
    resize = ChannelResize(*channels).double()
    # The blending matrix is kept in float32.
    torch.testing.assert_close(resize(x, size), whole, atol=2e-6, rtol=0)


class PlainGenerator(nn.Module):
    """The original's generator written out plainly, under its own tensor names."""

    def __init__(self, blocks, width):
        super().__init__()
        widths = [4 * width] * (blocks - 2) + [2 * width, width]
        self.model = nn.ModuleList()
        for ic, oc, stride, pad in ((13, 8 * width, 1, 0), (8 * width, 4 * width, 2, 1)):
            part = nn.Module()
            part.operations = nn.Sequential(
                nn.ConvTranspose2d(ic, oc, 4, stride, pad, bias=False), nn.LeakyReLU(0.01), nn.BatchNorm2d(oc)
            )
            self.model.append(part)
        ic = 4 * width
        for oc in widths:
            part = nn.Module()
            part.conv = nn.Sequential(nn.Conv2d(ic, 4 * oc, 3, padding=1), nn.LeakyReLU(0.01), nn.BatchNorm2d(4 * oc))
            self.model.append(part)
            ic = oc
        self.model.append(nn.Identity())
        self.model.append(nn.Conv2d(width, 3, 7))

    def forward(self, x):
        for part in list(self.model)[:-2]:
            out = part.operations(x) if hasattr(part, "operations") else F.pixel_shuffle(part.conv(x), 2)
            rest = F.interpolate(x[None], size=out.shape[1:], mode="trilinear", align_corners=True)[0]
            x = out + 0.2 * rest
        return torch.tanh(self.model[-1](F.pad(x, (3, 3, 3, 3), mode="reflect")))


def settled(net):
    """Give the running statistics of batch norms values of their own."""
    random = torch.Generator().manual_seed(3)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=random)
            module.running_var.uniform_(0.5, 2, generator=random)
    return net.eval()


def test_the_originals_generator_is_read_from_its_file_and_gives_its_pictures(tmp_path):
    import ganvas

    torch.manual_seed(0)
    plain = settled(PlainGenerator(4, 4))
    torch.save(plain.state_dict(), tmp_path / "g.pth")
    ours = ganvas.load(tmp_path / "g.pth")
    assert ours.card.input == "camera" and ours.card.settings == {"size_px": 128, "width": 4}
    vector = torch.randn(3, 13, 1, 1)
    with torch.no_grad():
        expected, found = plain(vector), ours(vector)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_the_originals_discriminator_is_read_from_its_file_and_gives_its_scores(tmp_path):
    import ganvas

    torch.manual_seed(0)
    old = nn.utils.spectral_norm  # the form that the original's files have
    plain = nn.Module()
    plain.operations = nn.ModuleList([nn.Identity(), old(nn.Conv2d(3, 4, 7))])
    for ic, oc in ((4, 8), (8, 16), (16, 16)):
        part = nn.Module()
        part.conv = nn.Sequential(old(nn.Conv2d(ic, oc, 3, 2, 1)))
        plain.operations.append(part)
    plain.operations.append(old(nn.Conv2d(16, 1, 4, 1, 1)))
    plain.eval()
    torch.save(plain.state_dict(), tmp_path / "d.pth")
    picture = torch.randn(2, 3, 33, 48)
    x = plain.operations[1](F.pad(picture, (3, 3, 3, 3), mode="reflect"))
    features = [x]
    for part in plain.operations[2:5]:
        active = F.leaky_relu(part.conv(x), 0.01)
        features.append(active)
        rest = F.interpolate(x[None], size=active.shape[1:], mode="trilinear", align_corners=True)[0]
        x = active + 0.2 * rest
    verdict = ganvas.load(tmp_path / "d.pth")(picture)
    torch.testing.assert_close(verdict.score, plain.operations[5](x), atol=1e-5, rtol=1e-4)
    for ours, theirs in zip(verdict.features, features, strict=False):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    assert len(verdict.features) == 5


def test_statistics_are_part_of_the_network():
    torch.manual_seed(0)
    raw = CameraGenerator(size_px=16, width=2, mean=MEAN, deviation=DEVIATION).eval()
    told = cameras()
    ready = (told - torch.tensor(MEAN)[:, None, None]) / torch.tensor(DEVIATION)[:, None, None]
    bare = CameraGenerator(size_px=16, width=2).eval()
    bare.load_state_dict(raw.state_dict())  # equal keys: the original's files have no room for statistics
    torch.testing.assert_close(raw(told), bare(ready))


def test_octaves_are_sines_and_cosines_of_doubled_frequency():
    out = Standardizer(MEAN, DEVIATION, octaves=3)(cameras())[:, :, 0, 0]
    values = out[:, :13]
    expected = [values]
    for frequency in (1, 2, 4):
        expected += [torch.sin(frequency * values), torch.cos(frequency * values)]
    torch.testing.assert_close(out, torch.cat(expected, dim=1))


def test_rays_pass_through_what_a_pixel_sees():
    """A point in the world lies on the ray of the pixel into which it is projected by plain trigonometry."""
    told = cameras(1)
    matrix = np.vstack([told[0, :12, 0, 0].reshape(3, 4).numpy(), [0, 0, 0, 1]]).astype(float)
    focal, film, size = float(told[0, 12]), (36.0, 24.0), 8
    rays = Rays(MEAN, DEVIATION, film, size, 0)(told)[0].double().numpy()
    row, column = 2, 5
    right = ((column + 0.5) / size - 0.5) * film[0] / focal
    up = -((row + 0.5) / size - 0.5) * film[1] / focal
    point = (matrix @ [7 * right, 7 * up, -7, 1])[:3]
    middle, scale = np.array([MEAN[3], MEAN[7], MEAN[11]]), max(DEVIATION[3], DEVIATION[7], DEVIATION[11])
    direction, moment = rays[:3, row, column], rays[3:, row, column]
    np.testing.assert_allclose(np.cross((point - middle) / scale, direction), moment, atol=1e-5)
    assert np.dot(direction, point - matrix[:3, 3]) > 0
    assert abs(np.linalg.norm(direction) - 1) < 1e-6


@pytest.mark.parametrize(
    "switch",
    [
        {"fourier": 2},
        {"rays_px": 16},
        {"rays_px": 8, "fourier": 2},
        {"attention_px": 16},
        {"spectral": True},
        {"rays_px": 8, "rays_fourier": 3, "rays_layers": 2, "rays_width": 5},
        {"norm": "none"},
    ],
)
def test_every_switch_gives_pictures_and_gradients(switch):
    torch.manual_seed(0)
    net = CameraGenerator(size_px=32, width=4, mean=MEAN, deviation=DEVIATION, **switch)
    out = net(cameras())
    assert out.shape == (2, 3, 32, 32) and out.abs().max() <= 1 and (out[0] - out[1]).abs().max() > 0
    out.square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())


def test_the_mlp_of_the_rays_sees_each_pixel_alone_and_the_rays_octaves_only():
    torch.manual_seed(0)
    net = CameraGenerator(
        size_px=16, width=4, mean=MEAN, deviation=DEVIATION, fourier=1, rays_px=8, rays_fourier=3, rays_layers=2
    )
    rays, *mlp = net.rays["8"]
    assert net.standardize.octaves == 1 and rays.octaves == 3
    lines = rays(cameras()).requires_grad_()
    out = torch.nn.Sequential(*mlp)(lines)
    assert out.shape == (2, 64, 8, 8)
    out[0, :, 2, 5].sum().backward()
    felt = lines.grad.abs().sum(dim=1) > 0
    assert felt.sum() == 1 and felt[0, 2, 5]


def test_spectral_norm_reaches_every_layer_and_attention_its_place():
    net = CameraGenerator(size_px=32, width=4, attention_px=16, spectral=True)
    assert len(spectral_sigmas(net)) == 2 + 2 + 1 + 4
    assert [m.theta.in_channels for m in net.modules() if isinstance(m, SelfAttention)] == [8]


def test_the_coarse_output_leaves_the_fine_layers_alone():
    net = CameraGenerator(size_px=64, width=2, coarse_px=16)
    out = net(torch.randn(2, 13, 1, 1), coarse=True)
    assert out.shape == (2, 3, 16, 16)
    out.sum().backward()
    touched = {name for name, p in net.named_parameters() if p.grad is not None}
    assert "coarse.weight" in touched and "blocks.2.conv.weight" in touched
    assert not any(name.startswith(("blocks.3", "blocks.4", "last")) for name in touched)


def test_a_judge_of_cameras_hears_of_them():
    torch.manual_seed(0)
    net = CameraDiscriminator(width=4, conditional=True, mean=MEAN, deviation=DEVIATION).eval()
    picture, told = torch.randn(2, 3, 32, 32), cameras()
    first, second = net(picture, told), net(picture, told.flip(0))
    assert (first.score - second.score).abs().max() > 0
    assert torch.equal(first.features[2], second.features[2])
    with pytest.raises(UserError, match="camera"):
        net(picture)


@pytest.mark.parametrize(
    "settings",
    [{"size_px": 100}, {"size_px": 32, "rays_px": 12}, {"rays_px": 16}, {"attention_px": 512}, {"width": 1},
     {"mean": [0.0], "deviation": [1.0]}, {"mean": MEAN, "deviation": [0.0] * 13}],
)  # fmt: skip
def test_settings_that_cannot_be(settings):
    with pytest.raises(UserError):
        CameraGenerator(**settings)


def test_pictures_made_in_bands_are_those_made_whole(monkeypatch):
    from ganvas.networks.matchmove import net as matchmove

    torch.manual_seed(0)
    net = settled(CameraGenerator(size_px=64, width=2, coarse_px=32).double())
    vector = torch.randn(2, 13, 1, 1, dtype=torch.float64)
    whole = [net(vector), net(vector, coarse=True)]
    monkeypatch.setattr(matchmove, "BAND_PX", 12)
    with torch.no_grad():
        banded = [net(vector), net(vector, coarse=True)]
    for first, second in zip(whole, banded):
        torch.testing.assert_close(first, second, atol=1e-6, rtol=0)


def test_a_table_tells_directions_apart_as_bilinear_lookup_does():
    """Entries of every level, blended between the middles of cells; nothing else of the ray matters."""
    torch.manual_seed(0)
    mean = cameras(1)[0, :, 0, 0].tolist()
    table = RayTable(mean, 64)
    assert [tuple(level.shape) for level in table.grids.levels] == [(1, 4, side, side) for side in (64, 32, 16)]
    lines = torch.randn(2, 9, 3, 5)
    lines[:, :3] = F.normalize(lines[:, :3], dim=1)
    found = table(lines)
    assert found.shape == (2, 9 + table.channels, 3, 5) and table.channels == 12
    torch.testing.assert_close(found[:, :9], lines)
    turn = np.array(mean[:12]).reshape(3, 4)[:, :3]
    seen = lines[1, :3, 2, 4].double().numpy() @ turn
    for number, level in enumerate(table.grids.levels):
        side, values = level.shape[-1], np.pad(level[0].detach().double().numpy(), ((0, 0), (1, 1), (1, 1)))
        x, y = ((place + 1) * side / 2 + 0.5 for place in seen[:2])
        column, row, dx, dy = int(x), int(y), x % 1, y % 1
        corners = values[:, row : row + 2, column : column + 2]
        blended = corners @ np.array([1 - dx, dx]) @ np.array([1 - dy, dy])
        np.testing.assert_allclose(found[1, 9 + 4 * number : 13 + 4 * number, 2, 4].detach(), 30 * blended, atol=1e-5)
    other = lines.clone()
    other[:, 3:] += 1
    torch.testing.assert_close(table(other)[:, 9:], found[:, 9:])


def test_a_generator_with_a_table_learns_from_the_entries_that_its_rays_meet():
    torch.manual_seed(0)
    mean = cameras(1)[0, :, 0, 0].tolist()
    net = CameraGenerator(
        size_px=32, width=2, mean=mean, deviation=DEVIATION, rays_px=8, rays_table=64, rays_planes=2, centre=(1, 2, -30)
    )
    net(cameras(1)).square().mean().backward()
    for kind, sides in ((RayTable, [32, 64]), (RayPlanes, [16, 32])):
        tables = [part for part in net.modules() if isinstance(part, kind)]
        assert [table.grids.levels[0].shape[-1] for table in tables] == sides
        for table in tables:
            gradient = table.grids.levels[0].grad
            assert gradient is not None and 0 < (gradient != 0).any(1).float().mean() < 0.5
    # Where the planes lie is learned, too.
    assert all((part.offsets.grad != 0).all() for part in net.modules() if isinstance(part, RayPlanes))


def test_a_place_in_a_plane_is_the_same_from_wherever_it_is_seen():
    """Rays of two cameras through one place of a plane meet the same entries; through others, others."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    origins = random.normal(size=(2, 3)) + np.array([0, 4, 0])
    centre = np.array([0.3, -1.0, 0.5])
    planes = RayPlanes(centre.tolist(), 64, 1)
    for axis in range(3):
        places = random.normal(size=(5, 3))
        places[:, axis] = centre[axis]
        lines = []
        for origin in origins:
            direction = (places - origin) / np.linalg.norm(places - origin, axis=1, keepdims=True)
            lines.append(np.concatenate([direction, np.cross(origin, direction)], 1).T[:, None])
        with torch.no_grad():
            found = planes(torch.tensor(np.stack(lines), dtype=torch.float32))[:, 6:, 0]
        ours = found.view(2, 3, -1, 5)[:, axis]
        torch.testing.assert_close(ours[0], ours[1], atol=1e-3, rtol=1e-3)
        assert (ours[0, :, :1] - ours[0, :, 1:]).abs().max() > 0.02
        assert (found.view(2, 3, -1, 5)[0, axis - 1] - found.view(2, 3, -1, 5)[1, axis - 1]).abs().max() > 0.02


def test_a_generator_with_tables_of_rays_and_planes_is_counted_without_memory():
    settings = {
        "size_px": 32, "width": 4, "mean": [0.1 * n for n in range(13)], "deviation": [0.5 + n for n in range(13)],
        "rays_px": 16, "rays_table": 8, "rays_planes": 2, "rays_layers": 1, "rays_width": 8, "centre": (0.0, 1.0, 2.0),
    }  # fmt: skip
    real = CameraGenerator(**settings)
    with torch.device("meta"):
        counted = CameraGenerator(**settings)
    assert {k: v.shape for k, v in counted.state_dict().items()} == {k: v.shape for k, v in real.state_dict().items()}


def test_tables_keep_the_layout_that_their_gradients_come_in():
    rows = torch.eye(3, 4).flatten().tolist()
    net = nn.Sequential(nn.Conv2d(6, 6, 3), RayTable([*rows, 35.0], 64)).to(memory_format=torch.channels_last)
    assert not net[0].weight.is_contiguous()
    lines = torch.rand(2, 6, 9, 9)
    net(lines).sum().backward()
    for level in net[1].grids.levels:
        assert level.is_contiguous() and level.grad.is_contiguous()
