"""A model of single pictures that is lent to a clip: for its first frame, or for the pictures of all frames."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ganvas.errors import UserError
from ganvas.inference.open import open_model
from ganvas.values import to_unit


class LentPainter:
    """Paints single frames of a sequence from their conditions.

    Raises:
        UserError: the model takes something else than label maps, or other labels than the sequence has.
    """

    def __init__(self, model: str | Path, num_labels: int, has_boundaries: bool, device: torch.device) -> None:
        self.opened = open_model(model)
        self.card = self.opened.card
        if self.card.input != "labels":
            raise UserError(
                f"{self.opened} paints no frames", f"It takes a {self.card.input}", "Give a run of pix2pixhd"
            )
        known = self.card.extra
        if int(known.get("num_labels", num_labels)) != num_labels:
            why = f"It was trained on {known['num_labels']} classes, and this sequence has {num_labels}"
            raise UserError(f"{self.opened} paints no frame of this sequence", why, "Train both on the same labels")
        wants_boundaries = bool(known.get("boundaries", has_boundaries))
        self._used = num_labels + wants_boundaries
        self.features = self.card.channels_in - self._used
        """Numbers of a style."""
        if self.features < 0 or (wants_boundaries and not has_boundaries):
            why = f"It takes {self.card.channels_in} planes, this sequence gives {num_labels + has_boundaries}"
            raise UserError(f"{self.opened} paints no frame of this sequence", why, "Train both on the same folders")
        self._net = self.opened.network(device=device)

    def __call__(self, condition: Tensor, styles: Tensor | None) -> Tensor:
        """Paint a frame: (1, N, H, W) and styles (1, features, H, W) -> (1, 3, H, W) in [0, 1].

        Boundaries are left out where it was trained without; styles that nobody gathered are zero.
        """
        given = condition[:, : self._used]
        if styles is None:
            styles = given.new_zeros(1, self.features, *given.shape[-2:])
        with torch.inference_mode():
            picture = self._net(torch.cat([given, styles], 1))
        return to_unit(picture.float(), self.card.range).clamp(0, 1)
