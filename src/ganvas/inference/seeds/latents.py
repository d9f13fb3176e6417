"""Noise by seed: the same vector for the same seed in any batch, truncated in each of the ways that are in use.

    value     each number is drawn again until it lies within the threshold (Brock et al. 2019, the default)
    norm      the whole vector is drawn again until its length is within the threshold
    scaled    threshold times numbers drawn within +-2 (the demonstrations of the published weights)
    clamp     numbers beyond the threshold are set to it, where they pile up
    variance  numbers of this variance, none left out

Nothing is drawn again in fact: `value` and `norm` use the inverse of the truncated distribution, so that a seed's
picture changes smoothly with the threshold, and without one is the untruncated picture of that seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from ganvas.errors import UsageError, UserError

Kind = Literal["value", "norm", "scaled", "clamp", "variance"]
DEMONSTRATED = 2.0
"""Numbers are drawn within this many deviations under `scaled`."""
HALVINGS = 60
"""Steps of the search for a radius."""
SMALLEST_SHARE = 1e-200
"""Below this share of all vectors, the distribution of the radius is taken as that of a ball's volume."""


def latents(
    seeds: Sequence[int],
    length: int,
    truncation: float | None = None,
    kind: Kind = "value",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return a vector of noise for each seed: (N, length).

    Args:
        seeds: any integers from 0.
        length: of the vectors.
        truncation: threshold; None truncates nothing.
        kind: what the threshold is of.
        dtype: of the result; it is computed in float64.

    Raises:
        UserError: the truncation is not positive, or a seed is negative.
    """
    if truncation is not None and not truncation > 0:
        raise UserError(
            f"The truncation is {truncation:g}", "It is a threshold on noise", "Use one above 0, such as 0.5"
        )
    for seed in seeds:
        if seed < 0:
            raise UserError(f"The seed {seed} is negative", do="Use integers from 0")
    shares = torch.stack([_uniform(seed, length) for seed in seeds])
    return _truncated(shares, truncation, kind).to(dtype)


def _uniform(seed: int, length: int) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.rand(length, generator=random, dtype=torch.float64).clamp_min(1e-18)


def _truncated(shares: Tensor, truncation: float | None, kind: Kind) -> Tensor:
    """Return noise from numbers between 0 and 1 that say which share of the distribution lies below."""
    if truncation is None:
        return torch.special.ndtri(shares)
    match kind:
        case "value":
            return _within(shares, truncation)
        case "scaled":
            return truncation * _within(shares, DEMONSTRATED)
        case "clamp":
            return torch.special.ndtri(shares).clamp(-truncation, truncation)
        case "variance":
            return torch.special.ndtri(shares) * truncation**0.5
        case "norm":
            return _shortened(torch.special.ndtri(shares), truncation)


def _within(shares: Tensor, limit: float) -> Tensor:
    low = torch.special.ndtr(shares.new_tensor(-limit))
    # The distribution is symmetric, so the mass inside is 1 - 2 low.
    return torch.special.ndtri(low + shares * (1 - 2 * low)).clamp(-limit, limit)


def _shortened(noise: Tensor, limit: float) -> Tensor:
    """Return vectors of the same directions whose lengths have the chi distribution up to a limit."""
    length = torch.linalg.vector_norm(noise, dim=1, keepdim=True)
    half = noise.new_tensor(noise.shape[1] / 2)
    # A length's own share of the distribution is uniform: it serves as the draw.
    share = torch.special.gammainc(half, length.square() / 2)
    inside = torch.special.gammainc(half, noise.new_tensor(limit**2 / 2))
    if inside < SMALLEST_SHARE:
        radius = limit * share ** (1 / noise.shape[1])
    else:
        low, high = torch.zeros_like(length), torch.full_like(length, limit)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            below = torch.special.gammainc(half, middle.square() / 2) < share * inside
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        radius = (low + high) / 2
    return noise * (radius / length)


def between(first: Tensor, second: Tensor, share: float) -> Tensor:
    """Return the vectors at a share of the way along the arcs between two sets of vectors, lengths interpolated.

    (N, L), (N, L) -> (N, L)

    The straight line between two draws passes nearer to 0 than draws lie. Source: Shoemake 1985; White 2016.
    """
    if share in (0.0, 1.0):
        return (second if share else first).clone()
    lengths = [torch.linalg.vector_norm(side, dim=1, keepdim=True).clamp_min(1e-12) for side in (first, second)]
    a, b = first / lengths[0], second / lengths[1]
    angle = torch.acos((a * b).sum(dim=1, keepdim=True).clamp(-1, 1))
    straight = torch.sin(angle) < 1e-4
    sine = torch.where(straight, torch.ones_like(angle), torch.sin(angle))
    arc = (torch.sin((1 - share) * angle) * a + torch.sin(share * angle) * b) / sine
    direction = torch.where(straight, torch.lerp(a, b, share), arc)
    return direction * torch.lerp(lengths[0], lengths[1], share)


def parse_numbers(text: str, what: str = "seeds") -> list[int]:
    """Read a list of numbers and ranges, both ends included: `0-3,7` is 0, 1, 2, 3, 7.

    Raises:
        UserError: it cannot be read, or a range runs backwards.
    """
    numbers: list[int] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        first, dash, last = part.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()) or (dash and int(last) < int(first)):
            raise UsageError(f"The {what} {text!r} cannot be understood", f"At {part!r}", "Write them as 0-15,20,31")
        numbers.extend(range(int(first), int(last or first) + 1))
    if not numbers:
        raise UsageError(f"There are no {what}", do="Write them as 0-15,20,31")
    return numbers
