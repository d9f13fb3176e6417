"""Norms, spectral norm, attention and batch statistics against plain writings, torch's own and two real processes."""

import copy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed
import torch.multiprocessing
import torch.nn.functional as F
from torch import nn

from ganvas.errors import UserError
from ganvas.networks.blocks import (
    MinibatchDiscrimination,
    MinibatchStandardDeviation,
    PixelShuffleUpsample,
    SelfAttention,
    SyncedBatchNorm2d,
    init_kaiming,
    init_normal,
    init_orthogonal,
    norm_layer,
    pad_to_multiple,
    spectral,
    spectral_sigmas,
)

# Padding


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (3, 2), (4, 8), (7, 6)])
def test_padding_equals_reflection_then_repetition(size):
    x = np.random.default_rng(0).random((1, 2, *size))
    padded = pad_to_multiple(torch.from_numpy(x), 4).numpy()
    expected = x
    for axis in (3, 2):
        side = expected.shape[axis]
        missing = -side % 4
        reflected = min(missing, side - 1)
        for mode, amount in (("reflect", reflected), ("edge", missing - reflected)):
            expected = np.pad(expected, [(0, amount) if a == axis else (0, 0) for a in range(4)], mode=mode)
    np.testing.assert_array_equal(padded, expected)


# Synced batch norm


def test_in_one_process_it_is_torchs_batch_norm():
    torch.manual_seed(0)
    ours, theirs = SyncedBatchNorm2d(3), nn.BatchNorm2d(3)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for training in (True, True, False):
        x = torch.randn(4, 3, 5, 6) * 3 + 1
        assert torch.equal(ours.train(training)(x), theirs.train(training)(x))
    assert torch.equal(ours.running_var, theirs.running_var)


def coupled_layers():
    torch.manual_seed(5)
    norm = SyncedBatchNorm2d(3).double()
    norm.weight.data.uniform_(0.5, 2)
    return nn.ModuleDict({"norm": norm, "minibatch": MinibatchDiscrimination(12, kernels=4, dims=2).double()})


def run_coupled_layers(layers, x, total):
    """Return outputs, the gradient at the input and all state after two training steps and an eval pass."""
    x = x.clone().requires_grad_()
    outputs = []
    for _ in range(2):
        out = layers["minibatch"](layers["norm"](x).flatten(1))
        (out.sin().sum() / total).backward()
        outputs.append(out.detach())
    layers.eval()
    with torch.no_grad():
        outputs.append(layers["norm"](x).flatten(1))
    gradients = {name: parameter.grad for name, parameter in layers.named_parameters()}
    return outputs, x.grad, gradients, layers.state_dict()


def inputs():
    return torch.randn(6, 3, 2, 2, generator=torch.Generator().manual_seed(9)).double() * 2 + 50


