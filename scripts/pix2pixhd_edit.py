"""Edit a scene and make only what was touched anew: a picture of labels and results, before and after.

    python scripts/pix2pixhd_edit.py --run RUN --scene FOLDER --number 6 --out edit.png

RUN is a run of pix2pixhd with styles (`ganvas styles RUN`), FOLDER a sequence with labels/ and instances/, as
`ganvas world` writes it. Three edits: the largest car has another style, a tree is put where a copy of its mask fits,
and a stroke of grass is drawn across the road. Prints what share of the picture each made anew, and how long it took.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor

from ganvas.data.conditions import colorize, instance_of_segment
from ganvas.inference.labels import editing
from ganvas.inference.labels.editing import History, Scene
from ganvas.inference.labels.painter import LabelPainter, MapFiles
from ganvas.io.pictures import images


def open_scene(painter: LabelPainter, folder: Path, number: int, seed: int) -> Scene:
    """Return a scene with a style drawn for each instance."""
    name = f"{number:06d}.png"
    regions = painter.read(MapFiles(name, folder / "labels" / name, folder / "instances" / name))
    instances = instance_of_segment(regions.region_map[0, 0].long())
    drawn = painter.draw(regions, seed).features
    styles = dict(zip(instance_of_segment(regions.ids).tolist(), map(tuple, drawn.tolist())))
    return Scene(regions.label_map[0, 0], instances, styles)


def edits(painter: LabelPainter, scene: Scene) -> dict[str, Scene]:
    """Return the scene after one, two and three edits."""
    car, tree, grass = (painter.class_named(name) for name in ("car", "tree", "grass"))
    height, width = scene.size
    ids, areas = scene.instance_map[scene.label_map == car].unique(return_counts=True)
    largest = int(ids[areas.argmax()])
    assert painter.styles is not None
    options = painter.styles.of(car)
    farthest = (options - torch.tensor(scene.styles[largest])).square().sum(1).argmax()
    one = editing.set_style(scene, largest, tuple(options[farthest].tolist()))
    rows = torch.arange(height // 2)[:, None] - height / 4
    columns = torch.arange(height // 4) - height / 8
    crown = (rows / (height / 4)).square() + (columns / (height / 8)).square() < 1
    two = editing.paste_object(one, crown, height // 8, width // 3, tree, tuple(painter.styles.of(tree)[0].tolist()))
    points = [(0.3 * width, 0.97 * height), (0.5 * width, 0.85 * height), (0.75 * width, 0.95 * height)]
    style = tuple(painter.styles.of(grass)[0].tolist())
    three = editing.paint_stroke(two, points, height / 12, grass, style, is_thing=False)
    return {"another style for a car": one, "a tree": two, "a stroke of grass": three}


def main() -> None:
    """Make the picture, edit the scene, and write both beside their labels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True)
    parser.add_argument("--scene", type=Path, required=True)
    parser.add_argument("--number", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    painter = LabelPainter(options.run, device="cpu", precision="float32")
    scene = open_scene(painter, options.scene, options.number, options.seed)
    sizes = (painter.num_labels, painter.num_features, painter.has_boundaries)
    began = time.perf_counter()
    picture, statistics = editing.synthesise(painter.network, editing.scene_condition(scene, *sizes), scene.size)
    print(f"the whole picture: {time.perf_counter() - began:.2f} s")
    history, shown = History(scene), [side_by_side(painter, scene, picture)]
    for name, after in edits(painter, scene).items():
        touched = history.do(after)
        assert touched is not None
        began = time.perf_counter()
        part, box = editing.resynthesise(
            painter.network, editing.scene_condition(after, *sizes), picture, touched, statistics
        )
        picture = picture.clone()
        box.of(picture).copy_(part)
        share = part[0, 0].numel() / picture[0, 0].numel()
        print(f"{name}: {share:.0%} of the picture made anew in {time.perf_counter() - began:.2f} s")
        shown.append(side_by_side(painter, after, picture))
    sheet = torch.cat(shown, dim=1).permute(1, 2, 0).numpy()
    images.write(options.out, images.from_float(sheet, "uint8"), overwrite=True)


def side_by_side(painter: LabelPainter, scene: Scene, picture: Tensor) -> Tensor:
    """Return labels and picture, (3, H, 2 W) in [0, 1]."""
    palette = {label.id: label.color for label in painter.legend}
    labels = colorize(scene.label_map[None, None].long(), palette, scene.instance_map[None, None])[0]
    return torch.cat([labels, picture[0].clamp(-1, 1) * 0.5 + 0.5], dim=2)


if __name__ == "__main__":
    main()
