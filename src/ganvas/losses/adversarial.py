"""Adversarial losses: every base loss with every way of comparing real with fake scores, from one implementation.

A discriminator gives raw scores, r for real and f for fake samples (no sigmoid). A *base* is a pair of functions: f1
is small where a score calls its sample real, f2 where it calls it fake. A *pairing* says what the functions are shown:

    plain      f1(r)          + f2(f)             each score by itself
    paired     f1(r - f)                          sample i of the one batch against sample i of the other
    average   [f1(r - mean f) + f2(f - mean r)]/2 against the average opponent
    centred   [f1(r - c)      + f2(f - c)]/2      against c = (mean r + mean f)/2
    all_pairs  f1(r_i - f_j)                      every real against every fake

    standard       f1(x) = log(1 + exp(-x))   f2(x) = log(1 + exp(x))
    least_squares  f1(x) = (x - 1)^2          f2(x) = x^2 when plain, otherwise (x + 1)^2
    hinge          f1(x) = max(0, 1 - x)      f2(x) = max(0, 1 + x)
    wasserstein    f1(x) = -x                 f2(x) = x

Those are the discriminator's losses. In all pairings but `plain` the generator's loss is the discriminator's with real
and fake exchanged; in `plain` it is f1(f), for hinge -f (where f1 would go silent above 1).

Every term is the mean over batch and patches; so are `mean r` and `mean f`, over all ranks, and gradients flow through
them. `all_pairs` compares a patch with the patches at the same place: all places would cost (B*h*w)^2 memory.

Sources: Goodfellow et al. 2014; Mao et al. 2017; Lim and Ye 2017; Arjovsky et al. 2017; Jolicoeur-Martineau 2018 (The
relativistic discriminator) and 2019 (On relativistic f-divergences: paired, average, centred, all pairs).
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas import ranks
from ganvas.errors import UserError, did_you_mean
from ganvas.losses import margin
from ganvas.losses.passes import active
from ganvas.protocol import Verdict

Base: TypeAlias = Literal["standard", "least_squares", "hinge", "wasserstein"]
Pairing: TypeAlias = Literal["plain", "paired", "average", "centred", "all_pairs"]
Side: TypeAlias = Literal["discriminator", "generator"]
Verdicts: TypeAlias = Tensor | Verdict | Sequence[Tensor | Verdict]
"""Raw scores of one batch, (B, 1) or (B, 1, h, w); a Verdict stands for its score, a list for several scales."""

BASES: tuple[str, ...] = typing.get_args(Base)
PAIRINGS: tuple[str, ...] = typing.get_args(Pairing)


@dataclass(frozen=True, kw_only=True)
class AdversarialLoss:
    """The two losses of a GAN: a base loss and the way in which real and fake scores meet in it.

    Under several ranks each rank returns its share: the mean over ranks of the losses is the loss of the whole batch,
    and so is the mean over ranks of the gradients. Ranks hold equally many samples.

    Raises:
        UserError: base or pairing is unknown, or the combination is meaningless or leaves the generator no gradient.
    """

    base: Base = "standard"
    """`standard` (logistic), `least_squares`, `hinge`, or `wasserstein` (clip weights or add a gradient penalty)."""
    pairing: Pairing = "plain"
    """`plain`, or relativistic: `paired` (sample i with sample i), `average`, `centred`, `all_pairs`."""
    saturating: bool = False
    """The minimax generator loss of 2014 instead of the non-saturating one; for `standard` `plain` only."""
    smooth_real: float = 1.0
    """Target of real samples for the discriminator, 0.9 smooths one-sidedly; for `standard` and `least_squares`."""
    exact_means: bool = False
    """Under accumulation, make batch-coupled pairings those of the whole batch by a first pass without gradients."""

    def __post_init__(self) -> None:
        _require_known("base loss", self.base, BASES)
        _require_known("pairing", self.pairing, PAIRINGS)
        if self.saturating:
            _refuse_saturating(self.base, self.pairing)
        if not 0.5 < self.smooth_real <= 1.0:
            why = "It is the target of real samples; at 0.5 and below they would be called fake"
            raise UserError(
                f"smooth_real is {self.smooth_real:g}", why, "Use a value above 0.5 and up to 1, such as 0.9"
            )
        if self.smooth_real != 1.0 and self.base not in ("standard", "least_squares"):
            why = f"The base {self.base!r} has no target that could be smoothed"
            raise UserError(f"smooth_real is {self.smooth_real:g}", why, "Use 1, or the base standard or least_squares")

    @property
    def is_batch_coupled(self) -> bool:
        """Tell whether a sample's loss depends on the other samples of its batch."""
        return self.pairing in ("average", "centred", "all_pairs")

    @property
    def is_shift_invariant(self) -> bool:
        """Tell whether a constant added to all scores changes no gradient.

        The discriminator's last bias then has zero gradient, and Adam turns its rounding noise into drift: build the
        discriminator without it.
        """
        return self.pairing != "plain" or self.base == "wasserstein"

    @property
    def generator_needs_real(self) -> bool:
        """Tell whether the generator's loss reads the real scores; where not, its turn need not compute them."""
        return self.pairing != "plain"

    def discriminator(self, real: Verdicts, fake: Verdicts) -> Tensor:
        """Return the discriminator's loss, a scalar in at least float32; several scales are averaged.

        Args:
            real: raw scores of the real samples.
            fake: raw scores of the fake samples, made from detached fakes.

        Raises:
            UserError: the scores do not fit together.
        """
        share = self._share("discriminator", real, fake)
        if share is None:
            share = _mean_over_scales(real, fake, lambda r, f: self._preference(r, f, self.smooth_real))
        margin.note(scores_of(real), scores_of(fake))
        return share

    def generator(self, real: Verdicts | None, fake: Verdicts) -> Tensor:
        """Return the generator's loss, a scalar in at least float32; several scales are averaged.

        Nothing is detached here. Where the real scores do not depend on the generator (always, unless it feeds the
        discriminator's condition) detaching them changes no gradient of the generator and saves a backward pass.

        Args:
            real: raw scores of real samples; may be None when `generator_needs_real` is False.
            fake: raw scores of the attached fakes.

        Raises:
            UserError: the scores do not fit together, or real scores are missing.
        """
        if not self.generator_needs_real:
            return _mean_over_scales(fake, fake, lambda _, f: self._plain_generator(f))
        if real is None:
            why = f"The pairing {self.pairing!r} compares fakes with real samples"
            raise UserError(
                "The generator's turn has no real scores", why, "Score a real batch, or use the pairing plain"
            )
        share = self._share("generator", real, fake)
        if share is not None:
            return share
        return _mean_over_scales(real, fake, lambda r, f: self._preference(f, r))

    def _share(self, side: Side, real: Verdicts, fake: Verdicts) -> Tensor | None:
        """Return a micro-batch's part of the whole batch's loss where two passes are made for it."""
        passes = active() if self.exact_means and self.is_batch_coupled else None
        return passes.share(self, side, scores_of(real), scores_of(fake)) if passes else None

    def score_gradients(self, real: Verdicts | None, fake: Verdicts, side: Side) -> ScoreGradients:
        """Return the loss of a whole batch and its gradient with respect to every score.

        This is the first of the two passes of `exact_means`. A batch-coupled loss of micro-batches is not the loss of
        their union, and giving it the union's means would mend its value but drop the gradient through the means. The
        chain rule does better for any pairing: score all micro-batches without gradients, take d loss / d score here,
        then score each micro-batch again with gradients and use `ScoreGradients.micro_batch_loss`. The result is the
        whole batch's gradient exactly, provided that both passes see the same networks: the same random numbers, no
        update of batch statistics or of spectral norm's vectors in between. Layers of the discriminator that couple
        samples themselves (batch norm, minibatch discrimination) stay coupled over the micro-batch only.

        Args:
            real: scores of all real samples of this rank, micro-batches joined along the batch; None as in `generator`.
            fake: likewise of the fakes.
            side: whose loss.
        """
        if real is None and (side == "discriminator" or self.generator_needs_real):
            raise UserError(f"The {side}'s loss has no real scores", f"The pairing {self.pairing!r} needs them")
        reals = [] if real is None else _leaves(real)
        fakes = _leaves(fake)
        with torch.enable_grad():
            loss = self.discriminator(reals, fakes) if side == "discriminator" else self.generator(reals, fakes)
        gradients = torch.autograd.grad(loss, reals + fakes, allow_unused=True, materialize_grads=True)
        return ScoreGradients(loss.detach(), gradients[: len(reals)], gradients[len(reals) :])

    def require_batch(self, batch_size: int) -> None:
        """Refuse a batch that is too small for this pairing.

        Args:
            batch_size: samples that are scored together, over all ranks; with accumulation those of one micro-batch,
                unless `exact_means` is on.

        Raises:
            UserError: a batch of one for a batch-coupled pairing.
        """
        if self.is_batch_coupled:
            require_coupled_batch(
                f"The pairing {self.pairing!r}", batch_size, "the pairing paired (equal for one sample)"
            )

    def accumulation_notice(self, micro_batches: int) -> str:
        """Return what the user should read once about accumulation with this loss; empty when it changes nothing."""
        if micro_batches <= 1 or not self.is_batch_coupled or self.exact_means:
            return ""
        return (
            f"The pairing {self.pairing!r} compares samples within each of the {micro_batches} micro-batches, not "
            "within their union: the loss differs slightly from that of one large batch. "
            "Set exact_means to make it equal, at the price of one more pass."
        )

    def _preference(self, preferred: Tensor, other: Tensor, target: float = 1.0) -> Tensor:
        """Return the loss of a player who wants the first scores above the second."""
        high, low = _compare(self.pairing, preferred, other, ranks.mean_over_ranks, ranks.gather_over_ranks)
        loss = self._call_real(high, target).mean()
        if low is None:
            return loss
        loss = loss + self._call_fake(low).mean()
        return loss if self.pairing == "plain" else loss / 2

    def _call_real(self, score: Tensor, target: float = 1.0) -> Tensor:
        """Return f1."""
        match self.base:
            case "standard":
                # Cross-entropy with a soft target; logsigmoid is exact where softplus switches to a straight line.
                return (1.0 - target) * score - F.logsigmoid(score)
            case "least_squares":
                return (score - target).square()
            case "hinge":
                return F.relu(1.0 - score)
            case "wasserstein":
                return -score

    def _call_fake(self, score: Tensor) -> Tensor:
        """Return f2."""
        match self.base:
            case "standard":
                return -F.logsigmoid(-score)
            case "least_squares":
                # Labels 0 and 1 for a score by itself; a difference of scores is antisymmetric, so its labels are, too.
                return score.square() if self.pairing == "plain" else (score + 1.0).square()
            case "hinge":
                return F.relu(1.0 + score)
            case "wasserstein":
                return score

    def _plain_generator(self, fake: Tensor) -> Tensor:
        if self.saturating:
            return -self._call_fake(fake).mean()
        return -fake.mean() if self.base == "hinge" else self._call_real(fake).mean()


