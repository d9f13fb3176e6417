"""Scores of label maps against label maps: pixel accuracy and mean intersection over union.

A result is scored by a segmenter that reads labels off the picture; what it says counts only as far as it reads real
pictures rightly, so its held-out accuracy stands beside every score (`probe.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ganvas.errors import UserError


@dataclass(frozen=True)
class LabelScores:
    """How well predicted labels agree with true ones."""

    pixel_accuracy: float
    """Share of counted pixels with the right label."""
    mean_iou: float
    """Mean over the labels that occur of intersection over union."""
    iou: dict[int, float]
    """By label; labels that occur neither in the prediction nor in the truth are left out."""
    pixels: int


def confusion(predicted: Tensor, truth: Tensor, num_labels: int) -> Tensor:
    """Return how many pixels of true label (row) were given which label (column).

    (..., H, W), (..., H, W) -> (num_labels, num_labels)

    Pixels whose true label is negative are not counted.

    Raises:
        UserError: the shapes differ, or a label is out of range.
    """
    if predicted.shape != truth.shape:
        why = f"Their shapes are {tuple(predicted.shape)} and {tuple(truth.shape)}"
        raise UserError("These label maps cannot be compared", why, "Give maps of the same size")
    known = truth >= 0
    pairs = truth[known].long(), predicted[known].long()
    for labels in pairs:
        if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < num_labels:
            why = f"Labels go from {int(labels.min())} to {int(labels.max())}"
            raise UserError(f"A label map holds labels outside 0 to {num_labels - 1}", why)
    return torch.bincount(pairs[0] * num_labels + pairs[1], minlength=num_labels**2).view(num_labels, num_labels)


def score_confusion(counts: Tensor) -> LabelScores:
    """Return the scores that a confusion matrix, possibly the sum of many, stands for.

    Raises:
        UserError: no pixel was counted.
    """
    counts = counts.double()
    total = float(counts.sum())
    if not total:
        raise UserError("No pixel has a known label", "Label scores are undefined then")
    right = counts.diagonal()
    union = counts.sum(0) + counts.sum(1) - right
    iou = {label: float(right[label] / union[label]) for label in range(len(union)) if union[label] > 0}
    return LabelScores(float(right.sum()) / total, sum(iou.values()) / len(iou), iou, int(total))


def score_labels(predicted: Tensor, truth: Tensor, num_labels: int) -> LabelScores:
    """Return how well predicted labels agree with true ones: (..., H, W), (..., H, W) of whole numbers.

    Raises:
        UserError: as `confusion` and `score_confusion`.
    """
    return score_confusion(confusion(predicted, truth, num_labels))
