"""The doctor of sequences whose conditions are no label maps: key points, points, edges, condition pictures, videos."""

from __future__ import annotations

from pathlib import Path

from ganvas.data.doctor import Examination, Finding
from ganvas.data.sequences import find_clips, holds_sequences, require_one_size
from ganvas.errors import UserError


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
    result.findings += [Finding("warning", note) for clip in clips for note in clip.notes]
    short = [clip.name for clip in clips if len(clip) < 2]
    if short:
        what = f"{len(short)} sequences of one frame are passed over: {', '.join(short[:8])}"
        result.findings.append(Finding("warning", what))
    return result