@dataclass(frozen=True)
class ScoreGradients:
    """The loss of a whole batch and its gradient at every score, by scale: the first pass of `exact_means`."""

    loss: Tensor
    real: tuple[Tensor, ...]
    fake: tuple[Tensor, ...]

    def micro_batch_loss(self, real: Verdicts | None, fake: Verdicts, start: int) -> Tensor:
        """Return a scalar with the whole batch's loss as its value and, averaged over micro-batches, as its gradient.

        Args:
            real: scores of this micro-batch's real samples with gradients; None where what is trained cannot move them.
            fake: likewise of the fakes.
            start: place of this micro-batch's first sample in the whole batch.

        Raises:
            UserError: the micro-batch does not lie within the batch of the first pass.
        """
        loss = self.loss
        for whole, scores in ((self.real, real), (self.fake, fake)):
            for gradient, score in zip(whole, scores_of(scores), strict=True) if scores is not None else ():
                part = gradient[start : start + len(score)]
                if part.shape != score.shape:
                    why = f"The first pass saw {len(gradient)} samples, {len(part)} of them from number {start} on"
                    raise UserError(f"A micro-batch of {len(score)} samples does not fit its first pass", why)
                # Zero in value, and its gradient is `part`; the factor undoes the average over micro-batches.
                loss = loss + (part * (score - score.detach())).sum() * (len(gradient) / len(score))
        return loss


