"""Reconstruction losses: how far a made picture is from the one it should be, by pixels or by features.

Features are taken from tensors that the caller made: a frozen network's layers by name, or the discriminator's by
place. What is real is a target and never receives a gradient. All are means (resolution and layer width do not change
their scale), all are computed in at least float32, and none has the weight that a recipe gives it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas import ranks
from ganvas.errors import UserError, did_you_mean
from ganvas.protocol import Verdict

Norm: TypeAlias = Literal["l1", "l2"]
Features: TypeAlias = Verdict | Sequence[Tensor] | Sequence[Verdict] | Sequence[Sequence[Tensor]]
"""A discriminator's layers in order, ending with the score map; a list of such for several scales."""


def l1(fake: Tensor, real: Tensor) -> Tensor:
    """Return mean |fake - real|."""
    return _distance(fake, real, "l1")


def l2(fake: Tensor, real: Tensor) -> Tensor:
    """Return mean (fake - real)^2."""
    return _distance(fake, real, "l2")


def charbonnier(fake: Tensor, real: Tensor, epsilon: float = 1e-3) -> Tensor:
    """Return mean sqrt((fake - real)^2 + epsilon^2): L1 with a round bottom, epsilon in units of the values.

    Source: Lai et al. 2017 (LapSRN), section 3.3.

    Raises:
        UserError: the shapes differ, or epsilon is not positive.
    """
    if not epsilon > 0:
        raise UserError(
            f"The Charbonnier loss has epsilon {epsilon:g}", "Its gradient is then undefined at 0", "Use 1e-3"
        )
    fake, real = _pair(fake, real)
    return ((fake - real).square() + epsilon * epsilon).sqrt().mean()


def decibels(fake: Tensor, real: Tensor, floor: float = 1e-6) -> Tensor:
    """Return how many decibels a made picture lies below a PSNR of 60 dB, as a mean over the batch.

    With m the mean square of each sample's difference, of values in [0, 1], it is the mean of 10 log10(1 + m / floor).
    Every sample counts alike in decibels: one that is nearly right already gets as much care as one that is not.
    Source: the PSNR loss of Chen et al. 2021 (HINet, arXiv 2105.06086); the floor is ours.

    Args:
        fake: (B, ...).
        real: (B, ...).
        floor: the mean square below which little more is asked for.

    Raises:
        UserError: the shapes differ, or the floor is not positive.
    """
    if not floor > 0:
        raise UserError(
            f"The loss in decibels has the floor {floor:g}", "A perfect picture has no logarithm", "Use 1e-6"
        )
    fake, real = _pair(fake, real)
    return (10 / math.log(10)) * ((fake - real).square().flatten(1).mean(1) / floor).log1p().mean()


def low_l1(fake: Tensor, real: Tensor, size_px: int | tuple[int, int]) -> Tensor:
    """Return mean |fake - real| after averaging both down to a size: right in the large, free in detail.

    The target may be there already, such as the low-resolution input. Source: tiled upres (M. Tyka), seed 001.

    Args:
        fake: (B, C, H, W).
        real: (B, C, H, W) or anything between that and the low size.
        size_px: height and width at which to compare, in pixels; one number for a square.

    Raises:
        UserError: a picture is smaller than that size.
    """
    size = (size_px, size_px) if isinstance(size_px, int) else size_px
    return _distance(_average_to(fake, size), _average_to(real, size), "l1")


def perceptual(
    fake: Mapping[str, Tensor], real: Mapping[str, Tensor], weights: Mapping[str, float], norm: Norm = "l1"
) -> Tensor:
    """Return the weighted sum over layers of the mean distance between features: `l1` absolute, `l2` squared.

    Source: Johnson et al. 2016; Wang et al. 2018 (ESRGAN), section 3.3, takes the layers before their activation.

    Args:
        fake: features of the made pictures by layer name.
        real: features of the targets, likewise.
        weights: weight by layer name.
        norm: `l1` or `l2`.

    Raises:
        UserError: no layer is chosen, or one does not exist.
    """
    if not weights:
        raise UserError("The perceptual loss has no layers", do="Name at least one layer with its weight")
    for name in weights:
        if name not in fake or name not in real:
            raise UserError(f"There is no layer {name!r}", do=did_you_mean(name, set(fake) & set(real)))
    return torch.stack([weight * _distance(fake[name], real[name], norm) for name, weight in weights.items()]).sum()


def feature_matching(fake: Features, real: Features, weighting: Literal["mean", "pix2pixhd"] = "mean") -> Tensor:
    """Return the mean |difference| of a discriminator's features, sample by sample, over its layers and scales.

    The score map, last in each scale, is left out. `mean` averages over layers and scales; `pix2pixhd` weights each
    layer by 4 / (number of layers) and each scale by 1 / (number of scales), four times that: with the published 3
    strided layers 4 / (3 + 1). Source: Wang et al. 2018 (pix2pixHD), equation 4; coefficient 10 with `pix2pixhd`.

    Raises:
        UserError: the features do not fit together, or there is nothing but scores.
    """
    scales = [
        torch.stack([_distance(layer, target, "l1") for layer, target in zip(layers[:-1], targets[:-1])]).mean()
        for layers, targets in _matched(fake, real, at_least=2)
    ]
    return torch.stack(scales).mean() * (4.0 if weighting == "pix2pixhd" else 1.0)


