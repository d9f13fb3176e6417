"""The conditional image discriminator (section 3.2): single frames with their labels, and what frames should look like.

Where there is a flow the discriminator sees two pictures of each frame, the blended and the hallucinated one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ganvas.losses.reconstruction import feature_matching, l1, perceptual
from ganvas.protocol import Networks, Outputs
from ganvas.recipes import features
from ganvas.recipes.vid2vid.batch import Batch
from ganvas.recipes.vid2vid.settings import Settings
from ganvas.values import to_unit


def discriminator_loss(s: Settings, nets: Networks, batch: Batch, outputs: Outputs, random: torch.Generator) -> Tensor:
    """Return the loss of the image discriminator: the mean of its two halves, summed over the scales."""
    labels, real, fakes = _drawn(s, batch, outputs, random)
    real_verdicts = nets.discriminator(torch.cat([labels, real], 1))
    fake_verdicts = [nets.discriminator(torch.cat([labels, fake], 1)) for fake in fakes]
    losses = [s.adversarial.discriminator(real_verdicts, verdicts) for verdicts in fake_verdicts]
    return s.gan_weight * s.discriminator_scales / 2 * torch.stack(losses).mean()


def generator_losses(
    s: Settings, nets: Networks, batch: Batch, outputs: Outputs, random: torch.Generator
) -> dict[str, Tensor]:
    """Return the generator's losses of single frames: adversarial, feature matching, pixels, fixed features."""
    labels, real, fakes = _drawn(s, batch, outputs, random)
    with torch.no_grad():
        real_verdicts = nets.discriminator(torch.cat([labels, real], 1))
    verdicts = [nets.discriminator(torch.cat([labels, fake], 1)) for fake in fakes]
    fooled = [s.adversarial.generator(real_verdicts, verdict) for verdict in verdicts]
    matched = [feature_matching(verdict, real_verdicts, "pix2pixhd") for verdict in verdicts]
    # One picture that stands for both counts twice.
    kinds = 2 if s.with_flow else 1
    losses = {
        "image": kinds * s.gan_weight * s.discriminator_scales * torch.stack(fooled).mean(),
        "matching": kinds * s.matching_weight * torch.stack(matched).mean(),
    }
    everything = [outputs[name].flatten(0, 1) for name in _kinds(s, outputs)]
    target = batch.target.flatten(0, 1)
    if s.pixel_weight:
        losses["pixel"] = kinds * s.pixel_weight * torch.stack([l1(fake, target) for fake in everything]).mean()
    if "features" in nets:
        distances = _perceptual(s, nets, everything, target)
        losses["perceptual"] = kinds * s.perceptual_weight * torch.stack(distances).mean()
    return losses


def _perceptual(s: Settings, nets: Networks, fakes: list[Tensor], target: Tensor) -> list[Tensor]:
    last = len(s.perceptual_layers) - 1
    own = {name: 2.0 ** (place - last) for place, name in enumerate(s.perceptual_layers)}
    weights = features.weights_of(nets.features, own)
    with torch.no_grad():
        wanted = nets.features(to_unit(target))
    return [perceptual(nets.features(to_unit(fake.float())), wanted, weights) for fake in fakes]


def _kinds(s: Settings, outputs: Outputs) -> tuple[str, ...]:
    """Return which pictures the discriminator sees: where nothing came before, both are one."""
    has_blended = s.with_flow and bool(outputs["has_before"].any())
    return ("fake", "raw") if has_blended else ("fake",)


def _drawn(s: Settings, batch: Batch, outputs: Outputs, random: torch.Generator) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Return labels, real and generated pictures of one frame of each sample, drawn at random, or of all frames."""
    planes = [batch.labels, batch.target, *(outputs[name] for name in _kinds(s, outputs))]
    if s.image_frames == "one":
        drawn = torch.randint(batch.num_frames, (len(batch.labels),), generator=random).tolist()
        picked = [torch.stack([plane[b, t] for b, t in enumerate(drawn)]) for plane in planes]
    else:
        picked = [plane.flatten(0, 1) for plane in planes]
    return picked[0], picked[1], picked[2:]
