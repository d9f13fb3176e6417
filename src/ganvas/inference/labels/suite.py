"""Runs generators of pictures from label maps."""

from __future__ import annotations

from ganvas.inference.labels.files import make_pictures, make_style_sheets
from ganvas.inference.labels.options import Known, Options
from ganvas.inference.labels.painter import LabelPainter
from ganvas.inference.open import Opened
from ganvas.inference.options import part
from ganvas.inference.result import Progress, Result

__all__ = ["Options", "run"]


def run(opened: Opened, options: Options, progress: Progress) -> list[Result]:
    """Generate a picture of every label map, at its own size; what is wrong with one stops none of the others.

    Raises:
        UserError: something is wrong that concerns all of them.
    """
    painter = LabelPainter(opened, options.device, options.precision, options.strips, part(options, Known))
    make = make_style_sheets if options.styles else make_pictures
    return make(painter, options, progress)
