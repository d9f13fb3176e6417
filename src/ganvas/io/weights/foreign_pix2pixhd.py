"""pix2pixHD's weight files: generators with and without enhancers, discriminators with and without features, encoders.

The originals are `latest_net_G.pth`, `_D.pth` and `_E.pth`. Networks keep the original's tensor names, so only a
discriminator without features is renamed. A generator of CycleGAN without dropout has the same names and is read, too.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from ganvas.errors import UserError
from ganvas.io.weights.layouts import Layout, Recognised, Shapes, Tensors
from ganvas.protocol import Card

CITYSCAPES_LABELS = 35
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
        upsampling: `transposed`, as all published files, or `resize`.
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
    enhancers = _count(tensors, r"model\d+_1\.1\.weight")
    local_blocks = _count(tensors, r"model1_2\.\d+\.conv_block\.1\.weight")
    blocks = _count(tensors, r"model\.\d+\.conv_block\.1\.weight")
    # The entrance, then as many halvings as doublings, and, without enhancers, a head.
    plain = _count(tensors, r"model\.\d+\.weight")
    downs = (plain - (1 if enhancers else 2)) // 2
    head = f"model{enhancers}_2.{local_blocks + 4}" if enhancers else f"model.{5 + 6 * downs + blocks}"
    inside = _size(tensors, "model.1.weight", 0)
    settings: dict[str, Any] = {
        "channels_in": _size(tensors, "model.1.weight", 1), "channels_out": _size(tensors, f"{head}.weight", 0),
        "width": inside >> enhancers, "downs": downs, "blocks": blocks,
    }  # fmt: skip
    if enhancers:
        settings |= {"enhancers": enhancers, "local_blocks": local_blocks}
    _check(tensors, generator_shapes(**settings))
    num_labels, boundaries, features = _guess(settings["channels_in"])
    card = generator_card(num_labels, boundaries, features, **settings)
    return Recognised(_with_assumption(card), dict(tensors))


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


def _from_encoder(tensors: Tensors) -> Recognised:
    named = {key if key.startswith("model.") else f"model.{key}": value for key, value in tensors.items()}
    downs = (_count(named, r"model\.\d+\.weight") - 2) // 2
    settings = {
        "channels_in": _size(named, "model.1.weight", 1), "width": _size(named, "model.1.weight", 0), "downs": downs,
        "features": _size(named, f"model.{5 + 6 * downs}.weight", 0),
    }  # fmt: skip
    channels = {"channels_in": settings["channels_in"], "channels_out": settings["features"]}
    _check(named, generator_shapes(**channels, width=settings["width"], downs=downs, blocks=0))
    return Recognised(encoder_card(**settings), named)


def _from_featureless(tensors: Tensors) -> Recognised:
    renamed = {}
    for key, value in tensors.items():
        scale, place, part = key.split(".")
        # Convolution, slope; then convolution, norm, slope each: 0, 2, 5, 8 ...
        layer, rest = divmod(int(place) + 1, 3)
        if rest and place != "0":
            raise UserError(
                f"it has a tensor too many: {key}", "It may have a norm with weights, which is no instance norm"
            )
        renamed[f"scale{scale.removeprefix('layer')}_layer{layer}.0.{part}"] = value
    return _from_discriminator(renamed)


def _from_discriminator(tensors: Tensors) -> Recognised:
    settings = {
        "channels_in": _size(tensors, "scale0_layer0.0.weight", 1),
        "width": _size(tensors, "scale0_layer0.0.weight", 0),
        "scales": _count(tensors, r"scale\d+_layer0\.0\.weight"),
        "layers": _count(tensors, r"scale0_layer\d+\.0\.weight") - 2,
    }  # fmt: skip
    _check(tensors, discriminator_shapes(**settings))
    return Recognised(discriminator_card(**settings), dict(tensors))


def _count(tensors: Tensors, pattern: str) -> int:
    return sum(re.fullmatch(pattern, key) is not None for key in tensors)


def _size(tensors: Tensors, key: str, axis: int) -> int:
    if key not in tensors or tensors[key].ndim != 4:
        raise UserError(f"it lacks the convolution {key}")
    return tensors[key].shape[axis]


def _check(tensors: Tensors, shapes: Shapes) -> None:
    for key, shape in shapes.items():
        if key not in tensors:
            raise UserError(f"it lacks the tensor {key}", "It may be cut down or belong to a variant of this network")
        if tuple(tensors[key].shape) != shape:
            found = f"{key} is {list(tensors[key].shape)} where {list(shape)} was expected"
            raise UserError("its shapes do not fit together", found)
    for key in tensors:
        if key not in shapes:
            raise UserError(
                f"it has a tensor too many: {key}", "It may be a variant of this network that is not supported"
            )


# Shapes


def generator_shapes(
    channels_in: int, channels_out: int, width: int, downs: int, blocks: int, enhancers: int = 0, local_blocks: int = 0
) -> Shapes:
    """Return the shapes of a generator's tensors by name."""
    shapes: Shapes = {}
    inside = width << enhancers
    _add(shapes, "model.1", inside, channels_in, 7)
    for level in range(downs):
        _add(shapes, f"model.{4 + 3 * level}", inside << level + 1, inside << level, 3)
    place = 4 + 3 * downs
    for number in range(blocks):
        _add_block(shapes, f"model.{place + number}", inside << downs)
    place += blocks
    for level in reversed(range(downs)):
        _add_doubling(shapes, f"model.{place}", inside << level)
        place += 3
    if not enhancers:
        _add(shapes, f"model.{place + 1}", channels_out, inside, 7)
    for number in range(1, enhancers + 1):
        fine = width << (enhancers - number)
        _add(shapes, f"model{number}_1.1", fine, channels_in, 7)
        _add(shapes, f"model{number}_1.4", 2 * fine, fine, 3)
        for block in range(local_blocks):
            _add_block(shapes, f"model{number}_2.{block}", 2 * fine)
        _add_doubling(shapes, f"model{number}_2.{local_blocks}", fine)
    if enhancers:
        _add(shapes, f"model{enhancers}_2.{local_blocks + 4}", channels_out, width, 7)
    return shapes


