"""Losses of structure and colour that super-resolution adds to pixels and features, each a function of tensors.

All take pictures in [0, 1], are means, and never send a gradient to what is real.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.errors import UserError
from ganvas.values import LUMA

WINDOW_PX = 11
WINDOW_SIGMA_PX = 1.5
OCTAVE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of MS-SSIM, finest first."""


def ms_ssim_loss(fake: Tensor, real: Tensor) -> Tensor:
    """Return 1 minus the multi-scale structural similarity: 0 for equal pictures.

    (B, C, H, W), (B, C, H, W) -> ()

    Small crops have no five octaves: those that fit the window of 11 px are taken, their weights scaled to the sum
    of all five. At 176 px and more it is the published score. Source: Wang et al. 2003; as a loss, Zhao et al. 2017.

    Raises:
        UserError: the shapes differ, or pictures are smaller than 11 px.
    """
    fake, real = _pair(fake, real)
    octaves = 0
    while octaves < len(OCTAVE_WEIGHTS) and min(fake.shape[-2:]) >> octaves >= WINDOW_PX:
        octaves += 1
    if not octaves:
        raise UserError(f"Pictures of {min(fake.shape[-2:])} px have no MS-SSIM", f"Its window is {WINDOW_PX} px wide")
    share = sum(OCTAVE_WEIGHTS[:octaves]) / sum(OCTAVE_WEIGHTS)
    result = fake.new_ones(fake.shape[:2])
    for octave, weight in enumerate(OCTAVE_WEIGHTS[:octaves]):
        if octave:
            fake, real = F.avg_pool2d(fake, 2), F.avg_pool2d(real, 2)
        similarity, contrast = _similarity(fake, real)
        term = (similarity * contrast if octave == octaves - 1 else contrast).mean(dim=(2, 3))
        # Below zero nothing can be raised to a broken power, and at zero the power has no gradient.
        result = result * term.clamp(min=1e-4) ** (weight / share)
    return 1 - result.mean()


def _similarity(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return SSIM's luminance term and its contrast and structure term wherever the window fits."""
    mean_a, mean_b = _blurred(a), _blurred(b)
    covariance = _blurred(a * b) - mean_a * mean_b
    variances = _blurred(a * a) - mean_a**2 + _blurred(b * b) - mean_b**2
    luminance = (2 * mean_a * mean_b + 0.01**2) / (mean_a**2 + mean_b**2 + 0.01**2)
    return luminance, (2 * covariance + 0.03**2) / (variances + 0.03**2)


def _blurred(x: Tensor) -> Tensor:
    places = torch.arange(WINDOW_PX, dtype=x.dtype, device=x.device) - WINDOW_PX // 2
    line = torch.softmax(-places.square() / (2 * WINDOW_SIGMA_PX**2), dim=0)
    planes = x.flatten(0, 1)[:, None]
    planes = F.conv2d(F.conv2d(planes, line.view(1, 1, -1, 1)), line.view(1, 1, 1, -1))
    return planes.view(*x.shape[:2], *planes.shape[-2:])


def colour_consistency(fake: Tensor, real: Tensor, factor: int) -> Tensor:
    """Return the mean difference of the colours (Cb and Cr of BT.601) of both pictures averaged over squares.

    (B, 3, H, W), (B, 3, H, W) -> ()

    A GAN may invent detail, but not a tint: what is left after averaging is what the low picture already said. Source:
    the colour loss of Ignatov et al. 2017 (DPED, equation 2), which blurs instead of averaging.

    Args:
        fake: generated pictures.
        real: the true ones.
        factor: side of the squares in pixels, usually the scale.

    Raises:
        UserError: the shapes differ, or the pictures are smaller than a square.
    """
    fake, real = _pair(fake, real)
    if factor < 1 or min(fake.shape[-2:]) < factor:
        raise UserError(f"Pictures of {min(fake.shape[-2:])} px cannot be averaged over {factor} px")
    return (_chroma(F.avg_pool2d(fake, factor)) - _chroma(F.avg_pool2d(real, factor))).abs().mean()


def _chroma(picture: Tensor) -> Tensor:
    red, green, blue = LUMA
    luma = red * picture[:, 0] + green * picture[:, 1] + blue * picture[:, 2]
    # Divided so that either spans one unit.
    return torch.stack([(picture[:, 2] - luma) / (2 - 2 * blue), (picture[:, 0] - luma) / (2 - 2 * red)], dim=1)


def locally_discriminative(fake: Tensor, real: Tensor, average: Tensor | None = None, window_px: int = 7) -> Tensor:
    """Return the L1 distance weighted by how likely each pixel is an artifact and not a detail.

    (B, C, H, W), (B, C, H, W) -> ()

    The weight is the variance of the residual around a pixel times the fifth root of its variance over the picture:
    in invented texture the error changes from pixel to pixel. Where the averaged network is farther from the truth than
    the present one, the present one is getting better, and the weight is zero.
    Source: Liang et al. 2022 (LDL), arXiv 2203.09195, equations 3 to 7.

    Args:
        fake: generated pictures.
        real: the true ones.
        average: what the moving average of the network makes of the same input; None leaves that comparison out.
        window_px: side of the neighbourhood, odd.

    Raises:
        UserError: the shapes differ, or the window is no odd number above 1.
    """
    fake, real = _pair(fake, real)
    if window_px < 3 or window_px % 2 == 0:
        raise UserError(f"The window of the LDL loss is {window_px} px", do="Use an odd number from 3")
    with torch.no_grad():
        residual = (real - fake).abs().sum(dim=1, keepdim=True)
        of_picture = residual.var(dim=(1, 2, 3), keepdim=True) ** 0.2
        reach = window_px // 2
        around = F.pad(residual, [reach] * 4, mode="reflect")
        mean, square = F.avg_pool2d(around, window_px, 1), F.avg_pool2d(around.square(), window_px, 1)
        count = window_px**2
        weight = of_picture * (square - mean.square()).clamp(min=0) * (count / (count - 1))
        if average is not None:
            behind = (real - average.detach().to(real)).abs().sum(dim=1, keepdim=True)
            weight = torch.where(residual < behind, torch.zeros_like(weight), weight)
    return (weight * (fake - real).abs()).mean()


def wavelet_details(picture: Tensor) -> Tensor:
    """Return the three detail bands of the luma's undecimated Haar transform, brought to about [0, 1].

    (B, 3, H, W) -> (B, 3, H, W)

    A discriminator that sees these alone sees texture and edges and leaves tone to the other losses. The picture is
    continued at the right and the bottom. Source: Korkmaz, Tekalp and Dogan 2024, arXiv 2402.19215, section 3.3, who
    use symlets of longer support.
    """
    red, green, blue = LUMA
    luma = (red * picture[:, 0] + green * picture[:, 1] + blue * picture[:, 2])[:, None]
    grown = F.pad(luma, [0, 1, 0, 1], mode="replicate")
    a, b, c, d = grown[..., :-1, :-1], grown[..., :-1, 1:], grown[..., 1:, :-1], grown[..., 1:, 1:]
    bands = torch.cat([a - b + c - d, a + b - c - d, a - b - c + d], dim=1) / 4
    # Details are a tenth of a picture's contrast.
    return 0.5 + 4 * bands


def _pair(fake: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    if fake.shape != real.shape:
        what = "What was generated cannot be compared with its target"
        raise UserError(what, f"The shapes are {tuple(fake.shape)} and {tuple(real.shape)}", "Give them one shape")
    wide = torch.promote_types(fake.dtype, torch.float32)
    return fake.to(wide), real.detach().to(wide)
