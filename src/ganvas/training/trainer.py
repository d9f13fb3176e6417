"""The state of a run and the arithmetic of one step: a recipe's turns, played on batches, with all that a checkpoint holds."""

from __future__ import annotations

import fnmatch
import hashlib
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ganvas import device as machine
from ganvas import ranks
from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.protocol import Carry, Context, Ledger, Networks, Outputs, Recipe, Source, Stage, Turn
from ganvas.settings import to_json
from ganvas.training import checkpoint, parallel
from ganvas.training.feed import Feed
from ganvas.training.recompute import recompute_blocks
from ganvas.training.sentinel import Observation, Sentinel


@dataclass(frozen=True)
class Plan:
    """What a run is made of: a recipe with its settings, and the data it trains and is scored on."""

    name: str
    """What the command line calls the recipe: its name, or the path of the user's file."""
    recipe: Recipe
    train: Source
    val: Source | None = None
    init: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    """Weights to start from: network -> tensors."""
    init_from: str = ""
    freeze: tuple[str, ...] = ()
    """Patterns over `network.parameter` that no stage trains."""


@dataclass
class Drawn:
    """A batch of the present group of turns, with what `forward` made of it as long as that is still true."""

    batch: Any
    carry: Carry
    outputs: Outputs | None = None
    next_carry: Carry | None = None


