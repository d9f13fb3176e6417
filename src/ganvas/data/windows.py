"""Windows of clips, cut into chunks: what one training step of a video recipe is given, in order, at its size."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.data.clips import PLACES, Clips, Planes, condition_of
from ganvas.data.conditions import segments
from ganvas.data.flow import chain
from ganvas.networks.pix2pixhd import average_over_instances


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
    shown: Tensor | None = None
    """(B, n - 1 + T, 3, H, W) real pictures of all frames whose labels are seen, for an encoder of styles."""
    regions: Tensor | None = None
    """(B, n - 1 + T, 1, H, W) an id for each instance of a class in them."""


@dataclass
class Windows:
    """Reads the chunks of windows from the sources of a recipe."""

    sources: list[Clips]
    num_labels: int
    with_edges: bool
    memory: int
    """Frames before this one that the generator is shown (n - 1)."""
    with_styles: bool = False
    """Read what an encoder of styles wants, too."""

    def chunk(self, place: Place, frames: int, given: Tensor, device: torch.device) -> Chunk:
        """Return the next frames of each window.

        Args:
            place: where the step stands.
            frames: how many.
            given: (B,) whether a window's first frame was given, so that its labels count as seen.
            device: where the tensors are wanted.
        """
        numbers = range(place.made + 1, place.made + 1 + frames)
        parts = self._read(place, [[numbers[0] - 1, *numbers]] * len(place.windows))
        firsts = [0 if is_given else 1 for is_given in given.tolist()]
        before = [[max(first, numbers[0] - back) for back in range(self.memory, 0, -1)] for first in firsts]
        earlier = self._read(place, before, with_flow=False)
        labels_before = torch.stack([self._labels(planes) for planes in earlier]).to(device)
        real = torch.stack([planes["picture"] for planes in parts]).to(device) * 2 - 1
        flow = torch.stack([planes["flow"][1:] for planes in parts]).to(device) if "flow" in parts[0] else None
        trust = torch.stack([planes["trust"][1:] for planes in parts]).to(device) if "trust" in parts[0] else None
        labels = torch.stack([self._labels(planes)[1:] for planes in parts]).to(device)
        chunk = Chunk(labels, labels_before, real[:, 1:], real[:, :-1], flow, trust)
        if not self.with_styles:
            return chunk
        shown = torch.stack([planes["picture"] for planes in earlier]).to(device) * 2 - 1
        regions = [torch.cat([_regions(old), _regions(new)[1:]]) for old, new in zip(earlier, parts)]
        return chunk._replace(shown=torch.cat([shown, real[:, 1:]], 1), regions=torch.stack(regions).to(device))

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


def _regions(planes: Planes) -> Tensor:
    return segments(planes["label_map"], planes.get("instance_map", planes["label_map"]))


def style_planes(encoder: nn.Module, shown: Tensor, regions: Tensor) -> Tensor:
    """Return the style of each region at its pixels: an encoder's features, averaged over all frames that show it.

    (B, T, 3, H, W), (B, T, 1, H, W) -> (B, T, F, H, W)
    """
    batch, frames, _, height, _ = shown.shape
    features = encoder(shown.flatten(0, 1)).unflatten(0, (batch, frames))
    # One tall picture of all frames, so that a region is the same in each of them.
    tall, ids = (planes.transpose(1, 2).flatten(2, 3) for planes in (features, regions))
    return average_over_instances(tall, ids).unflatten(2, (frames, height)).transpose(1, 2)


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
