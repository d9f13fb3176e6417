"""A small segmenter and a small classifier, fixed and seeded, for pictures of a kind that no large one knows.

Both are trained on real pictures only, hold a part of them out, and say how well they do there: their answers count no
more than that. They are no published networks; scores by them compare results of the same data with each other, and
are never called by the names of scores that a published network gives.

Rare labels count more in training than their few pixels, or a segmenter would leave them out. It reads as well as what
it has seen is varied: one trained on frames of several streets trusts colours less than one of a single street.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.errors import UserError
from ganvas.metrics.labels import confusion, score_confusion
from ganvas.networks.blocks import init_kaiming
from ganvas.values import to_range

Pictures = Tensor | Sequence[Tensor]
"""(N, 3, H, W), or N times (3, H, W) of sizes that may differ, in [0, 1]."""

HELD_OUT = 0.2
"""Share of the pictures that a probe is not trained on."""
BATCH_SIZE = 8
SEGMENTER_BATCH_SIZE = 4
"""Crops of a step: of equal numbers of pixels, more steps teach more than larger ones."""
LEARNING_RATE = 2e-3
UNKNOWN = -1
"""Label of what is neither learned nor counted."""
BALANCE = 0.5
"""Power of a label's rarity that weights its pixels: 0 counts all alike, 1 all labels."""
_GROUPS = 4
_VERSION = 4
"""Of how probes are trained: one from another version is not taken from the cache."""
Network = TypeVar("Network", bound=nn.Module)


class Cache(Protocol):
    """Keeps tensors by name."""

    def get(self, name: str) -> dict[str, Tensor] | None: ...

    def put(self, name: str, tensors: Mapping[str, Tensor]) -> None: ...


class SmallClassifier(nn.Module):
    """Four strided stages and a linear layer over the means of them all: textures count as much as shapes.

    (B, 3, H, W) -> (B, num_classes)

    Pictures in [0, 1], from 16 px a side; each is seen by itself, whatever else is in its batch.
    """

    def __init__(self, num_classes: int, width: int = 16) -> None:
        super().__init__()
        widths = [3, width, 2 * width, 4 * width, 4 * width]
        self.stages = nn.Sequential(*(_stage(a, b, stride=2) for a, b in itertools.pairwise(widths)))
        self.head = nn.Linear(sum(widths[1:]), num_classes)
        init_kaiming(self)
        # It begins at even odds and learns in fewer steps.
        nn.init.zeros_(self.head.weight)

    def features(self, picture: Tensor) -> Tensor:
        """Return the means of each stage's activations over the picture: (B, 11 width)."""
        x, means = to_range(picture), []
        for stage in self.stages:
            x = stage(x)
            means.append(x.mean(dim=(2, 3)))
        return torch.cat(means, dim=1)

    def forward(self, picture: Tensor) -> Tensor:
        return self.head(self.features(picture))


class SmallSegmenter(nn.Module):
    """An encoder of four halvings and a decoder with skips, to half of the size and from there enlarged.

    (B, 3, H, W) -> (B, num_labels, H, W)

    Pictures in [0, 1] of any size from 16 px a side; each is seen by itself. Of equal time a network without
    full-size maps takes three times the steps, and reads better for it.
    """

    def __init__(self, num_labels: int, width: int = 16) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 4 * width]
        self.stem = _stage(3, width, stride=2)
        self.down = nn.ModuleList(_stage(a, b, stride=2) for a, b in itertools.pairwise(widths))
        self.context = _stage(widths[-1], widths[-1], stride=1)
        self.up = nn.ModuleList(_stage(a + b, b, stride=1) for a, b in zip(widths[:0:-1], widths[-2::-1]))
        self.head = nn.Conv2d(width, num_labels, 1)
        init_kaiming(self)

    def _encode(self, picture: Tensor) -> list[Tensor]:
        seen = [self.stem(to_range(picture))]
        for stage in self.down:
            seen.append(stage(seen[-1]))
        return [*seen[:-1], self.context(seen[-1])]

    def features(self, picture: Tensor) -> Tensor:
        """Return the means of each encoder stage's activations over the picture: (B, 11 width)."""
        return torch.cat([seen.mean(dim=(2, 3)) for seen in self._encode(picture)], dim=1)

    def forward(self, picture: Tensor) -> Tensor:
        *skips, deep = self._encode(picture)
        for stage, skip in zip(self.up, reversed(skips)):
            deep = F.interpolate(deep, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            deep = stage(torch.cat([deep, skip], dim=1))
        return F.interpolate(self.head(deep), size=picture.shape[-2:], mode="bilinear", align_corners=False)


def _stage(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    # Group norm, because the answer to one picture must not depend on the others of its batch.
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride, padding=1),
        nn.GroupNorm(_GROUPS, channels_out),
        nn.ReLU(),
        nn.Conv2d(channels_out, channels_out, 3, padding=1),
        nn.GroupNorm(_GROUPS, channels_out),
        nn.ReLU(),
    )


