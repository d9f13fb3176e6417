"""What the collapse watch sees of training that no longer moves: gradients of zero, a discriminator that sleeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ALL_STILL = 100
"""Steps after which gradients that are zero in both networks are the end of training."""
ONE_STILL = 1000
"""Steps after which one network's are: a hinge loss may leave a winning discriminator alone for a while."""
SLEEPING_MARGIN, ASLEEP = 0.003, 300
"""A margin below this for so many steps: the discriminator tells nothing apart, and the generator learns nothing."""
SAME_SHARE, SAME = 1e-3, 100
"""Fakes that vary less than this share of the reals' spread for so many steps do not depend on their input."""
WOKE = 50
"""Steps above that margin after which a discriminator has been awake."""
DEAD, SLEEPS = "Training stands still", "The discriminator sleeps"


@dataclass
class Stillness:
    """For how many steps in a row nothing has moved; all of it stands in every checkpoint."""

    still: dict[str, int] = field(default_factory=dict)
    """Network -> steps with a gradient of exactly zero."""
    asleep: int = 0
    awake: int = 0
    """Steps in which the discriminator told real and fake apart."""
    same: int = 0

    @property
    def suspicious(self) -> bool:
        """Whether training may have stopped moving: such a checkpoint is not gone back to."""
        return any(steps > 5 for steps in self.still.values()) or self.same > 5

    def observe(self, norms: Mapping[str, float], values: Mapping[str, float]) -> str | None:
        """Take in a step; return why training has come to an end, or None."""
        for name, norm in norms.items():
            self.still[name] = self.still.get(name, 0) + 1 if norm == 0 else 0
        if len(norms) > 1 and all(self.still[name] >= ALL_STILL for name in norms):
            return f"{DEAD}: every gradient has been zero for {ALL_STILL} steps"
        for name in norms:
            if self.still[name] >= ONE_STILL:
                return f"{DEAD}: the gradient of {name} has been zero for {ONE_STILL} steps"
        # Within a batch, or from one batch to the next where it holds one picture.
        kind = "spread" if "fake_spread" in values else "change"
        fake, real = values.get(f"fake_{kind}"), values.get(f"real_{kind}")
        if fake is not None and real:
            self.same = self.same + 1 if fake < SAME_SHARE * real else 0
        if self.same >= SAME:
            return f"The outputs have not depended on their input for {SAME} steps: all of them are the same"
        return self._sleeping(values)

    def _sleeping(self, values: Mapping[str, float]) -> str | None:
        """Return what to say of a discriminator that has told nothing apart for long, or None."""
        if "margin" in values:
            is_asleep = abs(values["margin"]) < SLEEPING_MARGIN
            self.asleep, self.awake = (self.asleep + 1, self.awake) if is_asleep else (0, self.awake + 1)
        if self.asleep < ASLEEP:
            return None
        return (
            f"{SLEEPS}: its scores of real and fake have differed by less than {SLEEPING_MARGIN} for "
            f"{self.asleep} steps, and the generator learns nothing from it; raise its rate, or regularise it less"
        )
