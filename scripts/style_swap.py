"""Swap the style of one car: ten styles side by side, and how far a swap reaches beyond the car's border.

    python scripts/style_swap.py [MODEL] [--out FILE] [--exact]

Of twelve frames of a street that no model has seen, the largest whole car gets each of its class's styles in turn.
Printed is the mean absolute change of a pixel, in levels of 255: on the car, within 16 px around it, and beyond. An
edit keeps all pixels but the car's and its rim's; `--exact` paints the whole scene anew, as `ganvas generate` does.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from ganvas.drawn.world.world import World, shots
from ganvas.inference.labels.editing import Scene
from ganvas.inference.labels.paint_scene import PaintScene
from ganvas.inference.labels.painter import LabelPainter
from ganvas.io.pictures import images

WIDTH, HEIGHT, FRAMES, SEED = 512, 256, 12, 21
AROUND_PX = 16


def scenes(painter: LabelPainter) -> list[tuple[PaintScene, int]]:
    """Return frames of a street and, of each, the instance of its largest whole car."""
    car, found = painter.class_named("car"), []
    for shot in shots("drive", FRAMES * 8, SEED)[::8]:
        drawn = World(SEED, details=True).render(shot.camera, shot.time, WIDTH, HEIGHT)
        labels, instances = (
            torch.from_numpy(plane.astype(np.int32)) for plane in (drawn.label_map, drawn.instance_map)
        )
        rim = torch.cat([instances[0], instances[-1], instances[:, 0], instances[:, -1]]).unique()
        names, sizes = instances[labels == car].unique(return_counts=True)
        whole = [(int(size), int(name)) for size, name in zip(sizes, names) if name not in rim]
        if whole:
            found.append((PaintScene(painter, Scene(labels, instances), SEED), max(whole)[1]))
    return found


def changes(scene: PaintScene, instance: int, count: int, is_exact: bool) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the pictures with each style of an instance, and the mean change on it, around it and beyond."""
    on = (scene.scene.instance_map == instance)[None, None].float()
    near = F.max_pool2d(on, 2 * AROUND_PX + 1, 1, AROUND_PX)
    masks = [mask[0, 0].bool().numpy() for mask in (on, near - on, 1 - near)]
    made = []
    for number in range(count):
        scene.restyle(instance, number)
        scene.repaint(is_exact)
        made.append(scene.picture())
    moved = [np.abs(one.astype(int) - made[0]).mean(-1) for one in made[1:]]
    return made, np.array([[change[mask].mean() for mask in masks] for change in moved]).mean(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="street-painter")
    parser.add_argument("--out", type=Path, default=Path("styles.png"))
    parser.add_argument("--exact", action="store_true", help="paint the whole scene anew after each swap")
    options = parser.parse_args()
    painter = LabelPainter(options.model)
    count = painter.num_styles(painter.class_named("car"))
    rows, sheets = [], []
    for scene, instance in scenes(painter):
        made, row = changes(scene, instance, count, options.exact)
        rows.append(row)
        places = (scene.scene.instance_map == instance).nonzero()
        top, left = (int(value) for value in (places.float().mean(0) - torch.tensor([48.0, 64.0])).round())
        top, left = min(max(0, top), HEIGHT - 96), min(max(0, left), WIDTH - 128)
        sheets.append([picture[top : top + 96, left : left + 128] for picture in made])
    on, near, beyond = np.mean(rows, 0)
    print(f"{len(rows)} frames, {count} styles: {on:.1f} levels on the car, {near:.1f} around it, {beyond:.2f} beyond")
    best = sheets[int(np.argmax([row[0] for row in rows]))]
    half = -(-count // 2)
    best += [np.full_like(best[0], 255)] * (2 * half - count)
    sheet = np.concatenate([np.concatenate(best[:half], 1), np.concatenate(best[half:], 1)])
    print(images.write(options.out, sheet, overwrite=True))


if __name__ == "__main__":
    main()
