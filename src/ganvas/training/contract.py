"""What a recipe's parts must return: what is wrong is named by the part's file and line, not met somewhere else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_type_hints

from torch import Tensor, nn

from ganvas.errors import UserError, did_you_mean
from ganvas.protocol import Card, Ledger, Optimizer, Recipe, Stage, Turn

GUIDE = "See the table of parts in CONTRIBUTING.md"


def refusal(recipe: Recipe, part: str, why: str, do: str = GUIDE) -> UserError:
    """Return the error of a part that returns what it should not."""
    code = getattr(getattr(type(recipe), part, None), "__code__", None)
    place = f"{code.co_filename}, line {code.co_firstlineno}: " if code else f"{type(recipe).__name__}: "
    return UserError(f"{place}`{part}` cannot be used", why, do)


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def source(recipe: Recipe, value: Any) -> Any:
    """Return what `source` gave.

    Raises:
        UserError: it is no source of samples.
    """
    lacking = [part for part in ("sample", "subset", "groups", "__len__") if not callable(getattr(value, part, None))]
    if lacking:
        raise refusal(recipe, "source", f"It returns {_kind(value)}, which has no {', '.join(lacking)}")
    return value


def stages(recipe: Recipe) -> list[Stage]:
    """Return a recipe's stages.

    Raises:
        UserError: they are no stages, or say rates or turns that mean nothing.
    """
    value = recipe.stages()
    if not isinstance(value, Sequence) or not all(isinstance(stage, Stage) for stage in value):
        raise refusal(recipe, "stages", f"It returns {_kind(value)}", "Return a list of Stage")
    for stage in value:
        why = _wrong_in(stage)
        if why:
            raise refusal(recipe, "stages", f"The stage {stage.name!r} {why}")
    return list(value)


def _wrong_in(stage: Stage) -> str:
    if type(stage.steps) is not int or stage.steps < 0:
        return f"has {stage.steps!r} steps"
    if not isinstance(stage.turns, Sequence) or not all(isinstance(turn, Turn) for turn in stage.turns):
        return "has turns that are no list of Turn"
    for turn in stage.turns:
        if isinstance(turn.trains, str):
            return f"has a turn that trains {turn.trains!r}, a text: write ({turn.trains!r},)"
        if turn.repeats < 1 or turn.micro_batches < 1:
            return f"has a turn of {turn.repeats} repeats and {turn.micro_batches} micro-batches"
    schedules = get_args(get_type_hints(Optimizer)["schedule"])
    for name, optimizer in stage.optimizers.items():
        numbers = (optimizer.rate, optimizer.epsilon, optimizer.weight_decay, *optimizer.betas)
        if not all(math.isfinite(number) and number >= 0 for number in numbers) or max(optimizer.betas) >= 1:
            return f"optimises {name} by {optimizer}"
        if optimizer.schedule not in schedules:
            return f"has no schedule {optimizer.schedule!r} for {name}. {did_you_mean(optimizer.schedule, schedules)}"
    return ""


def cards(recipe: Recipe) -> Mapping[str, Card]:
    """Return the cards of a recipe's networks.

    Raises:
        UserError: some are none.
    """
    one = recipe.card()
    if not isinstance(one, Card):
        raise refusal(recipe, "card", f"It returns {_kind(one)}", "Return a Card")
    value = recipe.cards()
    if not isinstance(value, Mapping) or not all(isinstance(card, Card) for card in value.values()):
        raise refusal(recipe, "cards", f"It returns {_kind(value)}", "Return a dict of Card by network name")
    return value


def networks(recipe: Recipe, value: Any) -> dict[str, nn.Module]:
    """Return the networks of its own that a recipe gave.

    Raises:
        UserError: they are none.
    """
    if not isinstance(value, Mapping) or not all(isinstance(net, nn.Module) for net in value.values()):
        raise refusal(recipe, "networks", f"It returns {_kind(value)}", "Return a dict of nn.Module by name")
    return dict(value)


def forward(recipe: Recipe, value: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the outputs and the carry that `forward` gave.

    Raises:
        UserError: it gave something else.
    """
    is_pair = isinstance(value, tuple) and len(value) == 2 and all(isinstance(part, Mapping) for part in value)
    if not is_pair or not all(isinstance(output, Tensor) for output in value[0].values()):
        why = f"It returns {_kind(value)} in place of two dicts: tensors by name, and the carry"
        raise refusal(recipe, "forward", why, "Write `return {...}, carry`")
    return value


def ledger(recipe: Recipe, part: str, value: Any) -> Ledger:
    """Return the losses that a turn gave.

    Raises:
        UserError: they are no ledger of scalars.
    """
    if not isinstance(value, Ledger):
        raise refusal(recipe, part, f"It returns {_kind(value)}", 'Write `return Ledger({"name": loss})`')
    for name, loss in [*value.items(), *value.observed.items()]:
        if not isinstance(loss, Tensor):
            raise refusal(recipe, part, f"The loss {name!r} is {_kind(loss)}", "A ledger holds tensors of one number")
    return value


def scores(recipe: Recipe, value: Any) -> dict[str, float]:
    """Return the scores that `score` gave.

    Raises:
        UserError: they are no numbers by name.
    """
    if not isinstance(value, Mapping) or not all(isinstance(score, (int, float)) for score in value.values()):
        raise refusal(recipe, "score", f"It returns {value!r}"[:200], 'Write `return {"psnr": 30.0}`, in numbers')
    return dict(value)
