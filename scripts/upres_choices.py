"""What choosing the best of several variants is worth: a table over held-out pictures, for each way of choosing.

    python scripts/upres_choices.py RUN FOLDER [--number 8] [--variants flip,contrast]

RUN is a run of `tiled_upres`; FOLDER holds high pictures that it was not trained on. Their largest squares are made
smaller to the run's low size, enlarged again, and compared with the truth.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from ganvas.data.degrade import resize_bicubic
from ganvas.data.guides import centred_square
from ganvas.data.squares import Squares
from ganvas.inference.picture.options import TileOptions
from ganvas.inference.picture.tiled import CHOICES, Upres, variants_of
from ganvas.io.weights import files as weights
from ganvas.recipes import enlargement


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--number", type=int, default=8)
    parser.add_argument("--variants", default="flip,contrast")
    parser.add_argument("--device", default="auto")
    asked = parser.parse_args()
    names = tuple(asked.variants.split(","))
    print(f"variants: {len(variants_of(names))}, the tile as it is among them\n")
    print("| chosen by | PSNR-Y, dB | low L1, 255ths | detail, share of the truth's |\n|---|---|---|---|")
    for choose in CHOICES:
        up = Upres(asked.run, TileOptions(choose=choose, variants=names, device=asked.device))  # pyright: ignore[reportArgumentType]
        found = enlargement.mean(scores(up, asked.run, asked.folder, asked.number))
        print(
            f"| {choose} | {found['psnr_y']:.2f} | {found['low_l1_255ths']:.2f} | {found['laplacian_ratio']:.2f} |",
            flush=True,
        )


def scores(up: Upres, run: str, folder: Path, number: int) -> list[dict[str, float]]:
    """Return the scores of the first pictures of a folder."""
    facts = weights.read_card(run).extra["upres"]
    high_px, low_px = facts["grid_px"] * up.scale, facts["low_px"]
    squares = Squares(folder, high_px, mirror=False)
    found = []
    for index, name in enumerate(squares.groups()[:number]):
        high = squares.sample(index, np.random.default_rng(0))["picture"][None].float() / 255
        low = resize_bicubic(high, size=(low_px, low_px)).clamp(0, 1)
        made = up(low[0], centred_square(folder / name))[None]
        grid = resize_bicubic(high, size=(facts["grid_px"], facts["grid_px"])).clamp(0, 1)
        found.append(enlargement.score(made, grid, high))
    return found


if __name__ == "__main__":
    with torch.inference_mode():
        main()
