"""Fetch Tux Paint's stamps and make square pictures of them, a folder for each of their 16 categories.

    python scripts/stamps.py [FOLDER]        (default: .stamps)

They come from the Debian package tuxpaint-stamps-default (161 MB; Bill Kendrick and others, GPL-2), so nothing made of
them is shipped with Ganvas. Each stamp is laid on white and reduced to 128 px; the SVG ones are left out.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from photographs import fetch

from ganvas.data.degrade import resize_bicubic
from ganvas.errors import UserError
from ganvas.io.pictures import images

PACKAGE = "tuxpaint-stamps-default"
SIZE_PX = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(".stamps"))
    folder: Path = parser.parse_args().folder
    unpacked = folder / ".unpacked"
    fetch((PACKAGE,), unpacked)
    stamps = unpacked / "usr/share/tuxpaint/stamps"
    for category in sorted(path for path in stamps.iterdir() if path.is_dir()):
        target = folder / category.name
        target.mkdir(parents=True, exist_ok=True)
        written = sum(write(file, target / f"{file.parent.name}-{file.stem}.png") for file in category.rglob("*.png"))
        print(f"{category.name}: {written}")


def write(stamp: Path, target: Path) -> bool:
    """Write one stamp as a square; return whether it could be read."""
    if target.exists():
        return True
    try:
        picture, _ = images.read(stamp)
    except UserError as error:
        print(error, file=sys.stderr)
        return False
    square = centred(on_white(images.to_float(picture)))
    tensor = torch.from_numpy(square).permute(2, 0, 1)[None]
    small = resize_bicubic(tensor, size=(SIZE_PX, SIZE_PX)).clamp(0, 1)[0].permute(1, 2, 0).numpy()
    images.write(target, images.from_float(small, "uint8"))
    return True


def on_white(picture: np.ndarray) -> np.ndarray:
    """Return RGB of a picture of any number of channels, laid on white: (H, W, C) -> (H, W, 3)."""
    channels = picture.shape[2]
    colours = picture[..., : channels - (channels in (2, 4))]
    colours = np.repeat(colours, 3, axis=2) if colours.shape[2] == 1 else colours
    alpha = picture[..., -1:] if channels in (2, 4) else np.float32(1)
    return colours * alpha + (1 - alpha)


def centred(picture: np.ndarray) -> np.ndarray:
    """Return a picture in the middle of a white square, with a margin of a sixteenth."""
    height, width = picture.shape[:2]
    side = max(height, width) * 9 // 8
    square = np.ones((side, side, 3), np.float32)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = picture
    return square


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
