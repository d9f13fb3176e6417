"""Make the README's moving picture by the models in the box: python scripts/readme_picture.py [--out FILE]."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ganvas.data.degrade import bicubic, resize_bicubic
from ganvas.drawn.world.world import World, shots
from ganvas.inference.cameras.flyer import Flyer
from ganvas.inference.cameras.paths import through
from ganvas.inference.demo import PHOTOGRAPH
from ganvas.inference.labels.editing import Scene
from ganvas.inference.labels.paint_scene import PaintScene
from ganvas.inference.labels.painter import LabelPainter
from ganvas.inference.picture.upscale import Upscaler
from ganvas.io.pictures import images
from ganvas.io.pictures.captions import caption

SIDE, FRAMES, GAP, LINE = 256, 48, 6, 18
ENLARGED, TOP, LEFT = 3, 86, 178
"""What is shown of the photograph, each pixel as a square of 3 x 3: eyes, nose and mouth."""
UPSCALER = "photo-x4-gan"
CENTRE, SWING = 0.43, 0.24
"""Of the divider, in widths: each half stays wide enough for its name."""


def named(picture: np.ndarray, *names: tuple[str, int]) -> np.ndarray:
    """Return a picture with a line above it that has names over parts of these widths in pixels."""
    line = np.concatenate([caption(name, width, LINE) for name, width in names], axis=1)
    return np.concatenate([images.from_float(line, "uint8"), picture])


def photograph() -> list[np.ndarray]:
    """Return a part of the bundled photograph, bicubic and upscaled, under a divider that moves."""
    truth = torch.from_numpy(images.to_float(images.read(PHOTOGRAPH)[0])).permute(2, 0, 1)[None]
    low = bicubic(truth, 4)
    plain, ours = (
        enlarged(images.from_float(picture, "uint8"))
        for picture in (
            resize_bicubic(low, size=(512, 512))[0].permute(1, 2, 0).numpy(),
            Upscaler(UPSCALER)(low[0].permute(1, 2, 0).numpy()),
        )
    )
    frames = []
    for number in range(FRAMES):
        at = round(SIDE * (CENTRE + SWING * np.sin(2 * np.pi * number / FRAMES)))
        frame = ours.copy()
        frame[:, :at] = plain[:, :at]
        frame[:, at - 1 : at + 1] = 255
        frames.append(named(frame, ("bicubic", at), (UPSCALER, SIDE - at)))
    return frames


def enlarged(picture: np.ndarray) -> np.ndarray:
    """Return what is shown of a photograph, pixels as squares."""
    side = -(-SIDE // ENLARGED)
    part = picture[TOP : TOP + side, LEFT : LEFT + side]
    return part.repeat(ENLARGED, 0).repeat(ENLARGED, 1)[:SIDE, :SIDE]


def halved(picture: np.ndarray) -> np.ndarray:
    """Return a picture at half its sides."""
    height, width = picture.shape[:2]
    return np.asarray(Image.fromarray(picture).resize((width // 2, height // 2), Image.Resampling.BOX))


def street() -> list[np.ndarray]:
    """Return a label map above its picture, whose styles change from time to time."""
    painter = LabelPainter("street-painter")
    shot = shots("drive", 1, 7)[0]
    drawn = World(7, details=True).render(shot.camera, shot.time, 2 * SIDE, SIDE)
    maps = [torch.from_numpy(plane.astype(np.int32)) for plane in (drawn.label_map, drawn.instance_map)]
    frames: list[np.ndarray] = []
    for seed in range(6):
        scene = PaintScene(painter, Scene.from_maps(*maps), seed)
        parts = [halved(part) for part in (scene.colored_labels(), scene.picture())]
        frames += [named(np.concatenate(parts), (f"labels, street-painter, seed {seed}", SIDE))] * (FRAMES // 6)
    return frames


def flight() -> list[np.ndarray]:
    """Return a flight through training cameras of the panorama and back, none of whose frames is a guess."""
    flyer = Flyer("panorama")
    path = through(flyer.training, [0, 90, 150, 0], FRAMES)
    frames = (Image.fromarray(images.from_float(frame, "uint8")) for frame in flyer.frames(path))
    small = (np.asarray(frame.resize((SIDE, SIDE), Image.Resampling.LANCZOS)) for frame in frames)
    return [named(frame, ("panorama", SIDE)) for frame in small]


def main() -> None:
    """Lay the three side by side and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs/pictures/readme.webp")
    out = parser.parse_args().out
    gap = np.full((SIDE + LINE, GAP, 3), 255, np.uint8)
    frames = [
        Image.fromarray(np.concatenate([first, gap, second, gap, third], axis=1))
        for first, second, third in zip(photograph(), street(), flight())
    ]
    frames[0].save(out, save_all=True, append_images=frames[1:], duration=90, loop=0, quality=82, method=6)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, {len(frames)} frames")


if __name__ == "__main__":
    main()
