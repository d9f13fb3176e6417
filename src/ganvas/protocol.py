"""The types that the rooms agree on: what a recipe is, what a step sees, what a discriminator says, what a file tells.

Types only: nothing here computes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

Outputs: TypeAlias = dict[str, Tensor]
"""What a recipe's `forward` returns, by name; the loop detaches it for the discriminator's turn."""

Carry: TypeAlias = dict[str, Any]
"""A flat dict of tensors and integers that outlives a step and stands in every checkpoint."""


class Ledger(dict[str, Tensor]):
    """The weighted scalar losses of a turn by name, which the loop sums and logs.

    `observed` holds what is only logged and watched, never summed. The engine itself adds the margin of the
    discriminator's scores (`margin`) where an `AdversarialLoss` compared them, and the spread of the fakes and of the
    reals over the batch (`fake_spread`, `real_spread`).
    """

    def __init__(self, losses: Mapping[str, Tensor] | None = None) -> None:
        super().__init__(losses or {})
        self.observed: dict[str, Tensor] = {}


class Verdict(NamedTuple):
    """What a discriminator says of a batch.

    `score` is raw (no sigmoid): (B, 1) or a map (B, 1, h, w). `features` are the activations of its layers, in order,
    and end with the score map itself. A multi-scale discriminator returns a list of Verdicts, finest scale first.
    """

    score: Tensor
    features: tuple[Tensor, ...]


class Networks(dict[str, nn.Module]):
    """The networks of a recipe by name, reachable as attributes: `nets.generator(low)`."""

    def __getattr__(self, name: str) -> nn.Module:
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(f"no network {name!r}; there are {', '.join(self)}") from error


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One optimiser step of one side: which networks it trains, and with which of the recipe's two loss functions."""

    side: Literal["generator", "discriminator"]
    trains: tuple[str, ...]
    """Names of the networks that this turn updates; all others are frozen."""
    repeats: int = 1
    """Optimiser steps in a row; each repeat after the first draws a fresh batch."""
    micro_batches: int = 1
    """Batches whose gradients are averaged before the one optimiser step."""
    fresh_batch: bool = False
    """Draw new samples for this turn instead of using the previous turn's."""


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """How one network is optimised: Adam, and a learning rate over the steps of a stage."""

    rate: float = 2e-4
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    schedule: Literal["constant", "step", "linear", "cosine"] = "constant"
    milestones: tuple[float, ...] = ()
    """`step`: fractions of the stage after which the rate is multiplied by `factor`."""
    factor: float = 0.5
    hold: float = 0.5
    """`linear`: fraction of the stage at the full rate before it falls linearly to zero."""
    final_rate: float = 0.0
    """`cosine` and `linear`: the rate at the end of the stage."""
    warmup_steps: int = 0
    """Steps over which the rate rises linearly from zero."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stretch of training during which the networks, the turns and the rates stay the same. Data, not code."""

    name: str
    steps: int
    turns: tuple[Turn, ...]
    optimizers: Mapping[str, Optimizer]
    """By network name; every network that a turn trains has one."""
    frozen: tuple[str, ...] = ()
    """Patterns over `network.parameter` names (as in fnmatch) that no turn of this stage updates."""
    networks: tuple[str, ...] = ()
    """Networks that this stage uses; empty means all. The others are not moved to the device or saved anew."""
    averaged: tuple[str, ...] = ("generator",)
    """Networks of which an exponential moving average is kept."""
    batch_size: int = 0
    """Samples of one batch over all ranks; 0 takes the setting."""
    resolution: int = 0
    """Side of the pictures in pixels; 0 where the recipe's settings say it."""
    clip_length: int = 1
    """Frames in a sample of video."""
    restarts_average: bool = False
    """Begin the moving averages anew from the weights at the start of this stage."""


