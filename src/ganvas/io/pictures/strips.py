"""Rows of picture files: a reader whose memory does not grow with the picture's height."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenImageIO as oiio  # noqa: N813 - as its own documentation does

from ganvas.errors import UserError
from ganvas.io.closing import Closing
from ganvas.io.pictures.decoders import reorient
from ganvas.io.pictures.formats import damaged
from ganvas.io.pictures.headers import decoded_bytes, inspect, open_input

_PART_ROWS = 128


class Reader(Closing):
    """Rows of a picture file, in strips of any height; it holds no more than a strip and a chunk of the file."""

    def __init__(self, path: str | Path, part: int = 0) -> None:
        self.path = Path(path)
        self.header, self._layout = inspect(self.path, part)
        self._source: oiio.ImageInput | None = None
        # Rows already decoded, of which the first is row `_first` of the picture.
        self._first = 0
        self._rows: np.ndarray | None = None

    def close(self) -> None:
        """Close the file and let go of the rows."""
        if self._source is not None:
            self._source.close()
        self._source = self._rows = None

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Return rows start to stop as (stop - start, width, channels) in the header's dtype.

        Rows that the previous call returned are not decoded again; rows before them are, from the file's beginning.

        Raises:
            UserError: the file is damaged or cut short.
        """
        if not 0 <= start < stop <= self.header.height:
            raise ValueError(f"rows {start} to {stop} of a picture of {self.header.height}")
        if self._rows is None and (self.header.interlaced or stop - start == self.header.height):
            self._first, self._rows = 0, self._decode_whole()
        elif not self.header.interlaced:
            self._advance(start, stop)
        assert self._rows is not None
        wanted = self._rows[start - self._first : stop - self._first]
        if len(wanted) == self.header.height:
            # The whole picture is handed over, as a copy would double the memory.
            self._rows = None
            return wanted
        return wanted.copy()

    def _decode_whole(self) -> np.ndarray:
        layout = self._layout
        shape = (layout.stored_height, layout.stored_width, self.header.channels)
        try:
            if layout.whole is not None:
                rows = reorient(layout.whole.decode(), layout.orientation)
                return rows if layout.convert is None else layout.convert(rows)
            rows = np.empty(shape, self.header.dtype)
            # By parts, as the library's Python side holds everything that it hands over twice.
            step = -(-_PART_ROWS // layout.chunk_rows) * layout.chunk_rows
            for start in range(0, len(rows), step):
                rows[start : start + step] = self._decode(start, min(start + step, len(rows)))
            return reorient(rows, layout.orientation)
        except MemoryError as error:
            size = decoded_bytes(self.header) / 2**20
            why = f"Decoding it takes about {size:.0f} MB, which this machine does not have"
            raise UserError(f"Cannot read {self.path}", why, "Save it as a tiled TIFF or a plain PNG") from error
        finally:
            # Codecs that decode whole keep all of it for as long as they are open.
            self.close()

    def _advance(self, start: int, stop: int) -> None:
        """Make the kept rows begin at or before `start` and reach `stop`, decoding whole chunks of the file."""
        chunk = self._layout.chunk_rows
        kept = self._rows
        have = self._first + (0 if kept is None else len(kept))
        if kept is None or not self._first <= start < have:
            kept, self._first, have = None, start - start % chunk, start - start % chunk
        elif start > self._first:
            kept, self._first = kept[start - self._first :], start
        if stop > have:
            fresh = self._decode(have, min(self.header.height, -(-stop // chunk) * chunk))
            kept = fresh if kept is None else np.concatenate([kept, fresh])
        self._rows = kept

    def _decode(self, start: int, stop: int) -> np.ndarray:
        if self._source is None:
            self._source = open_input(self.path, self._layout.part, self._layout.raw)
        source, layout = self._source, self._layout
        low, high = min(layout.indices), max(layout.indices) + 1
        first, last = layout.first_row + start, layout.first_row + stop
        if layout.tiled:
            left, right = layout.first_column, layout.first_column + layout.stored_width
            rows = source.read_tiles(left, right, first, last, 0, 1, low, high, layout.sample_type)
        else:
            rows = source.read_scanlines(first, last, 0, low, high, layout.sample_type)
        complaint = source.geterror() if source.has_error else ""
        if rows is None or (complaint and "extraneous bytes" not in complaint):
            raise damaged(self.path, complaint)
        rows = rows.reshape(stop - start, layout.stored_width, high - low)
        wanted = [index - low for index in layout.indices]
        rows = rows if wanted == list(range(high - low)) else np.ascontiguousarray(rows[..., wanted])
        return rows if layout.convert is None else layout.convert(rows)