@dataclass(frozen=True)
class Probe:
    """A trained probe and how far it can be trusted."""

    network: SmallClassifier | SmallSegmenter
    held_out_accuracy: float
    """Share of right answers (pixels, for a segmenter) on real pictures that it was not trained on."""
    held_out_miou: float | None
    """Mean intersection over union there; None for a classifier."""
    chance_accuracy: float
    """What always giving the commonest held-out answer would reach."""
    num_trained_on: int
    num_held_out: int
    num_answers: int
    """Classes or labels."""
    digest: str = ""
    """Of the data and the settings that it was trained with; equal ones give equal probes."""

    @property
    def trust(self) -> str:
        """The sentence to be printed beside every score that the probe gives."""
        kind = "segmenter" if isinstance(self.network, SmallSegmenter) else "classifier"
        iou = "" if self.held_out_miou is None else f", mean IoU {self.held_out_miou:.3f}"
        return (
            f"Scored by a small {kind} trained on {self.num_trained_on} real pictures; on {self.num_held_out} held out "
            f"its accuracy is {self.held_out_accuracy:.3f}{iou} (always the commonest: {self.chance_accuracy:.3f})"
        )

    def predict(self, pictures: Pictures) -> Tensor:
        """Return the answers: classes (N,) or label maps (N, H, W), int64.

        Raises:
            UserError: pictures of several sizes are given to a segmenter.
        """
        return self._answers(pictures, lambda batch: self.network(batch).argmax(1))

    def probabilities(self, pictures: Pictures) -> Tensor:
        """Return the probability of each answer: (N, classes) or (N, labels, H, W), float64."""
        return self._answers(pictures, lambda batch: self.network(batch).double().softmax(1))

    def features(self, pictures: Pictures) -> Tensor:
        """Return (N, D) float32 for distances between pictures and between sets of them."""
        return self._answers(pictures, self.network.features)

    def answers(self, features: Tensor) -> Tensor:
        """Return the probability of each class by features: (N, D) -> (N, classes), float64."""
        with torch.no_grad():
            return self.network.head(features.to(self.network.head.weight)).double().softmax(1).cpu()

    @torch.no_grad()
    def _answers(self, pictures: Pictures, ask: Callable[[Tensor], Tensor]) -> Tensor:
        device = next(self.network.parameters()).device
        answers = [ask(batch.to(device)).cpu() for batch in _batches(pictures)]
        if len({answer.shape[1:] for answer in answers}) > 1:
            raise UserError("Pictures of several sizes have no common label maps", do="Predict them one at a time")
        return torch.cat(answers)


def train_classifier(
    pictures: Pictures,
    labels: Tensor,
    num_classes: int,
    *,
    steps: int = 300,
    seed: int = 0,
    held_out: float | Sequence[int] = HELD_OUT,
    crop_px: int = 128,
    device: str | torch.device = "cpu",
    cache: Cache | None = None,
) -> Probe:
    """Train a classifier on real pictures and tell how well it does on those it has not seen.

    Args:
        pictures: (N, 3, H, W) in [0, 1], or N pictures of any sizes.
        labels: (N,) classes from 0.
        num_classes: how many there are.
        steps: optimiser steps of 8 pictures.
        seed: of weights, of what is held out and of the order; equal seeds give equal probes.
        held_out: share of the pictures held out at random, or the numbers of those to hold out.
        crop_px: side of the random crops it is trained on; larger pictures are seen whole.
        device: where it is trained and then asked.
        cache: where it is kept; the same data and settings are not trained on twice.

    Raises:
        UserError: counts differ, a class is out of range, or too few pictures to hold any out.
    """
    labels = torch.as_tensor(labels).long().cpu()
    _check(pictures, labels, num_classes)
    trained_on, kept = _split(len(pictures), held_out, seed)
    network = _built(lambda: SmallClassifier(num_classes), seed).to(device)
    random = torch.Generator().manual_seed(seed)

    def loss(numbers: list[int]) -> Tensor:
        crops = _crops([pictures[n] for n in numbers], crop_px, random)
        return F.cross_entropy(network(crops.to(device)), labels[numbers].to(device))

    def train(untold: Probe) -> Probe:
        _fit(network, loss, trained_on, steps, random)
        answers = untold.predict([pictures[n] for n in kept])
        accuracy = float((answers == labels[kept]).double().mean())
        chance = float(labels[kept].bincount().max()) / len(kept)
        return replace(untold, held_out_accuracy=accuracy, chance_accuracy=chance)

    digest = _digest("classifier", pictures, [labels], kept, num_classes, steps, seed, crop_px, device)
    untold = Probe(network, 0.0, None, 0.0, len(trained_on), len(kept), num_classes, digest)
    return _kept(untold, cache) or _keep(train(untold), cache)


