"""Is it memory? Each sample beside the training pictures nearest to it, and how near that is for pictures held out.

A generator that has learnt pictures by heart makes samples that lie nearer to training pictures than other real
pictures do. Distances are taken between pixels of thumbnails, and between features of a small classifier.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.data.cache import CACHE_BYTES
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
SHOWN = 3
"""Neighbours in each space."""
SPACES = ("pixels", "features")
FEWEST = 8
"""Pictures that can be looked among."""
COMPARED = 256
"""Training pictures that are compared with the other ones, for what is usual among them."""


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


class Neighbours(NamedTuple):
    """The training pictures nearest to each of N pictures, nearest first."""

    distances: Tensor
    """(N, K)."""
    places: Tensor
    """(N, K), in the bank."""


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


class Bank:
    """The training pictures as samples are compared with them: read once, asked often.

    Thumbnails and features are kept, 7 kB for each picture; the pictures themselves only as far as `cache_bytes` go.

    Args:
        data: a folder, or what `ClassPictures` takes; where it has no classes, all pictures of the folder.
        size_px: side of the samples; smaller pictures are passed over.
        class_names: of the generator; empty where it knows none.
        device: where features are computed.
        progress: told how many pictures are read; may stop it.
        most: pictures that may be read; 0 sets no limit.
        cache_bytes: pictures that are kept in memory.

    Raises:
        UserError: the data cannot be read, or is too little or too much.
    """

    def __init__(
        self,
        data: str | Path,
        size_px: int,
        class_names: Sequence[str] = (),
        device: str | torch.device = "cpu",
        progress: Progress | None = None,
        most: int = 0,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        progress = progress or Progress()
        self._source = _open(data, size_px, class_names, cache_bytes)
        self.names = self._source.groups()
        if most and len(self) > most:
            what = f"{data} has {len(self)} pictures"
            raise UserError(what, f"No more than {most} are looked through here", "Use `ganvas neighbours`")
        self._extractor = open_extractor("small", device=device)
        parts: dict[str, list[Tensor]] = {space: [] for space in SPACES}
        for first in range(0, len(self), CHUNK):
            progress(first, len(self))
            pictures = self.pictures(torch.arange(first, min(first + CHUNK, len(self))))
            for space in SPACES:
                parts[space].append(_seen(space, pictures, self._extractor))
        self._seen = {space: torch.cat(parts[space]) for space in SPACES}
        progress(len(self), len(self))

    def __len__(self) -> int:
        return len(self._source)

    def pictures(self, places: Tensor) -> Tensor:
        """Return the pictures at places (N,): (N, 3, S, S) uint8.

        Raises:
            UserError: one cannot be read any more.
        """
        return torch.stack([_square(self._source, place) for place in places.tolist()])

    def nearest(self, pictures: Tensor, number: int = 1, without: Tensor | None = None) -> dict[str, Neighbours]:
        """Return for pictures (N, 3, S, S) uint8, by space, those nearest to them or to their mirror images.

        Args:
            pictures: samples, or pictures held out.
            number: of neighbours for each, nearest first.
            without: places of the bank that are passed over.
        """
        found: dict[str, list[Neighbours]] = {space: [] for space in SPACES}
        for part in pictures.split(CHUNK):
            for space in SPACES:
                # Samples are mirrored instead of the training pictures, of which there are many more.
                versions = [_seen(space, both, self._extractor) for both in (part, part.flip(-1))]
                distance = torch.stack([torch.cdist(version, self._seen[space]) for version in versions]).amin(0)
                if without is not None:
                    distance[:, without] = torch.inf
                found[space].append(Neighbours(*distance.topk(number, dim=1, largest=False)))
        return {space: Neighbours(*map(torch.cat, zip(*found[space]))) for space in SPACES}

    def among_themselves(self, progress: Progress | None = None) -> dict[str, Tensor]:
        """Return how far some of the training pictures are from the nearest other one, by space: (M,)."""
        far: dict[str, list[Tensor]] = {space: [] for space in SPACES}
        for places in _shuffled(len(self))[:COMPARED].split(CHUNK):
            if progress:
                progress.check()
            for space, near in self.nearest(self.pictures(places), 2).items():
                far[space].append(near.distances[:, 1])  # the first is the picture itself
        return {space: torch.cat(far[space]) for space in SPACES}


def find_neighbours(
    sampler: SeedSampler,
    data: str | Path,
    seeds: Sequence[int],
    classes: Sequence[int] | None = None,
    truncation: Truncation | None = None,
    held_out: str | Path = "",
    number: int = 256,
    progress: Progress | None = None,
) -> Found:
    """Return the training pictures nearest to samples, and the statistic over `number` of them.

    Mirrored training pictures count, too: training may have shown them so.

    Args:
        sampler: the generator.
        data: the pictures that it was trained on.
        seeds: of the samples that are shown.
        classes: as many; the statistic then takes these in turn. None lets all classes take turns.
        truncation: of the noise.
        held_out: other pictures of the kind; when empty a tenth of the data is set apart for the statistic.
        number: samples for the statistic.
        progress: told the pictures that were read, and the samples.

    Raises:
        UserError: the data cannot be read or is too little.
    """
    size_px = int(sampler.card.settings["size_px"])
    progress = progress or Progress()

    def read(folder: str | Path, name: str) -> Bank:
        return Bank(folder, size_px, sampler.class_names, sampler.device, progress.of(name))

    bank = read(data, "pictures")
    others = read(held_out, "held-out pictures") if held_out else bank
    # Without others a tenth is held out.
    apart = _shuffled(len(bank))[: 0 if held_out else max(2, round(HELD_OUT * len(bank)))]
    held = torch.arange(len(others)) if held_out else apart
    if len(bank) - len(apart) < FEWEST or len(held) < 2:
        why = f"{len(bank) - len(apart)} pictures to look among and {len(held)} held out"
        raise UserError(f"{data} is too little to look for neighbours in", why, "Give more pictures")
    # Those shown come first; the statistic takes further seeds.
    further = [seed for seed in range(number + len(seeds)) if seed not in set(seeds)]
    asked = [*seeds, *further][: max(number, len(seeds))]
    turns = itertools.cycle(dict.fromkeys(classes or ()))
    labels = None if classes is None else [*classes, *itertools.islice(turns, len(asked) - len(seeds))]
    samples = sampler.sample(asked, labels, truncation, progress.of("samples"))
    made = (samples * 255).round().to(torch.uint8)
    far, held_far = bank.nearest(made, without=apart), bank.nearest(others.pictures(held), without=apart)
    shown = bank.nearest(made[: len(seeds)], SHOWN)  # what is set apart was trained on, too
    return Found(
        made[: len(seeds)].float() / 255,
        {space: torch.stack([bank.pictures(row) for row in shown[space].places]).float() / 255 for space in SPACES},
        {space: Nearness(far[space].distances[:, 0], held_far[space].distances[:, 0]) for space in SPACES},
        len(bank) - len(apart),
        len(held),
    )


def _open(data: str | Path, size_px: int, class_names: Sequence[str], cache_bytes: int) -> ClassPictures | Squares:
    if class_names:
        try:
            return ClassPictures(data, size_px, mirror=False, class_names=class_names, cache_bytes=cache_bytes)
        except UserError:
            if not Path(data).is_dir():
                raise
    return Squares(str(data), size_px, mirror=False, cache_bytes=cache_bytes)  # of which class they are does not matter


def _square(source: ClassPictures | Squares, index: int) -> Tensor:
    if isinstance(source, ClassPictures):
        return source.square(index)
    return source.sample(index, np.random.default_rng(0))["picture"]


def _shuffled(count: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).permutation(count))


def _seen(space: str, pictures: Tensor, extractor: Extractor) -> Tensor:
    if space == "pixels":
        return F.adaptive_avg_pool2d(pictures.float() / 255, THUMBNAIL_PX).flatten(1)
    return _features(pictures.float() / 255, extractor)


@torch.no_grad()
def _features(pictures: Tensor, extractor: Extractor) -> Tensor:
    # At their own size, up to 64 px: the extractor's own would have many times the pixels, for all of the training set.
    if pictures.shape[-1] > FEATURES_PX:
        pictures = F.interpolate(pictures, size=(FEATURES_PX, FEATURES_PX), mode="bilinear", antialias=True)
    device = next(extractor.network.parameters()).device
    seen = extractor.network(pictures.to(device)).values()
    # In quarters of the picture, so that where something is counts.
    return torch.cat([F.adaptive_avg_pool2d(activation, 2).flatten(1) for activation in seen], dim=1).cpu()
