"""The verbs `curate` and `faces`."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from ganvas.cli import DONE


def faces(out: Positional[Path], number: int = 200, size: int = 384, seed: int = 0) -> int:
    """Write the embedded face-like sample set: drawn by a program, no faces of anyone, with exact landmarks.

    Args:
        out: folder for the pictures and their landmarks.json.
        number: how many.
        size: side of each in pixels.
        seed: another seed, other faces.
    """
    from ganvas.data.faces import write

    folder = write(out, number, size, seed)
    print(f"{number} face-like pictures of {size} px with landmarks in {folder}")
    return DONE
