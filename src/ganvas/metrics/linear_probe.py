"""A classifier of one linear layer over a published network's features: it learns in seconds, and from few pictures.

Like the small classifier of `probe`, it is trained on real pictures only and says how well it does on those that were
held out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.errors import UserError
from ganvas.metrics.features import Extractor

DECAY = 1e-3
"""Weight of the squared weights, of features of unit spread."""
STEPS = 100
"""Most iterations of L-BFGS; the loss is convex, so that neither seed nor order matter."""


@dataclass(frozen=True)
class LinearProbe:
    """A trained classifier and how far it can be trusted."""

    extractor: Extractor
    head: nn.Linear
    """In double, of features as they come: their scaling is folded in."""
    num_trained_on: int
    digest: str
    """Of the extractor, and of the features and classes that it was trained on."""

    @property
    def name(self) -> str:
        """The extractor's."""
        return self.extractor.name

    def features(self, pictures: Tensor) -> Tensor:
        """Return (B, D) float32 for distances between pictures and between sets of them."""
        return self.extractor.features(pictures)

    def answers(self, features: Tensor) -> Tensor:
        """Return the probability of each class by features: (B, D) -> (B, classes), float64."""
        with torch.no_grad():
            return self.head(features.double()).softmax(1)

    def trust(self, accuracy: float, held_out: int, chance: float) -> str:
        """Return the sentence to be printed beside every score that it gives."""
        return (
            f"Scored by a linear classifier over {self.name}, trained on {self.num_trained_on} real pictures; on "
            f"{held_out} held out its accuracy is {accuracy:.3f} (always the commonest: {chance:.3f})"
        )


def train_linear(
    extractor: Extractor, batches: Iterable[Tensor], labels: Sequence[int] | Tensor, num_classes: int
) -> LinearProbe:
    """Train a linear classifier on what an extractor sees in real pictures.

    Args:
        extractor: gives the features.
        batches: of pictures (B, 3, H, W) in [0, 1].
        labels: the class of each picture, from 0.
        num_classes: how many there are.

    Raises:
        UserError: there are no pictures, or their number is not that of the labels.
    """
    seen = [extractor.features(batch) for batch in batches]
    classes = torch.as_tensor(labels).long().cpu()
    if not seen or sum(map(len, seen)) != len(classes):
        raise UserError(f"{sum(map(len, seen))} pictures and {len(classes)} labels do not pair", do="Give one for each")
    features = torch.cat(seen).double()
    mean, spread = features.mean(0), features.std(0, correction=0).clamp(min=1e-6)
    head = _fitted((features - mean) / spread, classes, num_classes)
    with torch.no_grad():
        head.weight /= spread
        head.bias.sub_(head.weight @ mean)
    content = hashlib.sha256(f"linear {extractor.preprocessing.hash} {num_classes}".encode())
    for tensor in (features, classes):
        content.update(tensor.contiguous().numpy().data)
    return LinearProbe(extractor, head, len(classes), content.hexdigest()[:16])


def _fitted(features: Tensor, classes: Tensor, num_classes: int) -> nn.Linear:
    head = nn.Linear(features.shape[1], num_classes, dtype=torch.float64)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        found = F.cross_entropy(head(features), classes) + DECAY * head.weight.square().sum()
        found.backward()
        return found

    with torch.enable_grad():
        optimizer.step(loss)
    return head.requires_grad_(False)
