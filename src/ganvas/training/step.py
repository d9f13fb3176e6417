"""The arithmetic of one step: the turns of a stage, played on batches, with their losses, gradients and averages."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ganvas import device as machine
from ganvas.errors import UserError
from ganvas.losses import margin
from ganvas.losses.passes import Passes
from ganvas.protocol import Carry, Ledger, Outputs, Stage, Turn
from ganvas.training import checkpoint, contract, parallel
from ganvas.training.sentinel import Observation, spread, thumbnail
from ganvas.training.trainer import Trainer


@dataclass
class Drawn:
    """A batch of this step, and what `forward` returned for it as long as a generator's turn can still use that."""

    number: int
    batch: Any
    carry: Carry
    outputs: Outputs | None = None
    next_carry: Carry | None = None


def advance(trainer: Trainer) -> Observation:
    """Play every turn of the stage once and return the losses and what was observed, as means over all ranks."""
    trainer.enter_due()
    trainer.rates = trainer.optimizers.set_rates(
        trainer.stage, trainer.stage_step, trainer.sentinel.response.rate_factor
    )
    step = _Step(trainer)
    step.play()
    parallel.average_buffers(trainer.nets.values())
    trainer.step += 1
    trainer.images_seen += step.images
    trainer.averages.update(trainer.nets, step.images, trainer.images_seen)
    return step.observation()