@dataclass(frozen=True)
class Health:
    """What the collapse watch sees; recipes may read it, never write it."""

    healthy: bool = True
    margin: float = 0.0
    """Mean discriminator score of real minus fake."""
    diversity: float = 1.0
    """Spread of the fakes divided by that of the reals."""
    rollbacks: int = 0
    r1_factor: float = 1.0
    """What a recipe multiplies its R1 weight by: doubled at each rollback under `--sentinel-action strengthen_r1`."""


@dataclass(frozen=True)
class Context:
    """What a recipe may know of the run at this step. Read-only."""

    step: int
    """Steps done before this one, over all stages."""
    stage_step: int
    """Steps done before this one in this stage."""
    images_seen: int
    stage: Stage
    random: torch.Generator
    """On the CPU, seeded by (seed, step, rank): the only source of chance that a recipe uses."""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    turn: Turn | None = None
    rank: int = 0
    health: Health = field(default_factory=Health)
    averages: Mapping[str, nn.Module] = field(default_factory=dict)
    """The moving averages of networks that have one, in eval mode; some losses compare with what they make."""


class Source(Protocol):
    """A set of samples on disk or computed on the fly, addressed by number so that a run can be resumed anywhere."""

    def __len__(self) -> int: ...

    def groups(self) -> Sequence[str]:
        """Return for each sample what must not be split between training and validation: its picture, scene or clip."""
        ...

    def subset(self, indices: Sequence[int]) -> Source:
        """Return the source of only these samples."""
        ...

    def sample(self, index: int, random: np.random.Generator) -> dict[str, Tensor]:
        """Return one sample, all chance in it drawn from `random`; equal shapes over a batch, no batch axis."""
        ...


class PartedSource(Source, Protocol):
    """Samples of which each lasts for several batches in a row, as a window of video that is trained on in chunks."""

    parts: int

    def part(self, index: int, random: np.random.Generator, number: int) -> dict[str, Tensor]:
        """Return one part of a sample, numbered from 0; the same chance gives the same sample."""
        ...


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a weight file says of itself, so that nothing has to be guessed when it is used."""

    network: str
    """Key in `ganvas.networks.NETWORKS`."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of that network's constructor."""
    input: Literal["picture", "seeds", "labels", "clip", "camera", "other"] = "picture"
    range: tuple[float, float] = (0.0, 1.0)
    """Value range that the network itself takes and gives."""
    scale: int = 1
    """Output side divided by input side."""
    channels_in: int = 3
    channels_out: int = 3
    multiple_of: int = 1
    """Sides of the input must be a multiple of this many pixels."""
    minimum_px: int = 1
    halo_px: int = 16
    """Context in input pixels that each side of a tile is given by default."""
    exact_halo_px: int = 0
    """Context with which tiled equals untiled; 0 when unknown or unbounded."""
    tiling: Literal["supported", "discouraged", "internal"] = "supported"
    curve: Literal["none", "log"] = "none"
    """Curve applied to scene-linear values before the net and undone after it."""
    recipe: str = ""
    purpose: str = ""
    licence: str = "unknown"
    """Licence of the weights."""
    data: str = "unknown"
    """What the weights were trained on."""
    data_licence: str = "unknown"
    origin: str = ""
    """Where the weights come from: a run, or another project's layout."""
    scores: Mapping[str, float] = field(default_factory=dict)
    attachments: tuple[str, ...] = ()
    """Names of extra tensors (style centres, camera statistics, batch-norm banks), stored under `attachment/`."""
    extra: Mapping[str, Any] = field(default_factory=dict)


