"""Standing statistics: what batch norms use at sampling, measured anew instead of remembered from training."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

Norms = dict[str, nn.BatchNorm2d]


def batch_norms(network: nn.Module) -> Norms:
    """Return the batch norms of a network that keep statistics, by name."""
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.BatchNorm2d) and module.track_running_stats
    }


@torch.no_grad()
def renew_statistics(network: nn.Module, batches: Iterable[tuple[Tensor, ...]]) -> None:
    """Replace the running mean and variance of all batch norms by their means over the batches of these inputs.

    Statistics gathered in training lag behind the weights, and those of an averaged generator belong to another one.
    Everything but the norms stays in eval mode. Source: Brock et al. 2019, section 3.1 and appendix C.

    Args:
        network: any network with batch norm; without one nothing happens.
        batches: arguments of its forward.
    """
    watched = [_Watched(norm) for norm in batch_norms(network).values()]
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        if watched:
            for inputs in batches:
                network(*inputs)
    finally:
        for norm in watched:
            norm.finish()
        for module, training in modes:
            module.training = training


class _Watched:
    """A batch norm that normalises each batch by its own statistics and remembers their mean.

    Not by training mode: a norm synced over ranks would then wait for ranks that make no preview.
    """

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        assert norm.running_mean is not None, "only norms that keep statistics are watched"
        self.norm, self.count = norm, 0
        self.mean = torch.zeros_like(norm.running_mean, dtype=torch.float64)
        self.variance = torch.zeros_like(self.mean)
        self.hook = norm.register_forward_pre_hook(self._look)

    def _look(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0]
        x = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        variance, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)
        self._set(mean, variance)
        number = x.numel() // x.shape[1]
        self.count += 1
        self.mean += mean
        self.variance += variance * (number / max(1, number - 1))

    def _set(self, mean: Tensor, variance: Tensor) -> None:
        norm = self.norm
        if norm.running_mean is not None and norm.running_var is not None:
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)

    def finish(self) -> None:
        """Take the hook off and leave the means over all batches in the norm."""
        self.hook.remove()
        if self.count:
            self._set(self.mean / self.count, self.variance / self.count)


def statistics_of(network: nn.Module) -> dict[str, Tensor]:
    """Return the running means and variances of all batch norms: `NAME.mean` and `NAME.var`."""
    found: dict[str, Tensor] = {}
    for name, norm in batch_norms(network).items():
        if norm.running_mean is not None and norm.running_var is not None:
            found |= {f"{name}.mean": norm.running_mean.clone(), f"{name}.var": norm.running_var.clone()}
    return found


@torch.no_grad()
def set_statistics(network: nn.Module, statistics: dict[str, Tensor]) -> None:
    """Put means and variances, named as `statistics_of` names them, into the batch norms.

    Raises:
        KeyError: those of a norm are missing.
    """
    for name, norm in batch_norms(network).items():
        if norm.running_mean is not None and norm.running_var is not None:
            norm.running_mean.copy_(statistics[f"{name}.mean"])
            norm.running_var.copy_(statistics[f"{name}.var"])