class _Step:
    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.nets, self.recipe = trainer, trainer.nets, trainer.recipe
        self.drawn: list[Drawn] = []
        self.images = 0
        self.num_drawn = 0
        self.num_taken = 0
        self.notes: dict[str, list[Tensor]] = {}
        self.norms: dict[str, float] = {}

    def play(self) -> None:
        turns = self.trainer.stage.turns
        for place, turn in enumerate(turns):
            for repeat in range(turn.repeats):
                is_last = repeat == turn.repeats - 1
                follower = _generator_after(turn, turns[place + 1 :]) if is_last else None
                self._take(turn, repeat > 0 or turn.fresh_batch, follower)

    # Batches

    def _draw(self, number: int) -> None:
        trainer = self.trainer
        self.drawn = []
        for _ in range(number):
            done = trainer.stage_step * _batches_a_step(trainer.stage, trainer.settings.micro_batches)
            raw = trainer.to_device(trainer.feed.draw(trainer.batch_size, done + self.num_drawn))
            seed = self._seed("batch", self.num_drawn)
            batch = self.recipe.batch(raw, trainer.context(None, seed))
            self.drawn.append(Drawn(self.num_drawn, batch, trainer.carry))
            self.num_drawn += 1
            self.images += trainer.batch_size

    def _seed(self, *purpose: object) -> int:
        return self.trainer.seed_chance(*purpose)

    # Turns

    def _take(self, turn: Turn, fresh: bool, follower: Turn | None) -> None:
        number = turn.micro_batches * self.trainer.settings.micro_batches
        if fresh or len(self.drawn) != number:
            self._draw(number)
        self.trainer.hold_all_but(turn.trains)
        # With accumulation there would be no room for a graph of every batch.
        follower = follower if number == 1 else None
        passes = self._first_pass(turn) if number > 1 and self.trainer.needs_two_passes else None
        for place, drawn in enumerate(self.drawn):
            with passes.micro_batch(place) if passes else contextlib.nullcontext():
                ledger = self._losses(turn, drawn, follower)
            if ledger:
                total = _total(ledger)
                if total.requires_grad:
                    self.trainer.scaler.scale(total / number).backward()
                self._note_ledger(turn, ledger)
        self._optimise(turn)
        for name in turn.trains:
            # Now, not before the next backward pass: the other side's turn can use the memory.
            self.trainer.optimizers.adams[name].zero_grad(set_to_none=True)

    def _first_pass(self, turn: Turn) -> Passes | None:
        """Score all micro-batches once for the losses that need them together; nothing remembers that it was done."""
        passes, taken = Passes(), self.num_taken
        buffers = [buffer for net in self.nets.values() for buffer in net.buffers()]
        before = [buffer.clone() for buffer in buffers]
        for place, drawn in enumerate(self.drawn):
            with passes.micro_batch(place):
                self._losses(turn, drawn, None)
        self.num_taken = taken
        # Both passes must see the same running statistics and the same vectors of spectral norm.
        with torch.no_grad():
            for buffer, value in zip(buffers, before):
                buffer.copy_(value)
        if not passes.is_used:
            return None
        passes.end_first()
        return passes

    def _losses(self, turn: Turn, drawn: Drawn, follower: Turn | None) -> Ledger:
        trainer = self.trainer
        outputs = self._outputs(turn, drawn, follower)
        context = trainer.context(turn, self._seed("losses", self.num_taken))
        self.num_taken += 1
        with machine.autocast(trainer.device, trainer.precision):
            if turn.side == "generator":
                found = self.recipe.generator_losses(trainer.all_nets, drawn.batch, outputs, drawn.carry, context)
                ledger = contract.ledger(self.recipe, "generator_losses", found)
                self._observe_spread(drawn.batch, outputs, ledger)
                return ledger
            detached = {key: value.detach() for key, value in outputs.items()}
            with margin.noted() as margins:
                found = self.recipe.discriminator_losses(trainer.all_nets, drawn.batch, detached, drawn.carry, context)
            ledger = contract.ledger(self.recipe, "discriminator_losses", found)
            if margins:
                ledger.observed.setdefault("margin", torch.stack(margins).mean())
            return ledger

    def _outputs(self, turn: Turn, drawn: Drawn, follower: Turn | None) -> Outputs:
        """Return what the generator makes of a batch: one call serves this turn and the generator's that follows."""
        if drawn.outputs is None:
            drawn.outputs = self._forward(turn, drawn, turn if turn.side == "generator" else follower)
        outputs = drawn.outputs
        if follower is None:
            # A generator's backward pass frees the graph, and its step makes the outputs things of the past.
            drawn.outputs = None
        return outputs

    def _forward(self, turn: Turn, drawn: Drawn, learner: Turn | None) -> Outputs:
        """Run the generator, with a graph for the turn that learns from it, if there is one."""
        trainer = self.trainer
        is_first = drawn.next_carry is None
        if is_first:
            drawn.carry = trainer.carry
        trainer.hold_all_but(learner.trains if learner else ())
        # Seeded by the batch: whether one forward serves two turns or each has its own, dropout and noise are the same.
        context = trainer.context(turn, self._seed("forward", drawn.number))
        with torch.set_grad_enabled(learner is not None), machine.autocast(trainer.device, trainer.precision):
            found = self.recipe.forward(trainer.all_nets, drawn.batch, drawn.carry, context)
        outputs, carry = contract.forward(self.recipe, found)
        if is_first:
            settled = checkpoint.settle(carry, trainer.device, trainer.settings.channels_last)
            drawn.next_carry = trainer.carry = settled
        trainer.hold_all_but(turn.trains)
        return outputs

    def _optimise(self, turn: Turn) -> None:
        scaler = self.trainer.scaler
        stepped = False
        for name in turn.trains:
            adam, parameters = self.trainer.optimizers.adams[name], list(self.nets[name].parameters())
            # Averaged before they are looked at, so that every rank sees and does the same.
            parallel.average_gradients(parameters)
            trained = [parameter for parameter in parameters if parameter.grad is not None]
            if not trained:
                if self.trainer.trainable[name]:
                    self._require_gradient(turn)
                continue
            scaler.unscale_(adam)
            norm = self._clip(trained)
            if scaler.is_enabled():
                scaler.step(adam)
                stepped = True
            elif math.isfinite(norm):
                adam.step()
            # A scaled gradient overflows now and then, which the scaler answers; the sentinel need not.
            if math.isfinite(norm) or not scaler.is_enabled():
                before = self.norms.get(name, norm)
                self.norms[name] = norm if not norm <= before else before
        if stepped:
            scaler.update()

    def _require_gradient(self, turn: Turn) -> None:
        """Refuse losses of a user's recipe that do not depend on what their turn trains, in the stage's first step."""
        if self.trainer.plan.name.endswith(".py") and self.trainer.stage_step == 0:
            trained = ", ".join(turn.trains)
            why = f"In the stage {self.trainer.stage.name!r} no loss depends on what it trains: {trained}"
            do = "Return losses with a graph: neither detached nor under no_grad"
            raise contract.refusal(self.recipe, f"{turn.side}_losses", why, do)

    def _clip(self, trained: list[nn.Parameter]) -> float:
        norm = nn.utils.get_total_norm([parameter.grad for parameter in trained if parameter.grad is not None])
        if largest := self.trainer.settings.clip_gradient:
            nn.utils.clip_grads_with_norm_(trained, largest, norm)
        return float(norm)

    # What was seen

    def _note(self, name: str, value: Tensor) -> None:
        self.notes.setdefault(name, []).append(value.detach().double().mean())

    def _note_ledger(self, turn: Turn, ledger: Ledger) -> None:
        side = "D" if turn.side == "discriminator" else "G"
        for key, value in ledger.items():
            self._note(f"{side}.{key}", value)
        for key, value in ledger.observed.items():
            self._note(key, value)

    def _observe_spread(self, batch: Any, outputs: Outputs, ledger: Ledger) -> None:
        fake, real = outputs.get("fake"), _truth(batch)
        if "fake_spread" in ledger.observed or self.trainer.sentinel.mode == "off":
            return
        if not (isinstance(fake, Tensor) and isinstance(real, Tensor)):
            return
        if len(fake) > 1:
            ledger.observed.update(fake_spread=spread(fake), real_spread=spread(real))
            return
        if min(fake.ndim, real.ndim) < 4:
            return
        before, self.trainer.shown = self.trainer.shown, [thumbnail(fake), thumbnail(real)]
        if list(map(len, before)) == list(map(len, self.trainer.shown)):
            changes = [torch.dist(torch.tensor(a), torch.tensor(b)) for a, b in zip(before, self.trainer.shown)]
            ledger.observed.update(fake_change=changes[0], real_change=changes[1])

    def observation(self) -> Observation:
        """Return the step's means over its batches and all ranks."""
        names = sorted(self.notes)
        # One transfer and one collective for all of them.
        means = torch.stack([torch.stack(self.notes[name]).mean() for name in names]) if names else torch.zeros(0)
        values = dict(zip(names, parallel.average(means).tolist()))
        scale = self.trainer.scaler.get_scale() if self.trainer.scaler.is_enabled() else None
        return Observation(self.trainer.step, values, self.norms, scale)


