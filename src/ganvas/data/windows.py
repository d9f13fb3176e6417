"""Windows of clips, cut into chunks: what one training step of a video recipe is given, in order, at its size."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.data.clips import PLACES, Clips, Planes, condition_of
from ganvas.data.flow import chain


class Place(NamedTuple):
    """Where a step stands: the windows of its batch, how many of their frames are made, and at which size.

    A window of `length` frames to be made has one more, its first, which is given or thrown away.
    """

    windows: tuple[tuple[int, ...], ...]
    """Addresses, as in the samples of `Clips`."""
    made: int
    length: int
    shrink: int = 1
    """Sides of the files divided by those of the pictures."""

    def coins(self, share: float) -> Tensor:
        """Return (B,) bool, True for that share of all windows, the same at every step of a window."""
        return torch.tensor([window[3] < share * PLACES for window in self.windows])


class Chunk(NamedTuple):
    """Consecutive frames of a batch of windows; pictures in [-1, 1]."""

    labels: Tensor
    """(B, T, N, H, W) conditions."""
    labels_before: Tensor
    """(B, n - 1, N, H, W) those of the frames before, oldest first."""
    real: Tensor
    """(B, T, 3, H, W)"""
    real_before: Tensor
    """(B, T, 3, H, W) for each frame the one before it."""
    flow: Tensor | None
    """(B, T, 2, H, W) to the frame before, in pixels of this size."""
    trust: Tensor | None
    """(B, T, 1, H, W) 1 where the flow is known."""


@dataclass
class Windows:
    """Reads the chunks of windows from the sources of a recipe."""

    sources: list[Clips]
    num_labels: int
    with_edges: bool
    memory: int
    """Frames before this one that the generator is shown (n - 1)."""

    def chunk(self, place: Place, frames: int, given: Tensor, device: torch.device) -> Chunk:
        """Return the next frames of each window.

        Args:
            place: where the step stands.
            frames: how many.
            given: (B,) whether a window's first frame was given, so that its labels count as seen.
            device: where the tensors are wanted.
        """
        numbers = range(place.made + 1, place.made + 1 + frames)
        parts = self._read(place, [[number - 1, *numbers][:] for number in [numbers[0]] * len(place.windows)])
        firsts = [0 if is_given else 1 for is_given in given.tolist()]
        before = [[max(first, numbers[0] - back) for back in range(self.memory, 0, -1)] for first in firsts]
        labels_before = [self._labels(planes) for planes in self._read(place, before, with_flow=False)]
        real = torch.stack([planes["picture"] for planes in parts]).to(device) * 2 - 1
        flow = torch.stack([planes["flow"][1:] for planes in parts]).to(device) if "flow" in parts[0] else None
        trust = torch.stack([planes["trust"][1:] for planes in parts]).to(device) if "trust" in parts[0] else None
        labels = torch.stack([self._labels(planes)[1:] for planes in parts]).to(device)
        return Chunk(labels, torch.stack(labels_before).to(device), real[:, 1:], real[:, :-1], flow, trust)

    def strided(
        self, place: Place, last: int, stride: int, number: int, device: torch.device
    ) -> tuple[Tensor, Tensor | None]:
        """Return real frames a stride apart, ending at a made frame, and the flow from each to the one before it.

        (B, K, 3, H, W) in [-1, 1], (B, K - 1, 2, H, W) in pixels; frame 0 is the first that is made.
        """
        first = last - (number - 1) * stride
        parts = self._read(place, [list(range(first + 1, last + 2))] * len(place.windows))
        real = torch.stack([planes["picture"][::stride] for planes in parts]).to(device) * 2 - 1
        if "flow" not in parts[0]:
            return real, None
        steps = torch.stack([planes["flow"] for planes in parts]).to(device)
        flows = []
        for end in range(stride, (number - 1) * stride + 1, stride):
            flow = steps[:, end]
            for back in range(1, stride):
                flow = chain(flow, steps[:, end - back])
            flows.append(flow)
        return real, torch.stack(flows, dim=1)

    def _labels(self, planes: Planes) -> Tensor:
        return condition_of(planes, self.num_labels, self.with_edges)

    def _read(self, place: Place, numbers: Sequence[Sequence[int]], with_flow: bool = True) -> list[Planes]:
        def one(window: tuple[int, ...], frames: Sequence[int]) -> Planes:
            source = self.sources[window[0]]
            start = source.start_of(window, place.length + 1)
            planes = source.read(window[1], [start + frame for frame in frames], with_flow)
            return shrunk(planes, place.shrink)

        if len(place.windows) == 1:
            return [one(place.windows[0], numbers[0])]
        with ThreadPoolExecutor(min(4, len(place.windows))) as pool:
            return list(pool.map(one, place.windows, numbers))


def shrunk(planes: Planes, factor: int) -> Planes:
    """Return planes with sides divided by a whole factor: pictures averaged, ids picked, flows also divided by it."""
    if factor == 1:
        return planes
    small: Planes = {}
    for name, plane in planes.items():
        if name.endswith("_map"):
            small[name] = plane[..., factor // 2 :: factor, factor // 2 :: factor]
        else:
            small[name] = F.avg_pool2d(plane, factor)
    if "flow" in small:
        small["flow"] = small["flow"] / factor
        small["trust"] = (small["trust"] > 0.99).float()
    return small
