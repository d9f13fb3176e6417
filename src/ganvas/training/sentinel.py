"""The collapse watch: it sees what a step saw, says when training has left the road, and what then changes.

It trips on six things. A loss or gradient that is not a number trips at once. So does a loss scale that has fallen to
nothing. A gradient norm, the margin of D's scores, or the largest singular value of a spectrally normalised layer trips
when it stays far above its own running mean. The spread of the fakes over a batch trips when it has once been a fair
share of the reals' and stays below a small one. Training that no longer moves is seen by `stillness`.

Everything it remembers stands in every checkpoint, so a resumed run trips where an uninterrupted one does.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.errors import UserError
from ganvas.networks.blocks import spectral_sigmas
from ganvas.protocol import Health, Networks
from ganvas.training.stillness import DEAD, SLEEPS, WOKE, Stillness

MOST_ROLLBACKS = 8
LAG = 50
"""Steps before a trip from which on a checkpoint is not trusted: collapse begins before it shows."""
WARM_UP = 100
"""Observations before a running mean is one."""
MEMORY = 200
"""Observations that a running mean spans."""
DEVIATIONS = 10.0
"""Mean absolute deviations of its logarithm that a quantity must stand above its mean, whatever the factor."""
SIGMA_EVERY = 10
"""Steps between looks at the singular values."""
FAIR_SHARE, SMALL_SHARE = 0.2, 0.05
"""Diversity of the fakes, in that of the reals: having reached the one, it must not stay below the other."""
GRACE = 1000
"""Observations after which fakes that have never reached a fair share are held to the small one all the same."""
PATIENCE_DIVERSITY = 20
SMALLEST_SCALE = 1e-3
"""A float16 loss scale below this says that gradients overflow whatever the scale."""


@dataclass
class Observation:
    """What one step showed: means of losses and observed values by name, and each trained network's gradient norm."""

    step: int
    """Steps done, this one included."""
    values: dict[str, float] = field(default_factory=dict)
    gradient_norms: dict[str, float] = field(default_factory=dict)
    loss_scale: float | None = None


@dataclass(frozen=True)
class Limit:
    """When a quantity stands too far above its running mean, and for how many observations in a row it may."""

    factor: float
    patience: int


LIMITS = {"gradient": Limit(100.0, 5), "margin": Limit(100.0, 10), "sigma": Limit(4.0, 2)}
"""By the first word of a quantity's name. They are wide: a rollback without need costs more than it saves."""


@dataclass
class Track:
    """Running mean and deviation of a positive quantity's logarithm, and how long it has stood above its limit."""

    count: int = 0
    mean: float = 0.0
    deviation: float = 0.0
    above: int = 0

    def observe(self, value: float, limit: Limit) -> bool:
        """Take in one value; tell whether it has stood above the limit for too long."""
        logarithm = math.log(max(value, 1e-30))
        distance = logarithm - self.mean if self.count else 0.0
        width = max(math.log(limit.factor), DEVIATIONS * self.deviation)
        warm = self.count >= WARM_UP
        self.above = self.above + 1 if warm and distance > width else 0
        # What stands outside does not move the mean: neither a runaway, nor a gradient that vanishes for a while.
        if not (warm and abs(distance) > width):
            share = 1 / min(self.count + 1, MEMORY)
            self.mean = self.mean + share * distance if self.count else logarithm
            self.deviation += share * (abs(distance) - self.deviation)
            self.count += 1
        return self.above >= limit.patience

    def text(self, value: float) -> str:
        """Say how a value stands to the mean."""
        return f"is {value:.3g}, {value / math.exp(self.mean):.0f} times its running mean"


