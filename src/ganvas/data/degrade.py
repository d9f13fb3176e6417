"""From high to low resolution: MATLAB's bicubic `imresize` and the second-order degradation of Real-ESRGAN.

Pictures are (B, 3, H, W) float tensors in [0, 1] on any device. All chance comes from the generator that is passed in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas import values
from ganvas.errors import UserError
from ganvas.resize import resize_bicubic
from ganvas.values import LUMA


def round_to_8_bit(picture: Tensor) -> Tensor:
    """Return a picture as an 8-bit file would hold it: clamped to [0, 1] and rounded to multiples of 1/255."""
    return (picture.clamp(0, 1) * 255).round() / 255


def bicubic(high: Tensor, scale: int, rounded: bool = True) -> Tensor:
    """Return the low pictures of the classical benchmark: antialiased bicubic, clamped to [0, 1].

    (B, 3, H, W) -> (B, 3, H/scale, W/scale)

    Args:
        rounded: round to 8 bits, as low pictures read from files are; then no gradient passes.

    Raises:
        UserError: a side is no multiple of the scale.
    """
    _check_divisible(high, scale)
    low = resize_bicubic(high, 1 / scale)
    return round_to_8_bit(low) if rounded else low.clamp(0, 1)


def _check_divisible(high: Tensor, scale: int) -> None:
    height, width = high.shape[-2:]
    if height % scale or width % scale:
        raise UserError(
            f"A high picture of {width} x {height} px has no low picture at x{scale}",
            f"Both sides must be multiples of {scale}",
            "Choose crops that are a multiple of the scale",
        )


Shape = Literal["gaussian", "generalised", "plateau"]


def bell_kernel(
    size_px: int, sigmas: tuple[float, float], angle: float = 0.0, shape: Shape = "gaussian", beta: float = 1.0
) -> Tensor:
    """Return a blur kernel (size, size) that sums to one: Gaussian, generalised Gaussian or plateau-shaped.

    With q the squared Mahalanobis distance these are exp(-q/2), exp(-q^beta / 2) and 1 / (1 + q^beta).
    Source: Real-ESRGAN (arXiv 2107.10833), section 3.1.

    Args:
        size_px: odd side of the kernel.
        sigmas: standard deviations in pixels along the two principal axes; equal ones make it isotropic.
        angle: of the first principal axis from the x axis, in radians.
        beta: shape parameter, unused by `gaussian`.
    """
    y, x = _grid(size_px)
    along = (math.cos(angle) * x + math.sin(angle) * y) / sigmas[0]
    across = (-math.sin(angle) * x + math.cos(angle) * y) / sigmas[1]
    distance = along**2 + across**2
    if shape == "plateau":
        kernel = 1 / (1 + distance**beta)
    else:
        kernel = torch.exp(-0.5 * distance ** (beta if shape == "generalised" else 1.0))
    return kernel / kernel.sum()


def sinc_kernel(size_px: int, cutoff: float) -> Tensor:
    """Return the low-pass kernel (size, size) whose truncation rings, as oversharpened pictures do; it sums to one.

    Source: Real-ESRGAN (arXiv 2107.10833), equation 7: cutoff / (2 pi r) * J1(cutoff * r).

    Args:
        cutoff: radians a pixel; pi is the Nyquist frequency.
    """
    y, x = _grid(size_px)
    radius = torch.sqrt(x**2 + y**2)
    kernel = cutoff * torch.special.bessel_j1(cutoff * radius) / (2 * math.pi * radius)
    kernel[size_px // 2, size_px // 2] = cutoff**2 / (4 * math.pi)  # the limit at r = 0
    return kernel / kernel.sum()


def _grid(size_px: int) -> tuple[Tensor, Tensor]:
    if size_px % 2 == 0:
        raise UserError(f"A blur kernel cannot be {size_px} px wide", "Its side must be odd")
    line = torch.arange(size_px, dtype=torch.float64) - size_px // 2
    return line[:, None], line[None, :]


def blur(picture: Tensor, kernel: Tensor) -> Tensor:
    """Convolve every channel with one kernel, mirrored at the border: (B, C, H, W) -> (B, C, H, W)."""
    margin = kernel.shape[-1] // 2
    # Mirroring needs a picture wider than the margin; degraded patches can be smaller.
    mode = "reflect" if margin < min(picture.shape[-2:]) else "replicate"
    padded = F.pad(picture, (margin,) * 4, mode=mode)
    # For kernels this large the Fourier transform is several times faster than a convolution on a CPU.
    spectrum = torch.fft.rfft2(padded) * torch.fft.rfft2(kernel.to(picture), s=padded.shape[-2:])
    return torch.fft.irfft2(spectrum, s=padded.shape[-2:])[..., 2 * margin :, 2 * margin :]


def add_gaussian_noise(picture: Tensor, sigma: float, gray: bool, random: torch.Generator) -> Tensor:
    """Add normal noise of deviation sigma/255, the same in all channels if `gray`; the result is clamped to [0, 1]."""
    shape = (*picture.shape[:1], 1 if gray else picture.shape[1], *picture.shape[2:])
    noise = torch.randn(shape, generator=random, device=picture.device, dtype=picture.dtype)
    return (picture + noise * (sigma / 255)).clamp(0, 1)


def add_poisson_noise(picture: Tensor, strength: float, gray: bool, random: torch.Generator) -> Tensor:
    """Add shot noise whose variance is strength^2 * value / 256, as of 256 photons at white. Clamped to [0, 1].

    `gray` noise is that of the picture's luma, the same in all channels.
    """
    light = picture.clamp(0, 1) * 256
    if gray:
        light = values.gray(light)
    noise = (torch.poisson(light, generator=random) - light) / 256
    return (picture + strength * noise).clamp(0, 1)


# JFIF's YCbCr; rows are Y, Cb, Cr.
_TO_YCBCR = (LUMA, (-0.168735892, -0.331264108, 0.5), (0.5, -0.418687589, -0.081312411))
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136286, -0.714136286), (1.0, 1.772, 0.0))

# ITU-T T.81, Annex K, tables K.1 and K.2.
_LUMA_STEPS = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA_STEPS = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)


def jpeg(picture: Tensor, quality: float | Tensor) -> Tensor:
    """Return pictures as they come back from a baseline JPEG file with 4:2:0 chroma; no gradient passes the rounding.

    (B, 3, H, W) -> (B, 3, H, W)

    Args:
        quality: 1 to 100, on the scale of the Independent JPEG Group; one number, or one for each picture (B,).
    """
    height, width = picture.shape[-2:]
    quality = torch.as_tensor(quality, dtype=picture.dtype, device=picture.device).expand(picture.shape[0])
    pixels = (picture.clamp(0, 1) * 255).round()
    pixels = F.pad(pixels, (0, -width % 16, 0, -height % 16), mode="replicate")
    planes = torch.einsum("kc,bchw->bkhw", picture.new_tensor(_TO_YCBCR), pixels).round()
    luma, chroma = planes[:, :1] - 128, F.avg_pool2d(planes[:, 1:], 2).round()
    luma = _quantise(luma, _steps(_LUMA_STEPS, quality))
    chroma = _quantise(chroma, _steps(_CHROMA_STEPS, quality))
    # Decoders enlarge the chroma by a triangle filter, and see none of the padding when they do.
    chroma = chroma[:, :, : (height + 1) // 2, : (width + 1) // 2]
    chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False).round()
    planes = torch.cat([luma[:, :, :height, :width] + 128, chroma[:, :, :height, :width]], dim=1)
    pixels = torch.einsum("ck,bkhw->bchw", picture.new_tensor(_TO_RGB), planes)
    return pixels.round().clamp(0, 255) / 255


def _steps(table: Sequence[Sequence[int]], quality: Tensor) -> Tensor:
    """Return the quantisation steps (B, 8, 8) at each quality, scaled as libjpeg scales them."""
    quality = quality.round().clamp(1, 100)
    percent = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)
    return ((quality.new_tensor(table) * percent[:, None, None] + 50) / 100).floor().clamp(1, 255)


def _quantise(planes: Tensor, steps: Tensor) -> Tensor:
    """Round the 8 x 8 cosine coefficients of planes (B, C, H, W), centred on zero, to multiples of steps (B, 8, 8)."""
    batch, channels, height, width = planes.shape
    cosines = _cosines(planes.dtype, planes.device)
    blocks = planes.reshape(batch, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    steps = steps[:, None, None, None]
    blocks = ((cosines @ blocks @ cosines.T) / steps).round() * steps
    blocks = (cosines.T @ blocks @ cosines).transpose(3, 4)
    return blocks.reshape(planes.shape).round().clamp(-128, 127)


@lru_cache(maxsize=8)
def _cosines(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the orthonormal 8-point DCT-II matrix."""
    k, n = np.arange(8)[:, None], np.arange(8)[None, :]
    matrix = np.cos(np.pi * (2 * n + 1) * k / 16) * np.where(k == 0, np.sqrt(1 / 8), np.sqrt(1 / 4))
    with torch.inference_mode(False):
        return torch.from_numpy(matrix).to(device=device, dtype=dtype)


