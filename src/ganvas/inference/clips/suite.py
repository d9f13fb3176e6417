"""Runs generators of video from sequences of label maps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ganvas.inference.clips.sampler import ClipOptions, generate_clips
from ganvas.inference.open import Opened
from ganvas.inference.options import CommonOptions, part
from ganvas.inference.result import Cancelled, Progress, Result


@dataclass(frozen=True, kw_only=True)
class Options(ClipOptions, CommonOptions):
    """Which sequence becomes a clip, and how."""

    labels: Path
    """Folder of a sequence: labels/000000.png or what it was trained on, such as poses/ or edges/, and instances/ or
    flow/ where the model was trained so; a folder of such folders; or a video of the maps."""
    out: Path
    """Video (.mp4, .mov, .mkv), folder, or numbered frames such as clip.####.png; for several sequences a folder, or
    clips/{name}.mp4."""


def run(opened: Opened, options: Options, progress: Progress) -> list[Result]:
    """Generate a clip from each sequence of label maps.

    Raises:
        UserError: the sequence, the model, the first frame or the target do not go together.
    """
    try:
        return generate_clips(opened, options.labels, options.out, part(options, ClipOptions), progress)
    except Cancelled:
        return []
