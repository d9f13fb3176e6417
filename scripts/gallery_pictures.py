"""Make pictures of docs/gallery.md by the models in the box: python scripts/gallery_pictures.py [NAME ...]

What is drawn and generated for them lies below runs/gallery-pictures and is taken from there the next time.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ganvas import cli

PLACE = Path("runs/gallery-pictures")
OUT = Path(__file__).parents[1] / "docs/pictures"
GAP, QUALITY = 4, 88
STREET = ["--size", "512x256", "--seed", "1", "--details", "--quiet"]
PAINTED = (("clip_000", 1), ("clip_002", 1), ("clip_003", 2))
"""Frames of the unseen street that are shown: clip and number."""
FILMED = (4, 28, 52)
RESTYLED = ["car@0=5", "road@0=5", "house@0=5"]
CLIP = ["generate", "street-clip", "--painter", "street-painter", "--repaint", "1.6", "--quiet", "--seed", "3"]


def once(folder: Path, *command: str) -> Path:
    """Run a command of ganvas that writes a folder, unless the folder is there."""
    if not folder.exists():
        unfinished = folder.with_name(folder.name + ".part")
        shutil.rmtree(unfinished, ignore_errors=True)
        verb, *words = command
        cli.run(verb, [*words, "--out", str(unfinished)])
        unfinished.rename(folder)
    return folder


def sheet(rows: Sequence[Sequence[Path]]) -> Image.Image:
    """Lay pictures of one size side by side, a row below the other."""
    width, height = Image.open(rows[0][0]).size
    across, down = len(rows[0]), len(rows)
    result = Image.new("RGB", (across * (width + GAP) - GAP, down * (height + GAP) - GAP), "white")
    for y, row in enumerate(rows):
        for x, file in enumerate(row):
            result.paste(Image.open(file).convert("RGB"), (x * (width + GAP), y * (height + GAP)))
    return result


def moving(files: Sequence[Path], size: tuple[int, int], target: Path) -> None:
    """Write frames as an animated WebP of twelve frames a second."""
    frames = [Image.open(file).convert("RGB").resize(size, Image.Resampling.LANCZOS) for file in files]
    frames[0].save(target, save_all=True, append_images=frames[1:], duration=83, loop=0, quality=60)


def street_painter() -> None:
    """Real frames, and what is painted of their labels in the styles of two seeds."""
    street = once(PLACE / "street", "world", "--clips", "6", "--frames", "4", *STREET)
    paint = ["generate", "street-painter", "--labels", str(street), "--quiet", "--seed"]
    painted = [once(PLACE / f"painted-{seed}", *paint, seed) for seed in ("3", "5")]
    rows = [
        [street / clip / f"frames/{number:06d}.png", *(folder / clip / f"{number:06d}.png" for folder in painted)]
        for clip, number in PAINTED
    ]
    sheet(rows).save(OUT / "gallery-street-painter.jpg", quality=QUALITY)


def street_clip() -> None:
    """Frames of a street, of the clip that is made of its labels, and of one in other styles; the clip as it moves."""
    street = once(PLACE / "long-street", "world", "--frames", "60", *STREET)
    changes = [word for change in RESTYLED for word in ("--restyle", change)]
    made = [once(PLACE / f"filmed-{name}", *CLIP, "--labels", str(street), *more)
            for name, more in (("", []), ("restyled", changes))]  # fmt: skip
    folders = [street / "frames", *made]
    sheet([[folder / f"{number:06d}.png" for number in FILMED] for folder in folders]).save(
        OUT / "gallery-street-clip.jpg", quality=QUALITY
    )
    moving([made[0] / f"{number:06d}.png" for number in range(60)], (384, 192), OUT / "gallery-street-clip.webp")


def faces() -> None:
    """Sixteen faces."""
    made = once(PLACE / "faces", "generate", "faces-relativistic", "--seeds", "0-15", "--quiet")
    files = sorted(made.glob("*.png"))
    sheet([files[first : first + 4] for first in range(0, 16, 4)]).save(OUT / "gallery-faces.png")


def walk() -> None:
    """A walk through noise, at 768 px."""
    words = ["faces-relativistic", "--then", "faces-768", "--choose", "first", "--quiet"]
    made = once(PLACE / "walk", "generate", *words, "--walk", "--seeds", "4,9,13,4", "--steps", "10")
    moving(sorted(made.glob("2-*/*.png")), (384, 384), OUT / "gallery-walk.webp")


NAMES = {"street-painter": street_painter, "street-clip": street_clip, "faces": faces, "walk": walk}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], help="which; none makes all")
    for name in parser.parse_args().names or NAMES:
        NAMES[name]()
        print(name)


if __name__ == "__main__":
    main()
