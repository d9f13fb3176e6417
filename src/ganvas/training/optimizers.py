"""How networks are optimised: one Adam a network for the whole run, and learning rates over the steps of a stage."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ganvas.protocol import Networks, Optimizer, Stage


class Optimizers:
    """One Adam a network, over all its parameters for the whole run; a stage only sets rates and what is frozen."""

    def __init__(self, nets: Networks) -> None:
        self.names = {name: [key for key, _ in net.named_parameters()] for name, net in nets.items()}
        self.adams = {
            # Fused Adam is one pass over the parameters; it is the same arithmetic on every run.
            name: torch.optim.Adam(net.parameters(), fused=_can_fuse(net))
            for name, net in nets.items()
            if self.names[name]
        }

    def enter(self, stage: Stage) -> None:
        """Set what a stage says of betas, epsilon and weight decay; moments stay."""
        for name, setting in stage.optimizers.items():
            for group in self.adams[name].param_groups:
                group.update(betas=tuple(setting.betas), eps=setting.epsilon, weight_decay=setting.weight_decay)

    def set_rates(self, stage: Stage, stage_step: int, factor: float) -> dict[str, float]:
        """Set each network's learning rate for a step of the stage; return the rates."""
        rates = {name: factor * rate(setting, stage_step, stage.steps) for name, setting in stage.optimizers.items()}
        for name, value in rates.items():
            for group in self.adams[name].param_groups:
                group["lr"] = value
        return rates

    def tensors(self) -> dict[str, Tensor]:
        """Return Adam's moments and step counts by `network/parameter/moment`."""
        found: dict[str, Tensor] = {}
        for name, adam in self.adams.items():
            for key, parameter in zip(self.names[name], adam.param_groups[0]["params"]):
                for moment, value in adam.state.get(parameter, {}).items():
                    found[f"{name}/{key}/{moment}"] = value
        return found

    def most_bytes(self) -> int:
        """Return the bytes of all moments once every parameter has been trained."""
        return sum(2 * p.nbytes for adam in self.adams.values() for p in adam.param_groups[0]["params"])

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore moments by parameter name; parameters that have none start at zero."""
        moments: dict[str, dict[str, Tensor]] = {}
        for full, value in tensors.items():
            owner, _, moment = full.rpartition("/")
            moments.setdefault(owner, {})[moment] = value
        for name, adam in self.adams.items():
            adam.state.clear()
            fused = bool(adam.defaults["fused"])
            for key, parameter in zip(self.names[name], adam.param_groups[0]["params"]):
                if saved := moments.get(f"{name}/{key}"):
                    adam.state[parameter] = {
                        moment: _restored(parameter, moment, value, fused) for moment, value in saved.items()
                    }


def _can_fuse(net: nn.Module) -> bool:
    return all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in net.parameters())


def _restored(parameter: Tensor, moment: str, value: Tensor, fused: bool) -> Tensor:
    if moment == "step":
        # Fused Adam counts on the parameter's device, plain Adam on the CPU.
        return value.to(parameter.device if fused else "cpu", copy=True)
    # The layout in memory decides the order of sums, and with it the last bits.
    return torch.empty_like(parameter, memory_format=torch.preserve_format).copy_(value)


def rate(setting: Optimizer, step: int, steps: int) -> float:
    """Return the learning rate at a step of a stage.

    Constant, multiplied at milestones (fractions of the stage), falling linearly after `hold`, or along a cosine.
    """
    progress = step / max(1, steps)
    if setting.schedule == "step":
        value = setting.rate * setting.factor ** sum(progress >= milestone for milestone in setting.milestones)
    elif setting.schedule == "linear":
        fall = 0.0 if progress < setting.hold else (progress - setting.hold) / max(1e-12, 1 - setting.hold)
        value = setting.rate + (setting.final_rate - setting.rate) * min(1.0, fall)
    elif setting.schedule == "cosine":
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        value = setting.final_rate + (setting.rate - setting.final_rate) * fall
    else:
        value = setting.rate
    return value * min(1.0, (step + 1) / setting.warmup_steps) if setting.warmup_steps else value