class Recipe(ABC):
    """One published method: built from its settings, it tells the loop what to train and with which losses.

    The engine asks in this order: `source`, `held_out`, `prepare`, then everything else. A recipe that lacks an
    abstract part is refused by name before any data are read.
    """

    Settings: ClassVar[type]
    """A frozen dataclass that extends `ganvas.settings.Training`."""
    PRESETS: ClassVar[Mapping[str, Any]]
    """Settings by name; `laptop` or `preview`, and `paper`, are chosen by themselves."""
    SHOWN: ClassVar[tuple[str, ...]] = ()
    """Names of what `sample` lays side by side in each picture, as captions."""
    settings: Any

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    # Data

    @abstractmethod
    def source(self, path: str) -> Source:
        """Return the samples of a folder."""

    def held_out(self, path: str, train: Source) -> Source:
        """Return the samples of a validation folder, read as the training data were: with their classes, say."""
        return self.source(path)

    def prepare(self, train: Source) -> None:
        """Learn what stages and cards need of the data; called once, with the training split, before either."""

    def shown_rows(self) -> Sequence[str]:
        """Return the names of equal groups of the pictures of `sample`, each a row: classes, say."""
        return ()

    def samples(self, source: Source, stage: Stage) -> Source:
        """Return the samples of a stage, of its size or length, say; as many as the source has.

        Where it is a `PartedSource`, the parts of a sample come in order, one a batch, from the stage's begin on.
        """
        return source

    def previews(self, source: Source, stage: Stage) -> Source:
        """Return the samples that previews show."""
        return self.samples(source, stage)

    @abstractmethod
    def batch(self, raw: dict[str, Tensor], context: Context) -> Any:
        """Turn collated samples, already on the device, into this recipe's batch type."""

    # What is trained

    @abstractmethod
    def stages(self) -> Sequence[Stage]:
        """Return the stages in order."""

    @abstractmethod
    def card(self) -> Card:
        """Return the card of the generator."""

    def cards(self) -> Mapping[str, Card]:
        """Return the card of every network by name, in the order in which the engine builds them."""
        return {"generator": self.card()}

    def networks(self) -> Mapping[str, nn.Module]:
        """Return networks that no card can build, fresh: of your own classes, or initialised in a way of their own.

        The engine has seeded the global generator, and builds the other networks of `cards` itself.
        """
        return {}

    def fixed(self) -> Mapping[str, nn.Module]:
        """Return networks that nothing trains, such as the features of a perceptual loss.

        The engine moves them once and hands them to every part as `nets.NAME`; no checkpoint holds them.
        """
        return {}

    # One step

    @abstractmethod
    def forward(self, nets: Networks, batch: Any, carry: Carry, context: Context) -> tuple[Outputs, Carry]:
        """Run the generator once; return its outputs and the carry for the next step.

        It uses no network that a discriminator-side turn trains, so that one call serves both sides of a step.
        """

    def discriminator_losses(
        self, nets: Networks, batch: Any, outputs: Outputs, carry: Carry, context: Context
    ) -> Ledger:
        """Return the weighted losses of the discriminator's turn; `outputs` are detached.

        Needed where a stage has such a turn.
        """
        raise NotImplementedError

    @abstractmethod
    def generator_losses(self, nets: Networks, batch: Any, outputs: Outputs, carry: Carry, context: Context) -> Ledger:
        """Return the weighted losses of the generator's turn."""

    # What is shown

    @abstractmethod
    def sample(self, nets: Networks, batch: Any, context: Context) -> Tensor:
        """Return a preview strip for each sample of a fixed batch: (B, 3, H, W) in [0, 1]."""

    def score(self, nets: Networks, source: Source, context: Context) -> dict[str, float]:
        """Return validation scores of the averaged networks; the first, higher is better, chooses the best."""
        return {}

    def compared(self, nets: Networks, source: Source, context: Context) -> tuple[Tensor, Tensor] | None:
        """Return the real and the generated pictures, (B, 3, H, W) in [0, 1], that `--frechet` compares as sets."""
        return None

    def attachments(self) -> Mapping[str, Mapping[str, Tensor]]:
        """Return tensors to keep beside the weights after each score, by name: what generation is told of it."""
        return {}

    def notices(self) -> Sequence[str]:
        """Return what the user should read once before the first step."""
        return []
