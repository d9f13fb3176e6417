"""Regularisers: what keeps a discriminator smooth, weights orthogonal and players near their past.

The gradient penalties take any callable that scores pictures; a conditional discriminator is passed as
`lambda pictures: discriminator(pictures, condition)`. They run it in float32 even under autocast, since squares of
gradients leave the range of half precision. The score of a sample is the mean over its patches; several scales are
averaged. All are unweighted: the caller multiplies by its coefficient. In a discriminator with batch norm the gradient
of one sample's score leaks into the others, and the penalties lose their meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ganvas import ranks
from ganvas.errors import UserError
from ganvas.losses.adversarial import Verdicts, scores_of

Critic: TypeAlias = Callable[[Tensor], Verdicts]
"""Pictures to raw scores."""


def gradient_penalty(
    critic: Critic, real: Tensor, fake: Tensor, random: torch.Generator, target_norm: float = 1.0
) -> Tensor:
    """Return mean (||grad C(x)|| - 1)^2 on random points x between real and fake samples.

    One random weight per sample; the norm runs over all values of a sample (C, H and W) together.
    Source: Gulrajani et al. 2017 (WGAN-GP), algorithm 1; coefficient 10.

    Args:
        critic: pictures to raw scores.
        real: (B, C, H, W).
        fake: (B, C, H, W), row i is mixed with row i.
        random: source of the weights, on the CPU.
        target_norm: the norm that is not penalised.

    Raises:
        UserError: the batches differ in shape.
    """
    if real.shape != fake.shape:
        why = f"Real samples are {tuple(real.shape)} and fakes {tuple(fake.shape)}"
        raise UserError("The gradient penalty mixes real and fake samples one by one", why, "Give batches of one shape")
    between = torch.lerp(_wide(fake), _wide(real), _weights(real, random))
    return _mean([(_norm(gradient) - target_norm).square() for gradient in _gradients(critic, between)])


def dragan(
    critic: Critic, real: Tensor, random: torch.Generator, spread: float = 0.5, target_norm: float = 1.0
) -> Tensor:
    """Return mean (||grad C(x)|| - 1)^2 on random points x around the real samples.

    x = real + u * spread * std(real) * v, with u from [0, 1) per sample, v from [0, 1) per value, and the standard
    deviation of the whole batch over all ranks. Source: Kodali et al. 2017, section 2.3; coefficient 10.

    Args:
        critic: pictures to raw scores.
        real: (B, C, H, W).
        random: source of the noise, on the CPU.
        spread: size of the neighbourhood in standard deviations of the data.
        target_norm: the norm that is not penalised.
    """
    real = _wide(real.detach())
    mean = ranks.mean_over_ranks(real.mean())
    deviation = ranks.mean_over_ranks((real - mean).square().mean()).sqrt()
    noise = torch.rand(real.shape, generator=random, dtype=real.dtype).to(real.device)
    near = real + _weights(real, random) * spread * deviation * noise
    return _mean([(_norm(gradient) - target_norm).square() for gradient in _gradients(critic, near)])


def r1(critic: Critic, real: Tensor) -> Tensor:
    """Return mean ||grad C(x)||^2 / 2 on real samples, (B, C, H, W).

    Source: Mescheder et al. 2018, equation 9; multiply by gamma (the half is inside).
    """
    return _mean([gradient.square().sum(1) / 2 for gradient in _gradients(critic, real)])


def r2(critic: Critic, fake: Tensor) -> Tensor:
    """Return mean ||grad C(x)||^2 / 2 on fake samples, (B, C, H, W).

    Source: Mescheder et al. 2018, equation 10; multiply by gamma (the half is inside).
    """
    return r1(critic, fake)


def zero_centred(
    critic: Critic, real: Tensor, fake: Tensor, gammas: tuple[float, float], factor: float
) -> dict[str, Tensor]:
    """Return R1 on real samples and R2 on fakes, each times its gamma and a factor; one that weighs 0 is left out.

    Args:
        gammas: of R1 and of R2.
        factor: as `lazy_factor` and a collapse watch give it.
    """
    terms = (("r1", real, gammas[0] * factor), ("r2", fake, gammas[1] * factor))
    return {name: weight * r1(critic, samples) for name, samples, weight in terms if weight}


def lazy_factor(step: int, interval: int) -> float:
    """Return the factor of a regulariser that runs every `interval` steps only: 0, or `interval` when it is due.

    Over an interval the regulariser then weighs as much as if it ran each step.
    Source: Karras et al. 2020 (StyleGAN2), appendix B.

    Raises:
        UserError: the interval is not positive.
    """
    _require_interval(interval)
    return float(interval) if step % interval == 0 else 0.0


@torch.no_grad()
def clip_weights(weights: Iterable[Tensor], limit: float = 0.01) -> None:
    """Confine each weight to [-limit, limit], in place, after an optimiser step of a Wasserstein critic.

    Source: Arjovsky et al. 2017, algorithm 1.

    Raises:
        UserError: the limit is not positive.
    """
    if not limit > 0:
        raise UserError(f"Weights cannot be clipped to {limit:g}", "The limit must be positive", "The paper uses 0.01")
    for weight in weights:
        weight.clamp_(-limit, limit)


def orthogonality(weights: Iterable[Tensor]) -> Tensor:
    """Return the sum of ||W W^T * (1 - I)||_F^2 over weights: how far filters are from orthogonal, whatever their norm.

    Each weight is seen as a matrix with one row per output; vectors (biases, gains) are passed over. The gradient is
    autograd's, 4 (W W^T * (1 - I)) W; hand-written ones of other projects are half of it, so their 1e-4 is 5e-5 here.
    Source: Brock et al. 2019 (BigGAN), equation 3; coefficient 1e-4.

    Raises:
        UserError: there is no weight with two or more axes.
    """
    terms: list[Tensor] = []
    for weight in weights:
        if weight.ndim < 2:
            continue
        with torch.autocast(weight.device.type, enabled=False):
            rows = _wide(weight).flatten(1)
            overlap = rows @ rows.T
            terms.append((overlap - torch.diag(overlap.diagonal())).square().sum())
    if not terms:
        raise UserError("There are no weights to make orthogonal", "None of them has two or more axes")
    return torch.stack(terms).sum()


def historical_averaging(
    parameters: Iterable[tuple[str, Tensor]], history: Mapping[str, Any], prefix: str = "history"
) -> Tensor:
    """Return ||theta - mean of past theta||^2 over all parameters; zero before the first `update_history`.

    The mean is a constant: the gradient is 2 (theta - mean). Source: Salimans et al. 2016, section 3.3.

    Args:
        parameters: names and values of one player, as `named_parameters()` gives them.
        history: what `update_history` returned.
        prefix: its prefix there.

    Raises:
        UserError: the history does not know a parameter or knows it with another shape.
    """
    terms: list[Tensor] = []
    for name, value in parameters:
        if not history.get(f"{prefix}.count"):
            terms.append(_wide(value).new_zeros(()))
            continue
        mean = history.get(f"{prefix}.{name}")
        if mean is None or mean.shape != value.shape:
            why = "It was not there, or had another shape, when the history was begun"
            raise UserError(
                f"The history has no mean of {name!r}", why, "Begin a new history where the networks change"
            )
        terms.append((_wide(value) - mean.detach()).square().sum())
    if not terms:
        raise UserError("There are no parameters to hold near their history")
    return torch.stack(terms).sum()


@torch.no_grad()
def update_history(
    parameters: Iterable[tuple[str, Tensor]], history: Mapping[str, Any], prefix: str = "history"
) -> dict[str, Any]:
    """Return the history with the present parameters counted in: a running mean, so memory does not grow.

    The result is flat (`PREFIX.count` and a tensor for each `PREFIX.NAME`) and fits into a recipe's carry; begin with
    an empty dict. Entries of other prefixes are not copied. Call it once after each optimiser step.
    """
    count = int(history.get(f"{prefix}.count", 0)) + 1
    updated: dict[str, Any] = {f"{prefix}.count": count}
    for name, value in parameters:
        value = _wide(value)
        mean = history.get(f"{prefix}.{name}")
        updated[f"{prefix}.{name}"] = value.clone() if mean is None else torch.lerp(mean, value, 1.0 / count)
    return updated


def consistency(scores: Verdicts, transformed: Verdicts) -> Tensor:
    """Return mean ||C(x) - C(T(x))||^2 between the scores of samples and of the same samples transformed.

    Both sides keep their gradients. Use it on real samples (CR), and on fakes too (balanced, bCR). Score maps are
    compared place by place, so T must not move things further than a patch sees.
    Source: Zhang et al. 2020 (CR-GAN), equation 2; coefficient 10. Zhao et al. 2021 (ICR-GAN).

    Raises:
        UserError: the scores differ in shape.
    """
    pairs = list(zip(scores_of(scores), scores_of(transformed), strict=True))
    if any(before.shape != after.shape for before, after in pairs):
        raise UserError("Consistency compares scores one by one", "The two batches of scores differ in shape")
    return _mean([(before - after).square().mean() for before, after in pairs])


def _gradients(critic: Critic, pictures: Tensor) -> list[Tensor]:
    """Return for each scale the gradient of each sample's score at that sample: (B, C, H, W) -> (B, C*H*W)."""
    pictures = _wide(pictures.detach()).requires_grad_(True)
    with torch.enable_grad(), torch.autocast(pictures.device.type, enabled=False):
        totals = [score.reshape(len(score), -1).mean(1).sum() for score in scores_of(critic(pictures))]
        return [torch.autograd.grad(total, pictures, create_graph=True)[0].flatten(1) for total in totals]


def _norm(gradients: Tensor) -> Tensor:
    # vector_norm, unlike sqrt of a sum, has the gradient 0 at 0.
    return torch.linalg.vector_norm(gradients, dim=1)


def _mean(scales: list[Tensor]) -> Tensor:
    return torch.stack(scales).mean()


def _weights(samples: Tensor, random: torch.Generator) -> Tensor:
    """Return one number of [0, 1) per sample, shaped to multiply the samples."""
    dtype = torch.promote_types(samples.dtype, torch.float32)
    weights = torch.rand(len(samples), generator=random, dtype=dtype)
    return weights.view(-1, *[1] * (samples.ndim - 1)).to(samples.device)


def _wide(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _require_interval(interval: int) -> None:
    if interval < 1:
        raise UserError(
            f"A regulariser cannot run every {interval} steps", do="Use 1 for each step, or 16 as StyleGAN2"
        )
