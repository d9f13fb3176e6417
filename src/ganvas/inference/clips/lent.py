"""A model of single pictures that is lent to a clip: for its first frame, or for the pictures of all frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ganvas.errors import UserError
from ganvas.inference.open import open_model
from ganvas.values import to_unit


def painter_of_frames(
    model: str | Path, num_labels: int, has_boundaries: bool, device: torch.device
) -> Callable[[Tensor], Tensor]:
    """Return what paints single frames of a sequence from their conditions: (1, N, H, W) -> (1, 3, H, W) in [0, 1].

    Raises:
        UserError: the model takes something else than label maps, or other labels than the sequence has.
    """
    opened = open_model(model)
    card = opened.card
    if card.input != "labels":
        raise UserError(f"{opened} paints no frames", f"It takes a {card.input}", "Give a run of pix2pixhd")
    if int(card.extra.get("num_labels", num_labels)) != num_labels:
        why = f"It was trained on {card.extra['num_labels']} classes, and this sequence has {num_labels}"
        raise UserError(f"{opened} paints no frame of this sequence", why, "Train both on the same labels")
    wants_boundaries = bool(card.extra.get("boundaries", has_boundaries))
    used = num_labels + wants_boundaries
    if card.channels_in < used or (wants_boundaries and not has_boundaries):
        why = f"It takes {card.channels_in} planes, this sequence gives {num_labels + has_boundaries}"
        raise UserError(f"{opened} paints no frame of this sequence", why, "Train both on the same folders")
    net = opened.network(device=device)

    def paint(condition: Tensor) -> Tensor:
        # Boundaries are left out where it was trained without, and features of a style that nobody chose are zero.
        given = condition[:, :used]
        blank = given.new_zeros(1, card.channels_in - used, *given.shape[-2:])
        with torch.inference_mode():
            picture = net(torch.cat([given, blank], 1))
        return to_unit(picture.float(), card.range).clamp(0, 1)

    return paint