@dataclass
class Diversity:
    """Whether the fakes' spread has been a fair share of the reals', and for how long it has been a small one."""

    count: int = 0
    armed: bool = False
    smooth: float = 0.0
    below: int = 0

    def observe(self, ratio: float) -> bool:
        """Take in one ratio; tell whether it has been small for too long."""
        self.count += 1
        self.smooth += 0.1 * (ratio - self.smooth)
        self.armed = self.armed or self.smooth >= FAIR_SHARE or self.count >= GRACE
        self.below = self.below + 1 if self.armed and ratio < SMALL_SHARE else 0
        return self.below >= PATIENCE_DIVERSITY


@dataclass(frozen=True)
class Response:
    """What rollbacks have changed so far."""

    rollbacks: int = 0
    rate_factor: float = 1.0
    r1_factor: float = 1.0
    dead: int = 0
    """How many of the rollbacks were of training that stood still."""
    slept: int = 0
    """How many were of a discriminator that had fallen asleep."""
    discarded: tuple[tuple[int, int], ...] = ()
    """Stretches of steps that were rolled back: from the checkpoint gone back to, to the trip."""


class Sentinel:
    """Watches a run's steps; remembers what is usual, what was rolled back, and what that changed."""

    def __init__(self, mode: str = "rollback", action: str = "halve_rates") -> None:
        self.mode, self.action = mode, action
        self.health = Health()
        self.response = Response()
        self.tracks: dict[str, Track] = {}
        self.diversity = Diversity()
        self.stillness = Stillness()

    def observe(self, seen: Observation, nets: Networks) -> str | None:
        """Look at a step; return why it trips, or None."""
        if self.mode == "off":
            return None
        why = _not_finite(seen)
        if why is None:
            reasons = [self._track(name, value) for name, value in self._quantities(seen, nets).items()]
            reasons += [self._see_diversity(seen), self.stillness.observe(seen.gradient_norms, seen.values)]
            why = next((reason for reason in reasons if reason), None)
        suspicious = (
            # What a generator learns beside a discriminator that sleeps is no worse for it.
            bool(why and not why.startswith(SLEEPS))
            or self.stillness.suspicious
            or self.diversity.below > 0
            or any(track.above for track in self.tracks.values())
        )
        self._tell(healthy=not suspicious, margin=seen.values.get("margin", self.health.margin))
        return why

    def _quantities(self, seen: Observation, nets: Networks) -> dict[str, float]:
        found = {f"gradient of {name}": norm for name, norm in seen.gradient_norms.items()}
        if "margin" in seen.values:
            found["margin of D's scores"] = abs(seen.values["margin"])
        if seen.step % SIGMA_EVERY == 0:
            found |= {
                f"sigma of {name}.{layer}": sigma
                for name, net in nets.items()
                for layer, sigma in spectral_sigmas(net).items()
            }
        return found

    def _track(self, name: str, value: float) -> str | None:
        if not math.isfinite(value):
            return f"The {name} is {value}"
        track = self.tracks.setdefault(name, Track())
        tripped = track.observe(value, LIMITS[name.partition(" ")[0]])
        return f"The {name} {track.text(value)}" if tripped else None

    def _see_diversity(self, seen: Observation) -> str | None:
        fake, real = seen.values.get("fake_spread"), seen.values.get("real_spread")
        if fake is None or not real:
            return None
        ratio = fake / real
        self._tell(diversity=ratio)
        if self.diversity.observe(ratio):
            return f"The fakes' diversity has been below {SMALL_SHARE:.0%} of the reals' and is {ratio:.1%}"
        return None

    def _tell(self, **changes: Any) -> None:
        self.health = dataclasses.replace(
            self.health, rollbacks=self.response.rollbacks, r1_factor=self.response.r1_factor, **changes
        )

    def forget(self) -> None:
        """Begin all running means anew: a new stage has losses and gradients of its own size."""
        self.tracks = {}
        self.diversity = Diversity()
        self.stillness = Stillness()

    # Rollbacks

    def trusts(self, step: int, is_healthy: bool) -> bool:
        """Tell whether a checkpoint may be gone back to: it was healthy, and its stretch has not been rolled back."""
        return is_healthy and not any(first < step < last for first, last in self.response.discarded)

    def may_mend(self, why: str) -> bool:
        """Tell whether going back may mend what tripped.

        A discriminator that has fallen asleep may stay awake the next time; one that never was awake will not, nor
        one that falls asleep again.
        """
        return not why.startswith(SLEEPS) or (self.stillness.awake >= WOKE and not self.response.slept)

    def lasted(self, why: str) -> int:
        """Return for how many steps what trips now has gone on: checkpoints that young do not help."""
        return self.stillness.asleep if why.startswith(SLEEPS) else 0

    def roll_back(self, step: int, why: str, restored_step: int, memory: Mapping[str, Any]) -> None:
        """Count a rollback from a step to a checkpoint, take over what that remembered as usual, and act as configured.

        Raises:
            UserError: there were too many.
        """
        before = self.response
        if before.rollbacks >= MOST_ROLLBACKS:
            raise UserError(
                f"Stopped at step {step} after {MOST_ROLLBACKS} rollbacks",
                why,
                "Lower the learning rates, strengthen the regularisation, or choose another loss",
            )
        is_dead, is_asleep = why.startswith(DEAD), why.startswith(SLEEPS)
        if is_dead and before.dead:
            raise UserError(f"Stopped at step {step}", f"{why}, for the second time", "Lower the learning rates")
        self.load(memory)
        # Slower, or held back more, a discriminator would sleep the sooner.
        action = "none" if is_asleep else self.action
        self.response = Response(
            dead=before.dead + is_dead,
            slept=before.slept + is_asleep,
            rollbacks=before.rollbacks + 1,
            rate_factor=before.rate_factor * (0.5 if action == "halve_rates" else 1.0),
            r1_factor=before.r1_factor * (2.0 if action == "strengthen_r1" else 1.0),
            discarded=(*before.discarded, (restored_step, step)),
        )
        self._tell()

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of the watch."""
        return {
            "health": dataclasses.asdict(self.health),
            "response": dataclasses.asdict(self.response),
            "tracks": {name: dataclasses.asdict(track) for name, track in self.tracks.items()},
            "diversity": dataclasses.asdict(self.diversity),
            "stillness": dataclasses.asdict(self.stillness),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what a checkpoint kept."""
        self.health = Health(**state["health"])
        self.tracks = {name: Track(**values) for name, values in state["tracks"].items()}
        self.diversity = Diversity(**state["diversity"])
        self.stillness = Stillness(**state.get("stillness", {}))
        discarded = tuple((first, last) for first, last in state["response"]["discarded"])
        self.response = Response(**{**state["response"], "discarded": discarded})


