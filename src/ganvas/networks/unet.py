"""Networks shaped like a U or a J: down to a few pixels for what is where, up again for what it looks like."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.errors import UserError
from ganvas.networks.blocks import (
    Norm,
    PixelShuffleUpsample,
    init_icnr,
    init_normal,
    norm_layer,
    pad_to_multiple,
)
from ganvas.networks.doubling import Upsampling, doubling_conv

WIDEST = 8
"""Layers of the U grow to this many times the first width and no further."""
SLOPE = 0.2
SEED_TAIL_CHANNELS = 512
SCALES = (1, 2, 4, 8, 16)
Base = Literal["none", "bicubic", "faithful"]
DETAIL_GAIN = 10.0
"""Fine detail is a few hundredths of the range of pictures; so strong, it is as large as they are."""
CORRECTIONS = 2
"""Rounds of back-projection: after two, what is left is below what 8 bits show."""


class SuperResolvingUNet(nn.Module):
    """A U-Net whose decoder goes on beyond the size of its input.

    (B, 3, H, W) -> (B, 3, 2H, 2W)

    `downs` halvings, as many doublings with skips, then the tail. In the `symmetric` one each further doubling is a
    decoder level like those below: its partner on the other side is the picture enlarged to that size, by one
    convolution of the encoder's first width. `seed` is seed 004's for checkpoints of its shape: the outermost level
    gives 512 channels and one more transposed convolution doubles once. `base` adds the enlarged picture to the
    result instead of a tanh; `faithful` also corrects the sum so that, shrunk again, it is the input. `detail` is the
    gain of the finest detail at inference: L1 damps what it is unsure of; 0 is the gain that training finds.
    `upsampling` is how the decoder doubles: transposed (the papers'), or `resize`, which leaves no grid. Any size:
    sides are padded to a multiple of 2^downs and cut again. Values in [-1, 1]; channels after the first three (label
    maps, classes) are conditions.
    Source: Ronneberger et al. 2015; Isola et al. 2017, appendix 6.1.1; SuperResGANUnet, seed 004.

    Raises:
        UserError: a scale that is no power of two, or a tail that cannot give it.
    """

    def __init__(
        self,
        scale: int = 2,
        width: int = 64,
        downs: int = 5,
        channels_in: int = 3,
        norm: Norm = "batch",
        tail: Literal["symmetric", "single", "seed"] = "symmetric",
        base: Base = "none",
        detail: float = 1.0,
        upsampling: Upsampling = "transposed",
    ) -> None:
        super().__init__()
        if scale not in SCALES:
            why = "Each level of the tail doubles the sides"
            raise UserError(f"A U-Net cannot enlarge by {scale}", why, f"Use {', '.join(map(str, SCALES))}")
        # What cards of old call it.
        tail = "single" if tail == "seed" else tail
        if tail == "single" and scale != 2:
            raise UserError(f"The tail 'single' enlarges by 2, not by {scale}", do="Use the tail 'symmetric'")
        if downs < 1:
            raise UserError(f"A U-Net of {downs} halvings has no bottom", do="Use 1 to 8")
        self.scale, self.downs, self.tail_kind = scale, downs, tail
        self.base: Base = base
        self.gain = DetailGain(detail)
        wide = [width * min(2**level, WIDEST) for level in range(downs)]
        self.down = nn.ModuleList(
            _halving(channels_in if level == 0 else wide[level - 1], wide[level], norm, plain=level in (0, downs - 1))
            for level in range(downs)
        )
        # From the bottom up; every level but the lowest is shown its partner's features, too.
        self.up = nn.ModuleList(
            _doubling(wide[level] * (1 if level == downs - 1 else 2), wide[level - 1], norm, upsampling)
            for level in range(downs - 1, 0, -1)
        )
        joined = wide[0] * (2 if downs > 1 else 1)
        if tail == "single":
            self.outermost = doubling_conv(joined, SEED_TAIL_CHANNELS, upsampling)
            self.outermost_norm = norm_layer("batch", SEED_TAIL_CHANNELS)
            self.last: nn.Module = doubling_conv(SEED_TAIL_CHANNELS, 3, upsampling)
        else:
            self.outermost = _doubling(joined, width, norm, upsampling)
            doublings = scale.bit_length() - 1
            self.tail = nn.ModuleList(_TailLevel(width, channels_in, norm) for _ in range(doublings))
            self.last = nn.Conv2d(width + channels_in, 3, 3, padding=1)
        init_normal(self)
        for level in self.tail if tail == "symmetric" else ():
            init_icnr(level.up.conv, 2)  # pyright: ignore[reportArgumentType, reportAttributeAccessIssue]

    def forward(self, picture: Tensor) -> Tensor:
        height, width = picture.shape[-2:]
        padded = pad_to_multiple(picture, 2**self.downs)
        high = self._run(padded)[..., : self.scale * height, : self.scale * width]
        return based(high, picture, self.scale, self.base, 1.0 if self.training else self.gain())

    def _run(self, picture: Tensor) -> Tensor:
        skips, x = [], picture
        for level, layer in enumerate(self.down):
            x = layer(F.leaky_relu(x, SLOPE) if level else x)
            skips.append(x)
        x = skips.pop()
        for layer in self.up:
            x = torch.cat([layer(F.relu(x)), skips.pop()], dim=1)
        x = self.outermost(F.relu(x))
        if self.tail_kind == "single":
            return self.last(self.outermost_norm(x))
        for level in self.tail:
            x = level(x, picture)
        partner = F.interpolate(picture, scale_factor=self.scale, mode="nearest") if self.scale > 1 else picture
        return self.last(torch.cat([F.relu(x), partner], dim=1))


class _TailLevel(nn.Module):
    def __init__(self, width: int, channels_in: int, norm: Norm) -> None:
        super().__init__()
        self.up = PixelShuffleUpsample(width, width)
        self.partner = nn.Conv2d(channels_in, width, 3, padding=1)
        self.join = nn.Conv2d(2 * width, width, 3, padding=1, bias=norm == "none")
        self.norm = norm_layer(norm, width)

    def forward(self, x: Tensor, picture: Tensor) -> Tensor:
        x = self.up(F.relu(x))
        partner = self.partner(F.interpolate(picture, size=x.shape[-2:], mode="nearest"))
        return self.norm(self.join(torch.cat([F.relu(x), F.leaky_relu(partner, SLOPE)], dim=1)))


class DetailGain(nn.Module):
    """By how much a network's finest detail is strengthened at inference: a number, or 0 for one that training finds.

    It is found as batch norm finds its statistics. The energy of detail is quadratic in the gain, so running means of
    it at the gains `TRIALS`, and of the truth's, tell at which gain both are equal.
    """

    TRIALS = (1.0, 2.0, 3.0)
    LIMITS = (1.0, 16.0)
    SHARE = 0.1
    """Of the newest energies in the running means."""
    value: Tensor
    energies: Tensor

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        if gain < 0:
            raise UserError(f"The gain of detail is {gain}", do="Use 1 for none, or 0 for one that training finds")
        self.fixed = gain
        if self.is_found:
            self.register_buffer("value", torch.ones(()))
            self.register_buffer("energies", torch.zeros(len(self.TRIALS) + 1))

    @property
    def is_found(self) -> bool:
        """Whether training finds the gain."""
        return self.fixed == 0

    def forward(self) -> float | Tensor:
        """Return the gain."""
        return self.value if self.is_found else self.fixed

    def learn(self, made: Sequence[Tensor], truth: Tensor) -> None:
        """Move the gain: energies of detail of what was made at each of `TRIALS`, and of the truth, one number each."""
        new = torch.stack([*made, truth]).to(self.energies)
        self.energies.copy_(torch.lerp(self.energies, new, self.SHARE) if self.energies.any() else new)
        once, twice, thrice, wanted = self.energies.tolist()
        square = (thrice - 2 * twice + once) / 2
        linear = twice - once - square
        inside = linear**2 + 4 * square * (wanted - once)
        gain = 1 + (math.sqrt(max(0.0, inside)) - linear) / (2 * square) if square > 0 else 1.0
        self.value.fill_(min(max(gain, self.LIMITS[0]), self.LIMITS[1]))


def based(residual: Tensor, picture: Tensor, scale: int, base: Base, detail: float | Tensor = 1.0) -> Tensor:
    """Return the picture that a network's last layer stands for: (B, 3, sH, sW), (B, 3 + C, H, W) -> (B, 3, sH, sW)."""
    low = picture[:, :3]
    high = torch.tanh(residual) if base == "none" else residual + enlarged(low, scale)
    if isinstance(detail, Tensor) or detail != 1:
        high = high + (detail - 1) * fine_detail(high)
    return corrected(high, low, scale) if base == "faithful" and scale > 1 else high


def enlarged(picture: Tensor, scale: int) -> Tensor:
    """Return a picture enlarged by bicubic interpolation: (B, 3, H, W) -> (B, 3, scale H, scale W)."""
    return F.interpolate(picture, scale_factor=scale, mode="bicubic") if scale > 1 else picture


def fine_detail(picture: Tensor) -> Tensor:
    """Return what a Gaussian of one pixel takes away, but for checkerboards: (B, C, H, W) -> (B, C, H, W).

    Waves of two pixels, in rows or columns, have none of it: they are as likely the network's own grid as the
    picture's, and at a gain they show. Mirrored at the border.
    """
    line = torch.exp(-0.5 * torch.arange(-3.0, 4.0).square()).to(picture)
    return _smoothed(picture - _smoothed(picture, line / line.sum()), picture.new_tensor([0.25, 0.5, 0.25]))


def _smoothed(picture: Tensor, line: Tensor) -> Tensor:
    channels, reach = picture.shape[1], len(line) // 2
    padded = F.pad(picture, (reach,) * 4, mode="reflect")
    rows = F.conv2d(padded, line[None, None, :, None].expand(channels, 1, -1, 1), groups=channels)
    return F.conv2d(rows, line[None, None, None, :].expand(channels, 1, 1, -1), groups=channels)


def detail_of(high: Tensor, low: Tensor, scale: int) -> Tensor:
    """Return what an enlarged low picture lacks, ten times as strong.

    (B, 3, sH, sW), (B, 3 + C, H, W) -> (B, 3, sH, sW)

    For discriminators: beside what both pictures share, the detail alone is hardly seen by a network of small weights.
    """
    return DETAIL_GAIN * (high - enlarged(low[:, :3], scale))


def corrected(high: Tensor, low: Tensor, scale: int) -> Tensor:
    """Return a high picture that, shrunk again, is the low one: (B, 3, sH, sW), (B, 3, H, W) -> (B, 3, sH, sW).

    What is missing is enlarged and added, so details finer than the low picture's are left as they are.
    Source: Irani and Peleg 1991, section 3.
    """
    for _ in range(CORRECTIONS):
        high = high + enlarged(low - shrunk(high, scale), scale)
    return high


def shrunk(high: Tensor, scale: int) -> Tensor:
    """Return a picture shrunk by antialiased bicubic interpolation: (B, C, sH, sW) -> (B, C, H, W).

    Keys' kernel (a = -0.5) widened by the scale, as convolutions, which every export knows.
    """
    line = _shrinking(scale, high)
    channels, reach = high.shape[1], (len(line) - scale) // 2
    padded = F.pad(high, (reach,) * 4, mode="replicate")
    rows = F.conv2d(padded, line[None, None, :, None].expand(channels, 1, -1, 1), stride=(scale, 1), groups=channels)
    return F.conv2d(rows, line[None, None, None, :].expand(channels, 1, 1, -1), stride=(1, scale), groups=channels)


def _shrinking(scale: int, like: Tensor) -> Tensor:
    x = (torch.arange(4 * scale, dtype=torch.float32) + 0.5).div(scale).sub(2).abs()
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    weights = torch.where(x <= 1, near, far)
    return (weights / weights.sum()).to(like)


def _halving(channels_in: int, channels_out: int, norm: Norm, plain: bool) -> nn.Sequential:
    conv = nn.Conv2d(channels_in, channels_out, 4, 2, 1, bias=norm == "none")
    # Neither the picture itself nor the bottom, which may be a single pixel, can be normalised.
    return nn.Sequential(conv) if plain else nn.Sequential(conv, norm_layer(norm, channels_out))


def _doubling(channels_in: int, channels_out: int, norm: Norm, upsampling: Upsampling) -> nn.Sequential:
    conv = doubling_conv(channels_in, channels_out, upsampling, bias=norm == "none")
    return nn.Sequential(conv, norm_layer(norm, channels_out))