@dataclass(frozen=True, kw_only=True)
class Round:
    """One round of blur, resize, noise and JPEG; the defaults are the first round of Real-ESRGAN."""

    blur_chance: float = 1.0
    """Probability of any blur in this round."""
    sinc_chance: float = 0.1
    """Probability that the blur is a sinc filter instead of a bell."""
    kernel_px: tuple[int, int] = (7, 21)
    """Smallest and largest side of a kernel; odd."""
    shape_weights: tuple[float, float, float] = (0.7, 0.15, 0.15)
    """Weights of Gaussian, generalised Gaussian and plateau-shaped kernels."""
    anisotropic_chances: tuple[float, float, float] = (0.25 / 0.7, 0.2, 0.2)
    """Probability that a kernel of each of these shapes is anisotropic."""
    sigma_px: tuple[float, float] = (0.2, 3.0)
    """Range of the kernels' standard deviation."""
    generalised_beta: tuple[float, float] = (0.5, 4.0)
    """Range of the generalised Gaussian's shape; below and above 1 are equally likely."""
    plateau_beta: tuple[float, float] = (1.0, 2.0)
    """Range of the plateau's shape."""
    resize_weights: tuple[float, float, float] = (0.2, 0.7, 0.1)
    """Weights of enlarging, shrinking and keeping the size."""
    resize_range: tuple[float, float] = (0.15, 1.5)
    """Smallest and largest factor of the resize, in the second round relative to the final low size."""
    careless_chance: float = 1.0
    """Probability that a resize has no antialiasing; it is that of careful programs, MATLAB's bicubic, otherwise."""
    gaussian_chance: float = 0.5
    """Probability that the noise is Gaussian; it is Poisson noise otherwise."""
    gaussian_sigma: tuple[float, float] = (1.0, 30.0)
    """Range of the Gaussian noise's standard deviation, in 1/255."""
    poisson_strength: tuple[float, float] = (0.05, 3.0)
    """Range of the factor on the Poisson noise."""
    gray_chance: float = 0.4
    """Probability that the noise is the same in all channels."""
    noise_chance: float = 1.0
    """Probability of any noise in this round."""
    jpeg_quality: tuple[float, float] = (30.0, 95.0)
    """Range of the JPEG quality."""


