"""Large pictures survive a kill: their finished rows lie in a hidden folder until the file is whole.

    photo-x4.png            nothing, or the whole picture
    .photo-x4.png.ganvas/   journal.json (what the work is), rows.log (finished rows), picture.part (the file so far)

Encoders cannot go on where another process stopped, but they are quick: the kept rows are encoded anew, and only those
below them are computed. The file ends byte for byte as without the interruption.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ganvas.errors import UserError
from ganvas.inference.options import Region
from ganvas.inference.picture.upscale import Done, Upscaler
from ganvas.inference.rows.threads import WriteBehind
from ganvas.io.pictures.images import Writer
from ganvas.io.pictures.row_log import RowLog
from ganvas.io.workroom import Workroom, fingerprint

KEPT_FROM_PX = 16_000_000
"""Smaller outputs are computed again from their beginning."""


class Kept:
    """The finished rows of one picture in the making.

    Raises:
        UserError: the folder cannot be made, or another process makes the same picture.
    """

    def __init__(self, up: Upscaler, writer: Writer, identity: dict[str, Any]) -> None:
        self._up, self.rows, self.note = up, 0, ""
        self._height = writer.target.height
        self._room = Workroom(writer.path, identity)
        try:
            writer.write_in(self._room.folder)
            row = (writer.target.width, writer.header.channels)
            self._log: RowLog | None = RowLog(self._room.folder / "rows.log", row, np.dtype(writer.header.dtype))
        except OSError as error:
            self._room.leave(finished=True)
            raise UserError(f"Cannot write beside {writer.path}", error.strerror or str(error)) from error

    def restore(self, write: Callable[[np.ndarray], None]) -> Done:
        """Hand over the rows that an interrupted process finished, and return where to go on."""
        tiles = _tiles(self._room.journal.get("tiles"))
        assert self._log is not None
        for strip in self._log.read(self._height if tiles else 0):
            write(strip)
            self.rows += len(strip)
        if self.rows:
            self.note = f"{self.rows} of {self._height} rows were there from an interrupted call"
            return Done(self.rows, tiles)
        return Done()

    def behind(self) -> WriteBehind[np.ndarray]:
        """Return what keeps strips in a thread of its own; all that it was given is kept when work is interrupted."""
        return WriteBehind(self.keep, always_finishes=True)

    def keep(self, rows: np.ndarray) -> None:
        """Keep a strip; where the disk has no more room, nothing is kept any more, and the work goes on."""
        if self._log is None:
            return
        try:
            if not self.rows:
                tilings = [tiler.tiling for tiler in self._up.tilers]
                self._room.note(tiles=[[tiling.height_px, tiling.width_px, tiling.batch] for tiling in tilings])
            self._log.append(rows)
            self.rows += len(rows)
        except OSError:
            self._log.close()
            self._log = None
            with contextlib.suppress(OSError):
                (self._room.folder / "rows.log").unlink()

    def leave(self, finished: bool) -> None:
        """Leave the folder, and remove it when the picture is whole or nothing was kept."""
        nothing = self._log is None or not self.rows
        if self._log is not None:
            self._log.close()
        self._room.leave(finished or nothing)


def _tiles(noted: Any) -> tuple[tuple[int, int, int], ...]:
    """Return the tiles that a journal names, or none where it names something else."""
    if not isinstance(noted, list):
        return ()
    good = all(
        isinstance(t, list) and len(t) == 3 and all(type(n) is int and 0 < n < 1 << 31 for n in t) for t in noted
    )
    return tuple((t[0], t[1], t[2]) for t in noted) if good else ()


def has_room(folder: Path, raw_bytes: int) -> bool:
    """Tell whether a disk has room for a picture's rows beside the picture."""
    return shutil.disk_usage(folder).free >= 2 * raw_bytes


@contextlib.contextmanager
def kept_rows(
    up: Upscaler, source: str | Path, writer: Writer, region: Region, asked: dict[str, Any]
) -> Iterator[Kept | None]:
    """Keep the rows of a large picture while it is made; of a small one, or where the disk has no room, none.

    Args:
        up: makes the rows.
        source: file that they are made of.
        writer: of the file that is made, not yet entered.
        region: part of the source.
        asked: all else that decides the rows, as plain values.
    """
    shape = writer.target.height, writer.target.width, writer.header.channels
    dtype = np.dtype(writer.header.dtype)
    raw_bytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if shape[0] * shape[1] < KEPT_FROM_PX or not has_room(writer.path.parent, raw_bytes):
        yield None
        return
    engine = up.engine_for(dtype)
    identity = {
        "source": fingerprint(Path(source)), "region": list(region), "rows": [*shape, dtype.name], "asked": asked,
        "settings": up.identity, "engine": [engine.name, engine.precision, str(engine.device)],
        "torch": [str(torch.__version__), torch.get_num_threads()],
    }  # fmt: skip
    kept = Kept(up, writer, identity)
    finished = False
    try:
        yield kept
        finished = True
    except UserError:
        # The same would happen again; what is kept would only fill the disk.
        finished = True
        raise
    finally:
        kept.leave(finished)
