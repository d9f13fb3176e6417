"""The state of a run: all that the rest of its steps depends on, built from a plan or taken from a checkpoint."""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ganvas import device as machine
from ganvas import ranks
from ganvas.data.doctor import Finding
from ganvas.errors import UserError, did_you_mean
from ganvas.io import runs
from ganvas.losses.adversarial import AdversarialLoss
from ganvas.metrics.features import Extractor
from ganvas.protocol import Carry, Context, Networks, Recipe, Source, Stage, Turn
from ganvas.settings import to_json
from ganvas.training import checkpoint, contract, networks, parallel
from ganvas.training.averages import Averages
from ganvas.training.feed import Feed
from ganvas.training.optimizers import Optimizers
from ganvas.training.recompute import recompute_blocks
from ganvas.training.sentinel import Sentinel


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
    init_from: Sequence[str] = ()
    """Where those weights were read from, as the command line names it."""
    freeze: tuple[str, ...] = ()
    """Patterns over `network.parameter` that no stage trains."""
    findings: tuple[Finding, ...] = ()
    """What the data's doctor found, short of errors."""
    fingerprints: Mapping[str, Any] = field(default_factory=dict)
    """Of the data, the validation set and a user's recipe file, as `io.fingerprints` gives them."""
    extractor: Extractor | None = None
    """The features of the Frechet distance that chooses the best checkpoint; without them, the recipe's score does."""

    def __post_init__(self) -> None:
        # Stages, cards and networks may depend on the data: no plan has a recipe that has not seen them.
        self.recipe.prepare(self.train)


