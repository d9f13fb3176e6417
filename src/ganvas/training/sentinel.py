"""The collapse watch: it sees what a step saw, and says when training has left the road."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ganvas.errors import UserError
from ganvas.protocol import Health, Networks

MOST_ROLLBACKS = 8


@dataclass
class Observation:
    """What one step showed: losses and observed values by name, and each trained network's gradient norm."""

    step: int
    values: dict[str, float] = field(default_factory=dict)
    gradient_norms: dict[str, float] = field(default_factory=dict)


class Sentinel:
    """Watches losses and gradients for values that are not finite."""

    def __init__(self, mode: str = "rollback", action: str = "halve_rates") -> None:
        self.mode, self.action = mode, action
        self.rollbacks = 0
        self.health = Health()

    def observe(self, seen: Observation, nets: Networks) -> str | None:
        """Look at a step; return why it trips, or None."""
        if self.mode == "off":
            return None
        for kind, values in (("The loss", seen.values), ("The gradient of", seen.gradient_norms)):
            for name, value in values.items():
                if not math.isfinite(value):
                    self.health = replace(self.health, healthy=False)
                    return f"{kind} {name} is {value}"
        return None

    def count_rollback(self, why: str) -> None:
        """Count a rollback.

        Raises:
            UserError: there were too many.
        """
        self.rollbacks += 1
        self.health = Health(rollbacks=self.rollbacks)
        if self.rollbacks > MOST_ROLLBACKS:
            raise UserError(
                f"Stopped after {MOST_ROLLBACKS} rollbacks", why, "Lower the learning rates or choose another loss"
            )

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of the watch."""
        return {"rollbacks": self.rollbacks}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what a checkpoint kept."""
        self.rollbacks = int(state.get("rollbacks", 0))
