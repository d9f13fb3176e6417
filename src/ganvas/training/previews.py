"""The previews of a run: how many are kept."""

from __future__ import annotations

from pathlib import Path

MOST = 48
MOST_BYTES = 64 << 20


def prune(folder: Path, most: int = MOST, most_bytes: int = MOST_BYTES) -> list[Path]:
    """Delete previews beyond a number or an amount, and return them; first, last and evenly spread ones stay."""
    found = sorted((int(path.stem), path) for path in folder.glob("*.png") if path.stem.isdecimal())
    sizes = {path: path.stat().st_size for _, path in found}
    gone: list[Path] = []
    while len(found) > 2 and (len(found) > most or sum(sizes[path] for _, path in found) > most_bytes):
        # The one whose neighbours are nearest to each other is missed least.
        place = min(range(1, len(found) - 1), key=lambda index: found[index + 1][0] - found[index - 1][0])
        _, path = found.pop(place)
        path.unlink(missing_ok=True)
        gone.append(path)
    return gone
