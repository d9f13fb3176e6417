"""Several processes as one run: torch.distributed started by torchrun, gradients averaged by one flat all-reduce."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as distributed
from torch import Tensor, nn

from ganvas import ranks
from ganvas.errors import UserError
from ganvas.training.interruption import STOPPED, Interruption, end_with_parent

T = TypeVar("T")


PATIENCE = timedelta(hours=2)
"""How long a rank waits for the others: the first one may be scoring a large validation set meanwhile."""


def join(device_type: str) -> None:
    """Join the processes that torchrun started; does nothing when this process runs alone."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        end_with_parent(signal.SIGKILL)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not distributed.is_initialized():
        if device_type == "cuda":
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        distributed.init_process_group("nccl" if device_type == "cuda" else "gloo", timeout=PATIENCE)


@contextlib.contextmanager
def joined(device_type: str) -> Iterator[None]:
    """Be one of the processes that torchrun started, if it did.

    Raises:
        RankLost: another of them has ended.
    """
    join(device_type)
    try:
        yield
    except RuntimeError as error:
        if is_rank_lost(error):
            raise RankLost(str(error)) from error
        raise
    finally:
        leave()


def leave() -> None:
    """Leave the process group, if this process is in one."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def launch(processes: int, arguments: Sequence[str]) -> int:
    """Start the command line anew in several processes by torchrun and return its exit code, 130 if stopped."""
    command = [
        sys.executable,
        "-m",
        "ganvas.training.agent",
        "--standalone",
        f"--nproc-per-node={processes}",
        "-m",
        "ganvas",
        *arguments,
    ]
    with Interruption() as interruption:
        # In a session of its own: a terminal's Ctrl-C then reaches the ranks once, by way of torchrun.
        # Python would look for modules in the working folder first, which may be a run folder: data, never code.
        environment = {**os.environ, "PYTHONSAFEPATH": "1"}
        child = subprocess.Popen(command, start_new_session=True, env=environment)
        passed_on = False
        while (code := _wait(child)) is None:
            if interruption.asked and not passed_on:
                passed_on = True
                child.terminate()
    return STOPPED if interruption.asked else code


def _wait(child: subprocess.Popen[bytes]) -> int | None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        return child.wait(0.2)
    return None


def barrier() -> None:
    """Wait until every rank is here."""
    if ranks.world_size() > 1:
        distributed.barrier()


def on_first(action: Callable[[], T]) -> T | None:
    """Do something on the first rank; its error ends every rank, and is told once."""
    value, error = None, None
    if ranks.rank() == 0:
        try:
            value = action()
        except UserError as raised:
            error = raised
    if from_first(error is not None):
        raise error or SystemExit(1)
    return value


def require_same(facts: Mapping[str, Any]) -> None:
    """Check that all ranks say the same of themselves.

    Raises:
        UserError: some fact is another one on another rank; raised on the first rank, the others end.
    """
    everybody = gather(dict(facts))

    def compare() -> None:
        for rank, theirs in enumerate(everybody):
            other = [key for key in {**facts, **theirs} if theirs.get(key) != facts.get(key)]
            if other:
                raise UserError(
                    f"Ranks 0 and {rank} are not of one run",
                    "; ".join(f"{key} is {facts.get(key)!r} and {theirs.get(key)!r}" for key in other),
                    "Give every rank the same options and the same data",
                )

    on_first(compare)


class RankLost(UserError):
    """Another rank has ended, and this one cannot go on without it."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"Rank {ranks.rank()} stopped because another rank has ended",
            why.splitlines()[0][:200] if why else "",
            "What that rank has printed says why; --resume continues the run from its newest checkpoint",
        )


def is_rank_lost(error: BaseException) -> bool:
    """Tell whether an error means that another rank is gone."""
    if ranks.world_size() == 1 or not isinstance(error, RuntimeError):
        return False
    return isinstance(error, distributed.DistError) or any(sign in str(error) for sign in ("gloo/transport", "NCCL"))


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
    if not trained:
        return
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


def average(values: Tensor) -> Tensor:
    """Return the mean of a tensor over all ranks, the same to the bit on each of them."""
    if ranks.world_size() == 1 or not values.numel():
        return values
    _average_in_place([values := values.clone()])
    return values


def gather(value: Any) -> list[Any]:
    """Return a plain value of every rank, in rank order."""
    if ranks.world_size() == 1:
        return [value]
    values: list[Any] = [None] * ranks.world_size()
    distributed.all_gather_object(values, value)
    return values


def from_first(value: T) -> T:
    """Return the first rank's value on every rank."""
    if ranks.world_size() == 1:
        return value
    values = [value]
    distributed.broadcast_object_list(values)
    return values[0]


def copy_from_first(tensors: Iterable[Tensor]) -> None:
    """Overwrite tensors by the first rank's."""
    if ranks.world_size() == 1:
        return
    for tensor in tensors:
        # Collectives see memory, not axes: a layout that differs between ranks would permute what arrives.
        plain = tensor.detach().clone(memory_format=torch.contiguous_format)
        distributed.broadcast(plain, 0)
        tensor.detach().copy_(plain)
