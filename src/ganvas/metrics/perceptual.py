"""LPIPS and DISTS: distances of two pictures in a classifier's eyes. Their algebra is ours, their weights published.

Weights come by path, or from where they were published; neither score is given without them. Sources: Zhang et al.
2018, "The unreasonable effectiveness of deep features" (LPIPS 0.1); Ding et al. 2020, "Image quality assessment:
unifying structure and texture similarity" (DISTS).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.errors import UserError
from ganvas.networks.backbones import VGG16
from ganvas.networks.features import FeatureNetwork
from ganvas.values import to_range, to_unit

DISTS_CHANNELS = (3, 64, 128, 256, 512, 512)
DISTS_SMALL = 1e-6
MINIMUM_PX = 32


class LPIPS(nn.Module):
    """The distance of two pictures in [0, 1]: 0 for equal ones.

    (B, 3, H, W), (B, 3, H, W) -> (B,)
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, backbone: nn.Module, heads: Sequence[Tensor]) -> None:
        """`heads` are the five layers' weights of channels, (C,)."""
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ParameterList(nn.Parameter(head.reshape(-1), requires_grad=False) for head in heads)
        # The authors' numbers, for pictures in [-1, 1]; they are ImageNet's statistics, rounded.
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188])[:, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450])[:, None, None], persistent=False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        _check_pair(a, b)
        seen = [self._layers(picture) for picture in (a, b)]
        distance = torch.zeros(len(a), dtype=a.dtype, device=a.device)
        for head, one, other in zip(self.heads, *seen):
            difference = (_unit(one) - _unit(other)).square()
            distance = distance + (difference * head[:, None, None]).sum(1).mean((1, 2))
        return distance

    def _layers(self, picture: Tensor) -> Sequence[Tensor]:
        if isinstance(self.backbone, FeatureNetwork) and self.backbone.normalize:
            return list(self.backbone(picture).values())
        x = (to_range(picture) - self.shift) / self.scale
        if not isinstance(self.backbone, FeatureNetwork):
            return self.backbone(x)
        # That network brings its input from [0, 1] to [-1, 1] itself; what it is fed is x whatever it does.
        return list(self.backbone(to_unit(x)).values())


def _unit(x: Tensor) -> Tensor:
    return x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)


class DISTS(nn.Module):
    """The distance of two pictures in [0, 1] by structure and texture: 0 for equal ones.

    (B, 3, H, W), (B, 3, H, W) -> (B,)

    The poolings of VGG16 are replaced by root mean squares under a Hann window, and the picture itself is its first
    layer. Source: Ding et al. 2020, section III.
    """

    window: Tensor

    def __init__(self, backbone: VGG16, alpha: Tensor, beta: Tensor) -> None:
        """`alpha` (texture) and `beta` (structure) are weights of all 1475 channels."""
        super().__init__()
        self.stages = _stages(backbone)
        total = alpha.sum() + beta.sum()
        self.alpha = nn.Parameter((alpha / total).reshape(-1), requires_grad=False)
        self.beta = nn.Parameter((beta / total).reshape(-1), requires_grad=False)
        line = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("window", (line[:, None] * line)[None, None], persistent=False)
        self.register_buffer("mean", backbone.mean.clone(), persistent=False)
        self.register_buffer("deviation", backbone.deviation.clone(), persistent=False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        _check_pair(a, b)
        similarity = torch.zeros(len(a), dtype=a.dtype, device=a.device)
        alphas, betas = (side.split(DISTS_CHANNELS) for side in (self.alpha, self.beta))
        for alpha, beta, one, other in zip(alphas, betas, self._layers(a), self._layers(b)):
            mean_a, mean_b = one.mean((2, 3)), other.mean((2, 3))
            texture = (2 * mean_a * mean_b + DISTS_SMALL) / (mean_a**2 + mean_b**2 + DISTS_SMALL)
            variances = [(x - x.mean((2, 3), keepdim=True)).square().mean((2, 3)) for x in (one, other)]
            covariance = (one * other).mean((2, 3)) - mean_a * mean_b
            structure = (2 * covariance + DISTS_SMALL) / (variances[0] + variances[1] + DISTS_SMALL)
            similarity = similarity + (alpha * texture + beta * structure).sum(1)
        return 1 - similarity

    def _layers(self, picture: Tensor) -> list[Tensor]:
        x = (picture - self.get_buffer("mean")) / self.get_buffer("deviation")
        seen = [picture]
        for number, stage in enumerate(self.stages):
            x = stage(self._pool(x) if number else x)
            seen.append(x)
        return seen

    def _pool(self, x: Tensor) -> Tensor:
        kernel = self.window.expand(x.shape[1], 1, -1, -1)
        return (F.conv2d(x.square(), kernel, stride=2, padding=1, groups=x.shape[1]) + 1e-12).sqrt()


def _stages(backbone: VGG16) -> nn.ModuleList:
    stages, current = nn.ModuleList(), []
    for name, module in zip(backbone.names, backbone.features):
        if name.startswith("pool"):
            stages.append(nn.Sequential(*current))
            current = []
        else:
            current.append(module)
    return stages


def _check_pair(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape or a.shape[1] != 3:
        raise UserError("These pictures cannot be compared", f"Their shapes are {tuple(a.shape)} and {tuple(b.shape)}")
    if min(a.shape[-2:]) < MINIMUM_PX:
        raise UserError(f"A picture of {a.shape[-1]} x {a.shape[-2]} px is too small", f"{MINIMUM_PX} px are needed")
