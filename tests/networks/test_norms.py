"""Instance norms in the channels-last layout against torch's own in the default one: values, gradients, layout."""

import pytest
import torch
import torch.nn.functional as F

from ganvas.networks.blocks import norm_layer
from ganvas.networks.norms import InstanceNorm, InstanceNorm2d


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def last(x):
    return x.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("norm", [InstanceNorm(), InstanceNorm2d(3)])
def test_gradients_and_their_gradients_are_right(norm):
    x = last(draw(2, 3, 4, 3, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(norm, x)
    assert torch.autograd.gradgradcheck(norm, x)


def test_the_penalty_of_a_gradient_is_that_of_the_other_layout():
    norm, weight = norm_layer("instance", 4), draw(2, 4, 6, 5, seed=1, dtype=torch.float64)
    found = []
    for layout in (torch.channels_last, torch.contiguous_format):
        x = draw(2, 4, 6, 5, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
        (slope,) = torch.autograd.grad((F.leaky_relu(norm(x), 0.2) * weight).sum(), x, create_graph=True)
        found.append(torch.autograd.grad(slope.square().sum(), x)[0])
    torch.testing.assert_close(found[0], found[1], atol=1e-10, rtol=1e-8)


@pytest.mark.parametrize("size", [(5, 7), (96, 80)])
@pytest.mark.parametrize("batch", [1, 3])
def test_half_precision_keeps_its_digits_far_from_zero(batch, size):
    x = (100 + draw(batch, 8, *size)).to(torch.bfloat16)
    weight = draw(batch, 8, *size, seed=1).to(torch.bfloat16)
    ours, wide = last(x).requires_grad_(), x.double().requires_grad_()
    made, true = norm_layer("instance", 8)(ours), F.instance_norm(wide)
    assert made.dtype == torch.bfloat16 and made.is_contiguous(memory_format=torch.channels_last)
    assert float((made.detach() - true.detach()).abs().max()) < 0.02
    made.backward(weight)
    true.backward(weight.double())
    assert ours.grad is not None and wide.grad is not None
    assert float((ours.grad - wide.grad).abs().max() / wide.grad.abs().max()) < 0.01


def test_gradients_of_half_precision_have_gradients():
    x = last(draw(2, 4, 6, 5).to(torch.bfloat16)).requires_grad_()
    y = draw(2, 4, 6, 5).to(torch.bfloat16).double().requires_grad_()
    found = []
    for values, norm in ((x, norm_layer("instance", 4)), (y, F.instance_norm)):
        (slope,) = torch.autograd.grad(norm(values).relu().square().sum(), values, create_graph=True)
        found.append(torch.autograd.grad(slope.double().square().sum(), values)[0].double())
    assert float((found[0] - found[1]).abs().max() / found[1].abs().max()) < 0.1
