"""A recipe small enough for tests: two tiny networks on pictures that it draws itself."""

from __future__ import annotations

import random
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from ganvas.protocol import Card, Carry, Context, Ledger, Networks, Optimizer, Outputs, Recipe, Source, Stage, Turn
from ganvas.settings import Training, runtime


@dataclass(frozen=True, kw_only=True)
class Settings(Training):
    """Settings of the tiny recipe."""

    samples: int = 12
    """Pictures in the set."""
    first_steps: int = 3
    """Steps of the first stage."""
    second_steps: int = 5
    """Steps of the second stage."""
    rate: float = 1e-2
    """Learning rate."""
    repeats: int = 1
    """Discriminator steps a generator step."""
    batch_norm: bool = True
    """Batch norm in the discriminator."""
    nan_at: int = -1
    """Step at which the generator's loss becomes NaN."""
    slow_s: float = runtime(0.0)
    """Seconds by which each step is longer."""
    ballast_mb: int = runtime(0)
    """Memory that each sample takes, three times over."""
    limit_mb: int = runtime(0)
    """Address space that the process may take beyond what it has when the networks are made."""


class Drawn(Source):
    """Gradients of random slope, drawn on the fly; two samples share a group."""

    def __init__(self, indices: Sequence[int]) -> None:
        self.indices = list(indices)

    def __len__(self) -> int:
        return len(self.indices)

    def groups(self) -> list[str]:
        return [str(index // 2) for index in self.indices]

    def subset(self, indices: Sequence[int]) -> Drawn:
        return Drawn([self.indices[index] for index in indices])

    def sample(self, index: int, random: np.random.Generator) -> dict[str, Tensor]:
        slope = torch.from_numpy(random.uniform(0, 1, (3, 1, 1))).float() * (1 + self.indices[index])
        ramp = torch.linspace(0, 1, 8)
        return {"high": (slope * (ramp[None, :] + ramp[:, None]) / 10 % 1).expand(3, 8, 8).contiguous()}


def limit_memory(beyond: int) -> None:
    """Let the process's address space grow by so many bytes and no more; a second call changes nothing."""
    _, hard = before = resource.getrlimit(resource.RLIMIT_AS)
    if before[0] == resource.RLIM_INFINITY:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + beyond, hard))


class Batch(NamedTuple):
    low: Tensor
    high: Tensor


class Critic(nn.Module):
    def __init__(self, batch_norm: bool) -> None:
        super().__init__()
        norm = nn.BatchNorm2d(4) if batch_norm else nn.Identity()
        self.body = nn.Sequential(spectral_norm(nn.Conv2d(3, 4, 3)), norm, nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 6))

    def forward(self, picture: Tensor) -> Tensor:
        return self.body(picture).flatten(1)


class Tiny(Recipe):
    """Enlarges 4 x 4 pictures to 8 x 8."""

    Settings = Settings
    PRESETS: ClassVar = {
        "preview": Settings(
            batch_size=4,
            precision="float32",
            checkpoint_every=2,
            preview_every=4,
            log_every=1,
            score_every=4,
            workers=0,
        )
    }

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def stages(self) -> list[Stage]:
        s = self.settings
        generator = Turn(side="generator", trains=("generator",))
        discriminator = Turn(side="discriminator", trains=("discriminator",), repeats=s.repeats)
        rate = Optimizer(rate=s.rate, schedule="linear")
        return [
            Stage(name="pixel", steps=s.first_steps, turns=(generator,), optimizers={"generator": rate}),
            Stage(
                name="gan",
                steps=s.second_steps,
                turns=(discriminator, generator),
                optimizers={"generator": rate, "discriminator": rate},
            ),
        ]

    def networks(self) -> Networks:
        generator = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.Dropout(0.1), nn.PixelShuffle(2))
        if self.settings.limit_mb:
            limit_memory(self.settings.limit_mb << 20)
        return Networks(generator=generator, discriminator=Critic(self.settings.batch_norm))

    def source(self, path: str) -> Drawn:
        return Drawn(range(self.settings.samples))

    def batch(self, raw: dict[str, Tensor], context: Context) -> Batch:
        # From every source of chance that a user's recipe might draw from.
        noise = torch.randn(raw["high"].shape, generator=context.random) * 0.01
        noise = noise + 0.01 * (torch.rand(()) + np.random.rand() + random.random())
        return Batch(F.avg_pool2d(raw["high"] + noise, 2), raw["high"])

    def forward(self, nets: Networks, batch: Batch, carry: Carry, context: Context) -> tuple[Outputs, Carry]:
        time.sleep(self.settings.slow_s)
        fake = nets.generator(batch.low)
        if self.settings.ballast_mb:
            # Held for the backward pass: the ones, their product, and its sine for the mean to look at.
            ballast = torch.ones(len(fake), self.settings.ballast_mb << 18) * fake.mean()
            fake = fake + 1e-9 * ballast.sin().mean()
        memory = carry.get("memory", torch.zeros(3))
        return {"fake": fake}, {
            "memory": 0.9 * memory + 0.1 * fake.mean((0, 2, 3)).float(),
            "seen": carry.get("seen", 0) + 1,
        }

    def discriminator_losses(
        self, nets: Networks, batch: Batch, outputs: Outputs, carry: Carry, context: Context
    ) -> Ledger:
        real, fake = nets.discriminator(batch.high), nets.discriminator(outputs["fake"])
        return Ledger({"gan": F.softplus(-real).mean() + F.softplus(fake).mean()})

    def generator_losses(
        self, nets: Networks, batch: Batch, outputs: Outputs, carry: Carry, context: Context
    ) -> Ledger:
        ledger = Ledger({"pixel": F.l1_loss(outputs["fake"], batch.high)})
        if "memory" in carry:
            ledger["memory"] = 0.1 * (outputs["fake"].mean((0, 2, 3)) - carry["memory"]).abs().mean()
        if context.stage.name == "gan":
            ledger["gan"] = 0.01 * F.softplus(-nets.discriminator(outputs["fake"])).mean()
        if context.step == self.settings.nan_at:
            ledger["pixel"] = ledger["pixel"] * float("nan")
        return ledger

    def sample(self, nets: Networks, batch: Batch, context: Context) -> Tensor:
        return torch.cat([nets.generator(batch.low), batch.high], dim=-1).clamp(0, 1)

    def score(self, nets: Networks, source: Source, context: Context) -> dict[str, float]:
        raw = torch.stack([source.sample(i, np.random.default_rng(i))["high"] for i in range(len(source))])
        return {"minus_l1": -float(F.l1_loss(nets.generator(F.avg_pool2d(raw, 2)), raw))}

    def card(self) -> Card:
        return Card(network="tiny", scale=2)
