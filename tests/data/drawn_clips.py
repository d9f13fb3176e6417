"""Sequences drawn for tests: a square of one label that moves over a plain of another, with all that is known of it."""

from pathlib import Path

import numpy as np

from ganvas.io.pictures import images
from ganvas.io.runs import write_json

STEP_PX = (2, 1)
"""How far the square goes from frame to frame, right and down."""
LEGEND = {
    "labels": [
        {"id": 0, "name": "plain", "color": [60, 120, 60], "thing": False},
        {"id": 1, "name": "square", "color": [200, 40, 40], "thing": True},
    ]
}


def draw_clip(folder: Path, frames: int = 8, height: int = 16, width: int = 32, seed: int = 0, roles=None) -> Path:
    """Write a sequence: frames, labels, instances, flow and occlusion."""
    texture = np.random.default_rng(seed).integers(30, 220, (height, width, 3)).astype(np.uint8)
    patch = np.random.default_rng(seed + 100).integers(100, 255, (6, 6, 3)).astype(np.uint8)
    for role in roles or ("frames", "labels", "instances", "flow", "occlusion"):
        (folder / role).mkdir(parents=True, exist_ok=True)
    for number in range(frames):
        planes = frame_planes(texture, patch, number)
        for role in planes:
            if (folder / role).is_dir():
                suffix = "exr" if role == "flow" else "png"
                images.write(folder / role / f"{number:06d}.{suffix}", planes[role], overwrite=True)
    write_json(folder / "legend.json", LEGEND)
    return folder


def square(number: int, height: int, width: int) -> np.ndarray:
    """Return where the square is in a frame, bool."""
    y, x = np.mgrid[:height, :width]
    left, top = 3 + STEP_PX[0] * number, 2 + STEP_PX[1] * number
    return (x >= left) & (x < left + 6) & (y >= top) & (y < top + 6)


def frame_planes(texture: np.ndarray, patch: np.ndarray, number: int) -> dict[str, np.ndarray]:
    """Return all that belongs to one frame."""
    height, width = texture.shape[:2]
    inside, later = square(number, height, width), square(number + 1, height, width)
    picture = texture.copy()
    ys, xs = np.nonzero(inside)
    picture[ys, xs] = patch[ys - 2 - STEP_PX[1] * number, xs - 3 - STEP_PX[0] * number]
    flow = np.zeros((height, width, 3), np.float32)
    flow[inside, 0], flow[inside, 1] = STEP_PX
    hidden = later & ~inside
    return {
        "frames": picture,
        "labels": inside.astype(np.uint8),
        "instances": (inside * 1001).astype(np.uint16),
        "flow": flow,
        "occlusion": (hidden * 255).astype(np.uint8),
    }
