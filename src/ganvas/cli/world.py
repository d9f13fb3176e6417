"""The verb `world`: the embedded sample world, written to disk with everything that is known about it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from ganvas.cli import DONE
from ganvas.cli.arguments import Printing
from ganvas.cli.console import Bar, report
from ganvas.errors import UsageError
from ganvas.inference.options import Size


def world(
    printing: Printing,
    out: Path,
    frames: int = 48,
    size: Size | None = None,
    seed: int = 0,
    clips: int = 1,
    path: Literal["drive", "orbit", "survey"] = "drive",
    details: bool = False,
) -> int:
    """Write a rendered street with label and instance maps, depth, optical flow, occlusion and cameras.

    Args:
        out: a new or empty folder.
        frames: frames of each clip.
        size: in pixels; default 256x128.
        seed: which street; the same seed gives the same files.
        clips: sequences, on different stretches of the street; more than one go into clip_000, clip_001 ...
        path: a drive through moving traffic; a flight around a block that stands still; or single views at random
            places around that block.
        details: give roofs, windows, doors, awnings, car windows and wheels labels of their own: 16 in place of 10.
    """
    from ganvas.drawn.world import world as worlds
    from ganvas.drawn.world.files import write_clip
    from ganvas.io.labels import world_layout
    from ganvas.io.video.rates import write_rate

    width, height = size or (256, 128)
    if frames < 1 or clips < 1:
        raise UsageError(f"{frames} frames in {clips} clips cannot be made", "Both must be 1 or more")
    if not (width and height):
        raise UsageError(f"{width}x{height} is no size", do="Write it as 256x128: width x height in pixels")
    street = worlds.World(seed, details)
    folders = world_layout.begin(out, clips)
    if not (printing.quiet or printing.json or sys.stderr.isatty()):
        print(f"Drawing {clips * frames} frames of {width} x {height} px into {out}", file=sys.stderr, flush=True)
    with Bar(printing.quiet) as bar:
        for clip, folder in enumerate(folders):
            shots = worlds.shots(path, frames, seed, clip, (36.0, 36.0 * height / width))

            def move(done: int, before: int = clip * frames) -> None:
                bar.move("frames", before + done, clips * frames)

            write_clip(folder, street, shots, width, height, move)
            if path != "survey":
                write_rate(folder, round(worlds.FRAMES_PER_SECOND))
    text = f"{out}: {clips} x {frames} frames of {width} x {height} px, {len(street.legend)} labels, seed {seed}"
    facts = {"out": out, "clips": clips, "frames": frames, "width": width, "height": height, "seed": seed}
    report(text, {**facts, "labels": len(street.legend)}, printing)
    return DONE
