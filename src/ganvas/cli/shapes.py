"""The verb `shapes`."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from ganvas.cli import DONE
from ganvas.errors import UserError


def shapes(
    out: Positional[Path], size: int = 64, per_class: int = 500, rare: tuple[str, ...] = (), first: int = 0
) -> int:
    """Draw a data set with classes, in folders by class: six shapes and six textures.

    Args:
        out: the folder to make; it must not hold anything.
        size: side of the pictures in pixels, 16 to 512.
        per_class: pictures of each class.
        rare: classes made rare on purpose, with their share: star=0.1.
        first: number of the first picture; another number draws other pictures, to hold out.
    """
    from ganvas.drawn.shapes import CLASSES, Shapes, draw
    from ganvas.io.pictures import images

    if not 16 <= size <= 512 or per_class < 1:
        raise UserError(f"{per_class} pictures of {size} px cannot be drawn", do="Use 16 to 512 px and at least one")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is not empty", do="Name a new folder")
    drawn = Shapes(size, per_class, dict(map(_share, rare)), first)
    for name in CLASSES:
        (out / name).mkdir(parents=True, exist_ok=True)
    for place in drawn.groups():
        name, number = place.split("/")
        images.write(out / f"{place}.png", draw(name, size, int(number)))
    print(f"{len(drawn)} pictures of {len(CLASSES)} classes: {out}")
    return DONE


def _share(text: str) -> tuple[str, float]:
    name, _, share = text.partition("=")
    try:
        return name, float(share)
    except ValueError as error:
        raise UserError(f"--rare {text} cannot be understood", do="Write a class and its share: star=0.1") from error
