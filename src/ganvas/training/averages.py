"""Exponential moving averages of networks, by half-life in images."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch

from ganvas.protocol import Networks

SHARE_OF_THE_PAST = 0.1
"""The half-life is at most this share of the images seen: a long memory would hold on to the random start."""


class Averages:
    """Moving averages of some networks' parameters; buffers (running statistics) are copied, not averaged."""

    def __init__(self, nets: Networks, names: Iterable[str], half_life: float) -> None:
        self.half_life = half_life
        self.nets = Networks(
            {name: copy.deepcopy(nets[name]).eval().requires_grad_(False) for name in sorted(names)}
            if half_life
            else {}
        )

    def restart(self, nets: Networks) -> None:
        """Begin the averages anew from the networks' present weights."""
        for name, average in self.nets.items():
            average.load_state_dict(nets[name].state_dict())

    @torch.no_grad()
    def update(self, nets: Networks, images: int, images_seen: int) -> None:
        """Move the averages towards the networks after a step of so many images, `images_seen` with them.

        Each step keeps 0.5 ** (images / half_life) of the average.
        """
        half_life = min(self.half_life, SHARE_OF_THE_PAST * images_seen)
        keep = 0.5 ** (images / half_life) if half_life > 0 else 0.0
        for name, average in self.nets.items():
            for value, target in zip(average.parameters(), nets[name].parameters()):
                value.lerp_(target, 1 - keep)
            for value, target in zip(average.buffers(), nets[name].buffers()):
                value.copy_(target)