def discriminator_shapes(channels_in: int, width: int, scales: int, layers: int) -> Shapes:
    """Return the shapes of a discriminator's tensors by name: maps widen to at most eight times the first."""
    shapes: Shapes = {}
    widths = [channels_in, *(width * min(2**layer, 8) for layer in range(layers + 1)), 1]
    for scale in range(scales):
        for layer, (wide, out) in enumerate(itertools.pairwise(widths)):
            _add(shapes, f"scale{scale}_layer{layer}.0", out, wide, 4)
    return shapes


def _add(shapes: Shapes, name: str, num_out: int, num_in: int, kernel: int) -> None:
    shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (num_out, num_in, kernel, kernel), (num_out,)


def _add_doubling(shapes: Shapes, name: str, num_out: int) -> None:
    # A transposed convolution's weight has its input channels first.
    shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (2 * num_out, num_out, 3, 3), (num_out,)


def _add_block(shapes: Shapes, name: str, channels: int) -> None:
    for conv in (1, 5):
        _add(shapes, f"{name}.conv_block.{conv}", channels, channels, 3)


LAYOUTS: tuple[Layout, ...] = (
    Layout("pix2pixHD generator with local enhancers", _is_local, _from_generator),
    Layout("pix2pixHD global generator", _is_global, _from_generator),
    Layout("pix2pixHD discriminator", _is_discriminator, _from_discriminator),
    Layout("pix2pixHD discriminator without features", _is_featureless, _from_featureless),
    Layout("pix2pixHD encoder", _is_encoder, _from_encoder),
)
"""pix2pixHD's layouts."""