def scores_of(verdicts: Verdicts) -> list[Tensor]:
    """Return the raw scores by scale, in at least float32 whatever autocast made of them."""
    # A Verdict is a tuple, too: it must not be taken for a list of scales.
    scales = [verdicts] if isinstance(verdicts, (Tensor, Verdict)) else list(verdicts)
    scores = [scale.score if isinstance(scale, Verdict) else scale for scale in scales]
    return [score.to(torch.promote_types(score.dtype, torch.float32)) for score in scores]


def probability_real(real: Verdicts, fake: Verdicts, base: Base = "standard", pairing: Pairing = "plain") -> Tensor:
    """Return how probable it is for the discriminator that each real sample is real, in [0, 1]; scales are averaged.

    (B, 1, h, w), (B, 1, h, w) -> (B, 1)

    Plain it is sigmoid(r) and knows nothing of the fakes; relativistic it is the probability of being more real than
    the opponent, which falls as the fakes improve. Exchange real and fake for the fakes' probability. Patches are
    averaged. No other rank is asked, so that one process may draw a figure.
    Source: Jolicoeur-Martineau 2018, section 4.

    Raises:
        UserError: the base has no probability, or base or pairing is unknown.
    """
    loss = AdversarialLoss(base=base, pairing=pairing)
    if loss.base != "standard":
        why = f"Scores trained with the base {base!r} are not log-odds"
        raise UserError("There is no probability of being real", why, "Use the base standard")

    def probability(r: Tensor, f: Tensor) -> Tensor:
        high, _ = _compare(pairing, r, f, lambda mean: mean, lambda scores: scores)
        return torch.sigmoid(high).reshape(len(r), -1).mean(1, keepdim=True)

    return _mean_over_scales(real, fake, probability)


