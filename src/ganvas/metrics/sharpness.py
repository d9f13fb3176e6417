"""What this project calls *sharp*: as much fine detail as the truth has, and in the right places.

A result is sharp when the energy in each of the top three octaves of its radial spectrum and the variance of its
Laplacian lie between 50 % and 150 % of the truth's, and its high-pass correlates with the truth's better than that of
two baselines tuned to the same variance of the Laplacian: bicubic with an unsharp mask, and bicubic with added noise.

All functions take Y planes in [0, 1] (`paired.luma(picture)[0, 0]`), border already cropped, and compute in float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.errors import UserError

RATIO_RANGE = (0.5, 1.5)
"""Share of the truth's energy and variance within which a result counts as sharp."""
HIGH_PASS_SIGMA_PX = 1.0
"""What a Gaussian of this width leaves over is the high-pass: half of the amplitude at 0.19 cycles a pixel."""
UNSHARP_RADII_PX = (1.0, 2.0, 4.0)
"""Radii of the unsharp mask; the baseline is the one that correlates best."""
MINIMUM_PX = 16
NYQUIST = 0.5


def octave_energies(y: Tensor) -> Tensor:
    """Return the energy in the top three octaves of the radial spectrum, finest first.

    (..., H, W) -> (..., 3)

    The octaves are (1/2, 1], (1/4, 1/2] and (1/8, 1/4] of the Nyquist frequency (half a cycle a pixel), by radius.
    The corners of the spectrum, diagonal waves beyond Nyquist, belong to none; the Laplacian weighs them most.
    The mean is taken off and a Hann window laid over, so that the jump from one border to the other adds nothing;
    energies are those of the windowed plane: over all frequencies they sum to its mean square.

    Raises:
        UserError: a side has less than 16 px.
    """
    return torch.stack([band_energy(y, NYQUIST / 2 ** (k + 1), NYQUIST / 2**k) for k in range(3)], dim=-1)


def band_energy(y: Tensor, above: float, up_to: float) -> Tensor:
    """Return the energy between two radial frequencies in cycles a pixel, windowed as `octave_energies` says.

    (..., H, W) -> (...)
    """
    y = _checked(y)
    height, width = y.shape[-2:]
    windowed = (y - y.mean(dim=(-2, -1), keepdim=True)) * _hann(height, y)[:, None] * _hann(width, y)
    power = torch.fft.fft2(windowed, norm="forward").abs().square()
    rows, columns = (torch.fft.fftfreq(n, dtype=y.dtype, device=y.device) for n in (height, width))
    radius = torch.sqrt(rows[:, None] ** 2 + columns**2)
    return (power * ((radius > above) & (radius <= up_to))).sum(dim=(-2, -1))


def _hann(length: int, like: Tensor) -> Tensor:
    # Shifted by half a pixel, so that no pixel is lost at either border.
    phase = (torch.arange(length, dtype=like.dtype, device=like.device) + 0.5) / length
    return 0.5 - 0.5 * torch.cos(2 * math.pi * phase)


def laplacian_variance(y: Tensor) -> Tensor:
    """Return the variance of the 4-neighbour Laplacian over all inner pixels: (..., H, W) -> (...)."""
    return _laplacian(_checked(y)).var(dim=(-2, -1), correction=0)


def _laplacian(y: Tensor) -> Tensor:
    neighbours = y[..., :-2, 1:-1] + y[..., 2:, 1:-1] + y[..., 1:-1, :-2] + y[..., 1:-1, 2:]
    return neighbours - 4 * y[..., 1:-1, 1:-1]


def high_pass(y: Tensor, sigma_px: float = HIGH_PASS_SIGMA_PX) -> Tensor:
    """Return what a Gaussian blur takes away, mirrored at the border: (..., H, W) -> (..., H, W)."""
    y = _checked(y)
    reach = math.ceil(3 * sigma_px)
    line = torch.arange(-reach, reach + 1, dtype=y.dtype, device=y.device)
    weights = torch.exp(-line.square() / (2 * sigma_px**2))
    weights = weights / weights.sum()
    planes = F.pad(y.reshape(-1, 1, *y.shape[-2:]), (reach,) * 4, mode="reflect")
    blurred = F.conv2d(F.conv2d(planes, weights[None, None, :, None]), weights[None, None, None, :])
    return y - blurred.reshape(y.shape)


def high_pass_correlation(a: Tensor, b: Tensor) -> Tensor:
    """Return Pearson's correlation of two high-passes, -1 to 1; 0 where one of them is flat.

    (..., H, W), (..., H, W) -> (...)
    """
    a, b = (high_pass(y).flatten(-2) for y in (a, b))
    a, b = a - a.mean(-1, keepdim=True), b - b.mean(-1, keepdim=True)
    norm = torch.linalg.vector_norm(a, dim=-1) * torch.linalg.vector_norm(b, dim=-1)
    return torch.where(norm > 0, (a * b).sum(-1) / norm.clamp(min=torch.finfo(norm.dtype).tiny), 0.0)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the sharpness table; ratios are shares of the truth's."""

    name: str
    octave_ratios: tuple[float, float, float]
    """Energy in the top three octaves, finest first."""
    laplacian_ratio: float
    """Variance of the Laplacian."""
    correlation: float
    """High-pass correlation with the truth."""
    amount: float = 0.0
    """How much of the mask or noise was added; the noise's is its standard deviation."""
    radius_px: float = 0.0
    """Standard deviation of the unsharp mask's blur."""

    @property
    def is_detailed(self) -> bool:
        """Whether energies and variance lie within 50 % and 150 % of the truth's."""
        lowest, highest = RATIO_RANGE
        return all(lowest <= ratio <= highest for ratio in (*self.octave_ratios, self.laplacian_ratio))


