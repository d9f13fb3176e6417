"""What published generators of clips do not tell of the planes that they take."""

from __future__ import annotations

from typing import Any

from ganvas.errors import UserError
from ganvas.protocol import Card


def assume(card: Card, channels: int, num_labels: int = 0, no_boundaries: bool = False) -> dict[str, Any]:
    """Return labels and boundaries of a generator whose file tells none: street scenes', or what the user knows.

    Args:
        card: of the generator.
        channels: planes of a frame that it takes.
        num_labels: its classes; 0 leaves what follows from the planes.
        no_boundaries: it was trained without instance maps.

    Raises:
        UserError: that does not add up to the planes, or contradicts what the file says.
    """
    told, edges = card.extra.get("num_labels"), not no_boundaries
    if told is not None and (num_labels not in (0, told) or (no_boundaries and card.extra.get("edges"))):
        why = f"Its card says {told} labels{', boundaries' if card.extra.get('edges') else ''}"
        raise UserError("This generator tells itself what it takes", why, "Leave --num-labels and --no-boundaries out")
    if told is None and num_labels not in (0, channels - edges):
        why = f"It takes {channels} planes a frame: labels, and one more for boundaries"
        do = f"Of {channels} planes: --num-labels {channels} --no-boundaries, or {channels - 1} with them"
        raise UserError(f"{num_labels} labels do not fit this generator", why, do)
    return {"num_labels": channels - edges, "edges": edges}


LIKE = 1.34
"""Factor up to which maps are larger or smaller than those that were trained on without a warning."""


def told_of_size(trained: tuple[int, int] | None, given: tuple[int, int]) -> str:
    """Return what is to be told of maps of another (height, width) than was trained on; mostly nothing."""
    if trained is None:
        return ""
    factor = max(given[0] / trained[0], given[1] / trained[1])
    if 1 / LIKE < factor < LIKE:
        return ""
    wanted, have = (f"{width}x{height}" for height, width in (trained, given))
    fault, do = ("is smeared", "Reduce") if factor > 1 else ("lacks detail", "Enlarge")
    return (
        f"The model was trained at {wanted} and the maps are {have}: what it generates at another size {fault}. "
        f"{do} copies of the label and instance maps to {wanted}, each pixel from its nearest (no blending), and "
        "enlarge the clip afterwards: ganvas upscale CLIP"
    )
