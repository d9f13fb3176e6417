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
    norms = batch_norms(network).values()
    modes = [(module, module.training) for module in network.modules()]
    momenta = [norm.momentum for norm in norms]
    network.eval()
    try:
        for norm in norms:
            norm.reset_running_stats()
            # No momentum is torch's word for the plain mean over all batches.
            norm.momentum = None
            norm.train()
        if norms:
            for inputs in batches:
                network(*inputs)
    finally:
        for norm, momentum in zip(norms, momenta):
            norm.momentum = momentum
        for module, training in modes:
            module.training = training


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
