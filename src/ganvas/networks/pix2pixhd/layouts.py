"""pix2pixHD's weight files: generators with and without enhancers, discriminators with and without features, encoders.

The originals are `latest_net_G.pth`, `_D.pth` and `_E.pth`. Networks keep the original's tensor names, so only a
discriminator without features is renamed. A generator of CycleGAN without dropout has the same names and is read, too.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from ganvas.errors import UserError
from ganvas.networks.layouts import Layout, Recognised, Tensors, count, fitting, size
from ganvas.networks.pix2pixhd.card import STYLES, discriminator_card, encoder_card, generator_card
from ganvas.protocol import Card

CITYSCAPES_LABELS = 35


# Recognition


def _is_local(keys: Collection[str]) -> bool:
    return "model1_1.1.weight" in keys and "model1_2.0.conv_block.1.weight" in keys


def _is_global(keys: Collection[str]) -> bool:
    pattern = r"model\.\d+\.(conv_block\.[15]\.)?(weight|bias)"
    return any("conv_block" in key for key in keys) and all(re.fullmatch(pattern, key) for key in keys)


def _is_encoder(keys: Collection[str]) -> bool:
    return bool(keys) and any(
        f"{prefix}1.weight" in keys
        and all(re.fullmatch(re.escape(prefix) + r"\d+\.(weight|bias)", key) for key in keys)
        for prefix in ("model.", "")
    )


def _is_discriminator(keys: Collection[str]) -> bool:
    return "scale0_layer0.0.weight" in keys


def _is_featureless(keys: Collection[str]) -> bool:
    pattern = r"layer\d+\.\d+\.(weight|bias)"
    return "layer0.0.weight" in keys and all(re.fullmatch(pattern, key) for key in keys)


# Conversion


def _from_generator(tensors: Tensors) -> Recognised:
    enhancers = count(tensors, r"model\d+_1\.1\.weight")
    local_blocks = count(tensors, r"model1_2\.\d+\.conv_block\.1\.weight")
    blocks = count(tensors, r"model\.\d+\.conv_block\.1\.weight")
    # The entrance, then as many halvings as doublings, and, without enhancers, a head.
    plain = count(tensors, r"model\.\d+\.weight")
    downs = (plain - (1 if enhancers else 2)) // 2
    head = f"model{enhancers}_2.{local_blocks + 4}" if enhancers else f"model.{5 + 6 * downs + blocks}"
    inside = size(tensors, "model.1.weight", 0)
    settings: dict[str, Any] = {
        "channels_in": size(tensors, "model.1.weight", 1), "channels_out": size(tensors, f"{head}.weight", 0),
        "width": inside >> enhancers, "downs": downs, "blocks": blocks,
    }  # fmt: skip
    if enhancers:
        settings |= {"enhancers": enhancers, "local_blocks": local_blocks}
    num_labels, boundaries, features = _guess(settings["channels_in"])
    card = generator_card(num_labels, boundaries, features, **settings)
    return fitting(_with_assumption(card), tensors)


def _guess(channels_in: int) -> tuple[int, bool, int]:
    """Return labels, boundaries and features of a condition; the file tells only their sum.

    Few channels are a picture: gray, colour, or one of each with boundaries would be rarer than any label set.
    """
    if channels_in <= 4:
        return 0, False, 0
    features = STYLES if channels_in in (CITYSCAPES_LABELS + STYLES, CITYSCAPES_LABELS + 1 + STYLES) else 0
    # The original's 35 labels come more often without instances (its --no_instance) than 34 come with them.
    boundaries = channels_in - features != CITYSCAPES_LABELS
    return channels_in - boundaries - features, boundaries, features


def _with_assumption(card: Card) -> Card:
    extra = card.extra
    edges = "boundaries" if extra["boundaries"] else "no boundaries"
    assumed = f"{extra['num_labels']} labels, {edges}, {extra['features']} features"
    assumed = assumed if extra["num_labels"] else "a picture as the input"
    told = f"{assumed}: the file tells only that it takes {card.channels_in} channels"
    return replace(card, extra={**extra, "assumed": told})


def _from_encoder(tensors: Tensors) -> Recognised:
    named = {key if key.startswith("model.") else f"model.{key}": value for key, value in tensors.items()}
    downs = (count(named, r"model\.\d+\.weight") - 2) // 2
    settings = {
        "channels_in": size(named, "model.1.weight", 1), "width": size(named, "model.1.weight", 0), "downs": downs,
        "features": size(named, f"model.{5 + 6 * downs}.weight", 0),
    }  # fmt: skip
    return fitting(encoder_card(**settings), named)


def _from_featureless(tensors: Tensors) -> Recognised:
    renamed = {}
    for key, value in tensors.items():
        scale, place, part = key.split(".")
        # Convolution, slope; then convolution, norm, slope each: 0, 2, 5, 8 ...
        layer, rest = divmod(int(place) + 1, 3)
        if rest and place != "0":
            why = "It may have a norm with weights, which is no instance norm"
            raise UserError(f"it has a tensor too many: {key}", why)
        renamed[f"scale{scale.removeprefix('layer')}_layer{layer}.0.{part}"] = value
    return _from_discriminator(renamed)


def _from_discriminator(tensors: Tensors) -> Recognised:
    settings = {
        "channels_in": size(tensors, "scale0_layer0.0.weight", 1),
        "width": size(tensors, "scale0_layer0.0.weight", 0),
        "scales": count(tensors, r"scale\d+_layer0\.0\.weight"),
        "layers": count(tensors, r"scale0_layer\d+\.0\.weight") - 2,
    }  # fmt: skip
    return fitting(discriminator_card(**settings), tensors)


LAYOUTS: tuple[Layout, ...] = (
    Layout("pix2pixHD generator with local enhancers", _is_local, _from_generator),
    Layout("pix2pixHD global generator", _is_global, _from_generator),
    Layout("pix2pixHD discriminator", _is_discriminator, _from_discriminator),
    Layout("pix2pixHD discriminator without features", _is_featureless, _from_featureless),
    Layout("pix2pixHD encoder", _is_encoder, _from_encoder),
)
"""pix2pixHD's layouts."""
