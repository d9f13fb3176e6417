"""Frames that were enlarged one by one, made steady: each is blended with the last one, carried along by the flow.

An upres net invents texture anew in every frame. Where the last result, fetched along the flow, shows the same surface,
part of it is kept; where it does not (something was uncovered, or the flow is wrong), the frame stays as it is.
Frames between two others are made by the same flow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.errors import UserError
from ganvas.flow import FlowTeacher, is_inside, warp

FLOW_PX = 384
"""Longer side at which the flow is found: what moves is larger than the texture that flickers."""
BLUR_PX = 9


@dataclass(frozen=True, kw_only=True)
class Blend:
    """How much of the last frame is kept.

    Raises:
        UserError: a strength outside 0 to 1.
    """

    strength: float = 0.6
    """Share of the last result where both show the same surface; 0 leaves frames as they are."""
    tolerance: float = 0.08
    """Mean difference of values, over some pixels, from which on they do not."""

    def __post_init__(self) -> None:
        if not 0 <= self.strength < 1:
            raise UserError(f"The strength is {self.strength:g}", "It is a share", "Use 0 to 0.9")


@dataclass
class Flicker:
    """The warping error: root of the mean squared difference from the last frame along the flow, before and after."""

    before: float = 0.0
    after: float = 0.0
    frames: int = 0

    def note(self, before: float, after: float) -> None:
        """Take another pair of frames into both means."""
        self.frames += 1
        self.before += (before - self.before) / self.frames
        self.after += (after - self.after) / self.frames


def steady(
    frames: Iterable[Tensor], teacher: FlowTeacher, blend: Blend = Blend(), flicker: Flicker | None = None
) -> Iterator[Tensor]:  # fmt: skip
    """Yield each frame blended with the last one: (3, H, W) in [0, 1] each; `flicker` is told what that changed."""
    last_made: Tensor | None = None
    last: Tensor | None = None
    for made in frames:
        result = made
        if last is not None and last_made is not None:
            flow = flow_between(teacher, made, last_made)
            carried, inside = warp(last[None], flow)[0], is_inside(flow)[0]
            agreement = _agreement(made, carried, blend.tolerance) * inside
            result = made + blend.strength * agreement * (carried - made)
            if flicker is not None:
                before = _difference(made, warp(last_made[None], flow)[0], inside)
                flicker.note(before, _difference(result, carried, inside))
        yield result
        last_made, last = made, result


def flow_between(teacher: FlowTeacher, a: Tensor, b: Tensor) -> Tensor:
    """Return the flow from one frame to another, found on small ones: (3, H, W), (3, H, W) -> (1, 2, H, W)."""
    height, width = a.shape[-2:]
    zoom = min(1.0, FLOW_PX / max(height, width))
    size = (max(16, round(height * zoom)), max(16, round(width * zoom)))
    small = [F.interpolate(frame[None], size=size, mode="area") for frame in (a, b)]
    flow = F.interpolate(teacher(small[0], small[1]), size=(height, width), mode="bilinear", align_corners=False)
    return flow * flow.new_tensor([width / size[1], height / size[0]])[:, None, None]


def _agreement(a: Tensor, b: Tensor, tolerance: float) -> Tensor:
    """Return 1 where two frames are alike over some pixels, falling to 0 at the tolerance: (1, H, W)."""
    difference = (a - b).abs().mean(0, keepdim=True)[None]
    padded = F.pad(difference, (BLUR_PX // 2,) * 4, mode="replicate")
    return (1 - F.avg_pool2d(padded, BLUR_PX, 1)[0] / tolerance).clamp(0, 1)


def _difference(a: Tensor, b: Tensor, inside: Tensor) -> float:
    return float(((a - b).square().mean(0) * inside[0]).sum().div(inside.sum().clamp_min(1)).sqrt())


def with_between(frames: Iterable[Tensor], teacher: FlowTeacher, times: int = 2) -> Iterator[Tensor]:
    """Yield frames with `times` - 1 more between each two, made by fetching from both along the flow.

    Raises:
        UserError: less than once the frames.
    """
    if times < 1:
        raise UserError(f"Frames cannot be made {times} times as many", do="Use 2 or 4")
    last: Tensor | None = None
    for frame in frames:
        if last is not None and times > 1:
            forth, back = flow_between(teacher, last, frame), flow_between(teacher, frame, last)
            for place in range(1, times):
                share = place / times
                # Motion is taken as straight, and the flow at the place of the new frame as that of its neighbours.
                before = warp(last[None], share * back)[0]
                after = warp(frame[None], (1 - share) * forth)[0]
                yield torch.lerp(before, after, share)
        yield frame
        last = frame