@dataclass(frozen=True, kw_only=True)
class SecondOrder:
    """The second-order degradation of Real-ESRGAN (arXiv 2107.10833, sections 3 and 4.1, and its published options)."""

    scale: int = 4
    """Side of the high picture divided by that of the low one."""
    first: Round = Round()
    """First round, which acts on the high picture."""
    second: Round = field(
        default=Round(
            blur_chance=0.8,
            sigma_px=(0.2, 1.5),
            resize_weights=(0.3, 0.4, 0.3),
            resize_range=(0.3, 1.2),
            gaussian_sigma=(1.0, 25.0),
            poisson_strength=(0.05, 2.5),
        )
    )
    """Second round; its JPEG comes before or after the final resize and sinc filter with equal probability."""
    final_sinc_chance: float = 0.8
    """Probability of the last sinc filter."""
    first_chance: float = 1.0
    """Probability of the first round; without it a picture suffers once only."""


def files(scale: int) -> SecondOrder:
    """Return what ordinary files suffer: a soft lens, some noise and JPEG, or any of these, once or twice.

    Milder than Real-ESRGAN's, whose worst pictures leave a small network nothing but guesses. Many files have seen
    little but JPEG: a network that never met one takes its detail for blocks, and costs it decibels.
    """
    first = Round(sigma_px=(0.2, 1.5), sinc_chance=0.05, resize_range=(0.5, 1.2), resize_weights=(0.15, 0.55, 0.3),
                  gaussian_sigma=(0.5, 10.0), poisson_strength=(0.02, 0.8), jpeg_quality=(30.0, 95.0), blur_chance=0.6,
                  noise_chance=0.7, careless_chance=0.5)  # fmt: skip
    second = Round(sigma_px=(0.2, 0.8), sinc_chance=0.05, resize_weights=(0.15, 0.15, 0.7), resize_range=(0.7, 1.2),
                   gaussian_sigma=(0.3, 5.0), poisson_strength=(0.02, 0.4), jpeg_quality=(30.0, 95.0),
                   blur_chance=0.3, noise_chance=0.6, careless_chance=0.5)  # fmt: skip
    return SecondOrder(scale=scale, first=first, second=second, final_sinc_chance=0.15, first_chance=0.65)


