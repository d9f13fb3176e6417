"""The cards of pix2pixHD's networks, and what a user says of a generator whose file does not tell it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ganvas.errors import UserError
from ganvas.protocol import Card

STYLES = 3
"""Numbers of a style, where a published generator takes such."""
RANGE = (-1.0, 1.0)


def generator_card(
    num_labels: int,
    boundaries: bool = True,
    features: int = 0,
    channels_in: int = 0,
    width: int = 64,
    downs: int = 4,
    blocks: int = 9,
    enhancers: int = 0,
    local_blocks: int = 3,
    channels_out: int = 3,
    upsampling: str = "transposed",
) -> Card:
    """Return the card of a generator: `global` without enhancers, otherwise `local`.

    Args:
        num_labels: classes of the label map; 0 for a generator that takes a picture.
        boundaries: whether the boundaries of the instances are one more channel of the condition.
        features: channels of an encoder's features in the condition.
        channels_in: channels of the condition; 0 counts them.
        width: channels of the finest maps.
        upsampling: `transposed`, as all published files, `resize` or `smooth`.
    """
    settings: dict[str, Any] = {
        "channels_in": channels_in or (num_labels or 3) + boundaries + features,
        "channels_out": channels_out, "width": width, "downs": downs, "blocks": blocks,
        "upsampling": upsampling,
    }  # fmt: skip
    if enhancers:
        settings |= {"enhancers": enhancers, "local_blocks": local_blocks}
    return Card(
        network="pix2pixhd_local" if enhancers else "pix2pixhd_global",
        settings=settings,
        input="labels" if num_labels else "picture",
        range=RANGE,
        channels_in=settings["channels_in"],
        channels_out=channels_out,
        multiple_of=2 ** (downs + enhancers),
        # Instance norm takes its statistics over the whole picture: a tile by itself comes out in other colours.
        tiling="internal",
        extra={"num_labels": num_labels, "boundaries": boundaries, "features": features},
    )


def encoder_card(features: int = 3, width: int = 16, downs: int = 4, channels_in: int = 3) -> Card:
    """Return the card of an instance-feature encoder."""
    settings = {"channels_in": channels_in, "features": features, "width": width, "downs": downs}
    return Card(
        network="pix2pixhd_encoder", settings=settings, input="other", range=RANGE, channels_in=channels_in,
        channels_out=features, multiple_of=2**downs, tiling="internal",
    )  # fmt: skip


def discriminator_card(channels_in: int = 39, width: int = 64, scales: int = 2, layers: int = 3) -> Card:
    """Return the card of a multi-scale discriminator, which sees condition and picture together."""
    settings = {"channels_in": channels_in, "width": width, "scales": scales, "layers": layers}
    return Card(
        network="multi_scale_discriminator", settings=settings, input="other", range=RANGE, channels_in=channels_in,
        channels_out=1, tiling="internal",
    )  # fmt: skip


def assume(card: Card, num_labels: int = 0, no_boundaries: bool = False) -> Card:
    """Return the card of a generator whose file does not tell what its channels are, with what the user knows of them.

    Args:
        card: of a generator from label maps.
        num_labels: its classes; 0 leaves what the card says.
        no_boundaries: it was trained without instance maps.

    Raises:
        UserError: that does not add up to the channels that the generator takes, or contradicts what its file says.
    """
    extra = card.extra
    if not (num_labels or no_boundaries):
        return card
    if "assumed" not in extra:
        if num_labels in (0, extra["num_labels"]) and (not no_boundaries or not extra["boundaries"]):
            return card
        why = f"Its card says {extra['num_labels']} labels{', boundaries' if extra['boundaries'] else ''}"
        raise UserError("This generator tells itself what it takes", why, "Leave --num-labels and --no-boundaries out")
    features = int(extra["features"])
    if num_labels:
        left = card.channels_in - num_labels
        choices = {0: (False, 0), 1: (True, 0), STYLES: (False, STYLES), STYLES + 1: (True, STYLES)}
        boundaries, features = choices.get(left, (False, -1))
        wrong = features < 0 or (no_boundaries and boundaries)
    else:
        boundaries, num_labels = False, card.channels_in - features
        wrong = num_labels < 1
    if wrong:
        why = f"It takes {card.channels_in} channels: labels, one more for boundaries, {STYLES} more for styles"
        do = f"Of {card.channels_in} channels: --num-labels {card.channels_in} --no-boundaries, or "
        raise UserError(f"{num_labels} labels do not fit this generator", why, f"{do}{card.channels_in - 1} with them")
    changed = {**extra, "num_labels": num_labels, "boundaries": boundaries, "features": features}
    changed.pop("assumed")
    return replace(card, input="labels", extra=changed)
