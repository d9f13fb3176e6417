"""Stills: one picture of a sequence, wherever it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from ganvas.data.decoding import decode
from ganvas.io.pictures import shards


class Still(Protocol):
    """A picture that is read when it is needed; as text it says where it is."""

    @property
    def path(self) -> Path:
        """The file that it is in."""
        ...

    @property
    def name(self) -> str:
        """What a person calls it."""
        ...

    @property
    def size_px(self) -> tuple[int, int]:
        """(height, width), known without decoding where the file allows that."""
        ...

    def read(self) -> np.ndarray:
        """Return the picture, (H, W, 1 or 3), in its file's dtype."""
        ...


@dataclass(frozen=True)
class StillFile:
    """A picture file."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def size_px(self) -> tuple[int, int]:
        """(height, width), from the header alone."""
        header = shards.read_header(self.path)
        return header.height, header.width

    def read(self) -> np.ndarray:
        """Return the picture."""
        return decode(self.path)
