"""Make low pictures of a folder, or tell whether results are sharp as this project means it, by a table.

    python scripts/upres_sharp.py lower HELD_OUT OUT --scale 2 [--square 432]
    ganvas upscale OUT/low --model RUN --out MADE
    python scripts/upres_sharp.py score MADE OUT/high --scale 2

`lower` cuts pictures to a multiple of the scale, or makes their largest squares so small, and shrinks them by
antialiased bicubic to 8-bit PNGs, with their landmarks if there are any. `score` compares pictures of equal names:
energy in the top three octaves (finest first) and variance of the Laplacian as shares of the truth's, high-pass
correlation with the truth, beside the two baselines; and the L1 distance of both averaged to the low size. As many
border pixels as the scale do not count.
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
from ganvas.io import runs
from ganvas.io.pictures import images
from ganvas.losses.reconstruction import low_l1
from ganvas.metrics.paired import luma
from ganvas.metrics.sharpness import Row, SharpnessReport, compare_sharpness, mean_report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("lower", "score"))
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--square", type=int, default=0, help="side of the high squares; 0 keeps whole pictures")
    asked = parser.parse_args()
    if asked.task == "lower":
        lower(asked.first, asked.second, asked.scale, asked.square)
    else:
        print_table(asked.first, asked.second, asked.scale)


def lower(truths: Path, out: Path, scale: int, square_px: int = 0) -> None:
    """Write OUT/high and OUT/low, and the landmarks of the low ones where pictures are whole."""
    for name in ("high", "low"):
        (out / name).mkdir(parents=True, exist_ok=True)
    for path in images.find_pictures([truths])[0]:
        high = squared(read(path, 1), square_px) if square_px else read(path, scale)
        for name, picture in (("high", high), ("low", degrade.bicubic(high, scale))):
            rows = picture[0].permute(1, 2, 0).clamp(0, 1).numpy()
            images.write(out / name / f"{path.stem}.png", images.from_float(rows, "uint8"))
    if (truths / SIDECAR).exists() and not square_px:
        points = read_points(truths / SIDECAR)
        # Pixel centres lie at whole numbers, so edges, not centres, keep their places.
        smaller = {name: (((found + 0.5) / scale) - 0.5).round(3).tolist() for name, found in points.items()}
        runs.write_json(out / "low" / SIDECAR, {"points": smaller})


def squared(picture: Tensor, side_px: int) -> Tensor:
    """Return the largest square in the middle, made so small: (1, 3, H, W) -> (1, 3, S, S)."""
    side = min(picture.shape[-2:])
    top, left = ((length - side) // 2 for length in picture.shape[-2:])
    return degrade.resize_bicubic(picture[..., top : top + side, left : left + side], size=(side_px, side_px))


def read(path: Path, scale: int) -> Tensor:
    """Return a picture cut to a multiple of the scale: (1, 3, H, W) in [0, 1]."""
    rows = images.to_float(images.read(path)[0])
    height, width = (side // scale * scale for side in rows.shape[:2])
    colors = np.ascontiguousarray(rows[:height, :width, :3].transpose(2, 0, 1))
    return torch.from_numpy(colors).float().expand(3, -1, -1)[None]


def print_table(results: Path, truths: Path, scale: int) -> None:
    """Print the mean of all pictures beside the baselines', and whether it is sharp; then the same of each picture."""
    names, reports, lows = [], [], []
    for path in images.find_pictures([results])[0]:
        truth = read(next(truths.glob(f"{path.stem}.*")), scale)
        report, low = scored(read(path, scale), truth, scale)
        names.append(path.stem)
        reports.append(report)
        lows.append(low)
    if not reports:
        raise UserError(f"{results} holds no pictures")
    found = mean_report(reports)
    print("| | finest octave | second | third | Laplacian | correlation |\n|---|---|---|---|---|---|")
    for row in found.rows():
        print(f"| {row.name} | {_numbers(row)} |")
    print(f"\nlow L1 {np.mean(lows):.2f} of 255; the mean is {'sharp' if found.sharp else 'not sharp'}")
    print(f"{sum(report.sharp for report in reports)} of {len(reports)} pictures are sharp\n")
    print("| picture | finest octave | second | third | Laplacian | correlation | the better baseline's | low L1 | |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, report, low in zip(names, reports, lows):
        bar = max(report.unsharp.correlation, report.noise.correlation)
        sharp = "sharp" if report.sharp else "not"
        print(f"| {name} | {_numbers(report.result)} | {bar:.3f} | {low:.2f} | {sharp} |")


def _numbers(row: Row) -> str:
    octaves = " | ".join(f"{ratio:.2f}" for ratio in row.octave_ratios)
    return f"{octaves} | {row.laplacian_ratio:.2f} | {row.correlation:.3f}"


def scored(result: Tensor, truth: Tensor, scale: int) -> tuple[SharpnessReport, float]:
    """Return the report of one picture and its L1 distance at the low size in 255ths."""
    if result.shape != truth.shape:
        raise UserError("Result and truth differ in size", f"{tuple(result.shape)} and {tuple(truth.shape)}")
    size = (truth.shape[-2], truth.shape[-1])
    enlarged = degrade.resize_bicubic(degrade.bicubic(truth, scale), size=size).clamp(0, 1)
    inner = [luma(picture)[0, 0, scale:-scale, scale:-scale] for picture in (result, truth, enlarged)]
    low = low_l1(result, truth, (size[0] // scale, size[1] // scale))
    return compare_sharpness(inner[0], inner[1], inner[2]), 255 * float(low)


if __name__ == "__main__":
    main()
