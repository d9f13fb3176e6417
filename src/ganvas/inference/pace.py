"""How long a model takes for a megapixel of what it makes, on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from ganvas import device as devices
from ganvas.errors import UserError
from ganvas.inference import export
from ganvas.inference.backends import pick_backend, smooth_probe
from ganvas.inference.open import Opened, known_models, open_model

SIDE_PX = 96
LONG_S = 2.0
"""A first call that took longer is not repeated."""


@dataclass(frozen=True)
class Pace:
    """What was measured of one model."""

    model: str
    takes: str
    seconds_per_megapixel: float | None
    """None where it was not measured."""
    how: str
    """The engine and precision, or why it was not measured."""


def bundled_paces(device: str = "auto") -> Iterator[Pace]:
    """Yield the pace of each model that comes with Ganvas; one that cannot be run does not keep the others back."""
    for model in known_models():
        if model.package:
            continue
        try:
            yield pace_of(open_model(model.name), device)
        except UserError as error:
            yield Pace(model.name, "", None, " ".join(str(error).split()))


def pace_of(opened: Opened, device: str = "auto") -> Pace:
    """Measure one model on one tile, one scene or one picture.

    Raises:
        UserError: its file cannot be read.
    """
    card = opened.card
    if opened.takes not in export.KINDS:
        return Pace(opened.name, opened.takes, None, "frame by frame, each of the ones before: not measured")
    if opened.takes == "picture" and card.channels_in == 3:
        net = opened.network()
        unit = max(1, card.multiple_of, int(getattr(net, "unshuffle", 1)))
        backend = pick_backend(net, "auto", device, "torch", card.range, unit)
        side = -(-SIDE_PX // unit) * unit
        seconds = _seconds(backend, smooth_probe((side, side), unit))
        return Pace(opened.name, opened.takes, seconds, f"torch on {backend.device}, {backend.precision}")
    place = devices.pick(device)
    portable = export.portable(opened).to(place)
    probe = export.probes(opened)[0].to(place)
    with torch.inference_mode():
        return Pace(opened.name, opened.takes, _seconds(portable, probe), f"torch on {place}, float32")


def _seconds(call: Callable[[torch.Tensor], torch.Tensor], probe: torch.Tensor) -> float:
    """Return the least seconds for a megapixel of output, of a few calls after the first."""
    taken, made = _once(call, probe)
    if taken < LONG_S:
        taken = min(_once(call, probe)[0] for _ in range(3))
    return taken / (made.shape[0] * made.shape[-1] * made.shape[-2] / 1e6)


def _once(call: Callable[[torch.Tensor], torch.Tensor], probe: torch.Tensor) -> tuple[float, torch.Tensor]:
    began = time.perf_counter()
    made = call(probe)
    if made.device.type == "cuda":
        torch.cuda.synchronize(made.device)
    return time.perf_counter() - began, made
