"""One large picture computed by several processes: strips of its rows, put together when all of them are there.

    .large.png.ganvas/rows-000000.log ...     rows of each strip, given their names when they are whole

Strips begin where bands of tiles begin, and all are cut into the tiles that one process would take, so that the file
ends byte for byte as that of one process. What is whole stays after a kill, and is not computed again.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ganvas.errors import UserError
from ganvas.inference.open import Opened
from ganvas.inference.options import part
from ganvas.inference.picture import suite, translation
from ganvas.inference.picture.files import make_folder
from ganvas.inference.picture.kept import has_room
from ganvas.inference.picture.options import PictureOptions
from ganvas.inference.picture.sizes import target_size
from ganvas.inference.picture.streaming import HIDDEN, Output, pixels_for, seen, upscaled, writer_for
from ganvas.inference.picture.upscale import Done, Upscaler
from ganvas.inference.result import Job, Result
from ganvas.inference.rows.threads import WriteBehind
from ganvas.io.pictures.images import Header, Reader, read_header
from ganvas.io.pictures.row_log import RowLog
from ganvas.io.workroom import Workroom, fingerprint

CUT_FROM_PX = 48_000_000
"""Smaller outputs are one piece of work."""
STRIP_PX = 16_000_000
"""Pixels of a strip, about: enough to be worth a task, few enough to be soon done again."""


@dataclass(frozen=True)
class StripTask:
    """Rows `start` to `stop` of the output, to be computed by any process that sees the files."""

    source: Path
    options: PictureOptions
    size_px: tuple[int, int]
    start: int
    stop: int
    tiles: tuple[tuple[int, int, int], ...]
    log: Path

    def run(self, opened: Opened) -> Result:
        """Compute the rows and keep them; what is wrong is in the result."""
        began = time.perf_counter()
        partial = self.log.with_name(f"rows-{uuid.uuid4().hex}.partial")
        try:
            up, output = suite.upscaler(opened, self.options), part(self.options, Output)
            with Reader(self.source) as reader:
                rows, hidden = upscaled(
                    up, seen(reader, output.alpha), output, self.size_px, None, None, Done(self.start, self.tiles)
                )
                _write(partial, rows, self.stop - self.start)
            # Of a lost process that goes on after all, the rows are the same.
            partial.replace(self.log)
        except UserError as error:
            return Result(input=str(self.source), output=str(self.log), error=str(error))
        except OSError as error:
            why = error.strerror or str(error)
            return Result(input=str(self.source), output=str(self.log), error=f"Cannot write {self.log}: {why}")
        finally:
            partial.unlink(missing_ok=True)
        seconds = round(time.perf_counter() - began, 3)
        note = HIDDEN if hidden and output.alpha == "auto" and not reader.header.associated_alpha else ""
        return Result(input=str(self.source), output=str(self.log), seconds=seconds, note=note)


def _write(path: Path, rows: Iterator[np.ndarray], count: int) -> None:
    """Write so many of some rows, and leave the others."""
    log: RowLog | None = None

    def append(strip: np.ndarray) -> None:
        assert log is not None
        log.append(strip)

    try:
        with WriteBehind(append) as put:
            for strip in rows:
                log = log or RowLog(path, (strip.shape[1], strip.shape[2]), strip.dtype)
                put(strip[:count])
                count -= len(strip[:count])
                if not count:
                    break
    finally:
        if isinstance(rows, Generator):
            rows.close()
        if log is not None:
            log.close()


class SharedPicture:
    """A large picture in the making: its tasks, and the file that they end in.

    Raises:
        UserError: it cannot be read, or not be written there.
    """

    def __init__(self, up: Upscaler, job: Job, options: PictureOptions) -> None:
        self._up, self.job, output = up, job, part(options, Output)
        self._began = time.perf_counter()
        with Reader(job.source) as reader:
            rows = seen(reader, output.alpha)
            self._header = rows.header
            self._size_px = _size_of(up.scale, self._header, output)
            pixels, _ = pixels_for(up, rows, output)
            first, begins = up.bands(self._header.height, self._header.width, pixels, self._size_px)
        high, wide = self._size_px
        self._writer = writer_for(job.target, translation.header_for(up, self._header), (wide, high), output)
        self._row = wide, self._writer.header.channels
        self._dtype = np.dtype(self._writer.header.dtype)
        edges = _edges(begins, high, wide)
        identity = {
            "source": fingerprint(Path(job.source)), "strips": edges, "tiles": first.tiles, "settings": up.identity,
            "asked": [output.alpha, output.scene_linear, *self._row, self._dtype.name], "torch": str(torch.__version__),
            "engine": str(up.engine_for(np.dtype(self._header.dtype)).precision),
        }  # fmt: skip
        self._room = Workroom(job.target, identity)
        logs = [self._room.folder.absolute() / f"rows-{number:06d}.log" for number in range(len(edges) - 1)]
        spans = zip(edges, edges[1:], logs)
        source = Path(job.source).absolute()
        self.tasks = [StripTask(source, options, self._size_px, *span[:2], first.tiles, span[2]) for span in spans]
        self.left = [task for task in self.tasks if not task.log.is_file()]
        """Tasks that no earlier call has done."""

    def finish(self, results: list[Result]) -> Result | None:
        """Write the file and return its result; None where strips are missing, since the work was cancelled."""
        if failed := [result for result in results if result.error]:
            self._room.leave(finished=True)
            return Result(input=str(self.job.source), output=str(self.job.target), error=failed[0].error)
        if not all(task.log.is_file() for task in self.tasks):
            self._room.leave(finished=False)
            return None
        try:
            self._writer.write_in(self._room.folder)
            with self._writer as writer:
                for task in self.tasks:
                    for rows in self._rows(task):
                        writer.write_rows(rows)
        except UserError as error:
            self._room.leave(finished=True)
            return Result(input=str(self.job.source), output=str(self.job.target), error=str(error))
        self._room.leave(finished=True)
        notes = dict.fromkeys([self._writer.target.note, *(result.note for result in results)])
        note = "; ".join(filter(None, [*notes, f"{len(self.tasks)} strips"]))
        high, wide, _ = self.tasks[0].tiles[-1]
        return Result(
            input=str(self.job.source), output=str(self.job.target), width=self._size_px[1], height=self._size_px[0],
            seconds=round(time.perf_counter() - self._began, 3), note=note, tile=f"{wide}x{high}",
            precision=self._up.engine_for(np.dtype(self._header.dtype)).precision,
        )  # fmt: skip

    def _rows(self, task: StripTask) -> Iterator[np.ndarray]:
        log, wanted = RowLog(task.log, self._row, self._dtype), task.stop - task.start
        try:
            for rows in log.read(wanted):
                wanted -= len(rows)
                yield rows
        finally:
            log.close()
        if wanted:
            raise UserError(f"A strip of {self.job.target} is damaged", f"{task.log} is cut short", "Start again")


def share_out(opened: Opened, job: Job, options: PictureOptions, skips: bool) -> SharedPicture | None:
    """Return a picture that is to be made in strips; None for one that is better made at once.

    Raises:
        UserError: as `SharedPicture`.
    """
    output = part(options, Output)
    if job.target.exists() and skips and not output.overwrite:
        return None
    try:
        header = read_header(job.source)
        high, wide = _size_of(opened.card.scale, header, output)
    except UserError:
        return None  # Whoever works on it will say so
    is_one = header.frames == 1 and not header.unread
    is_plain = is_one and output.alpha != "separate" and not options.report_seams and opened.card.tiling != "internal"
    if high * wide < CUT_FROM_PX or not is_plain:
        return None
    make_folder(job.target.parent)
    raw_bytes = high * wide * header.channels * np.dtype(header.dtype).itemsize
    if not has_room(job.target.parent, raw_bytes):
        return None
    return SharedPicture(suite.upscaler(opened, options), job, options)


def _size_of(scale: int, header: Header, output: Output) -> tuple[int, int]:
    return target_size(header.height, header.width, scale, output.factor, output.size, output.long_side)


def _edges(begins: list[int], high: int, wide: int) -> list[int]:
    """Return the rows at which strips of about `STRIP_PX` begin, and the last one ends."""
    least = max(1, STRIP_PX // wide)
    edges = [0]
    for row in begins:
        if row - edges[-1] >= least and high - row >= least // 2:
            edges.append(row)
    return [*edges, high]