def learned_perceptual(fake: Features, real: Features, layers: Sequence[int], norm: Norm = "l1") -> Tensor:
    """Return the mean distance between chosen layers of a discriminator that looks at made and true pictures.

    The discriminator so becomes a perceptual loss that learns what still differs; its score need not be used at all.
    Source: reverse matchmove at high resolution (NeuralVFX), seed 000: four layers, `l1`, coefficient 25 * 1.25.

    Args:
        fake: the discriminator's features of the made pictures.
        real: those of the true pictures, sample by sample.
        layers: places in the features, 0 is the first layer and -1 the score map.
        norm: `l1` absolute or `l2` squared.

    Raises:
        UserError: no layer is chosen, or one does not exist.
    """
    if not layers:
        raise UserError("The learned perceptual loss has no layers", do="Choose at least one, 0 is the first")
    terms: list[Tensor] = []
    for ours, targets in _matched(fake, real, at_least=1):
        for layer in layers:
            if not -len(ours) <= layer < len(ours):
                what = f"The discriminator has no layer {layer}"
                raise UserError(what, f"It gives {len(ours)} feature maps", f"Use 0 to {len(ours) - 1}")
            terms.append(_distance(ours[layer], targets[layer], norm))
    return torch.stack(terms).mean()


def learned_l2(fake: Tensor, real: Tensor) -> Tensor:
    """Return the mean squared difference of one discriminator layer between each sample and its target.

    Source: Larsen et al. 2016 (VAEGAN), equation 8, up to constants; named "learned loss" in seed 004.
    """
    return _distance(fake, real, "l2")


def mean_feature_matching(fake: Tensor, real: Tensor, norm: Literal["l1", "l2", "squared"] = "squared") -> Tensor:
    """Return the distance between the batch means of one discriminator layer, (B, ...), over all ranks.

    With d the difference of the means at each channel and place: `l1` is mean |d| (the paper's CIFAR code), `squared`
    is mean d^2 (the paper's norm, per value), `l2` is ||d||, not squared (seed 004). The batches may differ in size.
    Every rank returns the loss of the whole batch. Source: Salimans et al. 2016, section 3.1.

    Raises:
        UserError: the layers differ in shape.
    """
    if fake.shape[1:] != real.shape[1:]:
        raise UserError("Features do not fit together", f"Their shapes are {tuple(fake.shape)} and {tuple(real.shape)}")
    mean_fake = ranks.mean_over_ranks(_wide(fake).mean(0))
    mean_real = ranks.mean_over_ranks(_wide(real.detach()).mean(0))
    difference = mean_fake - mean_real
    match norm:
        case "l1":
            return difference.abs().mean()
        case "l2":
            # vector_norm, unlike sqrt of a sum, has the gradient 0 at 0.
            return torch.linalg.vector_norm(difference)
        case "squared":
            return difference.square().mean()


def _distance(fake: Tensor, real: Tensor, norm: Norm) -> Tensor:
    fake, real = _pair(fake, real)
    return (fake - real).abs().mean() if norm == "l1" else (fake - real).square().mean()


def _pair(fake: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    # Without this a missing axis would broadcast, silently.
    if fake.shape != real.shape:
        what = "What was generated cannot be compared with its target"
        raise UserError(what, f"The shapes are {tuple(fake.shape)} and {tuple(real.shape)}", "Give them one shape")
    return _wide(fake), _wide(real.detach())


def _wide(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _average_to(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    height, width = pictures.shape[-2:]
    if height < size[0] or width < size[1]:
        why = f"A picture is {width}x{height} px and would have to grow"
        raise UserError(f"Pictures cannot be averaged down to {size[1]}x{size[0]} px", why, "Choose a smaller size")
    if height % size[0] == 0 and width % size[1] == 0:
        # The same windows; unlike the adaptive pooling it has a deterministic backward pass on CUDA.
        return F.avg_pool2d(_wide(pictures), (height // size[0], width // size[1]))
    return F.adaptive_avg_pool2d(_wide(pictures), size)


def _matched(fake: Features, real: Features, at_least: int) -> list[tuple[Sequence[Tensor], Sequence[Tensor]]]:
    """Return the features of made and true pictures scale by scale."""
    ours, targets = _scales(fake), _scales(real)
    counts, target_counts = [len(layers) for layers in ours], [len(layers) for layers in targets]
    if counts != target_counts or not counts:
        why = f"The layers by scale are {counts} for what was generated and {target_counts} for its target"
        raise UserError("Features do not fit together", why, "Take both from the same discriminator")
    if min(counts) < at_least:
        why = "The discriminator gives its score map and no features"
        raise UserError("There are no features to match", why, "Use a discriminator that returns its layers")
    return list(zip(ours, targets))


def _scales(features: Features) -> list[Sequence[Tensor]]:
    # A Verdict is a tuple, too: it must not be taken for a list of scales.
    if isinstance(features, Verdict):
        return [features.features]
    if features and isinstance(features[0], Tensor):
        return [features]  # pyright: ignore[reportReturnType]
    return [scale.features if isinstance(scale, Verdict) else scale for scale in features]  # pyright: ignore[reportReturnType]
