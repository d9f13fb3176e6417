"""NIQE: how far a picture's local statistics are from those of pristine photographs, with no truth beside it.

Computed as published: 96 px patches at two scales, 36 numbers a patch, and the distance between two Gaussians of such
numbers. The pristine Gaussian is a model: the authors' (125 photographs, a MATLAB file that is converted once) or ours,
fitted on the photographs of `scripts/photographs.py`. Numbers of different models are not comparable, and ours are not
those of papers. Source: Mittal, Soundararajan and Bovik 2013, "Making a completely blind image quality analyzer".
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.errors import UserError
from ganvas.resize import resize_bicubic

PATCH_PX = 96
NUMBERS = 36
SHARP = 0.75
"""Patches of a pristine photograph count when they are at least this share as sharp as its sharpest."""


@dataclass(frozen=True)
class Niqe:
    """What pristine photographs look like: a Gaussian of 36 numbers."""

    mean: Tensor
    covariance: Tensor

    @classmethod
    def fit(cls, photographs: Iterable[Tensor]) -> Self:
        """Return the model of pristine photographs, each (1, C, H, W) in [0, 1]; their blurred patches do not count.

        Raises:
            UserError: fewer than 37 sharp patches in all: their covariance says nothing.
        """
        rows = []
        for photograph in photographs:
            numbers, sharpness = patch_numbers(photograph)
            rows.append(numbers[sharpness > SHARP * sharpness.max()])
        patches = torch.cat(rows) if rows else torch.empty(0, NUMBERS)
        if len(patches) <= NUMBERS:
            why = f"They have {len(patches)} sharp patches of {PATCH_PX} px and {NUMBERS + 1} are needed"
            raise UserError("These photographs are too few or too small for a model", why)
        return cls(patches.mean(0), patches.T.cov())

    @property
    def digest(self) -> str:
        """Eight digits that tell models apart."""
        values = torch.cat([self.mean, self.covariance.flatten()]).double().numpy()
        return hashlib.sha256(values.tobytes()).hexdigest()[:8]


def niqe(picture: Tensor, model: Niqe, crop_px: int = 0) -> Tensor:
    """Return the NIQE of pictures in [0, 1]; lower is nearer to pristine photographs.

    (B, C, H, W) -> (B,)

    Args:
        picture: gray or RGB; gray is taken as MATLAB's rgb2gray does.
        model: what pristine photographs look like.
        crop_px: border pixels on each side that do not count.

    Raises:
        UserError: less than 192 px a side are left: the statistics of fewer than four patches say nothing.
    """
    inside = slice(crop_px, -crop_px or None)
    picture = picture[..., inside, inside]
    if min(picture.shape[-2:]) < 2 * PATCH_PX:
        what = f"A picture of {picture.shape[-1]} x {picture.shape[-2]} px is too small for NIQE"
        raise UserError(what, f"{2 * PATCH_PX} px are needed on each side", "Score larger pictures")
    return torch.stack([_distance(patch_numbers(one[None])[0], model) for one in picture])


def _distance(numbers: Tensor, model: Niqe) -> Tensor:
    numbers = numbers[numbers.isfinite().all(1)]
    if len(numbers) < 2:
        raise UserError("This picture is flat", "NIQE finds nothing in it to measure")
    difference = model.mean - numbers.mean(0)
    both = (model.covariance + numbers.T.cov()) / 2
    return (difference @ torch.linalg.pinv(both, hermitian=True) @ difference).clamp_min(0).sqrt()


# The 36 numbers


def patch_numbers(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Return the 36 numbers of every whole patch, float64, and each patch's sharpness: the mean local deviation.

    (1, C, H, W) -> (patches, 36), (patches,)
    """
    gray = _gray(picture)
    height, width = (size // PATCH_PX * PATCH_PX for size in gray.shape[-2:])
    gray = gray[..., :height, :width]
    numbers, sharpness = [], torch.empty(0)
    for scale in (1, 2):
        plane, deviation = _normalised(gray)
        patches = _patches(plane, PATCH_PX // scale)
        numbers.append(torch.stack([_patch(patch) for patch in patches]))
        if scale == 1:
            sharpness = _patches(deviation, PATCH_PX).mean((1, 2))
            gray = resize_bicubic(gray, 0.5)
    return torch.cat(numbers, dim=1), sharpness


def _gray(picture: Tensor) -> Tensor:
    """Return (1, 1, H, W) from 0 to 255, rounded as MATLAB does for bytes."""
    picture = picture.double()
    if picture.shape[1] == 3:
        weights = torch.tensor([0.298936021293775, 0.587043074451121, 0.114020904255103], dtype=torch.float64)
        picture = (picture * weights.to(picture.device)[:, None, None]).sum(1, keepdim=True)
    return (picture * 255 + 0.5).floor()


def _normalised(gray: Tensor) -> tuple[Tensor, Tensor]:
    """Return the plane with local mean and contrast taken off, and the local deviation: (H, W) each."""
    mean = _blurred(gray)
    deviation = (_blurred(gray * gray) - mean * mean).abs().sqrt()
    return ((gray - mean) / (deviation + 1))[0, 0], deviation[0, 0]


def _blurred(plane: Tensor) -> Tensor:
    line = torch.arange(-3, 4, dtype=plane.dtype, device=plane.device)
    weights = torch.exp(-line.square() / (2 * (7 / 6) ** 2))
    weights = weights / weights.sum()
    wide = F.pad(plane, (3, 3, 3, 3), mode="replicate")
    return F.conv2d(F.conv2d(wide, weights[None, None, :, None]), weights[None, None, None, :])


def _patches(plane: Tensor, size: int) -> Tensor:
    return plane.unfold(0, size, size).unfold(1, size, size).flatten(0, 1)


def _patch(patch: Tensor) -> Tensor:
    """Return the 18 numbers of a patch: of its values, and of their products with four neighbours."""
    shape, left, right = _fit_asymmetric(patch)
    numbers = [shape, (left + right) / 2]
    for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
        shape, left, right = _fit_asymmetric(patch * patch.roll(shift, (0, 1)))
        mean = (right - left) * torch.exp(torch.lgamma(2 / shape) - torch.lgamma(1 / shape))
        numbers += [shape, mean, left, right]
    return torch.stack(numbers)


_SHAPES = torch.arange(200, 10_001, dtype=torch.float64) / 1000
_RATIOS = torch.exp(2 * torch.lgamma(2 / _SHAPES) - torch.lgamma(1 / _SHAPES) - torch.lgamma(3 / _SHAPES))


def _fit_asymmetric(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return shape and both scales of the asymmetric generalised Gaussian with the moments of values.

    Source: Lasmar, Stitou and Berthoumieu 2009, the estimate by moments.
    """
    values = values.flatten()
    left, right = values[values < 0].square().mean().sqrt(), values[values > 0].square().mean().sqrt()
    skew = left / right
    ratio = values.abs().mean() ** 2 / values.square().mean()
    wanted = ratio * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    if not math.isfinite(float(wanted)):
        return wanted, left, right
    shape = _SHAPES[(_RATIOS - wanted.cpu()).square().argmin()].to(values.device)
    spread = torch.exp((torch.lgamma(1 / shape) - torch.lgamma(3 / shape)) / 2)
    return shape, left * spread, right * spread