class Trainer:
    """The state of a run, which `step.advance` moves on by one step."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.recipe, self.settings = plan, plan.recipe, plan.recipe.settings
        self.device = machine.pick(self.settings.device)
        if self.settings.threads:
            torch.set_num_threads(self.settings.threads)
        self.precision = machine.pick_precision(self.settings.precision, self.device)
        self.stages = contract.stages(plan.recipe)
        self.total_steps = sum(stage.steps for stage in self.stages)
        torch.manual_seed(self.settings.seed)
        self.nets = networks.fresh(plan.recipe)
        """The trained networks, which checkpoints hold."""
        # What a recipe itself holds still stays so.
        self._learned = [key for key, parameter in _parameters(self.nets).items() if parameter.requires_grad]
        _check(plan, self.stages, self.nets)
        self.init_report = [_initialise(self.nets, name, tensors) for name, tensors in plan.init.items()]
        self._place_networks()
        self.all_nets = Networks({**self.nets, **networks.fixed(plan.recipe, self.nets, self.device)})
        """These and those that nothing trains: what a recipe is handed."""
        self.optimizers = Optimizers(self.nets)
        averaged = {name for stage in self.stages for name in stage.averaged if name in self.nets}
        self.averages = Averages(self.nets, averaged, self.settings.average_half_life)
        self._prepare_generators()
        self.scaler = torch.GradScaler(self.device.type, enabled=self.precision == torch.float16)
        self.feed = Feed(
            plan.train,
            self.settings.seed,
            rank=ranks.rank(),
            world_size=ranks.world_size(),
            workers=self.settings.workers,
        )
        self.adversarial = [value for value in vars(self.settings).values() if isinstance(value, AdversarialLoss)]
        self.needs_two_passes = any(loss.exact_means for loss in self.adversarial)
        self.sentinel = Sentinel(self.settings.sentinel, self.settings.sentinel_action)
        self.step, self.images_seen, self.stage_index = 0, 0, -1
        self.carry: Carry = {}
        self.shown: list[list[float]] = []
        """Thumbnails of the last step's fake and real picture, where a batch holds one."""
        self.rates: dict[str, float] = {}
        self.trainable: dict[str, list[nn.Parameter]] = {}
        self.enter(0)

    def _place_networks(self) -> None:
        layout = torch.channels_last if self.settings.channels_last else torch.contiguous_format
        for net in self.nets.values():
            net.to(self.device).to(memory_format=layout)  # pyright: ignore[reportCallIssue]
        # One seed makes one network on every rank, unless the ranks' libraries differ: then the first rank's counts.
        parallel.copy_from_first([tensor for net in self.nets.values() for tensor in net.state_dict().values()])

    def _prepare_generators(self) -> None:
        turns = [turn for stage in self.stages for turn in stage.turns if turn.side == "generator"]
        for name in sorted({name for turn in turns for name in turn.trains}):
            if self.settings.activation_checkpoints:
                recompute_blocks(self.nets[name])
            if self.settings.compile:
                self.nets[name].compile()

    def notices(self) -> list[str]:
        """Return what the user should read once before the first step."""
        told = [*self.init_report, *self.recipe.notices()]
        if any(turn.side == "discriminator" for stage in self.stages for turn in stage.turns):
            told += [loss.accumulation_notice(self.settings.micro_batches) for loss in self.adversarial]
        return [notice for notice in told if notice]

    # Where the run stands

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

    def enter(self, index: int, fresh: bool = True) -> None:
        """Enter a stage; `fresh` unless a resumption finds itself inside it."""
        self.stage_index = index
        self.feed.serve(self.recipe.samples(self.plan.train, self.stage))
        self.optimizers.enter(self.stage)
        self._choose_trainable()
        if fresh:
            self.sentinel.forget()
            if self.stage.restarts_average:
                self.averages.restart(self.nets)

    def _choose_trainable(self) -> None:
        patterns = [*self.stage.frozen, *self.plan.freeze]
        parameters = _parameters(self.nets)
        self.trainable = {name: [] for name in self.nets}
        for key in self._learned:
            if not any(fnmatch.fnmatchcase(key, pattern) for pattern in patterns):
                self.trainable[key.partition(".")[0]].append(parameters[key])
        for net in self.nets.values():
            net.requires_grad_(False)

    def hold_all_but(self, names: Collection[str]) -> None:
        """Let gradients flow to what these networks train in the present stage, and to nothing else."""
        for name, parameters in self.trainable.items():
            for parameter in parameters:
                parameter.requires_grad_(name in names)

    def enter_due(self) -> None:
        """Enter the next stage if the present one is over."""
        while self.step >= sum(stage.steps for stage in self.stages[: self.stage_index + 1]):
            self.enter(self.stage_index + 1)

    def skip_to(self, stage_index: int) -> None:
        """Stand at the beginning of a stage without having trained the earlier ones: for rehearsals."""
        self.step = sum(stage.steps for stage in self.stages[:stage_index])
        self.enter(stage_index)

    # What recipes are given

    def seed_chance(self, *purpose: object) -> int:
        """Seed all random numbers of this rank for one purpose within the present step; return the seed."""
        return self._seed_generators(seed_of(self.settings.seed, self.step, ranks.rank(), *purpose))

    def _seed_generators(self, seed: int) -> int:
        # The global ones: dropout draws from torch's, and a user's recipe may draw from any of them. Not by
        # torch.manual_seed, which formats the call stack for each kind of device that is not there.
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        return seed

    def context(self, turn: Turn | None, seed: int) -> Context:
        """Return what the recipe may know at this step."""
        return Context(
            step=self.step,
            stage_step=self.stage_step,
            images_seen=self.images_seen,
            stage=self.stage,
            random=torch.Generator().manual_seed(seed),
            device=self.device,
            turn=turn,
            rank=ranks.rank(),
            health=self.sentinel.health,
            averages=self.averages.nets,
        )

    def resting_context(self, purpose: str) -> Context:
        """Return the context of previews and scores, whose chance is the same at every step."""
        return self.context(None, self._seed_generators(seed_of(self.settings.seed, purpose)))

    def to_device(self, raw: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Move collated samples to the device, pictures in the layout that convolutions prefer."""
        moved = {key: value.to(self.device, non_blocking=True) for key, value in raw.items()}
        if self.settings.channels_last:
            moved = {
                key: value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value
                for key, value in moved.items()
            }
        return moved

    @contextlib.contextmanager
    def resting(self) -> Iterator[Networks]:
        """Give the networks in eval mode and without gradients, averages in the place of those that have one.

        In training mode a mere look at them would move running statistics, and with them the rest of the run.
        """
        modes = [(module, module.training) for net in self.nets.values() for module in net.modules()]
        try:
            for net in self.nets.values():
                net.eval()
            with torch.no_grad():
                yield Networks({**self.all_nets, **self.averages.nets})
        finally:
            for module, training in modes:
                module.training = training

    # Checkpoints

    def groups(self) -> dict[str, dict[str, Tensor]]:
        """Return all tensors of the run's state, in named groups; `carry-N` is rank N's own."""
        groups = {
            "networks": checkpoint.flatten(self.nets),
            "optimizers": self.optimizers.tensors(),
            "averages": checkpoint.flatten(self.averages.nets),
            f"carry-{ranks.rank()}": checkpoint.split_carry(self.carry)[0],
        }
        return {name: tensors for name, tensors in groups.items() if tensors}

    def state(self) -> dict[str, Any]:
        """Return the plain part of the run's state; all ranks take part."""
        return {
            "recipe": self.plan.name,
            "settings": to_json(self.settings),
            "samples": len(self.plan.train),
            "fingerprints": dict(self.plan.fingerprints),
            "folder": str(Path.cwd()),
            "images_seen": self.images_seen,
            "stage": self.stage.name,
            "stage_index": self.stage_index,
            "position": self.feed.position,
            "carry": parallel.gather(checkpoint.split_carry(self.carry)[1]),
            "shown": parallel.gather(self.shown),
            "scaler": self.scaler.state_dict(),
            "sentinel": self.sentinel.state(),
            "healthy": self.sentinel.health.healthy,
            "facts": machine.facts(self.device, self.precision, ranks.world_size()),
        }

    def load(self, saved: runs.Checkpoint) -> None:
        """Take over the whole state of a checkpoint."""
        self._load_weights(saved)
        self.step, self.images_seen = saved.step, int(saved.state["images_seen"])
        self.feed.position = int(saved.state["position"])
        self.carry = self._carry_of(saved)
        shown = saved.state.get("shown", [[]])
        self.shown = [list(map(float, picture)) for picture in shown[_owner(shown)]]
        self.enter(int(saved.state["stage_index"]), fresh=False)
        self.sentinel.load(saved.state["sentinel"])

    def roll_back(self, saved: runs.Checkpoint) -> None:
        """Take over networks, averages and optimisers of a checkpoint; step, data, chance and carry go on."""
        self._load_weights(saved)
        self.carry = checkpoint.mend_carry(self.carry, self._carry_of(saved))

    def _load_weights(self, saved: runs.Checkpoint) -> None:
        checkpoint.restore(self.nets, saved.groups["networks"])
        checkpoint.restore(self.averages.nets, saved.groups.get("averages", {}))
        self.optimizers.load(saved.groups.get("optimizers", {}))
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(saved.state["scaler"])

    def _carry_of(self, saved: runs.Checkpoint) -> Carry:
        plain = saved.state["carry"]
        whole = {**saved.groups.get(f"carry-{_owner(plain)}", {}), **plain[_owner(plain)]}
        return checkpoint.settle(whole, self.device, self.settings.channels_last)


def _owner(values: Sequence[Any]) -> int:
    """Return which rank's of the saved values are this one's; ranks that are new begin with the first one's."""
    return ranks.rank() if ranks.rank() < len(values) else 0


def seed_of(*parts: object) -> int:
    """Return a seed of 63 bits that depends on all of its parts."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def _parameters(nets: Networks) -> dict[str, nn.Parameter]:
    return {f"{name}.{key}": parameter for name, net in nets.items() for key, parameter in net.named_parameters()}


def _check(plan: Plan, stages: Sequence[Stage], nets: Networks) -> None:
    if not any(stage.steps for stage in stages):
        raise UserError(f"The recipe {plan.name} has no steps to train")
    has_losses = type(plan.recipe).discriminator_losses is not Recipe.discriminator_losses
    for stage in stages:
        if not has_losses and any(turn.side == "discriminator" for turn in stage.turns):
            why = f"Stage {stage.name!r} has a turn of the discriminator"
            raise UserError(f"The recipe {plan.name} lacks discriminator_losses", why, "See CONTRIBUTING.md")
    for stage in stages:
        for turn in stage.turns:
            if turn.side not in ("generator", "discriminator"):
                what = f"Stage {stage.name!r} of {plan.name} has a turn of the side {turn.side!r}"
                raise UserError(what, "Such a turn would train nothing", 'Write "generator" or "discriminator"')
            if not turn.trains:
                raise UserError(f"Stage {stage.name!r} of {plan.name} has a turn that trains no network")
        parallel.require_even(stage.batch_size or plan.recipe.settings.batch_size, ranks.world_size())
        for name in sorted({name for turn in stage.turns for name in turn.trains}):
            if name not in nets:
                raise UserError(f"Stage {stage.name!r} trains an unknown network {name!r}", do=did_you_mean(name, nets))
            if name not in stage.optimizers:
                raise UserError(f"Stage {stage.name!r} trains {name} but says no rate for it")
    known = list(_parameters(nets))
    for pattern in [*plan.freeze, *(pattern for stage in stages for pattern in stage.frozen)]:
        if not fnmatch.filter(known, pattern):
            raise UserError(f"No parameter matches --freeze {pattern}", do=did_you_mean(pattern, known))


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
    listed = f"; newly initialised: {_some(new)}" if new else ""
    left = sorted(set(tensors) - set(taken))
    unused = f"; left aside: {_some(left)}" if left else ""
    return f"{name}: {len(taken)} of {len(taken) + len(new)} tensors taken{listed}{unused}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (" ..." if len(names) > 12 else "")
