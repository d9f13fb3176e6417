"""Inception as FID means it: the graph of 2015-12-05, whose pooled activations and 1008 answers the scores are made of.

It is not the Inception of today's classifiers: it averages without counting the padding, its last block pools by the
maximum, and it has 1008 answers. Module names are those of the published PyTorch file, which loads as it is.
Sources: Szegedy et al., "Rethinking the Inception architecture", 2016, section 6; Heusel et al. 2017 for its use.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.errors import UserError

FEATURES = 2048
ANSWERS = 1008
SIDE_PX = 299
MINIMUM_PX = 75
Size = int | tuple[int, int]


class Convolution(nn.Module):
    """A convolution without bias, a batch norm and a ReLU; a padding that keeps the size unless it strides."""

    def __init__(self, channels_in: int, channels_out: int, size: Size, stride: int = 1, keep: bool = True) -> None:
        super().__init__()
        sides = (size, size) if isinstance(size, int) else size
        padding = (sides[0] // 2, sides[1] // 2) if keep and stride == 1 else (0, 0)
        self.conv = nn.Conv2d(channels_in, channels_out, sides, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(channels_out, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


def _average(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class BlockA(nn.Module):
    """The block at 35 x 35: 1x1, 5x5, two 3x3 and a pooling side by side."""

    def __init__(self, channels_in: int, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = Convolution(channels_in, 64, 1)
        self.branch5x5_1 = Convolution(channels_in, 48, 1)
        self.branch5x5_2 = Convolution(48, 64, 5)
        self.branch3x3dbl_1 = Convolution(channels_in, 64, 1)
        self.branch3x3dbl_2 = Convolution(64, 96, 3)
        self.branch3x3dbl_3 = Convolution(96, 96, 3)
        self.branch_pool = Convolution(channels_in, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        twice = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat(
            [self.branch1x1(x), self.branch5x5_2(self.branch5x5_1(x)), twice, self.branch_pool(_average(x))], 1
        )


class BlockB(nn.Module):
    """From 35 x 35 to 17 x 17."""

    def __init__(self, channels_in: int) -> None:
        super().__init__()
        self.branch3x3 = Convolution(channels_in, 384, 3, stride=2)
        self.branch3x3dbl_1 = Convolution(channels_in, 64, 1)
        self.branch3x3dbl_2 = Convolution(64, 96, 3)
        self.branch3x3dbl_3 = Convolution(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        twice = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), twice, F.max_pool2d(x, 3, 2)], 1)


class BlockC(nn.Module):
    """The block at 17 x 17: 7x7 taken apart into lines and columns, once and twice."""

    def __init__(self, inner: int) -> None:
        super().__init__()
        self.branch1x1 = Convolution(768, 192, 1)
        self.branch7x7_1 = Convolution(768, inner, 1)
        self.branch7x7_2 = Convolution(inner, inner, (1, 7))
        self.branch7x7_3 = Convolution(inner, 192, (7, 1))
        self.branch7x7dbl_1 = Convolution(768, inner, 1)
        self.branch7x7dbl_2 = Convolution(inner, inner, (7, 1))
        self.branch7x7dbl_3 = Convolution(inner, inner, (1, 7))
        self.branch7x7dbl_4 = Convolution(inner, inner, (7, 1))
        self.branch7x7dbl_5 = Convolution(inner, 192, (1, 7))
        self.branch_pool = Convolution(768, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        once = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        twice = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        twice = self.branch7x7dbl_5(self.branch7x7dbl_4(twice))
        return torch.cat([self.branch1x1(x), once, twice, self.branch_pool(_average(x))], 1)


class BlockD(nn.Module):
    """From 17 x 17 to 8 x 8."""

    def __init__(self) -> None:
        super().__init__()
        self.branch3x3_1 = Convolution(768, 192, 1)
        self.branch3x3_2 = Convolution(192, 320, 3, stride=2)
        self.branch7x7x3_1 = Convolution(768, 192, 1)
        self.branch7x7x3_2 = Convolution(192, 192, (1, 7))
        self.branch7x7x3_3 = Convolution(192, 192, (7, 1))
        self.branch7x7x3_4 = Convolution(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        lines = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x)), lines, F.max_pool2d(x, 3, 2)], 1)


class BlockE(nn.Module):
    """The block at 8 x 8: 3x3 taken apart side by side. The last one pools by the maximum."""

    def __init__(self, channels_in: int, pools_by_maximum: bool) -> None:
        super().__init__()
        self.pools_by_maximum = pools_by_maximum
        self.branch1x1 = Convolution(channels_in, 320, 1)
        self.branch3x3_1 = Convolution(channels_in, 384, 1)
        self.branch3x3_2a = Convolution(384, 384, (1, 3))
        self.branch3x3_2b = Convolution(384, 384, (3, 1))
        self.branch3x3dbl_1 = Convolution(channels_in, 448, 1)
        self.branch3x3dbl_2 = Convolution(448, 384, 3)
        self.branch3x3dbl_3a = Convolution(384, 384, (1, 3))
        self.branch3x3dbl_3b = Convolution(384, 384, (3, 1))
        self.branch_pool = Convolution(channels_in, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        once, twice = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = F.max_pool2d(x, 3, stride=1, padding=1) if self.pools_by_maximum else _average(x)
        parts = [self.branch1x1(x), self.branch3x3_2a(once), self.branch3x3_2b(once)]
        parts += [self.branch3x3dbl_3a(twice), self.branch3x3dbl_3b(twice), self.branch_pool(pooled)]
        return torch.cat(parts, 1)


class Inception2015(nn.Module):
    """FID's Inception, frozen: pictures in [0, 1] to the pooled activations of its last block.

    (B, 3, 299, 299) -> (B, 2048)

    Other sizes from 75 px pass, too, but the published scores resize to 299 first (`metrics/features.py`). It is random
    until the published weights are loaded.

    Raises:
        UserError: a picture of less than 75 px.
    """

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Convolution(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = Convolution(32, 32, 3, keep=False)
        self.Conv2d_2b_3x3 = Convolution(32, 64, 3)
        self.Conv2d_3b_1x1 = Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = Convolution(80, 192, 3, keep=False)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = BlockA(192, 32), BlockA(256, 64), BlockA(288, 64)
        self.Mixed_6a = BlockB(288)
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = BlockC(128), BlockC(160), BlockC(160), BlockC(192)
        self.Mixed_7a = BlockD()
        self.Mixed_7b, self.Mixed_7c = BlockE(1280, False), BlockE(2048, True)
        self.fc = nn.Linear(FEATURES, ANSWERS)
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> Inception2015:
        """Stay in eval mode: a measure does not learn from what it measures."""
        del mode
        return super().train(False)

    def forward(self, picture: Tensor) -> Tensor:
        if min(picture.shape[-2:]) < MINIMUM_PX:
            what = f"A picture of {picture.shape[-1]} x {picture.shape[-2]} px is too small for Inception"
            raise UserError(what, f"It takes {MINIMUM_PX} px and more", f"Resize it to {SIDE_PX} px")
        # The original takes bytes and centres them at 128, not at 127.5.
        x = (picture * 255 - 128) / 128
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(F.max_pool2d(x, 3, 2))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        return x.mean(dim=(2, 3))

    def logits(self, features: Tensor) -> Tensor:
        """Return the 1008 answers before softmax, without the bias, as the Inception score has them.

        (B, 2048) -> (B, 1008)
        """
        return features @ self.fc.weight.T
