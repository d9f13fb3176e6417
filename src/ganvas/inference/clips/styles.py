"""Styles of the instances of a clip: drawn by seed from a Gaussian of each class or from its clusters, held or changed.

A style belongs to a region, an instance of a class, and is drawn by (seed, class, instance) alone: it is the same in
every frame, in whatever frame the region turns up, until it is asked to change. Source: Wang et al. 2018 (vid2vid),
section 3.4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ganvas.data.conditions import class_of_segment, instance_of_segment, segments
from ganvas.data.styles import SHARE, Styles, class_of
from ganvas.errors import UserError
from ganvas.networks.pix2pixhd.net import paint

Kind = Literal["gaussian", "clusters"]


@dataclass(frozen=True)
class Change:
    """From a frame on, a class's instances have the styles of another seed."""

    label: int
    frame: int
    seed: int


@dataclass(frozen=True)
class Gaussian:
    """How the styles of a class are spread."""

    mean: np.ndarray
    """(F,)"""
    root: np.ndarray
    """(F, F) a square root of the covariance."""


def fit_gaussians(labels: Tensor, shares: Tensor, features: Tensor, least_share: float = SHARE) -> dict[int, Gaussian]:
    """Fit a Gaussian to the features of each class's instances, without the smallest where there are larger ones.

    Args:
        labels: (N,) classes.
        shares: (N,) of their pictures.
        features: (N, F).
        least_share: smallest share that counts, where a class has such instances.
    """
    found: dict[int, Gaussian] = {}
    for label in labels.unique().tolist():
        mine = labels == label
        large = mine & (shares >= least_share)
        rows = features[large if int(large.sum()) > 1 else mine].double().numpy()
        num = rows.shape[1]
        covariance = np.cov(rows, rowvar=False).reshape(num, num) if len(rows) > 1 else np.zeros((num, num))
        values, vectors = np.linalg.eigh(covariance)
        found[label] = Gaussian(rows.mean(0), vectors * np.sqrt(values.clip(min=0)))
    return found


class ClipStyles:
    """Gives every region of every frame its style.

    Raises:
        UserError: the run's styles were not gathered.
    """

    def __init__(
        self,
        attachments: Mapping[str, Tensor],
        num_features: int,
        seed: int = 0,
        kind: Kind = "gaussian",
        changes: Sequence[Change] = (),
    ) -> None:
        self.num_features, self.seed, self.kind, self.changes = num_features, seed, kind, tuple(changes)
        clusters = Styles.from_attachments(attachments)
        if clusters is None or "instances.features" not in attachments:
            why = "Its generator gives every instance a style, and none were gathered"
            raise UserError("The model has no styles", why, "Run `ganvas styles RUN` first")
        self.clusters = clusters
        label, share, features = (attachments[f"instances.{name}"] for name in ("label", "share", "features"))
        self.gaussians = fit_gaussians(label, share, features)
        self.fallback = attachments["instances.features"].double().mean(0).numpy()

    def planes(self, label_map: Tensor, instance_map: Tensor | None, frame: int) -> Tensor:
        """Return the features of a frame: (1, 1, H, W), (1, 1, H, W) -> (1, F, H, W)."""
        regions = segments(label_map, label_map if instance_map is None else instance_map)
        ids, rows = regions.unique(return_inverse=True)
        styles = np.stack([self.style(int(region), frame) for region in ids])
        height, width = label_map.shape[-2:]
        return paint(torch.from_numpy(styles).float().to(label_map.device), rows.flatten(), (1, height, width))

    def style(self, region: int, frame: int) -> np.ndarray:
        """Return the features (F,) of a region in a frame."""
        which = torch.tensor(region)
        label, instance = int(class_of_segment(which)), int(instance_of_segment(which))
        seed = self.seed
        for change in sorted(self.changes, key=lambda change: change.frame):
            if change.label == label and frame >= change.frame:
                seed = change.seed
        random = np.random.default_rng([seed, label + 1, instance & 0xFFFFFFFF])
        if label not in self.gaussians:
            return self.fallback
        if self.kind == "gaussian":
            spread = self.gaussians[label]
            drawn = spread.mean + spread.root @ random.standard_normal(self.num_features)
            # The encoder ends in a tanh: nothing beyond was ever seen.
            return drawn.clip(-1, 1)
        counts = self.clusters.counts[self.clusters.labels == label].double().numpy()
        return self.clusters.of(label)[int(random.choice(len(counts), p=counts / counts.sum()))].double().numpy()


def parse_changes(texts: Sequence[str], legend: Sequence[Mapping[str, object]], num_labels: int) -> list[Change]:
    """Read changes such as `car@24=7`: from frame 24 on, cars have the styles of seed 7.

    Raises:
        UserError: a text is no change, or names no class.
    """
    changes = []
    for text in texts:
        name, _, rest = text.partition("@")
        frame, _, seed = rest.partition("=")
        if not (name and frame.isdecimal() and seed.isdecimal()):
            raise UserError(f"{text!r} is no change of style", do="Write CLASS@FRAME=SEED, such as car@24=7")
        changes.append(Change(class_of(name, legend, num_labels), int(frame), int(seed)))
    return changes
