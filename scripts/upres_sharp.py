"""Make low pictures of a folder, or judge whether results are sharp as this project means it, by a table.

    python scripts/upres_sharp.py lower HELD_OUT LOWS --scale 2       then `ganvas upscale LOWS --model RUN --out MADE`
    python scripts/upres_sharp.py judge MADE HELD_OUT --scale 2

`lower` cuts pictures to a multiple of the scale and shrinks them by antialiased bicubic to 8-bit PNGs; facial landmarks
beside them are shrunk, too. `judge` compares pictures of equal names: energy in the top three octaves (finest first)
and variance of the Laplacian as shares of the truth's, high-pass correlation with the truth, beside the two cheats; and
the L1 distance of both averaged to the low size. As many border pixels as the scale do not count.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganvas.data import degrade
from ganvas.data.landmarks import SIDECAR, read_points
from ganvas.errors import UserError
from ganvas.io import images, runs
from ganvas.losses.reconstruction import low_l1
from ganvas.metrics.paired import luma
from ganvas.metrics.sharpness import SharpnessReport, judge, mean_report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("lower", "judge"))
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--scale", type=int, default=2)
    asked = parser.parse_args()
    if asked.task == "lower":
        lower(asked.first, asked.second, asked.scale)
    else:
        print_table(asked.first, asked.second, asked.scale)


def lower(truths: Path, out: Path, scale: int) -> None:
    """Write the low picture of each picture of a folder, and the landmarks that belong to it."""
    out.mkdir(parents=True, exist_ok=True)
    for path in images.find_pictures([truths])[0]:
        low = degrade.bicubic(read(path, scale), scale)[0].permute(1, 2, 0)
        images.write(out / f"{path.stem}.png", images.from_float(low.numpy(), "uint8"))
    if (truths / SIDECAR).exists():
        points = read_points(truths / SIDECAR)
        # Pixel centres lie at whole numbers, so edges, not centres, keep their places.
        smaller = {name: (((found + 0.5) / scale) - 0.5).round(3).tolist() for name, found in points.items()}
        runs.write_json(out / SIDECAR, {"points": smaller})


def read(path: Path, scale: int) -> Tensor:
    """Return a picture cut to a multiple of the scale: (1, 3, H, W) in [0, 1]."""
    rows = images.to_float(images.read(path)[0])
    height, width = (side // scale * scale for side in rows.shape[:2])
    colors = np.ascontiguousarray(rows[:height, :width, :3].transpose(2, 0, 1))
    return torch.from_numpy(colors).float().expand(3, -1, -1)[None]


def print_table(results: Path, truths: Path, scale: int) -> None:
    """Print the mean of all pictures, and whether it is sharp; then how many of them are."""
    reports, lows = [], []
    for path in images.find_pictures([results])[0]:
        truth = read(next(truths.glob(f"{path.stem}.*")), scale)
        report, low = judged(read(path, scale), truth, scale)
        reports.append(report)
        lows.append(low)
    if not reports:
        raise UserError(f"{results} holds no pictures")
    found = mean_report(reports)
    print("| | finest octave | second | third | Laplacian | correlation |\n|---|---|---|---|---|---|")
    for row in found.rows():
        octaves = " | ".join(f"{ratio:.2f}" for ratio in row.octave_ratios)
        print(f"| {row.name} | {octaves} | {row.laplacian_ratio:.2f} | {row.correlation:.3f} |")
    print(f"\nlow L1 {np.mean(lows):.2f} of 255; the mean is {'sharp' if found.sharp else 'not sharp'}")
    print(f"{sum(report.sharp for report in reports)} of {len(reports)} pictures are sharp")


def judged(result: Tensor, truth: Tensor, scale: int) -> tuple[SharpnessReport, float]:
    """Return the report of one picture and its L1 distance at the low size in 255ths."""
    if result.shape != truth.shape:
        raise UserError("Result and truth differ in size", f"{tuple(result.shape)} and {tuple(truth.shape)}")
    size = (truth.shape[-2], truth.shape[-1])
    enlarged = degrade.resize_bicubic(degrade.bicubic(truth, scale), size=size).clamp(0, 1)
    inner = [luma(picture)[0, 0, scale:-scale, scale:-scale] for picture in (result, truth, enlarged)]
    low = low_l1(result, truth, (size[0] // scale, size[1] // scale))
    return judge(inner[0], inner[1], inner[2]), 255 * float(low)


if __name__ == "__main__":
    main()
