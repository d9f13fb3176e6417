"""Clips of the sample world as folders: pictures with labels, instances, depth, flow and cameras."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from ganvas.drawn.world.world import Shot, World
from ganvas.io.labels import world_layout


def write_clip(
    folder: Path, street: World, shots: Sequence[Shot], width: int, height: int, on_frame: Callable[[int], None]
) -> None:
    """Render a clip into a folder that `world_layout.begin` made; `on_frame` is told the frames that are done.

    The last of the shots is only where the flow of the last frame leads to.
    """
    world_layout.write_legend(folder, [asdict(label) for label in street.legend])
    world_layout.write_cameras(folder, [shot.camera.solved(width, height) for shot in shots[:-1]])
    for number, (shot, following) in enumerate(itertools.pairwise(shots)):
        frame = street.render(shot.camera, shot.time, width, height, following.camera, following.time)
        world_layout.write_frame(folder, number, frame.planes)
        on_frame(number + 1)
