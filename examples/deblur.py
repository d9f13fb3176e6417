"""A recipe of your own: sharpen blurred photographs.

ganvas train examples/deblur.py --data ~/photos --out runs/deblur
ganvas upscale blurred.jpg --model runs/deblur --out sharp.png
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ganvas.data.degrade import bell_kernel, blur
from ganvas.data.pictures import Pictures
from ganvas.losses.adversarial import AdversarialLoss
from ganvas.metrics.paired import psnr
from ganvas.protocol import Card, Ledger, Optimizer, Recipe, Stage, Turn
from ganvas.settings import Training


@dataclass(frozen=True, kw_only=True)
class Settings(Training):
    """The settings of the deblurring recipe."""

    steps: int = 2000
    """Optimiser steps of both networks."""
    crop_px: int = 96
    """Side of the crops."""
    sigma_px: float = 1.5
    """Width of the blur that is to be undone."""
    gan_weight: float = 0.01
    """Weight of the adversarial loss beside L1."""
    adversarial: AdversarialLoss = AdversarialLoss(base="hinge")
    """Base and pairing of the adversarial loss."""


class Deblur(Recipe):
    """A compact network at scale 1 that learns to undo a Gaussian blur, and a discriminator that wants it sharp."""

    Settings = Settings
    PRESETS = {"preview": Settings(batch_size=8)}

    # Data

    def source(self, path):
        return Pictures(path, crop_px=self.settings.crop_px)

    def batch(self, raw, context):
        return {"sharp": raw["high"], "blurred": self.blurred(raw["high"])}

    def blurred(self, pictures):
        kernel = bell_kernel(13, (self.settings.sigma_px, self.settings.sigma_px)).float()
        return blur(pictures, kernel.to(pictures.device))

    # What is trained

    def stages(self):
        turns = (Turn(side="discriminator", trains=("discriminator",)), Turn(side="generator", trains=("generator",)))
        rates = {"generator": Optimizer(rate=1e-3, schedule="cosine"), "discriminator": Optimizer(rate=2e-4)}
        return [Stage(name="gan", steps=self.settings.steps, turns=turns, optimizers=rates)]

    def card(self):
        settings = {"width": 16, "convs": 4, "scale": 1, "base": "bicubic"}
        return Card(network="compact", settings=settings, scale=1, halo_px=6, exact_halo_px=6, purpose="deblurring")

    def cards(self):
        # A relativistic loss gives the last bias no gradient; Adam would turn rounding noise into drift.
        settings = {"width": 16, "grid": "34px", "last_bias": not self.settings.adversarial.is_shift_invariant}
        return {"generator": self.card(), "discriminator": Card(network="patch_discriminator", settings=settings)}

    # One step

    def forward(self, nets, batch, carry, context):
        return {"fake": nets.generator(batch["blurred"]).float()}, carry

    def discriminator_losses(self, nets, batch, outputs, carry, context):
        real, fake = nets.discriminator(batch["sharp"]), nets.discriminator(outputs["fake"])
        return Ledger({"gan": self.settings.adversarial.discriminator(real, fake)})

    def generator_losses(self, nets, batch, outputs, carry, context):
        real, fake = nets.discriminator(batch["sharp"]), nets.discriminator(outputs["fake"])
        gan = self.settings.gan_weight * self.settings.adversarial.generator(real, fake)
        return Ledger({"pixel": F.l1_loss(outputs["fake"], batch["sharp"]), "gan": gan})

    # What is shown

    def sample(self, nets, batch, context):
        return torch.cat([batch["blurred"], nets.generator(batch["blurred"]).float(), batch["sharp"]], dim=-1)

    def score(self, nets, source, context):
        pictures = source.one_each()
        sharp = [pictures.whole(index)["high"][None].to(context.device) for index in range(min(8, len(pictures)))]
        scores = [psnr(nets.generator(self.blurred(picture)).clamp(0, 1), picture) for picture in sharp]
        return {"psnr": float(torch.stack(scores).mean())}
