"""The scores of a picture against its truth by name, and what each needs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ganvas.errors import UserError, did_you_mean
from ganvas.evaluation import extractors
from ganvas.io.runs import sha256
from ganvas.io.weights import published
from ganvas.metrics import paired
from ganvas.metrics.niqe import niqe
from ganvas.metrics.sharpness import compare_sharpness
from ganvas.resize import resize_bicubic

NAMES = {
    "psnr_y": "higher", "ssim_y": "higher", "psnr_rgb": "higher", "ssim_rgb": "higher", "brightness_error": "nearer 0",
    "ms_ssim_y": "higher", "ms_ssim_rgb": "higher", "consistency": "higher", "lpips": "lower",
    "lpips[vgg16]": "lower", "dists": "lower",
    "niqe": "lower", "niqe_truth": "lower", "gain": "higher", "detail": "nearer 1", "octave_1": "nearer 1",
    "octave_2": "nearer 1", "octave_3": "nearer 1", "in_place": "higher", "in_place_bar": "",
}  # fmt: skip
"""Every paired score, and which way is better."""
ORDERING = (
    "lpips[vgg16] orders pictures and no more: its heads were fitted to another VGG16, so its values are not those "
    "that are published"
)
DEFAULT = ("psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb", "brightness_error")
OF_ENLARGERS = ("gain", "detail", "in_place", "in_place_bar")
"""Further ones that are taken by default where the factor of enlargement is known."""
SHARPNESS = ("detail", "octave_1", "octave_2", "octave_3", "in_place", "in_place_bar")
SCALED = ("consistency", "gain", *SHARPNESS)
"""Those that depend on the factor of enlargement."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Weight files of the scores that need some; none is fetched that is not asked for."""

    lpips_backbone: str = "alex"
    """`alex` or `vgg`."""
    lpips_heads: Path | None = None
    dists_weights: Path | None = None
    backbone: Path | None = None
    """torchvision's published AlexNet (LPIPS) or VGG16 (LPIPS, DISTS); fetched where it is not given."""
    niqe_model: Path | None = None
    """The published model, converted to .npz or .safetensors; without it ours, of the bundled photograph, is used."""
    device: str | torch.device = field(default="cpu")


def scorer(
    names: Sequence[str], crop_px: int, scale: int, parts: Parts
) -> Callable[[Tensor, Tensor], dict[str, float]]:
    """Return the function that scores a result and its truth, (1, C, H, W) each, by all names at once.

    Raises:
        UserError: an unknown name, or a score that lacks its weights or the scale.
    """
    for name in names:
        if name not in NAMES:
            raise UserError(f"There is no score {name!r} of pairs", do=did_you_mean(name, NAMES))
    for name in SCALED:
        if name in names and scale < 2:
            raise UserError(f"{name} needs the factor of enlargement", do="Give --scale 4, say")
    simple = _simple(crop_px, scale)
    single = [name for name in names if name not in SHARPNESS]
    chosen = {name: simple[name] if name in simple else _with_weights(name, crop_px, parts) for name in single}
    usual = set(DEFAULT) <= set(names)

    def score(result: Tensor, truth: Tensor) -> dict[str, float]:
        # The usual five share their work.
        found = paired.score_pair(result, truth, crop_px) if usual else {}
        found |= {name: float(function(result, truth)) for name, function in chosen.items() if name not in found}
        if len(single) < len(names):
            found |= sharpness_of(result, truth, scale, crop_px)
        return {name: found[name] for name in names}

    return score


