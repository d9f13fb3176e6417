"""Cut the README's small pictures of the methods out of what `ganvas gallery --out DIR` writes.

ganvas gallery --out gallery && python scripts/method_pictures.py gallery
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

SIDE = 144
SHOWN = {
    "esrgan": ("esrgan/astronaut-*.png", (140, 10, 330, 200)),
    "relativistic": ("relativistic/faces.png", (0, 0, 259, 259)),
    "biggan": ("biggan/materials.png", None),
    "pix2pixhd": ("pix2pixhd/painted/000000.png", (128, 0, 384, 256)),
    "vid2vid": ("vid2vid/generated/000012.png", (128, 0, 384, 256)),
    "reverse_matchmove": ("reverse_matchmove/flight/000001.png", (0, 0, 512, 512)),
    "superres_unet": ("superres_unet/generated/3-unet/000001.png", (0, 0, 512, 512)),
    "tiled_upres": ("tiled_upres/generated/1-faces-768/000000.png", (0, 0, 768, 768)),
}
"""By recipe: a picture of its demo, and the part that is shown; None for the squares at its right end."""


def main() -> None:
    """Write docs/pictures/methods/RECIPE.jpg for every recipe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("gallery", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs/pictures/methods")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    for recipe, (pattern, box) in SHOWN.items():
        path = sorted(asked.gallery.glob(pattern))[0]
        picture = Image.open(path).convert("RGB")
        box = box or (picture.width - 204, 0, picture.width, 204)
        part = picture.crop(box)
        smooth = Image.Resampling.LANCZOS if part.width > SIDE else Image.Resampling.BICUBIC
        part.resize((SIDE, SIDE), smooth).save(asked.out / f"{recipe}.jpg", quality=88)
        print(f"{asked.out / recipe}.jpg from {path.relative_to(asked.gallery)}")


if __name__ == "__main__":
    main()
