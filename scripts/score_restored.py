"""How much the restoring models gain on held-out photographs that have suffered as files do.

    python scripts/photographs.py
    python scripts/score_restored.py [restore-x4 restore-x2 restore-x1] [--strip FILE]

Of each held-out photograph the middle 512 px suffer in four ways, in three draws each of their own: JPEG of quality 30
to 80 alone; noise before it; blur before both; and blur, noise, careless resizing and JPEG twice over, as hard as the
training mixture (`--degradation files`) gets. Printed are the mean PSNR-Y of bicubic enlargement, which at x1 is the
damaged picture itself, and of the model, and how many of all are better restored.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganvas.data import degrade
from ganvas.inference.picture.upscale import Upscaler
from ganvas.io.pictures import images
from ganvas.io.pictures.captioned import captioned
from ganvas.io.pictures.tensors import from_tensor, to_tensor
from ganvas.metrics.paired import luma, psnr

HELD_OUT = Path(".photos/held-out")
SIDE_PX = 512
DRAWS = 3
QUALITY = (30.0, 80.0)
TWICE = "all, twice over"
SHOWN, CROP_PX, ENLARGED = 3, 128, 2


def middle(picture: np.ndarray, side_px: int = SIDE_PX) -> np.ndarray:
    """Return the middle of a picture, or all of a smaller one, with sides that every scale divides."""
    high, wide = (min(side_px, side) // 4 * 4 for side in picture.shape[:2])
    top, left = (picture.shape[0] - high) // 2, (picture.shape[1] - wide) // 2
    return picture[top : top + high, left : left + wide, :3]


def damages(scale: int) -> dict[str, degrade.SecondOrder]:
    """Return the four ways in which pictures suffer, by name."""
    plain = degrade.Round(
        blur_chance=0.0, resize_weights=(0.0, 0.0, 1.0), careless_chance=0.0, noise_chance=0.0, jpeg_quality=QUALITY
    )
    noisy = replace(plain, noise_chance=1.0, gaussian_chance=1.0, gaussian_sigma=(2.0, 10.0))
    soft = replace(noisy, blur_chance=1.0, sinc_chance=0.0, sigma_px=(0.4, 1.5))
    once = degrade.SecondOrder(scale=scale, second=plain, first_chance=0.0, final_sinc_chance=0.0)
    hard = degrade.files_twice(scale)
    first, second = (replace(part, jpeg_quality=QUALITY) for part in (hard.first, hard.second))
    return {
        "JPEG": once,
        "noise, JPEG": replace(once, second=noisy),
        "blur, noise, JPEG": replace(once, second=soft),
        TWICE: replace(hard, first=first, second=second),
    }


def damaged(truth: Tensor, scale: int, seed: int, how: str = TWICE) -> Tensor:
    """Return what became of a picture: (1, 3, H, W) -> (1, 3, H/scale, W/scale)."""
    return degrade.degrade(truth, damages(scale)[how], torch.Generator().manual_seed(seed))


def score(up: Upscaler, how: str) -> str:
    """Return the cells of a row: of one model and kind of damage, over all photographs and draws."""
    ours, plain = [], []
    for number, path in enumerate(sorted(HELD_OUT.iterdir())):
        truth = to_tensor(middle(images.read(path)[0]))[None]
        for seed in range(number * DRAWS, (number + 1) * DRAWS):
            low = damaged(truth, up.scale, seed, how)
            restored = to_tensor(up(from_tensor(low[0])))[None]
            bicubic = degrade.resize_bicubic(low, size=(truth.shape[-2], truth.shape[-1])).clamp(0, 1)
            for found, picture in ((ours, restored), (plain, bicubic)):
                found.append(float(psnr(luma(picture), luma(truth), crop_px=4)))
    better = sum(mine > other for mine, other in zip(ours, plain, strict=True))
    gain = np.mean(ours) - np.mean(plain)
    return f"{np.mean(plain):.2f} dB | {np.mean(ours):.2f} dB | {gain:+.2f} dB | {better} of {len(ours)}"


def strip(name: str) -> np.ndarray:
    """Return crops of three photographs, twice their size: as they were found, restored, and the truth."""
    up, rows = Upscaler(name), []
    for path in sorted(HELD_OUT.iterdir())[:SHOWN]:
        truth = to_tensor(middle(images.read(path)[0]))[None]
        low = damaged(truth, up.scale, 0)
        found = degrade.resize_bicubic(low, size=(truth.shape[-2], truth.shape[-1])).clamp(0, 1)
        shown = [from_tensor(found[0]), up(from_tensor(low[0])), from_tensor(truth[0])]
        rows.append(np.concatenate([middle(each, CROP_PX) for each in shown], axis=1))
    sheet = np.concatenate(rows).repeat(ENLARGED, 0).repeat(ENLARGED, 1)
    return captioned(sheet, ["as found", name, "before it suffered"])


def main() -> None:
    """Print the table, or draw crops where a file for them is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["restore-x4", "restore-x2", "restore-x1"])
    parser.add_argument("--strip", type=Path, help="draw crops by the first model to this file instead")
    options = parser.parse_args()
    if options.strip:
        images.write(options.strip, strip(options.models[0]), overwrite=True)
        return
    print("| model | damage | bicubic | restored | gain | better |\n|---|---|---|---|---|---|")
    for name in options.models:
        up = Upscaler(name)
        for how in damages(up.scale):
            print(f"| `{name}` | {how} | {score(up, how)} |", flush=True)


if __name__ == "__main__":
    main()
