"""Ganvas: high-resolution picture and video synthesis with GANs.

import ganvas

net = ganvas.load("default")            # an nn.Module with a .card: (B, 3, H, W) in [0, 1] in and out
up = ganvas.Upscaler("default")         # whole pictures of any size and depth
big = up(picture)                       # NumPy (H, W, C) of uint8, uint16 or float; the same type out
run = ganvas.train("esrgan", data="photos", preset="laptop")
scores = ganvas.evaluate("results", "truth")
sampler = ganvas.SeedSampler("runs/shapes")     # what `ganvas generate` runs: pictures from noise and classes;
painter = ganvas.LabelPainter("runs/street")    # from label maps; ClipSampler: clips of them; Flyer: from cameras
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ganvas.errors import UserError
    from ganvas.evaluation.evaluate import evaluate
    from ganvas.inference.cameras.flyer import Flyer
    from ganvas.inference.clips.sampler import ClipSampler
    from ganvas.inference.labels.painter import LabelPainter
    from ganvas.inference.open import load
    from ganvas.inference.picture.upscale import Upscaler
    from ganvas.inference.seeds.sampler import SeedSampler
    from ganvas.launch import train

__all__ = [
    "ClipSampler",
    "Flyer",
    "LabelPainter",
    "SeedSampler",
    "Upscaler",
    "UserError",
    "evaluate",
    "load",
    "train",
]

# Imported when first used, so that `import ganvas` and the command line's help stay quick.
_HOMES = {
    "load": "ganvas.inference.open",
    "Upscaler": "ganvas.inference.picture.upscale",
    "SeedSampler": "ganvas.inference.seeds.sampler",
    "LabelPainter": "ganvas.inference.labels.painter",
    "ClipSampler": "ganvas.inference.clips.sampler",
    "Flyer": "ganvas.inference.cameras.flyer",
    "train": "ganvas.launch",
    "evaluate": "ganvas.evaluation.evaluate",
    "UserError": "ganvas.errors",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'ganvas' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
