"""How far a part of a picture made anew after an edit is from the whole made anew, and what it costs.

    python benchmarks/editing_error.py [--run RUN --scene FOLDER --number 0] [--contexts 2 4 8 16]

Three edits in the commonest label: a small stroke, a long one, an instance that had another label. For each of them and
for each context (in cells of the coarsest maps) the mean error of the touched box, divided by the deviation of the
whole picture: with the first pass's statistics kept, as `resynthesise` does it, and with those of the part alone, as
tiling would. Beside them stands by how much the rest of the picture would have changed.
Without a run the network is a global generator of a quarter of the paper's width with random weights, 1024 x 512.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor, nn

import ganvas
from ganvas.inference.labels import editing
from ganvas.inference.labels.editing import Scene
from ganvas.inference.rows.exact import cell_px
from ganvas.io.labels.maps import read_instance_map, read_label_map
from ganvas.io.weights import files as weights
from ganvas.networks.pix2pixhd.net import GlobalGenerator

RANDOM_LABELS = 35


def random_scene(height: int = 512, width: int = 1024) -> Scene:
    """Return blocks of many labels, each an instance."""
    random = torch.Generator().manual_seed(5)
    blocks = torch.randint(1, RANDOM_LABELS, (height // 64, width // 64), generator=random)
    numbers = torch.arange(blocks.numel()).reshape(blocks.shape) + 1000 * blocks
    labels, instances = (plane.repeat_interleave(64, 0).repeat_interleave(64, 1) for plane in (blocks, numbers))
    return Scene(labels, instances)


def edits(scene: Scene) -> dict[str, Scene]:
    """Return edited scenes by what was done, in the labels that the scene has already."""
    height, width = scene.size
    label = int(scene.label_map.flatten().mode().values)
    middle = width // 2, height // 2
    across = [(0.3 * width, 0.5 * height), (0.7 * width, 0.6 * height)]
    other = editing.instance_at(scene, *(int(place[len(place) // 2]) for place in _elsewhere(scene, label)))
    return {
        "small stroke": editing.paint_stroke(scene, [middle], height / 16, label),
        "long stroke": editing.paint_stroke(scene, across, height / 10, label),
        "instance relabelled": editing.change_label(scene, other, label),
    }


def _elsewhere(scene: Scene, label: int) -> tuple[Tensor, Tensor]:
    """Return columns and rows of the pixels that have another label."""
    rows, columns = (scene.label_map != label).nonzero(as_tuple=True)
    return columns, rows


def compare(network: nn.Module, scene: Scene, num_labels: int, num_features: int, contexts: list[int]) -> None:
    """Print a row for each edit and context."""
    cell = cell_px(network, *scene.size)
    rows = editing.scene_condition(scene, num_labels, num_features)
    picture, statistics = editing.synthesise(network, rows, scene.size)
    print("| edit | touched | context | statistics kept | of the part alone | rest of picture | seconds: part, whole |")
    print("|---|---|---|---|---|---|---|")
    for name, after in edits(scene).items():
        touched = editing.touched_region(scene, after)
        assert touched is not None
        rows = editing.scene_condition(after, num_labels, num_features)
        began = time.perf_counter()
        true, _ = editing.synthesise(network, rows, scene.size)
        whole_s, spread = time.perf_counter() - began, float(true.std())
        share = float(touched.of(true)[0, 0].numel() / true[0, 0].numel())
        outside = float((true - picture).abs().mean()) / spread
        for context in contexts:
            seen = touched.grown(context * cell, *scene.size, cell)

            def part(top: int, bottom: int, rows=rows, seen=seen) -> Tensor:
                return rows(seen.top + top, seen.top + bottom)[..., seen.left : seen.right]

            _, own = editing.synthesise(network, part, (seen.bottom - seen.top, seen.right - seen.left))
            errors = []
            began = time.perf_counter()
            for given in (statistics, own):
                made, box = editing.resynthesise(
                    network, rows, picture, touched, given, context_px=context * cell, feather_px=0
                )
                errors.append(float((made - box.of(true)).abs().mean()) / spread)
            part_s = (time.perf_counter() - began) / 2
            print(
                f"| {name} | {share:.1%} | {context * cell} px | {errors[0]:.4f} | {errors[1]:.4f} | {outside:.4f} "
                f"| {part_s:.1f}, {whole_s:.1f} |",
                flush=True,
            )


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", help="of the recipe pix2pixhd; styles, if it has any, are 0")
    parser.add_argument("--scene", help="folder with labels/ and instances/, as `ganvas world` writes it")
    parser.add_argument("--number", type=int, default=0, help="of the frame")
    parser.add_argument("--contexts", type=int, nargs="+", default=[2, 4, 8, 16])
    options = parser.parse_args()
    torch.manual_seed(0)
    if not options.run:
        compare(GlobalGenerator(RANDOM_LABELS + 1, width=16).eval(), random_scene(), RANDOM_LABELS, 0, options.contexts)
        return
    network, extra = ganvas.load(options.run), weights.read(options.run).card.extra
    name = f"{options.number:06d}.png"
    folder = Path(options.scene)
    maps = read_label_map(folder / "labels" / name), read_instance_map(folder / "instances" / name)
    scene = Scene(torch.from_numpy(maps[0]), torch.from_numpy(maps[1]))
    compare(network, scene, int(extra["num_labels"]), int(extra["features"]), options.contexts)


if __name__ == "__main__":
    main()
