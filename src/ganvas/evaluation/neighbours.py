"""Is it memory? Each sample beside the training pictures nearest to it, and how near that is for pictures held out.

A generator that has learnt pictures by heart makes samples that lie nearer to training pictures than other real
pictures do. Distances are taken between pixels of thumbnails, and between features of a small classifier.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.data.classes import ClassPictures
from ganvas.data.squares import Squares
from ganvas.errors import UserError
from ganvas.evaluation.extractors import open_extractor
from ganvas.inference.result import Progress
from ganvas.inference.seeds.sampler import SeedSampler, Truncation
from ganvas.io.pictures.sheets import contact_sheet
from ganvas.metrics.features import Extractor

THUMBNAIL_PX = 16
FEATURES_PX = 64
HELD_OUT = 0.1
"""Share of the data set apart to compare with."""
NEAR = 0.05
"""Nearer than this share of the held-out pictures is suspicious."""
CHUNK = 64


@dataclass(frozen=True)
class Nearness:
    """How near samples and held-out pictures lie to the training pictures, in one space."""

    samples: Tensor
    """Distance of each sample to its nearest training picture: (N,)."""
    held_out: Tensor
    """Likewise of pictures that are not among them: (M,)."""

    @property
    def ratio(self) -> float:
        """Median distance of samples over that of held-out pictures: 1 for new pictures, near 0 for copies."""
        return float(self.samples.median() / self.held_out.median().clamp_min(1e-12))

    @property
    def suspicious(self) -> float:
        """Share of samples nearer than all but 5 % of the held-out pictures; about 0.05 for new pictures."""
        return float((self.samples < self.held_out.quantile(NEAR)).double().mean())


@dataclass(frozen=True)
class Found:
    """Samples, their nearest training pictures, and the statistic over many, by space: `pixels` and `features`."""

    samples: Tensor
    """(N, 3, S, S) in [0, 1]: those that are shown."""
    nearest: Mapping[str, Tensor]
    """(N, K, 3, S, S) in [0, 1], nearest first."""
    nearness: Mapping[str, Nearness]
    num_training: int
    num_held_out: int

    def sheet(self) -> np.ndarray:
        """Return a row for each sample: itself, its neighbours in pixels, its neighbours in features."""
        tiles: list[Tensor] = []
        for index, sample in enumerate(self.samples):
            tiles += [sample, *self.nearest["pixels"][index], *self.nearest["features"][index]]
        return contact_sheet(tiles, len(tiles) // len(self.samples))


def find_neighbours(
    sampler: SeedSampler,
    data: str | Path,
    seeds: Sequence[int],
    truncation: Truncation | None = None,
    held_out: str | Path = "",
    number: int = 256,
    shown: int = 3,
    progress: Progress | None = None,
) -> Found:
    """Return the training pictures nearest to samples, and the statistic over `number` of them.

    Mirrored training pictures count, too: training may have shown them so.

    Args:
        sampler: the generator.
        data: the pictures that it was trained on.
        seeds: of the samples that are shown.
        truncation: of the noise.
        held_out: other pictures of the kind; when empty a tenth of the data is set apart, which the samples are then
            not compared with.
        number: samples for the statistic.
        shown: neighbours in each space.
        progress: told the pictures that were read, and the samples.

    Raises:
        UserError: the data cannot be read or is too little.
    """
    size_px = int(sampler.card.settings["size_px"])
    progress = progress or Progress()
    training = _squares(data, size_px, sampler, progress.of("pictures"))
    apart = _squares(held_out, size_px, sampler, progress.of("held-out pictures")) if held_out else None
    if apart is None:
        order = torch.from_numpy(np.random.default_rng(0).permutation(len(training)))
        cut = max(2, round(HELD_OUT * len(training)))
        training, apart = training[order[cut:]], training[order[:cut]]
    if len(training) < max(shown, 8) or len(apart) < 2:
        why = f"{len(training)} pictures to look among and {len(apart)} held out"
        raise UserError(f"{data} is too little to look for neighbours in", why, "Give more pictures")
    # Those shown come first; the statistic takes further seeds.
    further = [seed for seed in range(number + len(seeds)) if seed not in set(seeds)]
    asked = [*seeds, *further][: max(number, len(seeds))]
    samples = sampler.sample(asked, None, truncation, progress.of("samples"))
    made = (samples * 255).round().to(torch.uint8)
    extractor = open_extractor("small", device=sampler.device)
    nearest: dict[str, Tensor] = {}
    nearness: dict[str, Nearness] = {}
    for space in ("pixels", "features"):
        bank = _seen(space, training, extractor)
        # Samples are mirrored instead of the training pictures, of which there are many more.
        far, places = _nearest([_seen(space, both, extractor) for both in (made, made.flip(-1))], bank, shown)
        held_far, _ = _nearest([_seen(space, both, extractor) for both in (apart, apart.flip(-1))], bank, 1)
        nearness[space] = Nearness(far[:, 0], held_far[:, 0])
        nearest[space] = training[places[: len(seeds)]].float() / 255
    return Found(made[: len(seeds)].float() / 255, nearest, nearness, len(training), len(apart))


def _squares(data: str | Path, size_px: int, sampler: SeedSampler, progress: Progress) -> Tensor:
    """Return all squares of a folder: (N, 3, S, S) uint8."""
    if sampler.num_classes:
        source = ClassPictures(data, size_px, mirror=False, class_names=sampler.class_names)
        return torch.stack([source.square(index) for index in _counted(len(source), progress)])
    plain, random = Squares(str(data), size_px, mirror=False), np.random.default_rng(0)
    return torch.stack([plain.sample(index, random)["picture"] for index in _counted(len(plain), progress)])


def _counted(count: int, progress: Progress) -> Iterator[int]:
    for index in range(count):
        progress(index, count)
        yield index
    progress(count, count)


def _seen(space: str, pictures: Tensor, extractor: Extractor) -> Tensor:
    parts = pictures.split(CHUNK)
    if space == "pixels":
        return torch.cat([F.adaptive_avg_pool2d(part.float() / 255, THUMBNAIL_PX).flatten(1) for part in parts])
    return torch.cat([_features(part.float() / 255, extractor) for part in parts])


@torch.no_grad()
def _features(pictures: Tensor, extractor: Extractor) -> Tensor:
    # At their own size, up to 64 px: the extractor's own would have many times the pixels, for all of the training set.
    if pictures.shape[-1] > FEATURES_PX:
        pictures = F.interpolate(pictures, size=(FEATURES_PX, FEATURES_PX), mode="bilinear", antialias=True)
    device = next(extractor.network.parameters()).device
    seen = extractor.network(pictures.to(device)).values()
    # In quarters of the picture, so that where something is counts.
    return torch.cat([F.adaptive_avg_pool2d(activation, 2).flatten(1) for activation in seen], dim=1).cpu()


def _nearest(versions: Sequence[Tensor], bank: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Return distances to and places of the nearest in a bank, for the nearer of several versions of each picture."""
    far, places = [], []
    for parts in zip(*(version.split(CHUNK) for version in versions)):
        distance = torch.stack([torch.cdist(part, bank) for part in parts]).amin(0)
        found = distance.topk(number, dim=1, largest=False)
        far.append(found.values)
        places.append(found.indices)
    return torch.cat(far), torch.cat(places)
