"""The folders of a sequence with its truth: frames, label and instance maps, depth, flow, occlusion, cameras, legend.

A sequence holds frames/000000.png, labels/000000.png (8-bit ids), instances/000000.png (16-bit), depth/000000.exr
(metres), flow/000000.exr (R: pixels to the right, G: pixels down, to the next frame; B: 1 where it is hidden there),
occlusion/000000.png (255: hidden in the next frame), and cameras.csv, transforms.json and legend.json once. Several
sequences lie in clip_000, clip_001 ...
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ganvas.errors import UserError
from ganvas.io.cameras import cameras
from ganvas.io.pictures import images
from ganvas.io.runs import write_json

FOLDERS = {
    "picture": ("frames", ".png"),
    "label_map": ("labels", ".png"),
    "instance_map": ("instances", ".png"),
    "depth": ("depth", ".exr"),
    "flow": ("flow", ".exr"),
    "occlusion": ("occlusion", ".png"),
}
"""Name of a plane -> its folder and the extension of its files."""


def clip_folders(root: str | Path, num_clips: int) -> list[Path]:
    """Return where the sequences of a set go: the root itself for one, else clip_000 and so on below it."""
    return [Path(root)] if num_clips == 1 else [Path(root) / f"clip_{number:03d}" for number in range(num_clips)]


def plane_path(folder: str | Path, plane: str, number: int) -> Path:
    """Return the file of a plane of a frame."""
    name, suffix = FOLDERS[plane]
    return Path(folder) / name / f"{number:06d}{suffix}"


def begin(root: str | Path, num_clips: int = 1) -> list[Path]:
    """Make the folders of a new set and return those of its sequences.

    Raises:
        UserError: something lies there already, or the folders cannot be made.
    """
    root = Path(root)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UserError(f"{root} is not empty", "Nothing is overwritten", "Choose another folder, or remove this one")
    clips = clip_folders(root, num_clips)
    try:
        for clip in clips:
            for name, _ in FOLDERS.values():
                (clip / name).mkdir(parents=True)
    except OSError as error:
        raise UserError(f"Cannot make {root}", error.strerror or str(error)) from error
    return clips


def write_frame(folder: str | Path, number: int, planes: Mapping[str, np.ndarray]) -> None:
    """Write the planes of one frame.

    Args:
        planes: "picture" (3, H, W) in [0, 1]; "label_map", "instance_map", "depth" and "occlusion" (H, W); "flow"
            (2, H, W) in pixels.
    """
    hidden = planes["occlusion"]
    flow = np.stack([*planes["flow"], hidden], -1).astype(np.float32)
    stored = {
        "picture": images.from_float(planes["picture"].transpose(1, 2, 0), "uint8"),
        "label_map": planes["label_map"].astype(np.uint8),
        "instance_map": planes["instance_map"].astype(np.uint16),
        "depth": planes["depth"].astype(np.float32),
        "flow": flow,
        "occlusion": hidden.astype(np.uint8) * np.uint8(255),
    }
    for name, array in stored.items():
        images.write(plane_path(folder, name, number), array)


def write_cameras(folder: str | Path, solve: Sequence[cameras.Camera]) -> None:
    """Write the cameras of the frames as cameras.csv (Maya) and transforms.json (NeRF).

    Raises:
        UserError: there are none, or they cannot be written.
    """
    named = [
        replace(camera, frame=number, name=plane_path("", "picture", number).as_posix())
        for number, camera in enumerate(solve)
    ]
    for name in ("cameras.csv", "transforms.json"):
        cameras.write(Path(folder) / name, named)


def write_legend(folder: str | Path, labels: Sequence[Mapping[str, Any]]) -> None:
    """Write legend.json; each label has id, name, color and thing."""
    write_json(Path(folder) / "legend.json", {"labels": [dict(label) for label in labels]})
