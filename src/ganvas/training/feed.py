"""The endless stream of batches: which sample comes when is a function of (seed, position) alone.

The stream is one global order of samples, cut into global batches, cut into ranks. So it can be resumed at any
position, and a run resumed on another number of ranks visits the same samples in the same order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvas.errors import UserError
from ganvas.protocol import Source

Raw = dict[str, Tensor]


def order(length: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order of the samples in an epoch."""
    return np.random.default_rng([seed, epoch]).permutation(length)


class Feed:
    """Draws batches from a source, reading ahead in threads; `position` counts the samples drawn by all ranks."""

    def __init__(
        self,
        source: Source,
        seed: int,
        position: int = 0,
        rank: int = 0,
        world_size: int = 1,
        workers: int = 2,
        ahead: int = 3,
    ) -> None:
        """Start at a position; with no workers every batch is prepared when it is drawn."""
        if len(source) == 0:
            raise UserError("The data set is empty")
        self.source, self.seed, self.position = source, seed, position
        self.rank, self.world_size, self.workers, self.ahead = rank, world_size, workers, ahead
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="ganvas-feed") if workers > 0 else None
        self._queue: deque[tuple[tuple[int, int, int], list[Future[list[Raw]]]]] = deque()
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, int))

    def serve(self, source: Source) -> None:
        """Draw from another form of the same samples from now on."""
        if len(source) != len(self.source):
            raise UserError(f"A stage has {len(source)} samples of {len(self.source)}", "Each must have all of them")
        self._drop_queue()
        self.source = source

    @property
    def parts(self) -> int:
        """How many batches in a row a sample lasts for."""
        return getattr(self.source, "parts", 1)

    def draw(self, batch_size: int, number: int = 0) -> Raw:
        """Return this rank's part of the next global batch, stacked: name -> (batch_size / ranks, ...).

        Args:
            batch_size: samples over all ranks.
            number: of this batch since the stage began, which tells the part where samples have several.
        """
        wanted = (self.position, batch_size, number % self.parts)
        if self._pool is None:
            samples = self._samples(self._places(*wanted), wanted[2])
        else:
            samples = [sample for future in self._next(self._pool, wanted) for sample in future.result()]
        self.position += batch_size
        return collate(samples)

    def _next(self, pool: ThreadPoolExecutor, wanted: tuple[int, int, int]) -> list[Future[list[Raw]]]:
        if self._queue and self._queue[0][0] != wanted:
            self._drop_queue()
        position, batch_size, part = wanted
        for ahead in range(len(self._queue), self.ahead + 1):
            follower = (position + ahead * batch_size, batch_size, (part + ahead) % self.parts)
            places = self._places(*follower)
            # Several samples a task: where they are quick to make, handing out tasks would take longer than that.
            size = max(1, len(places) // (2 * self.workers))
            tasks = [pool.submit(self._samples, places[i : i + size], follower[2]) for i in range(0, len(places), size)]
            self._queue.append((follower, tasks))
        return self._queue.popleft()[1]

    def _places(self, start: int, batch_size: int, part: int) -> list[tuple[int, int]]:
        """Return epoch and number of each of this rank's samples of a global batch."""
        share = batch_size // self.world_size
        # The later parts are of the samples that the first one was of.
        first = start - part * batch_size + self.rank * share
        return [self._locate(position) for position in range(first, first + share)]

    def _locate(self, position: int) -> tuple[int, int]:
        epoch, place = divmod(position, len(self.source))
        if self._order[0] != epoch:
            self._order = (epoch, order(len(self.source), self.seed, epoch))
        return epoch, int(self._order[1][place])

    def _samples(self, places: Sequence[tuple[int, int]], part: int) -> list[Raw]:
        source: Any = self.source
        chance = [np.random.default_rng([self.seed, epoch, index, 1]) for epoch, index in places]
        if self.parts > 1:
            return [source.part(index, random, part) for (_, index), random in zip(places, chance)]
        return [source.sample(index, random) for (_, index), random in zip(places, chance)]

    def _drop_queue(self) -> None:
        for _, futures in self._queue:
            for future in futures:
                future.cancel()
        self._queue.clear()

    def close(self) -> None:
        """Stop reading ahead."""
        self._drop_queue()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


def collate(samples: Sequence[Raw]) -> Raw:
    """Stack equal samples into a batch: name -> (B, ...)."""
    return {key: torch.stack([sample[key] for sample in samples]) for key in samples[0]}
