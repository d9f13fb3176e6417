"""Networks of other projects, by the package spandrel: more than forty architectures, known by their tensors' names."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.errors import UserError
from ganvas.protocol import Card
from ganvas.values import LUMA

EXTRA = "pip install 'ganvas[spandrel]'"


class Unsupported(Exception):
    """spandrel does not know these tensors either."""


def is_installed() -> bool:
    """Return whether spandrel is there, without importing it."""
    return importlib.util.find_spec("spandrel") is not None


def by_spandrel(tensors: Mapping[str, Tensor]) -> tuple[nn.Module, Card]:
    """Return the network that a state dict belongs to, filled, in eval mode, and its card.

    (B, 3, H, W) -> (B, 3, scale H, scale W)

    The tensors are handed over as they are: no file is opened and nothing is unpickled here. A network of one channel
    is run on the luma.

    Raises:
        Unsupported: spandrel knows no such network.
        UserError: spandrel is not installed or cannot be imported, or the network enlarges no pictures.
    """
    spandrel = _spandrel()
    try:
        found: Any = spandrel.ModelLoader().load_from_state_dict(dict(tensors))
    except spandrel.UnsupportedModelError as error:
        raise Unsupported(str(error)) from error
    except (KeyError, RuntimeError, ValueError, AssertionError) as error:
        raise UserError("spandrel cannot build this network", " ".join(str(error).split())[:200]) from error
    name, size = str(found.architecture.name), found.size_requirements
    channels = (found.input_channels, found.output_channels)
    if channels not in ((1, 1), (3, 3)) or size.square:
        why = f"{name} takes {channels[0]} channels and gives {channels[1]}" + (", squares only" * size.square)
        raise UserError("This network enlarges no pictures", why)
    tiling: Any = {"SUPPORTED": "supported", "DISCOURAGED": "discouraged", "INTERNAL": "internal"}[found.tiling.name]
    card = Card(
        network=f"spandrel:{name}", scale=int(found.scale), multiple_of=max(1, int(size.multiple_of)),
        minimum_px=max(1, int(size.minimum)), tiling=tiling, purpose=f"{name} x{found.scale}, another project's",
        origin=f"{name}, built by spandrel",
    )  # fmt: skip
    network = found.model.eval().requires_grad_(False)
    return (OnLuma(network, int(found.scale)) if channels == (1, 1) else network), card


def _spandrel() -> Any:
    try:
        return importlib.import_module("spandrel")
    except ModuleNotFoundError as error:
        if error.name == "spandrel":
            raise UserError("This network needs the extra 'spandrel'", "It is not one of Ganvas' own", EXTRA) from error
        raise _broken(error) from error
    except Exception as error:  # torchvision beside another build of torch raises whatever it likes
        raise _broken(error) from error


def _broken(error: Exception) -> UserError:
    why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    do = "spandrel imports torchvision: install the torchvision made for your torch (pytorch.org tells which)"
    return UserError("spandrel is installed and cannot be imported", why, do)


class OnLuma(nn.Module):
    """A network of one channel, run on the luma of a colour picture; the colours are enlarged bicubically.

    (B, 3, H, W) -> (B, 3, scale H, scale W)

    Luma and colour differences are BT.601's over the full range, so a gray picture stays gray.
    """

    def __init__(self, network: nn.Module, scale: int) -> None:
        super().__init__()
        self.network, self.scale = network, scale

    def forward(self, low: Tensor) -> Tensor:
        luma = sum(weight * low[:, place : place + 1] for place, weight in enumerate(LUMA))
        assert isinstance(luma, Tensor)
        colour = low - luma
        high = self.network(luma)
        if self.scale > 1:
            colour = F.interpolate(colour, scale_factor=self.scale, mode="bicubic", align_corners=False)
        return high + torch.as_tensor(colour, dtype=high.dtype)