def _simple(crop_px: int, scale: int) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    def of_luma(score: Callable[..., Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda a, b: score(paired.luma(a), paired.luma(b), crop_px)

    def of_colours(score: Callable[..., Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda a, b: score(a, b, crop_px)

    return {
        "psnr_y": of_luma(paired.psnr), "ssim_y": of_luma(paired.ssim), "ms_ssim_y": of_luma(paired.ms_ssim),
        "psnr_rgb": of_colours(paired.psnr), "ssim_rgb": of_colours(paired.ssim),
        "ms_ssim_rgb": of_colours(paired.ms_ssim), "brightness_error": of_colours(paired.brightness_error),
        "consistency": lambda a, b: consistency(a, b, scale),
        "gain": lambda a, b: gain(a, b, scale, crop_px),
    }  # fmt: skip


def _with_weights(name: str, crop_px: int, parts: Parts) -> Callable[[Tensor, Tensor], Tensor]:
    if name in ("niqe", "niqe_truth"):
        model = extractors.open_niqe(parts.niqe_model)
        return lambda a, b: niqe(a if name == "niqe" else b, model, crop_px)
    if name == "lpips[vgg16]":
        network = extractors.open_lpips_vgg16().to(parts.device)
    elif name == "lpips":
        network = extractors.open_lpips(parts.lpips_backbone, parts.lpips_heads, parts.backbone).to(parts.device)
    else:
        network = extractors.open_dists(parts.dists_weights, parts.backbone).to(parts.device)
    return lambda a, b: network(_three(a, parts.device), _three(b, parts.device))


def _three(picture: Tensor, device: str | torch.device) -> Tensor:
    return picture.float().expand(-1, 3, -1, -1).to(device)


def consistency(result: Tensor, truth: Tensor, scale: int) -> Tensor:
    """Return the PSNR in dB of the results shrunk again against the truth shrunk: do they agree with what was given?

    (B, C, H, W), (B, C, H, W) -> (B,)

    Both are shrunk by MATLAB's bicubic; one border pixel of the small pictures does not count.

    Raises:
        UserError: the shapes differ, or the small pictures are too small.
    """
    if result.shape != truth.shape:
        why = f"Their shapes (B, C, H, W) differ: {tuple(result.shape)} and {tuple(truth.shape)}"
        raise UserError("These pictures cannot be compared", why, "Give pairs of the same size")
    small = [resize_bicubic(picture.double(), 1 / scale).clamp(0, 1) for picture in (result, truth)]
    return paired.psnr(small[0], small[1], 1)


def small_copy_enlarged(truth: Tensor, scale: int) -> Tensor:
    """Return a truth shrunk by MATLAB's bicubic and enlarged again, both rounded to 8 bits: (B, C, H, W) of [0, 1].

    Sides that are no multiple of the scale are taken as they are.
    """
    small = (resize_bicubic(truth.double(), 1 / scale).clamp(0, 1) * 255).round() / 255
    return (resize_bicubic(small, size=(truth.shape[-2], truth.shape[-1])).clamp(0, 1) * 255).round() / 255


def gain(result: Tensor, truth: Tensor, scale: int, crop_px: int = 0) -> Tensor:
    """Return PSNR-Y in dB over that of plain bicubic: (B, C, H, W), (B, C, H, W) -> (B,)."""
    plain = small_copy_enlarged(truth, scale)
    ours, theirs = (paired.psnr(paired.luma(a), paired.luma(truth), crop_px) for a in (result, plain))
    return ours - theirs


def sharpness_of(result: Tensor, truth: Tensor, scale: int, crop_px: int = 0) -> dict[str, float]:
    """Return the parts of *sharp* of one picture, (1, C, H, W), by name.

    `detail` is the variance of the Laplacian and `octave_1` to `octave_3` the energies of the top octaves, in those of
    the truth; `in_place` is the correlation of the finest detail with the truth's, and `in_place_bar` the better of
    bicubic with an unsharp mask and bicubic with noise.
    """
    inside = slice(crop_px, -crop_px or None)
    pictures = (result, truth, small_copy_enlarged(truth, scale))
    ours, wanted, plain = (paired.luma(picture.double())[0, 0, inside, inside] for picture in pictures)
    report = compare_sharpness(ours, wanted, plain)
    octaves = {f"octave_{place}": ratio for place, ratio in enumerate(report.result.octave_ratios, 1)}
    bar = max(report.unsharp.correlation, report.noise.correlation)
    found = {"detail": report.result.laplacian_ratio, "in_place": report.result.correlation, "in_place_bar": bar}
    return octaves | found


def digest(name: str, crop_px: int, parts: Parts, scale: int = 0) -> str:
    """Return eight digits that differ where a paired score is taken in another way.

    Raises:
        UserError: a weight file that takes part is missing.
    """
    scaled = f", x{scale}" if name in SCALED else ""
    return hashlib.sha256(f"{name}, crop {crop_px}, {_weights_of(name, parts)}{scaled}".encode()).hexdigest()[:8]


def _weights_of(name: str, parts: Parts) -> str:
    if name in ("niqe", "niqe_truth"):
        return extractors.open_niqe(parts.niqe_model).digest
    if name == "lpips[vgg16]":
        return " ".join(published.PUBLISHED[each].sha256 for each in ("vgg16", extractors.HEADS))
    if name == "lpips" and parts.lpips_heads:
        return f"{parts.lpips_backbone} {sha256(parts.lpips_heads)}"
    return sha256(parts.dists_weights) if name == "dists" and parts.dists_weights else ""