def train_segmenter(
    pictures: Pictures,
    label_maps: Tensor | Sequence[Tensor],
    num_labels: int,
    *,
    steps: int = 600,
    seed: int = 0,
    held_out: float | Sequence[int] = HELD_OUT,
    crop_px: int = 128,
    device: str | torch.device = "cpu",
    cache: Cache | None = None,
) -> Probe:
    """Train a segmenter on real pictures and tell how well it does on those it has not seen.

    Frames of one clip are nearly equal: hold whole clips out by their numbers, or the held-out scores say too much.

    Args:
        pictures: (N, 3, H, W) in [0, 1], or N pictures of any sizes.
        label_maps: (N, H, W), (N, 1, H, W) or a sequence of such maps, labels from 0; -1 where unknown.
        num_labels: how many labels there are.
        steps: optimiser steps of 4 crops.
        seed: of weights, of what is held out, of crops and order; equal seeds give equal probes.
        held_out: share of the pictures held out at random, or the numbers of those to hold out.
        crop_px: side of the random crops it is trained on; pictures are seen whole.
        device: where it is trained and then asked.
        cache: where it is kept; the same data and settings are not trained on twice.

    Raises:
        UserError: counts or sizes differ, a label is out of range, or too few pictures to hold any out.
    """
    maps = [label_map.reshape(label_map.shape[-2:]).long().cpu() for label_map in label_maps]
    _check(pictures, maps, num_labels)
    trained_on, kept = _split(len(pictures), held_out, seed)
    network = _built(lambda: SmallSegmenter(num_labels), seed).to(device)
    random = torch.Generator().manual_seed(seed)
    weights = _label_weights([maps[n] for n in trained_on], num_labels).to(device)

    def loss(numbers: list[int]) -> Tensor:
        stacked = [torch.cat([pictures[n].cpu().float(), maps[n][None].float()]) for n in numbers]
        crops = _crops(stacked, crop_px, random)
        if torch.rand((), generator=random) < 0.5:
            crops = crops.flip(-1)
        scores = network(crops[:, :3].to(device))
        truth = crops[:, 3].long().to(device)
        each = F.cross_entropy(scores, truth, weights, ignore_index=UNKNOWN, reduction="sum")
        # By the number of pixels: a crop of common labels alone must not weigh as much as one of rare ones.
        return each / (truth != UNKNOWN).sum().clamp(min=1)

    def train(untold: Probe) -> Probe:
        _fit(network, loss, trained_on, steps, random, SEGMENTER_BATCH_SIZE)
        counts = torch.zeros(num_labels, num_labels, dtype=torch.int64)
        for n in kept:
            counts += confusion(untold.predict([pictures[n]])[0], maps[n], num_labels)
        scores = score_confusion(counts)
        chance = float(counts.sum(1).max()) / scores.pixels
        return replace(
            untold, held_out_accuracy=scores.pixel_accuracy, held_out_miou=scores.mean_iou, chance_accuracy=chance
        )

    digest = _digest("segmenter", pictures, maps, kept, num_labels, steps, seed, crop_px, device)
    untold = Probe(network, 0.0, 0.0, 0.0, len(trained_on), len(kept), num_labels, digest)
    return _kept(untold, cache) or _keep(train(untold), cache)


def _label_weights(maps: Sequence[Tensor], num_labels: int) -> Tensor:
    """Return the weight of a pixel of each label, 1 in the mean over all pixels."""
    counts = torch.zeros(num_labels, dtype=torch.float64)
    for label_map in maps:
        counts += torch.bincount(label_map[label_map >= 0], minlength=num_labels)
    rarity = torch.where(counts > 0, counts.clamp(min=1) ** -BALANCE, 0.0)
    return (rarity * counts.sum() / (rarity * counts).sum().clamp(min=1e-12)).float()


# What is kept of a probe


def _digest(kind: str, pictures: Pictures, answers: Sequence[Tensor], *settings: Any) -> str:
    content = hashlib.sha256(f"{kind} {_VERSION} {torch.__version__} {settings}".encode())
    for tensor in (*pictures, *answers):
        content.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
        content.update(tensor.detach().cpu().contiguous().numpy().data)
    return content.hexdigest()[:16]


