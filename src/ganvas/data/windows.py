"""Windows of sequences, cut into chunks of consecutive frames: what the batches of a video recipe are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ganvas.data.clips import PLACES, Clips, Planes
from ganvas.data.conditions import shrink
from ganvas.protocol import PartedSource


@dataclass(frozen=True, kw_only=True)
class Cut:
    """How long windows are, how they are cut into chunks, and what is read with each chunk."""

    length: int
    """Frames of a window that are generated; it has one more, its first, which is given or thrown away."""
    frames: int
    """Frames of a chunk; the last chunk of a window may have fewer."""
    shrink: int = 1
    """Sides of the files divided by those of the pictures."""
    given_share: float = 0.0
    """Share of the windows whose first frame is given, so that its labels count as seen."""
    memory: int = 2
    """Frames before a generated one whose labels are shown."""
    reach: int = 0
    """Frames between the first and the last of the longest clip that is taken from a window."""
    with_styles: bool = False
    """Read the pictures of all frames whose labels are shown, which an encoder of styles wants."""


class Windows(PartedSource):
    """Windows that begin anywhere in their sequences; each lasts for as many batches as it has chunks.

    Window frame 0 is the one before the first that is generated. A chunk after `made` generated frames is

        window   (3,) number of the sequence, where the window begins (in 2**20 steps), a number to toss coins with
        made     () frames generated before
        given    () whether the first frame is given
        picture, flow, trust          (R + 1 + T, ...) frames made - R .. made + T, R as far as a clip reaches back
        label_map, instance_map, or condition        (T, ...) frames made + 1 .. made + T
        before_label_map ... (and before_picture)    (memory, ...) frames made + 1 - memory .. made, from the first on
    """

    def __init__(self, clips: Clips, cut: Cut) -> None:
        self.clips, self.cut = clips, cut
        self.parts = -(-cut.length // cut.frames)

    def __len__(self) -> int:
        return len(self.clips)

    def groups(self) -> Sequence[str]:
        """Return the name of each sequence."""
        return self.clips.groups()

    def subset(self, indices: Sequence[int]) -> Windows:
        """Return the windows of only these sequences."""
        return Windows(self.clips.subset(indices), self.cut)

    def sample(self, index: int, random: np.random.Generator) -> dict[str, Tensor]:
        """Return the first chunk of a window."""
        return self.part(index, random, 0)

    def part(self, index: int, random: np.random.Generator, number: int) -> dict[str, Tensor]:
        """Return a chunk of a window; the same chance gives the same window."""
        return self.chunk(self.clips.sample(index, random)["window"].tolist(), number)

    def chunk(self, window: Sequence[int], number: int = 0) -> dict[str, Tensor]:
        """Return a chunk of the window at an address.

        Raises:
            UserError: a file cannot be read, or holds an id without a label.
        """
        cut, (sequence, _, coin) = self.cut, window
        start = self.clips.start_of(window, cut.length + 1)
        made = number * cut.frames
        frames = min(cut.frames, cut.length - made)
        is_given = coin < cut.given_share * PLACES
        behind = min(made, max(0, cut.reach - 1))
        planes = self._read(sequence, range(start + made - behind, start + made + frames + 1))
        first = 0 if is_given else 1
        earlier = [start + max(first, made + 1 - back) for back in range(cut.memory, 0, -1)]
        before = self._read(sequence, earlier, with_flow=False)
        whole = ("picture", "flow", "trust")
        shown = {f"before_{name}": plane for name, plane in before.items() if name != "picture" or cut.with_styles}
        return {
            "window": torch.tensor(list(window)),
            "made": torch.tensor(made),
            "given": torch.tensor(is_given),
            **{name: plane if name in whole else plane[-frames:] for name, plane in planes.items()},
            **shown,
        }

    def _read(self, sequence: int, frames: Sequence[int], with_flow: bool = True) -> Planes:
        return shrunk(self.clips.read(sequence, frames, with_flow), self.cut.shrink)


def shrunk(planes: Planes, factor: int) -> Planes:
    """Return planes with sides divided by a whole factor: pictures averaged, ids picked, flows also divided by it."""
    if factor == 1:
        return planes
    small = {name: shrink(plane, factor) for name, plane in planes.items()}
    if "flow" in small:
        small["flow"] = small["flow"] / factor
        small["trust"] = (small["trust"] > 0.99).float()
    return small
