"""One picture and one training step of pix2pixHD at the paper's width and 2048 x 1024: seconds and peak memory.

    python scripts/pix2pixhd_full_size.py picture | strips | step [--size 2048x1024] [--precision auto]

Weights are random; nothing is read or written. `picture` runs the generator as a whole, `strips` layer by layer in
little memory, `step` makes one step of the joint stage (no perceptual loss), with activations recomputed if
`--recompute` is given. Each needs a process of its own: the peak is the process's (VmHWM), Python and weights included.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ganvas import device as machine
from ganvas.inference.labels.editing import Scene, scene_condition
from ganvas.inference.rows.exact import run_exact
from ganvas.networks import build
from ganvas.recipes.pix2pixhd.recipe import PAPER, Pix2PixHD, Settings
from ganvas.training import step
from ganvas.training.trainer import Plan, Trainer

NUM_LABELS = 35


class OneScene:
    """A scene of blocks, as a source of one sample."""

    def __init__(self, width: int, height: int) -> None:
        random = torch.Generator().manual_seed(0)
        blocks = torch.randint(0, NUM_LABELS, (1, 1, -(-height // 64), -(-width // 64)), generator=random)
        labels = blocks.repeat_interleave(64, 2).repeat_interleave(64, 3)[0, :, :height, :width]
        picture = torch.rand(3, height, width, generator=random)
        self.scene = {"label_map": labels, "instance_map": labels, "picture": picture}

    def __len__(self) -> int:
        return 1

    def sample(self, _index: int, _random: np.random.Generator) -> dict[str, Tensor]:
        """Return the scene."""
        return self.scene


def main() -> None:
    """Do one of the three and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("picture", "strips", "step"))
    parser.add_argument("--size", default="2048x1024")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--recompute", action="store_true")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    settings = replace(
        PAPER, width_px=width, height_px=height, num_labels=NUM_LABELS, perceptual="none", workers=1, sentinel="off",
        precision=options.precision, activation_checkpoints=options.recompute,
    )  # fmt: skip
    began = time.perf_counter()
    if options.what == "step":
        seconds, precision = take_step(settings, OneScene(width, height))
    else:
        seconds, precision = make_picture(settings, OneScene(width, height).scene, options.what == "strips")
    peak = machine.peak_memory() / 2**30
    print(
        f"{options.what} at {width} x {height}, {precision}, {torch.get_num_threads()} threads: {seconds:.1f} s "
        f"(with building {time.perf_counter() - began:.1f} s), peak {peak:.2f} GiB"
    )


def take_step(settings: Settings, source: OneScene) -> tuple[float, torch.dtype]:
    """Make one step of the joint stage."""
    trainer = Trainer(Plan("pix2pixhd", Pix2PixHD(settings), source))  # pyright: ignore[reportArgumentType]
    trainer.skip_to(len(trainer.stages) - 1)
    began = time.perf_counter()
    with machine.deterministic(trainer.device):
        values = step.advance(trainer).values
    seconds = time.perf_counter() - began
    trainer.feed.close()
    print({name: round(value, 4) for name, value in values.items()})
    return seconds, trainer.precision


@torch.no_grad()
def make_picture(settings: Settings, scene: dict[str, Tensor], in_strips: bool) -> tuple[float, torch.dtype]:
    """Make one picture, as a whole or in strips."""
    device = machine.pick("cpu")
    precision = torch.float32 if in_strips else machine.pick_precision(settings.precision, device)
    network = build(Pix2PixHD(settings).card()).eval()
    condition = scene_condition(Scene(scene["label_map"][0], scene["instance_map"][0]), NUM_LABELS)
    began = time.perf_counter()
    if in_strips:
        picture = run_exact(network, condition, settings.height_px, settings.width_px)
    else:
        with machine.autocast(device, precision):
            picture = network(condition(0, settings.height_px))
    assert bool(torch.isfinite(picture).all())
    return time.perf_counter() - began, precision


if __name__ == "__main__":
    main()
