"""Learning rates against their closed forms, and moments that come back as they went."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from ganvas.protocol import Networks, Optimizer, Stage
from ganvas.training.optimizers import Optimizers, rate

STEPS = 200


def rates(**changes):
    setting = Optimizer(rate=0.8, **changes)
    return [rate(setting, step, STEPS) for step in range(STEPS)]


def test_constant():
    assert rates() == [0.8] * STEPS


def test_step_multiplies_at_each_milestone():
    found = rates(schedule="step", milestones=(0.25, 0.5), factor=0.1)
    assert found == pytest.approx([0.8] * 50 + [0.08] * 50 + [0.008] * 100)


def test_linear_holds_and_falls_to_the_final_rate():
    found = rates(schedule="linear", hold=0.25, final_rate=0.2)
    expected = [0.8 if n < 50 else 0.8 - 0.6 * (n - 50) / 150 for n in range(STEPS)]
    assert found == pytest.approx(expected)


def test_cosine_falls_to_the_final_rate():
    found = rates(schedule="cosine", final_rate=0.1)
    assert found == pytest.approx([0.1 + 0.7 * math.cos(math.pi * n / STEPS / 2) ** 2 for n in range(STEPS)])


def test_warm_up_rises_from_a_share_of_the_rate_to_all_of_it():
    found = rates(schedule="cosine", warmup_steps=10)
    whole = rates(schedule="cosine")
    assert found[:10] == pytest.approx([value * (n + 1) / 10 for n, value in enumerate(whole[:10])])
    assert found[10:] == whole[10:]


def trained(layout=torch.contiguous_format):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3, bias=False)).to(memory_format=layout)
    optimizers = Optimizers(Networks(net=net))
    stage = Stage(name="only", steps=9, turns=(), optimizers={"net": Optimizer(betas=(0.3, 0.7), epsilon=1e-5)})
    optimizers.enter(stage)
    assert optimizers.set_rates(stage, 0, 0.5) == {"net": 1e-4}
    return net, optimizers


def take_step(net, optimizers):
    torch.manual_seed(1)
    net(torch.randn(2, 3, 8, 8)).square().mean().backward()
    optimizers.adams["net"].step()
    optimizers.adams["net"].zero_grad()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_moments_come_back_by_name_in_the_layout_of_their_parameters(layout):
    net, optimizers = trained(layout)
    take_step(net, optimizers)
    # As a checkpoint keeps them: contiguous, in another order.
    kept = {key: value.clone().contiguous() for key, value in reversed(optimizers.tensors().items())}
    assert len(kept) == 3 * 3
    again, restored = trained(layout)
    again.load_state_dict(net.state_dict())
    restored.load(kept)
    for parameter, state in restored.adams["net"].state.items():
        assert state["exp_avg"].stride() == parameter.stride()
    for _ in range(3):
        take_step(net, optimizers)
        take_step(again, restored)
    assert all(one.equal(other) for one, other in zip(net.parameters(), again.parameters()))


def test_a_parameter_without_moments_starts_at_zero():
    net, optimizers = trained()
    take_step(net, optimizers)
    kept = {key: value for key, value in optimizers.tensors().items() if "0.bias" not in key}
    optimizers.load(kept)
    assert {key for key in optimizers.tensors() if "0.bias" in key} == set()
    take_step(net, optimizers)
    found = optimizers.tensors()
    assert found["net/0.bias/step"] == 1 and found["net/0.weight/step"] == 2
