"""Which training cameras a flight leads through: named by the frame numbers of the footage, or by their places.

Footage whose frames have no numbers of their own, or the same ones twice, is named by place, counted from 0.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from ganvas.errors import UserError

BY_PLACE = "index:"
"""Begins a list of places, where frames have numbers."""
SHOWN = 6
"""Stretches of frames that a message names."""


def numbers_of(extra: Mapping[str, Any]) -> list[int]:
    """Return the frame number of each training camera of a card; none where numbers are missing or repeat."""
    frames = [int(frame) for frame in extra.get("frames") or ()]
    return frames if len(frames) == len(extra.get("cameras") or ()) == len(set(frames)) else []


def ranges(frames: Sequence[int], most: int = 0) -> str:
    """Return frame numbers as stretches: `1001-1020, 1025`; beyond `most` of them a count stands for the rest."""
    runs: list[list[int]] = []
    for frame in sorted(frames):
        if runs and frame == runs[-1][1] + 1:
            runs[-1][1] = frame
        else:
            runs.append([frame, frame])
    names = [str(first) if first == last else f"{first}-{last}" for first, last in runs]
    if most and len(names) > most:
        return f"{', '.join(names[: most - 1])} ... {names[-1]}"
    return ", ".join(names)


def parse_stops(text: str, frames: Sequence[int], count: int) -> tuple[list[int], list[str]]:
    """Return the places of the training cameras that a text names, `1001,1030` or `index:0,29`, and notes on them.

    Numbers that all lie outside the footage's are places, too. For a frame that was held out its nearest stands in.

    Args:
        text: as --through gives it.
        frames: the frame number of each training camera; empty where they have none.
        count: how many there are.

    Raises:
        UserError: the text is no list of numbers, or no training camera is there or near.
    """
    try:
        numbers = [int(part) for part in text.removeprefix(BY_PLACE).split(",")]
    except ValueError as error:
        do = f"Give frame numbers, 1001,1030, or places counted from 0, {BY_PLACE}0,29"
        raise UserError(f"--through is {text!r}", "It takes numbers of training cameras", do) from error
    if text.startswith(BY_PLACE) or not frames:
        for number in numbers:
            if not 0 <= number < count:
                why = "" if frames else "Their frames have no numbers of their own: "
                why = f"{why}{'They' if frames else 'they'} are counted from 0 to {count - 1}"
                raise UserError(f"There is no training camera {number}", why)
        return numbers, []
    first, last = min(frames), max(frames)
    if all(0 <= number < count and not first <= number <= last for number in numbers):
        return numbers, [f"The footage's frames are {ranges(frames, SHOWN)}, so the numbers are places, counted from 0"]
    near = {number: number if number in frames else _nearest(number, frames)[0] for number in numbers}
    taken = [near[number] for number in numbers]
    absent = [number for number in near if number not in frames]
    if any(not first <= number <= last for number in absent) or any(a == b for a, b in itertools.pairwise(taken)):
        raise _not_trained_on(absent, numbers, frames)
    places = {frame: place for place, frame in enumerate(frames)}
    stand_in = ", ".join(f"{near[number]} for {number}" for number in absent)
    notes = [f"Frames that were not trained on are led past their nearest: {stand_in}"] if absent else []
    return [places[frame] for frame in taken], notes


def _not_trained_on(absent: Sequence[int], asked: Sequence[int], frames: Sequence[int]) -> UserError:
    """Return the error for frames that were held out, or do not exist, with the nearest ones that were trained on."""
    near = {number: _nearest(number, frames) for number in absent}
    named = "; ".join(f"nearest to {number}: {' and '.join(map(str, near[number]))}" for number in absent[:SHOWN])
    are = f"frame {absent[0]}" if len(absent) == 1 else f"frames {', '.join(map(str, absent[:SHOWN]))}"
    instead = [near[number][0] if number in near else number for number in asked]
    if any(one == other for one, other in itertools.pairwise(instead)):
        do = "`ganvas inspect MODEL` lists the frames that were trained on"
    else:
        do = f"--through {','.join(map(str, instead))} leads past the nearest"
    what = f"The model was not trained on {are}"
    held = any(min(frames) < number < max(frames) for number in absent)
    why = f"Trained on were frames {ranges(frames, SHOWN)}{' (the others were held out)' if held else ''}; {named}"
    return UserError(what, why, do)


def _nearest(number: int, frames: Sequence[int]) -> list[int]:
    """Return the frames before and after a number, the nearer first."""
    before = max((frame for frame in frames if frame < number), default=None)
    after = min((frame for frame in frames if frame > number), default=None)
    return sorted((frame for frame in (before, after) if frame is not None), key=lambda frame: abs(frame - number))
