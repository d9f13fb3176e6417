"""The verb `shapes`."""

from __future__ import annotations

from pathlib import Path

from ganvas.cli import DONE
from ganvas.cli.arguments import Printing
from ganvas.cli.console import Bar, report
from ganvas.errors import UsageError, UserError


def shapes(
    printing: Printing, out: Path, size: int = 64, per_class: int = 500, rare: tuple[str, ...] = (), first: int = 0
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
        raise UsageError(f"{per_class} pictures of {size} px cannot be drawn", do="Use 16 to 512 px and at least one")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is not empty", do="Name a new folder")
    drawn = Shapes(size, per_class, dict(map(_share, rare)), first)
    for name in CLASSES:
        (out / name).mkdir(parents=True, exist_ok=True)
    with Bar(printing.quiet) as bar:
        for done, place in enumerate(drawn.groups()):
            name, number = place.split("/")
            images.write(out / f"{place}.png", draw(name, size, int(number)))
            bar.move("pictures", done + 1, len(drawn))
    text = f"{len(drawn)} pictures of {len(CLASSES)} classes: {out}"
    report(text, {"out": out, "pictures": len(drawn), "classes": list(CLASSES)}, printing)
    return DONE


def _share(text: str) -> tuple[str, float]:
    name, _, share = text.partition("=")
    try:
        return name, float(share)
    except ValueError as error:
        raise UsageError(f"--rare {text} cannot be understood", do="Write a class and its share: star=0.1") from error
