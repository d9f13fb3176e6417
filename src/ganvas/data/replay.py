"""A pool of past fakes for the discriminator, so that it does not forget what the generator made some time ago.

The pool is a flat dict of tensors that lives in a recipe's carry: it stands in every checkpoint, and each rank has its
own. Nothing is changed in place. Floats are stored as 8 bits in the very moment in which they enter, so that what a
resumed run takes out of a checkpoint is what an uninterrupted run would have used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ganvas.errors import UserError

PREFIX = "replay"


class Replayed(NamedTuple):
    """What the discriminator is to be shown, and the pool for the next step."""

    fake: Tensor
    """(B, ...) as it was given, some rows replaced by past fakes."""
    condition: Tensor | None
    """The conditions that belong to those fakes, row by row."""
    pool: dict[str, Any]
    """Entries `PREFIX.fake`, `PREFIX.condition` and `PREFIX.count`, to be put into the carry."""


@torch.no_grad()
def exchange(
    pool: Mapping[str, Any],
    fake: Tensor,
    random: torch.Generator,
    *,
    size: int,
    condition: Tensor | None = None,
    share: float = 0.5,
    span: tuple[float, float] = (-1.0, 1.0),
    prefix: str = PREFIX,
) -> Replayed:
    """Exchange some of a batch's fakes for past ones, which they replace in the pool.

    Until the pool is full, fakes are put into it and shown as they are. From then on each is exchanged with
    probability `share`, no two for the same entry. A fake and the condition it was made from stay together.
    Source: Shrivastava et al. 2017 (SimGAN), section 2.3, half of a batch from the history; per sample as in CycleGAN.

    Args:
        pool: what an earlier call returned, or any carry; without entries of this prefix the pool is empty.
        fake: (B, ...) detached or not; the result is detached.
        random: source of chance, on the CPU.
        size: entries that the pool holds.
        condition: (B, ...) what the fakes were made from; integers are stored as they are.
        share: probability of an exchange.
        span: smallest and largest value of floating-point fakes and conditions, which 8 bits are spread over.
        prefix: what the pool's entries begin with.

    Raises:
        UserError: the size is not positive, or the fakes have another shape than those in the pool.
    """
    if size < 1:
        raise UserError(f"A replay pool cannot hold {size} fakes", do="Use 50 as the papers do, or leave it out")
    given = {"fake": fake.detach()} | ({} if condition is None else {"condition": condition.detach()})
    count = min(int(pool.get(f"{prefix}.count", 0)), size)
    stored = {name: _stored(pool, f"{prefix}.{name}", value, size) for name, value in given.items()}
    new = min(len(fake), size - count)
    chosen = torch.nonzero(torch.rand(len(fake), generator=random) < share).flatten()
    # Only a fake that found no room may be exchanged, and only for what was there before this batch.
    chosen = chosen[chosen >= new][:count]
    places = torch.randperm(max(count, 1), generator=random)[: len(chosen)]
    shown = {name: value.clone() for name, value in given.items()}
    for name, value in given.items():
        rows, slots = chosen.to(value.device), places.to(value.device)
        shown[name][rows] = _restore(stored[name][slots], value.dtype, span)
        stored[name][slots] = _reduce(value[rows], span)
        stored[name][count : count + new] = _reduce(value[:new], span)
    kept: dict[str, Any] = {f"{prefix}.{name}": value for name, value in stored.items()}
    return Replayed(shown["fake"], shown.get("condition"), kept | {f"{prefix}.count": count + new})


def _stored(pool: Mapping[str, Any], name: str, like: Tensor, size: int) -> Tensor:
    """Return a copy of the entries of one kind with room for `size` of them."""
    dtype = torch.uint8 if like.is_floating_point() else like.dtype
    room = torch.zeros((size, *like.shape[1:]), dtype=dtype, device=like.device)
    before = pool.get(name)
    if before is None:
        return room
    if before.shape[1:] != like.shape[1:]:
        why = f"It holds {tuple(before.shape[1:])}, the batch has {tuple(like.shape[1:])}"
        raise UserError("The replay pool holds pictures of another shape", why, "Begin a new pool where shapes change")
    room[: len(before)] = before[:size]
    return room


def _reduce(value: Tensor, span: tuple[float, float]) -> Tensor:
    if not value.is_floating_point():
        return value
    low, high = span
    return ((value.float() - low) * (255 / (high - low))).round().clamp(0, 255).to(torch.uint8)


def _restore(value: Tensor, dtype: torch.dtype, span: tuple[float, float]) -> Tensor:
    if not dtype.is_floating_point:
        return value
    low, high = span
    return (value.float() * ((high - low) / 255) + low).to(dtype)