def require_coupled_batch(what: str, batch_size: int, instead: str = "") -> None:
    """Refuse a batch of one for anything that compares the samples of a batch (also minibatch discrimination).

    Args:
        what: the subject of the message, such as "Minibatch discrimination".
        batch_size: samples that meet, over all ranks.
        instead: what works with a single sample.

    Raises:
        UserError: there are fewer than two samples.
    """
    if batch_size < 2:
        why = "It compares the samples of a batch with each other, and there are no others"
        do = "Use a batch of at least 2 samples over all ranks" + (f", or {instead}" if instead else "")
        raise UserError(f"{what} cannot work with a batch of {batch_size}", why, do)


def _compare(
    pairing: Pairing,
    preferred: Tensor,
    other: Tensor,
    mean_over_ranks: Callable[[Tensor], Tensor],
    gather_over_ranks: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor | None]:
    """Return what f1 and f2 are shown; None where f2 would repeat f1, since there f2(-x) = f1(x)."""
    _require_fit(pairing, preferred, other)
    match pairing:
        case "plain":
            return preferred, other
        case "paired":
            return preferred - other, None
        case "all_pairs":
            return preferred[:, None] - gather_over_ranks(other)[None], None
    mean_preferred, mean_other = mean_over_ranks(torch.stack([preferred.mean(), other.mean()]))
    if pairing == "average":
        return preferred - mean_other, other - mean_preferred
    centre = (mean_preferred + mean_other) / 2
    return preferred - centre, other - centre


def _mean_over_scales(real: Verdicts, fake: Verdicts, function: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    reals, fakes = scores_of(real), scores_of(fake)
    if len(reals) != len(fakes) or not reals:
        raise UserError(
            f"There are {len(reals)} scales of real and {len(fakes)} of fake scores", "They are compared one by one"
        )
    return torch.stack([function(r, f) for r, f in zip(reals, fakes)]).mean(0)


def _require_fit(pairing: Pairing, preferred: Tensor, other: Tensor) -> None:
    # Without this, (B, 1) beside (B,) would broadcast to all pairs, silently.
    ours, theirs = tuple(preferred.shape), tuple(other.shape)
    if (pairing == "paired" and ours != theirs) or (pairing == "all_pairs" and ours[1:] != theirs[1:]):
        why = f"The pairing {pairing!r} compares scores of the shapes {ours} and {theirs}"
        raise UserError("Real and fake scores do not fit together", why, "Score equally many samples of one size")


def _require_known(what: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise UserError(f"There is no {what} {name!r}", do=did_you_mean(str(name), known))


def _refuse_saturating(base: Base, pairing: Pairing) -> None:
    """Refuse the minimax generator loss -f2(f) wherever it is dead or means nothing."""
    reasons = {
        "least_squares": "-f^2 has no gradient at f = 0, exactly where the discriminator drives the fakes",
        "hinge": "-max(0, 1 + f) has no gradient below f = -1, exactly where the discriminator drives the fakes",
        "wasserstein": "The generator's loss -f is the minimax one already",
    }
    if pairing != "plain":
        why = "The generator's loss is the discriminator's with real and fake exchanged; it has no other form"
    elif base in reasons:
        why = reasons[base]
    else:
        return
    what = f"saturating cannot be combined with the base {base!r} and the pairing {pairing!r}"
    raise UserError(what, why, "Leave saturating off, or use the base standard with the pairing plain")


def _leaves(verdicts: Verdicts) -> list[Tensor]:
    return [score.detach().requires_grad_(True) for score in scores_of(verdicts)]