@dataclass(frozen=True, kw_only=True)
class SharpnessReport:
    """The verdict on one result, with the plain bicubic and the two baselines it is held against."""

    result: Row
    bicubic: Row
    unsharp: Row
    noise: Row

    @property
    def sharp(self) -> bool:
        """Whether the result has the truth's detail, and in better places than both baselines."""
        bar = max(self.unsharp.correlation, self.noise.correlation)
        return self.result.is_detailed and self.result.correlation > bar

    def rows(self) -> tuple[Row, ...]:
        """Return the lines of the table."""
        return self.result, self.bicubic, self.unsharp, self.noise


def compare_sharpness(result: Tensor, truth: Tensor, bicubic: Tensor, seed: int = 0) -> SharpnessReport:
    """Tell whether a result is sharp.

    (H, W), (H, W), (H, W) -> SharpnessReport

    Args:
        bicubic: the low picture enlarged by bicubic to the truth's size.
        seed: of the noise baseline.

    Raises:
        UserError: the planes are no planes, differ in size, or have a side of less than 16 px.
    """
    if not result.shape == truth.shape == bicubic.shape or result.dim() != 2:
        shapes = ", ".join(str(tuple(y.shape)) for y in (result, truth, bicubic))
        raise UserError("Sharpness cannot be measured", f"It takes three Y planes (H, W) of one size, not {shapes}")
    result, truth, bicubic = (_checked(y) for y in (result, truth, bicubic))
    target = float(laplacian_variance(result))
    masks = [
        _tuned("bicubic + unsharp mask", bicubic, high_pass(bicubic, radius), target, truth, radius)
        for radius in UNSHARP_RADII_PX
    ]
    # Drawn on the CPU, so that the baseline is the same on every device.
    random = torch.Generator().manual_seed(seed)
    noise = torch.randn(bicubic.shape, generator=random, dtype=bicubic.dtype).to(bicubic.device)
    return SharpnessReport(
        result=_row("result", result, truth),
        bicubic=_row("bicubic", bicubic, truth),
        unsharp=max(masks, key=lambda row: row.correlation),
        noise=_tuned("bicubic + noise", bicubic, noise, target, truth),
    )


def mean_report(reports: Sequence[SharpnessReport]) -> SharpnessReport:
    """Return the report of several pictures together, the mean of every number.

    Raises:
        UserError: there are no reports.
    """
    if not reports:
        raise UserError("Sharpness cannot be measured", "There is no picture")
    result, bicubic, unsharp, noise = (_mean_row(rows) for rows in zip(*(report.rows() for report in reports)))
    return SharpnessReport(result=result, bicubic=bicubic, unsharp=unsharp, noise=noise)


def _mean_row(rows: Sequence[Row]) -> Row:
    finest, middle, coarsest = (_mean([row.octave_ratios[k] for row in rows]) for k in range(3))
    return Row(
        name=rows[0].name,
        octave_ratios=(finest, middle, coarsest),
        laplacian_ratio=_mean([row.laplacian_ratio for row in rows]),
        correlation=_mean([row.correlation for row in rows]),
        amount=_mean([row.amount for row in rows]),
        radius_px=_mean([row.radius_px for row in rows]),
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _tuned(name: str, bicubic: Tensor, detail: Tensor, target: float, truth: Tensor, radius_px: float = 0.0) -> Row:
    """Add as much of a detail plane as gives the Laplacian the target variance, and score the sum."""
    amount = _amount(bicubic, detail, target)
    return _row(name, bicubic + amount * detail, truth, amount, radius_px)


def _amount(base: Tensor, detail: Tensor, target: float) -> float:
    """Return the a >= 0 at which the Laplacian of base + a * detail has the target variance; 0 if base has more."""
    edges, more = (_laplacian(plane) for plane in (base, detail))
    edges, more = edges - edges.mean(), more - more.mean()
    # var(a) = quadratic a^2 + 2 linear a + constant + target
    quadratic, linear = float(more.square().mean()), float((edges * more).mean())
    constant = float(edges.square().mean()) - target
    if quadratic == 0 or constant >= 0:
        return 0.0
    return (-linear + math.sqrt(linear**2 - quadratic * constant)) / quadratic


def _row(name: str, y: Tensor, truth: Tensor, amount: float = 0.0, radius_px: float = 0.0) -> Row:
    pairs = zip(octave_energies(y).tolist(), octave_energies(truth).tolist())
    finest, middle, coarsest = (_ratio(energy, of_truth) for energy, of_truth in pairs)
    return Row(
        name=name,
        octave_ratios=(finest, middle, coarsest),
        laplacian_ratio=_ratio(float(laplacian_variance(y)), float(laplacian_variance(truth))),
        correlation=float(high_pass_correlation(y, truth)),
        amount=amount,
        radius_px=radius_px,
    )


def _ratio(value: float, of_truth: float) -> float:
    if of_truth > 0:
        return value / of_truth
    return 1.0 if value == 0 else math.inf


def _checked(y: Tensor) -> Tensor:
    if y.dim() < 2 or min(y.shape[-2:]) < MINIMUM_PX:
        raise UserError(
            f"A plane of shape {tuple(y.shape)} is too small", f"Sharpness needs {MINIMUM_PX} px on each side"
        )
    return y.double()
