"""EfficientNet-Lite, a small strong classifier, as features: for perceptual losses and for scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.errors import UserError, did_you_mean

STAGES = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3), (5, 2, 6, 192, 4),
          (3, 1, 6, 320, 1))  # fmt: skip
"""For each stage of the smallest network: kernel, stride, expansion, channels, blocks (EfficientNet, table 1)."""
SIZES = {0: (1.0, 1.0, 224), 1: (1.0, 1.1, 240), 2: (1.1, 1.2, 260), 3: (1.2, 1.4, 280), 4: (1.4, 1.8, 300)}
"""By version: factor of the channels, factor of the blocks, and side of the pictures it was trained on in pixels."""
STEM_CHANNELS, HEAD_CHANNELS = 32, 1280


class Block(NamedTuple):
    """The shape of one block."""

    kernel: int
    stride: int
    expansion: int
    channels_in: int
    channels_out: int
    end: str
    """Name of the stage that ends with it, or nothing."""


def blocks_of(version: int) -> list[Block]:
    """Return the blocks of a version."""
    wide, deep, _ = SIZES[version]
    blocks, channels_in = [], STEM_CHANNELS
    for number, (kernel, stride, expansion, channels, repeats) in enumerate(STAGES, 1):
        channels_out = _rounded(channels * wide)
        # The Lite versions do not lengthen the first and the last stage.
        length = repeats if number in (1, len(STAGES)) else math.ceil(repeats * deep)
        for place in range(1, length + 1):
            end = f"stage{number}" if place == length else ""
            blocks.append(Block(kernel, stride if place == 1 else 1, expansion, channels_in, channels_out, end))
            channels_in = channels_out
    return blocks


def _rounded(channels: float) -> int:
    """Round to a multiple of 8, losing at most a tenth."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


class SamePadded(nn.Conv2d):
    """A convolution padded as TensorFlow pads: what does not divide evenly goes to the right and the bottom."""

    def forward(self, input: Tensor) -> Tensor:
        pads: list[int] = []
        for length, kernel, stride in zip(input.shape[:-3:-1], self.kernel_size[::-1], self.stride[::-1]):
            needed = max(0, (-(-length // stride) - 1) * stride + kernel - length)
            pads += [needed // 2, needed - needed // 2]
        return super().forward(F.pad(input, pads))


class InvertedResidual(nn.Module):
    """Widen, convolve each channel, narrow; the input is added where the shape stays. Batch norms are folded in."""

    def __init__(self, shape: Block) -> None:
        super().__init__()
        inner = shape.channels_in * shape.expansion
        self.expand = nn.Conv2d(shape.channels_in, inner, 1) if shape.expansion > 1 else None
        self.depthwise = SamePadded(inner, inner, shape.kernel, shape.stride, groups=inner)
        self.project = nn.Conv2d(inner, shape.channels_out, 1)
        self.is_residual = shape.stride == 1 and shape.channels_in == shape.channels_out

    def forward(self, x: Tensor) -> Tensor:
        inner = x if self.expand is None else F.relu6(self.expand(x))
        made = self.project(F.relu6(self.depthwise(inner)))
        return x + made if self.is_residual else made


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite, frozen: (B, 3, H, W) in [0, 1] to a dict of activations by layer name.

    `stage1` to `stage7` are the ends of the stages, at 1/2, 1/4, 1/8, 1/16, 1/16, 1/32 and 1/32 of the sides; `head` is
    the last layer of 1280 channels. `embed` averages that one over the picture, `logits` gives the classes of ImageNet
    where the weights have them. It is random until weights are loaded, whose batch norms are folded into the kernels.
    Source: Tan and Le, "EfficientNet", table 1; "Higher accuracy on vision models with EfficientNet-Lite", TensorFlow
    blog, 2020 (no squeeze-and-excitation, ReLU6, fixed stem and head).

    Raises:
        UserError: an unknown version or layer.
    """

    MINIMUM_PX: ClassVar = 32
    # The published preprocessing is (x - 127) / 128 of 8-bit values.
    MEAN: ClassVar = 127 / 255
    DEVIATION: ClassVar = 128 / 255

    def __init__(
        self, version: int = 0, layers: Sequence[str] = ("stage2", "stage3", "stage5"), classes: int = 0
    ) -> None:
        super().__init__()
        if version not in SIZES:
            raise UserError(f"There is no EfficientNet-Lite{version}", do="Use 0 to 4")
        self.side_px = SIZES[version][2]
        self.names = tuple([f"stage{number}" for number in range(1, len(STAGES) + 1)] + ["head"])
        for layer in layers:
            if layer not in self.names:
                raise UserError(f"EfficientNet-Lite has no layer {layer!r}", do=did_you_mean(layer, self.names))
        if not layers:
            raise UserError("No layer of EfficientNet-Lite was chosen", do=f"Known: {', '.join(self.names)}")
        self.layers = tuple(layers)
        blocks = blocks_of(version)
        self.stem = SamePadded(3, STEM_CHANNELS, 3, 2)
        self.blocks = nn.ModuleList(InvertedResidual(block) for block in blocks)
        self.ends = [block.end for block in blocks]
        self.head = nn.Conv2d(blocks[-1].channels_out, HEAD_CHANNELS, 1)
        self.classifier = nn.Linear(HEAD_CHANNELS, classes) if classes else None
        self.requires_grad_(False)

    def forward(self, picture: Tensor) -> dict[str, Tensor]:
        seen = self._run(picture, self.layers)
        return {layer: seen[layer] for layer in self.layers}

    def embed(self, picture: Tensor) -> Tensor:
        """Return the averaged last layer: (B, 3, H, W) in [0, 1] -> (B, 1280)."""
        return self._run(picture, ("head",))["head"].mean(dim=(2, 3))

    def logits(self, picture: Tensor) -> Tensor:
        """Return the scores of the classes before softmax: (B, classes).

        Raises:
            UserError: these weights have no classifier.
        """
        if self.classifier is None:
            raise UserError("This EfficientNet-Lite has no classifier", "Its weights were kept as features only")
        return self.classifier(self.embed(picture))

    def _run(self, picture: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        if min(picture.shape[-2:]) < self.MINIMUM_PX:
            what = f"A picture of {picture.shape[-1]} x {picture.shape[-2]} px is too small for EfficientNet-Lite"
            raise UserError(what, f"It takes {self.MINIMUM_PX} px and more")
        deepest = max(self.names.index(layer) for layer in layers)
        x = F.relu6(self.stem((picture - self.MEAN) / self.DEVIATION))
        seen: dict[str, Tensor] = {}
        for block, end in zip(self.blocks, self.ends):
            x = block(x)
            if end:
                seen[end] = x
                if self.names.index(end) == deepest:
                    return seen
        seen["head"] = F.relu6(self.head(x))
        return seen