_TOLD = ("held_out_accuracy", "held_out_miou", "chance_accuracy")


def _kept(probe: Probe, cache: Cache | None) -> Probe | None:
    """Return the probe as it was kept, None where it was not."""
    stored = cache.get(_name(probe)) if cache else None
    if stored is None:
        return None
    told = {name: float(stored.pop(name)) for name in _TOLD if name in stored}
    probe.network.load_state_dict(stored)
    probe.network.eval().requires_grad_(False)
    return replace(probe, **told)


def _keep(probe: Probe, cache: Cache | None) -> Probe:
    if cache:
        told = {name: getattr(probe, name) for name in _TOLD}
        numbers = {name: torch.tensor(value, dtype=torch.float64) for name, value in told.items() if value is not None}
        cache.put(_name(probe), {**probe.network.state_dict(), **numbers})
    return probe


def _name(probe: Probe) -> str:
    return f"probe-{probe.digest}"


# Training


def _built(make: Callable[[], Network], seed: int) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def _fit(
    network: nn.Module,
    loss: Callable[[list[int]], Tensor],
    numbers: Sequence[int],
    steps: int,
    random: torch.Generator,
    batch_size: int = BATCH_SIZE,
) -> None:
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    # The rest of an epoch goes before the next one, so that every picture is seen equally often.
    queue: list[int] = []
    network.train()
    with torch.enable_grad():
        for _ in range(steps):
            while len(queue) < batch_size:
                queue += [numbers[place] for place in torch.randperm(len(numbers), generator=random).tolist()]
            batch, queue = queue[:batch_size], queue[batch_size:]
            optimizer.zero_grad()
            loss(batch).backward()
            optimizer.step()
            schedule.step()
    network.eval().requires_grad_(False)


def _check(pictures: Pictures, answers: Tensor | Sequence[Tensor], num_answers: int) -> None:
    if len(pictures) != len(answers):
        raise UserError(f"{len(pictures)} pictures and {len(answers)} labels do not pair", do="Give one for each")
    for number, (picture, answer) in enumerate(zip(pictures, answers)):
        if answer.dim() and picture.shape[-2:] != answer.shape:
            why = f"They measure {tuple(picture.shape[-2:])} and {tuple(answer.shape)}"
            raise UserError(f"Picture {number} and its label map differ in size", why)
        lowest = UNKNOWN if answer.dim() else 0
        if not lowest <= int(answer.min()) <= int(answer.max()) < num_answers:
            why = f"Picture {number} has labels from {int(answer.min())} to {int(answer.max())}"
            raise UserError(f"A label lies outside 0 to {num_answers - 1}", why)


def _split(num: int, held_out: float | Sequence[int], seed: int) -> tuple[list[int], list[int]]:
    """Return the numbers of the pictures to train on and of those held out."""
    if isinstance(held_out, (int, float)):
        order = torch.randperm(num, generator=torch.Generator().manual_seed(seed)).tolist()
        kept = sorted(order[: max(1, round(held_out * num))])
    else:
        kept = sorted(set(held_out))
    trained_on = sorted(set(range(num)) - set(kept))
    if not trained_on or not kept or not set(kept) <= set(range(num)):
        why = f"Of {num} pictures {len(kept)} would be held out and {len(trained_on)} trained on"
        raise UserError("A probe cannot be trained", why, "Give at least two pictures, better a few dozen")
    return trained_on, kept


def _crops(pictures: Sequence[Tensor], crop_px: int, random: torch.Generator) -> Tensor:
    """Return random crops, all of the largest size up to `crop_px` that fits every picture."""
    height, width = (min(crop_px, *(picture.shape[axis] for picture in pictures)) for axis in (-2, -1))
    crops = []
    for picture in pictures:
        top = int(torch.randint(picture.shape[-2] - height + 1, (), generator=random))
        left = int(torch.randint(picture.shape[-1] - width + 1, (), generator=random))
        crops.append(picture[..., top : top + height, left : left + width])
    return torch.stack(crops).float()


def _batches(pictures: Pictures) -> list[Tensor]:
    if not len(pictures):
        raise UserError("There are no pictures to score")
    if isinstance(pictures, Tensor):
        return [batch.float() for batch in pictures.split(BATCH_SIZE)]
    groups: list[list[Tensor]] = []
    for picture in pictures:
        if not groups or len(groups[-1]) == BATCH_SIZE or groups[-1][0].shape != picture.shape:
            groups.append([])
        groups[-1].append(picture)
    return [torch.stack(group).float() for group in groups]
