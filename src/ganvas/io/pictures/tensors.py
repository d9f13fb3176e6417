"""Pictures as files hold them, (H, W, C), and as networks take them, (C, H, W): the one place that turns the axes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ganvas.io.pictures.samples import from_float, to_float


def to_tensor(picture: np.ndarray) -> Tensor:
    """Return a picture in RGB without its alpha: (H, W, 1 to 4) of any dtype -> (3, H, W) float32 in [0, 1]."""
    colours = to_float(picture)
    colours = colours[..., :1] if colours.shape[-1] <= 2 else colours[..., :3]
    colours = np.broadcast_to(colours, (*picture.shape[:2], 3))
    # A copy always: what is broadcast cannot be written to, and the caller's picture stays his own.
    return torch.from_numpy(np.array(colours.transpose(2, 0, 1), order="C"))


def from_tensor(picture: Tensor, dtype: str = "uint8") -> np.ndarray:
    """Return a picture as a file holds it: (C, H, W) in [0, 1] -> (H, W, C)."""
    return from_float(picture.permute(1, 2, 0).cpu().numpy(), dtype)
