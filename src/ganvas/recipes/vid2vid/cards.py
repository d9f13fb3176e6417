"""The cards of vid2vid's networks; the generator's tells what a sampler must know of its conditions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ganvas import settings
from ganvas.data.clips import Clips
from ganvas.networks.pix2pixhd.card import discriminator_card, encoder_card
from ganvas.protocol import Card
from ganvas.recipes.vid2vid.settings import Settings


class Conditions:
    """What the training data say of a frame's condition; the settings alone, before data are known."""

    def __init__(self, s: Settings, clips: Clips | None) -> None:
        self.num_labels = clips.num_labels if clips else s.num_labels
        self.channels = clips.channels_label if clips else s.num_labels
        self.has_labels = clips.has_labels if clips else True
        self.has_edges = clips is not None and clips.has_instances and clips.has_labels
        self.legend = clips.legend if clips else ()
        self.size_px = clips.size_px if clips else (0, 0)
        self.inputs = s.inputs if clips and clips.has_inputs else ""
        self.input_range = clips.input_range if clips else None
        things = tuple(label.id for label in self.legend if label.thing) if s.things_are_foreground else ()
        self.foreground = things or s.foreground
        """Labels that the foreground branch draws."""


def generator_card(s: Settings, conditions: Conditions) -> Card:
    """Return the card of the generator, with what a sampler must know of the conditions."""
    repaints = s.repaint_relabelled and conditions.has_labels
    network = {
        "channels_label": conditions.channels + s.instance_features, "frames": s.past_frames + 1, "width": s.width,
        "downs": s.downs, "blocks": s.blocks, "scales": s.scales, "norm": s.norm, "with_flow": s.with_flow,
        "foreground": list(conditions.foreground), "sampling": s.sampling, "mask_slope": s.mask_slope,
        "upsampling": s.upsampling, "repainted_classes": conditions.num_labels if repaints else 0,
    }  # fmt: skip
    height, width = conditions.size_px
    extra: dict[str, Any] = {
        "num_labels": conditions.num_labels,
        "edges": conditions.has_edges,
        "features": s.instance_features,
        "legend": [settings.to_json(label) for label in conditions.legend],
        # What the gathering of styles asks for.
        "encoder_shrinks": 1,
        "ignore": [255],
        "fit": "resize",
        "size_px": [width // s.shrink, height // s.shrink],
        "first_frame": "needed" if s.given_share == 1 else "optional" if s.given_share else "unused",
        "replaces": [name for name, use in (("flow", s.flow_use), ("mask", s.mask_use)) if use == "replace"],
    }
    if conditions.inputs:
        extra["inputs"] = conditions.inputs
    if conditions.input_range is not None:
        extra["input_range"] = conditions.input_range.note()
    return Card(
        network="vid2vid", settings=network, input="clip", range=(-1.0, 1.0), tiling="discouraged",
        multiple_of=2 ** (s.downs + s.scales - 1), channels_in=conditions.channels, recipe="vid2vid",
        purpose="video from label maps", data=s.data, extra=extra,
    )  # fmt: skip


def cards_of(s: Settings, conditions: Conditions) -> dict[str, Card]:
    """Return the cards of the generator, of the image and video discriminators, and of the encoder of styles."""

    def discriminator(channels_in: int) -> Card:
        card = discriminator_card(channels_in, s.discriminator_width, s.discriminator_scales)
        return replace(card, settings={**card.settings, "norm": s.norm})

    cards = {"generator": generator_card(s, conditions), "discriminator": discriminator(conditions.channels + 3)}
    if s.instance_features:
        cards["encoder"] = encoder_card(s.instance_features, s.encoder_width, s.downs)
    channels = 3 * s.clip_frames + (0 if s.flow_from == "none" else 2 * (s.clip_frames - 1))
    cards |= {f"clip_discriminator_{stride}": discriminator(channels) for stride in s.clip_strides}
    return {name: replace(card, recipe="vid2vid", data=s.data) for name, card in cards.items()}
