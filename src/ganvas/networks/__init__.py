"""Networks: nn.Modules that know no device, path, file or loss. `build` makes one from its card."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping

import torch
from torch import nn

from ganvas.errors import UserError, did_you_mean
from ganvas.networks import blueprint
from ganvas.protocol import Card

MOST = 1 << 24
"""No whole number among a network's settings exceeds this."""
MOST_OF: Mapping[str, int] = dict.fromkeys(("downs", "layers", "scales", "enhancers"), 1 << 10)
"""Nor these, each of which doubles a width or a size: powers of two of a million digits take their time."""

NETWORKS = {
    "rrdbnet": "ganvas.networks.rrdb.net:RRDBNet",
    "compact": "ganvas.networks.rrdb.net:CompactNet",
    "srresnet": "ganvas.networks.rrdb.net:SRResNet",
    "span": "ganvas.networks.span.net:SPAN",
    "vgg_discriminator": "ganvas.networks.discriminators:VGGDiscriminator",
    "unet_discriminator": "ganvas.networks.discriminators:UNetDiscriminator",
    "patch_discriminator": "ganvas.networks.discriminators:PatchDiscriminator",
    "multi_scale_discriminator": "ganvas.networks.discriminators:MultiScaleDiscriminator",
    "dcgan_discriminator": "ganvas.networks.discriminators:DCGANDiscriminator",
    "dcgan_generator": "ganvas.networks.decoders:DCGANGenerator",
    "pix2pixhd_global": "ganvas.networks.pix2pixhd.net:GlobalGenerator",
    "pix2pixhd_local": "ganvas.networks.pix2pixhd.net:LocalEnhancer",
    "pix2pixhd_heads": "ganvas.networks.pix2pixhd.net:CoarseHeads",
    "pix2pixhd_encoder": "ganvas.networks.pix2pixhd.net:InstanceFeatureEncoder",
    "super_resolving_unet": "ganvas.networks.unet:SuperResolvingUNet",
    "jnet": "ganvas.networks.upres:JNet",
    "low_conditioned_discriminator": "ganvas.networks.upres:LowConditionedDiscriminator",
    "camera_generator": "ganvas.networks.matchmove.net:CameraGenerator",
    "camera_discriminator": "ganvas.networks.matchmove.net:CameraDiscriminator",
    "vid2vid": "ganvas.networks.vid2vid.net:Vid2Vid",
    "vid2vid_local": "ganvas.networks.vid2vid.net:LocalGenerator",
    "biggan_generator": "ganvas.networks.biggan.net:BigGANGenerator",
    "biggan_discriminator": "ganvas.networks.biggan.net:BigGANDiscriminator",
    "biggan_deep_generator": "ganvas.networks.biggan.deep:BigGANDeepGenerator",
    "biggan_deep_discriminator": "ganvas.networks.biggan.deep:BigGANDeepDiscriminator",
    "vgg16": "ganvas.networks.backbones:VGG16",
    "vgg19": "ganvas.networks.features:VGG19",
    "efficientnet_lite": "ganvas.networks.efficientnet:EfficientNetLite",
    "small_features": "ganvas.networks.features:SmallFeatures",
    "inception2015": "ganvas.networks.inception.net:Inception2015",
}
"""Every network that a card may name, as `module:Class`."""


def find(name: str) -> type[nn.Module]:
    """Return the class of a network by the name that cards use.

    Raises:
        UserError: no network has that name.
    """
    if name not in NETWORKS:
        raise UserError(f"No network is called {name!r}", do=did_you_mean(name, NETWORKS))
    module, _, attribute = NETWORKS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def build(card: Card) -> nn.Module:
    """Return the network that a card describes, freshly initialised.

    Raises:
        UserError: the network or one of its settings is unknown.
    """
    network = find(card.network)
    known = inspect.signature(network).parameters
    for key, value in card.settings.items():
        if key not in known:
            raise UserError(f"{card.network} has no setting {key!r}", do=did_you_mean(key, known))
        most = MOST_OF.get(key, MOST)
        if isinstance(value, int) and abs(value) > most:
            raise UserError(f"{card.network} cannot have {key} {value}", f"This is at most {most} in a network")
    try:
        return network(**card.settings)
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        why = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason is given'}"
        raise UserError(f"No {card.network} has the settings {settings_text(card)}", why) from error


def settings_text(card: Card) -> str:
    """Return a card's settings as a short text."""
    text = ", ".join(f"{key}={value!r}" for key, value in card.settings.items())
    return text if len(text) <= 200 else text[:200] + " ..."


def require_fit(card: Card, shapes: Mapping[str, tuple[int, ...]], where: str) -> None:
    """Check that tensors of these shapes fill the network of a card, without building it.

    Raises:
        UserError: the card names no network, its settings make none, or the tensors are another network's.
    """
    try:
        wanted = blueprint.shapes_of(lambda: {"": build(card)}, len(shapes))[""]
    except blueprint.TooManyLayers as error:
        what = f"{where} and the network of their card do not fit together"
        raise UserError(what, f"The card's network has many more layers than the {len(shapes)} tensors fill") from error
    except UserError as error:
        raise UserError(f"The card of {where} makes no network", error.what, error.do or error.why) from error
    blueprint.require_fit(wanted, shapes, where)
