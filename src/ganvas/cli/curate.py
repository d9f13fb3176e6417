"""The verbs `curate` and `faces`."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from ganvas.cli import DONE
from ganvas.cli.arguments import Printing
from ganvas.cli.console import Bar, report


def faces(printing: Printing, out: Path, num: int = 200, size: int = 384, seed: int = 0) -> int:
    """Write the embedded face-like sample set: drawn by a program, no faces of anyone, with exact landmarks.

    Args:
        out: folder for the pictures and their landmarks.json.
        num: how many.
        size: side of each in pixels.
        seed: another seed, other faces.
    """
    from ganvas.drawn.faces import write

    with Bar(printing.quiet) as bar:
        write(out, num, size, seed, lambda done, total: bar.move("faces", done, total))
    report(f"{num} face-like pictures of {size} px with landmarks in {out}", {"out": out, "pictures": num}, printing)
    return DONE


def curate(
    folder: Positional[Path],
    out: Path,
    faces: bool = False,
    landmark_file: str = "",
    least_px: int = 0,
    keep_gray: bool = False,
    sharpness: float = -3.6,
    blocks: float = 0.5,
    duplicate_bits: int = 5,
    move_rejected: Path | None = None,
    json: bool = False,
    quiet: bool = False,
) -> int:
    """Rank a folder of pictures by quality: a report page, and a list of those to keep.

    Blurred, gray, flat, half-tone, blocky, small and double pictures are named; nothing is moved unless told to.

    Args:
        folder: pictures, with subfolders.
        out: folder for the report: index.html, keep.txt, rejected.txt, curate.json.
        faces: a picture without a clear face is left out (extra faces).
        landmark_file: dlib's shape predictor; default the one that is found.
        least_px: shorter side that a picture must have.
        keep_gray: leave gray pictures in.
        sharpness: log10 of the variance of the Laplacian below which a picture is blurred.
        blocks: excess of steps at every eighth pixel above which a picture is spoiled by JPEG.
        duplicate_bits: bits in which the hashes of double pictures may differ.
        move_rejected: move what is left out below this folder.
        json: print JSON.
        quiet: print only errors.
    """
    from ganvas.cli.console import print_json
    from ganvas.data import curate as curating

    limits = curating.Limits(
        least_px=least_px, keep_gray=keep_gray, sharpness=sharpness, blocks=blocks, duplicate_bits=duplicate_bits
    )
    with Bar(quiet) as bar:
        entries = curating.curate(
            folder, limits, faces, landmark_file, lambda done, number: bar.move("pictures", done, number)
        )
    page = curating.report(entries, out)
    moved = curating.move_rejected(entries, move_rejected) if move_rejected else []
    if json:
        print_json([curating.as_row(entry) for entry in entries])
        return DONE
    kept = sum(entry.is_kept for entry in entries)
    if quiet:
        return DONE
    print(f"{kept} of {len(entries)} pictures are kept: {page}, {out / 'keep.txt'}")
    if moved:
        print(f"{len(moved)} moved to {move_rejected}")
    return DONE
