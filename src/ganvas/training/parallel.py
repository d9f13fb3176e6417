"""Several processes as one run: torch.distributed started by torchrun, gradients averaged by one flat all-reduce."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Sequence

import torch
import torch.distributed as distributed
from torch import Tensor, nn

from ganvas import ranks
from ganvas.errors import UserError


def join(device_type: str) -> None:
    """Join the processes that torchrun started; does nothing when this process runs alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not distributed.is_initialized():
        distributed.init_process_group("nccl" if device_type == "cuda" else "gloo")
        if device_type == "cuda":
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))


def leave() -> None:
    """Leave the process group, if this process is in one."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def launch(processes: int, arguments: Sequence[str]) -> int:
    """Start the command line anew in several processes by torchrun and return its exit code."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc-per-node={processes}",
        "-m",
        "ganvas",
        *arguments,
    ]
    return subprocess.call(command)


def barrier() -> None:
    """Wait until every rank is here."""
    if ranks.world_size() > 1:
        distributed.barrier()


def require_even(batch_size: int, world_size: int) -> None:
    """Check that a batch divides over the ranks.

    Raises:
        UserError: it does not.
    """
    if batch_size % world_size:
        below, above = batch_size - batch_size % world_size, batch_size + world_size - batch_size % world_size
        fitting = " or ".join(str(size) for size in (below, above) if size)
        raise UserError(
            f"A batch of {batch_size} does not divide over {world_size} processes", do=f"Use --batch-size {fitting}"
        )


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Average the gradients over all ranks: one flat all-reduce a dtype and device."""
    if ranks.world_size() == 1:
        return
    trained = list(parameters)
    # A parameter without a gradient here may have one on another rank, and every rank must send the same layout; one
    # without a gradient anywhere keeps none, so that the optimiser leaves it alone as it would in one process.
    present = torch.tensor(
        [parameter.grad is not None for parameter in trained], dtype=torch.float32, device=trained[0].device
    )
    distributed.all_reduce(present)
    gradients: list[Tensor] = []
    for parameter, ranks_with_gradient in zip(trained, present.tolist()):
        if ranks_with_gradient:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
    _average_in_place(gradients)


def average_buffers(networks: Iterable[nn.Module]) -> None:
    """Average floating-point buffers (running statistics) over all ranks, so that every rank holds the same network."""
    if ranks.world_size() > 1:
        _average_in_place([b for network in networks for b in network.buffers() if b.is_floating_point()])


def _average_in_place(tensors: Sequence[Tensor]) -> None:
    by_kind: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
    for tensor in tensors:
        by_kind.setdefault((tensor.dtype, tensor.device), []).append(tensor)
    for group in by_kind.values():
        flat = torch.cat([tensor.reshape(-1) for tensor in group])
        distributed.all_reduce(flat)
        flat /= ranks.world_size()
        for tensor, part in zip(group, flat.split([tensor.numel() for tensor in group])):
            tensor.copy_(part.view_as(tensor))


def any_rank(flag: bool) -> bool:
    """Tell whether the flag is set on any rank: a signal reaches the processes at different steps."""
    if ranks.world_size() == 1:
        return flag
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    tensor = torch.tensor(float(flag), device=device)
    distributed.all_reduce(tensor, distributed.ReduceOp.MAX)
    return bool(tensor.item())
