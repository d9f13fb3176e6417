"""Means and gathers over all processes of a run, with gradients through them; plain local arithmetic in one process."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as distributed
from torch import Tensor


def rank() -> int:
    """Return this process's number, 0 when there is only one."""
    return distributed.get_rank() if distributed.is_available() and distributed.is_initialized() else 0


def world_size() -> int:
    """Return the number of processes of the run, 1 when it is not distributed."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


class _Sum(torch.autograd.Function):
    # The sum over ranks enters every rank's loss, so its gradient is the sum of the gradients of all ranks: the same
    # function again, which also makes second derivatives (gradient penalties) right.
    @staticmethod
    def forward(_: Any, tensor: Tensor) -> Tensor:
        # Collectives add memory in its own order, which must therefore be the same on every rank.
        result = tensor.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(result)
        return result

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _Sum.apply(gradient)  # pyright: ignore[reportReturnType]


def sum_over_ranks(tensor: Tensor) -> Tensor:
    """Return the sum of a tensor over all ranks, differentiable; the tensor itself in one process."""
    return _Sum.apply(tensor) if world_size() > 1 else tensor  # pyright: ignore[reportReturnType]


def mean_over_ranks(tensor: Tensor) -> Tensor:
    """Return the mean of a tensor over all ranks, differentiable; the tensor itself in one process."""
    return sum_over_ranks(tensor) / world_size() if world_size() > 1 else tensor


def gather_over_ranks(tensor: Tensor) -> Tensor:
    """Return the tensors of all ranks joined along the batch, in rank order, differentiable: (B, ...) -> (N*B, ...)."""
    if world_size() == 1:
        return tensor
    # Each rank writes its part into zeros and the parts are summed: one collective whose gradient is already right.
    slots = tensor.new_zeros((world_size(), *tensor.shape))
    slots = torch.index_add(slots, 0, torch.tensor([rank()], device=tensor.device), tensor[None])
    return sum_over_ranks(slots).flatten(0, 1)
