"""Weights in 16 or 8 bits for files that must be small; `unpacked` gives back what was packed, in single precision."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ganvas.errors import UserError

STEP = "step/"
"""Under this and a tensor's name lies what one step of its 8 bits stands for: a number for each first index."""
LEAST = 4096
"""Smaller tensors, norms and biases among them, keep 16 bits: they weigh little and count for much."""


def packed(tensors: Mapping[str, Tensor], bits: Literal[8, 16]) -> dict[str, Tensor]:
    """Return tensors of single precision in half precision; of the large ones, with `bits` 8, whole numbers and steps.

    What half precision cannot hold stays as it is. An 8-bit value is at most half a step off, which is 1/254 of the
    largest value of its first index (the filter, in a convolution).
    """
    found: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if value.dtype != torch.float32 or not value.numel():
            found[name] = value
        elif bits == 8 and value.dim() > 1 and value.numel() >= LEAST:
            rows = value.flatten(1)
            step = (rows.abs().amax(1) / 127).clamp_min(torch.finfo(torch.float32).tiny)
            found[name] = (rows / step[:, None]).round().to(torch.int8).view_as(value)
            found[STEP + name] = step
        else:
            is_held = float(value.abs().amax()) <= torch.finfo(torch.float16).max
            found[name] = value.half() if is_held else value
    return found


def unpacked(stored: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return stored tensors with those of 8 bits as numbers again; others stay as they are.

    Raises:
        UserError: a step belongs to no tensor of 8 bits, or not to one of that size.
    """
    found = {name: value for name, value in stored.items() if not name.startswith(STEP)}
    for key in stored.keys() - found.keys():
        name, step = key.removeprefix(STEP), stored[key]
        value = found.get(name)
        fits = value is not None and value.dtype == torch.int8 and value.dim() > 1 and step.shape == value.shape[:1]
        if value is None or not fits or not step.is_floating_point():
            raise UserError(f"{path} is damaged", f"{key} does not fit a tensor of 8 bits", "Fetch or pack it again")
        found[name] = (value.flatten(1).float() * step.float()[:, None]).view_as(value)
    return found
