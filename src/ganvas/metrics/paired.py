"""Scores of a picture against its truth: PSNR, SSIM, MS-SSIM and brightness error, by MATLAB's conventions.

Pictures are (B, C, H, W) tensors in [0, 1]; every score is computed in float64 and comes back for each picture, (B,).
Published super-resolution scores are those of `luma` with as many border pixels cropped as the scale.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.errors import UserError

WINDOW_PX = 11
WINDOW_SIGMA_PX = 1.5
MULTISCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def luma(picture: Tensor) -> Tensor:
    """Return the Y of MATLAB's `rgb2ycbcr` (BT.601, studio swing: black is 16/255, white 235/255), unrounded float64.

    (B, 3, H, W) -> (B, 1, H, W)

    One channel is taken as gray, the same in R, G and B.

    Raises:
        UserError: the picture has neither one nor three channels.
    """
    _check_channels(picture)
    weights = torch.tensor([65.481, 128.553, 24.966], dtype=torch.float64, device=picture.device)
    picture = picture.double().expand(-1, 3, -1, -1)
    return (torch.einsum("bchw,c->bhw", picture, weights)[:, None] + 16) / 255


def psnr(a: Tensor, b: Tensor, crop_px: int = 0) -> Tensor:
    """Return the peak signal-to-noise ratio in dB for a peak of 1, over all channels; infinite for equal pictures.

    (B, C, H, W), (B, C, H, W) -> (B,)

    Args:
        crop_px: border pixels on each side that do not count.

    Raises:
        UserError: the shapes differ, or nothing is left after the crop.
    """
    a, b = _prepare(a, b, crop_px)
    return -10 * torch.log10((a - b).square().mean(dim=(1, 2, 3)))


def ssim(a: Tensor, b: Tensor, crop_px: int = 0) -> Tensor:
    """Return the structural similarity, the mean over channels; 1 for equal pictures.

    (B, C, H, W), (B, C, H, W) -> (B,)

    The authors' window: an 11 x 11 Gaussian of 1.5 px, only where it lies wholly inside the picture.
    Source: Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004.

    Raises:
        UserError: the shapes differ, or less than 11 px are left after the crop.
    """
    a, b = _prepare(a, b, crop_px, minimum_px=WINDOW_PX)
    similarity, contrast = _similarity_maps(a, b)
    return (similarity * contrast).mean(dim=(1, 2, 3))


def ms_ssim(a: Tensor, b: Tensor, crop_px: int = 0) -> Tensor:
    """Return the multi-scale structural similarity over five octaves; 1 for equal pictures.

    (B, C, H, W), (B, C, H, W) -> (B,)

    Contrast terms below zero count as zero, because they are raised to broken powers.
    Source: Wang et al., "Multi-scale structural similarity for image quality assessment", 2003.

    Raises:
        UserError: the shapes differ, or less than 176 px are left after the crop.
    """
    coarsest = 2 ** (len(MULTISCALE_WEIGHTS) - 1)
    a, b = _prepare(a, b, crop_px, minimum_px=WINDOW_PX * coarsest)
    result = torch.ones(a.shape[:2], dtype=a.dtype, device=a.device)
    for octave, weight in enumerate(MULTISCALE_WEIGHTS):
        if octave:
            a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        similarity, contrast = _similarity_maps(a, b)
        is_last = octave == len(MULTISCALE_WEIGHTS) - 1
        term = similarity * contrast if is_last else contrast
        result = result * term.mean(dim=(2, 3)).clamp(min=0) ** weight
    return result.mean(dim=1)


def brightness_error(result: Tensor, truth: Tensor, crop_px: int = 0) -> Tensor:
    """Return by how much a result is too bright: the mean of its Y minus the truth's (1/255 is a gray level).

    (B, C, H, W), (B, C, H, W) -> (B,)

    Raises:
        UserError: the shapes differ, or nothing is left after the crop.
    """
    result, truth = _prepare(result, truth, crop_px)
    return (luma(result) - luma(truth)).mean(dim=(1, 2, 3))


def score_pair(a: Tensor, b: Tensor, crop_px: int = 0) -> dict[str, float]:
    """Return the usual scores of one picture against its truth, the mean where a batch is given.

    (B, C, H, W), (B, C, H, W) -> psnr_y, ssim_y, psnr_rgb, ssim_rgb, brightness_error

    Raises:
        UserError: the shapes differ, or less than 11 px are left after the crop.
    """
    a, b = _prepare(a, b, crop_px, minimum_px=WINDOW_PX)
    luma_a, luma_b = luma(a), luma(b)
    scores = {
        "psnr_y": psnr(luma_a, luma_b),
        "ssim_y": ssim(luma_a, luma_b),
        "psnr_rgb": psnr(a, b),
        "ssim_rgb": ssim(a, b),
        "brightness_error": brightness_error(a, b),
    }
    return {name: float(score.mean()) for name, score in scores.items()}


def _check_channels(picture: Tensor) -> None:
    if picture.dim() != 4 or picture.shape[1] not in (1, 3):
        raise UserError(
            f"A picture of shape {tuple(picture.shape)} cannot be scored", "Scores take (B, 1, H, W) or (B, 3, H, W)"
        )


def _prepare(a: Tensor, b: Tensor, crop_px: int, minimum_px: int = 1) -> tuple[Tensor, Tensor]:
    """Check a pair, crop its border and return it in float64."""
    _check_channels(a)
    if a.shape != b.shape:
        raise UserError(
            "These pictures cannot be compared",
            f"Their shapes (B, C, H, W) differ: {tuple(a.shape)} and {tuple(b.shape)}",
            "Give pairs of the same size",
        )
    height, width = a.shape[-2] - 2 * crop_px, a.shape[-1] - 2 * crop_px
    if min(height, width) < minimum_px:
        raise UserError(
            f"A picture of {a.shape[-1]} x {a.shape[-2]} px is too small for this score",
            f"{minimum_px} px must be left on each side after cropping {crop_px} px of border",
        )
    inside = (..., slice(crop_px, crop_px + height), slice(crop_px, crop_px + width))
    return a[inside].double(), b[inside].double()


def _similarity_maps(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return the luminance term and the contrast-structure term of SSIM at every place of the window."""
    mean_a, mean_b = _window_mean(a), _window_mean(b)
    variance = _window_mean(a * a) + _window_mean(b * b) - mean_a**2 - mean_b**2
    covariance = _window_mean(a * b) - mean_a * mean_b
    small, smaller = 0.03**2, 0.01**2
    contrast = (2 * covariance + small) / (variance + small)
    similarity = (2 * mean_a * mean_b + smaller) / (mean_a**2 + mean_b**2 + smaller)
    return similarity, contrast


def _window_mean(planes: Tensor) -> Tensor:
    line = torch.arange(WINDOW_PX, dtype=planes.dtype, device=planes.device) - WINDOW_PX // 2
    weights = torch.exp(-line.square() / (2 * WINDOW_SIGMA_PX**2))
    weights = weights / weights.sum()
    flat = planes.flatten(0, 1)[:, None]
    flat = F.conv2d(F.conv2d(flat, weights[None, None, :, None]), weights[None, None, None, :])
    return flat.reshape(*planes.shape[:2], *flat.shape[-2:])