def two_rank_worker(rank, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    result = run_coupled_layers(coupled_layers(), inputs()[3 * rank : 3 * rank + 3], 6)
    torch.save(result, Path(folder) / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.skipif(sys.platform == "win32", reason="gloo over files")
def test_two_ranks_equal_one_process(tmp_path):
    """Batch norm and minibatch discrimination see the whole batch: outputs, gradients and statistics are the same."""
    torch.multiprocessing.spawn(two_rank_worker, args=(str(tmp_path),), nprocs=2)
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    outputs, input_gradient, gradients, state = run_coupled_layers(coupled_layers(), inputs(), 6)
    close = {"rtol": 0, "atol": 1e-9}
    for index, output in enumerate(outputs):
        torch.testing.assert_close(torch.cat([part[0][index] for part in parts]), output, **close)
    torch.testing.assert_close(torch.cat([part[1] for part in parts]), input_gradient, **close)
    for name, gradient in gradients.items():
        torch.testing.assert_close(parts[0][2][name] + parts[1][2][name], gradient, **close)
    for name, value in state.items():
        torch.testing.assert_close(parts[1][3][name], value, **close)


def test_norms_by_name():
    assert isinstance(norm_layer("batch", 4), SyncedBatchNorm2d)
    x = torch.randn(2, 4, 5, 5) * 3 + 2
    assert norm_layer("instance", 4)(x).mean(dim=(2, 3)).abs().max() < 1e-6
    assert norm_layer("none", 4)(x) is x
    with pytest.raises(UserError, match="instance"):
        norm_layer("layer", 4)


# Spectral norm


def test_sigma_is_the_largest_singular_value():
    torch.manual_seed(0)
    layers = {"conv": nn.Conv2d(4, 6, 3), "up": nn.ConvTranspose2d(5, 7, 4), "linear": nn.Linear(9, 8)}
    net = nn.ModuleDict({name: spectral(layer) for name, layer in layers.items()})
    net["plain"] = nn.Linear(2, 2)
    for layer in layers.values():
        layer.parametrizations["weight"].original.data.mul_(3)
        for _ in range(300):
            _ = layer.weight
    sigmas = spectral_sigmas(net)
    assert sigmas.keys() == layers.keys()
    for name, layer in layers.items():
        raw = layer.parametrizations["weight"].original
        rows = (raw.transpose(0, 1) if name == "up" else raw).flatten(1)
        assert sigmas[name] == pytest.approx(torch.linalg.svdvals(rows)[0].item(), rel=1e-4)
        normalised = (layer.weight.transpose(0, 1) if name == "up" else layer.weight).flatten(1)
        assert torch.linalg.svdvals(normalised)[0].item() == pytest.approx(1, rel=1e-4)


def test_reading_sigmas_changes_nothing():
    net = spectral(nn.Conv2d(4, 6, 3))
    before = copy.deepcopy(net.state_dict())
    spectral_sigmas(net)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert spectral_sigmas(nn.Conv2d(1, 1, 1)) == {}


# Attention


def plain_attention(x, state):
    """Every place attends to the 2 x 2 maxima of keys and values; written as loops over places."""
    height, width = x.shape[1:]
    kernel = {name: state[f"{name}.weight"][:, :, 0, 0] for name in ("theta", "phi", "g", "o")}
    query, key, value = (np.einsum("oc,chw->ohw", kernel[name], x) for name in ("theta", "phi", "g"))
    cells = [(slice(r, r + 2), slice(c, c + 2)) for r in range(0, height, 2) for c in range(0, width, 2)]
    out = x.copy()
    for row in range(height):
        for column in range(width):
            logits = np.array([query[:, row, column] @ key[:, r, c].max(axis=(1, 2)) for r, c in cells])
            weights = np.exp(logits - logits.max())
            weights /= weights.sum()
            seen = sum(w * value[:, r, c].max(axis=(1, 2)) for w, (r, c) in zip(weights, cells))
            out[:, row, column] += state["gamma"] * (kernel["o"] @ seen)
    return out


@pytest.mark.parametrize("size", [(4, 6), (5, 3), (1, 1)])
def test_attention_equals_a_loop_over_places(size):
    torch.manual_seed(1)
    net = SelfAttention(16).double()
    x = torch.randn(2, 16, *size, dtype=torch.float64)
    assert torch.equal(net(x), x)
    net.gamma.data.fill_(0.7)
    state = {name: value.numpy() for name, value in net.state_dict().items()}
    expected = np.stack([plain_attention(sample.numpy(), state) for sample in x])
    np.testing.assert_allclose(net(x).detach().numpy(), expected, atol=1e-12)


def test_attention_has_second_derivatives():
    net = SelfAttention(8).double()
    net.gamma.data.fill_(0.5)
    x = torch.randn(1, 8, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda y: net(y).sin(), x)


def test_attention_takes_no_seven_channels():
    with pytest.raises(UserError, match="8 or more"):
        SelfAttention(7)


# The batch in view


def naive_discrimination(features, state):
    theta, scale, offset = (state[name].numpy() for name in ("theta", "log_scale", "offset"))
    batch, kernels = len(features), theta.shape[1]
    weight = theta * np.exp(scale) / np.sqrt((theta**2).sum(axis=0))
    nearness = np.zeros((batch, kernels))
    for i in range(batch):
        for j in range(batch):
            for b in range(kernels):
                if i != j:
                    distance = np.abs(features[i] @ weight[:, b] - features[j] @ weight[:, b]).sum()
                    nearness[i, b] += np.exp(-distance)
    return np.concatenate([features, nearness + offset], axis=1)


def fitted(features=6, batch=5):
    torch.manual_seed(2)
    net = MinibatchDiscrimination(features, kernels=4, dims=3).double()
    x = torch.randn(batch, features, dtype=torch.float64)
    net(x)
    return net, x


def test_minibatch_discrimination_equals_a_naive_loop():
    net, x = fitted()
    with torch.no_grad():
        net.log_scale += torch.randn(4, 3) * 0.2
        net.offset += torch.randn(4)
    expected = naive_discrimination(x.numpy(), net.state_dict())
    np.testing.assert_allclose(net(x).detach().numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(net.eval()(x).detach().numpy(), expected, atol=1e-12)


def test_the_first_training_batch_sets_scale_and_offset():
    net, x = fitted()
    assert net(x)[:, 6:].mean(dim=0).abs().max() < 1e-12
    theta, scale = net.theta.detach(), net.log_scale.detach()
    projected = torch.einsum("ba,akd->bkd", x, theta * scale.exp() / theta.norm(dim=0))
    distances = torch.stack([torch.cdist(projected[:, k], projected[:, k], p=1) for k in range(4)])
    nearest = (distances + 1e9 * torch.eye(5)).amin(dim=2).mean(dim=1)
    torch.testing.assert_close(nearest, torch.full((4,), 2.0, dtype=torch.float64))


def test_half_precision_does_not_blur_distances():
    """Neighbours that bfloat16 cannot tell apart at this size keep their distance under autocast."""
    torch.manual_seed(3)
    net = MinibatchDiscrimination(6, kernels=4, dims=3)
    x = 100 + 0.1 * torch.randn(5, 6)
    expected = net(x)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(net(x), expected)


def test_the_first_batch_counts_once_and_survives_saving():
    net, _ = fitted()
    state = copy.deepcopy(net.state_dict())
    other = MinibatchDiscrimination(6, kernels=4, dims=3).double()
    other.load_state_dict(state)
    for module in (net, other, copy.deepcopy(net)):
        module(torch.randn(5, 6, dtype=torch.float64) * 10)
        assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())


def test_going_back_to_an_unfitted_state_fits_again():
    fresh = MinibatchDiscrimination(6, kernels=4, dims=3).double()
    state = copy.deepcopy(fresh.state_dict())
    x = torch.randn(5, 6, dtype=torch.float64)
    fresh(x)
    fresh.load_state_dict(state)
    assert fresh(x)[:, 6:].mean(dim=0).abs().max() < 1e-12


def test_an_eval_pass_does_not_fit():
    net = MinibatchDiscrimination(6).eval()
    net(torch.randn(3, 6))
    assert not net.initialised


@pytest.mark.parametrize(
    "net", [MinibatchDiscrimination(4), nn.Sequential(nn.Unflatten(1, (4, 1, 1)), MinibatchStandardDeviation())]
)
def test_a_batch_of_one_is_refused_in_training_only(net):
    with pytest.raises(UserError, match="batch of two"):
        net(torch.randn(1, 4))
    assert torch.isfinite(net.eval()(torch.randn(1, 4))).all()


@pytest.mark.parametrize("batch", [2, 4, 5, 8, 9])
def test_minibatch_deviation_equals_numpy_over_neighbouring_groups(batch):
    x = np.random.default_rng(batch).normal(size=(batch, 3, 2, 2))
    out = MinibatchStandardDeviation(group=4)(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(out[:, :3], x)
    start = 0
    for group in np.array_split(x, -(-batch // 4)):
        expected = np.sqrt(group.var(axis=0) + 1e-8).mean()
        np.testing.assert_allclose(out[start : start + len(group), 3], expected, rtol=1e-12)
        start += len(group)


def test_equal_samples_have_no_deviation_and_a_finite_gradient():
    x = torch.ones(4, 3, 2, 2, requires_grad=True)
    out = MinibatchStandardDeviation()(x)
    out.sum().backward()
    assert out[:, 3].abs().max() < 1e-3
    assert x.grad is not None and torch.isfinite(x.grad).all()


# Resizing and initialisers


@pytest.mark.parametrize("factor", [2, 3])
def test_icnr_makes_shuffling_equal_nearest(factor):
    net = PixelShuffleUpsample(4, 5, factor)
    x = torch.rand(2, 4, 6, 7)
    small = F.conv2d(x, net.conv.weight[:: factor**2], padding=1)
    torch.testing.assert_close(net(x), F.interpolate(small, scale_factor=factor, mode="nearest"))


def layers_of_every_kind(normalised):
    torch.manual_seed(4)
    layers = [nn.Conv2d(64, 64, 3), nn.ConvTranspose2d(64, 64, 4), nn.Linear(200, 100)]
    return nn.Sequential(*(spectral(layer) if normalised else layer for layer in layers), nn.BatchNorm2d(4000))


def raw_weights(net):
    for layer in list(net)[:3]:
        yield layer.parametrizations["weight"].original if hasattr(layer, "parametrizations") else layer.weight


@pytest.mark.parametrize("normalised", [False, True])
def test_initialisers_reach_the_raw_weights(normalised):
    net = layers_of_every_kind(normalised)
    init_normal(net, 0.02)
    for weight in raw_weights(net):
        assert weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert net[3].weight.mean().item() == pytest.approx(1, abs=2e-3)
    assert net[3].weight.std().item() == pytest.approx(0.02, rel=0.1)
    init_orthogonal(net)
    for weight in raw_weights(net):
        rows = weight.detach().flatten(1)
        torch.testing.assert_close(rows @ rows.T, torch.eye(len(rows)), rtol=0, atol=1e-5)
    init_kaiming(net, 0.5)
    for weight in raw_weights(net):
        fan_in = weight[0].numel()
        assert weight.std().item() == pytest.approx(0.5 * (2 / fan_in) ** 0.5, rel=0.05)
    assert all(layer.bias.abs().max() == 0 for layer in list(net)[:3])


def test_a_normalised_layer_is_normalised_right_after_its_initialisation():
    net = spectral(nn.Linear(30, 20)).eval()
    init_normal(net)
    assert not net.training
    assert torch.linalg.svdvals(net.weight)[0].item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: nn.Linear(5, 3),
        lambda: nn.Embedding(4, 6),
        lambda: nn.Conv2d(3, 7, 3),
        lambda: nn.ConvTranspose2d(3, 7, 3),
        lambda: nn.Conv3d(2, 3, 3),
    ],
)
def test_spectral_norm_is_torchs_own_and_costs_nothing_where_there_are_only_shapes(layer, monkeypatch):
    def built(norm):
        torch.manual_seed(0)
        return norm(layer())

    ours, torchs = built(spectral), built(nn.utils.parametrizations.spectral_norm)
    assert ours.state_dict().keys() == torchs.state_dict().keys()
    assert torch.equal(ours.weight, torchs.weight)
    assert all(torch.equal(value, torchs.state_dict()[key]) for key, value in ours.state_dict().items())
    monkeypatch.setattr(nn.utils.parametrizations._SpectralNorm, "_power_method", lambda *_: pytest.fail("iterated"))
    with torch.device("meta"):
        shapes = spectral(layer()).state_dict()
    assert {key: value.shape for key, value in shapes.items()} == {k: v.shape for k, v in ours.state_dict().items()}