def files_twice(scale: int) -> SecondOrder:
    """Return the hard part of that mixture: every file suffers noise, careless resizing and JPEG, twice over."""
    usual = files(scale)
    first = replace(usual.first, blur_chance=0.7, resize_weights=(0.2, 0.7, 0.1), noise_chance=1.0, careless_chance=1.0)
    second = replace(usual.second, resize_weights=(0.2, 0.2, 0.6), noise_chance=1.0, careless_chance=1.0)
    return replace(usual, first=first, second=second, final_sinc_chance=0.2, first_chance=1.0)


@torch.no_grad()
def degrade(high: Tensor, settings: SecondOrder, random: torch.Generator) -> Tensor:
    """Return low pictures as cameras, editors and the web make them: blur, resize, noise and JPEG, twice, and ringing.

    (B, 3, H, W) -> (B, 3, H/scale, W/scale)

    Every picture of the batch gets its own kernels, sizes, noise and quality. The result is clamped to [0, 1] and
    rounded to 8 bits. The same state of `random` gives the same result on the same kind of device.

    Args:
        random: a generator on the CPU.

    Raises:
        UserError: a side is no multiple of the scale.
    """
    _check_divisible(high, settings.scale)
    seeds = torch.randint(0, 2**62, (high.shape[0],), generator=random).tolist()
    with torch.autocast(high.device.type, enabled=False):
        lows = [_degrade_one(picture[None].float(), settings, _Dice(seed)) for picture, seed in zip(high, seeds)]
    return torch.cat(lows).to(high.dtype)


