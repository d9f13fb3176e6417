"""A recipe without chance of its own, whose arithmetic a test can do again by hand: dense networks on vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ganvas.protocol import Card, Carry, Context, Ledger, Networks, Optimizer, Outputs, Recipe, Source, Stage, Turn
from ganvas.settings import Training
from ganvas.training.trainer import Plan

DISCRIMINATOR = Turn(side="discriminator", trains=("discriminator",))
GENERATOR = Turn(side="generator", trains=("generator",))


@dataclass(frozen=True, kw_only=True)
class Settings(Training):
    precision: str = "float32"
    batch_size: int = 4
    average_half_life: float = 0.0
    sentinel: str = "off"
    checkpoint_every: int = 1000
    preview_every: int = 1000
    workers: int = 0


class Vectors(Source):
    """Vectors that depend on their number alone."""

    def __init__(self, length: int = 24, dtype: torch.dtype = torch.float32) -> None:
        self.length, self.dtype = length, dtype
        self.visited: list[int] = []

    def __len__(self) -> int:
        return self.length

    def groups(self) -> list[str]:
        return [str(index) for index in range(self.length)]

    def sample(self, index: int, random: np.random.Generator) -> dict[str, Tensor]:
        self.visited.append(index)
        return {key: value.to(self.dtype) for key, value in vectors(index).items()}


def vectors(index: int) -> dict[str, Tensor]:
    """Return the latent and the real vector of a sample, in float64."""
    angles = torch.arange(3, dtype=torch.float64) * (index + 1)
    return {"latent": angles.sin(), "real": 2 + 0.5 * angles.cos(), "number": torch.tensor(index)}


class Batch(NamedTuple):
    latent: Tensor
    real: Tensor
    number: Tensor


def generator() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 3))


def discriminator() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 6), nn.LeakyReLU(0.2), nn.Linear(6, 1))


def least_squares_d(recipe, nets, batch, outputs, carry, context) -> Ledger:
    real, fake = nets.discriminator(batch.real), nets.discriminator(outputs["fake"])
    return Ledger({"gan": (real - 1).square().mean() + fake.square().mean()})


def least_squares_g(recipe, nets, batch, outputs, carry, context) -> Ledger:
    return Ledger({"gan": (nets.discriminator(outputs["fake"]) - 1).square().mean()})


def stage(steps: int = 3, turns: Sequence[Turn] = (DISCRIMINATOR, GENERATOR), name: str = "only", **more: Any) -> Stage:
    """Return a stage in which everything that its turns train is optimised alike."""
    names = {name for turn in turns for name in turn.trains}
    more.setdefault("optimizers", dict.fromkeys(names, Optimizer(rate=1e-2, betas=(0.5, 0.9))))
    return Stage(name=name, steps=steps, turns=tuple(turns), **more)


class Line(Recipe):
    """Fits a dense generator with least-squares losses; a test may give stages, networks and losses of its own."""

    Settings = Settings

    def __init__(
        self,
        settings: Settings | None = None,
        stages: Sequence[Stage] = (),
        networks: Callable[[], Networks] | None = None,
        d_losses: Callable[..., Ledger] = least_squares_d,
        g_losses: Callable[..., Ledger] = least_squares_g,
    ) -> None:
        self.settings = settings or Settings()
        self._stages, self._networks = stages or [stage()], networks
        self._d_losses, self._g_losses = d_losses, g_losses
        self.forwards: list[dict[str, Any]] = []

    def stages(self) -> Sequence[Stage]:
        return self._stages

    def networks(self) -> Networks:
        return self._networks() if self._networks else Networks(generator=generator(), discriminator=discriminator())

    def source(self, path: str) -> Vectors:
        return Vectors()

    def batch(self, raw: dict[str, Tensor], context: Context) -> Batch:
        return Batch(**raw)

    def forward(self, nets: Networks, batch: Batch, carry: Carry, context: Context) -> tuple[Outputs, Carry]:
        seen = {"step": context.step, "numbers": batch.number.tolist(), "graph": torch.is_grad_enabled(), **carry}
        self.forwards.append(seen)
        return {"fake": nets.generator(batch.latent)}, {"calls": carry.get("calls", 0) + 1}

    def discriminator_losses(self, nets, batch, outputs, carry, context) -> Ledger:
        return self._d_losses(self, nets, batch, outputs, carry, context)

    def generator_losses(self, nets, batch, outputs, carry, context) -> Ledger:
        return self._g_losses(self, nets, batch, outputs, carry, context)

    def sample(self, nets: Networks, batch: Batch, context: Context) -> Tensor:
        return nets.generator(batch.latent).sigmoid()[:, :, None, None]

    def score(self, nets: Networks, source: Source, context: Context) -> dict[str, float]:
        return {}

    def card(self) -> Card:
        return Card(network="line")


def plan(recipe: Line, source: Source | None = None, **more: Any) -> Plan:
    """Return the plan of a run of this recipe."""
    return Plan("line", recipe, source or Vectors(), **more)
