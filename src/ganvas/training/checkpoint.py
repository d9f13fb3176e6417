"""How the state of a run becomes named tensors and plain values, and becomes the state of a run again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ganvas.errors import UserError
from ganvas.networks import blueprint
from ganvas.protocol import Carry, Networks


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


def require_fit(build: Callable[[], Networks], tensors: Mapping[str, Tensor], where: str) -> None:
    """Check that saved tensors fill the networks that a recipe would build, before it builds them.

    Raises:
        UserError: they are other networks; a tensor that differs is named.
    """
    try:
        wanted = blueprint.shapes_of(build, len(tensors))
    except blueprint.TooManyLayers as error:
        why = f"Its settings ask for many more layers than the {len(tensors)} tensors of the checkpoint fill"
        raise UserError(f"{where} is not a checkpoint of these settings", why) from error
    except NotImplementedError:
        # A user's recipe may compute with what it builds, which the meta device cannot.
        return
    flat = {f"{name}/{key}": shape for name, shapes in wanted.items() for key, shape in shapes.items()}
    blueprint.require_fit(flat, {key: tuple(value.shape) for key, value in tensors.items()}, where)


def initialise(net: nn.Module, tensors: Mapping[str, Tensor]) -> tuple[list[str], list[str]]:
    """Load what fits of other weights into a network; return the names taken, and the names left newly initialised."""
    state = net.state_dict()
    fitting = {key: value for key, value in tensors.items() if key in state and state[key].shape == value.shape}
    net.load_state_dict(fitting, strict=False)
    return sorted(fitting), sorted(set(state) - set(fitting))


# The carry


def settle(carry: Carry, device: torch.device, channels_last: bool) -> Carry:
    """Cut a carry off from the graph that made it, and lay its tensors out as they will lie after a resumption.

    A convolution sums in another order over another layout, so a carry that came back from disk in a layout of its own
    would end exact resume.

    Raises:
        UserError: the carry holds something that a checkpoint cannot keep.
    """
    settled: Carry = {}
    for key, value in carry.items():
        if isinstance(value, Tensor):
            layout = torch.channels_last if channels_last and value.ndim == 4 else torch.contiguous_format
            settled[key] = torch.empty(value.shape, dtype=value.dtype, device=device, memory_format=layout)
            settled[key].copy_(value.detach())
        elif value is None or isinstance(value, (bool, int, float, str)):
            settled[key] = value
        else:
            raise UserError(
                f"The recipe carries {key!r}, of type {type(value).__name__}",
                "A carry is a flat dict of tensors, numbers and texts, so that checkpoints can hold it",
            )
    return settled


def split_carry(carry: Carry) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Divide a carry into tensors and plain values."""
    tensors = {key: value for key, value in carry.items() if isinstance(value, Tensor)}
    return tensors, {key: value for key, value in carry.items() if key not in tensors}


def mend_carry(carry: Carry, earlier: Carry) -> Carry:
    """Return a carry in which every tensor that holds NaN or infinity is that of an earlier carry, or zero."""
    mended = dict(carry)
    for key, value in carry.items():
        if isinstance(value, Tensor) and not torch.isfinite(value).all():
            before = earlier.get(key)
            mended[key] = torch.zeros_like(value)
            if isinstance(before, Tensor) and before.shape == value.shape:
                mended[key].copy_(before)
    return mended
