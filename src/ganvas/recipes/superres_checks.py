"""Which settings of `superres_unet` go together: checked before anything is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganvas.errors import UserError
from ganvas.losses.adversarial import require_coupled_batch
from ganvas.networks.unet import SCALES

if TYPE_CHECKING:
    from ganvas.recipes.superres_unet import Settings


def check(s: Settings) -> None:
    """Refuse settings of `superres_unet` that cannot be trained.

    Raises:
        UserError: one of them, or two that do not go together.
    """
    _check_sizes(s)
    _check_sources(s)
    if not s.content_steps + s.steps:
        raise UserError("There is nothing to train", "content_steps and steps are 0")
    if not s.content_weight and (s.style == "none" or s.content_steps):
        raise UserError("The generator has nothing to learn from", "content_weight is 0", "Give it a weight")
    if s.content_off_step and s.style == "none":
        raise UserError("The content loss cannot be shut off", "There is no style to go on with", "Choose a --style")
    if s.content_fade_steps < 1:
        raise UserError(f"content_fade_steps is {s.content_fade_steps}", do="Use 1 or more")
    if s.style != "none":
        s.adversarial.require_batch(s.batch_size)
        _check_discriminator(s)


def _check_sizes(s: Settings) -> None:
    if s.scale not in SCALES:
        raise UserError(f"The scale is {s.scale}", "Each level doubles the sides", f"Use one of {SCALES}")
    if s.iterations < 1 or (s.iterations > 1 and s.scale == 1):
        raise UserError(f"iterations is {s.iterations}", "At a scale of 1 nothing grows", "Use 1, or a scale of 2")
    if s.low_px < 2**s.downs:
        what = f"low_px is {s.low_px}"
        raise UserError(what, f"{s.downs} halvings need {2**s.downs} px", "Raise it, or lower --downs")


def _check_sources(s: Settings) -> None:
    if s.low and s.labels:
        raise UserError("Both --low and --labels are given", "Pairs of three are not read yet", "Leave one of them out")
    if s.low and s.iterations > 1:
        why = "Low pictures are given for one enlargement only"
        raise UserError("--low does not go with several iterations", why, "Leave it out: low ones are then made")
    if (s.low or s.labels) and s.framing == "squares":
        raise UserError("Pairs of files are cut in crops", do="Use --framing crops")
    if bool(s.labels) != bool(s.num_labels):
        raise UserError("Label maps need both --labels and --num-labels", "One of them is missing")


def _check_discriminator(s: Settings) -> None:
    if s.minibatch:
        require_coupled_batch("Minibatch discrimination", s.batch_size)
        if s.grid != "1x1" or s.iterations > 1:
            why = "It compares whole pictures of one size"
            raise UserError("Minibatch discrimination needs the grid 1x1 and one iteration", why, "Set --grid 1x1")
