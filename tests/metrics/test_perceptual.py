"""LPIPS and DISTS against plain writings of their formulas, and against the published heads where those are at hand."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import torchmetrics.functional.image as torchmetrics_images

from ganvas.errors import UserError
from ganvas.evaluation.extractors import open_dists, open_lpips
from ganvas.metrics import perceptual
from ganvas.metrics.perceptual import DISTS, LPIPS
from ganvas.networks.backbones import VGG16, AlexNet

PUBLISHED = Path(torchmetrics_images.__file__).parent
"""torchmetrics carries the published heads of LPIPS and the weights of DISTS; the backbones are nowhere at hand."""


@pytest.fixture(scope="module")
def alexnet():
    torch.manual_seed(0)
    return AlexNet().double()


@pytest.fixture(scope="module")
def vgg():
    torch.manual_seed(0)
    return VGG16(normalize=False).double()


def pictures(size=48, seed=0):
    a, b = torch.rand(2, 2, 3, size, size + 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return a, (a * 0.7 + b * 0.3)


def published_heads(name):
    stored = torch.load(PUBLISHED / "lpips_models" / f"{name}.pth", map_location="cpu", weights_only=True)
    return [stored[f"lin{number}.model.1.weight"].double() for number in range(5)]


def test_alexnet_and_vgg16_have_the_published_tensors():
    state = {name: tuple(value.shape) for name, value in AlexNet().state_dict().items()}
    kernels = {0: (64, 3, 11, 11), 3: (192, 64, 5, 5), 6: (384, 192, 3, 3), 8: (256, 384, 3, 3), 10: (256, 256, 3, 3)}
    expected = {}
    for number, shape in kernels.items():
        expected[f"features.{number}.weight"], expected[f"features.{number}.bias"] = shape, shape[:1]
    assert state == expected
    with torch.device("meta"):
        net = VGG16()
    assert sum(p.numel() for p in net.parameters()) == 14_714_688
    assert [key for key in net.state_dict() if key.endswith("weight")][-1] == "features.28.weight"


def plain_lpips(layers, heads, a, b):
    """The formula of the paper, section 3, picture by picture."""
    total = 0.0
    for head, one, other in zip(heads, layers(a), layers(b)):
        ones, others = (x / (torch.linalg.vector_norm(x, dim=0) + 1e-10) for x in (one[0], other[0]))
        total += float(torch.einsum("c,chw->", head.flatten(), (ones - others) ** 2) / ones[0].numel())
    return total


def normalised(picture):
    mean, deviation = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    return (picture * 2 - 1 - mean[:, None, None]) / deviation[:, None, None]


def test_lpips_on_alexnet_equals_a_plain_writing(alexnet):
    heads = published_heads("alex")
    state = alexnet.state_dict()

    def layers(picture):
        x, seen = normalised(picture), []
        for number, options in ((0, {"stride": 4, "padding": 2}), (3, {"padding": 2}), (6, {}), (8, {}), (10, {})):
            x = F.max_pool2d(x, 3, 2) if number in (3, 6) else x
            options = options or {"padding": 1}
            x = F.conv2d(x, state[f"features.{number}.weight"], state[f"features.{number}.bias"], **options).clamp_min(
                0
            )
            seen.append(x)
        return seen

    a, b = pictures()
    found = LPIPS(alexnet, heads).double()(a, b)
    expected = [plain_lpips(layers, heads, a[n : n + 1], b[n : n + 1]) for n in range(2)]
    assert found.tolist() == pytest.approx(expected, rel=1e-5)


def test_lpips_on_vgg_feeds_the_network_what_alexnet_gets(vgg):
    heads = published_heads("vgg")

    def layers(picture):
        x, seen, state = normalised(picture), [], vgg.state_dict()
        for stage, numbers in enumerate(((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))):
            x = F.max_pool2d(x, 2) if stage else x
            for number in numbers:
                x = F.conv2d(x, state[f"features.{number}.weight"], state[f"features.{number}.bias"], padding=1)
                x = x.clamp_min(0)
            seen.append(x)
        return seen

    a, b = pictures(32)
    expected = plain_lpips(layers, heads, a[:1], b[:1])
    assert float(LPIPS(vgg, heads).double()(a[:1], b[:1])) == pytest.approx(expected, rel=1e-5)


def test_published_files_open(alexnet, vgg, tmp_path):
    torch.save(alexnet.float().state_dict(), tmp_path / "alex.pth")
    torch.save(vgg.float().state_dict() | {"classifier.0.weight": torch.rand(2, 2)}, tmp_path / "vgg.pth")
    a, b = (x.float() for x in pictures())
    heads = PUBLISHED / "lpips_models" / "alex.pth"
    distance = open_lpips("alex", heads, tmp_path / "alex.pth")(a, b)
    assert (distance > 0).all()
    weights = PUBLISHED / "dists_models" / "weights.pt"
    dists = open_dists(weights, tmp_path / "vgg.pth")
    assert float(dists.alpha.sum() + dists.beta.sum()) == pytest.approx(1, abs=1e-5)
    assert (dists(a, b) > 0).all()
    alexnet.double()
    vgg.double()
    with pytest.raises(UserError, match="heads for vgg"):
        open_lpips("vgg", heads)
    with pytest.raises(UserError, match="not torchvision's AlexNet"):
        open_lpips("alex", heads, tmp_path / "vgg.pth")
    with pytest.raises(UserError, match="1475"):
        open_dists(heads)


def test_dists_equals_torchmetrics_pooling_and_a_plain_writing(vgg):
    from torchmetrics.functional.image.dists import L2pooling

    random = torch.Generator().manual_seed(4)
    alpha, beta = torch.rand(2, 1475, generator=random, dtype=torch.float64)
    found = DISTS(vgg, alpha, beta).double()
    x = torch.rand(1, 8, 13, 16, generator=random, dtype=torch.float64)
    torch.testing.assert_close(found._pool(x), L2pooling(channels=8).double()(x))
    a, b = pictures(32)
    state = vgg.state_dict()
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])

    def layers(picture):
        x, seen = (picture - mean[:, None, None]) / deviation[:, None, None], [picture]
        for stage, numbers in enumerate(((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))):
            if stage:
                x = L2pooling(channels=x.shape[1]).double()(x)
            for number in numbers:
                x = F.conv2d(x, state[f"features.{number}.weight"], state[f"features.{number}.bias"], padding=1)
                x = x.clamp_min(0)
            seen.append(x)
        return torch.cat([torch.stack([y[0].mean((1, 2)), y[0].std((1, 2), correction=0)]) for y in seen], 1), seen

    (moments_a, seen_a), (moments_b, seen_b) = layers(a[:1]), layers(b[:1])
    covariance = torch.cat([((p - p.mean((2, 3), keepdim=True)) * (q - q.mean((2, 3), keepdim=True))).mean((2, 3))[0]
                            for p, q in zip(seen_a, seen_b)])  # fmt: skip
    texture = (2 * moments_a[0] * moments_b[0] + 1e-6) / (moments_a[0] ** 2 + moments_b[0] ** 2 + 1e-6)
    structure = (2 * covariance + 1e-6) / (moments_a[1] ** 2 + moments_b[1] ** 2 + 1e-6)
    expected = 1 - ((alpha * texture + beta * structure).sum() / (alpha.sum() + beta.sum()))
    assert float(found(a[:1], b[:1])) == pytest.approx(float(expected), rel=1e-4)


def test_equal_pictures_are_at_no_distance_and_order_does_not_matter(alexnet, vgg):
    a, b = pictures()
    lpips = LPIPS(alexnet, published_heads("alex")).double()
    dists = DISTS(vgg, torch.rand(1475).double(), torch.rand(1475).double()).double()
    for distance in (lpips, dists):
        assert float(distance(a, a).abs().max()) < 1e-7
        torch.testing.assert_close(distance(a, b), distance(b, a))
        nearer = distance(a, a * 0.9 + b * 0.1)
        assert (nearer < distance(a, b)).all()


def test_missing_weights_say_where_they_are(monkeypatch, tmp_path):
    monkeypatch.setenv("GANVAS_OFFLINE", "1")
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path))
    with pytest.raises(UserError, match=r"heads.*--lpips-heads FILE"):
        open_lpips()
    with pytest.raises(UserError, match="--dists-weights FILE"):
        open_dists()
    with pytest.raises(UserError, match=r"alexnet-owt-7be5be79.pth is not in the cache"):
        open_lpips("alex", PUBLISHED / "lpips_models" / "alex.pth")
    with pytest.raises(UserError, match="alex or vgg"):
        open_lpips("squeeze")
    with pytest.raises(UserError, match="shapes are"):
        perceptual._check_pair(torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 33))
