"""How vid2vid is trained over time (section 4 of the paper): sequences get longer, pictures get larger."""

from __future__ import annotations

import math
from typing import NamedTuple

from ganvas.data.windows import Cut
from ganvas.protocol import Optimizer, Stage, Turn
from ganvas.recipes.vid2vid.settings import Settings


class Leg(NamedTuple):
    """A stage as this recipe thinks of it."""

    scales: int
    length: int
    rounds: int
    begin: float
    """Share of the scale's training that is done when it begins and ends."""
    end: float
    is_alone: bool


def legs_of(s: Settings, bound: float) -> dict[str, Leg]:
    """Return the stages by name: for each scale every length, the finer scales alone first; none beyond a bound."""
    legs: dict[str, Leg] = {}
    if s.picture_rounds:
        legs["scale 1, single frames"] = Leg(1, 1, s.picture_rounds, 0, 0, False)
    for number in range(1, s.scales + 1):
        for place in range(s.lengths):
            length = int(min(bound, s.longest, s.first_length * 2**place))
            name = f"scale {number}, {length} frames"
            name += f" ({place + 1})" if name in legs else ""
            if number > 1 and not place and s.alone_rounds:
                legs[f"scale {number} alone, {length} frames"] = Leg(number, length, s.alone_rounds, 0, 0, True)
            shares = place / s.lengths, (place + 1) / s.lengths
            legs[name] = Leg(number, length, s.rounds[number - 1], *shares, False)
    return legs


def stage_of(s: Settings, name: str, leg: Leg) -> Stage:
    """Return the stage of a leg: whole sequences, in chunks, one chunk a step."""
    critics = ("discriminator", *(f"clip_discriminator_{stride}" for stride in s.clip_strides))
    makers = ("generator", "encoder") if s.instance_features else ("generator",)
    rate = s.rates[leg.scales - 1]
    # At the full rate for the first half of the scale, then down to nothing at its end.
    start, stop = (rate * min(1.0, 2 - 2 * share) for share in (leg.begin, leg.end))
    hold = min(1.0, max(0.0, (0.5 - leg.begin) / (leg.end - leg.begin))) if leg.end > leg.begin else 1.0
    adam = Optimizer(
        rate=start, betas=s.betas, schedule="constant" if hold == 1 else "linear", hold=hold, final_rate=stop
    )
    return Stage(
        name=name,
        steps=leg.rounds * math.ceil(leg.length / s.frames_a_step),
        turns=(Turn(side="discriminator", trains=critics), Turn(side="generator", trains=makers)),
        optimizers=dict.fromkeys((*makers, *critics), adam),
        frozen=tuple(f"generator.scale{number}.*" for number in range(leg.scales - 1)) if leg.is_alone else (),
        averaged=makers,
        clip_length=leg.length,
    )


def strides_of(s: Settings, length: int) -> list[int]:
    """Return the strides of the clips that have room in windows of a length."""
    return [stride for stride in s.clip_strides if (s.clip_frames - 1) * stride < length]


def reach_of(s: Settings, length: int) -> int:
    """Return the frames between first and last of the longest clip in windows of a length."""
    return (s.clip_frames - 1) * max(strides_of(s, length), default=0)


def cut_of(s: Settings, leg: Leg, length: int, frames: int, given_share: float) -> Cut:
    """Return how windows are read at the size of a stage, in chunks of so many frames."""
    return Cut(
        length=length, frames=frames, shrink=s.shrink * 2 ** (s.scales - leg.scales), given_share=given_share,
        memory=s.past_frames, reach=reach_of(s, length), with_styles=s.instance_features > 0,
    )  # fmt: skip


def given_share_of(s: Settings, length: int) -> float:
    """Return the share of windows that are given their first frame; single frames before the sequences never are."""
    return 0.0 if s.picture_rounds and length == 1 else s.given_share
