"""What a checkpoint holds: everything that the rest of a run depends on, put into named groups of tensors and plain state."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ganvas.errors import UserError
from ganvas.protocol import Carry, Networks, Optimizer, Stage


class Optimizers:
    """One Adam a network, over all its parameters for the whole run; a stage only sets rates and what is frozen."""

    def __init__(self, nets: Networks) -> None:
        self.names = {name: [key for key, _ in net.named_parameters()] for name, net in nets.items()}
        self.adams = {
            # Fused Adam is one pass over the parameters; it is the same arithmetic on every run.
            name: torch.optim.Adam(net.parameters(), fused=_can_fuse(net))
            for name, net in nets.items()
            if any(True for _ in net.parameters())
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

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore moments by parameter name; parameters that have none start at zero."""
        for name, adam in self.adams.items():
            adam.state.clear()
            for key, parameter in zip(self.names[name], adam.param_groups[0]["params"]):
                prefix = f"{name}/{key}/"
                state = {full.removeprefix(prefix): value for full, value in tensors.items() if full.startswith(prefix)}
                if state:
                    adam.state[parameter] = {
                        moment: value.clone() if moment == "step" and value.ndim == 0 else _like(parameter, value)
                        for moment, value in state.items()
                    }


def _can_fuse(net: nn.Module) -> bool:
    return all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in net.parameters())


def _like(parameter: Tensor, value: Tensor) -> Tensor:
    return torch.empty_like(parameter, memory_format=torch.preserve_format).copy_(value)


def rate(setting: Optimizer, step: int, steps: int) -> float:
    """Return the learning rate at a step of a stage.

    Constant, halved at milestones (given as fractions of the stage), falling linearly after `hold`, or along a cosine.
    """
    progress = step / max(1, steps)
    if setting.schedule == "step":
        value = setting.rate * setting.factor ** sum(progress >= milestone for milestone in setting.milestones)
    elif setting.schedule == "linear":
        fall = 0.0 if progress < setting.hold else (progress - setting.hold) / max(1e-12, 1 - setting.hold)
        value = setting.rate + (setting.final_rate - setting.rate) * min(1.0, fall)
    elif setting.schedule == "cosine":
        value = setting.final_rate + (setting.rate - setting.final_rate) * 0.5 * (
            1 + math.cos(math.pi * min(1.0, progress))
        )
    else:
        value = setting.rate
    if setting.warmup_steps:
        value *= min(1.0, (step + 1) / setting.warmup_steps)
    return value


class Averages:
    """Exponential moving averages of networks, by half-life in images; buffers are copied, not averaged."""

    def __init__(self, nets: Networks, half_life: float) -> None:
        self.half_life = half_life
        self.nets = Networks()
        for name, net in nets.items():
            self.restart(name, net)

    def restart(self, name: str, net: nn.Module) -> None:
        """Begin a network's average anew from its present weights."""
        self.nets[name] = copy.deepcopy(net).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, nets: Networks, images: int, images_seen: int) -> None:
        """Move the averages towards the networks after a step of so many images."""
        # Early in a run a long memory would hold on to the random start: it spans at most a tenth of what was seen.
        half_life = min(self.half_life, 0.1 * images_seen)
        keep = 0.5 ** (images / half_life) if half_life > 0 else 0.0
        for name, average in self.nets.items():
            targets = dict(nets[name].named_parameters())
            for key, value in average.named_parameters():
                value.lerp_(targets[key].to(value.dtype), 1 - keep)
            buffers = dict(nets[name].named_buffers())
            for key, value in average.named_buffers():
                value.copy_(buffers[key])


def flatten(nets: Networks) -> dict[str, Tensor]:
    """Return the tensors of all networks by `network/tensor`."""
    return {f"{name}/{key}": value for name, net in nets.items() for key, value in net.state_dict().items()}


def restore(nets: Networks, tensors: Mapping[str, Tensor]) -> None:
    """Load tensors by `network/tensor` into networks, every one of them.

    Raises:
        UserError: a tensor is missing, or its shape is another.
    """
    for name, net in nets.items():
        prefix = f"{name}/"
        own = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        try:
            net.load_state_dict(own)
        except RuntimeError as error:
            raise UserError(
                f"The checkpoint does not fit the network {name!r}", str(error).splitlines()[-1].strip()
            ) from error


def initialise(net: nn.Module, tensors: Mapping[str, Tensor]) -> tuple[list[str], list[str]]:
    """Load what fits of other weights into a network; return the names taken, and the names left newly initialised."""
    state = net.state_dict()
    fitting = {key: value for key, value in tensors.items() if key in state and state[key].shape == value.shape}
    net.load_state_dict(fitting, strict=False)
    return sorted(fitting), sorted(set(state) - set(fitting))


def split_carry(carry: Carry) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Divide a carry into tensors and plain values."""
    tensors = {key: value for key, value in carry.items() if isinstance(value, Tensor)}
    return tensors, {key: value for key, value in carry.items() if key not in tensors}


def detach(carry: Carry) -> Carry:
    """Cut a carry off from the graph that made it."""
    return {key: value.detach() if isinstance(value, Tensor) else value for key, value in carry.items()}