def _truth(batch: Any) -> Any:
    """Return the real pictures of a batch, by the names that recipes give them."""
    names = ("real", "high", "target")
    if isinstance(batch, Mapping):
        return next((batch[name] for name in names if name in batch), None)
    return next((getattr(batch, name) for name in names if hasattr(batch, name)), None)


def _batches_a_step(stage: Stage, micro_batches: int) -> int:
    """Return how many batches a step of a stage draws."""
    total = held = 0
    for turn in stage.turns:
        number = turn.micro_batches * micro_batches
        draws = turn.repeats if turn.fresh_batch or held != number else turn.repeats - 1
        total, held = total + draws * number, number
    return total


def _generator_after(turn: Turn, later: Sequence[Turn]) -> Turn | None:
    """Return the generator's turn that will use the batches of this discriminator's turn again, if there is one."""
    if turn.side == "generator":
        return None
    for other in later:
        if other.fresh_batch or other.micro_batches != turn.micro_batches:
            return None
        if other.side == "generator":
            return other
        if other.repeats > 1:
            return None
    return None


def _total(ledger: Mapping[str, Tensor]) -> Tensor:
    for name, loss in ledger.items():
        if loss.ndim:
            raise UserError(f"The loss {name!r} has the shape {tuple(loss.shape)}", "A ledger holds scalars")
    # Half precision is too coarse to add in.
    return torch.stack([loss if loss.dtype == torch.float64 else loss.float() for loss in ledger.values()]).sum()
