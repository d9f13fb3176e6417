"""The doctor of sequences: their frames and sizes, and the label and instance maps among them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ganvas.data import inspect
from ganvas.data.decoding import faults
from ganvas.data.doctor import Examination, Finding, unreadable
from ganvas.data.sequences import Clip, find_clips, holds_sequences, require_one_size
from ganvas.data.stills import StillFile
from ganvas.errors import UserError
from ganvas.io.labels.legends import Label

MAPS_READ = 24
"""Label maps whose pixels are read, spread over all sequences."""


def examine_maps(
    clips: Sequence[Clip], legend: Sequence[Label], num_labels: int = 0, ignore: Sequence[int] = (255,)
) -> Examination:
    """Return what is wrong with the label and instance maps of sequences, as far as they are files of their own."""
    maps = [
        {role: still.path for role in ("labels", "instances") if isinstance(still := stills.get(role), StillFile)}
        for clip in clips
        for stills in (
            {role: of[frame] for role, of in clip.files.items() if frame < len(of)} for frame in range(len(clip))
        )
    ]
    labelled = [files for files in maps if "labels" in files]
    return inspect.examine_maps(labelled, legend, MAPS_READ, num_labels, ignore)


def unreadable_frames(clips: Sequence[Clip]) -> list[Finding]:
    """Return an error for frames that are files of their own and cannot be read."""
    stills = [still for clip in clips for still in clip.files.get("frames", ())]
    return unreadable(faults([still.path for still in stills if isinstance(still, StillFile)]))


def examine(folder: str | Path) -> Examination | None:
    """Return what the sequences of a folder are, and what is wrong with them; None for a folder without any."""
    if not Path(folder).is_dir() or not holds_sequences(Path(folder)):
        return None
    result = Examination({"data set": str(folder)})
    try:
        clips = find_clips(folder, cut_at_gaps=True)
        height, width = require_one_size([clip for clip in clips if len(clip)])
    except UserError as error:
        result.findings.append(Finding("error", error.what, ". ".join(filter(None, (error.why, error.do)))))
        return result
    result.facts |= {
        "sequences": {clip.name: f"{len(clip)} frames of {', '.join(clip.files)}" for clip in clips},
        "size": f"{width}x{height}",
    }
    result.findings += unreadable_frames(clips)
    result.findings += [Finding("warning", note) for clip in clips for note in clip.notes]
    short = [clip.name for clip in clips if len(clip) < 2]
    if short:
        what = f"{len(short)} sequences of one frame are passed over: {', '.join(short[:8])}"
        result.findings.append(Finding("warning", what))
    return result
