"""Conditions: what a generator of pictures is given of a label map, and what a person is shown of it."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.data.labels import boundaries, one_hot
from ganvas.errors import UserError


def compose(label_map: Tensor, edges: Tensor | None, num_labels: int) -> Tensor:
    """Return a plane for each class and, where there are edges, one more for them.

    (B, 1, H, W), (B, 1, H, W) -> (B, num_labels + 1, H, W)
    """
    planes = one_hot(label_map, num_labels)
    return planes if edges is None else torch.cat([planes, edges], dim=1)


_CLASSES = 1 << 12
"""Room for classes beside an instance in one number."""


def segments(label_map: Tensor, instance_map: Tensor) -> Tensor:
    """Return one id for each pair of class and instance, so that every region of one id has one class and one style.

    (B, 1, H, W), (B, 1, H, W) -> (B, 1, H, W)

    Where an instance map numbers only things and is 0 elsewhere, road and sky become two regions.
    """
    return instance_map.long() * _CLASSES + label_map.long() + 1


def class_of_segment(segment: Tensor) -> Tensor:
    """Return the class of ids that `segments` made, -1 for none."""
    return segment % _CLASSES - 1


def instance_of_segment(segment: Tensor) -> Tensor:
    """Return the instance of ids that `segments` made."""
    return segment.div(_CLASSES, rounding_mode="floor")


def shrink(planes: Tensor, factor: int) -> Tensor:
    """Make planes smaller by a whole factor: values by the mean of each cell, ids by the pixel in its middle.

    (B, C, H, W) -> (B, C, H // factor, W // factor)
    """
    if factor == 1:
        return planes
    if planes.is_floating_point():
        return F.avg_pool2d(planes, factor)
    height, width = (side // factor * factor for side in planes.shape[-2:])
    return planes[..., factor // 2 : height : factor, factor // 2 : width : factor]


def pack(label_map: Tensor, edges: Tensor) -> Tensor:
    """Return classes and edges as one map of 16-bit integers, a small part of what their planes need.

    (B, 1, H, W), (B, 1, H, W) -> (B, 1, H, W)
    """
    return (label_map.long() * 2 + edges.long()).to(torch.int16)


def unpack(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the label map and the edges that were packed."""
    wide = codes.long()
    return wide >> 1, (wide & 1).float()


def colorize(label_map: Tensor, palette: Mapping[int, Sequence[int]], instance_map: Tensor | None = None) -> Tensor:
    """Return a label map in colours, each class in its own, with the boundaries of the instances in white.

    (B, 1, H, W) -> (B, 3, H, W)

    Colours of the palette have 8 bits; classes without one get one of their own; pixels of no class are black.
    """
    highest = max(0, int(label_map.max())) if label_map.numel() else 0
    colors = torch.tensor([[*palette.get(label, _hue(label))] for label in range(highest + 1)]) / 255
    shown = colors.to(label_map.device)[label_map[:, 0].clamp(min=0)].movedim(-1, 1) * (label_map >= 0)
    return shown if instance_map is None else torch.maximum(shown, boundaries(instance_map))


def _hue(label: int) -> tuple[int, int, int]:
    # By the golden ratio: neighbours in number are far apart in colour.
    red, green, blue = colorsys.hsv_to_rgb(label * 0.618 % 1.0, 0.65, 0.9)
    return round(red * 255), round(green * 255), round(blue * 255)


def class_planes(classes: Tensor, num_classes: int, height_px: int, width_px: int) -> Tensor:
    """Return classes as constant channels: (B,) -> (B, num_classes, H, W)."""
    return F.one_hot(classes, num_classes)[:, :, None, None].expand(-1, -1, height_px, width_px)


def label_planes(label_map: Tensor, num_labels: int) -> Tensor:
    """Return label maps that came as 8-bit pictures as one channel a label: (B, 3, H, W) -> (B, num_labels, H, W).

    Raises:
        UserError: a label is out of range.
    """
    ids = (label_map[:, 0] * 255).round().long()
    if int(ids.max()) >= num_labels:
        what = f"A label map holds the label {int(ids.max())}"
        raise UserError(what, f"num_labels is {num_labels}", "Raise it, or mend the label maps")
    return F.one_hot(ids, num_labels).permute(0, 3, 1, 2)
