"""Parts and channels of an OpenEXR file, all of them, each in its own type: by the OpenEXR project's own binding."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ganvas.errors import UserError, need
from ganvas.io.pictures.formats import damaged
from ganvas.io.pictures.paths import plain, plain_beside

EXTRA = "pictures"


@dataclass(frozen=True)
class Part:
    """One part of a file: its channels by name, each (H, W) of its own type, and its header."""

    channels: dict[str, np.ndarray]
    header: dict[str, Any]

    def groups(self) -> list[tuple[str, ...]]:
        """Return the names of channels by layers: those of a colour (RGB, RGBA, Y, YA) together, every other alone."""
        left, groups = list(self.channels), []
        for layer in dict.fromkeys(name.rpartition(".")[0] for name in left):
            own = [name for name in self.channels if name.rpartition(".")[0] == layer]
            at = {name.rpartition(".")[2].upper(): name for name in own}
            letters = next((word for word in ("RGBA", "RGB", "YA", "Y") if all(letter in at for letter in word)), "")
            # A Y beside X is a coordinate; beside RY and BY it is a colour whose rest is kept elsewhere.
            if letters.startswith("Y") and {"X", "Z", "RY", "BY"} & set(at):
                letters = ""
            group = tuple(at[letter] for letter in letters)
            if group and all(self.channels[name].dtype.kind == "f" for name in group):
                groups.append(group)
                left = [name for name in left if name not in group]
        return [*groups, *((name,) for name in left)]


def is_colour(group: Sequence[str], part: Part) -> bool:
    """Tell whether a group of channels is colour, which a network may see."""
    return len(group) > 1 or (group[0].rpartition(".")[2].upper() == "Y" and group in part.groups()[:1])


def read_parts(path: str | Path) -> list[Part]:
    """Return all parts of an OpenEXR file.

    Raises:
        UserError: a part is deep, the extra is not installed, or the file is damaged.
    """
    exr = need("OpenEXR", EXTRA)
    path = Path(path)
    try:
        with exr.File(plain(path), separate_channels=True) as file:
            for number, part in enumerate(file.parts, start=1):
                if part.type() in (exr.Storage.deepscanline, exr.Storage.deeptile):
                    why = f"Part {number} holds deep data (lists of samples in each pixel)"
                    raise UserError(f"Cannot read {path}", why, "Flatten it first")
            return [
                Part({name: np.array(channel.pixels) for name, channel in part.channels.items()}, dict(part.header))
                for part in file.parts
            ]
    except (RuntimeError, ValueError, OSError) as error:
        raise damaged(path, str(error)) from error


def write_parts(path: str | Path, parts: Sequence[Part], overwrite: bool = False) -> None:
    """Write parts with the headers that they have, their windows grown to their channels.

    Raises:
        UserError: the name is taken, or the encoder fails.
    """
    exr = need("OpenEXR", EXTRA)
    path = Path(path)
    if path.exists() and not overwrite:
        raise UserError(f"Cannot write {path}", "The file is there already", "Choose another name, or give --overwrite")
    temporary = path.parent / f".ganvas-{secrets.token_hex(6)}.part"
    made = [exr.Part(_header(part), {n: np.ascontiguousarray(p) for n, p in part.channels.items()}) for part in parts]
    try:
        exr.File(made).write(plain_beside(temporary))
        temporary.replace(path)
    except (RuntimeError, ValueError, OSError) as error:
        raise UserError(f"Cannot write {path}", f"The encoder failed ({error})", "Nothing was left behind") from error
    finally:
        temporary.unlink(missing_ok=True)


_STALE = ("channels", "chunkCount", "tiles", "preview", "lineOrder")


def _header(part: Part) -> dict[str, Any]:
    header = {key: value for key, value in part.header.items() if key not in _STALE}
    height, width = max(channel.shape for channel in part.channels.values())
    low, high = header["dataWindow"]
    across, down = width / (high[0] - low[0] + 1), height / (high[1] - low[1] + 1)
    header["dataWindow"] = _window(low, (width, height), across, down)
    low, high = header["displayWindow"]
    size = (round((high[0] - low[0] + 1) * across), round((high[1] - low[1] + 1) * down))
    header["displayWindow"] = _window(low, size, across, down)
    header["type"] = need("OpenEXR", EXTRA).Storage.scanlineimage
    return header


def _window(low: Sequence[int], size: tuple[int, int], across: float, down: float) -> tuple[np.ndarray, np.ndarray]:
    start = np.array([round(low[0] * across), round(low[1] * down)], np.int32)
    return start, start + np.array(size, np.int32) - 1
