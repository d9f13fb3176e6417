"""The verb `evaluate`."""

from __future__ import annotations

import sys
from pathlib import Path

from ganvas.cli import DONE
from ganvas.verbs.printing import print_json


def evaluate(pairs: tuple[Path, Path], crop_px: int = 4, json: bool = False) -> int:
    """Score pictures against the truth: PSNR and SSIM on Y and RGB, mean brightness error.

    Args:
        pairs: results and truth: two pictures, or two folders whose pictures have the same names.
        crop_px: pixels left out at each border; the custom is the scale factor.
        json: print JSON.
    """
    from ganvas.metrics.evaluate import evaluate as score

    table = score(*pairs, crop_px=crop_px)
    for name, why in table.problems.items():
        print(f"{name}: {why}", file=sys.stderr)
    if json:
        print_json(vars(table))
        return DONE
    columns = list(table.means)
    width = max(len(name) for name in [*table.rows, "mean of all"])
    print("  ".join(["picture".ljust(width), *(column.rjust(16) for column in columns)]))
    for name, row in [*table.rows.items(), (f"mean of {len(table.rows)}", table.means)]:
        print("  ".join([name.ljust(width), *(f"{row[column]:16.4f}" for column in columns)]))
    print(f"{crop_px} px left out at each border; Y as in MATLAB's rgb2ycbcr.")
    return DONE
