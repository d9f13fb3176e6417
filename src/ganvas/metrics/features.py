"""Feature extractors for set metrics: a network, its features, and exactly how pictures reach it.

`clean` and `legacy` are FID's Inception under its two resize conventions; only their scores bear the published names.
`efficientnet-lite2` is a classifier of ImageNet, the default where it has been fetched; `small` is the small classifier
that comes with Ganvas, `random` a network of fixed random weights: good for comparing results with each other on one
machine or many, and never called FID. Each extractor's preprocessing has a hash; numbers of different hashes are not
comparable.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas import networks
from ganvas.errors import UserError
from ganvas.networks.features import SmallFeatures
from ganvas.networks.inception.net import Inception2015
from ganvas.protocol import Card

SMALL_SIDE_PX = 128
RANDOM_SEED = 0


# How pictures reach the extractor


@dataclass(frozen=True)
class Preprocessing:
    """All that happens to a picture before its features are taken, and which network takes them."""

    network: str
    weights: str
    """SHA-256 of the weight file, or how the weights were drawn."""
    side_px: int
    resize: str
    rounding: str = "to 8 bits before the resize, none after it"
    channels: str = "RGB, gray repeated, alpha laid over mid-gray"
    pooled: str = "means over the picture"

    @property
    def hash(self) -> str:
        """Eight digits that differ where any of it differs."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:8]


def quantize(pictures: Tensor) -> Tensor:
    """Return pictures in [0, 1] as 8 bits would hold them: floats of a generator score unlike its files otherwise."""
    return (pictures.float().clamp(0, 1) * 255 + 0.5).floor() / 255


def resize_clean(pictures: Tensor, side_px: int) -> Tensor:
    """Return pictures at a square size by Pillow's antialiased bicubic in floats, clipped to [0, 1] and not rounded.

    (B, C, H, W) -> (B, C, side_px, side_px)

    Source: Parmar et al. 2022, "On aliased resizing and surprising subtleties in GAN evaluation".
    """
    size = (side_px, side_px)
    if pictures.shape[-2:] == size:
        return pictures
    return F.interpolate(pictures, size=size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)


def resize_legacy(pictures: Tensor, side_px: int) -> Tensor:
    """Return pictures at a square size as TensorFlow 1 does: bilinear, corner to corner, no antialiasing.

    (B, C, H, W) -> (B, C, side_px, side_px)

    Pixel i of the result looks at i H / side_px, without the half pixel that others add; what the first FID did.
    """
    rows, columns = (_legacy_matrix(size, side_px).to(pictures) for size in pictures.shape[-2:])
    return torch.einsum("ih,bchw,jw->bcij", rows, pictures, columns)


def _legacy_matrix(num_in: int, num_out: int) -> Tensor:
    places = torch.arange(num_out, dtype=torch.float64) * (num_in / num_out)
    lower = places.floor().long()
    upper = (lower + 1).clamp(max=num_in - 1)
    share = (places - lower)[:, None]
    return F.one_hot(lower, num_in) * (1 - share) + F.one_hot(upper, num_in) * share


RESIZES: dict[str, Callable[[Tensor, int], Tensor]] = {"clean": resize_clean, "legacy": resize_legacy}


# The extractors


@dataclass(frozen=True)
class Extractor:
    """A network that looks at pictures, and how they reach it."""

    name: str
    network: nn.Module
    preprocessing: Preprocessing
    trust: str
    """One sentence on what its numbers are worth."""

    @property
    def is_published(self) -> bool:
        """Whether its scores may bear the published names: FID, KID, Inception score."""
        return self.name in ("clean", "legacy")

    @torch.no_grad()
    def features(self, pictures: Tensor) -> Tensor:
        """Return what it sees in pictures (B, 3, H, W) in [0, 1]: (B, D) float32 on the CPU."""
        resized = RESIZES[self.preprocessing.resize](quantize(pictures), self.preprocessing.side_px)
        seen = self.network(resized)
        if isinstance(seen, dict):
            seen = torch.cat([activation.mean(dim=(2, 3)) for activation in seen.values()], dim=1)
        return seen.float().cpu()

    def probabilities(self, features: Tensor) -> Tensor:
        """Return the probabilities of its answers to features: (B, D) -> (B, answers), float64.

        Raises:
            UserError: this extractor gives no published answers.
        """
        if not isinstance(self.network, Inception2015):
            raise UserError(f"The extractor {self.name} gives no Inception score", do="Ask for inception_score_clean")
        return self.network.logits(features.to(self.network.fc.weight.device)).double().softmax(1).cpu()


def random_extractor(device: str | torch.device = "cpu") -> Extractor:
    """Return the extractor of fixed random weights, which needs no file."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        card = Card(network="small_features", settings={"width": 16, "layers": [f"relu{n}_2" for n in range(1, 5)]})
        network = networks.build(card)
    assert isinstance(network, SmallFeatures)
    drawn = hashlib.sha256(b"".join(value.numpy().tobytes() for value in network.state_dict().values())).hexdigest()
    preprocessing = Preprocessing("small_features", f"seed {RANDOM_SEED}: {drawn}", SMALL_SIDE_PX, "clean")
    trust = "Features of a network of random weights. Not FID"
    return Extractor("random", network.eval().requires_grad_(False).to(device), preprocessing, trust)
