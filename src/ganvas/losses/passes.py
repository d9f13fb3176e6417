"""Two passes over the micro-batches of one step, after which a loss that couples samples is that of their union.

The first pass scores every micro-batch; the whole batch's loss and its gradient at every score follow. The second pass
scores again and hands each micro-batch its share of that gradient. `AdversarialLoss(exact_means=True)` takes part by
itself wherever passes are active, so that no recipe need know of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor


class Shares(Protocol):
    """What the first pass found: the whole batch's loss, and its gradient at every score."""

    def micro_batch_loss(self, real: Any, fake: Any, start: int) -> Tensor: ...


class Coupled(Protocol):
    """A loss that couples the samples of a batch."""

    def score_gradients(self, real: Any, fake: Any, side: Any) -> Shares: ...


@dataclass
class _Call:
    """One use of a loss in a turn: its scores of every micro-batch so far, by scale."""

    loss: Coupled
    side: str
    reals: list[list[Tensor] | None] = field(default_factory=list)
    fakes: list[list[Tensor]] = field(default_factory=list)
    shares: Shares | None = None


class Passes:
    """The scores of a turn's micro-batches: recorded in the first pass, shared out in the second."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._next = 0
        self._batch = -1

    @contextlib.contextmanager
    def micro_batch(self, number: int) -> Iterator[None]:
        """Let the losses of one micro-batch take part; numbers count from 0 in each pass."""
        self._batch, self._next = number, 0
        token = _active.set(self)
        try:
            yield
        finally:
            _active.reset(token)

    def end_first(self) -> None:
        """Compute the losses of the whole batch; afterwards the second pass begins."""
        for call in self._calls:
            missing = any(real is None for real in call.reals)
            real = None if missing else _joined([real for real in call.reals if real is not None])
            call.shares = call.loss.score_gradients(real, _joined(call.fakes), call.side)

    @property
    def is_used(self) -> bool:
        """Tell whether any loss took part in the first pass."""
        return bool(self._calls)

    def share(self, loss: Coupled, side: str, real: list[Tensor] | None, fake: list[Tensor]) -> Tensor | None:
        """Return this micro-batch's loss in the second pass; None in the first, in which the scores are noted."""
        place, self._next = self._next, self._next + 1
        if self._batch == 0 and len(self._calls) == place:
            self._calls.append(_Call(loss, side))
        call = self._calls[place]
        if call.shares is not None:
            start = sum(len(scores[0]) for scores in call.fakes[: self._batch])
            return call.shares.micro_batch_loss(real, fake, start)
        call.reals.append(None if real is None else [score.detach() for score in real])
        call.fakes.append([score.detach() for score in fake])
        return None


_active: ContextVar[Passes | None] = ContextVar("passes", default=None)


def active() -> Passes | None:
    """Return the passes that are being made, if any."""
    return _active.get()


def _joined(batches: list[list[Tensor]]) -> list[Tensor]:
    return [torch.cat(scales) for scales in zip(*batches, strict=True)]
