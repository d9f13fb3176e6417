"""Instance norm that keeps pictures in the channels-last layout, in which torch's own is slow or loses digits."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-5


class InstanceNorm(nn.Module):
    """Instance norm without weights and without running statistics.

    (B, C, H, W) -> (B, C, H, W)

    The same as `nn.InstanceNorm2d`, which would copy every map out of the channels-last layout and leave it there.
    """

    eps = EPSILON

    def forward(self, x: Tensor) -> Tensor:
        return normalise(x, self.eps) if is_channels_last(x) else F.group_norm(x, x.shape[1], eps=self.eps)


class InstanceNorm2d(nn.InstanceNorm2d):
    """Torch's instance norm without weights, which keeps the channels-last layout.

    (B, C, H, W) -> (B, C, H, W)
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=EPSILON, affine=False, track_running_stats=False)

    def forward(self, input: Tensor) -> Tensor:  # torch's name for the argument
        return normalise(input, self.eps) if is_channels_last(input) else super().forward(input)


def is_channels_last(x: Tensor) -> bool:
    """Tell whether a picture's channels lie innermost, and not in torch's default layout as well."""
    return not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)


def normalise(x: Tensor, eps: float) -> Tensor:
    """Take each channel's mean off and divide it by its deviation, picture by picture, in the channels-last layout.

    (B, C, H, W) -> (B, C, H, W)
    """
    if x.dtype in (torch.float32, torch.float64):
        return _Normalised.apply(x, eps)[0]  # pyright: ignore[reportOptionalSubscript]
    # Torch's group norm goes back several times as slowly in this layout, and loses small deviations on large means.
    # The weights make the batch norm of one picture keep its statistics in float32.
    one, zero = x.new_ones(x.shape[1], dtype=torch.float32), x.new_zeros(x.shape[1], dtype=torch.float32)
    pictures = [F.batch_norm(part, None, None, one, zero, training=True, eps=eps) for part in x.split(1)]
    return torch.cat(pictures) if len(pictures) > 1 else pictures[0]


class _Normalised(torch.autograd.Function):
    """The normalised maps and the reciprocal of their deviation; torch's batch norm sums too coarsely in float32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        centred = x - x.mean((2, 3), keepdim=True)
        rate = torch.rsqrt(centred.square().mean((2, 3), keepdim=True) + eps)
        y = centred * rate
        # The results, not the input: the convolution's output can go. What follows must not change them in place.
        ctx.save_for_backward(y, rate)
        return y, rate

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, None]:
        gradient, gradient_of_rate = gradients
        y, rate = ctx.saved_tensors
        change = None
        if gradient is not None:
            mean = gradient.mean((2, 3), keepdim=True)
            slope = (gradient * y).mean((2, 3), keepdim=True)
            change = (gradient - mean - y * slope) * rate
        if gradient_of_rate is not None:  # of a gradient's own gradient
            more = y * (gradient_of_rate * rate.square() / -(y.shape[2] * y.shape[3]))
            change = more if change is None else change + more
        return change, None
