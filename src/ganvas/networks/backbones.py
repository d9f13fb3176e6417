"""VGG16 and AlexNet, the classifiers under LPIPS and DISTS, frozen; torchvision's published files fit as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.errors import UserError
from ganvas.networks.features import FeatureNetwork, Pools, Statistics


class VGG16(FeatureNetwork):
    """The convolutions of VGG16, frozen: (B, 3, H, W) in [0, 1] to a dict of activations by layer name.

    There are two sets of published weights: Oxford's own, whose pictures have the `statistics` of Caffe, and
    torchvision's, trained anew. `stages` leaves out the deeper ones.
    Source: Simonyan and Zisserman, "Very Deep Convolutional Networks", table 1, column D.

    Raises:
        UserError: an unknown layer, or a picture too small for the deepest one.
    """

    PLAN: ClassVar = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))

    def __init__(
        self,
        layers: Sequence[str] = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3"),
        normalize: bool = True,
        pools: Pools = "max",
        statistics: Statistics = "imagenet",
        stages: int = 5,
    ) -> None:
        if not 1 <= stages <= len(self.PLAN):
            raise UserError(f"VGG16 has no {stages} stages", do="Use 1 to 5")
        super().__init__(self.PLAN[:stages], layers, normalize, pools, channels_in=3, statistics=statistics)
        self.requires_grad_(False)
        self.register_load_state_dict_pre_hook(_leave_out_classifier)


class AlexNet(nn.Module):
    """The convolutions of AlexNet, frozen: (B, 3, H, W), normalised by the caller, to its five activations after ReLU.

    Source: Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014.

    Raises:
        UserError: a picture of less than 31 px.
    """

    MINIMUM_PX: ClassVar = 31
    CHANNELS: ClassVar = (64, 192, 384, 256, 256)

    def __init__(self) -> None:
        super().__init__()
        # Numbered as published: ReLUs and poolings keep their places.
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(),
        )  # fmt: skip
        self.requires_grad_(False)
        self.register_load_state_dict_pre_hook(_leave_out_classifier)

    def forward(self, x: Tensor) -> list[Tensor]:
        if min(x.shape[-2:]) < self.MINIMUM_PX:
            what = f"A picture of {x.shape[-1]} x {x.shape[-2]} px is too small for AlexNet"
            raise UserError(what, f"It takes {self.MINIMUM_PX} px and more")
        seen: list[Tensor] = []
        for module in self.features:
            x = F.relu(x) if isinstance(module, nn.ReLU) else module(x)
            if isinstance(module, nn.ReLU):
                seen.append(x)
        return seen


def _leave_out_classifier(_module: Any, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    for name in [name for name in state if name.startswith(f"{prefix}classifier.")]:
        del state[name]