class Trainer:
    """The state of a run and the arithmetic of one step."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.recipe, self.settings = plan, plan.recipe, plan.recipe.settings
        self.device = machine.pick(self.settings.device)
        if self.settings.threads:
            torch.set_num_threads(self.settings.threads)
        self.precision = machine.pick_precision(self.settings.precision, self.device)
        self.stages = list(plan.recipe.stages())
        self.total_steps = sum(stage.steps for stage in self.stages)
        self._check()
        torch.manual_seed(self.settings.seed)
        self.nets = plan.recipe.networks()
        self.init_report = [_initialise(self.nets, name, tensors) for name, tensors in plan.init.items()]
        layout = torch.channels_last if self.settings.channels_last else torch.contiguous_format
        for name in self.nets:
            self.nets[name] = self.nets[name].to(self.device, memory_format=layout)
        self.optimizers = checkpoint.Optimizers(self.nets)
        averaged = (
            {name for stage in self.stages for name in stage.averaged} if self.settings.average_half_life else set()
        )
        self.averages = checkpoint.Averages(
            Networks({n: self.nets[n] for n in sorted(averaged)}), self.settings.average_half_life
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == torch.float16)  # pyright: ignore[reportPrivateImportUsage]
        self.feed = Feed(
            plan.train,
            self.settings.seed,
            rank=ranks.rank(),
            world_size=ranks.world_size(),
            workers=self.settings.workers,
        )
        self.sentinel = Sentinel(self.settings.sentinel, self.settings.sentinel_action)
        self.step, self.images_seen, self.stage_index = 0, 0, -1
        self.rate_factor = 1.0
        self.carry: Carry = {}
        self.drawn: list[Drawn] = []
        if self.settings.activation_checkpoints:
            for net in self.nets.values():
                recompute_blocks(net)
        if self.settings.compile:
            self.nets["generator"].compile()
        self._enter(0)

    def _check(self) -> None:
        if not self.stages:
            raise UserError(f"The recipe {self.plan.name} has no stages")
        for stage in self.stages:
            batch_size = stage.batch_size or self.settings.batch_size
            parallel.require_even(batch_size, ranks.world_size())
            for turn in stage.turns:
                missing = [name for name in turn.trains if name not in stage.optimizers]
                if missing:
                    raise UserError(f"Stage {stage.name!r} trains {', '.join(missing)} but says no rate for it")

    @property
    def stage(self) -> Stage:
        """The present stage."""
        return self.stages[self.stage_index]

    @property
    def stage_step(self) -> int:
        """Steps done in the present stage."""
        return self.step - sum(stage.steps for stage in self.stages[: self.stage_index])

    @property
    def batch_size(self) -> int:
        """Samples of one batch of the present stage over all ranks."""
        return self.stage.batch_size or self.settings.batch_size

    @property
    def finished(self) -> bool:
        """Tell whether all steps are done."""
        return self.step >= self.total_steps

    def _enter(self, index: int, fresh: bool = True) -> None:
        self.stage_index = index
        self.optimizers.enter(self.stage)
        if fresh and self.stage.restarts_average:
            for name in self.averages.nets:
                self.averages.restart(name, self.nets[name])

    def skip_to(self, stage_index: int) -> None:
        """Stand at the beginning of a stage without having trained the earlier ones: for rehearsals."""
        self.step = sum(stage.steps for stage in self.stages[:stage_index])
        self._enter(stage_index)

    def context(self, turn: Turn | None = None, salt: str = "") -> Context:
        """Return what the recipe may know at this step."""
        generator = torch.Generator().manual_seed(seed_of(self.settings.seed, self.step, ranks.rank(), salt))
        return Context(
            step=self.step,
            stage_step=self.stage_step,
            images_seen=self.images_seen,
            stage=self.stage,
            random=generator,
            device=self.device,
            turn=turn,
            rank=ranks.rank(),
            health=self.sentinel.health,
        )

    # One step

    def advance(self) -> dict[str, float]:
        """Play every turn of the stage once; return the losses and what was observed."""
        while self.step >= sum(stage.steps for stage in self.stages[: self.stage_index + 1]):
            self._enter(self.stage_index + 1)
        seed = seed_of(self.settings.seed, self.step, ranks.rank())
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 - a user's recipe may draw from the global generators
        random.seed(seed)
        self.rates = self.optimizers.set_rates(self.stage, self.stage_step, self.rate_factor)
        values: dict[str, float] = {}
        self.drawn = []
        self.observation = Observation(self.step)
        images = 0
        for turn in self.stage.turns:
            for repeat in range(turn.repeats):
                last = repeat == turn.repeats - 1
                images += self._take(
                    turn, repeat > 0 or turn.fresh_batch, last and self._generator_follows(turn), values
                )
        self.drawn = []
        parallel.average_buffers(self.nets.values())
        self.step += 1
        self.images_seen += images
        self.averages.update(self.nets, images, self.images_seen)
        return values

    def _take(self, turn: Turn, fresh: bool, generator_follows: bool, values: dict[str, float]) -> int:
        number = turn.micro_batches * self.settings.micro_batches
        images = 0
        if fresh or len(self.drawn) != number:
            images = self._draw(number)
        self._hold_all_but(turn)
        for name in turn.trains:
            self.optimizers.adams[name].zero_grad(set_to_none=True)
        ledgers: list[Ledger] = []
        for index in range(number):
            ledger = self._losses(turn, self.drawn[index], index, generator_follows and number == 1)
            if not ledger:
                return images
            total = torch.stack(
                [loss.float() if loss.dtype != torch.float64 else loss for loss in ledger.values()]
            ).sum()
            if total.requires_grad:
                self.scaler.scale(total / number).backward()
            ledgers.append(ledger)
        self._optimise(turn)
        self._note(turn, ledgers, values)
        return images

    def _draw(self, number: int) -> int:
        self.drawn = []
        for index in range(number):
            raw = self.feed.draw(self.batch_size)
            batch = self.recipe.batch(self.to_device(raw), self.context(salt=f"batch {self.feed.position} {index}"))
            self.drawn.append(Drawn(batch, self.carry))
        return self.batch_size * number

    def to_device(self, raw: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Move collated samples to the device, pictures in the layout that convolutions prefer."""
        moved = {key: value.to(self.device, non_blocking=True) for key, value in raw.items()}
        if self.settings.channels_last:
            moved = {
                key: value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value
                for key, value in moved.items()
            }
        return moved

    def _losses(self, turn: Turn, drawn: Drawn, index: int, shared: bool) -> Ledger:
        context = self.context(turn, salt=f"forward {index}")
        outputs = drawn.outputs
        drawn.outputs = None
        if outputs is None:
            # One forward serves both sides when a generator's turn follows on the same batch. A discriminator's turn
            # alone needs no graph, and with accumulation there would be no room for a graph of every batch.
            with_graph = shared or turn.side == "generator"
            if shared:
                self._release_generators()
            if drawn.next_carry is None:
                drawn.carry = self.carry
            with torch.set_grad_enabled(with_graph), machine.autocast(self.device, self.precision):
                outputs, carry = self.recipe.forward(self.nets, drawn.batch, drawn.carry, context)
            if drawn.next_carry is None:
                drawn.next_carry = self.carry = checkpoint.detach(carry)
            self._hold_all_but(turn)
        with machine.autocast(self.device, self.precision):
            if turn.side == "generator":
                return self.recipe.generator_losses(self.nets, drawn.batch, outputs, drawn.carry, context)
            if shared:
                drawn.outputs = outputs
            detached = {key: value.detach() for key, value in outputs.items()}
            return self.recipe.discriminator_losses(self.nets, drawn.batch, detached, drawn.carry, context)

    def _generator_follows(self, turn: Turn) -> bool:
        turns = self.stage.turns
        for later in turns[turns.index(turn) + 1 :]:
            if later.fresh_batch:
                return False
            if later.side == "generator":
                return turn.side == "discriminator"
        return False

    def _release_generators(self) -> None:
        for turn in self.stage.turns:
            if turn.side == "generator":
                for name in turn.trains:
                    self._release(name)

    def _release(self, name: str) -> None:
        patterns = [*self.stage.frozen, *self.plan.freeze]
        for key, parameter in self.nets[name].named_parameters():
            parameter.requires_grad_(not any(fnmatch.fnmatch(f"{name}.{key}", pattern) for pattern in patterns))

    def _hold_all_but(self, turn: Turn) -> None:
        for name, net in self.nets.items():
            if name in turn.trains:
                self._release(name)
            else:
                net.requires_grad_(False)

    def _optimise(self, turn: Turn) -> None:
        for name in turn.trains:
            adam, parameters = self.optimizers.adams[name], list(self.nets[name].parameters())
            self.scaler.unscale_(adam)
            parallel.average_gradients(parameters)
            largest = self.settings.clip_gradient or math.inf
            norm = nn.utils.clip_grad_norm_([p for p in parameters if p.grad is not None], largest)
            self.observation.gradient_norms[name] = float(norm)
            if self.scaler.is_enabled() or math.isfinite(float(norm)):
                self.scaler.step(adam)
        self.scaler.update()

    def _note(self, turn: Turn, ledgers: Sequence[Ledger], values: dict[str, float]) -> None:
        for group in (ledgers, [ledger.observed for ledger in ledgers]):
            for key in group[0]:
                mean = float(torch.stack([item[key].detach().float().mean() for item in group]).mean())
                name = key if group is not ledgers else f"{'D' if turn.side == 'discriminator' else 'G'}.{key}"
                values[name] = mean
                self.observation.values[name] = mean

    # State

    def groups(self) -> dict[str, dict[str, Tensor]]:
        """Return all tensors of the run's state, in named groups."""
        groups = {
            "networks": checkpoint.flatten(self.nets),
            "optimizers": self.optimizers.tensors(),
            "averages": checkpoint.flatten(self.averages.nets),
            f"carry-{ranks.rank()}": checkpoint.split_carry(self.carry)[0],
        }
        return {name: tensors for name, tensors in groups.items() if tensors}

    def state(self) -> dict[str, Any]:
        """Return the plain part of the run's state."""
        return {
            "recipe": self.plan.name,
            "settings": to_json(self.settings),
            "images_seen": self.images_seen,
            "stage": self.stage.name,
            "stage_index": self.stage_index,
            "position": self.feed.position,
            "carry": checkpoint.split_carry(self.carry)[1],
            "scaler": self.scaler.state_dict(),
            "rate_factor": self.rate_factor,
            "sentinel": self.sentinel.state(),
            "facts": machine.facts(self.device, self.precision, ranks.world_size()),
        }

    def load(self, saved: runs.Checkpoint) -> None:
        """Take over the whole state of a checkpoint."""
        self.load_weights(saved)
        self.step, self.images_seen = saved.step, int(saved.state["images_seen"])
        self.feed.position = int(saved.state["position"])
        self.carry = {**self._own_carry(saved), **saved.state["carry"]}
        self.rate_factor = float(saved.state["rate_factor"])
        self.sentinel.load(saved.state["sentinel"])
        self._enter(int(saved.state["stage_index"]), fresh=False)

    def load_weights(self, saved: runs.Checkpoint) -> None:
        """Take over networks, averages and optimisers only: step, data and chance go on."""
        checkpoint.restore(self.nets, saved.groups["networks"])
        checkpoint.restore(self.averages.nets, saved.groups.get("averages", {}))
        self.optimizers.load(saved.groups.get("optimizers", {}))
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(saved.state["scaler"])

    def _own_carry(self, saved: runs.Checkpoint) -> Carry:
        own = saved.groups.get(f"carry-{ranks.rank()}", saved.groups.get("carry-0", {}))
        return {key: value.to(self.device) for key, value in own.items()}

    def averaged(self) -> Networks:
        """Return the networks with averages in the place of those that have one."""
        return Networks({**self.nets, **self.averages.nets})


def seed_of(*parts: object) -> int:
    """Return a seed of 63 bits that depends on all of its parts."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def _initialise(nets: Networks, name: str, tensors: Mapping[str, Tensor]) -> str:
    if name not in nets:
        raise UserError(
            f"The recipe has no network {name!r} to start from these weights", do=f"It has {', '.join(nets)}"
        )
    taken, new = checkpoint.initialise(nets[name], tensors)
    if not taken:
        raise UserError(
            f"None of the {len(tensors)} tensors fits the network {name!r}",
            "The weights are of another network or width",
            "Choose settings that match: `ganvas inspect FILE` prints them",
        )
    listed = f"; newly initialised: {', '.join(new[:12])}{' ...' if len(new) > 12 else ''}" if new else ""
    left = sorted(set(tensors) - set(taken))
    unused = f"; left aside: {', '.join(left[:12])}{' ...' if len(left) > 12 else ''}" if left else ""
    return f"{name}: {len(taken)} of {len(taken) + len(new)} tensors taken{listed}{unused}"
