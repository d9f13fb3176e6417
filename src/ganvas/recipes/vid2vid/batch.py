"""A chunk of consecutive frames of each window, as vid2vid's networks and losses see it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ganvas.data.clips import condition_of
from ganvas.data.conditions import segments
from ganvas.flow import chain
from ganvas.protocol import Carry
from ganvas.values import to_range


class Batch(NamedTuple):
    """The next T frames of each window; pictures in [-1, 1], flows in pixels to the frame before."""

    windows: Tensor
    """(B, 3) addresses."""
    made: int
    """Frames of the windows that are generated already."""
    given: Tensor
    """(B,) whether a window's first frame is given."""
    labels: Tensor
    """(B, T, N, H, W) conditions."""
    labels_before: Tensor
    """(B, n - 1, N, H, W) those of the frames before, oldest first."""
    reals: Tensor
    """(B, R + 1 + T, 3, H, W) the real frames, from R before the last generated one on."""
    flows: Tensor | None
    """(B, R + 1 + T, 2, H, W)."""
    trusts: Tensor | None
    """(B, R + 1 + T, 1, H, W) 1 where the flow is known."""
    shown: Tensor | None = None
    """(B, n - 1 + T, 3, H, W) real pictures of all frames whose labels are seen, for an encoder of styles."""
    regions: Tensor | None = None
    """(B, n - 1 + T, 1, H, W) an id for each instance of a class in them."""

    @property
    def num_frames(self) -> int:
        """Frames of the chunk (T)."""
        return self.labels.shape[1]

    @property
    def target(self) -> Tensor:
        """What the chunk's frames should look like: (B, T, 3, H, W)."""
        return self.reals[:, -self.num_frames :]

    @property
    def target_before(self) -> Tensor:
        """For each frame the real one before it: (B, T, 3, H, W)."""
        return self.reals[:, -self.num_frames - 1 : -1]

    @property
    def flow(self) -> Tensor | None:
        """(B, T, 2, H, W)."""
        return None if self.flows is None else self.flows[:, -self.num_frames :]

    @property
    def trust(self) -> Tensor | None:
        """(B, T, 1, H, W)."""
        return None if self.trusts is None else self.trusts[:, -self.num_frames :]

    def strided(self, last: int, stride: int, number: int) -> tuple[Tensor, Tensor | None]:
        """Return real frames a stride apart, ending at a generated frame, and the flow from each to the one before it.

        (B, K, 3, H, W), (B, K - 1, 2, H, W); frame 0 is the first that is generated.
        """
        span = (number - 1) * stride
        # Counted from the end, which is the frame made + T - 1.
        stop = self.reals.shape[1] - (self.made + self.num_frames - 1 - last)
        real = self.reals[:, stop - span - 1 : stop : stride]
        if self.flows is None:
            return real, None
        steps = self.flows[:, stop - span - 1 : stop]
        moves = []
        for end in range(stride, span + 1, stride):
            flow = steps[:, end]
            for back in range(1, stride):
                flow = chain(flow, steps[:, end - back])
            moves.append(flow)
        return real, torch.stack(moves, dim=1)


def batch_of(raw: dict[str, Tensor], num_labels: int, with_edges: bool) -> Batch:
    """Return the batch of collated chunks of `Windows`."""
    before = {name.removeprefix("before_"): plane for name, plane in raw.items() if name.startswith("before_")}
    reals = to_range(raw["picture"])
    batch = Batch(
        raw["window"], int(raw["made"][0]), raw["given"], _conditions(raw, num_labels, with_edges),
        _conditions(before, num_labels, with_edges), reals, raw.get("flow"), raw.get("trust"),
    )  # fmt: skip
    if "picture" not in before:
        return batch
    shown = torch.cat([to_range(before["picture"]), batch.target], 1)
    return batch._replace(shown=shown, regions=torch.cat([_regions(before), _regions(raw)], 1))


def _conditions(planes: dict[str, Tensor], num_labels: int, with_edges: bool) -> Tensor:
    ids = {name: planes[name] for name in ("label_map", "instance_map", "condition") if name in planes}
    size = next(iter(ids.values())).shape[:2]
    flat = {name: plane.flatten(0, 1) for name, plane in ids.items()}
    return condition_of(flat, num_labels, with_edges).unflatten(0, size)


def _regions(planes: dict[str, Tensor]) -> Tensor:
    return segments(planes["label_map"], planes.get("instance_map", planes["label_map"]))


def follows(batch: Batch, carry: Carry, stage: str) -> bool:
    """Tell whether a chunk continues where the carry's pictures end."""
    return (
        batch.made > 0
        and carry.get("stage") == stage
        and carry["made"] == batch.made
        # Runs of old also noted which source a window is of, as the first number.
        and torch.equal(carry["windows"][:, -3:], batch.windows)
    )
