"""The fastest engine for a network on this machine: each that is installed runs a tile, and the result is kept."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ganvas import device as devices
from ganvas.errors import UserError
from ganvas.inference import backends
from ganvas.inference.backends import BACKENDS, Backend
from ganvas.io import timings
from ganvas.protocol import Card

PROBE_PX = 128
"""Side of the tile that is timed."""
ROUNDS = 3
LONG_S = 4.0
"""After a first call that took longer, one round tells enough."""


def installed() -> dict[str, str]:
    """Return the engines that can be used here, with their versions."""
    found = {"torch": str(torch.__version__)}
    for name, packages in backends.PACKAGES.items():
        if all(importlib.util.find_spec(package) for package in packages):
            found[name] = importlib.metadata.version(packages[0])
    return {name: found[name] for name in BACKENDS if name in found}


def pick(
    net: nn.Module,
    precision: str = "auto",
    device: str | torch.device = "auto",
    backend: str = "auto",
    value_range: tuple[float, float] = (0.0, 1.0),
    multiple_of: int = 1,
) -> Backend:
    """Return the engine of a name for a network; `auto` is the fastest here that computes what torch computes.

    Raises:
        UserError: as `backends.pick_backend`.
    """
    if backend != "auto":
        return backends.pick_backend(net, precision, device, backend, value_range, multiple_of)
    place = device if isinstance(device, torch.device) else devices.pick(device)
    engines = installed() if place.type == "cpu" else {"torch": str(torch.__version__)}

    def ready(name: str) -> Backend:
        return backends.pick_backend(net, precision, place, name, value_range, multiple_of)

    if len(engines) == 1:
        return ready("torch")
    key = timings.key_of(_facts(net, precision, place, engines))
    seconds = timings.known(key)
    for name in seconds or ():
        try:
            return _told(ready(name), seconds or {})
        except UserError:  # what ran when it was timed does not any more: the next one, or a new probe
            continue
    able = {"torch": ready("torch")}
    for name in engines:
        try:
            able.setdefault(name, ready(name))
        except UserError:  # it is not able to run this network: others are
            continue
    seconds = _timed(able, multiple_of)
    timings.keep(key, seconds)
    return _told(able[min(seconds, key=lambda name: seconds[name])], seconds)


def _timed(able: Mapping[str, Backend], multiple_of: int) -> dict[str, float]:
    """Return the least seconds of each engine over rounds in turn, so that a busy moment slows all of them."""
    side = -(-PROBE_PX // multiple_of) * multiple_of
    probe = backends.smooth_probe((side, side), multiple_of)
    seconds = dict.fromkeys(able, float("inf"))
    first = sum(_seconds(backend, probe) for backend in able.values())
    for _ in range(1 if first > LONG_S * len(able) else ROUNDS):
        for name, backend in able.items():
            seconds[name] = min(seconds[name], _seconds(backend, probe))
    return seconds


def _seconds(backend: Backend, probe: torch.Tensor) -> float:
    began = time.perf_counter()
    backend(probe)
    return time.perf_counter() - began


def _told(backend: Backend, seconds: Mapping[str, float]) -> Backend:
    rest = ", ".join(f"{name} {value:.3g} s" for name, value in sorted(seconds.items(), key=lambda item: item[1]))
    backend.why = f"the fastest here on a tile ({rest})"
    return backend


def _facts(net: nn.Module, precision: str, place: torch.device, engines: Mapping[str, str]) -> dict[str, Any]:
    card = getattr(net, "card", None)
    sizes = [list(value.shape) for value in net.state_dict().values()]
    what = {"network": card.network, "settings": dict(card.settings)} if isinstance(card, Card) else type(net).__name__
    machine = devices.facts(place, torch.float32)
    return {
        "ganvas": importlib.metadata.version("ganvas"), "engines": dict(engines), "machine": machine,
        "precision": precision, "network": what, "sizes": sizes,
    }  # fmt: skip
