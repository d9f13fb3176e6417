"""A recipe of your own: sharpen blurred photographs.

ganvas train examples/deblur.py --data ~/photos --out runs/deblur
ganvas upscale blurred.jpg --model runs/deblur --out sharp.png
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ganvas.data.degrade import bell_kernel, blur
from ganvas.data.pictures import Pictures
from ganvas.networks import build
from ganvas.protocol import Card, Ledger, Networks, Optimizer, Recipe, Stage, Turn
from ganvas.settings import Training


@dataclass(frozen=True, kw_only=True)
class Settings(Training):
    """The settings of the deblurring recipe."""

    steps: int = 2000
    """Optimiser steps."""
    crop_px: int = 96
    """Side of the crops."""
    sigma_px: float = 1.5
    """Width of the blur that is to be undone."""


class Deblur(Recipe):
    """A compact network at scale 1 that learns to undo a Gaussian blur."""

    Settings = Settings
    PRESETS = {"preview": Settings(batch_size=8)}

    def __init__(self, settings):
        self.settings = settings

    def stages(self):
        turn = Turn(side="generator", trains=("generator",))
        rate = Optimizer(rate=1e-3, schedule="cosine")
        return [Stage(name="pixel", steps=self.settings.steps, turns=(turn,), optimizers={"generator": rate})]

    def networks(self):
        return Networks(generator=build(self.card()))

    def source(self, path):
        return Pictures(path, crop_px=self.settings.crop_px)

    def batch(self, raw, context):
        kernel = bell_kernel(13, (self.settings.sigma_px, self.settings.sigma_px)).float()
        return {"sharp": raw["high"], "blurred": blur(raw["high"], kernel.to(context.device))}

    def forward(self, nets, batch, carry, context):
        return {"fake": nets.generator(batch["blurred"])}, carry

    def discriminator_losses(self, nets, batch, outputs, carry, context):
        return Ledger()  # no turn asks for it

    def generator_losses(self, nets, batch, outputs, carry, context):
        return Ledger({"pixel": F.l1_loss(outputs["fake"].float(), batch["sharp"])})

    def sample(self, nets, batch, context):
        return torch.cat([batch["blurred"], nets.generator(batch["blurred"]).float(), batch["sharp"]], dim=-1)

    def card(self):
        settings = {"width": 16, "convs": 4, "scale": 1, "base": "bicubic"}
        return Card(network="compact", settings=settings, scale=1, halo_px=6, exact_halo_px=6, purpose="deblurring")
