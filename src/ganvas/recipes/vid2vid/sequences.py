"""The sequences that vid2vid is trained on, opened as its settings ask."""

from __future__ import annotations

from ganvas.data.clips import Clips
from ganvas.data.input_ranges import Asked, InputRange
from ganvas.errors import UserError
from ganvas.io.flow_teachers import teacher
from ganvas.recipes.vid2vid.settings import Settings


def open_sequences(s: Settings, path: str, num_labels: int, input_range: Asked | InputRange | None) -> Clips:
    """Return the sequences of a folder, cut to sides that the network takes.

    Raises:
        UserError: one is too short, or they lack what the settings need.
    """
    flow_from, multiple_of = teacher(s.flow_from) or s.flow_from, s.shrink * 2 ** (s.downs + s.scales - 1)
    clips = Clips(
        path, num_labels, flow_from=flow_from, multiple_of=multiple_of, inputs=s.inputs, input_range=input_range
    )
    if clips.shortest < s.first_length + 1:
        name = min(clips.clips, key=len).name
        why = f"A sequence of {s.first_length} frames and the one before it was asked for"
        do = f"Give longer sequences, or --first-length {max(1, clips.shortest - 1)}"
        raise UserError(f"The sequence {name} has {clips.shortest} frames", why, do)
    if s.instance_features and not clips.has_labels:
        raise UserError(f"{path} has no label maps", "Styles belong to instances", "Use --instance-features 0")
    return clips
