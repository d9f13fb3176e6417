"""Feature networks: pictures to the named activations of a classifier, for perceptual losses and distances.

All have the same face, so that a recipe takes any of them: `layers`, and `forward` from a picture in [0, 1] to a dict.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.errors import UserError, did_you_mean
from ganvas.networks.blocks import init_kaiming
from ganvas.values import to_range

Pools = Literal["max", "average", "none"]
Statistics = Literal["imagenet", "caffe"]

MEANS = {"imagenet": (0.485, 0.456, 0.406), "caffe": (123.68 / 255, 116.779 / 255, 103.939 / 255)}
"""Mean of RGB that each convention takes off: torchvision's, and that of the networks published by Oxford."""
DEVIATIONS = {"imagenet": (0.229, 0.224, 0.225), "caffe": (1 / 255, 1 / 255, 1 / 255)}
"""What each then divides by."""


class FeatureNetwork(nn.Module):
    """A chain of convolutions, each followed by a ReLU, with a pooling after each stage, whose activations have names.

    `conv2_1` is the first convolution of the second stage before its ReLU, `relu2_1` after it, `pool2` the end of that
    stage. The chain is run no further than the deepest layer asked for.
    """

    mean: Tensor
    deviation: Tensor
    MEAN: ClassVar = MEANS["imagenet"]
    DEVIATION: ClassVar = DEVIATIONS["imagenet"]

    def __init__(
        self,
        plan: Sequence[tuple[int, int]],
        layers: Sequence[str],
        normalize: bool,
        pools: Pools,
        channels_in: int,
        statistics: Statistics = "imagenet",
    ) -> None:
        """`plan` holds for each stage its channels and its number of convolutions."""
        super().__init__()
        if pools not in ("max", "average", "none"):
            raise UserError(f"There is no pooling {pools!r}", do="Use max, average or none")
        self.pools, self.normalize = pools, normalize
        self.names: tuple[str, ...] = tuple(
            name for stage, (_, convs) in enumerate(plan, 1) for name in (*_named(stage, convs), f"pool{stage}")
        )
        self.layers: tuple[str, ...] = tuple(layers)
        self._check_layers(self.layers)
        self.features = nn.Sequential(*_chain(plan, channels_in))
        if statistics not in MEANS:
            raise UserError(f"There are no statistics {statistics!r}", do=did_you_mean(statistics, MEANS))
        self.register_buffer("mean", torch.tensor(MEANS[statistics])[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATIONS[statistics])[:, None, None], persistent=False)

    def _check_layers(self, layers: Sequence[str]) -> None:
        if not layers:
            raise UserError("No layer of the feature network was chosen", do=f"Known: {', '.join(self.names)}")
        for layer in layers:
            if layer not in self.names:
                raise UserError(f"The feature network has no layer {layer!r}", do=did_you_mean(layer, self.names))

    def _run(self, picture: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        deepest = max(self.names.index(layer) for layer in layers)
        self._refuse_small(picture, deepest)
        x = (picture - self.mean) / self.deviation if self.normalize else to_range(picture)
        seen: dict[str, Tensor] = {}
        for name, module in zip(self.names[: deepest + 1], self.features):
            if name.startswith("pool"):
                x = self._pool(x)
            else:
                x = module(x)
            if name in layers:
                seen[name] = x
        return {layer: seen[layer] for layer in layers}

    def _pool(self, x: Tensor) -> Tensor:
        if self.pools == "max":
            return F.max_pool2d(x, 2)
        return F.avg_pool2d(x, 2) if self.pools == "average" else x

    def _refuse_small(self, picture: Tensor, deepest: int) -> None:
        halvings = sum(name.startswith("pool") for name in self.names[: deepest + 1])
        minimum = 1 if self.pools == "none" else 2**halvings
        if min(picture.shape[-2:]) < minimum:
            raise UserError(
                f"A picture of {picture.shape[-1]} x {picture.shape[-2]} px is too small for {self.names[deepest]}",
                f"That layer needs {minimum} px a side",
                "Use larger pictures or an earlier layer",
            )

    def forward(self, picture: Tensor) -> dict[str, Tensor]:
        return self._run(picture, self.layers)


def _named(stage: int, convs: int) -> list[str]:
    return [f"{kind}{stage}_{number}" for number in range(1, convs + 1) for kind in ("conv", "relu")]


def _chain(plan: Sequence[tuple[int, int]], channels_in: int) -> list[nn.Module]:
    modules: list[nn.Module] = []
    for channels, convs in plan:
        for _ in range(convs):
            # Not in place: that would overwrite the activation before the ReLU, which is handed out.
            modules += [nn.Conv2d(channels_in, channels, 3, padding=1), nn.ReLU()]
            channels_in = channels
        # Holds the place of the pooling, so that the parameters are numbered as published.
        modules.append(nn.Identity())
    return modules


class VGG19(FeatureNetwork):
    """The convolutions of VGG19, frozen: (B, 3, H, W) in [0, 1] to a dict of activations by layer name.

    It is random until weights are loaded; torchvision's published file fits as it is, its classifier is left out.
    `normalize` shifts and scales by ImageNet's statistics; without it the picture is brought to [-1, 1] and no more,
    as pix2pixHD does. `pools` replaces the max-poolings by averages or leaves them out.
    Source: Simonyan and Zisserman, "Very Deep Convolutional Networks", table 1, column E.

    Raises:
        UserError: an unknown layer, or a picture too small for the deepest one.
    """

    PLAN: ClassVar = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))

    def __init__(self, layers: Sequence[str] = ("conv5_4",), normalize: bool = True, pools: Pools = "max") -> None:
        super().__init__(self.PLAN, layers, normalize, pools, channels_in=3)
        self.requires_grad_(False)
        self.register_load_state_dict_pre_hook(_leave_out_classifier)


def _leave_out_classifier(_module: Any, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    for name in [name for name in state if name.startswith(f"{prefix}classifier.")]:
        del state[name]


class SmallFeatures(FeatureNetwork):
    """A small classifier whose activations serve where no large one is at hand: (B, 3, H, W) in [0, 1] to a dict.

    Trainable, by `logits`. It is another network than VGG and must not be called so; without training its features
    are random. Each of its `stages` has two convolutions, twice as wide as the last stage's.

    Raises:
        UserError: an unknown layer, or a picture too small for the deepest one.
    """

    def __init__(
        self,
        width: int = 32,
        stages: int = 4,
        classes: int = 10,
        layers: Sequence[str] | None = None,
        normalize: bool = True,
        pools: Pools = "max",
    ) -> None:
        if width < 1 or stages < 1 or classes < 2:
            raise UserError(f"No classifier of {classes} classes has {stages} stages of width {width}")
        plan = [(width * 2**stage, 2) for stage in range(stages)]
        chosen = tuple(f"conv{stage}_2" for stage in range(1, stages + 1)) if layers is None else layers
        super().__init__(plan, chosen, normalize, pools, channels_in=3)
        self.classifier = nn.Linear(plan[-1][0], classes)
        init_kaiming(self)

    def logits(self, picture: Tensor) -> Tensor:
        """Return the scores of the classes before softmax: (B, classes)."""
        last = self.names[-1]
        return self.classifier(self._run(picture, (last,))[last].mean(dim=(2, 3)))