class _Dice:
    """The chance of one picture: numbers from a generator on the CPU, so that no device ever has to be waited for."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._random = torch.Generator().manual_seed(seed)

    def uniform(self, bounds: tuple[float, float]) -> float:
        low, high = bounds
        return low + (high - low) * float(torch.rand((), generator=self._random, dtype=torch.float64))

    def happens(self, chance: float) -> bool:
        return self.uniform((0.0, 1.0)) < chance

    def omits(self, chance: float) -> bool:
        """Decide against what has this chance; what is certain takes no number from those of the others."""
        return chance < 1 and not self.happens(chance)

    def choose(self, weights: Sequence[float]) -> int:
        return int(torch.multinomial(torch.tensor(weights, dtype=torch.float64), 1, generator=self._random))

    def odd(self, bounds: tuple[int, int]) -> int:
        return 2 * math.floor(self.uniform((bounds[0] // 2, bounds[1] // 2 + 1))) + 1

    def pixels(self, device: torch.device) -> torch.Generator:
        seed = int(torch.randint(0, 2**62, (), generator=self._random))
        return torch.Generator(device).manual_seed(seed)


def _degrade_one(high: Tensor, settings: SecondOrder, dice: _Dice) -> Tensor:
    height, width = high.shape[-2:]
    low_size = (height // settings.scale, width // settings.scale)

    picture = high
    if not dice.omits(settings.first_chance):
        picture = _blurred_resized_noisy(picture, (height, width), settings.first, dice)
        picture = jpeg(picture, dice.uniform(settings.first.jpeg_quality))
    picture = _blurred_resized_noisy(picture, low_size, settings.second, dice)

    quality = dice.uniform(settings.second.jpeg_quality)
    if dice.happens(0.5):
        picture = jpeg(_final(picture, low_size, settings, dice), quality)
    else:
        picture = _final(jpeg(picture, quality), low_size, settings, dice)
    return round_to_8_bit(picture)


def _blurred_resized_noisy(picture: Tensor, size: tuple[int, int], order: Round, dice: _Dice) -> Tensor:
    if dice.happens(order.blur_chance):
        picture = blur(picture, _random_kernel(order, dice))
    smallest, largest = order.resize_range
    factor = dice.uniform(((1.0, largest), (smallest, 1.0), (1.0, 1.0))[dice.choose(order.resize_weights)])
    picture = _random_resize(picture, (max(1, round(size[0] * factor)), max(1, round(size[1] * factor))), order, dice)
    if dice.omits(order.noise_chance):
        return picture
    gray = dice.happens(order.gray_chance)
    random = dice.pixels(picture.device)
    if dice.happens(order.gaussian_chance):
        return add_gaussian_noise(picture, dice.uniform(order.gaussian_sigma), gray, random)
    return add_poisson_noise(picture, dice.uniform(order.poisson_strength), gray, random)


def _final(picture: Tensor, size: tuple[int, int], settings: SecondOrder, dice: _Dice) -> Tensor:
    picture = _random_resize(picture, size, settings.second, dice)
    if dice.happens(settings.final_sinc_chance):
        size_px = dice.odd(settings.second.kernel_px)
        picture = blur(picture, sinc_kernel(size_px, dice.uniform((math.pi / 3, math.pi))))
    return picture.clamp(0, 1)


def _random_kernel(order: Round, dice: _Dice) -> Tensor:
    size_px = dice.odd(order.kernel_px)
    if dice.happens(order.sinc_chance):
        # Small kernels cannot hold the longer waves of a low cutoff.
        return sinc_kernel(size_px, dice.uniform((math.pi / 3 if size_px < 13 else math.pi / 5, math.pi)))
    which = dice.choose(order.shape_weights)
    sigma = dice.uniform(order.sigma_px)
    sigmas, angle = (sigma, sigma), 0.0
    if dice.happens(order.anisotropic_chances[which]):
        sigmas, angle = (sigma, dice.uniform(order.sigma_px)), dice.uniform((-math.pi, math.pi))
    shape: Shape = ("gaussian", "generalised", "plateau")[which]
    lowest, highest = order.plateau_beta if shape == "plateau" else order.generalised_beta
    beta = dice.uniform((lowest, 1.0) if dice.happens(0.5) else (1.0, highest))
    return bell_kernel(size_px, sigmas, angle, shape, beta)


def _random_resize(picture: Tensor, size: tuple[int, int], order: Round, dice: _Dice) -> Tensor:
    mode = ("area", "bilinear", "bicubic")[dice.choose((1, 1, 1))]
    if tuple(picture.shape[-2:]) == size:
        return picture
    if dice.omits(order.careless_chance):
        return resize_bicubic(picture, size=size).clamp(0, 1)
    if mode == "area":
        return F.interpolate(picture, size=size, mode=mode)
    # Without antialiasing, as careless programs shrink: aliasing is part of what the network must undo.
    return F.interpolate(picture, size=size, mode=mode, align_corners=False).clamp(0, 1)
