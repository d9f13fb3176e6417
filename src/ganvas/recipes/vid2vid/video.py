"""The conditional video discriminators (section 3.2): clips of a few frames, some far apart in time, with flow."""

from __future__ import annotations

import torch
from torch import Tensor

from ganvas.losses.reconstruction import feature_matching
from ganvas.networks.vid2vid.net import FLOW_PX
from ganvas.protocol import Networks, Outputs
from ganvas.recipes.vid2vid.batch import Batch
from ganvas.recipes.vid2vid.schedule import strides_of
from ganvas.recipes.vid2vid.settings import Settings

Clip = tuple[int, Tensor, Tensor]
"""A stride, a real and a generated clip, (B, C, H, W): frames and flows behind one another."""


def discriminator_losses(s: Settings, nets: Networks, clips: list[Clip]) -> dict[str, Tensor]:
    """Return the loss of each video discriminator that has a clip to look at."""
    factor = s.gan_weight * s.discriminator_scales / 2
    losses = {}
    for stride, real, fake in clips:
        critic = nets[f"clip_discriminator_{stride}"]
        losses[f"clip{stride}"] = factor * s.adversarial.discriminator(critic(real), critic(fake))
    return losses


def generator_losses(s: Settings, nets: Networks, clips: list[Clip]) -> dict[str, Tensor]:
    """Return the generator's loss by each of them, feature matching included."""
    losses = {}
    for stride, real, fake in clips:
        critic = nets[f"clip_discriminator_{stride}"]
        with torch.no_grad():
            real_verdicts = critic(real)
        verdicts = critic(fake)
        fooled = s.gan_weight * s.discriminator_scales * s.adversarial.generator(real_verdicts, verdicts)
        losses[f"clip{stride}"] = fooled + s.matching_weight * feature_matching(verdicts, real_verdicts, "pix2pixhd")
    return losses


def shown(outputs: Outputs, history: Tensor | None) -> Tensor:
    """Return all generated frames that are at hand, oldest first: (B, F, 3, H, W)."""
    fake = outputs["fake"]
    return fake if history is None else torch.cat([history.to(fake.dtype), fake], 1)


def draw_clips(s: Settings, batch: Batch, length: int, frames: Tensor, random: torch.Generator) -> list[Clip]:
    """Return for each stride that has room a real and a generated clip that end at a frame of this chunk.

    Args:
        s: the settings.
        batch: the chunk.
        length: frames of a window.
        frames: the generated frames at hand, which end with the chunk's.
        random: what draws the last frame.
    """
    clips = []
    end = batch.made + batch.num_frames
    oldest = end - frames.shape[1]
    for stride in strides_of(s, length):
        span = (s.clip_frames - 1) * stride
        ends = [last for last in range(batch.made, end) if last - span >= oldest]
        if not ends:
            continue
        last = ends[int(torch.randint(len(ends), (), generator=random))]
        real, flows = batch.strided(last, stride, s.clip_frames)
        first = last - span - oldest
        fake = frames[:, first : first + span + 1 : stride]
        moves = [] if flows is None else [flows.flatten(1, 2) / FLOW_PX]
        clips.append((stride, *(torch.cat([part.flatten(1, 2), *moves], 1) for part in (real, fake))))
    return clips
