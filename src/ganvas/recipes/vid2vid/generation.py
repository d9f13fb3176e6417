"""The sequential generator (section 3.1): each frame from the labels of some frames and from the pictures before it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ganvas.networks.pix2pixhd.net import styles_of_clip
from ganvas.networks.vid2vid.net import Known, Past, next_frame
from ganvas.protocol import Networks, Outputs
from ganvas.recipes.vid2vid.batch import Batch
from ganvas.recipes.vid2vid.settings import Settings


def roll(s: Settings, nets: Networks, batch: Batch, pictures: Tensor | None, scales: int) -> Outputs:
    """Generate the frames of a chunk, each from those before it; none of `pictures` means that windows begin.

    Outputs are stacked along the second axis: `fake`, `raw`, `flow`, `mask`; `before` is what was moved along the
    flow, `has_before` (B, T) whether there was anything, `past` the pictures that the next chunk begins with.
    """
    seen = torch.cat([batch.labels_before, batch.labels], 1)
    if batch.shown is not None and batch.regions is not None:
        seen = torch.cat([seen, styles_of_clip(nets.encoder, batch.shown, batch.regions).to(seen.dtype)], 2)
    past = _past(s, batch, pictures, seen)
    generator: Any = nets.generator
    frames, before, has_before = [], [], []
    for number in range(batch.num_frames):
        if number % s.backpropagated == 0:
            past = Past(past.labels, past.pictures.detach(), past.has_previous)
        before.append(past.pictures[:, -3:])
        has_before.append(past.has_previous)
        frame, past = next_frame(generator, seen[:, s.past_frames + number], past, _known(s, batch, number), scales)
        frames.append(frame)
    stacked = {name: torch.stack([getattr(frame, name) for frame in frames], 1) for name in frames[0]._fields}
    stacked["fake"] = stacked.pop("picture")
    return {
        **stacked, "before": torch.stack(before, 1), "has_before": torch.stack(has_before, 1), "past": past.pictures,
    }  # fmt: skip


def _past(s: Settings, batch: Batch, pictures: Tensor | None, seen: Tensor) -> Past:
    """Return what the first frame of a chunk follows: the pictures, the given frame, or nothing."""
    if pictures is None:
        has = batch.given
        first = batch.target_before[:, 0] * has[:, None, None, None]
        pictures = first.repeat(1, s.past_frames, 1, 1)
    else:
        has = torch.ones_like(batch.given)
    return Past(seen[:, : s.past_frames].flatten(1, 2), pictures.detach().to(batch.reals.dtype), has)


def _known(s: Settings, batch: Batch, number: int) -> Known | None:
    """Return the exact flow and mask of a frame, where they take the place of learned ones."""
    if batch.flow is None or batch.trust is None:
        return None
    flow = batch.flow[:, number] if s.flow_use == "replace" else None
    mask = 1 - batch.trust[:, number] if s.mask_from == "exact" and s.mask_use == "replace" else None
    return None if flow is None and mask is None else Known(flow, mask)
