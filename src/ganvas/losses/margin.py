"""The margin of a discriminator: noted where an adversarial loss compares scores, read by whoever watches a training.

So no recipe need report it, and every log means the same by it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar

import torch
from torch import Tensor

_noted: ContextVar[list[Tensor] | None] = ContextVar("margins", default=None)


@contextlib.contextmanager
def noted() -> Iterator[list[Tensor]]:
    """Give a list to which each comparison of real with fake scores in the body adds its margin, a scalar."""
    margins: list[Tensor] = []
    token = _noted.set(margins)
    try:
        yield margins
    finally:
        _noted.reset(token)


def note(real: Sequence[Tensor], fake: Sequence[Tensor]) -> None:
    """Note the mean real score minus the mean fake one, a mean over scales; does nothing where nobody asks."""
    margins = _noted.get()
    if margins is not None:
        scales = [r.detach().mean() - f.detach().mean() for r, f in zip(real, fake, strict=True)]
        margins.append(torch.stack(scales).mean())