def _not_finite(seen: Observation) -> str | None:
    for kind, values in (("The loss or observed value", seen.values), ("The gradient of", seen.gradient_norms)):
        for name, value in values.items():
            if not math.isfinite(value):
                return f"{kind} {name} is {value}"
    if seen.loss_scale is not None and seen.loss_scale < SMALLEST_SCALE:
        return f"The loss scale has fallen to {seen.loss_scale:.1g}: gradients overflow float16 at every scale"
    return None


@torch.no_grad()
def spread(pictures: Tensor, most: int = 64) -> Tensor:
    """Return how much a batch varies, the root of its mean variance over the samples: (B, ...) -> ().

    Large pictures are looked at on a grid of at most `most` points a side.
    """
    strides = [max(1, side // most) for side in pictures.shape[2:]]
    seen = pictures[(slice(None), slice(None), *(slice(None, None, stride) for stride in strides))]
    return seen.float().var(dim=0).mean().sqrt()


@torch.no_grad()
def thumbnail(pictures: Tensor, side: int = 4) -> list[float]:
    """Return the last picture of a batch or clip as the means of its cells: (..., C, H, W) -> C side^2 numbers."""
    last = pictures.reshape(-1, *pictures.shape[-3:])[-1:].float()
    return F.adaptive_avg_pool2d(last, side).flatten().tolist()
