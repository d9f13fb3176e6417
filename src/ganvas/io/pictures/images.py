"""Picture files, whole or in strips: the public names of this room, and what is made of them."""

from __future__ import annotations

import glob
import re
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from ganvas.io import folders
from ganvas.io.pictures.formats import FOREIGN, READABLE, WRITABLE
from ganvas.io.pictures.headers import Header, decoded_bytes, read_header
from ganvas.io.pictures.samples import adapt_header, format_for, from_float, premultiply, to_float, unpremultiply
from ganvas.io.pictures.strips import Reader
from ganvas.io.pictures.writer import WRITTEN_WHOLE, Writer

__all__ = [
    "READABLE",
    "WRITABLE",
    "WRITTEN_WHOLE",
    "Header",
    "Reader",
    "Writer",
    "adapt_header",
    "decoded_bytes",
    "find_pictures",
    "from_float",
    "premultiply",
    "read",
    "read_header",
    "to_float",
    "unpremultiply",
    "write",
]


def read(path: str | Path) -> tuple[np.ndarray, Header]:
    """Return a whole picture as (H, W, C) in the file's own dtype, upright, and its header.

    Raises:
        UserError: the file is missing, damaged or not supported.
    """
    with Reader(path) as reader:
        return reader.rows(0, reader.header.height), reader.header


def write(
    path: str | Path,
    array: np.ndarray,
    header: Header | None = None,
    overwrite: bool = False,
    quality: int = 95,
    allow_loss: bool = False,
) -> Path:
    """Write a whole picture, (H, W) or (H, W, C), and return its path.

    Without a `header` (that of the picture it was made from) there is no metadata, and alpha is taken as unassociated.

    Raises:
        UserError: the format cannot hold the picture, the name is taken, the folder is missing, the disk is full.
    """
    path = Path(path)
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim != 3 or not 1 <= array.shape[2] <= 4:
        raise ValueError(f"a picture is (H, W) or (H, W, 1 to 4), not {array.shape}")
    height, width, channels = array.shape
    if header is None:
        bits = 8 * array.dtype.itemsize
        header = Header(width, height, channels, array.dtype.name, format_for(path), bits=bits)
    with Writer(path, header, width, height, overwrite, quality, allow_loss=allow_loss) as writer:
        writer.write_rows(array)
    return path


def find_pictures(
    inputs: Sequence[str | Path], recursive: bool = True, also: Collection[str] = ()
) -> tuple[list[Path], list[tuple[str, str]]]:
    """Return the pictures that files, folders and globs name, each once and in natural order, and (what, why) problems.

    Hidden files are passed over, and so are runs and comparisons below a folder; of its other files only those that are
    pictures we cannot read are reported.
    Files with an ending of `also` are found like pictures.
    """
    found: dict[Path, None] = {}
    problems: list[tuple[str, str]] = []
    for entry in map(str, inputs):
        paths, problem = _expand(entry, recursive, also)
        if problem:
            problems.append((entry, problem))
        for path, named in paths:
            suffix = path.suffix.lower()
            if not named and not path.is_file():
                if suffix in READABLE or suffix in also:
                    problems.append((str(path), "it is no file" if path.exists() else "it is a link to nothing"))
            elif suffix in READABLE or suffix in also:
                found.setdefault(path)
            elif suffix in FOREIGN:
                why, advice = FOREIGN[suffix]
                problems.append((str(path), f"{why}. {advice.replace('FILE', path.name)}"))
            elif named:
                problems.append((str(path), f"the extension {path.suffix!r} is not a supported picture's"))
    return list(found), list(dict.fromkeys(problems))


def _expand(entry: str, recursive: bool, also: Collection[str]) -> tuple[list[tuple[Path, bool]], str]:
    """Return the files of one input, each with whether it was named itself, and what is wrong with the input."""
    path = Path(entry)
    if path.is_dir():
        files = sorted(folders.files(path, recursive, plain=False), key=_natural)
        pictures = any(file.suffix.lower() in READABLE or file.suffix.lower() in also for file in files)
        none = "the folder holds no pictures or videos" if also else "the folder holds no pictures"
        return [(file, False) for file in files], "" if pictures else none
    # A file is taken at its name first, which may hold brackets.
    if path.exists():
        return [(path, True)], ""
    if not glob.has_magic(entry):
        return [], "there is no such file or folder"
    matches = sorted((Path(match) for match in glob.glob(entry, recursive=True)), key=_natural)  # noqa: PTH207 - absolute patterns
    files = [match for match in matches if match.is_file()]
    return [(file, False) for file in files], "" if files else "nothing matches"


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """Return a key that sorts frame2 before frame10."""
    parts = re.split(r"(\d+)", str(path).casefold())
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part]
